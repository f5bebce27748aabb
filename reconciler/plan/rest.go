package plan

import (
	"cmp"
	"fmt"
	"slices"

	"windlass/actuators"
	"windlass/health"
)

// rest finds how an idle node stands.
func (f *fleet) rest(v *view) {
	v.status.Drift = v.drifted()
	v.status.Since = cmpTime(v.status.Since, v.OutSince, v.when(v.rec.StageAt))
	switch {
	case v.foreign != nil:
		v.status.State, v.status.Reason = stateOf(v), fmt.Sprintf("agent %s works on it", v.foreign.Holder)
	case v.unsure != "":
		f.unseen(v)
	case v.rec.Stage == actuators.Failed:
		f.failed(v)
	case v.serving:
		f.serves(v)
	default:
		v.status.State, v.status.Reason = OutOfService, f.whyOut(v)
	}
}

// unseen is a node whose host cannot be built on now: healthy in its balancers, it counts as in service and cannot be taken (law 1).
func (f *fleet) unseen(v *view) {
	v.status.State, v.status.Reason = Unreachable, v.unsure
	if v.Read.Err == "" && v.Host != nil {
		v.status.State = OutOfService
	}
	if f.balanced() && v.serving {
		v.status.State = InService
		if v.Read.Err != "" {
			v.status.State = Unreachable
		}
	}
	v.status.Outdated = v.rec.Known() && v.status.Outdated
}

func (f *fleet) failed(v *view) {
	v.status.State = Failed
	v.status.Attempt = v.rec.Try.Failures
	v.status.Reason = fmt.Sprintf("%s failed here: %s", v.rec.Try.Version.Release, v.rec.Try.Error)
	switch v.rec.Try.Earlier {
	case "":
	case v.rec.Try.Version.Digest:
		v.status.Reason += "; it was proven here before: look at the node, and replace it or exclude it"
	default:
		v.status.Reason += "; an earlier release failed here too: look at the node, and replace it or exclude it"
	}
}

func (f *fleet) serves(v *view) {
	v.status.State = InService
	switch {
	case v.drifted():
		v.status.State, v.status.Reason = Outdated, "drift: "+v.Health.Reason
	case v.status.Outdated && v.failures(f) >= f.Fleet.Rollout.Attempts:
		v.status.State = Outdated
		v.status.Reason = fmt.Sprintf("serves %s; %s failed here in %d of %d attempts and is not tried again (set retry to try it): %s", v.rec.On.Release, f.Version.Release, v.failures(f), f.Fleet.Rollout.Attempts, v.rec.Try.Error)
	case v.status.Outdated:
		v.status.State, v.status.Reason = Outdated, "serves "+cmp.Or(v.rec.On.Release, "an unknown release")+", wanted is "+f.Version.Release
		if v.rec.On.Release == f.Version.Release && !f.Is(v.rec.On) {
			v.status.Reason += " with another configuration"
		}
	}
}

func (f *fleet) whyOut(v *view) string {
	switch {
	case !f.balanced():
		return cmp.Or(v.Health.Reason, "not checked yet")
	case v.foreignOut(f) && f.restoreDue(v):
		return "somebody else took it out, and its time of being left alone is over: it returns when its turn comes: " + v.said(f)
	case v.foreignOut(f):
		return fmt.Sprintf("somebody else took it out; left alone for %s: %s", f.Fleet.Rollout.RestoreAfter, v.said(f))
	case v.rotation == out && !v.rec.Known():
		return "new: it joins when it is configured and verified"
	}
	return v.said(f)
}

// foreignOut reports whether somebody else took a node out of a group it was proven in (law 13).
func (v *view) foreignOut(f *fleet) bool {
	if !f.balanced() || v.rec.Stage != actuators.Idle {
		return false
	}
	return v.rotation == draining && v.rec.Known() || slices.ContainsFunc(v.absent, func(i int) bool { return v.wasIn(f.Groups[i].ID) })
}

// give sees to nodes that need nothing but a record or their place: adoption, and what somebody else took out.
func (f *fleet) give(idle []*view) {
	if f.blocked() != "" {
		return
	}
	for _, v := range idle {
		switch {
		case v.has && len(v.absent) == 0:
		case v.Busy != "" || v.unsure != "" || f.Now.Before(v.NotBefore):
		case f.adoptable(v):
			f.adopt(v)
		case v.has && f.balanced():
			f.giveBack(v)
		}
	}
}

// adoptable reports whether a node nobody wrote down may prove that it has what is wanted (law 12).
func (f *fleet) adoptable(v *view) bool {
	return !v.rec.Known() && v.rec.Stage == actuators.Idle && f.Fleet.Adopt && f.Fleet.Unproven == "" && (v.rotation == member || !f.balanced()) &&
		!(v.watched(WatchVerify, f.Version.Release) && (v.Health.Status == health.Failing || v.Health.Status == health.Contradicted))
}

func (f *fleet) adopt(v *view) {
	release := f.Version.Release
	switch {
	case !v.passed(release):
		f.watch(v, WatchVerify, release, 0)
		v.status.Reason = "no record; checked whether it has " + release + " already"
	case v.serving || !f.balanced():
		if len(v.absent) == 0 {
			v.status.State, v.status.Outdated = InService, false
		}
		f.step(v, Adopt, "serves "+release+" already: "+v.Health.Reason, f.toProve(v, f.Version))
	default:
		f.watch(v, WatchVerify, release, 0)
		v.status.Reason = "no record; it passes its checks with " + release + ", and is recorded when it is in service: " + v.said(f)
	}
}

// giveBack registers a node that has what is wanted and is missing from a group: at once in a group that is new to the
// fleet, after restoreAfter where somebody took it out (law 13).
func (f *fleet) giveBack(v *view) {
	if v.foreignOut(f) {
		v.status.Foreign = true
		until := v.OutSince.Add(f.Fleet.Rollout.RestoreAfter)
		if v.OutSince.IsZero() || f.Now.Before(until) {
			v.status.Deadline = until
			f.wakeIf(until, !v.OutSince.IsZero())
			return
		}
	}
	release := v.rec.On.Release
	switch {
	case f.groupsUnread() != "":
		f.hold(v, f.groupsUnread())
	case v.passed(release):
		f.add(v, f.at(v, actuators.Verified))
	case v.watched(WatchVerify, release) && v.Health.Status != health.Pending && v.Health.Status != health.Passing:
		f.watch(v, WatchVerify, release, 0)
		v.status.Reason = "not given back, its checks fail: " + v.Health.Reason
	default:
		f.watch(v, WatchVerify, release, 0)
		v.status.State, v.status.Reason = Verifying, "checked before it is given back"
	}
}

func (f *fleet) restoreDue(v *view) bool {
	until := v.OutSince.Add(f.Fleet.Rollout.RestoreAfter)
	if v.OutSince.IsZero() || f.Now.Before(until) {
		f.wakeIf(until, !v.OutSince.IsZero())
		return false
	}
	return true
}
