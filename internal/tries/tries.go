package tries

import (
	"net/netip"
	"sync"
	"time"
)

// Most is how many tries of an address may fail in a minute.
const Most = 10

const (
	window        = time.Minute
	mostAddresses = 1000 // that are remembered at once
)

// Tries counts those that failed, address by address. New makes one; its methods may be called side by side.
type Tries struct {
	mu     sync.Mutex
	failed map[netip.Prefix]*failures
}

type failures struct {
	count int
	until time.Time // when they are forgotten
}

// New returns Tries of which none has failed.
func New() *Tries { return &Tries{failed: map[netip.Prefix]*failures{}} }

// Wait is how long the address is not listened to any more; 0: it is.
func (t *Tries) Wait(from netip.Prefix) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.failed[from]
	if f == nil || f.count < Most {
		return 0
	}
	return max(0, time.Until(f.until))
}

// Fail counts a failed try. Of more addresses than are remembered, the one that would be forgotten next is forgotten.
func (t *Tries) Fail(from netip.Prefix) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	f := t.failed[from]
	if f == nil || !now.Before(f.until) {
		t.makeRoom(now)
		f = &failures{until: now.Add(window)}
		t.failed[from] = f
	}
	f.count++
}

// makeRoom forgets what is over, and when that is nothing what will be over next.
func (t *Tries) makeRoom(now time.Time) {
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

// Address is what counts as one address, of what a connection calls its other end: of IPv6 the network of 64 bits, of which whoever has one has all.
func Address(remote string) netip.Prefix {
	from, _ := netip.ParseAddrPort(remote) // what is none is one address as well
	ip := from.Addr().Unmap().WithZone("")
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	network, _ := ip.Prefix(bits)
	return network
}
