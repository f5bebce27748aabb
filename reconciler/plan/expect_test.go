package plan_test

import (
	"testing"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler/plan"
)

// What is expected follows from what stages took before, else from the fleet file and the groups, and counts as many at a time as may be out.
func TestWhatIsExpected(t *testing.T) {
	timed := plan.Took{plan.Draining: 20 * time.Second, plan.Configuring: 30 * time.Second, plan.Verifying: 2 * time.Second, plan.Joining: 18 * time.Second}
	two := func(_ *plan.World, f *desired.Fleet) { f.Rollout.MaxUnavailable.Count = 2 }
	proven := func(w *plan.World, _ *desired.Fleet) {
		w.Nodes[3].Host.Record.On, w.Nodes[3].Host.Record.Proven = version("v2"), version("v2")
	}
	canary := func(_ *plan.World, f *desired.Fleet) {
		f.Rollout.Canary = &desired.Canary{Nodes: 1, Bake: 2 * time.Minute}
	}
	open := func(stops plan.Stops, long time.Duration) func(*plan.World, *desired.Fleet) {
		return func(w *plan.World, _ *desired.Fleet) {
			w.Gates = append(w.Gates, plan.Gate{Name: "windows", Stops: stops, State: plan.GateOpen, Reason: "for " + long.String(), Until: start.Add(long)})
		}
	}
	with := func(did ...func(*plan.World, *desired.Fleet)) []twist {
		twists := []twist{behind("", web)}
		for _, do := range did {
			twists = append(twists, twist{"", do})
		}
		return twists
	}
	for _, c := range []struct {
		name   string
		twists []twist
		took   plan.Took
		want   string
	}{
		{"one at a time", with(), timed, "about 6m40s for 4 nodes, each 1m40s: settle 20s, drain 20s, steps 30s, verify 2s, join 18s, bake 10s"},
		{"two at a time, the first by itself", with(two), timed, "about 5m0s for 4 nodes, each 1m40s: settle 20s, drain 20s, steps 30s, verify 2s, join 18s, bake 10s"},
		{"two at a time, proven", with(two, proven), timed, "about 3m20s for 3 nodes, each 1m40s: settle 20s, drain 20s, steps 30s, verify 2s, join 18s, bake 10s"},
		{"a canary", with(canary), timed, "about 8m30s for 4 nodes, each 1m40s: settle 20s, drain 20s, steps 30s, verify 2s, join 18s, bake 10s"},
		{"timed before it was to settle for longer", with(func(_ *plan.World, f *desired.Fleet) { f.Rollout.Drain.Settle = time.Minute }), timed,
			"about 9m20s for 4 nodes, each 2m20s: settle 1m0s, drain 20s, steps 30s, verify 2s, join 18s, bake 10s"},
		{"timed before the delay was to be waited out", with(func(_ *plan.World, f *desired.Fleet) { f.Rollout.Drain.Policy = desired.DrainForDelay }), timed,
			"about 24m for 4 nodes, each 6m0s: settle 20s, drain 4m40s, steps 30s, verify 2s, join 18s, bake 10s"},
		{"timed before the delay was short", []twist{behind("", actuators.Rules{Protocol: "HTTP", Delay: 30 * time.Second})}, timed,
			"about 6m0s for 4 nodes, each 1m30s: settle 20s, drain 10s, steps 30s, verify 2s, join 18s, bake 10s"},
		{"timed with flows that stay", []twist{behind("", actuators.Rules{Protocol: "TCP", Network: true, Delay: 5 * time.Minute})}, plan.Took{plan.Draining: 20 * time.Minute},
			"about 1h29m for 4 nodes, each 22m: settle 2m0s, drain 20m, bake 10s; not timed yet: configuring, verifying, joining"},
		{"never timed", with(), nil, "about 2m20s for 4 nodes, each 35s: settle 20s, drain 5s, bake 10s; not timed yet: configuring, verifying, joining"},
		{"never timed, by the delay", with(func(_ *plan.World, f *desired.Fleet) { f.Rollout.Drain.Policy = desired.DrainForDelay }), nil,
			"about 21m for 4 nodes, each 5m10s: settle 20s, drain 4m40s, bake 10s; not timed yet: configuring, verifying, joining"},
		{"a network load balancer", []twist{behind("", actuators.Rules{Protocol: "TCP", Network: true, Delay: 5 * time.Minute})}, nil,
			"about 21m for 4 nodes, each 5m10s: settle 2m0s, drain 3m0s, bake 10s; not timed yet: configuring, verifying, joining"},
		{"one node is left and drains since 10 s", with(proven, func(w *plan.World, f *desired.Fleet) {
			drained("", 10*time.Second, actuators.TargetDraining).do(w, f)
			w.Nodes[0].Host.Record.StageAt = start.Add(-10 * time.Second)
			f.Nodes.Exclude = []desired.Exclusion{{Name: "web-2", Reason: "-"}, {Name: "web-3", Reason: "-"}}
		}), timed, "about 1m30s for 1 node: settle 20s, drain 20s, steps 30s, verify 2s, join 18s, bake 10s"},
		{"a window closes before the last begins", with(open(plan.StopsNext, 3*time.Minute), open(plan.StopsNext, 4*time.Minute)), timed,
			"about 6m40s for 4 nodes, each 1m40s: settle 20s, drain 20s, steps 30s, verify 2s, join 18s, bake 10s; " +
				"gate windows is open for 3m0s, and what has not begun then waits"},
		{"a window closes after the last began", with(open(plan.StopsNext, 5*time.Minute)), timed,
			"about 6m40s for 4 nodes, each 1m40s: settle 20s, drain 20s, steps 30s, verify 2s, join 18s, bake 10s"},
		{"a window lets a rollout finish", with(open(plan.StopsStart, 3*time.Minute)), timed,
			"about 6m40s for 4 nodes, each 1m40s: settle 20s, drain 20s, steps 30s, verify 2s, join 18s, bake 10s"},
		{"a window closes, and the one node left has begun", with(open(plan.StopsNext, time.Minute), proven, func(w *plan.World, f *desired.Fleet) {
			drained("", 10*time.Second, actuators.TargetDraining).do(w, f)
			w.Nodes[0].Host.Record.StageAt = start.Add(-10 * time.Second)
			f.Nodes.Exclude = []desired.Exclusion{{Name: "web-2", Reason: "-"}, {Name: "web-3", Reason: "-"}}
		}), timed, "about 1m30s for 1 node: settle 20s, drain 20s, steps 30s, verify 2s, join 18s, bake 10s"},
		{"paused", with(func(_ *plan.World, f *desired.Fleet) { f.Paused = &desired.Pause{Reason: "freeze"} }), timed, ""},
		{"nothing to do", with(func(w *plan.World, _ *desired.Fleet) {
			for i := range w.Nodes {
				w.Nodes[i].Host.Record.On, w.Nodes[i].Host.Record.Proven = version("v2"), version("v2")
			}
		}), timed, ""},
	} {
		s := quiet("v2", c.twists...)
		s.world.Took = c.took
		if got := plan.Next(s.want, s.world).Expected.String(); got != c.want {
			t.Errorf("%s:\n%s, want\n%s", c.name, got, c.want)
		}
	}
}

