package reconciler

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler/plan"
)

// counting is a stage that notes how often its hosts and its balancers are read, and when each host was.
type counting struct {
	*stage
	mu       sync.Mutex
	reads    int
	readings int
	lastRead map[string]time.Time // by node, when the answer came
	apart    bool                 // each call takes a time of its own, up to two seconds
}

// rolling is a world of n nodes whose rollouts succeed, with its hosts and balancers counted.
func rolling(n int) (*counting, Deps) {
	c := &counting{stage: stageOf(n, "v1"), lastRead: map[string]time.Time{}}
	c.leaves, c.comes, c.job = true, true, 5*time.Second
	d := c.deps()
	d.Host, d.Balancer = c, c
	return c, d
}

func (c *counting) Read(ctx context.Context, at actuators.Place) (actuators.HostState, error) {
	s, err := c.stage.Read(ctx, at)
	c.dawdle(at.Node.Name)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads++
	c.lastRead[at.Node.Name] = time.Now()
	return s, err
}

func (c *counting) Observe(ctx context.Context, named []desired.LoadBalancer, recorded []string) ([]actuators.GroupState, error) {
	c.mu.Lock()
	c.readings++
	c.mu.Unlock()
	return c.stage.Observe(ctx, named, recorded)
}

func (c *counting) Register(ctx context.Context, m actuators.Membership) error {
	c.dawdle(m.ID)
	return c.stage.Register(ctx, m)
}

func (c *counting) Deregister(ctx context.Context, m actuators.Membership) error {
	c.dawdle(m.ID)
	return c.stage.Deregister(ctx, m)
}

func (c *counting) dawdle(who string) {
	if c.apart {
		n := node{Node: plan.Node{Node: actuators.Node{ID: who}}}
		time.Sleep(n.spread(2 * time.Second))
	}
}

// soFar is how often hosts and balancers were read.
func (c *counting) soFar() (reads, readings int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reads, c.readings
}

// commit makes git want what the fleet file says.
func commit(states chan desired.State, f *desired.Fleet) {
	revision := strings.Repeat("b", 40)
	states <- desired.State{Revision: revision, Fleets: map[string]desired.Version{"web": {Fleet: f, Revision: revision}}}
}

// awaitRelease returns how long it took until n nodes rest with the release, or fails the test after an hour or more.
func awaitRelease(t *testing.T, g *Agent, release string, n int) time.Duration {
	t.Helper()
	for began := time.Now(); ; time.Sleep(time.Second) {
		s := g.Snapshot().Fleets[0]
		if s.Phase == plan.PhaseIdle && s.Releases[release] == n {
			return time.Since(began)
		}
		if time.Since(began) > time.Hour {
			t.Fatalf("an hour after the commit %v have it; %s: %s", s.Releases, s.Phase, s.Reason)
		}
	}
}

// At 32 hosts at once and 15 s each, 200 hosts are read in 94 s, and are due every minute: whoever has been due for longest comes next.
func TestSlowHostsAllHaveTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 200
		c, d := rolling(n)
		c.lateRead, d.Refresh = 15*time.Second, time.Minute
		g, states, end := c.begin(t, webFleet("v1"), d)
		defer end()
		time.Sleep(5 * time.Minute)
		commit(states, webFleet("v2"))
		time.Sleep(5 * time.Minute)
		c.mu.Lock()
		defer c.mu.Unlock()
		for i := range n {
			if name := fmt.Sprintf("web-%d", i+1); time.Since(c.lastRead[name]) > 3*time.Minute {
				t.Fatalf("%s was last read at %v, now it is %v; %d of %d were ever read", name, c.lastRead[name], time.Now(), len(c.lastRead), n)
			}
		}
		if s := g.Snapshot().Fleets[0]; s.Releases["v2"] == 0 {
			t.Errorf("five minutes after the commit no node has it; %s: %s", s.Phase, s.Reason)
		}
	})
}

// A host is read as soon as another has answered, although a large fleet takes a breath from pass to pass.
func TestHostsOfALargeFleetAreReadAsFastAsTheyAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1600
		c, d := rolling(n)
		c.lateRead = 4 * time.Millisecond
		g, _, end := c.begin(t, webFleet("v1"), d)
		defer end()
		began := time.Now()
		for ready := false; !ready; {
			time.Sleep(10 * time.Millisecond)
			fleets := g.Snapshot().Fleets
			ready = len(fleets) > 0 && fleets[0].Ready
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("%d hosts that answer in 5 ms, %d at once, are read in %v", n, mostReads, took)
		}
	})
}

