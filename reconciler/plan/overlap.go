package plan

import (
	"time"

	"windlass/actuators"
)

// What may overlap overlaps, once the version is proven on the fleet: the next node is claimed while the one before it proves itself in
// service, and leaves while that proof is written down. A claim takes nothing away, and who waits for a proof to be written has its checks and
// its balancers for it (laws 9, 16, 17).

// claimAhead is how long before another node's bake ends the next one is claimed: long enough for a write, shorter than what people wait for.
const claimAhead = 30 * time.Second

// proving reports whether all that is left of the node's journey is its proof, and that is being written: by its checks and by its balancers it
// serves.
func (s *scene) proving(v *view) bool {
	return v.Busy == Prove && v.rec.Stage == actuators.Verified && s.balanced() && v.serving
}

// finishing reports whether the node is back in rotation, and its bake is about to end.
func (k *known) finishing(v *view) bool {
	if v.rec.Stage != actuators.Verified || v.rotation != member || v.fails() || v.unsure != "" {
		return false
	}
	bake := k.bakeTime(v)
	if v.Health.Phase == WatchBake {
		bake -= k.Now.Sub(v.Health.Since)
	}
	return bake <= claimAhead
}

// finishers are the nodes that others may follow soon, by what tells that they are about to finish.
func (k *known) finishers(tells func(*view) bool) []*view {
	var all []*view
	for i := range k.views {
		if v := &k.views[i]; k.wave.proven() && k.balanced() && tells(v) {
			all = append(all, v)
		}
	}
	return all
}

// returns reports whether the node is on its way back, or is being claimed and serves: who waits keeps waiting, whatever is known of it at the
// moment.
func (v *view) returns() bool {
	return v.rec.Stage == actuators.Verified || v.isBeingClaimed()
}

func (v *view) isBeingClaimed() bool { return v.doing() == Leave && v.serving && !v.rec.UnderWay() }

// mayFollow reports whether a node that must not leave yet may when those that are about to finish have.
func (b budget) mayFollow(v *view, finishers []*view) bool {
	b.left.groups = copyStrengths(b.left.groups)
	for _, o := range finishers {
		b.giveBack(o)
	}
	return len(finishers) > 0 && b.refuse(v).none()
}

// giveBack counts a node in again that is away, as it will be when all goes well.
func (b *budget) giveBack(v *view) {
	k := b.k
	if !k.away(v) {
		return
	}
	b.left.away--
	b.left.inService++
	back := presence{members: 1, healthy: 1}
	for g := range k.Groups {
		in := &b.left.groups[g]
		in.members, in.open, in.healthy = in.members+1, in.open+1, in.healthy+back.healthy
		if k.groups[g].Zonal {
			zone := k.zoneOf(v, g)
			in.zones[zone] = in.zones[zone].with(back, 1)
		}
	}
}

// claimsAhead reports whether a node that must not leave yet is claimed all the same: somebody is about to finish whom nobody follows yet.
func (s *starter) claimsAhead(v *view, why refusal) bool {
	finishers, claimed := s.finishers(s.finishing), 0
	for i := range s.views {
		if v := &s.views[i]; s.claimed(v) || v.isBeingClaimed() {
			claimed++
		}
	}
	return why.cause == ByBudget && v.serving && claimed < len(finishers) && s.left.mayFollow(v, finishers)
}

// awaitsTurn reports whether a claimed node that must not leave yet keeps its claim, since another that is away is about to finish.
func (k *known) awaitsTurn(v *view, m *move, why refusal) bool {
	finishers := k.finishers((*view).returns)
	if why.none() || v.rec.Spoiled || v.changed() || !k.claimed(v) || !k.budget().mayFollow(v, finishers) {
		return false
	}
	m.status.State, m.serves = Outdated, true
	m.because("claimed, and leaves when its turn comes: " + why.why)
	return true
}
