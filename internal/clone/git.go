package clone

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"windlass/internal/redact"
)

// A git runs the git of the person's PATH in one directory.
type git struct {
	dir   string
	env   []string
	limit time.Duration // of one run
}

// newGit takes the environment without what points git at another repository, as aliases and hooks have it set.
func newGit(ctx context.Context, o Options) (git, error) {
	g := git{dir: o.Dir, env: o.Env, limit: cmp.Or(o.Limit, 10*time.Minute)}
	names, err := g.run(ctx, call{args: []string{"rev-parse", "--local-env-vars"}})
	if errors.Is(err, exec.ErrNotFound) {
		return git{}, errors.New("git is not installed; install it")
	}
	if err != nil {
		return git{}, err
	}
	g.env = without(g.env, append(strings.Fields(string(names)), noise...))
	if !o.Interactive {
		g.env = append(g.env, "GIT_TERMINAL_PROMPT=0")
	}
	return g, nil
}

// noise makes git write of its own work where the reason of a failure is looked for, or take paths otherwise than they are named.
var noise = []string{"GIT_CURL_VERBOSE", "GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS"}

func without(env, names []string) []string {
	var kept []string
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		if !slices.Contains(names, name) && !strings.HasPrefix(name, "GIT_TRACE") {
			kept = append(kept, e)
		}
	}
	return kept
}

// A call is one run of git.
type call struct {
	args  []string
	stdin []byte
	env   []string // beside the person's
}

// A failure is a run of git that did not end well.
type failure struct {
	command string // the subcommand
	exit    int
	said    string // on standard error, in lines
}

func (f *failure) Error() string {
	words := redact.Line(strings.Join(strings.Fields(f.said), " "))
	if words == "" {
		words = fmt.Sprintf("it ended with status %d and said nothing", f.exit)
	}
	return fmt.Sprintf("git %s: %s", f.command, words)
}

// hidden is what a command that people never see is run with: none of their hooks, no cleaning up in the background, an index as plain as
// can be, objects as the remote has them, and paths as they are.
var hidden = []string{
	"--no-replace-objects", "--literal-pathspecs",
	"-c", "core.hooksPath=" + os.DevNull, "-c", "gc.auto=0", "-c", "maintenance.auto=false",
	"-c", "core.splitIndex=false", "-c", "index.sparse=false", "-c", "core.fsmonitor=false", "-c", "i18n.commitEncoding=UTF-8",
	"-c", "apply.whitespace=nowarn", "-c", "apply.ignoreWhitespace=no", "-c", "log.showSignature=false",
}

// run returns what git writes to standard output. The error is a *failure when git ran.
func (g git) run(ctx context.Context, c call) ([]byte, error) {
	c.args = append(hidden[:len(hidden):len(hidden)], c.args...)
	return g.exec(ctx, c, c.args[len(hidden)])
}

// patience is how long git may take to end when it is told to, and what it has left behind, as ssh's shared connections, to let go of its output.
const patience = 2 * time.Second

func (g git) exec(ctx context.Context, c call, command string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, g.limit, fmt.Errorf("git %s does not end; look at the network and at its hooks", command))
	defer cancel()
	cmd := exec.CommandContext(ctx, "git", c.args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // upon which git takes its lock files away
	cmd.WaitDelay = patience
	cmd.Dir, cmd.Env = g.dir, append(g.env[:len(g.env):len(g.env)], c.env...)
	if c.stdin != nil {
		cmd.Stdin = bytes.NewReader(c.stdin)
	}
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil:
		return out.Bytes(), nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.As(err, &exit):
		return out.Bytes(), &failure{command: command, exit: exit.ExitCode(), said: said.String()}
	}
	return nil, fmt.Errorf("cannot run git: %w", err)
}

// line is what git writes, as one line.
func (g git) line(ctx context.Context, args ...string) (string, error) {
	out, err := g.run(ctx, call{args: args})
	return strings.TrimRight(string(out), "\r\n"), err
}

// setting is the value of a setting of the person's, empty where there is none. kind is as git's --type, or "".
func (g git) setting(ctx context.Context, kind, name string) (string, error) {
	args := []string{"config", "--get"}
	if kind != "" {
		args = append(args, "--type="+kind)
	}
	value, err := g.line(ctx, append(args, name)...)
	var unset *failure
	if errors.As(err, &unset) && unset.exit == 1 {
		return "", nil
	}
	return value, err
}
