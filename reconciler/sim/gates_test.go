package sim_test

import (
	"testing"
	"testing/synctest"

	"windlass/reconciler"
	"windlass/reconciler/plan"
	"windlass/reconciler/sim"
)

// playGated plays the story of a seed with gates.
func playGated(t *testing.T, seed uint64, decide reconciler.Decider) (r sim.Result) {
	synctest.Test(t, func(*testing.T) { r = sim.Play(seed, sim.NewGatedStory(seed), decide) })
	return r
}

// TestGateLaws plays stories with gates that flip, lie and fail, a quarter as many.
func TestGateLaws(t *testing.T) {
	playMany(t, (*seeds+3)/4, func(seed uint64) sim.Result { return playGated(t, seed, nil) })
}

// gateBugs are what careless agents would make of gates.
var gateBugs = []bug{
	{name: "ignores gates", seed: 2, law: "gates", see: func(_ *plan.Want, seen *plan.World) { seen.Gates = nil }},
	{name: "takes unread for open", seed: 22, law: "gates", see: eachGate(func(g *plan.Gate, _ *plan.World) {
		if g.State == plan.GateUnread {
			g.State = plan.GateOpen
		}
	})},
	{name: "takes what was said of another version", seed: 1, law: "gates", see: eachGate(func(g *plan.Gate, _ *plan.World) { g.Digest = "" })},
	{name: "looks at windows at the start alone", seed: 25, law: "gates", see: eachGate(func(g *plan.Gate, _ *plan.World) { g.Stops = plan.StopsStart })},
	{name: "holds reverts back", seed: 28, law: "no convergence", see: eachGate(func(g *plan.Gate, _ *plan.World) { g.Reverts = true })},
}

func eachGate(how func(*plan.Gate, *plan.World)) func(*plan.Want, *plan.World) {
	return func(_ *plan.Want, seen *plan.World) {
		gates := make([]plan.Gate, len(seen.Gates))
		for i, g := range seen.Gates {
			how(&g, seen)
			gates[i] = g
		}
		seen.Gates = gates
	}
}
