package plan_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler/plan"
)

// Worlds in which nodes hold each other up for good.

// Law 7: of more nodes that left a group in part than may be out, as the limit was lowered, those that cannot go back finish leaving: they
// are counted out already.
func TestLaw7NodesThatAreHalfOutDoNotHoldEachOther(t *testing.T) {
	w := fleetOf(6, "v1")
	add := twoGroups(&w)
	for i := range 2 {
		r := own(&w, i, actuators.Leaving)
		r.On, r.Spoiled, r.Taken = version("v2"), true, slices.Clone(r.Places)
		r.Try = actuators.Try{Version: version("v2"), ID: "x", Failures: 1, Error: "while baking: check serves", At: start.Add(-time.Hour)}
		w.Nodes[i].Asked, w.Nodes[i].AskedAt = plan.Drain, start.Add(-time.Minute)
		w.Groups[1].Members[i].Status, w.Groups[1].Members[i].AtFault = actuators.TargetUnhealthy, true
	}
	w.Groups[0].Members = w.Groups[0].Members[2:]
	for _, release := range []string{"v1", "v2"} {
		f := plan.Foresee(wants(release, add), w)
		if f.End.Phase != plan.PhaseIdle {
			t.Errorf("%s is wanted:\n%s", release, story(f))
		}
	}
}

// Laws 7, 10: a revert that comes while two nodes bake. Either both serve with what is on them or neither does: one may go while the other
// stays. They waited for each other.
func TestLaw7NodesThatBakeTheSameDoNotHoldEachOther(t *testing.T) {
	w := fleetOf(2, "v1")
	for i := range w.Nodes {
		r := own(&w, i, actuators.Verified)
		r.On, r.Try, r.Taken = version("v2"), actuators.Try{Version: version("v2"), ID: "x"}, slices.Clone(r.Places)
	}
	want := wants("v1", upTo(2, 2))
	f := plan.Foresee(want, w)
	if f.End.Phase != plan.PhaseIdle {
		t.Errorf("both serve v2, and are to go back to v1:\n%s", story(f))
	}
	for round := range 20 {
		p := plan.Next(want, w)
		if strings.Count(kindsOf(p, ""), "drain") > 1 {
			t.Fatalf("round %d: %s", round, kindsOf(p, ""))
		}
		for _, s := range p.Steps {
			for i := range w.Nodes {
				if w.Nodes[i].Name == s.Node && s.Record != nil {
					w.Nodes[i].Host.Record = s.Record.Clone()
				}
			}
		}
	}
	w.Nodes[1].Host.Record.On = version("v3")
	if p := plan.Next(want, w); kindsOf(p, "web-1") != "drain web-1" { // they would wait for each other for ever: seed 9591
		t.Errorf("v3 serves on web-2 by its balancers: %s", kindsOf(p, ""))
	}
	memberIn(&w, 1).Status = actuators.TargetUnknown
	if p := plan.Next(want, w); kindsOf(p, "web-1") != "" {
		t.Errorf("nothing says that v3 serves on web-2: %s", kindsOf(p, ""))
	}
}

// So where no balancer tells whether they serve: an agent that has just begun has them checked.
func TestLaw7HeldNodeIsCheckedWhereNothingElseTells(t *testing.T) {
	w := unbalanced(2, "v1")
	for i := range w.Nodes {
		r := own(&w, i, actuators.Verified)
		r.On, r.Try = version("v2"), actuators.Try{Version: version("v2"), ID: "x"}
	}
	f := plan.Foresee(wants("v1", noBalancers, upTo(2, 2)), w)
	if f.End.Phase != plan.PhaseIdle {
		t.Errorf("both serve v2, and are to go back to v1:\n%s", story(f))
	}
}

// Law 11: more attempts are no way to try again what a node gave up.
func TestLaw11MoreAttemptsDoNotHideTheVerdict(t *testing.T) {
	w := sickly(4, 0)
	w.Nodes, w.Groups[0].Members = slices.Delete(w.Nodes, 1, 2), w.Groups[0].Members[1:]
	p := plan.Next(wants("v2", func(f *desired.Fleet) { f.Rollout.Attempts = 3 }), w)
	if p.Phase != plan.PhaseHalted || !strings.HasPrefix(p.Reason, "v2 is halted: revert it") {
		t.Errorf("%s: %s", p.Phase, p.Reason)
	}
}

// Law 7: a target that never gets traffic, as its zone is off or it is stopped, is none that a group without a healthy one fails open to. Where
// there is nothing else, as behind a group without a listener, it may leave.
func TestLaw7UnusedTargetsDoNotMakeALastMemberFree(t *testing.T) {
	w := fleetOf(2, "v1")
	w.Groups[0].Members[0].Status, w.Groups[0].Members[0].AtFault = actuators.TargetUnhealthy, true
	w.Groups[0].Members[1].Status = actuators.TargetUnused
	if p := plan.Next(wants("v2"), w); strings.Contains(kindsOf(p, "web-1"), "leave") || !strings.Contains(holds(p), "web-1: hold: it is the last member of web") {
		t.Errorf("arn:web fails open to web-1 alone: steps %q; holds %s", kindsOf(p, ""), holds(p))
	}
	w.Groups[0].Members[0] = memberOf("web-1", actuators.TargetUnused)
	if p := plan.Next(wants("v2"), w); kindsOf(p, "") != "leave web-1" {
		t.Errorf("nothing of arn:web gets traffic: steps %q; holds %s", kindsOf(p, ""), holds(p))
	}
}

// Law 8: a version whose prepare steps fail is tried on no more nodes than may have it: while one waits for its next attempt nobody takes its
// place, and it comes before others, new ones too.
func TestLaw8FailedPreparationStaysOnItsNode(t *testing.T) {
	prepares := func(f *desired.Fleet) { f.Configure.Prepare = []desired.Step{{Name: "fetch", Run: "fetch"}} }
	w := fleetOf(4, "v1")
	w.Nodes = append(w.Nodes, nodeOf("web-5", "a", ""))
	w.Nodes[4].Out = start.Add(-time.Hour)
	r := &w.Nodes[0].Host.Record
	r.Try = actuators.Try{Version: version("v2"), ID: "x", Failures: 1, Error: "prepare step fetch: exit status 1", At: start.Add(-time.Second)}
	p := plan.Next(wants("v2", prepares), w)
	if len(p.Steps) > 0 || p.WakeAt.IsZero() {
		t.Errorf("web-1 waits for its second attempt: steps %q, wakes %v", kindsOf(p, ""), p.WakeAt)
	}
	r.Try.At = start.Add(-time.Minute)
	if p := plan.Next(wants("v2", prepares), w); kindsOf(p, "") != "prepare web-1" {
		t.Errorf("its second attempt is due: steps %q; %s", kindsOf(p, ""), holds(p))
	}
	w.Nodes[0].Read.Err = "connection timed out"
	if p := plan.Next(wants("v2", prepares), w); kindsOf(p, "") != "configure web-5" {
		t.Errorf("web-1 cannot be reached, and serves v1: steps %q; %s", kindsOf(p, ""), holds(p))
	}
	r.On = version("v2")
	if p := plan.Next(wants("v2", prepares), w); len(p.Steps) > 0 || !strings.Contains(p.Reason, "web-1 has it and cannot be reached: mend or replace it") {
		t.Errorf("web-1 cannot be reached, and serves v2: steps %q; %s", kindsOf(p, ""), holds(p))
	}
}
