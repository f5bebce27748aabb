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

// addedSince is baking, of which web-1 is not in rotation yet: its groups were asked for it some time ago.
func addedSince(ago time.Duration, asked plan.Kind, status actuators.TargetStatus) situation {
	return baking(0, twist{"", func(w *plan.World, _ *desired.Fleet) {
		n := &w.Nodes[0]
		n.Health, n.Asked, n.AskedAt = checks(plan.WatchVerify, "v2", health.Passing), asked, start.Add(-ago)
		if memberIn(w, 0).Status = status; status == "" {
			w.Groups[0].Members = w.Groups[0].Members[1:]
		}
	}})
}

// The next node is claimed as soon as its turn is near: towards the end of a long bake, or when some of the groups have found the one before
// it healthy; and with what its own zone has then.
func TestNextNodeIsClaimedInGoodTime(t *testing.T) {
	have := func(twists ...int) twist {
		return twist{"", func(w *plan.World, _ *desired.Fleet) {
			for _, i := range twists {
				w.Nodes[i].Host.Record.On, w.Nodes[i].Host.Record.Proven = version("v2"), version("v2")
			}
		}}
	}
	two := addedSince(5*time.Second, plan.Add, actuators.TargetHealthy)
	twoGroups(&two.world)(two.want.Fleet)
	two.world.Groups[1].Members[0].Status = actuators.TargetInitial
	for name, c := range map[string]struct {
		s    situation
		want string
	}{
		"towards the end of a long bake": {baking(40*time.Second, twist{"", func(_ *plan.World, f *desired.Fleet) { f.Rollout.Bake = time.Minute }}), "leave web-2"},
		"which registers":                {addedSince(5*time.Second, plan.Add, actuators.TargetInitial), "leave web-2"},
		"healthy in one of two":          {two, "leave web-2"},
		"another zone, one at a time":    {baking(5*time.Second, have(3), twist{"", func(_ *plan.World, f *desired.Fleet) { f.Rollout.Zones = desired.OneZoneAtOnce }}), "leave web-2"},
		"its own zone": {baking(5*time.Second, have(1), twist{"", func(w *plan.World, _ *desired.Fleet) {
			w.Groups[0].Rules = actuators.Rules{Zonal: true, InDNS: actuators.Threshold{Count: 1}}
		}}), "leave web-4"},
	} {
		if p := plan.Next(c.s.want, c.s.world); kindsOf(p, "") != c.want || p.InService != 3 {
			t.Errorf("%s: %q, %d in service; %s", name, kindsOf(p, ""), p.InService, holds(p))
		}
	}
}

// What is expected of those that come back is spent on claims alone: nobody leaves before they are back.
func TestLaw7NobodyLeavesForWhoIsNotBack(t *testing.T) {
	two := func(more func(*plan.World, *desired.Fleet)) twist {
		return twist{"", func(w *plan.World, f *desired.Fleet) {
			f.Rollout.MaxUnavailable.Count = 2
			more(w, f)
		}}
	}
	for name, s := range map[string]situation{
		"in its zone": baking(5*time.Second, two(func(w *plan.World, _ *desired.Fleet) {
			w.Groups[0].Rules = actuators.Rules{Zonal: true, InDNS: actuators.Threshold{Count: 1}}
			under(3, actuators.Leaving).do(w, nil)
		})),
		"in another zone, one at a time": baking(5*time.Second, two(func(w *plan.World, f *desired.Fleet) {
			f.Rollout.Zones = desired.OneZoneAtOnce
			under(1, actuators.Leaving).do(w, nil)
		})),
	} {
		if p := plan.Next(s.want, s.world); strings.Contains(kindsOf(p, ""), "drain") {
			t.Errorf("%s: %q", name, kindsOf(p, ""))
		}
	}
	alone := baking(5 * time.Second)
	alone.want.Fleet.LoadBalancers, alone.world.Groups = nil, nil
	for i := range alone.world.Nodes {
		n := &alone.world.Nodes[i]
		n.Host.Record.Places, n.Host.Record.Taken = nil, nil
		n.Health = checks(plan.WatchIdle, n.Host.Record.On.Release, health.Passing)
	}
	alone.world.Nodes[0].Health = checks(plan.WatchBake, "v2", health.Passing)
	alone.world.Nodes[0].Busy, alone.world.Nodes[0].Since = plan.Prove, start
	if p := plan.Next(alone.want, alone.world); kindsOf(p, "") != "" {
		t.Errorf("behind no load balancer: %q", kindsOf(p, ""))
	}
}

