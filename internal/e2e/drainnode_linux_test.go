package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"windlass/internal/sandbox/aws"
)

// A drainNode is a machine with a service that drops what it has in hand whenever it restarts, and that keeps account of what that is.
type drainNode struct {
	*drainWorld
	name, address, instance, home string
	network                       string // that its service is in
	target                        aws.Target

	mu       sync.Mutex
	release  string
	inHand   int       // requests that are being answered, or flows
	last     time.Time // when there was one last
	late     int       // requests in hand when the proxy sent no more
	steps    []time.Time
	working  bool // between the first step and the end of the last
	end      func() error
	requests int
}

// forward moves the service into a network behind the node, as a container's is.
func (n *drainNode) forward() {
	n.Helper()
	n.network = n.name + "-container"
	join(n.T, n.network, "172.30.0.2/24", n.name, "container")
	run(n.T, "ip", "-n", n.name, "addr", "add", "172.30.0.1/24", "dev", "container")
	run(n.T, "ip", "-n", n.name, "link", "set", "container", "up")
	run(n.T, "ip", "-n", n.network, "route", "add", "default", "via", "172.30.0.1")
	run(n.T, "ip", "netns", "exec", n.name, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
	feed(n.T, `
		add table ip n
		add chain ip n pre { type nat hook prerouting priority -100; }
		add chain ip n out { type nat hook output priority -100; }
		add rule ip n pre fib daddr type local tcp dport 8080 dnat to 172.30.0.2
		add rule ip n out ip daddr != 127.0.0.0/8 fib daddr type local tcp dport 8080 dnat to 172.30.0.2
	`, "ip", "netns", "exec", n.name, "nft", "-f", "-")
}

// openControl answers the node's steps.
func (n *drainNode) openControl() {
	n.Helper()
	l := must(listenIn(n.name, controlAddr))(n.T)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /begin", func(http.ResponseWriter, *http.Request) { n.step("begin") })
	mux.HandleFunc("GET /restart", func(w http.ResponseWriter, r *http.Request) {
		n.step("restart")
		if err := n.restart(r.FormValue("release")); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	server := &http.Server{Handler: mux}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	n.Cleanup(func() { server.Close(); serving.Wait() })
}

// step checks that nobody minds that a step runs: no request is being answered, and none can be sent any more.
func (n *drainNode) step(name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.working = true
	n.steps = append(n.steps, time.Now())
	if n.inHand > 0 {
		n.Errorf("step %s runs on %s with %d requests in hand", name, n.name, n.inHand)
	}
	if n.proxy.maySend(n.name) {
		n.Errorf("step %s runs on %s, which may still be sent requests", name, n.name)
	}
}

func (n *drainNode) restart(release string) error {
	n.stop()
	n.mu.Lock()
	n.release = release
	n.mu.Unlock()
	err := n.serve()
	n.mu.Lock()
	n.working = false
	n.mu.Unlock()
	return err
}

func (n *drainNode) stop() {
	if err := n.end(); err != nil {
		n.Error(err)
	}
}

// begin and done are around each request and flow.
func (n *drainNode) begin() (release string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.inHand++
	n.requests++
	if n.working {
		n.Errorf("%s gets a request between its steps", n.name)
	}
	return n.release
}

func (n *drainNode) done() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.inHand--
	n.last = time.Now()
}

func (n *drainNode) leave() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.late += n.inHand
}

// serve starts the service.
func (n *drainNode) serve() error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, _ *http.Request) {
		n.mu.Lock()
		defer n.mu.Unlock()
		fmt.Fprintln(w, n.release)
	})
	mux.HandleFunc("GET /sleep/", n.answer)
	mux.HandleFunc("GET /stream/", n.answer)
	if !n.tcp {
		l, err := listenIn(n.network, webAddr)
		if err != nil {
			return err
		}
		n.end = serveHTTP(l, mux)
		return nil
	}
	version, err := listenIn(n.network, "0.0.0.0:"+strconv.Itoa(versionPort))
	if err != nil {
		return err
	}
	l, err := listenIn(n.network, webAddr)
	if err != nil {
		return err
	}
	endHTTP, endFlows := serveHTTP(version, mux), n.serveFlows(l)
	n.end = func() error { return errors.Join(endHTTP(), endFlows()) }
	return nil
}

