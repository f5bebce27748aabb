package plan_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/reconciler/plan"
)

// The many ways in which a balancer sees web-1.
var places = []twist{
	{},
	place(0, "unhealthy", actuators.TargetUnhealthy, true),
	place(0, "unhealthy by the balancer's fault", actuators.TargetUnhealthy, false),
	place(0, "registering", actuators.TargetInitial, false),
	place(0, "in slow start", actuators.TargetRamping, false),
	place(0, "in a state nobody knows", actuators.TargetUnknown, false),
	place(0, "unused", actuators.TargetUnused, false),
	place(0, "draining", actuators.TargetDraining, false),
	gone(0, "out for a minute", time.Minute),
	gone(0, "out for an hour", time.Hour),
}

// atRest are nodes that nothing is done to, also while their fleet is paused.
func atRest() []situation {
	paused := twist{"paused", func(_ *plan.World, f *desired.Fleet) { f.Paused = &desired.Pause{Reason: "freeze"} }}
	nodes := []twist{
		{},
		on(0, "it drifts", func(n *plan.Node, r *actuators.NodeRecord) {
			n.Health = checks(plan.WatchIdle, "v1", health.Contradicted)
		}),
		on(0, "no record", func(_ *plan.Node, r *actuators.NodeRecord) { *r = actuators.NodeRecord{} }),
		on(0, "no record, checks begun", func(n *plan.Node, r *actuators.NodeRecord) {
			*r, n.Health = actuators.NodeRecord{}, checks(plan.WatchVerify, "v2", health.Pending)
		}),
		on(0, "no record, it passes", func(n *plan.Node, r *actuators.NodeRecord) {
			*r, n.Health = actuators.NodeRecord{}, checks(plan.WatchVerify, "v2", health.Passing)
		}),
		on(0, "no record, it fails", func(n *plan.Node, r *actuators.NodeRecord) {
			*r, n.Health = actuators.NodeRecord{}, checks(plan.WatchFirst, "v2", health.Failing)
		}),
		on(0, "it has v2", func(_ *plan.Node, r *actuators.NodeRecord) {
			r.On, r.Proven, r.Previous = version("v2"), version("v2"), r.Proven
		}),
		on(0, "it has v2, passes", func(n *plan.Node, r *actuators.NodeRecord) {
			r.On, r.Proven, r.Previous = version("v2"), version("v2"), r.Proven
			n.Health = checks(plan.WatchVerify, "v2", health.Passing)
		}),
		on(0, "it has v2, fails", func(n *plan.Node, r *actuators.NodeRecord) {
			r.On, r.Proven, r.Previous = version("v2"), version("v2"), r.Proven
			n.Health = checks(plan.WatchVerify, "v2", health.Failing)
		}),
		on(0, "it has v2, unproven", func(_ *plan.Node, r *actuators.NodeRecord) {
			r.On, r.Try = version("v2"), actuators.Try{Version: version("v2"), ID: "x"}
		}),
		on(0, "v2 failed once just now", func(_ *plan.Node, r *actuators.NodeRecord) {
			r.Try = actuators.Try{Version: version("v2"), ID: "x", Failures: 1, Error: "no", At: start.Add(-time.Second)}
		}),
		on(0, "v2 failed twice", func(_ *plan.Node, r *actuators.NodeRecord) {
			r.Try = actuators.Try{Version: version("v2"), ID: "x", Failures: 2, Error: "no", At: start.Add(-time.Minute)}
		}),
		on(0, "not read", func(n *plan.Node, _ *actuators.NodeRecord) { n.Read.Err = "connection timed out" }),
		on(0, "never read", func(n *plan.Node, _ *actuators.NodeRecord) {
			n.Host, n.Read = nil, plan.Source{Err: "connection timed out"}
		}),
		on(0, "to be read again", func(n *plan.Node, _ *actuators.NodeRecord) { n.Stale = true }),
		on(0, "to be tried later", func(n *plan.Node, _ *actuators.NodeRecord) {
			n.NotBefore, n.Trouble = start.Add(3*time.Second), "connection reset"
		}),
		on(0, "agent-b just claims it", func(_ *plan.Node, r *actuators.NodeRecord) {
			r.Claim = &actuators.Claim{Holder: "agent-b", Epoch: 1, Nonce: "b", Expires: start.Add(time.Minute)}
		}),
	}
	return slices.Concat(crossed([]string{"v2", "v1"}, nodes, places), crossed([]string{"v2", "v1"}, nodes, []twist{paused}, []twist{{}, places[1], places[7], places[9]}))
}

// underWay are nodes in the middle of their journey, while what is wanted stays, goes back, or moves on.
func underWay() []situation {
	releases := []string{"v2", "v1", "v3"}
	in := func(at ...int) []twist {
		var some []twist
		for _, i := range at {
			some = append(some, places[i])
		}
		return some
	}
	fleets := []twist{{}, {"paused", func(_ *plan.World, f *desired.Fleet) { f.Paused = &desired.Pause{Reason: "freeze"} }}}
	job := func(name string, j actuators.JobState) twist {
		return on(0, name, func(n *plan.Node, _ *actuators.NodeRecord) { n.Host.Job = j })
	}
	done := ended("d1-v2-x-0-activate", 0)
	checked := func(name string, h plan.Health) twist {
		return on(0, name, func(n *plan.Node, _ *actuators.NodeRecord) { n.Host.Job, n.Health = done, h })
	}
	asked := func(name string, k plan.Kind, ago time.Duration) twist {
		return on(0, name, func(n *plan.Node, _ *actuators.NodeRecord) { n.Asked, n.AskedAt = k, start.Add(-ago) })
	}
	failed := func(name string, failures int, ago time.Duration) twist {
		return on(0, name, func(n *plan.Node, r *actuators.NodeRecord) {
			r.Spoiled, r.On = true, version("v2")
			r.Try = actuators.Try{Version: version("v2"), ID: "x", Failures: failures, Error: "no", At: start.Add(-ago)}
		})
	}
	prepares := twist{"", func(_ *plan.World, f *desired.Fleet) {
		f.Configure.Prepare = []desired.Step{{Name: "fetch", Run: "fetch", Timeout: time.Minute}}
	}}
	stage := func(s actuators.Stage) []twist {
		t := under(0, s)
		t.name = string(s)
		return []twist{t}
	}
	return slices.Concat(
		crossed(releases, stage(actuators.Preparing), []twist{prepares}, []twist{
			{}, job("its job runs", actuators.JobState{Key: "d1-v2-x-0-prepare", Running: true}), job("another job ended", ended("other", 0)),
			job("its job ended well", ended("d1-v2-x-0-prepare", 0)), job("its job failed", ended("d1-v2-x-0-prepare", 3)),
			job("its job timed out", actuators.JobState{Key: "d1-v2-x-0-prepare", Exited: true, Exit: 124, Step: "fetch"}),
		}, fleets),
		crossed(releases, stage(actuators.Leaving), []twist{
			{}, asked("asked 2 s ago", plan.Drain, 2*time.Second), asked("asked a minute ago", plan.Drain, time.Minute),
			on(0, "asked by an agent before", func(n *plan.Node, _ *actuators.NodeRecord) { n.Inherited, n.Staged = true, start.Add(-time.Second) }),
			on(0, "its places not written down", func(_ *plan.Node, r *actuators.NodeRecord) { r.Taken = nil }),
			on(0, "it drifts", func(n *plan.Node, _ *actuators.NodeRecord) {
				n.Health = checks(plan.WatchIdle, "v1", health.Contradicted)
			}),
			on(0, "it has v0", func(_ *plan.Node, r *actuators.NodeRecord) { r.On = version("v0") }),
			on(0, "checked to return", func(n *plan.Node, _ *actuators.NodeRecord) { n.Health = checks(plan.WatchVerify, "v1", health.Passing) }),
			on(0, "fails to return", func(n *plan.Node, _ *actuators.NodeRecord) { n.Health = checks(plan.WatchVerify, "v1", health.Failing) }),
			failed("v2 failed once", 1, time.Minute), failed("v2 failed once just now", 1, time.Second), failed("v2 failed twice", 2, time.Minute),
		}, in(0, 1, 3, 7, 8)),
		crossed(releases, stage(actuators.Leaving), []twist{
			{}, on(0, "it has v0", func(_ *plan.Node, r *actuators.NodeRecord) { r.On = version("v0") }),
			failed("v2 failed once", 1, time.Minute), failed("v2 failed twice", 2, time.Minute), failed("v2 failed thrice", 3, time.Minute),
		}, in(0, 8), fleets[1:]),
		crossed(releases, stage(actuators.Configuring), []twist{prepares}, []twist{
			on(0, "prepared for v2", func(_ *plan.Node, r *actuators.NodeRecord) { r.Prepared = "d1-v2" }),
			on(0, "prepared for v0", func(_ *plan.Node, r *actuators.NodeRecord) { r.Prepared = "d1-v0" }),
		}, in(8)),
		crossed(releases, stage(actuators.Configuring), []twist{
			{}, job("its job runs", actuators.JobState{Key: done.Key, Running: true, Step: "install"}), job("another job ended", ended("other", 0)),
			job("its job failed", ended(done.Key, 3)), job("its job timed out", actuators.JobState{Key: done.Key, Exited: true, Exit: 124, Step: "install"}),
			job("its job ended well", done), checked("checks pending", checks(plan.WatchVerify, "v2", health.Pending)),
			checked("checks passed", checks(plan.WatchVerify, "v2", health.Passing)), checked("checks failed", checks(plan.WatchVerify, "v2", health.Failing)),
			checked("others' checks passed", checks(plan.WatchVerify, "v1", health.Passing)),
			on(0, "its last job failed", func(n *plan.Node, r *actuators.NodeRecord) {
				n.Host.Job, r.Try.Failures, r.Try.At = ended("d1-v2-x-1-activate", 1), 1, start.Add(-time.Hour)
			}),
			on(0, "its last job failed, as v0 had", func(n *plan.Node, r *actuators.NodeRecord) {
				n.Host.Job, r.Try.Failures, r.Try.Earlier = ended("d1-v2-x-1-activate", 1), 1, "d1-v0"
			}),
			failed("v2 failed once", 1, time.Minute), failed("v2 failed once just now", 1, time.Second),
		}, in(0, 1, 8), fleets),
		crossed(releases, stage(actuators.Verified), []twist{
			{}, checked("checks passed", checks(plan.WatchVerify, "v2", health.Passing)), checked("checks failed", checks(plan.WatchVerify, "v2", health.Failing)),
			checked("checks pending", checks(plan.WatchVerify, "v2", health.Pending)),
			checked("bakes", checks(plan.WatchBake, "v2", health.Pending)), checked("baked", checks(plan.WatchBake, "v2", health.Passing)),
			checked("bakes and fails", checks(plan.WatchBake, "v2", health.Failing)), checked("bakes unheard", checks(plan.WatchBake, "v2", health.Unknown)),
			asked("asked 2 s ago", plan.Add, 2*time.Second), asked("asked a minute ago", plan.Add, time.Minute),
			on(0, "asked for eleven minutes", func(n *plan.Node, r *actuators.NodeRecord) {
				r.StageAt, n.Staged, n.Asked, n.AskedAt = start.Add(-11*time.Minute), start.Add(-11*time.Minute), plan.Add, start.Add(-11*time.Minute)
			}),
			on(0, "with what it had", func(n *plan.Node, r *actuators.NodeRecord) {
				r.On, r.Try, n.Health = version("v1"), actuators.Try{}, checks(plan.WatchVerify, "v1", health.Failing)
			}),
			on(0, "with what it had, bakes and fails", func(n *plan.Node, r *actuators.NodeRecord) {
				r.On, r.Try, n.Health = version("v1"), actuators.Try{}, checks(plan.WatchBake, "v1", health.Failing)
			}),
		}, in(0, 1, 2, 3, 4, 8)),
		crossed(releases, stage(actuators.Failed), []twist{
			failed("v2 failed twice", 2, time.Minute),
			on(0, "as v0 had", func(_ *plan.Node, r *actuators.NodeRecord) {
				r.Spoiled, r.Try.Failures, r.Try.Error, r.Try.Earlier = true, 2, "no", "d1-v0"
			}),
			on(0, "as it had before", func(_ *plan.Node, r *actuators.NodeRecord) {
				r.Spoiled, r.Try.Failures, r.Try.Error, r.Try.Earlier = true, 2, "no", "d1-v2"
			}),
			on(0, "halted", func(_ *plan.Node, r *actuators.NodeRecord) {
				r.Spoiled, r.Try.Failures, r.Try.Error, r.Try.Earlier = true, 2, "no", "d1-v0"
				r.Halts = []actuators.Halt{{Digest: "d1-v2", Release: "v2", Node: "web-1", Reason: "no"}}
			}),
		}, in(0, 8), fleets),
	)
}

