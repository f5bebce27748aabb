package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// A Command is how the windlass binary is run.
type Command struct {
	Path string
	Args []string
	Env  []string // NAME=value; nothing else is passed on
}

// String is the command as a person would type it.
func (c Command) String() string {
	return strings.Join(append([]string{"windlass"}, c.Args...), " ")
}

// A child is a process of a Command, in a process group of its own so that Ctrl-C at the terminal is ours alone.
type child struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended and err is set
	err   error
}

// exec prepares the process. Where its input and output go is the caller's to say, before start.
func (c Command) exec() *exec.Cmd {
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Env = slices.Clone(c.Env)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// start begins the process and waits for its end on the thread that started it: to the kernel that thread is its parent.
func start(cmd *exec.Cmd) (*child, error) {
	c := &child{cmd: cmd, ended: make(chan struct{})}
	begun := make(chan error)
	go func() {
		defer close(c.ended)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		begun <- err
		if err == nil {
			c.err = cmd.Wait()
		}
	}()
	if err := <-begun; err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", cmd.Path, err)
	}
	return c, nil
}

// await waits for the end of the process; when ctx ends first it is killed.
func (c *child) await(ctx context.Context) error {
	select {
	case <-c.ended:
		return c.err
	case <-ctx.Done():
		_ = c.cmd.Process.Kill()
		<-c.ended
		return context.Cause(ctx)
	}
}

// A tail keeps the last lines written to it. It may be used side by side.
type tail struct {
	mu    sync.Mutex
	lines []string
	open  []byte // a line without its end
}

const tailLines = 2000

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open = append(t.open, p...)
	for {
		line, rest, whole := bytes.Cut(t.open, []byte("\n"))
		if !whole {
			break
		}
		t.lines = append(t.lines, string(line))
		t.open = rest
	}
	if excess := len(t.lines) - tailLines; excess > 0 {
		t.lines = slices.Delete(t.lines, 0, excess)
	}
	return len(p), nil
}

// last returns the last n whole lines.
func (t *tail) last(n int) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.lines[max(0, len(t.lines)-n):])
}
