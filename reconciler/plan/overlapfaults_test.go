package plan_test

import (
	"testing"
	"time"

	"windlass/actuators"
	"windlass/reconciler/plan"
)

// claimedAhead is a fleet of four in which web-1 bakes, and web-2 was claimed twenty seconds ago and has served since.
func claimedAhead(twists ...twist) situation {
	claimed := on(1, "", func(n *plan.Node, r *actuators.NodeRecord) {
		r.On = version("v1")
		n.Staged, n.Served = start.Add(-20*time.Second), start.Add(-10*time.Second)
		n.Asked, n.AskedAt = plan.Add, start.Add(-time.Hour)
	})
	return baking(5*time.Second, append([]twist{under(1, actuators.Leaving), claimed}, twists...)...)
}

// Law 23: a node that is being claimed before its turn serves on, and is told and counted so; and one that is sick while it waits is not.
func TestLaw23ClaimedNodeIsToldAsItServes(t *testing.T) {
	s := baking(5 * time.Second)
	s.world.Nodes[1].Busy, s.world.Nodes[1].Since = plan.Leave, start
	if p := plan.Next(s.want, s.world); p.InService != 3 || p.Nodes[1].State != plan.Outdated || kindsOf(p, "") != "" {
		t.Errorf("while it is being claimed ahead: %d in service, floor is %d, %s, %q", p.InService, p.Floor, p.Nodes[1].State, kindsOf(p, ""))
	}
	own(&s.world, 0, actuators.Idle).Claim = nil
	if p := plan.Next(s.want, s.world); p.InService != 3 || p.Nodes[1].State != plan.Draining {
		t.Errorf("while it is being claimed in its turn: %d in service, %s", p.InService, p.Nodes[1].State)
	}
	s = claimedAhead(place(1, "", actuators.TargetUnhealthy, true))
	if p := plan.Next(s.want, s.world); p.InService != 2 || p.Nodes[1].State != plan.OutOfService || kindsOf(p, "") != "" {
		t.Errorf("when it is sick: %d in service, %s, %q", p.InService, p.Nodes[1].State, kindsOf(p, ""))
	}
}
