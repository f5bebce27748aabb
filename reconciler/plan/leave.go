package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"windlass/actuators"
)

// leaving takes a claimed node out of its groups, or gives it back unchanged.
func (f *fleet) leaving(v *view) {
	onward := v.spoiled() || !f.Is(v.rec.On) && f.goesOn()
	switch {
	case !onward && v.changed():
		f.step(v, Restore, v.rec.On.Release+" is wanted again: it goes back and bakes", f.at(v, actuators.Verified))
	case !onward:
		f.restore(v)
	case v.rotation == member:
		f.drain(v)
	case v.rotation == draining:
		f.awaitDrain(v)
	case f.exhausted(v):
		f.step(v, Fail, "attempts used up: "+v.rec.Try.Error, f.toGiveUp(v))
	case f.balanced():
		f.configure(v)
	default:
		f.change(v)
	}
}

// change configures a node that no balancer takes out: it serves until then, so that this is its removal (law 9).
func (f *fleet) change(v *view) {
	v.status.State = Configuring
	if why := f.sourcesIncomplete(); why != "" {
		f.hold(v, why)
		return
	}
	if why := cmp.Or(f.tooFew(), f.mayDrain(v)); why != "" {
		f.stay(v, why)
		return
	}
	if !f.sureOfOthers(v) {
		v.status.Reason = "the other nodes are checked again before it is changed"
		return
	}
	before := len(f.plan.Steps)
	f.configure(v)
	if len(f.plan.Steps) > before {
		f.lost(v)
	}
}

// sureOfOthers reports whether all others that are counted on were checked since the node was claimed; if not, they are.
func (f *fleet) sureOfOthers(v *view) bool {
	sure := true
	for _, o := range f.views {
		if o == v || !o.counts(f) || o.Health.Phase == WatchAgain && !o.Health.Since.Before(v.Staged) {
			continue
		}
		sure = false
		f.watch(o, WatchAgain, o.rec.On.Release, 0)
	}
	return sure
}

// exhausted reports whether what is on the node failed as often as it may be tried, and nothing else is to be put there.
func (f *fleet) exhausted(v *view) bool {
	most := f.Fleet.Rollout.Attempts
	if f.Is(v.rec.Try.Version) {
		return v.spoiled() && v.failures(f) >= most
	}
	return v.spoiled() && v.rec.Try.Failures >= most && !f.goesOn()
}

// changed reports whether what is on the host never was proven there.
func (v *view) changed() bool { return v.rec.Known() && v.rec.On.Digest != v.rec.Proven.Digest }

// drain takes the node out of every group it is still in, on a reading of the balancers made just for that (law 9).
func (f *fleet) drain(v *view) {
	v.status.State = Draining
	if why := f.sourcesIncomplete(); why != "" {
		f.hold(v, why)
		return
	}
	if f.askedAlready(v, Drain) {
		v.status.Reason = "waits for its load balancers to show that it leaves"
		return
	}
	if f.behind(v) {
		v.status.Reason = "its load balancers are read again: what they showed may be from before they were asked"
		return
	}
	if why := cmp.Or(f.tooFew(), f.mayDrain(v)); why != "" {
		f.stay(v, why)
		return
	}
	if !f.readAgain(v, "before it leaves") {
		return
	}
	if !v.listed() {
		f.step(v, Leave, "it is in a group that its record does not name yet", f.toLeave(v))
		return
	}
	var targets []actuators.Membership
	for _, t := range v.targets {
		if t.Status != actuators.TargetDraining {
			targets = append(targets, t.Membership)
		}
	}
	f.plan.Steps = append(f.plan.Steps, Step{Node: v.Name, Kind: Drain, Reason: v.reasonToGo(f), Targets: targets})
	v.status.Reason = v.reasonToGo(f)
	f.lost(v)
}

// listed reports whether the record names every place the node is about to leave (law 17).
func (v *view) listed() bool {
	return !slices.ContainsFunc(v.targets, func(t actuators.Target) bool {
		return t.Status != actuators.TargetDraining && !slices.Contains(v.rec.Taken, t.Membership)
	})
}

