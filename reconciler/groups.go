package reconciler

import (
	"context"
	"slices"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler/plan"
)

// How often a fleet's balancers are read on the whole, however many nodes wait to see them: they share a reading. The readings of a rollout
// of few nodes come in bursts and never wait.
const (
	readingEvery = time.Second
	mostReadings = 60 // at once, after as many seconds without any
)

// groupsDue is when the balancers are read next.
func (a *actor) groupsDue() time.Time {
	return later(a.nextGroups, a.readings.next(readingEvery, mostReadings))
}

func (a *actor) readGroups(ctx context.Context) {
	fleet := a.want.Fleet
	recorded := a.recordedGroups()
	if len(fleet.LoadBalancers)+len(recorded) == 0 {
		a.nextGroups = time.Now().Add(a.Interval)
		return
	}
	now := time.Now()
	a.nextGroups = now.Add(a.Interval)
	a.readings.spend(now, readingEvery)
	a.tasks.begin(ctx, taskGroups, "", balancerDeadline, func(ctx context.Context) func() {
		states, err := a.Balancer.Observe(ctx, fleet.LoadBalancers, recorded)
		return func() {
			if a.want.Fleet != fleet {
				a.nextGroups = time.Time{}
				return
			}
			a.takeGroups(fleet, states, err)
		}
	})
}

func (a *actor) takeGroups(fleet *desired.Fleet, states []actuators.GroupState, err error) {
	now := time.Now()
	if err != nil {
		states = unreadable(fleet, err)
	}
	a.recall(states)
	named := min(len(fleet.LoadBalancers), len(states))
	a.groups, a.former, a.read = states[:named], states[named:], now
	a.held = a.holdings()
	a.noteSeen()
	failed := func(g actuators.GroupState) bool { return g.Err != "" }
	lost := func(g actuators.GroupState) bool { return failed(g) && !g.Missing } // one that is no more, nobody waits for
	if !slices.ContainsFunc(a.groups, failed) && !slices.ContainsFunc(a.former, lost) {
		a.groupsTrouble = 0
	} else {
		a.groupsTrouble++
	}
	a.nextGroups = now.Add(a.groupsPace(now))
	a.noticeMoves(now)
}

// noteSeen notes since when nothing is missing of who belongs and who serves.
func (a *actor) noteSeen() {
	switch balancers := len(a.want.Fleet.LoadBalancers); {
	case !a.found.Complete() || len(a.groups) < balancers || !a.allRead():
	case balancers == 0:
		a.seen = a.found.At
	default:
		a.seen = earlier(a.found.At, a.read)
	}
}

// recall lets a group that cannot be read now show what it said last: the file's are in its order, the former ones have an id. It is for
// people: plans build nothing on a group with Err.
func (a *actor) recall(states []actuators.GroupState) {
	for i, s := range states {
		if s.Err == "" || s.Missing {
			continue
		}
		known, at := a.groups, i
		if i >= len(a.groups) {
			known, at = a.former, slices.IndexFunc(a.former, func(old actuators.GroupState) bool { return old.ID == s.ID })
		}
		if at >= 0 {
			states[i] = known[at]
			states[i].Err, states[i].Missing, states[i].At = s.Err, false, s.At
		}
	}
}

// unreadable is what is known of a fleet's groups when none could be asked for.
func unreadable(fleet *desired.Fleet, err error) []actuators.GroupState {
	states := make([]actuators.GroupState, len(fleet.LoadBalancers))
	for i, lb := range fleet.LoadBalancers {
		states[i] = actuators.GroupState{Group: actuators.Group{Name: lb.String()}, Err: err.Error(), At: time.Now()}
	}
	return states
}

