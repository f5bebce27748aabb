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

// claimedAhead is a fleet of four in which web-1 bakes, and web-2 was claimed twenty seconds ago and has served since.
func claimedAhead(twists ...twist) situation {
	claimed := on(1, "", func(n *plan.Node, r *actuators.NodeRecord) {
		r.On = version("v1")
		n.Staged, n.Served = start.Add(-20*time.Second), start.Add(-10*time.Second)
		n.Asked, n.AskedAt = plan.Add, start.Add(-time.Hour)
	})
	return baking(5*time.Second, append([]twist{under(1, actuators.Leaving), claimed}, twists...)...)
}

// Law 13: who is claimed ahead and is then taken out by somebody else is let go, and not changed or put back while it is to be left alone.
func TestLaw13ClaimedNodeThatOthersTakeOutIsLetGo(t *testing.T) {
	inTwo := twist{"", func(w *plan.World, _ *desired.Fleet) {
		for i := range 2 {
			w.Nodes[i].Host.Record.Taken = append(w.Nodes[i].Host.Record.Taken, w.Groups[1].Members[i].Membership)
		}
	}}
	for name, s := range map[string]situation{
		"drains": claimedAhead(place(1, "", actuators.TargetDraining, false)),
		"is out": claimedAhead(gone(1, "", 8*time.Second)),
		"drains from one of two groups": claimedAhead(twist{"", func(w *plan.World, f *desired.Fleet) { twoGroups(w)(f) }}, inTwo, twist{"", func(w *plan.World, _ *desired.Fleet) {
			w.Groups[1].Members[1].Status = actuators.TargetDraining
		}}),
	} {
		p := plan.Next(s.want, s.world)
		if kindsOf(p, "") != "restore web-2" {
			t.Errorf("one that %s: %q, %s", name, kindsOf(p, ""), p.Nodes[1].Reason)
			continue
		}
		n := &s.world.Nodes[1]
		n.Host.Record, n.Staged, n.OutSince = *p.Steps[0].Record, start, start
		if p = plan.Next(s.want, s.world); kindsOf(p, "") != "" || !p.Nodes[1].Foreign {
			t.Errorf("one that %s, afterwards: %q, %s", name, kindsOf(p, ""), p.Nodes[1].Reason)
		}
	}
}

