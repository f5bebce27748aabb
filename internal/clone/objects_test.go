package clone_test

import (
	"path/filepath"
	"strings"
	"testing"

	"windlass/internal/clone"
)

// What a person has replaced for their own eyes is not what the remote has.
func TestReplacedObjects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := w.clone("c")
	w.write(dir, fleetFile, "name: web\r\nrelease: v1 # mine\n")
	w.write(dir, "files/web.env", "A=mine\n")
	w.git(dir, "add", ".")
	w.git(dir, "commit", "-qm", "mine")
	w.git(dir, "replace", "origin/main", "main")
	_, err := w.deploy(w.open(dir), "v2")
	check(t, err)
	if fleet, env := w.onRemote(fleetFile), w.onRemote("files/web.env"); fleet != "name: web\r\nrelease: v2 # now\n" || env != "A=1\n" {
		t.Errorf("the remote has %q and %q", fleet, env)
	}
}

// Files keep their mode, and may be named in any way.
func TestNamesAndModes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seed := filepath.Join(w.dir, "seed")
	names := []string{"fleets/ä b.yaml", "fleets/-x.yaml", "fleets/a,b.yaml", "fleets/[a]*.yaml", ":(top)x/\"q\".yaml"}
	files := map[string][]byte{}
	for _, name := range names {
		w.write(seed, name, "release: v1\n")
		w.git(seed, "update-index", "--add", "--chmod=+x", "--", name)
		files[name] = []byte("release: v2\n")
	}
	w.git(seed, "commit", "-qm", "names")
	w.git(seed, "push", "-q", "origin", "main")
	c := w.open(w.clone("c"))
	parent, err := c.Fetch(t.Context(), "main")
	check(t, err)
	commit, err := c.Commit(t.Context(), clone.Change{Parent: parent, Message: "all", Files: files})
	check(t, err)
	check(t, c.Push(t.Context(), commit, parent, "main"))
	for line := range strings.Lines(w.git(w.remote, "diff-tree", "-r", "--no-commit-id", commit)) {
		if !strings.HasPrefix(line, ":100755 100755 ") || !strings.Contains(line, " M\t") {
			t.Errorf("the commit has %s", line)
		}
	}
	if got := w.git(w.remote, "diff-tree", "-r", "--no-commit-id", "-z", "--name-only", commit); strings.Count(got, "\x00") != len(names) {
		t.Errorf("the commit has %q", got)
	}
	for _, name := range names {
		if got := w.onRemote(name); got != "release: v2\n" {
			t.Errorf("%s is %q", name, got)
		}
	}
}

func TestRepoOfAnotherHash(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := filepath.Join(w.dir, "c")
	w.git(w.dir, "init", "-q", "--object-format=sha256", dir)
	w.git(dir, "remote", "add", "origin", dir)
	_, err := clone.Open(t.Context(), clone.Options{Dir: dir, Env: w.env})
	if err == nil || !strings.Contains(err.Error(), "names its objects by sha256") {
		t.Errorf("it opens: %v", err)
	}
}

// A clone without blobs fetches those that are looked at, not all of the repo's.
func TestBlobsThatNobodyNeeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := w.clone("c", "--filter=blob:none", "--no-checkout")
	_, err := w.deploy(w.open(dir), "v2")
	check(t, err)
	unread := w.git(w.remote, "rev-parse", "main:files/web.env")
	if missing := w.git(dir, "rev-list", "--objects", "--missing=print", "main"); !strings.Contains(missing, "?"+unread) {
		t.Errorf("files/web.env was fetched: %s", missing)
	}
}
