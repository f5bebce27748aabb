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

// twoGroups adds a second group, arn:two, in which every node is healthy too.
func twoGroups(w *plan.World) func(*desired.Fleet) {
	two := actuators.GroupState{Group: actuators.Group{ID: "arn:two", Name: "two"}, TargetType: "ip", Port: 9090, At: start, Rules: actuators.Rules{Delay: 5 * time.Second}}
	for i := range w.Nodes {
		m := memberOf(w.Nodes[i].Name, actuators.TargetHealthy)
		m.Group, m.Port = "arn:two", 9090
		two.Members = append(two.Members, m)
		r := &w.Nodes[i].Host.Record
		if r.Known() {
			r.Places = append(r.Places, m.Membership)
		}
	}
	w.Groups = append(w.Groups, two)
	return func(f *desired.Fleet) {
		f.LoadBalancers = append(f.LoadBalancers, desired.LoadBalancer{TargetGroup: "two"})
	}
}

func passing(release string, phase plan.WatchPhase) plan.Health {
	return plan.Health{Release: release, Phase: phase, Since: start, Verdict: health.Verdict{Status: health.Passing, Reason: "passes"}}
}

func failing(release string, phase plan.WatchPhase) plan.Health {
	return plan.Health{Release: release, Phase: phase, Since: start, Verdict: health.Verdict{Status: health.Failing, Reason: "check serves: 503"}}
}

func holds(p plan.Plan) string {
	var all []string
	for _, h := range p.Holds {
		all = append(all, h.String())
	}
	return strings.Join(all, "; ")
}

func unbalanced(n int, release string) plan.World {
	w := fleetOf(n, release)
	w.Groups = nil
	for i := range w.Nodes {
		w.Nodes[i].Host.Record.Places = nil
	}
	return w
}

func noBalancers(f *desired.Fleet) { f.LoadBalancers = nil }

// Law 17: replacing one load balancer by another in the file must not lose the memory of the old one while nodes are members there.
func TestLaw17GroupLeftInTheFileIsRememberedUntilLeft(t *testing.T) {
	w := fleetOf(2, "v1")
	for i := range w.Nodes {
		w.Nodes[i].Out = time.Time{}
	}
	w.Former, w.Groups = w.Groups, []actuators.GroupState{{Group: actuators.Group{ID: "arn:new", Name: "new"}, TargetType: "ip", Port: 8080, At: start}}
	want := wants("v1", func(f *desired.Fleet) { f.LoadBalancers = []desired.LoadBalancer{{TargetGroup: "new"}} })
	f := plan.Foresee(want, w)
	for _, e := range f.Events {
		if e.Kind == plan.Prove && e.Record != nil {
			known := false
			for _, m := range e.Record.Places {
				known = known || m.Group == "arn:web"
			}
			if !known {
				t.Errorf("%s is still a member of arn:web and its record forgets that: %+v", e.Node, e.Record.Places)
			}
		}
	}
	if len(f.Events) == 0 {
		t.Error("nothing happened")
	}
}

// joining is a fleet of three that serve v1, but for one that was verified with v2 so long ago, and that its group finds so now.
func joining(ago time.Duration, status actuators.TargetStatus) plan.World {
	w := fleetOf(3, "v1")
	r := own(&w, 0, actuators.Verified)
	r.StageAt = start.Add(-ago)
	r.On, r.Try = version("v2"), actuators.Try{Version: version("v2"), ID: "x"}
	w.Nodes[0].Staged, w.Groups[0].Members[0].Status = r.StageAt, status
	return w
}

// Law 17: a node that has left one of its groups already is not let go with what it left forgotten.
func TestLaw17PartlyDrainedNodeIsNotForgotten(t *testing.T) {
	w := fleetOf(4, "v1")
	add := twoGroups(&w)
	n := &w.Nodes[0]
	n.Host.Record.Places = nil // a node whose first journey this is: nothing but Taken says where it belongs
	r := own(&w, 0, actuators.Leaving)
	w.Groups[0].Members[0].Port, w.Groups[1].Members[0].Port = 7001, 7002
	r.Taken = []actuators.Membership{w.Groups[1].Members[0].Membership, w.Groups[0].Members[0].Membership}
	w.Groups[0].Members[0].Status = actuators.TargetDraining // the first call went well, the second was throttled
	n.Asked, n.AskedAt = plan.Drain, start.Add(-10*time.Second)
	p := plan.Next(wants("v2", add, func(f *desired.Fleet) { f.Nodes.Expect = 5 }), w) // and another node is gone by now
	for _, s := range p.Steps {
		if s.Node == "web-1" && s.Record != nil && len(s.Record.Taken) < 2 {
			t.Errorf("web-1 drains from web and the step %q (%s) forgets that it left: taken %v, places %v", s.Kind, s.Reason, s.Record.Taken, s.Record.Places)
		}
	}
}

