package outbound

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// mostWait is how long a place is left alone at most on its own word.
const mostWait = time.Hour

// RetryAfter is how long a place asks to be left alone (RFC 9110, section 10.2.3: seconds, or a date), at most an hour. It is 0 when it does not say,
// or when that is over.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	says := strings.TrimSpace(h.Get("Retry-After"))
	if says == "" {
		return 0
	}
	if seconds, err := strconv.ParseFloat(says, 64); err == nil {
		if !(seconds < mostWait.Seconds()) {
			return mostWait
		}
		return max(0, time.Duration(seconds*float64(time.Second)))
	}
	at, err := http.ParseTime(says)
	if err != nil {
		return 0
	}
	return min(mostWait, max(0, at.Sub(now)))
}

// A Pace says when the next attempt at a place may be made: not sooner than Every after the one before, later with each that failed, and never before
// the place itself allows. The zero value has no bounds. Only one goroutine uses it.
type Pace struct {
	Every  time.Duration // at least, from one attempt to the next
	Least  time.Duration // after the first that failed; it doubles with each
	Most   time.Duration // at most, unless the place asks for more
	Jitter float64       // how much of a pause is left to chance, so that many who failed together do not come back together

	next   time.Time
	pauses *backoff.ExponentialBackOff // nil: the newest attempt did not fail
}

// Next is when the next attempt may be made.
func (p *Pace) Next() time.Time { return p.next }

// Done notes an attempt that was answered well.
func (p *Pace) Done(now time.Time) {
	p.pauses = nil
	p.next = now.Add(p.Every)
}

// Failed notes one that was not; asked is how long the place wants to be left alone, 0 where it does not say.
func (p *Pace) Failed(now time.Time, asked time.Duration) {
	if p.pauses == nil {
		p.pauses = backoff.NewExponentialBackOff()
		p.pauses.InitialInterval, p.pauses.MaxInterval, p.pauses.Multiplier, p.pauses.RandomizationFactor = p.Least, p.Most, 2, p.Jitter
		p.pauses.Reset()
	}
	p.next = now.Add(max(p.Every, p.pauses.NextBackOff(), asked))
}
