package plan

import (
	"cmp"
	"fmt"

	"windlass/actuators"
	"windlass/health"
)

// rest finds how an idle node stands.
func (k *known) rest(v *view) move {
	m := move{status: NodeStatus{Name: v.Name, Drift: v.drifted(), Since: cmpTime(v.Node.Since, v.OutSince, v.when(v.rec.StageAt))}}
	switch {
	case v.foreign != nil:
		m.status.State = stateOf(v)
		m.because(fmt.Sprintf("agent %s works on it", v.foreign.Holder))
	case v.unsure != "":
		k.unseen(v, &m)
	case v.rec.Stage == actuators.Failed:
		k.failed(v, &m)
	case v.serving:
		k.serves(v, &m)
	default:
		m.status.State = OutOfService
		m.because(k.whyOut(v))
		k.wakeToRestore(v, &m)
	}
	return m
}

// unseen is a node whose host cannot be built on now: healthy in its balancers, it counts as in service and cannot be taken (law 1).
func (k *known) unseen(v *view, m *move) {
	m.status.State, m.status.Reason = Unreachable, v.unsure
	switch {
	case v.Read.Err != "":
	case k.balanced() && v.serving:
		m.status.State = InService
	case v.Host != nil:
		m.status.State = OutOfService
	}
}

func (k *known) failed(v *view, m *move) {
	m.status.State = Failed
	m.status.Attempt = v.rec.Try.Failures
	m.because(fmt.Sprintf("%s failed here: %s", v.rec.Try.Version.Release, v.rec.Try.Error))
	switch {
	case k.verdict.blames(v, v.rec.Try):
	case v.provenOnce(v.rec.Try.Version):
		m.status.Reason += "; it was proven here before: look at the node, and mend or replace it"
	default:
		m.status.Reason += "; an earlier release failed here too: look at the node, and mend or replace it"
	}
}

func (k *known) serves(v *view, m *move) {
	m.status.State = InService
	m.because(k.noted(v))
	switch {
	case v.drifted():
		m.status.State, m.status.Reason = Outdated, "drift: "+v.Health.Reason
	case v.has:
	case k.usedUp(v):
		m.status.State = Outdated
		m.because(fmt.Sprintf("serves %s; %s failed here in %d of %d attempts and is not tried again (set retry to try it): %s", v.rec.On.Release, k.Version.Release, k.failures(v), k.Fleet.Rollout.Attempts, v.rec.Try.Error))
	case v.unfinished() && k.Is(v.rec.On):
		m.status.State, m.status.Reason = Outdated, "serves "+v.rec.On.Release+", which was never proven here: it bakes when its turn comes"
	default:
		m.status.State, m.status.Reason = Outdated, "serves "+cmp.Or(v.rec.On.Release, "an unknown release")+", wanted is "+k.Version.Release
		if v.rec.On.Release == k.Version.Release && !k.Is(v.rec.On) {
			m.status.Reason += " with another configuration"
		}
	}
}

func (k *known) whyOut(v *view) string {
	switch {
	case !k.balanced():
		return cmp.Or(v.Health.Reason, "not checked yet")
	case k.foreignOut(v) && k.restoreDue(v):
		return "somebody else took it out, and its time of being left alone is over: it returns when its turn comes: " + k.said(v)
	case k.foreignOut(v):
		return fmt.Sprintf("somebody else took it out; left alone for %s: %s", k.Fleet.Rollout.RestoreAfter, k.said(v))
	case v.rotation == out && !v.rec.Known():
		return "new: it joins when it is configured and verified"
	}
	return cmp.Or(k.said(v), k.groupsUnread())
}

// give sees to a node that needs nothing but a record or its place: adoption, and what somebody else took out.
func (k *known) give(v *view, m *move) {
	switch {
	case v.has && len(v.absent) == 0:
	case v.Busy != "" || v.unsure != "" || k.Now.Before(v.NotBefore):
	case k.adoptable(v):
		k.adopt(v, m)
	case v.has && k.balanced():
		k.giveBack(v, m)
	}
}

// adoptable reports whether a node nobody wrote down may prove that it has what is wanted (law 12).
func (k *known) adoptable(v *view) bool {
	return !v.rec.Known() && v.rec.Stage == actuators.Idle && k.Fleet.Adopt && k.Fleet.Unproven == "" && (v.rotation == member || !k.balanced()) &&
		!(v.Health.Release == k.Version.Release && (v.Health.Phase == WatchVerify || v.Health.Phase == WatchFirst || v.Health.Phase == WatchAgain) && v.fails())
}

// firstPhase is how a node that nobody wrote down is checked. One that its balancers call healthy may take its time; of any other a certain
// no is enough.
func firstPhase(v *view) WatchPhase {
	if v.serving && v.rotation == member {
		return WatchVerify
	}
	return WatchFirst
}

func (k *known) adopt(v *view, m *move) {
	release, phase := k.Version.Release, firstPhase(v)
	passed := v.Health.Release == release && (v.Health.Phase == WatchVerify || v.Health.Phase == WatchFirst) && v.Health.Status == health.Passing && !v.Health.Over
	switch {
	case !passed:
		m.probe(phase, release, 0)
		m.status.Reason = "no record; checked whether it has " + release + " already"
		if v.watched(phase, release) {
			m.status.Deadline = v.Health.Deadline
			m.status.Reason += ": " + v.Health.Reason
		}
	case v.serving || !k.balanced():
		if len(v.absent) == 0 {
			m.status.State, m.status.Outdated = InService, false
		}
		m.do(Adopt, "serves "+release+" already: "+v.Health.Reason, k.toProve(v, k.version(v.rec.On)))
	default:
		m.probe(v.Health.Phase, release, 0)
		m.because("no record; it passes its checks with " + release + ", and is recorded when it is in service: " + k.said(v))
	}
}

// giveBack registers a node that has what is wanted and is missing from a group: at once in a group that is new to the
// fleet, after restoreAfter where somebody took it out (law 13).
func (k *known) giveBack(v *view, m *move) {
	if k.foreignOut(v) {
		m.status.Foreign = true
		if !k.restoreDue(v) {
			m.status.Deadline = k.restoreAt(v)
			return
		}
	}
	release := v.rec.On.Release
	switch {
	case k.groupsUnread() != "":
		m.refuse(refusal{BySource, k.groupsUnread()})
	case v.passed(release):
		k.add(v, m, k.at(v, actuators.Verified))
	case v.watched(WatchVerify, release) && v.Health.Status != health.Pending && v.Health.Status != health.Passing:
		m.probe(WatchVerify, release, 0)
		m.because("not given back, its checks fail: " + v.Health.Reason)
	default:
		m.probe(WatchVerify, release, 0)
		m.status.State, m.status.Reason = Verifying, "checked before it is given back"
	}
}

// wakeToRestore wakes the plan when the node was left alone for long enough.
func (k *known) wakeToRestore(v *view, m *move) {
	if !v.OutSince.IsZero() {
		m.wakeAt(k.Now, k.restoreAt(v))
	}
}