// A node at a time, a rollout reads each record a few times, however many nodes there are: not all of them for each. The node whose turn comes
// next is read every plan.RecordAge, however long that takes.
func TestRolloutReadsEachRecordAFewTimes(t *testing.T) {
	for _, c := range []struct {
		nodes int
		job   time.Duration
		most  int // readings of a node
	}{{10, 5 * time.Second, 4}, {60, 5 * time.Second, 4}, {30, time.Minute, 12}} {
		t.Run(fmt.Sprintf("%d nodes, %v each", c.nodes, c.job), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, d := rolling(c.nodes)
				w.job = c.job
				g, states, end := w.begin(t, webFleet("v1"), d)
				defer end()
				time.Sleep(time.Minute)
				before, _ := w.soFar()
				commit(states, webFleet("v2"))
				took := awaitRelease(t, g, "v2", c.nodes)
				reads, _ := w.soFar()
				idle := c.nodes * int(took/d.Refresh+1)
				if extra := reads - before - idle; extra > c.most*c.nodes {
					t.Errorf("they were rolled in %v with %d readings beyond the %d of an idle fleet", took, extra, idle)
				}
			})
		})
	}
}

// Law 18: an agent in the middle of a rollout reads few records, and another that begins meanwhile still keeps its hands off: it reads all.
func TestLaw18SecondAgentSeesARolloutThatCallsNoRoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d := rolling(8)
		first, states, end := c.begin(t, webFleet("v1"), d)
		defer end()
		time.Sleep(time.Minute)
		commit(states, webFleet("v2"))
		time.Sleep(25 * time.Second) // web-1 is over, the next is under way
		d.Agent = plan.Agent{Holder: "b", Epoch: 1, Nonce: "m"}
		var began atomic.Int64
		d.Decide = func(w plan.Want, seen plan.World) plan.Plan {
			p := plan.Next(w, seen)
			began.Add(int64(len(p.Steps)))
			return p
		}
		_, _, endSecond := c.begin(t, webFleet("v2"), d)
		defer endSecond()
		time.Sleep(10 * time.Second)
		if s := first.Snapshot().Fleets[0]; s.Phase != plan.PhaseProgressing || s.Releases["v2"] == 8 {
			t.Fatalf("the first agent is not at work: %s, %v", s.Phase, s.Releases)
		}
		if n := began.Load(); n > 0 {
			t.Errorf("the second agent ordered %d steps", n)
		}
	})
}

// Law 18: when another agent's claim is gone, every record is read again before anything begins: it may have gone on to the next node.
func TestLaw18OtherAgentsClaimVoidsWhatWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d := rolling(3)
		claimed := &c.hosts["web-1"].Record
		claimed.Stage, claimed.StageAt, claimed.On = actuators.Verified, time.Now(), versionOf("v1")
		claimed.Claim = &actuators.Claim{Holder: "b", Epoch: 1, Nonce: "m", Expires: time.Now().Add(time.Hour)}
		_, _, end := c.begin(t, webFleet("v2"), d)
		defer end()
		time.Sleep(8 * time.Second)
		c.stage.mu.Lock()
		claimed.Stage, claimed.Claim = actuators.Idle, nil
		c.version["web-1"]++
		next := &c.hosts["web-3"].Record // where the other agent goes on
		next.Stage, next.StageAt, next.Taken = actuators.Leaving, time.Now(), next.Places
		next.Claim = &actuators.Claim{Holder: "b", Epoch: 1, Nonce: "m", Expires: time.Now().Add(30 * time.Second)}
		c.version["web-3"]++
		c.stage.mu.Unlock()
		time.Sleep(20 * time.Second)
		c.stage.mu.Lock()
		defer c.stage.mu.Unlock()
		if len(c.written) > 0 {
			t.Errorf("another agent works on web-3, and %v", c.written)
		}
	})
}

