package plan_test

import (
	"strings"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler/plan"
)

// What stories of the field found, each as what a user would notice.

// web-2 had left one of its two groups, could not leave the other, and was registered again. Until it serves there it is out by windlass's hand.
func TestLaw7NodeThatWasGivenBackIsOutUntilItServes(t *testing.T) {
	w := fleetOf(4, "v1")
	add := twoGroups(&w)
	own(&w, 1, actuators.Leaving).Taken = []actuators.Membership{w.Groups[1].Members[1].Membership, w.Groups[0].Members[1].Membership}
	w.Groups[0].Members[1].Status = actuators.TargetInitial
	w.Nodes[1].Asked, w.Nodes[1].AskedAt = plan.Add, start.Add(-6*time.Second)
	for g := range w.Groups {
		w.Groups[g].Members[2].Status, w.Groups[g].Members[2].AtFault = actuators.TargetUnhealthy, true
	}
	for _, s := range plan.Next(wants("v2", add), w).Steps {
		if s.Kind == plan.Leave {
			t.Errorf("%s leaves: %s; web-2 is out, and maxUnavailable is 1", s.Node, s.Reason)
		}
	}
}

// v3 is committed while three nodes are out for v2: one of them tries it, the others go back or finish what they are at.
func TestLaw11UnprovenVersionIsTriedOnOneOfTheNodesThatAreOut(t *testing.T) {
	w := fleetOf(6, "v1")
	r := &w.Nodes[5].Host.Record
	r.On, r.Proven, r.Previous = version("v2"), version("v2"), version("v1")
	for i := range 3 {
		own(&w, i, actuators.Leaving).Taken = []actuators.Membership{w.Groups[0].Members[i].Membership}
		w.Nodes[i].Asked, w.Nodes[i].AskedAt, w.Nodes[i].Out = plan.Drain, start.Add(-time.Minute), start.Add(-30*time.Second)
	}
	w.Groups[0].Members = w.Groups[0].Members[3:]
	three := func(f *desired.Fleet) { f.Rollout.MaxUnavailable = desired.Amount{Count: 3} }
	if p := plan.Next(wants("v3", three), w); kindsOf(p, "") != "configure web-1" {
		t.Errorf("steps %q, %s", kindsOf(p, ""), holds(p))
	}
	if p := plan.Next(wants("v2", three), w); kindsOf(p, "") != "configure web-1, configure web-2, configure web-3" {
		t.Errorf("v2 is proven here, and steps are %q, %s", kindsOf(p, ""), holds(p))
	}
	r = own(&w, 1, actuators.Configuring)
	r.On, r.Try, r.Spoiled = version("v2"), actuators.Try{Version: version("v2"), ID: "x", Failures: 1, Error: "503"}, true
	if p := plan.Next(wants("v3", three), w); kindsOf(p, "") != "configure web-2" {
		t.Errorf("web-2 can serve nobody as it is, and steps are %q, %s", kindsOf(p, ""), holds(p))
	}
	r = own(&w, 0, actuators.Configuring)
	r.On, r.Try = version("v3"), actuators.Try{Version: version("v3"), ID: "x"}
	if p := plan.Next(wants("v3", three), w); strings.Contains(kindsOf(p, ""), "configure web-2") {
		t.Errorf("web-1 tries v3, and steps are %q, %s", kindsOf(p, ""), holds(p))
	}
}

// Who is not in service uses up what may be unavailable: it goes first, or nobody can.
func TestNodeThatSomebodyTookOutOfOneOfItsGroupsGoesFirst(t *testing.T) {
	w := fleetOf(3, "v1")
	add := twoGroups(&w)
	w.Groups[1].Members = w.Groups[1].Members[:2]
	w.Nodes[2].OutSince = start.Add(-time.Hour)
	if p := plan.Next(wants("v2", add), w); kindsOf(p, "") != "leave web-3" {
		t.Errorf("steps %q, %s", kindsOf(p, ""), holds(p))
	}
}

// web-1 was asked to leave with v2, which was never proven there, and v2 is wanted again. What its balancers show may be from before.
func TestG8NodeThatGoesBackIsNotProvenOnAnOldReading(t *testing.T) {
	w := fleetOf(3, "v1")
	r := own(&w, 0, actuators.Verified)
	r.On, r.Taken = version("v2"), r.Places
	w.Nodes[0].Asked, w.Nodes[0].AskedAt = plan.Drain, start.Add(-2*time.Second)
	w.Nodes[0].Health = passing("v2", plan.WatchBake)
	if p := plan.Next(wants("v2"), w); len(p.Steps) > 0 || p.WakeAt.IsZero() {
		t.Errorf("steps %q, and it may be leaving", kindsOf(p, ""))
	}
	w.Nodes[0].AskedAt = start.Add(-time.Minute)
	if p := plan.Next(wants("v2"), w); kindsOf(p, "") != "prove web-1" {
		t.Errorf("steps %q, and it stays", kindsOf(p, ""))
	}
}

// The node that is to try v3 cannot leave just now, and its newest reading failed: another that bakes v2 is not sent after it and back.
func TestNodeThatTriesWhatIsUnprovenIsChosenOnce(t *testing.T) {
	w := fleetOf(6, "v1")
	r := own(&w, 3, actuators.Leaving)
	r.On, r.Taken = version("v2"), r.Places
	r = own(&w, 1, actuators.Verified)
	r.On, r.Taken = version("v2"), r.Places
	three := func(f *desired.Fleet) { f.Rollout.MaxUnavailable = desired.Amount{Count: 3} }
	for _, failed := range []string{"", "connection refused"} {
		w.Nodes[3].Read.Err = failed
		if p := plan.Next(wants("v3", three), w); kindsOf(p, "web-2") != "" {
			t.Errorf("web-4 is on its way (last reading: %q), and steps are %q", failed, kindsOf(p, ""))
		}
	}
	w.Nodes[3].Read.At = start.Add(-time.Hour)
	if p := plan.Next(wants("v3", three), w); kindsOf(p, "web-2") != "leave web-2" {
		t.Errorf("web-4 cannot be read for an hour, and steps are %q", kindsOf(p, ""))
	}
}
