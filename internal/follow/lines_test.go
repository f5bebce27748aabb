package follow_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"windlass/internal/follow"
	"windlass/internal/web"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

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
	l := follow.Lines{Out: &out, Stamp: func(time.Time) string { return "12:00:00" }}
	for _, nodes := range [][]web.Node{
		{node("web-1", "v1", plan.Draining, "3 connections"), node("web-2", "v1", plan.Outdated, "")},
		{node("web-1", "v1", plan.Draining, "2 connections"), node("web-2", "v1", plan.Outdated, "serves v1")},
		{node("web-1", "v2", plan.InService, ""), node("web-2", "v1", plan.Draining, "leaves \x1b[2J")},
	} {
		moving.Nodes = nodes
		check(t, l.Take(moving, noon))
	}
	halted.Nodes = []web.Node{moving.Nodes[0], failed}
	check(t, l.Take(halted, noon))
	check(t, l.Take(halted, noon))
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

// Who follows a fleet that waits hears that it is for somebody to do something, and no more of what it waits for.
func TestLinesTellOfGatesThatShut(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	l := follow.Lines{Out: &out, Stamp: func(time.Time) string { return "12:00:00" }}
	for _, state := range []string{"unread", "wait", "unread", "shut", "shut", "wait", "open"} {
		f := fleet("new", "v2", "d2", plan.PhaseWaiting, "gate source: "+state)
		f.Gates = []web.Gate{{Name: "windows", State: "open"}, {Name: "source", State: state}}
		check(t, l.Take(f, noon))
	}
	want := "12:00:00  fleet  waiting        v2  gate source: unread\n12:00:00  fleet  waiting        v2  gate source: shut\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// So does who follows a large one, a minute after its last line at the earliest.
func TestLinesOfALargeFleetTellOfGatesThatShut(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	l := follow.Lines{Out: &out, Stamp: func(now time.Time) string { return now.Format(time.TimeOnly) }}
	f := crowd(500, 0)
	f.Phase = plan.PhaseWaiting
	for i, state := range []string{"wait", "shut", "shut", "shut", "wait", "shut", "wait"} {
		f.Reason, f.Gates = "gate source: "+state, []web.Gate{{Name: "source", State: state}}
		check(t, l.Take(f, noon.Add(time.Duration(i)*30*time.Second)))
	}
	want := "12:00:00  fleet      waiting        v2  gate source: wait\n12:01:00  fleet      waiting        v2  gate source: shut\n12:02:30  fleet      waiting        v2  gate source: shut\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// crowd is a large fleet on its way, of whose nodes so many are done.
func crowd(nodes, done int) web.Fleet {
	f := fleet("new", "v2", "d2", plan.PhaseProgressing, "1 of 500 nodes under way")
	f.Rollout = web.Rollout{Release: "v2", Started: noon, Planned: nodes, Completed: done}
	f.Expected = &web.Expected{Nodes: nodes - done, Ends: noon.Add(time.Hour)}
	for i := range nodes {
		n := web.Node{Name: fmt.Sprintf("web-%03d", i), Release: "v1", State: plan.Outdated}
		if i < done {
			n.Release, n.State = "v2", plan.InService
		}
		f.Nodes = append(f.Nodes, n)
	}
	return f
}

// A pipeline's log has some lines of a rollout, whether it is of five nodes or of five hundred that all have trouble at times.
func TestLinesOfALargeFleetAreFew(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	l := follow.Lines{Out: &out, Stamp: func(now time.Time) string { return now.Format(time.TimeOnly) }}
	now, f := noon, crowd(500, 0)
	for i := range f.Nodes {
		for _, state := range []plan.State{plan.Draining, plan.Configuring, plan.Verifying, plan.Joining, plan.Baking, plan.Unreachable} {
			f.Nodes[i].State = state
			check(t, l.Take(f, now))
			now = now.Add(time.Second)
		}
		f.Nodes[i].Release, f.Nodes[i].State, f.Rollout.Completed = "v2", plan.InService, i+1
	}
	f.Phase, f.Reason = plan.PhaseIdle, "500 of 500 in service with v2"
	check(t, l.Take(f, now))
	const most = 20 + 20 + 50 + 2 // nodes in trouble, shares of the rollout, minutes, phases
	got := out.String()
	if lines := strings.Count(got, "\n"); lines > most {
		t.Errorf("%d lines, want at most %d:\n%s", lines, most, got)
	}
	for _, want := range []string{
		"12:00:00  fleet      progressing    v2  1 of 500 nodes under way\n", "  web-000    unreachable    v1\n",
		"12:02:30  fleet      progressing    v2  25 of 500, about 58 min left; 25 in service, 474 outdated, 1 draining\n",
		"  fleet      idle           v2  500 of 500 in service with v2\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}

// A large fleet that is held back again and again is told of as one that is, and not each time.
func TestALargeFleetThatIsHeldBackAgainAndAgain(t *testing.T) {
	t.Parallel()
	for _, moves := range []plan.Phase{plan.PhaseProgressing, plan.PhaseRollingBack} {
		var out strings.Builder
		l := follow.Lines{Out: &out, Stamp: func(now time.Time) string { return now.Format(time.TimeOnly) }}
		f, now := crowd(500, 0), noon
		phase := func(p plan.Phase, reason string) {
			f.Phase, f.Reason = p, reason
			check(t, l.Take(f, now))
			now = now.Add(3 * time.Second)
		}
		for range 200 {
			phase(moves, "1 of 500 nodes under way")
			phase(plan.PhaseWaiting, "the floor")
		}
		first := "12:00:00  fleet      " + strings.ReplaceAll(string(moves), "_", " ")
		if got := out.String(); strings.Count(got, "\n") > 25 || !strings.HasPrefix(got, first) || !strings.Contains(got, "12:01:03  fleet      waiting        v2  the floor\n") {
			t.Errorf("in 20 minutes\n%s", got)
		}
		out.Reset()
		now = now.Add(time.Minute)
		phase(moves, "")
		phase(plan.PhaseWaiting, "a person")
		phase(plan.PhaseHalted, "it failed")
		if got := out.String(); strings.Count(got, "\n") != 2 || !strings.Contains(got, "halted         v2  it failed\n") {
			t.Errorf("at the end\n%s", got)
		}
	}
}

// A small fleet that is restless for hours fills no log, and its end is told all the same; its next rollout is told of as any.
func TestLinesOfARestlessFleetAreFew(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	l := follow.Lines{Out: &out, Stamp: func(now time.Time) string { return now.Format(time.TimeOnly) }}
	f, now := crowd(8, 0), noon
	take := func(phase plan.Phase, state plan.State) {
		f.Phase, f.Nodes[3].State = phase, state
		check(t, l.Take(f, now))
		now = now.Add(2 * time.Second)
	}
	for range 1800 {
		take(plan.PhaseProgressing, plan.Joining)
		take(plan.PhaseWaiting, plan.Unreachable)
	}
	take(plan.PhaseHalted, plan.Failed)
	const most = 400 + 20 + 120 + 2 // and nodes in trouble, minutes, the end
	if got := out.String(); strings.Count(got, "\n") > most || !strings.Contains(got, "web-003  failed ") || !strings.Contains(got, "fleet    halted ") {
		t.Errorf("%d lines in two hours, want at most %d:\n%.2000s", strings.Count(got, "\n"), most, got)
	}
	out.Reset()
	f.Rollout.Started = now
	take(plan.PhaseProgressing, plan.Draining)
	if got := out.String(); strings.Count(got, "\n") != 2 {
		t.Errorf("the next rollout:\n%s", got)
	}
}

// However much trouble there was with the way to nodes, the node that failed is told of with what its step said.
func TestLinesTellWhatFailedInALargeFleet(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	l := follow.Lines{Out: &out, Stamp: func(time.Time) string { return "0" }}
	f := crowd(500, 0)
	for i := range f.Nodes {
		f.Nodes[i].State = plan.Unreachable
		check(t, l.Take(f, noon))
	}
	for i := range f.Nodes {
		f.Nodes[i].State, f.Nodes[i].Tail = plan.Failed, "boom"
		check(t, l.Take(f, noon))
	}
	got := out.String()
	if unreachable, failed := strings.Count(got, "unreachable "), strings.Count(got, " failed "); unreachable != 20 || failed != 20 || !strings.Contains(got, "    │ boom\n") {
		t.Errorf("%d nodes are unreachable and %d failed in\n%s", unreachable, failed, got)
	}
}

// What happens to many at once is one line, with what the first of those in trouble is like.
func TestManyThatChangeAlikeAreToldOfTogether(t *testing.T) {
	t.Parallel()
	for nodes, want := range map[int]string{
		8: `0  web-003  draining       v1  slowly
0  web-004  draining       v1  slowly
0  web-000  unreachable    v1  no route
0  7 nodes  unreachable    v1  web-001, web-002, web-003 and 4 more
`,
		300: `0  web-000    unreachable    v1  no route
0  299 nodes  unreachable    v1  web-001, web-002, web-003 and 296 more
`,
	} {
		var out strings.Builder
		l := follow.Lines{Out: &out, Stamp: func(time.Time) string { return "0" }}
		f := crowd(nodes, 0)
		f.Phase = ""
		for _, state := range []plan.State{plan.Outdated, plan.Draining, plan.Unreachable} {
			for i := range f.Nodes {
				switch n := &f.Nodes[i]; {
				case state == plan.Unreachable:
					n.State, n.Reason = state, "no route"
				case state == plan.Draining && (i == 3 || i == 4):
					n.State, n.Reason = state, "slowly"
				}
			}
			check(t, l.Take(f, noon))
		}
		if got := out.String(); got != want {
			t.Errorf("%d nodes: got\n%s\nwant\n%s", nodes, got, want)
		}
	}
}

// Only what came to its end before one's eyes is told as what was followed.
func TestAWitnessTellsOfWhatItSaw(t *testing.T) {
	t.Parallel()
	rollout := func(began time.Duration, result reconciler.Result, done int) web.Fleet {
		f := fleet("new", "v2", "d2", plan.PhaseIdle, "")
		f.Rollout = web.Rollout{From: "v1", Release: "v2", Started: noon.Add(began), Planned: 2, Completed: done, Result: result}
		if result != "" {
			f.Rollout.Ended = noon.Add(began + time.Minute)
		}
		return f
	}
	old, begun, done := rollout(-time.Hour, reconciler.ResultSucceeded, 2), rollout(0, "", 1), rollout(0, reconciler.ResultSucceeded, 2)
	for name, c := range map[string]struct {
		seen []web.Fleet
		end  follow.End
		want string
	}{
		"from its beginning":  {[]web.Fleet{old, begun, done}, follow.InService, "web: v1 → v2 in service on 2 of 2, took 1 min"},
		"in the middle":       {[]web.Fleet{begun, done}, follow.InService, "web: v1 → v2 in service on 2 of 2, took 1 min"},
		"too quick to see":    {[]web.Fleet{old, done}, follow.InService, "web: v1 → v2 in service on 2 of 2, took 1 min"},
		"a restart meanwhile": {[]web.Fleet{begun, {Name: "web"}, done}, follow.InService, "web: v1 → v2 in service on 2 of 2, took 1 min"},
		"it rested already":   {[]web.Fleet{old, old}, follow.InService, ""},
		"before it began":     {[]web.Fleet{{Name: "web"}, old}, follow.InService, ""},
		"it goes on":          {[]web.Fleet{old, begun}, follow.InService, ""},
		"there never was one": {[]web.Fleet{fleet("new", "v2", "d2", plan.PhaseIdle, "")}, follow.InService, ""},
		"superseded":          {[]web.Fleet{old, begun}, follow.Superseded, "web: v1 → v2 superseded at 1 of 2"},
		"superseded unseen":   {[]web.Fleet{old}, follow.Superseded, ""},
		"halted":              {[]web.Fleet{begun, rollout(0, reconciler.ResultHalted, 0)}, follow.Halted, "web: v1 → v2 halted at 0 of 2, took 1 min"},
		"nothing was seen":    {nil, follow.InService, ""},
	} {
		var w follow.Witness
		for _, f := range c.seen {
			w.Take(f)
		}
		if got := w.Recap(c.end); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
