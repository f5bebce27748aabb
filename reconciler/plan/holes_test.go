package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/reconciler/plan"
)

// What planted bugs went through: each test would have seen one of them.

// Laws 1, 7: a member outside the node set leaves its group only where enough others serve without it, there and in the whole fleet, and
// never beside another that is out.
func TestLaw7StrangerIsPrunedOnlyWhereItIsNotNeeded(t *testing.T) {
	const goes, stays = "prune ", ""
	for name, c := range map[string]struct {
		stranger actuators.TargetStatus
		change   func(*plan.World, *desired.Fleet)
		want     string
		says     string
	}{
		"all others serve":                   {actuators.TargetHealthy, nil, goes, ""},
		"one is sick, the stranger is not":   {actuators.TargetHealthy, sick(1), goes, ""},
		"two are sick, the stranger is not":  {actuators.TargetHealthy, sick(2), stays, "1 would be in service, floor is 2"},
		"two are sick, so is the stranger":   {actuators.TargetUnhealthy, sick(2), stays, "1 would be in service, floor is 2"},
		"one is sick, so is the stranger":    {actuators.TargetUnhealthy, sick(1), goes, ""},
		"it leaves already":                  {actuators.TargetDraining, nil, stays, ""},
		"three are sick, an outage is meant": {actuators.TargetHealthy, all(sick(3), outage), goes, ""},
		"one more is expected":               {actuators.TargetHealthy, func(_ *plan.World, f *desired.Fleet) { f.Nodes.Expect = 4 }, stays, ""},
		"the fleet does not ask for it":      {actuators.TargetHealthy, func(_ *plan.World, f *desired.Fleet) { f.LoadBalancers[0].Prune = false }, stays, ""},
		"another node is out": {actuators.TargetHealthy, func(w *plan.World, f *desired.Fleet) {
			w.Nodes[0].Busy = plan.Leave
		}, stays, "1 out already"},
		"the groups were read too long ago": {actuators.TargetHealthy, func(w *plan.World, f *desired.Fleet) { w.GroupsRead = start.Add(-plan.Fresh - 1) }, stays, "reread"},
		"one was asked to leave just now": {actuators.TargetHealthy, func(w *plan.World, f *desired.Fleet) {
			w.Pruned = plan.Removal{ID: "old-8", At: start.Add(1 - plan.AskAgain)}
		}, stays, "wake"},
		"one was asked to leave in time": {actuators.TargetHealthy, func(w *plan.World, f *desired.Fleet) {
			w.Pruned = plan.Removal{ID: "old-8", At: start.Add(-plan.AskAgain)}
		}, goes, ""},
		"the last call was refused": {actuators.TargetHealthy, func(w *plan.World, f *desired.Fleet) { w.Pruned.NotBefore = start.Add(time.Minute) }, stays, "wake"},
	} {
		w := fleetOf(3, "v1")
		w.Groups[0].Members = append(w.Groups[0].Members, memberOf("old-9", c.stranger))
		w.Groups[0].Members[3].AtFault = c.stranger == actuators.TargetUnhealthy
		want := wants("v1", func(f *desired.Fleet) {
			f.LoadBalancers[0].Prune = true
			if c.change != nil {
				c.change(&w, f)
			}
		})
		p := plan.Next(want, w)
		got := holds(p)
		if p.Reread {
			got += "reread"
		}
		if !p.WakeAt.IsZero() {
			got += "wake"
		}
		if kindsOf(p, "") != c.want || !strings.Contains(got, c.says) {
			t.Errorf("%s: steps %q, want %q; %s, want %q", name, kindsOf(p, ""), c.want, got, c.says)
		}
	}
}

// sick lets the balancer find the first nodes unhealthy.
func sick(n int) func(*plan.World, *desired.Fleet) {
	return func(w *plan.World, _ *desired.Fleet) {
		for i := range n {
			w.Groups[0].Members[i].Status, w.Groups[0].Members[i].AtFault = actuators.TargetUnhealthy, true
		}
	}
}

func outage(_ *plan.World, f *desired.Fleet) {
	f.Rollout.AllowOutage, f.Rollout.MaxUnavailable.Count = true, 3
}

func all(changes ...func(*plan.World, *desired.Fleet)) func(*plan.World, *desired.Fleet) {
	return func(w *plan.World, f *desired.Fleet) {
		for _, c := range changes {
			c(w, f)
		}
	}
}

