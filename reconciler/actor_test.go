package reconciler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/reconciler/plan"
)

// stage is a small world that does as it is told.
type stage struct {
	mu        sync.Mutex
	nodes     []actuators.Node
	groups    []actuators.GroupState
	hosts     map[string]*actuators.HostState
	version   map[string]int
	job       time.Duration // how long a job takes
	lateRead  time.Duration // how long the answer of a read is under way
	written   []string      // stage of each write, by node
	refused   int
	runs      int
	dereg     int
	denied    error
	inService []string // nodes that were members of a group when a job began
	leaves    bool     // deregistering takes effect
	comes     bool     // and so does registering
	observed  [][]string
	contains  int
	stop      context.CancelFunc
}

func (s *stage) Nodes(context.Context, desired.NodeSet) (actuators.Inventory, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return actuators.Inventory{Nodes: append([]actuators.Node(nil), s.nodes...)}, nil
}

func (s *stage) Observe(_ context.Context, named []desired.LoadBalancer, recorded []string) ([]actuators.GroupState, error) {
	if len(named)+len(recorded) == 0 {
		return nil, nil
	}
	time.Sleep(10 * time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.observed = append(s.observed, recorded)
	out := append([]actuators.GroupState(nil), s.groups...)
	for i := range out {
		out[i].At = time.Now()
	}
	return out, nil
}
func (s *stage) Register(_ context.Context, m actuators.Membership) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.comes {
		s.groups[0].Members = append(s.groups[0].Members, actuators.Target{Membership: m, Status: actuators.TargetHealthy})
	}
	return nil
}
func (s *stage) Deregister(_ context.Context, m actuators.Membership) error {
	time.Sleep(10 * time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dereg++
	if s.leaves {
		s.groups[0].Members = slices.DeleteFunc(slices.Clone(s.groups[0].Members), func(t actuators.Target) bool { return t.Membership == m })
	}
	return s.denied
}
func (s *stage) state(name string) actuators.HostState {
	h := s.hosts[name]
	out := *h
	out.Record, out.Now, out.Version = h.Record.Clone(), time.Now(), fmt.Sprint(s.version[name])
	return out
}
func (s *stage) Read(_ context.Context, at actuators.Place) (actuators.HostState, error) {
	s.mu.Lock()
	out := s.state(at.Node.Name)
	late := s.lateRead
	s.mu.Unlock()
	time.Sleep(late + time.Millisecond)
	return out, nil
}
func (s *stage) Write(_ context.Context, at actuators.Place, old string, r actuators.NodeRecord) (actuators.HostState, error) {
	time.Sleep(time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	if old != fmt.Sprint(s.version[at.Node.Name]) {
		s.refused++
		return actuators.HostState{}, actuators.ErrChanged
	}
	s.version[at.Node.Name]++
	s.hosts[at.Node.Name].Record = r.Clone()
	s.written = append(s.written, at.Node.Name+" "+string(r.Stage))
	return s.state(at.Node.Name), nil
}
func (s *stage) Run(ctx context.Context, at actuators.Place, old string, r actuators.NodeRecord, j actuators.Job, written func(actuators.HostState)) (actuators.JobState, error) {
	state, err := s.Write(ctx, at, old, r)
	if err != nil {
		return actuators.JobState{}, err
	}
	written(state)
	s.mu.Lock()
	s.runs++
	for _, m := range s.groups[0].Members {
		if m.ID == at.Node.Name {
			s.inService = append(s.inService, m.ID)
		}
	}
	s.hosts[at.Node.Name].Job = actuators.JobState{Key: j.Key, Running: true}
	s.mu.Unlock()
	select {
	case <-time.After(s.job):
	case <-ctx.Done():
		return actuators.JobState{}, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hosts[at.Node.Name].Job = actuators.JobState{Key: j.Key, Exited: true}
	return s.hosts[at.Node.Name].Job, nil
}
func (s *stage) Close(actuators.Place) {}
func (s *stage) Probe(_ context.Context, _ actuators.Place, c desired.Check, _ string) health.Sample {
	return health.Sample{Check: c.Name, At: time.Now(), Result: health.Pass}
}
func (s *stage) Contains(context.Context, string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.contains++; s.contains > 1000 {
		s.stop()
	}
	return false, errors.New("no commit of the deploy repo is accepted yet")
}
func (s *stage) StepDone(StepDone)                       {}
func (s *stage) RolloutDone(RolloutDone)                 {}
func (s *stage) PassDone(string, time.Duration)          {}
func (s *stage) CheckDone(string, string, health.Result) {}
func (s *stage) Rejected(string, desired.Reason)         {}

func stageOf(n int, release string) *stage {
	s := &stage{hosts: map[string]*actuators.HostState{}, version: map[string]int{}}
	g := actuators.GroupState{Group: actuators.Group{ID: "arn:web", Name: "web"}, TargetType: "ip", Port: 80}
	for i := range n {
		name := fmt.Sprintf("web-%d", i+1)
		id := "i-" + name
		s.nodes = append(s.nodes, actuators.Node{Name: name, ID: id, Address: name, Targets: actuators.Targets{IP: name}})
		v := versionOf(release)
		m := actuators.Membership{Group: "arn:web", ID: name, Port: 80}
		s.hosts[name] = &actuators.HostState{Machine: id, Record: actuators.NodeRecord{Schema: 1, Fleet: "web", Instance: id, On: v, Proven: v, Places: []actuators.Membership{m}}}
		g.Members = append(g.Members, actuators.Target{Membership: m, Status: actuators.TargetHealthy})
	}
	s.groups = []actuators.GroupState{g}
	return s
}

func versionOf(release string) actuators.Version {
	f := webFleet(release)
	return actuators.Version{Release: release, Digest: f.Digest(desired.DigestAlgorithm), Algorithm: desired.DigestAlgorithm, Revision: strings.Repeat("a", 40)}
}

func webFleet(release string) *desired.Fleet {
	return &desired.Fleet{
		Name: "web", Release: release, Adopt: true, Path: "fleets/web.yaml",
		LoadBalancers: []desired.LoadBalancer{{TargetGroup: "web"}},
		Configure:     desired.Configure{Activate: []desired.Step{{Name: "install", Run: "install", Timeout: 10 * time.Minute}}},
		Health: []desired.Check{{
			Name: "serves", HTTP: &desired.HTTPCheck{Port: 80, Path: "/", Body: desired.ReleasePlaceholder},
			Interval: time.Second, Timeout: 2 * time.Second, Successes: 2, Within: 2 * time.Minute,
		}},
		Rollout: desired.Rollout{
			MaxUnavailable: desired.Amount{Count: 1}, Bake: 10 * time.Second, Drain: desired.Drain{Timeout: 10 * time.Minute},
			Attempts: 2, ProgressDeadline: 15 * time.Minute, RestoreAfter: 10 * time.Minute,
		},
	}
}

func (s *stage) deps() Deps {
	return Deps{Agent: plan.Agent{Holder: "a", Epoch: 1, Nonce: "n"}, Inventory: s, Balancer: s, Host: s, Prober: s, Observer: s,
		Log: slog.New(slog.DiscardHandler), Interval: 15 * time.Second, Refresh: 5 * time.Minute}
}

func (s *stage) begin(t *testing.T, f *desired.Fleet, d Deps) (*Agent, chan desired.State, func()) {
	g, states := New(d), make(chan desired.State)
	ctx, cancel := context.WithCancel(t.Context())
	s.stop = cancel
	done := make(chan struct{})
	go func() { g.Run(ctx, states); close(done) }()
	states <- desired.State{Revision: strings.Repeat("a", 40), Fleets: map[string]desired.Version{"web": {Fleet: f, Revision: strings.Repeat("a", 40)}}}
	return g, states, func() { cancel(); <-done }
}

// configuringHere puts web-1 out of the group, in the middle of being configured for v2 by this very process.
func (s *stage) configuringHere() {
	r := &s.hosts["web-1"].Record
	r.Taken, r.Stage, r.StageAt, r.On = r.Places, actuators.Configuring, time.Now(), versionOf("v2")
	r.Try = actuators.Try{Version: versionOf("v2")}
	r.Claim = &actuators.Claim{Holder: "a", Epoch: 1, Nonce: "n", Expires: time.Now().Add(30 * time.Second)}
	s.groups[0].Members = s.groups[0].Members[1:]
}

// a node that one reading of the inventory missed while a step ran on it is never worked on again.
func TestInventoryFlapsDuringAStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(3, "v1")
		s.configuringHere()
		s.job = 2 * time.Minute
		g, _, end := s.begin(t, webFleet("v2"), s.deps())
		defer end()
		time.Sleep(20 * time.Second) // the job runs
		s.mu.Lock()
		all := s.nodes
		s.nodes = all[1:]
		s.mu.Unlock()
		time.Sleep(20 * time.Second)
		s.mu.Lock()
		s.nodes = all
		s.mu.Unlock()
		time.Sleep(3 * time.Hour)
		for _, f := range g.Snapshot().Fleets {
			for _, n := range f.Nodes {
				if n.Name == "web-1" && n.State == plan.Configuring {
					t.Errorf("three hours after its job of 2m ended web-1 is %s: %s (fleet %s)", n.State, n.Reason, f.Phase)
				}
			}
		}
	})
}

