package plan_test

import (
	"testing"
	"time"

	"windlass/actuators"
	"windlass/reconciler/plan"
)

// claimedBy is a fleet whose first node was left drained under a claim: its record was read now, the claim was first seen a while ago.
func claimedBy(c actuators.Claim, seen time.Duration) plan.World {
	w := fleetOf(4, "v1")
	r := own(&w, 0, actuators.Leaving)
	r.Taken = []actuators.Membership{w.Groups[0].Members[0].Membership}
	r.Claim = &c
	w.Nodes[0].Claimed, w.Nodes[0].Out = w.Now.Add(-seen), w.Now.Add(-time.Minute)
	w.Groups[0].Members = w.Groups[0].Members[1:]
	return w
}

// takesOver reports whether the plan works on the first node.
func takesOver(w plan.World) bool {
	for _, s := range plan.Next(wants("v2"), w).Steps {
		if s.Node == "web-1" {
			return true
		}
	}
	return false
}

// Law 18: an agent takes over at once what an earlier process of its own left, and nothing that another may still work on.
func TestLaw18WhoseClaimIsTakenOver(t *testing.T) {
	live := start.Add(20 * time.Second)
	for name, c := range map[string]struct {
		claim actuators.Claim
		want  bool
	}{
		"its own":                              {actuators.Claim{Holder: "agent-a", Epoch: 3, Nonce: "n3", Expires: live}, true},
		"an earlier process's":                 {actuators.Claim{Holder: "agent-a", Epoch: 2, Nonce: "n2", Expires: live}, true},
		"that of a copied state directory":     {actuators.Claim{Holder: "agent-a", Epoch: 3, Nonce: "copy", Expires: live}, false},
		"that of a directory that is put back": {actuators.Claim{Holder: "agent-a", Epoch: 4, Nonce: "n4", Expires: live}, false},
		"another agent's":                      {actuators.Claim{Holder: "agent-b", Epoch: 1, Nonce: "b", Expires: live}, false},
	} {
		if got := takesOver(claimedBy(c.claim, 0)); got != c.want {
			t.Errorf("%s: taken over %v, want %v", name, got, c.want)
		}
	}
}

// Law 18: another agent's claim is over when a call that it began in its last moment is, by the node's clock; and no claim lasts longer
// than claims do, whatever it says.
func TestLaw18ClaimLastsAsLongAsACallBegunUnderIt(t *testing.T) {
	for name, c := range map[string]struct {
		expired, seen time.Duration // ago
		want          bool
	}{
		"just expired":              {0, 0, false},
		"a call may be in flight":   {plan.TakeoverWait - time.Nanosecond, 0, false},
		"no call can be any more":   {plan.TakeoverWait, 0, true},
		"expires in a year":         {-365 * 24 * time.Hour, actuators.ClaimTime, false},
		"is seen for long enough":   {-365 * 24 * time.Hour, actuators.ClaimTime + plan.TakeoverWait, true},
		"is seen not quite so long": {-365 * 24 * time.Hour, actuators.ClaimTime + plan.TakeoverWait - time.Nanosecond, false},
	} {
		w := claimedBy(actuators.Claim{Holder: "agent-b", Epoch: 9, Nonce: "b", Expires: start.Add(-c.expired)}, c.seen)
		if got := takesOver(w); got != c.want {
			t.Errorf("%s: taken over %v, want %v", name, got, c.want)
		}
	}
}
