package plan_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/reconciler/plan"
)

// sickly is a fleet that rolls from v1 to v2, which some nodes gave up that had given up v0 before: v2 was proven on web-2.
func sickly(n int, who ...int) plan.World {
	w := fleetOf(n, "v1")
	for _, i := range who {
		r := &w.Nodes[i].Host.Record
		r.Stage, r.On, r.Spoiled, r.Taken = actuators.Failed, version("v2"), true, slices.Clone(r.Places)
		r.Try = actuators.Try{Version: version("v2"), ID: "x", Failures: 2, Error: "step install: exit status 1", At: start.Add(-time.Hour), Earlier: "d1-v0"}
		w.Nodes[i].Out = start.Add(-time.Hour)
		w.Groups[0].Members = slices.DeleteFunc(w.Groups[0].Members, func(t actuators.Target) bool { return t.ID == w.Nodes[i].Name })
	}
	r := &w.Nodes[1].Host.Record
	r.On, r.Proven, r.Previous = version("v2"), version("v2"), version("v1")
	return w
}

func upTo(away, canary int) func(*desired.Fleet) {
	return func(f *desired.Fleet) {
		f.Rollout.MaxUnavailable, f.Rollout.Canary = desired.Amount{Count: away}, &desired.Canary{Nodes: canary}
	}
}

// Law 11: web-1 was sick while web-2 had proven v2. With web-2 gone, the rollout ended in silence: nobody may follow a node that is lost to v2.
func TestLaw11NodeIsSickOnlyWhileAnotherHasProvenTheVersion(t *testing.T) {
	w := sickly(4, 0)
	if p := plan.Next(wants("v2", upTo(2, 1)), w); !strings.HasPrefix(kindsOf(p, ""), "leave") {
		t.Errorf("v2 is proven: steps %q; %s", kindsOf(p, ""), p.Reason)
	}
	w.Nodes, w.Groups[0].Members = slices.Delete(w.Nodes, 1, 2), w.Groups[0].Members[1:]
	p := plan.Next(wants("v2", upTo(2, 1)), w)
	if p.Phase != plan.PhaseHalted || !strings.HasPrefix(p.Reason, "v2 is halted: revert it, commit a fix, or set retry to 1") {
		t.Errorf("v2 is proven nowhere, and failed on web-1: %s: %s", p.Phase, p.Reason)
	}
	for _, n := range p.Nodes {
		if kindsOf(p, n.Name) != "halt "+n.Name {
			t.Errorf("%s is not told: steps %q", n.Name, kindsOf(p, n.Name))
		}
	}
	if p := plan.Next(wants("v2", upTo(2, 1), func(f *desired.Fleet) { f.Retry = 1 }), w); !strings.HasPrefix(kindsOf(p, ""), "configure web-1") {
		t.Errorf("tried again: steps %q; %s", kindsOf(p, ""), p.Reason)
	}
}

// Law 11: a node that cannot be read may have proven the version: the fleet waits for it, and does not halt.
func TestLaw11UnreadNodeMayHaveProvenTheVersion(t *testing.T) {
	w := sickly(4, 0)
	w.Nodes[1].Host, w.Nodes[1].Read = nil, plan.Source{Err: "connection timed out"}
	for range 2 { // in service, and out
		p := plan.Next(wants("v2", upTo(3, 1)), w)
		if p.Halt != nil || !strings.Contains(p.Reason, "it failed on web-1, and a node that cannot be read may have proven it") {
			t.Errorf("%s: %s; holds %s", p.Phase, p.Reason, holds(p))
		}
		w.Groups[0].Members = w.Groups[0].Members[1:]
	}
}

// Law 11: sick nodes take no canary's place. Two of them, with a canary of two, ended the rollout in silence.
func TestLaw11SickNodesAreNoCanaries(t *testing.T) {
	if f := plan.Foresee(wants("v2", upTo(3, 2)), sickly(5, 0, 2)); f.End.Nodes[4].Release != "v2" {
		t.Errorf("v2 is proven on web-2, and web-1 and web-3 are sick:\n%s", story(f))
	}
}

// Law 11: where fewer attempts are allowed than when they began, the last one ends in the verdict too.
func TestLaw11FewerAttemptsEndInTheVerdict(t *testing.T) {
	w := fleetOf(4, "v1")
	r := own(&w, 0, actuators.Leaving)
	r.On, r.Spoiled, r.Taken = version("v2"), true, slices.Clone(r.Places)
	r.Try = actuators.Try{Version: version("v2"), ID: "x", Failures: 1, Error: "while baking: check serves", At: start.Add(-10 * time.Minute)}
	w.Groups[0].Members = w.Groups[0].Members[1:]
	f := plan.Foresee(wants("v2", upTo(2, 1), func(f *desired.Fleet) { f.Rollout.Attempts = 1 }), w)
	if f.End.Phase != plan.PhaseHalted {
		t.Errorf("web-1 used up the one attempt there is:\n%s", story(f))
	}
}

