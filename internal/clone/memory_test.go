package clone_test

import (
	"context"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"windlass/desired/gitrepo"
	"windlass/internal/clone"
)

var ada = clone.Identity{Name: "Ada", Email: "ada@example.org"}

func (w *world) memory() *clone.Memory {
	w.Helper()
	m, err := clone.OpenURL(gitrepo.Options{URL: w.remote}, clone.Person{Author: ada, Committer: ada})
	check(w.T, err)
	w.Cleanup(m.Close)
	return m
}

// Without a clone the same is found, taken back and pushed as with one.
func TestUndoInMemory(t *testing.T) {
	t.Parallel()
	w, old := grown(t)
	m := w.memory()
	tip, err := m.Fetch(t.Context(), "main")
	check(t, err)
	found, err := m.Touching(t.Context(), "main", old, tip, webFiles)
	check(t, err)
	var subjects []string
	for _, f := range found {
		subjects = append(subjects, f.Subject+" by "+f.Author)
	}
	if got, want := strings.Join(subjects, ", "), "web: v4 by Ada, merge of v3 by Ada, web: v2 by Ada"; got != want {
		t.Errorf("touching: %s, want %s", got, want)
	}
	if _, err := m.Undo(t.Context(), tip, "x", found[1:]); err == nil || !strings.HasSuffix(err.Error(), "(merge of v3) cannot be taken back: what it changed was changed again") {
		t.Errorf("without the newest: %v", err)
	}
	commit, err := m.Undo(t.Context(), tip, "web: back to v1", found)
	check(t, err)
	check(t, m.Push(t.Context(), commit, tip, "main"))
	if got := w.onRemote(fleetFile) + w.onRemote("files/web.env") + w.onRemote("README"); got != "name: web\r\nrelease: v1 # now\nA=1\nfor others\n" {
		t.Errorf("the remote has %q", got)
	}
	w.git(w.remote, "fsck", "--strict")
	if got := w.git(w.remote, "diff", "--stat", old, commit, "--", "fleets"); got != "" {
		t.Errorf("modes or contents differ: %s", got)
	}
	if _, err := m.Touching(t.Context(), "main", strings.Repeat("1", 40), tip, webFiles); err != clone.ErrUnrelated {
		t.Errorf("of nobody: %v", err)
	}
	if by, err := m.Newest(t.Context(), old, tip, "README"); err != nil || !strings.HasSuffix(by, " by Ada, for others") {
		t.Errorf("the newest is %q, %v", by, err)
	}
}

// What was merged from where the older commit is does not lead past it.
func TestTouchingFromAMergedCommit(t *testing.T) {
	t.Parallel()
	w, _ := grown(t)
	m := w.memory()
	tip, err := m.Fetch(t.Context(), "main")
	check(t, err)
	c := w.open(w.clone("c"))
	_, err = c.Fetch(t.Context(), "main")
	check(t, err)
	side := w.git(filepath.Join(w.dir, "seed"), "rev-parse", "side~1")
	want, err := c.Touching(t.Context(), "main", side, tip, webFiles)
	check(t, err)
	got, err := m.Touching(t.Context(), "main", side, tip, webFiles)
	check(t, err)
	if len(got) != len(want) || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%v, want %v", got, want)
	}
}

// A branch that others were faster on is not overwritten, one that is there is not made, and a change that is there is known.
func TestPushFromMemory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.memory()
	edit := func(release string) (tip, commit string) {
		tip, err := m.Fetch(t.Context(), "main")
		check(t, err)
		check(t, m.Read(t.Context(), tip, "fleets", func(files fs.FS) error {
			_, err := fs.Stat(files, "web.yaml")
			return err
		}))
		commit, err = m.Commit(t.Context(), clone.Change{Parent: tip, Message: "web: " + release, Files: map[string][]byte{fleetFile: []byte("release: " + release + "\n")}})
		check(t, err)
		return tip, commit
	}
	tip, commit := edit("v2")
	c := w.open(w.clone("c"))
	_, err := w.deploy(c, "v3")
	check(t, err)
	if err := m.Push(t.Context(), commit, tip, "main"); err != clone.ErrMoved {
		t.Errorf("somebody was faster: %v", err)
	}
	tip, commit = edit("v2")
	check(t, m.Push(t.Context(), commit, "", "windlass/web-v2"))
	tip2, again := edit("v2")
	if tip2 != tip {
		t.Fatal("the branch has moved")
	}
	if err := m.Push(t.Context(), again, "", "other"); err != clone.ErrMoved {
		t.Errorf("a name that is taken: %v", err)
	}
	if alike, err := m.Alike(t.Context(), "windlass/web-v2", commit, again); !alike || err != nil {
		t.Errorf("the same change: %v, %v", alike, err)
	}
	_, different := edit("v5")
	if alike, err := m.Alike(t.Context(), "windlass/web-v2", commit, different); alike || err != nil {
		t.Errorf("another change: %v, %v", alike, err)
	}
	check(t, m.Push(t.Context(), again, tip, "main"))
	if in, err := m.Contains(t.Context(), "main", again, tip); !in || err != nil {
		t.Errorf("it does not contain its parent: %v", err)
	}
	if in, err := m.Contains(t.Context(), "main", "--evil", tip); in || err != nil {
		t.Errorf("what is no hash: %v, %v", in, err)
	}
	w.git(w.remote, "fsck", "--strict")
}

