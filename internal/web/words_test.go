package web

import (
	"testing"
	"time"
)

func TestHowLongSomethingTakes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		took        time.Duration
		span, about string
	}{
		{-time.Second, "0 s", "5 s"},
		{4 * time.Second, "4 s", "5 s"},
		{9 * time.Second, "9 s", "10 s"},
		{54*time.Second + 900*time.Millisecond, "54 s", "50 s"},
		{55 * time.Second, "55 s", "1 min"},
		{94 * time.Second, "1 min", "1 min 30 s"},
		{9*time.Minute + 54*time.Second, "9 min", "9 min 50 s"},
		{9*time.Minute + 55*time.Second, "9 min", "10 min"},
		{59*time.Minute + 59*time.Second, "59 min", "1 h"},
		{3*time.Hour + 20*time.Minute, "3 h 20 min", "3 h 20 min"},
		{26 * time.Hour, "1 d 2 h", "1 d 2 h"},
	} {
		if got := span(c.took); got != c.span {
			t.Errorf("%v took %q, want %q", c.took, got, c.span)
		}
		if got := about(c.took); got != c.about {
			t.Errorf("%v takes about %q, want %q", c.took, got, c.about)
		}
	}
}
