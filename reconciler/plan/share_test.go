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
