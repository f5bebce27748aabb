package sim

import (
	"fmt"
	"slices"
	"time"

	"windlass/actuators"
)

// laws watch over what an agent does. Each broken law is kept with the instant it was broken at.
type laws struct {
	broken   []string
	proven   map[string]bool            // digests proven on this fleet
	halted   map[string]map[string]bool // digest/retry → machines that were under way when it was halted
	haltedAt map[string]time.Time
	out      map[string]bool            // machines taken out by an agent and not back in service yet
	back     map[string]time.Time       // when they were in service again
	attempts map[string]map[string]bool // machine/digest/retry/journey → job keys
	repairs  map[string]repairs         // machine → those of it
	original map[string]string          // machine/group → its place before anybody touched it
	born     map[string]time.Time       // machine → when it appeared
	field    fieldLaws
	words    map[string][]word // by agent and gate
	moments  []moment          // how the records stood, of a fleet that another one waits for
	rivals   int               // other agents that may each take one node too (law 18)
}

func newLaws() *laws {
	return &laws{
		proven: map[string]bool{}, halted: map[string]map[string]bool{}, out: map[string]bool{}, back: map[string]time.Time{},
		attempts: map[string]map[string]bool{}, haltedAt: map[string]time.Time{}, repairs: map[string]repairs{}, original: map[string]string{}, born: map[string]time.Time{},
		field: newFieldLaws(), words: map[string][]word{},
	}
}

func (l *laws) breaks(w *World, format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	w.tell("BROKEN: %s", what)
	l.broken = append(l.broken, what)
}

// check looks at the world after an effect.
func (l *laws) check(w *World) {
	l.note(w)
	for id := range l.out {
		_, excluded := w.wild.excluded[id]
		if m := w.machines[id]; excluded && !l.strays(w, id) || m == nil || m.dead || w.inService(m) {
			delete(l.out, id)
			l.back[id] = w.now()
		}
	}
	unproven := map[string]int{}
	for _, m := range w.alive() {
		moved, was := w.wild.moved[m.id]
		if _, excluded := w.wild.excluded[m.id]; excluded || was && (m.since.Before(moved) || w.now().Sub(moved) < 30*time.Minute) {
			continue // what an excluded machine serves counts for nothing, nor what it brings back
		}
		known := slices.ContainsFunc(w.groups, func(g *group) bool { return w.inRotationOf(m, g) && w.knows(m, g) })
		if known && !m.byHand && m.digest != "" && !l.proven[m.digest] {
			unproven[m.digest]++
		}
	}
	for digest, n := range unproven {
		if most := w.unprovenLimit(); n > most {
			l.breaks(w, "law 8: %d machines serve %s unproven, at most %d may", n, digest, most)
		}
	}
}

func (w *World) unprovenLimit() int {
	if c := w.fleet.Rollout.Canary; c != nil {
		return c.Nodes * (1 + w.laws.rivals)
	}
	return 1 + w.laws.rivals
}

// claims: who changes a machine's place must hold its claim (law 18).
func (l *laws) claims(w *World, p *ports, m *machine, what string) {
	c := m.record.Claim
	switch {
	case c == nil || c.Nonce != p.nonce:
		l.breaks(w, "law 18: %s %s without its claim", what, m.name)
	case !w.clock(m).Before(c.Expires) && (m.stepped.IsZero() || w.now().Sub(m.stepped) > time.Minute):
		l.breaks(w, "law 18: %s %s %s after its claim expired", what, m.name, w.clock(m).Sub(c.Expires))
	}
}

// mostAge is how old a reading may be when a removal is asked for: time enough to renew a claim in between.
const mostAge = 16 * time.Second

// removing is checked before a target leaves.
func (l *laws) removing(w *World, p *ports, g *group, place actuators.Membership, asked time.Time) {
	m := w.machines[place.ID]
	if m == nil || m.dead {
		return
	}
	if m.foreign {
		l.pruning(w, g, m)
		return
	}
	l.alone(w, m, "deregister")
	l.expected(w, m)
	l.missing(w, p, m)
	l.claims(w, p, m, "removes")
	if age := asked.Sub(p.read[g.ID]); age > mostAge {
		l.breaks(w, "law 9: %s leaves %s on a reading of %s ago", m.name, g.Name, age)
	}
	taken := false
	for _, t := range m.record.Taken {
		taken = taken || t == place
	}
	if !taken {
		l.breaks(w, "law 17: %s leaves %s and its record does not say so", m.name, g.Name)
	}
	if w.unsettled() {
		return
	}
	size, others := l.strength(w, m)
	most := w.fleet.Rollout.MaxUnavailable.Of(max(size, w.largest())) * (1 + l.rivals)
	floor := size - most
	if !w.fleet.Rollout.AllowOutage && l.rivals == 0 {
		floor = max(1, floor)
	}
	if flapped := w.now().Before(m.flapped.Add(w.story.Lag)); (w.inService(m) || w.mayServe(m)) && !flapped && others < floor {
		l.breaks(w, "law 9: %s leaves and %d of %d stay in service, floor is %d", m.name, others, size, floor)
	}
	l.grouped(w, g, m)
	l.out[m.id] = true
	l.noteRemoval(w, m)
	n, baking := l.away(w, m), l.baking(w, m)
	switch {
	case n > most:
		l.breaks(w, "law 7: %d machines out by windlass's hand, at most %d may be", n, most)
	case n+baking > most:
		l.breaks(w, "law 16: %s leaves while %d others have not baked, and %d are out; at most %d may be", m.name, baking, n-1, most)
	}
}

