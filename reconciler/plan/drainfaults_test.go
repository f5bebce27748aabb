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

var nlb = actuators.Rules{Protocol: "TCP", Network: true, Delay: 5 * time.Minute}

// one kept-alive peer (or a lying sensor, or one that breaks off each time) behind an NLB at its defaults halts a good release.
func TestNLBBusyForEverHalts(t *testing.T) {
	for name, traffic := range map[string]twist{
		"a peer that keeps its connection": sees("", 0, func(t *plan.Traffic) { t.Quiet, t.Busy, t.Peer = time.Time{}, 1, "10.0.9.1" }),
		"a sensor that always breaks off": sees("", 0, func(t *plan.Traffic) {
			*t = plan.Traffic{Trouble: "it sent no sample in time; look at its load"}
		}),
	} {
		s := quiet("v2", behind("", nlb), drained("", 40*time.Minute, ""), traffic)
		r := &s.world.Nodes[0].Host.Record
		r.StageAt = start.Add(-40 * time.Minute)
		s.world.Nodes[0].Staged = r.StageAt
		s.world.Progress = start.Add(-16 * time.Minute)
		p := plan.Next(s.want, s.world)
		if p.Phase == plan.PhaseHalted {
			t.Errorf("%s: %s: %s", name, p.Phase, p.Halt.Reason)
		}
	}
}

// the only stranger in an NLB group is never pruned: its zone is not known.
func TestStrangerOfUnknownZoneIsPruned(t *testing.T) {
	w := fleetOf(4, "v1")
	w.Groups[0].Rules = nlb
	w.Groups[0].Zonal, w.Groups[0].InDNS = true, actuators.Threshold{Count: 1}
	w.Groups[0].Members = append(w.Groups[0].Members, memberOf("zz-old", actuators.TargetHealthy))
	want := wants("v1", func(f *desired.Fleet) { f.LoadBalancers[0].Prune, f.Nodes.Expect = true, 4 })
	p := plan.Next(want, w)
	if !strings.Contains(kindsOf(p, ""), "prune") {
		t.Errorf("%q, %s", kindsOf(p, ""), holds(p))
	}
}

// a Classic ELB without cross-zone balancing has no thresholds: its zone is emptied.
func TestClassicZone(t *testing.T) {
	w := fleetOf(4, "v1") // web-2 is alone in b, web-3 in c
	w.Groups[0].Rules = actuators.Rules{Delay: time.Minute, IdleAfter: time.Minute, Ports: []int{80}, Zonal: true}
	w.Nodes[0].Host.Record.On, w.Nodes[0].Host.Record.Proven = version("v2"), version("v2")
	w.Nodes[3].Host.Record.On, w.Nodes[3].Host.Record.Proven = version("v2"), version("v2")
	if p := plan.Next(wants("v2"), w); kindsOf(p, "") != "" {
		t.Errorf("the last of zone b or c leaves: %q", kindsOf(p, ""))
	}
}

// percentage counts joining ones as not registered: AWS counts them.
func TestPercentCountsThoseThatJoin(t *testing.T) {
	w := fleetOf(5, "v1")
	w.Groups[0].Rules = actuators.Rules{Protocol: "HTTP", FailsOpen: actuators.Threshold{Percent: 80}}
	r := own(&w, 0, actuators.Verified)
	r.On, r.Try = version("v2"), actuators.Try{Version: version("v2"), ID: "x"}
	r.Taken = []actuators.Membership{memberIn(&w, 0).Membership}
	memberIn(&w, 0).Status = actuators.TargetInitial
	w.Nodes[1].Host.Record.On, w.Nodes[1].Host.Record.Proven = version("v2"), version("v2")
	p := plan.Next(wants("v2", func(f *desired.Fleet) { f.Rollout.MaxUnavailable.Count = 2 }), w)
	// 4 registered would stay, 3 of them healthy: 75 % < 80 %.
	if strings.Contains(kindsOf(p, ""), "leave") {
		t.Errorf("%q", kindsOf(p, ""))
	}
}

// bakingWith is web-1 baking v2 (proven on web-4) with 5 s left, and web-2 claimed ahead.
func bakingWith(n int, claimed bool) (plan.Want, plan.World) {
	s := quiet("v2")
	s.world = fleetOf(n, "v1")
	s.want = wants("v2")
	under(0, actuators.Verified).do(&s.world, s.want.Fleet)
	s.world.Nodes[0].Health = checks(plan.WatchBake, "v2", health.Pending)
	s.world.Nodes[0].Health.Since = start.Add(-5 * time.Second)
	r := &s.world.Nodes[n-1].Host.Record
	r.On, r.Proven = version("v2"), version("v2")
	if claimed {
		under(1, actuators.Leaving).do(&s.world, s.want.Fleet)
	}
	s.world.Took = plan.Took{plan.Draining: time.Minute, plan.Configuring: time.Minute, plan.Verifying: 10 * time.Second, plan.Joining: 20 * time.Second}
	return s.want, s.world
}