// Law 7: a node that is asked to leave is no member any more, whatever a reading says that is behind: the other one is the last, and stays,
// sick as it is.
func TestLaw7NodeThatIsAskedToLeaveIsNoMember(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*plan.Node)
		want   string
	}{
		"the call is in flight": {func(n *plan.Node) { n.Busy = plan.Drain }, ""},
		"it was answered":       {func(n *plan.Node) { n.Asked, n.AskedAt = plan.Drain, start.Add(-time.Second) }, ""},
		"nobody was asked":      {func(n *plan.Node) { n.Host.Record = fleetOf(1, "v1").Nodes[0].Host.Record }, "leave web-1"},
	} {
		w := fleetOf(2, "v1")
		sick(2)(&w, nil)
		own(&w, 0, actuators.Leaving).Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
		c.change(&w.Nodes[0])
		p := plan.Next(wants("v2", twoAtOnce), w)
		if kindsOf(p, "") != c.want || !strings.Contains(holds(p), "web-2: hold: it is the last member of web") {
			t.Errorf("%s: steps %q, want %q; holds %s", name, kindsOf(p, ""), c.want, holds(p))
		}
	}
}

// twoAtOnce lets two nodes set out for a version that is not proven.
func twoAtOnce(f *desired.Fleet) {
	f.Rollout.MaxUnavailable, f.Rollout.Canary = desired.Amount{Count: 2}, &desired.Canary{Nodes: 2}
}

// Law 9: nothing is changed on a node on a reading of its balancers that is older than a moment, or than what they were last asked: it may be
// in service again.
func TestLaw9NothingIsConfiguredOnAnOldReading(t *testing.T) {
	interrupted := func(w *plan.World) {
		r := own(w, 0, actuators.Configuring)
		r.On, r.Try = version("v2"), actuators.Try{Version: version("v2"), ID: "x"}
	}
	for name, c := range map[string]struct {
		read, asked time.Duration // ago
		also        func(*plan.World)
		want        string
	}{
		"a moment ago":                     {plan.Fresh, time.Minute, nil, "configure web-1"},
		"longer ago":                       {plan.Fresh + 1, time.Minute, nil, ""},
		"before it was asked to leave":     {time.Second, time.Millisecond, nil, ""},
		"a moment ago, steps interrupted":  {plan.Fresh, time.Minute, interrupted, "configure web-1"},
		"longer ago, steps interrupted":    {plan.Fresh + 1, time.Minute, interrupted, ""},
		"before it was asked, interrupted": {time.Second, time.Millisecond, interrupted, ""},
	} {
		w := fleetOf(3, "v1")
		own(&w, 0, actuators.Leaving).Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
		w.Groups[0].Members = w.Groups[0].Members[1:]
		w.Nodes[0].Asked, w.Nodes[0].AskedAt = plan.Drain, start.Add(-c.asked)
		w.GroupsRead, w.Groups[0].At = start.Add(-c.read), start.Add(-c.read)
		if c.also != nil {
			c.also(&w)
		}
		if p := plan.Next(wants("v2"), w); kindsOf(p, "") != c.want || p.Reread == (c.want != "") {
			t.Errorf("read %s: steps %q, want %q; read again %t; %s", name, kindsOf(p, ""), c.want, p.Reread, p.Nodes[0].Reason)
		}
	}
}

// Laws 14, 18: no journey starts on records that were read too long ago, nor on a node whose record a call may have changed since.
func TestLaw18NoJourneyStartsOnAnOldRecord(t *testing.T) {
	for name, c := range map[string]struct {
		age   time.Duration
		stale bool
		want  string
		asks  bool
	}{
		"young enough":                  {plan.RecordAge, false, "leave web-1", false},
		"too old":                       {plan.RecordAge + 1, false, "", true},
		"a call may have changed web-1": {0, true, "leave web-2", false},
	} {
		w := fleetOf(3, "v1")
		w.RollCall = start.Add(-c.age)
		w.Nodes[0].Stale = c.stale
		if p := plan.Next(wants("v2"), w); kindsOf(p, "") != c.want || p.Refresh != c.asks {
			t.Errorf("%s: steps %q, want %q; records are read again %t, want %t", name, kindsOf(p, ""), c.want, p.Refresh, c.asks)
		}
	}
}

// Laws 7, 14: a claim that broke off may have been written, and the agent may go on with it: the node counts as away, and no other leaves.
func TestLaw14NodeWhoseClaimBrokeOffIsAway(t *testing.T) {
	for name, change := range map[string]func(*plan.Node){
		"in flight": func(n *plan.Node) { n.Busy = plan.Leave },
		"broke off": func(n *plan.Node) { n.Doubt, n.Stale = plan.Leave, true },
	} {
		w := fleetOf(4, "v1")
		change(&w.Nodes[0])
		want := wants("v2", twoAtOnce, func(f *desired.Fleet) { f.Rollout.MaxUnavailable.Count = 1 })
		if p := plan.Next(want, w); len(p.Steps) > 0 || p.InService != 3 || !strings.Contains(holds(p), "1 of 4 out by windlass's hand") {
			t.Errorf("%s: steps %q, %d in service, holds %s", name, kindsOf(p, ""), p.InService, holds(p))
		}
	}
}

