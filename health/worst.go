package health

import (
	"strings"
	"time"
)

// Worst combines the verdicts of a node's checks: Failing before Contradicted, Unknown, Pending, Passing. The reason joins those of
// the verdicts that decided, Flaps is the sum of all, and Deadline the earliest of the pending ones. Of no verdicts nothing is known.
func Worst(verdicts ...Verdict) Verdict {
	if len(verdicts) == 0 {
		return Verdict{Reason: "no check was judged"}
	}
	worst := Verdict{Status: Passing}
	for _, v := range verdicts {
		if badness(v.Status) > badness(worst.Status) {
			worst.Status = v.Status
		}
	}
	var reasons []string
	for _, v := range verdicts {
		worst.Flaps += v.Flaps
		if v.Status != worst.Status {
			continue
		}
		reasons = append(reasons, v.Reason)
		if worst.Deadline.IsZero() || v.Deadline.Before(worst.Deadline) {
			worst.Deadline = v.Deadline
		}
	}
	worst.Reason = strings.Join(reasons, "; ")
	return worst
}

func badness(s Status) int {
	switch s {
	case Passing:
		return 0
	case Pending:
		return 1
	case Contradicted:
		return 3
	case Failing:
		return 4
	default:
		return 2
	}
}

// firstPace is how soon a check is tried again after its first try.
const firstPace = 20 * time.Millisecond

// Pace is how long to wait before the next try of a check that has been tried so often without passing: nothing before the first,
// then 20 ms, doubled each time, and never more than interval.
func Pace(tried int, interval time.Duration) time.Duration {
	if tried <= 0 {
		return 0
	}
	pace := firstPace
	for i := 1; i < tried && pace < interval; i++ {
		pace *= 2
	}
	return min(pace, interval)
}