// pairs are what web-1 is at, and how that bears on web-2.
func pairs() []situation {
	busy := func(k plan.Kind, s actuators.Stage) twist {
		return twist{"web-1 " + cmp.Or(string(s), "at rest") + ", " + string(k) + " in flight", func(w *plan.World, f *desired.Fleet) {
			if s != actuators.Idle {
				under(0, s).do(w, f)
			}
			w.Nodes[0].Busy, w.Nodes[0].Since = k, start.Add(-time.Second)
		}}
	}
	named := func(name string, t twist) twist { t.name = name; return t }
	passes := func(i int) twist {
		return on(i, "", func(n *plan.Node, _ *actuators.NodeRecord) {
			n.Host.Job, n.Health = ended("d1-v2-x-0-activate", 0), checks(plan.WatchVerify, "v2", health.Passing)
		})
	}
	out := func(i int) twist { return gone(i, "", time.Hour) }
	taken := func(m actuators.Membership) twist {
		return on(0, "", func(_ *plan.Node, r *actuators.NodeRecord) { r.Taken = append(r.Taken, m) })
	}
	former := func(id string, missing bool) twist {
		return twist{"", func(w *plan.World, _ *desired.Fleet) {
			g := actuators.GroupState{Group: actuators.Group{ID: id, Name: id}, TargetType: "ip", Port: 8080, At: start, Missing: missing}
			if missing {
				g.Err = "no such group"
			}
			w.Former = append(w.Former, g)
		}}
	}
	first := []twist{
		named("web-1 serves", twist{}),
		on(0, "web-1 cannot be read", func(n *plan.Node, _ *actuators.NodeRecord) { n.Read.Err = "connection timed out" }),
		on(0, "web-1 was never read", func(n *plan.Node, _ *actuators.NodeRecord) {
			n.Host, n.Read = nil, plan.Source{Err: "connection timed out"}
		}),
		{"web-1 is out and was never read", func(w *plan.World, f *desired.Fleet) {
			out(0).do(w, f)
			w.Nodes[0].Host, w.Nodes[0].Read = nil, plan.Source{Err: "connection timed out"}
		}},
		busy(plan.Leave, actuators.Idle), busy(plan.Adopt, actuators.Idle), busy(plan.Halt, actuators.Idle), busy(plan.Prepare, actuators.Preparing),
		busy(plan.Drain, actuators.Leaving), busy(plan.Configure, actuators.Configuring), busy(plan.Add, actuators.Verified),
		busy(plan.Prove, actuators.Verified), busy(plan.Fail, actuators.Configuring), busy(plan.Bake, actuators.Idle),
		named("web-1 is claimed", under(0, actuators.Leaving)),
		named("web-1 is claimed, with something unproven", under(0, actuators.Leaving, on(0, "", func(_ *plan.Node, r *actuators.NodeRecord) { r.On = version("v0") }))),
		named("web-1 is claimed, and failed", under(0, actuators.Leaving, on(0, "", func(_ *plan.Node, r *actuators.NodeRecord) { r.Spoiled = true }))),
		named("web-1 was asked to leave", under(0, actuators.Leaving, on(0, "", func(n *plan.Node, _ *actuators.NodeRecord) { n.Asked, n.AskedAt = plan.Drain, start.Add(-time.Second) }))),
		named("web-1 is claimed, and cannot be read", under(0, actuators.Leaving, on(0, "", func(n *plan.Node, _ *actuators.NodeRecord) { n.Read.Err = "connection timed out" }))),
		named("web-1 is claimed, and sick", under(0, actuators.Leaving, place(0, "", actuators.TargetUnhealthy, true))),
		named("web-1 is claimed, and may be sick", under(0, actuators.Leaving, place(0, "", actuators.TargetUnhealthy, false))),
		named("web-1 is claimed, and registers", under(0, actuators.Leaving, place(0, "", actuators.TargetInitial, false))),
		named("web-1 is claimed, and ramps up", under(0, actuators.Leaving, place(0, "", actuators.TargetRamping, false))),
		named("web-1 is claimed, at a port it has not", under(0, actuators.Leaving, taken(actuators.Membership{Group: "arn:web", ID: "web-1", Port: 7001}))),
		named("web-1 is claimed, in a group it never was in", under(0, actuators.Leaving, taken(actuators.Membership{Group: "arn:other", ID: "web-1", Port: 8080}), former("arn:other", false))),
		named("web-1 is claimed, in a group that is gone", under(0, actuators.Leaving, taken(actuators.Membership{Group: "arn:other", ID: "web-1", Port: 8080}), former("arn:other", true))),
		named("web-1 is claimed, as another machine", under(0, actuators.Leaving, taken(actuators.Membership{Group: "arn:web", ID: "web-9", Port: 8080}))),
		named("web-1 is claimed, and drains in one of two places", under(0, actuators.Leaving, twist{"", func(w *plan.World, _ *desired.Fleet) {
			m := w.Groups[0].Members[0]
			m.Port, m.Status = 9999, actuators.TargetDraining
			w.Groups[0].Members = append(w.Groups[0].Members, m)
		}})),
		named("web-1 is verified, and to be read again", under(0, actuators.Configuring, out(0), passes(0), on(0, "", func(n *plan.Node, _ *actuators.NodeRecord) { n.Stale = true }))),
		named("web-1 is verified, add in flight", under(0, actuators.Configuring, out(0), passes(0), on(0, "", func(n *plan.Node, _ *actuators.NodeRecord) { n.Busy = plan.Add }))),
		named("web-1 is verified, fail in flight", under(0, actuators.Configuring, out(0), passes(0), on(0, "", func(n *plan.Node, _ *actuators.NodeRecord) { n.Busy = plan.Fail }))),
		named("web-1 drains", under(0, actuators.Leaving, place(0, "", actuators.TargetDraining, false))),
		named("web-1 is configured", under(0, actuators.Configuring, out(0))),
		named("web-1 is verified", under(0, actuators.Configuring, out(0), passes(0))),
		named("web-1 is to join", under(0, actuators.Verified, out(0), passes(0))),
		named("web-1 bakes", under(0, actuators.Verified)),
		named("web-1 failed", under(0, actuators.Failed, out(0), on(0, "", func(_ *plan.Node, r *actuators.NodeRecord) { r.Spoiled, r.Try.Failures = true, 2 }))),
		on(0, "web-1 has v2", func(_ *plan.Node, r *actuators.NodeRecord) {
			r.On, r.Proven, r.Previous = version("v2"), version("v2"), r.Proven
		}),
		on(0, "web-1 had v2", func(_ *plan.Node, r *actuators.NodeRecord) { r.Previous = version("v2") }),
		on(0, "web-1 has v2, unproven", func(_ *plan.Node, r *actuators.NodeRecord) { r.On = version("v2") }),
		place(0, "web-1 is sick", actuators.TargetUnhealthy, true),
		named("web-1 is new", gone(0, "", time.Hour)),
	}
	first[len(first)-1].do = func(w *plan.World, f *desired.Fleet) {
		out(0).do(w, f)
		w.Nodes[0].Host.Record = actuators.NodeRecord{}
	}
	second := []twist{
		{},
		place(1, "web-2 is sick", actuators.TargetUnhealthy, true),
		place(1, "web-2 may be sick", actuators.TargetUnhealthy, false),
		place(1, "web-2 registers", actuators.TargetInitial, false),
		named("web-2 is claimed", under(1, actuators.Leaving)),
		named("web-2 is verified", under(1, actuators.Configuring, out(1), passes(1))),
		named("web-2 is to join", under(1, actuators.Verified, out(1), passes(1))),
		gone(1, "web-2 is out", time.Hour),
	}
	most := func(name string, n int, also ...func(*desired.Fleet)) twist {
		return twist{name, func(_ *plan.World, f *desired.Fleet) {
			f.Rollout.MaxUnavailable, f.Rollout.Canary = desired.Amount{Count: n}, &desired.Canary{Nodes: n}
			for _, a := range also {
				a(f)
			}
		}}
	}
	second2 := twist{"two groups", func(w *plan.World, f *desired.Fleet) { twoGroups(w)(f) }}
	return slices.Concat(
		crossed([]string{"v2"}, []twist{most("one may be out", 1), most("two may be out", 2)}, first, second),
		crossed([]string{"v2"}, []twist{
			most("two may be out, of five", 2, func(f *desired.Fleet) { f.Nodes.Expect = 5 }),
			most("all may be out", 4, func(f *desired.Fleet) { f.Rollout.AllowOutage = true }),
			{"one may be out, v2 is proven", func(w *plan.World, _ *desired.Fleet) {
				r := &w.Nodes[3].Host.Record
				r.On, r.Proven, r.Previous = version("v2"), version("v2"), r.Proven
			}},
			most("half may be out", 4, func(f *desired.Fleet) { f.Rollout.MaxUnavailable = desired.Amount{Percent: 50} }),
		}, first, second[:2]),
		crossed([]string{"v2"}, []twist{second2}, []twist{most("two may be out", 2)}, first, second[:3]),
		crossed([]string{"v2", "v1"}, []twist{{"a second group is new", func(w *plan.World, f *desired.Fleet) {
			twoGroups(w)(f)
			w.Groups[1].Members = nil
			for i := range w.Nodes {
				w.Nodes[i].Host.Record.Places = w.Nodes[i].Host.Record.Places[:1]
			}
		}}}, []twist{most("two may be out", 2)}, first, second[:2]),
	)
}

