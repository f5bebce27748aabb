package plan_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/reconciler/plan"
)

// leavesEarly is the drain of a fleet file that says nothing of it.
var leavesEarly = desired.Drain{
	Policy: desired.DrainUntilIdle, Settle: 20 * time.Second, NetworkSettle: 2 * time.Minute, IdleFor: 5 * time.Second, Timeout: 10 * time.Minute,
}

// web is an ALB's target group at its defaults.
var web = actuators.Rules{
	Protocol: "HTTP", Delay: 5 * time.Minute, IdleAfter: time.Minute, InDNS: actuators.Threshold{Count: 1}, FailsOpen: actuators.Threshold{Count: 1},
}

// behind puts a fleet that leaves early behind a group with such rules, of instances.
func behind(name string, rules actuators.Rules) twist {
	return twist{name, func(w *plan.World, f *desired.Fleet) {
		f.Rollout.Drain = leavesEarly
		w.Groups[0].Rules, w.Groups[0].TargetType = rules, "instance"
		for i := range w.Nodes {
			w.Nodes[i].Targets = actuators.Targets{Instance: w.Nodes[i].Name, IP: fmt.Sprintf("10.0.0.%d", i+1)}
		}
	}}
}

// drained is web-1, which this agent has taken out of its first group some time ago, so that it is seen to drain, or to be out.
func drained(name string, ago time.Duration, status actuators.TargetStatus) twist {
	return twist{name, func(w *plan.World, f *desired.Fleet) {
		under(0, actuators.Leaving).do(w, f)
		n := &w.Nodes[0]
		n.Staged = start.Add(-10 * time.Second)
		if status == "" {
			gone(0, "", 0).do(w, f)
			n.Out, n.OutSince = start.Add(-time.Second), time.Time{}
		} else {
			memberIn(w, 0).Status, memberIn(w, 0).Reason = status, string(status)
		}
		if status != actuators.TargetHealthy {
			n.Asked, n.AskedAt, n.Left = plan.Drain, start.Add(-ago-time.Second), start.Add(-ago)
		}
	}}
}

// sees is what the sensor of web-1 shows: as one that works and was empty for so long, and then as changed.
func sees(name string, empty time.Duration, change func(*plan.Traffic)) twist {
	return twist{name, func(w *plan.World, f *desired.Fleet) {
		service := actuators.Service{Address: netip.MustParseAddr("10.0.0.1"), Ports: []int{8080}, Silent: 65 * time.Second}
		switch {
		case w.Groups[0].Network:
			service.Silent = 0
		case f.Rollout.Drain.LongestRequest > 0:
			service.Silent = f.Rollout.Drain.LongestRequest
		}
		t := &w.Nodes[0].Traffic
		*t = plan.Traffic{Service: service, Sees: true, Others: []int{8080}, Quiet: start.Add(-empty), At: start.Add(-500 * time.Millisecond)}
		if change != nil {
			change(t)
		}
	}}
}

