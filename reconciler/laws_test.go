package reconciler

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/reconciler/plan"
)

// deny is a balancer that refuses some calls.
type deny struct {
	*stage
	register, deregister error
	slow                 time.Duration // of Observe
}

func (d deny) Register(ctx context.Context, m actuators.Membership) error {
	if d.register != nil {
		return d.register
	}
	return d.stage.Register(ctx, m)
}

func (d deny) Deregister(ctx context.Context, m actuators.Membership) error {
	if d.deregister != nil {
		return d.deregister
	}
	return d.stage.Deregister(ctx, m)
}

func (d deny) Observe(ctx context.Context, named []desired.LoadBalancer, recorded []string) ([]actuators.GroupState, error) {
	time.Sleep(d.slow)
	return d.stage.Observe(ctx, named, recorded)
}

// broken is a host on which no job can be started, such as one with a full disk.
type broken struct {
	*stage
	err error
}

func (b broken) Run(ctx context.Context, at actuators.Place, old string, r actuators.NodeRecord, _ actuators.Job, written func(actuators.HostState)) (actuators.JobState, error) {
	state, err := b.Write(ctx, at, old, r)
	if err != nil {
		return actuators.JobState{}, err
	}
	written(state)
	return actuators.JobState{}, b.err
}

// Law 15, G17: what is refused for ever is retried, and the no-progress deadline ends it: it does not go on for ever in silence.
func TestLaw15RefusedCallsEndInAHalt(t *testing.T) {
	for name, change := range map[string]func(*stage, *Deps){
		"register": func(s *stage, d *Deps) {
			d.Balancer = deny{stage: s, register: errors.New("AccessDenied: RegisterTargets")}
		},
		"deregister": func(s *stage, d *Deps) {
			d.Balancer = deny{stage: s, deregister: errors.New("AccessDenied: DeregisterTargets")}
		},
		"full disk": func(s *stage, d *Deps) { d.Host = broken{s, errors.New("no space left on device")} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := stageOf(3, "v1")
				s.leaves = true
				d := s.deps()
				change(s, &d)
				g, _, end := s.begin(t, webFleet("v2"), d)
				defer end()
				time.Sleep(2 * time.Hour)
				f := g.Snapshot().Fleets[0]
				if f.Phase != plan.PhaseHalted {
					t.Errorf("two hours (progressDeadline 15m) later: %s: %s; web-1 %s: %s", f.Phase, f.Reason, f.Nodes[0].State, f.Nodes[0].Reason)
				}
			})
		})
	}
}

// relapsing is a world in which something puts v1 back on web-1 some time after windlass has put v2 there.
type relapsing struct{ *stage }

func (r relapsing) Probe(_ context.Context, at actuators.Place, c desired.Check, release string) health.Sample {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := health.Sample{Check: c.Name, At: time.Now(), Result: health.Pass}
	if rec := r.hosts[at.Node.Name].Record; at.Node.Name == "web-1" && rec.Stage == actuators.Idle {
		s.Result, s.Detail = health.Contradict, "answers v1"
	}
	return s
}

// G19, G20: a repair that never lasts is not repeated for ever at the same pace: each time takes the node out of service.
func TestDriftThatReturnsIsNotRepairedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(3, "v2")
		s.leaves = true
		d := s.deps()
		d.Prober = relapsing{s}
		d.Balancer = returning{s}
		g, _, end := s.begin(t, webFleet("v2"), d)
		defer end()
		time.Sleep(6 * time.Hour)
		s.mu.Lock()
		defer s.mu.Unlock()
		f := g.Snapshot().Fleets[0]
		if s.runs > 9 {
			t.Errorf("web-1 was taken out of service and repaired %d times in six hours; %s: %s; web-1 %s: %s", s.runs, f.Phase, f.Reason, f.Nodes[0].State, f.Nodes[0].Reason)
		}
	})
}

// returning is a balancer in which registering takes effect too.
type returning struct{ *stage }

