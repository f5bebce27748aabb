package sandbox

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"windlass/desired"
	"windlass/desired/gitrepo"
)

// A deployRepo is a repo with the sandbox's fleet, without any other part of a sandbox.
type deployRepo struct {
	*Repo
	t      *testing.T
	polled *gitrepo.Repo // by the agent's own code
	home   string        // of whoever runs git
	env    []string      // of git
}

// It is not for tests that run side by side: gitrepo.Open changes what go-git shares between all repos of a process.
func newDeployRepo(t *testing.T) *deployRepo {
	t.Helper()
	r := must(newRepo(t.TempDir(), "127.0.0.1", fetchPath))(t)
	t.Cleanup(func() { check(t, r.close()) })
	check(t, r.begin(t.Context(), stage{fleet: "web", release: "v1", nodes: 4, user: "demo", ssh: 22, web: 80, etc: t.TempDir()}))
	polled := must(gitrepo.Open(gitrepo.Options{URL: r.URL, Dir: t.TempDir(), Timeout: 10 * time.Second}))(t)
	t.Cleanup(polled.Close)
	env := []string{"GIT_AUTHOR_NAME=demo", "GIT_AUTHOR_EMAIL=demo@windlass.invalid", "GIT_COMMITTER_NAME=demo", "GIT_COMMITTER_EMAIL=demo@windlass.invalid"}
	return &deployRepo{r, t, polled, t.TempDir(), env}
}

// release is what the agent reads at the head, which must be that revision.
func (r *deployRepo) release(revision string) string {
	r.t.Helper()
	state := must(r.polled.Poll(r.t.Context()))(r.t)
	if len(state.Rejected) > 0 || state.Problem != "" {
		r.t.Fatalf("rejected %v, problem %q", state.Rejected, state.Problem)
	}
	if state.Revision != revision {
		r.t.Errorf("the agent reads %s, want %s", state.Revision, revision)
	}
	return state.Fleets["web"].Fleet.Release
}

func (r *deployRepo) git(dir string, args ...string) string {
	r.t.Helper()
	cmd := exec.Command(installedTool(r.t, "git"), args...)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.home, "GIT_CONFIG_NOSYSTEM=1"}, r.env...)
	output, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, output)
	}
	return strings.TrimSpace(string(output))
}

func TestDeployRepoIsValid(t *testing.T) {
	r := newDeployRepo(t)
	tree := must(desired.Load(os.DirFS(r.Work)))(t)
	if len(tree.Rejected) > 0 || len(tree.Warnings) > 0 || tree.Fleets["web"] == nil {
		t.Errorf("rejected %v, warnings %v", tree.Rejected, tree.Warnings)
	}
}

func TestAgentReadsCommitsAndReverts(t *testing.T) {
	r := newDeployRepo(t)
	for _, want := range []string{"v2", "v3"} {
		revision := must(r.Commit(t.Context(), want))(t)
		if got := r.release(revision); got != want {
			t.Errorf("the release is %s, want %s", got, want)
		}
	}
	revision := must(r.Revert(t.Context()))(t)
	if got := r.release(revision); got != "v2" {
		t.Errorf("after the revert the release is %s, want v2", got)
	}
	revision = must(r.Edit(t.Context(), "web: pause", "fleets/web.yaml", func(old string) string { return old + "paused: {reason: test}\n" }))(t)
	r.release(revision)
	if pause := must(r.polled.Poll(t.Context()))(t).Fleets["web"].Fleet.Paused; pause == nil || pause.Reason != "test" {
		t.Errorf("after the edit the pause is %v", pause)
	}
}

func TestRewrittenHistoryIsNoticed(t *testing.T) {
	r := newDeployRepo(t)
	r.release(must(r.Commit(t.Context(), "v2"))(t))
	must(r.Rewrite(t.Context()))(t)
	state := must(r.polled.Poll(t.Context()))(t)
	if state.Problem == "" || state.Fleets["web"].Fleet.Release != "v2" {
		t.Errorf("problem %q, release %s", state.Problem, state.Fleets["web"].Fleet.Release)
	}
}

// People try the demo's repo with git itself: clone, commit, push, pull, in a clone of their own and in ours.
func TestGitWorksWithTheServer(t *testing.T) {
	r := newDeployRepo(t)
	theirs := filepath.Join(t.TempDir(), "theirs")
	r.git(".", "clone", "-q", r.URL, theirs)
	r.git(theirs, "commit", "-q", "--allow-empty", "-m", "from a clone")
	r.git(theirs, "push", "-q")
	r.release(r.git(theirs, "rev-parse", "HEAD"))
	r.git(r.Work, "pull", "-q", "--ff-only")
	check(t, r.write("fleets/web.yaml", strings.Replace(read(t, r.Work, "fleets/web.yaml"), "release: v1", "release: v5", 1)+"\n"))
	r.git(r.Work, "commit", "-q", "-am", "web v5")
	r.git(r.Work, "push", "-q")
	if got := r.release(r.git(r.Work, "rev-parse", "HEAD")); got != "v5" {
		t.Errorf("after a push from our clone the release is %s", got)
	}
	r.git(r.Work, "revert", "--no-edit", "HEAD")
	r.git(r.Work, "push", "-q")
	if got := r.release(r.git(r.Work, "rev-parse", "HEAD")); got != "v1" {
		t.Errorf("after git revert the release is %s", got)
	}
	r.git(theirs, "pull", "-q", "--ff-only")
	if status := r.git(r.Work, "status", "--porcelain"); status != "" {
		t.Errorf("our clone is not clean: %s", status)
	}
}

// What a person has set for all of their repos, and what is not set, is no matter in ours.
func TestGitWorksWhateverIsSet(t *testing.T) {
	r := newDeployRepo(t)
	r.env = nil
	check(t, os.WriteFile(filepath.Join(r.home, "pre-commit"), []byte("#!/bin/sh\nexit 1\n"), 0o755))
	check(t, os.WriteFile(filepath.Join(r.home, ".gitconfig"), []byte(
		"[commit]\n gpgSign = true\n[gpg]\n program = false\n[core]\n autocrlf = true\n hooksPath = "+r.home+
			"\n[push]\n default = nothing\n[user]\n useConfigOnly = true\n[init]\n defaultBranch = trunk\n",
	), 0o644))
	check(t, r.write("fleets/web.yaml", strings.Replace(read(t, r.Work, "fleets/web.yaml"), "release: v1", "release: v5", 1)+"\n"))
	r.git(r.Work, "commit", "-q", "-am", "web v5")
	r.git(r.Work, "push", "-q")
	if got := r.release(r.git(r.Work, "rev-parse", "HEAD")); got != "v5" {
		t.Errorf("after a push the release is %s", got)
	}
}
