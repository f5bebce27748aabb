package reconciler

import (
	"time"

	"windlass/reconciler/plan"
)

// A rollout follows a fleet's way to what is wanted, for people: nothing is decided by it.
type rollout struct {
	Rollout
	inherited bool // from an earlier start of the agent, and not compared with the nodes yet

	foretold   time.Time // its end, as it was expected when two nodes were done; zero: it was not
	foretoldAt time.Time
}

func (r *Rollout) underWay() bool { return !r.Started.IsZero() && r.Ended.IsZero() }

// advance takes a new plan: a rollout begins when something moves, and ends when all have what is wanted, the version
// halts, or another takes its place. Before every node was read once there is no telling how far it is.
func (r *rollout) advance(a *actor, now time.Time) {
	if !a.ready() {
		return
	}
	seen := now
	if r.inherited {
		r.inherited, seen = false, r.LastProgress
	}
	lacking := lacking(a.plan)
	if r.underWay() && r.Digest != a.want.Version.Digest {
		r.end(a, ResultSuperseded, seen)
	}
	moving := a.plan.Phase == plan.PhaseProgressing || a.plan.Phase == plan.PhaseRollingBack
	if !r.underWay() && moving && lacking > 0 {
		r.begin(a, now)
	}
	if !r.underWay() {
		return
	}
	r.pause(a.want.Fleet.Paused != nil, now)
	r.note(a, seen)
	if completed := r.Planned - lacking; completed > r.Completed {
		r.Completed = completed
	}
	r.Planned = max(r.Planned, r.Completed+lacking)
	r.foretell(a.plan.Expected, a.plan.Holds, now)
	switch {
	case a.plan.Phase == plan.PhaseHalted:
		r.end(a, ResultHalted, seen)
	case lacking == 0 && !moving:
		r.end(a, r.success(), seen)
	}
}

// moved notes that a node came into another state at that time.
func (r *rollout) moved(at time.Time) {
	if r.underWay() {
		r.LastProgress = later(r.LastProgress, at)
	}
}

// pause keeps the time that people hold the rollout up apart from the time that it takes.
func (r *rollout) pause(paused bool, now time.Time) {
	switch {
	case paused && r.PausedAt.IsZero():
		r.PausedAt = now
	case !paused && !r.PausedAt.IsZero():
		r.Paused += max(0, now.Sub(r.PausedAt))
		r.PausedAt, r.LastProgress = time.Time{}, later(r.LastProgress, now)
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
	*r = rollout{Rollout: Rollout{
		Trigger: r.trigger(a), Revision: a.want.Version.Revision, Release: a.want.Version.Release,
		Digest: a.want.Version.Digest, Retry: a.want.Fleet.Retry, Committed: a.committed,
		Started: now, LastProgress: now, Planned: lacking(a.plan),
		From: replaced(a.plan), Change: a.meta.change,
	}}
	r.FromRevision = a.replacedRevision(r.From)
}

// trigger is what began a rollout: something about the commit if what is wanted changed, else something about the nodes.
func (r *rollout) trigger(a *actor) Trigger {
	switch {
	case a.plan.Phase == plan.PhaseRollingBack:
		return TriggerRevert
	case r.Digest == a.want.Version.Digest && r.Retry < a.want.Fleet.Retry:
		return TriggerRetry
	case r.Digest != a.want.Version.Digest && (!a.converged() || a.leftBehind()):
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

// leftBehind reports whether some node has another version that was proven on it: an agent that is gone had begun.
func (a *actor) leftBehind() bool {
	for _, n := range a.order {
		if r := n.record(); r.Proven.Digest != "" && r.Proven.Digest != a.want.Version.Digest {
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

// whyHalted is the verdict, without the advice that was good while it was in force.
func whyHalted(p plan.Plan) string {
	if p.Halt == nil {
		return p.Reason
	}
	return "failed on " + p.Halt.Node + ": " + p.Halt.Reason
}

func (r *rollout) end(a *actor, result Result, now time.Time) {
	r.pause(false, now)
	r.Result, r.Ended = result, now
	r.Longest.end(now)
	done := RolloutDone{Fleet: a.name, Rollout: r.Rollout}
	if result == ResultHalted {
		done.Reason = whyHalted(a.plan)
	}
	if result == ResultSucceeded || result == ResultRolledBack {
		done.Misjudged, done.Foretold = r.misjudged(now)
	}
	fresh := r.Trigger == TriggerCommit || r.Trigger == TriggerRevert
	if fresh && result != ResultHalted && result != ResultSuperseded && !r.Committed.IsZero() {
		done.Lead = now.Sub(r.Committed)
	}
	a.Log.Info("rollout "+string(result), "fleet", a.name, "release", r.Release, "trigger", r.Trigger, "nodes", r.Completed, "took", now.Sub(r.Started).Round(time.Millisecond))
	a.Observer.RolloutDone(done)
}
