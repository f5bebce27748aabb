package reconciler

import (
	"cmp"
	"context"
	"slices"
	"time"

	"windlass/actuators"
)

// mostReads is how many hosts are read at once; who dials bounds itself further.
const mostReads = 32

// readHosts reads the records that are due: at first, when a call may have changed one, when somebody else works there, and now and then.
// While they are more than can be read at once, nodes this agent works on come first, then those that have been due for longest: with slow
// hosts each has its turn.
func (a *actor) readHosts(ctx context.Context, now time.Time) {
	a.queue = a.queue[:0]
	for _, n := range a.order {
		if !now.Before(n.nextRead) {
			a.queue = append(a.queue, n)
		}
	}
	slices.SortStableFunc(a.queue, a.readsBefore)
	a.readNext(ctx)
}

// readNext reads hosts in their order as long as there are places: what ends between two passes leaves its place to the next.
func (a *actor) readNext(ctx context.Context) {
	now := time.Now()
	for len(a.queue) > 0 && a.tasks.busyWith(taskRead) < mostReads {
		n := a.queue[0]
		a.queue = a.queue[1:]
		if !now.Before(a.readDue(n)) {
			a.readHost(ctx, n, now)
		}
	}
}

func (a *actor) readsBefore(n, o *node) int {
	switch ours := a.holds(n); {
	case ours == a.holds(o):
	case ours:
		return -1
	default:
		return 1
	}
	return cmp.Or(n.nextRead.Compare(o.nextRead), n.triedAt.Compare(o.triedAt))
}

// holds reports whether the node is under way under this agent's claim.
func (a *actor) holds(n *node) bool {
	r := n.record()
	return r.UnderWay() && r.Claim != nil && r.Claim.Nonce == a.Agent.Nonce
}

func (a *actor) readHost(ctx context.Context, n *node, now time.Time) {
	place := n.place
	n.nextRead = now.Add(readDeadline)
	a.tasks.begin(ctx, taskRead, identity(n.Node.Node), readDeadline, func(call context.Context) func() {
		state, err := a.Host.Read(call, place)
		return func() {
			a.tookReading(n, state, err, now)
			a.readNext(ctx)
		}
	})
}

// readDue is when the host may be read next; never while a step works there or too many others are being read. Hosts that did not
// answer leave half of the places to those that do.
func (a *actor) readDue(n *node) time.Time {
	places := mostReads
	if n.unread > 0 {
		places /= 2
	}
	if n.Busy != "" || a.tasks.busy(taskRead, identity(n.Node.Node)) || a.tasks.busyWith(taskRead) >= places {
		return never
	}
	return n.nextRead
}

func (a *actor) tookReading(n *node, state actuators.HostState, err error, began time.Time) {
	now := time.Now()
	n.triedAt = began
	if err != nil {
		if n.Read.Err == "" {
			a.Log.Warn("node cannot be read", "fleet", a.name, "node", n.Name, "error", err)
		}
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
	again := n.nextRead.Before(began.Add(readDeadline)) // asked for while this one was under way: it may be of before
	n.learn(state, now)
	if !again {
		n.nextRead = now.Add(a.readPace(n))
	}
	if state.Problem != "" {
		n.problem = state.Problem
		a.Log.Warn("node record set aside", "fleet", a.name, "node", n.Name, "problem", state.Problem)
	}
	if a.othersWork(n, now) {
		a.rollCall = rollCall{foreign: now}
	}
	n.warm, n.rests = true, true
}

// readPace is when to read a host again.
func (a *actor) readPace(n *node) time.Duration {
	r := n.record()
	switch {
	case r.Claim != nil && a.another(*r.Claim):
		return 5 * time.Second
	case n.Host.Job.Running:
		return time.Second
	case n.Read.At.IsZero() || n.nextIdle.IsZero():
		return a.Refresh/2 + n.spread(a.Refresh)
	}
	return a.Refresh
}

// rest closes the connections to nodes that have no work left, unless their turn comes next. What was read of each has been planned with:
// one that was read for a step has that step by now.
func (a *actor) rest() {
	for _, n := range a.order {
		if !n.rests {
			continue
		}
		n.rests = false
		if !n.record().UnderWay() && n.Busy == "" && n.watch.since.IsZero() && !slices.Contains(a.plan.Soon, n.Name) {
			n.warm = false
			a.Host.Close(n.place)
		}
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
			case err != nil:
				n.Stale, n.nextRead = true, time.Now()
				n.renewAt = time.Now().Add(2 * time.Second)
				return
			case n.Busy == "":
				n.learn(state, time.Now())
			}
			n.claimedAt = time.Now()
		}
	})
}

// renewDue is when the node's claim is to be renewed; never when it is not this process's.
func (a *actor) renewDue(n *node) time.Time {
	claim := n.record().Claim
	if a.ReadOnly || n.excluded || claim == nil || claim.Nonce != a.Agent.Nonce || !n.record().UnderWay() || a.tasks.busy(taskRenew, identity(n.Node.Node)) {
		return never
	}
	return n.renewAt
}