// drains are ways to leave, by what the group is, what it says, and what the node's sensor shows.
func drains() []situation {
	tcp := actuators.Rules{Protocol: "TCP", Network: true, Delay: 5 * time.Minute}
	terminates, udp, brief, unread := tcp, tcp, web, web
	terminates.Terminates, udp.Protocol, brief.Delay = true, "UDP", 0
	unread.IdleAfter, unread.Unread = 0, "cannot read the attributes of its load balancer: AccessDenied; allow elasticloadbalancing:DescribeLoadBalancerAttributes"
	addresses := behind("addresses", web)
	ofAddresses := twist{"a group of addresses", func(w *plan.World, f *desired.Fleet) {
		addresses.do(w, f)
		w.Groups[0].TargetType = "ip"
		for i, n := range w.Nodes {
			for at := range w.Groups[0].Members {
				if m := &w.Groups[0].Members[at]; m.ID == n.Name {
					m.ID = n.Targets.IP
				}
			}
			for _, places := range [][]actuators.Membership{n.Host.Record.Places, n.Host.Record.Taken} {
				for at := range places {
					places[at].ID = w.Nodes[i].Targets.IP
				}
			}
		}
	}}
	byDelay := twist{"policy delay", func(w *plan.World, f *desired.Fleet) {
		behind("", web).do(w, f)
		f.Rollout.Drain.Policy = desired.DrainForDelay
	}}
	promised := twist{"longest request 20 s", func(w *plan.World, f *desired.Fleet) {
		behind("", web).do(w, f)
		f.Rollout.Drain.LongestRequest = 20 * time.Second
	}}
	loopback := twist{"on loopback", func(w *plan.World, f *desired.Fleet) {
		behind("", web).do(w, f)
		w.Nodes[0].Targets.IP = "127.42.1.1"
	}}
	unnamed := twist{"without an address of its own", func(w *plan.World, f *desired.Fleet) {
		behind("", web).do(w, f)
		w.Nodes[0].Targets.IP = "web-1.example.net"
	}}
	groups := []twist{
		behind("an ALB", web), behind("an ALB, no delay", brief), promised, ofAddresses, behind("an NLB", tcp), behind("an NLB that ends its flows", terminates),
		behind("UDP", udp), behind("attributes unread", unread), byDelay, loopback, unnamed,
	}
	states := []twist{
		drained("to leave", 0, actuators.TargetHealthy), {"to leave for 40 s", func(w *plan.World, f *desired.Fleet) {
			drained("", 0, actuators.TargetHealthy).do(w, f)
			w.Nodes[0].Staged = start.Add(-40 * time.Second)
		}},
		drained("draining for 10 s", 10*time.Second, actuators.TargetDraining), drained("draining for 30 s", 30*time.Second, actuators.TargetDraining),
		drained("draining for 20 min", 20*time.Minute, actuators.TargetDraining),
		drained("out for 10 s", 10*time.Second, ""), drained("out for 130 s", 130*time.Second, ""),
	}
	shown := []twist{
		{"nothing sensed", nil}, sees("idle for 6 s", 6*time.Second, nil), sees("idle for 3 s", 3*time.Second, nil),
		sees("3 connections", 0, func(t *plan.Traffic) { t.Quiet, t.Busy, t.Peer = time.Time{}, 3, "10.0.9.1" }),
		sees("no sample for 3 s", time.Minute, func(t *plan.Traffic) { t.At, t.Trouble = start.Add(-3*time.Second), "no answer in time" }),
		sees("its own connection not seen", time.Minute, func(t *plan.Traffic) { t.Sees = false }),
		sees("nobody else seen", time.Minute, func(t *plan.Traffic) { t.Others = nil }),
		sees("blind", time.Minute, func(t *plan.Traffic) { t.Sees, t.Others, t.Blind = false, nil, "nothing lists our own connection" }),
		sees("another service seen", time.Minute, func(t *plan.Traffic) { t.Service.Ports = []int{9090} }),
		{"seen by an agent before", func(w *plan.World, f *desired.Fleet) {
			sees("", time.Minute, nil).do(w, f)
			w.Nodes[0].Asked, w.Nodes[0].Inherited, w.Nodes[0].Staged = "", true, start.Add(-time.Minute)
		}},
	}
	var all []situation
	for _, s := range crossed([]string{"v2"}, states, groups, shown) {
		s.name = strings.TrimPrefix(s.name, "v2 wanted, ")
		all = append(all, s)
	}
	return all
}

