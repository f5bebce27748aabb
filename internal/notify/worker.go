package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync"
	"time"

	"windlass/internal/outbound"
)

// Bounds of trying again.
const (
	leastPause   = 2 * time.Second
	mostPause    = 2 * time.Minute
	refusedPause = 5 * time.Minute  // for somebody to change something
	sayTimeout   = 90 * time.Second // of one message, beyond the bounds of each kind of place
	parting      = time.Second      // for a message that is being said when the agent ends
)

// A worker says what one channel is to hear, one thing after another.
type worker struct {
	name    string // of the channel
	key     string // in the memory
	to      string // for people
	service string
	log     *slog.Logger
	observe func(service, trigger, result string)
	touch   func() // a problem came or went
	views   func() (map[string]*view, <-chan struct{})
	memory  *Memory
	channel Channel                                                 // nil: alerts
	alerts  *alertmanager                                           // nil: a channel
	decide  func(view, books, Traits, time.Time) (*step, time.Time) // next, but in tests of what would be noticed
	pace    outbound.Pace
	told    books
	kept    []byte

	mu      sync.Mutex
	problem string
	since   time.Time
}

// run says things until ctx ends.
func (w *worker) run(ctx context.Context) {
	if w.channel != nil {
		w.told = w.memory.of(w.key)
	}
	for ctx.Err() == nil {
		views, changed := w.views()
		v := view{}
		if mine := views[w.name]; mine != nil {
			v = *mine
		}
		act, wake := w.next(v, time.Now())
		if act == nil {
			await(ctx, changed, wake)
			continue
		}
		if at := w.pace.Next(); time.Now().Before(at) {
			await(ctx, nil, at) // by then there may be something newer to say
			continue
		}
		act(ctx)
	}
}

// next is what to do now, or when to look again.
func (w *worker) next(v view, now time.Time) (func(context.Context), time.Time) {
	if w.alerts != nil {
		due, wake := w.alerts.due(v, now)
		if len(due) == 0 {
			return nil, wake
		}
		return func(ctx context.Context) {
			w.settle("alerts", w.bounded(ctx, func(ctx context.Context) error { return w.alerts.tell(ctx, due, now) }))
		}, wake
	}
	step, wake := w.decide(v, w.told, w.channel.Traits(), now)
	w.keep()
	if step == nil {
		return nil, wake
	}
	return func(ctx context.Context) { w.take(ctx, step) }, wake
}

// take says something, and notes what became of that.
func (w *worker) take(ctx context.Context, s *step) {
	s.begins(w.told)
	w.keep()
	var place string
	err := w.bounded(ctx, func(ctx context.Context) (err error) {
		place, err = w.channel.Say(ctx, s.message)
		return err
	})
	if err == nil {
		s.done(w.told, place, time.Now())
	} else if f := failureOf(err); s.failed(w.told, f, w.channel.Traits(), time.Now()) {
		w.log.Warn("a message is given up; others go on", "channel", w.to, "message", s.message.Title, "problem", f.Says)
		if f.Refused {
			f.Refused, f.Gone = false, true // so err says, which it is in
		}
	}
	w.keep()
	w.settle(s.trigger(), err)
}

// trigger is what a message is about, for counting.
func (s *step) trigger() string {
	switch {
	case s.message.On != "":
		return string(s.message.On)
	case s.message.Kind == Update:
		return "progress"
	}
	return "superseded"
}

// Triggers are all that attempts can be about, for counting.
func Triggers() []string {
	return []string{"started", "waiting", "halted", "rolled_back", "succeeded", "rejected", "superseded", "progress", "alerts"}
}

// bounded gives say a while, and a moment when the agent ends.
func (w *worker) bounded(ctx context.Context, say func(context.Context) error) error {
	apart, cancel := context.WithTimeout(context.WithoutCancel(ctx), sayTimeout)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		await(apart, nil, time.Now().Add(parting))
		cancel()
	})
	defer stop()
	return say(apart)
}

func failureOf(err error) *Failure {
	var f *Failure
	if errors.As(err, &f) {
		return f
	}
	return &Failure{Says: err.Error(), Unsure: true}
}

// settle notes how an attempt went, for the pace and for people: the log hears of a problem once.
func (w *worker) settle(trigger string, err error) {
	now, problem := time.Now(), ""
	if err == nil {
		w.pace.Done(now)
		w.observe(w.service, trigger, "success")
	} else {
		f := failureOf(err)
		asked := f.Wait
		if f.Refused {
			asked = max(asked, refusedPause)
		}
		if f.Gone {
			w.pace.Done(now) // it is about one message, not about the channel
		} else {
			w.pace.Failed(now, asked)
			problem = f.Says
		}
		w.observe(w.service, trigger, "error")
	}
	w.tell(problem, now)
}

func (w *worker) tell(problem string, now time.Time) {
	w.mu.Lock()
	was := w.problem
	if problem != "" && was == "" {
		w.since = now
	}
	w.problem = problem
	w.mu.Unlock()
	if was == problem {
		return
	}
	switch {
	case problem != "" && was == "":
		w.log.Warn("cannot notify; it is tried again, and rollouts go on", "channel", w.to, "problem", problem)
	case problem == "":
		w.log.Info("notifies again", "channel", w.to)
	}
	w.touch()
}

// trouble is what keeps the channel from hearing, and since when; empty: nothing.
func (w *worker) trouble() (string, time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.problem, w.since
}

// keep writes what was told, when that changed, or could not be written before.
func (w *worker) keep() {
	text, err := json.Marshal(w.told)
	if err != nil || bytes.Equal(text, w.kept) {
		return
	}
	w.kept = nil
	if w.memory.keep(w.key, w.told) {
		w.kept = text
	}
}

// await waits for the first of: a change, a time unless it is zero, the end of ctx.
func await(ctx context.Context, changed <-chan struct{}, at time.Time) {
	var due <-chan time.Time
	if !at.IsZero() {
		timer := time.NewTimer(time.Until(at))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-ctx.Done():
	case <-changed:
	case <-due:
	}
}
