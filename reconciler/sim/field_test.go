package sim_test

import (
	"sync"
	"testing"
	"testing/synctest"

	"windlass/reconciler"
	"windlass/reconciler/sim"
)

// playField plays the field story of a seed.
func playField(t *testing.T, seed uint64, decide reconciler.Decider) (r sim.Result) {
	synctest.Test(t, func(*testing.T) { r = sim.Play(seed, sim.NewFieldStory(seed), decide) })
	return r
}

// TestFieldLaws plays stories of larger fleets with the troubles of the field, an eighth as many as of the others, and shows that each kind
// of trouble really came.
func TestFieldLaws(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	stories := (*seeds + 7) / 8
	playMany(t, stories, func(seed uint64) sim.Result {
		r := playField(t, seed, nil)
		mu.Lock()
		defer mu.Unlock()
		for _, kind := range sim.Kinds() {
			if r.Seen[kind] > 0 {
				seen[kind]++
			}
		}
		return r
	})
	for _, kind := range sim.Kinds() {
		t.Logf("%s: in %d stories", kind, seen[kind])
		if seen[kind] == 0 && stories >= 250 && !raceEnabled {
			t.Errorf("no story has %q", kind)
		}
	}
}
