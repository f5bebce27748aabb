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
	"windlass/reconciler/plan"
)

// What a fleet says of a release, by how it stands.
func TestWhatAnotherFleetHasProven(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 12, 1, 14, 2, 0, 0, time.UTC)
	span := func(release string, from, to time.Duration, goesOn bool) plan.Wholeness {
		s := plan.Span{Release: release, At: now.Add(-from), Seen: now.Add(-to)}
		if !goesOn {
			s.Until = s.Seen
		}
		return plan.Wholeness{Spans: []plan.Span{s}}
	}
	wants := func(release string, s Status) Status {
		s.Name, s.Size, s.Ready, s.Desired.Release = "web-staging", 4, true, release
		return s
	}
	progressing := Status{Phase: plan.PhaseProgressing, Reason: "1 of 4 nodes under way", Releases: map[string]int{"v42": 2}}
	opens := now.Add(18 * time.Minute)
	for name, c := range map[string]struct {
		stands Status
		least  time.Duration
		state  plan.GateState
		until  time.Time
		reason string
	}{
		"proven for long enough":       {wants("v42", Status{Whole: span("v42", time.Hour, 0, true)}), 30 * time.Minute, plan.GateOpen, time.Time{}, "every node of web-staging has had v42 proven for 30m or longer"},
		"once, and it has moved on":    {wants("v43", Status{Whole: span("v42", 2*time.Hour, time.Hour, false)}), 30 * time.Minute, plan.GateOpen, time.Time{}, "every node of web-staging has had v42 proven for 30m or longer"},
		"proven at all":                {wants("v42", Status{Whole: span("v42", 0, 0, true)}), 0, plan.GateOpen, time.Time{}, "every node of web-staging has had v42 proven for 0s or longer"},
		"halted now":                   {wants("v42", Status{Phase: plan.PhaseHalted, Whole: span("v42", 2*time.Hour, time.Hour, false)}), 30 * time.Minute, plan.GateShut, time.Time{}, "v42 is halted on web-staging"},
		"another one is halted":        {wants("v43", Status{Phase: plan.PhaseHalted, Whole: span("v42", 2*time.Hour, time.Hour, false)}), 30 * time.Minute, plan.GateOpen, time.Time{}, "every node of web-staging has had v42 proven for 30m or longer"},
		"not long enough yet":          {wants("v42", Status{Whole: span("v42", 12*time.Minute, 0, true)}), 30 * time.Minute, plan.GateWait, opens, "web-staging has had v42 proven on all nodes (4) since 2026-12-01 13:50:00 UTC, and it takes 30m; opens 2026-12-01 14:20:00 UTC"},
		"nobody can tell":              {wants("v42", Status{Reason: "throttled", Whole: span("v42", 40*time.Minute, 20*time.Minute, true)}), 30 * time.Minute, plan.GateUnread, time.Time{}, "whether every node of web-staging still has v42 cannot be told: throttled"},
		"under way":                    {wants("v42", progressing), 0, plan.GateWait, time.Time{}, "web-staging has v42 on 2 of 4 nodes; it is progressing: 1 of 4 nodes under way"},
		"another one is wanted":        {wants("v41", Status{Whole: span("v41", time.Hour, 0, true)}), 0, plan.GateWait, time.Time{}, "web-staging is to have v41; deploy v42 there first"},
		"it moved on too early":        {wants("v43", Status{Whole: span("v42", time.Hour, 50*time.Minute, false)}), 30 * time.Minute, plan.GateWait, time.Time{}, "web-staging had v42 proven on all nodes for 10m0s of 30m, and is to have v43 now"},
		"it moved on after a halt":     {wants("v41", Status{Halted: []string{"v40", "v42"}}), 0, plan.GateShut, time.Time{}, "v42 was halted on web-staging, which is to have v41 now"},
		"it was not read":              {Status{Name: "web-staging"}, 0, plan.GateUnread, time.Time{}, "fleet web-staging was not read yet"},
		"it was, by an agent before":   {Status{Name: "web-staging", Whole: span("v42", 2*time.Hour, time.Hour, false)}, time.Hour, plan.GateOpen, time.Time{}, "every node of web-staging has had v42 proven for 1h or longer"},
		"as long as it takes, in time": {wants("v42", Status{Whole: span("v42", 30*time.Minute, 5*time.Second, true)}), 30 * time.Minute, plan.GateWait, now, "web-staging has had v42 proven on all nodes (4) since 2026-12-01 13:32:00 UTC, and it takes 30m; opens 2026-12-01 14:02:00 UTC"},
	} {
		if g := (After{late: time.Minute}).proves(c.stands, c.least, "v42", now); g.State != c.state || g.Reason != c.reason || !g.Until.Equal(c.until) {
			t.Errorf("%s: %v until %v, %s", name, g.State, g.Until, g.Reason)
		}
	}
}

