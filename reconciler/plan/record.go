package plan

import (
	"cmp"
	"slices"
	"strconv"

	"windlass/actuators"
)

// mostHalts is how many verdicts a record keeps, the newest.
const mostHalts = 8

// The functions of this file make the record a step writes from the one that is there. Times that are zero in the result
// (StageAt, Try.At, Halt.At) and the claim's expiry are filled in, by the node's clock, as it is written.

// draft is the record as it stands, addressed to this machine and carrying the halt in force and the facts.
func (k *known) draft(v *view) actuators.NodeRecord {
	r := v.rec.Clone()
	r.Schema, r.Fleet, r.Instance = actuators.RecordSchema, k.Fleet.Name, v.identity()
	if k.verdict.halt != nil {
		r.Halts = withHalt(r.Halts, *k.verdict.halt)
	}
	r.Facts = append(slices.Clone(k.lasting), k.spanFacts(v, actuators.MaxFacts-len(k.lasting))...)
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
func (k *known) at(v *view, s actuators.Stage) actuators.NodeRecord {
	r := k.draft(v)
	r.Claim = &actuators.Claim{Holder: k.Agent.Holder, Epoch: k.Agent.Epoch, Nonce: k.Agent.Nonce}
	setStage(&r, s)
	return r
}

func setStage(r *actuators.NodeRecord, s actuators.Stage) {
	if r.Stage != s {
		r.Stage, r.StageAt = s, zeroTime
	}
}

// toLeave is written before a node is drained: the claim and what it leaves, in one write (law 17).
func (k *known) toLeave(v *view) actuators.NodeRecord {
	r := k.at(v, actuators.Leaving)
	take(&r, v)
	switch {
	case v.drifted():
		r.On, r.Repairs = actuators.Version{}, min(r.Repairs+1, actuators.MaxRepairs)
	case v.unfinished() && k.Is(v.rec.On): // it is put there anew
		r.On = actuators.Version{}
	}
	return r
}

// take writes down what the node is about to leave, beside what it has left already.
func take(r *actuators.NodeRecord, v *view) {
	for _, m := range v.held() {
		if !slices.Contains(r.Taken, m) {
			r.Taken = append(r.Taken, m)
		}
	}
	slices.SortFunc(r.Taken, actuators.Membership.Compare)
}

// toPrepare is written before prepare steps run on a node that serves.
func (k *known) toPrepare(v *view) actuators.NodeRecord {
	r := k.at(v, actuators.Preparing)
	r.Try = k.trying(v)
	return r
}

// toConfigure is written before anything on the host is changed.
func (k *known) toConfigure(v *view) actuators.NodeRecord {
	r := k.at(v, actuators.Configuring)
	if v.drifted() {
		r.Repairs = min(r.Repairs+1, actuators.MaxRepairs)
	}
	r.Try = k.trying(v)
	r.On = r.Try.Version
	r.Spoiled = false
	return r
}

// version is the wanted one as it is written on records: with the commit that a gate lets through, or else the one that is there already.
func (k *known) version(was actuators.Version) actuators.Version {
	v := k.Version
	if v.Commit = accepted(k.heard); v.Commit == "" && k.Is(was) {
		v.Commit = was.Commit
	}
	return v
}

// trying is the attempt at the wanted version: the one under way, or a new one that remembers what failed here before.
func (k *known) trying(v *view) actuators.Try {
	old := v.rec.Try
	if k.Is(old.Version) && old.Retry >= k.Fleet.Retry {
		old.Version = k.version(old.Version) // by another algorithm's name, it may be
		return old
	}
	next := actuators.Try{ID: strconv.FormatInt(k.Now.UnixMilli(), 36), Version: k.version(v.rec.On), Retry: k.Fleet.Retry, Earlier: old.Earlier}
	if old.Failures >= k.Fleet.Rollout.Attempts && !k.Is(old.Version) {
		next.Earlier = old.Version.Digest
	}
	return next
}

// toBake is written before a node bakes that serves what was never proven there.
func (k *known) toBake(v *view) actuators.NodeRecord {
	r := k.at(v, actuators.Verified)
	r.Try = k.trying(v)
	return r
}

// toFail is written when an attempt was used up. The last one ends in the verdict on the digest, unless that says nothing about it: then the
// node is sick (law 11).
func (k *known) toFail(v *view, why string) actuators.NodeRecord {
	r := k.draft(v)
	r.Try.Failures++
	r.Spoiled = r.Spoiled || v.rec.Stage != actuators.Preparing
	r.Try.Error, r.Try.At = bounded(why), zeroTime
	switch {
	case r.Try.Failures < k.Fleet.Rollout.Attempts:
	case k.verdict.blames(v, r.Try):
		r.Halts = withHalt(r.Halts, halt(v, r.Try))
	default:
		r.Try.Earlier = cmp.Or(r.Try.Earlier, r.Try.Version.Digest)
	}
	k.afterFailure(v, &r)
	return r
}

// afterFailure moves the record to where the next attempt, or giving up, begins.
func (k *known) afterFailure(v *view, r *actuators.NodeRecord) {
	claim := &actuators.Claim{Holder: k.Agent.Holder, Epoch: k.Agent.Epoch, Nonce: k.Agent.Nonce}
	switch {
	case v.rec.Stage == actuators.Preparing:
		setStage(r, actuators.Idle)
		claim = nil
	case v.rotation == member, v.rotation == draining && v.rec.Stage != actuators.Configuring: // that one was left early
		take(r, v)
		setStage(r, actuators.Leaving)
	case r.Try.Failures >= k.Fleet.Rollout.Attempts:
		setStage(r, actuators.Failed)
		claim = nil
	default:
		setStage(r, actuators.Configuring)
	}
	r.Claim = claim
}

// toGiveUp is written when a node whose attempts are used up has left its groups.
func (k *known) toGiveUp(v *view) actuators.NodeRecord {
	r := k.draft(v)
	setStage(&r, actuators.Failed)
	r.Claim = nil
	return r
}

func halt(v *view, t actuators.Try) actuators.Halt {
	return actuators.Halt{
		Digest: t.Version.Digest, Release: t.Version.Release, Revision: t.Version.Revision,
		Retry: t.Retry, Node: v.Name, Reason: t.Error,
	}
}

// toProve ends a journey: what is on the host was verified, added and baked.
func (k *known) toProve(v *view, version actuators.Version) actuators.NodeRecord {
	r := k.toIdle(v)
	if r.Proven.Digest != version.Digest {
		r.Previous, r.Repairs = r.Proven, 0
	}
	r.On, r.Proven, r.Prepared, r.Try, r.Spoiled = version, version, version.Digest, actuators.Try{}, false
	r.Places = v.held() // also in groups that the fleet does not name any more: it leaves them on its next journey
	return r
}

// toIdle ends a journey without a change of what is on the host.
func (k *known) toIdle(v *view) actuators.NodeRecord {
	r := k.draft(v)
	setStage(&r, actuators.Idle)
	r.Claim, r.Taken = nil, nil
	return r
}
