package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/rogpeppe/go-internal/testscript"

	"windlass/desired"
	"windlass/desired/source"
	"windlass/internal/clone"
	"windlass/internal/forge"
	"windlass/internal/forge/forgetest"
	"windlass/internal/web"
	"windlass/reconciler"
)

// gitServer serves the bare repositories below $WORK by git's own HTTP backend, and names itself in $GIT_URL: the repository deploy.git is at
// $GIT_URL/ops/deploy.git, and takes pushes.
func gitServer(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Check(ts.Exec("git", "--git-dir", "deploy.git", "config", "http.receivepack", "true"))
	path, err := exec.LookPath("git")
	ts.Check(err)
	var env []string
	for _, name := range []string{"PATH", "HOME", "GIT_CONFIG_NOSYSTEM"} {
		env = append(env, name+"="+ts.Getenv(name))
	}
	server := httptest.NewServer(&cgi.Handler{
		Path: path, Args: []string{"http-backend"}, Root: "/ops", Dir: ts.MkAbs("."), Stderr: io.Discard,
		Env: append(env, "GIT_PROJECT_ROOT="+ts.MkAbs("."), "GIT_HTTP_EXPORT_ALL=1", "WORK="+ts.MkAbs(".")),
	})
	ts.Defer(server.Close)
	ts.Setenv("GIT_URL", server.URL)
	ts.Setenv("GIT_HOST", strings.TrimPrefix(server.URL, "http://"))
}

type forgeKey struct{}

// reportCheck has a check run of a commit of a clone end: report code v1 test github-actions success.
func reportCheck(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(ts.Exec("git", "-C", args[0], "rev-parse", args[1]+"^{commit}"))
	ts.Value(forgeKey{}).(*forgeBox).Report(forgetest.Report{
		Kind: source.CheckRun, Commit: strings.TrimSpace(ts.ReadFile("stdout")), Name: args[2], App: args[3], State: args[4],
	})
}

// forge serves a forge of a kind for a repository of gitserver: forge github ops/code; it is ops/deploy unless it is named. Its --forges file is forges.yaml.
func startForge(ts *testscript.TestScript, _ bool, args []string) {
	f := &forgetest.Forge{Kind: forge.Kind(args[0]), Path: "ops/deploy", Told: make(chan struct{}, 1)}
	if len(args) > 1 {
		f.Path = args[1]
	}
	server := httptest.NewServer(f)
	ts.Defer(server.Close)
	ts.Value(forgeKey{}).(*forgeBox).Forge = f
	ts.Check(os.WriteFile(ts.MkAbs("token"), []byte(forgetest.Token), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("weak-token"), []byte(forgetest.Weak), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("forges.yaml"), fmt.Appendf(nil, "127.0.0.1: {kind: %s, tokenFile: token, api: %q}\n", args[0], server.URL), 0o600))
}

type forgeBox struct{ *forgetest.Forge }

// told waits until the forge was told of a commit status: told windlass/web success 'text'. The text is a part of it.
func awaitTold(ts *testscript.TestScript, _ bool, args []string) {
	f := ts.Value(forgeKey{}).(*forgeBox).Forge
	for late := time.After(30 * time.Second); ; {
		for _, s := range f.Statuses() {
			if s.Context == args[0] && s.State == args[1] && strings.Contains(s.Text, args[2]) {
				return
			}
		}
		select {
		case <-f.Told:
		case <-late:
			ts.Fatalf("the forge was told %+v", f.Statuses())
		}
	}
}

// A rollout's page shows what it changed, and of what changed nothing the commit.
func TestLinks(t *testing.T) {
	t.Parallel()
	a, b := strings.Repeat("a", 40), strings.Repeat("b", 40)
	pages := (forge.Hosts)(nil).PagesOf("git@github.com:ops/deploy.git")
	const root = "https://github.com/ops/deploy/"
	for _, c := range []struct {
		r    reconciler.Rollout
		want string
	}{
		{reconciler.Rollout{}, ""},
		{reconciler.Rollout{Trigger: reconciler.TriggerCommit, FromRevision: a, Revision: b}, root + "compare/" + a + "..." + b},
		{reconciler.Rollout{Trigger: reconciler.TriggerRevert, FromRevision: a, Revision: a, Change: desired.Commit{Revision: b}}, root + "compare/" + a + "..." + b},
		{reconciler.Rollout{Trigger: reconciler.TriggerCommit, Revision: b}, root + "commit/" + b},
		{reconciler.Rollout{Trigger: reconciler.TriggerDrift, FromRevision: a, Revision: b}, root + "commit/" + b},
		{reconciler.Rollout{Trigger: reconciler.TriggerMembership, FromRevision: "x", Revision: "y"}, ""},
	} {
		if got := link(pages, c.r); got != c.want {
			t.Errorf("%+v: %q, want %q", c.r, got, c.want)
		}
	}
}

