package gitrepo

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// A keyPair is a private key in a file as OpenSSH writes it.
type keyPair struct {
	private any
	signer  ssh.Signer
	file    string
}

func (k keyPair) line() string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k.signer.PublicKey())))
}

func newKey(t *testing.T, kind string) keyPair {
	t.Helper()
	var private any
	var err error
	switch kind {
	case "rsa":
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ecdsa":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	}
	must(t, err)
	signer, err := ssh.NewSignerFromKey(private)
	must(t, err)
	block, err := ssh.MarshalPrivateKey(private, "")
	must(t, err)
	key := keyPair{private, signer, filepath.Join(t.TempDir(), kind)}
	must(t, os.WriteFile(key.file, pem.EncodeToMemory(block), 0o600))
	return key
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// certify makes a host certificate beside the key's file, for 127.0.0.1.
func (k keyPair) certify(t *testing.T, authority keyPair) string {
	t.Helper()
	certificate := &ssh.Certificate{
		Key: k.signer.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{"127.0.0.1"}, ValidBefore: ssh.CertTimeInfinity,
	}
	must(t, certificate.SignCert(rand.Reader, authority.signer))
	path := k.file + "-cert.pub"
	must(t, os.WriteFile(path, ssh.MarshalAuthorizedKey(certificate), 0o600))
	return path
}

// An sshServer is a real sshd that lets one key in.
type sshServer struct {
	address string
	key     keyPair
	known   string // file, empty at first
	url     string
}

// newSSHServer serves the repo with the given host keys. sshd runs once per connection, as inetd would start it: no port to
// guess and no daemon to leave behind.
func newSSHServer(t *testing.T, git *gitServer, config string, hostKeys ...keyPair) *sshServer {
	t.Helper()
	sshd := findSSHD(t)
	s := &sshServer{key: newKey(t, "ed25519"), known: filepath.Join(t.TempDir(), "known_hosts")}
	must(t, os.WriteFile(s.known, nil, 0o600))
	authorized := filepath.Join(t.TempDir(), "authorized_keys")
	must(t, os.WriteFile(authorized, []byte(s.key.line()+"\n"), 0o600))
	config += fmt.Sprintf("\nAuthorizedKeysFile %s\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nPidFile none\n", authorized)
	for _, key := range hostKeys {
		config += "HostKey " + key.file + "\n"
	}
	file := filepath.Join(t.TempDir(), "sshd_config")
	must(t, os.WriteFile(file, []byte(config), 0o600))
	s.address = serve(t, func(conn *net.TCPConn) {
		socket, err := conn.File()
		if err != nil {
			return
		}
		defer socket.Close()
		cmd := exec.CommandContext(t.Context(), sshd, "-i", "-e", "-f", file)
		cmd.Stdin, cmd.Stdout = socket, socket
		_ = cmd.Run() // how a session ended is for its client to say
	})
	me, err := user.Current()
	must(t, err)
	s.url = fmt.Sprintf("ssh://%s@%s%s", me.Username, s.address, git.bare)
	return s
}

func findSSHD(t *testing.T) string {
	t.Helper()
	sshd, err := exec.LookPath("sshd")
	if err != nil {
		sshd = "/usr/sbin/sshd"
	}
	if _, err := os.Stat(sshd); err != nil {
		t.Skip("left out: no sshd is installed (Debian package openssh-server)")
	}
	if _, err := os.Stat("/run/sshd"); err != nil && os.Getuid() == 0 {
		t.Skip("left out: sshd as root needs the directory /run/sshd")
	}
	return sshd
}

// serve accepts connections on loopback until the test ends, and waits for their handlers.
func serve(t *testing.T, handle func(*net.TCPConn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var handlers sync.WaitGroup
	handlers.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			handlers.Go(func() {
				defer conn.Close()
				handle(conn.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		handlers.Wait()
	})
	return listener.Addr().String()
}

// know adds known_hosts lines for the server.
func (s *sshServer) know(t *testing.T, marker string, keys ...keyPair) {
	t.Helper()
	host, port, err := net.SplitHostPort(s.address)
	must(t, err)
	var lines string
	for _, key := range keys {
		lines += fmt.Sprintf("%s[%s]:%s %s\n", marker, host, port, key.line())
	}
	file, err := os.OpenFile(s.known, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(t, err)
	defer file.Close()
	_, err = file.WriteString(lines)
	must(t, err)
}

func (s *sshServer) options(t *testing.T) Options {
	return Options{URL: s.url, Dir: filepath.Join(t.TempDir(), "git"), SSHKey: s.key.file, KnownHosts: s.known, Timeout: 20 * time.Second}
}

func TestSSHWithAKeyFile(t *testing.T) {
	t.Parallel()
	git := newGitServer(t)
	git.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	host := newKey(t, "ed25519")
	server := newSSHServer(t, git, "", host)
	server.know(t, "", host)
	repo := git.open(server.options(t))
	wantReleases(t, poll(t, repo), map[string]string{"web": "v1"})
	poll(t, repo)
	git.gap(150)
	git.commit(files{"fleets/web.yaml": fleet("web", "v2")})
	wantReleases(t, poll(t, repo), map[string]string{"web": "v2"})

	must(t, os.Rename(git.bare, git.bare+".away"))
	state, err := repo.Poll(t.Context())
	wantOutage(t, state, err, NotFound)
}

// A server that greets with no git, and then waits for what we say, still gets to say why.
func TestSSHServerThatRefusesAndWaits(t *testing.T) {
	t.Parallel()
	git := newGitServer(t)
	host := newKey(t, "ed25519")
	server := newSSHServer(t, git, "ForceCommand echo the repo is closed >&2; echo no git; cat", host)
	server.know(t, "", host)
	state, err := git.open(server.options(t)).Poll(t.Context())
	wantOutage(t, state, err, Other)
	wantProblem(t, state, "the server said: the repo is closed")
}

func TestSSHServerOfAnIPv6Address(t *testing.T) {
	t.Parallel()
	server := &sshServer{address: "[::1]:1", key: newKey(t, "ed25519"), known: filepath.Join(t.TempDir(), "known_hosts"), url: "ssh://git@[::1]:1/repo"}
	server.know(t, "", server.key)
	repo, err := Open(server.options(t))
	must(t, err)
	state, err := repo.Poll(t.Context())
	wantOutage(t, state, err, Network)
	wantProblem(t, state, "dial tcp [::1]:1: ") // whether this machine has IPv6 or not, nobody listens there
}

// What bounds the listing does not bound the transfer that follows in the same conversation.
func TestSSHTransferOutlivesTheTimeOfItsListing(t *testing.T) {
	t.Parallel()
	git := newGitServer(t)
	head := git.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	host := newKey(t, "ed25519")
	server := newSSHServer(t, git, "", host)
	server.know(t, "", host)
	options, err := server.options(t).withDefaults()
	must(t, err)
	remote, err := newRemote(options)
	must(t, err)
	short, over := context.WithCancel(t.Context())
	defer over()
	conversation, advertised, err := remote.list(short)
	must(t, err)
	defer conversation.Close()
	over()
	time.Sleep(50 * time.Millisecond) // for what would end it
	want := plumbing.NewHash(head)
	store, err := remote.receive(t.Context(), conversation, request(advertised.Capabilities, extent{depth: 1}, want), false)
	if err != nil || store.HasEncodedObject(want) != nil {
		t.Errorf("the pack did not come: %v", err)
	}
}

func TestSSHWithAnAgent(t *testing.T) {
	t.Parallel()
	git := newGitServer(t)
	git.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	host := newKey(t, "ed25519")
	server := newSSHServer(t, git, "", host)
	server.know(t, "", host)
	options := server.options(t)
	options.SSHKey, options.SSHAgent = "", serveAgent(t, server.key)
	wantReleases(t, poll(t, git.open(options)), map[string]string{"web": "v1"})

	options.SSHAgent += ".gone"
	state, err := git.open(options).Poll(t.Context())
	wantOutage(t, state, err, Auth)
}

func TestSilentSSHAgent(t *testing.T) {
	t.Parallel()
	git := newGitServer(t)
	git.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	host := newKey(t, "ed25519")
	server := newSSHServer(t, git, "", host)
	server.know(t, "", host)
	options := server.options(t)
	options.Timeout = patience
	listener, err := net.Listen("unix", filepath.Join(shortDir(t), "socket"))
	must(t, err)
	t.Cleanup(func() { listener.Close() })
	options.SSHKey, options.SSHAgent = "", listener.Addr().String()
	state, err := git.open(options).Poll(t.Context())
	wantOutage(t, state, err, Timeout)
}

// shortDir is a directory for sockets, whose paths are limited.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// serveAgent is an ssh agent with one key.
func serveAgent(t *testing.T, key keyPair) string {
	t.Helper()
	keys := agent.NewKeyring()
	must(t, keys.Add(agent.AddedKey{PrivateKey: key.private}))
	listener, err := net.Listen("unix", filepath.Join(shortDir(t), "socket"))
	must(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(keys, conn) }()
		}
	}()
	return listener.Addr().String()
}

func TestSSHRefusedKey(t *testing.T) {
	t.Parallel()
	git := newGitServer(t)
	git.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	host := newKey(t, "ed25519")
	server := newSSHServer(t, git, "", host)
	server.know(t, "", host)
	options := server.options(t)
	for _, key := range []string{newKey(t, "ed25519").file, "/nonexistent/key", server.known} {
		options.SSHKey = key
		state, err := git.open(options).Poll(t.Context())
		wantOutage(t, state, err, Auth)
	}
}

func TestG37SSHHostKeys(t *testing.T) {
	t.Parallel()
	ours, ecdsa, rsa, authority, stranger := newKey(t, "ed25519"), newKey(t, "ecdsa"), newKey(t, "rsa"), newKey(t, "rsa"), newKey(t, "ed25519")
	all := []keyPair{ours, ecdsa, rsa}
	certified := "HostCertificate " + ours.certify(t, authority)
	for name, test := range map[string]struct {
		config string
		marker string
		known  []keyPair
		plain  []keyPair // known beside those, without the marker
		says   string    // empty: trusted
	}{
		"one of several, ed25519":   {known: []keyPair{ours}},
		"one of several, ecdsa":     {known: []keyPair{ecdsa}},
		"one of several, rsa":       {known: []keyPair{rsa}},
		"all":                       {known: all},
		"certificate":               {config: certified, marker: "@cert-authority ", known: []keyPair{authority}},
		"certificate of a stranger": {config: certified, marker: "@cert-authority ", known: []keyPair{stranger}, says: "an authority that"},
		"no certificate any more":   {marker: "@cert-authority ", known: []keyPair{authority}, plain: []keyPair{ecdsa}},
		"revoked":                   {marker: "@revoked ", known: []keyPair{ours}, says: "revoked"},
		"unknown":                   {says: "ssh-keyscan"},
		"another":                   {known: []keyPair{stranger}, says: "another key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			git := newGitServer(t)
			git.commit(files{"fleets/web.yaml": fleet("web", "v1")})
			server := newSSHServer(t, git, test.config, all...)
			server.know(t, test.marker, test.known...)
			server.know(t, "", test.plain...)
			state, err := git.open(server.options(t)).Poll(t.Context())
			if test.says == "" {
				must(t, err)
				wantReleases(t, state, map[string]string{"web": "v1"})
				return
			}
			wantOutage(t, state, err, HostKey)
			wantProblem(t, state, test.says)
		})
	}
}

func TestG30SilentSSHServer(t *testing.T) {
	t.Parallel()
	for name, greeting := range map[string]string{"at once": "", "after its version": "SSH-2.0-silent\r\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ended := make(chan struct{})
			address := serve(t, func(conn *net.TCPConn) {
				fmt.Fprint(conn, greeting)
				<-ended
			})
			t.Cleanup(func() { close(ended) })
			server := &sshServer{address: address, key: newKey(t, "ed25519"), known: filepath.Join(t.TempDir(), "known_hosts"), url: "ssh://git@" + address + "/repo"}
			server.know(t, "", server.key)
			options := server.options(t)
			options.Timeout = patience
			repo, err := Open(options)
			must(t, err)
			started := time.Now()
			state, err := repo.Poll(t.Context())
			wantOutage(t, state, err, Timeout)
			if took := time.Since(started); took > 10*patience {
				t.Errorf("took %s with a timeout of %s", took, patience)
			}
		})
	}
}
