package reconciler

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/reconciler/plan"
)

// A chronicle is the agents of one fleet of three nodes, one after another, and the rollouts they say have ended.
type chronicle struct {
	*stage
	ended    []RolloutDone
	rejected []desired.Reason
	checked  map[string]int // by check and result
	kept     Kept           // what the last agent left
	agent    *Agent
	states   chan desired.State
	kill     func()
}

func (c *chronicle) RolloutDone(d RolloutDone)             { c.ended = append(c.ended, d) }
func (c *chronicle) Rejected(_ string, why desired.Reason) { c.rejected = append(c.rejected, why) }
func (c *chronicle) CheckDone(_, check string, result health.Result) {
	c.checked[check+" "+string(result)]++
}

func newChronicle(t *testing.T) *chronicle {
	c := &chronicle{stage: stageOf(3, "v1"), checked: map[string]int{}}
	c.leaves, c.comes, c.job = true, true, time.Minute
	for _, h := range c.hosts {
		h.Record.StageAt = time.Now().Add(-24 * time.Hour)
	}
	c.start(t, webFleet("v1"), time.Now().Add(-24*time.Hour))
	c.until(t, "idle", idle)
	return c
}

// start starts an agent with what the last one left, and the fleet as a commit of that time wants it.
func (c *chronicle) start(t *testing.T, f *desired.Fleet, committed time.Time) {
	d := c.deps()
	d.Observer, d.Kept = c, map[string]Kept{"web": c.kept}
	c.agent, c.states = New(d), make(chan desired.State)
	ctx, cancel := context.WithCancel(t.Context())
	agent, states, done := c.agent, c.states, make(chan struct{})
	go func() { agent.Run(ctx, states); close(done) }()
	c.kill = func() { cancel(); <-done }
	c.commit(f, committed)
	c.until(t, "ready", func(s Status) bool { return s.Ready })
}

// restart kills the agent, with what it knew as the next one's, and starts that later.
func (c *chronicle) restart(t *testing.T, pause time.Duration, f *desired.Fleet, committed time.Time) {
	c.kept = c.status().Keep()
	c.kill()
	time.Sleep(pause)
	c.start(t, f, committed)
}

func (c *chronicle) commit(f *desired.Fleet, at time.Time) {
	c.states <- desired.State{Revision: versionOf("").Revision, Fleets: map[string]desired.Version{"web": {Fleet: f, Revision: versionOf("").Revision, Committed: at}}}
	time.Sleep(time.Second)
}

func (c *chronicle) status() Status { return c.agent.Snapshot().Fleets[0] }

func (c *chronicle) until(t *testing.T, what string, done func(Status) bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Hour); !done(c.status()); time.Sleep(time.Second) {
		if time.Now().After(deadline) {
			t.Fatalf("never %s: %+v", what, c.status())
		}
	}
}

func idle(s Status) bool { return s.Phase == plan.PhaseIdle }

func completed(n int) func(Status) bool {
	return func(s Status) bool { return s.Rollout.Completed == n }
}

// only is the one rollout that ended.
func (c *chronicle) only(t *testing.T) RolloutDone {
	t.Helper()
	synctest.Wait()
	if len(c.ended) != 1 {
		t.Fatalf("%d rollouts ended, want 1: %+v", len(c.ended), c.ended)
	}
	return c.ended[0]
}

// A rollout that a killed agent began is its successor's: one rollout, begun when it began, for what it began.
func TestRestartInMidRolloutCountsOneRollout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChronicle(t)
		defer func() { c.kill() }()
		committed := time.Now()
		c.commit(webFleet("v2"), committed)
		c.until(t, "one node through", completed(1))
		before := c.status().Rollout
		c.restart(t, 10*time.Minute, webFleet("v2"), committed)
		after := c.status().Rollout
		if after.Started != before.Started || after.Trigger != TriggerCommit || after.Planned != 3 || after.Completed != 1 || time.Since(after.LastProgress) < 9*time.Minute {
			t.Errorf("before the restart %+v\nafter it %+v", before, after)
		}
		c.until(t, "idle", idle)
		d := c.only(t)
		if r := d.Rollout; r.Trigger != TriggerCommit || r.Result != ResultSucceeded || r.Started != before.Started || r.Planned != 3 || r.Completed != 3 {
			t.Errorf("it ended as %+v", r)
		}
		if d.Lead != d.Rollout.Ended.Sub(committed) || d.Lead < 10*time.Minute {
			t.Errorf("%v from the commit; it was made at %v, and the rollout ended at %v", d.Lead, committed, d.Rollout.Ended)
		}
	})
}

