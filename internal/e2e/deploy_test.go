package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// A developer is somebody with a clone of the deploy repo.
type developer struct {
	*world
	dir string
}

// developer clones the deploy repo from git's own server, which takes pushes.
func (w *world) developer(name string) *developer {
	w.Helper()
	d := &developer{w, filepath.Join(w.T.TempDir(), name)}
	w.gits("-C", filepath.Join(w.Dir, "deploy.git"), "config", "http.receivepack", "true")
	w.gits("clone", "-q", w.git.url, d.dir)
	w.gits("-C", d.dir, "config", "user.name", name)
	w.gits("-C", d.dir, "config", "user.email", name+"@windlass.invalid")
	return d
}

func (w *world) gits(args ...string) string {
	w.Helper()
	said, err := w.git.run(args...)
	if err != nil {
		w.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, said)
	}
	return strings.TrimSpace(string(said))
}

// A command is a run of `windlass` in a clone.
type command struct {
	*exec.Cmd
	said strings.Builder
}

// begins starts `windlass deploy` or what else is said.
func (d *developer) begins(args ...string) *command {
	d.Helper()
	c := &command{Cmd: exec.CommandContext(d.Context(), binary, append(args, "--server", d.Agent.URL)...)}
	c.Dir, c.Env = d.dir, append(os.Environ(), d.Agent.Command.Env...)
	c.Stdout, c.Stderr = &c.said, &c.said
	check(d.T, c.Start())
	return c
}

// ends waits for a command, which is to have an exit status and to say so much.
func (d *developer) ends(c *command, exit int, words ...string) {
	d.Helper()
	_ = c.Wait() // its exit status is what counts
	if got := c.ProcessState.ExitCode(); got != exit {
		d.Errorf("%v: exit status %d, want %d", c.Args[1:], got, exit)
	}
	for _, word := range words {
		if !strings.Contains(c.said.String(), word) {
			d.Errorf("%v says no %q", c.Args[1:], word)
		}
	}
	if d.Failed() {
		d.Logf("%v says:\n%s", c.Args[1:], c.said.String())
	}
}

// One command takes a release to every node and tells how that ended: in service, though the agent is killed meanwhile; halted; and
// superseded by somebody else's.
func TestDeployCommand(t *testing.T) {
	w := newWorld(t, 3)
	w.edit(baseFile, hasty)
	w.begin()
	ada, bob := w.developer("ada"), w.developer("bob")

	ada.ends(ada.begins("follow", "web"), 0, "web: v1 in service on 3 of 3, followed for 0s")

	letGo := w.hold("activate")
	deploys := ada.begins("deploy", "web", "v2", "--yes")
	w.meets(plan.Configuring)
	check(t, w.Agent.Kill())
	check(t, w.Agent.Start())
	w.meets(plan.Configuring)
	follows := bob.begins("follow", "web")
	letGo()
	bob.ends(follows, 0, "web: v1 → v2 in service on 3 of 3, took ", " of 3 in service, by ada")
	ada.ends(deploys, 0, "web: v1 → v2", "  nodes     web-", "  capacity  at least 2 of 3 in service, floor 2", "pushed commit ", "web: v1 → v2 in service on 3 of 3, took ", " of 3 in service, by ada")
	w.arrives(w.gits("-C", filepath.Join(w.Dir, "deploy.git"), "rev-parse", "main"), "v2")

	ada.ends(ada.begins("deploy", "web", "v3", "--yes"), 3, "web: halted: v3 is halted", "500, want 200", "web: v2 → v3 halted at 0 of 3, took ")
	w.sees("the halt", func(f web.Fleet) bool { return f.Phase == plan.PhaseHalted })
	ada.ends(ada.begins("deploy", "live", "--from", "web", "--yes"), 1, "nothing was pushed: fleet web has not proven v3 on every node: halted, ")

	letGo = w.hold("activate")
	first := bob.begins("deploy", "web", "v2", "--yes")
	w.sees("the way back", func(f web.Fleet) bool { return f.Desired.Release == "v2" && in(f, plan.Configuring) != "" })
	second := ada.begins("deploy", "web", "v4", "--yes")
	bob.ends(first, 4, "web: superseded: commit ", " wants v4", "web: v3 → v2 superseded at 0 of 1, ")
	letGo()
	ada.ends(second, 0, "web: v2 → v4", "  nodes     web-", "web: v2 → v4 in service on 3 of 3, took ")

	bob.ends(bob.begins("rollback", "web", "--yes"), 0, "web: v4 → v2", "  undoes    ", "web: v4 (was v2) (ada)", "web: v4 → v2 rolled back, in service on 3 of 3, took ")
	w.arrives(w.gits("-C", filepath.Join(w.Dir, "deploy.git"), "rev-parse", "main"), "v2")
	w.kept(2)
	ada.ends(ada.begins("deploy", "web", "v3", "--yes"), 1, "nodes     none for now: the fleet would be halted, v3 is halted", "nothing was pushed, as nothing would come of it: v3 is halted")

	w.gits("-C", ada.dir, "pull", "-q")
	check(t, os.WriteFile(filepath.Join(ada.dir, "fleets", "live.yaml"), []byte(liveFile), 0o644))
	for _, command := range []string{"add .", "commit -q -m live", "push -q"} {
		w.gits(append([]string{"-C", ada.dir}, strings.Fields(command)...)...)
	}
	w.eventually("the agent knows another fleet", func() bool { return strings.Contains(w.get("/api/v1/fleets"), `"name": "live"`) })
	ada.ends(ada.begins("deploy", "live", "--from", "web", "--yes", "--no-follow"), 0, "live: v1 → v2", "  from      web: v2 is proven on all of its 3 nodes, since ", "pushed commit ")
}

