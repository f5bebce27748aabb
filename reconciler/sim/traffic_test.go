package sim_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"windlass/desired"
	"windlass/reconciler"
	"windlass/reconciler/plan"
	"windlass/reconciler/sim"
)

// playTraffic plays the traffic story of a seed.
func playTraffic(t *testing.T, seed uint64, decide reconciler.Decider) (r sim.Result) {
	synctest.Test(t, func(*testing.T) { r = sim.Play(seed, sim.NewTrafficStory(seed), decide) })
	return r
}

// TestTrafficLaws plays stories with real drains, an eighth as many as of the others, and shows that drains were left early, and flows awaited.
func TestTrafficLaws(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	stories := (*seeds + 7) / 8
	playMany(t, stories, func(seed uint64) sim.Result {
		r := playTraffic(t, seed, nil)
		mu.Lock()
		defer mu.Unlock()
		for kind, n := range r.Seen {
			seen[kind] += n
		}
		return r
	})
	t.Logf("%v", seen)
	for _, kind := range []string{"left early", "flows awaited beyond the delay"} {
		if seen[kind] == 0 && stories >= 250 && !raceEnabled {
			t.Errorf("no story has %q", kind)
		}
	}
}

// foundTraffic are seeds of traffic stories that found something.
var foundTraffic = []uint64{166, 179, 2154, 3436, 20808}

// trafficBugs are what careless agents would do when nodes leave.
var trafficBugs = []bug{
	{name: "does not let a drain settle", seed: 1, law: "G45", see: func(w *plan.Want, _ *plan.World) {
		change(w, func(f *desired.Fleet) { f.Rollout.Drain.Settle, f.Rollout.Drain.NetworkSettle = 0, 0 })
	}},
	{name: "settles at a network load balancer as at others", seed: 3, law: "G45", see: func(w *plan.Want, _ *plan.World) {
		change(w, func(f *desired.Fleet) { f.Rollout.Drain.NetworkSettle = f.Rollout.Drain.Settle })
	}},
	{name: "counts the settling from when the drain was asked for", seed: 1, law: "G45", see: func(_ *plan.Want, seen *plan.World) {
		eachNode(seen, func(n *plan.Node) { n.Left = n.Staged.Add(-30 * time.Second) })
	}},
	{name: "believes a sensor that is blind", seed: 9, law: "G1", see: eachTraffic(func(t *plan.Traffic, now time.Time) {
		if t.Blind != "" {
			*t = plan.Traffic{Service: t.Service, Sees: true, Others: t.Service.Ports, Quiet: now.Add(-time.Minute), At: now}
		}
	})},
	{name: "believes a sensor that has seen nobody", seed: 47, law: "G1", see: eachTraffic(func(t *plan.Traffic, _ time.Time) { t.Others = t.Service.Ports })},
	{name: "takes a sample that failed for an empty one", seed: 13, law: "G1", see: eachTraffic(func(t *plan.Traffic, now time.Time) {
		if now.Sub(t.At) > plan.SampleAge {
			t.Quiet, t.At = now.Add(-time.Minute), now
		}
	})},
	{name: "takes a busy node for an idle one", seed: 8, law: "G1", see: eachTraffic(func(t *plan.Traffic, now time.Time) { t.Quiet = now.Add(-time.Minute) })},
	{name: "leaves flows of a network load balancer when its drain is over", seed: 13, law: "G1", see: func(_ *plan.Want, seen *plan.World) {
		for i := range seen.Groups {
			seen.Groups[i].Terminates = true
		}
	}},
	{name: "leaves a network load balancer early", seed: 13, law: "G1", see: func(_ *plan.Want, seen *plan.World) {
		for i := range seen.Groups {
			if g := &seen.Groups[i]; g.Protocol == "UDP" || g.Network {
				g.Network, g.Protocol, g.Terminates, g.IdleAfter = false, "HTTP", true, time.Second
			}
		}
	}},
	{name: "empties a zone", seed: 11, law: "G47", see: func(w *plan.Want, seen *plan.World) {
		for i := range seen.Groups {
			seen.Groups[i].Zonal = false
		}
	}},
	{name: "takes silence for an end before the balancer does", seed: 8, law: "G1", see: func(w *plan.Want, seen *plan.World) {
		change(w, func(f *desired.Fleet) { f.Rollout.Drain.LongestRequest = time.Nanosecond })
	}},
}

// eachTraffic lies about what sensors show.
func eachTraffic(lie func(t *plan.Traffic, now time.Time)) func(*plan.Want, *plan.World) {
	return func(_ *plan.Want, seen *plan.World) {
		eachNode(seen, func(n *plan.Node) {
			if n.Traffic.Service.Address.IsValid() {
				lie(&n.Traffic, seen.Now)
			}
		})
	}
}