// A fleet of another agent cannot be seen: nothing starts.
func TestAFleetThatIsNotThisAgents(t *testing.T) {
	t.Parallel()
	f := webFleet("v2")
	f.After = []desired.After{{Fleet: "elsewhere"}, {Fleet: "nowhere"}}
	gates := New(Deps{}).afterOf(f)
	if len(gates) != 2 {
		t.Fatalf("gates %+v", gates)
	}
	if g := gates[0]; g.Name != "after elsewhere" || g.Stops != plan.StopsStart || g.Reverts || g.State != plan.GateUnread || g.Reason != "fleet elsewhere is not one of this agent's" {
		t.Errorf("gate %+v", g)
	}
}

// A release goes from staging to live by itself: as soon as all of staging has had it for long enough, and not before; what staging does later stops nothing.
func TestAReleaseGoesFromStagingToLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := promote(t, 10*time.Minute)
		defer p.end()
		p.deploy("v2")
		p.wait(5 * time.Minute)
		if live := p.live.releases(); live["v2"] > 0 {
			t.Fatalf("live has %v while staging has proven nothing for long enough", live)
		}
		g := p.gate()
		if g.State != plan.GateWait || g.Until.IsZero() || !strings.Contains(g.Reason, "staging has had v2 proven on all nodes (3) since") {
			t.Fatalf("the gate is %+v", g)
		}
		opens := g.Until
		p.wait(time.Until(opens) - time.Second)
		if live := p.live.releases(); live["v2"] > 0 {
			t.Fatalf("live has %v too early", live)
		}
		p.wait(10 * time.Minute)
		if live := p.live.releases(); live["v2"] != 3 {
			t.Errorf("live has %v; %+v", live, p.gate())
		}
	})
}

// What goes wrong on staging keeps a release from live: a halt, whatever was proven before; a node that is out of service begins the time anew. What was begun
// goes on.
func TestWhatStagingSaysHoldsTheStartAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := promote(t, time.Minute)
		defer p.end()
		p.deploy("v2")
		for p.live.releases()["v2"] == 0 {
			p.wait(time.Second)
		}
		p.staging.member("stg-1", false)
		p.wait(10 * time.Minute)
		if live := p.live.releases(); live["v2"] != 3 {
			t.Errorf("staging stopped what had begun: live has %v; %+v", live, p.gate())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		p := promote(t, 10*time.Minute)
		defer p.end()
		p.deploy("v2")
		before := p.opens()
		p.wait(8 * time.Minute)
		p.staging.member("stg-1", false)
		p.wait(time.Minute)
		if g := p.gate(); g.State != plan.GateWait || !strings.Contains(g.Reason, "staging has v2 on 3 of 3 nodes; it is waiting: ") {
			t.Errorf("with a node out of service the gate is %+v", g)
		}
		p.staging.member("stg-1", true)
		p.wait(time.Minute)
		if g := p.gate(); !g.Until.After(before.Add(8*time.Minute)) || p.live.releases()["v2"] > 0 {
			t.Errorf("the gate opens %v after it would have: %+v", g.Until.Sub(before), g)
		}
	})
}