// tough is a balancer whose calls to deregister take long.
type tough struct {
	*stage
	takes time.Duration
}

func (b tough) Deregister(ctx context.Context, m actuators.Membership) error {
	time.Sleep(b.takes)
	return b.stage.Deregister(ctx, m)
}

// Law 18: a machine that a reading of the inventory missed while a step runs on it has one hold on its record: what renews the claim
// beside the step does not take it away from it.
func TestLaw18LostMachineKeepsItsHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(3, "v1")
		s.leaves = true
		for port := 81; port < 85; port++ {
			m := actuators.Membership{Group: "arn:web", ID: "web-1", Port: port}
			s.groups[0].Members = append(s.groups[0].Members, actuators.Target{Membership: m, Status: actuators.TargetHealthy})
			s.hosts["web-1"].Record.Places = append(s.hosts["web-1"].Record.Places, m)
		}
		d := s.deps()
		d.Balancer = tough{s, 9 * time.Second}
		_, _, end := s.begin(t, webFleet("v2"), d)
		defer end()
		list := func(nodes []actuators.Node) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.nodes = nodes
		}
		began := func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return slices.Contains(s.written, "web-1 leaving")
		}
		for !began() {
			time.Sleep(100 * time.Millisecond)
		}
		all := s.nodes
		list(all[1:])
		time.Sleep(16 * time.Second)
		list(all)
		time.Sleep(44 * time.Second)
		s.mu.Lock()
		defer s.mu.Unlock()
		left := slices.ContainsFunc(s.groups[0].Members, func(m actuators.Target) bool { return m.ID == "web-1" })
		if s.refused > 0 || left {
			t.Errorf("%d writes were refused, as of records that are another's; web-1 is in a place still: %v", s.refused, left)
		}
	})
}