// Law 18: whose claim lives keeps this agent from beginning; its own, an earlier process's and one that is over do not.
func TestLaw18WhoseClaimIsAnothers(t *testing.T) {
	now := time.Now()
	for what, c := range map[string]struct {
		claim    actuators.Claim
		seen     time.Duration // ago
		excluded bool
		another  bool
	}{
		"another agent's":                  {claim: actuators.Claim{Holder: "b", Epoch: 1, Nonce: "m"}, another: true},
		"on an excluded node":              {claim: actuators.Claim{Holder: "b", Epoch: 1, Nonce: "m"}, excluded: true},
		"this process's":                   {claim: actuators.Claim{Holder: "a", Epoch: 2, Nonce: "n"}},
		"an earlier process's":             {claim: actuators.Claim{Holder: "a", Epoch: 1, Nonce: "m"}},
		"of a copied state directory":      {claim: actuators.Claim{Holder: "a", Epoch: 2, Nonce: "m"}, another: true},
		"expired, a call may be in flight": {claim: actuators.Claim{Holder: "b", Epoch: 1, Nonce: "m", Expires: now.Add(-plan.TakeoverWait + 1)}, another: true},
		"expired":                          {claim: actuators.Claim{Holder: "b", Epoch: 1, Nonce: "m", Expires: now.Add(-plan.TakeoverWait)}},
		"out of all bounds":                {claim: actuators.Claim{Holder: "b", Epoch: 1, Nonce: "m", Expires: now.Add(24 * time.Hour)}, seen: actuators.ClaimTime + plan.TakeoverWait},
	} {
		s := stageOf(1, "v1")
		a := newActor("web", s.deps(), func(Status) {})
		a.Agent.Epoch = 2
		a.take(order{want: plan.Want{Fleet: webFleet("v1"), Version: versionOf("v1")}})
		a.meet(s.nodes)
		if c.claim.Expires.IsZero() {
			c.claim.Expires = now.Add(actuators.ClaimTime)
		}
		state := s.state("web-1")
		state.Now, state.Record.Stage, state.Record.Claim = now, actuators.Leaving, &c.claim
		a.order[0].learn(state, now.Add(-c.seen))
		a.order[0].excluded = c.excluded
		if got := a.othersWork(a.order[0], now); got != c.another {
			t.Errorf("a claim %s: another agent works there: %t", what, got)
		}
	}
}

// Law 18: a roll call holds on as long as a claim that was surely written keeps others from beginning, and no longer.
func TestLaw18RollCallLapsesWithTheClaimThatKeepsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			what    string
			stage   actuators.Stage
			nonce   string
			claimed time.Duration // ago
			keeps   bool
		}{
			{"under way", actuators.Configuring, "n", 10 * time.Second, true},
			{"not renewed for as long as a claim lasts", actuators.Configuring, "n", actuators.ClaimTime, false},
			{"another's", actuators.Configuring, "m", time.Second, false},
			{"at rest", actuators.Idle, "n", time.Second, false},
		} {
			s := stageOf(2, "v1")
			a := newActor("web", s.deps(), func(Status) {})
			a.take(order{want: plan.Want{Fleet: webFleet("v1"), Version: versionOf("v1")}})
			a.meet(s.nodes)
			state := s.state("web-2")
			state.Record.Stage, state.Record.Claim = c.stage, &actuators.Claim{Holder: "a", Epoch: 1, Nonce: c.nonce}
			a.order[1].learn(state, time.Now())
			a.order[1].claimedAt = time.Now().Add(-c.claimed)
			a.rollCall.ended = time.Now().Add(-time.Second)
			if a.keepRollCall(time.Now()); a.rollCall.ended.Equal(time.Now()) != c.keeps {
				t.Errorf("a node %s: its roll call's answer is good until %v ago", c.what, time.Since(a.rollCall.ended))
			}
			a.rollCall.ended = time.Now().Add(-plan.RecordAge - 1)
			if a.keepRollCall(time.Now()); a.rollCall.ended.Equal(time.Now()) {
				t.Errorf("a node %s: an answer that was too old is good again", c.what)
			}
		}
	})
}

// G9: nodes that wait to leave or to join share the readings of their balancers, of which there is one a second in the long run.
func TestG9ManyNodesShareTheReadingsOfTheirBalancers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 120
		c, d := rolling(n)
		c.apart = true
		g, states, end := c.begin(t, webFleet("v1"), d)
		defer end()
		time.Sleep(2 * time.Minute)
		_, before := c.soFar()
		next := webFleet("v2")
		next.Rollout.MaxUnavailable = desired.Amount{Percent: 20}
		commit(states, next)
		took := awaitRelease(t, g, "v2", n)
		_, readings := c.soFar()
		if most := mostReadings + int(took/readingEvery) + 1; readings-before > most {
			t.Errorf("%d readings in %v, at most %d are to be made", readings-before, took, most)
		}
	})
}

// What happens within a breath shares one pass: work does not grow with the square of the nodes.
func TestManyEventsShareAPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 400
		c, d := rolling(n)
		c.apart = true
		var plans atomic.Int64
		d.Decide = func(w plan.Want, seen plan.World) plan.Plan { plans.Add(1); return plan.Next(w, seen) }
		g, _, end := c.begin(t, webFleet("v1"), d)
		defer end()
		began := time.Now()
		for ready := false; !ready; {
			time.Sleep(10 * time.Millisecond)
			fleets := g.Snapshot().Fleets
			ready = len(fleets) > 0 && fleets[0].Ready
		}
		took, breath := time.Since(began), n*breathPerNode
		if made, most := plans.Load(), int64(took/breath)+mostPasses; made > most {
			t.Errorf("%d nodes were read in %v, and %d plans made; one each %v is enough", n, took, made, breath)
		}
	})
}

