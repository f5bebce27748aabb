package reconciler

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler/plan"
)

// status is the fleet as it stands after a pass, sharing nothing with the loop.
func (a *actor) status() Status {
	s := Status{
		Name: a.name, Phase: a.plan.Phase, Reason: a.plan.Reason,
		Rejected: a.meta.rejected, Released: a.want.Released, PausedAt: a.meta.pausedAt,
		InService: a.plan.InService, Floor: a.plan.Floor, Size: a.plan.Size,
		Releases: map[string]int{}, Holds: a.plan.Holds, WakeAt: a.plan.WakeAt,
		Ready: a.ready(), Seen: a.seen, Rollout: a.rollout.Rollout, Expected: a.plan.Expected, Gates: a.plan.Gates, Whole: a.plan.Whole, Took: a.timed.took(),
	}
	if a.want.Fleet != nil {
		v := a.want.Version
		s.Desired = Desired{Release: v.Release, Revision: v.Revision, Digest: v.Digest, Committed: a.meta.committed, Change: a.meta.change}
		s.Halted = a.halts()
		s.Excluded, s.Notify = a.exclusions(), a.want.Fleet.Notify
		for _, c := range a.want.Fleet.Health {
			s.Checks = append(s.Checks, c.Name)
		}
	}
	if s.Phase == plan.PhaseProgressing && a.rollout.underWay() && a.rollout.Trigger == TriggerRevert {
		s.Phase = plan.PhaseRollingBack
	}
	if s.Rejected != nil && rests(s.Phase) {
		s.Phase, s.Reason = plan.PhaseInvalid, s.Rejected.Errors[:min(1, len(s.Rejected.Errors))].Error()
		if more := len(s.Rejected.Errors) - 1; more > 0 {
			s.Reason += fmt.Sprintf("; and %d more", more)
		}
	}
	s.Nodes = make([]Node, 0, len(a.plan.Nodes))
	for n, p := range a.plannedNodes() {
		s.add(n, p)
	}
	s.addMissing(a)
	s.Holds = slices.Clone(s.Holds)
	for _, p := range slices.Concat(a.problems, a.plan.Notes) {
		s.Holds = append(s.Holds, plan.Hold{Reason: p})
	}
	for _, id := range slices.Sorted(maps.Keys(a.strays)) {
		if stray := a.strays[id]; time.Now().Before(stray.until) {
			s.Holds = append(s.Holds, plan.Hold{Reason: stray.note})
		}
	}
	if s.moves() && s.Expected.Nodes > 0 {
		s.Ends = time.Now().Add(s.Expected.Left)
	}
	s.holdings, s.known, s.over = a.held, a.met(), a.over(&s)
	return s
}

// rests reports whether a fleet has nothing to tell that matters more than a broken file: commits have no effect until it is mended,
// one that ends a pause among them.
func rests(p plan.Phase) bool {
	return p == plan.PhaseIdle || p == plan.PhaseWaiting || p == plan.PhasePaused || p == ""
}

// moves reports whether a rollout is under way that nothing holds.
func (s *Status) moves() bool {
	return s.Phase == plan.PhaseProgressing || s.Phase == plan.PhaseRollingBack
}

// underWay reports whether a journey is in hand on any node.
func (s *Status) underWay() bool {
	return slices.ContainsFunc(s.Nodes, func(n Node) bool { return n.UnderWay })
}

func (s *Status) add(n *node, p plan.NodeStatus) {
	p.Since = n.stateAt
	if n.problem != "" {
		p.Reason = strings.TrimSuffix(n.problem+"; "+p.Reason, "; ")
	}
	out := Node{NodeStatus: p, Instance: n.ID, Address: n.Address, Zone: n.Zone, Tail: n.tail}
	if n.Host != nil {
		out.Instance = cmp.Or(n.ID, n.Host.Machine)
	}
	if out.Tail == "" && p.State == plan.Failed && n.Host != nil {
		out.Tail = n.Host.Job.Tail
	}
	s.Nodes = append(s.Nodes, out)
	if p.Release != "" {
		s.Releases[p.Release]++
	}
	if kind, staged := stages[p.State]; staged && p.UnderWay {
		since := n.stateAt
		if p.State == plan.Baking && !n.Health.Since.IsZero() {
			since = n.Health.Since
		}
		s.Steps = append(s.Steps, Step{Node: p.Name, Kind: kind, Reason: p.Reason, Since: since, Deadline: p.Deadline})
	}
}