// a history that cannot be searched is asked again without any pause.
func TestHistoryThatCannotBeSearchedIsNotAHotLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(2, "v1")
		d := s.deps()
		d.History = s
		_, _, end := s.begin(t, webFleet("v1"), d)
		defer end()
		time.Sleep(10 * time.Second)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.contains > 20 {
			t.Errorf("the history was asked %d times in ten seconds", s.contains)
		}
	})
}

func memberOf(f *desired.Fleet, released bool, holds ...string) *member {
	var held []holding
	for _, what := range holds {
		held = append(held, holding{what: what})
	}
	return &member{orders: make(chan order, 1), order: order{want: plan.Want{Fleet: f, Released: released}}, status: Status{Name: f.Name, holdings: held}}
}

// fleets that shared a machine stay refused after the file of one of them is gone.
func TestClashEndsWhenTheOtherFleetIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(2, "v1")
		api := webFleet("v1")
		api.Name, api.LoadBalancers = "api", nil
		g, states, end := s.begin(t, webFleet("v1"), s.deps())
		defer end()
		state := func(released bool) desired.State {
			rev := strings.Repeat("a", 40)
			return desired.State{Revision: rev, Fleets: map[string]desired.Version{
				"web": {Fleet: webFleet("v1"), Revision: rev}, "api": {Fleet: api, Revision: rev, Released: released},
			}}
		}
		states <- state(false)
		time.Sleep(time.Minute)
		if got := g.Snapshot().Fleets[1]; !strings.Contains(got.Reason, "is in fleet api too") {
			t.Fatalf("web: %s: %s", got.Phase, got.Reason)
		}
		states <- state(true) // somebody removes fleets/api.yaml
		time.Sleep(time.Hour)
		g.mu.Lock()
		defer g.mu.Unlock()
		if clash := g.fleets["web"].clash; clash != "" {
			t.Errorf("an hour later web is still refused: %s", clash)
		}
	})
}

