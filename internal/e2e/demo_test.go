package e2e

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A demo is `windlass demo` as a process, with a directory for all that it keeps.
type demo struct {
	t    *testing.T
	cmd  *exec.Cmd
	dir  string
	mu   sync.Mutex
	said bytes.Buffer
	more chan struct{} // closed when more was said
}

// newDemo is a demo that is not started. It tells all that goes to standard error, and to standard output unless that is read.
func newDemo(t *testing.T, args ...string) *demo {
	t.Helper()
	d := &demo{t: t, dir: t.TempDir(), more: make(chan struct{})}
	d.cmd = exec.Command(binary, append([]string{"demo", "--nodes", "2"}, args...)...)
	d.cmd.Env = append(os.Environ(), "TMPDIR="+d.dir)
	d.cmd.Stderr = d
	return d
}

func (d *demo) start() {
	d.t.Helper()
	check(d.t, d.cmd.Start())
	d.t.Cleanup(func() { _ = d.cmd.Process.Kill() })
}

func (d *demo) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.more)
	d.more = make(chan struct{})
	return d.said.Write(p)
}

// tells waits until the demo has said something, and returns all it said.
func (d *demo) tells(words string) string {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), 2*patience)
	defer cancel()
	for {
		d.mu.Lock()
		said, more := d.said.String(), d.more
		d.mu.Unlock()
		if strings.Contains(said, words) {
			return said
		}
		select {
		case <-more:
		case <-ctx.Done():
			d.t.Fatalf("it never said %q:\n%s", words, said)
		}
	}
}

// begins waits until the demo has something that it could leave behind.
func (d *demo) begins() {
	d.t.Helper()
	for deadline := time.After(patience); len(must(os.ReadDir(d.dir))(d.t)) == 0; {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-deadline:
			d.t.Fatal("it never began")
		}
	}
}

// ends waits for the end of the demo, which must have left nothing behind.
func (d *demo) ends(exit int) {
	d.t.Helper()
	err := d.cmd.Wait()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		d.t.Fatal(err)
	}
	if got := d.cmd.ProcessState.ExitCode(); got != exit {
		d.t.Errorf("it exits %d, want %d:\n%s", got, exit, &d.said)
	}
	if left := must(os.ReadDir(d.dir))(d.t); len(left) > 0 {
		d.t.Errorf("it left %v behind", left)
	}
	if running := d.running(); len(running) > 0 {
		d.t.Errorf("it left running %q", running)
	}
}

// running is every process that works in the demo's directory.
func (d *demo) running() (commands []string) {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range all {
		command, _ := os.ReadFile(filepath.Join(process, "cmdline"))
		environment, _ := os.ReadFile(filepath.Join(process, "environ"))
		if bytes.Contains(append(command, environment...), []byte(d.dir)) && filepath.Base(process) != "self" {
			commands = append(commands, string(bytes.ReplaceAll(command, []byte{0}, []byte{' '})))
		}
	}
	return commands
}

// inTurn has one test at a time run the demo, which judges its own traffic and so wants the machine for itself.
var inTurn sync.Mutex

// Whenever the demo is told to end it does, and leaves nothing behind.
func TestInterruptedDemoLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]struct {
		at     string
		signal syscall.Signal
	}{
		"Ctrl-C while it starts":            {"", syscall.SIGINT},
		"Ctrl-C on the first day":           {"\n1  ", syscall.SIGINT},
		"a closed terminal during a deploy": {" draining ", syscall.SIGHUP},
		"SIGTERM while the fleet is halted": {" halted ", syscall.SIGTERM},
		"Ctrl-C during the revert":          {"\n4  ", syscall.SIGINT},
	} {
		t.Run(name, func(t *testing.T) {
			inTurn.Lock()
			defer inTurn.Unlock()
			d := newDemo(t)
			d.cmd.Stdout = d
			d.start()
			d.begins()
			d.tells(end.at)
			check(t, d.cmd.Process.Signal(end.signal))
			d.ends(1)
			d.tells("windlass: the demo was interrupted\n")
		})
	}
}

// A reader that has seen enough, as in `windlass demo | head`, leaves nothing behind either.
func TestDemoWithoutAReaderLeavesNothing(t *testing.T) {
	t.Parallel()
	inTurn.Lock()
	defer inTurn.Unlock()
	d := newDemo(t)
	out := must(d.cmd.StdoutPipe())(t)
	d.start()
	_ = must(io.ReadFull(out, make([]byte, 20)))(t)
	check(t, out.Close())
	d.ends(1)
}

// With --keep every command that is printed does what it says, until Ctrl-C, which is no failure.
func TestDemoKeepsItsFleet(t *testing.T) {
	needs(t)
	t.Parallel()
	inTurn.Lock()
	defer inTurn.Unlock()
	d := newDemo(t, "--keep")
	d.cmd.Stdout = d
	d.start()
	_, commands, _ := strings.Cut(d.tells("aws elbv2 describe-target-groups\n"), "In another terminal:\n")
	dir, env := "", os.Environ()
	for line := range strings.Lines(commands) {
		switch tool, said, _ := strings.Cut(strings.TrimSpace(line), " "); {
		case tool == "" || tool == "#":
			continue
		case tool == "cd":
			dir = said
			continue
		case tool == "export":
			env = append(env, said)
			continue
		case tool == "curl" || tool == "ssh":
			if _, err := exec.LookPath(tool); err != nil {
				continue
			}
		case tool == "env":
			continue // the AWS CLI
		}
		for _, command := range []string{" deploy ", " rollback "} {
			line = strings.Replace(line, command, command+"--yes ", 1) // there is no terminal to ask on
		}
		cmd := exec.Command("sh", "-c", strings.NewReplacer(" --watch", "", "NAME", "main").Replace(line))
		cmd.Dir, cmd.Env = dir, env
		if said, err := cmd.CombinedOutput(); err != nil || len(said) == 0 {
			t.Errorf("%s: %v\n%s", line, err, said)
		}
	}
	check(t, d.cmd.Process.Signal(syscall.SIGINT))
	d.ends(0)
}
