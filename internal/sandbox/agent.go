package sandbox

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"windlass/internal/web"
)

// An Agent is `windlass run` as a process of its own, and what it tells of its fleet. Its methods may be called side by side.
type Agent struct {
	Command Command
	URL     string // of its status page, the same each time it is started
	Fleet   string // that Follow and Wait tell of

	log *tail
	mu  sync.Mutex
	up  *child // nil: it is down because we wanted so
}

// Start begins the process. What it says can be waited for at once; it need not answer yet.
func (a *Agent) Start() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.up != nil {
		return errors.New("cannot start the agent: it is up")
	}
	cmd := a.Command.exec()
	cmd.Stdout, cmd.Stderr = a.log, a.log
	dieWithParent(cmd.SysProcAttr)
	up, err := start(cmd)
	if err == nil {
		a.up = up
	}
	return err
}

// Stop asks the process to end and waits for it; when ctx ends first it is killed. The error is also how the process ended.
func (a *Agent) Stop(ctx context.Context) error { return a.end(ctx, syscall.SIGTERM) }

// Kill ends the process with SIGKILL, in the middle of whatever it does.
func (a *Agent) Kill() error {
	err := a.end(context.Background(), syscall.SIGKILL)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return nil
	}
	return err
}

// end signals the process and waits for it. One that is down already is success.
func (a *Agent) end(ctx context.Context, signal syscall.Signal) error {
	a.mu.Lock()
	up := a.up
	a.up = nil
	a.mu.Unlock()
	if up == nil {
		return nil
	}
	_ = up.cmd.Process.Signal(signal) // fails when it has ended, which await tells
	if err := up.await(ctx); err != nil {
		return fmt.Errorf("the agent ended badly: %w", err)
	}
	return nil
}

// Log returns the last lines, at most n, that the agent wrote, whichever process wrote them.
func (a *Agent) Log(n int) []string { return a.log.last(n) }

// reconnect is how long to wait before an agent that did not answer is asked again.
const reconnect = 20 * time.Millisecond

// Follow calls see with how the fleet stands, at once and after each change, until it reports that it is done. An agent that
// is stopped or killed meanwhile is waited for. The error is that of ctx, or that the agent ended by itself.
func (a *Agent) Follow(ctx context.Context, see func(web.Fleet) (done bool)) error {
	for !a.listen(ctx, see) {
		up := a.process()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-up.ended:
			return fmt.Errorf("the agent ended by itself: %v; it said: %s", up.err, strings.Join(a.Log(3), "; "))
		case <-time.After(reconnect):
		}
	}
	return nil
}

// process is the agent's, or one that never ends while the agent is down because we wanted so.
func (a *Agent) process() *child {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.up == nil {
		return &child{}
	}
	return a.up
}

// listen is one connection to the agent's events. It returns when see is done, or the connection is.
func (a *Agent) listen(ctx context.Context, see func(web.Fleet) bool) (done bool) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL+"/api/v1/events", nil)
	if err != nil {
		return false
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	event := ""
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch {
		case field == "event":
			event = value
		case field == "data" && event == "fleet":
			var fleet web.Fleet
			if json.Unmarshal([]byte(value), &fleet) == nil && fleet.Name == a.Fleet && see(fleet) {
				return true
			}
		}
	}
	return false
}

// Wait returns the first status of the fleet for which holds is true. The error names what was waited for, and how the fleet
// stood last.
func (a *Agent) Wait(ctx context.Context, what string, holds func(web.Fleet) bool) (web.Fleet, error) {
	var last web.Fleet
	err := a.Follow(ctx, func(fleet web.Fleet) bool {
		last = fleet
		return holds(fleet)
	})
	if err != nil {
		return last, fmt.Errorf("cannot see %s: %w; last: %s", what, err, describe(last))
	}
	return last, nil
}

// describe is a status on one line.
func describe(f web.Fleet) string {
	if f.Name == "" {
		return "the agent has told nothing"
	}
	nodes := make([]string, len(f.Nodes))
	for i, n := range f.Nodes {
		nodes[i] = fmt.Sprintf("%s %s %s (%s)", n.Name, n.State, n.Release, n.Reason)
	}
	return fmt.Sprintf("%s (%s), wants %s of %.8s, in service %d: %s",
		f.Phase, f.Reason, f.Desired.Release, f.Desired.Revision, f.InService, strings.Join(nodes, ", "))
}
