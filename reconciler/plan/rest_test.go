package plan_test

import (
	"strings"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler/plan"
)

// What once kept a simulated fleet from coming to rest.

// A group that is new to the nodes does not put them out of service while they lack what is wanted, or nobody could ever leave.
func TestGroupThatIsNewToOutdatedNodesHoldsNobody(t *testing.T) {
	w := fleetOf(3, "v1")
	add := twoGroups(&w)
	w.Groups[1].Members = nil
	for i := range w.Nodes {
		r := &w.Nodes[i].Host.Record
		r.Places = r.Places[:1]
	}
	f := plan.Foresee(wants("v2", add), w)
	if f.End.Phase != plan.PhaseIdle || f.Lowest != 2 {
		t.Errorf("%s: %s; lowest capacity %d", f.End.Phase, f.End.Reason, f.Lowest)
	}
	p := plan.Next(wants("v1", add), w)
	if p.InService != 0 || len(p.Watch) != 3 {
		t.Errorf("they have what is wanted: %d in service; watches %v", p.InService, p.Watch)
	}
	r := &w.Nodes[0].Host.Record // somebody else took web-1 out there
	r.Places = append(r.Places, actuators.Membership{Group: "arn:two", ID: r.Places[0].ID, Port: 9090})
	if p := plan.Next(wants("v2", add), w); p.InService != 2 {
		t.Errorf("web-1 had a place there: %d in service", p.InService)
	}
}

// Law 12: a node without a record that serves in one group and has no place in another is written down, and then gets its place there;
// not before it was left alone for restoreAfter, as somebody may have taken it out (law 13).
func TestLaw12NodeInOneOfItsGroupsIsAdopted(t *testing.T) {
	w := fleetOf(3, "v1")
	add := twoGroups(&w)
	w.Nodes[0].Host.Record = actuators.NodeRecord{}
	w.Groups[1].Members = w.Groups[1].Members[1:]
	w.Nodes[0].Health = passing("v1", plan.WatchVerify)
	want := wants("v1", add)
	w.Nodes[0].OutSince = start.Add(-time.Minute)
	if p := plan.Next(want, w); len(p.Steps) > 0 || p.WakeAt.IsZero() {
		t.Errorf("a minute after it was seen: steps %q, wake %v", kindsOf(p, ""), p.WakeAt)
	}
	w.Nodes[0].OutSince = start.Add(-time.Hour)
	p := plan.Next(want, w)
	if got := kindsOf(p, ""); got != "adopt web-1" || p.Nodes[0].State == plan.InService {
		t.Fatalf("an hour later: steps %q; it is %s: %s", got, p.Nodes[0].State, p.Nodes[0].Reason)
	}
	w.Nodes[0].Host.Record = *p.Steps[0].Record
	if p := plan.Next(want, w); kindsOf(p, "") != "add web-1" || len(p.Steps[0].Targets) != 1 || p.Steps[0].Targets[0].Group != "arn:two" {
		t.Errorf("written down: steps %q; it is %s: %s", kindsOf(p, ""), p.Nodes[0].State, p.Nodes[0].Reason)
	}
	w.Groups[0].Members[0].Status, w.Groups[0].Members[0].AtFault = actuators.TargetUnhealthy, true
	w.Nodes[0].Host.Record = actuators.NodeRecord{}
	if p := plan.Next(want, w); len(p.Steps) > 0 {
		t.Errorf("it does not serve: steps %q", kindsOf(p, ""))
	}
}

// Law 15: a node that can neither be given back, as its checks fail, nor leave, as it is the last member, lets another go before it.
func TestLaw15NodeThatCanNeitherServeNorLeaveLetsOthersGo(t *testing.T) {
	w := fleetOf(2, "v1")
	add := twoGroups(&w)
	r := own(&w, 0, actuators.Leaving)
	r.On = version("v2") // never proven, and it fails by now
	r.Taken = []actuators.Membership{w.Groups[0].Members[0].Membership, w.Groups[1].Members[0].Membership}
	w.Nodes[0].Health = failing("v2", plan.WatchVerify)
	w.Groups[0].Members = nil
	w.Groups[1].Members = w.Groups[1].Members[:1]
	w.Groups[1].Members[0].Status, w.Groups[1].Members[0].AtFault = actuators.TargetUnhealthy, true
	w.Nodes[1].Out, w.Nodes[1].OutSince = start.Add(-time.Hour), start.Add(-time.Hour) // somebody else took it out
	p := plan.Next(wants("v3", add), w)
	if got := kindsOf(p, ""); got != "configure web-2" && !p.Refresh {
		t.Errorf("steps %q; %s; web-1 %s, web-2 %s", got, p.Reason, p.Nodes[0].Reason, p.Nodes[1].Reason)
	}
	if why := p.Nodes[0].Reason; !strings.Contains(why, "its checks fail") || !strings.HasSuffix(why, "it cannot leave either: it is the last member of two; rollout.allowOutage lets it leave") {
		t.Errorf("web-1 %s", why)
	}
}

