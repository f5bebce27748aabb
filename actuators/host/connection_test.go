package host_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"
	sshagent "golang.org/x/crypto/ssh/agent"

	"windlass/actuators"
	"windlass/actuators/host"
	"windlass/desired"
	"windlass/internal/nettest"
	"windlass/internal/sandbox/sshdtest"
)

// x/crypto leaves a session behind that was being opened while its connection ended.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("golang.org/x/crypto/ssh.(*mux).openChannel"))
}

// report is what a well-behaved node says of itself, and noRecord what it says when it is read and there is no record.
const (
	report   = "windlass 1\nmachine m-1\nnow 1900000000.000000001\nend\n"
	noRecord = report + "\nend\n"
)

// complaint checks that an error is one line that names the node, and says what is wrong and what to do.
func complaint(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error; want …%s…", strings.Join(parts, "…"))
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %q", err)
	}
	for _, part := range append(parts, "node web-1 (127.0.0.1)") {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

// G30: a peer that accepts and says nothing.
func TestSilentInHandshake(t *testing.T) {
	t.Parallel()
	v := &villain{silent: true}
	at := v.start(t)
	at.SSH.ConnectTimeout = 500 * time.Millisecond
	h := trusting(t, host.Options{})
	_, err := h.Read(t.Context(), at)
	complaint(t, err, "does not finish the SSH handshake within 500ms", "raise ssh.connectTimeout, up to 12s")

	cancelled(t, h, at)
}

// A node that drops packets is given up after the time to connect, and not after the kernel's.
func TestNodeThatDropsPackets(t *testing.T) {
	t.Parallel()
	at := actuators.Place{Fleet: fleet, SSH: desired.SSH{User: "deploy", ConnectTimeout: 200 * time.Millisecond}}
	at.Node = actuators.Node{Name: "web-1", Address: "127.0.0.1", SSHPort: nettest.DeafPort(t), HostKey: authorized(newSigner(t).PublicKey())}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := trusting(t, host.Options{}).Read(ctx, at)
	complaint(t, err, "i/o timeout; check its address, the network, and that sshd runs there")
	if ctx.Err() != nil {
		t.Error("the caller's time was used up")
	}
}

// cancelled checks that a call that would wait for long ends with its context, and says why.
func cancelled(t *testing.T, h *host.Host, at actuators.Place) {
	t.Helper()
	at.SSH.ConnectTimeout = time.Hour
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("superseded")
	time.AfterFunc(20*time.Millisecond, func() { cancel(why) })
	if _, err := h.Read(ctx, at); !errors.Is(err, why) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	v := &villain{}
	at := v.start(t)
	v.listener.Close()
	_, err := trusting(t, host.Options{}).Read(t.Context(), at)
	complaint(t, err, "refused", "check its address")
}

// G28: strict, whatever is known, and the message says what was presented.
func TestHostKeys(t *testing.T) {
	t.Parallel()
	v := &villain{}
	at := v.start(t)
	presented := "ssh-ed25519 " + ssh.FingerprintSHA256(v.key.PublicKey())
	other := newSigner(t)
	where := fmt.Sprintf("[127.0.0.1]:%d", v.address.Port)

	wrong := at
	wrong.Node.HostKey = authorized(other.PublicKey())
	_, err := trusting(t, host.Options{}).Read(t.Context(), wrong)
	complaint(t, err, presented, "the fleet file names another", "correct hostKey")

	fromFile := at
	fromFile.Node.HostKey = ""
	for name, c := range map[string]struct {
		line string
		want []string
	}{
		"unknown": {"", []string{presented, "known_hosts has none for " + where}},
		"changed": {where + " " + authorized(other.PublicKey()), []string{presented, "known_hosts has another for " + where}},
		"revoked": {"@revoked " + where + " " + authorized(v.key.PublicKey()), []string{presented, "revoked"}},
		"no CA":   {"@cert-authority * " + authorized(other.PublicKey()), nil},
		"known":   {where + " " + authorized(v.key.PublicKey()), nil},
	} {
		file := filepath.Join(t.TempDir(), "known_hosts")
		write(t, file, c.line+"\n")
		_, err := trusting(t, host.Options{KnownHosts: []string{file}}).Read(t.Context(), fromFile)
		switch {
		case name == "known":
			complaint(t, err, "answer is not whole") // it got in
		case c.want == nil:
			complaint(t, err, "host key")
		default:
			complaint(t, err, c.want...)
		}
	}
	_, err = trusting(t, host.Options{KnownHosts: []string{filepath.Join(t.TempDir(), "none")}}).Read(t.Context(), fromFile)
	complaint(t, err, "cannot read known_hosts")
}

// Of a machine with several host keys, the one that is known is asked for.
func TestKnownHostKeyOfSeveral(t *testing.T) {
	t.Parallel()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	v := &villain{other: other, exec: answer(noRecord)}
	at := v.start(t)
	at.Node.HostKey = ""
	for _, key := range []ssh.Signer{v.key, other} {
		file := filepath.Join(t.TempDir(), "known_hosts")
		write(t, file, fmt.Sprintf("[127.0.0.1]:%d %s\n", v.address.Port, authorized(key.PublicKey())))
		if _, err := trusting(t, host.Options{KnownHosts: []string{file}}).Read(t.Context(), at); err != nil {
			t.Errorf("with a key of type %s: %v", key.PublicKey().Type(), err)
		}
	}
}

// G28: a host certificate signed by a known authority.
func TestHostCertificate(t *testing.T) {
	t.Parallel()
	authority, key := newSigner(t), newSigner(t)
	cert := &ssh.Certificate{Key: key.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{"127.0.0.1"}, ValidBefore: ssh.CertTimeInfinity}
	if err := cert.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewCertSigner(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	v := &villain{key: signer, exec: func(c ssh.Channel, done func(int)) { _, _ = io.WriteString(c, noRecord); done(0) }}
	at := v.start(t)
	at.Node.HostKey = ""
	file := filepath.Join(t.TempDir(), "known_hosts")
	write(t, file, "@cert-authority 127.0.0.1,[127.0.0.1]:* "+authorized(authority.PublicKey())+"\n")
	if got, err := trusting(t, host.Options{KnownHosts: []string{file}}).Read(t.Context(), at); err != nil || got.Machine != "m-1" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	s, at := node(t, sshdtest.Options{})
	_, err := trusting(t, host.Options{}).Read(t.Context(), at)
	complaint(t, err, "is refused with our key", "authorized_keys")

	for name, content := range map[string]string{"missing": "", "garbage": "garbage"} {
		file := filepath.Join(t.TempDir(), "key")
		if content != "" {
			write(t, file, content)
		}
		if _, err := host.New(host.Options{KeyFile: file}); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", name, err)
		}
	}
	b, err := os.ReadFile(s.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParseRawPrivateKey(b)
	if err != nil {
		t.Fatal(err)
	}
	socket, _ := sshAgent(t, key)
	h, err := host.New(host.Options{Agent: socket})
	if err != nil {
		t.Fatal(err)
	}
	defer h.CloseAll()
	if _, err := h.Read(t.Context(), at); err != nil {
		t.Errorf("with an agent: %v", err)
	}
	if _, err := agent(t, s, host.Options{Agent: filepath.Join(t.TempDir(), "none")}).Read(t.Context(), at); err != nil {
		t.Errorf("with a key file, an agent is not needed: %v", err)
	}
	block, err := ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	locked := filepath.Join(t.TempDir(), "key")
	write(t, locked, string(pem.EncodeToMemory(block)))
	if _, err := host.New(host.Options{KeyFile: locked}); err == nil || !strings.Contains(err.Error(), locked+": it has a passphrase; load it into an ssh agent") {
		t.Errorf("a key with a passphrase: %v", err)
	}
}

// No connection to the ssh agent is kept, also while what it is for goes on.
func TestAgentIsLeftWhenItHasAnswered(t *testing.T) {
	t.Parallel()
	dial := func(socket string, at actuators.Place) error {
		h, err := host.New(host.Options{Agent: socket})
		if err != nil {
			t.Fatal(err)
		}
		defer h.CloseAll()
		conn, err := h.Dial(t.Context(), at, "127.0.0.1:1")
		if err == nil {
			conn.Close()
		}
		return err
	}
	within := func(ended <-chan struct{}, what string) {
		t.Helper()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Error(what + ": the connection is kept")
		}
	}
	v := &villain{hangsUp: true}
	at := v.start(t)
	socket, ended := sshAgent(t, newKey(t))
	complaint(t, dial(socket, at), "the connection was lost")
	if v.logins != 1 {
		t.Errorf("a new connection that is lost is made %d times", v.logins)
	}
	within(ended, "after a login")
	socket, ended = sshAgent(t)
	complaint(t, dial(socket, at), "the ssh agent at "+socket+" holds no key; ssh-add one", "--ssh-key")
	within(ended, "without keys")

	l := listenAt(t)
	done := make(chan struct{})
	go func() { // an agent that speaks of something else
		defer close(done)
		if conn, err := l.Accept(); err == nil {
			_, _ = io.WriteString(conn, "\x00\x00\x00\x01\xff")
			_, _ = io.Copy(io.Discard, conn)
		}
	}()
	complaint(t, dial(l.Addr().String(), at), "cannot ask the ssh agent at "+l.Addr().String()+" for its keys", "restart it, or give --ssh-key")
	within(done, "with another answer")
	l.Close()
	complaint(t, dial(filepath.Join(t.TempDir(), "none"), at), "cannot ask the ssh agent: ", "start one, or give --ssh-key")
}

// Without a key file, the agent is the one that the environment names.
func TestAgentOfTheEnvironment(t *testing.T) {
	at := (&villain{exec: answer(noRecord)}).start(t)
	h, err := host.New(host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.CloseAll()
	t.Setenv("SSH_AUTH_SOCK", "")
	_, err = h.Read(t.Context(), at)
	complaint(t, err, "there is no key to log in with; give --ssh-key, or start an ssh agent (SSH_AUTH_SOCK)")
	socket, _ := sshAgent(t, newKey(t))
	t.Setenv("SSH_AUTH_SOCK", socket)
	if _, err := h.Read(t.Context(), at); err != nil {
		t.Error(err)
	}
}

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return private
}

// Law 15: an ssh agent that does not answer holds up nothing for longer than a connection may take.
func TestSilentAgent(t *testing.T) {
	t.Parallel()
	at := (&villain{}).start(t)
	l := listenAt(t)
	defer l.Close()
	h, err := host.New(host.Options{Agent: l.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	defer h.CloseAll()
	at.SSH.ConnectTimeout = 500 * time.Millisecond
	_, err = h.Read(t.Context(), at)
	complaint(t, err, "cannot ask the ssh agent at "+l.Addr().String(), "timeout", "restart it")

	cancelled(t, h, at)
}

// listenAt listens on a path that is short, as a socket's has to be.
func listenAt(t *testing.T) net.Listener {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// sshAgent serves keys on a socket, and tells of the end of its connections.
func sshAgent(t *testing.T, keys ...any) (socket string, ended <-chan struct{}) {
	t.Helper()
	tell := make(chan struct{}, 8)
	l := listenAt(t)
	ring := sshagent.NewKeyring()
	for _, key := range keys {
		if err := ring.Add(sshagent.AddedKey{PrivateKey: key}); err != nil {
			t.Fatal(err)
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { _ = sshagent.ServeAgent(ring, conn); conn.Close(); tell <- struct{}{} })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String(), tell
}

// A peer that is there and never answers: the call ends with its context.
func TestHangingCommand(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{}, 1)
	v := &villain{exec: func(ssh.Channel, func(int)) { begun <- struct{}{} }}
	at := v.start(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	_, err := trusting(t, host.Options{}).Read(ctx, at)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// How each session ended is told, but for those that we ended ourselves.
func TestSessionsAreTold(t *testing.T) {
	t.Parallel()
	s, at := node(t, sshdtest.Options{})
	var told []string
	o := host.Options{Observe: func(fleet, result string) { told = append(told, fleet+" "+result) }}
	if _, err := agent(t, s, o).Read(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	broken := &villain{exec: func(c ssh.Channel, _ func(int)) { c.Close() }}
	gone := &villain{}
	for _, v := range []*villain{broken, gone} {
		at := v.start(t)
		at.Fleet = fleet
		if v == gone {
			v.listener.Close()
		}
		if _, err := trusting(t, o).Read(t.Context(), at); err == nil {
			t.Error("a broken node was read")
		}
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	_, _ = agent(t, s, o).Read(over, at)
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	slow := (&villain{silent: true}).start(t)
	_, _ = trusting(t, o).Read(short, slow)
	if want := []string{fleet + " success", fleet + " lost", fleet + " failed", fleet + " failed"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// A peer that died without a word is noticed by the keep-alive (G29).
func TestDeadPeerIsNoticed(t *testing.T) {
	t.Parallel()
	v := &villain{deaf: true, exec: func(ssh.Channel, func(int)) {}}
	at := v.start(t)
	_, err := trusting(t, host.Options{KeepAlive: 100 * time.Millisecond}).Read(t.Context(), at)
	complaint(t, err, "the connection was lost")
}

func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	flood := bytes.Repeat([]byte("windlass 0\n"), 1<<10)
	for name, c := range map[string]struct {
		exec func(ssh.Channel, func(int))
		want string
	}{
		"drops":                 {func(c ssh.Channel, _ func(int)) { _, _ = io.WriteString(c, report); c.Close() }, "the connection was lost"},
		"says nothing":          {func(_ ssh.Channel, done func(int)) { done(0) }, "not whole"},
		"torn":                  {func(c ssh.Channel, done func(int)) { _, _ = io.WriteString(c, report[:23]); done(0) }, "not whole"},
		"record that is late":   {answer(report), "not whole"},
		"no machine":            {answer("windlass 1\nnow 1900000000.1\nend\n"), "machine id"},
		"terrible machine":      {answer("windlass 1\nmachine ../../x\nnow 1900000000.1\nend\n"), "machine id"},
		"no GNU date":           {answer("windlass 1\nmachine m\nnow 1900000000.%N\nend\n"), "GNU date"},
		"terrible job":          {answer("windlass 1\njob ../x exited 0\nend\n"), "newest job"},
		"a status of a million": {answer("windlass 1\njob x exited 1000000\nend\n"), `status "1000000"`},
		"a long answer": {func(c ssh.Channel, done func(int)) {
			for range 100 {
				_, _ = c.Write(flood)
			}
			done(0)
		}, "longer than 256 KiB"},
		"much else said": {func(c ssh.Channel, done func(int)) {
			_, _ = c.Stderr().Write(bytes.Repeat([]byte("hello\n"), 100<<10))
			_, _ = io.WriteString(c.Stderr(), "windlass: torn\n")
			done(85)
		}, ": torn"},
		"an unknown status": {func(c ssh.Channel, done func(int)) {
			_, _ = io.WriteString(c.Stderr(), "\x1b[2Jno\nshell password=x\n")
			done(7)
		}, "status 7: no shell password=[redacted];"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := &villain{exec: c.exec}
			at := v.start(t)
			_, err := trusting(t, host.Options{}).Read(t.Context(), at)
			complaint(t, err, c.want)
			if len(err.Error()) > 1000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

// Law 14: a command that was run is not run again because its answer is no good.
func TestCommandIsNotRepeated(t *testing.T) {
	t.Parallel()
	answers := make(chan string, 3)
	v := &villain{exec: func(c ssh.Channel, done func(int)) { _, _ = io.WriteString(c, <-answers); done(0) }}
	at := v.start(t)
	h := trusting(t, host.Options{})
	for _, a := range []string{noRecord, strings.Repeat("windlass 0\n", 1<<17), noRecord} {
		answers <- a
	}
	if _, err := h.Read(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	_, err := h.Read(t.Context(), at) // on the same connection
	complaint(t, err, "longer than 256 KiB")
	if len(answers) != 1 || v.logins != 1 {
		t.Errorf("%d more commands than wanted, %d connections", 1-len(answers), v.logins)
	}
}

func answer(s string) func(ssh.Channel, func(int)) {
	return func(c ssh.Channel, done func(int)) { _, _ = io.WriteString(c, s); done(0) }
}

// G29: never more connections in the making than allowed, and one for each node.
func TestDialsAreBounded(t *testing.T) {
	t.Parallel()
	v := &villain{exec: answer(noRecord)}
	at := v.start(t)
	h := trusting(t, host.Options{Dials: 3})
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			to := at
			to.SSH.User = fmt.Sprint("user-", i%10) // as good as ten nodes
			if _, err := h.Read(t.Context(), to); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.mostOpen > 3 || v.logins != 10 {
		t.Errorf("%d logins for 10 nodes, up to %d at once", v.logins, v.mostOpen)
	}
}

// Nodes that do not answer hold up those that do only once.
func TestSilentNodesLeavePlacesToOthers(t *testing.T) {
	t.Parallel()
	const dials, dead = 4, 12
	quiet, well := &villain{silent: true, accepted: make(chan struct{}, 2*dead)}, &villain{exec: answer(noRecord)}
	silent, at := quiet.start(t), well.start(t)
	h := trusting(t, host.Options{Dials: dials})
	readAll := func(ctx context.Context, timeout time.Duration) (wait func()) {
		var wg sync.WaitGroup
		for i := range dead {
			wg.Go(func() {
				to := silent
				to.SSH.User, to.SSH.ConnectTimeout = fmt.Sprint("user-", i), timeout // as good as a node of its own
				if _, err := h.Read(ctx, to); err == nil {
					t.Error("a silent node was read")
				}
			})
		}
		return wg.Wait
	}
	readAll(t.Context(), 20*time.Millisecond)()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	wait := readAll(ctx, time.Hour)
	for range dials / 2 {
		<-quiet.accepted
	}
	for range dead {
		if _, err := h.Read(ctx, at); err != nil {
			t.Fatal(err)
		}
		h.Close(at) // the next reading connects anew
	}
	cancel()
	wait()
}

func TestConnectionIsReused(t *testing.T) {
	t.Parallel()
	v := &villain{exec: answer(noRecord)}
	at := v.start(t)
	read := func(h *host.Host) {
		t.Helper()
		if _, err := h.Read(t.Context(), at); err != nil {
			t.Fatal(err)
		}
	}
	logins := func() int { v.mu.Lock(); defer v.mu.Unlock(); return v.logins }
	h := trusting(t, host.Options{})
	read(h)
	read(h)
	if n := logins(); n != 1 {
		t.Errorf("%d logins for two calls", n)
	}
	h.Close(at)
	read(h)
	if n := logins(); n != 2 {
		t.Errorf("%d logins after closing", n)
	}
	other := at
	other.Node.HostKey = authorized(newSigner(t).PublicKey())
	_, err := h.Read(t.Context(), other)
	complaint(t, err, "the fleet file names another") // and is not served by the connection that there is
	other = at
	other.SSH.Port, other.Node.SSHPort = 1, at.SSH.Port
	if _, err := h.Read(t.Context(), other); err != nil || logins() != 2 {
		t.Errorf("the node's own port: %v after %d logins", err, logins())
	}
	h.Close(other)
	if _, err := h.Read(t.Context(), other); err != nil || logins() != 3 {
		t.Errorf("connecting to the node's own port: %v after %d logins", err, logins())
	}
	v.mu.Lock()
	for _, c := range v.conns { // the node reboots: the connection we keep is dead
		c.Close()
	}
	v.mu.Unlock()
	read(h)

}

func TestEndOfAHostEndsItsConnections(t *testing.T) {
	t.Parallel()
	v := &villain{exec: answer(noRecord), ended: make(chan struct{}, 1)}
	at := v.start(t)
	h := trusting(t, host.Options{})
	if _, err := h.Read(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	h.CloseAll()
	select {
	case <-v.ended:
	case <-time.After(20 * time.Second):
		t.Error("it is open")
	}
}

// The time to connect bounds connecting alone.
func TestConnectionOutlivesTheTimeToConnect(t *testing.T) {
	t.Parallel()
	v := &villain{exec: answer(noRecord)}
	at := v.start(t)
	h := trusting(t, host.Options{})
	at.SSH.ConnectTimeout = 100 * time.Millisecond
	for {
		began := time.Now()
		if _, err := h.Read(t.Context(), at); err == nil {
			time.Sleep(at.SSH.ConnectTimeout - time.Since(began) + 20*time.Millisecond)
			break
		} else if at.SSH.ConnectTimeout > time.Minute {
			t.Fatal(err)
		}
		at.SSH.ConnectTimeout *= 2 // a slow machine
	}
	v.mu.Lock()
	before := v.logins
	v.mu.Unlock()
	if _, err := h.Read(t.Context(), at); err != nil {
		t.Error(err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.logins != before {
		t.Error("a new one was made")
	}
}

func TestIdleConnectionIsClosed(t *testing.T) {
	t.Parallel()
	v := &villain{exec: answer(noRecord), ended: make(chan struct{}, 2)}
	at := v.start(t)
	h := trusting(t, host.Options{Idle: time.Millisecond})
	for range 2 {
		if _, err := h.Read(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		<-v.ended // never, unless it is closed
	}
}

func TestCheckRunsACommand(t *testing.T) {
	t.Parallel()
	s, at := node(t, sshdtest.Options{})
	h := agent(t, s, host.Options{})
	ctx := t.Context()
	for name, c := range map[string]struct {
		command string
		exit    int
		tail    string
	}{
		"passes":          {"true", 0, ""},
		"fails":           {`echo "$WINDLASS_RELEASE"; echo on stderr >&2; exit 83`, 83, "v1\non stderr"},
		"too slow":        {"sleep 60", 124, ""},
		"reads":           {"readlink /proc/self/fd/0", 0, "/dev/null"},
		"talks for ever":  {"yes", 124, ""},
		"does not listen": {"trap '' TERM; sleep 60", 137, ""},
	} {
		exit, tail, err := h.Check(ctx, at, []string{"WINDLASS_RELEASE=v1"}, c.command, 300*time.Millisecond+time.Duration(len(c.tail))*time.Second)
		if err != nil || exit != c.exit || c.tail != "" && tail != c.tail || len(tail) > 4<<10 {
			t.Errorf("%s: exit %d, %q, %v", name, exit, tail, err)
		}
	}
	began := time.Now()
	exit, tail, err := h.Check(ctx, at, nil, "sleep 3 & echo up", 10*time.Second) // G27
	if err != nil || exit != 0 || tail != "up" || time.Since(began) > 2500*time.Millisecond {
		t.Errorf("a child in the background: exit %d, %q, %v after %v", exit, tail, err, time.Since(began))
	}
	if names(t, s.Home); len(names(t, s.Home)) != 0 {
		t.Errorf("checks leave %v", names(t, s.Home))
	}
	s.Stop()
	if _, _, err := h.Check(ctx, at, nil, "true", time.Second); err == nil {
		t.Error("a node that is gone passed")
	}
}

func TestDialThroughTheNode(t *testing.T) {
	t.Parallel()
	s, at := node(t, sshdtest.Options{})
	h := agent(t, s, host.Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "v1") })}
	served := make(chan struct{})
	go func() { defer close(served); _ = web.Serve(l) }()
	conn, err := h.Dial(t.Context(), at, l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
	if b, err := io.ReadAll(conn); err != nil || !bytes.HasSuffix(b, []byte("v1")) {
		t.Errorf("got %q, %v", b, err)
	}
	conn.Close()
	if conn, err = h.Dial(t.Context(), at, l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(20*time.Millisecond, s.Drop)
	if b, err := io.ReadAll(conn); err == nil {
		t.Errorf("the connection to the node was dropped: got %q, as if the service had ended it", b)
	}
	conn.Close()
	web.Close()
	<-served
	if _, err := h.Dial(t.Context(), at, l.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a closed port: %v", err)
	}
	closed, at2 := node(t, sshdtest.Options{Config: []string{"AllowTcpForwarding no"}})
	_, err = agent(t, closed, host.Options{}).Dial(t.Context(), at2, l.Addr().String())
	complaint(t, err, "AllowTcpForwarding")
	if errors.Is(err, syscall.ECONNREFUSED) {
		t.Error("forbidden is taken for refused")
	}
}

// sshd refuses beyond ten sessions of a connection (MaxSessions).
func TestSessionsOfAConnectionAreBounded(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	open, most := 0, 0
	full := make(chan struct{})
	enough := sync.OnceFunc(func() { close(full) })
	v := &villain{}
	v.exec = func(c ssh.Channel, done func(int)) {
		mu.Lock()
		open++
		if most = max(most, open); open == 8 {
			time.AfterFunc(20*time.Millisecond, enough) // time for a ninth
		}
		mu.Unlock()
		select {
		case <-full:
		case <-time.After(20 * time.Second):
			t.Error("fewer are used than could be")
		}
		_, _ = io.WriteString(c, noRecord)
		mu.Lock()
		open--
		mu.Unlock()
		done(0)
	}
	at := v.start(t)
	h := trusting(t, host.Options{})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := h.Read(t.Context(), at); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if most != 8 {
		t.Errorf("%d at once", most)
	}
}

// One connection carries all that goes on with a node at once, beyond what sshd would allow.
func TestManyCallsAtOnce(t *testing.T) {
	t.Parallel()
	s, at := node(t, sshdtest.Options{})
	h := agent(t, s, host.Options{})
	var wg sync.WaitGroup
	for range 25 {
		wg.Go(func() {
			if exit, _, err := h.Check(t.Context(), at, nil, "true", 20*time.Second); err != nil || exit != 0 {
				t.Errorf("exit %d, %v", exit, err)
			}
		})
	}
	wg.Wait()
	if n := strings.Count(s.Log(), "Accepted publickey"); n > 1 {
		t.Errorf("%d logins", n)
	}
}
