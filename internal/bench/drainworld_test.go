package bench

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/internal/metrics"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

// How the balancers of drainWorlds are, and what is sensed behind them: a load balancer of AWS at its defaults.
const (
	drainDelay      = 300 * time.Second       // deregistration delay
	drainIdleAfter  = 60 * time.Second        // an ALB's idle time-out
	drainChecks     = 30 * time.Second        // from check to check of a target; one that was registered is healthy after half of it, or all
	drainSpread     = 15 * time.Second        // at most, until no request is sent any more to a target that was deregistered
	drainFlowSpread = 100 * time.Second       // the same of an NLB
	drainLag        = time.Second             // readings show a change at once, or as late as that
	drainSees       = 2500 * time.Millisecond // until a sensor has listed our own connection
)

// A drainWorld is a flatWorld whose nodes are connected to while they serve, and for a while after they have left. It counts what is cut,
// and notes when what happened to each.
type drainWorld struct {
	*flatWorld
	drainCase
	drain   desired.Drain
	seed    uint64
	targets []drainTarget
	cut     int // requests, or flows
}

// A drainTarget is a node's place in the group, and its way there and back.
type drainTarget struct {
	seldom    bool          // it is asked for something each 20 s, else each second
	sent      time.Time     // until when requests may be sent to it
	requests  []request     // those of its departure
	silent    time.Duration // connections that carried nothing for as long are not counted by its sensor
	leftShows time.Time     // when readings show that it leaves; zero: it was not asked to
	joinShows time.Time     // when they show that it is registered again; zero: it is not
	healthy   time.Time     // from when on the balancer finds it healthy then
	way       way
}

// A request is one of the balancer's to a node, on a connection of its own, which carries nothing from when it was asked until it has its
// answer. A flow is one as well.
type request struct{ asked, answered time.Time }

func newDrainWorld(c drainCase, drain desired.Drain, seed uint64) *drainWorld {
	w := &drainWorld{flatWorld: newFlatWorld(drainNodes, desired.Amount{Count: c.atOnce}), drainCase: c, drain: drain, seed: seed}
	w.targets = make([]drainTarget, len(w.nodes))
	for i := range w.targets {
		w.targets[i].seldom = !c.network && !c.busy && w.rolls(i, "seldom").IntN(2) == 0
	}
	return w
}

// rolls are dice for something that happens to a node: the same in each world of a seed.
func (w *drainWorld) rolls(i int, what string) *rand.Rand {
	return rand.New(rand.NewPCG(w.seed, uint64(i)<<32|uint64(what[0])))
}

// roll lets the core bring v2 over this world, and returns how that went.
func (w *drainWorld) roll(t *testing.T) drained {
	core := reconciler.New(reconciler.Deps{
		Agent: plan.Agent{Holder: "agent", Epoch: 1, Nonce: "nonce"}, Inventory: w, Balancer: w, Host: w, Prober: w, Sensor: w,
		Observer: metrics.NewEvents(), Log: slog.New(slog.DiscardHandler), Interval: flatInterval, Refresh: flatRefresh, Decide: w.decide,
	})
	ctx, cancel := context.WithCancel(t.Context())
	states, ended := make(chan desired.State), make(chan struct{})
	go func() { core.Run(ctx, states); close(ended) }()
	defer func() { cancel(); <-ended }()
	states <- w.wants("v1")
	time.Sleep(flatRest)
	before, began := w.soFar(), time.Now()
	states <- w.wants("v2")
	rolled := w.await(core, "v2")
	d := w.drained(began)
	d.rolled, d.calls = rolled, d.calls-before.calls
	return d
}

// drained is how a rollout went that began then.
func (w *drainWorld) drained(began time.Time) drained {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := drained{took: []time.Duration{time.Since(began)}, calls: w.spent.calls, cut: w.cut}
	for i := range w.targets {
		d.ways = append(d.ways, w.targets[i].way.inOrder())
	}
	slices.SortFunc(d.ways, func(a, b way) int { return a[claimOrdered].Compare(b[claimOrdered]) })
	d.starts = []time.Duration{d.ways[0][claimOrdered].Sub(began)}
	for i := 1; i < len(d.ways); i++ {
		d.gaps = append(d.gaps, d.ways[i][claimOrdered].Sub(d.ways[i-1][proven]))
	}
	return d
}

// wants is what git says when that release is wanted.
func (w *drainWorld) wants(release string) desired.State {
	s := w.flatWorld.wants(release)
	f := s.Fleets["web"].Fleet
	f.Rollout.Drain, f.Rollout.Bake = w.drain, drainBake
	return s
}

// await returns how many nodes rest with the release when all do, or when that took too long.
func (w *drainWorld) await(core *reconciler.Agent, release string) int {
	for began := time.Now(); ; time.Sleep(time.Second) {
		s := core.Snapshot().Fleets[0]
		if s.Releases[release] == len(w.nodes) && s.Phase == plan.PhaseIdle || time.Since(began) > drainPatience {
			return s.Releases[release]
		}
	}
}

