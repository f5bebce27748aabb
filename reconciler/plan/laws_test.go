package plan_test

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/reconciler/plan"
)

func kindsOf(p plan.Plan, node string) string {
	var all []string
	for _, s := range p.Steps {
		if node == "" || s.Node == node {
			all = append(all, string(s.Kind)+" "+s.Node)
		}
	}
	return strings.Join(all, ", ")
}

func own(w *plan.World, i int, s actuators.Stage) *actuators.NodeRecord {
	r := &w.Nodes[i].Host.Record
	r.Claim = &actuators.Claim{Holder: w.Agent.Holder, Epoch: w.Agent.Epoch, Nonce: w.Agent.Nonce, Expires: w.Now.Add(30 * time.Second)}
	r.Stage, r.StageAt = s, w.Now
	return r
}

// The no-progress deadline never runs while the stuck node itself holds others back (law 15, G17).
func TestNoProgressDeadlineRunsWhileOthersWaitForTheStuckNode(t *testing.T) {
	w := fleetOf(4, "v1")
	r := own(&w, 0, actuators.Leaving)
	r.StageAt = start.Add(-2 * time.Hour)
	r.Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
	w.Groups[0].Members[0].Status = actuators.TargetDraining
	w.Progress = start.Add(-2 * time.Hour)
	p := plan.Next(wants("v2"), w)
	if p.Phase != plan.PhaseHalted {
		t.Errorf("web-1 drains for 2h (drain 10m, progressDeadline 15m): phase %s: %s; holds %v", p.Phase, p.Reason, p.Holds)
	}
}

// A former group that is gone is still believed to hold its members (recall keeps them).
func TestFormerGroupThatIsGoneHoldsNobody(t *testing.T) {
	w := fleetOf(3, "v1")
	old := memberOf("web-1", actuators.TargetHealthy)
	old.Group = "arn:old"
	w.Former = []actuators.GroupState{{Group: actuators.Group{ID: "arn:old", Name: "old"}, TargetType: "ip", Port: 8080, At: start,
		Members: []actuators.Target{old}, Err: "target group old does not exist", Missing: true}}
	r := own(&w, 0, actuators.Leaving)
	r.Places = append(r.Places, old.Membership)
	r.Taken = []actuators.Membership{old.Membership, w.Groups[0].Members[0].Membership}
	w.Groups[0].Members = w.Groups[0].Members[1:]
	w.Nodes[0].Asked, w.Nodes[0].AskedAt, w.Nodes[0].Out = plan.Drain, start.Add(-time.Minute), start.Add(-time.Minute)
	p := plan.Next(wants("v2"), w)
	if got := kindsOf(p, "web-1"); got != "configure web-1" {
		t.Errorf("web-1 is out of every group that exists; steps %q", got)
	}
}

// With its last load balancer gone from the file, a node is changed while the old group still sends it traffic.
func TestFormerGroupNotReadYetMeansHold(t *testing.T) {
	w := fleetOf(3, "v1")
	w.Groups, w.Former = nil, nil // the file named arn:web until a moment ago; not read since
	for i := range w.Nodes {
		w.Nodes[i].Health = plan.Health{Release: "v1", Phase: plan.WatchIdle, Verdict: health.Verdict{Status: health.Passing}}
	}
	want := wants("v2", func(f *desired.Fleet) { f.LoadBalancers = nil })
	p := plan.Next(want, w)
	if len(p.Steps) > 0 {
		t.Errorf("records name arn:web, which was not read; steps %s", kindsOf(p, ""))
	}
	own(&w, 0, actuators.Leaving)
	if p := plan.Next(want, w); strings.Contains(kindsOf(p, ""), "configure") {
		t.Errorf("records name arn:web, which was not read; steps %s", kindsOf(p, ""))
	}
}

