package plan

import (
	"fmt"
	"slices"

	"windlass/actuators"
	"windlass/health"
)

// giveUp halts a version that makes no progress: something is under way, and all that is waited for is overdue (G17).
func (k *known) giveUp(d decision) decision {
	d.halt = k.verdict.halt
	if !k.goesOn() || k.Progress.IsZero() || !k.onlyRetries(d) {
		return d
	}
	i := k.stuck(d)
	if i < 0 {
		return d
	}
	d.stalled = true
	limit := k.Fleet.Rollout.ProgressDeadline
	if k.Now.Before(k.Progress.Add(limit)) {
		d.wake = k.Progress.Add(limit)
		return d
	}
	s := d.moves[i].status
	d.halt = &actuators.Halt{
		Digest: k.Version.Digest, Release: k.Version.Release, Revision: k.Version.Revision, Retry: k.Fleet.Retry, Node: s.Name,
		Reason: bounded(fmt.Sprintf("no progress for %s: %s is %s: %s", limit, s.Name, s.State.words(), s.Reason)),
	}
	d.steps = k.condemning(*d.halt).spread(nil)
	return d
}

// condemning is the same with a verdict that was just found.
func (k *known) condemning(h actuators.Halt) *known {
	with := *k
	with.verdict.halt, with.verdict.from = &h, ""
	return &with
}

// onlyRetries reports whether the plan orders nothing but what has just failed for no fault of the version's.
func (k *known) onlyRetries(d decision) bool {
	return !slices.ContainsFunc(d.steps, func(s Step) bool {
		v := k.nodeNamed(s.Node)
		return v == nil || v.Trouble == ""
	})
}

// stuck returns the first node under way when every node under way has outlasted its deadlines, else -1. One that is held for other nodes of
// the fleet alone has; one that is held for anything else has not.
func (k *known) stuck(d decision) int {
	first := -1
	for i := range k.views {
		v, m := &k.views[i], d.moves[i]
		if !m.status.UnderWay || m.status.State == OutOfService || v.provenOnce(v.rec.On) && k.Is(v.rec.On) {
			continue // one that has what it had before says nothing about the version
		}
		if v.unsure != "" && k.claimed(v) && k.wave.proven() {
			continue // nor does one that was not touched
		}
		if v.provenOnce(k.Version) && (v.unsure != "" || m.hold != nil && m.hold.Cause.isOthers()) {
			continue // nor does one that cannot be reached, or that others keep, on its way back to what it had
		}
		if m.hold != nil && !m.hold.Cause.isOthers() || k.waits(v, m) || v.foreign != nil {
			return -1
		}
		if first < 0 {
			first = i
		}
	}
	return first
}

// isOthers reports whether other nodes of the fleet, and nothing else, hold the node.
func (c Cause) isOthers() bool { return c == ByBudget || c == ByFloor || c == ByZone || c == ByProof }

// waits reports whether something of the node's has an end of its own.
func (k *known) waits(v *view, m *move) bool {
	unheard := v.Health.Phase == WatchBake && v.Health.Status == health.Unknown
	return v.Busy != "" || m.status.Deadline.After(k.Now) || m.status.State == Baking && !unheard
}