// While more nodes are due than can be read at once, those this agent works on come first: what it does next depends on them.
func TestNodeUnderWayIsReadFirst(t *testing.T) {
	s := stageOf(mostReads+10, "v1")
	a := newActor("web", s.deps(), func(Status) {})
	a.take(order{want: plan.Want{Fleet: webFleet("v1"), Version: versionOf("v1")}})
	a.meet(s.nodes)
	now := time.Now()
	for _, n := range a.order {
		n.nextRead = now.Add(-time.Minute)
	}
	last := a.order[len(a.order)-1]
	state := s.state(last.Name)
	state.Record.Stage, state.Record.Claim = actuators.Leaving, &actuators.Claim{Holder: "a", Epoch: 1, Nonce: "n"}
	last.learn(state, now)
	last.nextRead = now
	a.readHosts(t.Context(), now)
	if !a.tasks.busy(taskRead, last.ID) || a.tasks.busyWith(taskRead) != mostReads {
		t.Errorf("%d hosts are being read, and %s is not among them", a.tasks.busyWith(taskRead), last.Name)
	}
	a.tasks.wait()
}

// A node that moved while it was being read is read again: the answer may be of before.
func TestNodeThatMovesWhileItIsReadIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(1, "v1")
		a := newActor("web", s.deps(), func(Status) {})
		a.take(order{want: plan.Want{Fleet: webFleet("v1"), Version: versionOf("v1")}})
		a.meet(s.nodes)
		n := a.order[0]
		a.groups = s.groups
		a.noticeMoves(time.Now())
		s.lateRead = time.Second
		n.nextRead = time.Now()
		a.readHosts(t.Context(), time.Now())
		time.Sleep(time.Millisecond)
		a.groups = []actuators.GroupState{{Group: s.groups[0].Group, TargetType: "ip"}}
		moved := time.Now()
		a.noticeMoves(moved)
		(<-a.tasks.done)()
		if n.nextRead.After(moved) {
			t.Errorf("it left its group while it was read, and is read again in %v", n.nextRead.Sub(moved))
		}
		a.tasks.wait()
	})
}

// asked is a history that holds everything and counts how often it was searched.
type asked struct{ searches atomic.Int64 }

func (h *asked) Contains(context.Context, string) (bool, error) { h.searches.Add(1); return true, nil }

// fickle is a host in an attacker's hands: it names another revision at each reading, and asks to be read often.
type fickle struct {
	*stage
	reads atomic.Int64
}

func (f *fickle) Read(ctx context.Context, at actuators.Place) (actuators.HostState, error) {
	s, err := f.stage.Read(ctx, at)
	if at.Node.Name == "web-1" {
		s.Record.On.Revision, s.Job.Running = fmt.Sprintf("%040x", f.reads.Add(1)), true
	}
	return s, err
}

// A node can have the deploy repo's history searched now and then, not as often as it likes, and what it named is not remembered for ever.
func TestHostileNodeCannotHaveTheHistorySearchedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fickle{stage: stageOf(3, "v1")}
		d, h := s.deps(), &asked{}
		d.Host, d.History = s, h
		_, _, end := s.begin(t, webFleet("v1"), d)
		time.Sleep(time.Hour)
		end()
		if reads, searches := s.reads.Load(), h.searches.Load(); reads < 1000 || searches > 65 {
			t.Errorf("%d readings named as many revisions, and the history was searched %d times in an hour", reads, searches)
		}
	})
}

func TestHostileNodeCannotFillTheMemoryWithRevisions(t *testing.T) {
	s := stageOf(1, "v1")
	d := s.deps()
	d.History = &asked{}
	a := newActor("web", d, func(Status) {})
	a.take(order{want: plan.Want{Fleet: webFleet("v1"), Version: versionOf("v1")}})
	a.meet(s.nodes)
	for i := range 5000 {
		state := s.state("web-1")
		state.Record.On.Revision = fmt.Sprintf("%040x", i)
		a.order[0].learn(state, time.Now())
		a.checkHistory(t.Context())
		a.tasks.drain()
	}
	if n := len(a.history); n > 10 {
		t.Errorf("%d revisions are remembered for one node", n)
	}
	a.tasks.wait()
}

