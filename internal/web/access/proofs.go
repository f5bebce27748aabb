package access

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
)

// mostProofs bounds what is remembered. Each password of an account is one, and an account has hardly more than one.
const mostProofs = 1000

// Proofs remembers which passwords were right, so that a password is hashed once. It keeps neither passwords nor what could be tried
// against them elsewhere: a proof is worth nothing without a key that is this process's own.
type proofs struct {
	key  [32]byte
	mu   sync.Mutex
	good map[proof]bool
}

type proof [sha256.Size]byte

func newProofs() *proofs {
	p := &proofs{good: map[proof]bool{}}
	rand.Read(p.key[:]) // never fails
	return p
}

// of is the proof that a password is that of a name with a hash.
func (p *proofs) of(name, hash, password string) proof {
	mac := hmac.New(sha256.New, p.key[:])
	fmt.Fprintf(mac, "%d %d %s%s%s", len(name), len(hash), name, hash, password)
	return proof(mac.Sum(nil))
}

func (p *proofs) has(what proof) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.good[what]
}

func (p *proofs) add(what proof) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.good) >= mostProofs {
		clear(p.good)
	}
	p.good[what] = true
}

// pick chooses one of n, always the same for a name, and nobody outside can tell which.
func (p *proofs) pick(name string, n int) int {
	mac := p.of(name, "", "")
	return int(binary.BigEndian.Uint64(mac[:8]) % uint64(n))
}
