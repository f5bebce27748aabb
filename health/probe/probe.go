package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/internal/redact"
)

// A Shell reaches into a node.
//
// Laws: an error of Check says that the command could not be run or its end not seen, never how it ended. An error of Dial wraps
// syscall.ECONNREFUSED if and only if the node was reached and refused the connection.
type Shell interface {
	Check(ctx context.Context, at actuators.Place, env []string, command string, timeout time.Duration) (exit int, tail string, err error)
	Dial(ctx context.Context, at actuators.Place, address string) (net.Conn, error) // fails with io.EOF alone when the other side ends it
}

// A Prober makes single tries of checks. It satisfies reconciler.Prober; its methods may be called side by side.
type Prober struct {
	shell  Shell
	dialer net.Dialer
}

// New returns a Prober that reaches into nodes by shell.
func New(shell Shell) *Prober { return &Prober{shell: shell} }

// grace is how much longer than its time-out a command may take to be reported: it is ended on the node.
const grace = 800 * time.Millisecond

// Probe makes one try of the check with the release that should be served, and answers within the check's time-out and a second.
//
// Pass: it is as the check wants. Contradict: a check that names the release got its answer, and that names another one. Fail: it was
// asked and is not well, which includes a refused connection and silence until the time-out. NoAnswer: it could not be asked,
// because the node was not reached by SSH, the caller gave up, or no release is known to ask for.
func (p *Prober) Probe(ctx context.Context, at actuators.Place, check desired.Check, release string) health.Sample {
	result, detail := p.try(ctx, at, check, release)
	if result == health.Fail && ended(ctx) {
		result = health.NoAnswer
	}
	return health.Sample{Check: check.Name, At: time.Now(), Result: result, Detail: clip(redact.Line(detail))}
}

// ended reports whether a context has ended. A dialler may notice its deadline a moment before the context does.
func ended(ctx context.Context) bool {
	by, limited := ctx.Deadline()
	return ctx.Err() != nil || limited && !time.Now().Before(by)
}

func (p *Prober) try(ctx context.Context, at actuators.Place, check desired.Check, release string) (health.Result, string) {
	timeout := cmp.Or(check.Timeout, 2*time.Second)
	limit := timeout
	if check.Command != nil {
		limit += grace
	}
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	switch {
	case check.NamesRelease() && !word.MatchString(release):
		return health.NoAnswer, fmt.Sprintf("no release is known to look for: %.40q", release)
	case check.HTTP != nil:
		return p.page(within, at, check, release)
	case check.TCP != nil:
		return p.connect(within, at, check.TCP.Port)
	case check.Command != nil:
		return p.command(within, at, check.Command.Run, release, timeout)
	default:
		return health.NoAnswer, "the check says nothing to try"
	}
}

func (p *Prober) connect(ctx context.Context, at actuators.Place, port int) (health.Result, string) {
	address := net.JoinHostPort(at.Node.Address, strconv.Itoa(port))
	conn, err := p.dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return health.Fail, "connect to " + address + ": " + brief(err)
	}
	conn.Close()
	return health.Pass, "connect to " + address
}

// word is what a release and a node's name consist of: characters that mean nothing to any shell, quoted or not.
var word = regexp.MustCompile(`^[A-Za-z0-9._+-]+$`)

// command runs the check's command with the values in its environment. {release} and {node} in its text are replaced too, and only by
// words, so that no value can become a piece of shell.
func (p *Prober) command(ctx context.Context, at actuators.Place, run, release string, timeout time.Duration) (health.Result, string) {
	if !word.MatchString(at.Node.Name) {
		return health.NoAnswer, fmt.Sprintf("the node's name %.40q is not fit for a command", at.Node.Name)
	}
	env := []string{"WINDLASS_FLEET=" + at.Fleet, "WINDLASS_NODE=" + at.Node.Name, desired.ReleaseVariable + "=" + release}
	exit, tail, err := p.shell.Check(ctx, at, env, desired.Expand(run, release, at.Node.Name), timeout)
	switch {
	case err != nil:
		return health.NoAnswer, brief(err)
	case exit == 0:
		return health.Pass, "exit 0"
	case exit == 124 || exit == 137:
		return health.Fail, saying(fmt.Sprintf("no end within %v", timeout), tail)
	default:
		return health.Fail, saying(fmt.Sprintf("exit %d", exit), tail)
	}
}

// saying adds what a command wrote, if it did, to how it ended.
func saying(ended, tail string) string {
	if tail == "" {
		return ended
	}
	return ended + ": " + tail
}

// brief is an error without what the reader knows already.
func brief(err error) string {
	var opError *net.OpError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "no answer in time"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.As(err, &opError):
		return opError.Err.Error()
	default:
		return err.Error()
	}
}

// clip bounds a line that may come from a node.
func clip(s string) string {
	const most = 300
	runes := []rune(s)
	if len(runes) <= most {
		return s
	}
	return string(runes[:most]) + "…"
}