// a node that is claimed ahead, or leaves while a proof is written, makes the plan expect two at a time where one goes.
func TestExpectationWithNodeClaimedAhead(t *testing.T) {
	for _, proves := range []bool{false, true} {
		want, w := bakingWith(9, true)
		if proves {
			w.Nodes[0].Busy = plan.Prove
			memberIn(&w, 1).Status = actuators.TargetDraining
			w.Nodes[1].Asked, w.Nodes[1].AskedAt, w.Nodes[1].Left = plan.Drain, start.Add(-time.Second), start.Add(-time.Second)
		}
		e := plan.Next(want, w).Expected
		if e.Left < 7*e.Each*9/10 { // seven of them, one after the other
			t.Errorf("proof being written %t: %s", proves, e)
		}
	}
}

// a node that is claimed ahead hides why nothing goes on.
func TestPhaseSaysWhatIsWaitedFor(t *testing.T) {
	for _, claimed := range []bool{false, true} {
		want, w := bakingWith(6, claimed)
		memberIn(&w, 0).Mitigated = true
		w.Nodes[0].Health.Since = start.Add(-time.Hour)
		p := plan.Next(want, w)
		if kindsOf(p, "") == "" && !strings.Contains(p.Reason, "mitigates") {
			t.Errorf("claimed ahead %t: %s: %s", claimed, p.Phase, p.Reason)
		}
		if strings.Contains(kindsOf(p, ""), "leave web-2") {
			t.Errorf("web-2 is claimed although web-1's bake has not begun: %s", p.Nodes[0].Reason)
		}
	}
}

// how long it drains is counted from its claim.
func TestDrainIsNotOverdueForItsClaim(t *testing.T) {
	s := quiet("v2", behind("", web), drained("", 30*time.Second, actuators.TargetDraining), sees("", 0, func(t *plan.Traffic) { t.Quiet, t.Busy, t.Peer = time.Time{}, 3, "10.0.9.1" }))
	s.world.Nodes[0].Host.Record.StageAt = start.Add(-15 * time.Minute) // claimed ahead, while another was in slow start
	p := plan.Next(s.want, s.world)
	if strings.Contains(p.Nodes[0].Reason, "still draining") || p.Stalled {
		t.Errorf("it leaves since 30 s: %s; stalled %t", p.Nodes[0].Reason, p.Stalled)
	}
}

// Somebody who serves what was never proven on it is not claimed ahead: it would not be counted any more, and might hold up the fleet for ever.
func TestUnprovenNodeIsNotClaimedAhead(t *testing.T) {
	want, w := bakingWith(5, false)
	want.Version = version("v3")
	want.Fleet.Release = "v3"
	r := &w.Nodes[0].Host.Record
	r.On, r.Try.Version = version("v3"), version("v3")
	w.Nodes[0].Health.Release = "v3"
	r = &w.Nodes[4].Host.Record
	r.On, r.Proven = version("v3"), version("v3")
	w.Nodes[1].Host.Record.On = version("v2") // let go before it had baked; it serves
	if p := plan.Next(want, w); strings.Contains(kindsOf(p, ""), "leave web-2") {
		t.Errorf("%q, %s", kindsOf(p, ""), holds(p))
	}
}

// what nobody wrote down is not settled.
func TestUnrecordedNodeSettles(t *testing.T) {
	brief := web
	brief.Delay = 0
	s := quiet("v2", behind("", brief), gone(0, "", 6*time.Second))
	n := &s.world.Nodes[0]
	n.Host.Record = actuators.NodeRecord{}
	n.Left, n.Served, n.OutSince = start.Add(-6*time.Second), start.Add(-8*time.Second), start.Add(-6*time.Second)
	p := plan.Next(s.want, s.world)
	if kindsOf(p, "web-1") != "" {
		t.Errorf("it served 8 s ago, and left 6 s ago: %q, %s", kindsOf(p, "web-1"), p.Nodes[0].Reason)
	}
	n.Served = time.Time{}
	if p := plan.Next(s.want, s.world); kindsOf(p, "web-1") != "configure web-1" {
		t.Errorf("it never served: %q, %s", kindsOf(p, "web-1"), p.Nodes[0].Reason)
	}
}