// A drift repair runs under the key of the job that put the version there, which the host never runs again.
func TestDriftRepairIsAnotherJob(t *testing.T) {
	w := fleetOf(3, "v2")
	n := &w.Nodes[0]
	n.Host.Job = actuators.JobState{Key: "d1-v2-0-0-activate", Exited: true} // how v2 came here
	n.Health = plan.Health{Release: "v2", Phase: plan.WatchIdle, Verdict: health.Verdict{Status: health.Contradicted, Reason: "check serves: v1"}}
	f := plan.Foresee(wants("v2"), w)
	found := false
	for _, e := range f.Events {
		if e.Kind == plan.Configure {
			found = true
			if e.Job.Key == "d1-v2-0-0-activate" {
				t.Errorf("the repair is job %s, which ended long ago: the host attaches to it and runs nothing", e.Job.Key)
			}
		}
	}
	if !found {
		t.Error("no repair at all")
	}
}

// One machine under two names is one node (CONTRACT nodes), not two to be counted on.
func TestOneMachineUnderTwoNamesIsNoCapacity(t *testing.T) {
	w := fleetOf(2, "v1")
	for i := range w.Nodes { // static nodes: identity is the machine id
		w.Nodes[i].ID = ""
		w.Nodes[i].Host.Machine = "m-same"
		w.Nodes[i].Host.Record.Instance = "m-same"
	}
	p := plan.Next(wants("v2"), w)
	if len(p.Steps) > 0 {
		t.Errorf("both names are machine m-same; steps %s, %d in service of %d", kindsOf(p, ""), p.InService, p.Size)
	}
}

// Fewer nodes than nodes.expect: nothing is drained.
func TestTooFewFoundDrainsNobody(t *testing.T) {
	w := fleetOf(3, "v1")
	r := own(&w, 0, actuators.Leaving)
	r.Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
	p := plan.Next(wants("v2", func(f *desired.Fleet) {
		f.Nodes.Expect = 4
		f.Rollout.MaxUnavailable = desired.Amount{Count: 2}
	}), w)
	if got := kindsOf(p, "web-1"); strings.Contains(got, "drain") {
		t.Errorf("3 of 4 expected nodes found, and %s", got)
	}
}

// A node that is out of the balancer and was never read may be out by windlass's hand.
func TestUnreadNodeThatIsOutCountsAsAway(t *testing.T) {
	w := fleetOf(4, "v1")
	w.Nodes[0].Host, w.Nodes[0].Read = nil, plan.Source{Err: "connection timed out"}
	w.Groups[0].Members = w.Groups[0].Members[1:]
	for i := range w.Groups[0].Members {
		w.Groups[0].Members[i].Status, w.Groups[0].Members[i].AtFault = actuators.TargetUnhealthy, true // sick all over; balancers fail open
	}
	p := plan.Next(wants("v2"), w)
	if len(p.Steps) > 0 {
		t.Errorf("maxUnavailable 1, web-1 is out and unknown; steps %s", kindsOf(p, ""))
	}
}

// A released fleet is left alone: no verdicts spread, and it is not halted for ever.
func TestReleasedFleetIsLeftAlone(t *testing.T) {
	w := fleetOf(3, "v1")
	w.Nodes[0].Host.Record.Halts = []actuators.Halt{{Digest: "d1-v2", Release: "v2", Node: "web-1", Reason: "exit status 1", At: start}}
	want := wants("v2")
	want.Released = true
	p := plan.Next(want, w)
	if len(p.Steps) > 0 {
		t.Errorf("its file is gone; steps %s", kindsOf(p, ""))
	}
	if p.Phase != plan.PhaseIdle {
		t.Errorf("its file is gone; phase %s: %s", p.Phase, p.Reason)
	}
}

// A halted digest is put on a node that was under way with another one.
func TestHaltedDigestIsNotInstalledOnNodesUnderWayWithAnother(t *testing.T) {
	w := fleetOf(4, "v1")
	r := own(&w, 0, actuators.Configuring)
	r.On, r.Try = version("v2"), actuators.Try{Version: version("v2")}
	r.Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
	w.Groups[0].Members = w.Groups[0].Members[1:]
	w.Nodes[0].Asked, w.Nodes[0].Out = plan.Drain, start.Add(-time.Minute)
	w.Nodes[0].Host.Job = actuators.JobState{Key: "d1-v2-0-0-activate"} // interrupted by a reboot
	w.Nodes[1].Host.Record.Halts = []actuators.Halt{{Digest: "d1-v3", Release: "v3", Node: "web-2", Reason: "exit status 1", At: start}}
	p := plan.Next(wants("v3"), w)
	for _, s := range p.Steps {
		if s.Kind == plan.Configure && s.Job.Version.Release == "v3" {
			t.Errorf("v3 is halted and is put on %s", s.Node)
		}
	}
}

