package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"windlass/actuators"
	"windlass/desired"
	"windlass/internal/redact"
)

// login offers what the agent can prove itself with, and takes back what was opened for it.
type login func(ctx context.Context, limit time.Duration) (ssh.AuthMethod, func(), error)

// authentication reads the key file, or prepares to ask the ssh agent at each connection.
func authentication(o Options) (login, error) {
	if o.KeyFile == "" {
		return func(ctx context.Context, limit time.Duration) (ssh.AuthMethod, func(), error) {
			return fromAgent(ctx, limit, o.Agent)
		}, nil
	}
	b, err := os.ReadFile(o.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("cannot read the SSH key: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(b)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		return nil, fmt.Errorf("cannot use the SSH key %s: it has a passphrase; load it into an ssh agent and leave the key file out", o.KeyFile)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use the SSH key %s: %w", o.KeyFile, err)
	}
	return func(context.Context, time.Duration) (ssh.AuthMethod, func(), error) {
		return ssh.PublicKeys(signer), func() {}, nil
	}, nil
}

// fromAgent asks the ssh agent for its keys, which may take no longer than limit; then it has as long again to sign, while we connect and
// log in.
func fromAgent(ctx context.Context, limit time.Duration, socket string) (ssh.AuthMethod, func(), error) {
	socket = cmp.Or(socket, os.Getenv("SSH_AUTH_SOCK"))
	if socket == "" {
		return nil, nil, errors.New("there is no key to log in with; give --ssh-key, or start an ssh agent (SSH_AUTH_SOCK)")
	}
	dialer := net.Dialer{Timeout: limit}
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot ask the ssh agent: %w; start one, or give --ssh-key", cause(ctx, err))
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	done := func() { stop(); conn.Close() }
	_ = conn.SetDeadline(time.Now().Add(limit)) // one that cannot be set is of a connection that is closed
	signers, err := agent.NewClient(conn).Signers()
	switch {
	case err != nil:
		done()
		return nil, nil, fmt.Errorf("cannot ask the ssh agent at %s for its keys: %w; restart it, or give --ssh-key", socket, cause(ctx, err))
	case len(signers) == 0:
		done()
		return nil, nil, fmt.Errorf("the ssh agent at %s holds no key; ssh-add one, or give --ssh-key", socket)
	}
	_ = conn.SetDeadline(time.Now().Add(limit))
	return ssh.PublicKeys(signers...), done, nil
}

// trust decides about the key a host presents. Whatever x/crypto makes of its error, problem has it.
type trust struct {
	callback   ssh.HostKeyCallback
	algorithms []string // empty: any, and the callback explains why none will do
	problem    error
}

// trustOf is strict: the node's own key when the fleet file names one, else what known_hosts says of the address (G28).
func trustOf(at actuators.Place, address string, files []string) (*trust, error) {
	t := &trust{}
	var check ssh.HostKeyCallback
	if at.Node.HostKey != "" {
		key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(at.Node.HostKey))
		if err != nil {
			return nil, fmt.Errorf("its hostKey in the fleet file is no public key: %w", err)
		}
		check, t.algorithms = ssh.FixedHostKey(key), algorithmsOf(key.Type())
	} else {
		db, err := knownhosts.NewDB(files...)
		if err != nil {
			return nil, fmt.Errorf("cannot read known_hosts: %w", err)
		}
		check, t.algorithms = db.HostKeyCallback(), db.HostKeyAlgorithms(address)
	}
	t.callback = func(hostname string, remote net.Addr, key ssh.PublicKey) error {
		if err := check(hostname, remote, key); err != nil {
			t.problem = untrusted(at, address, key, err)
			return t.problem
		}
		return nil
	}
	return t, nil
}

// algorithmsOf are the signatures a key of this type can make; an RSA key signs with SHA-2 too.
func algorithmsOf(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}
	}
	return []string{keyType}
}

func untrusted(at actuators.Place, address string, key ssh.PublicKey, err error) error {
	presented := key.Type() + " " + ssh.FingerprintSHA256(key)
	host := knownhosts.Normalize(address)
	switch {
	case at.Node.HostKey != "":
		return fmt.Errorf("it presents the host key %s, the fleet file names another; find out which machine answers, then correct hostKey", presented)
	case knownhosts.IsHostKeyChanged(err):
		return fmt.Errorf("it presents the host key %s, known_hosts has another for %s; find out which machine answers, then replace that line", presented, host)
	case knownhosts.IsHostUnknown(err):
		return fmt.Errorf("it presents the host key %s, known_hosts has none for %s; compare it with the machine's own, then add it", presented, host)
	default:
		return fmt.Errorf("it presents the host key %s: %w", presented, err)
	}
}

// dial connects and logs in. The deadline is the connection's own: x/crypto does not look at the context while it talks to a peer that
// says nothing (G30).
func (p *pool) dial(ctx context.Context, at actuators.Place) (*ssh.Client, error) {
	address := net.JoinHostPort(at.Node.Address, strconv.Itoa(cmp.Or(at.Port(), 22)))
	limit := cmp.Or(at.SSH.ConnectTimeout, 10*time.Second)
	t, err := trustOf(at, address, p.knownHosts)
	if err != nil {
		return nil, err
	}
	method, done, err := p.auth(ctx, limit)
	if err != nil {
		return nil, err
	}
	defer done()
	deadline := time.Now().Add(limit)
	conn, err := reach(ctx, address, deadline)
	if err != nil {
		return nil, fmt.Errorf("%w; check its address, the network, and that sshd runs there", cause(ctx, err))
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	_ = conn.SetDeadline(deadline) // as with the agent's
	config := &ssh.ClientConfig{User: at.SSH.User, Auth: []ssh.AuthMethod{method}, HostKeyCallback: t.callback, HostKeyAlgorithms: t.algorithms}
	sc, channels, requests, err := ssh.NewClientConn(conn, address, config)
	if err != nil {
		conn.Close()
		return nil, cause(ctx, refusal(at, t, limit, err))
	}
	_ = conn.SetDeadline(time.Time{})
	return ssh.NewClient(sc, channels, requests), nil
}

// reach connects to an sshd.
func reach(ctx context.Context, address string, deadline time.Time) (net.Conn, error) {
	dialer := net.Dialer{Deadline: deadline}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return prompt(conn), nil
}

// refusal says in the user's words why the handshake failed.
func refusal(at actuators.Place, t *trust, limit time.Duration, err error) error {
	var algorithms *ssh.AlgorithmNegotiationError
	switch {
	case t.problem != nil:
		return t.problem
	case errors.As(err, &algorithms) && len(t.algorithms) > 0:
		return fmt.Errorf("it has no host key of the kind that is known (%s): %w; compare `ssh-keyscan` with known_hosts or hostKey", strings.Join(t.algorithms, ", "), err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("it accepts connections and does not finish the SSH handshake within %v; look at sshd there%s", limit, patience(limit))
	case strings.Contains(err.Error(), "unable to authenticate"):
		return fmt.Errorf("user %s is refused with our key; add the key to its authorized_keys there, or set ssh.user", at.SSH.User)
	default:
		return fmt.Errorf("the SSH handshake fails: %s; look at sshd's log there (MaxStartups?)", clip(redact.Line(err.Error()), 300))
	}
}

// patience is the advice to wait for longer, where that can be set.
func patience(limit time.Duration) string {
	if limit >= desired.MostConnectTimeout {
		return ""
	}
	return fmt.Sprintf(", or raise ssh.connectTimeout, up to %v", desired.MostConnectTimeout)
}
