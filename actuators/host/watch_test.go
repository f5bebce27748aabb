package host_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/actuators/host"
)

// A watch is a call of Sense.
type watch struct {
	*testing.T
	samples chan actuators.Traffic
	ended   chan error
	cancel  func()
}

func sense(t *testing.T, h *host.Host, at actuators.Place, service actuators.Service) *watch {
	ctx, cancel := context.WithCancel(context.Background())
	w := &watch{T: t, samples: make(chan actuators.Traffic, 10000), ended: make(chan error, 1), cancel: cancel}
	var done sync.WaitGroup
	done.Go(func() { w.ended <- h.Sense(ctx, at, service, func(s actuators.Traffic) { w.samples <- s }) })
	t.Cleanup(func() { cancel(); done.Wait() })
	return w
}

// until waits for a sample, and returns it.
func (w *watch) until(what string, is func(actuators.Traffic) bool) actuators.Traffic {
	w.Helper()
	var last actuators.Traffic
	for limit := time.After(time.Minute); ; {
		select {
		case s := <-w.samples:
			if last = s; is(s) {
				return s
			}
		case err := <-w.ended:
			w.Fatalf("%s: it has ended: %v, after %+v", what, err, last)
		case <-limit:
			w.Fatalf("%s: not in a minute, the last sample is %+v", what, last)
		}
	}
}

// fresh waits for a sample that was begun after now.
func (w *watch) fresh() actuators.Traffic {
	w.Helper()
	for len(w.samples) > 0 {
		<-w.samples
	}
	w.until("a sample that may have begun before", func(actuators.Traffic) bool { return true })
	return w.until("a sample", func(actuators.Traffic) bool { return true })
}

// sees waits until it can be relied upon, and nobody else is connected.
func (w *watch) sees(sensor string) {
	w.Helper()
	s := w.until("sees", func(s actuators.Traffic) bool { return s.Sees })
	if s.Sensor != sensor {
		w.Errorf("%s is used, not %s", s.Sensor, sensor)
	}
}

func (w *watch) busy(n int) actuators.Traffic {
	w.Helper()
	return w.until(fmt.Sprint(n, " busy"), func(s actuators.Traffic) bool { return s.Busy == n })
}

// blind waits until it has told that it is, and nothing more.
func (w *watch) blind(parts ...string) {
	w.Helper()
	var last actuators.Traffic
	select {
	case err := <-w.ended:
		if err != nil {
			w.Fatal(err)
		}
	case <-time.After(2 * time.Minute):
		w.Fatal("it does not end")
	}
	for len(w.samples) > 0 {
		if last.Blind != "" {
			w.Error("told of after it was blind")
		}
		last = <-w.samples
	}
	for _, part := range parts {
		if !strings.Contains(last.Blind, part) {
			w.Errorf("%+v does not say %q", last, part)
		}
	}
	if last.Sees || last.Busy != 0 || last.Others != nil || last.Blind == "" {
		w.Errorf("blind: %+v", last)
	}
}

// wrong waits until it ends with an error.
func (w *watch) wrong(parts ...string) {
	w.Helper()
	select {
	case err := <-w.ended:
		complaint(w.T, err, append(parts, "cannot see the connections of")...)
	case <-time.After(time.Minute):
		w.Fatal("it does not end")
	}
}
