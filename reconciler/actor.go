package reconciler

import (
	"cmp"
	"context"
	"hash/fnv"
	"log/slog"
	"math"
	"slices"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler/plan"
)

// Deps are what an actor needs of the world. All are set, but History and Decide, which may be nil.
type Deps struct {
	Agent       plan.Agent
	Inventory   Inventory
	Balancer    Balancer
	Host        Host
	Prober      Prober
	Sensor      Sensor
	History     History
	Gatekeepers []Gatekeeper // in the order in which refusals are told
	Observer    Observer
	Log         *slog.Logger
	Interval    time.Duration   // how often the node set and the balancers are read when nothing moves
	Refresh     time.Duration   // how often the record and the checks of an idle node are
	GatePause   time.Duration   // from one reading of a gate that holds to the next; 0: 30 s
	ReadOnly    bool            // look and plan, start nothing
	Decide      Decider         // nil: plan.Next
	Kept        map[string]Kept // by fleet: what an earlier start knew; may be nil
}

// A Decider decides what to do, and keeps nothing of the world it is given. It is plan.Next, except where a simulation plants a bug to see
// that its laws find it.
type Decider func(plan.Want, plan.World) plan.Plan

// How long one call to the outside may take. A job's deadline follows from its steps.
const (
	inventoryDeadline = 30 * time.Second
	balancerDeadline  = 10 * time.Second // less than plan.TakeoverWait: another agent waits that long beyond a claim
	readDeadline      = desired.MostConnectTimeout + 8*time.Second
	writeDeadline     = desired.MostConnectTimeout + 3*time.Second
	jobSlack          = 30 * time.Second      // beyond the time-outs of a job's steps
	breathPerNode     = 60 * time.Microsecond // from pass to pass in the long run: each looks at every node
	mostBreath        = 120 * time.Millisecond
	mostPasses        = 10               // without a breath between them, after as many without a pass: a node by itself waits for nothing
	stopGrace         = 20 * time.Second // for steps in hand when the agent stops
)

// An actor is one fleet's loop. Everything in it belongs to the goroutine of run; what happens elsewhere comes back as an event.
type actor struct {
	Deps
	name    string
	publish func(Status)
	asks    chan ask
	wakes   chan struct{} // another fleet's standing has changed

	want      plan.Want
	meta      meta
	nodes     map[string]*node // by identity
	order     []*node          // sorted by name
	gates     []*gate
	found     plan.Source
	problems  []string
	groups    []actuators.GroupState
	former    []actuators.GroupState
	read      time.Time // when groups arrived
	seen      time.Time // when both were last completely known
	missing   time.Time // since when a node that is expected is not found; zero: none is
	held      []holding
	progress  time.Time
	shown     []plan.Node // to the newest plan
	plan      plan.Plan
	verdict   *actuators.Halt // the newest in force since this process began
	rollout   rollout
	timed     timed
	committed time.Time // of the first commit with the wanted version

	passed  time.Time // when the newest pass began
	passes  budget
	planned time.Time  // when the newest plan was made
	noted   plan.Phase // its phase
	news    bool       // something was learned since

	tasks         tasks
	nextInventory time.Time
	nextGroups    time.Time
	readings      budget // of the groups
	nextHistory   time.Time
	rollCall      rollCall
	queue         []*node // hosts to read, the next one first, as of the newest pass
	again         bool    // plan once more at once
	pruned        plan.Removal
	lost          map[string]*node   // machines that went out of the inventory while a step ran on them
	groupsTrouble int                // readings in a row that failed
	history       map[string]*search // by revision that a record names
	strays        map[string]stray   // by identity
}

// meta is what is known of the wanted version besides what plans need.
type meta struct {
	committed time.Time
	change    desired.Commit
	rejected  *desired.Rejection
	pausedAt  time.Time
	awaits    string // another fleet, whose machines have to be known first: they may be the same (law 3)
}

func newActor(name string, deps Deps, publish func(Status)) *actor {
	if deps.Decide == nil {
		deps.Decide = plan.Next
	}
	deps.Interval = apart(name, deps.Interval)
	a := &actor{
		Deps: deps, name: name, publish: publish, asks: make(chan ask), wakes: make(chan struct{}, 1),
		nodes: map[string]*node{}, history: map[string]*search{}, lost: map[string]*node{}, strays: map[string]stray{},
		rollout: rollout{Rollout: deps.Kept[name].Rollout, inherited: true},
		meta:    meta{pausedAt: deps.Kept[name].PausedAt},
		timed:   timedBefore(deps.Kept[name].Took),
	}
	a.tasks = newTasks(func(kind taskKind) {
		a.news = a.news || kind != taskProbe && kind != taskSense
	})
	return a
}

