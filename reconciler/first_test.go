package reconciler

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
)

// answering is a world whose nodes answer with the release that they have, and refuse connections while they have none.
type answering struct {
	*stage
	has  map[string]string
	dumb string // a node of which nobody learns anything
}

func (a answering) Probe(_ context.Context, at actuators.Place, c desired.Check, release string) health.Sample {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := health.Sample{Check: c.Name, At: time.Now(), Result: health.Pass}
	switch has := a.has[at.Node.Name]; {
	case at.Node.Name == a.dumb:
		s.Result, s.Detail = health.NoAnswer, "no session: connection reset"
	case has == "":
		s.Result, s.Detail = health.Fail, "connection refused"
	case has != release:
		s.Result, s.Detail = health.Contradict, "answers "+has
	}
	return s
}

func (a answering) Run(ctx context.Context, at actuators.Place, old string, r actuators.NodeRecord, j actuators.Job, written func(actuators.HostState)) (actuators.JobState, error) {
	done, err := a.stage.Run(ctx, at, old, r, j, written)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err == nil {
		a.has[at.Node.Name] = r.Try.Version.Release
	}
	return done, err
}

// unwritten makes nodes such that nobody wrote down, and returns what they have.
func (s *stage) unwritten(has map[string]string) answering {
	for name := range has {
		s.hosts[name].Record = actuators.NodeRecord{}
	}
	all := map[string]string{}
	for _, n := range s.nodes {
		all[n.Name] = "v1"
	}
	for name, release := range has {
		all[name] = release
	}
	return answering{stage: s, has: all}
}

// patient has checks that wait for long.
func patient(f *desired.Fleet) *desired.Fleet {
	f.Health[0].Within = 10 * time.Minute
	return f
}

// A fleet behind no load balancer that adopts nothing and has no records is asked for what is wanted, not for an empty release: it begins.
// So does a node that is added to it later.
func TestFleetThatAdoptsNothingBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := unbalancedStage(3, "v1")
		world := s.unwritten(map[string]string{"web-1": "v1", "web-2": "v1", "web-3": "v1"})
		d := s.deps()
		d.Host, d.Prober = world, world
		f := patient(unbalancedFleet("v2"))
		f.Adopt = false
		added := s.nodes[2]
		s.nodes = s.nodes[:2]
		_, _, end := s.begin(t, f, d)
		defer end()
		time.Sleep(2 * time.Minute)
		s.mu.Lock()
		s.nodes = append(slices.Clone(s.nodes), added)
		s.mu.Unlock()
		time.Sleep(2 * time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		for name, has := range world.has {
			if r := s.hosts[name].Record; has != "v2" || r.Stage != actuators.Idle || r.Proven.Release != "v2" {
				t.Errorf("%s has %s, and its record says %s, proven %q", name, has, r.Stage, r.Proven.Release)
			}
		}
	})
}

// A new, empty node is asked whether it serves, and refused connections are a certain no: it is configured at once. One of which nothing is
// learned is waited for, and how long is told.
func TestNewEmptyNodeIsConfiguredAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := unbalancedStage(5, "v1")
		world := s.unwritten(map[string]string{"web-4": "", "web-5": ""})
		world.dumb = "web-5"
		d := s.deps()
		d.Host, d.Prober = world, world
		agent, _, end := s.begin(t, patient(unbalancedFleet("v1")), d)
		defer end()
		time.Sleep(20 * time.Second)
		s.mu.Lock()
		defer s.mu.Unlock()
		if !slices.Contains(s.written, "web-4 configuring") || slices.Contains(s.written, "web-5 configuring") {
			t.Errorf("after 20 s: %v", s.written)
		}
		for _, n := range agent.Snapshot().Fleets[0].Nodes {
			if n.Name == "web-5" && (n.Deadline.IsZero() || !strings.Contains(n.Reason, "connection reset")) {
				t.Errorf("web-5 until %s: %s", n.Deadline, n.Reason)
			}
		}
	})
}
