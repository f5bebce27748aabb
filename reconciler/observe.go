package reconciler

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler/plan"
)

// observe starts whatever reading is due.
func (a *actor) observe(ctx context.Context) {
	now := time.Now()
	if !now.Before(a.nextInventory) && !a.tasks.busy(taskInventory, "") {
		a.readInventory(ctx)
	}
	if a.met() && !now.Before(a.groupsDue()) && !a.tasks.busy(taskGroups, "") {
		a.readGroups(ctx)
	}
	a.readGates(ctx, now)
	a.readHosts(ctx, now)
	for _, n := range a.order {
		a.probe(ctx, n, now)
		a.sense(ctx, n, now)
		a.renew(ctx, n, now)
	}
	a.rollCalled(now)
	a.keepRollCall(now)
	a.checkHistory(ctx)
}

// met reports whether the fleet's machines are known, from before if they cannot be listed now: what is under way with them goes on.
func (a *actor) met() bool { return !a.found.At.IsZero() }

func (a *actor) readInventory(ctx context.Context) {
	set := a.want.Fleet.Nodes
	a.nextInventory = time.Now().Add(a.Interval)
	a.tasks.begin(ctx, taskInventory, "", inventoryDeadline, func(ctx context.Context) func() {
		inv, err := a.Inventory.Nodes(ctx, set)
		return func() {
			switch {
			case a.want.Fleet == nil || !sameNodes(a.want.Fleet.Nodes, set):
				a.nextInventory = time.Time{}
				return
			case err != nil:
				a.found.Err = err.Error()
				return
			}
			a.found = plan.Source{At: time.Now()}
			a.problems = inv.Problems
			a.meet(inv.Nodes)
			a.noteSeen()
		}
	})
}

// sameNodes reports whether two node sets find the same machines.
func sameNodes(a, b desired.NodeSet) bool {
	return reflect.DeepEqual(a.EC2, b.EC2) && slices.Equal(a.Static, b.Static)
}

// meet takes the machines that belong to the fleet now. One that is not listed any more is gone: its place is free (G14). Where a machine
// was on a journey that is told: if it still exists, nobody gives it back.
func (a *actor) meet(found []actuators.Node) {
	old := a.nodes
	a.queue = nil
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
		delete(a.strays, identity(f))
	}
	slices.SortFunc(a.order, func(x, y *node) int { return cmp.Compare(x.Name, y.Name) })
	for id, n := range old {
		if a.nodes[id] != nil {
			continue
		}
		a.progress = time.Now()
		n.endSensing()
		a.noteStray(n)
		if n.Busy != "" {
			a.lost[id] = n
			continue
		}
		a.Host.Close(n.place)
	}
	a.exclude()
	a.held = a.holdings()
}

// A stray is a machine that the fleet file named, and that left the fleet on a journey.
type stray struct {
	note  string
	until time.Time // it is told
}

// noteStray tells of a machine that left the fleet on a journey. An instance that is listed no more has most likely ended; of a machine that
// a commit took out, somebody has to know where it was left.
func (a *actor) noteStray(n *node) {
	r := n.record()
	if !r.UnderWay() || r.Claim == nil || r.Claim.Nonce != a.Agent.Nonce {
		return
	}
	note := fmt.Sprintf("%s left the fleet in the middle of a journey (%s); name it again, or see to its load balancers by hand", n.Name, r.Stage)
	a.Log.Warn(note, "fleet", a.name)
	if n.ID == "" {
		a.strays[identity(n.Node.Node)] = stray{note, time.Now().Add(24 * time.Hour)}
	}
}

// exclude marks the nodes that the fleet file says to leave alone.
func (a *actor) exclude() {
	for _, n := range a.order {
		n.excluded = a.want.Fleet != nil && plan.Excludes(a.want.Fleet, n.Node.Node)
	}
}

// plannedNodes are the nodes with what the newest plan says of each. Both are sorted by name, and an excluded node has no plan.
func (a *actor) plannedNodes() iter.Seq2[*node, plan.NodeStatus] {
	return func(yield func(*node, plan.NodeStatus) bool) {
		rest := a.order
		for _, s := range a.plan.Nodes {
			for len(rest) > 0 && rest[0].Name < s.Name {
				rest = rest[1:]
			}
			if len(rest) > 0 && rest[0].Name == s.Name && !yield(rest[0], s) {
				return
			}
		}
	}
}

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
	if a.met() && !a.tasks.busy(taskGroups, "") {
		due = earlier(due, a.groupsDue())
	}
	due = a.gatesDue(due)
	for _, n := range a.order {
		due = a.dueBefore(n, due)
	}
	return due
}

// dueBefore is the earlier of due and when observe has something to start on the node.
func (a *actor) dueBefore(n *node, due time.Time) time.Time {
	if n.nextRead.Before(due) {
		due = earlier(due, a.readDue(n))
	}
	if n.nextIdle.Before(due) {
		due = earlier(due, n.idleDue())
	}
	due = earlier(due, a.renewDue(n))
	if n.sensing.wanted {
		due = earlier(due, a.senseDue(n))
	}
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