// drainTold is what matters of a drain: what web-1 is at, what is done on it, and what is asked for.
func drainTold(s situation) string {
	p := plan.Next(s.want, s.world)
	n := p.Nodes[0]
	out := fmt.Sprintf("    %s, until %s: %s", n.State, moment(n.Deadline), n.Reason)
	if kinds := kindsOf(p, "web-1"); kinds != "" {
		out += "; does " + kinds
	}
	out += words([]bool{p.Reread, p.Stalled}, "; read balancers again", "; stalled")
	if !p.WakeAt.IsZero() {
		out += "; wake " + moment(p.WakeAt)
	}
	for _, x := range p.Sense {
		out += fmt.Sprintf("; sense %s %s %v silent %s", x.Node, x.Service.Address, x.Service.Ports, x.Service.Silent)
	}
	for _, note := range p.Notes {
		out += "\n    note: " + note
	}
	return out + "\n"
}

// G1: a drain is left early only by a sensor that was seen to work while the node served.
func TestG1DrainIsLeftEarlyOnlyWhenProvenIdle(t *testing.T) {
	for _, s := range drains() {
		p := plan.Next(s.want, s.world)
		begins := strings.Contains(kindsOf(p, "web-1"), "configure")
		early := strings.Contains(s.name, "draining")
		may := strings.HasSuffix(s.name, "idle for 6 s") && (strings.Contains(s.name, "30 s,") || strings.Contains(s.name, "20 min,")) &&
			(strings.Contains(s.name, "an ALB") || strings.Contains(s.name, "a group of addresses") || strings.Contains(s.name, "longest request"))
		if begins && early && !may {
			t.Errorf("%s: begins, %s", s.name, p.Nodes[0].Reason)
		}
		if may && early && !begins {
			t.Errorf("%s: does not begin, %s", s.name, p.Nodes[0].Reason)
		}
	}
}

// G45: nothing is changed on a node before its balancers have surely spread that it left, whatever they say.
func TestG45NothingIsChangedBeforeItSettled(t *testing.T) {
	for _, s := range drains() {
		unsettled := strings.Contains(s.name, "for 10 s")
		unsettled = unsettled || strings.Contains(s.name, "for 30 s,") && (strings.Contains(s.name, "NLB") || strings.Contains(s.name, "UDP"))
		if p := plan.Next(s.want, s.world); unsettled && kindsOf(p, "web-1") != "" {
			t.Errorf("%s: %s, %s", s.name, kindsOf(p, "web-1"), p.Nodes[0].Reason)
		}
	}
}

// G45: flows of a network load balancer outlive its drain: a node that is out is left alone as long as anybody is connected to it.
func TestG45FlowsThatOutliveTheDrainAreNotCut(t *testing.T) {
	for _, s := range drains() {
		p := plan.Next(s.want, s.world)
		begins := kindsOf(p, "web-1") == "configure web-1"
		out := strings.Contains(s.name, "out for 130 s")
		switch waits := strings.HasSuffix(s.name, "3 connections") || strings.HasSuffix(s.name, "no sample for 3 s"); {
		case out && strings.Contains(s.name, "an NLB, ") && waits && begins:
			t.Errorf("%s: begins", s.name)
		case out && strings.Contains(s.name, "an NLB that ends its flows") && waits && !begins:
			t.Errorf("%s: does not begin: %s", s.name, p.Nodes[0].Reason)
		}
	}
}

