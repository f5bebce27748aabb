package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"windlass/internal/sandbox"
	"windlass/internal/sandbox/sshdtest"
)

// sshds are the real SSH servers of a fleet's nodes, by address.
type sshds struct {
	t *testing.T

	mu sync.Mutex
	up map[string]*os.Process
}

// start is what the sandbox calls whenever a node boots.
func (s *sshds) start(at sandbox.Site) (stop func() error, err error) {
	dir := filepath.Join(at.Home, "sshd")
	if err := furnish(dir, at); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(sshdtest.Path(), "-D", "-e", "-f", filepath.Join(dir, "config"))
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	s.set(at.Address, cmd.Process)
	stop = func() error {
		s.set(at.Address, nil)
		_ = cmd.Process.Signal(syscall.SIGSTOP) // it accepts no connection that Drop would miss
		sshdtest.Drop(cmd.Process.Pid)
		err := cmd.Process.Kill()
		<-ended
		return err
	}
	if err := s.await(at, ended); err != nil {
		return nil, errors.Join(err, stop())
	}
	return stop, nil
}

func furnish(dir string, at sandbox.Site) error {
	config := fmt.Sprintf("ListenAddress %s:%d\nHostKey %s/key\nAuthorizedKeysFile %[3]s/authorized\nPidFile none\n", at.Address, at.Port, dir)
	config += "StrictModes no\nUsePAM no\nUseDNS no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\nSetEnv"
	for _, variable := range at.Env {
		config += fmt.Sprintf(" %q", variable)
	}
	if os.Getuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil { // where sshd separates its privileges
			return err
		}
	}
	return errors.Join(
		os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "key"), at.HostKey, 0o600),
		os.WriteFile(filepath.Join(dir, "authorized"), []byte(at.Authorized), 0o600),
		os.WriteFile(filepath.Join(dir, "config"), []byte(config+"\n"), 0o600),
	)
}

// await returns when sshd accepts connections; it tells nobody that it does.
func (s *sshds) await(at sandbox.Site, ended <-chan struct{}) error {
	for {
		conn, err := net.Dial("tcp", net.JoinHostPort(at.Address, strconv.Itoa(at.Port)))
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ended:
			log, _ := os.ReadFile(filepath.Join(at.Home, "sshd", "log"))
			return fmt.Errorf("sshd ended: %s", log)
		case <-s.t.Context().Done():
			return err
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (s *sshds) set(address string, process *os.Process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.up[address] = process
}

// of is the sshd of a node that is up.
func (s *sshds) of(n *sandbox.Node) *os.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.up[n.Address] == nil {
		s.t.Fatalf("%s has no sshd", n.Name)
	}
	return s.up[n.Address]
}

// freeze stops a node's sshd without ending it and drops its connections: it accepts new ones and says nothing, until thaw.
func (s *sshds) freeze(n *sandbox.Node) (thaw func()) {
	s.t.Helper()
	process := s.of(n)
	check(s.t, process.Signal(syscall.SIGSTOP))
	sshdtest.Drop(process.Pid)
	return func() {
		s.t.Helper()
		check(s.t, process.Signal(syscall.SIGCONT))
	}
}
