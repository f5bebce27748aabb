package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// adds puts text at the end of a file of the deploy repo.
func adds(text string) edit { return func(old string) string { return old + text } }

// A freeze holds a release until a person lets that one pass, and no other; the way back is open all the time. A file of windows that is
// broken leaves in force what is.
func TestAFreezeHolds(t *testing.T) {
	w := newWorld(t, 3)
	w.begin()
	ada := w.developer("ada")
	check(t, os.WriteFile(filepath.Join(w.Repo.Work, "windows.yaml"), nil, 0o644))
	w.gits("-C", w.Repo.Work, "add", "windows.yaml")
	frozen := w.edit("windows.yaml", adds("rules: [{deny: '2000-01-01/2999-12-31', reason: the sale}]\n"))
	f := w.settles(frozen, plan.PhaseIdle)
	if len(f.Gates) != 1 || f.Gates[0].State != "shut" || !strings.Contains(f.Gates[0].Reason, "the sale") {
		t.Errorf("the gates are %+v", f.Gates)
	}

	ada.ends(ada.begins("deploy", "web", "v2"), 1, "nodes     none for now: the fleet would be waiting, hold: gate windows.yaml: denied by '2000-01-01/2999-12-31' (UTC): the sale", "nothing was pushed")
	held := w.deploy("v2")
	f = w.settles(held, plan.PhaseWaiting)
	if !says(f, "gate windows.yaml: denied by '2000-01-01/2999-12-31' (UTC): the sale") || f.Releases["v1"] != 3 {
		t.Errorf("it waits with %+v: %s, %q", f.Releases, f.Reason, f.Plan.Holds)
	}
	w.status(2, "gate        windows.yaml: shut, denied by '2000-01-01/2999-12-31' (UTC): the sale")
	w.measures(`windlass_gate_state{fleet="web",gate="windows.yaml",state="shut"} 1`, `windlass_gate_state{fleet="web",gate="windows.yaml",state="unread"} 0`)

	passes := w.edit("windows.yaml", adds("emergency: {release: v2, reason: CVE, by: ann}\n"))
	f = w.arrives(passes, "v2")
	if len(f.Gates) != 1 || f.Gates[0].State != "open" || f.Gates[0].Reason != "emergency by ann: CVE" {
		t.Errorf("the gates are %+v", f.Gates)
	}
	w.settles(w.deploy("v4"), plan.PhaseWaiting)
	w.arrives(w.deploy("v2"), "v2")

	broken := w.edit("windows.yaml", adds("emergency: {}\n"))
	w.sees("the broken file", func(f web.Fleet) bool {
		return f.Phase == plan.PhaseInvalid && f.Rejected != nil && f.Rejected.Revision == broken && strings.HasPrefix(f.Rejected.Errors[0], "windows.yaml:3:1: ")
	})
	w.edit("windows.yaml", func(old string) string { return strings.Replace(old, "emergency: {}\n", "", 1) })
	w.arrives(w.deploy("v1"), "v1") // it was proven here before
}