// apart returns an interval that differs from others by up to a twentieth, by the fleet's name: fleets that begin together do not
// ask AWS all at once for ever (G9).
func apart(name string, interval time.Duration) time.Duration {
	h := fnv.New32a()
	h.Write([]byte(name))
	share := float64(h.Sum32()) / math.MaxUint32 // from 0 to 1
	return time.Duration(float64(interval) * (0.95 + share/10))
}

// run is the loop: look at what is due, plan, start, wait for whatever happens first. It returns when ctx ends and what was
// in hand has come to a safe point.
func (a *actor) run(ctx context.Context, orders <-chan order) {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer a.tasks.wait()
	defer cancel()
	for {
		due, end := after(a.pass(work))
		select {
		case <-ctx.Done():
			end()
			a.stop(work)
			return
		case o := <-orders:
			a.take(o)
		case asked := <-a.asks:
			asked <- Sight{Want: a.question(), World: plan.Copy(a.world()), Status: a.status()}
		case <-a.wakes:
			a.askAfters()
		case apply := <-a.tasks.done:
			apply()
			a.tasks.drain()
		case <-due:
		}
		end()
	}
}

// after is a timer's channel, and what ends the timer. What is due at once needs none, and gets none: in Go 1.26 two goroutines of one
// synctest bubble whose timers are due when they are made crash the race detector now and then.
func after(wait time.Duration) (due <-chan time.Time, end func() bool) {
	if wait <= 0 {
		return atOnce, func() bool { return false }
	}
	timer := time.NewTimer(wait)
	return timer.C, timer.Stop
}

var atOnce = func() <-chan time.Time { c := make(chan time.Time); close(c); return c }()

// pass observes what is due, plans and starts, and returns how long nothing but an event can change the answer. It looks at every node, so
// that what happens within a breath shares one pass where much happens: else a fleet's work would grow with the square of its nodes.
func (a *actor) pass(ctx context.Context) time.Duration {
	if a.want.Fleet == nil {
		a.publish(a.status())
		return time.Hour
	}
	began := time.Now()
	if early := a.passes.next(a.breath(), mostPasses).Sub(began); early > 0 {
		return early
	}
	a.passed = began
	a.passes.spend(began, a.breath())
	a.observe(ctx)
	if a.planDue(began) {
		a.decide(ctx)
		a.Observer.PassDone(a.name, time.Since(began))
	}
	return a.untilDue()
}

// breath is how long the loop takes in what happens before it looks at the fleet again, while much happens. It follows from the fleet's size alone, so that the
// same events have the same effect on every machine.
func (a *actor) breath() time.Duration {
	return min(mostBreath, time.Duration(len(a.order))*breathPerNode)
}

// planDue reports whether another plan may differ from the newest: something was learned, or it asked to be asked again.
func (a *actor) planDue(now time.Time) bool {
	return a.news || a.again || !a.plan.WakeAt.IsZero() && !now.Before(a.plan.WakeAt)
}

// decide plans, starts what the plan orders, and tells how the fleet stands.
func (a *actor) decide(ctx context.Context) {
	a.again, a.news = false, false
	a.standStill()
	a.plan = a.Decide(a.question(), a.world())
	a.verdict = cmp.Or(a.plan.Halt, a.verdict)
	a.heedGates(time.Now())
	a.follow()
	if !a.ReadOnly {
		a.start(ctx)
	}
	a.rest()
	s := a.status()
	a.noteRest(s)
	a.publish(s)
	a.planned = time.Now()
}

// noteRest logs how a fleet has come to rest, and why: what moves tells of each step.
func (a *actor) noteRest(s Status) {
	if !s.Ready || a.ReadOnly {
		return
	}
	if !s.moves() && s.Phase != a.noted {
		a.Log.Info("fleet "+string(s.Phase), "fleet", a.name, "reason", s.Reason)
	}
	a.noted = s.Phase
}

// standStill moves the time of the last progress on by as long as the no-progress deadline did not run (law 15).
func (a *actor) standStill() {
	if now := time.Now(); !a.plan.Stalled && !a.progress.IsZero() {
		a.progress = earlier(now, a.progress.Add(now.Sub(a.planned)))
	}
}

// stop lets the steps in hand come to a safe point: short ones end, long ones go on detached on their nodes. Nothing new
// starts, and what is under way is left as it stands for the next agent to take over.
func (a *actor) stop(work context.Context) {
	a.queue = nil
	grace, cancel := context.WithTimeout(work, stopGrace)
	defer cancel()
	for a.tasks.busyWith(taskStep) > 0 && !a.onlyJobs() {
		select {
		case apply := <-a.tasks.done:
			apply()
			a.tasks.drain()
		case <-grace.Done():
			a.leave()
			return
		}
	}
	a.leave()
}