// A node that was left early and verified waits for its address, without a call and without an attempt, and joins when the delay is over.
func TestAddressIsRegisteredWhenItsDelayIsOver(t *testing.T) {
	at := func(ago time.Duration, also ...func(*plan.World)) plan.Plan {
		w := fleetOf(4, "v1")
		want := wants("v2", func(f *desired.Fleet) { f.Rollout.Drain = leavesEarly })
		w.Groups[0].Rules = web
		drained("", ago, actuators.TargetDraining).do(&w, want.Fleet)
		r := own(&w, 0, actuators.Configuring)
		r.On, r.Try = version("v2"), actuators.Try{Version: version("v2"), ID: "x"}
		w.Nodes[0].Host.Job = ended("d1-v2-x-0-activate", 0)
		w.Nodes[0].Health = checks(plan.WatchVerify, "v2", health.Passing)
		w.Groups[0].At = start.Add(-90 * time.Second)
		for _, change := range also {
			change(&w)
		}
		return plan.Next(want, w)
	}
	early := at(time.Minute)
	if kindsOf(early, "") != "" || !strings.Contains(early.Nodes[0].Reason, "is over, in about 4m0s") || early.WakeAt.IsZero() || early.Reread {
		t.Errorf("after a minute: %q, %s", kindsOf(early, ""), early.Nodes[0].Reason)
	}
	if due := at(6 * time.Minute); !due.Reread {
		t.Errorf("when the delay is over nobody looks: %s", due.Nodes[0].Reason)
	}
	unseen := at(time.Minute, func(w *plan.World) { w.Nodes[0].Left, w.Nodes[0].AskedAt = time.Time{}, start.Add(-time.Minute) })
	if kindsOf(unseen, "") != "" || !strings.Contains(unseen.Nodes[0].Reason, "is over, in about 4m0s") {
		t.Errorf("not seen to leave, after a minute: %q, %s", kindsOf(unseen, ""), unseen.Nodes[0].Reason)
	}
	for name, change := range map[string]func(*plan.World){
		"of instances": func(w *plan.World) {
			w.Groups[0].TargetType, w.Nodes[0].Targets.Instance = "instance", "web-1"
		},
		"that the file does not name": func(w *plan.World) {
			former := w.Groups[0]
			former.ID, former.Name, former.At = "arn:old", "old", start
			former.Members = []actuators.Target{former.Members[0]}
			former.Members[0].Group = "arn:old"
			w.Former, w.Groups[0].Members = []actuators.GroupState{former}, w.Groups[0].Members[1:]
			w.Nodes[0].Host.Record.Taken = append(w.Nodes[0].Host.Record.Taken, former.Members[0].Membership)
		},
	} {
		if p := at(time.Minute, change); kindsOf(p, "web-1") != "add web-1" {
			t.Errorf("a group %s: %q, %s", name, kindsOf(p, "web-1"), p.Nodes[0].Reason)
		}
	}
}

// A node that fails its checks while its balancers still call it draining is configured again without another wait.
func TestNodeThatLeftEarlyIsTriedAgain(t *testing.T) {
	s := quiet("v2", behind("", web), drained("", time.Minute, actuators.TargetDraining), sees("", time.Minute, nil))
	r := own(&s.world, 0, actuators.Configuring)
	r.On, r.Try, r.Spoiled = version("v2"), actuators.Try{Version: version("v2"), ID: "x", Failures: 1, Error: "no", At: start.Add(-time.Minute)}, true
	if p := plan.Next(s.want, s.world); kindsOf(p, "web-1") != "configure web-1" {
		t.Errorf("%q: %s", kindsOf(p, "web-1"), p.Nodes[0].Reason)
	}
	s.world.Nodes[0].Host.Job = ended("d1-v2-x-1-activate", 0)
	s.world.Nodes[0].Health = checks(plan.WatchVerify, "v2", health.Failing)
	p := plan.Next(s.want, s.world)
	if kindsOf(p, "web-1") != "fail web-1" || p.Steps[0].Record.Stage != actuators.Failed {
		t.Errorf("%q: %+v", kindsOf(p, "web-1"), p.Steps)
	}
}

// The nodes that leave next are looked at while they serve, so that nobody waits for it.
func TestTheNextNodeIsLookedAtWhileItServes(t *testing.T) {
	s := quiet("v2", behind("", web), drained("", time.Second, actuators.TargetDraining))
	own(&s.world, 0, actuators.Leaving).Proven = version("v2") // so that others may follow
	p := plan.Next(s.want, s.world)
	if !slices.ContainsFunc(p.Sense, func(x plan.Sense) bool { return x.Node == "web-2" }) {
		t.Errorf("sensed are %+v, soon %v", p.Sense, p.Soon)
	}
}