// baking counts the machines that are back in service and have not proven themselves there for as long as the fleet file asks (law 16).
func (l *laws) baking(w *World, leaving *machine) int {
	n := 0
	for id, at := range l.back {
		m := w.machines[id]
		if m == nil || m == leaving || m.dead || l.out[id] || m.record.Stage != actuators.Verified {
			continue
		}
		again := m.record.Proven.Digest == m.record.On.Digest || m.record.Previous.Digest == m.record.On.Digest
		if !again && w.now().Sub(at) < w.fleet.Rollout.Bake {
			n++
		}
	}
	return n
}

// away counts the machines that are out, with the one that leaves. Another that failed after it was given back is a member until it leaves,
// as is one that was given back and cannot be read any more.
func (l *laws) away(w *World, leaving *machine) int {
	n := 0
	for id := range l.out {
		if m := w.machines[id]; m == leaving || !w.inRotation(m) || !m.record.Spoiled && !m.cut {
			n++
		}
	}
	return n
}

// strength is the fleet's size and how many others serve, as an agent could know it: a machine that appeared or went a
// moment ago may still be missing from, or in, what it read.
func (l *laws) strength(w *World, leaving *machine) (size, others int) {
	patience := w.patience()
	for _, m := range w.sorted() {
		recent := w.now().Sub(m.gauge) < patience && !m.gauge.IsZero()
		if _, excluded := w.wild.excluded[m.id]; excluded {
			continue
		}
		if m != leaving && recent && !l.out[m.id] && !m.changing && w.field.pruning != m.id {
			others++
		}
		if !m.dead && w.now().Sub(l.born[m.id]) >= patience && (!m.foreign || w.groups[0].members[m.id] != nil) {
			size++
		}
	}
	return size, others
}

// adding is checked before a target joins.
func (l *laws) adding(w *World, p *ports, g *group, m *machine, place actuators.Membership) {
	l.claims(w, p, m, "adds")
	switch {
	case m.changing:
		l.breaks(w, "law 16: %s joins while steps run on it", m.name)
	case m.record.Stage == actuators.Leaving && !m.record.Spoiled && m.record.On.Digest == m.record.Proven.Digest: // not changed yet, it goes straight back (law 10)
	case m.sick && w.now().Sub(m.sickened) > time.Minute || w.story.Releases[m.installed] == Broken || w.story.Releases[m.installed] == Explodes:
		l.breaks(w, "law 16: %s joins with %s, which passes no check", m.name, m.installed)
	}
	key := m.id + g.ID
	if was := l.original[key]; was == "" {
		l.original[key] = place.String()
	} else if was != place.String() && (w.story.Wild.Adopt || !w.story.Wild.On) { // without adoption nobody has written down where it was
		l.breaks(w, "law 17: %s was %s and joins as %s", m.name, was, place)
	}
}

// installing is checked before activate steps start.
func (l *laws) installing(w *World, p *ports, m *machine, r run) {
	for _, g := range w.groups {
		unseen := r.asked.Sub(m.putBack) < 3*time.Second+w.story.Lag
		e := g.members[m.id]
		if e != nil && (!w.story.Traffic.On || e.draining.IsZero()) && w.knows(m, g) && !unseen {
			l.breaks(w, "law 9: steps start on %s while it is in %s", m.name, g.Name)
		}
	}
	l.disturbed(w, m)
	try := m.record.Try
	verdict := verdict(try.Version.Digest, try.Retry)
	if under, halted := l.halted[verdict]; halted && !under[m.id] && r.asked.After(l.haltedAt[verdict]) && (p.halts[verdict] || w.copied(verdict)) {
		l.breaks(w, "law 11: %s gets %s, which was halted", m.name, try.Version.Release)
	}
	l.attempt(w, m, try, r.job.Key)
}

// attempt counts one attempt, by its name.
func (l *laws) attempt(w *World, m *machine, try actuators.Try, name string) {
	key := journey(m, try)
	if l.attempts[key] == nil {
		l.attempts[key] = map[string]bool{}
		l.repairing(w, m, try)
	}
	l.attempts[key][name] = true
	if n, most := len(l.attempts[key]), w.fleet.Rollout.Attempts; n > most {
		l.breaks(w, "law 11: attempt %d at %s on %s, at most %d are made", n, try.Version.Release, m.name, most)
	}
}

