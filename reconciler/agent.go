package reconciler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler/plan"
)

// An Agent runs an actor for each fleet of the deploy repo. The zero value is of no use; New makes one, Run starts it.
type Agent struct {
	deps Deps

	mu      sync.Mutex
	fleets  map[string]*member
	over    map[string]bool // fleets whose files are gone, and that were left alone
	repo    Repo
	changed chan struct{}
	patient bool // fleets wait until the machines of all are known
	actors  sync.WaitGroup
}

// A member is one fleet's actor as the agent keeps it.
type member struct {
	orders chan order // holds the newest order only
	asks   chan<- ask
	wakes  chan<- struct{} // holds one
	order  order
	status Status
	clash  string // why it is refused: another fleet has the same node or group
	awaits string // another fleet, until its machines are known
	stop   context.CancelFunc
}

// New makes an agent. It starts nothing.
func New(deps Deps) *Agent {
	deps.Kept = maps.Clone(deps.Kept)
	g := &Agent{deps: deps, fleets: map[string]*member{}, over: map[string]bool{}, changed: make(chan struct{}), patient: true}
	g.deps.Gatekeepers = slices.Concat(deps.Gatekeepers, afters(g.stand, deps.Interval))
	return g
}

// Run takes what git says, as often as that changes, and returns when ctx has ended and every fleet has come to a safe point.
func (g *Agent) Run(ctx context.Context, states <-chan desired.State) {
	var late <-chan time.Time
	for {
		select {
		case <-late:
			g.proceed()
		case <-ctx.Done():
			g.await()
			return
		case s := <-states:
			g.take(ctx, s)
			if late == nil {
				late = time.After(startPatience)
			}
		}
	}
}

// startPatience is how long a new agent's fleets wait for the machines of those that cannot list theirs.
const startPatience = 30 * time.Second

// proceed lets every fleet begin.
func (g *Agent) proceed() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.patient = false
	g.findClashes()
}

// awaited names another fleet whose machines are not known yet, while fleets wait for that.
func (g *Agent) awaited(name string) string {
	if !g.patient {
		return ""
	}
	for _, other := range slices.Sorted(maps.Keys(g.fleets)) {
		if m := g.fleets[other]; other != name && !m.status.known && m.order.want.Fleet != nil && !m.order.want.Released {
			return other
		}
	}
	return ""
}

// Snapshot returns all that is known now.
func (g *Agent) Snapshot() Snapshot {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := Snapshot{At: time.Now(), Repo: g.repo}
	for _, name := range slices.Sorted(maps.Keys(g.fleets)) {
		s.Fleets = append(s.Fleets, g.fleets[name].status)
	}
	return s
}

// Sight is what a fleet's next plan would be made of, now. The error is ErrUnknown, or ctx's when its actor does not come to it in time.
func (g *Agent) Sight(ctx context.Context, fleet string) (Sight, error) {
	g.mu.Lock()
	m := g.fleets[fleet]
	g.mu.Unlock()
	if m == nil {
		return Sight{}, ErrUnknown
	}
	asked := make(ask, 1)
	select {
	case m.asks <- asked:
	case <-ctx.Done():
		return Sight{}, context.Cause(ctx)
	}
	select {
	case s := <-asked:
		s.After = g.afterOf
		return s, nil
	case <-ctx.Done():
		return Sight{}, context.Cause(ctx)
	}
}

// ErrUnknown is a fleet that no file in force names.
var ErrUnknown = errors.New("no such fleet")

// An ask is for a sight of a fleet, which its actor answers between two passes.
type ask chan Sight

// Changed returns a channel that is closed when Snapshot has something new to say.
func (g *Agent) Changed() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changed
}

// Touch wakes those who wait for a change: what is shown beside the snapshot has changed.
func (g *Agent) Touch() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tell()
}

// tell wakes those who wait for a change. The caller holds the lock.
func (g *Agent) tell() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// take passes on what git says to the fleets it concerns.
func (g *Agent) take(ctx context.Context, s desired.State) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.repo = Repo{Revision: s.Revision, Committed: s.Committed, Checked: s.Checked, Problem: s.Problem}
	waited := awaited(s.Fleets)
	for name, v := range s.Fleets {
		if _, broken := s.Rejected[name]; v.Released && !broken && g.over[name] {
			continue
		}
		delete(g.over, name)
		o := orderOf(v, s, name)
		o.want.Awaited = waited[name]
		g.direct(ctx, name, o)
	}
	for name, r := range s.Rejected {
		if _, good := s.Fleets[name]; !good {
			g.direct(ctx, name, order{meta: meta{rejected: &r}})
		}
	}
	g.dropStale(s)
	g.findClashes()
	g.tell()
}