// Another agent goes on with the time that the records tell of; nobody else's records tell it.
func TestAnotherAgentGoesOnWithPromotions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := promote(t, 10*time.Minute)
		p.deploy("v2")
		opens := p.opens()
		p.wait(5 * time.Minute)
		p.end()
		p.wait(time.Minute)
		p.begin("v2")
		defer p.end()
		p.wait(time.Minute)
		if g := p.gate(); !g.Until.Equal(opens) {
			t.Errorf("the gate opens %v later: %+v", g.Until.Sub(opens), g)
		}
		for _, s := range []*stage{p.staging, p.live} {
			s.mu.Lock()
			for name, h := range s.hosts {
				if told := len(h.Record.Facts) > 0; told != (s == p.staging) {
					t.Errorf("the record of %s tells %+v", name, h.Record.Facts)
				}
			}
			s.mu.Unlock()
		}
		writes := len(p.staging.written)
		p.wait(time.Hour)
		if more := len(p.staging.written) - writes; more > 0 {
			t.Errorf("%d writes to a fleet that rests", more)
		}
	})
}

// A look tells of the gate as well: it looks at the other fleet.
func TestALookSeesWhatAnotherFleetHasProven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := promote(t, 0)
		p.end()
		for release, state := range map[string]plan.GateState{"v1": plan.GateOpen, "v2": plan.GateWait} {
			sights, err := Look(t.Context(), p.deps, p.state("v1", release))
			if err != nil || len(sights) != 2 {
				t.Fatal(err, len(sights))
			}
			live := sights[1]
			for where, gates := range map[string][]plan.Gate{"world": live.World.Gates, "status": live.Status.Gates, "another": live.After(live.Want.Fleet)} {
				if len(gates) != 1 || gates[0].State != state {
					t.Errorf("%s, in the %s: %+v", release, where, gates)
				}
			}
		}
	})
}

// A promotion is an agent with two fleets of three nodes, staging and web, of which web comes after staging.
type promotion struct {
	t             *testing.T
	deps          Deps
	staging, live *stage
	after         time.Duration
	agent         *Agent
	states        chan desired.State
	end           func()
}

func promote(t *testing.T, provenFor time.Duration) *promotion {
	p := &promotion{t: t, after: provenFor, live: stageOf(3, "v1"), staging: stagingOf(stageOf(3, "v1"))}
	for _, s := range []*stage{p.live, p.staging} {
		s.leaves, s.comes, s.job = true, true, 5*time.Second
	}
	two := two{p.live, p.staging}
	p.deps = p.live.deps()
	p.deps.Inventory, p.deps.Balancer, p.deps.Host, p.deps.Prober = two, two, two, two
	p.begin("v1")
	p.wait(time.Minute)
	return p
}

// begin starts an agent.
func (p *promotion) begin(release string) {
	p.agent, p.states = New(p.deps), make(chan desired.State)
	ctx, cancel := context.WithCancel(p.t.Context())
	done := make(chan struct{})
	go func() { p.agent.Run(ctx, p.states); close(done) }()
	p.end = func() { cancel(); <-done }
	p.deploy(release)
}

// deploy has both fleets want a release.
func (p *promotion) deploy(release string) { p.states <- p.state(release, release) }

func (p *promotion) state(staged, released string) desired.State {
	staging, live := webFleet(staged), webFleet(released)
	staging.Name, staging.LoadBalancers[0].TargetGroup = "staging", "staging"
	staging.Nodes.Static, live.Nodes.Static = []desired.StaticNode{{Name: "staging"}}, []desired.StaticNode{{Name: "live"}}
	live.After = []desired.After{{Fleet: "staging", ProvenFor: p.after}}
	return stateOf(map[string]desired.Version{"staging": {Fleet: staging}, "web": {Fleet: live}})
}

