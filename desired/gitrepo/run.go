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
)

// Run polls until ctx ends and delivers the State in force at first, when it changed, and when the problem changed. It polls
// every interval, give or take 10 %, and backs off while the repo cannot be read. It returns ctx's error, nothing else.
//
// When the first poll has no answer soon, what an earlier process accepted is delivered meanwhile. deliver is called from Run's own
// goroutine; polling waits for it.
func (r *Repo) Run(ctx context.Context, interval time.Duration, deliver func(desired.State)) error {
	return loop(ctx, interval, r.State(), r.Poll, deliver)
}

func loop(ctx context.Context, interval time.Duration, kept desired.State, poll func(context.Context) (desired.State, error), deliver func(desired.State)) error {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = interval, max(interval, longestPause)
	pause.Multiplier, pause.RandomizationFactor = 2, jitter
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
		wait := spread(interval)
		if err != nil {
			wait = pause.NextBackOff()
		} else {
			pause.Reset()
		}
		if err := sleep(ctx, wait); err != nil {
			return err
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