func (r returning) Register(_ context.Context, m actuators.Membership) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.groups[0].Members = append(append([]actuators.Target(nil), r.groups[0].Members...), actuators.Target{Membership: m, Status: actuators.TargetHealthy})
	return nil
}

// past is a history that learns of a revision later.
type past struct {
	mu    sync.Mutex
	knows bool
	asked int
}

func (p *past) Contains(context.Context, string) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	return p.knows, nil
}

// Law 2: what git did not know of a revision ends when git does: a server that came back from an old backup gets its commits again.
func TestLaw2RevisionThatComesBackUnblocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(3, "v1")
		h := &past{}
		d := s.deps()
		d.History = h
		g, states, end := s.begin(t, webFleet("v1"), d)
		defer end()
		time.Sleep(time.Minute)
		if f := g.Snapshot().Fleets[0]; !strings.Contains(f.Reason, "rewritten history") {
			t.Fatalf("%s: %s", f.Phase, f.Reason)
		}
		h.mu.Lock()
		h.knows = true
		h.mu.Unlock()
		rev := strings.Repeat("b", 40)
		states <- desired.State{Revision: rev, Fleets: map[string]desired.Version{"web": {Fleet: webFleet("v1"), Revision: rev}}}
		time.Sleep(3 * time.Hour)
		if f := g.Snapshot().Fleets[0]; strings.Contains(f.Reason, "rewritten history") {
			t.Errorf("the head's history holds the revision for three hours, it was asked %d times: %s: %s", h.asked, f.Phase, f.Reason)
		}
	})
}

func excluding(f *desired.Fleet, name string) *desired.Fleet {
	f.Nodes.Exclude = []desired.Exclusion{{Name: name, Reason: "hostile"}}
	return f
}

// exclude: what an excluded node's record says of revisions blocks nobody, and the status tells that the node is left alone.
func TestExcludedNodesRevisionBlocksNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(3, "v1")
		s.hosts["web-3"].Record.On.Revision = strings.Repeat("f", 40)
		d := s.deps()
		d.History = only{strings.Repeat("a", 40)}
		g, _, end := s.begin(t, excluding(webFleet("v1"), "web-3"), d)
		defer end()
		time.Sleep(time.Minute)
		if f := g.Snapshot().Fleets[0]; strings.Contains(f.Reason, "rewritten") {
			t.Errorf("web-3 is excluded; %s: %s", f.Phase, f.Reason)
		} else if len(f.Nodes) != 2 || len(f.Excluded) != 1 || f.Excluded[0].Name != "web-3" {
			t.Errorf("nodes %v, excluded %v", f.Nodes, f.Excluded)
		}
	})
}

// exclude: an exclusion that names nobody, or more than one, says so: it does not do what somebody wanted it to.
func TestExclusionSaysWhenItIsNotOfOneNode(t *testing.T) {
	for name, want := range map[string]string{
		"web-2":    "hostile",
		"i-0a":     "hostile",
		"web-twin": "hostile; 2 nodes carry this name: exclude by instance id to tell them apart",
		"wbe-2":    "hostile; no node that was found has this name or id",
	} {
		a := newActor("web", Deps{Log: slog.New(slog.DiscardHandler)}, func(Status) {})
		a.want.Fleet = excluding(webFleet("v1"), name)
		if got := a.status().Excluded[0].Reason; got != "hostile" {
			t.Errorf("%s, while nobody was looked for: %q", name, got)
		}
		a.found.At = time.Now()
		a.meet([]actuators.Node{{Name: "i-0a", ID: "i-0a", Alias: "web-twin"}, {Name: "i-0b", ID: "i-0b", Alias: "web-twin"}, {Name: "web-2", ID: "i-02"}})
		if got := a.status().Excluded[0].Reason; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

type only struct{ revision string }

func (o only) Contains(_ context.Context, revision string) (bool, error) {
	return revision == o.revision, nil
}

// exclude: a node that is excluded in the middle of its journey is left alone: nothing is written there any more.
func TestExcludedNodeIsNotWrittenTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(3, "v1")
		s.configuringHere()
		_, _, end := s.begin(t, excluding(webFleet("v2"), "web-1"), s.deps())
		defer end()
		time.Sleep(10 * time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		writes := 0
		for _, w := range s.written {
			if strings.HasPrefix(w, "web-1 ") {
				writes++
			}
		}
		if writes > 0 {
			t.Errorf("web-1 is excluded, and its record was written %d times in ten minutes (its claim is renewed without end)", writes)
		}
	})
}

