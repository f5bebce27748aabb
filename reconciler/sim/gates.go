package sim

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler/plan"
)

// Gates are what two gates say in a story: windows, which hold each next node while they are closed, and checks of releases, which hold
// the first.
type Gates struct {
	On     bool
	Closed []Span                   // of the windows, from the story's begin, in order
	Green  map[string]time.Duration // release → how long after its commit its checks pass; negative: never
	Stay   bool                     // the windows stay closed in the end: what is wanted then was proven before
}

// A Span is from one instant of a story until before another.
type Span struct{ From, To time.Duration }

// NewGatedStory makes the story of a seed with gates.
func NewGatedStory(seed uint64) Story {
	s := NewStory(seed)
	r := rand.New(rand.NewPCG(seed, 11))
	g := Gates{On: true, Green: map[string]time.Duration{}}
	for at := time.Duration(r.IntN(240)) * time.Second; len(g.Closed) < 1+r.IntN(5); {
		to := at + time.Duration(1+r.IntN(400))*time.Second
		g.Closed = append(g.Closed, Span{at, to})
		at = to + time.Duration(1+r.IntN(300))*time.Second
	}
	for _, release := range []string{"v1", "v2", "v3", "v4", "v5"} {
		g.Green[release] = []time.Duration{0, 0, time.Duration(r.IntN(300)) * time.Second, -1}[r.IntN(4)]
	}
	harmless := []string{"commit", "kill", "stop", "pause", "cut"}
	stranger := func(e Event) bool { return !slices.Contains(harmless, e.What) }
	if g.Stay = s.Last == "v1" && s.Recorded && !s.Rival && !slices.ContainsFunc(s.Events, stranger); g.Stay {
		g.closeFrom(s.Events[len(s.Events)-1].At)
	}
	s.Gates = g
	return s
}

// closeFrom has the windows closed from an instant on.
func (g *Gates) closeFrom(at time.Duration) {
	g.Closed = slices.DeleteFunc(g.Closed, func(s Span) bool { return s.To >= at })
	g.Closed = append(g.Closed, Span{at, 24 * time.Hour})
}

// gates is what the world knows of them.
type gates struct {
	began     time.Time
	committed time.Time // the newest commit
}

// gateNames are the gates of every gated fleet.
var gateNames = [...]string{"windows", "checks"}

// A gatekeeper reads one of them for an agent.
type gatekeeper struct {
	*ports
	name string
}

// Gate is the gate as a fleet has it.
func (k gatekeeper) Gate(*desired.Fleet) (plan.Gate, bool) {
	g := plan.Gate{Name: k.name}
	if k.name == "checks" {
		g.Stops = plan.StopsStart
	}
	return g, true
}

// Read is what the gate says of what is wanted; now and then, of something else.
func (k gatekeeper) Read(ctx context.Context, want plan.Want) (g plan.Gate, err error) {
	err = k.call(ctx, "gate/"+k.name, func() error {
		w := k.world
		g = w.gate(k.name, want)
		if !w.calm && w.roll("gate lies").IntN(8) == 0 {
			g = plan.Gate{State: plan.GateOpen, Digest: "another", Reason: "green"}
		}
		w.laws.told(k.ports, k.name, g, w.now())
		return nil
	})
	if err != nil {
		return plan.Gate{}, err
	}
	return g, nil
}

// gate is what a gate says of what is wanted.
func (w *World) gate(name string, want plan.Want) plan.Gate {
	if name == "windows" {
		return w.windows()
	}
	g := plan.Gate{Digest: want.Version.Digest, State: plan.GateOpen, Reason: "green"}
	after := w.story.Gates.Green[want.Version.Release]
	at := w.gates.committed.Add(after)
	switch {
	case w.calm:
	case after < 0:
		g.State, g.Reason = plan.GateShut, "red"
	case w.now().Before(at):
		g.State, g.Reason = plan.GateWait, "pending"
	}
	return g
}

// windows is what the windows say now, and until when.
func (w *World) windows() plan.Gate {
	if w.calm && w.story.Gates.Stay {
		return plan.Gate{State: plan.GateWait, Reason: "closed"}
	}
	if w.calm {
		return plan.Gate{State: plan.GateOpen, Reason: "open"}
	}
	at := w.now().Sub(w.gates.began)
	for _, s := range w.story.Gates.Closed {
		switch {
		case at < s.From:
			return plan.Gate{State: plan.GateOpen, Reason: "open", Until: w.gates.began.Add(s.From)}
		case at < s.To:
			return plan.Gate{State: plan.GateWait, Reason: "closed", Until: w.gates.began.Add(s.To)}
		}
	}
	return plan.Gate{State: plan.GateOpen, Reason: "open"}
}

// A word is what a gate said to an agent.
type word struct {
	plan.Gate
	at time.Time
}

// told notes what a gate says to an agent.
func (l *laws) told(p *ports, name string, g plan.Gate, now time.Time) {
	key := p.nonce + "/" + name
	l.words[key] = append(l.words[key], word{g, now})
}

// wordTravels is how long what an agent is told, and what it begins, may be on their way.
const wordTravels = 30 * time.Second

// let reports whether a gate lets an agent begin with a version: it was told so of just that version, not too long ago, and nothing else since.
func (l *laws) let(w *World, p *ports, name, digest string) bool {
	words := l.words[p.nonce+"/"+name]
	for i := len(words) - 1; i >= 0; i-- {
		g := words[i]
		about := g.Digest == "" || g.Digest == digest
		if about && g.State == plan.GateOpen && (g.Until.IsZero() || w.now().Before(g.Until.Add(wordTravels))) {
			return true
		}
		if w.now().Sub(g.at) > wordTravels {
			return false
		}
	}
	return false
}

// gated is checked before a record is written that begins a journey: no gate holds it. What serves nobody may get what was proven, and
// a revert passes.
func (l *laws) gated(w *World, p *ports, m *machine, r actuators.NodeRecord) {
	begins := m.record.Stage == actuators.Idle && (r.Stage == actuators.Leaving || r.Stage == actuators.Preparing)
	drifted := w.story.Groups == 0 && m.installed != m.record.On.Release // nothing but its checks tells that it serves
	if !w.story.Gates.On || !begins || !w.inService(m) || drifted || w.now().Sub(w.gates.committed) < wordTravels || w.now().Before(m.flapped.Add(w.story.Lag+wordTravels)) {
		return
	}
	digest := w.fleet.Digest(desired.DigestAlgorithm)
	had, begun := false, false
	for _, o := range w.alive() {
		was := o.record.Proven.Digest == digest || o.record.Previous.Digest == digest
		had = had || was && o.record.On.Digest != digest
		begun = begun || was || o.record.On.Digest == digest || o.record.Try.Version.Digest == digest
	}
	if had {
		return
	}
	for _, name := range gateNames {
		if !l.let(w, p, name, digest) && !(begun && name == "checks") {
			l.breaks(w, "gates: %s begins with %s, and the %s gate does not let it", m.name, w.fleet.Release, name)
		}
	}
}
