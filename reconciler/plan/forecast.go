package plan

import (
	"slices"
	"time"

	"windlass/actuators"
	"windlass/health"
)

// A Forecast is how a rollout would go if every step succeeded.
type Forecast struct {
	Now    Plan // what starts now
	Events []Event
	Lowest int  // the fewest nodes that could be counted on at any point
	End    Plan // where it comes to rest
	Left   int  // nodes that lack what is wanted where the forecast of a large fleet breaks off; 0: it is whole
}

// An Event is a step of a forecast, and how many nodes could be counted on when it began.
type Event struct {
	Step
	InService int
}

// mostLooks bounds the work of a forecast: each plan looks at every node. Some 140 nodes are foreseen to the end, of a
// larger fleet the beginning, which the rest is like.
const mostLooks = 250_000

// rounds is how many plans a forecast of so many nodes makes at the most: more than any rollout needs, unless the fleet is large.
func rounds(nodes int) int { return min(20+12*nodes, max(100, mostLooks/max(1, nodes))) }

// Foresee plays the rollout through on a copy of the world: what Next orders happens at once and goes well. It ends when
// nothing more would happen, or, in a large fleet, when it has taken enough work.
func Foresee(want Want, seen World) Forecast { return foresee(want, seen, rounds(len(seen.Nodes))) }

func foresee(want Want, seen World, rounds int) Forecast {
	want.Awaited = false // what is written down for others is no part of a rollout
	w := ideal{world: Copy(seen), index: map[string]*Node{}}
	w.arrive()
	for i := range w.world.Nodes {
		n := &w.world.Nodes[i]
		w.index[n.Name] = n
	}
	first := Next(want, w.world)
	f := Forecast{Now: first, Lowest: first.InService, End: first}
	for range rounds {
		for _, s := range f.End.Steps {
			f.Events = append(f.Events, Event{Step: s, InService: f.End.InService})
		}
		if !w.follow(f.End) {
			return f
		}
		f.End = Next(want, w.world)
		f.Lowest = min(f.Lowest, f.End.InService)
	}
	for _, n := range f.End.Nodes {
		if n.Outdated {
			f.Left++
		}
	}
	return f
}

// ideal is a world in which everything goes well at once.
type ideal struct {
	world World
	index map[string]*Node
}

// arrive lets what is on its way come to its end: drains are over, who joins is healthy, jobs have ended well, and what was asked for is asked
// for again where it shows no effect yet. Gates stay as they are.
func (w *ideal) arrive() {
	for _, groups := range [][]actuators.GroupState{w.world.Groups, w.world.Former} {
		for i := range groups {
			g := &groups[i]
			g.Members = slices.DeleteFunc(g.Members, func(t actuators.Target) bool { return t.Status == actuators.TargetDraining })
			for j := range g.Members {
				if s := &g.Members[j].Status; *s == actuators.TargetInitial || *s == actuators.TargetRamping {
					*s = actuators.TargetHealthy
				}
			}
		}
	}
	for i := range w.world.Nodes {
		n := &w.world.Nodes[i]
		n.Out, n.Left = cmpTime(n.Out, w.world.Now), cmpTime(n.Left, w.world.Now)
		n.Busy = ""
		if n.Host != nil && n.Host.Job.Running {
			n.Host.Job = actuators.JobState{Key: n.Host.Job.Key, Exited: true}
		}
	}
	w.world.Pruned.Busy = false
	w.world.Gates = slices.Clone(w.world.Gates)
	for i := range w.world.Gates {
		w.world.Gates[i].Until = time.Time{} // what is foreseen takes no real time
	}
}

// Copy returns a world that can be changed without w noticing, records apart: they are only ever replaced.
func Copy(w World) World {
	w.Nodes = slices.Clone(w.Nodes)
	for i, n := range w.Nodes {
		if n.Host != nil {
			host := *n.Host
			w.Nodes[i].Host = &host
		}
	}
	w.Groups, w.Former = copyGroups(w.Groups), copyGroups(w.Former)
	return w
}

