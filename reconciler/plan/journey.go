package plan

import (
	"cmp"
	"fmt"

	"windlass/actuators"
)

// move decides what each node does next that is under way, and how each that is at rest stands.
func (k *known) move(t turns) []*move {
	sure := k.recheck()
	due := sure.due()
	all, moves := make([]move, len(k.views)), make([]*move, len(k.views))
	gives := k.blocked == ""
	for i := range k.views {
		v, m := &k.views[i], &all[i]
		moves[i] = m
		if v.moving {
			*m = k.journey(v, t.refused[v.Name], sure)
		} else {
			*m = k.rest(v)
			if due[v.Name] {
				m.probe(WatchAgain, cmp.Or(v.rec.On.Release, k.Version.Release), 0)
			}
		}
		m.status.Release, m.status.Outdated = v.rec.On.Release, !v.has
		if gives && !v.moving {
			k.give(v, m)
		}
	}
	return moves
}

// journey decides what an under-way node does next. Its stage is read from the record and the balancers alone. A claimed node that must not
// leave after all was refused that.
func (k *known) journey(v *view, refused refusal, sure recheck) move {
	m := move{status: NodeStatus{Name: v.Name, UnderWay: true, Since: v.when(v.rec.StageAt), Attempt: k.failures(v) + 1, State: busyState(v)}}
	if !k.canWork(v, &m) {
		if k.claimedAhead(v) {
			k.servesOn(v, &m)
		}
		m.serves = m.serves || v.unsure != "" && k.stillServes(v)
		return m
	}
	switch v.rec.Stage {
	case actuators.Preparing:
		k.preparing(v, &m)
	case actuators.Leaving:
		k.leaving(v, &m, refused, sure)
	case actuators.Configuring:
		k.configuring(v, &m)
	case actuators.Verified:
		k.returning(v, &m)
	}
	return m
}

// canWork reports whether anything can be done on an under-way node now, and says why not.
func (k *known) canWork(v *view, m *move) bool {
	switch {
	case v.Busy != "":
		m.status.Since = v.Node.Since
		m.because(busyReason[v.Busy])
	case v.foreign != nil:
		m.because(fmt.Sprintf("agent %s works on it", v.foreign.Holder))
	case v.unsure != "":
		if v.Read.Err != "" {
			m.status.State = Unreachable
		}
		m.because(v.unsure)
	case k.Now.Before(v.NotBefore):
		m.wakeAt(k.Now, v.NotBefore)
		m.because("waits before it is tried again: " + v.Trouble)
	case k.groupsUnread() != "":
		m.refuse(refusal{BySource, k.groupsUnread()})
	case k.formerUnread(v) != "":
		m.refuse(refusal{BySource, k.formerUnread(v)})
	case v.rec.Claim == nil || v.rec.Claim.Nonce != k.Agent.Nonce:
		m.do(Take, "goes on where the agent before left off", k.at(v, v.rec.Stage))
	default:
		return true
	}
	return false
}

// busyReason is what a step in flight is doing, for people.
var busyReason = map[Kind]string{
	Adopt: "being recorded", Take: "being taken over", Prepare: "prepare steps run", Leave: "being claimed", Drain: "being deregistered",
	Configure: "files and activate steps run", Add: "being registered", Prove: "being recorded as proven", Bake: "being claimed to bake",
	Restore: "being recorded as restored", Fail: "its failure is being recorded", Halt: "the halt is being recorded",
}

// busyState is the state that the step in flight shows, or else the stage.
func busyState(v *view) State {
	switch v.doing() {
	case Prepare:
		return Preparing
	case Leave, Drain:
		return Draining
	case Configure:
		return Configuring
	case Add:
		return Joining
	case Prove, Bake:
		return Baking
	}
	return stateOf(v)
}

// stateOf is the state that a stage shows before anything more is known.
func stateOf(v *view) State {
	switch v.rec.Stage {
	case actuators.Preparing:
		return Preparing
	case actuators.Leaving:
		return Draining
	case actuators.Configuring:
		return Configuring
	case actuators.Verified:
		return Joining
	case actuators.Failed:
		return Failed
	}
	return OutOfService
}

// fail records a used-up attempt. A node that only came back with what it had before used none: it is reported.
func (k *known) fail(v *view, m *move, why string) {
	if v.rec.Stage == actuators.Verified && (v.rec.Try.Version.Digest != v.rec.On.Digest || !v.rec.Known()) {
		m.do(Restore, "given back, and it does not serve: "+why, k.toIdle(v))
		return
	}
	m.do(Fail, why, k.toFail(v, why))
}

func (k *known) attempt(t actuators.Try) string {
	return fmt.Sprintf("%s, attempt %d of %d", t.Version.Release, t.Failures+1, k.Fleet.Rollout.Attempts)
}

// backingOff reports whether a used-up attempt is too fresh for the next.
func (k *known) backingOff(v *view, m *move) bool {
	failures := k.failures(v)
	if failures == 0 {
		return false
	}
	until := v.when(v.rec.Try.At).Add(min(MostBackoff, FirstBackoff<<min(failures-1, 10)))
	return m.waits(k.Now, until, fmt.Sprintf("attempt %d of %d failed, the next one follows: %s", failures, k.Fleet.Rollout.Attempts, v.rec.Try.Error))
}

// readAgain reports whether the balancers were read a moment ago, and has them read if not: a node may be in service that was put there by
// hand since (law 9).
func (k *known) readAgain(v *view, m *move, before string) bool {
	if !k.balanced() || k.fresh(v.AskedAt) {
		return true
	}
	m.reread = true
	m.because("its load balancers are read again " + before)
	return false
}

// askedAlready reports whether a balancer was asked so lately that what it shows may be from before.
func (k *known) askedAlready(v *view, m *move, kind Kind) bool {
	if v.Asked != kind || k.Now.Sub(v.AskedAt) >= AskAgain {
		return false
	}
	m.wakeAt(k.Now, v.AskedAt.Add(AskAgain))
	return true
}

// behind is drainUnseen, and has the balancers read again when they must show it.
func (k *known) behind(v *view, m *move) bool {
	if !k.drainUnseen(v) {
		return false
	}
	sure := v.drainShows()
	m.reread = m.reread || !k.Now.Before(sure)
	m.wakeAt(k.Now, sure)
	return true
}

// reasonToGo is why a node leaves.
func (k *known) reasonToGo(v *view) string {
	from := cmp.Or(v.rec.On.Release, v.rec.Proven.Release, "unknown")
	switch {
	case v.rec.Spoiled:
		return "the attempt failed: " + cmp.Or(v.rec.Try.Error, "it did not end")
	case v.drifted():
		return "drift: " + v.Health.Reason
	case k.Is(v.rec.On):
		return v.rec.On.Release + " was never proven here, and it does not serve: " + k.said(v)
	case from == k.Version.Release:
		return "configuration of " + from + " changed"
	}
	return from + " → " + k.Version.Release
}
