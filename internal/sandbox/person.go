package sandbox

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// farewellTime is how long a command may take to end when it is told to.
const farewellTime = 3 * time.Second

// types runs `windlass` as a person would who works in the clone, and returns its exit status. Its output goes to out, which may be a terminal.
// When ctx ends it gets what Ctrl-C sends.
func (f *Fleet) types(ctx context.Context, out io.Writer, args ...string) (exit int, err error) {
	home := f.path("person")
	if err := os.MkdirAll(home, 0o755); err != nil {
		return 0, err
	}
	env := []string{
		"PATH=" + searchPath(), "HOME=" + home, "GIT_CONFIG_NOSYSTEM=1", "WINDLASS_SERVER=" + f.Agent.URL, "TERM=" + os.Getenv("TERM"), "NO_COLOR=" + os.Getenv("NO_COLOR"),
	}
	if f.options.Source {
		env = append(env, "WINDLASS_FORGES="+f.path("forges.yaml"))
	}
	cmd := Command{Path: f.options.Executable, Args: args, Env: env}.exec()
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = f.Repo.Work, out, out, farewellTime
	dieWithParent(cmd.SysProcAttr)
	up, err := start(cmd)
	if err != nil {
		return 0, err
	}
	err = up.leave(ctx)
	var ended *exec.ExitError
	if errors.As(err, &ended) && ctx.Err() == nil {
		return ended.ExitCode(), nil
	}
	return 0, err
}

// leave waits for the end of the process. When ctx ends first it gets what Ctrl-C sends, and when that is not enough it is killed.
func (c *child) leave(ctx context.Context) error {
	select {
	case <-c.ended:
		return c.err
	case <-ctx.Done():
	}
	_ = c.cmd.Process.Signal(syscall.SIGINT) // fails when it has ended, which await tells
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewellTime)
	defer cancel()
	_ = c.await(late)
	return context.Cause(ctx)
}
