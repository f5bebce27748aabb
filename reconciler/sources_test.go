package reconciler

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler/plan"
)

// lists is an inventory that may be out of order, or slow. It finds static nodes where the file names some.
type lists struct {
	*stage
	down, slow *atomic.Bool
}

func listsOf(s *stage) lists { return lists{s, new(atomic.Bool), new(atomic.Bool)} }

func (l lists) Nodes(ctx context.Context, set desired.NodeSet) (actuators.Inventory, error) {
	if l.down.Load() {
		return actuators.Inventory{}, errors.New("ec2 is throttled")
	}
	if l.slow.Load() {
		time.Sleep(5 * time.Second)
	}
	found, err := l.stage.Nodes(ctx, set)
	if set.Static == nil {
		return found, err
	}
	var named []actuators.Node
	for _, n := range found.Nodes {
		for _, s := range set.Static {
			if s.Name == n.Name {
				named = append(named, n)
			}
		}
	}
	return actuators.Inventory{Nodes: named}, err
}

// Laws 1 and 11: machines that cannot be listed leave the load balancers readable, and what is under way goes on.
func TestLaw1InventoryOutageStopsNoOtherReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(3, "v1")
		s.leaves, s.comes, s.job = true, true, time.Minute
		d, l := s.deps(), listsOf(s)
		d.Inventory = l
		g, _, end := s.begin(t, webFleet("v2"), d)
		defer end()
		time.Sleep(30 * time.Second) // web-1 is being configured
		l.down.Store(true)
		time.Sleep(time.Hour)
		f := g.Snapshot().Fleets[0]
		if f.Phase == plan.PhaseHalted || f.Releases["v2"] == 0 || f.InService != 3 {
			t.Errorf("after an hour: %s, %s; %d in service, %v", f.Phase, f.Reason, f.InService, f.Releases)
		}
		s.mu.Lock()
		s.groups[0].Members[0].Status, s.groups[0].Members[0].AtFault = actuators.TargetUnhealthy, true
		s.mu.Unlock()
		time.Sleep(time.Minute)
		if f := g.Snapshot().Fleets[0]; f.InService != 2 {
			t.Errorf("one of 3 is unhealthy, and %d are said to be in service", f.InService)
		}
		l.down.Store(false)
		time.Sleep(time.Hour)
		if f := g.Snapshot().Fleets[0]; f.Releases["v2"] != 3 {
			t.Errorf("after the outage: %s, %s; %v", f.Phase, f.Reason, f.Releases)
		}
	})
}

// Law 1: a node that a commit takes out of the fleet is left alone, however late the new list of machines comes.
func TestLaw1NodeThatACommitTakesOutIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(3, "v1")
		s.leaves, s.comes, s.job = true, true, 5*time.Second
		d, l := s.deps(), listsOf(s)
		d.Inventory = l
		g, states, end := s.begin(t, webFleet("v1"), d)
		defer end()
		time.Sleep(time.Minute)
		l.slow.Store(true)
		f := webFleet("v2")
		f.Nodes.Static = []desired.StaticNode{{Name: "web-2", Address: "web-2"}, {Name: "web-3", Address: "web-3"}}
		rev := strings.Repeat("b", 40)
		states <- desired.State{Revision: rev, Fleets: map[string]desired.Version{"web": {Fleet: f, Revision: rev}}}
		time.Sleep(time.Hour)
		if f := g.Snapshot().Fleets[0]; f.Releases["v2"] != 2 {
			t.Errorf("%s, %s; %v", f.Phase, f.Reason, f.Releases)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if written := strings.Join(s.written, ", "); strings.Contains(written, "web-1 ") {
			t.Errorf("web-1 is not of the fleet any more, and was worked on: %s", written)
		}
	})
}

// Law 23: a node that a commit takes out of the fleet in mid-journey is left as it is, and told.
func TestLaw23NodeTakenOutInMidJourneyIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(3, "v1")
		s.leaves, s.comes, s.job = true, true, time.Minute
		for i := range s.nodes {
			s.hosts[s.nodes[i].Name].Record.Instance, s.nodes[i].ID = s.nodes[i].ID, "" // a machine id, then
		}
		d := s.deps()
		d.Inventory = listsOf(s)
		f := webFleet("v2")
		f.Nodes.Static = []desired.StaticNode{{Name: "web-1"}, {Name: "web-2"}, {Name: "web-3"}}
		g, states, end := s.begin(t, f, d)
		defer end()
		time.Sleep(30 * time.Second) // web-1 is being configured
		fewer := webFleet("v2")
		fewer.Nodes.Static = f.Nodes.Static[1:]
		rev := strings.Repeat("b", 40)
		states <- desired.State{Revision: rev, Fleets: map[string]desired.Version{"web": {Fleet: fewer, Revision: rev}}}
		time.Sleep(10 * time.Second)
		told := func() bool {
			holds := g.Snapshot().Fleets[0].Holds
			return slices.ContainsFunc(holds, func(h plan.Hold) bool {
				return strings.HasPrefix(h.Reason, "web-1 left the fleet in the middle of a journey")
			})
		}
		if !told() {
			t.Errorf("nobody is told: %v", g.Snapshot().Fleets[0].Holds)
		}
		time.Sleep(time.Hour)
		if f := g.Snapshot().Fleets[0]; len(f.Nodes) != 2 || f.Releases["v2"] != 2 || !told() {
			t.Errorf("%s, %s; %v, %v", f.Phase, f.Reason, f.Releases, f.Holds)
		}
		again := webFleet("v2")
		again.Nodes.Static = f.Nodes.Static
		states <- desired.State{Revision: rev, Fleets: map[string]desired.Version{"web": {Fleet: again, Revision: rev}}}
		time.Sleep(time.Hour)
		if f := g.Snapshot().Fleets[0]; f.Releases["v2"] != 3 || f.InService != 3 || told() {
			t.Errorf("named again: %s, %s; %v", f.Phase, f.Reason, f.Holds)
		}
	})
}