// A node that was let go with the wanted version before it was proven, and that is unhealthy or drifted by now, took the canary's place and
// was never worked on: the rollout ended in silence.
func TestNodeThatWasLetGoAndIsUnwellIsConfigured(t *testing.T) {
	for name, change := range map[string]func(*plan.World){
		"unhealthy": func(w *plan.World) {
			w.Groups[0].Members[1].Status, w.Groups[0].Members[1].AtFault = actuators.TargetUnhealthy, true
		},
		"its balancer's fault": func(w *plan.World) { w.Groups[0].Members[1].Status = actuators.TargetUnhealthy },
		"gets no traffic":      func(w *plan.World) { w.Groups[0].Members[1].Status = actuators.TargetUnused },
		"drifted": func(w *plan.World) {
			w.Nodes[1].Health = failing("v2", plan.WatchIdle)
			w.Nodes[1].Health.Status = health.Contradicted
		},
		"beside a new node": func(w *plan.World) {
			w.Groups[0].Members[1].Status, w.Groups[0].Members[1].AtFault = actuators.TargetUnhealthy, true
			w.Nodes = append(w.Nodes, nodeOf("web-4", "a", ""))
			w.Nodes[3].Out = start.Add(-time.Hour)
		},
	} {
		w := fleetOf(3, "v1")
		r := &w.Nodes[1].Host.Record
		r.On, r.Prepared, r.Try = version("v2"), "d1-v2", actuators.Try{Version: version("v2"), ID: "x"}
		change(&w)
		f := plan.Foresee(wants("v2", upTo(2, 1)), w)
		if !slices.ContainsFunc(f.Events, func(e plan.Event) bool { return e.Node == "web-2" && e.Kind == plan.Configure }) {
			t.Errorf("%s: web-2 is never configured:\n%s", name, story(f))
		}
	}
}

// Laws 11, 15: a revert that waits for others' health is no fault of what it goes back to. v1 was halted after 15 minutes, and web-1 then
// stayed out for good when web-2 was well again.
func TestLaw11WayBackIsNotHaltedForBeingHeld(t *testing.T) {
	w := fleetOf(4, "v1")
	r := own(&w, 0, actuators.Leaving)
	r.StageAt = start.Add(-20 * time.Minute)
	r.On, r.Spoiled, r.Taken = version("v2"), true, slices.Clone(r.Places)
	r.Try = actuators.Try{Version: version("v2"), ID: "x", Failures: 2, Error: "while baking: check serves", At: start.Add(-20 * time.Minute)}
	w.Groups[0].Members[1].Status, w.Groups[0].Members[1].AtFault = actuators.TargetUnhealthy, true
	w.Progress = start.Add(-20 * time.Minute)
	for _, spoiled := range []bool{true, false} {
		r.Spoiled = spoiled
		p := plan.Next(wants("v1"), w)
		if p.Halt != nil || !strings.Contains(p.Reason, "back to v1; web-1 is draining: hold: 2 of 4 in service, floor is 3") {
			t.Errorf("%s: %s; holds %s", p.Phase, p.Reason, holds(p))
		}
	}
}

// Law 11, G19: a machine that died under a bad release forbids no way back. v1 was halted for it after 15 minutes, so that the machine that
// replaced it never got v1.
func TestLaw11DeadMachineDoesNotHaltTheWayBack(t *testing.T) {
	w := fleetOf(4, "v1")
	r := own(&w, 0, actuators.Configuring)
	r.On, r.Taken, r.Try = version("v2"), slices.Clone(r.Places), actuators.Try{Version: version("v2"), ID: "x"}
	w.Groups[0].Members = w.Groups[0].Members[1:]
	w.Nodes[0].Read.Err = "connection timed out"
	w.Progress = start.Add(-20 * time.Minute)
	p := plan.Next(wants("v1"), w)
	if p.Halt != nil || !strings.Contains(p.Reason, "back to v1; web-1 is unreachable: connection timed out") {
		t.Errorf("%s: %s", p.Phase, p.Reason)
	}
	if p := plan.Next(wants("v2"), w); p.Phase != plan.PhaseHalted {
		t.Errorf("v2 makes no progress: %s: %s", p.Phase, p.Reason)
	}
}

// Law 23: where a node that cannot be reached uses up what may be out, its name is in the headline.
func TestLaw23NodeThatIsOutAndCannotBeReachedIsNamed(t *testing.T) {
	w := fleetOf(4, "v1")
	w.Nodes[0].Host, w.Nodes[0].Read = nil, plan.Source{Err: "connection timed out"}
	w.Groups[0].Members = w.Groups[0].Members[1:]
	if p := plan.Next(wants("v2"), w); !strings.Contains(p.Reason, "web-1 is out and cannot be reached: mend or replace it") {
		t.Errorf("%s: %s", p.Phase, p.Reason)
	}
}
