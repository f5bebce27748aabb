package sandbox

import (
	"context"
	"strings"
	"testing"
	"time"

	"windlass/internal/live"
	"windlass/reconciler/plan"
)

// A demo that fails says which act, why, and what the agent said.
func TestDemoTellsWhatFailed(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := Demo(t.Context(), DemoOptions{Nodes: 2}, live.Options{Out: &out, Err: &out}) // this test binary as the agent ends at once
	if err == nil || !strings.Contains(err.Error(), "act 1 of the demo") || !strings.Contains(err.Error(), "the agent ended by itself") {
		t.Errorf("the error is %v", err)
	}
	for _, want := range []string{"2 nodes behind a load balancer", "$ windlass run --repo http://127.", "act 1 failed", "   this agent never starts", "answered by"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not tell %q:\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "\x1b") {
		t.Error("there is colour although this is no terminal")
	}
	if strings.Contains(out.String(), "each act ended as it should") {
		t.Error("it claims success")
	}
}

// An act has ended when the fleet has rested for as long as it lingers, not when it did so for a moment.
func TestActsEndAtRest(t *testing.T) {
	t.Parallel()
	connections := make(chan []string, 3)
	for _, phases := range [][]string{{"idle"}, {"idle", "waiting"}, {"waiting", "halted"}} {
		connections <- phases
	}
	a := act{phase: plan.PhaseHalted, releases: func(int) map[string]int { return nil }, linger: time.Second}
	f := &Fleet{local: local{Agent: events(t, connections)}}
	tell := newTeller(live.Options{Out: t.Output(), Err: t.Output()})
	defer tell.close()
	if err := a.settle(t.Context(), f, tell, ""); err != nil || len(connections) > 0 {
		t.Errorf("%v, %d connections are left", err, len(connections))
	}
	connections <- []string{"waiting"}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := a.settle(ctx, f, tell, ""); err == nil || !strings.Contains(err.Error(), "; last: waiting") {
		t.Errorf("one that never rests: %v", err)
	}
}

func TestActsAreJudged(t *testing.T) {
	t.Parallel()
	a := act{serves: []string{"v1", "v2"}}
	for name, c := range map[string]struct {
		count Count
		want  string // in the error; empty: none
	}{
		"well":          {Count{Requests: 9, Releases: map[string]int{"v1": 4, "v2": 5}}, ""},
		"silence":       {Count{}, "no request was sent"},
		"a dropped one": {Count{Requests: 9, Failed: 1, Failures: []string{"12:00:00.000: 502 "}}, "1 of 9 requests failed: 12:00:00.000: 502"},
		"a bad release": {Count{Requests: 9, Releases: map[string]int{"v1": 8, "v3": 1}}, "1 requests were answered by v3"},
	} {
		err := a.judge(c.count)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
