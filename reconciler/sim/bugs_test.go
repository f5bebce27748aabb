package sim_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/reconciler"
	"windlass/reconciler/plan"
	"windlass/reconciler/sim"
)

// bug is something a careless agent would do, and the laws that find it. Each is planted around plan.Next: it lies to the
// decision about the world, or spoils what was decided.
type bug struct {
	name  string
	seed  uint64                                                           // of a story that finds it
	story func(t *testing.T, seed uint64, d reconciler.Decider) sim.Result // plays it
	law   string                                                           // how the broken law is named
	see   func(*plan.Want, *plan.World)                                    // before the decision
	do    func(want plan.Want, seen plan.World, p *plan.Plan)              // after it
}

var bugs = []bug{
	{name: "no floor", seed: 1, law: "law 9", see: func(w *plan.Want, seen *plan.World) {
		change(w, func(f *desired.Fleet) {
			f.Rollout.MaxUnavailable, f.Rollout.AllowOutage = desired.Amount{Count: 100}, true
		})
	}},
	{name: "takes two where one may go", seed: 1, law: "law 7", see: func(w *plan.Want, _ *plan.World) {
		change(w, func(f *desired.Fleet) { f.Rollout.MaxUnavailable.Count++ })
	}},
	{name: "takes registered for healthy", seed: 20, law: "law 9", see: func(_ *plan.Want, seen *plan.World) {
		eachTarget(seen, func(t *actuators.Target) {
			if t.Status == actuators.TargetInitial || t.Status == actuators.TargetUnhealthy {
				t.Status = actuators.TargetHealthy
			}
		})
	}},
	{name: "takes draining for gone", seed: 1, law: "law 9: steps start", see: func(_ *plan.Want, seen *plan.World) {
		for i := range seen.Groups {
			seen.Groups[i].Members = slices.DeleteFunc(seen.Groups[i].Members, func(t actuators.Target) bool { return t.Status == actuators.TargetDraining })
		}
	}},
	{name: "takes an outage for an empty balancer", seed: 2, law: "law 9: steps start", see: func(_ *plan.Want, seen *plan.World) {
		for i := range seen.Groups {
			if g := &seen.Groups[i]; g.Err != "" {
				g.Err, g.Members, g.At = "", nil, seen.Now
			}
		}
		for i := range seen.Nodes {
			seen.Nodes[i].Out = seen.Now.Add(-plan.AskAgain)
		}
	}},
	{name: "adds without verifying", seed: 3, law: "law 16", see: func(_ *plan.Want, seen *plan.World) {
		eachNode(seen, func(n *plan.Node) {
			if n.Health.Phase == plan.WatchVerify {
				n.Health.Verdict = health.Verdict{Status: health.Passing}
			}
		})
	}},
	{name: "tries a halted version again", seed: 125, law: "law 11", see: func(_ *plan.Want, seen *plan.World) {
		eachRecord(seen, func(r *actuators.NodeRecord) {
			r.Halts = nil
			if r.Stage == actuators.Failed { // else the node that gave it up tells
				r.Try = actuators.Try{}
			}
		})
	}},
	{name: "forgets the halt with the failed node", seed: 125, law: "law 11", see: func(_ *plan.Want, seen *plan.World) {
		seen.Verdict = nil
	}, do: func(_ plan.Want, _ plan.World, p *plan.Plan) {
		p.Steps = slices.DeleteFunc(p.Steps, func(s plan.Step) bool { return s.Kind == plan.Halt })
		for _, s := range p.Steps {
			if s.Record != nil && s.Kind != plan.Fail {
				s.Record.Halts = nil
			}
		}
	}},
	{name: "forgets a verdict with the only record that has it", seed: 40417, law: "law 11", see: func(_ *plan.Want, seen *plan.World) {
		seen.Verdict = nil
	}},
	{name: "puts drift right as often as it comes back", seed: 48, law: "G20", see: func(_ *plan.Want, seen *plan.World) {
		eachRecord(seen, func(r *actuators.NodeRecord) { r.Repairs = 0 })
	}},
	{name: "forgets where a node belongs", seed: 14, law: "law 17", do: func(_ plan.Want, _ plan.World, p *plan.Plan) {
		for _, s := range p.Steps {
			if s.Record != nil {
				s.Record.Taken, s.Record.Places = nil, nil
			}
		}
	}},
	{name: "does not read the balancers again before a removal", seed: 7, law: "law 9", see: func(_ *plan.Want, seen *plan.World) {
		seen.GroupsRead = seen.Now
		for i := range seen.Groups {
			seen.Groups[i].At = seen.Now
		}
		eachNode(seen, func(n *plan.Node) { n.Asked = "" })
	}},
	{name: "lets the next leave while one bakes", seed: 1, law: "law 16", see: func(_ *plan.Want, seen *plan.World) {
		eachNode(seen, func(n *plan.Node) {
			if n.Host != nil && n.Host.Record.Stage == actuators.Verified && n.Health.Phase == plan.WatchBake {
				n.Busy = plan.Prove
			}
		})
	}},
	{name: "lets the unproven in everywhere", seed: 4, law: "law 8", see: func(w *plan.Want, _ *plan.World) {
		change(w, func(f *desired.Fleet) { f.Rollout.Canary = &desired.Canary{Nodes: 100} })
	}},
	{name: "ignores newer commits while under way", seed: 10, law: "no convergence", see: first()},
	{name: "trusts another machine's record", seed: 55, law: "law", see: func(_ *plan.Want, seen *plan.World) {
		eachNode(seen, func(n *plan.Node) {
			if n.Host != nil && n.Host.Record.Instance != "" {
				n.Host.Record.Instance = n.ID
			}
		})
	}},
	{name: "ignores another agent's claim", seed: 11, law: "law 18", see: func(_ *plan.Want, seen *plan.World) {
		eachRecord(seen, func(r *actuators.NodeRecord) {
			if r.Claim != nil && r.Claim.Holder != seen.Agent.Holder {
				r.Claim = nil
			}
		})
	}},
	{name: "believes everything proven at once", seed: 4, law: "law 8", see: func(w *plan.Want, seen *plan.World) {
		eachRecord(seen, func(r *actuators.NodeRecord) { r.Previous = w.Version })
	}},
	{name: "takes the prepare job for the activate job", seed: 113, law: "law", see: func(_ *plan.Want, seen *plan.World) {
		eachNode(seen, func(n *plan.Node) {
			if n.Host != nil && n.Host.Record.Stage == actuators.Configuring {
				n.Host.Job.Key = strings.Replace(n.Host.Job.Key, "-prepare", "-activate", 1)
			}
		})
	}},
	{name: "never gives back what somebody else took out", seed: 43, law: "no convergence", see: func(_ *plan.Want, seen *plan.World) {
		eachNode(seen, func(n *plan.Node) { n.OutSince = seen.Now })
	}},
}