// says waits until `windlass status` has these words.
func awaitSaid(ts *testscript.TestScript, _ bool, args []string) {
	for range 300 {
		_ = ts.Exec("windlass", "status") // its exit status is a phase
		if strings.Contains(ts.ReadFile("stdout"), args[0]) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	ts.Fatalf("windlass status says\n%s", ts.ReadFile("stdout"))
}

// requests shows what was asked to be merged, a request after the other.
func showRequests(ts *testscript.TestScript, _ bool, args []string) {
	var all strings.Builder
	for _, r := range ts.Value(forgeKey{}).(*forgeBox).Requests() {
		fmt.Fprintf(&all, "%s into %s\n%s\n\n%s----\n", r.Branch, r.Into, r.Title, r.Body)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(all.String()), 0o600))
}

// What others wrote ends no block of a pull request's text.
func TestFences(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"a\n": "```text\na\n```\n", "a ```` b": "`````text\na ```` b\n`````\n"} {
		if got := fenced(text); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestBranchNames(t *testing.T) {
	t.Parallel()
	for release, want := range map[string]string{
		"v1.4.3": "windlass/web-v1.4.3", "v1..2": "windlass/web-v1.-2", "v1.lock": "windlass/web-v1.lock-", "v1.": "windlass/web-v1.-", "v1+b_2": "windlass/web-v1+b_2",
	} {
		if got := branchName("web", release, 1); got != want {
			t.Errorf("%s: %s, want %s", release, got, want)
		}
		if name := plumbing.NewBranchReferenceName(branchName("web", release, 2)); name.Validate() != nil {
			t.Errorf("%s: %s is no branch", release, name)
		}
	}
}

// back goes back with far to the commit that a file names.
func goBack(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(ts.Exec("windlass", "rollback", "far", "--yes", "--no-follow", "--to", strings.TrimSpace(ts.ReadFile(args[0]))))
}

// A requestStub is a forge on which a request is open or not.
type requestStub struct {
	opened string // what Open makes
	err    error  // how it ends
	found  string // what is open then
	lost   error  // why nobody can tell
}

func (r *requestStub) FindOpen(context.Context, string, string) (string, error) {
	return r.found, r.lost
}
func (r *requestStub) Open(context.Context, forge.Request) (string, error) { return r.opened, r.err }

// A request is open where the forge has it, whatever it answered to who opened it.
func TestOpenRequest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		at   requestStub
		want string
	}{
		"good":         {requestStub{opened: "https://x/1"}, "pushed branch b\nhttps://x/1\nthe pull request is open; "},
		"no answer":    {requestStub{err: errors.New("no answer"), found: "https://x/1"}, "pushed branch b\nhttps://x/1\nthe pull request is open; "},
		"and none is":  {requestStub{err: errors.New("no answer")}, "branch b has the change, and no pull request is known: no answer"},
		"nobody knows": {requestStub{lost: errors.New("no answer")}, "branch b has the change, and no pull request is known: no answer"},
	} {
		var out bytes.Buffer
		d := deployment{out: &out}
		said := ""
		if err := d.open(t.Context(), &c.at, forge.Request{Branch: "b", Into: "main"}, c.at.lost == nil); err != nil {
			out.Reset()
			said = err.Error()
		}
		if said += out.String(); !strings.HasPrefix(said, c.want) {
			t.Errorf("%s: %q", name, said)
		}
	}
}

// The text of a request has room at every forge, and its block ends.
func TestLongRequest(t *testing.T) {
	t.Parallel()
	d := deployment{fleet: "web", deployOptions: deployOptions{}, release: "v1"}
	var c change
	for range 5000 {
		c.undone = append(c.undone, clone.Commit{Hash: strings.Repeat("a", 40), Subject: "fix", Author: "Ada"})
	}
	if body := d.body(c, web.Forecast{}); len(body) > 60_000 || !strings.HasSuffix(body, "  undoes    aaaaaaa fix (Ada)\n  …\n```\n\nMerging this deploys it.\n") {
		t.Errorf("%d bytes, at the end %q", len(body), body[len(body)-100:])
	}
}