// What a node under way still takes shrinks as its stages pass, and never below nothing.
func TestWhatIsLeftOfAJourney(t *testing.T) {
	took := plan.Took{plan.Draining: 20 * time.Second, plan.Configuring: 30 * time.Second, plan.Verifying: 2 * time.Second, plan.Joining: 18 * time.Second}
	left := func(stage actuators.Stage, ago time.Duration, also ...func(*plan.World)) time.Duration {
		s := quiet("v2", behind("", web), under(0, stage))
		s.world.Took, s.world.Nodes = took, s.world.Nodes[:1]
		s.world.Groups[0].Members = s.world.Groups[0].Members[:1]
		s.want.Fleet.Rollout.AllowOutage = true
		s.world.Nodes[0].Host.Record.StageAt = start.Add(-ago)
		for _, change := range also {
			change(&s.world)
		}
		return plan.Next(s.want, s.world).Expected.Left
	}
	job := func(w *plan.World) {
		w.Nodes[0].Host.Job = actuators.JobState{Key: "d1-v2-x-0-activate", Running: true}
		w.Nodes[0].Busy = plan.Configure
	}
	joins := func(w *plan.World) { w.Groups[0].Members[0].Status = actuators.TargetInitial }
	for _, c := range []struct {
		name      string
		got, want time.Duration
	}{
		{"just claimed", left(actuators.Leaving, 0), 100 * time.Second}, {"claimed for a while", left(actuators.Leaving, 15*time.Second), 85 * time.Second},
		{"claimed for long", left(actuators.Leaving, time.Hour), 60 * time.Second},
		{"its steps run", left(actuators.Configuring, 10*time.Second, job), 50 * time.Second},
		{"joins", left(actuators.Verified, 8*time.Second, joins), 20 * time.Second}, {"joins for long", left(actuators.Verified, time.Hour, joins), 10 * time.Second},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", c.name, c.got, c.want)
		}
	}
}
