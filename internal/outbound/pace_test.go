package outbound_test

import (
	"net/http"
	"testing"
	"time"

	"windlass/internal/outbound"
)

var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for says, want := range map[string]time.Duration{
		"": 0, "0": 0, "30": 30 * time.Second, " 1.5 ": 1500 * time.Millisecond, "-5": 0, "1e300": time.Hour, "Inf": time.Hour, "NaN": time.Hour, "soon": 0,
		"Sat, 14 Mar 2026 12:02:00 GMT": 2 * time.Minute, "Sat, 14 Mar 2026 11:00:00 GMT": 0, "Sun, 14 Mar 2027 12:00:00 GMT": time.Hour,
	} {
		if got := outbound.RetryAfter(http.Header{"Retry-After": {says}}, noon); got != want {
			t.Errorf("%q: %v, want %v", says, got, want)
		}
	}
}

func TestPace(t *testing.T) {
	t.Parallel()
	p := outbound.Pace{Every: time.Second, Least: 2 * time.Second, Most: 10 * time.Second}
	if !p.Next().Before(noon) {
		t.Error("the first attempt has to wait")
	}
	after := func(want time.Duration) {
		t.Helper()
		if got := p.Next().Sub(noon); got != want {
			t.Errorf("the next comes after %v, want %v", got, want)
		}
	}
	p.Done(noon)
	after(time.Second)
	for _, want := range []time.Duration{2, 4, 8, 10, 10} {
		p.Failed(noon, 0)
		after(want * time.Second)
	}
	p.Failed(noon, time.Minute)
	after(time.Minute)
	p.Done(noon)
	p.Failed(noon, time.Millisecond)
	after(2 * time.Second)
}

func TestPaceLeavesSomethingToChance(t *testing.T) {
	t.Parallel()
	seen := map[time.Time]bool{}
	for range 50 {
		p := outbound.Pace{Least: time.Minute, Most: time.Hour, Jitter: 0.5}
		p.Failed(noon, 0)
		if d := p.Next().Sub(noon); d < 30*time.Second || d > 90*time.Second {
			t.Errorf("a pause of %v", d)
		}
		seen[p.Next()] = true
	}
	if len(seen) < 2 {
		t.Error("all come back together")
	}
}
