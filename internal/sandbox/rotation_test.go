package sandbox

import (
	"testing"
	"time"

	"windlass/internal/sandbox/aws"
)

func TestRotationKeepsTheWorstMoment(t *testing.T) {
	t.Parallel()
	f := startFleet(t, Options{Nodes: 3, Delay: time.Nanosecond})
	worst := func(want int) {
		t.Helper()
		for changed := f.Cloud.Changed(); f.Rotation.Least() != want; changed = f.Cloud.Changed() {
			select {
			case <-changed:
			case <-time.After(50 * time.Millisecond): // the watch itself tells nobody
			case <-t.Context().Done():
				t.Fatalf("the worst moment had %d, want %d", f.Rotation.Least(), want)
			}
		}
	}
	worst(3)
	target := aws.Target{ID: f.Nodes()[0].Instance}
	check(t, f.Cloud.Deregister("web", target))
	worst(2)
	check(t, f.Cloud.Register("web", target))
	check(t, f.awaitHealthy(t.Context()))
	if least := f.Rotation.Least(); least != 2 {
		t.Errorf("it forgot the worst moment: %d", least)
	}
	for f.Rotation.Reset() != 3 {
		if t.Context().Err() != nil {
			t.Fatal("it never began anew")
		}
	}
}
