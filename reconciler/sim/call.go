package sim

import (
	"context"
	"errors"
	"time"
)

// fate is what becomes of a call.
type fate int

const (
	goesWell fate = iota
	failsBefore
	failsAfter // the effect happens, the answer is an error
	hangs      // nothing happens, and no answer comes
	isLate     // the effect and the answer come, much later
	throttled
)

var (
	errRefused   = errors.New("connection refused")
	errReset     = errors.New("connection reset by peer")
	errThrottled = errors.New("rate exceeded")
	errKilled    = errors.New("this agent was killed")
)

// call is the choke point: every call of an agent passes here. Each takes an instant of its own, so that a seed replays
// exactly whatever order goroutines run in. effect runs under the lock; the laws are checked after it.
func (p *ports) call(ctx context.Context, name string, effect func() error) error {
	w := p.world
	w.mu.Lock()
	r := w.roll(p.nonce + "/" + name) // not by holder: a call that a killed agent makes at its last instant or not must shift nobody's fate
	how, there, back := w.fate(r.IntN(1000)), time.Duration(1+r.IntN(8_000_000)), time.Duration(1+r.IntN(8_000_000))
	late, lost := time.Duration(r.IntN(14_000))*time.Millisecond, r.IntN(2) == 0
	strikes := r.IntN(10_000) < w.story.Strikes
	killed, frantic := p.killed, w.frantic()
	w.mu.Unlock()
	switch {
	case killed:
		return errKilled
	case frantic:
		<-ctx.Done()
		return ctx.Err()
	}
	if how == isLate {
		there += late
	}
	if err := p.travel(ctx, there); err != nil && (how == isLate || lost) {
		return err
	}
	if strikes && p.strike(name) {
		return errKilled
	}
	switch how {
	case failsBefore:
		return errRefused
	case throttled:
		return errThrottled
	case hangs:
		<-ctx.Done()
		time.Sleep(back)
		return ctx.Err()
	}
	err := w.happen(effect)
	if how == failsAfter {
		return errReset
	}
	if err := p.travel(ctx, back); err != nil {
		return err
	}
	return err
}

// strike kills the agent in mid-call, at an instant of the call's own, unless bad luck is over.
func (p *ports) strike(name string) bool {
	w := p.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calm || p.killed || len(w.struck) == cap(w.struck) {
		return p.killed
	}
	w.tell("%s is killed before its call %s has an effect", p.nonce, name)
	p.killed = true
	w.struck <- struct{}{}
	return true
}

// mostCalls is more than any story needs: an agent that makes more goes in circles. Wild ones have slow starts and bakes of half an hour,
// those of the field up to thirty machines.
const (
	mostCalls      = 60_000
	mostWildCalls  = 2 * mostCalls
	mostFieldCalls = 8 * mostCalls
)

// frantic counts a call, and reports whether they are too many.
func (w *World) frantic() bool {
	most := mostCalls
	switch {
	case w.story.Field.On:
		most = mostFieldCalls
	case w.story.Wild.On:
		most = mostWildCalls
	}
	if w.total++; w.total == most {
		w.laws.breaks(w, "no rest: %d calls", most)
	}
	return w.total >= most
}

// happen runs an effect at one instant and checks the laws after it.
func (w *World) happen(effect func() error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settle()
	err := effect()
	w.settle()
	w.laws.check(w)
	return err
}

func (w *World) fate(n int) fate {
	if w.calm {
		return goesWell
	}
	for i, share := range w.story.Faults {
		if n -= share; n < 0 {
			return fate(i + 1)
		}
	}
	return goesWell
}

// travel is the time a message takes, unless it is given up.
func (p *ports) travel(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		time.Sleep(d % time.Millisecond)
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