// Laws 6, 23: while no balancer was read, a node that is not seen to serve says what is waited for.
func TestLaw23NodeSaysThatItsBalancersWereNotRead(t *testing.T) {
	w := fleetOf(2, "v1")
	w.Groups = nil
	if got := plan.Next(wants("v1"), w).Nodes[0].Reason; got != "the load balancers were not read yet" {
		t.Errorf("web-1 says %q", got)
	}
}

// Law 11: what is proven on no node is never excused by one; elsewhere a node that failed something before is sick, and so is one that fails
// what was proven on itself.
func TestLaw11WhoIsToBlame(t *testing.T) {
	for name, c := range map[string]struct {
		itself, another string // what is proven there: "now" or "before"
		earlier         string
		halts           int
		records         string // as what failed earlier
	}{
		"proven nowhere":                            {"", "", "", 1, ""},
		"nowhere, the node had failed":              {"", "", "d1-v3", 1, "d1-v3"},
		"elsewhere":                                 {"", "now", "", 1, ""},
		"elsewhere, the node had failed":            {"", "now", "d1-v3", 0, "d1-v3"},
		"elsewhere before, the node had failed":     {"", "before", "d1-v3", 0, "d1-v3"},
		"on itself":                                 {"now", "", "", 0, "d1-v4"},
		"on itself before":                          {"before", "", "", 0, "d1-v4"},
		"on itself and elsewhere":                   {"now", "now", "", 0, "d1-v4"},
		"on itself twice over, the node had failed": {"twice", "", "d1-v3", 0, "d1-v3"},
	} {
		w := failedBefore(-1)
		for i, when := range map[int]string{2: c.itself, 0: c.another} {
			r := &w.Nodes[i].Host.Record
			switch when {
			case "now":
				r.Proven = version("v4")
			case "before":
				r.Previous = version("v4")
			case "twice":
				r.Proven, r.Previous = version("v4"), version("v4")
			}
		}
		w.Nodes[2].Host.Record.Try.Earlier = c.earlier
		p := plan.Next(wants("v4"), w)
		var got *actuators.NodeRecord
		for _, s := range p.Steps {
			if s.Kind == plan.Fail {
				got = s.Record
			}
		}
		if got == nil || len(got.Halts) != c.halts || got.Try.Earlier != c.records || got.Stage != actuators.Failed {
			t.Errorf("%s: steps %q, written %+v", name, kindsOf(p, ""), got)
		}
	}
}

// Law 18: how long another agent's claim has stood is told by readings: one that was not read since may have been renewed.
func TestLaw18ClaimThatWasNotReadSinceIsNotOutwaited(t *testing.T) {
	for name, c := range map[string]struct {
		read time.Duration // ago
		want string
	}{"read since": {0, "take web-1"}, "not read since": {50 * time.Second, ""}} {
		w := fleetOf(2, "v1")
		r := own(&w, 0, actuators.Leaving)
		r.Taken = slices.Clone(r.Places)
		r.Claim = &actuators.Claim{Holder: "other", Epoch: 1, Nonce: "o", Expires: start.Add(time.Hour)} // its clock is odd
		w.Nodes[0].Claimed, w.Nodes[0].Read.At = start.Add(-time.Minute), start.Add(-c.read)
		if got := kindsOf(plan.Next(wants("v2"), w), "web-1"); got != c.want {
			t.Errorf("%s: steps %q, want %q", name, got, c.want)
		}
	}
}

// Law 11: a node that drifted and has left goes back as it is while another gets the version that is not proven: claimed over and over it would
// neither serve nor be changed.
func TestLaw11DriftedNodeThatWaitsForProofGoesBack(t *testing.T) {
	w := fleetOf(3, "v1")
	r := own(&w, 0, actuators.Configuring)
	r.On, r.Try, r.Taken = version("v2"), actuators.Try{Version: version("v2"), ID: "x"}, slices.Clone(r.Places)
	r = own(&w, 1, actuators.Leaving)
	r.Taken = slices.Clone(r.Places)
	w.Nodes[1].Health = plan.Health{Release: "v1", Phase: plan.WatchIdle, Since: start.Add(-time.Minute), Verdict: health.Verdict{Status: health.Contradicted, Reason: "it serves v0"}}
	w.Groups[0].Members = w.Groups[0].Members[2:]
	p := plan.Next(wants("v2", upTo(2, 1)), w)
	if got := kindsOf(p, "web-2"); got != "" || p.Nodes[1].State != plan.Verifying && p.Nodes[1].State != plan.Joining {
		t.Errorf("steps %q; web-2 is %s: %s", got, p.Nodes[1].State, p.Nodes[1].Reason)
	}
}

