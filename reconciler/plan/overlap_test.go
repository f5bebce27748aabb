package plan_test

import (
	"strings"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/reconciler/plan"
)

// baking is a fleet of four in which v2 is proven on web-3, and web-1 bakes with it since so long ago.
func baking(ago time.Duration, twists ...twist) situation {
	begins := []twist{under(0, actuators.Verified), on(2, "", func(_ *plan.Node, r *actuators.NodeRecord) {
		r.On, r.Proven, r.Previous = version("v2"), version("v2"), r.Proven
	}), on(0, "", func(n *plan.Node, _ *actuators.NodeRecord) {
		n.Health = checks(plan.WatchBake, "v2", health.Pending)
		n.Health.Since = start.Add(-ago)
	})}
	return quiet("v2", append(begins, twists...)...)
}

// Law 16: while a node bakes the next one is claimed, and no more than that: it serves, and leaves when the proof of the first is being written.
func TestLaw16NextNodeIsClaimedWhileOneBakes(t *testing.T) {
	s := baking(5 * time.Second)
	p := plan.Next(s.want, s.world)
	if kindsOf(p, "") != "leave web-2" || p.InService != 3 {
		t.Fatalf("%q, %d in service: %v", kindsOf(p, ""), p.InService, p.Holds)
	}
	r := own(&s.world, 1, actuators.Leaving)
	r.Taken = []actuators.Membership{memberIn(&s.world, 1).Membership}
	p = plan.Next(s.want, s.world)
	if n := p.Nodes[1]; kindsOf(p, "") != "" || n.State != plan.Outdated || !n.UnderWay || p.InService != 3 || !strings.HasPrefix(n.Reason, "claimed, and leaves when its turn comes: 1 of 4 out") {
		t.Errorf("claimed: %q, %d in service, %s: %s", kindsOf(p, ""), p.InService, n.State, n.Reason)
	}
	s.world.Nodes[0].Busy, s.world.Nodes[0].Since = plan.Prove, start
	p = plan.Next(s.want, s.world)
	if kindsOf(p, "") != "drain web-2" || p.InService != 3 {
		t.Errorf("when the proof is being written: %q, %d in service", kindsOf(p, ""), p.InService)
	}
}

// A node that is being registered is followed as well, whether its record says yet that it passed its checks or not.
func TestNextNodeIsClaimedWhileOneIsAdded(t *testing.T) {
	for _, stage := range []actuators.Stage{actuators.Configuring, actuators.Verified} {
		s := baking(0, under(0, stage), place(0, "", actuators.TargetDraining, true))
		n := &s.world.Nodes[0]
		n.Health = checks(plan.WatchVerify, "v2", health.Passing)
		if p := plan.Next(s.want, s.world); strings.Contains(kindsOf(p, ""), "leave") {
			t.Errorf("%s, before it is added: %q", stage, kindsOf(p, ""))
		}
		n.Busy, n.Since = plan.Add, start
		if p := plan.Next(s.want, s.world); kindsOf(p, "") != "leave web-2" || p.InService != 3 {
			t.Errorf("%s: %q, %d in service: %v", stage, kindsOf(p, ""), p.InService, p.Holds)
		}
	}
}

// Nobody is claimed ahead who could not follow: before the version is proven, long before the bake ends, where the floor is reached anyway, or
// when one waits already.
func TestNobodyIsClaimedAheadInVain(t *testing.T) {
	for name, s := range map[string]situation{
		"of a version that is not proven": baking(5*time.Second, on(2, "", func(_ *plan.Node, r *actuators.NodeRecord) { r.On, r.Proven = version("v1"), version("v1") })),
		"long before its bake ends":       baking(5*time.Second, twist{"", func(_ *plan.World, f *desired.Fleet) { f.Rollout.Bake = time.Minute }}),
		"of which one fails its checks": baking(5*time.Second, on(0, "", func(n *plan.Node, _ *actuators.NodeRecord) {
			n.Health.Verdict = health.Verdict{Status: health.Failing, Reason: "503"}
		})),
		"that has another one that is sick": baking(5*time.Second, place(3, "", actuators.TargetUnhealthy, true), on(3, "", func(_ *plan.Node, r *actuators.NodeRecord) {
			r.On, r.Proven = version("v2"), version("v2")
		})),
		"whose proof is not written yet": baking(5*time.Second, on(0, "", func(n *plan.Node, _ *actuators.NodeRecord) { n.Health.Verdict.Status = health.Pending }), under(1, actuators.Leaving)),
		"that is paused":                 baking(5*time.Second, twist{"", func(_ *plan.World, f *desired.Fleet) { f.Paused = &desired.Pause{Reason: "freeze"} }}),
	} {
		if p := plan.Next(s.want, s.world); strings.Contains(kindsOf(p, ""), "leave") || strings.Contains(kindsOf(p, ""), "drain") {
			t.Errorf("in a fleet %s: %q", name, kindsOf(p, ""))
		}
	}
}

// A claimed node keeps its claim while somebody is on the way back, whatever is known of that one at the moment, and is let go when that fails.
func TestClaimedNodeIsLetGoWhenNobodyComesBack(t *testing.T) {
	waiting := func(change func(*plan.World)) plan.Plan {
		s := baking(5*time.Second, under(1, actuators.Leaving))
		s.world.Nodes[1].Host.Record.On = version("v1")
		change(&s.world)
		return plan.Next(s.want, s.world)
	}
	for name, change := range map[string]func(*plan.World){
		"cannot be read":             func(w *plan.World) { w.Nodes[0].Read.Err = "connection timed out" },
		"is to be read again":        func(w *plan.World) { w.Nodes[0].Stale = true },
		"is not healthy yet":         func(w *plan.World) { w.Groups[0].Members[0].Status = actuators.TargetInitial },
		"bakes":                      func(*plan.World) {},
		"is checked by its balancer": func(w *plan.World) { w.Groups[0].Members[0].Status = actuators.TargetUnhealthy },
	} {
		if p := waiting(change); kindsOf(p, "web-2") != "" || p.Nodes[1].State != plan.Outdated {
			t.Errorf("while the other %s: %q, %s", name, kindsOf(p, "web-2"), p.Nodes[1].Reason)
		}
	}
	failed := waiting(func(w *plan.World) {
		r := &w.Nodes[0].Host.Record
		r.Stage, r.Spoiled, r.Claim = actuators.Failed, true, nil
		r.Try.Failures, r.Try.Earlier = 2, "d1-v0"
		w.Groups[0].Members = w.Groups[0].Members[1:]
	})
	if kindsOf(failed, "web-2") != "restore web-2" {
		t.Errorf("when the other has failed: %q, %s", kindsOf(failed, "web-2"), failed.Nodes[1].Reason)
	}
}

// Law 7: a node whose proof is being written is counted on only while its balancers find it healthy.
func TestLaw7ProofInFlightCountsWhileTheNodeServes(t *testing.T) {
	s := baking(5*time.Second, under(1, actuators.Leaving))
	s.world.Nodes[1].Host.Record.On = version("v1")
	s.world.Nodes[0].Busy, s.world.Nodes[0].Since = plan.Prove, start
	memberIn(&s.world, 0).Status = actuators.TargetUnhealthy
	if p := plan.Next(s.want, s.world); kindsOf(p, "") != "" {
		t.Errorf("one that is sick again: %q", kindsOf(p, ""))
	}
}