// alone are nodes behind no load balancer: their own checks say who serves.
func alone() []situation {
	bare := func(s situation) situation {
		s.want.Fleet.LoadBalancers, s.world.Groups = nil, nil
		for i := range s.world.Nodes {
			n := &s.world.Nodes[i]
			n.Host.Record.Places, n.Host.Record.Taken = nil, nil
			if i > 1 {
				n.Health = checks(plan.WatchIdle, "v1", health.Passing)
			}
		}
		return s
	}
	var checked, again []twist
	for _, phase := range []plan.WatchPhase{plan.WatchIdle, plan.WatchFirst, plan.WatchVerify, plan.WatchBake} {
		for _, status := range []health.Status{health.Unknown, health.Pending, health.Passing, health.Failing, health.Contradicted} {
			release := "v1"
			if phase != plan.WatchIdle {
				release = "v2"
			}
			name := fmt.Sprintf("%s %s", phase, cmp.Or(string(status), "unheard"))
			checked = append(checked, on(0, name, func(n *plan.Node, _ *actuators.NodeRecord) { n.Health = checks(phase, release, status) }))
		}
	}
	checked = append(checked, on(0, "never checked", func(n *plan.Node, _ *actuators.NodeRecord) { n.Health = plan.Health{} }))
	for _, ago := range []time.Duration{time.Second, 2 * time.Minute} {
		again = append(again, on(1, fmt.Sprintf("web-2 was checked again %s ago", ago), func(n *plan.Node, _ *actuators.NodeRecord) {
			n.Health = checks(plan.WatchAgain, "v1", health.Passing)
			n.Health.Since = start.Add(-ago)
		}))
	}
	again = append(again, on(1, "web-2 passes", func(n *plan.Node, _ *actuators.NodeRecord) { n.Health = checks(plan.WatchIdle, "v1", health.Passing) }),
		on(1, "web-2 fails", func(n *plan.Node, _ *actuators.NodeRecord) { n.Health = checks(plan.WatchIdle, "v1", health.Failing) }))
	stages := []twist{
		{},
		on(0, "no record", func(_ *plan.Node, r *actuators.NodeRecord) { *r = actuators.NodeRecord{} }),
		on(0, "failed before", func(_ *plan.Node, r *actuators.NodeRecord) { r.On, r.Spoiled = version("v2"), true }),
		{"", func(w *plan.World, f *desired.Fleet) { w.Nodes[0].Host.Record, f.Adopt = actuators.NodeRecord{}, false }},
		under(0, actuators.Leaving), under(0, actuators.Configuring), under(0, actuators.Verified),
	}
	for i, name := range []string{"at rest", "no record", "failed before", "no record and not adopted", "claimed", "configured", "verified"} {
		stages[i].name = name
	}
	all := slices.Concat(crossed([]string{"v2"}, stages, checked, again[2:]), crossed([]string{"v2"}, []twist{{"paused", func(_ *plan.World, f *desired.Fleet) { f.Paused = &desired.Pause{Reason: "freeze"} }}}, stages[:4], checked), crossed([]string{"v2"}, stages[4:5], again))
	for i := range all {
		all[i] = bare(all[i])
	}
	return all
}