// liveFile is a fleet that nobody reaches: what is deployed to it ends with the push.
const liveFile = `apiVersion: windlass/v1
kind: Fleet
name: live
release: v1
nodes: {static: [{name: live-1, address: 127.0.0.1}, {name: live-2, address: 127.0.0.2}]}
ssh: {user: nobody, port: 1}
configure: {activate: [{name: install, run: 'true'}]}
health: [{name: serves, http: {port: 1, path: /, body: '{release}'}}]
`

// Of two who deploy in the same moment one is first, and the other is told by whom, or both get what they asked for one after the other. Never is
// a commit lost, nor made twice.
func TestTwoDeployAtOnce(t *testing.T) {
	w := newWorld(t, 2)
	w.begin()
	before := w.gits("-C", filepath.Join(w.Dir, "deploy.git"), "rev-list", "--count", "main")
	ada, bob := w.developer("ada"), w.developer("bob")
	one, two := ada.begins("deploy", "web", "v2", "--yes", "--no-follow"), bob.begins("deploy", "web", "v4", "--yes", "--no-follow")
	_, _ = one.Wait(), two.Wait()
	pushed := 0
	for _, c := range []*command{one, two} {
		switch said := c.said.String(); {
		case c.ProcessState.ExitCode() == 0 && strings.Contains(said, "pushed commit "):
			pushed++
		case c.ProcessState.ExitCode() != 1 || !strings.Contains(said, "nothing was pushed: somebody changed fleets/web.yaml meanwhile (") || !strings.Contains(said, " by "):
			t.Errorf("%v: exit status %d:\n%s", c.Args[1:], c.ProcessState.ExitCode(), said)
		}
	}
	after := w.gits("-C", filepath.Join(w.Dir, "deploy.git"), "rev-list", "--count", "main")
	if made := len(strings.Fields(w.gits("-C", filepath.Join(w.Dir, "deploy.git"), "rev-list", "--author=ada", "--author=bob", "main"))); pushed == 0 || made != pushed {
		t.Errorf("%d say that they pushed, and %d commits are theirs (%s, then %s in all)", pushed, made, before, after)
	}
	wanted := "v4"
	if two.ProcessState.ExitCode() != 0 || one.ProcessState.ExitCode() == 0 && strings.HasPrefix(w.gits("-C", filepath.Join(w.Dir, "deploy.git"), "log", "-1", "--format=%s", "main"), "web: v2") {
		wanted = "v2"
	}
	w.arrives(w.gits("-C", filepath.Join(w.Dir, "deploy.git"), "rev-parse", "main"), wanted)
}
