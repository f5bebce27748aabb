package reconciler

import (
	"time"

	"windlass/actuators"
	"windlass/reconciler/plan"
)

// A rollCall reads every record again before a journey starts, so that another agent's claim or a verdict written meanwhile is
// seen (law 18). It is over when each node was tried since it began.
//
// Its answer holds for plan.RecordAge, and for as long as a node is under way under this agent's own live claim: the roll call of any other
// agent sees that claim, and so nobody else begins. What was read then stays true but for what this agent writes, and a rollout reads each
// record a few times, not once for each node that sets out (decision 21). The claim of another agent voids it: the next one counts only
// what was read since that claim was last seen.
type rollCall struct {
	began   time.Time // zero: none is under way
	ended   time.Time // until when the newest one's answer was good; zero: there is none
	foreign time.Time // when another agent's claim was last seen
}

// callRoll begins a roll call, unless one is under way. Records read a moment ago count.
func (a *actor) callRoll(now time.Time) {
	if !a.rollCall.began.IsZero() {
		return
	}
	a.rollCall.began = now
	for _, n := range a.order {
		if a.due(n) && n.Read.Err == "" {
			n.nextRead = earlier(n.nextRead, now)
		}
	}
	a.rollCalled(now)
}

// due reports whether the node has not been tried for this roll call.
func (a *actor) due(n *node) bool {
	return a.rollCall.began.Sub(n.triedAt) > plan.RecordAge || n.triedAt.Before(a.rollCall.foreign)
}

// rollCalled ends a roll call when nobody is missing. Nodes that cannot be read were tried before, and are tried again by themselves.
func (a *actor) rollCalled(now time.Time) {
	if a.rollCall.began.IsZero() {
		return
	}
	for _, n := range a.order {
		if a.due(n) && n.Read.Err == "" {
			return
		}
	}
	a.rollCall.began, a.rollCall.ended = time.Time{}, now
	a.again = true
}

// keepRollCall lets the newest roll call's answer hold on while a claim of this agent's keeps others from beginning.
func (a *actor) keepRollCall(now time.Time) {
	if now.Sub(a.rollCall.ended) > plan.RecordAge {
		return
	}
	for _, n := range a.order {
		if now.Sub(n.claimedAt) < actuators.ClaimTime && a.holds(n) {
			a.rollCall.ended = now
			return
		}
	}
}

// another reports whether a claim is not this agent's, nor an earlier process's of it.
func (a *actor) another(c actuators.Claim) bool {
	return c.Nonce != a.Agent.Nonce && (c.Holder != a.Agent.Holder || c.Epoch >= a.Agent.Epoch)
}

// othersWork reports whether another agent may work on the node, by a reading that has just arrived: its claim lives, or a call begun under
// it may be in flight. Nothing is built on what an excluded node says.
func (a *actor) othersWork(n *node, now time.Time) bool {
	c := n.record().Claim
	return c != nil && !n.excluded && a.another(*c) &&
		n.Host.Now.Sub(c.Expires) < plan.TakeoverWait && now.Sub(n.Claimed) < actuators.ClaimTime+plan.TakeoverWait
}