// A stranger that is healthy in one group and not in another counts as in service (law 7: at its worst).
func TestStrangerCountsAtItsWorst(t *testing.T) {
	w := fleetOf(2, "v1")
	two := actuators.GroupState{Group: actuators.Group{ID: "arn:two", Name: "two"}, TargetType: "ip", Port: 8080, At: start}
	for _, n := range []string{"web-1", "web-2", "old-9"} {
		m := memberOf(n, actuators.TargetHealthy)
		if n == "old-9" {
			w.Groups[0].Members = append(w.Groups[0].Members, m)
			m.Status, m.AtFault = actuators.TargetUnhealthy, true
		}
		m.Group = "arn:two"
		two.Members = append(two.Members, m)
	}
	w.Groups = append(w.Groups, two)
	p := plan.Next(wants("v2", func(f *desired.Fleet) {
		f.LoadBalancers = append(f.LoadBalancers, desired.LoadBalancer{TargetGroup: "two"})
	}), w)
	if p.InService != 2 {
		t.Errorf("%d in service; old-9 fails its checks in group two", p.InService)
	}
	if len(p.Steps) > 0 {
		t.Errorf("size %d, floor %d: of group two only 1 would be left; steps %s", p.Size, p.Floor, kindsOf(p, ""))
	}
}

// A hostile verdict cannot be ended by any retry count that a fleet file may hold (law 11).
func TestNoRecordHaltsBeyondEveryRetry(t *testing.T) {
	rec := actuators.NodeRecord{Schema: 1, Fleet: "web", Instance: "m-web-1",
		Halts: []actuators.Halt{{Digest: "d1-v2", Retry: math.MaxInt64, Node: "web-1", At: start}}}
	b, err := actuators.EncodeRecord(rec)
	if err == nil {
		_, err = actuators.DecodeRecord(b, "web")
	}
	if err == nil {
		w := fleetOf(3, "v1")
		w.Nodes[2].Host.Record.Halts = rec.Halts
		p := plan.Next(wants("v2", func(f *desired.Fleet) { f.Retry = 1000000 }), w) // the most the schema allows
		t.Errorf("the record is accepted; phase %s: %s", p.Phase, p.Reason)
	}
}

// One node's record makes windlass register that node in a group its fleet never had (law 17).
func TestRecordCannotChooseAGroup(t *testing.T) {
	w := fleetOf(3, "v1")
	evil := actuators.Membership{Group: "arn:payments", ID: "web-1", Port: 443}
	w.Former = []actuators.GroupState{{Group: actuators.Group{ID: "arn:payments", Name: "payments"}, TargetType: "ip", Port: 443, At: start}}
	r := &w.Nodes[0].Host.Record
	r.Places, r.Taken = append(r.Places, evil), []actuators.Membership{evil}
	f := plan.Foresee(wants("v2"), w)
	for _, e := range f.Events {
		for _, m := range e.Targets {
			if e.Kind == plan.Add && m.Group == "arn:payments" {
				t.Fatalf("%s is registered in %s", e.Node, m.Group)
			}
		}
	}
}

// A verdict written by an agent with an older digest algorithm is lost by an upgrade.
func TestHaltSurvivesANewDigestAlgorithm(t *testing.T) {
	w := fleetOf(3, "v1")
	w.Nodes[0].Host.Record.Halts = []actuators.Halt{{Digest: "d1-v2", Release: "v2", Node: "web-1", Reason: "exit status 1", At: start}}
	want := wants("v2")
	want.Version.Algorithm, want.Version.Digest = 2, "d2-v2"
	want.Older = map[int]string{1: "d1-v2"}
	if p := plan.Next(want, w); p.Phase != plan.PhaseHalted {
		t.Errorf("phase %s, steps %s", p.Phase, kindsOf(p, ""))
	}
}

