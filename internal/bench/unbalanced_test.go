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
	unbalancedTries   = 7
	unbalancedWatches = 48 // of other nodes, however many are about to be changed: plan.MostRechecks
	unbalancedCPU     = 24 * time.Millisecond
	unbalancedBytes   = 5_000_000
)

// BenchmarkUnbalanced reports what one decision costs while many nodes are about to be changed that no balancer takes out: nothing but the
// others' checks says who serves meanwhile.
func BenchmarkUnbalanced(b *testing.B) {
	want, seen := wanted("v2"), leavingWorld(unbalancedNodes)
	want.Fleet.LoadBalancers, want.Fleet.Rollout.MaxUnavailable = nil, desired.Amount{Percent: 10}
	watches := len(plan.Next(want, seen).Watch)
	var took time.Duration
	var bytes uint64
	for b.Loop() {
		took, bytes = costs(unbalancedTries, func() { plan.Next(want, seen) })
	}
	what := fmt.Sprintf("plan %d nodes behind no load balancer, a tenth about to be changed: ", unbalancedNodes)
	table.add(what+"watches", fmt.Sprint(watches), fmt.Sprintf("≤ %d", unbalancedWatches), watches <= unbalancedWatches)
	table.add(what+"CPU", millis(took), "≤ "+unbalancedCPU.String(), took <= unbalancedCPU)
	table.add(what+"allocated", fmt.Sprintf("%.1f MB", float64(bytes)/1e6), fmt.Sprintf("≤ %d MB", unbalancedBytes/1_000_000), bytes <= unbalancedBytes)
}

// costs is what each of some tries takes of the processor, and what it allocates.
func costs(tries int, do func()) (cpu time.Duration, bytes uint64) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began := cpuTime()
	for range tries {
		do()
	}
	cpu = cpuTime() - began
	runtime.ReadMemStats(&after)
	return cpu / time.Duration(tries), (after.TotalAlloc - before.TotalAlloc) / uint64(tries)
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