// a group that only the lookup shows to be one is told as what it is.
func TestOneGroupTwiceInAFleetIsTold(t *testing.T) {
	g := New(Deps{})
	g.fleets["web"] = memberOf(webFleet("v2"), false, "classic/web", "classic/web")
	g.findClashes()
	if got, want := g.fleets["web"].clash, "classic/web is named twice in this fleet; remove one of the two"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// a renamed fleet starts on machines that the old name's fleet is still working on.
func TestFleetReleasedInTheMiddleStillOwnsItsMachines(t *testing.T) {
	old, renamed := webFleet("v2"), webFleet("v2")
	renamed.Name = "web2"
	g := New(Deps{})
	g.fleets["web"], g.fleets["web2"] = memberOf(old, true, "i-1", "i-2"), memberOf(renamed, false, "i-1", "i-2")
	g.fleets["web"].status.Nodes = []Node{{NodeStatus: plan.NodeStatus{Name: "web-1", State: plan.Configuring, UnderWay: true}}}
	g.findClashes()
	if g.fleets["web2"].clash == "" {
		t.Error("web is gone from the repo and web-1 is still under way in it; web2 may start on the same machines")
	}
}

// a prune that is denied, or that a lagging reading does not show yet, is ordered again at once, for ever.
func TestPruneIsNotRepeatedAtOnce(t *testing.T) {
	for name, denied := range map[string]error{"denied": errors.New("AccessDenied"), "reading lags": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := stageOf(3, "v1")
				s.denied = denied
				m := s.groups[0].Members[0]
				m.ID = "old-9"
				s.groups[0].Members = append(s.groups[0].Members, m)
				f := webFleet("v1")
				f.Nodes.Expect = 3
				f.LoadBalancers[0].Prune = true
				_, _, end := s.begin(t, f, s.deps())
				defer end()
				time.Sleep(time.Minute)
				s.mu.Lock()
				defer s.mu.Unlock()
				if s.dereg > 15 {
					t.Errorf("%d calls to deregister one target in a minute, %d readings", s.dereg, len(s.observed))
				}
			})
		})
	}
}

// a removal by prune is in no ledger: a node is drained on a reading that does not show it yet (G8).
func TestPruneInFlightCountsAsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(3, "v1")
		m := s.groups[0].Members[0]
		m.ID = "old-9"
		s.groups[0].Members = append(s.groups[0].Members, m) // readings lag: they show old-9 healthy all along
		f := webFleet("v1")
		f.Nodes.Expect = 3
		f.LoadBalancers[0].Prune = true
		_, states, end := s.begin(t, f, s.deps())
		defer end()
		time.Sleep(2 * time.Second)
		s.mu.Lock()
		pruned := s.dereg
		s.mu.Unlock()
		next := webFleet("v2")
		next.Nodes.Expect, next.LoadBalancers = 3, f.LoadBalancers
		rev := strings.Repeat("b", 40)
		states <- desired.State{Revision: rev, Fleets: map[string]desired.Version{"web": {Fleet: next, Revision: rev}}}
		time.Sleep(2 * time.Second)
		s.mu.Lock()
		defer s.mu.Unlock()
		if pruned > 0 && strings.Contains(strings.Join(s.written, ","), "leaving") {
			t.Errorf("old-9 was deregistered a moment ago, and %v", s.written)
		}
	})
}

// the answer of a reading that began before a write arrives after it; from then on no renewal succeeds while the step runs.
func TestOldReadingDoesNotLoseTheClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(1, "v2")
		at := actuators.Place{Node: s.nodes[0]}
		agent := plan.Agent{Holder: "a", Epoch: 1, Nonce: "n"}
		host := newSession()
		first, _ := s.Read(t.Context(), at)
		host.saw(first, time.Now(), time.Now())
		began := time.Now()
		late, _ := s.Read(t.Context(), at) // a reading answered here, and applied below
		r := first.Record.Clone()
		r.Stage, r.Claim = actuators.Configuring, &actuators.Claim{Holder: "a", Epoch: 1, Nonce: "n"}
		if _, err := host.write(t.Context(), s, at, r); err != nil {
			t.Fatal(err)
		}
		host.saw(late, began, time.Now()) // the loop takes it while the job runs
		if _, err := host.renew(t.Context(), s, at, agent); err != nil {
			t.Errorf("cannot renew its own claim: %v", err)
		}
	})
}

