package host_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"windlass/actuators"
	"windlass/actuators/host"
	"windlass/desired"
)

// A villain is an SSH server that lets anybody in and then behaves as the test says.
type villain struct {
	*testing.T
	key      ssh.Signer
	other    ssh.Signer // another host key, of another kind
	address  *net.TCPAddr
	listener net.Listener
	silent   bool                                             // accepts and says nothing
	deaf     bool                                             // answers no request of the connection
	hangsUp  bool                                             // ends the connection when a session is opened
	noExec   bool                                             // refuses every command
	accepted chan struct{}                                    // is told of each connection, when there is one
	ended    chan struct{}                                    // is told of the end of each that let somebody in, when there is one
	exec     func(channel ssh.Channel, done func(status int)) // how a command goes; nil: status 0 and nothing said

	mu             sync.Mutex
	conns          []net.Conn
	open, mostOpen int
	logins         int
	wg             sync.WaitGroup
}

func (v *villain) start(t *testing.T) actuators.Place {
	t.Helper()
	v.T = t
	if v.key == nil {
		v.key = newSigner(t)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v.listener, v.address = l, l.Addr().(*net.TCPAddr)
	v.wg.Go(v.accept)
	t.Cleanup(v.stop)
	return actuators.Place{
		Fleet: fleet,
		SSH:   desired.SSH{User: "deploy", Port: v.address.Port, ConnectTimeout: 10 * time.Second, StateDir: ".windlass"},
		Node:  actuators.Node{Name: "web-1", Address: "127.0.0.1", HostKey: authorized(v.key.PublicKey())},
	}
}

func (v *villain) stop() {
	v.listener.Close()
	v.mu.Lock()
	for _, c := range v.conns {
		c.Close()
	}
	v.mu.Unlock()
	v.wg.Wait()
}

func (v *villain) accept() {
	for {
		conn, err := v.listener.Accept()
		if err != nil {
			return
		}
		v.mu.Lock()
		v.conns = append(v.conns, conn)
		v.open++
		v.mostOpen = max(v.mostOpen, v.open)
		v.mu.Unlock()
		if v.accepted != nil {
			v.accepted <- struct{}{}
		}
		if !v.silent {
			v.wg.Go(func() { v.serve(conn) })
		}
	}
}

func (v *villain) serve(conn net.Conn) {
	defer conn.Close()
	config := &ssh.ServerConfig{NoClientAuth: true, NoClientAuthCallback: func(ssh.ConnMetadata) (*ssh.Permissions, error) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.open-- // before the client can know
		v.logins++
		return nil, nil
	}}
	config.AddHostKey(v.key)
	if v.other != nil {
		config.AddHostKey(v.other)
	}
	server, channels, requests, err := ssh.NewServerConn(conn, config)
	if err != nil {
		return
	}
	v.wg.Go(func() {
		for r := range requests {
			if !v.deaf && r.WantReply {
				_ = r.Reply(false, nil)
			}
		}
	})
	for c := range channels {
		if v.hangsUp {
			break
		}
		v.wg.Go(func() { v.session(c) })
	}
	if v.hangsUp {
		server.Close()
	}
	_ = server.Wait()
	if v.ended != nil {
		v.ended <- struct{}{}
	}
}

func (v *villain) session(c ssh.NewChannel) {
	channel, requests, err := c.Accept()
	if err != nil {
		return
	}
	for r := range requests {
		_ = r.Reply(r.Type == "exec" && !v.noExec, nil)
		if r.Type != "exec" || v.noExec {
			continue
		}
		done := func(status int) {
			_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
			channel.Close()
		}
		if v.exec == nil {
			done(0)
			continue
		}
		v.wg.Go(func() { v.exec(channel, done) })
	}
}

// trusting is a Host with a key of its own.
func trusting(t *testing.T, o host.Options) *host.Host {
	t.Helper()
	if o.KeyFile == "" {
		o.KeyFile = keyFile(t)
	}
	h, err := host.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.CloseAll)
	return h
}

func keyFile(t *testing.T) string {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func newSigner(t *testing.T) ssh.Signer {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func authorized(k ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k)))
}

