package actuators_test

import (
	"testing"
	"time"

	"windlass/actuators"
)

// polls lists when a wait that ends at end asks, counted from its beginning.
func polls(delay, end time.Duration, network bool) []time.Duration {
	var at []time.Duration
	for elapsed := time.Duration(0); elapsed < end; {
		elapsed += actuators.PollPace(delay, elapsed, network)
		at = append(at, elapsed)
	}
	return at
}

func TestPollPaceOfALongDrainIsSparseFirstAndQuickTowardsTheEnd(t *testing.T) {
	at := polls(300*time.Second, 300*time.Second, false)
	if n := len(at); n > 30 {
		t.Errorf("a drain of five minutes was polled %d times; that is throttled with many fleets (G9)", n)
	}
	if late := at[len(at)-1] - 300*time.Second; late > time.Second {
		t.Errorf("its end was seen %v late", late)
	}
	if at[0] != 15*time.Second {
		t.Errorf("first poll after %v, want the slowest pace", at[0])
	}
}

func TestPollPaceOfAShortDrainIsQuick(t *testing.T) {
	if got := actuators.PollPace(time.Second, 0, false); got != 100*time.Millisecond {
		t.Errorf("first poll of a one second drain after %v", got)
	}
	at := polls(5*time.Second, 5*time.Second, false)
	if late := at[len(at)-1] - 5*time.Second; late > 100*time.Millisecond {
		t.Errorf("the end of a five second drain was seen %v late", late)
	}
}

func TestPollPaceOfAnOverdueDrainSlowsDown(t *testing.T) {
	for _, delay := range []time.Duration{time.Second, 2 * time.Second, 30 * time.Minute} {
		if got := actuators.PollPace(delay, delay, false); got != 100*time.Millisecond {
			t.Errorf("a drain of %v that should be over now is asked after %v", delay, got)
		}
		if got := actuators.PollPace(delay, delay+time.Hour, false); got != 15*time.Second {
			t.Errorf("a drain of %v is overdue by an hour, and asked after %v", delay, got)
		}
	}
	if got := actuators.PollPace(2*time.Second, 0, false); got != 100*time.Millisecond {
		t.Errorf("first poll of a two second drain after %v", got)
	}
}

func TestPollPaceOfAJoinIsQuickFirst(t *testing.T) {
	at := polls(0, 2*time.Minute, false)
	if at[0] != 10*time.Millisecond || at[len(at)-1]-at[len(at)-2] != 5*time.Second {
		t.Errorf("polled at %v; want 10 ms first and 5 s apart in the end", at)
	}
	if first := actuators.PollPace(0, 0, true); first != time.Second {
		t.Errorf("a network load balancer is asked after %v; it takes minutes (G6)", first)
	}
}

func TestPollPaceStaysInItsBounds(t *testing.T) {
	for _, network := range []bool{false, true} {
		for _, delay := range []time.Duration{-time.Second, 0, 1, time.Second, 3 * time.Second, time.Minute, time.Hour} {
			for _, elapsed := range []time.Duration{-time.Second, 0, 1, time.Second, time.Minute, time.Hour, 100 * time.Hour} {
				if got := actuators.PollPace(delay, elapsed, network); got < 10*time.Millisecond || got > 15*time.Second {
					t.Errorf("PollPace(%v, %v, %v) = %v", delay, elapsed, network, got)
				}
			}
		}
	}
}
