package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"windlass/actuators"
)

var zeroTime time.Time

// goesOn reports whether journeys towards the wanted version may go on; without, what is under way is finished or restored.
func (f *fleet) goesOn() bool { return !f.Released && f.mayChange() }

// mayChange reports whether a node under way may get the wanted version. That of a released fleet is how it is finished.
func (f *fleet) mayChange() bool {
	return f.Blocked == "" && f.twins == "" && f.Fleet.Paused == nil && f.halt == nil
}

// journey decides what an under-way node does next. Its stage is read from the record and the balancers alone.
func (f *fleet) journey(v *view) {
	v.status.UnderWay = true
	v.status.Since = v.when(v.rec.StageAt)
	v.status.Attempt = v.failures(f) + 1
	if !f.canWork(v) {
		return
	}
	switch v.rec.Stage {
	case actuators.Preparing:
		f.preparing(v)
	case actuators.Leaving:
		f.leaving(v)
	case actuators.Configuring:
		f.configuring(v)
	case actuators.Verified:
		f.returning(v)
	}
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

// canWork reports whether anything can be done on an under-way node now, and says why not.
func (f *fleet) canWork(v *view) bool {
	v.status.State = busyState(v)
	switch {
	case v.Busy != "":
		v.status.Since = v.Node.Since
		v.status.Reason = cmp.Or(v.status.Reason, busyReason[v.Busy])
		return false
	case v.foreign != nil:
		v.status.Reason = fmt.Sprintf("agent %s works on it", v.foreign.Holder)
		return false
	case v.unsure != "":
		if v.Read.Err != "" {
			v.status.State = Unreachable
		}
		v.status.Reason = v.unsure
		return false
	case f.Now.Before(v.NotBefore):
		f.wake(v.NotBefore)
		v.status.Reason = "waits before it is tried again: " + v.Trouble
		return false
	case f.groupsUnread() != "":
		f.hold(v, f.groupsUnread())
		return false
	case f.formerUnread(v) != "":
		f.hold(v, f.formerUnread(v))
		return false
	case v.rec.Claim == nil || v.rec.Claim.Nonce != f.Agent.Nonce:
		f.step(v, Take, "goes on where the agent before left off", f.at(v, v.rec.Stage))
		return false
	}
	return true
}

// busyReason is what a step in flight is doing, for people.
var busyReason = map[Kind]string{
	Adopt: "being recorded", Take: "being taken over", Prepare: "prepare steps run", Leave: "being claimed", Drain: "being deregistered",
	Configure: "files and activate steps run", Add: "being registered", Prove: "being recorded as proven",
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
	case Prove:
		return Baking
	}
	return stateOf(v)
}

// groupsUnread is why a group the node belongs in cannot be built on now, or "".
func (f *fleet) groupsUnread() string {
	for _, g := range f.groups {
		if g.named && g.Err != "" {
			return g.Err
		}
	}
	if len(f.Groups) < len(f.Fleet.LoadBalancers) {
		return "the load balancers were not read yet"
	}
	return f.unread
}

// formerUnread returns why a group that the file no longer names, and that may still hold the node, cannot be read, or "".
func (f *fleet) formerUnread(v *view) string {
	for _, g := range f.groups {
		here := func(m actuators.Membership) bool { return m.Group == g.ID }
		if !g.named && g.Err != "" && !g.Missing && (slices.ContainsFunc(v.rec.Taken, here) || v.wasIn(g.ID)) {
			return f.namedByRecord(g)
		}
	}
	return ""
}

// fail records a used-up attempt. A node that only came back with what it had before used none: it is reported.
func (f *fleet) fail(v *view, why string) {
	if v.rec.Stage == actuators.Verified && (v.rec.Try.Version.Digest != v.rec.On.Digest || !v.rec.Known()) {
		f.step(v, Restore, "given back, and it does not serve: "+why, f.toIdle(v))
		return
	}
	f.step(v, Fail, why, f.toFail(v, why))
}

// step starts something on the node, with the record that is written first.
func (f *fleet) step(v *view, k Kind, reason string, r actuators.NodeRecord) {
	v.status.Reason = reason
	f.plan.Steps = append(f.plan.Steps, Step{Node: v.Name, Kind: k, Reason: reason, Record: &r})
}

// run starts a job on the node.
func (f *fleet) run(v *view, k Kind, reason string, r actuators.NodeRecord, job Job) {
	job.Previous = v.rec.Proven.Release
	f.step(v, k, reason, r)
	f.plan.Steps[len(f.plan.Steps)-1].Job = job
}

// bounded keeps a reason short enough for a record.
func bounded(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	const most = 300
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

func (f *fleet) watch(v *view, phase WatchPhase, release string, steady time.Duration) {
	f.plan.Watch = append(f.plan.Watch, Watch{Node: v.Name, Release: release, Phase: phase, Steady: steady})
}

func (f *fleet) hold(v *view, why string) {
	v.status.Reason = "hold: " + why
	f.plan.Holds = append(f.plan.Holds, Hold{Node: v.Name, Reason: "hold: " + why})
}

// wake pulls the next look earlier, never later. An instant that has come changes nothing more: a reading is awaited.
func (f *fleet) wake(t time.Time) {
	if t.After(f.Now) && (f.plan.WakeAt.IsZero() || t.Before(f.plan.WakeAt)) {
		f.plan.WakeAt = t
	}
}
