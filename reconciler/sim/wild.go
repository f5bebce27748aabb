package sim

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"windlass/actuators"
	"windlass/desired"
)

// Wild is what happens in a wild story beyond the others. The zero value changes nothing.
type Wild struct {
	On        bool
	Adopt     bool
	Expect    bool          // the file expects as many nodes as there are at first
	Strangers int           // members of the first group that are none of the fleet's nodes
	Prune     bool          // and are to leave
	SlowStart time.Duration // of every group
}

// wildTroubles happen in wild stories, most of them with an end of their own.
var wildTroubles = []string{
	"down", "down", "down", "exclude", "lb", "lb", "release", "clock", "config", "config", "deny register", "deny deregister", "deny run", "deny inventory",
	"vanish", "rename", "flap", "quiet", "putback",
}

// ends names the event that ends another.
var ends = map[string]string{
	"down": "up", "exclude": "include", "release": "return", "deny register": "allow", "deny deregister": "allow", "deny run": "allow", "deny inventory": "allow",
	"vanish": "reappear", "quiet": "loud",
}

// NewWildStory is the story of a seed with more bad luck in it, and with rollouts of every kind.
func NewWildStory(seed uint64) Story {
	s := NewStory(seed)
	r := rand.New(rand.NewPCG(seed, 23))
	s.Wild = Wild{On: true, Adopt: r.IntN(8) > 0, Expect: r.IntN(5) == 0}
	s.Rival = false
	if r.IntN(3) == 0 {
		s.Rollout.MaxUnavailable = desired.Amount{Percent: []int{1, 10, 25, 34, 50, 100}[r.IntN(6)]}
	}
	s.Rollout.AllowOutage = s.Rollout.AllowOutage || r.IntN(5) == 0
	if r.IntN(4) == 0 {
		s.Rollout.Canary = &desired.Canary{Nodes: 1 + r.IntN(8), Bake: time.Duration(r.IntN(25)) * time.Minute}
	}
	if s.Groups > 0 && r.IntN(5) == 0 {
		s.Wild.Strangers, s.Wild.Prune = 1+r.IntN(2), r.IntN(2) == 0
		s.Wild.Expect = s.Wild.Expect || s.Wild.Prune
	}
	if r.IntN(5) == 0 {
		s.Wild.SlowStart = time.Duration(30+r.IntN(700)) * time.Second
	}
	last := s.Events[len(s.Events)-1].At
	for range 1 + r.IntN(4) {
		e := Event{At: time.Duration(r.IntN(int(last + 10*time.Minute))), What: wildTroubles[r.IntN(len(wildTroubles))], Node: r.IntN(s.Nodes)}
		s.Events = append(s.Events, e)
		if end, ends := ends[e.What]; ends {
			s.Events = append(s.Events, Event{At: e.At + time.Duration(20+r.IntN(1500))*time.Second, What: end, Node: e.Node, To: e.What})
		}
	}
	slices.SortStableFunc(s.Events, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
	return s
}

// wild is what wild events have changed in the world.
type wild struct {
	named    []string          // groups the fleet file names
	excluded map[string]string // machine's id → the name it is excluded by
	moved    map[string]time.Time
	released bool
	quietly  time.Time // since when nothing new may begin; zero: it may
	config   int
	expect   int
	denied   map[string]bool
	gone     map[string]bool // groups that are said not to exist
	eased    time.Time       // when calls were allowed again, or groups were found again
}

func newWild(s Story) wild {
	v := wild{excluded: map[string]string{}, moved: map[string]time.Time{}, denied: map[string]bool{}, gone: map[string]bool{}}
	for i := range s.Groups {
		v.named = append(v.named, groupName(i))
	}
	if s.Wild.Expect {
		v.expect = s.Nodes
	}
	return v
}

func groupName(i int) string { return fmt.Sprintf("web-%c", 'a'+i) }

// dress makes a fleet file say what wild events have changed in it.
func (w *World) dress(f *desired.Fleet) {
	if !w.story.Wild.On {
		return
	}
	f.Adopt, f.Nodes.Expect = w.story.Wild.Adopt, w.wild.expect
	f.LoadBalancers = nil
	for i, name := range w.wild.named {
		f.LoadBalancers = append(f.LoadBalancers, desired.LoadBalancer{TargetGroup: name, Prune: i == 0 && w.story.Wild.Prune && f.Nodes.Expect > 0})
	}
	if w.wild.config > 0 {
		f.Configure.Vars = map[string]any{"n": w.wild.config}
	}
	for _, m := range w.sorted() {
		if name, excluded := w.wild.excluded[m.id]; excluded {
			f.Nodes.Exclude = append(f.Nodes.Exclude, desired.Exclusion{Name: name, Reason: "disk swap"})
		}
	}
	f.Nodes.Exclude = append(f.Nodes.Exclude, w.nobodyExcluded()...)
}

// runWild makes a wild event happen; it reports whether it was one, and whether git says something new.
func (w *World) runWild(e Event, m *machine) (wild, commit bool) {
	if ours, commit := w.runField(e, m); ours {
		return true, commit
	}
	switch {
	case e.What == "up", e.What == "down", w.disturb(e, m):
		return true, false
	case !w.edit(e, m):
		return false, false
	}
	w.hush()
	return true, true
}

// edit makes the fleet file say something else, or be gone; it reports whether the event was such a one.
func (w *World) edit(e Event, m *machine) bool {
	v := &w.wild
	switch e.What {
	case "release", "return":
		v.released = e.What == "release"
		return true
	case "exclude":
		if m != nil {
			v.excluded[m.id], v.moved[m.id] = m.name, w.now()
		}
	case "include":
		for id := range v.excluded {
			v.moved[id] = w.now()
		}
		clear(v.excluded)
	case "lb":
		w.rewire(e)
	case "quiet":
		w.pause(&desired.Pause{Reason: "freeze"})
	case "loud":
		w.pause(nil)
	case "config":
		v.config++
	default:
		return false
	}
	w.fleet = w.file(w.fleet.Release)
	return true
}

// disturb changes what is outside git; it reports whether the event was such a one.
func (w *World) disturb(e Event, m *machine) bool {
	v := &w.wild
	switch e.What {
	case "deny register", "deny deregister", "deny run", "deny inventory":
		v.denied[e.What[len("deny "):]] = true
	case "allow":
		delete(v.denied, e.To[len("deny "):])
		v.eased = w.now()
	case "vanish":
		if len(v.named) > 0 {
			v.gone["arn:"+v.named[e.Node%len(v.named)]] = true
		}
	case "reappear":
		clear(v.gone)
		v.eased = w.now()
	case "clock", "rename", "flap", "putback":
		if m != nil {
			w.upset(e.What, m)
		}
	default:
		return false
	}
	return true
}

// upset is what happens to one machine.
func (w *World) upset(what string, m *machine) {
	switch what {
	case "clock":
		m.stepped = w.now()
		m.skew += time.Duration(w.roll("clock").IntN(14_400)-7200) * time.Second
	case "rename":
		m.name += "x"
		if _, excluded := w.wild.excluded[m.id]; excluded {
			delete(w.wild.excluded, m.id) // the file names another
			w.wild.moved[m.id] = w.now()
		}
	case "putback": // somebody registers it, whatever goes on there
		for _, g := range w.counted() {
			if e := g.members[m.id]; e == nil || !e.draining.IsZero() {
				m.putBack, m.byHand = w.now(), true
				w.register(g, m, w.asBefore(g, m))
			}
		}
	case "flap":
		m.flapped = w.now().Add(time.Duration(20+w.roll("flap").IntN(300)) * time.Second)
		m.flaky = true
	}
}

// asBefore is where a machine was in the group, as far as anybody wrote it down, or else the group's default.
func (w *World) asBefore(g *group, m *machine) actuators.Membership {
	place := actuators.Membership{Group: g.ID, ID: m.id, Port: g.port}
	for _, was := range slices.Concat(m.record.Taken, m.record.Places) {
		if was.Group == g.ID && was.ID == m.id {
			place = was
			break
		}
	}
	w.laws.original[m.id+g.ID] = place.String()
	return place
}

// hush notes since when nothing new may begin.
func (w *World) hush() {
	quiet := w.fleet.Paused != nil || w.wild.released
	switch {
	case !quiet:
		w.wild.quietly = time.Time{}
	case w.wild.quietly.IsZero():
		w.wild.quietly = w.now()
	}
}

// rewire adds a load balancer to the file, takes one out, or replaces one.
func (w *World) rewire(e Event) {
	v := &w.wild
	if len(v.named) == 0 {
		return
	}
	at := e.Node % len(v.named)
	spare := slices.IndexFunc(w.groups, func(g *group) bool { return !slices.Contains(v.named, g.Name) })
	out := v.named[at]
	switch w.roll("lb").IntN(3) {
	case 0: // add
		if spare >= 0 {
			v.named = append(slices.Clone(v.named), w.groups[spare].Name)
		}
		return
	case 1: // replace
		if spare < 0 {
			return
		}
		v.named = slices.Clone(v.named)
		v.named[at] = w.groups[spare].Name
	case 2: // remove
		if len(v.named) < 2 {
			return
		}
		v.named = slices.Delete(slices.Clone(v.named), at, at+1)
	}
	for id := range w.machines {
		delete(w.laws.original, id+"arn:"+out)
	}
}

// counted are the groups that decide who is in service: those the file names.
func (w *World) counted() []*group {
	if !w.story.Wild.On {
		return w.groups
	}
	return slices.DeleteFunc(slices.Clone(w.groups), func(g *group) bool { return !slices.Contains(w.wild.named, g.Name) })
}

// wildCalm ends what wild events began.
func (w *World) wildCalm() {
	w.wild.quietly = time.Time{}
	if !w.story.Wild.On {
		return
	}
	for id := range w.wild.excluded {
		w.wild.moved[id] = w.now()
	}
	clear(w.wild.excluded)
	clear(w.wild.denied)
	clear(w.wild.gone)
	w.wild.released = false
	if w.wild.expect > 0 {
		w.wild.expect = len(w.alive())
	}
	for _, m := range w.machines {
		m.flapped = time.Time{}
	}
}

var errDenied = errors.New("AccessDenied")

// deny refuses calls of a kind while they are denied.
func (w *World) deny(kind string) error {
	if w.wild.denied[kind] {
		return errDenied
	}
	return nil
}

// flapping reports whether the balancers find the machine unhealthy at this very moment.
func (w *World) flapping(m *machine) bool {
	return w.now().Before(m.flapped) && w.now().Unix()/4%2 == 0
}

// grace is how long what an agent began before it could know better may go on.
const grace = time.Minute

// alone: a machine that is excluded is left alone.
func (l *laws) alone(w *World, m *machine, what string) {
	if _, excluded := w.wild.excluded[m.id]; excluded && w.now().Sub(w.wild.moved[m.id]) > grace {
		l.breaks(w, "law exclude: %s on %s, which is excluded", what, m.name)
	}
}

// quiet: nothing new begins while the fleet is paused or released (law 11). Released, what is under way is finished with the newest version.
func (l *laws) quiet(w *World, m *machine, r actuators.NodeRecord) {
	if w.wild.quietly.IsZero() || w.now().Sub(w.wild.quietly) < grace {
		return
	}
	switch {
	case !m.record.UnderWay() && r.UnderWay():
		l.breaks(w, "law 11 quiet: %s sets out (%s) while the fleet is paused or released", m.name, r.Stage)
	case w.fleet.Paused != nil && r.Stage == actuators.Configuring && m.record.Stage == actuators.Configuring && r.On.Digest != m.record.On.Digest:
		l.breaks(w, "law 11 quiet: %s gets %s instead of %s while the fleet is paused", m.name, r.On.Release, m.record.On.Release)
	}
}

// blames: an attempt at a release that is good, on a machine that is well, is used up by nothing.
func (l *laws) blames(w *World, m *machine, r actuators.NodeRecord) {
	release := r.Try.Version.Release
	if !w.story.Wild.On || m.sick || m.flaky || w.story.Releases[release] != Good {
		return
	}
	lucky := w.story.Faults == [5]int{} || strings.HasPrefix(r.Try.Error, "not in service")
	if lucky && r.Try.Failures > m.record.Try.Failures && m.record.Try.Version.Digest == r.Try.Version.Digest {
		l.breaks(w, "law 11 blame: %s is good, and an attempt is used up on %s: %s", release, m.name, r.Try.Error)
	}
}

// innocent: a good release is not halted but for lack of progress.
func (l *laws) innocent(w *World, h actuators.Halt) {
	// for another node, which cannot leave or return either, or for one that nobody reaches
	waited := strings.Contains(h.Reason, "hold: ") && !strings.Contains(h.Reason, "by no fault of its own") || strings.Contains(h.Reason, "is unreachable: ")
	if w.story.Faults != [5]int{} && !strings.HasPrefix(h.Reason, "no") || waited {
		return
	}
	if !w.story.Wild.On || w.story.Releases[h.Release] != Good {
		return
	}
	for _, m := range w.machines {
		if m.sick || m.flaky || m.cut {
			return
		}
	}
	eased := !w.wild.eased.IsZero() && w.now().Sub(w.wild.eased) < w.fleet.Rollout.ProgressDeadline // what was refused until then made no progress
	if len(w.wild.denied)+len(w.wild.gone)+len(w.field.denied) == 0 && !eased {
		l.breaks(w, "law 11 innocent: %s is good, and is halted: %s", h.Release, h.Reason)
	}
}

// pruning is checked before a target that is no node of the fleet leaves.
func (l *laws) pruning(w *World, g *group, m *machine) {
	size, others := l.strength(w, m)
	floor := size - w.fleet.Rollout.MaxUnavailable.Of(size)
	switch {
	case !w.story.Wild.Prune:
		l.breaks(w, "law prune: %s leaves %s, and nobody asked for it", m.name, g.Name)
	case w.misses():
		l.breaks(w, "law prune: %s leaves %s with fewer nodes than expected", m.name, g.Name)
	case others < floor-1:
		l.breaks(w, "law 9: %s is pruned and %d of %d stay in service, floor is %d", m.name, others, size, floor)
	}
}

// expected: nobody leaves while fewer nodes are found than expected.
func (l *laws) expected(w *World, m *machine) {
	if w.story.Wild.On && w.misses() {
		l.breaks(w, "law expect: %s leaves with %d of %d found", m.name, len(w.alive()), w.fleet.Nodes.Expect)
	}
}

// misses reports whether fewer nodes are found than expected, for longer than an agent takes to notice. A node that is excluded and not
// found is not missed.
func (w *World) misses() bool {
	found := len(w.alive())
	for _, e := range w.fleet.Nodes.Exclude {
		if !slices.Contains(w.field.nobody, e.Name) && !slices.ContainsFunc(w.alive(), func(o *machine) bool { return o.name == e.Name }) {
			found++
		}
	}
	for _, o := range w.machines {
		if o.dead && w.now().Sub(o.died) < 2*time.Minute || w.now().Sub(w.wild.moved[o.id]) < 2*time.Minute {
			return false
		}
	}
	return w.fleet.Nodes.Expect > found
}

// missing: nobody leaves while a group that the file names is said not to exist (law 1).
func (l *laws) missing(w *World, p *ports, m *machine) {
	for id, gone := range w.wild.gone {
		if gone && slices.ContainsFunc(w.wild.named, func(name string) bool { return "arn:"+name == id }) && p.missed[id] {
			l.breaks(w, "law 1: %s leaves while %s is said not to exist", m.name, id)
		}
	}
}

// unsettled reports whether a machine was excluded, or came back, a moment ago, so that an agent may still count as before.
func (w *World) unsettled() bool {
	for _, at := range w.wild.moved {
		if w.now().Sub(at) < 90*time.Second {
			return true
		}
	}
	return false
}

// unpruned says which stranger should have left its group. Nobody leaves a fleet whose release fades.
func (w *World) unpruned() string {
	if w.story.Releases[w.fleet.Release] == Fades {
		return ""
	}
	prunes := w.story.Wild.Prune && w.fleet.Nodes.Expect > 0 && len(w.groups) > 0 && slices.Contains(w.wild.named[:1], w.groups[0].Name)
	for _, m := range w.sorted() {
		if m.record.Stage == actuators.Failed && !m.dead {
			return "" // who is out as failed uses up what may be away
		}
		if prunes && m.foreign && w.groups[0].members[m.id] != nil {
			return m.name + " was not pruned"
		}
	}
	return ""
}

// largest is the size that an agent may take a wild fleet for: machines that came or went a moment ago count, as do strangers.
func (w *World) largest() int {
	n := 0
	for _, m := range w.sorted() {
		if w.story.Wild.On && (!m.dead || w.now().Sub(m.died) < 2*time.Minute) {
			n++
		}
	}
	return max(n, w.wild.expect)
}
