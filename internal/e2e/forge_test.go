package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"windlass/internal/forge"
	"windlass/internal/forge/forgetest"
	"windlass/reconciler/plan"
)

// A commit says what becomes of it, and an agent that is killed in mid-rollout goes on with the deployment that it began.
func TestTheForgeIsTold(t *testing.T) {
	f := forgetest.New(t, forge.GitHub)
	dir := t.TempDir()
	forges := filepath.Join(dir, "forges.yaml")
	check(t, os.WriteFile(filepath.Join(dir, "token"), []byte(forgetest.Token), 0o600))
	check(t, os.WriteFile(forges, fmt.Appendf(nil, "127.0.0.1: {kind: github, tokenFile: token, api: %q}\n", f.URL), 0o600))
	w := newWorld(t, 2, "--forges", forges)
	w.begin()
	before := w.Repo.Head()

	letGo := w.hold("activate")
	revision := w.deploy("v2")
	w.meets(plan.Configuring)
	told := func(state string) func() bool {
		return func() bool {
			all := f.Deployments()
			return len(all) > 0 && all[0].Commit == revision && strings.HasSuffix(strings.Join(all[0].States, " "), state)
		}
	}
	w.eventually("a deployment in progress", told("in_progress"))
	check(t, w.Agent.Kill())
	check(t, w.Agent.Start())
	w.meets(plan.Configuring)
	letGo()
	w.arrives(revision, "v2")
	w.eventually("its end", told("success"))
	w.eventually("the commit's status", func() bool {
		all := f.Statuses()
		last := all[len(all)-1]
		return last.Commit == revision && last.Context == "windlass/web" && last.State == "success" && last.Text == "2 of 2 in service with v2"
	})
	// A kill between telling and keeping that it was told has it told again.
	if all := f.Deployments(); len(all) != 1 || strings.Join(slices.Compact(all[0].States), " ") != "in_progress success" || all[0].Text != "v1 → v2" {
		t.Errorf("the deployments are %+v", all)
	}
	if link := strings.TrimSuffix(w.git.url, ".git") + "/compare/" + before + "..." + revision; !strings.Contains(w.get("/api/v1/fleets/web"), link) {
		t.Errorf("no link %s in\n%s", link, w.get("/api/v1/fleets/web"))
	}
	w.measures("windlass_forge_failing 0")
}