// Two nodes may be added at once with a version that is not proven, when it is not the wanted one.
func TestPausedFleetAddsNoTwoUnproven(t *testing.T) {
	w := fleetOf(4, "v1")
	for i := range 2 {
		r := own(&w, i, actuators.Configuring)
		r.On, r.Try = version("v2"), actuators.Try{Version: version("v2")}
		r.Taken = []actuators.Membership{{Group: "arn:web", ID: w.Nodes[i].Name, Port: 8080}}
		w.Nodes[i].Host.Job = actuators.JobState{Key: "d1-v2-0-0-activate", Exited: true}
		w.Nodes[i].Health = plan.Health{Release: "v2", Phase: plan.WatchVerify, Verdict: health.Verdict{Status: health.Passing}}
	}
	w.Groups[0].Members = w.Groups[0].Members[2:]
	p := plan.Next(wants("v3", func(f *desired.Fleet) {
		f.Paused = &desired.Pause{Reason: "x"}
		f.Rollout.MaxUnavailable = desired.Amount{Count: 2}
	}), w)
	if got := kindsOf(p, ""); strings.Count(got, "add") > 1 {
		t.Errorf("v2 is proven nowhere: %s", got)
	}
}

// A node whose clock was set back (or lies) is waited for without end: its deadline moves with each reading.
func TestDeadlineDoesNotMoveWithReadings(t *testing.T) {
	at := func(d time.Duration) plan.NodeStatus {
		w := fleetOf(3, "v1")
		r := own(&w, 0, actuators.Leaving)
		r.StageAt = start.AddDate(500, 0, 0)
		r.Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
		w.Groups[0].Members[0].Status = actuators.TargetDraining
		w.Now, w.Groups[0].At, w.GroupsRead = start.Add(d), start.Add(d), start.Add(d)
		for i := range w.Nodes {
			w.Nodes[i].Read.At, w.Nodes[i].Host.Now = start.Add(d), start.Add(d) // each renewal of the claim is a reading
		}
		return plan.Next(wants("v2"), w).Nodes[0]
	}
	if a, b := at(0), at(3*time.Hour); !a.Deadline.Equal(b.Deadline) {
		t.Errorf("deadline moved from %v to %v", a.Deadline, b.Deadline)
	}
}

// An agent was killed after it wrote that a node is being configured, and before the job began there: the newest job is still
// that of the prepare steps, which succeeded. It proves nothing about the activate steps: they run.
func TestPrepareJobIsNotTakenForTheActivateJob(t *testing.T) {
	want := wants("v2", func(f *desired.Fleet) { f.Configure.Prepare = []desired.Step{{Name: "fetch", Run: "fetch"}} })
	w := fleetOf(2, "v1")
	preparing := plan.Next(want, w).Steps[0]
	if preparing.Kind != plan.Prepare || preparing.Node != "web-1" {
		t.Fatalf("it begins with %+v", preparing)
	}
	n := &w.Nodes[0]
	n.Host.Record = *preparing.Record
	n.Host.Record.Stage = actuators.Configuring
	n.Host.Record.StageAt = start.Add(-time.Minute)
	n.Host.Record.On = want.Version
	n.Host.Record.Prepared = want.Version.Digest
	n.Host.Record.Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
	n.Host.Record.Claim = &actuators.Claim{Holder: w.Agent.Holder, Epoch: w.Agent.Epoch, Nonce: w.Agent.Nonce, Expires: start.Add(20 * time.Second)}
	n.Host.Job = actuators.JobState{Key: preparing.Job.Key, Exited: true}
	n.Out = start.Add(-time.Minute)
	w.Groups[0].Members = w.Groups[0].Members[1:]
	p := plan.Next(want, w)
	if len(p.Steps) != 1 || p.Steps[0].Kind != plan.Configure || !strings.HasSuffix(p.Steps[0].Job.Key, "activate") {
		t.Errorf("steps %+v, watches %+v; want the activate job to run", p.Steps, p.Watch)
	}
}