// fleets are what the parts of a fleet's world bear on.
func fleets() []situation {
	world := func(name string, do func(*plan.World)) twist {
		return twist{name, func(w *plan.World, _ *desired.Fleet) { do(w) }}
	}
	file := func(name string, do func(*desired.Fleet)) twist {
		return twist{name, func(_ *plan.World, f *desired.Fleet) { do(f) }}
	}
	halted := func(on, by int, retry int) twist {
		return world(fmt.Sprintf("web-%d has the halt of web-%d, retry %d", on+1, by+1, retry), func(w *plan.World) {
			r := &w.Nodes[on].Host.Record
			r.Halts = append(r.Halts, actuators.Halt{Digest: "d1-v2", Release: "v2", Node: w.Nodes[by].Name, Retry: retry, Reason: fmt.Sprintf("on web-%d", by+1)})
		})
	}
	lasting := func(on, about int) twist {
		return world(fmt.Sprintf("web-%d says web-%d is away", on+1, about+1), func(w *plan.World) {
			r := &w.Nodes[on].Host.Record
			r.Facts = append(r.Facts, actuators.Fact{Kind: actuators.Away, Node: w.Nodes[about].Name, Instance: w.Nodes[about].ID, Release: "v2"})
		})
	}
	exclude := func(names ...string) twist {
		return file("excluded: "+strings.Join(names, " "), func(f *desired.Fleet) {
			for _, n := range names {
				f.Nodes.Exclude = append(f.Nodes.Exclude, desired.Exclusion{Name: n, Reason: "looked at"})
			}
		})
	}
	stranger := func(group int, id string, status actuators.TargetStatus) twist {
		return world(fmt.Sprintf("%s is %s in group %d", id, cmp.Or(string(status), "unknown"), group+1), func(w *plan.World) {
			m := memberOf(id, status)
			m.Group, m.Port = w.Groups[group].ID, w.Groups[group].Port
			w.Groups[group].Members = append(w.Groups[group].Members, m)
		})
	}
	prune := file("pruned", func(f *desired.Fleet) {
		for i := range f.LoadBalancers {
			f.LoadBalancers[i].Prune = true
		}
	})
	two := twist{"two groups", func(w *plan.World, f *desired.Fleet) { twoGroups(w)(f) }}
	most := file("three may be out", func(f *desired.Fleet) {
		f.Rollout.MaxUnavailable, f.Rollout.Canary = desired.Amount{Count: 3}, &desired.Canary{Nodes: 3, Bake: time.Minute}
	})
	prepare := file("prepared", func(f *desired.Fleet) { f.Configure.Prepare = []desired.Step{{Name: "fetch", Run: "fetch"}} })
	unready := world("records read too long ago", func(w *plan.World) { w.RollCall = start.Add(-time.Minute) })
	former := func(name string, change func(*actuators.GroupState)) twist {
		return world("a former group "+name, func(w *plan.World) {
			m := actuators.Membership{Group: "arn:old", ID: "web-1", Port: 8080}
			g := actuators.GroupState{Group: actuators.Group{ID: "arn:old", Name: "old"}, TargetType: "ip", Port: 8080, At: start,
				Members: []actuators.Target{{Membership: m, Status: actuators.TargetHealthy}}}
			change(&g)
			w.Former = append(w.Former, g)
			w.Nodes[0].Host.Record.Places = append(w.Nodes[0].Host.Record.Places, m)
		})
	}
	claimed := under(0, actuators.Leaving)
	claimed.name = "web-1 is claimed"
	failed := under(0, actuators.Failed, gone(0, "", time.Hour), on(0, "", func(_ *plan.Node, r *actuators.NodeRecord) {
		r.Spoiled, r.Try.Failures, r.Try.Error = true, 2, "no"
	}))
	failed.name = "web-1 failed"
	foreign := on(0, "agent-b works on web-1", func(_ *plan.Node, r *actuators.NodeRecord) {
		r.Stage, r.Claim = actuators.Leaving, &actuators.Claim{Holder: "agent-b", Epoch: 1, Nonce: "b", Expires: start.Add(time.Minute)}
	})
	has := func(i int, v string) twist {
		return on(i, fmt.Sprintf("web-%d has %s", i+1, v), func(_ *plan.Node, r *actuators.NodeRecord) {
			r.On, r.Proven, r.Previous = version(v), version(v), r.Proven
		})
	}
	progress := world("no progress for an hour", func(w *plan.World) { w.Progress = start.Add(-time.Hour) })
	configuring := under(0, actuators.Configuring, gone(0, "", time.Hour))
	configuring.name = "web-1 is configured"
	baking := under(0, actuators.Verified, on(0, "", func(n *plan.Node, _ *actuators.NodeRecord) { n.Health = checks(plan.WatchBake, "v2", health.Pending) }))
	baking.name = "web-1 bakes"
	rows := [][]twist{
		{most}, {most, unready}, {prepare}, {prepare, most}, {prepare, unready}, {most, has(3, "v2")}, {most, sickOnes(2)}, {most, two, sickOnes(2)},
		{world("the node set is not read", func(w *plan.World) { w.Inventory = plan.Source{} })},
		{world("the node set cannot be read", func(w *plan.World) { w.Inventory.Err = "denied" }), failed, lasting(1, 0)},
		{world("the groups are not read", func(w *plan.World) { w.Groups = nil })}, {configuring, world("the groups are not read", func(w *plan.World) { w.Groups = nil })},
		{world("the group cannot be read", func(w *plan.World) { w.Groups[0].Err = "denied" })}, {claimed, world("the group cannot be read", func(w *plan.World) { w.Groups[0].Err = "denied" })},
		{former("serves", func(*actuators.GroupState) {})}, {former("cannot be read", func(g *actuators.GroupState) { g.Err = "denied" })},
		{claimed, former("cannot be read", func(g *actuators.GroupState) { g.Err = "denied" })}, {has(0, "v2"), former("cannot be read", func(g *actuators.GroupState) { g.Err = "denied" })},
		{former("is gone", func(g *actuators.GroupState) { g.Err, g.Missing = "no such group", true })}, {claimed, former("is gone", func(g *actuators.GroupState) { g.Err, g.Missing = "no such group", true })},
		{claimed, former("serves", func(*actuators.GroupState) {})},
		{world("no nodes", func(w *plan.World) { w.Nodes, w.Groups[0].Members = nil, nil })},
		{file("five are expected", func(f *desired.Fleet) { f.Nodes.Expect = 5 })}, {file("five are expected", func(f *desired.Fleet) { f.Nodes.Expect = 5 }), claimed},
		{file("five are expected", func(f *desired.Fleet) { f.Nodes.Expect = 5 }), exclude("web-4", "web-9", "old-1"), stranger(0, "old-1", actuators.TargetHealthy)},
		{foreign}, {foreign, sickOnes(1)}, {foreign, gone(0, "web-1 is out", time.Hour)}, {foreign, unready},
		{halted(0, 0, 0)}, {halted(1, 0, 0)}, {halted(0, 1, 0), halted(1, 1, 0)}, {halted(0, 0, 0), halted(1, 0, 1)}, {halted(0, 0, 0), file("retry 1", func(f *desired.Fleet) { f.Retry = 1 })},
		{halted(0, 0, 0), configuring}, {halted(0, 0, 0), baking}, {halted(1, 0, 0), failed}, {halted(0, 0, 0), has(2, "v2")},
		{failed}, {failed, lasting(1, 0)}, {failed, lasting(1, 0), lasting(2, 0), lasting(3, 0)}, {failed, exclude("web-1"), lasting(1, 0)},
		{lasting(1, 0), exclude("web-1")}, {lasting(1, 0), exclude("web-1"), gone(0, "web-1 is out", time.Hour)}, {lasting(1, 0), exclude("m-web-1"), place(0, "web-1 is sick", actuators.TargetUnhealthy, true)},
		{lasting(1, 0), exclude("web-1"), two, world("web-1 is in the first group alone", func(w *plan.World) { w.Groups[1].Members = w.Groups[1].Members[1:] })},
		{lasting(1, 0), exclude("web-1"), world("the group cannot be read", func(w *plan.World) { w.Groups[0].Err = "denied" })},
		{lasting(2, 0), on(0, "web-1 cannot be read", func(n *plan.Node, _ *actuators.NodeRecord) { n.Read.Err = "timeout" })},
		{lasting(2, 0), on(0, "web-1 was never read", func(n *plan.Node, _ *actuators.NodeRecord) { n.Host, n.Read = nil, plan.Source{Err: "timeout"} })},
		{lasting(2, 1), failed, lasting(2, 0)}, {lasting(2, 0), lasting(2, 1)}, {configuring, world("the agent knows", func(w *plan.World) {
			w.Facts = []actuators.Fact{{Kind: actuators.Away, Node: "web-2", Instance: "m-web-2"}, {Kind: actuators.Away, Node: "web-1", Instance: "m-web-1"}}
		})},
		{has(0, "v2"), has(1, "v2"), has(2, "v2"), has(3, "v2"), world("v2 is on all", func(*plan.World) {})}, {has(0, "v3")}, {has(0, "v3"), configuring}, {has(1, "v3"), baking},
		{file("paused", func(f *desired.Fleet) { f.Paused = &desired.Pause{Reason: "freeze"} })}, {file("paused without a word", func(f *desired.Fleet) { f.Paused = &desired.Pause{} })},
		{file("paused", func(f *desired.Fleet) { f.Paused = &desired.Pause{Reason: "freeze"} }), claimed}, {file("paused", func(f *desired.Fleet) { f.Paused = &desired.Pause{Reason: "freeze"} }), baking},
		{prune, stranger(0, "old-1", actuators.TargetHealthy)}, {stranger(0, "old-1", actuators.TargetHealthy)}, {stranger(0, "old-1", actuators.TargetUnhealthy)}, {stranger(0, "old-1", actuators.TargetDraining)},
		{two, stranger(0, "old-1", actuators.TargetHealthy), stranger(1, "old-1", actuators.TargetUnhealthy), stranger(1, "old-2", actuators.TargetHealthy)},
		{two, prune, stranger(1, "old-1", actuators.TargetUnhealthy), stranger(0, "old-1", actuators.TargetHealthy), stranger(0, "old-0", actuators.TargetHealthy)},
		{two, prune, stranger(1, "old-1", actuators.TargetHealthy)}, {prune, stranger(0, "old-2", actuators.TargetHealthy), stranger(0, "old-1", actuators.TargetInitial)},
		{prune, stranger(0, "old-1", actuators.TargetHealthy), world("it was asked for", func(w *plan.World) { w.Pruned = plan.Removal{ID: "old-1", At: start.Add(-time.Second)} })},
		{prune, stranger(0, "old-1", actuators.TargetHealthy), world("it was asked for long ago", func(w *plan.World) { w.Pruned = plan.Removal{ID: "old-1", At: start.Add(-time.Minute)} })},
		{prune, stranger(0, "old-1", actuators.TargetHealthy), world("another was asked for", func(w *plan.World) { w.Pruned = plan.Removal{ID: "old-2", At: start.Add(-time.Second)} })},
		{prune, stranger(0, "old-1", actuators.TargetHealthy), halted(0, 0, 0)}, {prune, stranger(0, "old-1", actuators.TargetHealthy), configuring},
		{progress}, {progress, configuring}, {progress, baking}, {progress, failed}, {progress, foreign}, {progress, claimed, sickOnes(0, 1, 2)},
		{progress, under(0, actuators.Leaving, place(0, "", actuators.TargetDraining, false)), world("draining for an hour", func(w *plan.World) { w.Nodes[0].Host.Record.StageAt = start.Add(-time.Hour) })},
		{world("little progress", func(w *plan.World) { w.Progress = start.Add(-time.Minute) }), under(0, actuators.Leaving, place(0, "", actuators.TargetDraining, false)),
			world("draining for an hour", func(w *plan.World) { w.Nodes[0].Host.Record.StageAt = start.Add(-time.Hour) })},
		{progress, baking, on(0, "unheard", func(n *plan.Node, _ *actuators.NodeRecord) { n.Health = checks(plan.WatchBake, "v2", health.Unknown) })},
		{claimed, on(0, "a call failed", func(n *plan.Node, _ *actuators.NodeRecord) {
			n.NotBefore, n.Trouble = start.Add(3*time.Second), "throttled"
		})},
		{progress, claimed, on(0, "a call failed a while ago", func(n *plan.Node, _ *actuators.NodeRecord) { n.Trouble = "throttled" })},
		{configuring, on(0, "it cannot be read", func(n *plan.Node, _ *actuators.NodeRecord) { n.Read.Err = "timeout" })}, {configuring, on(0, "to be read again", func(n *plan.Node, _ *actuators.NodeRecord) { n.Stale = true })},
		{configuring, on(0, "an earlier process's", func(_ *plan.Node, r *actuators.NodeRecord) { r.Claim.Epoch, r.Claim.Nonce = 2, "n2" })},
		{on(0, "not read yet", func(n *plan.Node, _ *actuators.NodeRecord) { n.Host, n.Read = nil, plan.Source{} })},
		{on(0, "a newer windlass's record", func(_ *plan.Node, r *actuators.NodeRecord) { r.On.Algorithm = 9 })},
		{on(0, "another machine's record", func(_ *plan.Node, r *actuators.NodeRecord) { r.Instance = "m-other" })},
		{on(0, "another node's place in its record", func(_ *plan.Node, r *actuators.NodeRecord) { r.Places[0].ID = "web-9" }), has(0, "v2"), gone(0, "web-1 is out", time.Hour),
			on(0, "it passes", func(n *plan.Node, _ *actuators.NodeRecord) { n.Health = checks(plan.WatchVerify, "v2", health.Passing) })},
		{on(0, "a note of its balancer", func(*plan.Node, *actuators.NodeRecord) {}), world("", func(w *plan.World) { w.Groups[0].Members[0].Reason = "Target.HealthCheckDisabled" })},
		{has(0, "v2"), world("a note of its balancer", func(w *plan.World) { w.Groups[0].Members[0].Reason = "Target.HealthCheckDisabled" })},
		{on(0, "it drifts after two repairs", func(n *plan.Node, r *actuators.NodeRecord) {
			r.Repairs, r.StageAt, n.Health = 2, start.Add(-time.Minute), checks(plan.WatchIdle, "v1", health.Contradicted)
		})},
		{file("not adopted", func(f *desired.Fleet) { f.Adopt = false }), on(0, "no record", func(_ *plan.Node, r *actuators.NodeRecord) { *r = actuators.NodeRecord{} })},
		{file("no check names the release", func(f *desired.Fleet) { f.Unproven = "no {release}" }), on(0, "no record", func(_ *plan.Node, r *actuators.NodeRecord) { *r = actuators.NodeRecord{} })},
	}
	rows = append(rows, oddities()...)
	var all []situation
	for _, row := range rows {
		for _, release := range []string{"v2", "v1"} {
			s := quiet(release, row...)
			s.name, s.want.Older = release+" wanted, "+s.name, map[int]string{0: "d0-" + release}
			all = append(all, s)
		}
	}
	for _, change := range []struct {
		name string
		do   func(*plan.Want)
	}{
		{"released", func(w *plan.Want) { w.Released = true }}, {"blocked", func(w *plan.Want) { w.Blocked = "history was rewritten" }},
		{"another configuration", func(w *plan.Want) { w.Version.Digest = "d1-v1b" }},
	} {
		for _, row := range [][]twist{{}, {claimed}, {configuring}, {baking}, {failed}, {halted(0, 0, 0)}, {prune, stranger(0, "old-1", actuators.TargetHealthy)}} {
			s := quiet("v1", row...)
			change.do(&s.want)
			s.name = "v1 wanted, " + change.name + ", " + s.name
			all = append(all, s)
		}
	}
	return all
}

