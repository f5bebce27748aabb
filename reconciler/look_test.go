package reconciler_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

// A scene is a world to look at: nodes by name with the release they serve. Changing anything in it fails the test.
type scene struct {
	t        *testing.T
	serves   map[string]string // empty: nobody answers on the web port
	silent   string            // a node whose SSH server never answers
	problem  error             // of the inventory
	slow     time.Duration     // that the balancers take to answer
	observed atomic.Int32
}

func (s *scene) Nodes(_ context.Context, set desired.NodeSet) (actuators.Inventory, error) {
	var found actuators.Inventory
	for _, n := range set.Static {
		found.Nodes = append(found.Nodes, actuators.Node{Name: n.Name, Address: n.Address, Targets: actuators.Targets{IP: n.Address}})
	}
	return found, s.problem
}

func (s *scene) Observe(_ context.Context, named []desired.LoadBalancer, _ []string) ([]actuators.GroupState, error) {
	s.observed.Add(1)
	time.Sleep(s.slow) // virtual
	g := actuators.GroupState{Group: actuators.Group{ID: "arn:" + named[0].TargetGroup, Name: named[0].TargetGroup}, TargetType: "ip", Port: 8080, At: time.Now()}
	for name := range s.serves {
		g.Members = append(g.Members, actuators.Target{Membership: actuators.Membership{Group: g.ID, ID: name, Port: 8080}, Status: actuators.TargetHealthy})
	}
	return []actuators.GroupState{g}, nil
}

func (s *scene) Register(context.Context, actuators.Membership) error {
	s.t.Error("looking registered a target")
	return nil
}

func (s *scene) Deregister(context.Context, actuators.Membership) error {
	s.t.Error("looking deregistered a target")
	return nil
}

func (s *scene) Read(ctx context.Context, at actuators.Place) (actuators.HostState, error) {
	if at.Node.Name == s.silent {
		<-ctx.Done()
		return actuators.HostState{}, ctx.Err()
	}
	return actuators.HostState{Machine: "m-" + at.Node.Name, Now: time.Now()}, nil
}

func (s *scene) Write(context.Context, actuators.Place, string, actuators.NodeRecord) (actuators.HostState, error) {
	s.t.Error("looking wrote a record")
	return actuators.HostState{}, errors.New("no")
}

func (s *scene) Run(context.Context, actuators.Place, string, actuators.NodeRecord, actuators.Job, func(actuators.HostState)) (actuators.JobState, error) {
	s.t.Error("looking ran a job")
	return actuators.JobState{}, errors.New("no")
}

func (s *scene) Close(actuators.Place) {}

func (s *scene) Probe(_ context.Context, at actuators.Place, c desired.Check, release string) health.Sample {
	sample := health.Sample{Check: c.Name, At: time.Now(), Result: health.Pass}
	switch s.serves[at.Node.Name] {
	case release:
	case "":
		sample.Result = health.Fail
	default:
		sample.Result = health.Contradict
	}
	return sample
}

func (s *scene) StepDone(reconciler.StepDone)            {}
func (s *scene) RolloutDone(reconciler.RolloutDone)      {}
func (s *scene) PassDone(string, time.Duration)          {}
func (s *scene) CheckDone(string, string, health.Result) {}
func (s *scene) Rejected(string, desired.Reason)         {}

// look is one look at fleets that want v2, and the time it took.
func (s *scene) look(ctx context.Context, fleets ...*desired.Fleet) ([]reconciler.Sight, time.Duration, error) {
	began := time.Now()
	state := desired.State{Revision: strings.Repeat("a", 40), Fleets: map[string]desired.Version{}}
	for _, f := range fleets {
		state.Fleets[f.Name] = desired.Version{Fleet: f, Revision: state.Revision}
	}
	sights, err := reconciler.Look(ctx, reconciler.Deps{
		Agent: plan.Agent{Holder: "a", Epoch: 1, Nonce: "n"}, Inventory: s, Balancer: s, Host: s, Prober: s, Observer: s,
		Log: slog.New(slog.DiscardHandler), Interval: 15 * time.Second, Refresh: 5 * time.Minute,
	}, state)
	return sights, time.Since(began), err
}

func fleetNamed(name string, nodes ...string) *desired.Fleet {
	f := &desired.Fleet{
		Name: name, Release: "v2", Adopt: true, Path: "fleets/" + name + ".yaml",
		LoadBalancers: []desired.LoadBalancer{{TargetGroup: name}},
		Configure:     desired.Configure{Activate: []desired.Step{{Name: "install", Run: "install", Timeout: time.Minute}}},
		Health: []desired.Check{{
			Name: "serves", HTTP: &desired.HTTPCheck{Port: 8080, Path: "/", Body: desired.ReleasePlaceholder},
			Interval: time.Second, Timeout: 2 * time.Second, Successes: 2, Within: 2 * time.Minute,
		}},
		Rollout: desired.Rollout{
			MaxUnavailable: desired.Amount{Count: 1}, Bake: 10 * time.Second, Drain: desired.Drain{Timeout: 10 * time.Minute},
			Attempts: 2, ProgressDeadline: 15 * time.Minute, RestoreAfter: 10 * time.Minute,
		},
	}
	for _, n := range nodes {
		f.Nodes.Static = append(f.Nodes.Static, desired.StaticNode{Name: n, Address: n})
	}
	return f
}