// What others push after all of the history was fetched is looked for at the remote.
func TestContainsWhatIsNewerThanTheHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.memory()
	tip, err := m.Fetch(t.Context(), "main")
	check(t, err)
	if found, err := m.Resolve(t.Context(), "main", "0000000"); err == nil { // which all of the history is fetched for
		t.Fatalf("nobody's is %s", found)
	}
	for _, find := range []func(ctx context.Context, branch, newer, older string) (bool, error){m.Contains, m.Reaches} {
		newer, err := w.deploy(w.open(filepath.Join(w.dir, "seed")), "v"+tip[:8])
		check(t, err)
		if in, err := find(t.Context(), "main", newer, tip); !in || err != nil {
			t.Errorf("what is built on it does not have it: %v", err)
		}
		tip = newer
	}
}

// Who was faster is found by the commit that changed the file, though commits were fetched without files.
func TestFasterOnesInMemory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	seed := filepath.Join(w.dir, "seed")
	one, other, before := w.memory(), w.memory(), w.git(seed, "rev-parse", "main")
	fetch := func(m *clone.Memory) {
		_, err := m.Fetch(t.Context(), "main")
		check(t, err)
	}
	fetch(one)
	fetch(other)
	for _, file := range []string{fleetFile, "README"} {
		w.write(seed, file, "release: v9\n")
		w.git(seed, "add", ".")
		w.git(seed, "commit", "-qm", "changes "+file)
	}
	w.git(seed, "push", "-q", "origin", "main")
	tip := w.git(seed, "rev-parse", "main")
	for _, m := range []*clone.Memory{one, other} {
		if in, err := m.Contains(t.Context(), "main", tip, before); !in || err != nil {
			t.Fatalf("it does not contain what it is built on: %v", err)
		}
		fetch(m)
	}
	if by, err := one.Newest(t.Context(), before, tip, fleetFile); err != nil || !strings.HasSuffix(by, " by Ada, changes "+fleetFile) {
		t.Errorf("the newest is %q, %v", by, err)
	}
	found, err := other.Touching(t.Context(), "main", before, tip, webFiles)
	if err != nil || len(found) != 1 || found[0].Subject != "changes "+fleetFile {
		t.Errorf("it was touched by %v, %v", found, err)
	}
}

// A change that a branch has already is known again when the branch that it is to be merged into has moved on.
func TestAlikeAfterOthersPushed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	edit := func(m *clone.Memory) string {
		tip, err := m.Fetch(t.Context(), "main")
		check(t, err)
		commit, err := m.Commit(t.Context(), clone.Change{Parent: tip, Message: "web: v2", Files: map[string][]byte{fleetFile: []byte("release: v2\n")}})
		check(t, err)
		return commit
	}
	m := w.memory()
	commit := edit(m)
	check(t, m.Push(t.Context(), commit, "", "windlass/web-v2"))
	seed := filepath.Join(w.dir, "seed")
	for _, text := range []string{"one", "two", "three"} {
		w.write(seed, "README", text)
		w.git(seed, "add", ".")
		w.git(seed, "commit", "-qm", text)
	}
	w.git(seed, "push", "-q", "origin", "main")
	again := w.memory()
	if alike, err := again.Alike(t.Context(), "windlass/web-v2", commit, edit(again)); !alike || err != nil {
		t.Errorf("the same change, on top of more: %v, %v", alike, err)
	}
}

func TestIdentities(t *testing.T) {
	t.Parallel()
	if got, err := clone.ParseIdentity(" Ada L. <ada@example.org> "); err != nil || got != (clone.Identity{Name: "Ada L.", Email: "ada@example.org"}) {
		t.Errorf("%+v, %v", got, err)
	}
	for _, text := range []string{"", "Ada", "<ada@example.org>", "Ada <>", "Ada <a> b", "Ada <a\nauthor b>", "A<b <c@d>"} {
		if got, err := clone.ParseIdentity(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}