func (p *promotion) wait(d time.Duration) { time.Sleep(d); synctest.Wait() }

// gate is what live's gate says.
func (p *promotion) gate() plan.Gate {
	s, _ := p.agent.stand("web")
	if len(s.Gates) != 1 {
		p.t.Fatalf("gates %+v; %s, %s", s.Gates, s.Phase, s.Reason)
	}
	return s.Gates[0]
}

// opens is when live's gate is to open, as soon as all of staging has v2.
func (p *promotion) opens() time.Time {
	for !strings.Contains(p.gate().Reason, "v2 proven on all nodes") {
		p.wait(time.Second)
	}
	return p.gate().Until
}

// stagingOf gives a stage's nodes and group other names.
func stagingOf(s *stage) *stage {
	hosts := map[string]*actuators.HostState{}
	g := &s.groups[0]
	g.ID, g.Name = "arn:staging", "staging"
	for i := range s.nodes {
		n, m := &s.nodes[i], &g.Members[i]
		h := s.hosts[n.Name]
		n.Name = strings.Replace(n.Name, "web", "stg", 1)
		n.ID, n.Address, n.Targets.IP = "i-"+n.Name, n.Name, n.Name
		m.ID, m.Group = n.Name, g.ID
		h.Machine, h.Record.Fleet, h.Record.Instance, h.Record.Places = n.ID, "staging", n.ID, []actuators.Membership{m.Membership}
		hosts[n.Name] = h
	}
	s.hosts = hosts
	return s
}

// releases counts what records say is proven.
func (s *stage) releases() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]int{}
	for _, h := range s.hosts {
		all[h.Record.Proven.Release]++
	}
	return all
}

// member makes the balancer say that a node is healthy, or not.
func (s *stage) member(name string, healthy bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups[0].Members = slices.Clone(s.groups[0].Members)
	for i := range s.groups[0].Members {
		if m := &s.groups[0].Members[i]; m.ID == name {
			m.Status = map[bool]actuators.TargetStatus{true: actuators.TargetHealthy, false: actuators.TargetUnhealthy}[healthy]
		}
	}
}

// two are the stages of live and of staging as one world.
type two struct{ live, staging *stage }

func (w two) of(staging bool) *stage {
	if staging {
		return w.staging
	}
	return w.live
}

func (w two) at(at actuators.Place) *stage { return w.of(at.Fleet == "staging") }

func (w two) Nodes(ctx context.Context, set desired.NodeSet) (actuators.Inventory, error) {
	return w.of(set.Static[0].Name == "staging").Nodes(ctx, set)
}

func (w two) Observe(ctx context.Context, named []desired.LoadBalancer, recorded []string) ([]actuators.GroupState, error) {
	return w.of(len(named) > 0 && named[0].TargetGroup == "staging").Observe(ctx, named, recorded)
}

func (w two) Register(ctx context.Context, m actuators.Membership) error {
	return w.of(m.Group == "arn:staging").Register(ctx, m)
}

func (w two) Deregister(ctx context.Context, m actuators.Membership) error {
	return w.of(m.Group == "arn:staging").Deregister(ctx, m)
}

func (w two) Read(ctx context.Context, at actuators.Place) (actuators.HostState, error) {
	return w.at(at).Read(ctx, at)
}

func (w two) Write(ctx context.Context, at actuators.Place, old string, r actuators.NodeRecord) (actuators.HostState, error) {
	return w.at(at).Write(ctx, at, old, r)
}

func (w two) Run(ctx context.Context, at actuators.Place, old string, r actuators.NodeRecord, j actuators.Job, written func(actuators.HostState)) (actuators.JobState, error) {
	return w.at(at).Run(ctx, at, old, r, j, written)
}

func (w two) Close(actuators.Place) {}

func (w two) Probe(ctx context.Context, at actuators.Place, c desired.Check, release string) health.Sample {
	return w.at(at).Probe(ctx, at, c, release)
}
