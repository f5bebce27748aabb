package clone_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"windlass/internal/clone"
)

// Whatever git says of a push, what counts is what the remote has.
func TestWhatBecomesOfAPush(t *testing.T) {
	t.Parallel()
	const elsewhere = `unset GIT_QUARANTINE_PATH; git update-ref refs/heads/main $(echo faster | git commit-tree main^{tree} -p main)` + "\n"
	for name, c := range map[string]struct {
		prepare func(w *world, dir string)
		moved   bool
		want    string // of the error
		in      bool
		tries   int // at the remote
	}{
		"good":                           {func(*world, string) {}, false, "", true, 1},
		"the server dies when it was in": {func(w *world, _ string) { w.hook(w.remote, "post-receive", "kill -9 $PPID\n") }, false, "", true, 1},
		"somebody builds on it at once":  {func(w *world, _ string) { w.hook(w.remote, "post-receive", elsewhere) }, false, "", true, 1},
		"refused by a hook there": {func(w *world, _ string) {
			w.hook(w.remote, "update", "echo main is protected >&2; exit 1\n")
		}, false, "cannot push to branch main of origin: [remote rejected] (hook declined); main is protected; error: hook declined to update refs/heads/main", false, 2},
		"refused once": {func(w *world, _ string) {
			w.hook(w.remote, "update", "if [ ! -e was ]; then touch was; exit 1; fi\n")
		}, false, "", true, 2},
		"refused by a hook here": {func(w *world, dir string) {
			w.hook(filepath.Join(dir, ".git"), "pre-push", "echo not on a Friday >&2; exit 1\n")
		}, false, "cannot push to branch main of origin: not on a Friday", false, 0},
		"refused in silence": {func(w *world, dir string) { w.hook(filepath.Join(dir, ".git"), "pre-push", "exit 1\n") }, false,
			"cannot push to branch main of origin: git push ended with status 1 and said nothing", false, 0},
		"a talkative hook here": {func(w *world, dir string) {
			w.hook(filepath.Join(dir, ".git"), "pre-push", "printf 'Done\\n!\\tlies\\n'\n")
		}, false, "", true, 1},
		"others were faster": {func(w *world, dir string) {
			w.hook(filepath.Join(dir, ".git"), "pre-push", "cd "+w.remote+"; unset GIT_DIR; "+elsewhere)
		}, true, "", false, 1},
		"others were faster in the same breath": {func(w *world, _ string) { w.hook(w.remote, "update", elsewhere) }, true, "", false, 1},
		"git pushes submodules only":            {func(w *world, _ string) { w.git(w.dir, "config", "--global", "push.recurseSubmodules", "only") }, false, "", true, 1},
		"a mirror is all or nothing": {func(w *world, dir string) { w.git(dir, "config", "remote.origin.mirror", "true") }, false,
			"cannot push to branch main of origin: fatal: --mirror can't be combined with refspecs", false, 0},
		"the remote is gone afterwards": {func(w *world, _ string) { w.hook(w.remote, "post-receive", "mv HEAD DAEH\n") }, false,
			"nobody can tell whether commit ", true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			dir := w.clone("c")
			w.hook(w.remote, "pre-receive", "echo >>"+w.dir+"/tries\n")
			c.prepare(w, dir)
			commit, err := w.deploy(w.open(dir), "v2")
			switch {
			case errors.Is(err, clone.ErrMoved) != c.moved:
				t.Errorf("moved: %v", err)
			case !c.moved && (err == nil) != (c.want == ""), err != nil && !strings.HasPrefix(err.Error(), c.want), err != nil && strings.Contains(err.Error(), "\n"):
				t.Errorf("%v; want %s", err, c.want)
			}
			_ = os.Rename(w.remote+"/DAEH", w.remote+"/HEAD")
			if in := commit != "" && strings.Contains(w.git(w.remote, "rev-list", "main"), commit); in != c.in {
				t.Errorf("it is in: %v", in)
			}
			tries, _ := os.ReadFile(w.dir + "/tries")
			if len(tries) != c.tries {
				t.Errorf("%d pushes came to the remote, want %d", len(tries), c.tries)
			}
		})
	}
}