// decide is plan.Next, and notes what it decides on and what it decides.
func (w *drainWorld) decide(want plan.Want, seen plan.World) plan.Plan {
	p := plan.Next(want, seen)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range seen.Nodes {
		w.targets[w.index[n.ID]].noteSeen(n, seen.Now)
	}
	for _, s := range p.Steps {
		i := slices.IndexFunc(w.nodes, func(n actuators.Node) bool { return n.Name == s.Node })
		if m, noted := ordered[s.Kind]; noted && i >= 0 {
			w.targets[i].way.note(m, seen.Now)
		}
	}
	return p
}

// noteSeen notes what the core has come to know of the node.
func (t *drainTarget) noteSeen(n plan.Node, now time.Time) {
	if n.Traffic.Sees && len(n.Traffic.Others) > 0 {
		t.way.note(calibrated, now)
	}
	if !n.Left.IsZero() {
		t.way.note(drainSeen, n.Left)
	}
	if added := t.way[addAsked]; !added.IsZero() && n.Served.After(added) {
		t.way.note(inService, n.Served)
		t.way.note(baked, n.Served.Add(drainBake))
	}
}

func (w *drainWorld) Observe(context.Context, []desired.LoadBalancer, []string) ([]actuators.GroupState, error) {
	g := actuators.GroupState{Group: actuators.Group{ID: groupID, Name: "web"}, TargetType: "instance", Port: 8080, Rules: w.rules(), At: time.Now()}
	take(100*time.Millisecond, "")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spent.calls++
	for i, t := range w.members {
		if t.Status = w.targets[i].status(time.Now()); t.Status != actuators.TargetUnused {
			g.Members = append(g.Members, t)
		}
	}
	return []actuators.GroupState{g}, nil
}

func (w *drainWorld) rules() actuators.Rules {
	one := actuators.Threshold{Count: 1}
	if w.network {
		return actuators.Rules{Protocol: "TCP", Network: true, Delay: drainDelay, InDNS: one, FailsOpen: one}
	}
	return actuators.Rules{Protocol: "HTTP", Delay: drainDelay, IdleAfter: drainIdleAfter, InDNS: one, FailsOpen: one}
}

// status is what readings show of the target; TargetUnused: it is not listed.
func (t *drainTarget) status(now time.Time) actuators.TargetStatus {
	switch {
	case t.leftShows.IsZero() || now.Before(t.leftShows):
		return actuators.TargetHealthy
	case !t.joinShows.IsZero() && !now.Before(t.healthy):
		return actuators.TargetHealthy
	case !t.joinShows.IsZero() && !now.Before(t.joinShows):
		return actuators.TargetInitial
	case now.Sub(t.leftShows) < drainDelay:
		return actuators.TargetDraining
	}
	return actuators.TargetUnused
}

func (w *drainWorld) Deregister(_ context.Context, m actuators.Membership) error {
	take(100*time.Millisecond, m.ID)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spent.calls++
	i := w.index[m.ID]
	if t := &w.targets[i]; t.leftShows.IsZero() {
		r, now := w.rolls(i, "leaves"), time.Now()
		t.way.note(drainAsked, now)
		t.leftShows = now.Add(time.Duration(r.IntN(2)) * drainLag)
		t.way.note(drainShown, t.leftShows)
		w.depart(t, r, now)
	}
	return nil
}

// depart draws which requests a node still gets that was deregistered, and those that it has at that moment.
func (w *drainWorld) depart(t *drainTarget, r *rand.Rand, now time.Time) {
	spread, gap := drainSpread, time.Second
	switch {
	case w.network:
		spread, gap = drainFlowSpread, 20*time.Second
	case t.seldom:
		gap = 20 * time.Second
	}
	t.sent = now.Add(time.Duration(r.Int64N(int64(spread))))
	for at := now.Add(-w.longest - w.keeps); ; {
		if at = at.Add(time.Duration(r.ExpFloat64() * float64(gap))); at.After(t.sent) {
			return
		}
		t.requests = append(t.requests, request{at, at.Add(w.shortest + time.Duration(r.Int64N(int64(w.longest-w.shortest))))})
	}
}

func (w *drainWorld) Register(_ context.Context, m actuators.Membership) error {
	take(100*time.Millisecond, m.ID)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spent.calls++
	i := w.index[m.ID]
	if t := &w.targets[i]; t.joinShows.IsZero() {
		r, now := w.rolls(i, "joins"), time.Now()
		t.joinShows = now.Add(time.Duration(r.IntN(2)) * drainLag)
		t.healthy = now.Add(drainChecks/2 + time.Duration(r.Int64N(int64(drainChecks/2))))
		t.way.note(addAsked, now)
		t.way.note(healthy, t.healthy)
	}
	return nil
}

