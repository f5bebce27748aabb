package example_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"windlass/desired"
)

// The steps are run as a node would run them, against stand-ins for what they call: each release arrives, is whole, runs,
// and going back needs neither the network nor luck. Each step runs twice, as after a lost connection.
func TestStepsTravelThroughReleases(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	for _, release := range []string{"v1", "v2", "v3", "v4", "v5"} {
		n.publish(release)
		n.deploy(release)
	}
	if got := n.kept(); !slices.Equal(got, []string{"v3", "v4", "v5"}) {
		t.Errorf("the node keeps %q, want the last three", got)
	}
	n.takeOffline()
	n.deploy("v4")
}

func TestFetchRefusesWhatIsBroken(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.publish("v1")
	n.deploy("v1")
	n.publish("v2")
	n.write("published/web-v2.tar.gz.sha256", strings.Repeat("0", 64)+"  web-v2.tar.gz\n")
	if out, err := n.run(n.step("fetch"), "v2"); err == nil {
		t.Errorf("an archive with another checksum was taken:\n%s", out)
	}
	if got := n.kept(); !slices.Equal(got, []string{"v1"}) {
		t.Errorf("the node keeps %q, want only v1: a broken release must leave nothing behind", got)
	}
	if n.current() != "v1" {
		t.Errorf("the node runs %q", n.current())
	}
}

// A node is a directory that the steps take for the root of a machine.
type node struct {
	*testing.T
	root     string
	fleet    *desired.Fleet
	previous string
}

// newNode has stand-ins for curl, which copies from root/published, and for what changes the machine itself.
func newNode(t *testing.T) *node {
	n := &node{T: t, root: t.TempDir(), fleet: load(t, repo(t)).Fleets["web-live"]}
	for _, name := range []string{"getent", "systemctl"} {
		n.script(name, `echo "$0 $*" >>"$ROOT/calls"`)
	}
	n.script("curl", `while [ $# -gt 1 ]; do if [ "$1" = --output ]; then out=$2; fi; shift; done; cp "$ROOT/published/${1##*/}" "$out"`)
	return n
}

func (n *node) script(name, body string) {
	n.write("bin/"+name, "#!/bin/sh\nset -eu\n"+body+"\n")
	if err := os.Chmod(filepath.Join(n.root, "bin", name), 0o755); err != nil {
		n.Fatal(err)
	}
}

func (n *node) write(name, content string) {
	n.Helper()
	path := filepath.Join(n.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		n.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		n.Fatal(err)
	}
}

// publish makes the archive of a release as a build would, with its checksum.
func (n *node) publish(release string) {
	n.Helper()
	n.write("build/bin/web", release)
	n.write("published/.keep", "")
	script := fmt.Sprintf(`cd "$ROOT/published" && tar -czf web-%[1]s.tar.gz -C ../build . && sha256sum web-%[1]s.tar.gz >web-%[1]s.tar.gz.sha256`, release)
	if out, err := n.run(script, release); err != nil {
		n.Fatalf("cannot publish %s: %v\n%s", release, err, out)
	}
}

func (n *node) takeOffline() { n.script("curl", "exit 6") }

// deploy runs every step of the fleet twice and requires that the release then runs.
func (n *node) deploy(release string) {
	n.Helper()
	for _, step := range slices.Concat(n.fleet.Configure.Prepare, n.fleet.Configure.Activate) {
		for range 2 {
			if out, err := n.run(step.Run, release); err != nil {
				n.Fatalf("%s to %s: %v\n%s", step.Name, release, err, out)
			}
		}
	}
	if n.current() != release {
		n.Errorf("after a deploy of %s the node runs %q", release, n.current())
	}
	n.previous = release
}

// run runs a script with what windlass gives to a step; absolute paths of the machine become those below root.
func (n *node) run(script, release string) (string, error) {
	script = strings.NewReplacer("/opt/web", n.root+"/opt/web", "/etc/web", n.root+"/etc/web").Replace(script)
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = n.root
	cmd.Env = []string{
		"PATH=" + filepath.Join(n.root, "bin") + ":" + os.Getenv("PATH"), "ROOT=" + n.root,
		"WINDLASS_FLEET=web-live", "WINDLASS_NODE=web-1", "WINDLASS_DIR=" + n.root,
		"WINDLASS_RELEASE=" + release, "WINDLASS_PREVIOUS_RELEASE=" + n.previous, "WINDLASS_REVISION=3f2a",
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (n *node) step(name string) string {
	steps := slices.Concat(n.fleet.Configure.Prepare, n.fleet.Configure.Activate)
	return steps[slices.IndexFunc(steps, func(s desired.Step) bool { return s.Name == name })].Run
}

// current is the release that a restart of the service would run.
func (n *node) current() string {
	content, err := os.ReadFile(filepath.Join(n.root, "opt/web/current/bin/web"))
	if err != nil {
		n.Fatal(err)
	}
	return string(content)
}

// kept is everything below releases/, hidden files too.
func (n *node) kept() []string {
	entries, err := os.ReadDir(filepath.Join(n.root, "opt/web/releases"))
	if err != nil {
		n.Fatal(err)
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names
}
