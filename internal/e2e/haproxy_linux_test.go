package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"windlass/internal/sandbox/aws"
)

// A proxy is a HAProxy that follows the members of a target group as AWS's balancers do: a healthy one gets requests, and one that was
// deregistered does so for a few seconds more. It has idle connections to that for its own time; the rest ends with the deregistration delay.
type proxy struct {
	t       *testing.T
	cloud   *aws.Cloud
	socket  string
	mode    string // http or tcp
	targets map[string]aws.Target
	left    func(node string) // called when it sends a node nothing more
	spreads []time.Duration   // for how long the next ones that are deregistered still get requests

	mu    sync.Mutex
	sends map[string]bool      // nodes that a request may be sent to
	gone  map[string]time.Time // when a node was deregistered last
}

const (
	front     = "10.77.0.1:80"
	proxyAddr = "10.77.0.2" // what the nodes know it by

	// idleTimeout is what the API says of the load balancer. HAProxy purges its idle connections to a server by halves: with pool-purge-delay 2s
	// they are gone 6 to 14 s after their last request.
	idleTimeout = 10 * time.Second
)

// spreads draws for how long a balancer goes on sending to each of n targets that are deregistered, from 3 to 12 s: one of them for long.
func spreads(n int) []time.Duration {
	drawn := make([]time.Duration, n)
	for i, at := range rand.Perm(n) {
		part := 9 * time.Second / time.Duration(n)
		drawn[at] = 3*time.Second + time.Duration(i)*part + rand.N(part)
	}
	return drawn
}

// start begins to balance over nodes that nobody has found healthy yet.
func (p *proxy) start(addresses map[string]string) {
	dir := p.t.TempDir()
	p.socket, p.sends, p.gone = filepath.Join(dir, "socket"), map[string]bool{}, map[string]time.Time{}
	p.spreads = spreads(len(addresses))
	p.t.Logf("what is deregistered gets requests for another %v", p.spreads)
	timeouts := "timeout client 60s\n timeout server 10s\n http-reuse always"
	if p.mode == "tcp" {
		timeouts = "timeout client 1h\n timeout server 1h"
	}
	config := fmt.Sprintf("global\n stats socket %s level admin\n nbthread 1\ndefaults\n mode %s\n retries 0\n timeout connect 5s\n %s\n"+
		"listen web\n bind %s\n source %s\n", p.socket, p.mode, timeouts, front, proxyAddr)
	for name, address := range addresses {
		config += fmt.Sprintf(" server %s %s pool-purge-delay 2s disabled\n", name, address)
	}
	file := filepath.Join(dir, "config")
	check(p.t, os.WriteFile(file, []byte(config), 0o600))
	cmd := exec.Command("haproxy", "-db", "-f", file)
	log := must(os.Create(filepath.Join(dir, "log")))(p.t)
	cmd.Stdout, cmd.Stderr = log, log
	check(p.t, cmd.Start())
	ctx, cancel := context.WithCancel(context.Background())
	var following sync.WaitGroup
	p.t.Cleanup(func() {
		cancel()
		following.Wait()
		check(p.t, errors.Join(cmd.Process.Kill(), log.Close()))
		_ = cmd.Wait()
		if p.t.Failed() {
			p.t.Logf("haproxy said:\n%s", must(os.ReadFile(log.Name()))(p.t))
		}
	})
	eventually(p.t, "haproxy to answer", func() bool { _, err := p.ask("show info"); return err == nil })
	following.Go(func() { p.follow(ctx) })
}

// ask runs a command of HAProxy's own.
func (p *proxy) ask(command string) (string, error) {
	conn, err := net.Dial("unix", p.socket)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_, err = io.WriteString(conn, command+"\n")
	answer, err2 := io.ReadAll(conn)
	return strings.TrimSpace(string(answer)), errors.Join(err, err2)
}

// set changes servers, which HAProxy answers with words only if it cannot.
func (p *proxy) set(command string) {
	if said, err := p.ask(command); err != nil || said != "" {
		p.t.Errorf("haproxy: %s: %v %s", command, err, said)
	}
}

// maySend reports whether a request may be sent to a node.
func (p *proxy) maySend(node string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sends[node]
}

// deregistered is when a node was, if it ever was.
func (p *proxy) deregistered(node string) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone[node]
}

func (p *proxy) note(node string, sends bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sends[node] = sends
}

func (p *proxy) follow(ctx context.Context) {
	last, until := map[string]string{}, map[string]time.Time{}
	for {
		changed := p.cloud.Changed()
		health, err := p.cloud.Health("web")
		if err != nil {
			p.t.Error(err)
			return
		}
		for node, target := range p.targets {
			state := health[target].State
			if state == aws.Draining && last[node] != state {
				until[node] = p.drains(node)
			}
			p.apply(node, last[node], state, time.Now().After(until[node]))
			last[node] = state
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-time.After(100 * time.Millisecond): // what follows from the clock is no event
		}
	}
}

// drains notes that a node was deregistered just now. Until then it still gets requests.
func (p *proxy) drains(node string) (until time.Time) {
	p.mu.Lock()
	p.gone[node] = time.Now()
	p.mu.Unlock()
	if len(p.spreads) == 0 {
		p.t.Errorf("%s was deregistered once too often", node)
		return until
	}
	until, p.spreads = time.Now().Add(p.spreads[0]), p.spreads[1:]
	return until
}

// apply brings a node from one state to the next, or to what has spread of it meanwhile.
func (p *proxy) apply(node, was, state string, spread bool) {
	sends := p.maySend(node)
	switch {
	case state == aws.Healthy && !sends:
		p.note(node, true)
		p.set("set server web/" + node + " state ready")
	case state == aws.Draining && sends && spread:
		p.set("set server web/" + node + " state drain")
		p.note(node, false)
		p.left(node)
	case state == "" && sends: // its delay was shorter than it takes to spread
		p.t.Errorf("%s is no member any more, and still gets requests", node)
		p.note(node, false)
	case state == "" && was == aws.Draining && p.mode == "http":
		p.set("shutdown sessions server web/" + node)
	}
}
