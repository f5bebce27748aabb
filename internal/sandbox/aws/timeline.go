package aws

import "time"

// memory is how long a timeline knows what was before, and so the longest lag that reads can have.
const memory = time.Minute

// timeline is a value together with what it was before, so that a read can be answered as of an earlier moment. The zero
// timeline holds the zero value.
type timeline[T any] struct {
	entries []entry[T] // oldest first
}

type entry[T any] struct {
	since time.Time
	value T
}

// set makes value the one that holds from now on, and forgets what ended more than memory ago.
func (t *timeline[T]) set(now time.Time, value T) {
	for len(t.entries) > 1 && t.entries[1].since.Before(now.Add(-memory)) {
		t.entries = t.entries[1:]
	}
	t.entries = append(t.entries, entry[T]{now, value})
}

// at returns the value that held at that time, the zero value when none did yet.
func (t *timeline[T]) at(when time.Time) T {
	for i := len(t.entries) - 1; i >= 0; i-- {
		if !t.entries[i].since.After(when) {
			return t.entries[i].value
		}
	}
	var none T
	return none
}
