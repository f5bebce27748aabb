package sandbox

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"windlass/desired/source"
	"windlass/internal/forge"
)

// The code's repository is one that git reads, and its forge one that the agent does, by the file that is written for it.
func TestSource(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := newSource(dir, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	for _, release := range []string{"v1", "v2"} {
		if err := s.Tag(release, "queued"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Tag("v2", "success"); err == nil {
		t.Error("a tag was moved")
	}
	work := filepath.Join(t.TempDir(), "clone")
	clone := exec.Command("git", "clone", "-q", "--branch", "v2", s.URL, work)
	clone.Env = []string{"PATH=" + searchPath(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null"}
	if said, err := clone.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	said, err := exec.Command("git", "-C", work, "rev-parse", "v2^{commit}").Output()
	if err != nil {
		t.Fatal(err)
	}
	hosts, err := forge.Read(filepath.Join(dir, "forges.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	place, _ := forge.Locate(s.URL)
	host, known := hosts.Of(place)
	if !known {
		t.Fatalf("%s is none of %v", place, hosts)
	}
	client, err := forge.NewClient(host, place)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	for _, want := range []struct {
		state string
		is    source.CheckState
	}{{"in_progress", source.CheckPending}, {"failure", source.CheckRed}, {"success", source.CheckGreen}} {
		if err := s.Run("v2", want.state); err != nil {
			t.Fatal(err)
		}
		got, err := client.Checks(t.Context(), strings.TrimSpace(string(said)), []string{CheckName})
		if err != nil || len(got) != 1 || got[0].State != want.is || got[0].App != CheckApp {
			t.Errorf("%s: %+v, %v", want.state, got, err)
		}
	}
	if err := s.Run("v9", "success"); err == nil {
		t.Error("a release without a tag has a check")
	}
}
