package window_test

import (
	"strings"
	"testing"
	"time"
	"unicode"

	"windlass/desired/window"
)

// FuzzExpression: whatever a rule says, it is understood or refused with one line. What is understood is at some time, within a year for days
// and in its dates; while it would allow, it would deny.
func FuzzExpression(f *testing.F) {
	for i, text := range []string{
		"Mon-Fri 09:00-16:00", "Mon,Wed 22:00-02:00", "Sat-Sun", "Fri-Mon", "mon-SUN", "09:00-16:00", "22:00-24:00", "2026-12-24", "2026-12-20/2027-01-02",
		"2026-12-24 12:00/2026-12-27 08:00", "2026-03-29 02:30/2026-03-29 03:00", "2011-12-30", "2028-02-29", "0000-01-01/9999-12-31", "0 9 * * 1-5", "Mon-Fri 9-5",
	} {
		f.Add(text, uint8(i), int64(1790000000))
	}
	f.Fuzz(func(t *testing.T, text string, place uint8, seconds int64) {
		in := zone(t, zones[int(place)%len(zones)])
		allowed, errs := window.New(in, []window.Rule{allow(text)})
		for _, err := range errs {
			if len(err.Text) > 600 || err.Text == "" || strings.ContainsFunc(err.Text, func(c rune) bool { return !unicode.IsPrint(c) }) {
				t.Fatalf("%q: not a line: %q", text, err.Text)
			}
		}
		if len(errs) > 0 {
			return
		}
		denied, errs := window.New(in, []window.Rule{deny(text)})
		if len(errs) > 0 || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c > '~' }) {
			t.Fatalf("%q allows, and does not deny: %v", text, errs)
		}
		now := time.Unix(seconds%(1<<35), 0)
		if len(text) >= len(time.DateOnly) {
			if date, err := time.Parse(time.DateOnly, text[:len(time.DateOnly)]); err == nil {
				now = date.Add(-48 * time.Hour)
			}
		}
		v := allowed.At(now)
		if !v.Open && v.Until.IsZero() {
			t.Fatalf("%q is never in %s: %+v at %v", text, in, v, now)
		}
		if !v.Open {
			now = v.Until
		}
		if v := denied.At(now); v.Open || v.Reason == "" {
			t.Fatalf("%q allows and does not deny in %s at %v: %+v", text, in, now, v)
		}
	})
}