// sickOnes are nodes that their balancer finds unhealthy.
func sickOnes(at ...int) twist {
	return twist{fmt.Sprintf("sick: %d", at), func(w *plan.World, _ *desired.Fleet) {
		for _, i := range at {
			m := memberIn(w, i)
			m.Status, m.Reason, m.AtFault = actuators.TargetUnhealthy, "Target.Timeout", true
		}
	}}
}

// groups are two groups that may lose different nodes: each is weighed by itself.
func groups() []situation {
	in := func(w *plan.World, g, i int) *actuators.Target {
		at := slices.IndexFunc(w.Groups[g].Members, func(t actuators.Target) bool { return t.ID == w.Nodes[i].Name })
		return &w.Groups[g].Members[at]
	}
	sick := func(g, i int) twist {
		return twist{fmt.Sprintf("web-%d is sick in group %d", i+1, g+1), func(w *plan.World, _ *desired.Fleet) {
			m := in(w, g, i)
			m.Status, m.Reason, m.AtFault = actuators.TargetUnhealthy, "Target.Timeout", true
		}}
	}
	missing := func(i int, name string, known bool) twist {
		return twist{fmt.Sprintf("web-%d is not in group 2, %s", i+1, name), func(w *plan.World, _ *desired.Fleet) {
			w.Groups[1].Members = slices.Delete(w.Groups[1].Members, i, i+1)
			if r := &w.Nodes[i].Host.Record; !known {
				r.Places = r.Places[:1]
			}
		}}
	}
	stranger := func(status actuators.TargetStatus) twist {
		return twist{"old-1 in group 2: " + string(status), func(w *plan.World, _ *desired.Fleet) {
			m := memberOf("old-1", status)
			m.Group, m.Port = "arn:two", 9090
			w.Groups[1].Members = append(w.Groups[1].Members, m)
		}}
	}
	out := func(name string, n int, do func(*desired.Fleet)) twist {
		return twist{name, func(w *plan.World, f *desired.Fleet) {
			f.Rollout.MaxUnavailable, f.Rollout.Canary = desired.Amount{Count: n}, &desired.Canary{Nodes: max(n, 2)}
			if do != nil {
				do(f)
			}
		}}
	}
	two := twist{"", func(w *plan.World, f *desired.Fleet) {
		twoGroups(w)(f)
		f.LoadBalancers[1].Prune = true
	}}
	left := twist{"web-2 has left group 2", func(w *plan.World, _ *desired.Fleet) {
		r := own(w, 1, actuators.Leaving)
		r.Taken = []actuators.Membership{in(w, 1, 1).Membership, in(w, 0, 1).Membership}
		r.Places = r.Places[:1]
		w.Groups[1].Members = slices.Delete(w.Groups[1].Members, 1, 2)
		w.Nodes[1].Asked, w.Nodes[1].AskedAt = plan.Drain, start.Add(-time.Minute)
	}}
	drains := twist{"web-2 drains in group 2", func(w *plan.World, _ *desired.Fleet) { in(w, 1, 1).Status = actuators.TargetDraining }}
	few := twist{"only web-1 and web-2", func(w *plan.World, _ *desired.Fleet) {
		w.Nodes = w.Nodes[:2]
		for g := range w.Groups {
			w.Groups[g].Members = w.Groups[g].Members[:2]
		}
	}}
	nobody := twist{"nobody can start", func(w *plan.World, _ *desired.Fleet) {
		for i := range w.Nodes {
			w.Nodes[i].NotBefore, w.Nodes[i].Trouble = start.Add(time.Minute), "denied"
		}
	}}
	none := twist{"no node in group 2", func(w *plan.World, _ *desired.Fleet) {
		w.Groups[1].Members = nil
		for i := range w.Nodes {
			w.Nodes[i].Host.Record.Places = w.Nodes[i].Host.Record.Places[:1]
		}
	}}
	limits := []twist{out("one may be out", 1, nil), out("two may be out", 2, nil), out("three may be out, none need serve", 3, func(f *desired.Fleet) { f.Rollout.AllowOutage = true })}
	second := []twist{{}, sick(0, 1), sick(1, 1), missing(1, "where it was", true), missing(1, "where it never was", false), left, drains}
	return slices.Concat(
		crossed([]string{"v2"}, []twist{few}, []twist{two}, limits, []twist{nobody}, []twist{{}, none}, []twist{{}, sick(0, 0)}, []twist{stranger(actuators.TargetHealthy), stranger(actuators.TargetUnhealthy)}),
		crossed([]string{"v2"}, []twist{two}, limits, []twist{{}, sick(0, 0), sick(1, 0)}, second, []twist{{}, stranger(actuators.TargetHealthy), stranger(actuators.TargetUnhealthy)}),
		crossed([]string{"v2", "v1"}, []twist{few}, []twist{two}, limits, []twist{{}, sick(0, 0), sick(1, 0)}, []twist{{}, sick(1, 1), missing(1, "where it was", true), left, drains},
			[]twist{{}, stranger(actuators.TargetHealthy), stranger(actuators.TargetUnhealthy), stranger(actuators.TargetDraining)}),
	)
}

// surelyOut are nodes in no group, that a reading may be behind on.
func surelyOut() []situation {
	var outs, asked, read []twist
	for _, ago := range []time.Duration{-1, time.Second, 5 * time.Second, time.Hour} {
		t := gone(0, fmt.Sprintf("out for %s", ago), ago)
		if ago < 0 {
			t = twist{"in no group, and not yet seen so", func(w *plan.World, _ *desired.Fleet) { w.Groups[0].Members = w.Groups[0].Members[1:] }}
		}
		outs = append(outs, t)
	}
	for _, k := range []plan.Kind{"", plan.Add, plan.Drain} {
		for _, ago := range []time.Duration{time.Second, time.Minute} {
			asked = append(asked, on(0, fmt.Sprintf("asked to %s %s ago", cmp.Or(string(k), "nothing"), ago), func(n *plan.Node, _ *actuators.NodeRecord) {
				if n.Asked = k; k != "" {
					n.AskedAt = start.Add(-ago)
				}
			}))
		}
	}
	for _, ago := range []time.Duration{0, 500 * time.Millisecond, 3 * time.Second} {
		read = append(read, twist{fmt.Sprintf("read %s ago", ago), func(w *plan.World, _ *desired.Fleet) {
			w.Groups[0].At, w.GroupsRead = start.Add(-ago), start.Add(-ago)
		}})
	}
	claimed := under(0, actuators.Leaving)
	claimed.name = "claimed"
	stages := []twist{claimed, on(0, "new", func(_ *plan.Node, r *actuators.NodeRecord) { *r = actuators.NodeRecord{} })}
	return crossed([]string{"v2"}, stages, outs, asked[1:], read)
}

// inFlight are steps that are being done, or that broke off.
func inFlight() []situation {
	var busy []twist
	for _, k := range []plan.Kind{plan.Adopt, plan.Take, plan.Prepare, plan.Leave, plan.Drain, plan.Configure, plan.Add, plan.Prove, plan.Restore, plan.Fail, plan.Bake, plan.Halt} {
		busy = append(busy,
			on(0, string(k)+" in flight", func(n *plan.Node, _ *actuators.NodeRecord) { n.Busy, n.Since = k, start.Add(-3*time.Second) }),
			on(0, string(k)+" broke off", func(n *plan.Node, _ *actuators.NodeRecord) { n.Doubt, n.Stale = k, true }))
	}
	var stages []twist
	for _, s := range []actuators.Stage{actuators.Idle, actuators.Preparing, actuators.Leaving, actuators.Configuring, actuators.Verified} {
		t := twist{string(s), nil}
		if s != actuators.Idle {
			t.do = under(0, s).do
		}
		stages = append(stages, t)
	}
	return crossed([]string{"v2"}, stages, busy)
}

