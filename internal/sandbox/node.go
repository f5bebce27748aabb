package sandbox

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"windlass/internal/sandbox/aws"
)

// A Node is one machine of a fleet: a process of its own, with a home directory and a loopback address of its own.
type Node struct {
	Name     string
	Instance string // id
	Address  string
	Zone     string
	Home     string

	command Command
	ssh     func(Site) (stop func() error, err error) // nil: the node's own
	site    Site                                      // of its SSH server
	web     int                                       // port
	startup time.Duration                             // of the web service

	child   *child // nil: it is down
	input   io.Closer
	stopSSH func() error // nil: nothing to stop
	log     *tail
}

// readyTime is how long a node may take to start.
const readyTime = 10 * time.Second

// Start boots the node and returns when it can be logged into. Its disk is as it was left.
func (n *Node) Start(ctx context.Context) error {
	if n.child != nil {
		return fmt.Errorf("cannot start node %s: it is up", n.Name)
	}
	cmd := n.command.exec()
	cmd.Stderr = n.log
	input, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("cannot start node %s: %w", n.Name, err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("cannot start node %s: %w", n.Name, err)
	}
	if n.child, err = start(cmd); err != nil {
		return err
	}
	n.input = input
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	if err := n.handshake(ctx, input, output); err != nil {
		return errors.Join(fmt.Errorf("cannot start node %s: %w: %s", n.Name, err, strings.Join(n.log.last(5), "; ")), n.Kill())
	}
	if n.ssh == nil {
		return nil
	}
	if n.stopSSH, err = n.ssh(n.site); err != nil {
		return errors.Join(fmt.Errorf("cannot start the SSH server of node %s: %w", n.Name, err), n.Kill())
	}
	return nil
}

// config is what the node's process is told.
func (n *Node) config() nodeConfig {
	c := nodeConfig{
		Name: n.Name, Home: n.Home, Address: n.Address, WebPort: n.web, Startup: n.startup,
		HostKey: n.site.HostKey, Authorized: n.site.Authorized,
	}
	if n.ssh == nil {
		c.SSHPort = n.site.Port
	}
	return c
}

// handshake tells the process who it is and waits until it serves.
func (n *Node) handshake(ctx context.Context, input io.Writer, output io.Reader) error {
	stop := context.AfterFunc(ctx, func() { _ = n.child.cmd.Process.Kill() })
	defer stop()
	if err := json.NewEncoder(input).Encode(n.config()); err != nil {
		return err
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if strings.TrimSpace(line) != nodeReady {
		return fmt.Errorf("it did not get ready: %w", err)
	}
	return nil
}

// Kill ends the node at once, with everything that runs on it, as a loss of power does. Its instance and its memberships are
// left as they are. A node that is down already is success.
func (n *Node) Kill() error {
	if n.child == nil {
		return nil
	}
	var stopped error
	if n.stopSSH != nil {
		stopped = n.stopSSH()
		n.stopSSH = nil
	}
	_ = n.Thaw() // it must notice
	n.input.Close()
	ctx, cancel := context.WithTimeout(context.Background(), readyTime)
	defer cancel()
	err := n.child.await(ctx)
	n.child, n.input = nil, nil
	if err != nil {
		err = fmt.Errorf("node %s ended badly: %w: %s", n.Name, err, strings.Join(n.log.last(5), "; "))
	}
	return errors.Join(stopped, err)
}

// Freeze stops the node without ending it: its ports accept connections and say nothing more, until Thaw. Commands that run
// on it go on.
func (n *Node) Freeze() error {
	if err := n.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for began := time.Now(); !n.frozen(); time.Sleep(time.Millisecond) {
		if time.Since(began) > readyTime {
			return fmt.Errorf("node %s goes on %v after it was told to stop", n.Name, readyTime)
		}
	}
	return nil
}

// frozen reports whether every thread of the node's process has stopped: the signal takes its time.
func (n *Node) frozen() bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", n.child.cmd.Process.Pid))
	for _, path := range threads {
		if stat, err := os.ReadFile(path); err == nil && !strings.Contains(string(stat), ") T ") {
			return false
		}
	}
	return len(threads) > 0
}

// Thaw lets a frozen node go on.
func (n *Node) Thaw() error { return n.signal(syscall.SIGCONT) }

func (n *Node) signal(s syscall.Signal) error {
	if n.child == nil {
		return fmt.Errorf("cannot send %v to node %s: it is down", s, n.Name)
	}
	if err := n.child.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("cannot send %v to node %s: %w", s, n.Name, err)
	}
	return nil
}

// install gives the node a release before its first boot, as an image does.
func (n *Node) install(release string) error {
	link := filepath.Join(n.Home, "current")
	err := errors.Join(
		os.CopyFS(filepath.Join(n.Home, "releases", release), os.DirFS(filepath.Join(n.Home, "store", release))),
		os.Symlink(filepath.Join("releases", release), link),
	)
	if err != nil {
		return fmt.Errorf("cannot install %s on node %s: %w", release, n.Name, err)
	}
	return nil
}

// target is the node in its target group.
func (n *Node) target() aws.Target { return aws.Target{ID: n.Instance} }

func (n *Node) instance() aws.Instance {
	return aws.Instance{
		ID: n.Instance, Zone: n.Zone, PrivateAddress: n.Address,
		Tags: map[string]string{"Name": n.Name, "app": "web", "env": "live"},
	}
}
