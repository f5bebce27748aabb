package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"windlass/actuators"
)

// Next decides what to do now. The same input gives the same plan, byte for byte.
//
// It is a pipeline of values. Each stage takes the ones before and changes none of them: what each node and group is (view.go, group.go),
// how strong the fleet and each group are at their worst (tally.go), what is known of the version (verdict.go, wave.go, fact.go, whole.go, gate.go), who of
// those under way gets it (trial.go), who of the claimed may leave (budget.go), what each node does next (idle.go; journey.go, with leave.go,
// recheck.go, configure.go and return.go), who starts (start.go, prune.go), what else is written on records (spread, in fact.go), whether it
// all stands still (progress.go), and how it is told (tell.go). What a step writes on its node is made in record.go.
func Next(want Want, seen World) Plan {
	k := know(look(want, seen))
	turns := k.takeTurns()
	moves := k.move(turns)
	starts := k.start(moves, turns.left)
	d := decision{moves: starts.moves, fleet: starts.holds, soon: starts.soon, refresh: starts.refresh}
	d.prune = k.prune(starts.left)
	d.steps = d.collect(k)
	d.steps = append(d.steps, k.spread(d.steps)...)
	return k.tell(k.giveUp(d))
}

// known is what is known when journeys are decided on.
type known struct {
	*scene
	facts    []actuators.Fact
	lasting  []actuators.Fact // those that other nodes' records are to hold
	whole    Wholeness
	tally    tally
	verdict  verdict
	wave     wave
	blocked  string // why nothing new starts on this fleet; empty: nothing
	heard    []Gate // as they count now
	gates    weighing
	untried  map[string]bool // nodes under way that do not get the wanted version yet
	whenBack *budget         // what may be spent when those that are on their way back are; nil: nobody is whom others may follow
}

func know(s *scene) *known {
	k := &known{scene: s, facts: s.facts(), verdict: s.judge()}
	k.lasting = s.lasting(k.facts)
	k.tally = s.count(s.strayed(k.facts))
	k.whole = k.wholeness()
	k.wave = waveOf(s.Fleet.Rollout, k.tally.size, k.verdict.proofs)
	k.blocked = k.hindrance()
	k.heard = s.toldGates()
	k.gates = k.weigh()
	k.untried = k.awaitProof()
	k.whenBack = k.following()
	return k
}

// isToGet reports whether a node under way for another version goes on towards the wanted one.
func (k *known) isToGet(v *view) bool { return !k.Is(v.rec.On) && k.goesOn() && !k.untried[v.Name] }

// goesOn reports whether journeys towards the wanted version may go on; without, what is under way is finished or restored.
func (k *known) goesOn() bool { return !k.Released && k.mayChange() }

// mayChange reports whether a node under way may get the wanted version. That of a released fleet is how it is finished.
func (k *known) mayChange() bool {
	return k.Blocked == "" && k.twins == "" && k.Fleet.Paused == nil && k.verdict.halt == nil
}

// hindrance returns why nothing new starts on this fleet, or "".
func (k *known) hindrance() string {
	switch {
	case k.Blocked != "":
		return k.Blocked
	case k.twins != "":
		return k.twins
	case k.Released:
		return "its file is gone from the deploy repo"
	case k.verdict.halt != nil:
		return k.halted()
	case k.Fleet.Paused != nil:
		return "paused: " + k.Fleet.Paused.Reason
	}
	for i := range k.views {
		if v := &k.views[i]; v.foreign != nil {
			return fmt.Sprintf("agent %s works on %s; leave the fleet to one agent, and give plan the --state-dir of that one", v.foreign.Holder, v.Name)
		}
	}
	return k.neverRead()
}

// A decision is what all nodes do next, and what is said of the fleet as a whole.
type decision struct {
	moves   []*move // one for each view
	fleet   []Hold
	prune   pruning
	soon    []string
	refresh bool
	steps   []Step // of the moves in their order, then prunes and halts
	halt    *actuators.Halt
	stalled bool
	wake    time.Time // when the time without progress is over; zero: never
}

// collect is the steps in the order they are told: nodes under way and those given back by name, then those that set out in their order.
func (d decision) collect(k *known) []Step {
	var found []*move
	for i := range d.moves {
		if d.moves[i].step != nil {
			found = append(found, d.moves[i])
		}
	}
	slices.SortStableFunc(found, func(a, b *move) int { return cmp.Compare(a.order, b.order) })
	var steps []Step
	for _, m := range found {
		steps = append(steps, *m.step)
	}
	if d.prune.step != nil {
		steps = append(steps, *d.prune.step)
	}
	return steps
}
