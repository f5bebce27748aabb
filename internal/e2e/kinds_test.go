package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"windlass/internal/sandbox"
	"windlass/internal/sandbox/aws"
	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// Nodes that are listed in the fleet file, without a balancer: the same journey without drain and add.
func TestStaticNodesWithoutBalancer(t *testing.T) {
	w := newWorld(t, 2)
	w.quiet = true // nobody takes a node away from its users here
	w.Traffic.Stop()
	list := ""
	for _, n := range w.Nodes() {
		w.identify(n)
		check(t, w.Cloud.RemoveInstance(n.Instance))
		list += fmt.Sprintf("    - {name: %s, address: %s}\n", n.Name, n.Address)
	}
	w.edit(fleetFile, func(string) string {
		return "apiVersion: windlass/v1\nkind: Fleet\nname: web\nbase: ../base/web.yaml\nrelease: v1\nrollout: {bake: 300ms, attempts: 1}\nnodes:\n  static:\n" + list
	})
	w.begin()
	w.reaches(w.Agent, w.Repo.Head(), "v1")
	w.reaches(w.Agent, w.deploy("v2"), "v2")
	w.edit(baseFile, hasty)
	w.halts(w.deploy("v3"), "v2", "v3")
	w.reaches(w.Agent, must(w.Repo.Revert(t.Context()))(t), "v2")
	if calls := w.Cloud.Calls(); len(calls) > 0 {
		t.Errorf("AWS was called: %v", calls)
	}
}

// A fleet behind a classic load balancer, which reports draining as in service (G2).
func TestClassicBalancer(t *testing.T) {
	w := newWorld(t, 2)
	address, err := w.Cloud.AddClassic(aws.Classic{
		Name: "old", InstancePort: w.port(), ConnectionDraining: time.Second, CrossZone: true, // each node is alone in its zone
		HealthCheck: aws.HealthCheck{Path: "/healthz", Interval: 500 * time.Millisecond, Healthy: 2, Unhealthy: 6},
	})
	check(t, err)
	for _, n := range w.Nodes() {
		check(t, w.Cloud.Register("old", aws.Target{ID: n.Instance}))
	}
	w.eventually("the balancer to find its members healthy", func() bool { return healthy(must(w.Cloud.Health("old"))(t)) == 2 })
	w.send("http://" + address)
	w.edit(fleetFile, func(old string) string { return strings.Replace(old, "targetGroup: web", "classic: old", 1) })
	w.begin()
	w.reaches(w.Agent, w.Repo.Head(), "v1")
	w.Traffic.Stop() // of the group, which nobody takes nodes out of
	w.arrives(w.deploy("v2"), "v2")
	if n := healthy(must(w.Cloud.Health("old"))(t)); n != 2 {
		t.Errorf("%d members are healthy", n)
	}
}

// A node that dies in mid-rollout frees its place when its instance is terminated, and the rollout goes on without it (G14).
func TestLostNodeIsLeftBehind(t *testing.T) {
	w := newWorld(t, 3)
	w.begin()
	letGo := w.hold("activate")
	revision := w.deploy("v2")
	n := w.meets(plan.Configuring)
	w.eventually("the step to begin", func() bool { return w.ran(n, "activate") == 1 })
	check(t, w.Terminate(n))
	w.sees("two nodes", func(f web.Fleet) bool { return len(f.Nodes) == 2 })
	letGo()
	w.arrives(revision, "v2")
	w.kept(1)
}

// A node that dies in mid-rollout and comes back is configured, and added.
func TestNodeRebootsInMidStep(t *testing.T) {
	w := newWorld(t, 3)
	w.begin()
	letGo := w.hold("activate")
	revision := w.deploy("v2")
	n := w.meets(plan.Configuring)
	w.eventually("the step to begin", func() bool { return w.ran(n, "activate") == 1 })
	check(t, n.Kill())
	w.sees("that it cannot be reached", func(f web.Fleet) bool { return says(f, "cannot reach") || in(f, plan.Unreachable) == n.Name })
	letGo()
	check(t, n.Start(t.Context()))
	w.arrives(revision, "v2")
	w.kept(2)
}

// send sends traffic to another balancer until the end, when none of it may have failed.
func (w *world) send(url string) {
	traffic := sandbox.StartTraffic(url, 30)
	w.Cleanup(func() {
		traffic.Stop()
		if count := traffic.Count(); count.Requests == 0 || count.Failed > 0 {
			w.Errorf("%d of %d requests to %s failed: %s", count.Failed, count.Requests, url, strings.Join(count.Failures, "; "))
		}
	})
}

// A full disk stops a node before anything on it is changed, uses no attempt, and ends when there is room (G31).
func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("left out: only root can mount a small disk")
	}
	w := newWorld(t, 2)
	w.begin()
	n := w.node("web-1")
	w.awaitRecord(n.Name)
	fill := w.smallDisk(n)
	free := fill()
	revision := w.deploy("v2")
	w.eventually("the full disk to be told", func() bool { return strings.Contains(strings.Join(w.Agent.Log(100), "\n"), "the disk is full") })
	w.kept(2)
	free()
	w.arrives(revision, "v2")
	w.kept(1)
}