// Law 11: of more verdicts than a record holds, the oldest go.
func TestLaw11NewestVerdictsAreKept(t *testing.T) {
	w := fleetOf(2, "v1")
	r := own(&w, 0, actuators.Configuring)
	r.On, r.Taken = version("v9"), slices.Clone(r.Places)
	r.Try = actuators.Try{Version: version("v9"), ID: "x", Failures: 1, Error: "boom", At: start.Add(-time.Hour)}
	for i := range 8 {
		r.Halts = append(r.Halts, actuators.Halt{Digest: fmt.Sprint("d1-", i), Node: "web-1"})
	}
	w.Groups[0].Members = w.Groups[0].Members[1:]
	w.Nodes[0].Host.Job = actuators.JobState{Key: jobOf(&w, 0, wants("v9")), Exited: true, Exit: 1, Step: "install"}
	p := plan.Next(wants("v9"), w)
	if kindsOf(p, "web-1") != "fail web-1" {
		t.Fatalf("steps %q: %s", kindsOf(p, ""), p.Nodes[0].Reason)
	}
	halts := p.Steps[0].Record.Halts
	if len(halts) != 8 || halts[0].Digest != "d1-1" || halts[7].Digest != version("v9").Digest {
		t.Errorf("halts %+v", halts)
	}
}

// jobOf is the key of the job that a plan runs on a node.
func jobOf(w *plan.World, i int, want plan.Want) string {
	for _, s := range plan.Next(want, *w).Steps {
		if s.Node == w.Nodes[i].Name {
			return s.Job.Key
		}
	}
	return ""
}

// Law 7: nodes that leave with the same unproven version are no capacity for each other once one of them is counted out.
func TestLaw7NodesThatAreCountedOutServeNobody(t *testing.T) {
	w := unbalanced(3, "v1")
	for i := range w.Nodes {
		r := own(&w, i, actuators.Leaving)
		r.On, r.Try = version("v2"), actuators.Try{Version: version("v2"), ID: "x"}
		w.Nodes[i].Health = plan.Health{Release: "v2", Phase: plan.WatchAgain, Since: start.Add(-time.Minute), Verdict: health.Verdict{Status: health.Passing}}
	}
	p := plan.Next(wants("v3", noBalancers, upTo(3, 3)), w)
	stays := 0
	for _, h := range p.Holds {
		if h.Cause == plan.ByFloor {
			stays++
		}
	}
	if stays != 1 {
		t.Errorf("of three that serve %d stay: steps %q, holds %v", stays, kindsOf(p, ""), p.Holds)
	}
}

// Of the last two members of a group, neither of them well, the one that failed leaves and the other stays.
func TestLaw7WhatFailedLeavesBeforeTheLastMember(t *testing.T) {
	w := fleetOf(2, "v1")
	r := own(&w, 0, actuators.Leaving)
	r.Taken = slices.Clone(r.Places)
	r = own(&w, 1, actuators.Leaving)
	r.On, r.Spoiled, r.Taken = version("v2"), true, slices.Clone(r.Places)
	r.Try = actuators.Try{Version: version("v2"), ID: "x", Failures: 1, Error: "while baking", At: start.Add(-time.Hour)}
	for i := range 2 {
		w.Groups[0].Members[i].Status, w.Groups[0].Members[i].AtFault = actuators.TargetUnhealthy, true
	}
	if p := plan.Next(wants("v2", upTo(2, 2)), w); !strings.Contains(kindsOf(p, ""), "drain web-2") || strings.Contains(kindsOf(p, ""), "drain web-1") {
		t.Errorf("steps %q, %v", kindsOf(p, ""), p.Holds)
	}
}

// Law 15: while a member is pruned something moves, though the one node under way cannot be reached.
func TestLaw15PruningIsProgress(t *testing.T) {
	w := fleetOf(3, "v1")
	own(&w, 0, actuators.Preparing).Try = actuators.Try{Version: version("v2"), ID: "x"}
	w.Nodes[0].Read.Err, w.Progress = "no route", start.Add(-time.Hour)
	w.Groups[0].Members = append(w.Groups[0].Members, actuators.Target{Membership: actuators.Membership{Group: w.Groups[0].ID, ID: "10.9.9.9", Port: 80}, Status: actuators.TargetUnhealthy})
	prune := func(f *desired.Fleet) { f.LoadBalancers[0].Prune, f.Nodes.Expect = true, 3 }
	if p := plan.Next(wants("v2", prune), w); p.Phase == plan.PhaseHalted || kindsOf(p, "") != "prune " {
		t.Errorf("%s: %s; steps %q", p.Phase, p.Reason, kindsOf(p, ""))
	}
	w.Groups[0].Members = w.Groups[0].Members[:3]
	if p := plan.Next(wants("v2", prune), w); p.Phase != plan.PhaseHalted {
		t.Errorf("%s: %s; steps %q", p.Phase, p.Reason, kindsOf(p, ""))
	}
}