// A fleet with an outdated node that is only waited for (its record is to be read again) is not idle: status would exit 0.
func TestOutdatedNodeIsNotIdle(t *testing.T) {
	w := fleetOf(2, "v2")
	old := nodeOf("web-3", "c", "v1")
	old.Stale = true
	w.Nodes = append(w.Nodes, old)
	w.Groups[0].Members = append(w.Groups[0].Members, memberOf("web-3", actuators.TargetHealthy))
	if p := plan.Next(wants("v2"), w); p.Phase == plan.PhaseIdle {
		t.Errorf("it is idle (%s) with a node that serves v1 and is to be read again", p.Reason)
	}
	w.Nodes[2].Stale = false
	for i := range w.Nodes { // all read too long ago for a journey to start
		w.Nodes[i].Read.At = start.Add(-20 * time.Second)
	}
	if p := plan.Next(wants("v2"), w); p.Phase == plan.PhaseIdle {
		t.Errorf("it is idle (%s) with a node that serves v1 while records are read again (refresh %v)", p.Reason, p.Refresh)
	}
}

// What another agent works on is not progress of this one: it waits, and its reason says for whom (law 18).
func TestAnotherAgentsWorkIsWaitedFor(t *testing.T) {
	w := fleetOf(2, "v1")
	n := &w.Nodes[0]
	n.Host.Record.Stage = actuators.Configuring
	n.Host.Record.On = version("v2")
	n.Host.Record.Try = actuators.Try{Version: version("v2")}
	n.Host.Record.Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
	n.Host.Record.Claim = &actuators.Claim{Holder: "agent-b", Epoch: 1, Nonce: "x", Expires: start.Add(20 * time.Second)}
	w.Groups[0].Members = w.Groups[0].Members[1:]
	if p := plan.Next(wants("v2"), w); p.Phase != plan.PhaseWaiting || !strings.Contains(p.Reason, "agent agent-b works on web-1") {
		t.Errorf("it is %s: %s; want it to wait for agent-b", p.Phase, p.Reason)
	}
}

// A call that was refused is told until it is tried again, not only that something is waited for (law 23).
func TestRefusedCallIsTold(t *testing.T) {
	want := wants("v2")
	w := fleetOf(2, "v1")
	n := &w.Nodes[0]
	n.Host.Record.Stage = actuators.Leaving
	n.Host.Record.StageAt = start.Add(-3 * time.Second)
	n.Host.Record.Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
	n.Host.Record.Claim = &actuators.Claim{Holder: w.Agent.Holder, Epoch: w.Agent.Epoch, Nonce: w.Agent.Nonce, Expires: start.Add(20 * time.Second)}
	n.Asked, n.AskedAt = plan.Drain, start.Add(-2*time.Second)
	n.Trouble, n.NotBefore = "AWS denies elasticloadbalancing:DeregisterTargets", start.Add(-time.Second)
	if p := plan.Next(want, w); !strings.Contains(p.Nodes[0].Reason, "AWS denies") {
		t.Errorf("web-1 is %s because %q; want the refusal told", p.Nodes[0].State, p.Nodes[0].Reason)
	}
}

// A verdict binds though the only node whose record had it is gone: the agent that saw it remembers (law 11).
func TestVerdictOutlivesTheOnlyRecordThatHasIt(t *testing.T) {
	w := fleetOf(2, "v1")
	w.Nodes[0] = nodeOf("web-1", "a", "") // a new machine in place of the one that failed
	w.Nodes[0].Out = start.Add(-time.Minute)
	w.Groups[0].Members = w.Groups[0].Members[1:]
	w.Verdict = &actuators.Halt{Digest: "d1-v2", Release: "v2", Node: "web-1", Reason: "step install: exit status 1"}
	if p := plan.Next(wants("v2"), w); strings.Contains(kindsOf(p, ""), "configure") || p.Phase != plan.PhaseHalted || p.Halt == nil {
		t.Errorf("v2 was halted; phase %s: %s; steps %s", p.Phase, p.Reason, kindsOf(p, ""))
	}
	if p := plan.Next(wants("v2", func(f *desired.Fleet) { f.Retry = 1 }), w); kindsOf(p, "") != "configure web-1" || p.Halt != nil {
		t.Errorf("retry was raised; phase %s: %s; steps %s", p.Phase, p.Reason, kindsOf(p, ""))
	}
}