// the same through the whole loop, where a reading that began before a step is answered late.
func TestClaimIsRenewedThroughALongStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(3, "v1")
		s.leaves = true
		s.job, s.lateRead = 5*time.Minute, 100*time.Millisecond
		_, _, end := s.begin(t, webFleet("v2"), s.deps())
		defer end()
		for range 600 {
			time.Sleep(time.Second)
			s.mu.Lock()
			c, busy := s.hosts["web-1"].Record.Claim, s.runs > 0
			if lost := c == nil || !c.Expires.After(time.Now()); busy && lost {
				t.Errorf("the job on web-1 runs without a live claim: %+v at %s; %d renewals refused", c, time.Now(), s.refused)
			}
			over := s.runs > 0 && t.Failed()
			s.mu.Unlock()
			if over {
				break
			}
		}
	})
}

// the first that a node's loop knows of its own claim is the record that a step writes: it must not wait for the step's end.
func TestClaimIsRenewedThroughALongPrepare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(3, "v1")
		s.job = 5 * time.Minute
		f := webFleet("v2")
		f.Configure.Prepare = []desired.Step{{Name: "fetch", Run: "fetch", Timeout: 10 * time.Minute}}
		_, _, end := s.begin(t, f, s.deps())
		defer end()
		for range 240 {
			time.Sleep(time.Second)
			s.mu.Lock()
			r, busy := s.hosts["web-1"].Record, s.runs > 0
			s.mu.Unlock()
			if busy && (r.Stage != actuators.Preparing || r.Claim == nil || !r.Claim.Expires.After(time.Now())) {
				t.Fatalf("the prepare steps on web-1 run without a live claim: %s, %+v at %s", r.Stage, r.Claim, time.Now())
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.runs == 0 {
			t.Error("nothing was prepared")
		}
	})
}

// a write that hangs is given up in good time, and holds up no other write for longer.
func TestRunThatNeverWritesGivesItsTurnBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(1, "v1")
		at := actuators.Place{Node: s.nodes[0]}
		host := newSession()
		began := time.Now()
		_, err := host.run(t.Context(), silent{s}, at, actuators.NodeRecord{Claim: &actuators.Claim{}}, actuators.Job{Key: "one"}, nil)
		if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took > writeDeadline {
			t.Errorf("after %v: %v", took, err)
		}
		if err := host.take(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// lateAnswer is a host that writes at once and answers late, a deadline notwithstanding, by a clock that was set forward meanwhile.
type lateAnswer struct {
	Host
	by, ahead time.Duration
}

func (h lateAnswer) Write(_ context.Context, _ actuators.Place, _ string, r actuators.NodeRecord) (actuators.HostState, error) {
	time.Sleep(h.by)
	return actuators.HostState{Record: r, Version: "v", Machine: "m", Now: time.Now().Add(h.ahead)}, nil
}

// Law 18: a claim whose renewal was answered too late, or by a clock that was set, does not carry a call.
func TestLaw18LateRenewalHoldsNothing(t *testing.T) {
	for _, h := range []lateAnswer{{by: 35 * time.Second}, {ahead: 25 * time.Second}, {by: time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			s := newSession()
			s.state.Now, s.readAt = time.Now(), time.Now()
			s.state.Record.Claim = &actuators.Claim{Nonce: "n"}
			err := s.hold(t.Context(), h, actuators.Place{}, plan.Agent{Nonce: "n"}, balancerDeadline)
			if left := time.Until(s.until); (err == nil) != (left > balancerDeadline) {
				t.Errorf("by %v, ahead %v: %v with %v left", h.by, h.ahead, err, left)
			}
		})
	}
}