// Laws 10, 17: a claimed node leaves by this agent's hand where it was asked to, where an agent before may have asked, where it was out when it
// was claimed, and where nothing else says in which places it belongs.
func TestLaw17ClaimedNodeThatLeftByOurHandGoesOn(t *testing.T) {
	for name, change := range map[string]func(*plan.Node){
		"was asked":                        func(n *plan.Node) { n.Asked, n.AskedAt = plan.Drain, start.Add(-9*time.Second) },
		"may have been asked":              func(n *plan.Node) { n.Inherited, n.Asked = true, "" },
		"has not served since":             func(n *plan.Node) { n.Served = start.Add(-time.Minute) },
		"never served":                     func(n *plan.Node) { n.Served = time.Time{} },
		"has a record that names no place": func(n *plan.Node) { n.Host.Record.Places = nil },
		"failed":                           func(n *plan.Node) { n.Host.Record.Spoiled = true },
	} {
		s := claimedAhead(gone(1, "", 8*time.Second))
		change(&s.world.Nodes[1])
		if p := plan.Next(s.want, s.world); strings.Contains(kindsOf(p, ""), "restore") {
			t.Errorf("one that %s: %q, %s", name, kindsOf(p, ""), p.Nodes[1].Reason)
		}
	}
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

// Law 13: a node that somebody else takes out of one of its groups is left alone while it drains there, as when it is out.
func TestLaw13NodeThatDrainsFromOneGroupIsLeftAlone(t *testing.T) {
	s := quiet("v2", twist{"", func(w *plan.World, f *desired.Fleet) {
		twoGroups(w)(f)
		w.Groups[1].Members[0].Status = actuators.TargetDraining
		w.Nodes[0].OutSince = start.Add(-10 * time.Second)
	}})
	if p := plan.Next(s.want, s.world); strings.Contains(kindsOf(p, ""), "web-1") || !p.Nodes[0].Foreign {
		t.Errorf("%q, %s", kindsOf(p, ""), p.Nodes[0].Reason)
	}
}

// Law 1: a node that cannot be read any more after it was claimed serves on and is not taken, and others go on. One that may have been asked to
// leave does not count.
func TestLaw1ClaimedNodeThatCannotBeReadServesOn(t *testing.T) {
	unread := func(change func(*plan.Node)) (s situation) {
		s = claimedAhead()
		n := &s.world.Nodes[1]
		n.Read.Err = "connection timed out"
		change(n)
		return s
	}
	s := unread(func(*plan.Node) {})
	p := plan.Next(s.want, s.world)
	if p.InService != 3 || p.Nodes[1].State != plan.Unreachable || strings.Contains(holds(p), "web-2 is out") {
		t.Errorf("%d in service, web-2 is %s, %s", p.InService, p.Nodes[1].State, holds(p))
	}
	own(&s.world, 0, actuators.Idle).Claim = nil
	s.world.Nodes[0].Host.Record.Proven = version("v2")
	if p = plan.Next(s.want, s.world); kindsOf(p, "") != "leave web-4" {
		t.Errorf("when nobody is out: %q, %s", kindsOf(p, ""), holds(p))
	}
	for name, change := range map[string]func(*plan.Node){
		"was asked to leave":  func(n *plan.Node) { n.Asked, n.AskedAt = plan.Drain, start.Add(-9*time.Second) },
		"may have been asked": func(n *plan.Node) { n.Inherited, n.Asked = true, "" },
		"is being asked":      func(n *plan.Node) { n.Busy, n.Since = plan.Drain, start },
		"is another agent's": func(n *plan.Node) {
			n.Host.Record.Claim = &actuators.Claim{Holder: "agent-b", Epoch: 1, Nonce: "b", Expires: start.Add(-time.Hour)}
		},
		"failed": func(n *plan.Node) { n.Host.Record.Spoiled = true },
	} {
		s := unread(change)
		own(&s.world, 0, actuators.Idle).Claim = nil
		s.world.Nodes[0].Host.Record.Proven = version("v2")
		if p := plan.Next(s.want, s.world); strings.Contains(kindsOf(p, ""), "web-4") {
			t.Errorf("one that %s: %q", name, kindsOf(p, ""))
		}
	}
}

// Law 7: a node that was registered again with what is not proven on it, and that its balancers do not call healthy by no fault of its own, is out
// by windlass's hand as before when it is claimed for another version.
func TestLaw7ClaimedNodeThatNeverCameBackIsAway(t *testing.T) {
	s := quiet("v3", under(0, actuators.Leaving), place(0, "", actuators.TargetUnhealthy, false), on(0, "", func(n *plan.Node, r *actuators.NodeRecord) {
		r.On, r.Try = version("v2"), actuators.Try{Version: version("v2"), ID: "x"}
		n.Asked, n.AskedAt = plan.Add, start.Add(-10*time.Minute)
	}), under(1, actuators.Leaving), place(1, "", actuators.TargetUnhealthy, true), on(3, "", func(_ *plan.Node, r *actuators.NodeRecord) {
		r.On, r.Proven = version("v3"), version("v3")
	}))
	if p := plan.Next(s.want, s.world); strings.Contains(kindsOf(p, ""), "drain") {
		t.Errorf("web-1 is out, and %q; %s", kindsOf(p, ""), holds(p))
	}
}

// A node that nobody wrote down and that serves something else is not asked whether it has what is wanted whenever it was checked for another's
// sake: it would count as out meanwhile, and the other be claimed and let go without end.
func TestRecheckIsNoReasonToAskForAdoptionAgain(t *testing.T) {
	w := unbalanced(3, "v1")
	w.Nodes[0].Host.Record = actuators.NodeRecord{}
	for i, v := range []string{"v2", "v1", "v1"} {
		w.Nodes[i].Health = checks(plan.WatchAgain, v, health.Passing)
	}
	w.Nodes[0].Health.Verdict.Status = health.Contradicted
	r := own(&w, 1, actuators.Leaving)
	r.StageAt = start.Add(-time.Minute)
	w.Nodes[1].Staged = r.StageAt
	for _, x := range plan.Next(wants("v2", noBalancers), w).Watch {
		if x.Node == "web-1" && x.Phase == plan.WatchFirst {
			t.Errorf("asked again: %+v", x)
		}
	}
}

// Law 1: an agent that takes over lets nobody leave who was claimed ahead before it has read every node: one that it has not may be the one that is
// to prove itself first.
func TestLaw1ClaimedNodeWaitsUntilAllWereRead(t *testing.T) {
	s := claimedAhead(on(1, "", func(n *plan.Node, _ *actuators.NodeRecord) { n.Inherited, n.Asked = true, "" }))
	n := &s.world.Nodes[0]
	n.Host, n.Read, n.Health = nil, plan.Source{}, plan.Health{}
	if p := plan.Next(s.want, s.world); kindsOf(p, "") != "" || !strings.Contains(p.Nodes[1].Reason, "web-1 was not read yet") {
		t.Errorf("%q, %s", kindsOf(p, ""), p.Nodes[1].Reason)
	}
}
