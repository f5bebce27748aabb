package reconciler

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"windlass/desired"
	"windlass/health"
	"windlass/reconciler/plan"
)

// A Sight is one look at a fleet: all that plan.Next and plan.Foresee ask for, and how the fleet stands.
type Sight struct {
	Want   plan.Want
	World  plan.World
	Status Status
	After  func(f *desired.Fleet) []plan.Gate // of the fleets that f comes after, as they stand; nil: nobody knows of others
}

const (
	patience    = 5 * time.Second // for checks to speak once every source was tried
	enoughTries = 3               // of a check that keeps failing
)

// Look observes every fleet in force until each source was tried and each check that decides something has spoken, and changes
// nothing anywhere (law 21). The sights are sorted by fleet, without those whose file is gone and of which nothing is under way. A source
// that cannot be read is no error: the sight says so. The error is ctx's own.
//
// A check that only fails is taken as failed before its time is over: a forecast says what comes of it.
func Look(ctx context.Context, deps Deps, s desired.State) ([]Sight, error) {
	deps.ReadOnly = true
	names := slices.Sorted(maps.Keys(s.Fleets))
	sights, actors := make([]Sight, len(names)), make([]*actor, len(names))
	waited := awaited(s.Fleets)
	var lookers sync.WaitGroup
	for i, name := range names {
		lookers.Go(func() {
			o := orderOf(s.Fleets[name], s, name)
			o.want.Awaited = waited[name]
			actors[i] = look(ctx, deps, name, o)
			sights[i] = actors[i].sight()
		})
	}
	lookers.Wait()
	lookAfter(sights, actors)
	refuseClashes(sights)
	return slices.DeleteFunc(sights, func(s Sight) bool { return s.Want.Released && !s.Status.underWay() }), ctx.Err()
}

// look is an actor that has seen its fleet, and does nothing any more.
func look(ctx context.Context, deps Deps, name string, o order) *actor {
	ctx, cancel := context.WithCancel(ctx)
	a := newActor(name, deps, func(Status) {})
	defer a.tasks.wait()
	defer cancel()
	a.take(o)
	var ready time.Time
	for {
		before := a.passed
		due, end := after(min(a.pass(ctx), patience/10))
		passed := a.passed.After(before) // else what was learned since was not looked at
		if passed && ready.IsZero() && a.allTried() {
			ready = time.Now()
		}
		if passed && !ready.IsZero() && (a.allSpoke() || time.Since(ready) > patience) || ctx.Err() != nil {
			end()
			break
		}
		select {
		case <-ctx.Done():
		case apply := <-a.tasks.done:
			apply()
			a.tasks.drain()
		case <-due:
		}
		end()
	}
	for _, n := range a.order {
		a.foretell(n)
	}
	a.rollCall = rollCall{ended: time.Now()} // a look has read every record that can be read, however long it took
	return a
}

// glimpse is the status without what only an agent that stays can know: when things began.
func (a *actor) glimpse() Status {
	s := a.status()
	s.Rollout, s.PausedAt, s.Ends = Rollout{}, time.Time{}, time.Time{}
	for i := range s.Nodes {
		s.Nodes[i].Since = time.Time{}
	}
	for i := range s.Steps {
		s.Steps[i].Since = time.Time{}
	}
	return s
}

// allTried reports whether every source was tried, the groups that only records name among them. Without the node set there is
// nothing more to try.
func (a *actor) allTried() bool {
	if a.found.Err != "" {
		return true
	}
	if !a.ready() || a.tasks.busyWith(taskHistory)+a.tasks.busyWith(taskGate) > 0 {
		return false
	}
	if a.found.Complete() && a.unasked() {
		a.nextGroups = time.Now()
		return false
	}
	return true
}

// allSpoke reports whether no watch is awaited that may still tell something new.
func (a *actor) allSpoke() bool {
	for _, n := range a.order {
		idle := n.Host != nil && n.nextIdle.IsZero() && !n.record().UnderWay() && n.Busy == ""
		if idle || !n.watch.since.IsZero() && n.watched(a).Status == health.Pending {
			return false
		}
	}
	for _, s := range a.plan.Sense {
		if n := a.nodeNamed(s.Node); n != nil && !n.Traffic.Sees && n.Traffic.Blind == "" && n.Traffic.Trouble == "" {
			return false
		}
	}
	for _, w := range a.plan.Watch {
		if n := a.nodeNamed(w.Node); n != nil && n.watch.Watch != w {
			return false
		}
	}
	return true
}

// foretell replaces what a node's watch says by what comes of it.
func (a *actor) foretell(n *node) {
	if n.watch.since.IsZero() {
		return
	}
	if v := n.watched(a); v.Status != health.Pending || n.watch.Phase != plan.WatchIdle {
		n.Health = plan.Health{Release: n.watch.Release, Phase: n.watch.Phase, Since: n.watch.since, Verdict: v}
	}
}

// watched sums up a node's watch, with checks that keep failing taken to their end.
func (n *node) watched(a *actor) health.Verdict {
	w, now := &n.watch, time.Now()
	var verdicts []health.Verdict
	for _, c := range a.checks(w.Release) {
		p := health.Policy{Check: c.Name, Successes: c.Successes, Steady: w.Steady, Within: c.Within, Since: w.since}
		v := health.Judge(w.samples, p, now)
		if v.Status == health.Pending && w.failing[c.Name] && w.tried[c.Name] >= enoughTries {
			v = health.Judge(w.samples, p, v.Deadline)
		}
		verdicts = append(verdicts, v)
	}
	if len(verdicts) == 0 {
		return health.Verdict{Status: health.Passing, Reason: "there is no check to make"}
	}
	return health.Worst(verdicts...)
}

// refuseClashes blocks fleets that turned out to share a machine or a group, as the agent does (law 3).
func refuseClashes(sights []Sight) {
	g := New(Deps{})
	for _, s := range sights {
		g.fleets[s.Status.Name] = &member{orders: make(chan order, 1), order: order{want: s.Want}, status: s.Status}
	}
	g.findClashes()
	for i := range sights {
		if clash := g.fleets[sights[i].Status.Name].clash; clash != "" && sights[i].Want.Blocked == "" {
			sights[i].Want.Blocked = clash
		}
	}
}

// sight is what was looked at, with what follows from it.
func (a *actor) sight() Sight {
	a.plan = plan.Next(a.question(), a.world())
	return Sight{Want: a.question(), World: a.world(), Status: a.glimpse()}
}

// lookAfter gives fleets the gates of those that they come after, each of which was looked at by itself.
func lookAfter(sights []Sight, actors []*actor) {
	stand := func(fleet string) (Status, bool) {
		i := slices.IndexFunc(sights, func(s Sight) bool { return s.Status.Name == fleet })
		if i < 0 {
			return Status{}, false
		}
		return sights[i].Status, true
	}
	for i, a := range actors {
		for _, g := range afterOf(a.want.Fleet, stand, a.Interval) {
			a.gates = append(a.gates, &gate{shown: g})
		}
		if len(a.want.Fleet.After) > 0 {
			sights[i] = a.sight()
		}
		sights[i].After = func(f *desired.Fleet) []plan.Gate { return afterOf(f, stand, a.Interval) }
	}
}