// A node gets the port that the fleet file names, or else the group's own.
func TestNewNodeGetsThePortOfTheFleetFile(t *testing.T) {
	for port, want := range map[int]int{0: 80, 9090: 9090} {
		w := fleetOf(2, "v1")
		r := own(&w, 0, actuators.Verified)
		r.On, r.Proven, r.Places = version("v1"), actuators.Version{}, nil
		w.Groups[0].Members, w.Groups[0].Port = w.Groups[0].Members[1:], 80
		w.Nodes[0].Health = passing("v1", plan.WatchVerify)
		p := plan.Next(wants("v1", func(f *desired.Fleet) { f.LoadBalancers[0].Port = port }), w)
		if len(p.Steps) != 1 || len(p.Steps[0].Targets) != 1 || p.Steps[0].Targets[0].Port != want {
			t.Errorf("port %d: steps %+v", port, p.Steps)
		}
	}
}

// Law 7: a node that is only beginning to join, by nobody's order, serves nobody: it may leave where one that serves may not.
func TestLaw7NodeThatBeginsToJoinIsNoLoss(t *testing.T) {
	for status, want := range map[actuators.TargetStatus]string{actuators.TargetInitial: "leave web-1", actuators.TargetUnknown: ""} {
		w := fleetOf(2, "v1")
		w.Groups[0].Members[0].Status = status
		w.Groups[0].Members[1].Status, w.Groups[0].Members[1].AtFault = actuators.TargetUnhealthy, true
		w.Nodes[1].NotBefore = start.Add(time.Hour)
		if p := plan.Next(wants("v2"), w); kindsOf(p, "web-1") != want {
			t.Errorf("%q: steps %q, %v", status, kindsOf(p, ""), p.Holds)
		}
	}
}

// A record holds so many facts and no more, or it could not be written.
func TestFactsAreAsManyAsARecordHolds(t *testing.T) {
	w := fleetOf(actuators.MaxFacts+8, "v1")
	for i := range actuators.MaxFacts + 5 {
		r := own(&w, i, actuators.Failed)
		r.Taken, r.Claim = slices.Clone(r.Places), nil
		r.Try = actuators.Try{Version: version("v0"), ID: "x", Failures: 2, Error: "boom"}
	}
	w.Groups[0].Members = w.Groups[0].Members[actuators.MaxFacts+5:]
	told := 0
	for _, s := range plan.Next(wants("v1"), w).Steps {
		if s.Record != nil && len(s.Record.Facts) > 0 {
			told++
			if _, err := actuators.EncodeRecord(*s.Record); err != nil {
				t.Fatalf("%s %s: %v", s.Kind, s.Node, err)
			}
		}
	}
	if told == 0 {
		t.Error("no record tells who is away")
	}
}

// Law 11: a node that is only being prepared takes nobody's place among those that try a version: it serves.
func TestLaw11PreparingNodeTakesNobodysPlace(t *testing.T) {
	w := fleetOf(3, "v1")
	r := own(&w, 0, actuators.Preparing)
	r.Try = actuators.Try{Version: version("v2"), ID: "x"}
	r = own(&w, 1, actuators.Verified)
	r.Taken = slices.Clone(r.Places)
	prepares := func(f *desired.Fleet) {
		f.Configure.Prepare = []desired.Step{{Name: "fetch", Run: "fetch", Timeout: time.Minute}}
	}
	want := wants("v2", prepares)
	r = &w.Nodes[0].Host.Record
	r.Try.Version = want.Version
	if p := plan.Next(want, w); kindsOf(p, "web-2") != "leave web-2" {
		t.Errorf("steps %q; web-2: %s", kindsOf(p, ""), p.Nodes[1].Reason)
	}
}

// A node that fails while it still drains has left nothing yet for good: it leaves, and is not taken for one that is out.
func TestNodeThatFailsWhileItDrainsLeaves(t *testing.T) {
	w := fleetOf(3, "v1")
	r := own(&w, 0, actuators.Verified)
	r.On, r.Taken, r.Try = version("v2"), slices.Clone(r.Places), actuators.Try{Version: version("v2"), ID: "x"}
	w.Groups[0].Members[0].Status = actuators.TargetDraining
	w.Nodes[0].Health = plan.Health{Release: "v2", Phase: plan.WatchVerify, Since: start.Add(-time.Hour), Verdict: health.Verdict{Status: health.Failing, Reason: "503"}}
	p := plan.Next(wants("v2"), w)
	if kindsOf(p, "web-1") != "fail web-1" || p.Steps[0].Record.Stage != actuators.Leaving {
		t.Errorf("steps %q, %+v", kindsOf(p, ""), p.Steps)
	}
}

