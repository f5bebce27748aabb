package plan

import (
	"fmt"
	"time"

	"windlass/actuators"
)

// pruning is what is decided of members outside the node set.
type pruning struct {
	step   *Step
	holds  []Hold
	wake   time.Time
	reread bool
}

// prune takes members outside the node set out of the groups that ask for it, one at a time, the floor kept.
func (k *known) prune(left budget) pruning {
	var p pruning
	if !k.prunes() || k.blocked != "" || k.sourcesIncomplete() != "" || !k.tooFew().none() || k.Pruned.Busy {
		return p
	}
	for _, t := range []time.Time{k.Pruned.NotBefore, k.Pruned.At.Add(AskAgain)} {
		if k.Now.Before(t) {
			p.wake = t
			return p
		}
	}
	for i, lb := range k.Fleet.LoadBalancers {
		if lb.Prune && p.step == nil {
			k.pruneGroup(i, left, &p)
		}
	}
	return p
}

func (k *known) prunes() bool {
	for _, lb := range k.Fleet.LoadBalancers {
		if lb.Prune {
			return true
		}
	}
	return false
}

func (k *known) pruneGroup(i int, left budget, p *pruning) {
	g := k.groups[i]
	for _, t := range g.strangers {
		if t.Status == actuators.TargetDraining {
			continue
		}
		switch why := left.refuseStranger(t, i); {
		case !why.none():
			p.holds = append(p.holds, Hold{Cause: why.cause, Reason: fmt.Sprintf("hold: %s stays in %s: %s", t.ID, g.Name, why.why)})
		case !k.fresh(k.Pruned.At):
			p.reread = true
		default:
			reason := fmt.Sprintf("%s is no node of this fleet and %s is to hold none but its nodes", t.ID, g.Name)
			p.step = &Step{Kind: Prune, Reason: reason, Targets: []actuators.Membership{t.Membership}}
		}
		return
	}
}
