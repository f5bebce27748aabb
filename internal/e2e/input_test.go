package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// Whatever is wrong with a fleet file is told with its place, by the agent too; what was in force stays so, and the mended file is
// taken up (law 3, G41).
func TestBrokenYAMLIsRefused(t *testing.T) {
	w := newWorld(t, 2)
	w.begin()
	w.arrives(w.Repo.Head(), "v1")
	good := string(must(os.ReadFile(filepath.Join(w.Repo.Work, fleetFile)))(t))
	bomb := "lol0: &lol0 [lol]\n"
	for i := range 9 {
		bomb += fmt.Sprintf("lol%d: &lol%[1]d [%s]\n", i+1, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*lol%d, ", i), 9), ", "))
	}
	for _, broken := range []struct{ text, says string }{
		{strings.Replace(good, "release: v1", "release: v2\nrelease: v4", 1), `"release"`},
		{strings.Replace(good, "release: v1", "release: v2\n\tpaused: true", 1), "tab"},
		{strings.Replace(good, "release: v1", "release: v2", 1) + "---\nname: other\n", "document"},
		{bomb + good, "alias"},
		{good + strings.Repeat("# much ado about nothing\n", 1<<20), "at most 1048576 are allowed"},
	} {
		w.edit(fleetFile, func(string) string { return broken.text })
		f := w.sees(fmt.Sprintf("a refusal for %q", broken.says), func(f web.Fleet) bool {
			return f.Rejected != nil && slices.ContainsFunc(f.Rejected.Errors, func(e string) bool { return strings.Contains(e, broken.says) })
		})
		if f.Desired.Release != "v1" {
			t.Errorf("%s: in force is %s", broken.says, f.Desired.Release)
		}
		if !strings.HasPrefix(f.Rejected.Errors[0], fleetFile+":") {
			t.Errorf("%s: the error is %q", broken.says, f.Rejected.Errors[0])
		}
		w.status(3, broken.says)
	}
	w.measures(`windlass_revision_rejected{fleet="web"} 1`)
	w.kept(2)
	w.arrives(w.edit(fleetFile, func(string) string { return strings.Replace(good, "release: v1", "release: v2", 1) }), "v2")
	w.kept(1)
}

// A repo without a commit, and one without a fleet, is no order; it says so, and ends when there is one (law 2, G33).
func TestEmptyRepoIsNoOrder(t *testing.T) {
	w := newWorld(t, 2)
	full := filepath.Join(w.Dir, "deploy.git")
	away := filepath.Join(w.Dir, "away.git")
	check(t, os.Rename(full, away))
	must(w.git.run("init", "-q", "--bare", "--initial-branch", "main", full))(t)
	check(t, w.Agent.Start())
	w.eventually("the empty repo to be told", func() bool {
		said, exit := w.windlass("status", "--server", w.Agent.URL)
		return exit == 2 && strings.Contains(said, "empty")
	})
	w.counts("windlass_git_errors_total", "reason=")
	check(t, os.RemoveAll(full))
	check(t, os.Rename(away, full))
	w.settles(w.Repo.Head(), plan.PhaseIdle)
	w.arrives(w.deploy("v2"), "v2")
	w.kept(1)
}

// An agent without AWS credentials says what to give it, touches nothing, and goes on when it has them.
func TestMissingCredentialsAreTold(t *testing.T) {
	w := newWorld(t, 2)
	whole := slices.Clone(w.Agent.Command.Env)
	w.Agent.Command.Env = slices.DeleteFunc(w.Agent.Command.Env, func(v string) bool {
		return strings.HasPrefix(v, "AWS_ACCESS_KEY_ID=") || strings.HasPrefix(v, "AWS_SECRET_ACCESS_KEY=")
	})
	check(t, w.Agent.Start())
	w.status(2, "no AWS credentials for ")
	w.kept(2)
	home := filepath.Join(w.Dir, "agent", ".aws")
	check(t, os.MkdirAll(home, 0o700))
	check(t, os.WriteFile(filepath.Join(home, "credentials"), []byte("[default]\naws_access_key_id = sandbox\naws_secret_access_key = sandbox\n"), 0o600))
	w.settles(w.Repo.Head(), plan.PhaseIdle)
	w.Agent.Command.Env = whole // for the status command
	w.arrives(w.deploy("v2"), "v2")
	w.kept(1)
}

// A health check that hangs is ended when its time is up, counts as not passed, and passes when it no longer hangs.
func TestHangingCheckIsTold(t *testing.T) {
	w := newWorld(t, 2)
	w.edit(baseFile, func(base string) string {
		hangs := `  - {name: slow, command: {run: 'while [ -e "$HOME/hold-check" ]; do sleep 0.05; done'}, interval: 300ms, timeout: 1s, within: 1m}` + "\n"
		return strings.Replace(base, "health:\n", "health:\n"+hangs, 1)
	})
	w.begin()
	w.arrives(w.Repo.Head(), "v1")
	letGo := w.hold("check")
	revision := w.deploy("v2")
	n := w.meets(plan.Verifying)
	w.sees("the hanging check", func(f web.Fleet) bool { return says(f, "check slow: 0 of ") && says(f, "no end within 1s") })
	w.status(2, "check slow: 0 of ")
	w.measures(fmt.Sprintf(`windlass_node_info{fleet="web",node=%q,release="v2"} 1`, n.Name), `windlass_fleet_nodes{fleet="web",state="verifying"} 1`)
	letGo()
	w.arrives(revision, "v2")
	w.kept(1)
}