var hunt = flag.Int("hunt", 0, "for planted bugs: how many seeds to look through for one that finds it")

// TestPlantedBugs shows that the laws bite: with each bug planted, its story breaks the law that is there for it.
func TestPlantedBugs(t *testing.T) {
	for _, b := range slices.Concat(of(play, bugs), of(playField, fieldBugs), of(playTraffic, trafficBugs), of(playGated, gateBugs), of(playPromoted, promotionBugs)) {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			if *hunt > 0 {
				b.hunt(t)
				return
			}
			if r := b.story(t, b.seed, b.plant()); b.found(r) < 0 {
				t.Errorf("seed %d does not find it any more; look for another with -hunt 500", b.seed)
			}
		})
	}
}

// of makes bugs be looked for in stories of a kind.
func of(story func(*testing.T, uint64, reconciler.Decider) sim.Result, bugs []bug) []bug {
	bugs = slices.Clone(bugs)
	for i := range bugs {
		bugs[i].story = story
	}
	return bugs
}

// found is the index of the first broken law that is the bug's own, or -1.
func (b bug) found(r sim.Result) int {
	return slices.IndexFunc(r.Broken, func(s string) bool { return strings.HasPrefix(s, b.law) })
}

func (b bug) hunt(t *testing.T) {
	for seed := uint64(1); seed <= uint64(*hunt); seed++ {
		if r := b.story(t, seed, b.plant()); b.found(r) >= 0 {
			t.Logf("%s: seed %d: %s", b.name, seed, r.Broken[b.found(r)])
			return
		}
	}
	t.Errorf("%s: %d stories found nothing", b.name, *hunt)
}

// plant returns a decider with the bug in it. It works on copies: the agent keeps what it saw.
func (b bug) plant() reconciler.Decider {
	return func(want plan.Want, seen plan.World) plan.Plan {
		seen = plan.Copy(seen)
		if b.see != nil {
			b.see(&want, &seen)
		}
		p := plan.Next(want, seen)
		if b.do != nil {
			b.do(want, seen, &p)
		}
		return p
	}
}

func change(w *plan.Want, how func(*desired.Fleet)) {
	f := *w.Fleet
	how(&f)
	w.Fleet = &f
}

// first holds on to the first version it saw until every node rests with it.
func first() func(*plan.Want, *plan.World) {
	kept := map[string]plan.Want{}
	return func(w *plan.Want, seen *plan.World) {
		key := fmt.Sprint(seen.Agent.Nonce)
		if old, ok := kept[key]; ok && w.Fleet.Release != "v1" && slices.ContainsFunc(seen.Nodes, func(n plan.Node) bool { return n.Host == nil || !old.Is(n.Host.Record.Proven) }) {
			*w = old
			return
		}
		kept[key] = *w
	}
}

func eachTarget(seen *plan.World, how func(*actuators.Target)) {
	for i := range seen.Groups {
		for j := range seen.Groups[i].Members {
			how(&seen.Groups[i].Members[j])
		}
	}
}

func eachNode(seen *plan.World, how func(*plan.Node)) {
	for i := range seen.Nodes {
		how(&seen.Nodes[i])
	}
}

func eachRecord(seen *plan.World, how func(*actuators.NodeRecord)) {
	eachNode(seen, func(n *plan.Node) {
		if n.Host != nil {
			how(&n.Host.Record)
		}
	})
}