// nodes that do not answer hold up the readings of those that do only once.
func TestDeadNodesDoNotHoldUpReadings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(3, "v1")
		for i := range 200 {
			s.nodes = append(s.nodes, actuators.Node{Name: fmt.Sprintf("dead-%03d", i), ID: fmt.Sprint("i-dead-", i)})
		}
		read := map[string]time.Time{}
		d := s.deps()
		d.Refresh, d.Host = time.Minute, tardy{s, read}
		_, _, end := s.begin(t, webFleet("v1"), d)
		defer end()
		time.Sleep(5 * time.Minute)
		for range 30 {
			time.Sleep(20 * time.Second)
			s.mu.Lock()
			age := time.Since(read["web-1"])
			s.mu.Unlock()
			if age > 2*d.Refresh {
				t.Fatalf("web-1 was read %v ago, every %v it should be", age, d.Refresh)
			}
		}
	})
}

// tardy is a host that notes when its nodes were read; the dead ones never answer.
type tardy struct {
	*stage
	read map[string]time.Time
}

func (h tardy) Read(ctx context.Context, at actuators.Place) (actuators.HostState, error) {
	if strings.HasPrefix(at.Node.Name, "dead") {
		<-ctx.Done()
		return actuators.HostState{}, ctx.Err()
	}
	h.mu.Lock()
	h.read[at.Node.Name] = time.Now()
	h.mu.Unlock()
	return h.stage.Read(ctx, at)
}

// silent is a host on which nothing is ever written.
type silent struct{ *stage }

func (silent) Run(ctx context.Context, _ actuators.Place, _ string, _ actuators.NodeRecord, _ actuators.Job, _ func(actuators.HostState)) (actuators.JobState, error) {
	<-ctx.Done()
	return actuators.JobState{}, context.Cause(ctx)
}

// a long bake forgets a failure in its middle.
func TestLongBakeRemembersItsFailures(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	begin := now
	w := newWatch(plan.Watch{Node: "web-1", Release: "v2", Phase: plan.WatchBake, Steady: 10 * time.Minute}, now)
	for i := range 600 {
		now = now.Add(time.Second)
		s := health.Sample{Check: "serves", At: now, Result: health.Pass}
		if i == 300 {
			s.Result = health.Fail
		}
		w.add(s)
	}
	v := health.Judge(w.samples, health.Policy{Check: "serves", Successes: 2, Steady: 10 * time.Minute, Within: 2 * time.Minute, Since: begin}, now)
	if v.Status == health.Passing {
		t.Errorf("it failed 5m ago and must be steady for 10m: %s: %s", v.Status, v.Reason)
	}
}

// a fleet without load balancers never learns of the groups that its records name, for an hour.
func TestFormerGroupsAreReadBeforeAnythingStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(3, "v1") // members of arn:web, and their records say so
		f := webFleet("v2")
		f.LoadBalancers = nil
		_, _, end := s.begin(t, f, s.deps())
		defer end()
		time.Sleep(2 * time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.inService) > 0 {
			t.Errorf("jobs ran on %v, members of arn:web all the while", s.inService)
		}
	})
}

// a bake lasts as long as it should, not until the next try of a slow check.
func TestBakeEndsWhenItIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(2, "v1")
		s.groups[0].Members[0].Status = actuators.TargetHealthy
		r := &s.hosts["web-1"].Record
		r.Stage, r.StageAt, r.On, r.Try = actuators.Verified, time.Now(), versionOf("v2"), actuators.Try{Version: versionOf("v2")}
		f := webFleet("v2")
		f.Health[0].Interval = 2 * time.Minute
		began := time.Now()
		_, _, end := s.begin(t, f, s.deps())
		defer end()
		for range 600 {
			time.Sleep(time.Second)
			s.mu.Lock()
			proven := s.hosts["web-1"].Record.Proven.Release == "v2"
			s.mu.Unlock()
			if proven {
				break
			}
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("a bake of 10s took %v", took)
		}
	})
}

// an instance that was found and cannot be used is visible (law 23).
func TestInventoryProblemsAreTold(t *testing.T) {
	a := newActor("web", Deps{Log: slog.New(slog.DiscardHandler)}, func(Status) {})
	a.want.Fleet = webFleet("v1")
	a.problems = []string{"instance i-9 has no private address"}
	if got := fmt.Sprintf("%+v", a.status()); !strings.Contains(got, "i-9") {
		t.Error("nothing in the status tells of instance i-9")
	}
}

