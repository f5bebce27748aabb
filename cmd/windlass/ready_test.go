package main

import (
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A service manager is told when the agent can be asked, and when it stops; not before.
func TestTheServiceManagerIsTold(t *testing.T) {
	t.Parallel()
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer told.Close()
	agent := supervised(t, told.LocalAddr().String())

	if got := receive(t, told); got != "READY=1" {
		t.Errorf("told %q at first, want READY=1", got)
	}
	agent.ask(t)
	agent.terminate(t)
	if got := receive(t, told); got != "STOPPING=1" {
		t.Errorf("told %q at SIGTERM, want STOPPING=1", got)
	}
	agent.wait(t)
}

// A service manager that cannot be told keeps nobody from starting: the agent says so and goes on.
func TestAnUnreachableServiceManagerIsNoTrouble(t *testing.T) {
	t.Parallel()
	agent := supervised(t, filepath.Join(t.TempDir(), "nobody"))
	agent.ask(t)
	agent.terminate(t)
	agent.wait(t)
}

// A supervisedAgent is a `windlass run` that is told where its service manager listens.
type supervisedAgent struct {
	cmd     *exec.Cmd
	address chan string
	logged  chan struct{} // closed at the end of its log
}

func supervised(t *testing.T, socket string) supervisedAgent {
	t.Helper()
	path, err := exec.LookPath("windlass")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, "run", "--repo", t.TempDir(), "--state-dir", t.TempDir(), "--listen", "127.0.0.1:0", "--log-format", "json")
	cmd.Env = append(cmd.Environ(), "NOTIFY_SOCKET="+socket)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a := supervisedAgent{cmd, make(chan string, 1), make(chan struct{})}
	go func() {
		defer close(a.logged)
		listenTo(stderr, a.address)
	}()
	return a
}

// ask wants an answer of the agent at once.
func (a supervisedAgent) ask(t *testing.T) {
	t.Helper()
	answer, err := http.Get(<-a.address + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
}

func (a supervisedAgent) terminate(t *testing.T) {
	t.Helper()
	if err := a.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// wait waits for an end that is no failure.
func (a supervisedAgent) wait(t *testing.T) {
	t.Helper()
	<-a.logged
	if err := a.cmd.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// receive is the next message to a socket.
func receive(t *testing.T, from *net.UnixConn) string {
	t.Helper()
	if err := from.SetReadDeadline(time.Now().Add(time.Minute)); err != nil { // an agent that dies tells nothing
		t.Fatal(err)
	}
	message := make([]byte, 256)
	n, err := from.Read(message)
	if err != nil {
		t.Fatal(err)
	}
	return string(message[:n])
}
