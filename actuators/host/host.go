package host

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"windlass/actuators"
	"windlass/internal/redact"
)

// Options say how nodes are logged into. The zero value uses the agent at SSH_AUTH_SOCK and trusts only nodes whose file names a key.
type Options struct {
	KeyFile    string        // private key without a passphrase; empty: the ssh agent
	Agent      string        // socket of the ssh agent; used without KeyFile
	KnownHosts []string      // files in the form of known_hosts, read anew at each connection; Node.HostKey overrides them
	ReadOnly   bool          // nothing is ever changed on a node: Write and Run are errors, a corrupt record stays where it is
	Idle       time.Duration // how long an unused connection is kept; default 30 s
	KeepAlive  time.Duration // how often a connection is tried, and how long an answer may take; default 10 s
	Dials      int           // how many connections may be in the making at once; default 8, as sshd drops beyond 10 (G29); nodes whose newest one failed get half

	// Observe is told how each session with a node ended: one of Results. It returns at once; nil: nobody is told.
	Observe func(fleet, result string)
}

// Results lists how a session may end: its command's end was seen, whatever its exit status; the connection was lost while it ran; or
// neither, as the node was not reached, refused us, or took too long.
var Results = [...]string{success, lost, failed}

const (
	success = "success"
	lost    = "lost"
	failed  = "failed"
)

// A Host works on nodes over SSH, with one connection for each. It satisfies reconciler.Host and the Shell of health/probe.
// Its methods may be called side by side.
type Host struct {
	readOnly bool
	pool     *pool
}

// recordTime bounds an exchange of the node record, beyond the time to connect.
const recordTime = 30 * time.Second

// New reads the key file, and connects to nothing. Call CloseAll when done.
func New(o Options) (*Host, error) {
	auth, err := authentication(o)
	if err != nil {
		return nil, err
	}
	p := newPool(auth, cmp.Or(o.Dials, 8))
	p.knownHosts, p.observe = o.KnownHosts, o.Observe
	p.idle, p.keepAlive = cmp.Or(o.Idle, 30*time.Second), cmp.Or(o.KeepAlive, 10*time.Second)
	return &Host{readOnly: o.ReadOnly, pool: p}, nil
}

// Close ends the connection to a node. The next call opens it again.
func (h *Host) Close(at actuators.Place) { h.pool.close(keyOf(at)) }

// CloseAll ends every connection and waits until what watched them has ended. No other method may run or be called afterwards.
func (h *Host) CloseAll() { h.pool.closeAll() }

// Read returns the node's record and how the node stands, with a state directory that cannot be written or a missing tool as an error,
// so that nothing is begun on such a node. A corrupt record is set aside under another name, reported as Problem, and is none; a read-only
// Host leaves it. The error is actuators.ErrNewerSchema for a record this version must not touch.
func (h *Host) Read(ctx context.Context, at actuators.Place) (actuators.HostState, error) {
	state, b, err := h.record(ctx, at, readScript)
	if err != nil {
		return actuators.HostState{}, explain("read", at, err)
	}
	b, whole := bytes.CutSuffix(b, []byte("\nend\n"))
	switch {
	case !whole:
		return actuators.HostState{}, explain("read", at, errNotWhole)
	case len(b) == 0:
		return state, nil
	}
	record, err := actuators.DecodeRecord(b, at.Fleet)
	switch {
	case err == nil:
		state.Record, state.Version = record, versionOf(b)
	case errors.Is(err, actuators.ErrNewerSchema):
		return actuators.HostState{}, explain("read", at, err)
	default:
		return h.setAside(ctx, at, state, b, err)
	}
	return state, nil
}

func (h *Host) setAside(ctx context.Context, at actuators.Place, state actuators.HostState, b []byte, why error) (actuators.HostState, error) {
	problem := clip(strings.Join(strings.Fields(why.Error()), " "), 300)
	if h.readOnly {
		state.Problem = problem + "; it is taken for none"
		return state, nil
	}
	state, _, err := h.record(ctx, at, asideScript, versionOf(b))
	if err != nil {
		return actuators.HostState{}, explain("set aside the corrupt record", at, err)
	}
	state.Problem = problem + "; it was set aside as record.json.corrupt-… and is taken for none"
	return state, nil
}

