package history_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"windlass/internal/history"
	"windlass/reconciler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// entry is the fleet's rollout of minute n.
func entry(fleet string, n int) history.Entry {
	at := noon.Add(time.Duration(n) * time.Minute)
	return history.Entry{
		Fleet: fleet, Started: at, Ended: at.Add(30 * time.Second), Trigger: reconciler.TriggerCommit, Result: reconciler.ResultSucceeded,
		From: fmt.Sprint("v", n), To: fmt.Sprint("v", n+1), Revision: "3f2a", Planned: 4, Completed: 4,
		Lowest: reconciler.Capacity{InService: 3, Size: 4}, Longest: reconciler.Outage{Node: "web-3", Since: at, Until: at.Add(4 * time.Second)},
	}
}

// opened is the store at path, and the log of opening it. It is closed with the test.
func opened(t *testing.T, path string) (*history.Store, *strings.Builder) {
	t.Helper()
	log := &strings.Builder{}
	s := history.Open(path, slog.New(slog.NewTextHandler(log, nil)))
	if s != nil {
		t.Cleanup(func() { s.Close() }) // a second time changes nothing
	}
	return s, log
}

func fresh(t *testing.T) (s *history.Store, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "history.db")
	s, log := opened(t, path)
	if s == nil || log.Len() > 0 {
		t.Fatalf("a new history: %s", log)
	}
	return s, path
}

func add(t *testing.T, s *history.Store, present []string, entries ...history.Entry) {
	t.Helper()
	if err := s.Add(present, entries...); err != nil {
		t.Fatal(err)
	}
}

// minutes are those of a fleet's entries, as they are listed.
func minutes(t *testing.T, s *history.Store, fleet string, most int) []int {
	t.Helper()
	entries, err := s.Newest(fleet, most)
	if err != nil {
		t.Fatal(err)
	}
	var found []int
	for _, e := range entries {
		found = append(found, int(e.Started.Sub(noon).Minutes()))
	}
	return found
}

func TestWhatIsKeptIsListedNewestFirstAlsoAfterARestart(t *testing.T) {
	t.Parallel()
	s, path := fresh(t)
	add(t, s, nil, entry("web", 2), entry("api", 7))
	add(t, s, nil, entry("web", 1), entry("web", 3))
	for _, when := range []string{"at once", "after a restart"} {
		for _, c := range []struct {
			fleet string
			most  int
			want  []int
		}{{"web", 50, []int{3, 2, 1}}, {"web", 2, []int{3, 2}}, {"web", 0, nil}, {"api", 50, []int{7}}, {"we", 50, nil}, {"", 50, nil}} {
			if got := minutes(t, s, c.fleet, c.most); !slices.Equal(got, c.want) {
				t.Errorf("%s: %d of %q are %v, want %v", when, c.most, c.fleet, got, c.want)
			}
		}
		if got, err := s.Newest("api", 1); err != nil || len(got) != 1 || got[0] != entry("api", 7) {
			t.Errorf("%s: %+v (%v), want %+v", when, got, err, entry("api", 7))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s, _ = opened(t, path)
	}
}

// A start that did not note that it had told of a rollout has the next one tell of it again.
func TestARolloutThatIsToldTwiceIsListedOnceAsItWasToldFirst(t *testing.T) {
	t.Parallel()
	s, path := fresh(t)
	add(t, s, nil, entry("web", 1))
	s.Close()
	s, _ = opened(t, path)
	again := entry("web", 1)
	again.Result = reconciler.ResultSuperseded
	add(t, s, nil, again)
	if got, err := s.Newest("web", 9); err != nil || len(got) != 1 || got[0] != entry("web", 1) {
		t.Errorf("%+v (%v)", got, err)
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	s, _ := fresh(t)
	var many []history.Entry
	for n := range history.MostEntries + 3 {
		many = append(many, entry("web", n))
	}
	add(t, s, nil, many...)
	if got := minutes(t, s, "web", 2*history.MostEntries); len(got) != history.MostEntries || got[0] != history.MostEntries+2 || got[len(got)-1] != 3 {
		t.Errorf("%d are kept, from %d to %d", len(got), got[len(got)-1], got[0])
	}

	const fleets = 256
	var present []string
	many = nil
	for n := range fleets - 1 { // web is the last
		name := fmt.Sprintf("fleet-%03d", n)
		many = append(many, entry(name, n))
		if n != 7 && n != 9 {
			present = append(present, name)
		}
	}
	add(t, s, present, many...)
	for n, goes := range []string{"fleet-007", "fleet-009", "web", "fleet-000"} { // gone by age, then present by age
		if got := minutes(t, s, goes, 1); len(got) != 1 {
			t.Errorf("%s went too early: %v", goes, got)
		}
		added := fmt.Sprint("new-", n)
		present = append(present, added)
		add(t, s, present, entry(added, 5000))
		if got := minutes(t, s, goes, 1); len(got) != 0 {
			t.Errorf("%s did not go for %s: %v", goes, added, got)
		}
	}
}

func TestReadersAndAWriterAtOnce(t *testing.T) {
	t.Parallel()
	s, _ := fresh(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for seen := 0; seen < 100; {
				entries, err := s.Newest("web", 1000)
				if err != nil || len(entries) < seen {
					t.Errorf("%d entries after %d: %v", len(entries), seen, err)
					return
				}
				for i, e := range entries {
					if e != entry("web", len(entries)-1-i) {
						t.Errorf("entry %d of %d is %+v", i, len(entries), e)
						return
					}
				}
				seen = len(entries)
			}
		})
	}
	for n := range 100 {
		add(t, s, nil, entry("web", n))
	}
	all.Wait()
}

// A kill leaves the file as it is at that instant. The library writes what is new first and then, in one page, that it holds.
func TestAKillBetweenTwoWritesLosesWhatWasNotWritten(t *testing.T) {
	t.Parallel()
	s, path := fresh(t)
	add(t, s, nil, entry("web", 1))
	before := contents(t, path)
	add(t, s, nil, entry("web", 2))
	after := contents(t, path)
	heads := 2 * os.Getpagesize()
	torn := slices.Concat(before[:heads], after[heads:])
	for name, c := range map[string]struct {
		left []byte
		want []int
	}{
		"before the second": {before, []int{1}},
		"in the second":     {torn, []int{1}},
		"after the second":  {after, []int{2, 1}},
	} {
		path := filepath.Join(t.TempDir(), "history.db")
		if err := os.WriteFile(path, c.left, 0o600); err != nil {
			t.Fatal(err)
		}
		s, log := opened(t, path)
		if s == nil || log.Len() > 0 {
			t.Fatalf("%s: %s", name, log)
		}
		if got := minutes(t, s, "web", 9); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		add(t, s, nil, entry("web", 3))
		if got, want := minutes(t, s, "web", 9), append([]int{3}, c.want...); !slices.Equal(got, want) {
			t.Errorf("%s, and written on: %v, want %v", name, got, want)
		}
	}
}

func contents(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