// While the fleet is held and nothing moves, nobody's turn comes: no record is kept fresh for it.
func TestNobodysTurnComesWhileTheFleetIsHeld(t *testing.T) {
	w := fleetOf(3, "v1")
	if p := plan.Next(wants("v2"), w); len(p.Soon) == 0 {
		t.Fatal("web-1 leaves, and nobody is made ready to follow")
	}
	w.Groups[0].Members[0].Status, w.Groups[0].Members[0].AtFault = actuators.TargetUnhealthy, true
	p := plan.Next(wants("v2", func(f *desired.Fleet) { f.Rollout.MaxUnavailable.Count = 1; f.Nodes.Expect = 4 }), w)
	if len(p.Holds) == 0 || len(p.Steps) > 0 || len(p.Soon) > 0 {
		t.Errorf("one of 4 is missing: holds %v, steps %s, soon %v", p.Holds, kindsOf(p, ""), p.Soon)
	}
}

// A forecast of a large fleet breaks off, and says how many nodes are left; one of a hundred nodes does not.
func TestForecastOfALargeFleetBreaksOff(t *testing.T) {
	if f := plan.Foresee(wants("v2"), fleetOf(50, "v1")); f.Left != 0 || f.End.Phase != plan.PhaseIdle {
		t.Errorf("50 nodes: %d left; %s: %s", f.Left, f.End.Phase, f.End.Reason)
	}
	f := plan.ForeseeFor(wants("v2"), fleetOf(200, "v1"), 100)
	proven := 0
	for _, e := range f.Events {
		if e.Kind == plan.Prove {
			proven++
		}
	}
	if proven == 0 || f.Left < 200-proven-1 || f.Left > 200-proven {
		t.Errorf("200 nodes: %d proven, %d left", proven, f.Left)
	}
}

// Drift that comes back after each repair is put right ever less often: the node does not leave and return for ever (G20).
func TestDriftThatComesBackIsPutRightEverLessOften(t *testing.T) {
	w := fleetOf(3, "v1")
	n := &w.Nodes[0]
	drifts := func(repairs int, ago time.Duration) plan.Plan {
		n.Host.Record.Repairs, n.Host.Record.StageAt = repairs, start.Add(-ago)
		n.Health = plan.Health{Release: "v1", Phase: plan.WatchIdle, Verdict: health.Verdict{Status: health.Contradicted, Reason: "answers v0"}}
		return plan.Next(wants("v1"), w)
	}
	for _, c := range []struct {
		repairs  int
		ago      time.Duration
		repaired bool
	}{
		{0, 0, true}, {1, 4 * time.Minute, false}, {1, 5 * time.Minute, true}, {3, 19 * time.Minute, false}, {3, 20 * time.Minute, true},
		{900, 59 * time.Minute, false}, {900, time.Hour, true},
	} {
		p := drifts(c.repairs, c.ago)
		if got := kindsOf(p, "") == "leave web-1"; got != c.repaired {
			t.Errorf("%d repairs, the last %s ago: steps %q; %s", c.repairs, c.ago, kindsOf(p, ""), p.Nodes[0].Reason)
		}
		if !c.repaired && !p.WakeAt.Equal(p.Nodes[0].Deadline) {
			t.Errorf("%d repairs, the last %s ago: wakes at %s, the next repair is due at %s", c.repairs, c.ago, p.WakeAt, p.Nodes[0].Deadline)
		}
	}
	if r := drifts(2, time.Hour).Steps[0].Record; r.Repairs != 3 {
		t.Errorf("the third repair is recorded as %d", r.Repairs)
	}
	n.Host.Record.Repairs, n.Host.Record.StageAt = 5, start
	if p := plan.Next(wants("v2"), w); kindsOf(p, "") == "" {
		t.Errorf("another release waits for drift: %s", p.Reason)
	}
}

