package sim_test

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"windlass/reconciler/sim"
)

// playWild plays a seed's wild story in a bubble of virtual time.
func playWild(t *testing.T, seed uint64) (r sim.Result) {
	synctest.Test(t, func(*testing.T) { r = sim.Play(seed, sim.NewWildStory(seed), nil) })
	return r
}

// TestWildLaws plays stories with more bad luck and with rollouts of every kind; in none may a law be broken.
func TestWildLaws(t *testing.T) {
	stories := *seeds
	if raceEnabled {
		stories /= 40
	}
	var next atomic.Uint64
	next.Store(*from)
	var mu sync.Mutex
	var group sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		group.Go(func() {
			for {
				seed := next.Add(1) - 1
				if seed >= *from+uint64(stories) {
					return
				}
				r := playWild(t, seed)
				mu.Lock()
				if *tell {
					t.Logf("seed %d\n%s", seed, strings.Join(r.Log, "\n"))
				}
				if len(r.Broken) > 0 {
					t.Errorf("seed %d: %s", seed, r.Broken[0])
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	t.Logf("%d stories", stories)
}
