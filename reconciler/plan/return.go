package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"windlass/actuators"
	"windlass/health"
)

// refuseToServe holds a verified node back while as many others as may serve something unproven (law 8). Of nodes that wait to join, the
// first goes.
func (k *known) refuseToServe(v *view) refusal {
	digest := v.rec.On.Digest
	unchanged := v.rec.Stage == actuators.Leaving && !v.rec.Spoiled && !v.changed() // it goes back with what it had, known or not
	if k.verdict.proven[digest] || unchanged {
		return refusal{}
	}
	serving := 0
	for i := range k.views {
		o := &k.views[i]
		same := o.rec.On.Digest == digest && (o.rotation == member || o.doing() == Add || k.joinsBefore(o, v))
		if o.Name != v.Name && (same || o.opaque()) {
			serving++
		}
	}
	if serving < k.wave.unproven {
		return refusal{}
	}
	return refusal{ByProof, fmt.Sprintf("verified; %d may serve %s, which is not proven yet, as many as may%s", serving, v.rec.On.Release, k.whoIsOpaque())}
}

// joinsBefore reports whether another node that waits to join goes before this one: who is recorded as verified, then by name.
func (k *known) joinsBefore(o, v *view) bool {
	verified := o.rec.Stage == actuators.Verified
	ready := verified || o.rec.Stage == actuators.Configuring && o.Busy == "" && o.unsure == "" && o.passed(o.rec.On.Release) && v.rec.Stage != actuators.Verified
	return ready && (o.Name < v.Name || verified && v.rec.Stage != actuators.Verified)
}

// add gives a node that passed its checks back to its groups.
func (k *known) add(v *view, m *move, r actuators.NodeRecord) {
	m.status.State = Joining
	if k.addressDrains(v, m) {
		return
	}
	missing := k.missing(v)
	m.because(fmt.Sprintf("checks passed, joins %d of its groups", len(missing)))
	m.step = &Step{Node: v.Name, Kind: Add, Reason: v.Health.Reason, Record: &r, Targets: missing}
}

// due are the places the node is to have in the groups the fleet names: exactly those it was taken from, where they are its
// own; in a group it was not taken from, those it was proven in; else the group's default. No record can name a group for it (law 17).
func (s *scene) due(v *view) []actuators.Membership {
	var due []actuators.Membership
	for i, g := range s.groups {
		id := g.Target(v.Node.Node)
		taken, before := in(g, id, v.rec.Taken), in(g, id, v.rec.Places)
		switch {
		case !g.named:
		case len(taken) > 0:
			due = append(due, taken...)
		case len(before) > 0:
			due = append(due, before...)
		case id != "":
			due = append(due, actuators.Membership{Group: g.ID, ID: id, Port: cmp.Or(s.Fleet.LoadBalancers[i].Port, g.Port)})
		}
	}
	return due
}

// in picks the places in one group that are the node's own, whatever else a record says.
func in(g group, id string, places []actuators.Membership) []actuators.Membership {
	var own []actuators.Membership
	for _, m := range places {
		if m.Group == g.ID && m.ID == id {
			own = append(own, m)
		}
	}
	return own
}

// returning sees a verified node back into service and through its bake.
func (k *known) returning(v *view, m *move) {
	switch {
	case k.isToGet(v) && k.gated(v).none():
		m.status.State = Draining
		m.do(Leave, k.Version.Release+" is wanted now", k.toLeave(v)) // law 10
	case !k.inPlace(v):
		k.join(v, m)
	case k.behind(v, m): // it was about to leave, and goes back
		m.because(unseenDrain)
	default:
		k.bake(v, m)
	}
}

// inPlace reports whether the balancers send the node traffic everywhere they should.
func (s *scene) inPlace(v *view) bool {
	return !s.balanced() || v.serving && len(s.missing(v)) == 0
}

// joining says that the node waits for its balancers, and until when: each registration and each time it served begins a wait anew,
// a new agent begins its own, and slow start takes its time. Only the agent's clock counts (law 20).
func (k *known) joining(v *view, m *move, what string) {
	m.status.State, m.status.Reason = Joining, what+k.said(v)
	since := later(cmpTime(v.Staged, m.status.Since), v.Served)
	if v.Asked == Add && len(k.missing(v)) == 0 {
		since = later(since, v.AskedAt)
	}
	if slices.ContainsFunc(v.targets, func(t actuators.Target) bool { return t.Status == actuators.TargetRamping }) {
		since = since.Add(SlowStart)
	}
	m.status.Deadline = since.Add(JoinTimeout)
}