// What the agent kept may be lost. The nodes' records still tell a commit from nodes that came.
func TestRestartWithNothingKeptKnowsTheTrigger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChronicle(t)
		defer func() { c.kill() }()
		c.commit(webFleet("v2"), time.Now())
		c.until(t, "one node through", completed(1))
		c.kill()
		c.start(t, webFleet("v2"), time.Now())
		c.until(t, "idle", idle)
		if r := c.only(t).Rollout; r.Trigger != TriggerCommit || r.Planned != 2 || r.Completed != 2 {
			t.Errorf("it ended as %+v", r)
		}
	})
}

// A rollout whose end its agent did not live to tell ended when its last node was through.
func TestRestartAfterTheLastNodeEndsTheRolloutThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChronicle(t)
		defer func() { c.kill() }()
		c.commit(webFleet("v2"), time.Now())
		c.until(t, "two nodes through", completed(2))
		two := c.status().Keep()
		c.until(t, "idle", idle)
		end := c.only(t).Rollout.Ended
		c.ended = nil
		c.kill()
		time.Sleep(5 * time.Hour)
		c.kept = two
		c.start(t, webFleet("v2"), time.Now())
		if r := c.only(t).Rollout; r.Ended.Sub(end).Abs() > 2*time.Second || r.Completed != 3 || r.Result != ResultSucceeded {
			t.Errorf("it ended at %v, the restart says %+v", end, r)
		}
	})
}

// A rollout that ended before the restart is shown as it was, and nothing is counted anew.
func TestRestartWhileIdleKeepsTheNewestRollout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChronicle(t)
		defer func() { c.kill() }()
		c.commit(webFleet("v2"), time.Now())
		c.until(t, "a rollout over", func(s Status) bool { return s.Rollout.Result != "" })
		before := c.status()
		c.restart(t, time.Hour, webFleet("v2"), time.Now())
		time.Sleep(time.Minute)
		if after := c.status(); after.Rollout != before.Rollout {
			t.Errorf("before the restart %+v\nafter it %+v", before.Rollout, after.Rollout)
		}
		c.only(t)
		for _, n := range c.status().Nodes {
			if time.Since(n.Since) < time.Hour {
				t.Errorf("%s is %s since the restart, say its series", n.Name, n.State)
			}
		}
	})
}

// Lead time counts from the commit that changed the fleet, whatever else is committed before all nodes have it.
func TestLeadTimeCountsFromTheCommitThatWantedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChronicle(t)
		defer func() { c.kill() }()
		committed := time.Now()
		c.commit(webFleet("v2"), committed)
		c.until(t, "one node through", completed(1))
		c.commit(webFleet("v2"), time.Now())
		c.until(t, "idle", idle)
		if d := c.only(t); d.Lead != d.Rollout.Ended.Sub(committed) {
			t.Errorf("%v from the commit, want %v", d.Lead, d.Rollout.Ended.Sub(committed))
		}
	})
}

// A pause is its people's time. It goes on over commits that do not end it, and over a restart.
func TestPausedTimeIsKeptApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChronicle(t)
		defer func() { c.kill() }()
		paused := webFleet("v2")
		paused.Paused = &desired.Pause{Reason: "incident"}
		c.commit(webFleet("v2"), time.Now())
		c.until(t, "one node through", completed(1))
		c.commit(paused, time.Now())
		began := c.status().PausedAt
		time.Sleep(time.Hour)
		c.commit(paused, time.Now())
		if at := c.status().PausedAt; at != began || began.IsZero() {
			t.Errorf("paused at %v; after a commit that changes nothing at %v", began, at)
		}
		c.restart(t, time.Hour, paused, time.Now())
		if at := c.status().PausedAt; at != began {
			t.Errorf("paused at %v; after a restart at %v", began, at)
		}
		c.commit(webFleet("v2"), time.Now())
		c.until(t, "idle", idle)
		r := c.only(t).Rollout
		if took := r.Ended.Sub(r.Started); r.Paused.Round(time.Minute) != 2*time.Hour || took-r.Paused > 10*time.Minute {
			t.Errorf("it was paused for %v of %v", r.Paused, took)
		}
	})
}

// A fleet is seen whole as of its older reading, and not any more from when one of them fails.
func TestSeenIsWhenNothingWasMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChronicle(t)
		defer func() { c.kill() }()
		time.Sleep(time.Hour)
		if age := time.Since(c.status().Seen); age > 20*time.Second {
			t.Errorf("seen whole %v ago", age)
		}
		c.mu.Lock()
		c.groups[0].Err = "it cannot be read"
		c.mu.Unlock()
		time.Sleep(time.Hour)
		if age := time.Since(c.status().Seen); age < time.Hour-20*time.Second {
			t.Errorf("seen whole %v ago; its group has not been readable for an hour", age)
		}
	})
}