// Law 11: an interruption uses no attempt. The agent died between the proof and the registration, and came back a quarter of an hour later.
func TestLaw11AgentDownTimeIsNoFailedJoin(t *testing.T) {
	w := fleetOf(3, "v1")
	n := &w.Nodes[0]
	r := own(&w, 0, actuators.Verified)
	r.StageAt = start.Add(-15 * time.Minute)
	r.On, r.Try = version("v2"), actuators.Try{Version: version("v2"), ID: "x"}
	r.Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
	w.Groups[0].Members[0].Status = actuators.TargetInitial // registered three seconds ago by the new agent
	n.Asked, n.AskedAt = plan.Add, start.Add(-3*time.Second)
	n.Staged = start.Add(-20 * time.Second)
	n.Health = passing("v2", plan.WatchVerify)
	p := plan.Next(wants("v2"), w)
	if got := kindsOf(p, "web-1"); strings.Contains(got, "fail") {
		t.Errorf("registered 3 s ago, %s: %s", got, p.Steps[0].Reason)
	}
}

// Law 11: a registration that was denied for a while and then succeeds has its own time to become healthy.
func TestLaw11DeniedRegistrationIsNoFailedJoin(t *testing.T) {
	w := joining(11*time.Minute, actuators.TargetInitial)
	n := &w.Nodes[0]
	n.Asked, n.AskedAt = plan.Add, start.Add(-3*time.Second)
	n.Health = passing("v2", plan.WatchVerify)
	p := plan.Next(wants("v2"), w)
	if got := kindsOf(p, "web-1"); strings.Contains(got, "fail") {
		t.Errorf("registered 3 s ago, %s: %s", got, p.Steps[0].Reason)
	}
}

// Law 11, G19: one reading late in a long bake is no failed join.
func TestLaw11BlipInALongBakeIsNoFailedJoin(t *testing.T) {
	w := joining(20*time.Minute, actuators.TargetUnhealthy)
	n := &w.Nodes[0] // at this reading, after 19 minutes of healthy
	n.Served = start.Add(-15 * time.Second)
	n.Health = plan.Health{Release: "v2", Phase: plan.WatchBake, Since: start.Add(-19 * time.Minute), Verdict: health.Verdict{Status: health.Pending}}
	p := plan.Next(wants("v2", func(f *desired.Fleet) { f.Rollout.Canary = &desired.Canary{Nodes: 1, Bake: 30 * time.Minute} }), w)
	if got := kindsOf(p, "web-1"); strings.Contains(got, "fail") {
		t.Errorf("it served for 19 minutes, %s: %s", got, p.Steps[0].Reason)
	}
}

// Law 15: slow start (900 s at most) has its own end: the no-progress deadline does not run meanwhile.
func TestLaw15SlowStartIsNoLackOfProgress(t *testing.T) {
	w := joining(15*time.Minute+5*time.Second, actuators.TargetRamping)
	n := &w.Nodes[0]
	n.Asked, n.AskedAt = plan.Add, n.Staged
	w.Progress = n.Staged
	p := plan.Next(wants("v2"), w)
	if p.Phase == plan.PhaseHalted {
		t.Errorf("web-1 gets traffic and ramps up: %s", p.Reason)
	}
}

// Law 15: a job of a superseded version that still runs within its own time-out is no lack of progress of the newer one.
func TestLaw15RunningJobOfASupersededVersionIsNoLackOfProgress(t *testing.T) {
	w := fleetOf(3, "v1")
	n := &w.Nodes[0]
	r := own(&w, 0, actuators.Configuring)
	r.StageAt = start.Add(-20 * time.Minute)
	r.On, r.Try = version("v2"), actuators.Try{Version: version("v2")}
	r.Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
	w.Groups[0].Members = w.Groups[0].Members[1:]
	n.Host.Job = actuators.JobState{Key: "d1-v2--0-activate", Running: true, Step: "install"}
	n.Out = start.Add(-time.Hour)
	w.Progress = start.Add(-16 * time.Minute)
	p := plan.Next(wants("v3", func(f *desired.Fleet) { f.Configure.Activate[0].Timeout = time.Hour }), w)
	if p.Phase == plan.PhaseHalted {
		t.Errorf("v3 was never tried: %s", p.Reason)
	}
	if p.Nodes[0].Deadline.IsZero() {
		t.Errorf("the wait for v2's job has no deadline: %s", p.Nodes[0].Reason)
	}
}

// Laws 11, 15: a node on its way back with a new release, in one of its groups and failing, is not waited for without end.
func TestLaw15PartlyRegisteredNodeThatFailsIsGivenUp(t *testing.T) {
	w := fleetOf(3, "v1")
	add := twoGroups(&w)
	n := &w.Nodes[0]
	r := own(&w, 0, actuators.Verified)
	r.StageAt = start.Add(-3 * time.Hour)
	n.Staged = r.StageAt
	r.On, r.Try = version("v2"), actuators.Try{Version: version("v2"), ID: "x"}
	r.Taken = []actuators.Membership{w.Groups[0].Members[0].Membership, w.Groups[1].Members[0].Membership}
	w.Groups[0].Members[0].Status, w.Groups[0].Members[0].AtFault = actuators.TargetUnhealthy, true
	w.Groups[1].Members = w.Groups[1].Members[1:]
	n.Health = failing("v2", plan.WatchVerify)
	w.Progress = start.Add(-3 * time.Hour)
	p := plan.Next(wants("v2", add), w)
	if p.Phase != plan.PhaseHalted && !strings.Contains(kindsOf(p, "web-1"), "fail") {
		t.Errorf("for three hours: phase %s: %s; web-1 %s: %s, deadline %v, steps %q", p.Phase, p.Reason, p.Nodes[0].State, p.Nodes[0].Reason, p.Nodes[0].Deadline, kindsOf(p, ""))
	}
}