// Law 11: a verdict is of the retry that failed, or a version that was tried again in vain would be tried for ever.
func TestLaw11VerdictIsOfItsRetry(t *testing.T) {
	w := fleetOf(3, "v1")
	again := func(f *desired.Fleet) { f.Retry = 2 }
	r := own(&w, 0, actuators.Verified)
	r.On, r.Taken, r.Try = version("v2"), slices.Clone(r.Places), actuators.Try{Version: version("v2"), ID: "x", Retry: 2, Failures: 1}
	w.Nodes[0].Health = plan.Health{Release: "v2", Phase: plan.WatchBake, Since: start.Add(-time.Hour), Verdict: health.Verdict{Status: health.Failing, Reason: "503"}}
	p := plan.Next(wants("v2", again), w)
	if kindsOf(p, "web-1") != "fail web-1" || len(p.Steps[0].Record.Halts) != 1 || p.Steps[0].Record.Halts[0].Retry != 2 {
		t.Fatalf("steps %q, %+v", kindsOf(p, ""), p.Steps)
	}
	w.Nodes[0].Host.Record = p.Steps[0].Record.Clone()
	if p := plan.Next(wants("v2", again), w); p.Phase != plan.PhaseHalted {
		t.Errorf("%s: %s", p.Phase, p.Reason)
	}
}

// A node that is back with what it had has not used up its attempts at that, whatever it failed before: it is configured when it is out again.
func TestOnlyWhatFailedIsGivenUp(t *testing.T) {
	w := fleetOf(3, "v1")
	r := own(&w, 0, actuators.Leaving)
	r.Taken, r.Try = slices.Clone(r.Places), actuators.Try{Version: version("v2"), ID: "x", Failures: 2, Error: "boom", At: start.Add(-time.Hour)}
	w.Groups[0].Members = w.Groups[0].Members[1:]
	w.Nodes[0].Out = start.Add(-time.Hour)
	for spoiled, want := range map[bool]string{false: "configure web-1", true: "fail web-1"} {
		r.Spoiled = spoiled
		if p := plan.Next(wants("v2"), w); kindsOf(p, "web-1") != want {
			t.Errorf("spoiled %t: steps %q, want %q; %s", spoiled, kindsOf(p, "web-1"), want, p.Reason)
		}
	}
}

// How long a node may take to be in service again is counted from when it last was, where that is later than its stage.
func TestJoiningIsCountedFromWhenItServedLast(t *testing.T) {
	w := joining(time.Hour, actuators.TargetUnhealthy)
	w.Groups[0].Members[0].AtFault = true
	w.Nodes[0].Served = start.Add(-time.Minute)
	p := plan.Next(wants("v2"), w)
	if got := p.Nodes[0].Deadline; !got.Equal(start.Add(plan.JoinTimeout - time.Minute)) {
		t.Errorf("until %v from now, steps %q: %s", got.Sub(start), kindsOf(p, ""), p.Nodes[0].Reason)
	}
}

// Law 9: where several are claimed, the others are checked again since the latest of them was.
func TestLaw9OthersAreCheckedSinceTheLatestClaim(t *testing.T) {
	w := unbalanced(4, "v1")
	for i, ago := range []time.Duration{time.Second, time.Minute} {
		own(&w, i, actuators.Leaving)
		w.Nodes[i].Staged = start.Add(-ago)
	}
	for i := 2; i < 4; i++ {
		w.Nodes[i].Health = passing("v1", plan.WatchAgain)
		w.Nodes[i].Health.Since = start.Add(-30 * time.Second)
	}
	asked := 0
	for _, x := range plan.Next(wants("v2", noBalancers, upTo(2, 2)), w).Watch {
		if x.Phase == plan.WatchAgain {
			asked++
		}
	}
	if asked != 2 {
		t.Errorf("%d of 2 others are checked again", asked)
	}
}

