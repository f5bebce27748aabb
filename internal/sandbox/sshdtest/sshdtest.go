// Package sshdtest starts a real OpenSSH server for a test: on a free loopback port, with keys, configuration and home directory of its
// own, logged into as the user who runs the test. Only tests import it.
package sshdtest

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// Options say what differs from a plain server.
type Options struct {
	Env    map[string]string // of every session, such as PATH; HOME is Server.Home unless set here
	Config []string          // more lines of sshd_config
}

// A Server is a running sshd.
type Server struct {
	Address    string // 127.0.0.1
	Port       int
	User       string
	Home       string // the login directory; empty at first
	KeyFile    string // private key that is let in
	HostKey    string // in authorized-keys form
	KnownHosts string // file that knows HostKey for this address and port

	tb   testing.TB
	dir  string
	cmd  *exec.Cmd
	log  *buffer
	stop func()
}

// Path returns where sshd is, or "" when it is not installed.
func Path() string {
	for _, p := range []string{"sshd", "/usr/sbin/sshd", "/usr/local/sbin/sshd"} {
		if found, err := exec.LookPath(p); err == nil && filepath.IsAbs(found) {
			return found
		}
	}
	return ""
}

// Start returns when the server accepts connections. It is stopped when the test ends. Without an installed sshd the test is skipped.
func Start(tb testing.TB, o Options) *Server {
	tb.Helper()
	if Path() == "" {
		tb.Skip("left out: sshd is not installed (package openssh-server)")
	}
	me, err := user.Current()
	must(tb, err)
	s := &Server{Address: "127.0.0.1", User: me.Username, tb: tb, dir: tb.TempDir(), log: &buffer{}}
	tb.Cleanup(func() { // the last words of a job may come when the test has ended; TempDir tells of what stays
		for tries := 0; tries < 100 && os.RemoveAll(s.dir) != nil; tries++ {
			time.Sleep(20 * time.Millisecond)
		}
	})
	s.Home = s.file("home")
	must(tb, os.Mkdir(s.Home, 0o700))
	if os.Getuid() == 0 {
		must(tb, os.MkdirAll("/run/sshd", 0o755)) // where sshd separates its privileges
	}
	s.KeyFile = s.file("user_key")
	must(tb, os.WriteFile(s.file("authorized_keys"), ssh.MarshalAuthorizedKey(newKey(tb, s.KeyFile)), 0o600))
	host := newKey(tb, s.file("host_key"))
	s.HostKey = strings.TrimSpace(string(ssh.MarshalAuthorizedKey(host)))
	for range 5 {
		if s.try(o) {
			s.KnownHosts = s.file("known_hosts")
			must(tb, os.WriteFile(s.KnownHosts, fmt.Appendf(nil, "[%s]:%d %s\n", s.Address, s.Port, s.HostKey), 0o600))
			tb.Cleanup(s.Stop)
			return s
		}
	}
	tb.Fatalf("cannot start sshd: %s", s.log)
	return nil
}

// try starts sshd on a port that was free a moment ago.
func (s *Server) try(o Options) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(s.Address, "0"))
	must(s.tb, err)
	s.Port = l.Addr().(*net.TCPAddr).Port
	must(s.tb, l.Close())
	must(s.tb, os.WriteFile(s.file("sshd_config"), s.config(o), 0o600))
	s.cmd = exec.Command(Path(), "-D", "-e", "-f", s.file("sshd_config"))
	s.cmd.Stderr = s.log
	must(s.tb, s.cmd.Start())
	ended := make(chan struct{})
	go func() { _ = s.cmd.Wait(); close(ended) }()
	s.stop = sync.OnceFunc(func() {
		_ = s.cmd.Process.Signal(syscall.SIGSTOP) // it accepts no connection that Drop would miss
		s.Drop()
		_ = s.cmd.Process.Kill()
		<-ended
	})
	for {
		conn, err := net.Dial("tcp", s.Place())
		if err == nil {
			conn.Close()
			return true
		}
		select {
		case <-ended:
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (s *Server) config(o Options) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "ListenAddress %s:%d\nHostKey %s\nAuthorizedKeysFile %s\nPidFile none\n", s.Address, s.Port, s.file("host_key"), s.file("authorized_keys"))
	b.WriteString("StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nUseDNS no\n")
	for _, line := range o.Config {
		fmt.Fprintln(&b, line)
	}
	env := []string{"HOME=" + cmp.Or(o.Env["HOME"], s.Home)}
	for name, value := range o.Env {
		if name != "HOME" {
			env = append(env, name+"="+value)
		}
	}
	slices.Sort(env)
	b.WriteString("SetEnv")
	for _, e := range env {
		fmt.Fprintf(&b, " %q", e)
	}
	b.WriteString("\n")
	return b.Bytes()
}

// Place is the server's host:port.
func (s *Server) Place() string { return net.JoinHostPort(s.Address, strconv.Itoa(s.Port)) }

// Log is what sshd has said so far.
func (s *Server) Log() string { return s.log.String() }

// Drop kills what serves connections now, as a network that breaks would look to the client; sshd goes on listening, and detached
// jobs go on running.
func (s *Server) Drop() { Drop(s.cmd.Process.Pid) }

// Drop is [Server.Drop] for an sshd that somebody else started as process pid.
func Drop(pid int) {
	for _, pid := range descendants(pid) {
		if name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil && strings.HasPrefix(string(name), "sshd") {
			if p, err := os.FindProcess(pid); err == nil {
				_ = p.Kill()
			}
		}
	}
}

// Stop ends the server and its connections. It may be called more than once.
func (s *Server) Stop() { s.stop() }

func (s *Server) file(name string) string { return filepath.Join(s.dir, name) }

// descendants are the children of a process, and theirs.
func descendants(pid int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	children := map[int][]int{}
	for _, stat := range stats {
		b, err := os.ReadFile(stat)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
		child, err1 := strconv.Atoi(filepath.Base(filepath.Dir(stat)))
		parent, err2 := strconv.Atoi(fields[1])
		if err1 == nil && err2 == nil {
			children[parent] = append(children[parent], child)
		}
	}
	found := slices.Clone(children[pid])
	for i := 0; i < len(found); i++ {
		found = append(found, children[found[i]]...)
	}
	return found
}

// newKey writes a new private key to file and returns its public half.
func newKey(tb testing.TB, file string) ssh.PublicKey {
	public, private, err := ed25519.GenerateKey(nil)
	must(tb, err)
	block, err := ssh.MarshalPrivateKey(private, "")
	must(tb, err)
	must(tb, os.WriteFile(file, pem.EncodeToMemory(block), 0o600))
	key, err := ssh.NewPublicKey(public)
	must(tb, err)
	return key
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// A buffer may be written and read at once.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