// a node of an unknown release that was drained and is to go straight back is held for ever.
func TestUnknownReleaseGoesStraightBack(t *testing.T) {
	s := quiet("v2", drained("", time.Minute, ""))
	s.want.Fleet.Paused = &desired.Pause{Reason: "freeze"}
	for _, i := range []int{0, 1} {
		r := &s.world.Nodes[i].Host.Record
		r.On, r.Proven, r.Places = actuators.Version{}, actuators.Version{}, nil
	}
	s.world.Nodes[0].Health = checks(plan.WatchVerify, "", health.Passing)
	p := plan.Next(s.want, s.world)
	if kindsOf(p, "web-1") != "add web-1" {
		t.Errorf("%q: %s", kindsOf(p, "web-1"), p.Nodes[0].Reason)
	}
}

// attributes that cannot be read make an NLB's flows unseen, though its ports are known.
func TestUnreadAttributesOfNLB(t *testing.T) {
	unread := nlb
	unread.Unread = "cannot read the cross-zone setting: AccessDenied"
	s := quiet("v2", behind("", unread), drained("", 6*time.Minute, ""), sees("", 0, func(t *plan.Traffic) { t.Quiet, t.Busy, t.Peer = time.Time{}, 3, "10.0.9.1" }))
	p := plan.Next(s.want, s.world)
	if kindsOf(p, "web-1") != "" {
		t.Errorf("3 flows are cut: %q; notes %q", kindsOf(p, "web-1"), p.Notes)
	}
}

// one sick node that stays out keeps every other zone from rolling, for ever and without saying what to do.
func TestSickNodeAndOneZoneAtATime(t *testing.T) {
	s := quiet("v2", under(0, actuators.Failed), gone(0, "", time.Hour))
	s.want.Fleet.Rollout.MaxUnavailable.Count, s.want.Fleet.Rollout.Zones = 2, desired.OneZoneAtOnce
	s.world.Nodes[0].Host.Record.Try.Failures, s.world.Nodes[0].Host.Record.Try.Earlier = 2, "d1-v0" // sick: it halts nobody
	r := &s.world.Nodes[3].Host.Record
	r.On, r.Proven = version("v2"), version("v2")
	p := plan.Next(s.want, s.world)
	if !strings.Contains(kindsOf(p, ""), "leave") && !strings.Contains(holds(p), "mend or replace") {
		t.Errorf("%s: %s", p.Phase, holds(p))
	}
}

// TCP flows of a TCP_UDP group outlive its drain as those of a TCP group do, and are cut.
func TestFlowsOfTCPUDP(t *testing.T) {
	both := nlb
	both.Protocol = "TCP_UDP"
	s := quiet("v2", behind("", both), drained("", 6*time.Minute, ""), sees("", 0, func(t *plan.Traffic) { t.Quiet, t.Busy, t.Peer = time.Time{}, 3, "10.0.9.1" }))
	if p := plan.Next(s.want, s.world); kindsOf(p, "web-1") != "" {
		t.Errorf("3 flows are cut: %q", kindsOf(p, "web-1"))
	}
}

// at an NLB the drain is awaited whatever the sensor saw before; to look at it for 35 s before it leaves is for nothing.
func TestNLBIsNotCalibrated(t *testing.T) {
	s := quiet("v2", behind("", nlb), drained("", 0, actuators.TargetHealthy), sees("", time.Minute, func(t *plan.Traffic) { t.Others = nil }))
	if p := plan.Next(s.want, s.world); kindsOf(p, "web-1") != "drain web-1" {
		t.Errorf("%q: %s", kindsOf(p, "web-1"), p.Nodes[0].Reason)
	}
}

// the note of an NLB whose cross-zone setting cannot be read says what is not so.
func TestNoteOfUnreadNLB(t *testing.T) {
	unread := nlb
	unread.Unread = "cannot read the cross-zone setting of load balancer x: AccessDenied"
	p := plan.Next(quiet("v1", behind("", unread)).want, quiet("v1", behind("", unread)).world)
	for _, n := range p.Notes {
		if strings.Contains(n, "waits out its deregistration delay") {
			t.Errorf("every NLB does; what is lost is the floor of its zones: %q", n)
		}
	}
}

