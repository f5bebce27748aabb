package sandbox

import "testing"

// Ports are given once: who has one may not listen on it yet.
func TestNoPortIsGivenTwice(t *testing.T) {
	t.Parallel()
	n := must(reserveNetwork())(t)
	t.Cleanup(func() { check(t, n.release()) })
	must(n.freePort())(t)
	for p := range 1 << 16 {
		n.given[p] = true
	}
	if port, err := n.freePort(); err == nil {
		t.Errorf("port %d is given twice", port)
	}
}