// What a node answers to a job is not believed to be its end when it is not.
func TestHostileAnswersToAJob(t *testing.T) {
	t.Parallel()
	const end = "\nwindlass 1\njob one exited 0\nend\n"
	say := func(text string, then func(ssh.Channel, func(int))) func(ssh.Channel, func(int)) {
		return func(c ssh.Channel, done func(int)) { _, _ = io.WriteString(c, text); then(c, done) }
	}
	well := func(_ ssh.Channel, done func(int)) { done(0) }
	const maybe = -1 // without a status there may be no time for it
	type status struct{ Status uint32 }
	for name, c := range map[string]struct {
		exec  func(ssh.Channel, func(int))
		wrote int // how often the record was told to be written
		want  string
	}{
		"ends":                {say(report+end, well), 1, ""},
		"ends, after others":  {say("hello\n"+report+"last words"+end, well), 1, ""},
		"another job's end":   {say(report+strings.Replace(end, "one", "two", 1), well), 1, "interrupted"},
		"no end":              {say(report+strings.Replace(end, "exited", "running", 1), well), 1, "interrupted"},
		"torn end":            {say(report+end[:20], well), 1, "not whole"},
		"only its end":        {say(end, well), 0, "no usable machine id"},
		"nothing":             {well, 0, "not whole"},
		"two records":         {say(report+report+end, well), 1, "interrupted"},
		"no status":           {say(report+end, func(c ssh.Channel, _ func(int)) { c.Close() }), maybe, "lost while the command ran"},
		"status that is none": {say(report+end, func(c ssh.Channel, _ func(int)) { _, _ = c.SendRequest("exit-status", false, nil) }), maybe, "lost while the command ran"},
		"signal":              {say(report+end, func(c ssh.Channel, _ func(int)) { _, _ = c.SendRequest("exit-signal", false, nil) }), maybe, "killed by a signal"},
		"busy": {say(report+end, func(c ssh.Channel, done func(int)) {
			_, _ = io.WriteString(c.Stderr(), "windlass: the job before does not end\n")
			done(84)
		}), 1, "the job before does not end"},
		"waits for a reply": {say(report+end, func(c ssh.Channel, _ func(int)) {
			_, _ = c.SendRequest("keepalive@openssh.com", true, nil)
			_, _ = c.SendRequest("exit-status", false, ssh.Marshal(status{0}))
		}), 1, ""},
		"waits for the files": {func(c ssh.Channel, done func(int)) {
			if b, err := io.ReadAll(c); err == nil && string(b) == "content\nend\n" {
				_, _ = io.WriteString(c, report+end)
			}
			done(0)
		}, 1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := (&villain{exec: c.exec}).start(t)
			var mu sync.Mutex
			wrote := 0
			written := func(actuators.HostState) { mu.Lock(); defer mu.Unlock(); wrote++ }
			j := job("one", step("a", "true"))
			j.Files = []actuators.JobFile{{To: "/etc/a", Content: []byte("content\n")}}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			got, err := trusting(t, host.Options{}).Run(ctx, at, "", claimed("nonce-1", time.Now(), time.Minute), j, written)
			if c.want != "" {
				complaint(t, err, "run job one on", c.want)
			} else if err != nil || got != (actuators.JobState{Key: "one", Exited: true}) {
				t.Errorf("got %+v, %v", got, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if wrote > 1 || wrote != c.wrote && c.wrote != maybe {
				t.Errorf("the record is told to be written %d times", wrote)
			}
		})
	}
}

func TestNodeThatRefusesCommands(t *testing.T) {
	t.Parallel()
	at := (&villain{noExec: true}).start(t)
	_, err := trusting(t, host.Options{}).Read(t.Context(), at)
	complaint(t, err, "sshd refuses to run commands for this user")
}

// What is refused is refused before the node hears of it.
func TestRefusedCallsAreNotSent(t *testing.T) {
	t.Parallel()
	v := &villain{}
	at := v.start(t)
	looker, h := trusting(t, host.Options{ReadOnly: true}), trusting(t, host.Options{})
	record, j := claimed("nonce-1", time.Now(), time.Minute), job("one", step("a", "true"))
	_, err := looker.Write(t.Context(), at, "", record)
	complaint(t, err, "cannot write", "this agent only looks")
	_, err = looker.Run(t.Context(), at, "", record, j, nil)
	complaint(t, err, "cannot run job one on", "this agent only looks")
	free := record
	free.Claim = nil
	_, err = h.Run(t.Context(), at, "", free, j, nil)
	complaint(t, err, "its record carries no claim")
	strange := record
	strange.Fleet = "no fleet"
	_, err = h.Write(t.Context(), at, "", strange)
	complaint(t, err, "cannot write")
	_, err = h.Run(t.Context(), at, "", strange, j, nil)
	complaint(t, err, "cannot run job one on")
	_, err = h.Run(t.Context(), at, "", record, job("one", step("a\nb", "true")), nil)
	complaint(t, err, "needs a name of one line")
	_, err = h.Run(t.Context(), at, "", record, job("one", step("a", strings.Repeat("x", 120<<10))), nil)
	complaint(t, err, "at most 122880 can be sent; put long scripts into a file")
	if v.logins != 0 {
		t.Errorf("%d connections were made", v.logins)
	}
}
