package cage

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// TestMain makes this binary what runs in a cage when it is run as such.
func TestMain(m *testing.M) {
	role := ""
	if len(os.Args) > 1 {
		role = os.Args[1]
	}
	var err error
	switch role {
	case "cage":
		err = Enter(os.Args[1:], shellServer)
	case "owner":
		err = own()
	case "one":
		err = one(os.Args[2])
	case "ask":
		ask()
	default:
		goleak.VerifyTestMain(m)
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// own starts a cage, says which process it is, and waits to be killed.
func own() error {
	c, err := Start(context.Background(), Spec{Name: "web-1", Args: []string{"cage"}}, io.Discard)
	if err != nil {
		return err
	}
	fmt.Println(c.process.Pid)
	select {}
}

// one runs a script in a cage of its own.
func one(script string) error {
	c, err := Start(context.Background(), Spec{Name: "web-1", Args: []string{"cage"}}, os.Stderr)
	if err != nil {
		return err
	}
	output, err := c.run(script)
	fmt.Println(output)
	return errors.Join(err, c.Kill())
}

// ask says what the kernel answers to what no step needs.
func ask() {
	_, err := unix.KeyctlInt(unix.KEYCTL_GET_KEYRING_ID, unix.KEY_SPEC_USER_KEYRING, 1, 0, 0)
	fmt.Println("keys:", err)
	for _, family := range []int{unix.AF_VSOCK, unix.AF_ALG, unix.AF_NETLINK} {
		fd, err := unix.Socket(family, unix.SOCK_DGRAM, 0)
		if err == nil {
			err = unix.Close(fd)
		}
		fmt.Println("socket:", err)
	}
}

const shellPort = 77

// shellServer runs each script that it is sent, and answers with its output.
func shellServer(ctx context.Context, _ json.RawMessage, ready func()) error {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", shellPort))
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { listener.Close() })
	ready()
	for {
		conn, err := listener.Accept()
		if err != nil {
			return nil
		}
		go func() {
			defer conn.Close()
			script, _ := io.ReadAll(conn)
			cmd := exec.Command("/bin/sh", "-c", string(script))
			cmd.Env = environment()
			output, err := cmd.CombinedOutput()
			if err != nil {
				output = fmt.Appendf(output, "%v\n", err)
			}
			_, _ = conn.Write(output)
		}()
	}
}

func startCage(t *testing.T, spec Spec) *Cage {
	t.Helper()
	spec.Name, spec.Args = "web-1", []string{"cage"}
	var log bytes.Buffer
	c, err := Start(t.Context(), spec, &log)
	if err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	t.Cleanup(func() {
		if err := c.Kill(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// inside runs a script in the cage.
func (c *Cage) inside(t *testing.T, script string) string {
	t.Helper()
	output, err := c.run(script)
	if err != nil {
		t.Fatal(err)
	}
	return output
}

func (c *Cage) run(script string) (string, error) {
	conn, err := c.Dial(context.Background(), shellPort)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, script); err != nil {
		return "", err
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return "", err
	}
	output, err := io.ReadAll(conn)
	return strings.TrimSpace(string(output)), err
}

// expect is what a script inside says.
func (c *Cage) expect(t *testing.T, script, want string) {
	t.Helper()
	if got := c.inside(t, script); got != want {
		t.Errorf("%s\nsays %q, want %q", script, got, want)
	}
}

// What is inside has nothing of who started it: neither files, nor environment, nor processes, nor network.
func TestSeesNothingOfThePerson(t *testing.T) {
	home := t.TempDir() // below /tmp, as a home is below /home: neither is there inside
	canary := filepath.Join(home, "canary")
	if err := os.WriteFile(canary, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CANARY", "secret")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	c := startCage(t, Spec{})
	c.expect(t, "cat "+canary+" 2>/dev/null || echo none", "none")
	c.expect(t, "ls -A /home /root /tmp /mnt /media /srv | grep -v : | grep .", "exit status 1")
	c.expect(t, "find /run /var/run/ -type s", "")
	c.expect(t, "env | cut -d= -f1 | sort | tr '\\n' ' '", "HOME PATH PWD SHELL")
	c.expect(t, "cat /proc/[0-9]*/environ | tr '\\0' '\\n' | grep -c CANARY", "0\nexit status 1")
	c.expect(t, fmt.Sprintf("ls -d /proc/%d 2>/dev/null || echo none", os.Getpid()), "none")
	c.expect(t, "cat /proc/1/cmdline | tr '\\0' ' '", "windlass cage init")
	c.expect(t, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '", "lo")
	if conn, err := c.Dial(t.Context(), listener.Addr().(*net.TCPAddr).Port); err == nil {
		conn.Close()
		t.Error("a port of this machine's loopback is reached from inside")
	}
	c.expect(t, "hostname; ls /sys", "web-1")
	c.expect(t, "grep -cv ':[!]:' /etc/shadow", "0\nexit status 1")
}

// Each is a machine of its own, and none of them this one.
func TestIsAMachineOfItsOwn(t *testing.T) {
	t.Parallel()
	outside, err := os.ReadFile("/etc/machine-id")
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	a, b := startCage(t, Spec{}).inside(t, "cat /etc/machine-id"), startCage(t, Spec{}).inside(t, "cat /etc/machine-id")
	if len(a) != 32 || len(b) != 32 || a == b || a == strings.TrimSpace(string(outside)) {
		t.Errorf("cages of machine %s are %s and %s", outside, a, b)
	}
}

// A file or directory that was open in the shell that windlass was called from is not open inside.
func TestHasNothingThatIsOpenOutside(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "canary"), []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	open, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	cmd := exec.Command("/proc/self/exe", "one", "cat /proc/[0-9]*/fd/*/canary 2>/dev/null || echo none")
	cmd.ExtraFiles = []*os.File{open, open, open, open}
	if output, err := cmd.CombinedOutput(); err != nil || string(output) != "none\n" {
		t.Errorf("it says %q, %v", output, err)
	}
}

// What namespaces do not keep apart is not to be had at all: the keys of the person's keyrings, and sockets that lead out of a
// virtual machine.
func TestKernelGivesNoKeysAndNoOtherSockets(t *testing.T) {
	t.Parallel()
	c := startCage(t, Spec{})
	c.expect(t, Binary+" ask", `keys: function not implemented
socket: address family not supported by protocol
socket: address family not supported by protocol
socket: <nil>`)
}

// A step that goes wild is the first to be ended, and leaves room for others.
func TestWildStepsAreBounded(t *testing.T) {
	t.Parallel()
	c := startCage(t, Spec{Memory: 1})
	c.expect(t, "cat /proc/self/oom_score_adj", "1000")
	c.expect(t, "grep -E 'core file|processes' /proc/self/limits | tr -s ' ' | cut -d' ' -f2-5", fmt.Sprintf("core file size 1\nprocesses %d %[1]d processes", mostProcesses))
	total := c.inside(t, "df -k /srv | tail -n 1 | tr -s ' ' | cut -d' ' -f2; grep MemTotal /proc/meminfo | tr -s ' ' | cut -d' ' -f2")
	var files, memory int64
	if _, err := fmt.Sscan(total, &files, &memory); err != nil || files > memory/100+4 {
		t.Errorf("its files may have %d of %d KiB: %v", files, memory, err)
	}
}

// Root inside may do what the root of a server does to files, and none of it is seen outside.
func TestWritesStayInside(t *testing.T) {
	t.Parallel()
	c := startCage(t, Spec{})
	name := fmt.Sprintf("windlass-test-%d", os.Getpid())
	for _, dir := range []string{"/usr/local/bin", "/usr/lib/systemd/system", "/opt", "/etc", "/var/lib", "/srv", "/tmp", ""} {
		path := dir + "/" + name
		c.expect(t, "mkdir "+path+" && touch "+path+"/file && stat -c %U "+path, "root")
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s is there outside: %v", path, err)
		}
	}
	c.expect(t, "echo changed >/etc/passwd && rm /bin/cat && ls /bin/cat 2>/dev/null || echo gone", "gone")
	if _, err := os.Stat("/bin/cat"); err != nil {
		t.Error(err)
	}
	c.expect(t, "hostname other 2>&1 | grep -c .", "1") // may not even do that
}

func TestRootInsideIsNobodyOutside(t *testing.T) {
	t.Parallel()
	c := startCage(t, Spec{})
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	c.expect(t, "id -u", "0")
	if os.Geteuid() == 0 && strings.Contains(string(status), "\nUid:\t0\t") {
		t.Errorf("root inside is root outside:\n%s", status)
	}
	c.expect(t, "mount -t tmpfs none /mnt 2>/dev/null || echo refused", "refused")
	c.expect(t, "umount /proc 2>/dev/null || echo refused", "refused")
	c.expect(t, "unshare --user true 2>/dev/null || echo refused", "refused")
	c.expect(t, "mknod /tmp/disk b 254 0 2>/dev/null || echo refused", "refused")
	c.expect(t, "grep NoNewPrivs /proc/self/status | tr -d '\\t'", "NoNewPrivs:1")
}

func TestUsersAreThereWhereRootMakesTheCage(t *testing.T) {
	t.Parallel()
	if !WholeIDs() {
		t.Skip("left out: only root has ids for them")
	}
	c := startCage(t, Spec{})
	c.expect(t, "useradd --system --user-group web && chown root:web /srv && stat -c %U:%G /srv", "root:web")
	c.expect(t, "chown 12:34 /srv && stat -c %u:%g /srv", "12:34")
}

func TestHasWhatItsSpecSays(t *testing.T) {
	t.Parallel()
	c := startCage(t, Spec{
		Programs: map[string][]byte{"curl": []byte("#!/bin/sh\necho stands in\n")},
		Files:    map[string][]byte{"/srv/deep/file": []byte("content")},
	})
	c.expect(t, "curl; cat /srv/deep/file", "stands in\ncontent")
	c.expect(t, "ls "+specFile+" 2>/dev/null || echo gone", "gone")
}

// What leaves a cage leaves it by a connection that whoever started it holds.
func TestTheOnlyWayOutIsHandedOut(t *testing.T) {
	t.Parallel()
	c := startCage(t, Spec{Out: true})
	answered := make(chan string, 1)
	go func() {
		conn, err := c.Outgoing().Accept()
		if err != nil {
			answered <- err.Error()
			return
		}
		defer conn.Close()
		asked := make([]byte, 5)
		_, _ = io.ReadFull(conn, asked)
		_, _ = io.WriteString(conn, "yes")
		answered <- string(asked)
	}()
	c.expect(t, fmt.Sprintf("exec 2>&1; bash -c 'exec 9<>/dev/tcp/127.0.0.1/%d && printf hello >&9 && cat <&9'", OutPort), "yes")
	if said := <-answered; said != "hello" {
		t.Errorf("outside it says %q", said)
	}
	c.expect(t, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '", "lo")
}

// What runs detached ends with the cage, and its dead are collected meanwhile.
func TestNothingOutlivesIt(t *testing.T) {
	t.Parallel()
	c := startCage(t, Spec{})
	c.expect(t, "setsid sh -c 'sleep 600 & exec sleep 600' >/dev/null 2>&1 & echo begun", "begun")
	c.expect(t, "(sh -c 'exit 0' &) ; i=0; while grep -qs 'State:.Z' /proc/[0-9]*/status && [ $i -lt 1000 ]; do i=$((i+1)); done; cat /proc/[0-9]*/status 2>/dev/null | grep -c 'State:.Z'", "0\nexit status 1")
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", c.process.Pid)); !os.IsNotExist(err) {
		t.Errorf("its process 1 is there: %v", err)
	}
	if _, err := c.Dial(t.Context(), shellPort); err == nil {
		t.Error("it answers after its end")
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || bytes.Contains(mounts, []byte("windlass")) {
		t.Errorf("mounts are left: %v\n%s", err, mounts)
	}
}

// One whose owner was killed ends too, however that was.
func TestEndsWithItsOwner(t *testing.T) {
	t.Parallel()
	owner := exec.Command("/proc/self/exe", "owner")
	output, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(output, &pid); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait()
	ended := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(ended, 20_000)
		if err == unix.EINTR {
			continue
		}
		if n != 1 || err != nil {
			t.Errorf("the cage outlives its owner: %v", err)
		}
		return
	}
}

// A person who is not root gets the same, but for other users.
func TestWithoutRoot(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("left out: all the other tests run without root already")
	}
	cmd := exec.Command("/proc/self/exe", "one", "id -u; touch /usr/local/bin/mine /etc/mine && ls /home /root; mount -t tmpfs none /mnt 2>/dev/null || echo refused")
	cmd.Env, cmd.Dir = []string{}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}}
	output, err := cmd.CombinedOutput()
	if want := "0\n/home:\n\n/root:\nrefused\n"; err != nil || string(output) != want {
		t.Errorf("it says %q, %v; want %q", output, err, want)
	}
}

// A cage that says other things than it should is an error, and no more.
func TestWhatIsInsideMayBeHostile(t *testing.T) {
	t.Parallel()
	for name, say := range map[string]func(*net.UnixConn) error{
		"words":          func(c *net.UnixConn) error { _, err := c.Write([]byte("all is well")); return err },
		"too many words": func(c *net.UnixConn) error { _, err := c.Write(make([]byte, 2*longestWord)); return err },
		"nothing":        func(c *net.UnixConn) error { return c.CloseWrite() },
		"a file": func(c *net.UnixConn) error {
			_, _, err := c.WriteMsgUnix([]byte(wordHere), unix.UnixRights(0), nil)
			return err
		},
		"many files": func(c *net.UnixConn) error {
			_, _, err := c.WriteMsgUnix([]byte(wordHere), unix.UnixRights(0, 1, 2, 0, 1, 2), nil)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, file, err := socketpair()
			if err != nil {
				t.Fatal(err)
			}
			defer ours.Close()
			theirs, err := net.FileConn(file)
			if err := errors.Join(err, file.Close()); err != nil {
				t.Fatal(err)
			}
			defer theirs.Close()
			if err := say(theirs.(*net.UnixConn)); err != nil {
				t.Fatal(err)
			}
			c := &Cage{name: "web-1", control: ours}
			if conn, err := c.Dial(t.Context(), 80); err == nil {
				conn.Close()
				t.Error("it is taken for a connection")
			}
		})
	}
}

// An answer that comes when nobody waits for it any more is not taken for that to the next question.
func TestLateAnswersAreLetGoOf(t *testing.T) {
	t.Parallel()
	ours, theirs, err := socketpair()
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	defer theirs.Close()
	c := &Cage{name: "web-1", control: ours}
	if err := ours.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.ask("22"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	if err := ours.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	for _, answer := range []string{"to 22", "to 80"} {
		if _, err := theirs.WriteString(answer); err != nil {
			t.Fatal(err)
		}
	}
	if word, _, err := c.ask("80"); err != nil || word != "to 80" {
		t.Errorf("asked for 80, the answer is %q, %v", word, err)
	}
}

func TestMountPointsAreReadAsTheKernelWritesThem(t *testing.T) {
	t.Parallel()
	for escaped, want := range map[string]string{`/a\040b`: "/a b", `/a\134`: `/a\`, "/plain": "/plain", `/end\04`: `/end\04`} {
		if got := unescapeMount(escaped); got != want {
			t.Errorf("%s is read as %q", escaped, got)
		}
	}
}