// Law 2: a revision that waits to be searched for blocks as long as it does, whoever has the history searched meanwhile.
func TestLaw2RevisionBlocksUntilItWasSearchedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(6, "v1")
		for i, n := range s.nodes {
			s.hosts[n.Name].Record.On.Revision = fmt.Sprintf("%040x", i)
		}
		d, h := s.deps(), &slowPast{}
		d.History = h
		g, _, end := s.begin(t, webFleet("v2"), d)
		defer end()
		time.Sleep(2*time.Minute + 10*time.Second) // the third pair is searched for
		s.mu.Lock()
		if f := g.Snapshot().Fleets[0]; !strings.Contains(f.Reason, "still to be searched") || len(s.written) > 0 {
			t.Errorf("%s: %s; %v", f.Phase, f.Reason, s.written)
		}
		s.mu.Unlock()
		if most := h.most.Load(); most != mostSearches {
			t.Errorf("%d searches at once, want %d", most, mostSearches)
		}
		time.Sleep(2 * time.Minute)
		if f := g.Snapshot().Fleets[0]; strings.Contains(f.Reason, "still to be searched") {
			t.Errorf("all were found, and still %s: %s", f.Phase, f.Reason)
		}
	})
}

// slowPast is a history that holds everything and takes a minute to tell.
type slowPast struct{ now, most atomic.Int64 }

func (h *slowPast) Contains(context.Context, string) (bool, error) {
	h.most.Store(max(h.most.Load(), h.now.Add(1)))
	time.Sleep(time.Minute)
	h.now.Add(-1)
	return true, nil
}

// Law 2: what is searched for by nobody's whim is searched for at once: the wanted revision, and others when the head has moved or when git
// could not be read.
func TestLaw2SearchesOfTheHistoryThatNeedNotWait(t *testing.T) {
	t.Run("wanted", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, d := rolling(2)
			c.hosts["web-2"].Record.On.Revision = strings.Repeat("c", 40) // so that each node had one searched for
			d.History = &asked{}
			g, states, end := c.begin(t, webFleet("v1"), d)
			defer end()
			time.Sleep(5 * time.Second)
			commit(states, webFleet("v2"))
			if took := awaitRelease(t, g, "v2", 2); took > 45*time.Second {
				t.Errorf("two nodes, 15 s each, took %v", took)
			}
		})
	})
	for name, err := range map[string]error{"head moved": nil, "git was down": errors.New("no route to host")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, d := rolling(1)
				h := &belated{err: err}
				d.History = h
				g, states, end := c.begin(t, webFleet("v1"), d)
				defer end()
				time.Sleep(5 * time.Second)
				if f := g.Snapshot().Fleets[0]; f.Phase != plan.PhaseWaiting {
					t.Fatalf("%s: %s", f.Phase, f.Reason)
				}
				h.knows.Store(true)
				if err == nil {
					commit(states, webFleet("v1"))
				}
				time.Sleep(2 * d.Interval)
				if f := g.Snapshot().Fleets[0]; f.Phase != plan.PhaseIdle {
					t.Errorf("git knows the revision since half a minute, and the fleet is %s: %s", f.Phase, f.Reason)
				}
			})
		})
	}
}

// belated is a history that cannot tell, or does not hold anything, until it knows.
type belated struct {
	knows atomic.Bool
	err   error
}

func (h *belated) Contains(context.Context, string) (bool, error) {
	if h.knows.Load() {
		return true, nil
	}
	return false, h.err
}

// What was found of the revision that a record names is kept while its node is excluded: when that ends, nothing waits for another search.
func TestLaw2RevisionOfAnExcludedNodeIsSearchedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(3, "v1")
		s.hosts["web-1"].Record.On.Revision = strings.Repeat("b", 40)
		s.hosts["web-1"].Record.Proven.Revision = strings.Repeat("b", 40)
		d, h := s.deps(), &asked{}
		d.History = h
		agent, states, end := s.begin(t, webFleet("v1"), d)
		defer end()
		for _, excluded := range []bool{true, false, true, false} {
			time.Sleep(10 * time.Second)
			f := webFleet("v1")
			if excluded {
				f.Nodes.Exclude = []desired.Exclusion{{Name: "web-1", Reason: "looked at"}}
			}
			revision := strings.Repeat("a", 40)
			states <- desired.State{Revision: revision, Fleets: map[string]desired.Version{"web": {Fleet: f, Revision: revision}}}
		}
		time.Sleep(5 * time.Second)
		if n := h.searches.Load(); n != 2 {
			t.Errorf("%d searches for two revisions", n)
		}
		if f := agent.Snapshot().Fleets[0]; f.Phase != plan.PhaseIdle {
			t.Errorf("%s: %s", f.Phase, f.Reason)
		}
	})
}
