package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
)

// Next decides what to do now. The same input gives the same plan, byte for byte.
func Next(want Want, seen World) Plan {
	f := &fleet{Want: want, World: seen}
	f.look()
	f.judge()
	f.count()
	var idle []*view
	for _, v := range f.views {
		if v.moving {
			f.journey(v)
		} else {
			idle = append(idle, v)
		}
	}
	for _, v := range idle {
		f.rest(v)
	}
	f.start(idle)
	f.prune()
	f.spread()
	f.giveUp()
	f.conclude()
	return f.plan
}

// judge finds the verdict in force on the wanted version, and how well it is proven.
func (f *fleet) judge() {
	f.proven = map[string]bool{}
	for _, v := range f.views {
		f.proven[v.rec.Proven.Digest], f.proven[v.rec.Previous.Digest] = true, true
		f.bind(v.rec.Halts, v.Name)
		if f.Is(v.rec.Proven) || f.Is(v.rec.Previous) {
			f.proofs++
		}
	}
	if f.Verdict != nil {
		f.bind([]actuators.Halt{*f.Verdict}, "")
	}
}

// bind lets a verdict on the wanted version come into force. Any copy does (law 11); the one on the node that failed is told.
func (f *fleet) bind(halts []actuators.Halt, from string) {
	if i := slices.IndexFunc(halts, f.condemns); i >= 0 && (f.halt == nil || halts[i].Node == from) {
		f.halt, f.haltFrom = &halts[i], from
	}
	for _, h := range halts {
		if f.condemns(h) {
			f.retried = max(f.retried, h.Retry)
		}
	}
}

// condemns reports whether a verdict is on the wanted version, by whatever algorithm its writer named it.
func (f *fleet) condemns(h actuators.Halt) bool {
	if h.Retry < f.Fleet.Retry {
		return false
	}
	for _, digest := range f.Older {
		if h.Digest == digest {
			return true
		}
	}
	return h.Digest == f.Version.Digest
}

// unprovenLimit is how many nodes may serve a version that is not proven (law 8).
func (f *fleet) unprovenLimit() int {
	if c := f.Fleet.Rollout.Canary; c != nil {
		return c.Nodes
	}
	return 1
}

// proofsNeeded is on how many nodes the version must be proven before the rest follows.
func (f *fleet) proofsNeeded() int { return min(f.unprovenLimit(), max(1, len(f.views))) }

// prune takes members outside the node set out of the groups that ask for it, one at a time, the floor kept.
func (f *fleet) prune() {
	if f.blocked() != "" || f.sourcesIncomplete() != "" || f.tooFew() != "" {
		return
	}
	for _, t := range []time.Time{f.Pruned.NotBefore, f.Pruned.At.Add(AskAgain)} {
		if f.Now.Before(t) {
			f.wakeIf(t, slices.ContainsFunc(f.Fleet.LoadBalancers, func(lb desired.LoadBalancer) bool { return lb.Prune }))
			return
		}
	}
	for i, lb := range f.Fleet.LoadBalancers {
		if lb.Prune {
			f.pruneGroup(f.groups[i])
		}
	}
}

func (f *fleet) pruneGroup(g group) {
	ours := f.targetsIn(*g.GroupState)
	for _, t := range g.Members {
		if ours[t.ID] || t.Status == actuators.TargetDraining {
			continue
		}
		if why := f.mayPrune(t); why != "" {
			f.plan.Holds = append(f.plan.Holds, Hold{Reason: fmt.Sprintf("hold: %s stays in %s: %s", t.ID, g.Name, why)})
			return
		}
		if !f.fresh() {
			f.plan.Reread = true
			return
		}
		reason := fmt.Sprintf("%s is no node of this fleet and %s is to hold none but its nodes", t.ID, g.Name)
		f.plan.Steps = append(f.plan.Steps, Step{Kind: Prune, Reason: reason, Targets: []actuators.Membership{t.Membership}})
		f.cap.away++
		return
	}
}

// mayPrune returns why a stranger must not leave now, or "".
func (f *fleet) mayPrune(t actuators.Target) string {
	after := f.cap
	if t.Status == actuators.TargetHealthy {
		after.inService--
	}
	after.resize(f, after.size-1)
	switch {
	case f.cap.away > 0:
		return fmt.Sprintf("%d out already, members outside the node set leave one at a time", f.cap.away)
	case after.inService < after.floor:
		return fmt.Sprintf("%d would be in service, floor is %d", after.inService, after.floor)
	}
	return ""
}