// serveHTTP serves until it is ended, with all that is in hand.
func serveHTTP(l net.Listener, handler http.Handler) (end func() error) {
	server := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	return func() error {
		err := server.Close()
		serving.Wait()
		return err
	}
}

// streamPause is between two bytes of a long answer: longer than a node must be idle, and shorter than the balancer waits (idleTimeout), which
// cuts off a request that is silent for longer.
const streamPause = 7 * time.Second

// answer takes as long as the path says. A stream sends something each now and then.
func (n *drainNode) answer(w http.ResponseWriter, r *http.Request) {
	left, err := time.ParseDuration(path.Base(r.URL.Path))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	release := n.begin()
	defer n.done()
	for strings.HasPrefix(r.URL.Path, "/stream/") && left >= streamPause {
		if !pause(r.Context(), streamPause) {
			return
		}
		left -= streamPause
		_, _ = io.WriteString(w, ".")
		_ = http.NewResponseController(w).Flush()
	}
	if pause(r.Context(), left) {
		fmt.Fprintf(w, "%s on %s\n", release, n.name)
	}
}

// pause reports whether it was not cut short.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// serveFlows answers each line of a flow with itself and who answers. A connection that says nothing is a health check.
func (n *drainNode) serveFlows(l net.Listener) (end func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	var flows sync.WaitGroup
	flows.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(ctx, func() { conn.Close() })
			flows.Go(func() { n.flow(conn); stop(); conn.Close() })
		}
	})
	return func() error {
		err := l.Close()
		cancel()
		flows.Wait()
		return err
	}
}

func (n *drainNode) flow(conn net.Conn) {
	lines, release := bufio.NewScanner(conn), ""
	for lines.Scan() {
		if release == "" {
			release = n.begin()
			defer n.done()
		}
		fmt.Fprintf(conn, "%s %s %s\n", lines.Text(), release, n.name)
	}
}

// busy is how many requests or flows are in hand.
func (n *drainNode) busy() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.inHand
}

// busyAll waits until each node has so much in hand.
func (w *drainWorld) busyAll(least int) {
	w.Helper()
	w.eventually("every node to be busy", func() bool {
		return !slices.ContainsFunc(w.nodes, func(n *drainNode) bool { return n.busy() < least })
	})
}

// leftAfter checks how long after its deregistration the node's first step began.
func (n *drainNode) leftAfter(least, most time.Duration) {
	n.Helper()
	gone := n.proxy.deregistered(n.name)
	n.mu.Lock()
	defer n.mu.Unlock()
	if gone.IsZero() || len(n.steps) != 2 {
		n.Fatalf("%s was deregistered %v, and steps ran at %v", n.name, gone, n.steps)
	}
	took := n.steps[0].Sub(gone)
	if took < least || took > most {
		n.Errorf("%s: its steps began %s after it was deregistered, want %s to %s", n.name, took, least, most)
	}
	n.Logf("%s: steps began %s after it was deregistered, %d requests in hand when the proxy sent no more, %d in all", n.name, took.Round(100*time.Millisecond), n.late, n.requests)
}

// says checks that windlass told all of this about the node.
func (n *drainNode) says(words ...string) {
	n.Helper()
	said := n.reasons(n.name)
	for _, word := range words {
		if !strings.Contains(said, word) {
			n.Errorf("of %s windlass never said %q, but:\n%s", n.name, word, said)
		}
	}
}

// hide makes a program of the node fail.
func (n *drainNode) hide(program string) {
	n.Helper()
	check(n.T, os.WriteFile(filepath.Join(n.home, "bin", program), []byte("#!/bin/sh\nexit 127\n"), 0o755))
}
