package bench

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/reconciler/plan"
)

// The fleet behind no load balancer, a tenth of which is about to be changed.
const (
	unbalancedNodes   = 4_000
	unbalancedWatches = 48 // as many other nodes as are checked again, however many leave
	unbalancedTime    = 24 * time.Millisecond
	unbalancedBytes   = 5_000_000
)

// BenchmarkUnbalanced reports what one decision costs while many nodes are about to be changed that no balancer takes out: nothing but the
// others' checks says who serves meanwhile.
func BenchmarkUnbalanced(b *testing.B) {
	want, seen := wanted("v2"), leavingWorld(unbalancedNodes)
	want.Fleet.LoadBalancers, want.Fleet.Rollout.MaxUnavailable = nil, desired.Amount{Percent: 10}
	var p plan.Plan
	took := usual(b, 7, func() { p = plan.Next(want, seen) })
	bytes := allocated(func() { plan.Next(want, seen) })
	what := fmt.Sprintf("plan %d nodes behind no load balancer, a tenth about to be changed: ", unbalancedNodes)
	table.add(what+"watches", fmt.Sprint(len(p.Watch)), fmt.Sprintf("≤ %d", unbalancedWatches), len(p.Watch) <= unbalancedWatches)
	table.add(what+"time", millis(took), "≤ "+unbalancedTime.String(), took <= unbalancedTime)
	table.add(what+"allocated", fmt.Sprintf("%.1f MB", float64(bytes)/1e6), fmt.Sprintf("≤ %d MB", unbalancedBytes/1_000_000), bytes <= unbalancedBytes)
}

// allocated is how many bytes something asks for.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// leavingWorld is a fleet behind no load balancer that serves v1: one node has proven v2, and a tenth has just been claimed to get it.
func leavingWorld(nodes int) plan.World {
	w := servingWorld(nodes)
	w.Groups, w.RollCall = nil, noon
	for i := range w.Nodes {
		n := &w.Nodes[i]
		r := &n.Host.Record
		r.Places = nil
		switch {
		case i == 0:
			r.On, r.Proven, r.Previous, r.Prepared = versionOf("v2"), versionOf("v2"), r.Proven, versionOf("v2").Digest
		case i <= nodes/10:
			n.Staged, n.Claimed = noon, noon
			r.Stage, r.Claim = actuators.Leaving, &actuators.Claim{Holder: "agent", Epoch: 1, Nonce: "nonce", Expires: noon.Add(actuators.ClaimTime)}
		}
		n.Health = plan.Health{
			Release: r.On.Release, Phase: plan.WatchIdle, Since: noon.Add(-time.Minute),
			Verdict: health.Verdict{Status: health.Passing, Reason: "serves " + r.On.Release},
		}
	}
	return w
}