// Without a load balancer a node that was not checked since the agent began, or since something was done to it, is checked before
// anything else; one that failed is not: it is known not to serve.
func TestUncheckedNodeWithoutBalancerIsCheckedFirst(t *testing.T) {
	w := unbalanced(2, "v1")
	w.Nodes[1].Health = passing("v1", plan.WatchIdle)
	p := plan.Next(wants("v2", noBalancers), w)
	if len(p.Watch) != 1 || p.Watch[0].Node != "web-1" || kindsOf(p, "web-1") != "" {
		t.Errorf("web-1 was not checked yet: watches %v, steps %q", p.Watch, kindsOf(p, ""))
	}
	r := &w.Nodes[0].Host.Record
	r.Stage, r.Spoiled, r.On, r.Try = actuators.Failed, true, version("v2"), actuators.Try{Version: version("v2"), ID: "x", Failures: 2, Error: "exit status 1"}
	r.Halts = []actuators.Halt{{Digest: "d1-v2", Release: "v2", Node: "web-1", Reason: "exit status 1"}}
	p = plan.Next(wants("v2", noBalancers, func(f *desired.Fleet) { f.Retry = 1 }), w)
	if kindsOf(p, "") != "leave web-1, halt web-2" { // web-2 is told that web-1 is out
		t.Errorf("web-1 failed, and retry was raised: %s: %s; steps %q", p.Phase, p.Reason, kindsOf(p, ""))
	}
}

// Behind no load balancer nothing drains and nothing joins, and no state says so.
func TestNodeWithoutBalancerNeitherDrainsNorJoins(t *testing.T) {
	for stage, want := range map[actuators.Stage]plan.State{actuators.Leaving: plan.Configuring, actuators.Verified: plan.Baking} {
		w := unbalanced(2, "v1")
		r := own(&w, 0, stage)
		if stage == actuators.Verified {
			r.On, r.Try = version("v2"), actuators.Try{Version: version("v2"), ID: "x"}
		}
		if got := plan.Next(wants("v2", noBalancers), w).Nodes[0]; got.State != want {
			t.Errorf("%s: %s: %s, want %s", stage, got.State, got.Reason, want)
		}
	}
	w := unbalanced(2, "v1")
	for i := range w.Nodes {
		w.Nodes[i].Health = passing("v1", plan.WatchIdle)
	}
	if got := plan.Next(wants("v2", noBalancers), w).Nodes[0]; got.State != plan.Configuring {
		t.Errorf("at its start: %s: %s", got.State, got.Reason)
	}
}

// Law 5: a plan shares what it is given, and changes nothing of it.
func TestLaw5NextChangesNothingItIsGiven(t *testing.T) {
	for name, made := range map[string]func() plan.World{
		"a deploy":    func() plan.World { return fleetOf(4, "v1") },
		"a join":      func() plan.World { return joining(time.Minute, actuators.TargetInitial) },
		"no balancer": func() plan.World { return unbalanced(3, "v1") },
		"a return": func() plan.World {
			w := joining(time.Second, actuators.TargetHealthy)
			w.Groups[0].Members = w.Groups[0].Members[1:]
			w.Nodes[0].Health = passing("v2", plan.WatchVerify)
			return w
		},
		"one machine twice in a group": func() plan.World {
			w := fleetOf(2, "v1")
			again := w.Groups[0].Members[0]
			again.Port = 9090
			w.Groups[0].Members = append(w.Groups[0].Members, again)
			return w
		},
	} {
		seen, as := made(), made()
		for range 2 {
			if p := plan.Next(wants("v2"), seen); len(p.Nodes) == 0 {
				t.Errorf("%s: no plan", name)
			}
		}
		if !reflect.DeepEqual(seen, as) {
			t.Errorf("%s: it was changed", name)
		}
	}
}