// Law 11: the verdict of the no-progress deadline is written down also when every node is under way.
func TestLaw11NoProgressVerdictIsWrittenOnAFleetOfOne(t *testing.T) {
	w := fleetOf(1, "v1")
	r := own(&w, 0, actuators.Leaving)
	r.StageAt = start.Add(-2 * time.Hour)
	r.Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
	w.Groups[0].Members[0].Status = actuators.TargetDraining
	w.Progress = start.Add(-2 * time.Hour)
	want := wants("v2", func(f *desired.Fleet) { f.Rollout.AllowOutage = true })
	p := plan.Next(want, w)
	if p.Phase != plan.PhaseHalted {
		t.Fatalf("phase %s: %s", p.Phase, p.Reason)
	}
	if len(p.Steps) == 0 || p.Steps[0].Record == nil || len(p.Steps[0].Record.Halts) == 0 {
		t.Errorf("halted (%s) and nothing is written anywhere; steps %q, wake %v", p.Reason, kindsOf(p, ""), p.WakeAt)
	}
	w.Nodes[0].Host.Record = *p.Steps[0].Record
	w.Progress = start // the agent was started again, or a state flipped
	if p := plan.Next(want, w); p.Phase != plan.PhaseHalted && len(w.Nodes[0].Host.Record.Halts) == 0 {
		t.Errorf("the halt is forgotten: %s: %s", p.Phase, p.Reason)
	}
}

// Law 11: a node that merely cannot be given back with what it had says nothing against a version that is proven everywhere.
func TestLaw11GivingBackDoesNotHaltAProvenVersion(t *testing.T) {
	w := fleetOf(3, "v1")
	add := twoGroups(&w)
	n := &w.Nodes[0]
	r := own(&w, 0, actuators.Verified)
	r.StageAt = start.Add(-20 * time.Minute)
	n.Staged = r.StageAt
	w.Groups[1].Members = w.Groups[1].Members[1:]
	n.Asked, n.AskedAt = plan.Add, start.Add(-time.Second) // registering is answered, and has no effect (such as a target quota of another zone)
	n.Health = passing("v1", plan.WatchVerify)
	w.Progress = start.Add(-20 * time.Minute)
	p := plan.Next(wants("v1", add), w)
	if p.Phase == plan.PhaseHalted {
		t.Errorf("v1 serves and is proven on 3 nodes: %s", p.Reason)
	}
}

// Law 9: what the node itself shows is unknown after a start: it may be the one that serves.
func TestLaw9UncheckedNodeMayBeTheOneThatServes(t *testing.T) {
	w := unbalanced(3, "v1")
	for i := range w.Nodes[1:] { // two are down for real; web-1 serves, and was not checked yet
		w.Nodes[i+1].Health = failing("v1", plan.WatchIdle)
	}
	p := plan.Next(wants("v2", noBalancers), w)
	if got := kindsOf(p, "web-1"); got != "" {
		t.Errorf("%d of %d in service, floor %d, and %s", p.InService, p.Size, p.Floor, got)
	}
}

// Laws 9, 1: without a load balancer the claimed node still serves until its files change: the floor is looked at again.
func TestLaw9ClaimedNodeWithoutBalancerKeepsTheFloor(t *testing.T) {
	w := unbalanced(3, "v1")
	own(&w, 0, actuators.Leaving)
	w.Nodes[0].Health = passing("v1", plan.WatchIdle)
	for i := range w.Nodes[1:] {
		w.Nodes[i+1].Health = failing("v1", plan.WatchIdle)
	}
	p := plan.Next(wants("v2", noBalancers), w)
	if got := kindsOf(p, "web-1"); strings.Contains(got, "configure") {
		t.Errorf("web-1 is the last of 3 that serves, floor %d, and %s", p.Floor, got)
	}
	w.Inventory.Err = "DescribeInstances: RequestLimitExceeded"
	for i := range w.Nodes {
		w.Nodes[i].Health = passing("v1", plan.WatchIdle)
	}
	p = plan.Next(wants("v2", noBalancers), w)
	if got := kindsOf(p, "web-1"); strings.Contains(got, "configure") {
		t.Errorf("law 1: who belongs is not known, and %s", got)
	}
}

// Law 9, G3: a state that is not known today may be a healthy one.
func TestLaw9UnknownStateMayBeServing(t *testing.T) {
	for _, s := range []actuators.TargetStatus{actuators.TargetUnknown, actuators.TargetRamping} {
		w := fleetOf(4, "v1")
		for i := range w.Groups[0].Members {
			w.Groups[0].Members[i].Status = s
		}
		p := plan.Next(wants("v2"), w)
		if got := kindsOf(p, ""); strings.Contains(got, "leave") {
			t.Errorf("all four are %q: %d in service, floor %d, and %s", s, p.InService, p.Floor, got)
		}
	}
}

