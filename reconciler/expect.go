package reconciler

import (
	"slices"
	"time"

	"windlass/reconciler/plan"
)

// mostTimed is how many of the newest journeys tell how long a stage takes.
const mostTimed = 9

// timed are how long a stage took in the newest journeys, by the state that shows it.
type timed map[plan.State][]time.Duration

// follows is the state that a stage is to be followed by for its time to count: a drain that was given up says nothing of drains.
var follows = map[plan.State][]plan.State{
	plan.Draining: {plan.Configuring}, plan.Configuring: {plan.Verifying}, plan.Verifying: {plan.Joining}, plan.Joining: {plan.Baking, plan.InService},
}

// add notes how long a stage took that another state has followed.
func (t timed) add(stage, next plan.State, took time.Duration) {
	if slices.Contains(follows[stage], next) {
		t[stage] = append(t[stage], took)
		t[stage] = t[stage][max(0, len(t[stage])-mostTimed):]
	}
}

// took is the median of each stage.
func (t timed) took() plan.Took {
	took := plan.Took{}
	for stage, all := range t {
		if len(all) > 0 {
			took[stage] = slices.Sorted(slices.Values(all))[len(all)/2]
		}
	}
	return took
}

// timedBefore are the times that an earlier start of the agent knew: one for each stage, which the next journeys outweigh.
func timedBefore(took plan.Took) timed {
	t := timed{}
	for stage, d := range took {
		if _, known := follows[stage]; known && d > 0 && d < 24*time.Hour {
			t[stage] = []time.Duration{d}
		}
	}
	return t
}

// foretell keeps what is expected of the rollout's end once two nodes have shown how long one takes. While a gate holds nobody can tell.
func (r *rollout) foretell(e plan.Expectation, holds []plan.Hold, now time.Time) {
	if slices.ContainsFunc(holds, func(h plan.Hold) bool { return h.Cause == plan.ByGate }) {
		r.foretold = time.Time{}
		return
	}
	if r.Completed >= 2 && r.Completed < r.Planned && r.foretold.IsZero() && e.Nodes > 0 {
		r.foretold, r.foretoldAt = now.Add(e.Left), now
	}
}

// misjudged is by how much the end of a rollout was misjudged when two of its nodes were done, as a part of the time that it took from then on,
// unless nobody foretold it, or people held it up.
func (r *rollout) misjudged(ended time.Time) (ratio float64, foretold bool) {
	took := ended.Sub(r.foretoldAt)
	if r.foretold.IsZero() || r.Paused > 0 || took <= 0 {
		return 0, false
	}
	return r.foretold.Sub(ended).Abs().Seconds() / took.Seconds(), true
}
