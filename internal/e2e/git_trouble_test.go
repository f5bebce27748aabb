package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"windlass/internal/sandbox"
	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// While git cannot be read the accepted commit stays in force, a rollout goes on, and it says so (law 2, G33).
func TestGitOutage(t *testing.T) {
	w := newWorld(t, 2)
	w.git.down.Store(true)
	check(t, w.Agent.Start())
	w.eventually("the outage to be told", func() bool {
		said, exit := w.windlass("status", "--server", w.Agent.URL)
		return exit == 2 && strings.Contains(said, "503")
	})
	w.git.down.Store(false)
	w.settles(w.Repo.Head(), plan.PhaseIdle)
	letGo := w.hold("activate")
	revision := w.deploy("v2")
	w.meets(plan.Configuring)
	w.git.down.Store(true)
	w.eventually("the outage to be told", func() bool { return strings.Contains(w.get("/api/v1/repo"), "503") })
	check(t, w.Agent.Kill()) // what is in force outlives the agent
	check(t, w.Agent.Start())
	letGo()
	w.arrives(revision, "v2")
	w.status(0, "503")
	w.counts("windlass_git_errors_total", "reason=")
	next := w.deploy("v4")
	w.git.down.Store(false)
	w.arrives(next, "v4")
	w.kept(1)
}

// A rewritten history is refused until a person accepts it (G34).
func TestForcePushIsRefusedUntilAccepted(t *testing.T) {
	w := newWorld(t, 2)
	w.begin()
	revision := w.deploy("v2")
	w.arrives(revision, "v2")
	before := must(w.Repo.Rewrite(t.Context()))(t)
	w.eventually("the rewrite to be told", func() bool { return strings.Contains(w.get("/api/v1/repo"), "--accept-revision") })
	w.measures(`windlass_git_history_rewrites_total 1`)
	w.arrives(revision, "v2")

	check(t, w.Agent.Stop(t.Context()))
	w.Agent.Command.Args = append(w.Agent.Command.Args, "--accept-revision", before)
	check(t, w.Agent.Start())
	w.arrives(before, "v1")
	w.kept(1)
}

// dbFile is a second fleet of one node that no balancer knows.
const dbFile = "fleets/db.yaml"

// addDB adds a machine that is no instance, and a fleet of it alone.
func (w *world) addDB() *sandbox.Agent {
	w.Helper()
	n := must(w.AddNode(w.Context()))(w.T)
	check(w.T, w.Cloud.RemoveInstance(n.Instance))
	w.identify(n)
	w.edit(dbFile, func(string) string {
		return "apiVersion: windlass/v1\nkind: Fleet\nname: db\nbase: ../base/web.yaml\nrelease: v1\nnodes: {static: [{name: db-1, address: " + n.Address + "}]}\nrollout: {allowOutage: true, bake: 300ms}\n"
	})
	return &sandbox.Agent{URL: w.Agent.URL, Fleet: "db"}
}

// identify gives a node a machine id of its own, as all nodes here share a machine.
func (w *world) identify(n *sandbox.Node) {
	w.Helper()
	dir := filepath.Join(n.Home, ".windlass")
	check(w.T, os.MkdirAll(dir, 0o700))
	check(w.T, os.WriteFile(filepath.Join(dir, "machine-id"), []byte(n.Instance+"\n"), 0o600))
}

// A broken file is refused with its place; its last good version stays in force, and another fleet goes on (law 3).
func TestBrokenFileIsRefusedAlone(t *testing.T) {
	w := newWorld(t, 2)
	db := w.addDB()
	w.begin()
	w.reaches(db, w.Repo.Head(), "v1")
	good := w.sees("v1", func(web.Fleet) bool { return true }).Desired.Revision

	w.edit(fleetFile, func(old string) string {
		return strings.Replace(old, "release: v1", "release: v2", 1) + "loadBalancer: [{targetGroup: web}]\n"
	})
	f := w.sees("the refusal", func(f web.Fleet) bool { return f.Rejected != nil })
	if f.Desired.Release != "v1" || f.Desired.Revision != good || f.InService != 2 {
		t.Errorf("in force is %+v with %d in service", f.Desired, f.InService)
	}
	if !slices.ContainsFunc(f.Rejected.Errors, func(e string) bool {
		return strings.HasPrefix(e, fleetFile+":") && strings.Contains(e, "loadBalancers")
	}) {
		t.Errorf("it is refused because of %q", f.Rejected.Errors)
	}
	w.measures(`windlass_revision_rejected{fleet="web"} 1`, `windlass_revision_rejected{fleet="db"} 0`)
	w.status(3, fleetFile+":", "loadBalancers")

	other := w.edit(dbFile, func(old string) string { return strings.Replace(old, "release: v1", "release: v2", 1) })
	w.reaches(db, other, "v2")
	w.kept(2)

	mended := w.edit(fleetFile, func(old string) string { return strings.Replace(old, "loadBalancer: [{targetGroup: web}]\n", "", 1) })
	w.arrives(mended, "v2")
	w.measures(`windlass_revision_rejected{fleet="web"} 0`)
	w.kept(1)
}
