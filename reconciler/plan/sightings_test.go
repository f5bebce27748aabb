package plan_test

import (
	"strings"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler/plan"
)

// Worlds that once showed a fault of the decision, each as what a user would notice.

// A held, spoiled node that is in one of its two groups only (the other call was throttled), sorted after an unhealthy one.
func pingPong() (plan.Want, plan.World) {
	w := fleetOf(4, "v1")
	add := twoGroups(&w)
	r := own(&w, 3, actuators.Leaving)
	r.StageAt = start.Add(-10 * time.Minute)
	r.On, r.Spoiled = version("v2"), true
	r.Try = actuators.Try{Version: version("v2"), ID: "x", Failures: 1, Error: "while baking: check serves", At: start.Add(-10 * time.Minute)}
	r.Taken = []actuators.Membership{w.Groups[1].Members[3].Membership, w.Groups[0].Members[3].Membership}
	w.Groups[0].Members = w.Groups[0].Members[:3] // it has left the first
	w.Nodes[3].Asked, w.Nodes[3].AskedAt = plan.Drain, start.Add(-time.Minute)
	for g := range w.Groups {
		w.Groups[g].Members[1].Status = actuators.TargetUnhealthy // web-2
	}
	return wants("v2", add), w
}

func TestHeldNodeThatHasLeftOneOfItsGroupsLetsNobodyBeClaimedInVain(t *testing.T) {
	want, w := pingPong()
	f := plan.Foresee(want, w)
	n := 0
	for _, e := range f.Events {
		if e.Node == "web-2" && e.Kind == plan.Restore && strings.Contains(e.Reason, "stays for now") {
			n++
		}
	}
	if n > 1 {
		t.Errorf("web-2 was claimed and let go %d times; %d events\n%s", n, len(f.Events), story(plan.Forecast{Events: f.Events[:6]}))
	}
}

// An unproven node at rest that is unhealthy, whose newest try was at another version: it is neither repaired nor given up.
func TestUnhealthyNodeWithWhatWasNeverProvenIsConfigured(t *testing.T) {
	w := fleetOf(3, "v1")
	r := &w.Nodes[0].Host.Record
	r.Proven = version("v0")
	r.Try = actuators.Try{Version: version("v2"), ID: "x"} // prepared for v2 since
	w.Groups[0].Members[0].Status, w.Groups[0].Members[0].AtFault = actuators.TargetUnhealthy, true
	f := plan.Foresee(wants("v1"), w)
	if len(f.End.Steps) > 0 {
		t.Errorf("after %d events still %s: %s", len(f.Events), f.End.Phase, f.End.Reason)
	}
	for _, e := range f.Events {
		if e.Kind == plan.Configure {
			return
		}
	}
	t.Error("it is never configured")
}

func TestLaw7LastMemberOfOneGroupStays(t *testing.T) {
	w := fleetOf(2, "v1")
	add := twoGroups(&w)
	w.Groups[0].Members[0].Status, w.Groups[0].Members[0].AtFault = actuators.TargetUnhealthy, true
	w.Groups[1].Members[0].Status, w.Groups[1].Members[0].AtFault = actuators.TargetUnhealthy, true
	w.Groups[1].Members = w.Groups[1].Members[:1] // somebody took web-2 out of the second group
	f := plan.Foresee(wants("v2", add), w)
	for _, e := range f.Events {
		if e.Kind == plan.Drain && e.Node == "web-1" {
			t.Errorf("web-1 leaves %v: it was the last member of arn:two, which fails open to it\n%s", e.Targets, story(f))
		}
	}
}

// A stranger whose removal is in flight for longer than AskAgain counts as serving, so that a node leaves beside it.
func TestG8NobodyLeavesBesideARemovalThatIsInFlight(t *testing.T) {
	w := fleetOf(3, "v1")
	x := memberOf("old-1", actuators.TargetHealthy)
	w.Groups[0].Members = append(w.Groups[0].Members, x)
	w.Pruned = plan.Removal{ID: "old-1", Busy: true, At: start.Add(-6 * time.Second)} // not answered yet: the deadline is 10 s
	f := plan.Next(wants("v2", func(f *desired.Fleet) { f.LoadBalancers[0].Prune = true }), w)
	for _, s := range f.Steps {
		if s.Kind == plan.Leave {
			t.Errorf("in service %d, floor %d", f.InService, f.Floor)
		}
	}
}

