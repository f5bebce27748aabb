package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	example "windlass/deploy-repo-example"
)

// exampleRepo is a copy of the example that may be changed.
func exampleRepo(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	check(t, fs.WalkDir(example.Files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content := must(fs.ReadFile(example.Files, name))(t)
		check(t, os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o755))
		return os.WriteFile(filepath.Join(dir, name), content, 0o644)
	}))
	return dir
}

// newUp is `windlass up` as a process, with a directory for all that it keeps. What it must not hand on is in its environment.
func newUp(t *testing.T, repo string, args ...string) *demo {
	t.Helper()
	d := &demo{t: t, dir: t.TempDir(), more: make(chan struct{})}
	d.cmd = exec.Command(binary, append([]string{"up", "--repo", repo, "--nodes", "2"}, args...)...)
	d.cmd.Env = append(os.Environ(), "TMPDIR="+d.dir, "AWS_PROFILE=production", "SSH_AUTH_SOCK=/nonexistent")
	d.cmd.Stdout, d.cmd.Stderr = d, d
	return d
}

// cages are the first processes of the cages that a process has made.
func (d *demo) cages() (pids []string) {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range all {
		command, _ := os.ReadFile(filepath.Join(process, "cmdline"))
		status, _ := os.ReadFile(filepath.Join(process, "status"))
		if bytes.Contains(command, []byte("cage\x00init")) && regexp.MustCompile(`(?m)^PPid:\s+`+strconv.Itoa(d.cmd.Process.Pid)+`$`).Match(status) {
			pids = append(pids, filepath.Base(process))
		}
	}
	return pids
}

// gone waits until processes have ended.
func gone(t *testing.T, pids []string) {
	t.Helper()
	for deadline := time.After(patience); ; {
		pids = slices.DeleteFunc(pids, func(pid string) bool {
			stat, err := os.ReadFile("/proc/" + pid + "/stat")
			return err != nil || bytes.Contains(stat, []byte(") Z ")) // nobody may collect it in a container
		})
		if len(pids) == 0 {
			return
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			t.Fatalf("processes %v are left", pids)
		}
	}
}

// Cages take the processors for themselves when they begin, and rehearsals judge their own traffic: these tests are not side by side with any
// other.

// The example runs as it is: it comes into service, a saved file rolls it, a broken one is told and does nothing, and Ctrl-C leaves
// nothing behind.
func TestUpRunsTheExampleUnchanged(t *testing.T) {
	repo := exampleRepo(t)
	d := newUp(t, repo, "web-live")
	d.start()
	said := d.tells("web-live: v1.4.2 in service on 2 of 2")
	for _, listed := range []string{"nodes: 2 instead of 8", "curl stands in: ", "systemctl stands in: ", "releases.example.com cannot be reached", "the canary bakes for "} {
		if !strings.Contains(said, listed) {
			t.Errorf("it does not list %q", listed)
		}
	}
	cages := d.cages()
	if len(cages) != 2 {
		t.Errorf("it has the cages %v", cages)
	}
	page := regexp.MustCompile(`load balancer web-live: (\S+)`).FindStringSubmatch(said)
	if page == nil {
		t.Fatalf("it names no balancer:\n%s", said)
	}
	response := must(http.Get(page[1]))(t)
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("the balancer answers %s", response.Status)
	}

	file := filepath.Join(repo, "fleets/web-live.yaml")
	good := string(must(os.ReadFile(file))(t))
	check(t, os.WriteFile(file, []byte(strings.Replace(good, "maxUnavailable: 1", "maxUnavailable: none", 1)), 0o644))
	before, _, _ := strings.Cut(good, "maxUnavailable: 1")
	d.tells(fmt.Sprintf("rejected: fleets/web-live.yaml:%d:19: ", strings.Count(before, "\n")+1))
	check(t, os.WriteFile(file, []byte(strings.Replace(good, "v1.4.2", "v1.4.3", 1)), 0o644))
	if said := d.tells("web-live: v1.4.2 → v1.4.3 in service on 2 of 2"); strings.Count(said, "  saved: ") != 1 {
		t.Errorf("it rolled more than what could be rolled:\n%s", said)
	}

	check(t, d.cmd.Process.Signal(syscall.SIGINT))
	d.ends(0)
	gone(t, cages)
	if mounts := must(os.ReadFile("/proc/self/mountinfo"))(t); bytes.Contains(mounts, []byte("windlass-up")) {
		t.Errorf("a mount is left:\n%s", mounts)
	}
}

