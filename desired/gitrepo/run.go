package gitrepo

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"

	"windlass/desired"
)

const (
	// jitter spreads the polls of many agents (G38), as a share of the interval.
	jitter = 0.1
	// longestPause bounds the back-off, so that an outage's end is noticed in minutes.
	longestPause = 5 * time.Minute
	// firstAnswer is how long a new process waits for git before it goes on with what an earlier one accepted. An answer in time
	// spares it to start a version that is not the newest.
	firstAnswer = 2 * time.Second
	// wakeDistance is how long a poll that somebody woke is the last that is woken, so that a storm of pushes is no storm of polls.
	wakeDistance = time.Second
)

// Run polls until ctx ends and delivers the State in force at first, when it changed, and when the problem changed. It polls
// every interval, give or take 10 %, and when it is woken, and backs off while the repo cannot be read. It returns ctx's error,
// nothing else.
//
// When the first poll has no answer soon, what an earlier process accepted is delivered meanwhile. deliver is called from Run's own
// goroutine; polling waits for it.
func (r *Repo) Run(ctx context.Context, interval time.Duration, deliver func(desired.State)) error {
	return loop(ctx, newPacer(interval, r.woken), r.State(), r.Poll, deliver)
}

// Wake lets Run poll now rather than at its time. What was pushed before the call is found by the poll that it leads to, unless
// that fails. It returns at once and may be called at any rate: there is one poll under way and one to come at most, those that
// were woken are a second apart, and while the repo cannot be read they back off as well.
func (r *Repo) Wake() {
	select {
	case r.woken <- struct{}{}:
	default: // somebody did already, and that poll has not begun
	}
}

func loop(ctx context.Context, pace *pacer, kept desired.State, poll func(context.Context) (desired.State, error), deliver func(desired.State)) error {
	var delivered *desired.State
	late := func() {
		if kept.Revision != "" {
			deliver(kept) // without what was wrong with the commit; the first poll says that
		}
	}
	for state, err := impatient(ctx, poll, late); ; state, err = poll(ctx) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if delivered == nil || state.Revision != delivered.Revision || state.Problem != delivered.Problem {
			delivered = &state
			deliver(state)
		}
		if err := pace.wait(ctx, err != nil); err != nil {
			return err
		}
	}
}

// A pacer says when to poll next.
type pacer struct {
	interval time.Duration
	woken    <-chan struct{}
	pause    *backoff.ExponentialBackOff // from a poll that failed to the next
	distance *backoff.ExponentialBackOff // and to the next that may be woken
	last     time.Time                   // when a poll was woken last
}

func newPacer(interval time.Duration, woken <-chan struct{}) *pacer {
	doubling := func(from time.Duration) *backoff.ExponentialBackOff {
		b := backoff.NewExponentialBackOff()
		b.InitialInterval, b.MaxInterval, b.Multiplier, b.RandomizationFactor = from, max(from, longestPause), 2, jitter
		b.Reset()
		return b
	}
	return &pacer{interval: interval, woken: woken, pause: doubling(interval), distance: doubling(wakeDistance)}
}

// next is how long to wait after a poll, and how long at least when woken meanwhile.
func (p *pacer) next(failed bool) (wait, least time.Duration) {
	if failed {
		return p.pause.NextBackOff(), p.distance.NextBackOff()
	}
	p.pause.Reset()
	p.distance.Reset()
	return spread(p.interval), wakeDistance - time.Since(p.last)
}

// wait returns when the next poll is due, or ctx's error. Who wakes after that wakes the poll after that one.
func (p *pacer) wait(ctx context.Context, failed bool) error {
	wait, least := p.next(failed)
	due, early := time.NewTimer(wait), time.NewTimer(min(wait, least))
	defer due.Stop()
	defer early.Stop()
	var woken <-chan struct{} // nil until it is not too early
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-early.C:
			woken = p.woken
		case <-woken:
			p.last = time.Now()
			return nil
		case <-due.C:
			select {
			case <-p.woken: // this poll is the one
				p.last = time.Now()
			default:
			}
			return nil
		}
	}
}

// impatient polls, and calls late meanwhile when there is no firstAnswer.
func impatient(ctx context.Context, poll func(context.Context) (desired.State, error), late func()) (state desired.State, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		state, err = poll(ctx)
	}()
	select {
	case <-done:
	case <-time.After(firstAnswer):
		late()
		<-done
	}
	return state, err
}

func spread(interval time.Duration) time.Duration {
	return time.Duration(float64(interval) * (1 - jitter + 2*jitter*rand.Float64()))
}

func sleep(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