// Law 13: a node that somebody took out of one of its two groups is left alone for restoreAfter.
func TestLaw13NodeTakenOutOfOneGroupIsLeftAlone(t *testing.T) {
	w := fleetOf(4, "v1")
	add := twoGroups(&w)
	w.Groups[1].Members = w.Groups[1].Members[1:]
	w.Nodes[0].OutSince = start.Add(-time.Minute)
	p := plan.Next(wants("v2", add), w)
	if got := kindsOf(p, "web-1"); got != "" {
		t.Errorf("somebody took web-1 out of two a minute ago (restoreAfter 10m): %s", got)
	}
}

// Law 13: the same for a node that somebody drains right now, and for one whose record says nothing of what is on it.
func TestLaw13DriftedNodeTakenOutIsLeftAlone(t *testing.T) {
	w := fleetOf(4, "v1")
	w.Nodes[0].Host.Record.On = actuators.Version{} // drift was seen, and it was let go again: "stays for now"
	w.Nodes[0].OutSince, w.Nodes[0].Out = start.Add(-time.Minute), start.Add(-time.Minute)
	w.Groups[0].Members = w.Groups[0].Members[1:]
	p := plan.Next(wants("v1"), w)
	if got := kindsOf(p, "web-1"); got != "" {
		t.Errorf("somebody took web-1 out a minute ago (restoreAfter 10m): %s", got)
	}
}

// exclude: an excluded node is no part of the fleet's size, nor of what is expected; an exclusion that names nobody makes no fewer of them.
func TestExcludedNodeIsNotExpected(t *testing.T) {
	want := wants("v2", func(f *desired.Fleet) {
		f.Nodes.Expect = 8
		f.Nodes.Exclude = []desired.Exclusion{{Name: "web-8", Reason: "disk swap"}}
	})
	if p := plan.Next(want, fleetOf(8, "v1")); p.Size != 7 || len(p.Steps) == 0 {
		t.Errorf("7 of 8, and web-8 is excluded: %s: %s; holds %s", p.Phase, p.Reason, holds(p))
	}
	if p := plan.Next(want, fleetOf(7, "v1")); len(p.Steps) > 0 || !strings.Contains(holds(p), "names web-8, which was not found") {
		t.Errorf("one of 8 is missing, and the file excludes a name that nobody has: steps %q, holds %s", kindsOf(p, ""), holds(p))
	}
}

// exclude: a second instance with the same tag Name takes the excluded one's name away, and not what keeps it excluded.
func TestExcludedNodeStaysSoWhenAnotherHasItsTag(t *testing.T) {
	w := fleetOf(4, "v1")
	for i := 2; i < 4; i++ {
		w.Nodes[i].Alias = "web-twin"
	}
	p := plan.Next(wants("v2", func(f *desired.Fleet) { f.Nodes.Exclude = []desired.Exclusion{{Name: "web-twin", Reason: "disk swap"}} }), w)
	if len(p.Nodes) != 2 || p.Nodes[0].Name != "web-1" || p.Nodes[1].Name != "web-2" {
		t.Errorf("web-3 and web-4 carry the tag web-twin, which is excluded; the plan has %+v", p.Nodes)
	}
}

// exclude: what an excluded node's record says binds nobody: it is how a hostile or broken one is got rid of.
func TestExcludedNodesGroupsBlockNobody(t *testing.T) {
	w := fleetOf(4, "v1")
	m := actuators.Membership{Group: "arn:aws:elasticloadbalancing:eu-1:999:targetgroup/other/1", ID: "web-4", Port: 80}
	w.Nodes[3].Host.Record.Places = append(w.Nodes[3].Host.Record.Places, m)
	w.Former = []actuators.GroupState{{Group: actuators.Group{ID: m.Group, Name: "other"}, Err: "AWS denies DescribeTargetHealth on other", At: start}}
	p := plan.Next(wants("v2"), w)
	if len(p.Steps) > 0 || !strings.Contains(holds(p), "web-4") {
		t.Errorf("law 6: the hold must name web-4, whose record names the group: %s", holds(p))
	}
	p = plan.Next(wants("v2", func(f *desired.Fleet) { f.Nodes.Exclude = []desired.Exclusion{{Name: "web-4", Reason: "hostile"}} }), w)
	if len(p.Steps) == 0 {
		t.Errorf("web-4 is excluded, and its record still blocks: %s", holds(p))
	}
}

// Law 6: a verdict of a record names the record it was found in, and how far retry must be raised.
func TestLaw6HaltTellsWhereItWasReadAndWhatEndsIt(t *testing.T) {
	w := fleetOf(4, "v1")
	w.Nodes[3].Host.Record.Halts = []actuators.Halt{{Digest: "d1-v2", Release: "v2", Node: "web-1", Reason: "exit status 1", Retry: 999_998, At: start}}
	p := plan.Next(wants("v2", func(f *desired.Fleet) { f.Retry = 3 }), w)
	if !strings.Contains(p.Reason, "999999") {
		t.Errorf("retry 3 does not end it, and nothing says what does: %s", p.Reason)
	}
	if !strings.Contains(p.Reason, "web-4") {
		t.Errorf("only the record of web-4 says so, web-1 was never touched: %s", p.Reason)
	}
}