// passes counts plans.
type passes struct {
	*stage
	count *int
}

func (p passes) PassDone(string, time.Duration) { *p.count++ }

// The loop plans when something happened, not a thousand times a second while a slow answer is awaited.
func TestNoHotLoopWhileAReadingIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(3, "v1")
		r := &s.hosts["web-1"].Record
		r.Stage, r.StageAt, r.Taken = actuators.Leaving, time.Now(), r.Places
		r.Claim = &actuators.Claim{Holder: "a", Epoch: 1, Nonce: "n", Expires: time.Now().Add(30 * time.Second)}
		s.groups[0].Members = s.groups[0].Members[1:]
		count := 0
		d := s.deps()
		d.Balancer = deny{stage: s, slow: 8 * time.Second}
		d.Observer = passes{s, &count}
		s.job = time.Minute
		_, _, end := s.begin(t, webFleet("v2"), d)
		time.Sleep(40 * time.Second)
		end()
		if count > 400 {
			t.Errorf("%d plans in 40 seconds", count)
		}
	})
}

// Law 15: a step that takes longer than the no-progress deadline, within its own time-out, and ends well is progress.
func TestLaw15LongStepThatEndsWellDoesNotHalt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(3, "v1")
		s.leaves = true
		s.job = 16 * time.Minute
		f := webFleet("v2")
		f.Configure.Activate[0].Timeout = 30 * time.Minute
		d := s.deps()
		d.Balancer = returning{s}
		g, _, end := s.begin(t, f, d)
		defer end()
		time.Sleep(2 * time.Hour)
		if st := g.Snapshot().Fleets[0]; st.Phase == plan.PhaseHalted {
			t.Errorf("each step took 16m of its 30m and ended well: %s", st.Reason)
		}
	})
}

// cutOff is a host that answers once, and no more from then on.
type cutOff struct {
	*stage
	node string
	from time.Time
}

func (u cutOff) Read(ctx context.Context, at actuators.Place) (actuators.HostState, error) {
	if at.Node.Name == u.node && !time.Now().Before(u.from) {
		return actuators.HostState{}, errors.New("connection timed out")
	}
	return u.stage.Read(ctx, at)
}

func (u cutOff) Write(ctx context.Context, at actuators.Place, old string, r actuators.NodeRecord) (actuators.HostState, error) {
	if at.Node.Name == u.node && !time.Now().Before(u.from) {
		return actuators.HostState{}, errors.New("connection timed out")
	}
	return u.stage.Write(ctx, at, old, r)
}

// G26: no deadline runs while paused: when the pause ends, what is under way has its time.
func TestG26NoDeadlineRunsWhilePaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(3, "v1")
		s.configuringHere()
		d := s.deps()
		d.Host = cutOff{s, "web-1", time.Now().Add(time.Second)}
		s.job = time.Hour
		paused := webFleet("v2")
		paused.Paused = &desired.Pause{Reason: "incident"}
		g, states, end := s.begin(t, paused, d)
		defer end()
		time.Sleep(3 * time.Hour)
		rev := strings.Repeat("a", 40)
		states <- desired.State{Revision: rev, Fleets: map[string]desired.Version{"web": {Fleet: webFleet("v2"), Revision: rev}}}
		time.Sleep(time.Minute)
		if st := g.Snapshot().Fleets[0]; st.Phase == plan.PhaseHalted {
			t.Errorf("a minute after a pause of three hours: %s", st.Reason)
		}
	})
}

