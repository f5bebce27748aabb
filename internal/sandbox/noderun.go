package sandbox

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/errgroup"
)

// A nodeConfig is what a node's process is told: one line of JSON on its standard input, which then stays open for as long as
// the node is to live.
type nodeConfig struct {
	Name       string
	Home       string
	Address    string
	SSHPort    int // 0: somebody else runs the SSH server
	WebPort    int
	HostKey    []byte // private, in OpenSSH's format
	Authorized string // in authorized_keys' format
	Startup    time.Duration
}

// nodeReady is the line by which a node tells that it can be logged into.
const nodeReady = "ready"

// nodeMark names a node's home in the environment of everything that runs on it, so that nothing outlives the node.
const nodeMark = "WINDLASS_SANDBOX_NODE"

// RunNode is a node: the whole life of a process that a Fleet starts as one, reading its configuration from in and reporting
// to out. It ends, with every command that was started on it, when in ends (so also when whoever started it was killed) or
// when ctx does. The error says why it could not be a node.
func RunNode(ctx context.Context, in io.Reader, out io.Writer) error {
	input := bufio.NewReader(in)
	line, err := input.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("cannot read the node's configuration: %w; this command is only for windlass demo to start", err)
	}
	var config nodeConfig
	if err := json.Unmarshal(line, &config); err != nil {
		return fmt.Errorf("cannot read the node's configuration: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, input) // never ends when in does not; then the process ends first
		cancel()
	}()
	if err := config.run(ctx, out); err != nil {
		return fmt.Errorf("cannot run node %s: %w", config.Name, err)
	}
	return nil
}

func (c nodeConfig) run(ctx context.Context, out io.Writer) error {
	restart := make(chan os.Signal, 1)
	signal.Notify(restart, syscall.SIGHUP)
	defer signal.Stop(restart)
	if err := c.furnish(); err != nil {
		return err
	}
	defer killMarked(nodeMark + "=" + c.Home)
	work, ctx := errgroup.WithContext(ctx)
	if c.SSHPort != 0 {
		server, listener, err := c.sshServer()
		if err != nil {
			return err
		}
		work.Go(func() error { return server.serve(ctx, listener) })
	}
	web := &service{node: c.Name, home: c.Home, address: c.at(c.WebPort), startup: c.Startup}
	work.Go(func() error {
		return web.run(ctx, restart, func() error {
			_, err := fmt.Fprintln(out, nodeReady)
			return err
		})
	})
	return work.Wait()
}

func (c nodeConfig) at(port int) string { return net.JoinHostPort(c.Address, strconv.Itoa(port)) }

// furnish makes what the fleet's steps expect to find in a home.
func (c nodeConfig) furnish() error {
	for _, dir := range []string{"bin", "run", "releases"} {
		if err := os.MkdirAll(filepath.Join(c.Home, dir), 0o755); err != nil {
			return err
		}
	}
	if err := standIns(filepath.Join(c.Home, "bin")); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(c.Home, serviceStarts), []byte("0\n"), 0o644),
		os.WriteFile(filepath.Join(c.Home, servicePID), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644),
	)
}

func (c nodeConfig) sshServer() (*sshServer, net.Listener, error) {
	hostKey, err := ssh.ParsePrivateKey(c.HostKey)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot use its host key: %w", err)
	}
	authorized, _, _, _, err := ssh.ParseAuthorizedKey([]byte(c.Authorized))
	if err != nil {
		return nil, nil, fmt.Errorf("cannot use the authorized key: %w", err)
	}
	listener, err := net.Listen("tcp", c.at(c.SSHPort))
	if err != nil {
		return nil, nil, err
	}
	return newSSHServer(c.Home, c.Address, hostKey, authorized, nodeEnvironment(c.Home)), listener, nil
}

// searchPath is where programs are, also when nothing says so.
func searchPath() string {
	return cmp.Or(os.Getenv("PATH"), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
}

// nodeEnvironment has the stand-ins before what they stand for. It is what commands on a node find in their environment. Whoever gives a node another SSH server sees to it
// that commands have the same there.
func nodeEnvironment(home string) []string {
	return []string{"PATH=" + filepath.Join(home, "bin") + ":" + searchPath(), "HOME=" + home, "SHELL=/bin/sh", nodeMark + "=" + home}
}
