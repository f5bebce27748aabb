package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"windlass/actuators"
	"windlass/health"
)

// mayServe holds a verified node back while as many others as may serve something unproven (law 8). Of nodes that wait to join, the first goes.
func (f *fleet) mayServe(v *view) bool {
	digest := v.rec.On.Digest
	if f.proven[digest] {
		return true
	}
	serving := 0
	for _, o := range f.views {
		before := o.rec.Stage == actuators.Verified && (v.rec.Stage != actuators.Verified || o.Name < v.Name)
		same := o.rec.On.Digest == digest && (o.rotation == member || before || o.doing() == Add)
		if o != v && (same || o.opaque()) {
			serving++
		}
	}
	if serving < f.unprovenLimit() {
		return true
	}
	v.awaits = true
	f.hold(v, fmt.Sprintf("verified; %d may serve %s, which is not proven yet, as many as may%s", serving, v.rec.On.Release, f.whoIsOpaque()))
	return false
}

// add gives a node that passed its checks back to its groups.
func (f *fleet) add(v *view, r actuators.NodeRecord) {
	v.status.State = Joining
	missing := f.missing(v)
	v.status.Reason = fmt.Sprintf("checks passed, joins %d of its groups", len(missing))
	f.plan.Steps = append(f.plan.Steps, Step{Node: v.Name, Kind: Add, Reason: v.Health.Reason, Record: &r, Targets: missing})
	joining := *v.rec
	joining.Stage = actuators.Verified
	v.rec, v.moving = &joining, true
}

// missing are the places the node is to have and has not.
func (f *fleet) missing(v *view) []actuators.Membership {
	return slices.DeleteFunc(f.due(v), func(m actuators.Membership) bool {
		return slices.ContainsFunc(v.targets, func(t actuators.Target) bool {
			return t.Status != actuators.TargetDraining && t.Group == m.Group && t.ID == m.ID && t.Port == m.Port
		})
	})
}