func kinds(f plan.Forecast, node string) string {
	var all []string
	for _, e := range f.Events {
		if e.Node == node {
			all = append(all, string(e.Kind))
		}
	}
	return strings.Join(all, " ")
}

// TestLookForeseesTheFirstDay tells nodes to adopt from nodes to roll (law 12), long before failing checks are out of time.
func TestLookForeseesTheFirstDay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{t: t, serves: map[string]string{"web-1": "v2", "web-2": "v2", "web-3": "v1"}}
		sights, took, err := s.look(t.Context(), fleetNamed("web", "web-1", "web-2", "web-3"))
		if err != nil {
			t.Fatal(err)
		}
		f := plan.Foresee(sights[0].Want, sights[0].World)
		if got := kinds(f, "web-1"); got != "adopt" {
			t.Errorf("web-1 serves what is wanted; foreseen: %s", got)
		}
		if got := kinds(f, "web-3"); !strings.Contains(got, "drain configure add") {
			t.Errorf("web-3 serves another release; foreseen: %s", got)
		}
		if f.End.Phase != plan.PhaseIdle {
			t.Errorf("it ends %s: %s", f.End.Phase, f.End.Reason)
		}
		if took > 10*time.Second {
			t.Errorf("looking took %v; a check that only fails is no reason to wait until it is out of time", took)
		}
		if s.observed.Load() > 3 {
			t.Errorf("the balancers were read %d times", s.observed.Load())
		}
	})
}

// TestLookTellsWhatIsDoneFirst although some source took longer than a record may be old when a journey starts: a look has read all.
func TestLookTellsWhatIsDoneFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{t: t, serves: map[string]string{"web-1": "v1", "web-2": "v1"}, slow: 2 * plan.RecordAge}
		sights, _, err := s.look(t.Context(), fleetNamed("web", "web-1", "web-2"))
		if err != nil || len(sights[0].Status.Steps) == 0 {
			t.Errorf("the fleet is %s (%s), and nothing is done first; %v", sights[0].Status.Phase, sights[0].Status.Reason, err)
		}
	})
}

// TestLookTellsWhatCannotBeRead and waits for nothing longer than one call may take.
func TestLookTellsWhatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{t: t, serves: map[string]string{"web-1": "v2", "web-2": "v2"}, silent: "web-2"}
		sights, took, err := s.look(t.Context(), fleetNamed("web", "web-1", "web-2"))
		if err != nil || took > 30*time.Second {
			t.Errorf("looking took %v: %v", took, err)
		}
		if got := sights[0].Status.Nodes[1]; got.State != plan.Unreachable {
			t.Errorf("web-2 is %s (%s), want unreachable", got.State, got.Reason)
		}
		s.problem = errors.New("AWS denies ec2:DescribeInstances")
		sights, _, err = s.look(t.Context(), fleetNamed("web", "web-1"))
		if err != nil || sights[0].World.Inventory.Err != s.problem.Error() {
			t.Errorf("inventory: %+v, %v", sights[0].World.Inventory, err)
		}
	})
}

// TestLaw3LookRefusesFleetsThatShareAMachine as the agent does.
func TestLaw3LookRefusesFleetsThatShareAMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{t: t, serves: map[string]string{"web-1": "v1", "web-2": "v1", "api-1": "v1"}}
		sights, _, err := s.look(t.Context(), fleetNamed("web", "web-1", "web-2"), fleetNamed("api", "api-1", "web-2"))
		if err != nil {
			t.Fatal(err)
		}
		for _, sight := range sights {
			if f := plan.Foresee(sight.Want, sight.World); !strings.Contains(sight.Want.Blocked, "web-2") || len(f.Events) > 0 {
				t.Errorf("fleet %s: blocked %q, %d steps foreseen", sight.Status.Name, sight.Want.Blocked, len(f.Events))
			}
		}
	})
}

// TestLookEndsWithItsContext although a node is silent.
func TestLookEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		s := &scene{t: t, serves: map[string]string{"web-1": "v2"}, silent: "web-1"}
		if _, took, err := s.look(ctx, fleetNamed("web", "web-1")); !errors.Is(err, context.DeadlineExceeded) || took > 4*time.Second {
			t.Errorf("it ended after %v with %v", took, err)
		}
	})
}
