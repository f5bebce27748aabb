package e2e

import (
	"context"
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	example "windlass/deploy-repo-example"
	"windlass/internal/sandbox"
)

// The example's live fleet as a team copies it: planned, rolled to another release by the README's commit, and back by its revert.
// Only the login, the port and the times are other ones; its steps and files run as root on a machine of each node's own.
func TestExampleIsPlannedAndRolled(t *testing.T) {
	needs(t)
	t.Parallel()
	slots <- struct{}{}
	defer func() { <-slots }()
	w := openExample(t)

	w.plans("example-first-day", "v1.4.2")
	w.begin()
	w.travels(w.Repo.Head(), "v1.4.2")
	w.kept(8)
	check(t, w.Agent.Stop(t.Context()))

	deploy := w.deploy("v1.4.3")
	w.plans("example-deploy", "v1.4.3")
	check(t, w.Agent.Start())
	w.travels(deploy, "v1.4.3")
	w.travels(must(w.Repo.Revert(t.Context()))(t), "v1.4.2")
	w.kept(7)
	for _, n := range w.Nodes() {
		w.furnished(n)
	}
}

// openExample is a world with the example's own deploy repo and eight nodes, each with an /etc, /opt and /var/lib of its own.
func openExample(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, sshd: &sshds{t: t, up: map[string]*os.Process{}}}
	me := must(user.Current())(t).Username
	f, err := sandbox.Start(t.Context(), sandbox.Options{
		Executable: binary, Fleet: "web-live", Nodes: 8, Release: "v1.4.2", Interval: 500 * time.Millisecond, Rate: 20, User: me, SSH: w.sshd.start,
	})
	check(t, err)
	w.Fleet = f
	t.Cleanup(w.close)
	check(t, f.Publish(sandbox.Build{Release: "v1.4.3"}))
	base := string(must(os.ReadFile(filepath.Join(f.Repo.Work, baseFile)))(t))
	w.webPort = port.FindStringSubmatch(base)[1]
	for _, n := range w.Nodes() {
		w.giveMachine(n)
	}
	login := regexp.MustCompile(`(?m)^  user: .*\n  port: \d+`).FindString(base)
	names := strings.NewReplacer("  user: deploy", login, "8080", w.webPort, "bake: 5m", "bake: 1s", "bake: 30s", "drain: {settle: 0s}\n  bake: 300ms")
	for _, name := range []string{w.Repo.FleetFile, baseFile} {
		text := names.Replace(string(must(fs.ReadFile(example.Files, name))(t)))
		w.edit(name, func(string) string { return text })
	}
	return w
}

// sudo stands for the program of that name: it runs a command as root of the node's own machine, which has its own /etc, /opt and
// /var/lib below $HOME/root and shares the rest.
const sudo = `#!/bin/sh
set -eu
shift # -n
exec unshare --mount -- sh -c 'set -eu
for dir in etc opt var/lib; do mount --bind "$HOME/root/$dir" "/$dir"; done
exec "$@"' sudo "$@"
`

// giveMachine has a node's sudo lead to a machine on which what it serves is installed as the example does it.
func (w *world) giveMachine(n *sandbox.Node) {
	w.Helper()
	if os.Getuid() != 0 || exec.Command("unshare", "--mount", "true").Run() != nil {
		w.Skip("left out: only root can give each node an /etc, /opt and /var/lib of its own")
	}
	root := filepath.Join(n.Home, "root")
	web, current := filepath.Join(root, "opt", "web"), filepath.Join(n.Home, "current")
	check(w.T, errors.Join(
		os.MkdirAll(filepath.Join(root, "var", "lib"), 0o755),
		os.MkdirAll(web, 0o755),
		os.Rename(filepath.Join(n.Home, "releases"), filepath.Join(web, "releases")),
		os.Rename(current, filepath.Join(web, "current")),
		os.Symlink(filepath.Join("root", "opt", "web", "current"), current),
		exec.Command("cp", "-a", "/etc", filepath.Join(root, "etc")).Run(),
		os.WriteFile(filepath.Join(root, "etc", "machine-id"), []byte(n.Instance+"\n"), 0o644),
		os.WriteFile(filepath.Join(n.Home, "bin", "sudo"), []byte(sudo), 0o755),
		os.Remove(filepath.Join(n.Home, "bin", "useradd")), // the machine's own may
	))
}

// plans checks what `windlass plan` says about the way to a release.
func (w *world) plans(golden, release string) {
	w.Helper()
	args := []string{"plan"}
	for i, arg := range w.Agent.Command.Args {
		if strings.HasPrefix(arg, "--") && arg != "--listen" && arg != "--log-format" {
			args = append(args, arg, w.Agent.Command.Args[i+1])
		}
	}
	said, exit := w.windlass(args...)
	if exit != 2 {
		w.Errorf("plan exits %d, want 2", exit)
	}
	w.golden(golden, said)
}

// travels waits until every node serves the release of a revision, and nothing is left to do.
func (w *world) travels(revision, release string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 8*patience/2)
	defer cancel()
	must(w.Agent.Wait(ctx, release+" on all nodes", rests(revision, release)))(w.T)
	w.balances(8)
	for _, n := range w.Nodes() {
		if serves := w.serves(n); serves != release {
			w.Errorf("%s serves %q, want %s", n.Name, serves, release)
		}
	}
}

// furnished checks what the example's files and steps left on a node's machine after a deploy and its revert.
func (w *world) furnished(n *sandbox.Node) {
	w.Helper()
	root := filepath.Join(n.Home, "root")
	env := filepath.Join(root, "etc", "web", "web.env")
	if text := string(must(os.ReadFile(env))(w.T)); !strings.Contains(text, "WEB_ENVIRONMENT=live\n") || !strings.Contains(text, "WEB_NODE="+n.Name+"\n") {
		w.Errorf("%s has in web.env:\n%s", n.Name, text)
	}
	info := must(os.Stat(env))(w.T)
	group := regexp.MustCompile(`(?m)^web:x:(\d+):`).FindStringSubmatch(string(must(os.ReadFile(filepath.Join(root, "etc", "group")))(w.T)))
	owner := info.Sys().(*syscall.Stat_t)
	if info.Mode() != 0o640 || owner.Uid != 0 || group == nil || strconv.Itoa(int(owner.Gid)) != group[1] {
		w.Errorf("%s has web.env with mode %v of %d:%d, the group web is %q", n.Name, info.Mode(), owner.Uid, owner.Gid, group)
	}
	for _, name := range []string{"etc/systemd/system/web.service", "opt/web/releases/v1.4.3/version", "var/lib/windlass/web-live/record.json"} {
		_, err := os.Stat(filepath.Join(root, name))
		check(w.T, err)
	}
}

var update = flag.Bool("update", false, "write the golden plans anew")

// golden compares text with a file of testdata, what differs from one run to the next apart.
func (w *world) golden(name, text string) {
	w.Helper()
	for _, differs := range [][2]string{
		{`\b[0-9a-f]{7,40}\b`, "REVISION"}, {`committed \S+( \S+)? ago`, "committed AGO"}, {`\d+ passes in a row`, "PASSES in a row"},
	} {
		text = regexp.MustCompile(differs[0]).ReplaceAllString(text, differs[1])
	}
	path := filepath.Join("testdata", name+".golden")
	if *update {
		check(w.T, errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(path, []byte(text), 0o644)))
	}
	if want := string(must(os.ReadFile(path))(w.T)); text != want {
		w.Errorf("%s is (-update writes it anew)\n%s\nwant\n%s", path, text, want)
	}
}
