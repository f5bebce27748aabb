package window

import (
	"math"
	"time"
)

// A Verdict is what a Set says of an instant.
type Verdict struct {
	Open   bool
	Reason string    // one line: the rule that shuts it, of several the one that does so longest; empty while open
	Until  time.Time // when Open changes, in UTC; zero: not within Horizon
}

// At says whether s is open at now. It costs what the rules' windows cost that begin or end until the answer changes, and allocates
// nothing for up to 16 rules unless it is shut for longer than Horizon.
func (s Set) At(now time.Time) Verdict {
	t := now.Unix()
	limit := t + int64(Horizon/time.Second)
	var few [16]span
	spans := few[:]
	if n := len(s); n > len(few) {
		spans = make([]span, n)
	}
	for i := range spans {
		spans[i].to = t // not known yet
	}
	found := s.at(t, spans)
	v := Verdict{Open: found.open, Reason: found.reason}
	for until := found.until; until <= limit; {
		next := s.at(until, spans)
		if next.open != found.open {
			v.Until = time.Unix(until, 0).UTC()
			return v
		}
		until = next.until
	}
	if !v.Open {
		v.Reason += "; nothing opens it within 400 days"
	}
	return v
}

// A span is the instants of [from, to), in seconds since 1970 UTC.
type span struct{ from, to int64 }

// never is an instant that does not come, and forever a span without ends.
const never = math.MaxInt64

var forever = span{math.MinInt64, never}

// A state is what holds at an instant.
type state struct {
	open   bool
	reason string
	until  int64 // it is open, or shut, up to here at least
}

// stricter is what holds where a and b must both be open.
func stricter(a, b state) state {
	switch {
	case a.open && b.open:
		return state{open: true, until: min(a.until, b.until)}
	case a.open || !b.open && b.until > a.until:
		return b
	}
	return a
}

// looser is what holds where a or b must be open.
func looser(a, b state) state {
	switch {
	case a.open && b.open:
		return state{open: true, until: max(a.until, b.until)}
	case b.open || !a.open && b.until < a.until:
		return b
	}
	return a
}

// at is what holds at t. For each rule spans has the first of its spans that had not ended when spans was used last; t only grows.
func (s Set) at(t int64, spans []span) state {
	denied, allowed, allows := state{open: true, until: never}, state{}, false
	for i := range s {
		w, next := &s[i], &spans[i]
		if next.to <= t {
			*next = w.next(t)
		}
		now := state{open: w.deny, reason: w.reason, until: next.from}
		if next.from <= t {
			now.open, now.until = !w.deny, next.to
		}
		switch {
		case w.deny:
			denied = stricter(denied, now)
		case !allows:
			allowed, allows = now, true
		default:
			allowed = looser(allowed, now)
		}
	}
	if !allows {
		return denied
	}
	return stricter(denied, allowed)
}

// next is the first span of the rule that ends after t. It may have begun; one that the clocks leave nothing of begins later than t.
func (w *window) next(t int64) span {
	switch {
	case w.weekly():
		return w.nextWeekly(t)
	case w.once.to > t:
		return w.once
	}
	return span{never, never}
}

func (w *window) nextWeekly(t int64) span {
	for d := t/day - 8; ; d++ { // no window of days lasts a week
		length := w.lengths[(d%7+7+int64(time.Thursday))%7] // 1970 began on a Thursday
		from := d*day + w.start
		if length == 0 || from+length+farthest <= t {
			continue
		}
		if s := w.resolve(from, from+length); s.to > t {
			return s
		}
	}
}