// orderOf is what a version of a fleet file asks of its actor.
func orderOf(v desired.Version, s desired.State, name string) order {
	o := order{meta: meta{committed: v.Committed, change: v.Change}}
	if r, broken := s.Rejected[name]; broken {
		o.meta.rejected = &r
	}
	o.want = plan.Want{
		Fleet: v.Fleet, Released: v.Released,
		Version: actuators.Version{
			Release: v.Fleet.Release, Digest: v.Fleet.Digest(desired.DigestAlgorithm),
			Algorithm: desired.DigestAlgorithm, Revision: v.Revision,
		},
	}
	return o
}

// direct gives a fleet its order, and starts its actor when it has none.
func (g *Agent) direct(ctx context.Context, name string, o order) {
	m := g.fleets[name]
	if m == nil {
		m = g.enlist(ctx, name)
	}
	m.order = o
	g.send(m)
}

// send replaces whatever order the actor has not taken yet.
func (g *Agent) send(m *member) {
	o := m.order
	if o.want.Blocked == "" {
		o.want.Blocked = m.clash
	}
	o.meta.awaits = m.awaits
	select {
	case <-m.orders:
	default:
	}
	m.orders <- o
}

func (g *Agent) enlist(ctx context.Context, name string) *member {
	ctx, stop := context.WithCancel(ctx)
	kept := g.deps.Kept[name]
	m := &member{
		orders: make(chan order, 1), stop: stop,
		status: Status{Name: name, Rollout: kept.Rollout, PausedAt: kept.PausedAt},
	}
	g.fleets[name] = m
	a := newActor(name, g.deps, func(s Status) { g.report(m, s) })
	m.asks, m.wakes = a.asks, a.wakes
	delete(g.deps.Kept, name) // a fleet of that name that comes again is another one
	g.actors.Go(func() { a.run(ctx, m.orders) })
	return m
}

// dropStale ends the actors of fleets that were only ever rejected and are gone.
func (g *Agent) dropStale(s desired.State) {
	for name, m := range g.fleets {
		_, good := s.Fleets[name]
		_, bad := s.Rejected[name]
		if !good && !bad {
			m.stop()
			delete(g.fleets, name)
			g.rouse(name)
		}
	}
}

// report takes a fleet's status from its actor, and ends the actor of one that is over.
func (g *Agent) report(m *member, s Status) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fleets[s.Name] != m {
		return
	}
	changed := m.status.known != s.known || !slices.Equal(m.status.holdings, s.holdings) || m.order.want.Released && m.status.underWay() != s.underWay()
	otherwise := standsOtherwise(m.status, s)
	m.status = s
	if otherwise {
		g.rouse(s.Name)
	}
	if s.over && m.order.want.Released {
		m.stop()
		delete(g.fleets, s.Name)
		g.over[s.Name], changed = true, true
		g.rouse(s.Name)
	}
	if changed {
		g.findClashes()
	}
	g.tell()
}

// findClashes refuses fleets that turn out to share a machine or a group (law 3), and has them wait while that cannot be known.
func (g *Agent) findClashes() {
	owners, firm := map[string][]string{}, map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(g.fleets)) {
		if m := g.fleets[name]; !m.order.want.Released || m.status.underWay() {
			for _, h := range m.status.holdings {
				owners[h.what] = append(owners[h.what], name)
				firm[h.what] = firm[h.what] || !h.loose
			}
		}
	}
	for name, m := range g.fleets {
		clash := ""
		for _, h := range m.status.holdings {
			if names := owners[h.what]; len(names) > 1 && firm[h.what] && clash == "" {
				other := names[0]
				if other == name {
					other = names[1]
				}
				clash = fmt.Sprintf("%s is in fleet %s too; a machine or a group belongs to one fleet", h.what, other)
				if other == name {
					clash = fmt.Sprintf("%s is named twice in this fleet; remove one of the two", h.what)
				}
			}
		}
		if awaits := g.awaited(name); (clash != m.clash || awaits != m.awaits) && m.order.want.Fleet != nil {
			m.clash, m.awaits = clash, awaits
			g.send(m)
		}
	}
}

// await returns when every actor has ended.
func (g *Agent) await() {
	g.mu.Lock()
	for _, m := range g.fleets {
		m.stop()
	}
	g.mu.Unlock()
	g.actors.Wait()
}
