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
	known := a.groups
	a.groups, a.former, a.read = states[:named], states[named:], now
	if !slices.EqualFunc(known, a.groups, func(g, o actuators.GroupState) bool { return g.ID == o.ID }) {
		a.held = a.holdings()
	}
	a.noteSeen()
	failed := func(g actuators.GroupState) bool { return g.Err != "" }
	lost := func(g actuators.GroupState) bool { return failed(g) && !g.Missing } // one that is no more, nobody waits for
	if !slices.ContainsFunc(a.groups, failed) && !slices.ContainsFunc(a.former, lost) {
		a.groupsTrouble = 0
	} else {
		a.groupsTrouble++
	}
	a.noticeMoves(now)
	a.nextGroups = now.Add(a.groupsPace(now))
	if a.groupsTrouble == 0 && a.unasked() {
		a.nextGroups = now
	}
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
	extra, newest := map[string]bool{}, "" // most records name what the one before them names
	for _, n := range a.order {
		r := n.record()
		if n.excluded {
			continue
		}
		for _, places := range [][]actuators.Membership{r.Places, r.Taken} {
			for _, m := range places {
				if m.Group != newest {
					newest = m.Group
					extra[m.Group] = !named[m.Group]
				}
			}
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

// unasked reports whether a record names a group that the newest reading was not asked for: nothing begins until it was.
func (a *actor) unasked() bool {
	return slices.ContainsFunc(a.recordedGroups(), func(id string) bool {
		return !slices.ContainsFunc(a.former, func(g actuators.GroupState) bool { return g.ID == id })
	})
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
			pace = min(pace, a.drainPace(n, now))
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

// drainPace is when to ask again about a node that is to leave: soon until it is seen to, then towards the end of the delay.
func (a *actor) drainPace(n *node, now time.Time) time.Duration {
	if n.Asked == plan.Drain && n.Left.IsZero() && n.Trouble == "" {
		return actuators.PollPace(0, now.Sub(n.AskedAt), a.network())
	}
	return actuators.PollPace(a.longestDelay(), now.Sub(n.stateAt), a.network())
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

// noticeMoves remembers since when an idle node is out of rotation, and reads the host of one that others let leave or come: who
// did that may have written there.
func (a *actor) noticeMoves(now time.Time) {
	named, former, complete := presencesIn(a.groups), presencesIn(a.former), a.allRead()
	for _, n := range a.order {
		if complete && a.inAll(n, named, isHealthy) {
			n.Served = now
		}
		in := a.inAll(n, named, isMember)
		switch {
		case !complete || isIn(a.groups, named, n) || isIn(a.former, former, n):
			n.Out = time.Time{}
		case n.Out.IsZero():
			n.Out = now
		}
		switch {
		case inRotation(a.groups, named, n) || inRotation(a.former, former, n):
			if !n.Left.IsZero() {
				n.Traffic = plan.Traffic{} // it is back, by whose hand it may be, and what serves there may be reached in another way
			}
			n.Left = time.Time{}
		case n.Left.IsZero() && complete:
			n.Left = now
		}
		if in != n.serving {
			n.serving = in
			if !a.moves(n, in) {
				n.nextRead = earlier(n.nextRead, now)
			}
		}
		switch r := n.record(); {
		case in || r.UnderWay() || n.Busy != "":
			n.OutSince = time.Time{}
		case n.OutSince.IsZero():
			n.OutSince = now
		}
	}
}

// moves reports whether this agent is who takes the node into rotation or out of it: nobody else writes there meanwhile.
func (a *actor) moves(n *node, in bool) bool {
	claim, asked := n.record().Claim, plan.Drain
	if in {
		asked = plan.Add
	}
	return n.record().UnderWay() && n.Asked == asked && claim != nil && claim.Nonce == a.Agent.Nonce
}

// allRead reports whether every group the fleet names said something.
func (a *actor) allRead() bool {
	return !slices.ContainsFunc(a.groups, func(g actuators.GroupState) bool { return g.Err != "" })
}

// presence is how a group holds a target; the zero value: not at all.
type presence uint8

const (
	isHeld    presence = 1 << iota // draining or not
	isMember                       // not draining
	isHealthy                      // in service
)

// presencesIn are how each group holds its targets, by their ids.
func presencesIn(groups []actuators.GroupState) []map[string]presence {
	all := make([]map[string]presence, len(groups))
	for i := range groups {
		all[i] = make(map[string]presence, len(groups[i].Members))
		for _, t := range groups[i].Members {
			all[i][t.ID] |= presenceOf(t)
		}
	}
	return all
}

func presenceOf(t actuators.Target) presence {
	switch t.Status {
	case actuators.TargetDraining:
		return isHeld
	case actuators.TargetHealthy:
		return isHeld | isMember | isHealthy
	}
	return isHeld | isMember
}

// isIn reports whether one of the groups holds the node, or cannot be asked. One that is missing holds nobody.
func isIn(groups []actuators.GroupState, in []map[string]presence, n *node) bool {
	for i := range groups {
		g := &groups[i]
		if g.Err != "" && !g.Missing || in[i][g.Target(n.Node.Node)] != 0 {
			return true
		}
	}
	return false
}

// inRotation reports whether one of the groups that could be read sends the node traffic, or would if it were healthy.
func inRotation(groups []actuators.GroupState, in []map[string]presence, n *node) bool {
	for i := range groups {
		if g := &groups[i]; g.Err == "" && in[i][g.Target(n.Node.Node)]&isMember != 0 {
			return true
		}
	}
	return false
}

// inAll reports whether every group that the fleet names and that could be read holds the node so.
func (a *actor) inAll(n *node, in []map[string]presence, so presence) bool {
	for i := range a.groups {
		if g := &a.groups[i]; g.Err == "" && in[i][g.Target(n.Node.Node)]&so == 0 {
			return false
		}
	}
	return true
}
