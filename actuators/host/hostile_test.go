package host_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
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
	address  *net.TCPAddr
	listener net.Listener
	silent   bool                                             // accepts and says nothing
	deaf     bool                                             // answers no request of the connection
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
		v.wg.Go(func() { v.session(c) })
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
		_ = r.Reply(r.Type == "exec", nil)
		if r.Type != "exec" {
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
