package reconciler

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/reconciler/plan"
)

// mostReads is how many hosts are read at once; who dials bounds itself further.
const mostReads = 32

// observe starts whatever reading is due.
func (a *actor) observe(ctx context.Context) {
	now := time.Now()
	if !now.Before(a.nextInventory) && !a.tasks.busy(taskInventory, "") {
		a.readInventory(ctx)
	}
	if a.found.Complete() && !now.Before(a.nextGroups) && !a.tasks.busy(taskGroups, "") {
		a.readGroups(ctx)
	}
	for _, n := range a.order {
		a.readHost(ctx, n, now)
		a.probe(ctx, n, now)
		a.renew(ctx, n, now)
	}
	a.checkHistory(ctx)
}

func (a *actor) readInventory(ctx context.Context) {
	set := a.want.Fleet.Nodes
	a.nextInventory = time.Now().Add(a.Interval)
	a.tasks.begin(ctx, taskInventory, "", inventoryDeadline, func(ctx context.Context) func() {
		inv, err := a.Inventory.Nodes(ctx, set)
		return func() {
			if err != nil {
				a.found.Err = err.Error()
				return
			}
			a.found = plan.Source{At: time.Now()}
			a.problems = inv.Problems
			a.meet(inv.Nodes)
		}
	})
}

// meet takes the machines that belong to the fleet now. One that is not listed any more is gone: its place is free (G14).
func (a *actor) meet(found []actuators.Node) {
	old := a.nodes
	a.nodes, a.order = make(map[string]*node, len(found)), make([]*node, 0, len(found))
	for _, f := range found {
		n := old[identity(f)]
		if n == nil {
			n = a.lost[identity(f)]
		}
		if n == nil {
			n = &node{host: newSession()}
		}
		n.Node.Node = f
		n.place = actuators.Place{Fleet: a.name, SSH: a.want.Fleet.SSH, Node: f}
		a.nodes[identity(f)] = n
		a.order = append(a.order, n)
	}
	slices.SortFunc(a.order, func(x, y *node) int { return cmp.Compare(x.Name, y.Name) })
	for id, n := range old {
		if a.nodes[id] != nil {
			continue
		}
		a.progress = time.Now()
		if n.Busy != "" {
			a.lost[id] = n
			continue
		}
		a.Host.Close(n.place)
	}
	a.held = a.holdings()
}

func (a *actor) readGroups(ctx context.Context) {
	fleet := a.want.Fleet
	recorded := a.recordedGroups()
	if len(fleet.LoadBalancers)+len(recorded) == 0 {
		a.nextGroups = time.Now().Add(a.Interval)
		return
	}
	a.nextGroups = time.Now().Add(a.Interval)
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
	failed := slices.ContainsFunc(states, func(g actuators.GroupState) bool { return g.Err != "" })
	if !failed {
		a.groupsTrouble = 0
	} else {
		a.groupsTrouble++
	}
	a.nextGroups = now.Add(a.groupsPace(now))
	a.noticeMoves(now)
}