// Who was too slow begins again on top of what the remote has, which was fetched.
func TestPushAfterAnotherOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.open(w.clone("c"))
	parent, err := c.Fetch(t.Context(), "main")
	check(t, err)
	commit, err := w.commit(c, parent, "v2")
	check(t, err)
	faster, err := w.deploy(w.open(filepath.Join(w.dir, "seed")), "v3")
	check(t, err)
	if err := c.Push(t.Context(), commit, parent, "main"); !errors.Is(err, clone.ErrMoved) {
		t.Fatalf("after another one: %v", err)
	}
	if again, err := c.Fetch(t.Context(), "main"); again != faster || err != nil {
		t.Fatalf("the tip is %s, %v; want %s", again, err, faster)
	}
	if _, err := w.deploy(c, "v2"); err != nil || !strings.Contains(w.onRemote(fleetFile), "v2") {
		t.Errorf("again: %v", err)
	}
}

// A branch that was set back meanwhile is not set forth again: what was taken out of it stays out.
func TestBranchThatWasSetBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.open(w.clone("c"))
	_, err := w.deploy(c, "v2")
	check(t, err)
	parent, err := c.Fetch(t.Context(), "main")
	check(t, err)
	commit, err := w.commit(c, parent, "v3")
	check(t, err)
	w.git(w.remote, "update-ref", "refs/heads/main", parent+"^")
	if err := c.Push(t.Context(), commit, parent, "main"); !errors.Is(err, clone.ErrMoved) {
		t.Errorf("it ends with %v", err)
	}
	if got := w.onRemote(fleetFile); !strings.Contains(got, "v1") {
		t.Errorf("the remote has %q", got)
	}
	if said, err := c.Newest(t.Context(), parent, w.git(w.remote, "rev-parse", "main"), fleetFile); said != "" || err != nil {
		t.Errorf("the newest is %q, %v", said, err)
	}
}

// Where the remote is pushed to another place than it is fetched from, that place is asked what its branches have.
func TestPushElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	fork := filepath.Join(w.dir, "fork.git")
	w.git(w.dir, "clone", "-q", "--bare", w.remote, fork)
	dir := w.clone("c")
	w.git(dir, "config", "remote.origin.pushurl", fork)
	c := w.open(dir)
	parent, err := c.Fetch(t.Context(), "main")
	check(t, err)
	commit, err := w.commit(c, parent, "v2")
	check(t, err)
	theirs := filepath.Join(w.dir, "theirs")
	w.git(w.dir, "clone", "-q", fork, theirs)
	w.write(theirs, "README", "theirs")
	w.git(theirs, "add", ".")
	w.git(theirs, "commit", "-qm", "theirs")
	w.git(theirs, "push", "-q", "origin", "main:windlass/web-v2", "main:windlass/web-v2-2")
	tip, err := c.Branch(t.Context(), "windlass/web-v2")
	check(t, err)
	if alike, err := c.Alike(t.Context(), "windlass/web-v2", tip, commit); alike || err != nil {
		t.Errorf("a branch of others: %v, %v", alike, err)
	}
	alone := w.git(theirs, "commit-tree", "HEAD^{tree}", "-m", "built on nothing")
	w.git(theirs, "push", "-q", "origin", alone+":refs/heads/windlass/web-v2-0")
	if alike, err := c.Alike(t.Context(), "windlass/web-v2-0", alone, commit); alike || err != nil {
		t.Errorf("a branch that is built on nothing: %v, %v", alike, err)
	}
	other := w.clone("d")
	w.git(other, "config", "remote.origin.pushurl", fork)
	if err := w.open(other).Push(t.Context(), parent, "", "windlass/web-v2-2"); err != nil {
		t.Errorf("what others built on already: %v", err)
	}
	if err := c.Push(t.Context(), commit, "", "windlass/web-v2-2"); !errors.Is(err, clone.ErrMoved) {
		t.Errorf("a name that is taken: %v", err)
	}
	check(t, c.Push(t.Context(), commit, "", "windlass/web-v2-3"))
}