// forecasts are rollouts played through.
func forecasts() []situation {
	failing := func(i int, phase plan.WatchPhase, status health.Status) twist {
		return on(i, fmt.Sprintf("web-%d: %s %s", i+1, phase, status), func(n *plan.Node, r *actuators.NodeRecord) {
			*r, n.Health = actuators.NodeRecord{}, checks(phase, "v2", status)
		})
	}
	prune := twist{"old-1 is pruned", func(w *plan.World, f *desired.Fleet) {
		w.Groups[0].Members = append(w.Groups[0].Members, memberOf("old-1", actuators.TargetHealthy))
		f.LoadBalancers[0].Prune = true
	}}
	never := on(0, "web-1 was never read", func(n *plan.Node, _ *actuators.NodeRecord) { n.Host = nil })
	claimed, joins, verified := under(0, actuators.Leaving, place(0, "", actuators.TargetDraining, false)), under(0, actuators.Verified, place(0, "", actuators.TargetInitial, false)), under(0, actuators.Verified, gone(0, "", time.Hour))
	claimed.name, joins.name, verified.name = "web-1 drains", "web-1 joins", "web-1 is to join"
	canary := twist{"a canary bakes long", func(_ *plan.World, f *desired.Fleet) {
		f.Rollout.Canary = &desired.Canary{Nodes: 1, Bake: 2 * time.Hour}
	}}
	former := twist{"web-1 is in a former group too", func(w *plan.World, _ *desired.Fleet) {
		m := actuators.Membership{Group: "arn:old", ID: "web-1", Port: 8080}
		w.Former = []actuators.GroupState{{Group: actuators.Group{ID: "arn:old", Name: "old"}, TargetType: "ip", Port: 8080, At: start, Members: []actuators.Target{{Membership: m, Status: actuators.TargetHealthy}}}}
		w.Nodes[0].Host.Record.Places = append(w.Nodes[0].Host.Record.Places, m)
	}}
	two := twist{"two groups", func(w *plan.World, f *desired.Fleet) { twoGroups(w)(f) }}
	old := twist{"records read long ago", func(w *plan.World, _ *desired.Fleet) {
		w.RollCall, w.GroupsRead = start.Add(-time.Hour), start.Add(-time.Hour)
	}}
	later := on(0, "web-1 is tried again in two hours", func(n *plan.Node, _ *actuators.NodeRecord) { n.NotBefore, n.Trouble = start.Add(2*time.Hour), "denied" })
	soon := on(0, "web-1 is tried again in an hour", func(n *plan.Node, _ *actuators.NodeRecord) { n.NotBefore, n.Trouble = start.Add(time.Hour), "denied" })
	ramping := place(0, "web-1 ramps up", actuators.TargetRamping, false)
	drains := place(0, "web-1 drains by somebody's hand", actuators.TargetDraining, false)
	var all []situation
	for _, row := range [][]twist{
		{}, {prune}, {prune, two}, {claimed}, {joins}, {verified}, {canary}, {former}, {two}, {old}, {later}, {soon}, {ramping}, {drains}, {never}, {gone(0, "web-1 is out a minute", time.Minute)}, {gone(0, "web-1 is out an hour", time.Hour)},
		{failing(0, plan.WatchVerify, health.Failing)}, {failing(0, plan.WatchVerify, health.Contradicted)}, {failing(0, plan.WatchFirst, health.Failing)}, {failing(0, plan.WatchVerify, health.Pending)}, {failing(0, plan.WatchIdle, health.Failing)},
		{failing(0, plan.WatchVerify, health.Passing)}, {twist{"paused", func(_ *plan.World, f *desired.Fleet) { f.Paused = &desired.Pause{Reason: "freeze"} }}, claimed},
		{on(0, "web-1 drifts", func(n *plan.Node, _ *actuators.NodeRecord) {
			n.Health = checks(plan.WatchIdle, "v1", health.Contradicted)
		})},
		{on(0, "web-1 has v2, its checks fail", func(n *plan.Node, r *actuators.NodeRecord) {
			r.On, r.Proven, n.Health = version("v2"), version("v2"), checks(plan.WatchVerify, "v2", health.Failing)
		}), gone(0, "web-1 is out", time.Hour)},
	} {
		for _, release := range []string{"v2", "v1"} {
			s := quiet(release, row...)
			s.name = release + " wanted, " + s.name
			all = append(all, s)
		}
	}
	return all
}

