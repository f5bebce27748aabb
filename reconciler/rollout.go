package reconciler

import (
	"time"

	"windlass/reconciler/plan"
)

// A rollout follows a fleet's way to what is wanted, for people: nothing is decided by it.
type rollout struct {
	Rollout
	digest string
	retry  int
}

func (r *rollout) underWay() bool { return !r.Started.IsZero() && r.Ended.IsZero() }

// advance takes a new plan: a rollout begins when something moves, and ends when all have what is wanted, the version
// halts, or another takes its place.
func (r *rollout) advance(a *actor, now time.Time) {
	lacking := lacking(a.plan)
	if r.underWay() && r.digest != a.want.Version.Digest {
		r.end(a, ResultSuperseded, now)
	}
	moving := a.plan.Phase == plan.PhaseProgressing || a.plan.Phase == plan.PhaseRollingBack
	if !r.underWay() && moving && lacking > 0 {
		r.begin(a, now)
	}
	if !r.underWay() {
		return
	}
	if completed := r.Planned - lacking; completed > r.Completed {
		r.Completed = completed
	}
	r.Planned = max(r.Planned, r.Completed+lacking)
	r.LastProgress = later(r.LastProgress, a.progress)
	switch {
	case a.plan.Phase == plan.PhaseHalted:
		r.end(a, ResultHalted, now)
	case lacking == 0 && !moving:
		r.end(a, r.success(), now)
	}
}

// lacking counts the nodes that have not come to rest with what is wanted.
func lacking(p plan.Plan) int {
	n := 0
	for _, s := range p.Nodes {
		if s.Outdated || s.UnderWay {
			n++
		}
	}
	return n
}

func (r *rollout) begin(a *actor, now time.Time) {
	*r = rollout{digest: a.want.Version.Digest, retry: a.want.Fleet.Retry, Rollout: Rollout{
		Trigger: r.trigger(a), Revision: a.want.Version.Revision, Release: a.want.Version.Release,
		Started: now, LastProgress: now, Planned: lacking(a.plan),
	}}
}

// trigger is what began a rollout: something about the commit if what is wanted changed, else something about the nodes.
func (r *rollout) trigger(a *actor) Trigger {
	switch {
	case a.plan.Phase == plan.PhaseRollingBack:
		return TriggerRevert
	case r.digest == a.want.Version.Digest && r.retry < a.want.Fleet.Retry:
		return TriggerRetry
	case r.digest != a.want.Version.Digest && !a.converged():
		return TriggerCommit
	}
	for _, s := range a.plan.Nodes {
		if s.Drift {
			return TriggerDrift
		}
	}
	return TriggerMembership
}

// converged reports whether some node rests with what is wanted: then what is wanted is not new.
func (a *actor) converged() bool {
	for _, s := range a.plan.Nodes {
		if s.State == plan.InService && !s.Outdated {
			return true
		}
	}
	return false
}

func (r *rollout) success() Result {
	if r.Trigger == TriggerRevert {
		return ResultRolledBack
	}
	return ResultSucceeded
}

func (r *rollout) end(a *actor, result Result, now time.Time) {
	r.Result, r.Ended = result, now
	done := RolloutDone{Fleet: a.name, Rollout: r.Rollout}
	if fresh := r.Trigger == TriggerCommit || r.Trigger == TriggerRevert; fresh && result != ResultHalted && result != ResultSuperseded {
		done.Lead = now.Sub(a.meta.committed)
	}
	a.Log.Info("rollout "+string(result), "fleet", a.name, "release", r.Release, "trigger", r.Trigger, "nodes", r.Completed, "took", now.Sub(r.Started).Round(time.Millisecond))
	a.Observer.RolloutDone(done)
}