func TestExclusionThatNamesNobodyExpectsNoFewer(t *testing.T) {
	w := fleetOf(3, "v1")
	want := wants("v2", func(f *desired.Fleet) {
		f.Nodes.Expect = 4
		f.Nodes.Exclude = []desired.Exclusion{{Name: "web-44", Reason: "slip"}}
	})
	p := plan.Next(want, w)
	for _, s := range p.Steps {
		if s.Kind == plan.Leave {
			t.Errorf("one of 4 expected nodes is missing, and %s leaves: size %d floor %d in service %d", s.Node, p.Size, p.Floor, p.InService)
		}
	}
	w = fleetOf(4, "v1")
	for i := range 2 {
		w.Nodes[i].Alias = "web"
	}
	want = wants("v2", func(f *desired.Fleet) {
		f.Nodes.Expect = 4
		f.Nodes.Exclude = []desired.Exclusion{{Name: "web", Reason: "both"}}
	})
	if p := plan.Next(want, w); p.Size != 2 || len(p.Nodes) != 2 {
		t.Errorf("two of four nodes have the name that is excluded: size %d", p.Size)
	}
}

// An idle node that serves the unproven wanted version (it was let go at the floor while a newer one was wanted) keeps a verified one out, and nobody lets it bake.
func TestNodeThatWasLetGoBakesFirst(t *testing.T) {
	w := fleetOf(3, "v1")
	r := &w.Nodes[1].Host.Record
	r.On, r.Prepared = version("v2"), "d1-v2"
	r.Try = actuators.Try{Version: version("v2"), ID: "x"}
	f := plan.Foresee(wants("v2"), w)
	if f.End.Phase == plan.PhaseHalted {
		t.Error("v2 is halted, and nothing ever failed")
	}
}

// How such a node comes about: v2 bakes on web-2, v3 is committed, and web-3 is unhealthy just then.
func TestNodeWithWhatWasNeverProvenIsHeldNotLetGo(t *testing.T) {
	w := fleetOf(3, "v1")
	r := own(&w, 1, actuators.Verified)
	r.On, r.Try, r.Taken = version("v2"), actuators.Try{Version: version("v2"), ID: "x"}, r.Places
	w.Groups[0].Members[2].Status, w.Groups[0].Members[2].AtFault = actuators.TargetUnhealthy, true
	want := wants("v3")
	for range 3 {
		p := plan.Next(want, w)
		for _, s := range p.Steps {
			for i := range w.Nodes {
				if w.Nodes[i].Name == s.Node && s.Record != nil {
					w.Nodes[i].Host.Record = s.Record.Clone()
				}
			}
		}
		w.Now = w.Now.Add(100 * time.Millisecond)
	}
	got := w.Nodes[1].Host.Record
	if got.Stage == actuators.Idle && got.On.Release == "v2" && got.Proven.Release == "v1" {
		t.Errorf("web-2 is at rest with v2, which was never proven anywhere, and serves it: %+v", got.On)
	}
}

// Law 7: web-1 failed its bake, was taken out of arn:web, and the call for arn:two was refused; it is held at the floor. web-2 is unhealthy.
func TestLaw7NodeThatLeftOneOfTwoGroupsIsAway(t *testing.T) {
	w := fleetOf(4, "v1")
	add := twoGroups(&w)
	r := own(&w, 0, actuators.Leaving)
	r.On, r.Spoiled = version("v2"), true
	r.Try = actuators.Try{Version: version("v2"), ID: "x", Failures: 1, Error: "while baking: check serves", At: start.Add(-10 * time.Minute)}
	r.Taken = []actuators.Membership{w.Groups[1].Members[0].Membership, w.Groups[0].Members[0].Membership}
	w.Groups[0].Members = w.Groups[0].Members[1:] // it has left arn:web
	w.Nodes[0].Asked, w.Nodes[0].AskedAt = plan.Drain, start.Add(-time.Minute)
	for g, i := range []int{0, 1} {
		m := &w.Groups[g].Members[i] // web-2
		m.Status, m.AtFault = actuators.TargetUnhealthy, true
	}
	f := plan.Foresee(wants("v2", add), w)
	for _, e := range f.Events {
		if e.Kind == plan.Drain && e.Node == "web-2" {
			t.Errorf("maxUnavailable 1: web-1 is out of arn:web by windlass's hand, and web-2 leaves it too: %v", e.Targets)
		}
	}
}

