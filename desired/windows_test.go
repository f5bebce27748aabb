package desired_test

import (
	"strings"
	"testing"
	"time"

	"windlass/desired"
)

// A fleet has its own windows, those of its base where it says none, and the repo's; the three agree on no keys but the form. They are in no digest.
func TestWindowsOfAFleetAndOfTheRepo(t *testing.T) {
	const (
		office = "windows: {timezone: Europe/Berlin, rules: [{allow: 'Mon-Fri 09:00-16:00'}]}\n"
		freeze = "finish: rollout\nreverts: in-window\nrules: [{deny: '2026-12-20/2027-01-02', reason: holidays}]\nemergency: {release: v9, reason: CVE, by: ann}\n"
	)
	without := good(t, "fleets/web.yaml", smallest)
	f := good(t, "fleets/web.yaml", smallest+"base: ../base/web.yaml\n", "base/web.yaml", office, "windows.yaml", freeze)
	if without.Windows != nil || without.RepoWindows != nil || f.Windows == nil || f.RepoWindows == nil {
		t.Fatalf("without: %v, %v; with: %v, %v", without.Windows, without.RepoWindows, f.Windows, f.RepoWindows)
	}
	if f.Digest(desired.DigestAlgorithm) != without.Digest(desired.DigestAlgorithm) {
		t.Error("windows roll the fleet")
	}
	own, repo := f.Windows, f.RepoWindows
	if own.Finish != desired.FinishNode || own.Reverts != desired.RevertsAlways || own.Path != "fleets/web.yaml" || own.Passes("v9") {
		t.Errorf("the fleet's own are %+v", own)
	}
	if repo.Finish != desired.FinishRollout || repo.Reverts != desired.RevertsInWindow || repo.Path != desired.WindowsFile || !repo.Passes("v9") || repo.Passes("v1.4.2") {
		t.Errorf("the repo's are %+v", repo)
	}
	for at, want := range map[string][2]bool{
		"2026-12-18T08:00:00Z": {true, true}, "2026-12-18T07:59:59Z": {false, true}, "2026-12-21T10:00:00Z": {true, false}, "2027-01-02T23:59:59Z": {false, false},
	} {
		now, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := own.At(now), repo.At(now); a.Open != want[0] || b.Open != want[1] {
			t.Errorf("at %s: the fleet's %+v, the repo's %+v", at, a, b)
		}
	}
	if got := own.Clock(time.Date(2026, 12, 18, 8, 0, 0, 0, time.UTC)); got != "Fri 2026-12-18 09:00 CET" {
		t.Errorf("the fleet's clock says %s", got)
	}
}

// What people may see of a broken windows.yaml: all fleets are rejected, and a fleet that is wrong itself says that as well.
func TestABrokenFileOfTheReposWindowsRejectsEveryFleet(t *testing.T) {
	for name, text := range map[string]string{"no YAML": "rules: [", "unknown key": "rules: [{deny: '2026-12-24'}]\nzone: UTC\n", "empty": "", "no rule": "rules: [{}]\n"} {
		tree := load(t, "windows.yaml", text, "fleets/a.yaml", edited(t, "name: web-live", "name: a", "targetGroup: web-live", "targetGroup: a"), "fleets/b.yaml", edited(t, "name: web-live", "name: b", "env: live", "env: b", "targetGroup: web-live", "targetGroup: b"))
		if len(tree.Fleets) != 0 || len(tree.Rejected) != 2 {
			t.Fatalf("%s: accepted %v, rejected %v", name, tree.Fleets, tree.Rejected)
		}
		for fleet, r := range tree.Rejected {
			if len(r.Errors) == 0 || !strings.HasPrefix(r.Errors[0].Error(), "windows.yaml:") || !strings.HasSuffix(r.Errors[0].Message, "(used by fleet "+fleet+")") {
				t.Errorf("%s: fleet %s: %v", name, fleet, r.Errors)
			}
		}
	}
}

// A file that is nearly called so does not go unnoticed, and one that cannot be read is no file that is not there.
func TestOtherFilesOfTheReposWindows(t *testing.T) {
	tree := load(t, "windows.yml", "rules: [{deny: '2026-12-24'}]\n", "fleets/web.yaml", smallest)
	if len(tree.Fleets) != 1 || len(tree.Warnings) == 0 || !strings.HasPrefix(tree.Warnings[len(tree.Warnings)-1].Error(), "windows.yml:1:1: the file is not read; ") {
		t.Errorf("it warns of %v", tree.Warnings)
	}
	tree = load(t, "windows.yaml/a", "", "fleets/web.yaml", smallest)
	if len(tree.Rejected) != 1 {
		t.Errorf("of a directory: %v, %v", tree.Fleets, tree.Rejected)
	}
}