// recall lets a group that cannot be read now show what it said last. It is for people: plans build nothing on a group with Err.
func (a *actor) recall(states []actuators.GroupState) {
	for i, s := range states {
		if s.Err == "" || s.Missing {
			continue
		}
		for _, old := range slices.Concat(a.groups, a.former) {
			if old.ID == s.ID || old.Name == s.Name {
				old.Err, old.Missing = s.Err, s.Missing
				states[i] = old
			}
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

// groupsPace is when to read the balancers again: soon while something moves in them, else at the interval; ever later while
// they cannot be read.
func (a *actor) groupsPace(now time.Time) time.Duration {
	pace := a.Interval
	for _, s := range a.plan.Nodes {
		n := a.nodeNamed(s.Name)
		if n == nil || !s.UnderWay || a.groupsTrouble > 0 {
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
	members, held := a.memberIDs(), a.heldIDs()
	for _, n := range a.order {
		in := a.inRotation(n, members)
		switch anywhere := a.anywhere(n, held); {
		case anywhere:
			n.Out = time.Time{}
		case n.Out.IsZero():
			n.Out = now
		}
		if in != n.serving {
			n.serving, n.nextRead = in, now
		}
		switch r := n.record(); {
		case in || r.UnderWay() || n.Busy != "":
			n.OutSince = time.Time{}
		case n.OutSince.IsZero():
			n.OutSince = now
		}
	}
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

func (a *actor) memberIDs() []map[string]bool {
	ids := make([]map[string]bool, len(a.groups))
	for i, g := range a.groups {
		ids[i] = make(map[string]bool, len(g.Members))
		for _, t := range g.Members {
			if t.Status != actuators.TargetDraining {
				ids[i][t.ID] = true
			}
		}
	}
	return ids
}

func (a *actor) inRotation(n *node, members []map[string]bool) bool {
	for i, g := range a.groups {
		if g.Err == "" && !members[i][g.Target(n.Node.Node)] {
			return false
		}
	}
	return true
}

// readHost reads a node's record when it is due: at first, when a call may have changed it, when somebody else works there,
// and now and then.
func (a *actor) readHost(ctx context.Context, n *node, now time.Time) {
	if now.Before(a.readDue(n)) {
		return
	}
	place := n.place
	n.nextRead = now.Add(readDeadline)
	a.tasks.begin(ctx, taskRead, identity(n.Node.Node), readDeadline, func(ctx context.Context) func() {
		state, err := a.Host.Read(ctx, place)
		return func() { a.tookReading(n, state, err, now) }
	})
}

// readDue is when the host may be read next; never while a step works there or too many others are being read.
func (a *actor) readDue(n *node) time.Time {
	switch {
	case n.Busy != "" || a.tasks.busy(taskRead, identity(n.Node.Node)) || a.tasks.busyWith(taskRead) >= mostReads:
		return never
	case n.Stale:
		return earlier(n.nextRead, n.NotBefore)
	}
	return n.nextRead
}

func (a *actor) tookReading(n *node, state actuators.HostState, err error, began time.Time) {
	now := time.Now()
	n.triedAt = began
	defer a.rollCalled(now)
	if err != nil {
		n.miss(err, now)
		if gone(err) {
			a.nextInventory = time.Time{}
		}
		return
	}
	if !n.host.saw(state, began, now) {
		n.nextRead = now.Add(100 * time.Millisecond)
		return
	}
	n.learn(state, now)
	n.nextRead = now.Add(a.readPace(n))
	if state.Problem != "" {
		n.problem = state.Problem
		a.Log.Warn("node record set aside", "fleet", a.name, "node", n.Name, "problem", state.Problem)
	}
	a.rest(n)
}

// readPace is when to read a host again.
func (a *actor) readPace(n *node) time.Duration {
	r := n.record()
	switch {
	case r.Claim != nil && r.Claim.Holder != a.Agent.Holder:
		return 5 * time.Second
	case n.Host.Job.Running:
		return time.Second
	case n.Read.At.IsZero() || n.nextIdle.IsZero():
		return a.Refresh/2 + n.spread(a.Refresh)
	}
	return a.Refresh
}

// rest closes the connection to a node that has no work left.
func (a *actor) rest(n *node) {
	if !n.record().UnderWay() && n.Busy == "" && n.watch.since.IsZero() {
		a.Host.Close(n.place)
	}
}

// renew writes the claim again in good time while a node is under way (law 18).
func (a *actor) renew(ctx context.Context, n *node, now time.Time) {
	if now.Before(a.renewDue(n)) {
		return
	}
	n.renewAt = now.Add(actuators.RenewEvery)
	place, host := n.place, n.host
	a.tasks.begin(ctx, taskRenew, identity(n.Node.Node), writeDeadline, func(ctx context.Context) func() {
		state, err := host.renew(ctx, a.Host, place, a.Agent)
		return func() {
			switch {
			case err == nil && n.Busy == "":
				n.learn(state, time.Now())
			case err != nil:
				n.Stale = true
				n.renewAt = time.Now().Add(2 * time.Second)
			}
		}
	})
}

// renewDue is when the node's claim is to be renewed; never when it is not this process's.
func (a *actor) renewDue(n *node) time.Time {
	claim := n.record().Claim
	if a.ReadOnly || claim == nil || claim.Nonce != a.Agent.Nonce || !n.record().UnderWay() || a.tasks.busy(taskRenew, identity(n.Node.Node)) {
		return never
	}
	return n.renewAt
}

// probe makes the tries that a node's watch is due for.
func (a *actor) probe(ctx context.Context, n *node, now time.Time) {
	a.idleWatch(n, now)
	if n.watch.since.IsZero() {
		return
	}
	for _, check := range a.checks(n.watch.Release) {
		if !now.Before(n.watch.next[check.Name]) {
			a.try(ctx, n, check)
		}
	}
	if again := n.watch.again; !again.IsZero() && !now.Before(again) {
		a.judge(n)
	}
}

// checks are those that can be made with what is known: without a release, the ones that name none.
func (a *actor) checks(release string) []desired.Check {
	if release != "" {
		return a.want.Fleet.Health
	}
	return slices.DeleteFunc(slices.Clone(a.want.Fleet.Health), func(c desired.Check) bool { return c.NamesRelease() })
}

func (a *actor) try(ctx context.Context, n *node, check desired.Check) {
	subject := identity(n.Node.Node) + "\n" + check.Name
	if a.tasks.busy(taskProbe, subject) {
		return
	}
	place, release, since := n.place, n.watch.Release, n.watch.since
	a.tasks.begin(ctx, taskProbe, subject, check.Timeout+2*time.Second, func(ctx context.Context) func() {
		sample := a.Prober.Probe(ctx, place, check, release)
		return func() {
			if n.watch.since.Equal(since) {
				a.tookSample(n, check, sample)
			}
		}
	})
}

func (a *actor) tookSample(n *node, check desired.Check, s health.Sample) {
	w := &n.watch
	w.add(s)
	w.tried[check.Name]++
	if s.Result == health.Pass && w.failing[check.Name] {
		w.tried[check.Name] = 1
	}
	w.failing[check.Name] = s.Result != health.Pass
	pace := check.Interval
	if w.failing[check.Name] || w.tried[check.Name] < check.Successes {
		pace = health.Pace(w.tried[check.Name], check.Interval)
	}
	w.next[check.Name] = time.Now().Add(pace)
	a.judge(n)
}

// judge sums the samples of a node's watch up. An idle watch speaks only when it has come to an end.
func (a *actor) judge(n *node) {
	w := &n.watch
	now := time.Now()
	var verdicts []health.Verdict
	for _, c := range a.checks(w.Release) {
		p := health.Policy{Check: c.Name, Successes: c.Successes, Steady: w.Steady, Within: c.Within, Since: w.since}
		verdicts = append(verdicts, health.Judge(w.samples, p, now))
	}
	v := health.Worst(verdicts...)
	if len(verdicts) == 0 {
		v = health.Verdict{Status: health.Passing, Reason: "no check names no release"}
	}
	w.again = w.turn(v, now)
	if w.Phase == plan.WatchIdle && v.Status == health.Pending {
		return
	}
	n.Health = plan.Health{Release: w.Release, Phase: w.Phase, Since: w.since, Verdict: v}
	if w.Phase == plan.WatchIdle {
		n.watch = watch{}
		a.rest(n)
	}
}

// turn is when a pending verdict may change without another try: when it has been steady for long enough, or its time is over.
func (w *watch) turn(v health.Verdict, now time.Time) time.Time {
	if v.Status != health.Pending {
		return time.Time{}
	}
	steady := w.since
	for _, s := range w.samples {
		if s.Result != health.Pass && s.Result != health.NoAnswer {
			steady = later(steady, s.At)
		}
	}
	if steady = steady.Add(w.Steady); steady.After(now) {
		return earlier(steady, later(v.Deadline, now.Add(time.Millisecond)))
	}
	return later(v.Deadline, now.Add(time.Millisecond))
}

// idleWatch begins the checks of a node nothing is done to, with the release its record names (law 4).
func (a *actor) idleWatch(n *node, now time.Time) {
	if now.Before(n.idleDue()) {
		return
	}
	pause := a.Refresh
	if n.nextIdle.IsZero() {
		pause = a.Refresh/2 + n.spread(a.Refresh)
	}
	n.nextIdle = now.Add(pause)
	n.watch = newWatch(plan.Watch{Node: n.Name, Release: n.record().On.Release, Phase: plan.WatchIdle}, now)
}

// idleDue is when the node's idle checks begin next; never while it is watched or worked on.
func (n *node) idleDue() time.Time {
	if !n.watch.since.IsZero() || n.Host == nil || n.record().UnderWay() || n.Busy != "" {
		return never
	}
	return n.nextIdle
}

// checkHistory asks, once for each revision that a record names, whether the deploy repo still knows it (law 2).
func (a *actor) checkHistory(ctx context.Context) {
	if a.History == nil {
		return
	}
	if time.Now().Before(a.nextHistory) {
		return
	}
	for _, n := range a.order {
		revision := n.revision()
		if _, known := a.history[revision]; known || revision == "" {
			continue
		}
		a.history[revision] = "the deploy repo's history is still to be searched for revision " + short(revision) + ", which its record names"
		a.tasks.begin(ctx, taskHistory, revision, 5*time.Minute, func(ctx context.Context) func() {
			known, err := a.History.Contains(ctx, revision)
			return func() { a.searched(revision, known, err) }
		})
	}
}

func (a *actor) searched(revision string, known bool, err error) {
	switch {
	case err != nil:
		a.Log.Warn("cannot search the deploy repo's history", "fleet", a.name, "revision", revision, "error", err)
		delete(a.history, revision)
		a.nextHistory = time.Now().Add(a.Interval)
	case known:
		a.history[revision] = ""
	default:
		a.history[revision] = "its record names revision " + short(revision) + ", which the deploy repo's history does not hold: rewritten history; start windlass run with --accept-revision to go on"
	}
}

func short(revision string) string { return revision[:min(len(revision), 12)] }

func (a *actor) nodeNamed(name string) *node {
	i, ok := slices.BinarySearchFunc(a.order, name, func(n *node, name string) int { return strings.Compare(n.Name, name) })
	if !ok {
		return nil
	}
	return a.order[i]
}

// nextDue is when observe has something to start.
func (a *actor) nextDue(now time.Time) time.Time {
	due := now.Add(time.Hour)
	if !a.tasks.busy(taskInventory, "") {
		due = earlier(due, a.nextInventory)
	}
	if a.found.Complete() && !a.tasks.busy(taskGroups, "") {
		due = earlier(due, a.nextGroups)
	}
	for _, n := range a.order {
		due = earlier(due, a.dueOf(n, now))
	}
	return due
}

func (a *actor) dueOf(n *node, now time.Time) time.Time {
	due := earlier(earlier(a.readDue(n), a.renewDue(n)), n.idleDue())
	if n.watch.since.IsZero() {
		return due
	}
	if !n.watch.again.IsZero() {
		due = earlier(due, n.watch.again)
	}
	for _, c := range a.checks(n.watch.Release) {
		if !a.tasks.busy(taskProbe, identity(n.Node.Node)+"\n"+c.Name) {
			due = earlier(due, n.watch.next[c.Name])
		}
	}
	return due
}

// never is later than anything that happens.
var never = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
