package plan

import (
	"time"

	"windlass/desired"
)

// A wave is how far a rollout may go now. Nothing else knows canaries and percentages.
type wave struct {
	away     int           // how many nodes may be out by windlass's hand
	unproven int           // how many may serve, or be lost to, a version that is not proven; once it is proven on as many, the rest follows (law 8)
	proofs   int           // on how many it is
	bake     time.Duration // how long the next node bakes
}

// waveOf works out how far a fleet of a size may go with a version that is proven on so many nodes.
func waveOf(r desired.Rollout, size, proofs int) wave {
	w := wave{away: r.MaxUnavailable.Of(size), unproven: 1, proofs: proofs, bake: r.Bake}
	if r.Canary != nil {
		w.unproven = r.Canary.Nodes
	}
	if r.Canary != nil && !w.proven() {
		w.bake = r.Canary.Bake
	}
	return w
}

// proven reports whether the version is proven on as many nodes as the rest waits for.
func (w wave) proven() bool { return w.proofs >= w.unproven }
