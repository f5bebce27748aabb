package notify

import (
	"slices"
	"time"

	"windlass/desired"
)

// begins notes that a step is about to be taken. Where the place cannot tell a repeat, that has to be known after a kill.
func (s *step) begins(told books) {
	if b := told[s.fleet]; b != nil && s.id != "" {
		t := b.Threads[s.id]
		if t == nil {
			if t = s.opened; t == nil {
				t = &thread{Started: startOf(s.id)}
			}
			b.Threads[s.id] = t
			b.trim()
		}
		if s.message.Kind == Reply {
			t.Unsure = s.message.ID
		}
	}
}

// done notes that a step was taken.
func (s *step) done(told books, place string, now time.Time) {
	b := told[s.fleet]
	if b == nil {
		return
	}
	b.taken = now
	s.settle(b, now)
	if s.held && s.message.Kind == Post {
		b.Hold.Place = place
	}
	t := b.Threads[s.id]
	if t == nil {
		return
	}
	if s.message.Kind != Reply {
		t.updated = now
	}
	if s.message.Kind == Post && !t.Posted {
		t.Posted, t.Place = true, place
		if s.small {
			b.Small = now
		}
	}
}

// settle notes that there is no need to say it again.
func (s *step) settle(b *book, now time.Time) {
	if s.id == "" {
		b.tries = tries{}
		if s.held {
			b.Held, b.Hold = s.digest, hold{Since: s.heldSince, Why: s.message.Lines[0], Place: s.message.Place}
		} else {
			b.Rejected = s.digest
		}
		return
	}
	t := b.Threads[s.id]
	if t == nil {
		return
	}
	t.Unsure, t.tries = "", tries{}
	if s.message.Kind != Reply {
		t.Says = s.digest
	}
	if s.waited {
		t.Waited = now
		s.told = slices.DeleteFunc(s.told, func(on desired.Occasion) bool { return on == desired.OnWaiting })
	}
	t.Told = append(t.Told, s.told...)
	t.Closed = t.Closed || s.closes
}

// failed notes that a step was not taken, or not surely. It reports whether it is given up: the place refuses it while it takes others, or cannot
// tell repeats and never says whether it has it.
func (s *step) failed(told books, f *Failure, traits Traits, now time.Time) (givenUp bool) {
	b := told[s.fleet]
	if b == nil {
		return false
	}
	t, tried := b.Threads[s.id], &b.tries
	if s.id != "" {
		if t == nil {
			return false
		}
		tried = &t.tries
	}
	if tried.again(f, s.message.Kind == Update || traits.Known, told.taken(), now) {
		s.settle(b, now)
		return true
	}
	if t == nil {
		return false
	}
	switch {
	case f.Gone && s.message.Kind == Update: // somebody removed it: what happens is told below it all the same
		t.Gone = true
	case f.Gone: // a thread that is gone is begun again
		t.Posted, t.Place, t.Unsure, t.Gone = false, "", "", false
	case f.Unsure && s.message.Kind == Reply:
		t.Unsure = s.message.ID
	case f.Unsure && s.message.Kind == Post && !t.Posted:
		t.Unsure = string(s.message.On)
	default:
		t.Unsure = ""
	}
	return false
}
