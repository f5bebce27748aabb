package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"windlass/internal/web"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

// told is a fleet that changes when it is told to. It satisfies web.Source.
type told struct {
	mu      sync.Mutex
	fleet   reconciler.Status
	changed chan struct{}
}

func newTold(nodes int) *told {
	s := reconciler.Status{Name: "web", Ready: true, Phase: plan.PhaseWaiting, Reason: "event 0", Desired: reconciler.Desired{Release: "v2", Revision: "3f2a6c1e8d", Digest: "d"}, Size: nodes}
	for i := range nodes {
		n := crowdNode(i)
		s.Nodes = append(s.Nodes, reconciler.Node{
			NodeStatus: plan.NodeStatus{Name: n.Name, State: plan.Outdated, Release: "v1", Reason: "serves v1, wanted is v2", Since: noon, Outdated: true}, Instance: n.ID, Address: n.Address, Zone: n.Zone,
		})
	}
	return &told{fleet: s, changed: make(chan struct{})}
}

func (s *told) Snapshot() reconciler.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return reconciler.Snapshot{At: time.Now(), Repo: reconciler.Repo{Revision: "3f2a6c1e8d", Checked: noon}, Fleets: []reconciler.Status{s.fleet}}
}

func (s *told) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// change publishes what a change makes of the fleet.
func (s *told) change(as func(*reconciler.Status)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fleet.Nodes = slices.Clone(s.fleet.Nodes)
	as(&s.fleet)
	close(s.changed)
	s.changed = make(chan struct{})
}

// event is a change that a follower tells of by its number, at once: of those from progressing to waiting it tells few.
func (s *told) event(i int) {
	s.change(func(f *reconciler.Status) {
		f.Phase, f.Reason = []plan.Phase{plan.PhaseProgressing, plan.PhasePaused}[i%2], fmt.Sprintf("event %d.", i)
	})
}

// BenchmarkEvents measures the way from a change to its line in a follower, a process of its own: after quiet, and while a node changes every
// 10 ms. What is aimed at is a fleet that some watch; how it is with the largest that is usual, and as many who watch as may, is for information.
func BenchmarkEvents(b *testing.B) {
	const most = 200 * time.Millisecond
	for _, c := range []struct {
		nodes, watchers int
		bound           bool
	}{{100, 10, true}, {1000, 100, false}} {
		b.Run(fmt.Sprintf("%d nodes, %d watch", c.nodes, c.watchers), func(b *testing.B) {
			for b.Loop() {
				m := measureEvents(b, c.nodes, c.watchers)
				report := func(when string, all []time.Duration) {
					what := fmt.Sprintf("an event of %d nodes, to its line in one of %d followers, %s: median, worst of %d", c.nodes, c.watchers, when, len(all))
					got, worst := millis(halfway(all))+", "+millis(slices.Max(all)), slices.Max(all)
					if c.bound {
						table.add(what, got, "≤ 200 ms", worst <= most)
					} else {
						table.note(what, got)
					}
				}
				report("after quiet", m.quiet)
				report("a change each 10 ms", m.burst)
				table.note(fmt.Sprintf("  processors that serving and hearing %d of them takes meanwhile", c.watchers), fmt.Sprintf("%.2f", m.processors))
			}
		})
	}
}

// An eventTimes is what was measured of one crowd of followers.
type eventTimes struct {
	quiet, burst []time.Duration
	processors   float64
}

func measureEvents(b *testing.B, nodes, watchers int) eventTimes {
	const events = 20
	f := newFollowed(b, nodes, watchers)
	f.takes(b) // the first tells how all stands
	var m eventTimes
	for range events {
		time.Sleep(400 * time.Millisecond)
		m.quiet = append(m.quiet, f.takes(b))
	}
	spent, began := cpuTime(), time.Now()
	stop := f.source.busy(10 * time.Millisecond)
	for range events {
		time.Sleep(70 * time.Millisecond)
		m.burst = append(m.burst, f.takes(b))
	}
	stop()
	m.processors = (cpuTime() - spent).Seconds() / time.Since(began).Seconds()
	return m
}

// A followed fleet is one that a process follows, beside others who watch.
type followed struct {
	source *told
	lines  *bufio.Scanner // of the process
	events int
	kill   func()
}

func newFollowed(b *testing.B, nodes, watchers int) *followed {
	executable, err := windlass()
	check(b, err)
	f := &followed{source: newTold(nodes)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- web.Serve(ctx, l, web.New(web.Options{Addr: l.Addr().String(), Source: f.source, Metrics: http.NotFoundHandler()}), nil, slog.New(slog.DiscardHandler))
	}()
	b.Cleanup(func() { cancel(); check(b, <-served) })
	url := "http://" + l.Addr().String()
	for range watchers - 1 {
		answer, err := http.Get(url + "/api/v1/events")
		check(b, err)
		go func() { _, _ = io.Copy(io.Discard, answer.Body); answer.Body.Close() }() // until the server ends
	}
	cmd := exec.Command(executable, "follow", "web", "--server", url)
	out, err := cmd.StdoutPipe()
	check(b, err)
	check(b, cmd.Start())
	f.kill = func() { _ = cmd.Process.Kill() }
	b.Cleanup(func() { f.kill(); _ = cmd.Wait() })
	f.lines = bufio.NewScanner(out)
	return f
}

// takes is how long the next event takes to the process's line.
func (f *followed) takes(b *testing.B) time.Duration {
	f.events++
	end := time.AfterFunc(time.Minute, f.kill)
	defer end.Stop()
	began := time.Now()
	f.source.event(f.events)
	for f.lines.Scan() {
		if strings.Contains(f.lines.Text(), fmt.Sprintf("event %d.", f.events)) {
			return time.Since(began)
		}
	}
	b.Fatalf("it ended before event %d: %v", f.events, f.lines.Err())
	return 0
}

// busy changes a node now and then, until it is stopped.
func (s *told) busy(every time.Duration) (stop func()) {
	ended := make(chan struct{})
	var changing sync.WaitGroup
	changing.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-ended:
				return
			case <-tick.C:
				s.change(func(f *reconciler.Status) { f.Nodes[i%len(f.Nodes)].Reason = fmt.Sprint("change ", i) })
			}
		}
	})
	return func() { close(ended); changing.Wait() }
}
