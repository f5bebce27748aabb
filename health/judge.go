package health

import (
	"fmt"
	"strings"
	"time"
)

// Judge says what samples, oldest first, show of p.Check at now. Samples of other checks and from before p.Since are left out.
//
//   - Passing: the last p.Successes tries (at least one) passed, and p.Steady has gone by since p.Since and since the last failure until
//     the newest of them.
//   - Failing or Contradicted: not passing although p.Steady and p.Within are over; Contradicted when the newest answer named
//     another release.
//   - Unknown: the same, when no try had an answer, or the newest had none: the subject may have mended since it was last seen.
//   - Pending: anything else, until Deadline.
//
// NoAnswer says nothing about the subject: it neither passes nor fails, it breaks no streak, and a time that ends with it shows nothing.
func Judge(samples []Sample, p Policy, now time.Time) Verdict {
	s := tallySamples(samples, p)
	deadline := p.Since.Add(p.Steady + p.Within)
	v := Verdict{Flaps: s.flaps}
	switch {
	case s.streak >= wanted(p) && !s.passedAt.Before(s.steadyFrom(p)):
		v.Status, v.Reason = Passing, s.passing(p)
	case now.Before(deadline):
		v.Status, v.Reason, v.Deadline = Pending, s.pending(p), deadline
	case s.silent || s.newest == "":
		v.Status, v.Reason = Unknown, s.failing(p)
	case s.newest == Contradict:
		v.Status, v.Reason = Contradicted, s.failing(p)
	default:
		v.Status, v.Reason = Failing, s.failing(p)
	}
	return v
}

func wanted(p Policy) int { return max(1, p.Successes) }

// A tally is what a verdict needs to know of the samples that count.
type tally struct {
	tries, unanswered int
	silent            bool      // the newest try had no answer
	streak            int       // passes in a row up to the newest conclusive sample
	flaps             int       // turns from pass to failure
	newest            Result    // of the conclusive ones; empty: there was none
	failedAt          time.Time // of the newest failure; zero: none
	passedAt          time.Time // of the newest pass; zero: none
	detail            string    // of the newest try that did not pass
}

func tallySamples(samples []Sample, p Policy) tally {
	var t tally
	for _, s := range samples {
		if s.Check == p.Check && !s.At.Before(p.Since) {
			t.add(s)
		}
	}
	return t
}

func (t *tally) add(s Sample) {
	t.tries++
	t.silent = false
	switch s.Result {
	case Pass:
		t.streak++
		t.newest, t.passedAt = Pass, s.At
		return
	case Fail, Contradict:
		if t.newest == Pass {
			t.flaps++
		}
		t.streak, t.newest, t.failedAt = 0, s.Result, s.At
	default:
		t.unanswered++
		t.silent = true
	}
	t.detail = s.Detail
}

// steadyFrom is from when on a pass shows that there was no failure for long enough.
func (t tally) steadyFrom(p Policy) time.Time {
	if t.failedAt.After(p.Since) {
		return t.failedAt.Add(p.Steady)
	}
	return p.Since.Add(p.Steady)
}

func (t tally) passing(p Policy) string {
	reason := fmt.Sprintf("check %s: %s in a row", p.Check, count(t.streak, "pass", "passes"))
	if p.Steady > 0 {
		reason += fmt.Sprintf(", no failure for %v", p.Steady)
	}
	return reason
}

func (t tally) pending(p Policy) string {
	if t.tries == 0 {
		return fmt.Sprintf("check %s: not tried yet", p.Check)
	}
	if t.streak >= wanted(p) {
		return fmt.Sprintf("check %s: %s in a row, must stay without failure for %v", p.Check, count(t.streak, "pass", "passes"), p.Steady)
	}
	return t.short(p)
}

func (t tally) failing(p Policy) string {
	if t.tries == 0 {
		return fmt.Sprintf("check %s: not tried within %v", p.Check, p.Steady+p.Within)
	}
	return t.short(p) + fmt.Sprintf("; had %v", p.Steady+p.Within)
}

// short says how far the streak is from what is wanted, and why.
func (t tally) short(p Policy) string {
	var b strings.Builder
	fmt.Fprintf(&b, "check %s: %d of %s in a row in %s", p.Check, min(t.streak, wanted(p)), count(wanted(p), "pass", "passes"), count(t.tries, "try", "tries"))
	if t.unanswered > 0 {
		fmt.Fprintf(&b, ", %d without an answer", t.unanswered)
	}
	if t.flaps > 0 {
		fmt.Fprintf(&b, ", failed again %s", count(t.flaps, "time", "times"))
	}
	if t.detail != "" {
		fmt.Fprintf(&b, "; last failure: %s", t.detail)
	}
	return b.String()
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
