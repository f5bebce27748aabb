package plan

import (
	"slices"
	"time"

	"windlass/actuators"
)

// What may overlap overlaps, once the version is proven on the fleet: the next node is claimed while the one before it is registered and proves
// itself in service, and leaves while that proof is written down. A claim takes nothing away, and who waits for a proof to be written has its checks and
// its balancers for it (laws 9, 16, 17).

// claimAhead is how long before another node's bake ends the next one is claimed: long enough for a write, shorter than what people wait for.
const claimAhead = 30 * time.Second

// proving reports whether all that is left of the node's journey is its proof, and that is being written: by its checks and by its balancers it
// serves.
func (s *scene) proving(v *view) bool {
	return v.Busy == Prove && v.rec.Stage == actuators.Verified && s.balanced() && v.serving
}

// finishing reports whether the node is back in rotation or is being registered, and its bake is about to end. One whose last step broke off may
// break off again.
func (k *known) finishing(v *view) bool {
	if !v.returns() || v.fails() || v.unsure != "" || v.Trouble != "" || k.mitigatedBy(v) != "" || !v.serving && !k.justJoins(v) {
		return false
	}
	bake := k.bakeTime(v)
	if v.Health.Phase == WatchBake {
		bake -= k.Now.Sub(v.Health.Since)
	}
	return bake <= claimAhead
}

// returns reports whether the node has passed its checks, and is on its way back.
func (v *view) returns() bool { return v.rec.Stage == actuators.Verified || v.doing() == Add }

// justJoins reports whether the node is being registered or was a moment ago, and its balancers are just finding out how it is.
func (k *known) justJoins(v *view) bool {
	if v.Busy == Add {
		return true
	}
	waits := func(t actuators.Target) bool {
		return t.Status == actuators.TargetInitial || t.Status == actuators.TargetHealthy
	}
	return v.Asked == Add && k.Now.Sub(v.AskedAt) < claimAhead && len(v.targets) > 0 &&
		!slices.ContainsFunc(v.targets, func(t actuators.Target) bool { return !waits(t) })
}

// isBack reports whether the node is on its way back, or is being claimed and serves: who waits keeps waiting, whatever is known of it at the
// moment.
func (v *view) isBack() bool { return v.returns() || v.isBeingClaimed() }

func (v *view) isBeingClaimed() bool { return v.doing() == Leave && v.serving && !v.rec.UnderWay() }

// following is what of the fleet's strength may be spent when those that are on their way back are; nil: nobody is whom others may follow.
func (k *known) following() *budget {
	if !k.wave.proven() || !k.balanced() || !slices.ContainsFunc(k.views, func(v view) bool { return v.isBack() }) {
		return nil
	}
	b := k.budget()
	for i := range k.views {
		if v := &k.views[i]; v.isBack() {
			b.giveBack(v)
		}
	}
	return &b
}

// giveBack counts a node in again that is away, as it will be when all goes well.
func (b *budget) giveBack(v *view) {
	k := b.k
	if !k.away(v) {
		return
	}
	b.left.away--
	b.left.awayIn[v.Zone]--
	b.left.inService++
	back := presence{members: 1, healthy: 1}
	for g := range k.Groups {
		in := &b.left.groups[g]
		in.members, in.open, in.healthy = in.members+1, in.open+1, in.healthy+1
		if zone := k.zoneOf(v, g); k.groups[g].Zonal && in.zones != nil {
			in.zones[zone] = in.zones[zone].with(presence{healthy: back.healthy}, 1)
		}
	}
}

// claimsAhead reports whether a node that must not leave yet is claimed all the same: somebody is about to finish whom nobody follows yet.
func (s *starter) claimsAhead(v *view, why refusal) bool {
	if why.cause != ByBudget || !v.serving || v.changed() || v.rec.Spoiled || s.whenBack == nil {
		return false
	}
	finishing, claimed := 0, 0
	for i := range s.views {
		switch o := &s.views[i]; {
		case s.claimed(o) || o.isBeingClaimed():
			claimed++
		case s.finishing(o):
			finishing++
		}
	}
	return claimed < finishing && s.whenBack.refuse(v).none()
}

// awaitsTurn reports whether a claimed node that must not leave yet keeps its claim, since another that is away is about to finish.
func (k *known) awaitsTurn(v *view, m *move, why refusal) bool {
	if why.none() || why.cause == ByGate || v.rec.Spoiled || v.changed() || k.whenBack == nil || !k.claimed(v) || !k.whenBack.refuse(v).none() {
		return false
	}
	k.servesOn(v, m)
	m.because("claimed, and leaves when its turn comes: " + why.why)
	return true
}

// servesOn says that a node which waits for its turn goes on serving; or that it does not serve, by nobody's order.
func (k *known) servesOn(v *view, m *move) {
	m.status.State, m.serves, m.waitsTurn = Outdated, v.serving, true
	if !v.serving {
		m.status.State = OutOfService
	}
}

// claimedAhead reports whether the node is just being claimed before its turn has come.
func (k *known) claimedAhead(v *view) bool {
	if v.Busy != Leave || !v.isBeingClaimed() || k.whenBack == nil {
		return false
	}
	b := k.budget()
	return b.refuse(v).cause == ByBudget
}

// othersTook reports whether somebody else takes a node out, or has, that is claimed: it was seen to serve since, and this agent has not asked
// for it to leave. What it was proven in tells where it belongs (law 13).
func (k *known) othersTook(v *view) bool {
	if !k.balanced() || v.Inherited || v.askedToLeave() || v.Served.IsZero() || v.Served.Before(v.Staged) || v.rec.Spoiled || v.changed() {
		return false
	}
	known := func(m actuators.Membership) bool { return slices.Contains(v.rec.Places, m) }
	left := func(m actuators.Membership) bool { return !v.isIn(m) }
	return !slices.ContainsFunc(v.rec.Taken, func(m actuators.Membership) bool { return !known(m) }) && slices.ContainsFunc(v.rec.Taken, left)
}