// recordedGroups are the groups that only records name, sorted.
func (a *actor) recordedGroups() []string {
	named := map[string]bool{}
	for _, g := range a.groups {
		named[g.ID] = true
	}
	if len(a.groups) < len(a.want.Fleet.LoadBalancers) {
		return nil
	}
	extra := map[string]bool{}
	for _, n := range a.order {
		r := n.record()
		if n.excluded {
			continue
		}
		for _, m := range slices.Concat(r.Places, r.Taken) {
			extra[m.Group] = !named[m.Group]
		}
	}
	var ids []string
	for id, wanted := range extra {
		if wanted {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// groupsPace is when to read the balancers again: soon while something moves in them, else at the interval, which is soon enough for
// a node that is held; ever later while they cannot be read.
func (a *actor) groupsPace(now time.Time) time.Duration {
	pace, held := a.Interval, map[string]bool{}
	for _, h := range a.plan.Holds {
		held[h.Node] = true
	}
	for n, s := range a.plannedNodes() {
		if !s.UnderWay || held[s.Name] || a.groupsTrouble > 0 {
			continue
		}
		switch s.State {
		case plan.Draining:
			pace = min(pace, actuators.PollPace(a.longestDelay(), now.Sub(n.stateAt), a.network()))
		case plan.Joining:
			pace = min(pace, actuators.PollPace(0, now.Sub(n.stateAt), a.network()))
		case plan.Baking:
			pace = min(pace, max(time.Second, a.want.Fleet.Rollout.Bake/4))
		}
	}
	if a.groupsTrouble > 0 {
		return min(time.Minute, time.Second<<min(a.groupsTrouble, 10))
	}
	return pace
}

func (a *actor) longestDelay() time.Duration {
	var d time.Duration
	for _, g := range slices.Concat(a.groups, a.former) {
		d = max(d, g.Delay)
	}
	return d
}

func (a *actor) network() bool {
	return slices.ContainsFunc(a.groups, func(g actuators.GroupState) bool { return g.Network })
}

// noticeMoves remembers since when an idle node is out of rotation, and reads the host of one that just left or came: who
// did that may have written there.
func (a *actor) noticeMoves(now time.Time) {
	members, healthy, held, complete := a.idsThat(isMember), a.idsThat(isHealthy), a.heldIDs(), a.allRead()
	for _, n := range a.order {
		if complete && a.inAll(n, healthy) {
			n.Served = now
		}
		in := a.inAll(n, members)
		switch anywhere := a.anywhere(n, held); {
		case anywhere:
			n.Out = time.Time{}
		case n.Out.IsZero():
			n.Out = now
		}
		if in != n.serving {
			n.serving, n.nextRead = in, earlier(n.nextRead, now)
		}
		switch r := n.record(); {
		case in || r.UnderWay() || n.Busy != "":
			n.OutSince = time.Time{}
		case n.OutSince.IsZero():
			n.OutSince = now
		}
	}
}

// allRead reports whether every group the fleet names said something.
func (a *actor) allRead() bool {
	return !slices.ContainsFunc(a.groups, func(g actuators.GroupState) bool { return g.Err != "" })
}

// heldIDs are the targets each group holds, draining ones too; nil for a group that cannot be asked.
func (a *actor) heldIDs() []map[string]bool {
	var held []map[string]bool
	for i, g := range slices.Concat(a.groups, a.former) {
		if g.Err != "" && (i < len(a.groups) || !g.Missing) {
			held = append(held, nil)
			continue
		}
		ids := make(map[string]bool, len(g.Members))
		for _, t := range g.Members {
			ids[t.ID] = true
		}
		held = append(held, ids)
	}
	return held
}

// anywhere reports whether any group holds the node, or cannot be asked.
func (a *actor) anywhere(n *node, held []map[string]bool) bool {
	for i, g := range slices.Concat(a.groups, a.former) {
		if held[i] == nil || held[i][g.Target(n.Node.Node)] {
			return true
		}
	}
	return false
}

func isHealthy(t actuators.Target) bool { return t.Status == actuators.TargetHealthy }

func isMember(t actuators.Target) bool { return t.Status != actuators.TargetDraining }

// idsThat are, for each group the fleet names, the targets of a kind.
func (a *actor) idsThat(are func(actuators.Target) bool) []map[string]bool {
	ids := make([]map[string]bool, len(a.groups))
	for i, g := range a.groups {
		ids[i] = make(map[string]bool, len(g.Members))
		for _, t := range g.Members {
			if are(t) {
				ids[i][t.ID] = true
			}
		}
	}
	return ids
}

// inAll reports whether the targets of every group that could be read hold the node.
func (a *actor) inAll(n *node, targets []map[string]bool) bool {
	for i, g := range a.groups {
		if g.Err == "" && !targets[i][g.Target(n.Node.Node)] {
			return false
		}
	}
	return true
}
