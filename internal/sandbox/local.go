package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"windlass/internal/sandbox/aws"
)

// A local is what a fleet on this machine is made of, whatever its nodes are.
type local struct {
	Cloud *aws.Cloud
	Repo  *Repo
	Agent *Agent
	Dir   string

	network *network
	sshPort int
	key     keyPair        // the agent's
	closers []func() error // last opened, first closed
}

// open begins one part after another. Where one cannot, all that was begun is ended.
func (l *local) open(ctx context.Context, parts ...func(context.Context) error) error {
	for _, begin := range parts {
		if err := begin(ctx); err != nil {
			return errors.Join(fmt.Errorf("cannot start the local fleet: %w", err), l.Close())
		}
	}
	return nil
}

// Close ends the agent, the nodes and all else that was begun, and leaves nothing behind but a directory that was given.
func (l *local) Close() error {
	var failures []error
	for _, end := range slices.Backward(l.closers) {
		failures = append(failures, end())
	}
	l.closers = nil
	return errors.Join(failures...)
}

func (l *local) onClose(end func() error) { l.closers = append(l.closers, end) }

func (l *local) path(name string) string { return filepath.Join(l.Dir, name) }

// openTemporary makes a directory whose name begins so, until Close.
func (l *local) openTemporary(name string) (err error) {
	if l.Dir, err = os.MkdirTemp("", name); err == nil {
		l.onClose(func() error { return removeAll(l.Dir) })
	}
	return err
}

// removeAll removes a directory in which the last of a node's jobs may still write a word or two.
func removeAll(dir string) (err error) {
	for range 100 {
		if err = os.RemoveAll(dir); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

func (l *local) openNetwork(context.Context) (err error) {
	if l.network, err = reserveNetwork(); err != nil {
		return err
	}
	l.onClose(l.network.release)
	l.sshPort, err = l.network.freePort()
	return err
}

// openKey makes the agent's key, and the directory for its state.
func (l *local) openKey(context.Context) (err error) {
	if l.key, err = newKeyPair(); err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(l.path(agentDir), 0o755), os.WriteFile(l.path("id"), l.key.private, 0o600))
}

func (l *local) openAPI(context.Context) error {
	l.Cloud = aws.New(aws.Config{})
	if err := l.Cloud.Start(context.Background()); err != nil {
		return err
	}
	l.onClose(l.Cloud.Close)
	return nil
}

// serveRepo serves an empty deploy repo, which takes pushes at a path.
func (l *local) serveRepo(pushes string) (err error) {
	if l.Repo, err = newRepo(l.Dir, l.network.address(1), pushes); err == nil {
		l.onClose(l.Repo.close)
	}
	return err
}

// newAgent returns an agent with a state directory below Dir. It is not started; Close ends it.
func (l *local) newAgent(executable, fleet, stateDir string, interval time.Duration, more ...string) (*Agent, error) {
	port, err := l.network.freePort()
	if err != nil {
		return nil, fmt.Errorf("cannot add an agent: %w", err)
	}
	listen := net.JoinHostPort(l.network.address(1), strconv.Itoa(port))
	a := &Agent{
		Command: Command{
			Path: executable,
			Args: append([]string{
				"run", "--repo", l.Repo.URL, "--interval", interval.String(), "--state-dir", l.path(stateDir), "--ssh-key", l.path("id"),
				"--ssh-known-hosts", l.path("known_hosts"), "--listen", listen, "--log-format", "json",
			}, more...),
			Env: append(l.Cloud.Environment(), "AWS_EC2_METADATA_DISABLED=true", "PATH="+searchPath(), "HOME="+l.path(stateDir)),
		},
		URL: "http://" + listen, Fleet: fleet, log: &tail{},
	}
	l.onClose(a.Kill)
	return a, nil
}

// thisExecutable is the windlass binary that runs.
func thisExecutable() (string, error) {
	executable, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("cannot tell where the windlass binary is: %w", err)
	}
	return executable, nil
}