// spread copies the verdict in force to every node that can be written and has it not, so that it survives the node it was found on
// (law 11). A record that a step of this plan writes carries it anyway.
func (f *fleet) spread() {
	if f.halt == nil || f.Released {
		return
	}
	written := map[string]bool{}
	for _, s := range f.plan.Steps {
		written[s.Node] = true
	}
	for _, v := range f.views {
		ours := v.rec.Claim == nil || v.rec.Claim.Nonce == f.Agent.Nonce
		told := !ours || written[v.Name] || slices.ContainsFunc(v.rec.Halts, f.condemns)
		if told || v.Busy != "" || v.unsure != "" || v.Host == nil || v.foreign != nil || f.Now.Before(v.NotBefore) {
			continue
		}
		r := f.draft(v)
		f.plan.Steps = append(f.plan.Steps, Step{Node: v.Name, Kind: Halt, Reason: f.halted(), Record: &r})
	}
}

func (f *fleet) halted() string {
	before := ""
	if !slices.ContainsFunc(f.views, f.tries) {
		before = " before, and is not tried again"
	}
	return fmt.Sprintf("%s failed on %s%s: %s", cmp.Or(f.halt.Release, f.Version.Release), f.halt.Node, before, f.halt.Reason)
}

// tries reports whether the wanted version was tried on the node, and nothing else since.
func (f *fleet) tries(v *view) bool {
	return f.Is(v.rec.Try.Version) && (v.moving || v.failures(f) > 0)
}

// untilWhen says what ends the verdict in force.
func (f *fleet) untilWhen() string {
	source := ""
	if f.haltFrom != "" && f.haltFrom != f.halt.Node {
		source = "; so says the record of " + f.haltFrom
	}
	return fmt.Sprintf("%s; revert it, commit a fix, or set retry to %d to try it again", source, max(f.retried, f.halt.Retry)+1)
}

// giveUp halts a version that makes no progress: something is under way, and all that is waited for is overdue (G17).
func (f *fleet) giveUp() {
	if !f.goesOn() || f.Progress.IsZero() || !f.onlyRetries() {
		return
	}
	stuck := f.stuck()
	limit := f.Fleet.Rollout.ProgressDeadline
	if stuck == nil {
		return
	}
	f.plan.Stalled = true
	if due := f.Progress.Add(limit); f.Now.Before(due) {
		f.wake(due)
		return
	}
	why := bounded(fmt.Sprintf("no progress for %s: %s is %s: %s", limit, stuck.Name, stuck.status.State.words(), stuck.status.Reason))
	f.halt = &actuators.Halt{
		Digest: f.Version.Digest, Release: f.Version.Release, Revision: f.Version.Revision,
		Retry: f.Fleet.Retry, Node: stuck.Name, Reason: why,
	}
	f.plan.Steps = nil
	f.spread()
}

// onlyRetries reports whether the plan orders nothing but what has just failed for no fault of the version's.
func (f *fleet) onlyRetries() bool {
	return !slices.ContainsFunc(f.plan.Steps, func(s Step) bool {
		return !slices.ContainsFunc(f.views, func(v *view) bool { return v.Name == s.Node && v.Trouble != "" })
	})
}

// stuck returns the first node under way when every node under way has outlasted its deadlines, else nil.
func (f *fleet) stuck() *view {
	held := map[string]bool{}
	for _, h := range f.plan.Holds {
		held[h.Node] = true
	}
	var first *view
	for _, v := range f.views {
		if !v.status.UnderWay || v.status.State == OutOfService || v.provenOnce(v.rec.On) && f.Is(v.rec.On) {
			continue // one that has what it had before says nothing about the version
		}
		if held[v.Name] && !v.awaits || v.waits(f) || v.foreign != nil {
			return nil
		}
		if first == nil {
			first = v
		}
	}
	return first
}

// atOnce is how soon a plan wakes for what is due already.
const atOnce = time.Millisecond

// waits reports whether something of the node's has an end of its own.
func (v *view) waits(f *fleet) bool {
	unheard := v.Health.Phase == WatchBake && v.Health.Status == health.Unknown
	return v.Busy != "" || v.status.Deadline.After(f.Now) || v.status.State == Baking && !unheard
}

// conclude sums the fleet up.
func (f *fleet) conclude() {
	c := f.cap
	f.plan.Size, f.plan.Floor, f.plan.Halt = c.size, c.floor, f.halt
	f.plan.Nodes = make([]NodeStatus, 0, len(f.views))
	for _, v := range f.views {
		if v.Trouble != "" && !strings.Contains(v.status.Reason, v.Trouble) {
			v.status.Reason = strings.TrimPrefix(v.status.Reason+"; the last try broke off: "+v.Trouble, "; ")
		}
		if len(f.groups) == 0 {
			v.status.State = v.status.State.unbalanced()
		}
		f.plan.Nodes = append(f.plan.Nodes, v.status)
	}
	f.plan.Phase, f.plan.Reason = f.phase()
	if f.plan.WakeAt.IsZero() {
		return
	}
	if soonest := f.Now.Add(atOnce); f.plan.WakeAt.Before(soonest) {
		f.plan.WakeAt = soonest
	}
}