// oddities are worlds that are rare, each with what bears on it.
func oddities() [][]twist {
	static := twist{"static nodes", func(w *plan.World, _ *desired.Fleet) {
		for i := range w.Nodes {
			w.Nodes[i].ID = ""
		}
	}}
	world := func(name string, do func(*plan.World)) twist {
		return twist{name, func(w *plan.World, _ *desired.Fleet) { do(w) }}
	}
	says := func(by int, f actuators.Fact) twist {
		return on(by, fmt.Sprintf("web-%d says %s is %s", by+1, f.Node, f.Kind), func(_ *plan.Node, r *actuators.NodeRecord) { r.Facts = append(r.Facts, f) })
	}
	away := actuators.Fact{Kind: actuators.Away, Node: "web-1", Instance: "m-web-1", Release: "v2"}
	exclude := func(names ...string) twist {
		return twist{"excluded: " + strings.Join(names, " "), func(_ *plan.World, f *desired.Fleet) {
			for _, n := range names {
				f.Nodes.Exclude = append(f.Nodes.Exclude, desired.Exclusion{Name: n, Reason: "looked at"})
			}
		}}
	}
	failed := under(0, actuators.Failed, gone(0, "", time.Hour), on(0, "", func(_ *plan.Node, r *actuators.NodeRecord) {
		r.Spoiled, r.Try.Failures, r.Try.Error = true, 2, "no"
	}))
	failed.name = "web-1 failed"
	halted := on(3, "v2 is halted", func(_ *plan.Node, r *actuators.NodeRecord) {
		r.Halts = []actuators.Halt{{Digest: "d1-v2", Release: "v2", Node: "web-4", Reason: "no"}}
	})
	claim := func(nonce string) twist {
		return on(0, "web-1 has a claim of "+nonce, func(_ *plan.Node, r *actuators.NodeRecord) {
			r.Claim = &actuators.Claim{Holder: "agent-a", Epoch: 3, Nonce: nonce, Expires: start.Add(time.Minute)}
			if nonce == "n2" {
				r.Claim.Epoch = 2
			}
		})
	}
	claimed := under(0, actuators.Leaving)
	claimed.name = "web-1 is claimed"
	verified := under(0, actuators.Verified, gone(0, "", time.Hour))
	verified.name = "web-1 is verified"
	configuring := under(0, actuators.Configuring, gone(0, "", time.Hour))
	configuring.name = "web-1 is configured"
	denied := world("the node set is denied", func(w *plan.World) { w.Inventory.Err = "denied" })
	sick := sickOnes
	alone := twist{"no balancers", func(w *plan.World, f *desired.Fleet) {
		w.Groups, f.LoadBalancers = nil, nil
		for i := range w.Nodes {
			n := &w.Nodes[i]
			n.Host.Record.Places, n.Host.Record.Taken, n.Health = nil, nil, checks(plan.WatchIdle, "v1", health.Passing)
		}
	}}
	two := twist{"two groups", func(w *plan.World, f *desired.Fleet) { twoGroups(w)(f) }}
	many := func(n int) twist {
		return twist{fmt.Sprintf("%d nodes", n), func(w *plan.World, f *desired.Fleet) {
			*w = fleetOf(n, "v1")
			f.Rollout.MaxUnavailable, f.Rollout.Canary = desired.Amount{Count: n}, &desired.Canary{Nodes: n}
		}}
	}
	prepare := twist{"prepared", func(_ *plan.World, f *desired.Fleet) {
		f.Configure.Prepare = []desired.Step{{Name: "fetch", Run: "fetch"}}
	}}
	allNew := world("all are new", func(w *plan.World) {
		for i := range w.Nodes {
			w.Nodes[i].Host.Record, w.Nodes[i].Out = actuators.NodeRecord{}, start.Add(-time.Hour)
		}
		w.Groups[0].Members = nil
	})
	prune := func(id string, s actuators.TargetStatus) twist {
		return twist{id + " is to be pruned, " + string(s), func(w *plan.World, f *desired.Fleet) {
			w.Groups[0].Members = append([]actuators.Target{memberOf(id, s)}, w.Groups[0].Members...)
			f.LoadBalancers[0].Prune = true
		}}
	}
	at := func(name string, ago time.Duration) twist {
		return on(0, "its stage began "+name, func(_ *plan.Node, r *actuators.NodeRecord) { r.StageAt = start.Add(-ago) })
	}
	tail := func(n int) twist {
		return on(0, fmt.Sprintf("its job failed with %d bytes of words", n), func(node *plan.Node, _ *actuators.NodeRecord) {
			node.Host.Job = actuators.JobState{Key: "d1-v2-x-0-activate", Exited: true, Exit: 3, Step: "install", Tail: "no   " + strings.Repeat("x", n)}
		})
	}
	delay := func(d time.Duration) twist {
		return world("deregistration takes "+d.String(), func(w *plan.World) { w.Groups[0].Delay = d })
	}
	drains := under(0, actuators.Leaving, place(0, "", actuators.TargetDraining, false))
	drains.name = "web-1 drains"
	twice := world("web-1 is twice in the group", func(w *plan.World) {
		m := w.Groups[0].Members[0]
		m.Port = 9999
		w.Groups[0].Members = append(w.Groups[0].Members, m)
	})
	older := on(3, "v2 is halted by an older name", func(_ *plan.Node, r *actuators.NodeRecord) {
		r.Halts = []actuators.Halt{{Digest: "d0-v2", Release: "v2", Node: "web-4", Reason: "no"}}
	})
	asked := func(i int, k plan.Kind, ago time.Duration) twist {
		return on(i, fmt.Sprintf("web-%d was asked to %s %s ago", i+1, k, ago), func(n *plan.Node, _ *actuators.NodeRecord) { n.Asked, n.AskedAt = k, start.Add(-ago) })
	}
	old := func(i int, read time.Duration, trouble string) twist {
		return world(fmt.Sprintf("web-%d was in a former group, read %s ago %s", i+1, read, trouble), func(w *plan.World) {
			r := &w.Nodes[i].Host.Record
			r.Places = append(r.Places, actuators.Membership{Group: "arn:old", ID: w.Nodes[i].Name, Port: 8080})
			w.Former = []actuators.GroupState{{Group: actuators.Group{ID: "arn:old", Name: "old"}, TargetType: "ip", Port: 8080, At: start.Add(-read), Err: trouble}}
		})
	}
	backoff := func(i int, left time.Duration) twist {
		return on(i, fmt.Sprintf("web-%d waits for %s", i+1, left), func(n *plan.Node, _ *actuators.NodeRecord) { n.NotBefore, n.Trouble = start.Add(left), "denied" })
	}
	halt := func(retry int) func(*plan.Node, *actuators.NodeRecord) {
		return func(n *plan.Node, r *actuators.NodeRecord) {
			r.Halts = append(r.Halts, actuators.Halt{Digest: "d1-v2", Release: "v2", Node: n.Name, Retry: retry, Reason: "no"})
		}
	}
	retried := twist{"retry 1", func(_ *plan.World, f *desired.Fleet) { f.Retry = 1 }}
	under2 := func(i int) twist {
		return twist{"", func(w *plan.World, _ *desired.Fleet) {
			r := own(w, i, actuators.Configuring)
			r.On, r.Try = version("v2"), actuators.Try{Version: version("v2"), ID: "x"}
		}}
	}
	unread := world("records were read long ago", func(w *plan.World) { w.RollCall = start.Add(-time.Minute) })
	unproven := on(0, "it has v2, unproven", func(_ *plan.Node, r *actuators.NodeRecord) { r.On = version("v2") })
	drift := on(0, "it drifts", func(n *plan.Node, r *actuators.NodeRecord) {
		n.Health = checks(plan.WatchIdle, r.On.Release, health.Contradicted)
	})
	stuck := world("no progress for an hour", func(w *plan.World) { w.Progress = start.Add(-time.Hour) })
	strange := func(h plan.Health) twist {
		return twist{fmt.Sprintf("web-1 is not adopted, %s %s %s", h.Phase, h.Release, h.Status), func(w *plan.World, f *desired.Fleet) {
			w.Nodes[0].Host.Record, w.Nodes[0].Health, f.Adopt = actuators.NodeRecord{}, h, false
		}}
	}
	neither := world("web-1 may serve, and leaves", func(w *plan.World) { w.Groups[0].Members[0].Status = actuators.TargetInitial })
	return [][]twist{
		{static}, {static, says(1, away), exclude("web-1")}, {static, says(1, away), exclude("web-1"), gone(0, "web-1 is out", time.Hour)}, {static, failed}, {static, failed, says(1, away)},
		{static, world("web-1 and web-2 are one machine", func(w *plan.World) { w.Nodes[1].Host.Machine, w.Nodes[1].Host.Record.Instance = "m-web-1", "m-web-1" })},
		{static, claimed, world("web-2 and web-3 are one machine", func(w *plan.World) { w.Nodes[2].Host.Machine, w.Nodes[2].Host.Record.Instance = "m-web-2", "m-web-2" })},
		{static, on(0, "web-1 was never read", func(n *plan.Node, _ *actuators.NodeRecord) { n.Host, n.Read = nil, plan.Source{Err: "timeout"} })},
		{static, says(2, away), on(0, "web-1 was never read", func(n *plan.Node, _ *actuators.NodeRecord) { n.Host, n.Read = nil, plan.Source{Err: "timeout"} })},
		{says(1, away), exclude("web-1"), alone}, {says(1, actuators.Fact{Kind: "other", Node: "web-1", Instance: "m-web-1"}), failed}, {says(1, actuators.Fact{Kind: actuators.Away, Node: "old", Instance: "m-web-1"}), failed},
		{says(1, actuators.Fact{Kind: actuators.Away, Node: "web-1", Instance: "m-old"}), failed}, {says(1, actuators.Fact{Kind: actuators.Away, Node: "old", Instance: "m-old"})}, {says(1, actuators.Fact{Kind: actuators.Away, Node: "old", Instance: "m-old"}), denied},
		{says(2, actuators.Fact{Kind: actuators.Away, Node: "web-9", Instance: "m-9"}), says(1, actuators.Fact{Kind: actuators.Away, Node: "web-8", Instance: "m-8"}), denied, failed},
		{halted, claim("n3")}, {halted, claim("n2")}, {halted, on(0, "web-1 is busy", func(n *plan.Node, _ *actuators.NodeRecord) { n.Busy = plan.Halt })},
		{halted, on(0, "web-1 is to be tried later", func(n *plan.Node, _ *actuators.NodeRecord) { n.NotBefore, n.Trouble = start.Add(time.Second), "no" })},
		{halted, on(0, "web-1 was never read", func(n *plan.Node, _ *actuators.NodeRecord) { n.Host, n.Read = nil, plan.Source{Err: "timeout"} })},
		{halted, failed}, {halted, on(0, "v3 failed on web-1", func(_ *plan.Node, r *actuators.NodeRecord) {
			r.Stage, r.Spoiled, r.Try = actuators.Failed, true, actuators.Try{Version: version("v3"), ID: "x", Failures: 2, Error: "no", Earlier: "d1-v0"}
		})},
		{halted, on(0, "v2 failed once on web-1", func(_ *plan.Node, r *actuators.NodeRecord) {
			r.Try = actuators.Try{Version: version("v2"), ID: "x", Failures: 1}
		})},
		{halted, on(0, "another halt on web-1", func(_ *plan.Node, r *actuators.NodeRecord) {
			r.Halts = []actuators.Halt{{Digest: "d1-v0", Node: "web-1", Retry: 7}}
		})},
		{older}, {claimed, denied}, {claimed, denied, alone}, {claimed, neither, sick(1, 2)}, {claimed, alone, world("and never checked", func(w *plan.World) { w.Nodes[0].Health = plan.Health{} })},
		{verified, alone}, {configuring, alone}, {failed, alone}, {alone, sick()}, {alone, on(0, "web-1 cannot be read", func(n *plan.Node, _ *actuators.NodeRecord) { n.Read.Err = "timeout" })},
		{alone, on(0, "web-1 was never read", func(n *plan.Node, _ *actuators.NodeRecord) { n.Host, n.Read = nil, plan.Source{Err: "timeout"} })}, {alone, on(0, "web-1 is to be read again", func(n *plan.Node, _ *actuators.NodeRecord) { n.Stale = true })},
		{many(12)}, {many(12), prepare}, {many(12), allNew}, {many(12), allNew, prepare},
		{prune("old-1", actuators.TargetHealthy), denied}, {prune("old-1", actuators.TargetHealthy), world("the call is in flight", func(w *plan.World) { w.Pruned = plan.Removal{ID: "old-1", Busy: true, At: start.Add(-time.Minute)} })},
		{prune("old-2", actuators.TargetHealthy), prune("old-1", actuators.TargetDraining)}, {prune("old-1", actuators.TargetHealthy), two}, {prune("old-2", actuators.TargetHealthy), prune("old-1", actuators.TargetHealthy), two},
		{drains, at("a second ahead", -time.Second)}, {drains, at("two seconds ahead", -2*time.Second)}, {drains, at("a year ago", 365*24*time.Hour)}, {drains, at("longer ago", 366*24*time.Hour)},
		{drains, on(0, "its stage began nobody knows when", func(_ *plan.Node, r *actuators.NodeRecord) { r.StageAt = time.Time{} })}, {drains, delay(time.Hour)}, {drains, delay(9 * time.Minute)}, {drains, delay(9*time.Minute + time.Second)},
		{configuring, tail(20)}, {configuring, tail(268)}, {configuring, tail(269)}, {configuring, tail(400)}, {twice}, {twice, claimed}, {twice, sick(0)},
		{exclude("web-4", "old-1", "web-9"), prune("old-1", actuators.TargetHealthy), twist{"eight are expected", func(_ *plan.World, f *desired.Fleet) { f.Nodes.Expect = 8 }}},
		{world("no progress is known", func(w *plan.World) { w.Progress = time.Time{} }), drains, at("an hour ago", time.Hour)},
		{world("no progress for an hour", func(w *plan.World) { w.Progress = start.Add(-time.Hour) }), drains, at("an hour ago", time.Hour), under(1, actuators.Leaving, sick(2))},
		{on(0, "v1 is proven twice over", func(_ *plan.Node, r *actuators.NodeRecord) { r.Previous = r.Proven })}, {claimed, gone(0, "it is out", time.Hour), on(0, "v1 fails to return", func(n *plan.Node, _ *actuators.NodeRecord) {
			n.Health = checks(plan.WatchVerify, "v1", health.Failing)
		})},
		{claimed, on(0, "registered again for eleven minutes", func(n *plan.Node, r *actuators.NodeRecord) {
			r.StageAt, n.Staged, n.Asked, n.AskedAt = start.Add(-11*time.Minute), start.Add(-11*time.Minute), plan.Add, start.Add(-11*time.Minute)
		}), sick(0)},
		{on(0, "web-1 has a port of its own", func(_ *plan.Node, r *actuators.NodeRecord) {
			r.On, r.Proven = version("v2"), version("v2")
			r.Places = []actuators.Membership{{Group: "arn:web", ID: "web-1", Port: 7001}, {Group: "arn:other", ID: "web-1", Port: 7002}, {Group: "arn:web", ID: "web-9", Port: 7003}}
		}), world("arn:other is gone", func(w *plan.World) {
			w.Former = []actuators.GroupState{{Group: actuators.Group{ID: "arn:other", Name: "other"}, TargetType: "ip", At: start, Err: "gone", Missing: true}}
		}), gone(0, "it is out", time.Hour), on(0, "it passes", func(n *plan.Node, _ *actuators.NodeRecord) { n.Health = checks(plan.WatchVerify, "v2", health.Passing) })},
		// a reading of a former group, and what was asked since
		{configuring, asked(0, plan.Add, time.Second), old(2, time.Minute, "denied")}, {configuring, asked(0, plan.Add, time.Second), old(2, time.Minute, "")}, {configuring, asked(0, plan.Add, 6*time.Second), old(2, 0, "")},
		{configuring, asked(0, plan.Drain, time.Minute), old(0, 0, "denied")}, {claimed, old(0, 0, "denied"), on(0, "left there", func(_ *plan.Node, r *actuators.NodeRecord) {
			r.Taken, r.Places = append(r.Taken, r.Places[1]), r.Places[:1]
		})}, {claimed, old(2, 0, "denied")}, {says(1, away), exclude("web-1"), old(1, 0, "")},
		// what time alone changes
		{backoff(0, 3*time.Second), backoff(1, 5*time.Second)}, {backoff(0, 5*time.Second), backoff(1, 3*time.Second)}, {backoff(0, 100*time.Nanosecond)}, {backoff(0, 5*time.Second), prune("old-1", actuators.TargetHealthy), world("asked for just now", func(w *plan.World) {
			w.Pruned = plan.Removal{ID: "old-2", At: start.Add(-time.Second)}
		})},
		{retried, on(0, "v2 was halted on web-1", halt(0)), on(1, "and again on web-2", halt(1))}, {on(0, "v2 was halted on web-1", halt(1)), on(1, "and before on web-2", halt(0))},
		// limits
		{many(12), prepare, world("two are prepared", func(w *plan.World) {
			w.Nodes[0].Host.Record.Prepared, w.Nodes[1].Host.Record.Prepared = "d1-v2", "d1-v2"
		}), twist{"one may be out", func(_ *plan.World, f *desired.Fleet) { f.Rollout.MaxUnavailable.Count = 1 }}},
		{many(12), prepare, under(0, actuators.Preparing), on(1, "one is prepared, another about to be", func(n *plan.Node, _ *actuators.NodeRecord) { n.Busy = plan.Prepare })},
		{many(12), allNew, under2(0), on(1, "one is configured, another about to be", func(n *plan.Node, _ *actuators.NodeRecord) { n.Busy = plan.Configure })},
		// old records
		{unread, prepare}, {unread, under(0, actuators.Verified)}, {unread, gone(0, "web-1 is out", time.Hour)}, {unread, unproven}, {unread, many(3), world("", func(w *plan.World) { w.RollCall = start.Add(-time.Minute) })},
		{unread, many(12), allNew, world("all records", func(w *plan.World) { w.RollCall = start.Add(-time.Minute) })}, {unread, prepare, many(12), world("all records", func(w *plan.World) { w.RollCall = start.Add(-time.Minute) })},
		{unread, under(0, actuators.Verified), twist{"three may be out", func(_ *plan.World, f *desired.Fleet) {
			f.Rollout.MaxUnavailable, f.Rollout.Canary = desired.Amount{Count: 3}, &desired.Canary{Nodes: 3}
		}}},
		{world("the first group was read 3 s ago", func(*plan.World) {}), two, claimed, gone(0, "out for 6 s", 6*time.Second), world("", func(w *plan.World) { w.Groups[0].At = start.Add(-3 * time.Second) })},
		// behind no balancer, not adopted
		{alone, strange(plan.Health{})}, {alone, strange(checks(plan.WatchFirst, "v2", health.Pending))}, {alone, strange(checks(plan.WatchFirst, "v0", health.Pending))}, {alone, strange(checks(plan.WatchVerify, "v2", health.Pending))},
		{alone, on(0, "never checked", func(n *plan.Node, _ *actuators.NodeRecord) { n.Health = plan.Health{} })},
		// what is written
		{retried, claimed, gone(0, "it is out", time.Hour), on(0, "v2 failed before the retry", func(_ *plan.Node, r *actuators.NodeRecord) {
			r.Spoiled, r.On, r.Try = true, version("v2"), actuators.Try{Version: version("v2"), ID: "x", Failures: 2, Error: "no"}
		})},
		{under(0, actuators.Verified), on(0, "it fails while it bakes, nothing taken", func(n *plan.Node, r *actuators.NodeRecord) {
			r.Taken, n.Health = nil, checks(plan.WatchBake, "v2", health.Failing)
		})},
		{under(0, actuators.Verified), on(0, "it bakes what it had, repaired twice", func(n *plan.Node, r *actuators.NodeRecord) {
			r.On, r.Previous, r.Repairs, n.Health = version("v1"), version("v0"), 2, checks(plan.WatchBake, "v1", health.Passing)
		})},
		{prepare, under(0, actuators.Preparing), on(0, "spoiled, its job failed", func(n *plan.Node, r *actuators.NodeRecord) {
			r.Spoiled, n.Host.Job = true, ended("d1-v2-x-0-prepare", 3)
		})},
		{static, configuring, on(1, "web-2 was never read", func(n *plan.Node, _ *actuators.NodeRecord) { n.Host, n.Read = nil, plan.Source{Err: "timeout"} })},
		{on(0, "its balancer says nothing", func(*plan.Node, *actuators.NodeRecord) {}), world("", func(w *plan.World) {
			w.Groups[0].Members[0].Status, w.Groups[0].Members[0].Reason = actuators.TargetUnused, "Target.NotInUse"
		})},
		{on(0, "v1 is prepared for elsewhere", func(_ *plan.Node, r *actuators.NodeRecord) { r.On.Release, r.On.Digest = "v2", "d1-other" })},
		{prepare, on(0, "v2 failed on it, it serves", func(_ *plan.Node, r *actuators.NodeRecord) {
			r.Stage, r.Spoiled, r.Try = actuators.Failed, true, actuators.Try{Version: version("v3"), ID: "x", Failures: 2, Error: "no"}
		})},
		{prepare, sick(0)}, {prepare, gone(0, "web-1 is out", time.Hour)}, {claimed, two, world("its second group is read again", func(w *plan.World) { w.Groups[0].Members = w.Groups[0].Members[1:] })},
		// what was never proven
		{unproven}, {unproven, drift}, {unproven, on(0, "spoiled", func(_ *plan.Node, r *actuators.NodeRecord) { r.Spoiled = true })}, {unproven, on(0, "repaired twice", func(_ *plan.Node, r *actuators.NodeRecord) { r.Repairs, r.StageAt = 2, start.Add(-time.Second) })},
		{unproven, on(0, "tried before", func(_ *plan.Node, r *actuators.NodeRecord) {
			r.Try = actuators.Try{Version: version("v0"), Failures: 2}
		})},
		{on(0, "contradicted for v2", func(n *plan.Node, _ *actuators.NodeRecord) {
			n.Health = checks(plan.WatchVerify, "v2", health.Contradicted)
		})},
		{on(0, "contradicted, no record", func(n *plan.Node, r *actuators.NodeRecord) {
			*r, n.Health = actuators.NodeRecord{}, checks(plan.WatchIdle, "", health.Contradicted)
		})},
		{prepare, under(0, actuators.Preparing), drift}, {configuring, drift},
		{on(0, "recorded by an older name", func(_ *plan.Node, r *actuators.NodeRecord) { r.On.Digest, r.On.Algorithm = "d0-v1", 0; r.Proven = r.On })},
		{on(0, "another by an older name", func(_ *plan.Node, r *actuators.NodeRecord) { r.On.Digest, r.On.Algorithm = "d0-v0", 0; r.Proven = r.On })},
		{stuck, drains, at("an hour ago", time.Hour), under(1, actuators.Leaving, place(1, "", actuators.TargetDraining, false), on(1, "so does web-2", func(_ *plan.Node, r *actuators.NodeRecord) { r.StageAt = start.Add(-time.Hour) }))},
		{stuck, claimed, on(0, "and failed", func(_ *plan.Node, r *actuators.NodeRecord) { r.Spoiled = true }), under(1, actuators.Failed, gone(1, "", time.Hour))},
		{stuck, drains, at("an hour ago", time.Hour), under(1, actuators.Leaving, on(1, "web-2 failed, and is held", func(_ *plan.Node, r *actuators.NodeRecord) { r.Spoiled, r.On = true, version("v2") }))},
		{on(0, "it has v2, and a group of its record was not read", func(_ *plan.Node, r *actuators.NodeRecord) {
			r.On, r.Proven = version("v2"), version("v2")
			r.Places = append(r.Places, actuators.Membership{Group: "arn:other", ID: "web-1", Port: 7002})
		}), gone(0, "it is out", time.Hour)},
		{on(0, "passes, but is watched no more", func(n *plan.Node, r *actuators.NodeRecord) {
			*r, n.Health = actuators.NodeRecord{}, checks(plan.WatchVerify, "v2", health.Passing)
			n.Health.Over = true
		})},
	}
}
