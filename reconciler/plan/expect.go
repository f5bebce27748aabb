package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"windlass/desired"
)

// Took is how long the stages of a journey took on this fleet lately, by the state that shows each; of a drain, what came after it had settled. One that
// is missing was never timed. It is for people: nothing is decided by it.
type Took map[State]time.Duration

// An Expectation is how long a rollout will still take, if all goes as it went. The zero value: nothing is to be expected.
type Expectation struct {
	Left    time.Duration // until every node has what is wanted
	Nodes   int           // that lack it, those under way among them
	Each    time.Duration // what one of them takes after the canary
	Parts   []Part        // of that, in their order
	Untimed []State       // stages that nobody has timed yet, and that are left out
	Cut     string        // which gate closes before that, and until when it is open; empty: none does
}

// A Part is what takes so long.
type Part struct {
	Name  string
	Takes time.Duration
}

// String is the expectation for people: "about 27m for 9 nodes, each 3m: settle 20s, drain 12s, configure 30s".
func (e Expectation) String() string {
	if e.Nodes == 0 {
		return ""
	}
	parts := make([]string, len(e.Parts))
	for i, p := range e.Parts {
		parts[i] = p.Name + " " + brief(p.Takes)
	}
	said := fmt.Sprintf("about %s for %d nodes, each %s: %s", brief(e.Left), e.Nodes, brief(e.Each), strings.Join(parts, ", "))
	if e.Nodes == 1 {
		said = fmt.Sprintf("about %s for 1 node: %s", brief(e.Left), strings.Join(parts, ", "))
	}
	if len(e.Untimed) > 0 {
		said += "; not timed yet: " + strings.ReplaceAll(strings.Join(words(e.Untimed), ", "), "_", " ")
	}
	if e.Cut != "" {
		said += "; " + e.Cut + ", and what has not begun then waits"
	}
	return said
}

func words(states []State) []string {
	all := make([]string, len(states))
	for i, s := range states {
		all[i] = string(s)
	}
	return all
}

// brief is a duration with as much of it as matters.
func brief(d time.Duration) string {
	switch {
	case d >= time.Hour:
		d = d.Round(time.Minute)
		return strings.TrimSuffix(strings.TrimSuffix(d.String(), "0s"), "0m")
	case d >= 10*time.Minute:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	case d >= time.Second:
		return d.Round(time.Second).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// journeyStates are the stages of a node's way out and back, in their order.
var journeyStates = [...]State{Draining, Configuring, Verifying, Joining, Baking}

// expect foretells how long the nodes that lack what is wanted will take, those under way first.
func (k *known) expect(moves []*move) Expectation {
	e := Expectation{}
	under, waiting := []time.Duration{}, 0
	for i, m := range moves {
		switch s := m.status; {
		case k.proving(&k.views[i]):
		case s.UnderWay && s.State != Preparing && !m.waitsTurn:
			under = append(under, k.remaining(&k.views[i], m))
		case (s.Outdated || s.UnderWay) && s.State != Failed:
			waiting++
		}
	}
	if e.Nodes = len(under) + waiting; e.Nodes == 0 || !k.goesOn() {
		return Expectation{}
	}
	e.Parts, e.Untimed = k.parts(k.Fleet.Rollout.Bake)
	e.Each = sum(e.Parts)
	e.Left = k.schedule(under, waiting, e.Each)
	if waiting > 0 {
		e.Cut = k.cut(e.Left - e.Each) // the last node has begun by then
	}
	return e
}

// schedule is how long nodes take that go as many at a time as may: the first of them prove the version before the rest follows.
func (k *known) schedule(under []time.Duration, waiting int, each time.Duration) time.Duration {
	slots := append(slices.Sorted(slices.Values(under)), make([]time.Duration, max(0, k.wave.away-len(under)))...)
	slots = slots[max(0, len(slots)-max(1, k.wave.away)):]
	first := max(0, min(waiting, k.wave.unproven-k.wave.proofs-len(under)))
	if k.wave.proven() {
		first = 0
	}
	canary := each
	if first > 0 || !k.wave.proven() {
		parts, _ := k.parts(k.wave.bake)
		canary = sum(parts)
	}
	give := func(nodes int, takes time.Duration) {
		for range nodes {
			i := slices.Index(slots, slices.Min(slots))
			slots[i] += takes
		}
	}
	give(first, canary)
	if !k.wave.proven() {
		over := slices.Max(slots)
		for i := range slots {
			slots[i] = over
		}
	}
	give(waiting-first, each)
	return slices.Max(slots)
}

// parts are what a node takes, with such a bake: what was timed, else what follows from the fleet file and the groups' attributes.
func (k *known) parts(bake time.Duration) (parts []Part, untimed []State) {
	for _, state := range journeyStates {
		if state == Baking {
			parts = append(parts, Part{"bake", bake})
			continue
		}
		takes, timed := k.Took[state]
		switch {
		case state == Draining && k.balanced():
			parts = append(parts, k.drainParts(takes)...)
		case (state == Draining || state == Joining) && !k.balanced():
		case timed:
			parts = append(parts, Part{partNames[state], takes})
		default:
			untimed = append(untimed, state)
		}
	}
	return parts, untimed
}

var partNames = map[State]string{Configuring: "steps", Verifying: "verify", Joining: "join"}

// drainParts are the settling, as the fleet file has it, and the rest of a drain: what that took before, within what the groups say. One that was
// never timed takes 0 and lasts for the delay, or where it may be left early as long as it must at the least.
func (k *known) drainParts(takes time.Duration) []Part {
	drain, settle, delay := k.Fleet.Rollout.Drain, time.Duration(0), time.Duration(0)
	early, network := drain.Policy == desired.DrainUntilIdle, false
	for _, g := range k.groups {
		if !g.named {
			continue
		}
		delay, early, network = max(delay, g.Delay), early && !g.Network && g.Unread == "", network || g.Network
		settle = max(settle, drain.SettleFor(g.Network))
	}
	most := max(0, delay-settle)
	least := most
	if early {
		least = min(drain.IdleFor, most)
	}
	if !network {
		takes = min(takes, most)
	}
	return []Part{{"settle", settle}, {"drain", max(takes, least)}}
}

// remaining is how long a node under way still takes.
func (k *known) remaining(v *view, m *move) time.Duration {
	at := slices.Index(journeyStates[:], m.status.State)
	if at < 0 {
		return 0
	}
	left := time.Duration(0)
	for _, state := range journeyStates[at:] {
		left += k.stateTakes(state)
	}
	if !v.rec.UnderWay() {
		return left // it sets out with this plan
	}
	since := cmpTime(v.when(v.rec.StageAt), m.status.Since)
	if m.status.State == Baking && !v.Health.Since.IsZero() {
		since = v.Health.Since
	}
	gone := max(0, k.Now.Sub(since))
	switch m.status.State {
	case Verifying: // its stage began with the steps
		gone = max(0, gone-k.stateTakes(Configuring))
	case Baking:
		gone = min(gone, k.wave.bake)
	}
	return left - min(gone, k.stateTakes(m.status.State))
}

// stateTakes is how long one stage takes.
func (k *known) stateTakes(state State) time.Duration {
	switch {
	case state == Baking:
		return k.wave.bake
	case state == Draining && k.balanced():
		return sum(k.drainParts(k.Took[state]))
	}
	return k.Took[state]
}

func sum(parts []Part) time.Duration {
	all := time.Duration(0)
	for _, p := range parts {
		all += p.Takes
	}
	return all
}
