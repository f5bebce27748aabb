package sim

import (
	"slices"
	"strings"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler/plan"
)

// fieldLaws are what the laws of field stories remember.
type fieldLaws struct {
	lost    map[string]map[string]bool // digest/retry → machines that used up their attempts at it while it was proven nowhere
	healed  map[placeOf]time.Time      // when a machine was last healthy in a group
	placed  map[placeOf]time.Time      // when it was last in rotation there
	failed  map[string]time.Time       // machine → when it was given up
	vain    map[string]int             // machine → changes of its stage since anything was done to it
	tellers map[string]map[string]bool // machine that is out → those whose records say so
}

// placeOf is a machine's place in a group.
type placeOf struct {
	id    string
	group *group
}

func newFieldLaws() fieldLaws {
	return fieldLaws{
		lost: map[string]map[string]bool{}, tellers: map[string]map[string]bool{}, vain: map[string]int{}, failed: map[string]time.Time{},
		healed: map[placeOf]time.Time{}, placed: map[placeOf]time.Time{},
	}
}

// watch notes who is healthy, and who is in rotation, in each group.
func (l *laws) watch(w *World) {
	for _, g := range w.groups {
		for _, t := range g.history[len(g.history)-1].members {
			if t.Status == actuators.TargetDraining {
				continue
			}
			at := placeOf{t.ID, g}
			l.field.placed[at] = w.now()
			if t.Status == actuators.TargetHealthy {
				l.field.healed[at] = w.now()
			}
		}
	}
}

// fieldWriting is checked before a record is written in a field story.
func (l *laws) fieldWriting(w *World, m *machine, r actuators.NodeRecord) {
	if !w.story.Field.On {
		return
	}
	l.losing(w, m, r)
	l.inVain(w, m, r)
	l.telling(w, m, r)
	if r.Stage == actuators.Failed && m.record.Stage != actuators.Failed {
		l.field.failed[m.id] = w.now()
	}
	resting := m.record.Stage == actuators.Idle && m.record.On.Digest != m.record.Proven.Digest
	switch {
	case resting && r.Stage == actuators.Verified:
		w.saw("let go and baked")
	case r.Stage == actuators.Idle && m.record.Stage != actuators.Idle && r.On.Digest != r.Proven.Digest:
		w.saw("let go unproven")
	}
}

// losing: a version that no machine of the fleet has proven is never excused by a machine: the write that uses up its attempts halts it. No
// more machines are lost to it than may be tried, whatever may be unavailable (law 11).
func (l *laws) losing(w *World, m *machine, r actuators.NodeRecord) {
	t, was := r.Try, m.record.Try
	again := t.Version.Digest == was.Version.Digest && t.Failures <= was.Failures
	if again || t.Failures < w.fleet.Rollout.Attempts || l.proven[t.Version.Digest] {
		return
	}
	name := verdict(t.Version.Digest, t.Retry)
	if l.field.lost[name] == nil {
		l.field.lost[name] = map[string]bool{}
	}
	l.field.lost[name][m.id] = true
	if n, most := len(l.field.lost[name]), w.unprovenLimit(); n > most {
		l.breaks(w, "law 11 lost: %d machines are lost to %s, which is proven nowhere, at most %d may be", n, t.Version.Release, most)
	}
	if !slices.ContainsFunc(r.Halts, func(h actuators.Halt) bool { return verdict(h.Digest, h.Retry) == name }) {
		l.breaks(w, "law 11 excuse: %s fails on %s, is proven nowhere, and is not halted", t.Version.Release, m.name)
	}
	if t.Earlier != "" {
		w.saw("bad fix")
	}
}

// mostVain is how often the stage of a machine may change, one way or back, with nothing done to it in between.
const mostVain = 24

// inVain: a machine is not claimed and let go again for ever: its stage changes so often only while something is done to it.
func (l *laws) inVain(w *World, m *machine, r actuators.NodeRecord) {
	if r.Stage == m.record.Stage {
		return
	}
	if l.field.vain[m.id]++; l.field.vain[m.id] == mostVain {
		l.breaks(w, "law loop: the stage of %s changes %d times and nothing is done to it", m.name, mostVain)
	}
}

// acted notes that something is done to a machine.
func (l *laws) acted(m *machine) { delete(l.field.vain, m.id) }

// telling: what other machines' records say of one that is out goes on being said until it is back, or gone (law 11).
func (l *laws) telling(w *World, m *machine, r actuators.NodeRecord) {
	for id := range l.out {
		says := slices.ContainsFunc(r.Facts, func(f actuators.Fact) bool { return f.Kind == actuators.Away && f.Instance == id })
		told := l.field.tellers[id][m.id]
		switch o := w.machines[id]; {
		case says && !told:
			if l.field.tellers[id] == nil {
				l.field.tellers[id] = map[string]bool{}
			}
			l.field.tellers[id][m.id] = true
		case !says && told:
			delete(l.field.tellers[id], m.id)
			if _, excluded := w.wild.excluded[id]; excluded && !w.unsettled() {
				l.breaks(w, "law 11 away: the record of %s forgets that %s is out by windlass's hand, though it is not back", m.name, o.name)
			}
		}
	}
}

