package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

// An sshServer is the SSH server of one node. Whoever has the authorized key may log in under any name. Commands run as sshd
// runs them: with /bin/sh, in the home, in a session of their own, and on after their connection was lost.
type sshServer struct {
	config *ssh.ServerConfig
	home   string
	env    []string // of commands
	self   string   // the address that "the node's loopback" stands for, as all nodes share the real one
}

// handshakeTime is how long a client may take to log in.
const handshakeTime = 10 * time.Second

func newSSHServer(home, self string, hostKey ssh.Signer, authorized ssh.PublicKey, env []string) *sshServer {
	config := &ssh.ServerConfig{
		PublicKeyCallback: func(_ ssh.ConnMetadata, offered ssh.PublicKey) (*ssh.Permissions, error) {
			if !bytes.Equal(offered.Marshal(), authorized.Marshal()) {
				return nil, errors.New("the key is not authorized")
			}
			return nil, nil
		},
	}
	config.AddHostKey(hostKey)
	return &sshServer{config: config, home: home, env: env, self: self}
}

// serve answers connections until ctx ends, which also ends the commands that are running, and returns when all is over.
func (s *sshServer) serve(ctx context.Context, listener net.Listener) error {
	var connections sync.WaitGroup
	defer connections.Wait()
	defer closeWith(ctx, listener)()
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot accept SSH connections: %w", err)
		}
		connections.Go(func() { s.connection(ctx, conn) })
	}
}

// closeWith closes c when ctx ends, or when the function it returns is called.
func closeWith(ctx context.Context, c interface{ Close() error }) func() {
	stop := context.AfterFunc(ctx, func() { c.Close() })
	return func() {
		stop()
		c.Close()
	}
}

func (s *sshServer) connection(ctx context.Context, conn net.Conn) {
	defer closeWith(ctx, conn)()
	if conn.SetDeadline(time.Now().Add(handshakeTime)) != nil {
		return
	}
	_, channels, requests, err := ssh.NewServerConn(conn, s.config)
	if err != nil || conn.SetDeadline(time.Time{}) != nil {
		return
	}
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { ssh.DiscardRequests(requests) })
	for opened := range channels {
		work.Go(func() { s.channel(ctx, opened) })
	}
}

func (s *sshServer) channel(ctx context.Context, opened ssh.NewChannel) {
	switch opened.ChannelType() {
	case "session":
		if channel, requests, err := opened.Accept(); err == nil {
			s.session(ctx, channel, requests)
		}
	case "direct-tcpip":
		s.forward(ctx, opened)
	default:
		_ = opened.Reject(ssh.UnknownChannelType, "only sessions and direct-tcpip are served")
	}
}

// session runs the one command of a session and passes signals on to it (RFC 4254, section 6).
func (s *sshServer) session(ctx context.Context, channel ssh.Channel, requests <-chan *ssh.Request) {
	var p *process
	var running sync.WaitGroup
	defer running.Wait()
	defer channel.Close()
	for r := range requests {
		begun, ok := p, false
		switch {
		case p == nil && (r.Type == "exec" || r.Type == "shell"):
			p, ok = s.start(r)
		case p != nil && r.Type == "signal":
			ok = p.signal(r.Payload)
		}
		if r.WantReply {
			_ = r.Reply(ok, nil)
		}
		if begun == nil && p != nil {
			running.Go(func() { p.serve(ctx, channel) })
		}
	}
	if p != nil {
		p.hangUp()
	}
}

// forward connects the channel to a port of the node itself.
func (s *sshServer) forward(ctx context.Context, opened ssh.NewChannel) {
	var to struct {
		Host       string
		Port       uint32
		OriginHost string
		OriginPort uint32
	}
	if err := ssh.Unmarshal(opened.ExtraData(), &to); err != nil {
		_ = opened.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	switch to.Host {
	case "localhost", "127.0.0.1", "::1", s.self:
	default:
		_ = opened.Reject(ssh.Prohibited, "only the node's own ports are forwarded to")
		return
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(s.self, fmt.Sprint(to.Port)))
	if err != nil {
		_ = opened.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	defer closeWith(ctx, conn)()
	channel, requests, err := opened.Accept()
	if err != nil {
		return
	}
	join(conn.(*net.TCPConn), channel, requests)
}