// Law 2: while it cannot be told whether the deploy repo's history holds a recorded revision, nothing begins, not between two tries either.
func TestLaw2NothingBeginsWhileHistoryCannotBeSearched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(3, "v1")
		d := s.deps()
		d.History = s // it always answers with an error
		_, _, end := s.begin(t, webFleet("v2"), d)
		defer end()
		time.Sleep(10 * time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.written) > 0 {
			t.Errorf("the revision on the nodes may be of a history that was rewritten, and %v", s.written)
		}
	})
}

// restless is a host whose record is another at each write: somebody on the node rewrites it all the time.
type restless struct {
	*stage
	writes *int
}

func (r restless) Write(ctx context.Context, at actuators.Place, old string, rec actuators.NodeRecord) (actuators.HostState, error) {
	if at.Node.Name != "web-1" {
		return r.stage.Write(ctx, at, old, rec)
	}
	time.Sleep(time.Millisecond)
	r.mu.Lock()
	defer r.mu.Unlock()
	*r.writes++
	return actuators.HostState{}, actuators.ErrChanged
}

// A node whose record is always changed by somebody else is tried again with a pause, not as fast as it answers.
func TestNoHotLoopOnARecordThatIsAlwaysChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(3, "v1")
		writes := 0
		d := s.deps()
		d.Host = restless{s, &writes}
		_, _, end := s.begin(t, webFleet("v2"), d)
		time.Sleep(time.Minute)
		end()
		if writes > 120 {
			t.Errorf("%d writes were tried in a minute", writes)
		}
	})
}

// dying is a world in which a node's checks fail from an instant on.
type dying struct {
	*stage
	node string
	from *time.Time
}

func (d dying) Probe(_ context.Context, at actuators.Place, c desired.Check, _ string) health.Sample {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := health.Sample{Check: c.Name, At: time.Now(), Result: health.Pass}
	if at.Node.Name == d.node && !time.Now().Before(*d.from) {
		s.Result, s.Detail = health.Fail, "connection refused"
	}
	return s
}

// unbalancedStage is stageOf for a fleet behind no load balancer, unbalancedFleet its file.
func unbalancedStage(n int, release string) *stage {
	s := stageOf(n, release)
	for _, h := range s.hosts {
		h.Record.Places = nil
	}
	return s
}

func unbalancedFleet(release string) *desired.Fleet {
	f := webFleet(release)
	f.LoadBalancers = nil
	return f
}

// Law 9: without a load balancer the checks say who serves: they are made again right before a node is changed.
func TestLaw9ChecksAreMadeAgainBeforeANodeWithoutBalancerIsChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := unbalancedStage(2, "v1")
		down := time.Now().Add(1000 * time.Hour)
		d := s.deps()
		d.Prober = dying{s, "web-2", &down}
		_, states, end := s.begin(t, unbalancedFleet("v1"), d)
		defer end()
		time.Sleep(21 * time.Minute)
		s.mu.Lock()
		down = time.Now() // web-2 dies; its next idle check is minutes away
		s.mu.Unlock()
		time.Sleep(30 * time.Second)
		rev := strings.Repeat("b", 40)
		states <- desired.State{Revision: rev, Fleets: map[string]desired.Version{"web": {Fleet: unbalancedFleet("v2"), Revision: rev}}}
		time.Sleep(5 * time.Second)
		s.mu.Lock()
		defer s.mu.Unlock()
		if slices.Contains(s.written, "web-1 configuring") {
			t.Errorf("web-2 has been down for half a minute, web-1 was the last that served, and %v", s.written)
		}
	})
}

// G7: a bake ends with a try, however slow the check's interval is: one pass at its very beginning proves nothing about the rest.
func TestG7SlowCheckIsTriedAtTheEndOfTheBake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(2, "v1")
		r := &s.hosts["web-1"].Record
		r.Stage, r.StageAt, r.On, r.Try = actuators.Verified, time.Now(), versionOf("v2"), actuators.Try{Version: versionOf("v2")}
		f := webFleet("v2")
		f.Health[0].Interval, f.Health[0].Successes, f.Rollout.Bake = 2*time.Minute, 1, time.Minute
		down := time.Now().Add(5 * time.Second)
		d := s.deps()
		d.Prober = dying{s, "web-1", &down}
		_, _, end := s.begin(t, f, d)
		defer end()
		time.Sleep(10 * time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.hosts["web-1"].Record.Proven.Release == "v2" {
			t.Error("it failed five seconds into a bake of a minute, and is proven")
		}
	})
}

