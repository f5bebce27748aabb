package plan

import (
	"slices"

	"windlass/actuators"
)

// leaving takes a claimed node out of its groups, or gives it back unchanged.
func (k *known) leaving(v *view, m *move, refused refusal, sure recheck) {
	stays := v.changed() && !k.gatedAgain(v).none()
	onward := v.rec.Spoiled || k.isToGet(v) && !stays || k.untried[v.Name] && v.rotation != member && !v.rec.Known()
	switch {
	case k.othersTook(v):
		m.do(Restore, "somebody else takes it out: "+k.said(v), k.toIdle(v))
	case !onward && v.changed():
		m.do(Restore, k.whyBack(v)+": it goes back and bakes", k.at(v, actuators.Verified))
	case !onward:
		k.restore(v, m)
	case v.rotation == member:
		k.drain(v, m, refused)
	case k.exhausted(v) && v.rotation == draining:
		k.awaitDrain(v, m, "connections drain: "+k.said(v))
	case k.exhausted(v):
		m.do(Fail, "attempts used up: "+v.rec.Try.Error, k.toGiveUp(v))
	case k.balanced():
		k.configure(v, m)
	default:
		k.change(v, m, refused, sure)
	}
}

// whyBack is why a node with something that was never proven there does not leave after all.
func (k *known) whyBack(v *view) string {
	switch {
	case k.untried[v.Name]:
		return k.refuseUntried().why
	case k.isToGet(v):
		return k.gated(v).why
	}
	return v.rec.On.Release + " is wanted again"
}

// change configures a node that no balancer takes out: it serves until then, so that this is its removal (law 9).
func (k *known) change(v *view, m *move, refused refusal, sure recheck) {
	m.status.State = Configuring
	if why := k.sourcesIncomplete(); why != "" {
		m.refuse(refusal{BySource, why})
		return
	}
	if !refused.none() {
		k.stay(v, m, refused)
		return
	}
	if !sure.done(v.Staged) {
		m.because("the other nodes are checked again before it is changed")
		return
	}
	k.configure(v, m)
}

// exhausted reports whether what is on the node failed as often as it may be tried, and nothing else is to be put there.
func (k *known) exhausted(v *view) bool {
	if k.Is(v.rec.Try.Version) {
		return v.rec.Spoiled && k.usedUp(v)
	}
	return v.rec.Spoiled && v.rec.Try.Failures >= k.Fleet.Rollout.Attempts && !k.goesOn()
}

// drain takes the node out of every group it is still in, on a reading of the balancers made just for that (law 9).
func (k *known) drain(v *view, m *move, refused refusal) {
	m.sense = k.gains(v)
	switch why := k.sourcesIncomplete(); {
	case why != "":
		m.refuse(refusal{BySource, why})
		return
	case k.askedAlready(v, m, Drain):
		m.because("waits for its load balancers to show that it leaves")
		return
	case k.behind(v, m):
		m.because("its load balancers are read again: what they showed may be from before they were asked")
		return
	}
	switch {
	case k.awaitsTurn(v, m, refused):
	case !refused.none():
		k.stay(v, m, refused)
	case k.calibrates(v, m):
	case !k.readAgain(v, m, "before it leaves"):
	case !v.listed():
		m.do(Leave, "it is in a group that its record does not name yet", k.toLeave(v))
	default:
		m.because(k.reasonToGo(v))
		m.step = &Step{Node: v.Name, Kind: Drain, Reason: m.status.Reason, Targets: v.held()}
	}
}

// held are the places the node has and is not leaving yet.
func (v *view) held() []actuators.Membership {
	var held []actuators.Membership
	for _, t := range v.targets {
		if t.Status != actuators.TargetDraining {
			held = append(held, t.Membership)
		}
	}
	return held
}

// listed reports whether the record names every place the node is about to leave (law 17).
func (v *view) listed() bool {
	return !slices.ContainsFunc(v.held(), func(m actuators.Membership) bool { return !slices.Contains(v.rec.Taken, m) })
}

// stay lets a claimed node that must not leave after all be counted on again. One that failed, or has what was never proven, is only held;
// one on its way back that does not serve yet stays counted as out; one that has left a group already goes back there.
func (k *known) stay(v *view, m *move, why refusal) {
	switch {
	case v.rec.Spoiled || v.changed() && (k.claimed(v) || k.balanced() && k.inAllPlaces(v)):
		m.refuse(why)
		if !k.balanced() && !v.rec.Spoiled && !v.watched(WatchAgain, v.rec.On.Release) {
			m.probe(WatchAgain, v.rec.On.Release, 0) // nothing else tells whether it serves
		}
	case k.balanced() && len(k.missing(v)) > 0:
		k.restore(v, m)
		if m.yields {
			m.status.Reason += "; it cannot leave either: " + why.why
		}
	case k.balanced() && !v.serving && k.mayServe(v):
		m.refuse(why)
	default:
		m.do(Restore, "stays for now: "+why.why, k.toIdle(v))
	}
}
