package sim

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"windlass/actuators"
	"windlass/desired"
)

// World is everything outside the agent. Its lock is held during each effect, so that effects happen one after another.
type World struct {
	mu       sync.Mutex
	seed     uint64
	calls    map[string]int
	total    int
	struck   chan struct{} // one for each agent killed by a strike
	story    Story
	calm     bool // faults are over
	machines map[string]*machine
	order    []*machine // all of them, as they were last sorted
	groups   []*group
	fleet    *desired.Fleet // the newest commit
	laws     *laws
	running  sync.WaitGroup // jobs on machines
	end      context.Context
	log      []string
	wild     wild
	field    field
	gates    gates
}

// A machine is a server of the fleet.
type machine struct {
	name, id, zone string
	skew           time.Duration // its clock, against the agent's
	dead           bool          // terminated: it is in no list and answers nothing
	cut            bool          // its SSH does not answer; it serves on
	sickened       time.Time     // when it fell sick
	sick           bool          // nothing that is installed there ever passes its checks
	installed      string        // release that is on it
	digest         string        // configuration that is on it
	since          time.Time     // when that was installed
	changing       bool          // activate steps run: it does not serve
	record         actuators.NodeRecord
	version        string
	job            actuators.JobState
	ends           chan struct{} // closed when the job ends
	gauge          time.Time     // when it last served
	haunted        bool          // somebody keeps installing something else there
	foreign        bool          // a member of a group that is no node of the fleet
	flaky          bool          // its balancers found it unhealthy for no reason at some time
	flapped        time.Time     // until when they do, now and then
	died           time.Time
	stepped        time.Time // when its clock did
	putBack        time.Time // when somebody registered it by hand
	byHand         bool      // and it was not taken out since
	sensor         sensor
	departures     map[string]departure // by group, of the newest time that it left it
}

// A group is a target group.
type group struct {
	actuators.Group
	kind    Kind
	port    int
	delay   time.Duration
	members map[string]*member // by machine id
	history []snapshot         // for readings that lag
	looked  time.Time          // when the newest of them was the truth
}

// A member is a target of a group.
type member struct {
	place    actuators.Membership
	since    time.Time // registered
	settles  time.Duration
	draining time.Time // zero: it is not
}

type snapshot struct {
	at      time.Time
	members []actuators.Target
}

// now is the virtual time.
func (w *World) now() time.Time { return time.Now() }

// roll gives the randomness of one call: a function of the seed, the call's name, and how many of that name there were.
func (w *World) roll(name string) *rand.Rand {
	w.calls[name]++
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s %d", w.seed, name, w.calls[name])
	return rand.New(rand.NewPCG(w.seed, h.Sum64()))
}

// serves reports whether a machine's service would pass its checks.
func (w *World) serves(m *machine) bool {
	if m.dead || m.changing || m.sick || m.installed == "" {
		return false
	}
	switch w.story.Releases[m.installed] {
	case Broken, Explodes:
		return false
	case Fades:
		return w.now().Sub(m.since) < 20*time.Second
	}
	return true
}

// status is what a group truly holds of a member.
func (w *World) status(g *group, m *machine, e *member) actuators.TargetStatus {
	if s := w.saidOf(g, m); s != nil {
		return s.word(w.answer(g, m, e))
	}
	return w.answer(g, m, e)
}

// answer is what a group finds a member to be by its own checks.
func (w *World) answer(g *group, m *machine, e *member) actuators.TargetStatus {
	now := w.now()
	switch {
	case !e.draining.IsZero():
		return actuators.TargetDraining
	case now.Sub(e.since) < e.settles:
		return actuators.TargetInitial
	case w.flapping(m):
		return actuators.TargetUnhealthy
	case w.serves(m) && now.Sub(e.since) < e.settles+w.story.Wild.SlowStart:
		return actuators.TargetRamping
	case w.serves(m):
		return actuators.TargetHealthy
	}
	return actuators.TargetUnhealthy
}

