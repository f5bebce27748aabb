package access

import (
	"net/netip"
	"sync"
	"time"
)

const (
	mostTries     = 10 // that failed, of an address in
	tryWindow     = time.Minute
	mostAddresses = 1000 // that are remembered at once: in a minute, hardly more can be hashed
)

// Tries counts how often each address gave wrong credentials.
type tries struct {
	mu     sync.Mutex
	failed map[netip.Prefix]*failures
}

type failures struct {
	count int
	until time.Time // when they are forgotten
}

func newTries() *tries { return &tries{failed: map[netip.Prefix]*failures{}} }

// wait is how long the address is not listened to any more; 0: it is.
func (t *tries) wait(from netip.Prefix) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.failed[from]
	if f == nil || f.count < mostTries {
		return 0
	}
	return max(0, time.Until(f.until))
}

// fail counts a failed try.
func (t *tries) fail(from netip.Prefix) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	f := t.failed[from]
	if f == nil || !now.Before(f.until) {
		t.makeRoom(now)
		f = &failures{until: now.Add(tryWindow)}
		t.failed[from] = f
	}
	f.count++
}

// makeRoom forgets what is over, and when that is nothing what will be over next.
func (t *tries) makeRoom(now time.Time) {
	if len(t.failed) < mostAddresses {
		return
	}
	var oldest netip.Prefix
	for from, f := range t.failed {
		if !now.Before(f.until) {
			delete(t.failed, from)
		} else if o := t.failed[oldest]; o == nil || f.until.Before(o.until) {
			oldest = from
		}
	}
	if len(t.failed) >= mostAddresses {
		delete(t.failed, oldest)
	}
}

// address is what counts as one address: of IPv6 the network of 64 bits, of which whoever has one has all.
func address(remote string) netip.Prefix {
	from, _ := netip.ParseAddrPort(remote) // what is none is one address as well
	ip := from.Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	network, _ := ip.Prefix(bits)
	return network
}
