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
	"windlass/reconciler/plan"
)

// inTwo is a fleet that leaves early, behind two groups of instances; web-1 leaves both, and its record names both.
func inTwo(web, two actuators.Rules, ago time.Duration, status actuators.TargetStatus) twist {
	return twist{"", func(w *plan.World, f *desired.Fleet) {
		twoGroups(w)(f)
		behind("", web).do(w, f)
		w.Groups[1].Rules, w.Groups[1].TargetType = two, "instance"
		drained("", ago, status).do(w, f)
		r := &w.Nodes[0].Host.Record
		r.Taken = []actuators.Membership{{Group: "arn:two", ID: "web-1", Port: 9090}, {Group: "arn:web", ID: "web-1", Port: 8080}}
		if status != "" {
			w.Groups[1].Members[0].Status = status
		}
	}}
}

// changed is a twist of web-1 and its groups that follows others.
func changed(do func(*plan.World, *plan.Node)) twist {
	return twist{"", func(w *plan.World, _ *desired.Fleet) { do(w, &w.Nodes[0]) }}
}

// What is sensed of a node is what all of its groups ask for: each port once, and the longest time that one of them keeps a silent connection.
func TestWhatIsSensedOfANodeInTwoGroups(t *testing.T) {
	tcp, long, keeps, unread, classic := nlb, web, web, web, web
	long.IdleAfter, keeps.IdleAfter = 2*time.Minute, 0
	unread.Unread, classic.Unread = "AccessDenied", "AccessDenied"
	promise := func(d time.Duration) twist {
		return twist{"", func(_ *plan.World, f *desired.Fleet) { f.Rollout.Drain.LongestRequest = d }}
	}
	place := func(port int) twist {
		return changed(func(w *plan.World, n *plan.Node) {
			w.Groups[1].Members[0].Port, n.Host.Record.Taken[0].Port = port, port
		})
	}
	for name, c := range map[string]struct {
		twists []twist
		want   string
	}{
		"two ALBs":                     {[]twist{inTwo(web, web, time.Minute, actuators.TargetDraining)}, "[8080 9090] 1m5s"},
		"at one port":                  {[]twist{inTwo(web, web, time.Minute, actuators.TargetDraining), place(8080)}, "[8080] 1m5s"},
		"one keeps connections longer": {[]twist{inTwo(web, long, time.Minute, actuators.TargetDraining)}, "[8080 9090] 2m5s"},
		"the other does":               {[]twist{inTwo(long, web, time.Minute, actuators.TargetDraining)}, "[8080 9090] 2m5s"},
		"of one nobody knows":          {[]twist{inTwo(web, keeps, time.Minute, actuators.TargetDraining)}, "[8080 9090] 0s"},
		"of the other nobody knows":    {[]twist{inTwo(keeps, web, time.Minute, actuators.TargetDraining)}, "[8080 9090] 0s"},
		"of one nobody knows, 20 s":    {[]twist{inTwo(web, keeps, time.Minute, actuators.TargetDraining), promise(20 * time.Second)}, "[8080 9090] 20s"},
		"20 s":                         {[]twist{inTwo(web, long, time.Minute, actuators.TargetDraining), promise(20 * time.Second)}, "[8080 9090] 20s"},
		"more than they keep them":     {[]twist{inTwo(web, web, time.Minute, actuators.TargetDraining), promise(time.Hour)}, "[8080 9090] 1m5s"},
		"an NLB, whose flows may last": {[]twist{inTwo(web, tcp, 6*time.Minute, "")}, "[8080 9090] 0s"},
		"only the rights are missing":  {[]twist{inTwo(web, unread, time.Minute, actuators.TargetDraining)}, "[8080 9090] 1m5s"},
		"ports that nobody may read":   {[]twist{inTwo(web, classic, time.Minute, actuators.TargetDraining), place(0)}, ""},
		"taken from one, and draining in the other by another hand": {[]twist{inTwo(web, web, time.Minute, actuators.TargetDraining), changed(func(_ *plan.World, n *plan.Node) {
			n.Host.Record.Taken = n.Host.Record.Taken[1:]
		})}, "[8080 9090] 1m5s"},
	} {
		s := quiet("v2", c.twists...)
		s.want.Fleet.Rollout.Drain.IgnorePeers = []netip.Prefix{netip.MustParsePrefix("10.0.8.0/24")}
		got := ""
		for _, x := range plan.Next(s.want, s.world).Sense {
			if x.Node != "web-1" {
				continue
			}
			got += fmt.Sprintf("%v %s", x.Service.Ports, x.Service.Silent)
			if !slices.Equal(x.Service.Ignore, s.want.Fleet.Rollout.Drain.IgnorePeers) {
				t.Errorf("%s: %+v", name, x)
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// The work begins when every group lets it: the slowest of them settles, each port is quiet, and no flow goes on.
func TestADrainIsOverWhenItIsInEachGroup(t *testing.T) {
	terminates, brief, longer := nlb, web, web
	terminates.Terminates, brief.Delay, longer.Delay = true, 22*time.Second, 20*time.Minute
	quietOn := func(silent time.Duration, others ...int) twist {
		return sees("", time.Minute, func(x *plan.Traffic) { x.Service.Ports, x.Service.Silent, x.Others = []int{8080, 9090}, silent, others })
	}
	out := changed(func(w *plan.World, _ *plan.Node) { w.Groups[1].Members = w.Groups[1].Members[1:] })
	for name, c := range map[string]struct {
		twists []twist
		kinds  string
		why    string
	}{
		"an ALB and an NLB, out for 30 s": {[]twist{inTwo(web, terminates, 30*time.Second, "")}, "", "settles for another 1m30s"},
		"an NLB and an ALB, out for 30 s": {[]twist{inTwo(terminates, web, 30*time.Second, "")}, "", "settles for another 1m30s"},
		"an ALB that is slower than the NLB": {[]twist{inTwo(web, terminates, 130*time.Second, ""), {"", func(_ *plan.World, f *desired.Fleet) { f.Rollout.Drain.Settle = 3 * time.Minute }}},
			"", "settles for another 50s"},
		"an NLB that is slower than it": {[]twist{inTwo(terminates, web, 130*time.Second, ""), {"", func(_ *plan.World, f *desired.Fleet) { f.Rollout.Drain.Settle = 3 * time.Minute }}},
			"", "settles for another 50s"},
		"an ALB and an NLB, out for 130 s": {[]twist{inTwo(web, terminates, 130*time.Second, "")}, "configure web-1", ""},
		"out of the NLB, draining in the ALB, and idle": {[]twist{inTwo(web, terminates, 130*time.Second, actuators.TargetDraining), out, quietOn(0, 8080, 9090)},
			"configure web-1", ""},
		"idle":                      {[]twist{inTwo(web, web, time.Minute, actuators.TargetDraining), quietOn(65*time.Second, 8080, 9090)}, "configure web-1", ""},
		"idle, seen at one port":    {[]twist{inTwo(web, web, time.Minute, actuators.TargetDraining), quietOn(65*time.Second, 8080)}, "", "nobody else's connection to port 9090"},
		"the longest delay counts":  {[]twist{inTwo(longer, web, time.Minute, actuators.TargetDraining), quietOn(65 * time.Second)}, "", "waits out the delay of 20m0s"},
		"whichever group has it":    {[]twist{inTwo(web, longer, time.Minute, actuators.TargetDraining), quietOn(65 * time.Second)}, "", "waits out the delay of 20m0s"},
		"but not when it is left":   {[]twist{inTwo(web, longer, time.Minute, actuators.TargetDraining), out, quietOn(65 * time.Second)}, "", "waits out the delay of 5m0s"},
		"idle by another's promise": {[]twist{inTwo(web, web, time.Minute, actuators.TargetDraining), quietOn(20*time.Second, 8080, 9090)}, "", "cannot be seen just now"},
		"idle for nearly long":      {[]twist{behind("", web), drained("", time.Minute, actuators.TargetDraining), sees("", 4900*time.Millisecond, nil)}, "", "idle for 5s, 5s are asked for"},
		"idle for just as long":     {[]twist{behind("", web), drained("", time.Minute, actuators.TargetDraining), sees("", 5*time.Second, nil)}, "configure web-1", ""},
		"not seen to leave":         {[]twist{behind("", web), drained("", time.Hour, ""), changed(func(_ *plan.World, n *plan.Node) { n.Left = time.Time{} })}, "", "are to show that it left"},
		"its places not in the record": {[]twist{behind("", web), drained("", 6*time.Second, ""), changed(func(_ *plan.World, n *plan.Node) { n.Host.Record.Taken = nil })},
			"", "settles for another 14s"},
		"flows that another sensor did not list": {[]twist{behind("", nlb), drained("", 6*time.Minute, ""), sees("", time.Minute, func(x *plan.Traffic) {
			x.Service.Ports, x.Blind = []int{9090}, "nothing lists our own connection"
		})}, "", "its flows outlive its drain"},
		"a delay that is hardly longer is not worth a look": {[]twist{behind("", brief), drained("", 0, actuators.TargetHealthy), sees("", time.Minute, func(x *plan.Traffic) { x.Others = nil })},
			"drain web-1", ""},
		"a group that is no more says nothing": {[]twist{behind("", web), drained("", time.Minute, actuators.TargetDraining), sees("", time.Minute, nil), changed(func(w *plan.World, n *plan.Node) {
			n.Host.Record.Taken = append(n.Host.Record.Taken, actuators.Membership{Group: "arn:zz", ID: "web-1", Port: 9090})
			w.Former = []actuators.GroupState{{Group: actuators.Group{ID: "arn:zz", Name: "zz"}, TargetType: "instance", Err: "no such group", Missing: true, At: start}}
		})}, "configure web-1", ""},
		"one that failed has no flows": {[]twist{behind("", nlb), under(0, actuators.Failed), gone(0, "", time.Hour), sees("", 0, func(x *plan.Traffic) { x.Quiet, x.Busy = time.Time{}, 1 }), changed(func(_ *plan.World, n *plan.Node) {
			n.Left, n.Host.Record.Try.Version = start.Add(-time.Hour), version("v1.5")
			n.Host.Record.On = version("v1.5")
		})}, "configure web-1", ""},
	} {
		s := quiet("v2", c.twists...)
		p := plan.Next(s.want, s.world)
		if kindsOf(p, "web-1") != c.kinds || !strings.Contains(p.Nodes[0].Reason, c.why) {
			t.Errorf("%s: %q, %s", name, kindsOf(p, "web-1"), p.Nodes[0].Reason)
		}
		if strings.Contains(name, "hardly longer") && len(p.Sense) > 0 {
			t.Errorf("%s: %+v", name, p.Sense)
		}
	}
}

// An attribute that somebody changes while a node drains counts at once: what was seen under the old one is proof of nothing.
func TestAttributesChangeWhileANodeDrains(t *testing.T) {
	terminates := nlb
	terminates.Terminates = true
	idle := []twist{behind("", web), drained("", time.Minute, actuators.TargetDraining), sees("", time.Minute, nil)}
	flows := []twist{behind("", terminates), drained("", 130*time.Second, ""), sees("", 0, func(x *plan.Traffic) { x.Quiet, x.Busy = time.Time{}, 3 })}
	now := func(change func(*actuators.Rules)) twist {
		return twist{"", func(w *plan.World, _ *desired.Fleet) { change(&w.Groups[0].Rules) }}
	}
	for name, c := range map[string]struct {
		before []twist
		now    twist
		kinds  string
		why    string
	}{
		"none":                                {idle, now(func(*actuators.Rules) {}), "configure web-1", ""},
		"silent connections are kept longer":  {idle, now(func(r *actuators.Rules) { r.IdleAfter = 5 * time.Minute }), "", "cannot be seen just now"},
		"silent connections are kept less":    {idle, now(func(r *actuators.Rules) { r.IdleAfter = 10 * time.Second }), "", "cannot be seen just now"},
		"it may not be read any more":         {idle, now(func(r *actuators.Rules) { r.IdleAfter, r.Unread = 0, "DescribeLoadBalancerAttributes" }), "", "waits out the delay of 5m0s"},
		"the delay is an hour":                {idle, now(func(r *actuators.Rules) { r.Delay = time.Hour }), "configure web-1", ""},
		"the delay is over by its new length": {idle, now(func(r *actuators.Rules) { r.Delay = 30 * time.Second }), "configure web-1", ""},
		"flows are cut":                       {flows, now(func(*actuators.Rules) {}), "configure web-1", ""},
		"flows are not cut any more":          {flows, now(func(r *actuators.Rules) { r.Terminates = false }), "", "its flows outlive its drain"},
	} {
		s := quiet("v2", append(slices.Clone(c.before), c.now)...)
		p := plan.Next(s.want, s.world)
		if kindsOf(p, "web-1") != c.kinds || !strings.Contains(p.Nodes[0].Reason, c.why) {
			t.Errorf("%s: %q, %s", name, kindsOf(p, "web-1"), p.Nodes[0].Reason)
		}
	}
}