func (w *drainWorld) Write(ctx context.Context, at actuators.Place, old string, r actuators.NodeRecord) (actuators.HostState, error) {
	state, err := w.flatWorld.Write(ctx, at, old, r)
	w.mu.Lock()
	defer w.mu.Unlock()
	t := &w.targets[w.index[at.Node.ID]]
	switch {
	case err != nil:
	case r.Stage == actuators.Leaving:
		t.way.note(claimed, time.Now())
	case r.Stage == actuators.Idle && r.Proven.Release == "v2":
		t.way.note(proven, time.Now())
	}
	return state, err
}

func (w *drainWorld) Run(ctx context.Context, at actuators.Place, old string, r actuators.NodeRecord, job actuators.Job, written func(actuators.HostState)) (actuators.JobState, error) {
	state, err := w.Write(ctx, at, old, r)
	if err != nil {
		return actuators.JobState{}, err
	}
	written(state)
	i := w.index[at.Node.ID]
	w.stepsBegin(i)
	time.Sleep(drainJob)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.targets[i].way.note(stepsEnded, time.Now())
	w.hosts[i].job = actuators.JobState{Key: job.Key, Exited: true}
	return w.hosts[i].job, nil
}

// stepsBegin counts what the steps cut that begin on a node, and notes since when they might have begun.
func (w *drainWorld) stepsBegin(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t, now := &w.targets[i], time.Now()
	w.cut += t.cutAt(now)
	settle := w.drain.Settle
	if w.network {
		settle = w.drain.NetworkSettle
	}
	t.way.note(settled, t.way[drainSeen].Add(settle))
	t.way.note(mayBegin, w.mayBegin(t))
	t.way.note(stepsBegun, now)
}

// cutAt is how many requests are cut when steps begin then: those being answered, and those still to come, or one where none came of what might.
func (t *drainTarget) cutAt(now time.Time) int {
	n := 0
	for _, r := range t.requests {
		if r.answered.After(now) {
			n++
		}
	}
	if now.Before(t.sent) {
		n = max(1, n)
	}
	return n
}

// mayBegin is when the policy lets steps begin on a node that has settled, were all known at once.
func (w *drainWorld) mayBegin(t *drainTarget) time.Time {
	over, idle := t.leftShows.Add(drainDelay), t.leftShows
	for _, r := range t.requests {
		if end := w.closed(t, r); end.After(idle) {
			idle = end
		}
	}
	idle = idle.Add(w.drain.IdleFor)
	switch {
	case w.drain.Policy == desired.DrainForDelay, w.network && over.After(idle):
		return over
	}
	return idle
}

// closed is when the connection of an answered request ends, or counts no more.
func (w *drainWorld) closed(t *drainTarget, r request) time.Time {
	if t.silent > 0 && t.silent < w.keeps {
		return r.answered.Add(t.silent)
	}
	return r.answered.Add(w.keeps)
}

// Sense shows who has connections to a node, about twice a second.
func (w *drainWorld) Sense(ctx context.Context, at actuators.Place, service actuators.Service, tell func(actuators.Traffic)) error {
	i, began := w.index[at.Node.ID], time.Now()
	for ctx.Err() == nil {
		take(500*time.Millisecond, at.Node.ID)
		tell(w.sample(i, service, began))
	}
	return ctx.Err()
}

// sample is one look at a node's connections, by a session that began then. Where hardly anybody asks, nobody is seen before the balancer's
// next check.
func (w *drainWorld) sample(i int, service actuators.Service, began time.Time) actuators.Traffic {
	w.mu.Lock()
	defer w.mu.Unlock()
	t, now := &w.targets[i], time.Now()
	t.silent = service.Silent
	x := actuators.Traffic{Sensor: "ss", Sees: now.Sub(began) >= drainSees, Busy: 3}
	if !t.leftShows.IsZero() {
		x.Busy = w.connections(t, now)
	} else if t.seldom {
		x.Busy = 0
	}
	phase := time.Duration(w.rolls(i, "checks").Int64N(int64(drainChecks)))
	checked := now.Add(-phase).Truncate(drainChecks).Add(phase).After(began)
	if x.Busy > 0 || checked {
		x.Peer, x.Others = "10.9.9.9", slices.Clone(service.Ports)
	}
	return x
}

// connections are those to a node that was deregistered, and that count.
func (w *drainWorld) connections(t *drainTarget, now time.Time) int {
	n := 0
	for _, r := range t.requests {
		said := r.asked
		if !now.Before(r.answered) {
			said = r.answered
		}
		heard := t.silent == 0 || now.Sub(said) < t.silent
		if heard && !now.Before(r.asked) && now.Before(r.answered.Add(w.keeps)) {
			n++
		}
	}
	return n
}