// Law 11: what only this agent knows of a node that it took out, and that is excluded now, counts until the node serves.
func TestLaw11WhatTheAgentKnowsOfAnExcludedNodeCounts(t *testing.T) {
	for known, want := range map[bool]bool{false: true, true: false} {
		w := fleetOf(4, "v1")
		w.Groups[0].Members = w.Groups[0].Members[1:]
		if known {
			w.Facts = []actuators.Fact{{Kind: actuators.Away, Node: "web-1", Instance: w.Nodes[0].ID, Release: "v1"}}
			if w.Nodes[0].ID == "" {
				w.Facts[0].Instance = w.Nodes[0].Host.Machine
			}
		}
		p := plan.Next(wants("v2", func(f *desired.Fleet) { f.Nodes.Exclude = []desired.Exclusion{{Name: "web-1", Reason: "disk"}} }), w)
		if strings.Contains(kindsOf(p, ""), "leave") != want {
			t.Errorf("known %t: steps %q, holds %v", known, kindsOf(p, ""), p.Holds)
		}
	}
}

// A node whose steps had not ended, and that somebody put back and took out again, has not left while it drains.
func TestNodeThatDrainsIsNotConfiguredAgain(t *testing.T) {
	w := fleetOf(3, "v1")
	r := own(&w, 0, actuators.Configuring)
	r.On, r.Taken, r.Try = version("v2"), slices.Clone(r.Places), actuators.Try{Version: version("v2"), ID: "x"}
	w.Groups[0].Members[0].Status, w.Groups[0].Members[0].Reason = actuators.TargetDraining, ""
	p := plan.Next(wants("v2"), w)
	if kindsOf(p, "web-1") != "" || p.Nodes[0].Reason != "connections drain: web says draining" {
		t.Errorf("steps %q: %s", kindsOf(p, ""), p.Nodes[0].Reason)
	}
}

// Law 17: a node that serves behind two ports of a group gets both back.
func TestLaw17EveryPlaceOfAGroupIsGivenBack(t *testing.T) {
	w := fleetOf(3, "v1")
	second := w.Groups[0].Members[0].Membership
	second.Port = 8081
	r := own(&w, 0, actuators.Verified)
	r.On, r.Try, r.Places = version("v2"), actuators.Try{Version: version("v2"), ID: "x"}, append(r.Places, second)
	w.Groups[0].Members = w.Groups[0].Members[1:]
	w.Nodes[0].Health = passing("v2", plan.WatchVerify)
	p := plan.Next(wants("v2"), w)
	if kindsOf(p, "") != "add web-1" || len(p.Steps[0].Targets) != 2 || p.Steps[0].Targets[1] != second {
		t.Errorf("steps %q: %+v", kindsOf(p, ""), p.Steps)
	}
}

// Law 8 counts who serves, and a node that one of its groups has already does: what another lacks is given to it.
func TestLaw8HalfOfANodeIsNoSecondOne(t *testing.T) {
	w := fleetOf(3, "v1")
	add := twoGroups(&w)
	for i := range 2 {
		r := own(&w, i, actuators.Verified)
		r.On, r.Try = version("v2"), actuators.Try{Version: version("v2"), ID: "x"}
		w.Nodes[i].Health = passing("v2", plan.WatchVerify)
	}
	w.Groups[1].Members = w.Groups[1].Members[1:] // web-1 lacks it
	p := plan.Next(wants("v2", add, func(f *desired.Fleet) { f.Rollout.MaxUnavailable.Count = 2 }), w)
	if !strings.Contains(kindsOf(p, ""), "add web-1") {
		t.Errorf("steps %q; holds %s", kindsOf(p, ""), holds(p))
	}
}

// What was proven here before another version needs no proof again: a revert bakes nothing.
func TestRevertedNodeBakesNothing(t *testing.T) {
	w := fleetOf(3, "v1")
	r := own(&w, 0, actuators.Verified)
	r.Proven, r.Previous, r.Try = version("v2"), version("v1"), actuators.Try{Version: version("v1"), ID: "x"}
	p := plan.Next(wants("v1"), w)
	if len(p.Watch) == 0 || p.Watch[0].Node != "web-1" || p.Watch[0].Steady != 0 {
		t.Errorf("watches %+v", p.Watch)
	}
}

// Law 7: so is a stranger that never gets traffic.
func TestLaw7AStrangerThatGetsNoTrafficFreesNobody(t *testing.T) {
	for status, want := range map[actuators.TargetStatus]string{actuators.TargetUnused: "", actuators.TargetInitial: "leave web-1"} {
		w := fleetOf(1, "v1")
		sick(1)(&w, nil)
		w.Groups[0].Members = append(w.Groups[0].Members, memberOf("old-9", status))
		if p := plan.Next(wants("v2"), w); kindsOf(p, "") != want {
			t.Errorf("beside one that is %q: steps %q; holds %s", status, kindsOf(p, ""), holds(p))
		}
	}
}