// Law 11: a verdict is written on nodes under way too: no other record may have it.
func TestLaw11VerdictIsWrittenOnNodesUnderWay(t *testing.T) {
	w := fleetOf(1, "v1")
	own(&w, 0, actuators.Leaving).Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
	w.Groups[0].Members = nil
	w.Nodes[0].Health = failing("v1", plan.WatchVerify)
	want := wants("v2", func(f *desired.Fleet) { f.Rollout.AllowOutage = true })
	w.Verdict = &actuators.Halt{Digest: want.Version.Digest, Release: "v2", Node: "web-1", Reason: "no progress"}
	p := plan.Next(want, w)
	if kindsOf(p, "") != "halt web-1" || p.Steps[0].Record.Stage != actuators.Leaving || p.Steps[0].Record.Claim == nil {
		t.Fatalf("steps %q", kindsOf(p, ""))
	}
	w.Nodes[0].Host.Record = *p.Steps[0].Record
	if p := plan.Next(want, w); len(p.Steps) > 0 {
		t.Errorf("written already: steps %q", kindsOf(p, ""))
	}
	w.Nodes[0].Host.Record.Halts = nil
	w.Nodes[0].Host.Record.Claim.Nonce = "an earlier one's"
	if p := plan.Next(want, w); strings.Contains(kindsOf(p, ""), "halt") {
		t.Errorf("the claim is not ours: steps %q", kindsOf(p, ""))
	}
}

// Law 15: the no-progress deadline does not run while a node is held, or while one waits for something with an end of its own.
func TestLaw15DeadlineRunsOnlyWhileNothingElseIsWaitedFor(t *testing.T) {
	w := fleetOf(3, "v1")
	r := own(&w, 0, actuators.Configuring)
	r.On, r.Try = version("v2"), actuators.Try{Version: version("v2"), ID: "x"}
	r.Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
	w.Groups[0].Members = w.Groups[0].Members[1:]
	w.Progress = start.Add(-time.Minute)
	w.Nodes[0].NotBefore, w.Nodes[0].Trouble = start.Add(time.Second), "configure: connection reset"
	if p := plan.Next(wants("v2"), w); !p.Stalled {
		t.Errorf("it backs off after a call that broke off: %s", p.Nodes[0].Reason)
	}
	busy := w
	busy.Nodes = append([]plan.Node(nil), w.Nodes...)
	busy.Nodes[0].Busy = plan.Configure
	if p := plan.Next(wants("v2"), busy); p.Stalled {
		t.Error("a step that is in flight has its own deadline")
	}
	w.Nodes[0].NotBefore = time.Time{}
	w.Groups[0].Err = "AccessDenied"
	if p := plan.Next(wants("v2"), w); p.Stalled || len(p.Holds) == 0 {
		t.Errorf("it is held: %v", p.Holds)
	}
}

// Laws 13, 16: a node is given back on checks that were made for that, not on what they showed when it last joined.
func TestLaw13NodeIsCheckedAnewBeforeItIsGivenBack(t *testing.T) {
	w := fleetOf(3, "v1")
	w.Groups[0].Members = w.Groups[0].Members[1:]
	w.Nodes[0].OutSince = start.Add(-time.Hour)
	w.Nodes[0].Health = passing("v1", plan.WatchVerify)
	w.Nodes[0].Health.Over = true
	if p := plan.Next(wants("v1"), w); len(p.Steps) > 0 || len(p.Watch) != 1 || strings.Contains(p.Nodes[0].Reason, "fail") {
		t.Errorf("steps %q, watches %v; %s", kindsOf(p, ""), p.Watch, p.Nodes[0].Reason)
	}
	w.Nodes[0].Health.Over = false
	if p := plan.Next(wants("v1"), w); kindsOf(p, "") != "add web-1" {
		t.Errorf("steps %q; %s", kindsOf(p, ""), p.Nodes[0].Reason)
	}
}

// Laws 9, 14: an agent that finds a node claimed does not know whether the one before it asked the balancers to drain it: they may not show it.
func TestLaw14EarlierAgentMayHaveAskedToDrain(t *testing.T) {
	w := fleetOf(3, "v1")
	own(&w, 0, actuators.Leaving).Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
	w.Nodes[0].Inherited, w.Nodes[0].Staged = true, start
	w.Groups[0].Members[1].Status, w.Groups[0].Members[1].AtFault = actuators.TargetUnhealthy, true
	if p := plan.Next(wants("v2"), w); len(p.Steps) > 0 || p.WakeAt.IsZero() {
		t.Errorf("steps %q, wake %v; %s", kindsOf(p, ""), p.WakeAt, p.Nodes[0].Reason)
	}
	w.Nodes[0].Staged = start.Add(-time.Minute)
	if p := plan.Next(wants("v2"), w); kindsOf(p, "") != "restore web-1" {
		t.Errorf("a minute later: steps %q; %s", kindsOf(p, ""), p.Nodes[0].Reason)
	}
}