// stay lets a claimed node that must not leave after all be counted on again. One that failed is only held, and lets others
// go before it; one on its way back that does not serve yet stays counted as out; one that has left a group already goes back there.
func (f *fleet) stay(v *view, why string) {
	switch {
	case v.spoiled():
		f.hold(v, why)
		f.cap.away--
		v.held, v.awaits = true, f.tooFew() == ""
	case f.balanced() && len(f.missing(v)) > 0:
		if f.restore(v); v.status.State == OutOfService {
			v.status.Reason += "; it cannot leave either: " + why
		}
	case f.balanced() && !v.serving && v.mayServeBy(f):
		f.hold(v, why)
	default:
		f.step(v, Restore, "stays for now: "+why, f.toIdle(v))
	}
}

// fresh reports whether the balancers were read after the last request to them, a moment ago. Former groups that cannot be read hold up
// those alone that may be in them.
func (f *fleet) fresh() bool {
	var asked time.Time
	for _, v := range f.views {
		if v.AskedAt.After(asked) {
			asked = v.AskedAt
		}
	}
	stale := slices.ContainsFunc(f.groups, func(g group) bool { return g.At.Before(asked) && (g.named || g.Err == "") })
	return !stale && f.Now.Sub(f.GroupsRead) <= Fresh
}

// askedAlready reports whether a balancer was asked so lately that what it shows may be from before.
func (f *fleet) askedAlready(v *view, kind Kind) bool {
	if v.Asked != kind || f.Now.Sub(v.AskedAt) >= AskAgain {
		return false
	}
	f.wake(v.AskedAt.Add(AskAgain))
	return true
}

// drainUnseen reports whether the balancers were asked to drain the node, and may not show it yet: a call that failed may have had its
// effect (law 14), and readings lag (G8).
func (f *fleet) drainUnseen(v *view) bool { return f.readSince().Before(v.drainShows()) }

// drainShows is when every reading shows that the node was asked to leave, if it was; zero when it was not. An agent before this one may have
// asked just before this one first saw the node.
func (v *view) drainShows() time.Time {
	switch {
	case v.Asked == Drain:
		return v.AskedAt.Add(AskAgain)
	case v.Asked == "" && v.Inherited:
		return v.Staged.Add(AskAgain)
	}
	return zeroTime
}

// behind is drainUnseen, and has the balancers read again when they must show it.
func (f *fleet) behind(v *view) bool {
	if !f.drainUnseen(v) {
		return false
	}
	sure := v.drainShows()
	f.plan.Reread = f.plan.Reread || !f.Now.Before(sure)
	f.wake(sure)
	return true
}

func (v *view) reasonToGo(f *fleet) string {
	from := cmp.Or(v.rec.Proven.Release, v.rec.On.Release, "unknown")
	switch {
	case v.spoiled():
		return "the attempt failed: " + cmp.Or(v.rec.Try.Error, "it did not end")
	case v.drifted() || f.Is(v.rec.On):
		return "drift: " + v.Health.Reason
	case from == f.Version.Release:
		return "configuration of " + from + " changed"
	}
	return from + " → " + f.Version.Release
}

// awaitDrain waits for the balancers' word that the node has left.
func (f *fleet) awaitDrain(v *view) {
	v.status.State = Draining
	limit := f.Fleet.Rollout.DrainTimeout
	for _, g := range f.groups {
		if len(g.places(v.Node.Node)) > 0 {
			limit = max(limit, g.Delay+time.Minute)
		}
	}
	v.status.Deadline = v.status.Since.Add(limit)
	v.status.Reason = "connections drain: " + v.said(f)
	if f.overdue(v) {
		v.status.Reason = fmt.Sprintf("still draining after %s: %s", limit, v.said(f))
	}
}

// overdue reports whether the node's stage has outlasted its deadline; if not, the plan wakes when it will have.
func (f *fleet) overdue(v *view) bool {
	if f.Now.Before(v.status.Deadline) {
		f.wake(v.status.Deadline)
		return false
	}
	return true
}
