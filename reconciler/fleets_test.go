package reconciler

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler/plan"
)

// stateOf is what git says of some fleets.
func stateOf(fleets map[string]desired.Version) desired.State {
	rev := strings.Repeat("a", 40)
	for name, v := range fleets {
		v.Revision = rev
		fleets[name] = v
	}
	return desired.State{Revision: rev, Fleets: fleets}
}

// A fleet whose file is gone is finished, left alone and forgotten; when the file comes back, so does the fleet.
func TestFleetWhoseFileIsGoneEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(3, "v1")
		s.leaves, s.comes, s.job = true, true, time.Minute
		f := webFleet("v2")
		g, states, end := s.begin(t, f, s.deps())
		defer end()
		time.Sleep(30 * time.Second) // web-1 is being configured
		states <- stateOf(map[string]desired.Version{"web": {Fleet: f, Released: true}})
		time.Sleep(time.Second)
		if fleets := g.Snapshot().Fleets; len(fleets) != 1 || !fleets[0].underWay() {
			t.Fatalf("in the middle: %+v", fleets)
		}
		time.Sleep(10 * time.Minute)
		if fleets := g.Snapshot().Fleets; len(fleets) != 0 {
			t.Errorf("still there: %s, %s", fleets[0].Phase, fleets[0].Reason)
		}
		states <- stateOf(map[string]desired.Version{"web": {Fleet: f, Released: true}})
		time.Sleep(time.Minute)
		if n := len(g.Snapshot().Fleets); n != 0 {
			t.Error("it came back, and its file did not")
		}
		s.mu.Lock()
		if r := s.hosts["web-1"].Record; r.Stage != actuators.Idle || r.On.Release != "v2" || len(s.groups[0].Members) != 3 {
			t.Errorf("web-1 was left as %+v, with %d members", r, len(s.groups[0].Members))
		}
		s.mu.Unlock()
		broken := stateOf(map[string]desired.Version{"web": {Fleet: f, Released: true}})
		broken.Rejected = map[string]desired.Rejection{"web": {Path: "fleets/web.yaml", Errors: desired.Errors{{Message: "a mistake"}}}}
		states <- broken
		time.Sleep(time.Minute)
		if fleets := g.Snapshot().Fleets; len(fleets) != 1 || fleets[0].Phase != plan.PhaseInvalid {
			t.Errorf("its file is back, and broken: %+v", fleets)
		}
		states <- stateOf(map[string]desired.Version{"web": {Fleet: f}})
		time.Sleep(10 * time.Minute)
		if fleets := g.Snapshot().Fleets; len(fleets) != 1 || fleets[0].Releases["v2"] != 3 {
			t.Errorf("its file is back: %+v", fleets)
		}
	})
}

// listed finds the machines that each fleet's file names, those of the fleet "api" late.
type listed struct {
	*stage
	late  time.Duration
	nodes map[string][]actuators.Node // by the name of the first static node
}

func (l listed) Nodes(ctx context.Context, set desired.NodeSet) (actuators.Inventory, error) {
	name := set.Static[0].Name
	if name == "api" {
		select {
		case <-time.After(l.late):
		case <-ctx.Done():
			return actuators.Inventory{}, ctx.Err()
		}
	}
	return actuators.Inventory{Nodes: l.nodes[name]}, nil
}

// Law 3: two fleets with one machine are both refused, before anything is done to it, by whatever each knows it.
func TestLaw3OneMachineInTwoFleets(t *testing.T) {
	machine := stageOf(3, "v1").nodes[0]
	byAddress, elsewhere, excluded := machine, machine, machine
	byAddress.ID = ""
	elsewhere.ID, elsewhere.SSHPort = "", 2222
	excluded.Name = "left-alone"
	for name, c := range map[string]struct {
		other   actuators.Node
		refused bool
	}{
		"by its id":                      {machine, true},
		"by its address":                 {byAddress, true},
		"another behind the address":     {elsewhere, false},
		"that one of them leaves alone":  {excluded, false},
		"an address that passed to it":   {actuators.Node{Name: "api-1", ID: "i-new", Address: machine.Address}, false},
		"by the id its target goes by":   {actuators.Node{Name: "api-1", Address: "10.0.0.9", Targets: actuators.Targets{Instance: machine.ID}}, true},
		"nothing: they are two machines": {actuators.Node{Name: "api-1", ID: "i-2", Address: "10.0.0.9"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := stageOf(3, "v1")
				s.leaves, s.comes, s.job = true, true, 5*time.Second
				s.hosts["api-1"], s.hosts["left-alone"] = s.hosts["web-2"], s.hosts["web-1"]
				d := s.deps()
				d.Inventory = listed{s, 10 * time.Second, map[string][]actuators.Node{"web": s.nodes, "api": {c.other}}}
				web, api := webFleet("v2"), webFleet("v1")
				web.Nodes.Static = []desired.StaticNode{{Name: "web"}}
				api.Nodes.Static = []desired.StaticNode{{Name: "api"}}
				api.Name, api.LoadBalancers = "api", nil
				api.Nodes.Exclude = []desired.Exclusion{{Name: "left-alone", Reason: "moves"}}
				g, states, end := s.begin(t, web, d)
				defer end()
				states <- stateOf(map[string]desired.Version{"web": {Fleet: web}, "api": {Fleet: api}})
				time.Sleep(10 * time.Minute)
				f := g.Snapshot().Fleets[1]
				s.mu.Lock()
				defer s.mu.Unlock()
				switch {
				case c.refused && (f.Phase != plan.PhaseWaiting || !strings.Contains(f.Reason, "is in fleet api too") || s.runs > 0):
					t.Errorf("%s, %s; %d jobs ran", f.Phase, f.Reason, s.runs)
				case !c.refused && f.Releases["v2"] != 3:
					t.Errorf("%s, %s; %v", f.Phase, f.Reason, f.Releases)
				}
			})
		})
	}
}