// Law 9: a node that is being prepared is not checked for another's sake, and nobody waits for that.
func TestLaw9NobodyWaitsForTheChecksOfANodeThatIsPrepared(t *testing.T) {
	w := unbalanced(4, "v1")
	own(&w, 0, actuators.Leaving)
	w.Nodes[0].Staged = start.Add(-time.Minute)
	own(&w, 1, actuators.Preparing).Try = actuators.Try{Version: version("v2"), ID: "x"}
	w.Nodes[1].Busy = plan.Prepare
	w.Nodes[1].Health = passing("v1", plan.WatchIdle)
	for i := 2; i < 4; i++ {
		w.Nodes[i].Health = passing("v1", plan.WatchAgain)
		w.Nodes[i].Health.Since = start.Add(-30 * time.Second)
	}
	p := plan.Next(wants("v2", noBalancers, upTo(2, 2)), w)
	if kindsOf(p, "web-1") != "configure web-1" {
		t.Errorf("steps %q, watches %+v: %s; holds %s", kindsOf(p, ""), p.Watch, p.Nodes[0].Reason, holds(p))
	}
}

// What keeps a node from being given back is told, whatever its checks say.
func TestNodeThatIsNotGivenBackSaysWhy(t *testing.T) {
	for _, status := range []health.Status{health.Failing, health.Unknown} {
		w := fleetOf(3, "v1")
		w.Groups[0].Members = w.Groups[0].Members[1:]
		w.Nodes[0].OutSince, w.Nodes[0].Out = start.Add(-time.Hour), start.Add(-time.Hour)
		w.Nodes[0].Health = failing("v1", plan.WatchVerify)
		w.Nodes[0].Health.Status = status
		if got := plan.Next(wants("v1"), w).Nodes[0].Reason; !strings.Contains(got, "not given back, its checks fail: check serves: 503") {
			t.Errorf("%q: %s", status, got)
		}
	}
}

// How long ago an attempt failed is told by the clock that told when.
func TestBackingOffCountsByTheNodesClock(t *testing.T) {
	w := fleetOf(3, "v1")
	for i := range w.Nodes {
		w.Nodes[i].Host.Now = start.Add(time.Hour) // it is ahead
	}
	w.Nodes[0].Host.Record.Try = actuators.Try{Version: version("v2"), ID: "x", Failures: 1, At: start.Add(time.Hour - time.Second)}
	p := plan.Next(wants("v2"), w)
	if want := start.Add(plan.FirstBackoff - time.Second); len(p.Steps) > 0 || !p.WakeAt.Equal(want) {
		t.Errorf("steps %q, and it waits for another %v, want %v", kindsOf(p, ""), p.WakeAt.Sub(start), want.Sub(start))
	}
}

// Law 11: a version that is tried again halts by its new retry count, also where nothing but time says that it failed.
func TestLaw11NoProgressHaltsTheRetryThatMadeNone(t *testing.T) {
	w := fleetOf(4, "v1")
	r := own(&w, 0, actuators.Leaving)
	r.StageAt, r.Taken = start.Add(-2*time.Hour), []actuators.Membership{w.Groups[0].Members[0].Membership}
	w.Groups[0].Members[0].Status = actuators.TargetDraining
	w.Progress = start.Add(-2 * time.Hour)
	p := plan.Next(wants("v2", func(f *desired.Fleet) { f.Retry = 3 }), w)
	if p.Phase != plan.PhaseHalted || p.Halt == nil || p.Halt.Retry != 3 || !strings.Contains(p.Reason, "set retry to 4") {
		t.Errorf("%s: %+v: %s", p.Phase, p.Halt, p.Reason)
	}
}

// A member that is no node of the fleet is no node that is missing from it.
func TestNobodyIsMissingForAStranger(t *testing.T) {
	for expect, want := range map[int]int{0: 0, 3: 0, 4: 1} {
		w := fleetOf(3, "v1")
		w.Groups[0].Members = append(w.Groups[0].Members, memberOf("old-9", actuators.TargetHealthy))
		if p := plan.Next(wants("v1", func(f *desired.Fleet) { f.Nodes.Expect = expect }), w); p.Missing != want {
			t.Errorf("%d are expected: %d are missing, want %d", expect, p.Missing, want)
		}
	}
}

// Law 7: of two that a group without a healthy member fails open to, one stays, though both may be out by the budget.
func TestLaw7TwoThatAGroupFailsOpenToDoNotLeaveAtOnce(t *testing.T) {
	w := fleetOf(3, "v1")
	sick(2)(&w, nil)
	w.Groups[0].Members[2].Status = actuators.TargetUnused
	p := plan.Next(wants("v2", twoAtOnce), w)
	if got := kindsOf(p, ""); strings.Count(got, "leave web-1")+strings.Count(got, "leave web-2") != 1 {
		t.Errorf("steps %q; holds %s", got, holds(p))
	}
}
