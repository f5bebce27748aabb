package reconciler

import (
	"context"
	"slices"
	"time"

	"windlass/actuators"
	"windlass/reconciler/plan"
)

// senseDeadline bounds one session of a sensor; it is begun again while a plan asks for it.
const senseDeadline = time.Hour

// A sensing is what an actor keeps of the watch over the connections to one node.
type sensing struct {
	wanted  bool
	service actuators.Service
	stop    context.CancelFunc // nil: no session is under way
	began   time.Time          // when the newest session did
	next    time.Time          // when a session may begin, after one that broke off
	broken  int                // sessions in a row that broke off
}

// followSense points the sensors at what the plan asks for. One that a step is in flight for goes on: what it shows of a node that is about to
// leave must not have a gap.
func (a *actor) followSense() {
	asked := make(map[string]actuators.Service, len(a.plan.Sense))
	for _, s := range a.plan.Sense {
		asked[s.Node] = s.Service
	}
	for _, n := range a.order {
		service, wanted := asked[n.Name]
		switch {
		case wanted && !(n.sensing.wanted && n.sensing.service.Equal(service)):
			n.endSensing()
			n.sensing.wanted, n.sensing.service = true, service
		case !wanted && n.Busy == "" && n.sensing.wanted:
			n.endSensing()
			if n.Left.IsZero() && !n.record().UnderWay() {
				n.Traffic = plan.Traffic{} // what it shows while it serves is of now
			}
		}
	}
}

// endSensing ends a node's session. What was seen of it stays, but nobody knows what happens from now on.
func (n *node) endSensing() {
	if n.sensing.stop != nil {
		n.sensing.stop()
	}
	n.sensing = sensing{next: n.sensing.next, broken: n.sensing.broken}
	n.Traffic.Quiet, n.Traffic.At = time.Time{}, time.Time{}
}

// senseDue is when the node's connections are to be sensed; never while they are, or nothing there can.
func (a *actor) senseDue(n *node) time.Time {
	blind := n.Traffic.Blind != "" && n.Traffic.Service.Alike(n.sensing.service)
	if !n.sensing.wanted || n.sensing.stop != nil || blind || a.tasks.busy(taskSense, identity(n.Node.Node)) {
		return never
	}
	return n.sensing.next
}

// sense begins a session with the node's sensor when it is due.
func (a *actor) sense(ctx context.Context, n *node, now time.Time) {
	if now.Before(a.senseDue(n)) {
		return
	}
	place, service := n.place, n.sensing.service
	session, stop := context.WithCancel(ctx)
	n.sensing.stop, n.sensing.began = stop, now
	a.tasks.begin(session, taskSense, identity(n.Node.Node), senseDeadline, func(ctx context.Context) func() {
		err := a.Sensor.Sense(ctx, place, service, func(t actuators.Traffic) {
			a.tasks.tell(func() {
				if session.Err() == nil { // else somebody ended it meanwhile
					a.sensed(n, service, t)
				}
			})
		})
		return func() {
			if session.Err() == nil {
				a.sensedNoMore(n, err)
			}
		}
	})
}

// sensed takes a sample. Only what changes an answer makes a plan: a node is looked at twice a second.
func (a *actor) sensed(n *node, service actuators.Service, x actuators.Traffic) {
	now, t := time.Now(), n.Traffic
	if !t.Service.Alike(service) {
		t = plan.Traffic{}
	}
	late := now.Sub(t.At) > plan.SampleAge
	t.Service, t.At, t.Busy, t.Peer, t.Blind, t.Trouble = service, now, x.Busy, x.Peer, x.Blind, ""
	asked := n.Busy == plan.Drain || n.Asked == plan.Drain && now.Sub(n.AskedAt) <= plan.AskAgain
	if n.serving && n.Left.IsZero() && !asked {
		t.Sees = t.Sees || x.Sees
		t.Others = union(t.Others, x.Others)
	}
	switch {
	case x.Busy > 0:
		t.Quiet = time.Time{}
	case t.Quiet.IsZero() || late:
		t.Quiet = now
	}
	was := n.Traffic
	turned := t.Quiet != was.Quiet && !n.Left.IsZero()
	a.news = a.news || late || turned || t.Sees != was.Sees || len(t.Others) != len(was.Others) || t.Blind != was.Blind
	n.Traffic = t
}

// sensedNoMore takes the end of a session: of one that broke off nobody knows what happens now, and it is tried again.
func (a *actor) sensedNoMore(n *node, err error) {
	now := time.Now()
	n.sensing.stop()
	if now.Sub(n.sensing.began) > time.Minute {
		n.sensing.broken = 0
	}
	n.sensing.stop, n.sensing.next = nil, now.Add(pause(n.sensing.broken))
	n.sensing.broken++
	n.Traffic.Quiet, n.Traffic.At = time.Time{}, time.Time{}
	if err != nil {
		n.Traffic.Trouble = err.Error()
		a.Log.Warn("connections to a node cannot be seen", "fleet", a.name, "node", n.Name, "error", err)
	}
	a.news = true
}

// union is what is in either of two sorted lists, sorted.
func union(a, b []int) []int {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
