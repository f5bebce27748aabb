package plan

import (
	"time"

	"windlass/desired"
)

// A wave is how far a rollout may go now. Nothing else knows canaries and percentages.
type wave struct {
	away     int           // how many nodes may be out by windlass's hand
	unproven int           // how many may serve, or be lost to, a version that is not proven (law 8)
	needed   int           // on how many nodes the version is to be proven before the rest follows
	proofs   int           // on how many it is
	bake     time.Duration // how long the next node bakes
}

// waveOf works out how far a fleet of a size may go with a version that is proven on so many of the nodes found.
func waveOf(r desired.Rollout, size, found, proofs int) wave {
	w := wave{away: r.MaxUnavailable.Of(size), unproven: 1, proofs: proofs, bake: r.Bake}
	if r.Canary != nil {
		w.unproven = r.Canary.Nodes
	}
	w.needed = min(w.unproven, max(1, found))
	if r.Canary != nil && !w.proven() {
		w.bake = r.Canary.Bake
	}
	return w
}

// proven reports whether the version is proven on as many nodes as the rest waits for.
func (w wave) proven() bool { return w.proofs >= w.needed }