// knows reports whether an agent can know that the machine may be in the group: the file names it, or the machine's record does. A group
// that only records name and that is said not to exist was deleted.
func (w *World) knows(m *machine, g *group) bool {
	return slices.Contains(w.counted(), g) || !w.wild.gone[g.ID] && m.recorded(g)
}

// mostRepairs is how often what was proven may be put back on one machine within an hour: when it is superseded, when it drifts, and after
// 5, 10 and 20 minutes.
const mostRepairs = 5

// repairing is checked when a journey begins that may put back what was proven on a machine already (G20). A journey to another
// version in between is no repair, and what follows it is counted anew.
func (l *laws) repairing(w *World, m *machine, t actuators.Try) {
	r, now := l.repairs[m.id], w.now()
	if r.digest != t.Version.Digest {
		r = repairs{digest: t.Version.Digest}
	}
	if m.record.Proven.Digest == t.Version.Digest {
		r.at = append(r.at, now)
	}
	l.repairs[m.id] = r
	if n := len(r.at); n > mostRepairs && now.Sub(r.at[n-1-mostRepairs]) < time.Hour {
		l.breaks(w, "G20: %s gets %s back %d times within an hour", m.name, t.Version.Release, mostRepairs+1)
	}
}

// repairs are those of one machine to one version.
type repairs struct {
	digest string
	at     []time.Time
}

// journey names one machine's way to one version.
func journey(m *machine, t actuators.Try) string {
	return fmt.Sprint(m.id, "/", t.Version.Digest, "/", t.Retry, "/", t.ID)
}

// writing is checked before a record is written.
func (l *laws) writing(w *World, p *ports, m *machine, r actuators.NodeRecord) {
	if c := m.record.Claim; c != nil && c.Holder != p.holder && w.clock(m).Before(c.Expires) && m.record.Instance == m.id {
		l.breaks(w, "law 18: %s writes to %s under the live claim of %s", p.holder, m.name, c.Holder)
	}
	if r.Instance != m.id {
		l.breaks(w, "law 4: the record of %s names %s", m.name, r.Instance)
	}
	if m.record.Stage == actuators.Idle && r.Stage == actuators.Verified && r.On.Digest != r.Proven.Digest {
		l.attempt(w, m, r.Try, "bake") // of what was let go before it had baked
	}
	if made := len(l.attempts[journey(m, r.Try)]); r.Try.Failures > max(made, m.record.Try.Failures) {
		l.breaks(w, "law 11: %d attempts at %s used up on %s, and %d made", r.Try.Failures, r.Try.Version.Release, m.name, made)
	}
	for _, h := range r.Halts {
		l.halt(w, h)
	}
	if r.Stage == actuators.Idle && m.record.Stage == actuators.Leaving && w.inRotation(m) {
		delete(l.out, m.id) // let go where it is: a member, well or not
	}
	if r.Stage == actuators.Idle && r.Proven.Digest != "" && r.Proven == r.On {
		l.prove(w, m, r)
	}
}

// verdict names a halt: it binds one digest at one retry count.
func verdict(digest string, retry int) string { return fmt.Sprint(digest, "/", retry) }

// copied reports whether a record that can be read has the verdict. Where none has, only an agent that saw it can know.
func (w *World) copied(name string) bool {
	for _, m := range w.alive() {
		for _, h := range m.record.Halts {
			if !m.cut && m.record.Instance == m.id && verdict(h.Digest, h.Retry) == name {
				return true
			}
		}
	}
	return false
}

func (l *laws) halt(w *World, h actuators.Halt) {
	verdict := verdict(h.Digest, h.Retry)
	if l.halted[verdict] != nil {
		return
	}
	l.halted[verdict], l.haltedAt[verdict] = map[string]bool{}, w.now()
	for _, m := range w.alive() {
		if m.record.UnderWay() || m.job.Running {
			l.halted[verdict][m.id] = true
		}
	}
	l.innocent(w, h)
	w.tell("halt of %s, found on %s: %s", h.Release, h.Node, h.Reason)
}

func (l *laws) prove(w *World, m *machine, r actuators.NodeRecord) {
	if m.installed != r.Proven.Release && m.installed != handMade {
		l.breaks(w, "law 16: %s is recorded with %s and has %s", m.name, r.Proven.Release, m.installed)
	}
	if kind := w.story.Releases[m.installed]; kind == Broken || kind == Explodes {
		l.breaks(w, "law 16: %s is proven with %s, which passes no check", m.name, m.installed)
	}
	l.proven[r.Proven.Digest] = true
	if m.digest == "" {
		m.digest = r.Proven.Digest
	}
}
