package report

import (
	"fmt"
	"strings"

	"windlass/internal/forge"
	"windlass/internal/web"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

// A verdict is what is said of something.
type verdict struct {
	State forge.State `json:"state,omitempty"` // empty: nothing
	Text  string      `json:"text,omitempty"`
}

func (v verdict) ends() bool { return v.State != "" && v.State != forge.Pending }

func say(state forge.State, format string, args ...any) verdict {
	return verdict{state, forge.Shortened(web.Line(fmt.Sprintf(format, args...)), forge.MostText)}
}

// judge is what the commit that a fleet's file came from says of the fleet. It is nothing while that cannot be told: before every node was read once, or
// while a newer commit is the one to speak of.
func judge(s reconciler.Status) verdict {
	if !s.Ready || s.Released {
		return verdict{}
	}
	far := fmt.Sprintf("%d of %d with %s", arrived(s), s.Size, s.Desired.Release)
	reason := strings.TrimPrefix(s.Reason, "hold: ")
	switch s.Phase {
	case plan.PhaseIdle:
		return say(forge.Success, "%d of %d in service with %s", s.InService, s.Size, s.Desired.Release)
	case plan.PhaseHalted:
		return say(forge.Failure, "halted, %s: %s", far, reason)
	case plan.PhasePaused:
		return say(forge.Pending, "%s, paused: %s", far, reason)
	case plan.PhaseWaiting:
		return say(forge.Pending, "%s, waiting: %s", far, reason)
	case plan.PhaseProgressing, plan.PhaseRollingBack:
		return say(forge.Pending, "%s; %s", far, reason)
	}
	return verdict{}
}

// arrived counts the nodes that serve what is wanted.
func arrived(s reconciler.Status) int {
	n := 0
	for _, node := range s.Nodes {
		if node.State == plan.InService && !node.Outdated && !node.UnderWay {
			n++
		}
	}
	return n
}

// refusal is what a commit says of a fleet whose file in it is not in force.
func refusal(s reconciler.Status) verdict {
	errs := s.Rejected.Errors
	if len(errs) == 0 {
		return say(forge.Failure, "%s is not in order", s.Rejected.Path)
	}
	more := ""
	if len(errs) > 1 {
		more = fmt.Sprintf(" (and %d more)", len(errs)-1)
	}
	return say(forge.Failure, "%s%s", forge.Shortened(web.Line(errs[0].Error()), forge.MostText-len(more)), more)
}

// ended is what a rollout that ended says of what it brought.
func ended(d reconciler.RolloutDone) verdict {
	r := d.Rollout
	switch r.Result {
	case reconciler.ResultSucceeded, reconciler.ResultRolledBack:
		return say(forge.Success, "%d of %d in service with %s", r.Completed, r.Planned, r.Release)
	case reconciler.ResultHalted:
		return say(forge.Failure, "halted at %d of %d: %s", r.Completed, r.Planned, d.Reason)
	}
	return say(forge.Replaced, "superseded at %d of %d", r.Completed, r.Planned)
}

// deploys reports whether a rollout is one to tell a forge of: drift that is put right, and nodes that came, bring nothing new.
func deploys(r reconciler.Rollout) bool {
	return r.Trigger == reconciler.TriggerCommit || r.Trigger == reconciler.TriggerRevert || r.Trigger == reconciler.TriggerRetry
}

// brought is the commit that a rollout brings.
func brought(r reconciler.Rollout) string {
	if r.Change.Revision != "" {
		return r.Change.Revision
	}
	return r.Revision
}