// A node that is expected and was not found is missing from when that was noticed, as long as it is; another one later changes nothing.
func TestMissingNodesAreMissingSinceTheFirstWasNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChronicle(t)
		defer func() { c.kill() }()
		all := c.nodes
		found := func(n int) []Node {
			c.mu.Lock()
			c.nodes = all[:n]
			c.mu.Unlock()
			time.Sleep(time.Hour)
			return slices.DeleteFunc(slices.Clone(c.status().Nodes), func(n Node) bool { return n.State != plan.Missing })
		}
		expecting := webFleet("v1")
		expecting.Nodes.Expect = 3
		c.commit(expecting, time.Now().Add(-24*time.Hour))
		for _, step := range []struct {
			found, missing int
			since          time.Duration
		}{{3, 0, 0}, {2, 1, time.Hour}, {1, 2, 2 * time.Hour}, {3, 0, 0}, {2, 1, time.Hour}} {
			missing := found(step.found)
			if len(missing) != step.missing {
				t.Fatalf("%d of 3 found, missing: %+v", step.found, missing)
			}
			for _, n := range missing {
				if since := time.Since(n.Since).Round(time.Minute); since != step.since {
					t.Errorf("%d of 3 found, missing since %v, want %v", step.found, since, step.since)
				}
			}
		}
	})
}

// An exclusion makes those it names fewer that are expected: nobody, where it names nobody, and two where two carry the name.
func TestMissingNodesAreThoseThatThePlanExpects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChronicle(t)
		defer func() { c.kill() }()
		c.mu.Lock()
		c.nodes = c.nodes[:2]
		c.mu.Unlock()
		for name, want := range map[string]int{"web-1": 1, "wbe-1": 1, "twin": 0} {
			c.mu.Lock()
			for i := range c.nodes {
				c.nodes[i].Alias = map[bool]string{true: "twin"}[name == "twin"]
			}
			c.mu.Unlock()
			f := excluding(webFleet("v1"), name)
			f.Nodes.Expect = 3
			if name == "twin" {
				f.Nodes.Expect = 2
			}
			c.commit(f, time.Now())
			time.Sleep(time.Minute)
			missing := slices.DeleteFunc(slices.Clone(c.status().Nodes), func(n Node) bool { return n.State != plan.Missing })
			if len(missing) != want {
				t.Errorf("2 of %d found, %s is excluded: %d missing, want %d; %s", f.Nodes.Expect, name, len(missing), want, c.status().Reason)
			}
		}
	})
}

// Each commit that is rejected counts once, however often git is heard of.
func TestRejectedCommitsAreToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChronicle(t)
		defer func() { c.kill() }()
		for _, revision := range []string{"b1", "b1", "b2"} {
			c.states <- desired.State{Revision: revision,
				Fleets:   map[string]desired.Version{"web": {Fleet: webFleet("v1"), Revision: "a"}},
				Rejected: map[string]desired.Rejection{"web": {Revision: revision, Reason: desired.ReasonParse}}}
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if want := []desired.Reason{desired.ReasonParse, desired.ReasonParse}; !slices.Equal(c.rejected, want) {
			t.Errorf("told of %q, want %q", c.rejected, want)
		}
		if c.checked["serves pass"] == 0 {
			t.Errorf("checks told of: %v", c.checked)
		}
	})
}

// A broken file needs a person, also on a fleet that is paused: the file that was to end the pause may be the broken one.
func TestABrokenFileShowsThroughAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChronicle(t)
		defer func() { c.kill() }()
		paused := webFleet("v1")
		paused.Paused = &desired.Pause{Reason: "incident"}
		c.states <- desired.State{Revision: "b",
			Fleets:   map[string]desired.Version{"web": {Fleet: paused, Revision: "a"}},
			Rejected: map[string]desired.Rejection{"web": {Revision: "b", Errors: desired.Errors{{Message: "unknown key"}}}}}
		time.Sleep(time.Second)
		if s := c.status(); s.Phase != plan.PhaseInvalid || s.PausedAt.IsZero() {
			t.Errorf("phase %s, paused at %v: %s", s.Phase, s.PausedAt, s.Reason)
		}
	})
}

// A rollout is told by what began it: a commit, and then a node that came.
func TestRolloutsAreToldByWhatBeganThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChronicle(t)
		defer func() { c.kill() }()
		c.commit(webFleet("v2"), time.Now())
		c.until(t, "idle with v2", func(s Status) bool { return idle(s) && s.Releases["v2"] == 3 })
		c.mu.Lock()
		c.nodes = append(slices.Clone(c.nodes), actuators.Node{Name: "web-4", ID: "i-web-4", Address: "web-4", Targets: actuators.Targets{IP: "web-4"}})
		c.hosts["web-4"] = &actuators.HostState{Machine: "i-web-4"}
		c.mu.Unlock()
		c.until(t, "four nodes", func(s Status) bool { return idle(s) && s.Releases["v2"] == 4 })
		synctest.Wait()
		var began []Trigger
		for _, d := range c.ended {
			began = append(began, d.Rollout.Trigger)
		}
		if !slices.Equal(began, []Trigger{TriggerCommit, TriggerMembership}) {
			t.Errorf("they began by %v", began)
		}
	})
}