// Members outside the node set stand for a zone, and for a group, as far as they are known to be there and to be healthy.
func TestStrangersInZones(t *testing.T) {
	one, all := actuators.Threshold{Count: 1}, actuators.Threshold{Percent: 80}
	zonal, shared := actuators.Rules{Zonal: true, InDNS: one}, actuators.Rules{Protocol: "HTTP", FailsOpen: all}
	stranger := func(zone string, status actuators.TargetStatus) twist {
		return twist{"", func(w *plan.World, f *desired.Fleet) {
			m := memberOf("zz", status)
			m.Zone, f.LoadBalancers[0].Prune, f.Nodes.Expect = zone, false, 4
			w.Groups[0].Members = append(w.Groups[0].Members, m)
		}}
	}
	prunes := twist{"", func(_ *plan.World, f *desired.Fleet) { f.LoadBalancers[0].Prune = true }}
	rules := func(r actuators.Rules) twist {
		return twist{"", func(w *plan.World, f *desired.Fleet) { w.Groups[0].Rules, f.Rollout.MaxUnavailable.Count = r, 2 }}
	}
	next := on(0, "", func(_ *plan.Node, r *actuators.NodeRecord) { r.On, r.Proven = version("v2"), version("v2") })
	after := func(have ...int) twist { // web-2 is alone in b
		return twist{"", func(w *plan.World, f *desired.Fleet) {
			for _, i := range have {
				w.Nodes[i].Host.Record.On, w.Nodes[i].Host.Record.Proven = version("v2"), version("v2")
			}
		}}
	}
	nowhere := on(1, "", func(n *plan.Node, _ *actuators.NodeRecord) { n.Zone = "" })
	sick := place(1, "", actuators.TargetUnhealthy, true)
	for name, c := range map[string]struct {
		release string
		twists  []twist
		want    string
	}{
		"one that is healthy stays in its zone":      {"v2", []twist{rules(zonal), stranger("b", actuators.TargetHealthy), after(0, 2, 3)}, "leave web-2"},
		"one that is sick is no help there":          {"v2", []twist{rules(zonal), stranger("b", actuators.TargetUnhealthy), after(0, 2, 3)}, ""},
		"nor one that registers":                     {"v2", []twist{rules(zonal), stranger("b", actuators.TargetInitial), after(0, 2, 3)}, ""},
		"nor one of no known zone":                   {"v2", []twist{rules(zonal), stranger("", actuators.TargetHealthy), after(0, 2, 3), nowhere}, ""},
		"a sick one counts among those registered":   {"v2", []twist{rules(shared), stranger("", actuators.TargetUnhealthy), next}, ""},
		"a sick one leaves as it is":                 {"v1", []twist{rules(zonal), stranger("b", actuators.TargetUnhealthy), sick, prunes}, "prune "},
		"a healthy one is the last of its zone":      {"v1", []twist{rules(zonal), stranger("d", actuators.TargetHealthy), prunes}, ""},
		"is, and outages are allowed":                {"v1", []twist{rules(zonal), stranger("d", actuators.TargetHealthy), prunes, {"", func(_ *plan.World, f *desired.Fleet) { f.Rollout.AllowOutage = true }}}, "prune "},
		"may be in a zone that is too low":           {"v1", []twist{rules(zonal), stranger("", actuators.TargetHealthy), sick, prunes}, ""},
		"keeps a group above its number":             {"v1", []twist{rules(actuators.Rules{FailsOpen: actuators.Threshold{Count: 5}}), stranger("", actuators.TargetHealthy), prunes}, ""},
		"keeps no group above it that has enough":    {"v1", []twist{rules(actuators.Rules{FailsOpen: actuators.Threshold{Count: 4}}), stranger("", actuators.TargetHealthy), prunes}, "prune "},
		"makes a part of those registered no larger": {"v1", []twist{rules(shared), stranger("", actuators.TargetHealthy), prunes}, "prune "},
	} {
		s := quiet(c.release, c.twists...)
		if p := plan.Next(s.want, s.world); kindsOf(p, "") != c.want {
			t.Errorf("%s: %q, want %q; %s", name, kindsOf(p, ""), c.want, holds(p))
		}
	}
}

// Nodes with something unproven that are to leave stand for each other where they serve: in their zone, and where zones share their targets in
// all of them. They make none of the registered more.
func TestUnprovenNodesStandForEachOther(t *testing.T) {
	for name, c := range map[string]struct {
		rules actuators.Rules
		want  string
	}{
		"in their zone":         {actuators.Rules{Zonal: true, InDNS: actuators.Threshold{Count: 1}}, "drain web-1"}, // web-4 stays, and web-2 is alone in b
		"in all zones":          {actuators.Rules{InDNS: actuators.Threshold{Count: 3}}, "drain web-1"},
		"all that are left":     {actuators.Rules{FailsOpen: actuators.Threshold{Percent: 100}}, "drain web-1, drain web-2"}, // as many as may
		"where four are needed": {actuators.Rules{InDNS: actuators.Threshold{Count: 4}}, ""},
	} {
		s := quiet("v2", under(0, actuators.Leaving), under(1, actuators.Leaving), under(3, actuators.Leaving))
		s.want.Fleet.Rollout.MaxUnavailable.Count = 2
		for i := range s.world.Nodes {
			s.world.Nodes[i].Host.Record.On = version("v0")
		}
		r := &s.world.Nodes[2].Host.Record
		r.On, r.Proven, s.world.Groups[0].Rules = version("v2"), version("v2"), c.rules
		if p := plan.Next(s.want, s.world); kindsOf(p, "") != c.want {
			t.Errorf("%s: %q, want %q; %s", name, kindsOf(p, ""), c.want, holds(p))
		}
	}
}
