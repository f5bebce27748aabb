package clone_test

import (
	"strings"
	"testing"
)

// Settings that change what git writes for people change neither what is committed nor what is told.
func TestSettingsOfPeople(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(w *world, dir string){
		"colours everywhere": func(w *world, _ string) {
			for _, key := range []string{"ui", "push", "remote", "advice", "transport", "diff", "status"} {
				w.git(w.dir, "config", "--global", "color."+key, "always")
			}
		},
		"traces":                func(w *world, _ string) { w.env = append(w.env, "GIT_TRACE=1", "GIT_TRACE_PACKET=1", "GIT_TRACE2=1") },
		"paths of another kind": func(w *world, _ string) { w.env = append(w.env, "GIT_ICASE_PATHSPECS=1", "GIT_GLOB_PATHSPECS=1") },
		"logs and differences": func(w *world, _ string) {
			for key, value := range map[string]string{
				"log.showSignature": "true", "log.decorate": "full", "log.follow": "true", "log.date": "relative", "format.pretty": "fuller", "diff.noprefix": "true",
				"diff.external": "/bin/false", "core.quotePath": "false", "core.abbrev": "40", "submodule.recurse": "true", "fetch.prune": "true", "fetch.pruneTags": "true",
			} {
				w.git(w.dir, "config", "--global", key, value)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			plain := w.env
			dir := w.clone("c")
			prepare(w, dir)
			c := w.open(dir)
			parent, err := c.Fetch(t.Context(), "main")
			check(t, err)
			commit, err := w.deploy(c, "v2")
			check(t, err)
			said, err := c.Newest(t.Context(), parent, commit, fleetFile)
			if _, after, _ := strings.Cut(said, " "); after != "by Ada, web: v2 # 42 is kept" || err != nil {
				t.Errorf("the newest is %q, %v", said, err)
			}
			w.hook(w.remote, "update", "echo main is protected >&2; exit 1\n")
			_, err = w.deploy(c, "v3")
			if want := "cannot push to branch main of origin: [remote rejected] (hook declined); main is protected; error: hook declined to update refs/heads/main"; err == nil || err.Error() != want {
				t.Errorf("refused: %q, want %q", err, want)
			}
			w.env = plain
			if got := w.git(w.remote, "diff-tree", "-r", "--no-commit-id", "--name-only", commit); got != fleetFile {
				t.Errorf("the commit changes %s", got)
			}
		})
	}
}