// What a node serves is known no less for its prepare steps, which change nothing that serves: without a load balancer the checks say
// who serves, and the next idle ones are minutes away.
func TestFleetWithoutBalancersGoesOnAfterItsPrepareSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := unbalancedStage(2, "v1")
		f := func(release string) *desired.Fleet {
			f := unbalancedFleet(release)
			f.Configure.Prepare = []desired.Step{{Name: "fetch", Run: "fetch", Timeout: time.Minute}}
			return f
		}
		_, states, end := s.begin(t, f("v1"), s.deps())
		defer end()
		time.Sleep(time.Minute)
		rev := strings.Repeat("b", 40)
		states <- desired.State{Revision: rev, Fleets: map[string]desired.Version{"web": {Fleet: f("v2"), Revision: rev}}}
		time.Sleep(time.Minute)
		s.mu.Lock()
		defer s.mu.Unlock()
		if proven := s.hosts["web-2"].Record.Proven.Release; proven != "v2" {
			t.Errorf("a minute after the commit web-2 has %q; written: %v", proven, s.written)
		}
	})
}

// G20: files that cannot be made for a node fail like a step: attempts are used up, and the version halts with one node out.
func TestG20TemplateThatFailsHalts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(3, "v1")
		s.leaves = true
		f := webFleet("v2")
		f.Configure.Files = []desired.File{{From: "files/x", To: "/etc/x", Template: true, Content: []byte("{{slice .Node 9}}")}}
		d := s.deps()
		d.Balancer = returning{s}
		g, _, end := s.begin(t, f, d)
		defer end()
		time.Sleep(5 * time.Minute)
		st := g.Snapshot().Fleets[0]
		if st.Phase != plan.PhaseHalted || st.InService != 2 || s.runs > 0 {
			t.Errorf("%s: %s; %d in service, %d jobs ran", st.Phase, st.Reason, st.InService, s.runs)
		}
		if !strings.Contains(st.Reason, "step files: exit status 1: files/x:1:3: template: ") {
			t.Errorf("it says %q", st.Reason)
		}
	})
}

// Where nothing was learned, nothing is planned: an idle fleet is planned once for each reading, not for each timer.
func TestIdleFleetIsPlannedOncePerReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(3, "v1")
		var plans atomic.Int64
		d := s.deps()
		d.Decide = func(w plan.Want, seen plan.World) plan.Plan { plans.Add(1); return plan.Next(w, seen) }
		_, _, end := s.begin(t, webFleet("v1"), d)
		time.Sleep(20 * time.Minute)
		before := plans.Load()
		time.Sleep(20 * time.Minute) // 80 intervals: the inventory and the balancers, and four refreshes of three nodes
		end()
		if n := plans.Load() - before; n > 2*84+2*4*3 {
			t.Errorf("%d plans in 20 minutes", n)
		}
	})
}

// What failed on a node is told no more once the node is in service with what is wanted.
func TestOutputOfAFailureGoesWithTheFailure(t *testing.T) {
	a := newActor("web", stageOf(1, "v1").deps(), func(Status) {})
	a.want.Fleet = unbalancedFleet("v1")
	n := &node{Node: plan.Node{Node: actuators.Node{Name: "web-1"}, Read: plan.Source{Err: "read"}}, tail: "exit 1", state: plan.Outdated}
	a.order = []*node{n}
	a.plan.Nodes = []plan.NodeStatus{{Name: "web-1", State: plan.Failed}}
	if a.settle(time.Now()); n.tail == "" {
		t.Error("it is gone while the node is failed")
	}
	a.plan.Nodes[0].State = plan.InService
	if a.settle(time.Now()); n.tail != "" {
		t.Errorf("%q is told of a node in service", n.tail)
	}
}