// A fleet that cannot list its machines holds up the others at a start, and for half a minute only.
func TestFleetsWaitForEachOtherOnlyAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(3, "v1")
		s.leaves, s.comes, s.job = true, true, 5*time.Second
		d := s.deps()
		d.Inventory = listed{s, time.Hour, map[string][]actuators.Node{"web": s.nodes}}
		web, api := webFleet("v2"), webFleet("v1")
		web.Nodes.Static, api.Nodes.Static = []desired.StaticNode{{Name: "web"}}, []desired.StaticNode{{Name: "api"}}
		api.Name, api.LoadBalancers = "api", nil
		g := New(d)
		ctx, cancel := context.WithCancel(t.Context())
		states, done := make(chan desired.State), make(chan struct{})
		go func() { g.Run(ctx, states); close(done) }()
		defer func() { cancel(); <-done }()
		states <- stateOf(map[string]desired.Version{"web": {Fleet: web}, "api": {Fleet: api}})
		time.Sleep(startPatience - time.Second)
		s.mu.Lock()
		if f := g.Snapshot().Fleets[1]; !strings.Contains(f.Reason, "the machines of fleet api are not known yet") || len(s.written) > 0 {
			t.Errorf("at first: %s, %s; written %v", f.Phase, f.Reason, s.written)
		}
		s.mu.Unlock()
		time.Sleep(10 * time.Minute)
		if f := g.Snapshot().Fleets[1]; f.Releases["v2"] != 3 {
			t.Errorf("later: %s, %s; %v", f.Phase, f.Reason, f.Releases)
		}
	})
}

// away is a host on which one machine cannot be read for a while.
type away struct {
	*stage
	machine string
	until   time.Time
}

func (h away) Read(ctx context.Context, at actuators.Place) (actuators.HostState, error) {
	if at.Node.Name == h.machine && time.Now().Before(h.until) {
		return actuators.HostState{}, errors.New("no route to host")
	}
	return h.stage.Read(ctx, at)
}

// Law 2: a fleet whose file is gone is not over while a node that cannot be read may be out by the agent's hand; in its groups, it may be left.
func TestLaw2FleetWaitsForANodeThatItMayHaveTakenOut(t *testing.T) {
	for _, out := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := stageOf(3, "v1")
			s.leaves, s.comes, s.job = true, true, 5*time.Second
			if out {
				r := &s.hosts["web-1"].Record
				r.Stage, r.StageAt, r.Try, r.Taken = actuators.Configuring, time.Now().Add(-time.Hour), actuators.Try{ID: "1", Version: r.On}, r.Places
				r.Claim = &actuators.Claim{Holder: "a", Nonce: "before", Expires: time.Now().Add(-time.Hour)}
				s.groups[0].Members = s.groups[0].Members[1:]
			}
			d := s.deps()
			d.Host = away{s, "web-1", time.Now().Add(10 * time.Minute)}
			g := New(d)
			ctx, cancel := context.WithCancel(t.Context())
			states, done := make(chan desired.State), make(chan struct{})
			go func() { g.Run(ctx, states); close(done) }()
			defer func() { cancel(); <-done }()
			states <- stateOf(map[string]desired.Version{"web": {Fleet: webFleet("v1"), Released: true}})
			time.Sleep(5 * time.Minute)
			if n := len(g.Snapshot().Fleets); (n == 1) != out {
				t.Errorf("web-1 out: %t, and there are %d fleets", out, n)
			}
			time.Sleep(time.Hour)
			s.mu.Lock()
			defer s.mu.Unlock()
			if n := len(g.Snapshot().Fleets); n != 0 || len(s.groups[0].Members) != 3 || s.hosts["web-1"].Record.Stage != actuators.Idle {
				t.Errorf("%d fleets, %d members, web-1 %q", n, len(s.groups[0].Members), s.hosts["web-1"].Record.Stage)
			}
		})
	}
}
