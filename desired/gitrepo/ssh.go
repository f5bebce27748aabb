package gitrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// useSSH makes the remote speak ssh. go-git's own ssh transport is not used: it dials without a context and, while a server is
// silent in the handshake, heeds no deadline (G30).
func (r *remote) useSSH(endpoint transport.Endpoint, o Options) error {
	switch {
	case endpoint.Password != "":
		return errors.New("the deploy repo's ssh URL holds a password, which is not used: remove it and give --git-ssh-key")
	case o.KnownHosts == "":
		return errors.New("host keys are always checked: name a known_hosts file with --git-known-hosts")
	case o.SSHKey == "" && o.SSHAgent == "":
		return errors.New("no key for the deploy repo: give --git-ssh-key, or start an ssh agent (SSH_AUTH_SOCK)")
	}
	dialer := &sshDialer{
		host:       strings.Trim(endpoint.Host, "[]"),
		port:       strconv.Itoa(orDefault(endpoint.Port, 22)),
		user:       orDefault(endpoint.User, defaultUser),
		command:    transport.UploadPackServiceName + " " + quote(endpoint.Path),
		key:        o.SSHKey,
		agent:      o.SSHAgent,
		knownHosts: o.KnownHosts,
	}
	r.open = func(ctx context.Context) (session, error) { return dialer.dial(ctx, r) }
	pushing := *dialer
	pushing.command = transport.ReceivePackServiceName + " " + quote(endpoint.Path)
	r.openPush = func(ctx context.Context) (pushSession, error) { return pushing.dial(ctx, r) }
	return nil
}

// quote is a single word for the shell that many git servers hand the command to.
func quote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

type sshDialer struct {
	host, port, user, command string
	key, agent, knownHosts    string
}

// dial reads key and known hosts anew, so that a rotated key needs no restart.
func (d *sshDialer) dial(ctx context.Context, r *remote) (*sshSession, error) {
	address := net.JoinHostPort(d.host, d.port)
	config := &ssh.ClientConfig{User: d.user}
	if err := d.trust(config, address); err != nil {
		return nil, err
	}
	release, err := d.identify(ctx, config)
	if err != nil {
		return nil, err
	}
	defer release()
	conn, err := dial(ctx, &net.Dialer{}, "tcp", address, r.timeout)
	if err != nil {
		return nil, err
	}
	cut := context.AfterFunc(ctx, func() { conn.Close() })
	defer cut()
	secured, channels, requests, err := ssh.NewClientConn(conn, address, config)
	if err != nil {
		conn.Close()
		return nil, d.hint(err)
	}
	return d.start(ssh.NewClient(secured, channels, requests))
}

// trust takes host keys from known_hosts only, and asks the server for a kind of key that is known there: it may have others,
// which would look like a stranger's (G37). Certificates count by their @cert-authority, whatever kind of key they certify.
func (d *sshDialer) trust(config *ssh.ClientConfig, address string) error {
	known, err := knownhosts.NewDB(d.knownHosts)
	if err != nil {
		return fail(HostKey, "cannot use the known hosts in %s: %w", d.knownHosts, err)
	}
	config.HostKeyCallback = known.HostKeyCallback()
	certified := slices.ContainsFunc(known.HostKeys(address), func(key knownhosts.PublicKey) bool { return key.Cert })
	if certified {
		config.HostKeyAlgorithms = append(certificates(), plainKeys(known, address)...)
		return nil
	}
	config.HostKeyAlgorithms = known.HostKeyAlgorithms(address)
	return nil
}

func certificates() []string {
	return []string{
		ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01,
		ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01,
	}
}

// plainKeys are the kinds of key the host is known by besides its certificate.
func plainKeys(known *knownhosts.HostKeyDB, address string) []string {
	return slices.DeleteFunc(known.HostKeyAlgorithms(address), func(kind string) bool { return strings.Contains(kind, "-cert-") })
}

