package history

import (
	"log/slog"
	"sync"

	"windlass/reconciler"
)

// mostWaiting is how many rollouts wait to be written at most. Older ones are forgotten.
const mostWaiting = 1000

// A Recorder takes the rollouts that end from the loop, which it never delays, and writes them when it is told to. Without a store it
// keeps nothing.
type Recorder struct {
	store *Store // nil: none
	log   *slog.Logger

	mu    sync.Mutex
	ended []reconciler.RolloutDone // and not looked at yet

	unwritten []Entry
	failing   bool // the newest write failed, and that was said
}

// NewRecorder makes a recorder. It starts nothing.
func NewRecorder(store *Store, log *slog.Logger) *Recorder { return &Recorder{store: store, log: log} }

// RolloutDone takes a rollout that ended. It returns at once.
func (r *Recorder) RolloutDone(d reconciler.RolloutDone) {
	if r.store == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = newest(append(r.ended, d))
}

// Write keeps what waits; present are the fleets that there are. What cannot be written waits for the next Write, in memory; the log is told
// once, until something can be written again. Only one goroutine calls it.
func (r *Recorder) Write(present []string) {
	for _, d := range r.take() {
		r.unwritten = newest(append(r.unwritten, entryOf(d)))
	}
	if len(r.unwritten) == 0 {
		return
	}
	err := r.store.Add(present, r.unwritten...)
	switch {
	case err == nil:
		r.unwritten = nil
	case !r.failing:
		r.log.Warn("cannot write the history of rollouts; rollouts go on", "error", err)
	}
	r.failing = err != nil
}

func (r *Recorder) take() []reconciler.RolloutDone {
	r.mu.Lock()
	defer r.mu.Unlock()
	ended := r.ended
	r.ended = nil
	return ended
}

func newest[T any](waiting []T) []T { return waiting[max(0, len(waiting)-mostWaiting):] }