// Fleets that begin together drift apart, so that many of them are no burst of calls at every interval (G9).
func TestFleetsReadTheirBalancersApart(t *testing.T) {
	const interval = 15 * time.Second
	at := map[time.Duration]int{} // how many read at that moment of an hour
	for i := range 50 {
		a := newActor(fmt.Sprintf("web-%d", i), Deps{Interval: interval}, nil)
		if off := a.Interval - interval; off < -interval/20 || off > interval/20 {
			t.Errorf("%s reads every %v, want %v within a twentieth", a.name, a.Interval, interval)
		}
		at[(240*a.Interval).Truncate(time.Second)]++
	}
	for moment, n := range at {
		if n > 8 {
			t.Errorf("%d of 50 fleets read in the second at %v", n, moment)
		}
	}
}

// A node that waits for its turn moves nothing in the balancers: they are not polled for it (G9).
func TestHeldNodeDoesNotHastenPolling(t *testing.T) {
	s := stageOf(1, "v1")
	a := newActor("web", s.deps(), func(Status) {})
	a.order = []*node{{Node: plan.Node{Node: actuators.Node{Name: "web-1"}}, stateAt: time.Now()}}
	a.groups = []actuators.GroupState{{Rules: actuators.Rules{Delay: time.Second}}}
	a.plan.Nodes = []plan.NodeStatus{{Name: "web-1", State: plan.Draining, UnderWay: true}}
	if pace := a.groupsPace(time.Now()); pace >= a.Interval {
		t.Errorf("while it drains, every %s", pace)
	}
	a.plan.Holds = []plan.Hold{{Node: "web-1", Reason: "hold: floor"}}
	if pace := a.groupsPace(time.Now()); pace != a.Interval {
		t.Errorf("while it is held, every %s, want %s", pace, a.Interval)
	}
}

// Law 15: the time in which the no-progress deadline does not run is not counted.
func TestNoProgressDeadlineStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newActor("web", stageOf(1, "v1").deps(), func(Status) {})
		began := time.Now()
		a.progress, a.planned = began, began
		a.plan.Stalled = true
		time.Sleep(5 * time.Minute)
		if a.standStill(); !a.progress.Equal(began) {
			t.Errorf("it ran, and progress was made at %v", a.progress)
		}
		a.planned, a.plan.Stalled = time.Now(), false
		time.Sleep(10 * time.Minute)
		if a.standStill(); !a.progress.Equal(began.Add(10 * time.Minute)) {
			t.Errorf("it ran for five minutes of fifteen, and %v are left out", a.progress.Sub(began))
		}
		a.progress = time.Now().Add(-time.Second) // since the last plan
		if a.standStill(); !a.progress.Equal(time.Now()) {
			t.Errorf("progress in %v", time.Until(a.progress))
		}
	})
}

// The loop carries out what is decided: each node leaves, is changed while it is out, and comes back; a member that is none of them is pruned.
func TestLoopCarriesOutWhatIsDecided(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(3, "v1")
		s.leaves, s.comes = true, true
		old := actuators.Membership{Group: "arn:web", ID: "old-1", Port: 80}
		s.groups[0].Members = append(s.groups[0].Members, actuators.Target{Membership: old, Status: actuators.TargetHealthy})
		f := webFleet("v2")
		f.Nodes.Expect, f.LoadBalancers[0].Prune = 3, true
		g, _, end := s.begin(t, f, s.deps())
		defer end()
		time.Sleep(20 * time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		var left []string
		for _, m := range s.groups[0].Members {
			left = append(left, m.ID)
		}
		slices.Sort(left)
		if s.dereg != 4 || s.runs != 3 || len(s.inService) > 0 || !slices.Equal(left, []string{"web-1", "web-2", "web-3"}) {
			t.Errorf("%d left, %d jobs ran, of them while their node was a member: %v; members are %v", s.dereg, s.runs, s.inService, left)
		}
		if now := g.Snapshot().Fleets[0]; now.Phase != plan.PhaseIdle || now.Releases["v2"] != 3 {
			t.Errorf("%s: %s", now.Phase, now.Reason)
		}
	})
}
