package sim_test

import (
	"slices"
	"testing"
	"testing/synctest"

	"windlass/actuators"
	"windlass/reconciler"
	"windlass/reconciler/plan"
	"windlass/reconciler/sim"
)

// playPromoted plays the story of a seed of a fleet that another one waits for.
func playPromoted(t *testing.T, seed uint64, decide reconciler.Decider) (r sim.Result) {
	synctest.Test(t, func(*testing.T) { r = sim.Play(seed, sim.NewPromotedStory(seed), decide) })
	return r
}

// TestPromotionLaws plays stories of fleets that claim to have proven releases, an eighth as many.
func TestPromotionLaws(t *testing.T) {
	playMany(t, (*seeds+7)/8, func(seed uint64) sim.Result { return playPromoted(t, seed, nil) })
}

// promotionBugs are what careless agents would claim.
var promotionBugs = []bug{
	{name: "a span survives a halt, and the node that failed", seed: 3, law: "promotion", do: func(want plan.Want, seen plan.World, p *plan.Plan) {
		eachRecord(&seen, func(r *actuators.NodeRecord) { r.Halts = nil })
		seen.Nodes = slices.DeleteFunc(seen.Nodes, func(n plan.Node) bool { return n.Host != nil && n.Host.Record.Stage == actuators.Failed })
		seen.Verdict = nil
		p.Whole = plan.Next(want, seen).Whole
	}},
	{name: "a span begins with the first proven node", seed: 1, law: "promotion", do: func(want plan.Want, seen plan.World, p *plan.Plan) {
		proven := slices.ContainsFunc(seen.Nodes, func(n plan.Node) bool { return n.Host != nil && want.Is(n.Host.Record.Proven) })
		if proven && p.Whole.Now().Release == "" {
			p.Whole.Spans = append(slices.Clone(p.Whole.Spans), plan.Span{Release: want.Version.Release, At: seen.Now, Seen: seen.Now})
		}
	}},
	{name: "a span goes on where a node has lost the release", seed: 1, law: "promotion", do: func(_ plan.Want, seen plan.World, p *plan.Plan) {
		if had := seen.Whole.Now(); had.Release != "" && p.Whole.Now() != had {
			had.Seen = seen.Now
			p.Whole = plan.Wholeness{Spans: []plan.Span{had}, Judged: true}
		}
	}},
	{name: "another agent goes on from one record", seed: 5, law: "promotion", see: func(_ *plan.Want, seen *plan.World) {
		var all []actuators.Fact
		eachRecord(seen, func(r *actuators.NodeRecord) {
			for _, f := range r.Facts {
				if f.Kind == actuators.Whole {
					all = append(all, actuators.Fact{Kind: f.Kind, Release: f.Release, At: f.At})
				}
			}
		})
		if !seen.Whole.Judged {
			eachRecord(seen, func(r *actuators.NodeRecord) { r.Facts = append(slices.Clone(r.Facts), all...) })
		}
	}},
}