// G18: behind no load balancer, a node that waits for its turn and serves nobody does not keep the fix from one that failed.
func TestG18FailedNodeGetsTheFixThoughANewOneWaits(t *testing.T) {
	w := unbalanced(3, "v1")
	for i := range w.Nodes {
		w.Nodes[i].Health = passing("v1", plan.WatchIdle)
	}
	w.Nodes[0].Host.Record = actuators.NodeRecord{} // new
	w.Nodes[0].Health = plan.Health{Release: "v3", Phase: plan.WatchVerify, Since: start, Verdict: health.Verdict{Status: health.Failing, Reason: "connection refused"}}
	r := &w.Nodes[2].Host.Record
	r.Stage, r.Spoiled, r.On, r.Try = actuators.Failed, true, version("v2"), actuators.Try{Version: version("v2"), ID: "x", Failures: 2, Error: "exit status 1"}
	w.Nodes[2].Health = w.Nodes[0].Health
	p := plan.Next(wants("v3", noBalancers), w)
	if got := kindsOf(p, "web-3"); got != "leave web-3" {
		t.Errorf("steps %q; %v; %s: %s", got, p.Holds, p.Phase, p.Reason)
	}
}

// Laws 7, 14: a node whose drain was asked for is not let go on a reading that may be from before, whatever became of the call.
func TestLaw14AskedDrainIsNotLetGoOnAnOldReading(t *testing.T) {
	w := fleetOf(4, "v1")
	own(&w, 0, actuators.Leaving).Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
	w.Nodes[0].Asked, w.Nodes[0].AskedAt = plan.Drain, w.Now.Add(-plan.AskAgain)
	w.Groups[0].Members[1].Status, w.Groups[0].Members[1].AtFault = actuators.TargetUnhealthy, true // so that no other may leave
	w.Groups[0].At = w.Now.Add(-time.Second)
	p := plan.Next(wants("v2"), w)
	if got := kindsOf(p, ""); got != "" || !p.Reread {
		t.Errorf("read a second before it must show: steps %q, read again %t: %s", got, p.Reread, p.Nodes[0].Reason)
	}
	w.Groups[0].At, w.GroupsRead = w.Now, w.Now
	if got := kindsOf(plan.Next(wants("v2"), w), ""); got != "restore web-1" {
		t.Errorf("it never left: steps %q", got)
	}
}

// Laws 1, 17: while a group that the file no longer names cannot be read, a node whose record names it may still be in it: no step starts.
func TestLaw1NodeOfAnUnreadFormerGroupIsNotChanged(t *testing.T) {
	w := fleetOf(3, "v1")
	own(&w, 0, actuators.Leaving).Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
	w.Nodes[0].Asked, w.Nodes[0].AskedAt = plan.Drain, w.Now.Add(-time.Minute)
	old := w.Groups[0]
	old.Members, old.Err = nil, "connection refused"
	w.Former = []actuators.GroupState{old}
	w.Groups = []actuators.GroupState{{Group: actuators.Group{ID: "arn:new", Name: "new"}, TargetType: "ip", Port: 8080, At: w.Now}}
	want := wants("v2", func(f *desired.Fleet) { f.LoadBalancers = []desired.LoadBalancer{{TargetGroup: "new"}} })
	p := plan.Next(want, w)
	if got := kindsOf(p, "web-1"); got != "" || !strings.Contains(p.Nodes[0].Reason, "connection refused") {
		t.Errorf("steps %q: %s", got, p.Nodes[0].Reason)
	}
}

// Law 13: a node that is left alone no more says what it waits for.
func TestLaw13NodeThatIsDueSaysWhatItWaitsFor(t *testing.T) {
	w := fleetOf(3, "v1")
	w.Groups[0].Members = w.Groups[0].Members[1:] // somebody took web-1 out
	r := own(&w, 1, actuators.Configuring)
	r.On, r.Try = version("v2"), actuators.Try{Version: version("v2"), ID: "x"}
	for ago, want := range map[time.Duration]string{5 * time.Minute: "left alone for 10m0s", 15 * time.Minute: "its time of being left alone is over"} {
		w.Nodes[0].OutSince = w.Now.Add(-ago)
		if got := plan.Next(wants("v2"), w).Nodes[0].Reason; !strings.Contains(got, want) {
			t.Errorf("out for %s: %q, want %q", ago, got, want)
		}
	}
}