// Law 11: at the highest retry a fleet file may have, a failure can still be written down.
func TestLaw11FailureCanBeRecordedAtTheHighestRetry(t *testing.T) {
	w := fleetOf(3, "v1")
	r := own(&w, 0, actuators.Configuring)
	v := version("v2")
	r.On, r.Try = v, actuators.Try{Version: v, ID: "x", Retry: 1_000_000, Failures: 1, At: start.Add(-time.Hour), Error: "x"}
	w.Groups[0].Members = w.Groups[0].Members[1:]
	w.Nodes[0].Host.Job = actuators.JobState{Key: "d1-v2-x-1-activate", Exited: true, Exit: 1, Step: "install"}
	p := plan.Next(wants("v2", func(f *desired.Fleet) { f.Retry = 1_000_000 }), w)
	if len(p.Steps) != 1 || p.Steps[0].Kind != plan.Fail {
		t.Fatalf("steps %s", kindsOf(p, ""))
	}
	if _, err := actuators.EncodeRecord(*p.Steps[0].Record); err != nil {
		t.Errorf("the failure can never be written: %v", err)
	}
}

// Law 6: a node that is not rolled because its attempts are used up says so.
func TestLaw6NodeThatUsedUpItsAttemptsWhileServingSaysSo(t *testing.T) {
	w := fleetOf(3, "v1")
	w.Nodes[0].Host.Record.Try = actuators.Try{Version: version("v2"), ID: "x", Failures: 2, Error: "step fetch: exit status 22", Earlier: "d1-v0", At: start.Add(-time.Hour)}
	for i := range w.Nodes[1:] {
		r := &w.Nodes[i+1].Host.Record
		r.On, r.Proven, r.Previous = version("v2"), version("v2"), version("v1")
	}
	p := plan.Next(wants("v2"), w)
	if s := p.Nodes[0]; !strings.Contains(s.Reason, "exit status 22") {
		t.Errorf("web-1 is left with v1 for ever; it is %s: %q; phase %s: %q; holds %q", s.State, s.Reason, p.Phase, p.Reason, holds(p))
	}
}

// Laws 11, 6: attempts lowered in the file below what a node has used: it is neither halted nor told.
func TestLaw11LoweredAttemptsAreToldOrHalt(t *testing.T) {
	w := fleetOf(3, "v1")
	w.Nodes[0].Host.Record.Try = actuators.Try{Version: version("v2"), ID: "x", Failures: 1, Error: "step fetch: exit status 22", At: start.Add(-time.Hour)}
	p := plan.Next(wants("v2", func(f *desired.Fleet) { f.Rollout.Attempts = 1 }), w)
	if s := p.Nodes[0]; p.Phase != plan.PhaseHalted && !strings.Contains(s.Reason, "exit status 22") {
		t.Errorf("web-1 is %s: %q; phase %s: %q; steps %s", s.State, s.Reason, p.Phase, p.Reason, kindsOf(p, ""))
	}
}

// Law 11: pause starts nothing new: a node that was interrupted on the way to v2 does not get v3, which came with the pause.
func TestLaw11PausedFleetBeginsNoNewerVersion(t *testing.T) {
	for name, job := range map[string]actuators.JobState{"interrupted": {Key: "d1-v2-x-0-activate"}, "none": {}} {
		w := fleetOf(4, "v1")
		r := own(&w, 0, actuators.Configuring)
		r.StageAt = start.Add(-time.Minute)
		r.On, r.Try = version("v2"), actuators.Try{Version: version("v2"), ID: "x"}
		r.Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
		w.Groups[0].Members = w.Groups[0].Members[1:]
		w.Nodes[0].Asked, w.Nodes[0].Out = plan.Drain, start.Add(-time.Minute)
		w.Nodes[0].Host.Job = job
		p := plan.Next(wants("v3", func(f *desired.Fleet) { f.Paused = &desired.Pause{Reason: "freeze"} }), w)
		for _, s := range p.Steps {
			if s.Kind == plan.Configure && s.Job.Version.Release == "v3" {
				t.Errorf("%s: paused, and v3 is put on %s", name, s.Node)
			}
		}
	}
}

// Law 6: a verified node that is held back by an unreadable one names it.
func TestLaw6VerifiedNodeHeldByAnUnreadableOneNamesIt(t *testing.T) {
	w := fleetOf(3, "v1")
	r := own(&w, 0, actuators.Configuring)
	r.On, r.Try = version("v2"), actuators.Try{Version: version("v2"), ID: "x"}
	r.Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
	w.Groups[0].Members = w.Groups[0].Members[1:]
	w.Nodes[0].Host.Job = actuators.JobState{Key: "d1-v2-x-0-activate", Exited: true}
	w.Nodes[0].Health = passing("v2", plan.WatchVerify)
	w.Nodes[2].Host, w.Nodes[2].Read = nil, plan.Source{Err: "connection timed out"} // since before this agent began
	p := plan.Next(wants("v2"), w)
	if got := p.Nodes[0].Reason; kindsOf(p, "web-1") == "" && !strings.Contains(got, "web-3") {
		t.Errorf("web-1 waits outside because web-3 cannot be read, and says %q", got)
	}
}

