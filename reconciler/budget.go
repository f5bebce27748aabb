package reconciler

import "time"

// A budget bounds how often something is done in the long run, and lets as much as was saved up meanwhile be done at once. The zero value
// has all that can be saved up.
type budget struct {
	paid time.Time // until when what was done is paid for, one each period
}

// next is when it may be done next, at one each period and most at once.
func (b budget) next(period time.Duration, most int) time.Time {
	return b.paid.Add(-time.Duration(most-1) * period)
}

func (b *budget) spend(now time.Time, period time.Duration) { b.paid = later(now, b.paid).Add(period) }