// Nobody is claimed ahead who could not follow: before the version is proven, long before the bake ends, where the floor is reached anyway, or
// when one waits already.
func TestNobodyIsClaimedAheadInVain(t *testing.T) {
	long := twist{"", func(_ *plan.World, f *desired.Fleet) { f.Rollout.Bake = time.Minute }}
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
		"that is to be tried later": baking(5*time.Second, on(0, "", func(n *plan.Node, _ *actuators.NodeRecord) {
			n.Health.Verdict, n.NotBefore, n.Trouble = health.Verdict{Status: health.Failing, Reason: "503"}, start.Add(3*time.Second), "throttled"
		})),
		"of which one cannot be read":                       baking(5*time.Second, on(0, "", func(n *plan.Node, _ *actuators.NodeRecord) { n.Read.Err = "connection timed out" })),
		"whose bake has not begun":                          baking(time.Hour, long, on(0, "", func(n *plan.Node, _ *actuators.NodeRecord) { n.Health.Phase = plan.WatchVerify })),
		"that was asked to add it and says that it is sick": addedSince(5*time.Second, plan.Add, actuators.TargetUnhealthy),
		"that was asked for long ago":                       addedSince(31*time.Second, plan.Add, actuators.TargetInitial),
		"that does not show it yet":                         addedSince(5*time.Second, plan.Add, ""),
		"with another sick one, of which two may be out": baking(5*time.Second, place(3, "", actuators.TargetUnhealthy, true), twist{"", func(w *plan.World, f *desired.Fleet) {
			f.Rollout.MaxUnavailable.Count = 2
			w.Nodes[3].Host.Record.On, w.Nodes[3].Host.Record.Proven = version("v2"), version("v2")
		}}),
		"in which one is being claimed": baking(5*time.Second, on(1, "", func(n *plan.Node, _ *actuators.NodeRecord) { n.Busy, n.Since = plan.Leave, start })),
		"that is paused":                baking(5*time.Second, twist{"", func(_ *plan.World, f *desired.Fleet) { f.Paused = &desired.Pause{Reason: "freeze"} }}),
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
		"cannot be read":      func(w *plan.World) { w.Nodes[0].Read.Err = "connection timed out" },
		"is to be read again": func(w *plan.World) { w.Nodes[0].Stale = true },
		"is not healthy yet":  func(w *plan.World) { w.Groups[0].Members[0].Status = actuators.TargetInitial },
		"bakes":               func(*plan.World) {},
		"is being claimed": func(w *plan.World) {
			w.Nodes[0].Host.Record = w.Nodes[3].Host.Record
			w.Nodes[0].Host.Record.Instance, w.Nodes[0].Host.Record.Places = "m-web-1", []actuators.Membership{memberIn(w, 0).Membership}
			w.Nodes[0].Busy, w.Nodes[0].Since = plan.Leave, start
		},
		"is checked by its balancer": func(w *plan.World) { w.Groups[0].Members[0].Status = actuators.TargetUnhealthy },
	} {
		if p := waiting(change); kindsOf(p, "web-2") != "" || p.Nodes[1].State != plan.Outdated {
			t.Errorf("while the other %s: %q, %s", name, kindsOf(p, "web-2"), p.Nodes[1].Reason)
		}
	}
	for name, change := range map[string]func(*plan.World){
		"another is sick, so that it could not follow": func(w *plan.World) {
			w.Nodes[3].Host.Record.On, w.Nodes[3].Host.Record.Proven = version("v2"), version("v2")
			memberIn(w, 3).Status, memberIn(w, 3).AtFault = actuators.TargetUnhealthy, true
		},
		"what it has was never proven": func(w *plan.World) { w.Nodes[1].Host.Record.On = version("v0") },
		"it serves nobody yet":         func(w *plan.World) { memberIn(w, 1).Status = actuators.TargetInitial },
		"its attempt failed":           func(w *plan.World) { w.Nodes[1].Host.Record.Spoiled = true },
	} {
		if p := waiting(change); strings.HasPrefix(p.Nodes[1].Reason, "claimed, and leaves when its turn comes") {
			t.Errorf("%s: %q, %s", name, kindsOf(p, "web-2"), p.Nodes[1].Reason)
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