// formerGone is a balancer that says of every group only records name that there is none.
type formerGone struct{ *stage }

func (f formerGone) Observe(ctx context.Context, named []desired.LoadBalancer, recorded []string) ([]actuators.GroupState, error) {
	out, err := f.stage.Observe(ctx, named, recorded)
	for _, id := range recorded {
		out = append(out, actuators.GroupState{Group: actuators.Group{ID: id, Name: "old"}, Err: "there is no such group", Missing: true, At: time.Now()})
	}
	return out, err
}

// A group that was deleted, and that a record still names, slows nobody's readings.
func TestDeletedGroupIsNoTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(3, "v1")
		r := &s.hosts["web-3"].Record
		r.Places = append(r.Places, actuators.Membership{Group: "arn:old", ID: "web-3", Port: 80})
		d := s.deps()
		d.Balancer = formerGone{s}
		_, _, end := s.begin(t, webFleet("v1"), d)
		defer end()
		time.Sleep(10 * time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		if n := len(s.observed); n < 35 {
			t.Errorf("the groups were read %d times in 10 minutes, at an interval of 15 s", n)
		}
	})
}

// A group that cannot be read shows its own last answer, and no other's of its name.
func TestUnreadableGroupShowsItsOwnLastAnswer(t *testing.T) {
	state := func(id, name, err string) actuators.GroupState {
		return actuators.GroupState{Group: actuators.Group{ID: id, Name: name}, Err: err}
	}
	a := &actor{
		groups: []actuators.GroupState{state("arn:web", "web", ""), state("", "api", "denied"), state("classic/web", "web", "")},
		former: []actuators.GroupState{state("arn:b", "b", ""), state("arn:a", "a", "")},
	}
	states := []actuators.GroupState{state("", "web", "throttled"), state("", "api", "throttled"), state("classic/web", "web", ""), state("arn:a", "arn:a", "throttled")}
	a.recall(states)
	var got []string
	for _, s := range states {
		got = append(got, s.ID+" "+s.Name+" "+s.Err)
	}
	if got, want := strings.Join(got, ", "), "arn:web web throttled,  api throttled, classic/web web , arn:a a throttled"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// formerDenied is a balancer that denies what only records name.
type formerDenied struct {
	*stage
	asked *atomic.Int64
}

func (f formerDenied) Observe(ctx context.Context, named []desired.LoadBalancer, recorded []string) ([]actuators.GroupState, error) {
	f.asked.Add(1)
	began := time.Now()
	out, err := f.stage.Observe(ctx, named, recorded)
	for _, id := range recorded {
		out = append(out, actuators.GroupState{Group: actuators.Group{ID: id, Name: "old"}, Err: "denied", At: began})
	}
	return out, err
}

// failsOnce is a host on which the first job of one machine fails.
type failsOnce struct {
	*stage
	failed *atomic.Bool
}

func (h failsOnce) Run(ctx context.Context, at actuators.Place, old string, r actuators.NodeRecord, j actuators.Job, written func(actuators.HostState)) (actuators.JobState, error) {
	state, err := h.stage.Run(ctx, at, old, r, j, written)
	if at.Node.Name != "web-4" || h.failed.Swap(true) {
		return state, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hosts["web-4"].Job.Exit = 1
	return h.hosts["web-4"].Job, err
}

// A group that only one record names, and that cannot be read, is not asked for over and over, and what is under way elsewhere goes on.
func TestUnreadableFormerGroupIsNoHotLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(4, "v1")
		s.leaves, s.comes, s.job = true, true, 5*time.Second
		r := &s.hosts["web-1"].Record
		r.Places = append(r.Places, actuators.Membership{Group: "arn:old", ID: "web-1", Port: 80})
		for _, name := range []string{"web-3", "web-4"} { // being configured since an earlier start
			r := &s.hosts[name].Record
			r.Proven, r.Places, r.Taken = actuators.Version{}, nil, r.Places
			r.Stage, r.StageAt, r.Try = actuators.Configuring, time.Now().Add(-time.Hour), actuators.Try{ID: "1", Version: r.On}
			r.Claim = &actuators.Claim{Holder: "a", Nonce: "before", Expires: time.Now().Add(-time.Hour)}
		}
		s.groups[0].Members = s.groups[0].Members[:2]
		d, asked := s.deps(), new(atomic.Int64)
		d.Balancer, d.Host = formerDenied{s, asked}, failsOnce{s, new(atomic.Bool)}
		g, _, end := s.begin(t, webFleet("v1"), d)
		defer end()
		time.Sleep(30 * time.Minute)
		if f := g.Snapshot().Fleets[0]; f.InService != 4 || asked.Load() > 200 {
			t.Errorf("%s, %s; %d in service after %d readings", f.Phase, f.Reason, f.InService, asked.Load())
		}
	})
}
