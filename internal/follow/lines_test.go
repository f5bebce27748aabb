package follow_test

import (
	"strings"
	"testing"

	"windlass/internal/follow"
	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// A line for each change of a node's state or release and of the fleet's phase, whatever else is told again and again.
func TestLinesTellWhatChanges(t *testing.T) {
	t.Parallel()
	node := func(name, release string, state plan.State, reason string) web.Node {
		return web.Node{Name: name, Release: release, State: state, Reason: reason}
	}
	failed := node("web-2", "v2", plan.Failed, "v2 failed here")
	failed.Tail = "boom\n\x1b]0;title\abang"
	moving := fleet("new", "v2", "d2", plan.PhaseProgressing, "1 of 2 nodes under way")
	halted := fleet("new", "v2", "d2", plan.PhaseHalted, "v2 failed on web-2")
	var out strings.Builder
	l := follow.Lines{Out: &out, Stamp: func() string { return "12:00:00" }}
	for _, nodes := range [][]web.Node{
		{node("web-1", "v1", plan.Draining, "3 connections"), node("web-2", "v1", plan.Outdated, "")},
		{node("web-1", "v1", plan.Draining, "2 connections"), node("web-2", "v1", plan.Outdated, "serves v1")},
		{node("web-1", "v2", plan.InService, ""), node("web-2", "v1", plan.Draining, "leaves \x1b[2J")},
	} {
		moving.Nodes = nodes
		check(t, l.Take(moving))
	}
	halted.Nodes = []web.Node{moving.Nodes[0], failed}
	check(t, l.Take(halted))
	check(t, l.Take(halted))
	want := `12:00:00  web-1  draining       v1  3 connections
12:00:00  fleet  progressing    v2  1 of 2 nodes under way
12:00:00  web-1  in service     v2
12:00:00  web-2  draining       v1  leaves
12:00:00  web-2  failed         v2  v2 failed here
    │ boom
    │ bang
12:00:00  fleet  halted         v2  v2 failed on web-2
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestLinesFitTheTerminal(t *testing.T) {
	t.Parallel()
	for width, want := range map[int]string{
		0:  "0  web-1  \x1b[33mjoining       \x1b[0m v2  \x1b[2mwaits for its load balancers to show that it joins, which takes a while\x1b[0m\n",
		80: "0  web-1  \x1b[33mjoining       \x1b[0m v2  \x1b[2mwaits for its load balancers to show that it …\x1b[0m\n",
		30: "0  web-1  \x1b[33mjoining       \x1b[0m v2  \x1b[2mwaits for its load balancers to show that it joins, which takes a while\x1b[0m\n",
	} {
		var out strings.Builder
		l := follow.Lines{Out: &out, Stamp: func() string { return "0" }, Colour: true, Width: width}
		f := fleet("new", "v2", "d2", "", "")
		f.Nodes = []web.Node{{Name: "web-1", Release: "v2", State: plan.Joining, Reason: "waits for its load balancers to show that it joins, which takes a while"}}
		check(t, l.Take(f))
		if got := out.String(); got != want {
			t.Errorf("%d columns: %q, want %q", width, got, want)
		}
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
