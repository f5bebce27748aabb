package plan

import (
	"slices"
	"strconv"

	"windlass/actuators"
)

// mostHalts is how many verdicts a record keeps, the newest.
const mostHalts = 8

// The functions of this file make the record a step writes from the one that is there. Times that are zero in the result
// (StageAt, Try.At, Halt.At) and the claim's expiry are filled in, by the node's clock, as it is written.

// draft is the record as it stands, addressed to this machine and carrying the verdict in force.
func (f *fleet) draft(v *view) actuators.NodeRecord {
	r := v.rec.Clone()
	r.Schema, r.Fleet, r.Instance = actuators.RecordSchema, f.Fleet.Name, v.identity()
	if f.halt != nil {
		r.Halts = withHalt(r.Halts, *f.halt)
	}
	return r
}

func withHalt(halts []actuators.Halt, h actuators.Halt) []actuators.Halt {
	if slices.ContainsFunc(halts, func(o actuators.Halt) bool { return o.Digest == h.Digest && o.Retry >= h.Retry }) {
		return halts
	}
	halts = append(slices.Clone(halts), h)
	return halts[max(0, len(halts)-mostHalts):]
}

// at moves the record to a stage under this agent's claim.
func (f *fleet) at(v *view, s actuators.Stage) actuators.NodeRecord {
	r := f.draft(v)
	r.Claim = &actuators.Claim{Holder: f.Agent.Holder, Epoch: f.Agent.Epoch, Nonce: f.Agent.Nonce}
	setStage(&r, s)
	return r
}

func setStage(r *actuators.NodeRecord, s actuators.Stage) {
	if r.Stage != s {
		r.Stage, r.StageAt = s, zeroTime
	}
}

// toLeave is written before a node is drained: the claim and what it leaves, in one write (law 17).
func (f *fleet) toLeave(v *view) actuators.NodeRecord {
	r := f.at(v, actuators.Leaving)
	take(&r, v)
	if v.drifted() {
		r.On, r.Repairs = actuators.Version{}, min(r.Repairs+1, actuators.MaxRepairs)
	}
	return r
}

// take writes down what the node is about to leave, beside what it has left already.
func take(r *actuators.NodeRecord, v *view) {
	for _, t := range v.targets {
		if t.Status != actuators.TargetDraining && !slices.Contains(r.Taken, t.Membership) {
			r.Taken = append(r.Taken, t.Membership)
		}
	}
	slices.SortFunc(r.Taken, actuators.Membership.Compare)
}

// toPrepare is written before prepare steps run on a node that serves.
func (f *fleet) toPrepare(v *view) actuators.NodeRecord {
	r := f.at(v, actuators.Preparing)
	r.Try = f.trying(v)
	return r
}

// toConfigure is written before anything on the host is changed.
func (f *fleet) toConfigure(v *view) actuators.NodeRecord {
	r := f.at(v, actuators.Configuring)
	if v.drifted() {
		r.Repairs = min(r.Repairs+1, actuators.MaxRepairs)
	}
	r.On = f.Version
	r.Try = f.trying(v)
	r.Spoiled = false
	return r
}

// trying is the attempt at the wanted version: the one under way, or a new one that remembers what failed here before.
func (f *fleet) trying(v *view) actuators.Try {
	old := v.rec.Try
	if f.Is(old.Version) && old.Retry >= f.Fleet.Retry {
		old.Version = f.Version // by another algorithm's name, it may be
		return old
	}
	next := actuators.Try{ID: strconv.FormatInt(f.Now.UnixMilli(), 36), Version: f.Version, Retry: f.Fleet.Retry, Earlier: old.Earlier}
	if old.Failures >= f.Fleet.Rollout.Attempts && !f.Is(old.Version) {
		next.Earlier = old.Version.Digest
	}
	return next
}

// toFail is written when an attempt was used up. The last one ends in the verdict on the digest, unless the node had failed
// an earlier digest too, or this very digest was proven on it once: then the node is sick, and it says nothing about the digest (law 11).
func (f *fleet) toFail(v *view, why string) actuators.NodeRecord {
	r := f.draft(v)
	r.Try.Failures++
	r.Spoiled = r.Spoiled || v.rec.Stage != actuators.Preparing
	r.Try.Error, r.Try.At = bounded(why), zeroTime
	exhausted := r.Try.Failures >= f.Fleet.Rollout.Attempts
	switch {
	case !exhausted || r.Try.Earlier != "":
	case v.provenOnce(r.Try.Version):
		r.Try.Earlier = r.Try.Version.Digest
	default:
		r.Halts = withHalt(r.Halts, verdict(v, r.Try))
	}
	f.afterFailure(v, &r)
	return r
}

// afterFailure moves the record to where the next attempt, or giving up, begins.
func (f *fleet) afterFailure(v *view, r *actuators.NodeRecord) {
	claim := &actuators.Claim{Holder: f.Agent.Holder, Epoch: f.Agent.Epoch, Nonce: f.Agent.Nonce}
	switch {
	case v.rec.Stage == actuators.Preparing:
		setStage(r, actuators.Idle)
		claim = nil
	case v.rotation != out:
		take(r, v)
		setStage(r, actuators.Leaving)
	case r.Try.Failures >= f.Fleet.Rollout.Attempts:
		setStage(r, actuators.Failed)
		claim = nil
	default:
		setStage(r, actuators.Configuring)
	}
	r.Claim = claim
}

// toGiveUp is written when a node whose attempts are used up has left its groups.
func (f *fleet) toGiveUp(v *view) actuators.NodeRecord {
	r := f.draft(v)
	setStage(&r, actuators.Failed)
	r.Claim = nil
	return r
}

func verdict(v *view, t actuators.Try) actuators.Halt {
	return actuators.Halt{
		Digest: t.Version.Digest, Release: t.Version.Release, Revision: t.Version.Revision,
		Retry: t.Retry, Node: v.Name, Reason: t.Error,
	}
}

// toProve ends a journey: what is on the host was verified, added and baked.
func (f *fleet) toProve(v *view, version actuators.Version) actuators.NodeRecord {
	r := f.toIdle(v)
	if r.Proven.Digest != version.Digest {
		r.Previous, r.Repairs = r.Proven, 0
	}
	r.On, r.Proven, r.Prepared, r.Try, r.Spoiled = version, version, version.Digest, actuators.Try{}, false
	r.Places = f.places(v)
	return r
}

// toIdle ends a journey without a change of what is on the host.
func (f *fleet) toIdle(v *view) actuators.NodeRecord {
	r := f.draft(v)
	setStage(&r, actuators.Idle)
	r.Claim, r.Taken = nil, nil
	return r
}

// places is where the balancers hold the node now, also in groups that the fleet does not name any more: it leaves them on its next
// journey.
func (f *fleet) places(v *view) []actuators.Membership {
	var places []actuators.Membership
	for _, t := range v.targets {
		if t.Status != actuators.TargetDraining {
			places = append(places, t.Membership)
		}
	}
	return places
}
