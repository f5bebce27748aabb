package clone_test

import (
	"strings"
	"testing"

	"windlass/internal/clone"
)

// Where git keeps what it fetches and pushes as the person's own branches, theirs would be lost.
func TestBranchesThatWouldBeOverwritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := w.clone("c")
	for refspec, want := range map[string]string{
		"+refs/heads/*:refs/heads/*":         "git would overwrite branches of this clone (remote.origin.fetch is +refs/heads/*:refs/heads/*)",
		"refs/heads/main:refs/heads/main":    "git would overwrite branches of this clone (remote.origin.fetch is refs/heads/main:refs/heads/main)",
		"+refs/*:refs/*":                     "git would overwrite branches of this clone (remote.origin.fetch is +refs/*:refs/*)",
		"+refs/heads/*:refs/remotes/other/*": "",
		"refs/heads/main":                    "",
		"^refs/heads/x":                      "",
	} {
		w.git(dir, "config", "--replace-all", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*")
		w.git(dir, "config", "--add", "remote.origin.fetch", refspec)
		_, err := clone.Open(t.Context(), clone.Options{Dir: dir, Env: w.env})
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%s: %v, want %s", refspec, err, want)
		}
	}
	w.git(dir, "config", "--unset-all", "remote.origin.fetch")
	w.open(dir)
}
