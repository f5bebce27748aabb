package host

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"sync"
)

// A keeper reads a stream to its end and keeps at most keptOutput bytes, the last ones.
type keeper struct {
	lossy bool
	done  chan struct{} // closed at the end of the stream

	mu    sync.Mutex
	bytes []byte
	total int
}

func newKeeper(lossy bool) *keeper { return &keeper{lossy: lossy, done: make(chan struct{})} }

// keep reads r, from where begin leaves it.
func (k *keeper) keep(r *bufio.Reader, begin func(*bufio.Reader)) {
	defer close(k.done)
	if begin != nil {
		begin(r)
	}
	_, _ = io.Copy(k, io.LimitReader(r, maxOutput)) // a torn stream shows as a missing exit status
}

func (k *keeper) Write(b []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.total += len(b)
	k.bytes = append(k.bytes, b...)
	if len(k.bytes) > 2*keptOutput {
		k.bytes = slices.Clone(k.bytes[len(k.bytes)-keptOutput:])
	}
	return len(b), nil
}

// kept returns what there is so far.
func (k *keeper) kept() ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.total > keptOutput && !k.lossy {
		return nil, fmt.Errorf("the answer is longer than %d KiB; look for a login script that prints without end", keptOutput>>10)
	}
	return slices.Clone(k.bytes[max(0, len(k.bytes)-keptOutput):]), nil
}
