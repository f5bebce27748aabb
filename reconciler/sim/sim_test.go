package sim_test

import (
	"flag"
	"strings"
	"testing"
	"testing/synctest"

	"windlass/reconciler/sim"
)

var (
	seeds = flag.Int("seeds", 200, "how many stories are played")
	from  = flag.Uint64("from", 1, "the first seed")
	tell  = flag.Bool("tell", false, "print what happened")
)

func play(t *testing.T, seed uint64) (r sim.Result) {
	synctest.Test(t, func(t *testing.T) { r = sim.Run(seed, nil) })
	return r
}

// TestLaws plays many stories; in none may a law be broken.
func TestLaws(t *testing.T) {
	failed := 0
	for seed := *from; seed < *from+uint64(*seeds); seed++ {
		r := play(t, seed)
		if len(r.Broken) > 0 {
			failed++
			t.Errorf("seed %d: %s", seed, r.Broken[0])
			if failed > 10 {
				break
			}
		}
		if *tell {
			t.Logf("seed %d\n%s", seed, strings.Join(r.Log, "\n"))
		}
	}
}