// Law 20: a node whose clock steps forward (the first synchronisation after a start) has not outlasted its deadlines.
func TestLaw20ClockThatStepsForwardUsesNoAttempt(t *testing.T) {
	w := fleetOf(3, "v1")
	n := &w.Nodes[0]
	r := own(&w, 0, actuators.Verified)
	r.StageAt = start.Add(-2 * time.Second) // by its old clock
	n.Staged = start.Add(-2 * time.Second)
	n.Host.Now = start.Add(3 * time.Hour)
	r.On, r.Try = version("v2"), actuators.Try{Version: version("v2"), ID: "x"}
	w.Groups[0].Members[0].Status = actuators.TargetInitial
	n.Asked, n.AskedAt = plan.Add, start.Add(-time.Second)
	p := plan.Next(wants("v2"), w)
	if got := kindsOf(p, "web-1"); strings.Contains(got, "fail") {
		t.Errorf("registered a second ago: %s: %s", got, p.Steps[0].Reason)
	}
}

// A plan that waits for a reading wakes when the reading comes, not every millisecond until then.
func TestNoHotLoopWhileTheBalancersAreRead(t *testing.T) {
	w := fleetOf(3, "v1")
	n := &w.Nodes[0]
	r := own(&w, 0, actuators.Leaving)
	r.Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
	w.Groups[0].Members = w.Groups[0].Members[1:]
	n.Out = start.Add(-6 * time.Second)
	w.Groups[0].At = start.Add(-2 * time.Second)
	p := plan.Next(wants("v2"), w)
	if !p.WakeAt.IsZero() && p.WakeAt.Sub(w.Now) < 10*time.Millisecond {
		t.Errorf("reread %t and wake %s from now: it plans a thousand times a second for as long as the reading takes", p.Reread, p.WakeAt.Sub(w.Now))
	}
	n.Asked, n.AskedAt = plan.Drain, start.Add(-6*time.Second)
	w = fleetOf(3, "v1")
	r = own(&w, 0, actuators.Leaving)
	r.Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
	w.Nodes[0].Asked, w.Nodes[0].AskedAt = plan.Drain, start.Add(-6*time.Second)
	w.Groups[0].At = start.Add(-2 * time.Second)
	p = plan.Next(wants("v1"), w)
	if !p.WakeAt.IsZero() && p.WakeAt.Sub(w.Now) < 10*time.Millisecond {
		t.Errorf("restore: reread %t and wake %s from now", p.Reread, p.WakeAt.Sub(w.Now))
	}
}

// CONTRACT: allowOutage lets the floor be 0, not less.
func TestFloorIsNeverNegative(t *testing.T) {
	p := plan.Next(wants("v1", func(f *desired.Fleet) {
		f.Rollout.AllowOutage, f.Rollout.MaxUnavailable = true, desired.Amount{Count: 5}
	}), fleetOf(3, "v1"))
	if p.Floor < 0 {
		t.Errorf("floor %d", p.Floor)
	}
}

// G23, law 6: what a percentage comes to is said in the refusal.
func TestG23PercentageIsToldAsANumber(t *testing.T) {
	w := fleetOf(5, "v1")
	w.Groups[0].Members[0].Status, w.Groups[0].Members[0].AtFault = actuators.TargetUnhealthy, true
	w.Nodes[0].Host.Record.On = version("v2") // has what is wanted, and does not serve
	w.Nodes[0].Host.Record.Proven = version("v2")
	p := plan.Next(wants("v2", func(f *desired.Fleet) { f.Rollout.MaxUnavailable = desired.Amount{Percent: 10} }), w)
	if !strings.Contains(holds(p), "10% of 5") && !strings.Contains(holds(p), "10%, 1") && !strings.Contains(holds(p), "1 (10%") {
		t.Errorf("10%% of 5 is rounded up to 1 and nobody says so: %s", holds(p))
	}
}

// Law 11 with a newer digest algorithm: an agent that was upgraded in the middle of a journey still counts attempts.
func TestLaw11UpgradedAlgorithmInMidJourneyStillCountsAttempts(t *testing.T) {
	want := wants("v2")
	want.Version.Algorithm, want.Version.Digest = 2, "d2-v2"
	want.Older = map[int]string{1: "d1-v2"}
	w := fleetOf(3, "v1")
	n := &w.Nodes[0]
	r := own(&w, 0, actuators.Leaving) // failed once under the old agent, and drains for its second attempt
	r.On, r.Spoiled = version("v2"), true
	r.Try = actuators.Try{Version: version("v2"), ID: "x", Failures: 1, Error: "while baking", At: start.Add(-time.Hour)}
	r.Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
	w.Groups[0].Members = w.Groups[0].Members[1:]
	n.Asked, n.Out = plan.Drain, start.Add(-time.Hour)
	p := plan.Next(want, w)
	if len(p.Steps) != 1 || p.Steps[0].Kind != plan.Configure {
		t.Fatalf("steps %s", kindsOf(p, ""))
	}
	n.Host.Record = *p.Steps[0].Record
	n.Host.Record.Claim.Expires = start.Add(20 * time.Second)
	n.Host.Record.Stage, n.Host.Record.StageAt = actuators.Verified, start.Add(-time.Minute)
	w.Groups[0].Members = append([]actuators.Target{memberOf("web-1", actuators.TargetHealthy)}, w.Groups[0].Members...)
	n.Health = failing("v2", plan.WatchBake)
	p = plan.Next(want, w)
	if got := kindsOf(p, "web-1"); got != "fail web-1" {
		t.Errorf("it fails while baking, attempt 2 of 2: %s (%s)", got, p.Steps[0].Reason)
	}
}