// strays reports whether an excluded machine goes on counting as away: windlass took it out, it is not back, and the record of another that can
// be read says so. In other stories it does not.
func (l *laws) strays(w *World, id string) bool {
	if !w.story.Field.On {
		return false
	}
	for holder := range l.field.tellers[id] {
		o := w.machines[holder]
		_, excluded := w.wild.excluded[holder]
		if o != nil && !o.dead && !o.cut && !excluded && o.record.Instance == o.id {
			return true
		}
	}
	return false
}

// untold: when a machine that stays out as failed is excluded, another's record has said for long that it is out (law 11).
func (l *laws) untold(w *World, m *machine) {
	lately := w.now().Sub(l.field.failed[m.id]) < 2*time.Minute || w.now().Sub(w.field.agent) < 2*time.Minute
	if w.story.Faults == [5]int{} && l.out[m.id] && !lately && !l.strays(w, m.id) {
		l.breaks(w, "law 11 away: %s has failed and stays out by windlass's hand, and no other record says so", m.name)
	}
}

// patience is how long an agent may take what was so a moment ago for what is.
func (w *World) patience() time.Duration { return 60*time.Second + w.story.Lag }

// inGroup is how strong a group is without a machine, as an agent could know it at best: of how many, how many are healthy there, and how many
// are in rotation. Who has left one of its groups, and whose removal is in flight, is none of them.
func (l *laws) inGroup(w *World, g *group, leaving *machine) (size, healthy, members int) {
	lately := func(at time.Time) bool { return !at.IsZero() && w.now().Sub(at) < w.patience() }
	for _, m := range w.sorted() {
		e := g.members[m.id]
		if _, excluded := w.wild.excluded[m.id]; excluded || m.dead && !lately(m.died) {
			continue
		}
		gone := l.out[m.id] && !w.everywhere(m) || m.changing || w.field.pruning == m.id
		if e != nil && e.draining.IsZero() && w.now().Sub(e.since) >= w.patience() || l.out[m.id] && m.recorded(g) {
			size++
		}
		if m == leaving || gone {
			continue
		}
		if lately(l.field.healed[placeOf{m.id, g}]) {
			healthy++
		}
		if lately(l.field.placed[placeOf{m.id, g}]) {
			members++
		}
	}
	return size, healthy, members
}

// everywhere reports whether a machine is in rotation in every group that its record names.
func (w *World) everywhere(m *machine) bool {
	return !slices.ContainsFunc(w.groups, func(g *group) bool { return m.recorded(g) && !w.inRotationOf(m, g) })
}

// grouped: no removal leaves fewer healthy members in a group than may be, and none takes the last one in rotation (law 7).
func (l *laws) grouped(w *World, g *group, m *machine) {
	if !w.story.Field.On {
		return
	}
	size, healthy, members := l.inGroup(w, g, m)
	floor := size - w.fleet.Rollout.MaxUnavailable.Of(size)
	if !w.fleet.Rollout.AllowOutage {
		floor = max(1, floor)
	}
	e := g.members[m.id]
	switch {
	case members == 0 && !w.fleet.Rollout.AllowOutage:
		l.breaks(w, "law 7 group: %s leaves %s, and was the last there", m.name, g.Name)
	case w.status(g, m, e) == actuators.TargetHealthy && healthy < floor:
		l.breaks(w, "law 7 group: %s leaves %s and %d of %d stay healthy there, floor is %d", m.name, g.Name, healthy, size, floor)
	}
}

// mayServe reports whether a machine may get traffic, whatever its balancers say by no fault of its own: it answers, and has for long.
func (w *World) mayServe(m *machine) bool {
	if !w.story.Field.On || m.flaky || m.cut || !w.serves(m) || w.now().Sub(m.since) < w.patience() {
		return false
	}
	for _, g := range w.counted() {
		e := g.members[m.id]
		if e == nil || w.now().Sub(e.since) < w.patience() {
			return false
		}
		switch t := w.target(g, m, e); t.Status {
		case actuators.TargetUnused, actuators.TargetDraining, actuators.TargetInitial:
			return false
		}
	}
	return true
}

// noteRemoval counts what a removal shows.
func (l *laws) noteRemoval(w *World, m *machine) {
	if w.fleet.Rollout.MaxUnavailable.Percent > 0 {
		w.saw("percentage")
	}
	if len(l.out) > 1 {
		w.saw("several at once")
	}
	for id := range l.out {
		if _, excluded := w.wild.excluded[id]; excluded && id != m.id {
			w.saw("strayed one counted")
		}
	}
}

// heard: a fleet whose wanted version was halted says so within a while, and does not say that it waits (law 11).
func (d *director) heard() {
	w := d.world
	if !w.story.Field.On || len(d.agents) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	name := verdict(w.fleet.Digest(desired.DigestAlgorithm), w.fleet.Retry)
	since, halted := w.laws.haltedAt[name]
	lately := func(t time.Time) bool { return w.now().Sub(t) < 3*time.Minute }
	if !halted || lately(since) || lately(w.field.committed) || lately(w.field.agent) || !w.copied(name) {
		return
	}
	fleets := d.agents[0].agent.Snapshot().Fleets
	if len(fleets) == 1 && fleets[0].Phase != plan.PhaseHalted && !strings.Contains(fleets[0].Reason, "under way") {
		w.laws.breaks(w, "law 11 halted: %s was halted, and the fleet is %s: %s", w.fleet.Release, fleets[0].Phase, fleets[0].Reason)
	}
}
