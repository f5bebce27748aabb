package plan_test

import (
	"testing"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler/plan"
)

// Law 9: nodes that wait to leave share a reading. What another asked for after it began changes nothing: it counts as out by its record.
func TestLaw9NodesShareAReadingOfTheirBalancers(t *testing.T) {
	w := fleetOf(6, "v1")
	r := &w.Nodes[5].Host.Record
	r.On, r.Proven, r.Previous = version("v2"), version("v2"), version("v1")
	for i := range 2 {
		own(&w, i, actuators.Leaving).Taken = []actuators.Membership{w.Groups[0].Members[i].Membership}
	}
	w.Groups[0].At, w.GroupsRead = start.Add(-time.Second), start.Add(-500*time.Millisecond)
	w.Nodes[0].Asked, w.Nodes[0].AskedAt = plan.Drain, start.Add(-700*time.Millisecond)
	two := func(f *desired.Fleet) { f.Rollout.MaxUnavailable = desired.Amount{Count: 2} }
	if got := kindsOf(plan.Next(wants("v2", two), w), ""); got != "drain web-2" {
		t.Errorf("web-2 may leave on a reading of half a second ago, although web-1 was asked to since; steps %q", got)
	}
	w.Nodes[1].Asked, w.Nodes[1].AskedAt = plan.Add, w.Nodes[0].AskedAt
	if p := plan.Next(wants("v2", two), w); len(p.Steps) > 0 || !p.Reread {
		t.Errorf("web-2 itself was asked to join since that reading began; steps %q, reread %t", kindsOf(p, ""), p.Reread)
	}
}

// Before a node behind no load balancer is changed, as many others are checked again as are enough of a large fleet: those that were not for
// the longest. When they were, it is changed.
func TestLaw9ALargeFleetIsCheckedAgainInPart(t *testing.T) {
	w := unbalanced(100, "v1")
	for i := range w.Nodes {
		w.Nodes[i].Health = passing("v1", plan.WatchIdle)
	}
	own(&w, 0, actuators.Leaving)
	w.Nodes[0].Staged = start.Add(-time.Minute)
	for i := range 30 { // for another, before it was claimed
		w.Nodes[50+i].Health = passing("v1", plan.WatchAgain)
		w.Nodes[50+i].Health.Since = start.Add(-time.Hour)
	}
	p := plan.Next(wants("v2", noBalancers), w)
	again := map[string]bool{}
	for _, watch := range p.Watch {
		again[watch.Node] = watch.Phase == plan.WatchAgain
	}
	if len(again) != plan.MostRechecks || len(p.Steps) > 0 {
		t.Errorf("%d are checked again, want %d; steps %q", len(again), plan.MostRechecks, kindsOf(p, ""))
	}
	checked := 0
	for i := range w.Nodes {
		n := &w.Nodes[i]
		if !again[n.Name] {
			continue
		}
		if n.Health.Phase == plan.WatchAgain {
			t.Errorf("%s was checked an hour ago, others never were", n.Name)
		}
		if checked++; checked == plan.MostRechecks {
			if p := plan.Next(wants("v2", noBalancers), w); kindsOf(p, "web-1") != "" || len(p.Watch) != 1 {
				t.Errorf("one is not checked yet: steps %q, %d watches", kindsOf(p, ""), len(p.Watch))
			}
		}
		n.Health = passing("v1", plan.WatchAgain)
	}
	if p := plan.Next(wants("v2", noBalancers), w); kindsOf(p, "web-1") != "configure web-1" || len(p.Watch) > 0 {
		t.Errorf("all were checked: steps %q, %d watches", kindsOf(p, ""), len(p.Watch))
	}
}