func copyGroups(groups []actuators.GroupState) []actuators.GroupState {
	groups = slices.Clone(groups)
	for i := range groups {
		groups[i].Members = slices.Clone(groups[i].Members)
	}
	return groups
}

// follow makes what the plan orders come true, and reports whether anything did.
func (w *ideal) follow(p Plan) bool {
	planned := w.world.Now
	w.world.Now = planned.Add(time.Second)
	for _, s := range p.Steps {
		w.take(s)
	}
	watched := false
	for _, x := range p.Watch {
		watched = w.watch(x) || watched
	}
	for _, x := range p.Sense {
		watched = w.sense(x) || watched
	}
	if p.Reread {
		w.world.GroupsRead = w.world.Now
		for _, groups := range [][]actuators.GroupState{w.world.Groups, w.world.Former} {
			for i := range groups {
				groups[i].At = w.world.Now
			}
		}
	}
	if p.Refresh {
		w.world.RollCall = w.world.Now
	}
	if len(p.Steps) > 0 || watched || p.Reread || p.Refresh {
		return true
	}
	if wait := p.WakeAt.Sub(planned); p.WakeAt.IsZero() || wait <= atOnce || wait > time.Hour {
		return false
	}
	w.world.Now = later(w.world.Now, p.WakeAt)
	return true
}

func (w *ideal) take(s Step) {
	if s.Kind == Drain || s.Kind == Prune {
		w.remove(s.Targets)
	}
	n := w.index[s.Node]
	if n == nil {
		return
	}
	if n.Host == nil {
		n.Host = &actuators.HostState{Now: w.world.Now}
	}
	if s.Record != nil {
		n.Host.Record, n.Host.Now, n.Read.At = s.Record.Clone(), w.world.Now, w.world.Now
		w.world.Progress = w.world.Now
	}
	switch s.Kind {
	case Prepare:
		n.Host.Job = actuators.JobState{Key: s.Job.Key, Exited: true}
	case Configure:
		n.Host.Job = actuators.JobState{Key: s.Job.Key, Exited: true}
		n.Health = Health{}
	case Drain:
		n.Asked, n.AskedAt, n.Left = Drain, w.world.Now, w.world.Now
	case Add:
		w.register(s.Targets)
		n.Asked, n.AskedAt = Add, w.world.Now
	}
}

func (w *ideal) remove(gone []actuators.Membership) {
	for _, groups := range [][]actuators.GroupState{w.world.Groups, w.world.Former} {
		for i := range groups {
			groups[i].Members = slices.DeleteFunc(groups[i].Members, func(t actuators.Target) bool { return slices.Contains(gone, t.Membership) })
		}
	}
}

func (w *ideal) register(places []actuators.Membership) {
	for _, m := range places {
		for _, groups := range [][]actuators.GroupState{w.world.Groups, w.world.Former} {
			for i := range groups {
				if groups[i].ID == m.Group {
					groups[i].Members = append(groups[i].Members, actuators.Target{Membership: m, Status: actuators.TargetHealthy})
				}
			}
		}
	}
}

// watch lets checks pass, and reports whether that was news. Those that were seen to fail go on failing until the node is configured.
func (w *ideal) watch(x Watch) bool {
	n := w.index[x.Node]
	if n == nil || n.Health.Phase == x.Phase && n.Health.Release == x.Release && n.Health.Status != health.Pending {
		return false
	}
	w.world.Now = w.world.Now.Add(x.Steady)
	n.Health = Health{Release: x.Release, Phase: x.Phase, Since: w.world.Now, Verdict: health.Verdict{Status: health.Passing, Reason: "checks passed"}}
	return true
}

// sense lets a node's sensor work and show nobody but while the node serves, and reports whether that was news.
func (w *ideal) sense(x Sense) bool {
	n := w.index[x.Node]
	if n == nil {
		return false
	}
	known := n.Traffic.Service.Equal(x.Service) && n.Traffic.Sees && n.Traffic.Blind == ""
	n.Traffic = Traffic{Service: x.Service, Sees: true, Others: x.Service.Ports, Quiet: w.world.Now.Add(-time.Hour), At: w.world.Now}
	return !known
}
