package main

import (
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"windlass/reconciler"
	"windlass/reconciler/plan"
)

func keptDir(t *testing.T) *stateDir {
	t.Helper()
	d, err := openStateDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func rolling(now time.Time) reconciler.Status {
	return reconciler.Status{Name: "web", PausedAt: now.Add(-time.Minute), Rollout: reconciler.Rollout{
		Trigger: reconciler.TriggerRevert, Release: "v2", Digest: "d1-a", Retry: 1, Committed: now.Add(-time.Hour),
		Started: now.Add(-time.Minute), LastProgress: now.Add(-time.Second), Planned: 4, Completed: 1, Paused: time.Second,
	}, Took: plan.Took{plan.Draining: 40 * time.Second}}
}

func TestTheNextStartKnowsWhatWasKept(t *testing.T) {
	t.Parallel()
	d, now, quiet := keptDir(t), time.Now().UTC().Truncate(time.Second), slog.New(slog.DiscardHandler)
	if kept := d.kept(quiet); len(kept) != 0 {
		t.Errorf("nothing was kept, and %+v is known", kept)
	}
	known := reconciler.Snapshot{Repo: reconciler.Repo{Revision: "aa"}, Fleets: []reconciler.Status{rolling(now)}}
	written := d.keepNow(known, nil, quiet)
	d.keepNow(reconciler.Snapshot{}, written, quiet) // the next start, before git was read
	if kept := d.kept(quiet)["web"]; !reflect.DeepEqual(kept, rolling(now).Keep()) {
		t.Errorf("kept %+v\nwant %+v", kept, rolling(now).Keep())
	}
}

// Losing what was kept, or finding nonsense, never keeps an agent from starting.
func TestWhatWasNotKeptWellIsNotKnown(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"cut off":             `{"schema":1,"fleets":{"web":{"rol`,
		"empty":               ``,
		"of a newer version":  `{"schema":2,"fleets":{}}`,
		"begun in the future": `{"schema":1,"fleets":{"web":{"rollout":{"trigger":"commit","started":"2999-01-01T00:00:00Z","lastProgress":"2999-01-01T00:00:00Z"}}}}`,
		"a made-up trigger":   `{"schema":1,"fleets":{"web":{"rollout":{"trigger":"whim","started":"2020-01-01T00:00:00Z","lastProgress":"2020-01-01T00:00:00Z"}}}}`,
		"a made-up result":    `{"schema":1,"fleets":{"web":{"rollout":{"trigger":"drift","started":"2020-01-01T00:00:00Z","lastProgress":"2020-01-01T00:00:00Z","ended":"2020-01-01T00:00:00Z","result":"fine"}}}}`,
		"ended before begun":  `{"schema":1,"fleets":{"web":{"rollout":{"trigger":"drift","started":"2020-01-01T00:00:00Z","lastProgress":"2020-01-01T00:00:00Z","ended":"2019-01-01T00:00:00Z","result":"halted"}}}}`,
		"more than all":       `{"schema":1,"fleets":{"web":{"rollout":{"planned":1,"completed":2}}}}`,
	} {
		d, log := keptDir(t), &strings.Builder{}
		if err := os.WriteFile(d.keptPath(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if kept := d.kept(slog.New(slog.NewTextHandler(log, nil))); len(kept) != 0 || strings.Count(log.String(), "\n") > 1 {
			t.Errorf("%s: %+v is known\n%s", name, kept, log)
		}
	}
}