// Law 11: while a failure is being recorded, nobody sets out for what it may halt.
func TestLaw11NobodySetsOutWhileAFailureIsRecorded(t *testing.T) {
	w := fleetOf(4, "v1")
	own(&w, 0, actuators.Configuring)
	w.Nodes[0].Host.Record.Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
	w.Groups[0].Members = w.Groups[0].Members[1:]
	w.Nodes[0].Busy = plan.Fail
	want := wants("v2", func(f *desired.Fleet) {
		f.Rollout.MaxUnavailable, f.Rollout.Canary = desired.Amount{Count: 2}, &desired.Canary{Nodes: 2}
	})
	if p := plan.Next(want, w); len(p.Steps) > 0 || p.Refresh {
		t.Errorf("steps %q", kindsOf(p, ""))
	}
	w.Nodes[0].Busy = plan.Configure
	if p := plan.Next(want, w); !strings.HasPrefix(kindsOf(p, ""), "leave") {
		t.Errorf("nothing failed: steps %q, %v", kindsOf(p, ""), p.Holds)
	}
}

// Law 8: of two nodes that are verified and not registered yet, as an agent was lost in between, the first goes.
func TestLaw8OfTwoNodesThatWaitToJoinTheFirstGoes(t *testing.T) {
	w := fleetOf(3, "v1")
	for i := range w.Nodes[:2] {
		r := own(&w, i, actuators.Verified)
		r.On, r.Try = version("v2"), actuators.Try{Version: version("v2"), ID: "x"}
		r.Taken = []actuators.Membership{w.Groups[0].Members[i].Membership}
		w.Nodes[i].Health = passing("v2", plan.WatchVerify)
	}
	w.Groups[0].Members = w.Groups[0].Members[2:]
	want := wants("v2", func(f *desired.Fleet) { f.Rollout.MaxUnavailable = desired.Amount{Count: 2} })
	if p := plan.Next(want, w); kindsOf(p, "") != "add web-1" || !strings.Contains(p.Nodes[1].Reason, "not proven yet") {
		t.Errorf("steps %q; web-2: %s", kindsOf(p, ""), p.Nodes[1].Reason)
	}
}

// Law 9: steps that were interrupted do not start again on a node that somebody put back meanwhile: it leaves first.
func TestLaw9NodePutBackByHandLeavesBeforeItsStepsStartAgain(t *testing.T) {
	w := fleetOf(3, "v1")
	r := own(&w, 0, actuators.Configuring)
	r.On, r.Try = version("v2"), actuators.Try{ID: "1", Version: version("v2")}
	p := plan.Next(wants("v2"), w)
	if got := kindsOf(p, ""); got != "leave web-1" || !p.Steps[0].Record.Spoiled || p.Steps[0].Record.Stage != actuators.Leaving {
		t.Fatalf("steps %q: %+v", got, p.Nodes[0])
	}
	w.Nodes[0].Host.Record = *p.Steps[0].Record
	if p := plan.Next(wants("v2"), w); kindsOf(p, "") != "drain web-1" {
		t.Errorf("steps %q: %+v", kindsOf(p, ""), p.Nodes[0])
	}
	*r = w.Nodes[0].Host.Record
	r.Stage = actuators.Configuring
	w.Nodes[0].Host.Job = actuators.JobState{Key: "other", Running: true}
	if p := plan.Next(wants("v2"), w); kindsOf(p, "") != "leave web-1" {
		t.Errorf("another job runs: steps %q", kindsOf(p, ""))
	}
	paused := wants("v3", func(f *desired.Fleet) { f.Paused = &desired.Pause{Reason: "incident"} })
	if p := plan.Next(paused, w); kindsOf(p, "") != "" { // nothing would be put there: whoever put it back knows why
		t.Errorf("paused, and steps %q: %+v", kindsOf(p, ""), p.Nodes[0])
	}
}

// Law 1: a group that only another node's record names, and that cannot be read, holds up no steps here, whatever was asked of others.
func TestLaw1UnreadableFormerGroupHoldsUpItsOwnAlone(t *testing.T) {
	w := fleetOf(4, "v1")
	r := own(&w, 0, actuators.Configuring)
	r.On, r.Try = version("v2"), actuators.Try{ID: "1", Version: version("v2")}
	w.Groups[0].Members = w.Groups[0].Members[1:]
	w.GroupsRead = w.Now
	w.Nodes[2].Host.Record.Places = append(w.Nodes[2].Host.Record.Places, actuators.Membership{Group: "arn:old", ID: "web-3", Port: 8080})
	w.Former = []actuators.GroupState{{Group: actuators.Group{ID: "arn:old", Name: "old"}, TargetType: "ip", Port: 8080, At: w.Now.Add(-time.Minute), Err: "denied"}}
	w.Nodes[1].Asked, w.Nodes[1].AskedAt = plan.Add, w.Now.Add(-30*time.Second)
	if p := plan.Next(wants("v2"), w); kindsOf(p, "") != "configure web-1" || p.Reread {
		t.Errorf("steps %q, read again %t: %s", kindsOf(p, ""), p.Reread, p.Nodes[0].Reason)
	}
}