// addMissing stands for the nodes that are expected and were not found. Which of them has been missing since when, nobody can tell: all
// are since the first was noticed.
func (s *Status) addMissing(a *actor) {
	if a.want.Fleet == nil || !a.found.Complete() {
		return
	}
	switch {
	case a.plan.Missing == 0:
		a.missing = time.Time{}
	case a.missing.IsZero():
		a.missing = a.found.At
	}
	for range a.plan.Missing {
		s.Nodes = append(s.Nodes, Node{NodeStatus: plan.NodeStatus{State: plan.Missing, Since: a.missing, Reason: "expected, and not found"}})
	}
}

// exclusions are the fleet file's. One that names nobody, as it does after a slip, leaves nobody alone, and one that names several leaves all
// of them alone: both say so.
func (a *actor) exclusions() []desired.Exclusion {
	all := slices.Clone(a.want.Fleet.Nodes.Exclude)
	if !a.found.Complete() {
		return all
	}
	for i, e := range all {
		named := 0
		for _, n := range a.order {
			if plan.Means(e, n.Node.Node) {
				named++
			}
		}
		switch {
		case named == 0:
			all[i].Reason += "; no node that was found has this name or id"
		case named > 1:
			all[i].Reason += fmt.Sprintf("; %d nodes carry this name: exclude by instance id to tell them apart", named)
		}
	}
	return all
}

// over reports whether the fleet's file is gone, not come back broken, and nothing of it is under way on any node that can be read or could
// be once. Nodes that never answered are tried for a while.
func (a *actor) over(s *Status) bool {
	return a.want.Released && s.Rejected == nil && a.met() && !s.underWay() && a.tasks.busyWith(taskStep) == 0 && !slices.ContainsFunc(a.order, func(n *node) bool {
		return n.Host == nil && n.unread < a.patience(n) && !n.excluded
	})
}

// patience is how often a node of a fleet whose file is gone is tried before it is given up: for half a minute where it is in all of its
// groups, for an hour where it may be out by this agent's hand.
func (a *actor) patience(n *node) int {
	const halfAMinute, anHour = 5, 120 // see pause
	outside := func(g actuators.GroupState) bool {
		id := g.Target(n.Node.Node)
		return !slices.ContainsFunc(g.Members, func(t actuators.Target) bool { return t.ID == id && t.Status != actuators.TargetDraining })
	}
	if len(a.groups) == 0 || slices.ContainsFunc(a.groups, outside) {
		return anHour
	}
	return halfAMinute
}

// reach is where a machine's sshd listens.
func reach(at actuators.Place) string {
	return net.JoinHostPort(at.Node.Address, strconv.Itoa(at.Port()))
}

// holdings are the machines and groups the fleet works with.
func (a *actor) holdings() []holding {
	var all []holding
	for _, n := range a.order {
		if n.excluded {
			continue
		}
		id := cmp.Or(n.ID, n.Targets.Instance)
		if id != "" {
			all = append(all, holding{what: id})
		}
		all = append(all, holding{what: reach(n.place), loose: id != ""})
	}
	for _, g := range a.groups {
		if g.ID != "" {
			all = append(all, holding{what: g.ID})
		}
	}
	slices.SortFunc(all, func(x, y holding) int { return strings.Compare(x.what, y.what) })
	return all
}

// ready reports whether every source was tried once.
func (a *actor) ready() bool {
	if a.want.Fleet == nil {
		return true
	}
	switch {
	case a.found.At.IsZero():
		return a.found.Err != ""
	case len(a.groups) < len(a.want.Fleet.LoadBalancers):
		return false
	}
	return !slices.ContainsFunc(a.order, func(n *node) bool { return !n.tried() })
}
