package e2e

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"windlass/internal/nettest"
)

// apart runs the test again, in a process with networks, a process table and a /run of its own, and reports whether this is that one. Nothing of
// what happens there touches this machine's network, and all of it ends with it. Its time is spent waiting: it needs none of the slots.
func apart(t *testing.T, programs ...string) bool {
	t.Helper()
	if os.Getenv(binaryVariable) != "" {
		check(t, syscall.Mount("run", "/run", "tmpfs", 0, "mode=755"))
		run(t, "ip", "link", "set", "lo", "up")
		return true
	}
	t.Parallel()
	own := []string{"--net", "--pid", "--fork", "--kill-child", "--mount-proc"}
	out, err := exec.Command("unshare", append(slices.Clone(own), "true")...).CombinedOutput()
	if err != nil && strings.Contains(string(out), "not permitted") {
		t.Skip("left out: this user may not make namespaces")
	}
	check(t, err)
	path := os.Getenv("PATH") + ":/usr/sbin:/sbin"
	for _, program := range programs {
		installed := func(dir string) bool { _, err := exec.LookPath(filepath.Join(dir, program)); return err == nil }
		if !slices.ContainsFunc(filepath.SplitList(path), installed) {
			t.Fatalf("%s is not installed; .ci/run says what is needed", program)
		}
	}
	// A shell as the first process buries orphans, as jobs on a node become.
	again := []string{"sh", "-c", `"$@"; exit $?`, "sh", must(os.Executable())(t), "-test.run=^" + t.Name() + "$", "-test.v", "-test.timeout=10m"}
	cmd := exec.Command("unshare", append(own, again...)...)
	cmd.Env = append(os.Environ(), binaryVariable+"="+binary, "TMPDIR=/run", "PATH="+path)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // to the kernel this thread is the parent
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	t.Logf("it said:\n%s", framing.ReplaceAllLiteralString(said.String(), ""))
	if err != nil || !strings.Contains(said.String(), "--- PASS: "+t.Name()) {
		t.Errorf("it failed: %v", err)
	}
	return false
}

// framing is what readers of a test's output would take for this test's own.
var framing = regexp.MustCompile(`(?m)^ *(===|---|PASS|FAIL).*\n`)

// run runs a program.
func run(t *testing.T, name string, args ...string) {
	t.Helper()
	feed(t, "", name, args...)
}

func feed(t *testing.T, stdin, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v: %s", cmd.Args, err, out)
	}
}

// join makes a network of that name, with a cable from its eth0 to this one or another: device is the other end.
func join(t *testing.T, name, address, other, device string) {
	t.Helper()
	run(t, "ip", "netns", "add", name)
	cable := []string{"link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", name}
	if other != "" {
		cable = append([]string{"-n", other}, cable...)
	}
	run(t, "ip", cable...)
	run(t, "ip", "-n", name, "addr", "add", address, "dev", "eth0")
	run(t, "ip", "-n", name, "link", "set", "eth0", "up")
	run(t, "ip", "-n", name, "link", "set", "lo", "up")
}

// listenIn listens in a network.
func listenIn(network, address string) (l net.Listener, err error) {
	err = within(network, func() (err error) { l, err = net.Listen("tcp", address); return err })
	return l, err
}

// within runs f in a network: what it opens is there for good.
func within(network string, f func() error) error {
	file, err := os.Open("/run/netns/" + network)
	if err != nil {
		return err
	}
	defer file.Close()
	return nettest.Within(file, f)
}