// A record written by a newer windlass (a newer digest algorithm) is not taken for another configuration: going back to an older
// windlass rolls nothing.
func TestNewerAlgorithmIsNotTakenForAnotherConfiguration(t *testing.T) {
	w := fleetOf(3, "v1")
	for i := range w.Nodes {
		r := &w.Nodes[i].Host.Record
		r.On.Algorithm, r.On.Digest = 2, "d2-v1"
		r.Proven = r.On
	}
	p := plan.Next(wants("v1"), w)
	if len(p.Steps) > 0 {
		t.Errorf("v1 is on all nodes, recorded by a newer windlass: %s: %s", kindsOf(p, ""), p.Steps[0].Reason)
	}
}

// Laws 15, 11: a node that goes straight back after a long drain has its own time to become healthy.
func TestLaw15RestoreAfterALongDrainHasItsOwnTime(t *testing.T) {
	w := fleetOf(3, "v1")
	n := &w.Nodes[0]
	r := own(&w, 0, actuators.Leaving)
	r.StageAt = start.Add(-30 * time.Minute) // an hour's deregistration delay; the revert came after half of it
	n.Staged = r.StageAt
	r.Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
	w.Groups[0].Members[0].Status = actuators.TargetInitial
	n.Asked, n.AskedAt = plan.Add, start.Add(-3*time.Second)
	p := plan.Next(wants("v1"), w)
	if got := kindsOf(p, "web-1"); got != "" {
		t.Errorf("registered 3 s ago: %s: %s", got, p.Steps[0].Reason)
	}
}

// CONTRACT: fewer than expected found, and it says so.
func TestExpectIsToldWhenIdle(t *testing.T) {
	p := plan.Next(wants("v1", func(f *desired.Fleet) { f.Nodes.Expect = 4 }), fleetOf(3, "v1"))
	if p.Phase == plan.PhaseIdle {
		t.Errorf("3 of 4 expected nodes found: %s: %s; holds %q", p.Phase, p.Reason, holds(p))
	}
}

// Law 15: a bake whose checks have no answer (a command that cannot be run, a forwarding that sshd refuses) does not last for ever.
func TestLaw15BakeWithoutAnyAnswerEnds(t *testing.T) {
	w := fleetOf(3, "v1")
	n := &w.Nodes[0]
	r := own(&w, 0, actuators.Verified)
	r.StageAt = start.Add(-3 * time.Hour)
	n.Staged = r.StageAt
	r.On, r.Try = version("v2"), actuators.Try{Version: version("v2"), ID: "x"}
	n.Health = plan.Health{Release: "v2", Phase: plan.WatchBake, Since: start.Add(-3 * time.Hour), Verdict: health.Verdict{Status: health.Unknown, Reason: "check jobs: not tried within 2m"}}
	w.Progress = start.Add(-3 * time.Hour)
	p := plan.Next(wants("v2"), w)
	if p.Phase != plan.PhaseHalted && p.Nodes[0].Deadline.IsZero() && p.WakeAt.IsZero() {
		t.Errorf("three hours into a bake of 10 s: %s: %s; web-1 %s: %s", p.Phase, p.Reason, p.Nodes[0].State, p.Nodes[0].Reason)
	}
}

// Law 18: a process never takes a live claim from a later one of the same agent (a state directory that was copied or put back).
func TestLaw18EarlierProcessDoesNotTakeFromALaterOne(t *testing.T) {
	w := fleetOf(3, "v1")
	r := own(&w, 0, actuators.Leaving)
	r.Claim.Epoch, r.Claim.Nonce = w.Agent.Epoch+4, "n7"
	r.Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
	p := plan.Next(wants("v2"), w)
	if len(p.Steps) > 0 {
		t.Errorf("epoch 7 works on web-1 for another 30 s, this is epoch 3: %s", kindsOf(p, ""))
	}
}

// A record that names no version cannot make windlass write one that can never be written.
func TestFailureOfANamelessVersionCanBeWritten(t *testing.T) {
	w := fleetOf(3, "v1")
	n := &w.Nodes[0]
	r := own(&w, 0, actuators.Verified)
	r.On, r.Proven, r.Try = actuators.Version{}, actuators.Version{}, actuators.Try{ID: "x", Failures: 1}
	r.StageAt = start.Add(-20 * time.Minute)
	w.Groups[0].Members[0].Status, w.Groups[0].Members[0].AtFault = actuators.TargetUnhealthy, true
	p := plan.Next(wants("v2", func(f *desired.Fleet) { f.Paused = &desired.Pause{Reason: "x"} }), w)
	for _, s := range p.Steps {
		if s.Node != n.Name || s.Record == nil {
			continue
		}
		rec := s.Record.Clone()
		if rec.Claim != nil {
			rec.Claim.Expires = start
		}
		if _, err := actuators.EncodeRecord(rec); err != nil {
			t.Errorf("%s can never be written: %v", s.Kind, err)
		}
	}
}

