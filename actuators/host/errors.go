package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"windlass/actuators"
	"windlass/internal/redact"
)

var errReadOnly = errors.New("this agent only looks")

// explain names the node and where it is. Errors of this package are one line: what could not be done, on which node, why, what to do.
func explain(verb string, at actuators.Place, err error) error {
	return fmt.Errorf("cannot %s node %s (%s): %w", verb, at.Node.Name, at.Node.Address, err)
}

// Exit statuses of the scripts, as common.sh names them.
const (
	exitChanged    = 80
	exitUnwritable = 81
	exitFull       = 82
	exitMissing    = 83
	exitBusy       = 84
	exitBroken     = 85
	exitBlind      = 86
	exitNotFound   = 127 // the shell's own
)

// failure is why a script did not do its work; nil when it did.
func (o outcome) failure(at actuators.Place) error {
	if o.exit == 0 {
		return nil
	}
	said := redact.Line(Tail(string(o.stderr))) // a login script may have said much before us
	if own := strings.LastIndex(said, "windlass: "); own >= 0 {
		said = said[own+len("windlass: "):]
	}
	said = strings.ToValidUTF8(said[max(0, len(said)-300):], "")
	switch {
	case at.SSH.Sudo && o.exit == exitNotFound:
		return fmt.Errorf("sudo does not run there (%s); install it, or set ssh.sudo to false", said)
	case at.SSH.Sudo && o.exit == 1 && strings.Contains(said, "sudo: "):
		return fmt.Errorf("user %s may not use sudo there without a password (%s); add `%[1]s ALL=(ALL) NOPASSWD: ALL` to its sudoers", at.SSH.User, said)
	case o.exit == exitChanged:
		return fmt.Errorf("%s: %w", said, actuators.ErrChanged)
	case o.exit == exitUnwritable:
		return fmt.Errorf("%s; make it writable for user %s, or set ssh.stateDir or ssh.sudo", said, at.SSH.User)
	case o.exit == exitFull:
		return fmt.Errorf("the disk is full: %s; free some space there", said)
	case o.exit == exitMissing:
		return fmt.Errorf("%s; install coreutils and util-linux there", said)
	case o.exit == exitBlind:
		return fmt.Errorf("%s: %w", said, errNoSensor)
	case o.exit == exitBusy || o.exit == exitBroken:
		return errors.New(said)
	default:
		return fmt.Errorf("the shell there ended with status %d: %s; user %s needs a login shell that runs commands as sh does", o.exit, said, at.SSH.User)
	}
}

// refusedError is what the node says about a connection it could not make.
type refusedError string

func (e refusedError) Error() string {
	return "connection refused: " + clip(redact.Line(string(e)), 200)
}
func (refusedError) Unwrap() error { return syscall.ECONNREFUSED }

// cause is why ctx ended when it did, else err: what a closed connection says is then only its consequence.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