// onlyJobs reports whether all that runs are jobs, which outlive the agent on their nodes (law 19).
func (a *actor) onlyJobs() bool {
	for _, n := range a.order {
		if n.Busy != "" && n.Busy != plan.Configure && n.Busy != plan.Prepare {
			return false
		}
	}
	return true
}

// leave says what is left for the next agent.
func (a *actor) leave() {
	for _, s := range a.plan.Nodes {
		if s.UnderWay {
			a.Log.Info("left under way; the next agent goes on", "fleet", a.name, "node", s.Name, "state", s.State, "reason", s.Reason)
		}
	}
}

// order is a message to an actor: what the fleet should be from now on.
type order struct {
	want plan.Want
	meta meta
}

// take accepts a new order. Other load balancers make what was read of the old ones worthless, and another node set is to be listed
// before anybody leaves; the rest stays.
func (a *actor) take(o order) {
	old, pausedAt, rejected := a.want, a.meta.pausedAt, a.meta.rejected
	a.news = true
	a.want, a.meta = o.want, o.meta
	a.meta.pausedAt = a.pausedSince(old, pausedAt)
	if old.Version.Digest != o.want.Version.Digest {
		a.committed = o.meta.committed
	}
	if r := o.meta.rejected; r != nil && (rejected == nil || r.Revision != rejected.Revision) {
		a.Observer.Rejected(a.name, r.Reason)
	}
	if old.Fleet == nil || old.Version != o.want.Version || old.Fleet.Retry != o.want.Fleet.Retry || (old.Fleet.Paused == nil) != (o.want.Fleet.Paused == nil) {
		a.progress = time.Now()
	}
	if old.Fleet != o.want.Fleet || old.Version != o.want.Version || old.Released != o.want.Released {
		a.hangGates()
	}
	a.forgetDenials()
	a.exclude()
	a.held = a.holdings()
	if old.Fleet != nil && o.want.Fleet != nil && a.met() && !sameNodes(old.Fleet.Nodes, o.want.Fleet.Nodes) {
		a.found.Err = "the nodes that the new fleet file names were not listed yet"
	}
	switch {
	case old.Fleet == nil || o.want.Fleet == nil || !slices.Equal(old.Fleet.LoadBalancers, o.want.Fleet.LoadBalancers):
		a.groups, a.former = nil, nil
		fallthrough
	case old.Fleet != o.want.Fleet:
		a.nextGroups, a.nextInventory = time.Time{}, time.Time{}
	}
}

// pausedSince is before, which an earlier start of the agent may have known, while a pause goes on.
func (a *actor) pausedSince(old plan.Want, before time.Time) time.Time {
	switch {
	case a.want.Fleet == nil || a.want.Fleet.Paused == nil:
		return time.Time{}
	case (old.Fleet == nil || old.Fleet.Paused != nil) && !before.IsZero():
		return before
	}
	return time.Now()
}

// question is what is wanted, with what only the nodes' records can say against it.
func (a *actor) question() plan.Want {
	w := a.want
	if !a.doubts() {
		return w
	}
	for _, n := range a.order {
		if why := a.doubt(n); why != "" && w.Blocked == "" {
			w.Blocked = n.Name + ": " + why
		}
	}
	return w
}

// world is what is seen now, as plans take it. Its nodes are good until the next one is made.
func (a *actor) world() plan.World {
	w := plan.World{
		Now: time.Now(), Agent: a.Agent, Inventory: a.found,
		Groups: a.groups, Former: a.former, GroupsRead: a.read, Took: a.timed.took(), Progress: a.progress, Verdict: a.verdict, Facts: a.plan.Facts, Whole: a.plan.Whole,
		RollCall: a.rollCall.ended, Pruned: a.pruned, Gates: a.shownGates(),
		Nodes: slices.Grow(a.shown[:0], len(a.order)),
	}
	if a.meta.awaits != "" && w.Inventory.Err == "" {
		w.Inventory.Err = "the machines of fleet " + a.meta.awaits + " are not known yet"
	}
	for _, n := range a.order {
		w.Nodes = append(w.Nodes, n.Node) // its Host is replaced and never changed
	}
	a.shown = w.Nodes
	return w
}

// untilDue is how long until something is due or the plan wants to be asked again.
func (a *actor) untilDue() time.Duration {
	now := time.Now()
	if a.again {
		return 0
	}
	due := a.nextDue(now)
	if !a.plan.WakeAt.IsZero() && a.plan.WakeAt.Before(due) {
		due = a.plan.WakeAt
	}
	return max(0, due.Sub(now))
}