// failedBefore is web-3 at the end of its last attempt at v4, after v3 had failed on it. The node at proven has v4 proven; -1: none has.
func failedBefore(proven int) plan.World {
	w := fleetOf(4, "v1")
	r := own(&w, 2, actuators.Configuring)
	r.On = version("v4")
	r.Try = actuators.Try{Version: version("v4"), ID: "x", Failures: 1, At: start.Add(-time.Hour), Earlier: "d1-v3"}
	r.Taken = []actuators.Membership{w.Groups[0].Members[2].Membership}
	w.Groups[0].Members = append(w.Groups[0].Members[:2], w.Groups[0].Members[3:]...)
	w.Nodes[2].Host.Job = actuators.JobState{Key: "d1-v4-x-1-activate", Exited: true, Exit: 1, Step: "install"}
	if proven >= 0 {
		p := &w.Nodes[proven].Host.Record
		p.On, p.Proven, p.Previous = version("v4"), version("v4"), version("v1")
	}
	return w
}

// Law 11, G48: a bad fix after a bad release is never blamed on the node it was tried on.
func TestLaw11BadFixAfterABadReleaseHalts(t *testing.T) {
	for proven, halts := range map[int]int{-1: 1, 0: 0} {
		p := plan.Next(wants("v4"), failedBefore(proven))
		if len(p.Steps) == 0 || p.Steps[0].Kind != plan.Fail || len(p.Steps[0].Record.Halts) != halts {
			t.Errorf("v4 proven on %d: steps %q, want a failure with %d halts", proven, kindsOf(p, ""), halts)
		}
	}
}

// Law 11: a node that windlass has out goes on counting as away when a person excludes it, until it serves or is gone.
func TestLaw11ExcludedNodeThatWindlassHasOutIsAway(t *testing.T) {
	w := fleetOf(4, "v1")
	w.Groups[0].Members = w.Groups[0].Members[1:]
	w.Nodes[1].Host.Record.Facts = []actuators.Fact{{Kind: actuators.Away, Node: "web-1", Instance: w.Nodes[0].ID, Release: "v2"}}
	want := wants("v3", func(f *desired.Fleet) { f.Nodes.Exclude = []desired.Exclusion{{Name: "web-1", Reason: "looked at"}} })
	p := plan.Next(want, w)
	if strings.Contains(kindsOf(p, ""), "leave") || !strings.Contains(p.Reason, "remove it from nodes or terminate it") {
		t.Errorf("web-1 is out by windlass's hand: steps %q; %s", kindsOf(p, ""), p.Reason)
	}
	w.Groups[0].Members = append([]actuators.Target{memberOf("web-1", actuators.TargetHealthy)}, w.Groups[0].Members...)
	if p := plan.Next(want, w); !strings.Contains(kindsOf(p, ""), "leave") {
		t.Errorf("web-1 serves again: steps %q; %s", kindsOf(p, ""), p.Reason)
	}
	w.Groups[0].Members, w.Nodes = w.Groups[0].Members[1:], w.Nodes[1:]
	if p := plan.Next(want, w); !strings.Contains(kindsOf(p, ""), "leave") {
		t.Errorf("web-1 is gone: steps %q; %s", kindsOf(p, ""), p.Reason)
	}
}

// Law 11: what a balancer says of itself uses no attempt.
func TestLaw11FaultOfTheBalancerUsesNoAttempt(t *testing.T) {
	for fault, fails := range map[bool]bool{true: true, false: false} {
		w := joining(11*time.Minute, actuators.TargetUnhealthy)
		w.Groups[0].Members[0].AtFault = fault
		p := plan.Next(wants("v2"), w)
		if got := strings.Contains(kindsOf(p, "web-1"), "fail"); got != fails {
			t.Errorf("at fault %t: steps %q; %s", fault, kindsOf(p, ""), p.Nodes[0].Reason)
		}
	}
}
