package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"windlass/actuators"
	"windlass/internal/sandbox"
	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// On the first day all is as git says: it is written down, and nothing rolls (law 12).
func TestFirstDayAdopts(t *testing.T) {
	w := newWorld(t, 3)
	w.begin()
	w.arrives(w.Repo.Head(), "v1")
	for _, n := range w.Nodes() {
		if ran := w.ran(n, "prepare") + w.ran(n, "activate"); ran > 0 {
			t.Errorf("%d steps ran on %s", ran, n.Name)
		}
	}
	if calls := w.Cloud.Calls(); calls["elbv2:DeregisterTargets"]+calls["elbv2:RegisterTargets"] > 0 {
		t.Errorf("it called the balancer: %v", calls)
	}
	w.kept(3)
}

// The whole way: a deploy, a bad release that halts with one node out, its revert that visits only that node, a change of
// nothing but a file's bytes.
func TestDeployHaltRevertAndReconfigure(t *testing.T) {
	w := newWorld(t, 3)
	w.begin()
	w.arrives(w.deploy("v2"), "v2")
	w.kept(2)

	w.edit(baseFile, hasty)
	out := w.node(w.halts(w.deploy("v3"), "v2", "v3"))
	w.recorded(out, "v3", actuators.Failed)
	w.balances(2)
	w.measures(`windlass_fleet_phase{fleet="web",phase="halted"} 1`, `windlass_fleet_nodes{fleet="web",state="failed"} 1`,
		`windlass_rollouts_total{fleet="web",result="halted",trigger="commit"} 1`)
	w.status(3, "v3 failed on "+out.Name, "500, want 200", "revert it, commit a fix, or set retry to 1")

	visits := map[string]int{}
	for _, n := range w.Nodes() {
		visits[n.Name] = w.ran(n, "activate")
	}
	w.arrives(must(w.Repo.Revert(t.Context()))(t), "v2")
	for _, n := range w.Nodes() {
		if again := w.ran(n, "activate") - visits[n.Name]; again > 0 != (n == out) {
			t.Errorf("the revert visited %s %d times", n.Name, again)
		}
	}

	w.arrives(w.edit(envFile, func(string) string { return "WORKERS=8 ON={{.Node}}\n" }), "v2")
	for _, n := range w.Nodes() {
		has := string(must(os.ReadFile(filepath.Join(n.Home, "web.env")))(t))
		if want := fmt.Sprintf("WORKERS=8 ON=%s\n", n.Name); has != want {
			t.Errorf("%s has %q, want %q", n.Name, has, want)
		}
	}
	w.kept(2)
}

// Three bad releases in a row, each meant to mend the one before, leave one node of eight out and the fleet halted each time, though two
// may be away (law 11): none is excused by what the node failed before. The way back visits that node alone.
func TestThreeBadReleasesInARow(t *testing.T) {
	w := newWorld(t, 8)
	w.edit(baseFile, hasty)
	w.edit(fleetFile, func(old string) string {
		return w.replace(old, [][2]string{{"maxUnavailable: 1", "maxUnavailable: 2"}})
	})
	w.begin()
	for _, bad := range []string{"v5", "v6", "v7"} {
		check(t, w.Publish(sandbox.Build{Release: bad, Fault: "cannot reach its database"}))
		out := w.node(w.halts(w.deploy(bad), "v1", bad))
		w.recorded(out, bad, actuators.Failed)
		w.balances(7)
		w.status(3, bad+" is halted: revert it, commit a fix, or set retry to 1", bad+" failed on "+out.Name)
	}
	w.arrives(w.deploy("v1"), "v1")
	w.kept(7)
	visits := 0
	for _, n := range w.Nodes() {
		visits += w.ran(n, "activate")
	}
	if visits != 4 {
		t.Errorf("steps ran %d times, want 3 for what is bad and 1 for the way back", visits)
	}
}

// A node that appears in mid-rollout gets the release that is wanted before it is ever registered (G15).
func TestNewNodeJoinsWithWhatIsWanted(t *testing.T) {
	w := newWorld(t, 2)
	w.begin()
	letGo := w.hold("activate")
	revision := w.deploy("v2")
	w.meets(plan.Configuring)
	added := must(w.AddNode(t.Context()))(t)
	w.sees("the new node", func(f web.Fleet) bool { return len(f.Nodes) == 3 })
	letGo()
	w.arrives(revision, "v2")
	for _, call := range w.Cloud.Log() {
		if call.Action == "elbv2:RegisterTargets" && strings.Contains(call.Form.Encode(), added.Instance) {
			w.kept(1)
			return
		}
	}
	t.Error("it was never registered by the agent")
}