// Write replaces the record if its Version is still old ("": there was none), under the node's lock and durably, and returns the new
// state. The error is actuators.ErrChanged when the record is another one; nothing was written then.
func (h *Host) Write(ctx context.Context, at actuators.Place, old string, record actuators.NodeRecord) (actuators.HostState, error) {
	if h.readOnly {
		return actuators.HostState{}, explain("write", at, errReadOnly)
	}
	b, err := encode(record)
	if err != nil {
		return actuators.HostState{}, explain("write", at, err)
	}
	state, _, err := h.record(ctx, at, writeScript, writeArguments(old, b)...)
	if err != nil {
		return actuators.HostState{}, explain("write", at, err)
	}
	return writtenState(state, b, at.Fleet)
}

// encode is the record as it is kept. What it says of failures may quote anything, and is not to hold secrets (law 22).
func encode(record actuators.NodeRecord) ([]byte, error) {
	r := record.Clone()
	r.Try.Error = redact.Line(r.Try.Error)
	for i := range r.Halts {
		r.Halts[i].Reason = redact.Line(r.Halts[i].Reason)
	}
	return actuators.EncodeRecord(r)
}

// writeArguments are what write.sh takes, in its order.
func writeArguments(old string, record []byte) []string {
	return []string{old, strings.TrimSuffix(string(record), "\n")}
}

// writtenState is a node's report after its record was replaced by b.
func writtenState(state actuators.HostState, b []byte, fleet string) (_ actuators.HostState, err error) {
	state.Record, err = actuators.DecodeRecord(b, fleet)
	state.Version = versionOf(b)
	return state, err
}

// record runs one of the scripts that read or change the record, and returns what follows its report.
func (h *Host) record(ctx context.Context, at actuators.Place, script string, args ...string) (actuators.HostState, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, recordTime+at.SSH.ConnectTimeout)
	defer cancel()
	out, err := h.pool.exec(ctx, at, request{command: commandLine(at, script, args...)})
	if err == nil {
		err = out.failure(at)
	}
	if err != nil {
		return actuators.HostState{}, nil, err
	}
	stdout := bytes.NewReader(out.stdout)
	report := newReportReader(stdout)
	state, err := readReport(report)
	if err == nil {
		err = checkReport(state)
	}
	rest, _ := io.ReadAll(report)
	return state, rest, err
}

// versionOf names a record's bytes; the node's sha256sum says the same.
func versionOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Check runs a health check's command on the node, with env (NAME=value) added to its environment, and returns its exit status and the
// end of its output. A command that outlives the time-out is ended there and has status 124, or 137 when it had to be killed. An error
// says that the command could not be run or that its end was not seen, and nothing about the node's service.
func (h *Host) Check(ctx context.Context, at actuators.Place, env []string, command string, timeout time.Duration) (exit int, tail string, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout+at.SSH.ConnectTimeout+2*time.Second)
	defer cancel()
	args := append([]string{seconds(timeout), command}, env...)
	var begun atomic.Bool
	begin := func(r *bufio.Reader) { begun.Store(skipGreeting(r) == nil) }
	out, err := h.pool.exec(ctx, at, request{command: commandLine(at, checkScript, args...), lossy: true, begin: begin})
	if err == nil && !begun.Load() {
		err = cmp.Or(out.failure(at), errNotWhole)
	}
	if err != nil {
		return 0, "", explain("check", at, err)
	}
	return out.exit, Tail(string(out.stdout)), nil // what the command says on standard error is there too
}

// Dial connects to an address as seen from the node, such as 127.0.0.1:8080. The error wraps syscall.ECONNREFUSED when the node was
// reached and could not connect; any other error says nothing about that address. Reading and writing fail with io.EOF when the other side
// has ended the connection, and with another error when the one to the node has ended.
func (h *Host) Dial(ctx context.Context, at actuators.Place, address string) (net.Conn, error) {
	conn, err := h.pool.dialThrough(ctx, at, address)
	var refused *ssh.OpenChannelError
	switch {
	case err == nil:
		return conn, nil
	case errors.As(err, &refused) && refused.Reason == ssh.ConnectionFailed:
		err = refusedError(refused.Message)
	case errors.As(err, &refused):
		err = fmt.Errorf("sshd does not forward connections (%s); set AllowTcpForwarding there, or use a check that is made directly", clip(refused.Message, 200))
	}
	return nil, explain("connect to "+address+" through", at, err)
}