// identify offers the key file, or else the agent's keys; the agent is needed until release.
func (d *sshDialer) identify(ctx context.Context, config *ssh.ClientConfig) (release func(), err error) {
	if d.key == "" {
		return d.askAgent(ctx, config)
	}
	pem, err := os.ReadFile(d.key)
	if err != nil {
		return nil, fail(Auth, "cannot read the deploy key: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(pem)
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		return nil, fail(Auth, "the deploy key %s has a passphrase: load it into an ssh agent and leave --git-ssh-key out", d.key)
	}
	if err != nil {
		return nil, fail(Auth, "cannot use the deploy key %s: %w", d.key, err)
	}
	config.Auth = []ssh.AuthMethod{ssh.PublicKeys(signer)}
	return func() {}, nil
}

func (d *sshDialer) askAgent(ctx context.Context, config *ssh.ClientConfig) (release func(), err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", d.agent)
	if err != nil {
		return nil, fail(Auth, "cannot reach the ssh agent: %w", err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // an agent may wait for a person
	}
	config.Auth = []ssh.AuthMethod{ssh.PublicKeysCallback(agent.NewClient(conn).Signers)}
	return func() { conn.Close() }, nil
}

// hint says what to do about the handshake errors that people meet.
func (d *sshDialer) hint(err error) error {
	switch {
	case knownhosts.IsHostUnknown(err):
		return fail(HostKey, "host %s port %s is not in %s: add its key after checking it, for example from ssh-keyscan -p %s %s",
			d.host, d.port, d.knownHosts, d.port, d.host)
	case knownhosts.IsHostKeyChanged(err):
		return fail(HostKey, "host %s port %s shows another key than %s has for it: it was set up anew, or somebody is in between",
			d.host, d.port, d.knownHosts)
	case strings.Contains(err.Error(), "unable to authenticate"):
		return fail(Auth, "host %s port %s lets none of our keys in as %s: add the public key there as a deploy key: %w", d.host, d.port, d.user, err)
	case strings.Contains(err.Error(), "no authorities for hostname"):
		return fail(HostKey, "host %s port %s shows a certificate of an authority that %s does not name for it", d.host, d.port, d.knownHosts)
	case strings.Contains(err.Error(), "no common algorithm for host key"):
		return fail(HostKey, "host %s port %s has no key of a kind that %s knows it by: %w", d.host, d.port, d.knownHosts, err)
	}
	return err
}

func (d *sshDialer) start(client *ssh.Client) (*sshSession, error) {
	s := &sshSession{client: client}
	if err := s.start(d.command); err != nil {
		client.Close()
		return nil, err
	}
	return s, nil
}

// An sshSession is git-upload-pack or git-receive-pack running at the other end.
type sshSession struct {
	client *ssh.Client
	run    *ssh.Session
	in     io.WriteCloser
	out    io.Reader
	said   opening // what the server wrote to standard error
}

func (s *sshSession) start(command string) (err error) {
	if s.run, err = s.client.NewSession(); err != nil {
		return err
	}
	s.run.Stderr = &s.said
	if s.in, err = s.run.StdinPipe(); err != nil {
		return err
	}
	if s.out, err = s.run.StdoutPipe(); err != nil {
		return err
	}
	return s.run.Start(command)
}

// Close ends the connection. That it ended before is no error worth a word.
func (s *sshSession) Close() error {
	s.client.Close()
	return nil
}

// AdvertisedReferencesContext reads the server's greeting.
func (s *sshSession) AdvertisedReferencesContext(ctx context.Context) (*packp.AdvRefs, error) {
	defer context.AfterFunc(ctx, func() { s.client.Close() })()
	greeting := packp.NewAdvRefs()
	err := greeting.Decode(s.out)
	switch {
	case errors.Is(err, packp.ErrEmptyAdvRefs), err == nil && greeting.IsEmpty():
		return nil, transport.ErrEmptyRemoteRepository
	case err != nil:
		return nil, s.refusal(err)
	}
	transport.FilterUnsupportedCapabilities(greeting.Capabilities)
	return greeting, nil
}

// refusal prefers the server's own words to "the greeting ended early".
func (s *sshSession) refusal(err error) error {
	s.in.Close()
	_, _ = io.Copy(io.Discard, s.out)
	_ = s.run.Wait()
	if words := s.said.String(); words != "" {
		return fmt.Errorf("the server said: %s", words)
	}
	return err
}

// UploadPack asks for a pack; the answer's reader ends with ctx.
func (s *sshSession) UploadPack(ctx context.Context, req *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	stop := context.AfterFunc(ctx, func() { s.client.Close() })
	var asked bytes.Buffer
	if err := errors.Join(req.Validate(), req.UploadRequest.Encode(&asked), pktline.NewEncoder(&asked).Encodef("done\n")); err != nil {
		return nil, err
	}
	if _, err := asked.WriteTo(s.in); err != nil {
		return nil, err
	}
	answer := packp.NewUploadPackResponse(req)
	if err := answer.Decode(watchedPack{s.out, stop}); err != nil {
		return nil, fmt.Errorf("the server sent no pack: %w", s.refusal(err))
	}
	return answer, nil
}

// ReceivePack sends commits, and hears what became of them.
func (s *sshSession) ReceivePack(ctx context.Context, req *packp.ReferenceUpdateRequest) (*packp.ReportStatus, error) {
	defer context.AfterFunc(ctx, func() { s.client.Close() })()
	if err := req.Encode(s.in); err != nil {
		return nil, err
	}
	answer := s.out
	if req.Capabilities.Supports(capability.Sideband64k) {
		d := sideband.NewDemuxer(sideband.Sideband64k, s.out)
		d.Progress, answer = req.Progress, d
	}
	report := packp.NewReportStatus()
	if err := report.Decode(answer); err != nil {
		return nil, fmt.Errorf("the server did not say whether it took the commit: %w", s.refusal(err))
	}
	return report, report.Error()
}

// A watchedPack stops watching its context when it is closed.
type watchedPack struct {
	io.Reader
	stop func() bool
}

func (p watchedPack) Close() error {
	p.stop()
	return nil
}

// An opening keeps the beginning of what is written to it, safely for a writer in another goroutine.
type opening struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (t *opening) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text.Write(p[:min(len(p), longestText-t.text.Len())])
	return len(p), nil
}

func (t *opening) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(t.text.String())
}