// The loopback addresses, containers and missing rights that keep a fleet from leaving early are told before anything leaves.
func TestWhatSlowsDrainsDownIsTold(t *testing.T) {
	unread := web
	unread.Unread = "AccessDenied"
	for _, c := range []struct {
		twist twist
		want  string
	}{
		{behind("", unread), "web waits out its deregistration delay of 5m0s at each drain: AccessDenied"},
		{twist{"", func(w *plan.World, f *desired.Fleet) {
			behind("", web).do(w, f)
			w.Nodes[0].Targets.IP = "127.0.0.1"
		}}, "web-1 waits out its deregistration delay: its balancers reach it by a loopback address"},
		{twist{"", func(w *plan.World, f *desired.Fleet) {
			behind("", web).do(w, f)
			sees("", 0, func(t *plan.Traffic) { t.Blind = "ss lists nothing" }).do(w, f)
		}}, "web-1 waits out its deregistration delay: ss lists nothing"},
		{twist{"", func(w *plan.World, f *desired.Fleet) {
			behind("", unread).do(w, f)
			f.Rollout.Drain.Policy = desired.DrainForDelay
		}}, ""},
		{twist{"", func(w *plan.World, f *desired.Fleet) {
			behind("", unread).do(w, f)
			w.Groups[0].Err = "throttled"
		}}, ""},
		{twist{"", func(w *plan.World, f *desired.Fleet) {
			behind("", web).do(w, f)
			w.Former = []actuators.GroupState{{Group: actuators.Group{ID: "arn:old", Name: "old"}, Rules: unread, At: start}}
			w.Nodes[3].Host.Record.Places = append(w.Nodes[3].Host.Record.Places, actuators.Membership{Group: "arn:old", ID: "web-4"})
		}}, ""},
	} {
		s := quiet("v2", c.twist)
		if p := plan.Next(s.want, s.world); c.want == "" && len(p.Notes) > 0 || c.want != "" && (len(p.Notes) != 1 || !strings.HasPrefix(p.Notes[0], c.want)) {
			t.Errorf("notes %q, want %q", p.Notes, c.want)
		}
	}
}

// Anomaly mitigation: a node that gets less traffic than others proves little, and bakes when that is over.
func TestMitigatedNodeBakesWhenItGetsItsTraffic(t *testing.T) {
	s := quiet("v2", under(0, actuators.Verified))
	s.world.Nodes[0].Health = checks(plan.WatchBake, "v2", health.Passing)
	memberIn(&s.world, 0).Mitigated = true
	p := plan.Next(s.want, s.world)
	if kindsOf(p, "") != "" || len(p.Watch) != 1 || p.Watch[0].Steady < time.Hour || !strings.Contains(p.Nodes[0].Reason, "web mitigates an anomaly") {
		t.Errorf("%q, %+v: %s", kindsOf(p, ""), p.Watch, p.Nodes[0].Reason)
	}
	s.world.Nodes[0].Health = checks(plan.WatchBake, "v2", health.Failing)
	if p := plan.Next(s.want, s.world); kindsOf(p, "") != "fail web-1" {
		t.Errorf("a mitigated node that fails: %q", kindsOf(p, ""))
	}
	memberIn(&s.world, 0).Mitigated = false
	s.world.Nodes[0].Health = checks(plan.WatchBake, "v2", health.Pending)
	if p := plan.Next(s.want, s.world); len(p.Watch) != 1 || p.Watch[0].Steady != 10*time.Second {
		t.Errorf("when that is over: %+v", p.Watch)
	}
}

