package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// pushes commits a change of a file on a branch of its own and pushes that; the clone is then on it.
func (d *developer) pushes(branch, file string, change edit) {
	d.Helper()
	d.gits("-C", d.dir, "checkout", "-q", "-B", branch)
	path := filepath.Join(d.dir, file)
	check(d.T, os.WriteFile(path, []byte(change(string(must(os.ReadFile(path))(d.T)))), 0o644))
	d.gits("-C", d.dir, "commit", "-q", "-am", "propose "+branch)
	d.gits("-C", d.dir, "push", "-q", "origin", branch)
}

// What a branch would do is told before it is merged, by who has the keys, and nothing of it is done; what nodes lack is told while it is
// rolled out.
func TestABranchIsPlannedAndThenMerged(t *testing.T) {
	w := newWorld(t, 3)
	w.begin()
	ada := w.developer("ada")
	ada.ends(ada.begins("diff"), 0, "web: no difference on 3 nodes from v1 (")

	ada.pushes("next", fleetFile, func(old string) string { return strings.Replace(old, "release: v1", "release: v2", 1) })
	ada.ends(ada.begins("plan", "--branch", "next"), 2, "(ada: propose next), on top of main at ", "web rolls, v1 → v2", "because of "+fleetFile, "nodes      web-",
		"capacity   at least 2 of 3 in service, floor 2 (maxUnavailable 1)", "1. prepare   web-", "then       idle, 3 of 3 in service with v2")
	revision := w.edit(envFile, func(old string) string { return old + "# by somebody else\n" })
	w.arrives(revision, "v1")
	ada.ends(ada.begins("plan", "--branch", "next", "--format", "markdown"), 2, "<!-- windlass plan -->", "1 commit behind", "| because of | `"+fleetFile+"` |")
	ada.ends(ada.begins("plan", "--branch", "main"), 0, "nothing to do")

	letGo := w.hold("activate")
	w.gits("-C", ada.dir, "fetch", "-q", "origin", "main")
	w.gits("-C", ada.dir, "rebase", "-q", "FETCH_HEAD")
	w.gits("-C", ada.dir, "push", "-q", "origin", "next:main")
	f := w.sees("a node that v2 is written down on", func(f web.Fleet) bool { return f.Releases["v2"] == 1 && in(f, plan.Configuring) != "" })
	ada.ends(ada.begins("diff", "web"), 2, "web: 3 of 3 nodes differ from v2 (", "v1 → v2 ("+revision[:7]+" → ", "differs: release changed\n", in(f, plan.Configuring)+" v2\n")
	letGo()
	w.arrives(w.gits("-C", ada.dir, "rev-parse", "HEAD"), "v2")
	ada.ends(ada.begins("diff"), 0, "web: no difference on 3 nodes from v2 (")
}