// Killed, it takes its cages and its agent along, and leaves a directory at the most.
func TestKilledUpTakesItsCagesAlong(t *testing.T) {
	d := newUp(t, exampleRepo(t), "web-staging")
	d.start()
	d.tells("status page: ")
	cages := d.cages()
	if len(cages) != 2 {
		t.Fatalf("it has the cages %v", cages)
	}
	check(t, d.cmd.Process.Kill())
	_ = d.cmd.Wait()
	gone(t, cages)
}

// Where no namespaces are to be had nothing runs, and it says why.
func TestUpRunsNothingWithoutACage(t *testing.T) {
	d := newUp(t, exampleRepo(t), "web-live")
	d.cmd.Args = append([]string{"sh", "-c", `echo 0 >/proc/sys/user/max_user_namespaces && exec "$0" "$@"`}, d.cmd.Args...)
	d.cmd.Path = must(exec.LookPath("sh"))(t)
	d.cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}, GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	d.start()
	d.ends(1)
	said := d.tells("windlass: cannot start the local fleet: ")
	if !strings.Contains(said, "cannot make a cage: ") || !strings.Contains(said, "nothing is run without") || strings.Contains(said, "status page") {
		t.Errorf("it says\n%s", said)
	}
}

// Every misfortune strikes, and the example's service holds.
func TestRehearsalOfTheExample(t *testing.T) {
	d := newUp(t, exampleRepo(t), "web-live", "--rehearse")
	d.start()
	d.ends(0)
	said := d.tells("nothing is committed: ")
	for _, want := range []string{
		"a check fails on the first node: service held, .* the fleet is halted, 0 of 2 have it, 1 in service",
		"a node is lost in mid-step: service held, .* 0 of 2 have it, 1 in service",
		"the agent is killed: service held, .* the fleet is idle, 2 of 2 have it",
		"the balancer throttles: service held, .* the fleet is idle, 2 of 2 have it",
	} {
		if !regexp.MustCompile(want).MatchString(said) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
}

// A fleet that never comes into service is no success.
func TestRehearsalOfWhatDoesNotServe(t *testing.T) {
	repo := exampleRepo(t)
	file := filepath.Join(repo, "fleets/web-live.yaml")
	never := "\nhealth: [{name: up, http: {port: 8080, body: '{release}'}}, {name: jobs, command: {run: exit 3}, within: 1s}]\n"
	check(t, os.WriteFile(file, append(must(os.ReadFile(file))(t), never...), 0o644))
	d := newUp(t, repo, "web-live", "--rehearse")
	d.start()
	d.ends(1)
	d.tells("the fleet as it is without the change does not come into service: ")
	d.tells("check jobs: ")
}

// Service does not hold where the file lets every node be away, and that is no success either.
func TestRehearsalTellsOfAnOutage(t *testing.T) {
	repo := t.TempDir()
	check(t, os.Mkdir(filepath.Join(repo, "fleets"), 0o755))
	check(t, os.WriteFile(filepath.Join(repo, "fleets/small.yaml"), []byte(`apiVersion: windlass/v1
kind: Fleet
name: small
release: v1
nodes: {static: [{name: one, address: one.example.com}]}
loadBalancers: [{targetGroup: small}]
configure:
  activate:
    - name: restart
      run: |
        printf '[Service]\nExecStart=/opt/small --listen :80\n' >/etc/systemd/system/small.service
        systemctl restart small && sleep 0.5
health: [{name: up, http: {port: 80, body: '{release}'}, interval: 100ms}]
rollout: {allowOutage: true, bake: 0s}
`), 0o644))
	d := newUp(t, repo, "--nodes", "1", "--rehearse")
	d.start()
	d.ends(1)
	said := d.tells("windlass: service of fleet small did not hold in ")
	if !regexp.MustCompile(`the agent is killed: service did not hold, \d+ of \d+ requests failed`).MatchString(said) {
		t.Errorf("it says\n%s", said)
	}
}
