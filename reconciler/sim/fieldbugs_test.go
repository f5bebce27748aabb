package sim_test

import (
	"slices"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler/plan"
)

// fieldBugs are those that field stories find.
var fieldBugs = []bug{
	{name: "excuses a bad fix by the node", seed: 2, law: "law 11 excuse", do: func(_ plan.Want, _ plan.World, p *plan.Plan) {
		for _, s := range p.Steps {
			if s.Kind == plan.Fail && s.Record.Try.Earlier != "" {
				s.Record.Halts = slices.DeleteFunc(s.Record.Halts, func(h actuators.Halt) bool { return h.Digest == s.Record.Try.Version.Digest })
			}
		}
	}},
	{name: "tries the unproven on one node more", seed: 2, law: "law 11 lost", see: func(w *plan.Want, _ *plan.World) {
		change(w, func(f *desired.Fleet) {
			more := desired.Canary{Nodes: 2, Bake: f.Rollout.Bake}
			if f.Rollout.Canary != nil {
				more = desired.Canary{Nodes: f.Rollout.Canary.Nodes + 1, Bake: f.Rollout.Canary.Bake}
			}
			f.Rollout.Canary = &more
		})
	}},
	{name: "says that a halted fleet waits", seed: 61, law: "law 11 halted", do: func(_ plan.Want, _ plan.World, p *plan.Plan) {
		if p.Phase == plan.PhaseHalted {
			p.Phase, p.Reason = plan.PhaseWaiting, "a node failed and stays out"
		}
	}},
	{name: "tells no other node who is out", seed: 2, law: "law 11 away", see: func(_ *plan.Want, seen *plan.World) {
		forgetFacts(seen, func(actuators.Fact) bool { return true })
	}, do: func(_ plan.Want, _ plan.World, p *plan.Plan) {
		p.Steps = slices.DeleteFunc(p.Steps, func(s plan.Step) bool { return s.Kind == plan.Halt })
		for _, s := range p.Steps {
			if s.Record != nil {
				s.Record.Facts = nil
			}
		}
	}},
	{name: "forgets who is out once it is excluded", seed: 97, law: "law 11 away", see: func(w *plan.Want, seen *plan.World) {
		forgetFacts(seen, func(f actuators.Fact) bool {
			return slices.ContainsFunc(seen.Nodes, func(n plan.Node) bool { return n.ID == f.Instance && plan.Excludes(w.Fleet, n.Node) })
		})
	}},
	{name: "takes every fault for the target's own", seed: 313, law: "law 11 blame", see: func(_ *plan.Want, seen *plan.World) {
		eachTarget(seen, func(t *actuators.Target) { t.AtFault = t.Status == actuators.TargetUnhealthy })
	}},
	{name: "takes unknown for unhealthy", seed: 20, law: "law 11 blame", see: func(_ *plan.Want, seen *plan.World) {
		eachTarget(seen, func(t *actuators.Target) {
			if t.Status == actuators.TargetUnknown || t.Status == actuators.TargetUnused {
				t.Status, t.AtFault = actuators.TargetUnhealthy, true
			}
		})
	}},
	{name: "takes unknown for healthy", seed: 38, law: "law 9", see: func(_ *plan.Want, seen *plan.World) {
		eachTarget(seen, func(t *actuators.Target) {
			if t.Status == actuators.TargetUnknown {
				t.Status = actuators.TargetHealthy
			}
		})
	}},
	{name: "takes unknown and unused for gone", seed: 206, law: "law 9: steps start", see: func(_ *plan.Want, seen *plan.World) {
		for i := range seen.Groups {
			seen.Groups[i].Members = slices.DeleteFunc(seen.Groups[i].Members, func(t actuators.Target) bool {
				return t.Status == actuators.TargetUnused || t.Status == actuators.TargetUnknown
			})
		}
	}},
	{name: "forgets a removal in flight", seed: 26, law: "law 9", see: func(_ *plan.Want, seen *plan.World) { seen.Pruned = plan.Removal{} }},
	{name: "takes who has left some of its groups for a member of all", seed: 388, law: "law 7 group", see: func(_ *plan.Want, seen *plan.World) {
		eachNode(seen, func(n *plan.Node) {
			if n.Host == nil || n.Host.Record.Stage != actuators.Leaving || n.Busy != "" {
				return
			}
			r := &n.Host.Record
			if in := placesIn(seen, n.ID); in > 0 && in < len(r.Taken) {
				putBack(seen, r.Taken)
				r.Stage, r.Claim, r.Taken = actuators.Idle, nil, nil
			}
		})
	}},
	{name: "takes a node that one of its groups likes for healthy", seed: 11, law: "law 9", see: func(_ *plan.Want, seen *plan.World) {
		well := map[string]bool{}
		eachTarget(seen, func(t *actuators.Target) { well[t.ID] = well[t.ID] || t.Status == actuators.TargetHealthy })
		eachTarget(seen, func(t *actuators.Target) {
			if well[t.ID] && t.Status != actuators.TargetDraining {
				t.Status = actuators.TargetHealthy
			}
		})
	}},
	{name: "expects fewer for an exclusion that names nobody", seed: 8, law: "law expect", see: func(w *plan.Want, seen *plan.World) {
		nobody := func(e desired.Exclusion) bool {
			return !slices.ContainsFunc(seen.Nodes, func(n plan.Node) bool { return plan.Means(e, n.Node) })
		}
		change(w, func(f *desired.Fleet) {
			for _, e := range f.Nodes.Exclude {
				if nobody(e) && f.Nodes.Expect > 0 {
					f.Nodes.Expect--
				}
			}
		})
	}},
	{name: "rounds per cent up", seed: 4, law: "law 7", see: func(w *plan.Want, seen *plan.World) {
		if per := w.Fleet.Rollout.MaxUnavailable.Percent; per > 0 {
			change(w, func(f *desired.Fleet) {
				f.Rollout.MaxUnavailable = desired.Amount{Count: (len(seen.Nodes)*per + 99) / 100}
			})
		}
	}},
	{name: "claims what it lets go again", seed: 3, law: "law loop", see: func(_ *plan.Want, seen *plan.World) {
		leaving := slices.ContainsFunc(seen.Nodes, func(n plan.Node) bool { return n.Host != nil && n.Host.Record.Stage == actuators.Leaving })
		eachTarget(seen, func(t *actuators.Target) {
			if !leaving && t.Status == actuators.TargetUnhealthy {
				t.Status = actuators.TargetHealthy
			}
		})
	}},
	{name: "takes what was let go for what was proven", seed: 16, law: "law 8", see: func(_ *plan.Want, seen *plan.World) {
		eachRecord(seen, func(r *actuators.NodeRecord) {
			if r.Stage == actuators.Idle {
				r.Proven = r.On
			}
		})
	}},
}

// forgetFacts hides some of what records, and the newest plan, say of other nodes.
func forgetFacts(seen *plan.World, which func(actuators.Fact) bool) {
	seen.Facts = slices.DeleteFunc(slices.Clone(seen.Facts), which)
	eachRecord(seen, func(r *actuators.NodeRecord) { r.Facts = slices.DeleteFunc(slices.Clone(r.Facts), which) })
}

// putBack shows places as if they had never been left.
func putBack(seen *plan.World, places []actuators.Membership) {
	for i := range seen.Groups {
		g := &seen.Groups[i]
		for _, m := range places {
			if m.Group == g.ID {
				g.Members = slices.DeleteFunc(g.Members, func(t actuators.Target) bool { return t.ID == m.ID })
				g.Members = append(g.Members, actuators.Target{Membership: m, Status: actuators.TargetHealthy})
			}
		}
	}
}

// placesIn is in how many groups a target is, and is not leaving.
func placesIn(seen *plan.World, id string) int {
	n := 0
	eachTarget(seen, func(t *actuators.Target) {
		if t.ID == id && t.Status != actuators.TargetDraining {
			n++
		}
	})
	return n
}
