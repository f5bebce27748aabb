package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"windlass/desired/source"
	"windlass/internal/forge"
	"windlass/internal/forge/forgetest"
	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// A codebase is where releases are made: a repository on git's own server, somebody's clone of it, and the forge that tells how its checks went.
type codebase struct {
	t      *testing.T
	git    *gitServer
	url    string
	work   string
	forge  *forgetest.Forge
	forges string // the agent's file
}

func newCodebase(t *testing.T) *codebase {
	t.Helper()
	dir := t.TempDir()
	c := &codebase{t: t, git: serveGit(t, dir), work: filepath.Join(dir, "code"), forge: forgetest.New(t, forge.GitHub), forges: filepath.Join(dir, "forges.yaml")}
	c.url = strings.Replace(c.git.url, "/deploy.git", "/code.git", 1)
	c.forge.Path = "ops/code"
	place, _ := forge.Locate(c.url)
	check(t, os.WriteFile(filepath.Join(dir, "token"), []byte(forgetest.Token), 0o600))
	check(t, os.WriteFile(c.forges, fmt.Appendf(nil, "%s:%s: {kind: github, tokenFile: token, api: %q}\n", place.Host, place.Port, c.forge.URL), 0o600))
	c.run("init", "-q", "--bare", "-b", "main", filepath.Join(dir, "code.git"))
	c.run("-C", filepath.Join(dir, "code.git"), "config", "http.receivepack", "true")
	c.run("init", "-q", "-b", "main", c.work)
	c.run("-C", c.work, "remote", "add", "origin", c.url)
	c.tag("v1")
	return c
}

func (c *codebase) run(args ...string) string {
	c.t.Helper()
	said, err := c.git.run(append([]string{"-c", "user.name=ann", "-c", "user.email=ann@windlass.invalid"}, args...)...)
	if err != nil {
		c.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, said)
	}
	return strings.TrimSpace(string(said))
}

// tag commits to the branch and makes a release's tag name that, wherever it was before. It returns the commit.
func (c *codebase) tag(release string) (commit string) {
	c.t.Helper()
	c.run("-C", c.work, "commit", "-q", "--allow-empty", "-m", "work on "+release)
	c.point(release, "HEAD")
	return c.run("-C", c.work, "rev-parse", "HEAD")
}

// point makes a release's tag name a commit.
func (c *codebase) point(release, commit string) {
	c.t.Helper()
	c.run("-C", c.work, "tag", "-f", "-a", "-m", "Release "+release, release, commit)
	c.run("-C", c.work, "push", "-q", "-f", "origin", "main", release)
}

// report has an app say how the check of a commit went.
func (c *codebase) report(commit, app, state string) {
	c.forge.Report(forgetest.Report{Kind: source.CheckRun, Commit: commit, Name: "test", App: app, State: state})
}

// A release waits for its tag and for its check, does not start while that is red, and goes on by itself. Its tag may name no other commit after that.
func TestAReleaseWaitsForItsTagAndItsCheck(t *testing.T) {
	c := newCodebase(t)
	w := newWorld(t, 2, "--forges", c.forges, "--gate-interval", "300ms")
	w.edit(fleetFile, adds("source: {repository: '"+c.url+"', checks: [{name: test, app: github-actions}]}\n"))
	w.begin()
	revision := w.deploy("v2")
	waits := func(state, reason string) {
		t.Helper()
		f := w.sees(state+": "+reason, func(f web.Fleet) bool {
			return f.Desired.Revision == revision && f.Phase == plan.PhaseWaiting && slices.ContainsFunc(f.Gates, func(g web.Gate) bool {
				return g.Name == "source" && g.State == state && strings.Contains(g.Reason, reason)
			})
		})
		if len(f.Plan.Steps) > 0 {
			t.Errorf("%s: it does %+v", reason, f.Plan.Steps)
		}
	}
	waits("wait", "there is no tag v2 yet")
	commit := c.tag("v2")
	waits("wait", "nobody reported check test of app github-actions yet on commit "+commit[:12])
	c.report(commit, "imposter", "success")
	waits("wait", "app imposter, who did, does not count")
	c.report(commit, "github-actions", "in_progress")
	waits("wait", `check run test is "in_progress"`)
	c.report(commit, "github-actions", "failure")
	waits("shut", `check run test is "failure"`)
	w.status(2, `gate        source: shut, check run test is "failure"`)
	w.measures(`windlass_gate_state{fleet="web",gate="source",state="shut"} 1`)
	for _, n := range w.Nodes() {
		if ran := w.ran(n, "prepare") + w.ran(n, "activate"); ran > 0 {
			t.Errorf("%d steps ran on %s", ran, n.Name)
		}
	}
	c.report(commit, "github-actions", "success")
	w.arrives(revision, "v2")
	for _, n := range w.Nodes() {
		if on := w.record(n).On.Commit; on != commit {
			t.Errorf("the record of %s names commit %q, want %q", n.Name, on, commit)
		}
	}

	moved := c.tag("v2")
	c.report(moved, "github-actions", "success")
	check(t, w.Agent.Kill()) // it knows by the records, too
	revision = w.edit(envFile, func(old string) string { return old + "MORE=1\n" })
	check(t, w.Agent.Start())
	waits("shut", fmt.Sprintf("the tag of v2 moved: it named commit %.12s when it was let through (by the record of ", commit))
	waits("shut", fmt.Sprintf("and names %.12s now", moved))
	c.point("v2", commit)
	w.arrives(revision, "v2")
	w.kept(1)
}
