package history_test

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"windlass/desired"
	"windlass/internal/history"
	"windlass/reconciler"
)

// done is the end of the fleet's rollout of minute n, as the loop tells it.
func done(fleet string, n int) reconciler.RolloutDone {
	e := entry(fleet, n)
	return reconciler.RolloutDone{Fleet: fleet, Rollout: reconciler.Rollout{
		Trigger: e.Trigger, Revision: "head", Release: e.To, From: e.From, Started: e.Started, Ended: e.Ended, Result: e.Result,
		Planned: e.Planned, Completed: e.Completed, Change: desired.Commit{Revision: e.Revision}, Lowest: e.Lowest, Longest: e.Longest,
	}}
}

// What the loop tells, over restarts of the agent, becomes an entry for each rollout.
func TestWhatTheLoopTellsIsListed(t *testing.T) {
	t.Parallel()
	superseded, halted, old := done("web", 1), done("web", 2), done("web", 3)
	superseded.Rollout.Result = reconciler.ResultSuperseded
	halted.Rollout.Result, halted.Reason = reconciler.ResultHalted, "v3 failed on web-1"
	old.Rollout.Change, old.Rollout.Committed = desired.Commit{}, noon
	type start []reconciler.RolloutDone
	for name, c := range map[string]struct {
		starts []start
		want   []string // the newest first
	}{
		"nothing":                    {[]start{{}}, nil},
		"one after another":          {[]start{{done("web", 1), halted}}, []string{"halted v3: v3 failed on web-1 (3f2a)", "succeeded v2 (3f2a)"}},
		"superseded, then the next":  {[]start{{superseded}, {done("web", 2)}}, []string{"succeeded v3 (3f2a)", "superseded v2 (3f2a)"}},
		"told again after a restart": {[]start{{done("web", 1)}, {superseded, done("web", 2)}}, []string{"succeeded v3 (3f2a)", "succeeded v2 (3f2a)"}},
		"another fleet's":            {[]start{{done("api", 1)}}, nil},
		"of a windlass before this":  {[]start{{old}}, []string{"succeeded v4 (head)"}},
	} {
		_, path := closed(t)
		for _, told := range c.starts {
			s, _ := opened(t, path)
			r := history.NewRecorder(s, slog.New(slog.DiscardHandler))
			for _, d := range told {
				r.RolloutDone(d)
			}
			r.Write([]string{"web", "api"})
			s.Close()
		}
		s, _ := opened(t, path)
		entries, err := s.Newest("web", 9)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range entries {
			line := string(e.Result) + " " + e.To
			if e.Reason != "" {
				line += ": " + e.Reason
			}
			got = append(got, line+" ("+e.Revision+")")
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: listed %q, want %q", name, got, c.want)
		}
	}
}

// closed is a store that was closed: whatever is written there fails.
func closed(t *testing.T) (*history.Store, string) {
	t.Helper()
	s, path := fresh(t)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return s, path
}

func TestAWriteThatFailsIsSaidOnce(t *testing.T) {
	t.Parallel()
	s, _ := closed(t)
	log := &strings.Builder{}
	r := history.NewRecorder(s, slog.New(slog.NewTextHandler(log, nil)))
	r.Write(nil)
	if log.Len() > 0 {
		t.Errorf("there was nothing to write, and it says %s", log)
	}
	for n := range 3 {
		r.RolloutDone(done("web", n))
		r.Write(nil)
	}
	if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "rollouts go on") {
		t.Errorf("it says %s", log)
	}
}

// What comes from git and from nodes is kept as one line each, of bounded length, without secrets and without what does not print.
func TestTextsFromOutside(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"web v2":                             "web v2",
		"a\r\n\x1b[2Jb\x1b]0;owned\x07\x00c": "a b c",
		"a\u202eb\u200bc\xff":                "a\uFFFDb\uFFFDc\uFFFD",
		"token=s3cr3tvalue":                  "token=[redacted]",
		strings.Repeat("é", 5000):            strings.Repeat("é", 199) + "…",
	} {
		s, _ := fresh(t)
		d := done("web", 1)
		d.Reason = text
		d.Rollout.Change, d.Rollout.From, d.Rollout.Release, d.Rollout.Longest.Node = desired.Commit{Revision: text, Author: text, Subject: text}, text, text, text
		r := history.NewRecorder(s, slog.New(slog.DiscardHandler))
		r.RolloutDone(d)
		r.Write(nil)
		entries, err := s.Newest("web", 1)
		if err != nil || len(entries) != 1 {
			t.Fatalf("%v, %v", entries, err)
		}
		e := entries[0]
		for _, got := range []string{e.Revision, e.Author, e.Subject, e.From, e.To, e.Longest.Node} {
			if got != want {
				t.Errorf("%.40q is kept as %.60q, want %.60q", text, got, want)
			}
		}
		if n := utf8.RuneCountInString(e.Reason); n > 500 || !strings.HasPrefix(e.Reason, strings.TrimSuffix(want, "…")) {
			t.Errorf("%.40q is kept as a reason of %d characters: %.60q", text, n, e.Reason)
		}
	}
}

// A time zone of the machine's is not kept.
func TestTimesAreUTC(t *testing.T) {
	t.Parallel()
	s, _ := fresh(t)
	d := done("web", 1)
	d.Rollout.Started = d.Rollout.Started.In(time.FixedZone("there", 3600))
	r := history.NewRecorder(s, slog.New(slog.DiscardHandler))
	r.RolloutDone(d)
	r.Write(nil)
	if got := minutes(t, s, "web", 1); !slices.Equal(got, []int{1}) {
		t.Errorf("kept are %v", got)
	}
	if e, _ := s.Newest("web", 1); e[0].Started.Location() != time.UTC {
		t.Errorf("it started %v", e[0].Started)
	}
}