// exclude: a node that is excluded and switched off (EC2 lists running instances only) is left alone where it is still registered,
// and is no part of the fleet's size there either. A static node's target is its address; an instance's is its id, so that it can
// only be known if exclude may name the instance id too.
func TestExcludedNodeThatIsSwitchedOffIsNoStranger(t *testing.T) {
	w := fleetOf(3, "v1")
	w.Groups[0].Members = append(w.Groups[0].Members, memberOf("i-04", actuators.TargetUnused))
	exclude := func(f *desired.Fleet) {
		f.Nodes.Exclude = []desired.Exclusion{{Name: "i-04", Reason: "disk swap"}}
	}
	p := plan.Next(wants("v2", exclude), w)
	if p.Size != 3 || len(p.Steps) == 0 {
		t.Errorf("size %d, holds %s", p.Size, holds(p))
	}
	p = plan.Next(wants("v1", exclude, func(f *desired.Fleet) { f.Nodes.Expect, f.LoadBalancers[0].Prune = 3, true }), w)
	if got := kindsOf(p, ""); got != "" {
		t.Errorf("i-04 is excluded, and: %s: %s", got, p.Steps[0].Reason)
	}
}

// Law 11, G19: one sick machine does not forbid the way back to what is proven on all the others.
func TestG19SickMachineDoesNotHaltTheWayBack(t *testing.T) {
	w := fleetOf(4, "v1")
	w.Nodes[1].Host.Record.On, w.Nodes[1].Host.Record.Proven, w.Nodes[1].Host.Record.Previous = version("v2"), version("v2"), version("v1")
	r := own(&w, 0, actuators.Configuring) // reverted to v1, and nothing works on this machine any more
	r.StageAt = start.Add(-time.Minute)
	r.On, r.Try = version("v1"), actuators.Try{Version: version("v1"), ID: "x", Failures: 1, At: start.Add(-time.Hour)}
	w.Groups[0].Members = w.Groups[0].Members[1:]
	w.Nodes[0].Host.Job = actuators.JobState{Key: "d1-v1-x-1-activate", Exited: true}
	w.Nodes[0].Health = failing("v1", plan.WatchVerify)
	p := plan.Next(wants("v1"), w)
	for _, s := range p.Steps {
		if s.Kind == plan.Fail && len(s.Record.Halts) > 0 {
			t.Errorf("v1 serves and is proven on web-2, web-3 and web-4, and is halted: web-2 cannot go back to it: %s", s.Record.Halts[0].Reason)
		}
	}
}

// spoiledAtTheFloor is a fleet in which web-1 failed while it baked and must not leave, for web-2 is new and not in service yet.
func spoiledAtTheFloor() plan.World {
	w := fleetOf(4, "v1")
	r := own(&w, 0, actuators.Leaving)
	r.StageAt = start.Add(-3 * time.Hour)
	r.On, r.Spoiled = version("v2"), true
	r.Try = actuators.Try{Version: version("v2"), ID: "x", Failures: 1, Error: "while baking: check serves", At: start.Add(-3 * time.Hour)}
	r.Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
	n := &w.Nodes[1]
	n.Host.Record = actuators.NodeRecord{Schema: 1, Fleet: "web", Instance: n.ID}
	r = own(&w, 1, actuators.Configuring)
	r.StageAt = start.Add(-3 * time.Hour)
	r.On, r.Try = version("v2"), actuators.Try{Version: version("v2"), ID: "y"}
	n.Host.Job = actuators.JobState{Key: "d1-v2-y-0-activate", Exited: true}
	n.Health = passing("v2", plan.WatchVerify)
	n.Out = start.Add(-3 * time.Hour)
	w.Groups[0].Members = append(w.Groups[0].Members[:1], w.Groups[0].Members[2:]...)
	w.Progress = start.Add(-3 * time.Hour)
	return w
}

// Laws 15, 8, decision 8: a node that must leave and one whose return would let it do not wait for each other in silence for ever.
func TestLaw15NoTwoNodesWaitForEachOther(t *testing.T) {
	w := spoiledAtTheFloor()
	p := plan.Next(wants("v2"), w)
	if len(p.Steps) == 0 && p.Phase != plan.PhaseHalted && p.WakeAt.IsZero() {
		t.Errorf("for three hours, and nothing will ever end it: %s: %s; holds %s", p.Phase, p.Reason, holds(p))
	}
}

// G9: balancers are not read again and again for a node that even the newest reading forbids to leave.
func TestG9HeldNodeAsksForNoReading(t *testing.T) {
	w := spoiledAtTheFloor()
	w.GroupsRead, w.Groups[0].At = start.Add(-5*time.Second), start.Add(-5*time.Second)
	if p := plan.Next(wants("v2"), w); p.Reread {
		t.Errorf("read again at each plan: %s; holds %s", p.Nodes[0].Reason, holds(p))
	}
}