// zoned are fleets whose groups ask for so many healthy targets, in each zone or in all of them.
func zoned() []situation {
	rules := func(name string, r actuators.Rules) twist {
		return twist{name, func(w *plan.World, f *desired.Fleet) {
			f.Rollout.MaxUnavailable.Count = 2
			w.Groups[0].Rules = r
		}}
	}
	one, two := actuators.Threshold{Count: 1}, actuators.Threshold{Count: 2}
	groups := []twist{
		rules("zones share", actuators.Rules{InDNS: one, FailsOpen: one}), rules("each zone needs one", actuators.Rules{Zonal: true, InDNS: one, FailsOpen: one}),
		rules("each zone needs two", actuators.Rules{Zonal: true, InDNS: two, FailsOpen: one}), rules("each zone needs half", actuators.Rules{Zonal: true, InDNS: actuators.Threshold{Percent: 50}}),
		rules("each zone needs all", actuators.Rules{Zonal: true, FailsOpen: actuators.Threshold{Percent: 100}}), rules("all zones need four", actuators.Rules{InDNS: actuators.Threshold{Count: 4}}),
		rules("all zones need 80 %", actuators.Rules{FailsOpen: actuators.Threshold{Percent: 80}}),
	}
	states := []twist{
		{}, under(1, actuators.Leaving), place(3, "web-4 is unhealthy", actuators.TargetUnhealthy, true),
		on(0, "zones unknown", func(n *plan.Node, _ *actuators.NodeRecord) { n.Zone = "" }),
		{"outages allowed", func(_ *plan.World, f *desired.Fleet) { f.Rollout.AllowOutage = true }},
		{"one zone at a time", func(_ *plan.World, f *desired.Fleet) { f.Rollout.Zones = desired.OneZoneAtOnce }},
		{"v2 is proven", func(w *plan.World, f *desired.Fleet) {
			w.Nodes[2].Host.Record.On, w.Nodes[2].Host.Record.Proven = version("v2"), version("v2")
		}},
		{"v2 is proven, one zone at a time", func(w *plan.World, f *desired.Fleet) {
			w.Nodes[2].Host.Record.On, w.Nodes[2].Host.Record.Proven, f.Rollout.Zones = version("v2"), version("v2"), desired.OneZoneAtOnce
		}},
		{"a stranger in zone b", func(w *plan.World, f *desired.Fleet) {
			stranger := memberOf("zz", actuators.TargetHealthy)
			stranger.Zone, f.LoadBalancers[0].Prune, f.Nodes.Expect = "b", true, 4
			w.Groups[0].Members = append(w.Groups[0].Members, stranger)
		}},
	}
	return crossed([]string{"v2"}, groups, states)
}

// G6, G47: a zone is not emptied where its targets serve it alone, nor left with fewer than keep it in DNS.
func TestG47ZoneIsNotEmptied(t *testing.T) {
	w := fleetOf(4, "v1") // two nodes in zone a, one in b, one in c
	w.Groups[0].Rules = actuators.Rules{Zonal: true, InDNS: actuators.Threshold{Count: 1}}
	left := func(p plan.Plan) string { return kindsOf(p, "") }
	if p := plan.Next(wants("v2"), w); left(p) != "leave web-1" {
		t.Errorf("with one left in its zone: %q, %v", left(p), p.Holds)
	}
	w.Nodes[0].Host.Record.On, w.Nodes[0].Host.Record.Proven = version("v2"), version("v2")
	if p := plan.Next(wants("v2"), w); left(p) != "leave web-4" || len(p.Holds) != 2 {
		t.Errorf("the last of one zone keeps others from leaving theirs: %q, %v", left(p), p.Holds)
	}
	w.Nodes[3].Host.Record.On, w.Nodes[3].Host.Record.Proven = version("v2"), version("v2")
	p := plan.Next(wants("v2"), w)
	if left(p) != "" || len(p.Holds) == 0 || p.Holds[0].String() != "web-2: hold: web needs 1 healthy per zone (dns_failover), 0 would be left in b; rollout.allowOutage lets it leave" {
		t.Errorf("the last of its zone: %q, %v", left(p), p.Holds)
	}
	if p := plan.Next(wants("v2", func(f *desired.Fleet) { f.Rollout.AllowOutage = true }), w); left(p) != "leave web-2" {
		t.Errorf("with outages allowed: %q, %v", left(p), p.Holds)
	}
}
