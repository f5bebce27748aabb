package e2e

import (
	"strings"
	"testing"
	"time"
)

// drainPrograms are what these tests need beside what all do.
var drainPrograms = []string{"haproxy", "ip", "nft", "conntrack", "curl", "sshd", "git", "ss"}

// Behind a balancer that tells of its membership late, keeps idle connections and has long requests in hand, every node is left long before
// its deregistration delay is over, and not one request fails.
func TestDrainsAreLeftEarly(t *testing.T) {
	if !apart(t, drainPrograms...) {
		return
	}
	w := openDrainWorld(t, drainOptions{nodes: 3, delay: 120 * time.Second})
	c := request(t, map[kind]int{
		{path: "sleep", to: 50 * time.Millisecond, rest: 100 * time.Millisecond}:                    4,
		{path: "sleep", from: 300 * time.Millisecond, to: streamPause, rest: 10 * time.Millisecond}: 4,
		{path: "stream", from: 2 * time.Second, to: 14 * time.Second, rest: 10 * time.Millisecond}:  4,
		{path: "stream", from: 14 * time.Second, to: 20 * time.Second, rest: 10 * time.Millisecond}: 20,
	})
	w.busyAll(5)
	w.rolls(8*time.Minute, "settles for another")
	c.stop()
	late, all := 0, ""
	for _, n := range w.nodes {
		n.leftAfter(19*time.Second, 100*time.Second)
		n.says("settles for another")
		late += n.late
		all += w.reasons(n.name)
	}
	if late == 0 || !strings.Contains(all, "connections, one with "+proxyAddr) || !strings.Contains(all, "s, 5s are asked for") {
		t.Errorf("%d requests were in hand when the proxy sent no more, and windlass said:\n%s", late, all)
	}
	t.Logf("%v requests, %d of them in hand when the proxy sent their node no more", c.counted(), late)
}

// A node that forwards its traffic into another network lists no sockets. One is seen through conntrack, and left early; the other cannot
// be seen into and waits out the delay. An address returns to its group when the delay is over, and no earlier.
func TestForwardedNodes(t *testing.T) {
	if !apart(t, drainPrograms...) {
		return
	}
	w := openDrainWorld(t, drainOptions{nodes: 2, forwarded: true, addresses: true, delay: time.Minute})
	w.nodes[1].hide("conntrack")
	c := request(t, map[kind]int{
		{path: "sleep", to: 50 * time.Millisecond, rest: 100 * time.Millisecond}:                        4,
		{path: "sleep", from: 300 * time.Millisecond, to: 3 * time.Second, rest: 10 * time.Millisecond}: 4,
	})
	w.busyAll(1)
	w.rolls(5*time.Minute, "settles for another")
	c.stop()
	w.nodes[0].leftAfter(19*time.Second, 55*time.Second)
	w.nodes[0].says("registers an address again only when its deregistration delay of 1m0s is over")
	w.nodes[1].leftAfter(59*time.Second, 90*time.Second)
	w.nodes[1].says("waits out the delay of 1m0s: ss and /proc/net/tcp do not list a connection from the node to 10.77.0.12:8080")
	t.Logf("%v requests", c.counted())
}

// Flows through a network load balancer outlive the deregistration. Nothing is done to their node until the last has ended by itself.
func TestFlowsAreNotCut(t *testing.T) {
	if !apart(t, drainPrograms...) {
		return
	}
	const outlive = time.Minute
	w := openDrainWorld(t, drainOptions{nodes: 2, tcp: true, delay: 30 * time.Second, drain: ", drain: {settle: 20s}"})
	c := flows(w, 6, outlive)
	w.busyAll(2)
	w.rolls(6*time.Minute, "flows outlive its drain: ")
	for _, n := range w.nodes {
		n.leftAfter(outlive, outlive+45*time.Second)
		n.says("settles for another", "its flows outlive its drain: ", "connections, one with "+proxyAddr)
		if n.late == 0 {
			t.Errorf("%s had no flow when the proxy sent no more", n.name)
		}
	}
	c.stop()
	t.Logf("%v flows", c.counted())
}
