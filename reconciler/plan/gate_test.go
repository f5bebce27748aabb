package plan_test

import (
	"slices"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/reconciler/plan"
)

// gates are fleets in the middle of something, each with what one gate says.
func gates() []situation {
	gate := func(name string, g plan.Gate) twist {
		g.Name, g.Reason = "windows", name
		if g.State == plan.GateUnread {
			g.Reason = ""
		}
		return twist{"a gate: " + name, func(w *plan.World, _ *desired.Fleet) { w.Gates = []plan.Gate{g} }}
	}
	said := []twist{
		gate("never read", plan.Gate{}),
		gate("open", plan.Gate{State: plan.GateOpen}),
		gate("open until now", plan.Gate{State: plan.GateOpen, Until: start}),
		gate("open for v2", plan.Gate{State: plan.GateOpen, Digest: version("v2").Digest}),
		gate("waits", plan.Gate{State: plan.GateWait, Until: start.Add(time.Hour)}),
		gate("waits with the start", plan.Gate{State: plan.GateWait, Stops: plan.StopsStart}),
		gate("waits with the start, for reverts as well", plan.Gate{State: plan.GateWait, Stops: plan.StopsStart, Reverts: true}),
		gate("shut, for reverts as well", plan.Gate{State: plan.GateShut, Reverts: true}),
	}
	has := func(r *actuators.NodeRecord, release, before string) {
		r.On, r.Proven, r.Previous = version(release), version(release), version(before)
	}
	leaves := under(0, actuators.Leaving)
	nodes := []twist{
		{"nothing is under way", nil},
		{"web-2 has v2", func(w *plan.World, _ *desired.Fleet) { has(&w.Nodes[1].Host.Record, "v2", "v1") }},
		{"web-1 is claimed", leaves.do},
		{"web-1 has left", func(w *plan.World, f *desired.Fleet) {
			leaves.do(w, f)
			gone(0, "", time.Minute).do(w, f)
		}},
		{"web-1 fails its checks with v2", func(w *plan.World, f *desired.Fleet) {
			under(0, actuators.Configuring).do(w, f)
			gone(0, "", time.Minute).do(w, f)
			w.Nodes[0].Host.Job, w.Nodes[0].Health = ended("d1-v2-x-0-activate", 0), checks(plan.WatchVerify, "v2", health.Failing)
		}},
		{"web-1 is out with v1, and v2 is proven on web-2", func(w *plan.World, f *desired.Fleet) {
			has(&w.Nodes[1].Host.Record, "v2", "v1")
			gone(0, "", time.Hour).do(w, f)
		}},
		{"web-1 is out with v1", gone(0, "", time.Hour).do},
		{"web-1 has what never was proven there, and drifted", func(w *plan.World, _ *desired.Fleet) {
			w.Nodes[0].Host.Record.On, w.Nodes[0].Health = version("v2"), checks(plan.WatchIdle, "v2", health.Contradicted)
		}},
		{"web-1 has what never was proven there", func(w *plan.World, _ *desired.Fleet) { w.Nodes[0].Host.Record.On = version("v2") }},
	}
	unproven := []twist{
		{"web-1 bakes v2", under(0, actuators.Verified).do},
		{"web-1 has v2, which never was proven, and is claimed", func(w *plan.World, f *desired.Fleet) {
			leaves.do(w, f)
			w.Nodes[0].Host.Record.On = version("v2")
		}},
	}
	return slices.Concat(crossed([]string{"v2"}, nodes, said), crossed([]string{"v3"}, unproven, said), crossed([]string{"v0"}, []twist{
		{"all had v0 before", func(w *plan.World, _ *desired.Fleet) {
			for i := range w.Nodes {
				has(&w.Nodes[i].Host.Record, "v1", "v0")
			}
		}},
		{"web-2 still has v0", func(w *plan.World, _ *desired.Fleet) {
			has(&w.Nodes[0].Host.Record, "v1", "v0")
			for i := range w.Nodes[1:] {
				has(&w.Nodes[i+1].Host.Record, "v0", "v-1")
			}
		}},
		{"web-2 came back to v0", func(w *plan.World, _ *desired.Fleet) {
			has(&w.Nodes[0].Host.Record, "v1", "v0")
			for i := range w.Nodes[1:] {
				has(&w.Nodes[i+1].Host.Record, "v0", "v1")
			}
		}},
	}, said))
}

// A gate tells of itself as it counts now.
func TestGatesAreToldAsTheyCount(t *testing.T) {
	t.Parallel()
	w := fleetOf(1, "v1")
	asked := start.Add(-time.Minute)
	w.Gates = []plan.Gate{
		{Name: "a"},
		{Name: "b", State: plan.GateOpen, Reason: "inside", Since: asked, Until: start.Add(1)},
		{Name: "c", State: plan.GateOpen, Reason: "inside", Since: asked, Until: start},
		{Name: "d", State: plan.GateShut, Reason: "red", Since: asked, Digest: version("v0").Digest},
		{Name: "e", State: plan.GateWait, Reason: "later", Since: asked, Until: start},
	}
	want := []plan.Gate{
		{Name: "a", Reason: "it was not asked yet"},
		w.Gates[1],
		{Name: "c", Reason: "it is asked again", Since: asked, Until: start},
		{Name: "d", Reason: "it was not asked about this version yet", Digest: version("v0").Digest},
		w.Gates[4],
	}
	for i, g := range plan.Next(wants("v1"), w).Gates {
		if g != want[i] {
			t.Errorf("gate %s is told as %+v, want %+v", g.Name, g, want[i])
		}
	}
}
