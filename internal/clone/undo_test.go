package clone_test

import (
	"path/filepath"
	"strings"
	"testing"

	"windlass/internal/clone"
)

// grown is a world whose branch has gone on: v2, a merge that brought v3 and a file, something for others, and v4.
func grown(t *testing.T) (w *world, old string) {
	w = newWorld(t)
	seed := filepath.Join(w.dir, "seed")
	commit := func(file, text, subject string) {
		w.write(seed, file, text)
		w.git(seed, "add", ".")
		w.git(seed, "commit", "-qm", subject)
	}
	old = w.git(seed, "rev-parse", "HEAD")
	commit(fleetFile, "name: web\r\nrelease: v2 # now\n", "web: v2")
	w.git(seed, "checkout", "-q", "-b", "side")
	commit(fleetFile, "name: web\r\nrelease: v3 # now\n", "web: v3")
	commit("files/web.env", "A=2\n", "web: more of it")
	w.git(seed, "checkout", "-q", "main")
	commit("README", "for others\n", "for others")
	w.git(seed, "merge", "-q", "--no-ff", "-m", "merge of v3", "side")
	commit(fleetFile, "name: web\r\nrelease: v4 # now\n", "web: v4\n\nand why")
	w.git(seed, "push", "-q", "origin", "main")
	return w, old
}

var webFiles = []string{fleetFile, "files/web.env"}

// What was done since is taken back as it was merged, the newest first, and nothing else is.
func TestUndo(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{"a whole clone": nil, "a shallow one": {"--depth", "1"}, "one without blobs": {"--filter=blob:none", "--no-checkout"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, old := grown(t)
			for _, setting := range []string{"diff.noprefix", "diff.mnemonicPrefix", "apply.ignoreWhitespace"} {
				w.git(w.dir, "config", "--global", setting, map[bool]string{true: "change", false: "true"}[strings.HasPrefix(setting, "apply")])
			}
			w.git(w.dir, "config", "--global", "color.ui", "always")
			c := w.open(w.clone("c", args...))
			tip, err := c.Fetch(t.Context(), "main")
			check(t, err)
			found, err := c.Touching(t.Context(), "main", old, tip, webFiles)
			check(t, err)
			var subjects []string
			for _, f := range found {
				subjects = append(subjects, f.Subject+" by "+f.Author)
			}
			if got, want := strings.Join(subjects, ", "), "web: v4 by Ada, merge of v3 by Ada, web: v2 by Ada"; got != want {
				t.Errorf("touching: %s, want %s", got, want)
			}
			commit, err := c.Undo(t.Context(), tip, "web: back to v1", found)
			check(t, err)
			check(t, c.Push(t.Context(), commit, tip, "main"))
			if got := w.onRemote(fleetFile) + w.onRemote("files/web.env") + w.onRemote("README"); got != "name: web\r\nrelease: v1 # now\nA=1\nfor others\n" {
				t.Errorf("the remote has %q", got)
			}
			if got := w.git(w.remote, "show", "--no-color", "-s", "--format=%s %P", commit); got != "web: back to v1 "+tip {
				t.Errorf("the commit is %s", got)
			}
		})
	}
}

func TestWhatCannotBeUndone(t *testing.T) {
	t.Parallel()
	w, old := grown(t)
	c := w.open(w.clone("c"))
	tip, err := c.Fetch(t.Context(), "main")
	check(t, err)
	found, err := c.Touching(t.Context(), "main", old, tip, webFiles)
	check(t, err)
	if _, err := c.Undo(t.Context(), tip, "x", found[1:]); err == nil || !strings.HasSuffix(err.Error(), "(merge of v3) cannot be taken back: what it changed was changed again") {
		t.Errorf("without the newest: %v", err)
	}
	for name, hash := range map[string]string{"of nobody": strings.Repeat("1", 40), "of another branch": w.git(filepath.Join(w.dir, "seed"), "commit-tree", "HEAD^{tree}", "-m", "x")} {
		if _, err := c.Touching(t.Context(), "main", hash, tip, webFiles); err != clone.ErrUnrelated {
			t.Errorf("%s: %v", name, err)
		}
	}
	if none, err := c.Touching(t.Context(), "main", old, tip, []string{"files/none"}); len(none) != 0 || err != nil {
		t.Errorf("a file that nobody touched: %v, %v", none, err)
	}
}