// join registers the node and waits for the balancers to find it healthy. What they say of themselves, of a zone, or of nothing they know is
// no fault of the node's: it is held, and others go on (law 11).
func (k *known) join(v *view, m *move) {
	k.joining(v, m, "joins: ")
	switch {
	case len(k.missing(v)) > 0:
		k.rejoin(v, m)
	case !m.overdue(k.Now):
	case v.atFault():
		k.fail(v, m, fmt.Sprintf("not in service %s after it passed its checks: %s", JoinTimeout, k.said(v)))
	default:
		m.refuse(refusal{ByBalancer, fmt.Sprintf("not in service %s after it passed its checks, by no fault of its own: %s", JoinTimeout, k.said(v))})
	}
}

// rejoin registers what is missing, after the checks passed again: an agent before this one may have verified it long ago.
func (k *known) rejoin(v *view, m *move) {
	release := v.rec.On.Release
	if k.askedAlready(v, m, Add) {
		m.because("waits for its load balancers to show that it joins")
		return
	}
	switch why := k.refuseToServe(v); {
	case v.passed(release) && (v.rotation == member || why.none()):
		k.add(v, m, k.at(v, v.rec.Stage))
	case v.passed(release):
		m.refuse(why)
		m.probe(WatchVerify, release, 0)
	case v.watched(WatchVerify, release) && v.fails():
		k.lapse(v, m)
	default:
		m.probe(WatchVerify, release, 0)
		m.because("checked again before it joins")
		if v.Asked != Add { // else it is the same stage, tried again
			m.status.State = Verifying
		}
	}
}

// lapse is a check's deadline passing on a node on its way back: an attempt is used, unless the node has what it had before. One that can
// neither serve nor leave lets others go before it.
func (k *known) lapse(v *view, m *move) {
	if v.rec.Stage == actuators.Verified && v.rec.Try.Version.Digest == v.rec.On.Digest {
		k.fail(v, m, v.Health.Reason)
		return
	}
	m.probe(WatchVerify, v.rec.On.Release, 0)
	m.yields = true
	m.status.State = OutOfService
	m.because("cannot be given back, its checks fail: " + v.Health.Reason)
}

// bake proves the served release again, for as long as the fleet asks, before the next node is touched.
func (k *known) bake(v *view, m *move) {
	m.status.State = Baking
	release, steady := v.rec.On.Release, k.bakeTime(v)
	if by := k.mitigatedBy(v); by != "" && steady > 0 {
		m.probe(WatchBake, release, endlessBake)
		if !v.fails() {
			m.refuse(refusal{ByBalancer, by + " mitigates an anomaly of this node and sends it less traffic: its bake begins when that is over"})
			return
		}
	} else {
		m.probe(WatchBake, release, steady)
	}
	switch {
	case !v.watched(WatchBake, release):
		m.because("bakes " + steady.String())
	case v.Health.Status == health.Passing:
		m.do(Prove, "verified, added and baked "+steady.String(), k.toProve(v, v.rec.On))
	case v.fails():
		k.fail(v, m, "while baking: "+v.Health.Reason)
	default:
		m.status.Since, m.status.Deadline = v.Health.Since, v.Health.Deadline
		m.because("bakes " + steady.String() + ": " + v.Health.Reason)
	}
}

// endlessBake is a bake without an end of its own: when it is replaced by another, that one begins anew.
const endlessBake = 24 * time.Hour

// mitigatedBy is the group that sends the node less traffic than others since it finds it anomalous; empty: none does.
func (k *known) mitigatedBy(v *view) string {
	i := slices.IndexFunc(v.targets, func(t actuators.Target) bool { return t.Mitigated })
	if i < 0 {
		return ""
	}
	return k.groupName(v.targets[i].Group)
}

// bakeTime is how long the node bakes: nothing where the version was proven before.
func (k *known) bakeTime(v *view) time.Duration {
	if v.provenOnce(v.rec.On) {
		return 0
	}
	return k.wave.bake
}

// unseenDrain is what a node waits for that was to leave and is to stay.
const unseenDrain = "waits for its load balancers to show whether it leaves"

// restore gives a node back that left and was not changed.
func (k *known) restore(v *view, m *move) {
	if v.drifted() && k.goesOn() && !k.untried[v.Name] {
		m.do(Leave, "drift: "+v.Health.Reason, k.toLeave(v))
		return
	}
	k.joining(v, m, "goes straight back: ")
	switch {
	case k.inPlace(v) && k.behind(v, m):
		m.because(unseenDrain)
	case k.inPlace(v):
		m.do(Restore, "goes straight back with "+cmp.Or(v.rec.On.Release, "what it had"), k.toIdle(v))
	case len(k.missing(v)) > 0:
		k.rejoin(v, m)
	case m.overdue(k.Now):
		m.do(Restore, fmt.Sprintf("registered again, and not in service after %s: %s", JoinTimeout, k.said(v)), k.toIdle(v))
	}
}
