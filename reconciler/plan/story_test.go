package plan_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/reconciler/plan"
)

var update = flag.Bool("update", false, "write the golden plans anew")

var start = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// version is release v as the tests' digests name it.
func version(release string) actuators.Version {
	return actuators.Version{Release: release, Digest: "d1-" + release, Algorithm: 1, Revision: "rev-" + release}
}

// wants is a fleet that wants a release, with the fleet file's defaults.
func wants(release string, change ...func(*desired.Fleet)) plan.Want {
	fleet := &desired.Fleet{
		Name: "web", Release: release, Adopt: true, Path: "fleets/web.yaml",
		LoadBalancers: []desired.LoadBalancer{{TargetGroup: "web"}},
		Configure:     desired.Configure{Activate: []desired.Step{{Name: "install", Run: "install"}}},
		Rollout: desired.Rollout{
			MaxUnavailable: desired.Amount{Count: 1}, Bake: 10 * time.Second, Drain: desired.Drain{Timeout: 10 * time.Minute},
			Attempts: 2, ProgressDeadline: 15 * time.Minute, RestoreAfter: 10 * time.Minute,
		},
	}
	for _, c := range change {
		c(fleet)
	}
	return plan.Want{Fleet: fleet, Version: version(release)}
}

// fleetOf is n nodes in three zones that serve a release and say so in their records.
func fleetOf(n int, release string) plan.World {
	w := plan.World{
		Now: start, Agent: plan.Agent{Holder: "agent-a", Epoch: 3, Nonce: "n3"},
		Inventory: plan.Source{At: start}, GroupsRead: start, RollCall: start, Progress: start,
		Groups: []actuators.GroupState{{Group: actuators.Group{ID: "arn:web", Name: "web"}, TargetType: "ip", Port: 8080, At: start, Rules: actuators.Rules{Delay: 5 * time.Second}}},
	}
	for i := range n {
		name := fmt.Sprintf("web-%d", i+1)
		w.Nodes = append(w.Nodes, nodeOf(name, string(rune('a'+i%3)), release))
		w.Groups[0].Members = append(w.Groups[0].Members, memberOf(name, actuators.TargetHealthy))
	}
	return w
}

func nodeOf(name, zone, release string) plan.Node {
	id := "m-" + name
	n := plan.Node{
		Node: actuators.Node{Name: name, ID: id, Zone: zone, Address: name, Targets: actuators.Targets{IP: name}},
		Read: plan.Source{At: start}, Host: &actuators.HostState{Machine: id, Now: start},
	}
	if release != "" {
		v := version(release)
		n.Host.Record = actuators.NodeRecord{Schema: 1, Fleet: "web", Instance: id, On: v, Proven: v, Places: []actuators.Membership{{Group: "arn:web", ID: name, Port: 8080}}}
	}
	return n
}

func memberOf(name string, s actuators.TargetStatus) actuators.Target {
	return actuators.Target{Membership: actuators.Membership{Group: "arn:web", ID: name, Port: 8080}, Status: s, Reason: string(s), AtFault: s == actuators.TargetUnhealthy}
}

// story tells a forecast as people read it.
func story(f plan.Forecast) string {
	var b strings.Builder
	for _, e := range f.Events {
		fmt.Fprintf(&b, "%d in service  %-9s %-6s %s\n", e.InService, e.Kind, e.Node, e.Reason)
	}
	fmt.Fprintf(&b, "lowest %d of %d, floor %d\n", f.Lowest, f.End.Size, f.End.Floor)
	fmt.Fprintf(&b, "%s: %s\n", f.End.Phase, f.End.Reason)
	for _, h := range f.End.Holds {
		fmt.Fprintf(&b, "%s\n", h)
	}
	return b.String()
}

// TestStories plays whole rollouts through and compares them with the stories in testdata.
func TestStories(t *testing.T) {
	for name, tell := range map[string]func() (plan.Want, plan.World){
		"idle":    func() (plan.Want, plan.World) { return wants("v1"), fleetOf(4, "v1") },
		"rolling": func() (plan.Want, plan.World) { return wants("v2"), fleetOf(4, "v1") },
		"canary": func() (plan.Want, plan.World) {
			return wants("v2", func(f *desired.Fleet) {
				f.Rollout.Canary = &desired.Canary{Nodes: 2, Bake: time.Minute}
				f.Rollout.MaxUnavailable = desired.Amount{Count: 3}
			}), fleetOf(7, "v1")
		},
		"prepare": func() (plan.Want, plan.World) {
			return wants("v2", func(f *desired.Fleet) { f.Configure.Prepare = []desired.Step{{Name: "fetch", Run: "fetch"}} }), fleetOf(6, "v1")
		},
		"adopt": func() (plan.Want, plan.World) {
			return wants("v1"), fleetOf(3, "")
		},
		"no balancer": func() (plan.Want, plan.World) {
			w := fleetOf(3, "v1")
			w.Groups = nil
			for i := range w.Nodes {
				w.Nodes[i].Host.Record.Places = nil
				w.Nodes[i].Health = plan.Health{Release: "v1", Phase: plan.WatchIdle, Verdict: health.Verdict{Status: health.Passing}}
			}
			return wants("v2", func(f *desired.Fleet) { f.LoadBalancers = nil }), w
		},
		"new node": func() (plan.Want, plan.World) {
			w := fleetOf(3, "v1")
			w.Nodes = append(w.Nodes, nodeOf("web-4", "a", ""))
			w.Nodes[3].Out = start
			return wants("v1"), w
		},
		"one node": func() (plan.Want, plan.World) { return wants("v2"), fleetOf(1, "v1") },
		"paused": func() (plan.Want, plan.World) {
			w := fleetOf(3, "v1")
			r := &w.Nodes[0].Host.Record
			r.Stage, r.Taken = actuators.Leaving, []actuators.Membership{w.Groups[0].Members[0].Membership}
			w.Groups[0].Members = w.Groups[0].Members[1:]
			return wants("v2", func(f *desired.Fleet) { f.Paused = &desired.Pause{Reason: "incident 4711"} }), w
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			golden(t, name, story(plan.Foresee(tell())))
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", strings.ReplaceAll(name, " ", "_")+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the story %q changed (go test -update writes it anew):\n%s", name, diff)
	}
}