// settle lets what time alone brings happen: drains end.
func (w *World) settle() {
	now := w.now()
	for _, g := range w.groups {
		for id, e := range g.members {
			if !e.draining.IsZero() && now.Sub(e.draining) >= g.delay {
				w.drainEnds(g, id)
				delete(g.members, id)
			}
		}
	}
	for _, m := range w.machines {
		if m.haunted && m.record.Stage == actuators.Idle && w.serves(m) && now.Sub(m.since) > time.Minute {
			m.installed, m.digest = handMade, ""
		}
		if w.inService(m) {
			m.gauge = now
		}
	}
	for _, g := range w.groups {
		g.remember(w)
	}
	if w.story.Field.On {
		w.laws.watch(w)
	}
}

// inService reports whether traffic reaches the machine and is answered.
func (w *World) inService(m *machine) bool {
	if !w.serves(m) {
		return false
	}
	if m.foreign {
		e := w.groups[0].members[m.id]
		return e != nil && w.status(w.groups[0], m, e) == actuators.TargetHealthy
	}
	for _, g := range w.counted() {
		e := g.members[m.id]
		if e == nil && w.newTo(m, g) {
			continue
		}
		if e == nil || w.wild.gone[g.ID] || w.status(g, m, e) != actuators.TargetHealthy {
			return false
		}
	}
	return true
}

// newTo reports whether a machine that lacks what is wanted, as far as is known, and serves elsewhere, never had a place in the group.
func (w *World) newTo(m *machine, g *group) bool {
	wanted := w.fleet.Digest(desired.DigestAlgorithm)
	known := m.digest == wanted && m.record.On.Digest == wanted && m.record.Instance == m.id
	return w.story.Wild.On && !known && w.inRotation(m) && !m.recorded(g)
}

// recorded reports whether the machine's record says that it was in the group.
func (m *machine) recorded(g *group) bool {
	here := func(p actuators.Membership) bool { return p.Group == g.ID }
	return slices.ContainsFunc(m.record.Places, here) || slices.ContainsFunc(m.record.Taken, here)
}

// inRotation reports whether some group may send the machine traffic.
func (w *World) inRotation(m *machine) bool {
	return slices.ContainsFunc(w.groups, func(g *group) bool { return w.inRotationOf(m, g) })
}

func (w *World) inRotationOf(m *machine, g *group) bool {
	e := g.members[m.id]
	return e != nil && e.draining.IsZero()
}

// targets is a truthful reading of a group.
func (w *World) targets(g *group) []actuators.Target {
	var out []actuators.Target
	for id, e := range g.members {
		out = append(out, w.target(g, w.machines[id], e))
	}
	slices.SortFunc(out, func(a, b actuators.Target) int { return a.Membership.Compare(b.Membership) })
	return out
}

// sorted are all machines there ever were, by id.
func (w *World) sorted() []*machine {
	if len(w.order) != len(w.machines) {
		w.order = slices.SortedFunc(maps.Values(w.machines), func(a, b *machine) int { return cmp.Compare(a.id, b.id) })
	}
	return slices.Clone(w.order)
}

// alive are the machines an inventory would list.
func (w *World) alive() []*machine {
	return slices.DeleteFunc(w.sorted(), func(m *machine) bool { return m.dead || m.foreign })
}

// register puts a machine into a group.
func (w *World) register(g *group, m *machine, place actuators.Membership) {
	if e := g.members[m.id]; e != nil && e.draining.IsZero() {
		return
	}
	delete(m.departures, g.ID)
	settles := time.Second + time.Duration(w.roll("settles/"+g.ID+m.id).IntN(8000))*time.Millisecond
	g.members[m.id] = &member{place: place, since: w.now(), settles: settles}
}

// seconds is a machine's clock.
func (w *World) clock(m *machine) time.Time { return w.now().Add(m.skew) }

// tell writes a line of the story, for people who look into a seed.
func (w *World) tell(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%10s  ", w.now().Sub(Epoch).Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

// Epoch is when every bubble's clock begins.
var Epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
