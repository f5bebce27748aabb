package reconciler

import (
	"time"

	"windlass/reconciler/plan"
)

// A rollCall reads every record again before a journey starts, so that another agent's claim or a verdict written meanwhile is
// seen (law 18). It is over when each node was tried since it began.
type rollCall struct {
	began time.Time // zero: none is under way
	ended time.Time // when the newest one was over
}

// callRoll begins a roll call, unless one is under way. Records read a moment ago count.
func (a *actor) callRoll(now time.Time) {
	if !a.rollCall.began.IsZero() {
		return
	}
	a.rollCall.began = now
	for _, n := range a.order {
		if a.due(n) && n.Read.Err == "" {
			n.nextRead = now
		}
	}
	a.rollCalled(now)
}

// due reports whether the node has not been tried for this roll call.
func (a *actor) due(n *node) bool {
	return a.rollCall.began.Sub(n.triedAt) > plan.RecordAge
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
	a.rollCall = rollCall{ended: now}
	a.again = true
}
