package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"windlass/desired"
)

// branch commits files on a branch of its own, from where the work tree is or what is named, and pushes it. The work tree is left on main.
func (s *gitServer) branch(name, from string, change files) string {
	s.t.Helper()
	s.run(s.work, "checkout", "-q", "-B", "proposed", from)
	s.record(change, "propose "+name)
	head := s.run(s.work, "rev-parse", "HEAD")
	s.run(s.work, "push", "-q", "--force", s.bare, "HEAD:refs/heads/"+name)
	s.run(s.work, "checkout", "-q", "main")
	return head
}

func propose(t *testing.T, repo *Repo, branch string) desired.Proposal {
	t.Helper()
	p, err := repo.Propose(t.Context(), branch)
	if err != nil {
		t.Fatalf("%s: %v", branch, err)
	}
	return p
}

// What a branch would have in force is told, and nothing of it is in force, kept or polled.
func TestABranchIsProposed(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	first := server.commit(files{"fleets/web.yaml": fleet("web", "v1"), "fleets/db.yaml": fleet("db", "v7"), "fleets/old.yaml": fleet("old", "v1")})
	repo := server.open(server.options())
	if _, err := repo.Propose(t.Context(), "next"); !errors.Is(err, desired.ErrNoneYet) {
		t.Errorf("before anything is in force: %v", err)
	}
	before := poll(t, repo)
	head := server.branch("team/next", "main", files{
		"fleets/web.yaml": fleet("web", "v2"), "fleets/new.yaml": fleet("new", "v1"), "fleets/old.yaml": nil, "fleets/bad.yaml": broken("bad"),
	})
	server.took()
	p := propose(t, repo, "team/next")
	wantReleases(t, p.State, map[string]string{"web": "v2", "db": "v7", "new": "v1", "old": "v1 released"})
	if p.State.Revision != head || p.Head.Revision != head || p.Head.Subject != "propose team/next" || p.Onto != first || p.Behind != 0 || p.Unclear != "" || p.Merged {
		t.Errorf("told %+v of commit %s on top of %s", p, head, first)
	}
	if got := p.State.Rejected["bad"]; len(got.Errors) != 1 || !strings.HasPrefix(got.Errors[0].Error(), "fleets/bad.yaml:11:1: unknown key") {
		t.Errorf("the broken fleet: %v", got)
	}
	if diff := cmp.Diff(map[string][]string{"web": {"fleets/web.yaml"}, "new": {"fleets/new.yaml"}, "db": nil}, p.Changed); diff != "" {
		t.Errorf("changed files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(releases(before), releases(repo.State())); diff != "" || repo.State().Revision != first {
		t.Errorf("in force afterwards (-want +got):\n%s", diff)
	}
	if stats := repo.Stats(); stats.Fetches != 1 || stats.Polls != 1 {
		t.Errorf("it counts as a poll: %+v", stats)
	}

	server.took()
	again := propose(t, repo, "team/next")
	wantReleases(t, again.State, releases(p.State))
	if diff := cmp.Diff([]string{"GET /repo.git/info/refs"}, server.took()); diff != "" {
		t.Errorf("the same commits once more (-want +got):\n%s", diff)
	}
	newer := server.branch("team/next", "main", files{"fleets/web.yaml": fleet("web", "v3")})
	if p := propose(t, repo, "team/next"); p.State.Revision != newer || p.State.Fleets["web"].Fleet.Release != "v3" {
		t.Errorf("a newer commit of the branch: %+v", p)
	}
}

// A branch that is behind is planned as it would be merged, file by file: what others changed meanwhile is not undone.
func TestABranchThatIsBehind(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	first := server.commit(files{
		"fleets/web.yaml": fleet("web", "v1"), "fleets/db.yaml": fleet("db", "v7"), "fleets/gone/x.yaml": fleet("x", "v1"), "README": text("1\n"),
	})
	server.commit(files{"fleets/db.yaml": fleet("db", "v8"), "fleets/gone/x.yaml": nil, "README": text("2\n")})
	head := server.commit(files{"fleets/app.yaml": fleet("app", "v1")})
	repo := server.open(server.options())
	poll(t, repo)

	server.branch("next", first, files{"fleets/web.yaml": fleet("web", "v2"), "README": text("3\n")}) // no fleet is made of a README
	p := propose(t, repo, "next")
	wantReleases(t, p.State, map[string]string{"web": "v2", "db": "v8", "app": "v1"})
	if p.Behind != 2 || p.Unclear != "" || p.Onto != head {
		t.Errorf("told %+v, which is 2 commits behind %s", p, head)
	}

	for name, change := range map[string]files{
		"both":   {"fleets/db.yaml": fleet("db", "v9")},
		"edited": {"fleets/gone/x.yaml": fleet("x", "v2")},
		"added":  {"fleets/app.yaml": fleet("app", "v2")},
	} {
		server.branch(name, first, change)
		p := propose(t, repo, name)
		if !strings.Contains(p.Unclear, " changed since it left branch main, and here too: merge main into it, or rebase it") || p.State.Revision != "" {
			t.Errorf("%s: %q, %v", name, p.Unclear, releases(p.State))
		}
	}
	server.branch("merged", first, nil)
	server.run(server.work, "push", "-q", "--force", server.bare, first+":refs/heads/merged")
	if p := propose(t, repo, "merged"); !p.Merged || p.Behind != 0 || cmp.Diff(releases(poll(t, repo)), releases(p.State)) != "" {
		t.Errorf("a branch that is merged: %+v", p)
	}
	if p := propose(t, repo, "main"); p.Merged || p.Behind != 0 || len(p.State.Fleets) != 3 {
		t.Errorf("the followed branch: %+v", p)
	}
}

// Git carries an edit over to where the other side moved the file, and stops where it was deleted. Neither is guessed at.
func TestABranchOfFilesThatMoved(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	with := func(from string) *string {
		return text(strings.Replace(*fleet("web", "v1"), "configure:\n", "configure:\n  files: [{from: "+from+", to: /etc/web.env}]\n", 1))
	}
	lines := func(last string) *string { return text(strings.Repeat("the same\n", 20) + last + "\n") }
	first := server.commit(files{"fleets/web.yaml": with("files/web.env"), "files/web.env": lines("1"), "more/a": lines("1"), "more/b": lines("1")})
	server.commit(files{"fleets/web.yaml": with("config/env"), "files/web.env": nil, "config/env": lines("1"), "more/a": lines("2")})
	repo := server.open(server.options())
	poll(t, repo)
	for branch, c := range map[string]struct {
		change files
		want   string
	}{
		"edited":  {files{"files/web.env": lines("2")}, "files/web.env changed since it left branch main, and here too"},
		"deleted": {files{"more/a": nil, "more/b": nil}, "more/a changed since it left branch main, and here too"},
		"dropped": {files{"fleets/web.yaml": nil}, "fleets/web.yaml changed since it left branch main, and here too"},
		"apart":   {files{"more/b": lines("2")}, ""},
	} {
		server.branch(branch, first, c.change)
		p := propose(t, repo, branch)
		if !strings.HasPrefix(p.Unclear, c.want) || (p.Unclear == "") != (c.want == "") {
			t.Errorf("%s: %q, want %q", branch, p.Unclear, c.want)
		}
	}
}

// What was pushed and is not in force is left out, and said to be, unless the branch has it.
func TestABranchBesideWhatIsNotInForce(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	first := server.commit(files{"fleets/web.yaml": fleet("web", "v1"), "fleets/db.yaml": fleet("db", "v7")})
	repo := server.open(server.options())
	poll(t, repo)
	server.branch("next", first, files{"fleets/web.yaml": fleet("web", "v2")})
	if p := propose(t, repo, "next"); p.Newer != "" {
		t.Errorf("nothing is newer: %+v", p)
	}
	newer := server.commit(files{"fleets/db.yaml": fleet("db", "v8")})
	p := propose(t, repo, "next")
	wantReleases(t, p.State, map[string]string{"web": "v2", "db": "v7"})
	if p.Newer != newer || p.Onto != first {
		t.Errorf("on top of %s, without %s; want %s and %s", p.Onto, p.Newer, first, newer)
	}
	server.branch("on-top", "main", files{"fleets/web.yaml": fleet("web", "v2")})
	p = propose(t, repo, "on-top")
	wantReleases(t, p.State, map[string]string{"web": "v2", "db": "v8"})
	if p.Newer != "" {
		t.Errorf("a branch that has what is not in force: without %s", p.Newer)
	}
}

// A branch that left long ago is told from one that follows, whatever the usual depth shows of both.
func TestABranchThatLeftLongAgo(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	first := server.commit(files{"fleets/web.yaml": fleet("web", "v1"), "fleets/db.yaml": fleet("db", "v7")})
	server.commit(files{"fleets/db.yaml": fleet("db", "v8")})
	server.gap(30)
	options := server.options()
	options.Depth = 5
	repo := server.open(options)
	poll(t, repo)
	server.branch("next", first, files{"fleets/web.yaml": fleet("web", "v2")})
	p := propose(t, repo, "next")
	wantReleases(t, p.State, map[string]string{"web": "v2", "db": "v8"})
	if p.Behind != 31 || p.Unclear != "" {
		t.Errorf("%d behind, %q", p.Behind, p.Unclear)
	}
	server.branch("far", "main", nil)
	for range 8 {
		server.run(server.work, "checkout", "-q", "proposed")
		server.record(files{"fleets/web.yaml": fleet("web", "v3")}, "one more")
	}
	server.run(server.work, "push", "-q", "--force", server.bare, "HEAD:refs/heads/far")
	server.run(server.work, "checkout", "-q", "main")
	newer := server.gap(20)
	if p := propose(t, repo, "next"); p.Newer != newer || p.Unclear != "" || p.State.Fleets["web"].Fleet.Release != "v2" {
		t.Errorf("what is in force is far behind: %+v", p)
	}
	if p := propose(t, repo, "far"); p.Behind != 0 || p.Unclear != "" || p.State.Fleets["web"].Fleet.Release != "v3" {
		t.Errorf("one that is far ahead: %+v", p)
	}
}

// What cannot be told is said, and no guess is made.
func TestWhatCannotBeProposed(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	first := server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	repo := server.open(server.options())
	poll(t, repo)

	server.run(server.work, "checkout", "-q", "--orphan", "stranger")
	server.record(files{"fleets/web.yaml": fleet("web", "v2")}, "from nowhere")
	server.run(server.work, "push", "-q", server.bare, "HEAD:refs/heads/stranger")
	server.run(server.work, "checkout", "-q", "main")
	server.branch("empty", "main", files{"fleets/web.yaml": nil, "README": text("")})

	left := server.branch("left", "main", files{"one": text("1")})
	right := server.commit(files{"two": text("2")})
	server.run(server.work, "checkout", "-q", "-B", "crossed", left)
	server.run(server.work, "merge", "-q", "-m", "right into left", right)
	server.record(files{"fleets/web.yaml": fleet("web", "v2")}, "further")
	server.run(server.work, "push", "-q", server.bare, "HEAD:refs/heads/crossed")
	server.run(server.work, "checkout", "-q", "main")
	server.run(server.work, "merge", "-q", "-m", "left into right", left)
	server.commit(files{"three": text("3")})
	poll(t, repo)

	for branch, want := range map[string]string{
		"stranger": "it has no commit in common with what is in force: merge main into it, or rebase it, and look again",
		"empty":    "it has no directory fleets, and the agent would refuse it",
		"crossed":  "it left what is in force more than once: merge main into it",
	} {
		if p := propose(t, repo, branch); !strings.HasPrefix(p.Unclear, want) || p.State.Revision != "" {
			t.Errorf("%s: %q, want %q", branch, p.Unclear, want)
		}
	}
	server.rewind(first)
	server.commit(files{"fleets/web.yaml": fleet("web", "v9")})
	server.branch("late", "main", files{"fleets/web.yaml": fleet("web", "v10")})
	if p := propose(t, repo, "late"); !strings.Contains(p.Unclear, "is not among the newest 2000 of branch main: its history was rewritten, or the agent is far behind") {
		t.Errorf("after a rewrite: %+v", p)
	}
}

// Names that are none are not even asked about.
func TestNamesOfBranches(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	server.run(server.work, "push", "-q", server.bare, "HEAD:refs/pull/7/head", "HEAD:refs/tags/v1")
	repo := server.open(server.options())
	poll(t, repo)
	server.took()
	for _, name := range []string{
		"", "HEAD", "-x", "--upload-pack=x", "refs/heads/main", "refs/pull/7/head", "a..b", "a b", "a\nb", "a\x1b[31m", "a~1", "a^", "a:b", "a?", "*", "a[", `a\b`, "/a", "a/", "a//b",
		".a", "a/.b", "a.lock", "a.", "@", "a@{1}", "\xff", strings.Repeat("a", 251),
	} {
		if _, err := repo.Propose(t.Context(), name); !errors.Is(err, desired.ErrBranchName) || len(err.Error()) > 1200 {
			t.Errorf("%q: %v", name, err)
		}
	}
	if asked := server.took(); asked != nil {
		t.Errorf("the server was asked %q", asked)
	}
	for _, name := range []string{"nowhere", "v1", "pull/7/head", "../heads/main"} {
		_, err := repo.Propose(t.Context(), name)
		if !errors.Is(err, desired.ErrNoBranch) && !errors.Is(err, desired.ErrBranchName) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// What people push is bounded, and an outage is told without a password.
func TestTroubleWithAProposal(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	repo := server.open(server.options())
	poll(t, repo)
	server.branch("deep", "main", files{"fleets/" + strings.Repeat("d/", 70) + "x.yaml": fleet("x", "v1")})
	server.commit(files{"fleets/" + strings.Repeat("d/", 70) + "y.yaml": fleet("y", "v1")})
	poll(t, repo)
	if _, err := repo.Propose(t.Context(), "deep"); err == nil || !strings.Contains(err.Error(), "directories lie more than 64 deep") {
		t.Errorf("deep directories: %v", err)
	}
	server.answer(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		http.Error(w, "secret page", http.StatusBadGateway)
	})
	_, err := repo.Propose(t.Context(), "deep")
	var told *Error
	if !errors.As(err, &told) || told.Reason != Network || strings.Contains(err.Error(), "secret") {
		t.Errorf("an outage: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := repo.Propose(gone, "deep"); !errors.Is(err, context.Canceled) {
		t.Errorf("who goes away: %v", err)
	}
}

// A tree that names itself again and again is small and has no end that anybody could wait for.
func TestAFewTreesMayHoldManyFiles(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	repo := server.open(server.options())
	poll(t, repo)
	blob := server.pipe(server.work, "", "hash-object", "-w", "--stdin")
	tree := server.pipe(server.work, fmt.Sprintf("100644 blob %s\tnote\n", blob), "mktree")
	for range 7 {
		var lines strings.Builder
		for i := range 10 {
			fmt.Fprintf(&lines, "040000 tree %s\t%d\n", tree, i)
		}
		tree = server.pipe(server.work, lines.String(), "mktree")
	}
	root := server.pipe(server.work, fmt.Sprintf("040000 tree %s\tfleets\n", tree), "mktree")
	commit := server.run(server.work, "commit-tree", "-p", "main", "-m", "many", root)
	server.run(server.work, "push", "-q", server.bare, commit+":refs/heads/many")
	if _, err := repo.Propose(t.Context(), "many"); err == nil || !strings.Contains(err.Error(), "it has more than 20000 files") {
		t.Errorf("ten million files: %v", err)
	}
}

// Proposals wait for each other and not longer than who asks; the agent polls meanwhile.
func TestProposalsWaitForEachOther(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	repo := server.open(server.options())
	poll(t, repo)
	server.branch("next", "main", files{"fleets/web.yaml": fleet("web", "v2")})
	began, goOn := make(chan struct{}), make(chan struct{})
	var held atomic.Bool
	server.answer(func(w http.ResponseWriter, r *http.Request, backend http.Handler) {
		if held.CompareAndSwap(false, true) {
			close(began)
			<-goOn
		}
		backend.ServeHTTP(w, r)
	})
	first := make(chan error)
	go func() {
		_, err := repo.Propose(t.Context(), "next")
		first <- err
	}()
	<-began
	server.commit(files{"fleets/db.yaml": fleet("db", "v7")})
	wantReleases(t, poll(t, repo), map[string]string{"web": "v1", "db": "v7"})
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := repo.Propose(impatient, "next"); !errors.Is(err, context.Canceled) {
		t.Errorf("the second: %v", err)
	}
	if _, err := repo.Earlier(impatient, "web", []string{strings.Repeat("a", 40)}); !errors.Is(err, context.Canceled) {
		t.Errorf("who asks for an earlier fleet: %v", err)
	}
	close(goOn)
	if err := <-first; err != nil {
		t.Errorf("the first: %v", err)
	}
}

// Only what fleets are made of counts, below the directory that is followed.
func TestABranchOfADirectory(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	first := server.commit(files{"live/fleets/web.yaml": fleet("web", "v1"), "fleets/other.yaml": fleet("other", "v1"), "live/notes": text("1")})
	server.commit(files{"fleets/other.yaml": fleet("other", "v2"), "live/notes": text("2"), "live/fleets/db.yaml": fleet("db", "v7")})
	options := server.options()
	options.Path = "live"
	repo := server.open(options)
	poll(t, repo)
	server.branch("next", first, files{"live/fleets/web.yaml": fleet("web", "v2"), "fleets/other.yaml": fleet("other", "v3"), "live/notes": text("3")})
	p := propose(t, repo, "next")
	wantReleases(t, p.State, map[string]string{"web": "v2", "db": "v7"})
	if diff := cmp.Diff([]string{"fleets/web.yaml"}, p.Changed["web"]); diff != "" || p.Unclear != "" {
		t.Errorf("%q, changed files (-want +got):\n%s", p.Unclear, diff)
	}
	server.run(server.work, "checkout", "-q", "proposed")
	server.run(server.work, "rm", "-rq", "live")
	server.record(files{"live": text("no directory")}, "a file in its place")
	server.run(server.work, "push", "-q", server.bare, "HEAD:refs/heads/file")
	server.run(server.work, "checkout", "-q", "main")
	if p := propose(t, repo, "file"); !strings.HasPrefix(p.Unclear, "live changed since it left branch main, and here too") {
		t.Errorf("a file in the directory's place: %+v, %q", releases(p.State), p.Unclear)
	}
	server.branch("bare", first, files{"live/fleets/web.yaml": nil})
	if p := propose(t, repo, "bare"); len(p.State.Fleets) != 2 || !p.State.Fleets["web"].Released {
		t.Errorf("without its fleet: %+v, %q", releases(p.State), p.Unclear)
	}
}