// due are the places the node is to have in the groups the fleet names: exactly those it was taken from, where they are its
// own; in a group it was not taken from, those it was proven in; else the group's default. No record can name a group for it (law 17).
func (f *fleet) due(v *view) []actuators.Membership {
	var due []actuators.Membership
	for i, g := range f.groups {
		id := g.Target(v.Node.Node)
		taken, before := in(g, id, v.rec.Taken), in(g, id, v.rec.Places)
		switch {
		case !g.named:
		case len(taken) > 0:
			due = append(due, taken...)
		case len(before) > 0:
			due = append(due, before...)
		case id != "":
			due = append(due, actuators.Membership{Group: g.ID, ID: id, Port: cmp.Or(f.Fleet.LoadBalancers[i].Port, g.Port)})
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
func (f *fleet) returning(v *view) {
	switch {
	case f.goesOn() && !f.Is(v.rec.On):
		f.turnBack(v)
	case !v.inPlace(f):
		f.join(v)
	default:
		f.bake(v)
	}
}

// turnBack takes a node on its way back out again, for a newer version (law 10).
func (f *fleet) turnBack(v *view) {
	v.status.State = Draining
	why := fmt.Sprintf("%s is wanted now", f.Version.Release)
	f.step(v, Leave, why, f.toLeave(v))
}

// inPlace reports whether the balancers send the node traffic everywhere they should.
func (v *view) inPlace(f *fleet) bool {
	return !f.balanced() || v.serving && len(f.missing(v)) == 0
}

// joining says that the node waits for its balancers, and until when: each registration and each time it served begins a wait anew,
// a new agent begins its own, and slow start takes its time. Only the agent's clock counts (law 20).
func (f *fleet) joining(v *view, what string) {
	v.status.State, v.status.Reason = Joining, what+v.said(f)
	since := later(cmpTime(v.Staged, v.status.Since), v.Served)
	if v.Asked == Add && len(f.missing(v)) == 0 {
		since = later(since, v.AskedAt)
	}
	if slices.ContainsFunc(v.targets, func(t actuators.Target) bool { return t.Status == actuators.TargetRamping }) {
		since = since.Add(SlowStart)
	}
	v.status.Deadline = since.Add(JoinTimeout)
}

// join registers the node and waits for the balancers to find it healthy.
func (f *fleet) join(v *view) {
	f.joining(v, "joins: ")
	switch {
	case len(f.missing(v)) > 0:
		f.rejoin(v)
	case f.overdue(v):
		f.fail(v, fmt.Sprintf("not in service %s after it passed its checks: %s", JoinTimeout, v.said(f)))
	}
}

// rejoin registers what is missing, after the checks passed again: an agent before this one may have verified it long ago.
func (f *fleet) rejoin(v *view) {
	release := v.rec.On.Release
	switch {
	case f.askedAlready(v, Add):
		v.status.Reason = "waits for its load balancers to show that it joins"
	case v.passed(release) && (v.rotation == member || f.mayServe(v)):
		f.add(v, f.at(v, v.rec.Stage))
	case v.passed(release): // held
		f.watch(v, WatchVerify, release, 0)
	case v.watched(WatchVerify, release) && (v.Health.Status == health.Failing || v.Health.Status == health.Contradicted):
		f.lapse(v)
	default:
		f.watch(v, WatchVerify, release, 0)
		v.status.Reason = "checked again before it joins"
		if v.Asked != Add { // else it is the same stage, tried again
			v.status.State = Verifying
		}
	}
}

// lapse is a check's deadline passing on a node on its way back: an attempt is used, unless the node has what it had before. One that can
// neither serve nor leave lets others go before it.
func (f *fleet) lapse(v *view) {
	if v.rec.Stage == actuators.Verified && v.rec.Try.Version.Digest == v.rec.On.Digest {
		f.fail(v, v.Health.Reason)
		return
	}
	f.watch(v, WatchVerify, v.rec.On.Release, 0)
	v.held = true
	v.status.State = OutOfService
	v.status.Reason = "cannot be given back, its checks fail: " + v.Health.Reason
}

// bake proves the served release again, for as long as the fleet asks, before the next node is touched.
func (f *fleet) bake(v *view) {
	v.status.State = Baking
	release, steady := v.rec.On.Release, f.bakeTime(v)
	f.watch(v, WatchBake, release, steady)
	switch {
	case !v.watched(WatchBake, release):
		v.status.Reason = "bakes " + steady.String()
	case v.Health.Status == health.Passing:
		f.step(v, Prove, "verified, added and baked "+steady.String(), f.toProve(v, v.rec.On))
	case v.Health.Status == health.Failing, v.Health.Status == health.Contradicted:
		f.fail(v, "while baking: "+v.Health.Reason)
	default:
		v.status.Since, v.status.Deadline = v.Health.Since, v.Health.Deadline
		v.status.Reason = "bakes " + steady.String() + ": " + v.Health.Reason
	}
}

// bakeTime is how long the node bakes: the canary's time until the version is proven, nothing where it was proven before.
func (f *fleet) bakeTime(v *view) time.Duration {
	switch {
	case v.provenOnce(v.rec.On):
		return 0
	case f.Fleet.Rollout.Canary != nil && f.proofs < f.proofsNeeded():
		return f.Fleet.Rollout.Canary.Bake
	}
	return f.Fleet.Rollout.Bake
}

// restore gives a node back that left and was not changed.
func (f *fleet) restore(v *view) {
	if v.drifted() && f.goesOn() {
		f.step(v, Leave, "drift: "+v.Health.Reason, f.toLeave(v))
		return
	}
	f.joining(v, "goes straight back: ")
	switch {
	case v.inPlace(f) && f.behind(v):
		v.status.Reason = "waits for its load balancers to show whether it leaves"
	case v.inPlace(f):
		f.step(v, Restore, "goes straight back with "+cmp.Or(v.rec.On.Release, "what it had"), f.toIdle(v))
	case len(f.missing(v)) > 0:
		f.rejoin(v)
	case f.overdue(v):
		f.step(v, Restore, fmt.Sprintf("registered again, and not in service after %s: %s", JoinTimeout, v.said(f)), f.toIdle(v))
	}
}
