package forge

import (
	"slices"
	"sync"
)

// Bounds of what is kept.
const (
	mostKept      = 256       // answers
	mostKeptBytes = 1 << 20   // of all of them, about
	mostOfOne     = 128 << 10 // bytes of one of them
)

// Kept are answers that a forge need not give again: asked with the tag that an answer had (RFC 9110, section 13.1.2), it says that nothing has changed.
// GitHub counts no such question against its limit (its docs, "Best practices"). The zero value has none. It is for use by several goroutines.
type kept struct {
	mu      sync.Mutex
	answers []keptAnswer // what was used last is last
	bytes   int
}

type keptAnswer struct {
	address string
	tag     string
	portion portion
}

func (a keptAnswer) size() int {
	n := len(a.address) + len(a.tag)
	for _, r := range a.portion.reports {
		n += len(r.Name) + len(r.App) + len(r.Says) + len(r.Page) + 100
	}
	return n
}

// of is what is kept of an address.
func (k *kept) of(address string) (keptAnswer, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	answer, ok := k.take(address)
	if ok {
		k.add(answer)
	}
	return answer, ok
}

// keep keeps an answer instead of the one before it, as long as there is room. One without a tag is of no use, and a huge one would push out
// all others.
func (k *kept) keep(answer keptAnswer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.take(answer.address)
	if answer.tag != "" && answer.size() <= mostOfOne {
		k.add(answer)
	}
	for len(k.answers) > mostKept || k.bytes > mostKeptBytes {
		k.take(k.answers[0].address)
	}
}

func (k *kept) add(answer keptAnswer) {
	k.answers, k.bytes = append(k.answers, answer), k.bytes+answer.size()
}

func (k *kept) take(address string) (keptAnswer, bool) {
	at := slices.IndexFunc(k.answers, func(a keptAnswer) bool { return a.address == address })
	if at < 0 {
		return keptAnswer{}, false
	}
	answer := k.answers[at]
	k.answers, k.bytes = slices.Delete(k.answers, at, at+1), k.bytes-answer.size()
	return answer, true
}
