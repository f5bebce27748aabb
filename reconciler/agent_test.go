package reconciler

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler/plan"
)

// Fleets that share something are refused, each naming the other; where the sharing may be an old address's, or the other is over, none is.
func TestLaw3ClashesAreToldOfEachOther(t *testing.T) {
	loose := func(m *member) *member {
		for i := range m.status.holdings {
			m.status.holdings[i].loose = true
		}
		return m
	}
	underWay := func(m *member) *member {
		m.status.Nodes = []Node{{NodeStatus: plan.NodeStatus{UnderWay: true}}}
		return m
	}
	fleet := func(name string) *desired.Fleet { f := webFleet("v1"); f.Name = name; return f }
	for name, c := range map[string]struct {
		members []*member
		want    map[string]string
	}{
		"nothing shared": {[]*member{memberOf(fleet("a"), false, "i-1"), memberOf(fleet("b"), false, "i-2")}, map[string]string{}},
		"a machine":      {[]*member{memberOf(fleet("a"), false, "i-1"), memberOf(fleet("b"), false, "i-1", "i-2")}, map[string]string{"a": "i-1 is in fleet b", "b": "i-1 is in fleet a"}},
		"among three": {[]*member{memberOf(fleet("a"), false, "i-1"), memberOf(fleet("b"), false, "i-1"), memberOf(fleet("c"), false, "i-1")},
			map[string]string{"a": "i-1 is in fleet b", "b": "i-1 is in fleet a", "c": "i-1 is in fleet a"}},
		"two things":                {[]*member{memberOf(fleet("a"), false, "i-1", "i-2"), memberOf(fleet("b"), false, "i-1", "i-2")}, map[string]string{"a": "i-1 is in", "b": "i-1 is in"}},
		"an address of either":      {[]*member{loose(memberOf(fleet("a"), false, "10.0.0.1:22")), loose(memberOf(fleet("b"), false, "10.0.0.1:22"))}, map[string]string{}},
		"an address of one":         {[]*member{memberOf(fleet("a"), false, "10.0.0.1:22"), loose(memberOf(fleet("b"), false, "10.0.0.1:22"))}, map[string]string{"a": "10.0.0.1:22 is in fleet b", "b": "10.0.0.1:22 is in fleet a"}},
		"one is gone":               {[]*member{memberOf(fleet("a"), true, "i-1"), memberOf(fleet("b"), false, "i-1")}, map[string]string{}},
		"one is gone in the middle": {[]*member{underWay(memberOf(fleet("a"), true, "i-1")), memberOf(fleet("b"), false, "i-1")}, map[string]string{"a": "i-1 is in fleet b", "b": "i-1 is in fleet a"}},
		"itself":                    {[]*member{memberOf(fleet("a"), false, "classic/x", "classic/x")}, map[string]string{"a": "classic/x is named twice"}},
	} {
		g := New(Deps{})
		for _, m := range c.members {
			m.status.known = true
			g.fleets[m.status.Name] = m
		}
		g.findClashes()
		for fleet, m := range g.fleets {
			if want := c.want[fleet]; !strings.HasPrefix(m.clash, want) || (m.clash == "") != (want == "") {
				t.Errorf("%s: %s: %q, want %q", name, fleet, m.clash, want)
			}
			if sent := len(m.orders); sent != map[bool]int{true: 1}[m.clash != ""] {
				t.Errorf("%s: %s got %d orders", name, fleet, sent)
			}
			if m.clash != "" {
				if o := <-m.orders; o.want.Blocked != m.clash {
					t.Errorf("%s: %s is blocked by %q", name, fleet, o.want.Blocked)
				}
			}
		}
		g.findClashes()
		for fleet, m := range g.fleets {
			if len(m.orders) > 0 {
				t.Errorf("%s: %s is told twice", name, fleet)
			}
		}
	}
}

// A new agent's fleets wait for those whose machines are not known, but for rejected and deleted ones, until that took too long.
func TestWhoIsAwaitedAtTheStart(t *testing.T) {
	fleet := func(name string, known, released, file bool) *member {
		m := memberOf(&desired.Fleet{Name: name}, released)
		m.status.known = known
		if !file {
			m.order.want.Fleet = nil
		}
		return m
	}
	for name, c := range map[string]struct {
		others []*member
		late   bool
		want   string
	}{
		"none":               {nil, false, ""},
		"all known":          {[]*member{fleet("b", true, false, true)}, false, ""},
		"one is not":         {[]*member{fleet("b", true, false, true), fleet("c", false, false, true)}, false, "c"},
		"two are not":        {[]*member{fleet("c", false, false, true), fleet("b", false, false, true)}, false, "b"},
		"one is deleted":     {[]*member{fleet("b", false, true, true)}, false, ""},
		"one was never good": {[]*member{fleet("b", false, false, false)}, false, ""},
		"it took too long":   {[]*member{fleet("b", false, false, true)}, true, ""},
	} {
		g := New(Deps{})
		g.fleets["a"] = fleet("a", false, false, true)
		for _, m := range c.others {
			g.fleets[m.status.Name] = m
		}
		if c.late {
			g.proceed()
		}
		if got := g.awaited("a"); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// What git says becomes each fleet's order: a version that is good, why a newer one is not, both, and none of a fleet that is over.
func TestWhatGitSaysIsOrdered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(1, "v1")
		deps := s.deps()
		kept := map[string]Kept{"web": {Rollout: Rollout{Trigger: TriggerCommit, Release: "v0", Started: time.Now(), Ended: time.Now()}}}
		deps.Kept = kept
		g := New(deps)
		ctx, cancel := context.WithCancel(t.Context())
		changed := g.Changed()
		take := func(fleets []string, rejected ...string) {
			state := desired.State{Revision: "head", Committed: time.Now(), Problem: "denied", Fleets: map[string]desired.Version{}, Rejected: map[string]desired.Rejection{}}
			for _, name := range fleets {
				f := webFleet("v1")
				name, released := strings.CutSuffix(name, "-gone")
				f.Name = name
				state.Fleets[name] = desired.Version{Fleet: f, Revision: "rev", Released: released, Committed: state.Committed}
			}
			for _, name := range rejected {
				state.Rejected[name] = desired.Rejection{Path: name}
			}
			g.take(ctx, state)
			synctest.Wait()
		}
		names := func() string { return fmt.Sprint(slices.Sorted(maps.Keys(g.fleets))) }
		take([]string{"web", "api"}, "api", "bad")
		select {
		case <-changed:
		default:
			t.Error("nobody was told")
		}
		if got := g.Snapshot(); names() != "[api bad web]" || got.Repo.Revision != "head" || got.Repo.Problem != "denied" || got.Fleets[2].Name != "web" {
			t.Errorf("fleets %s; %+v", names(), got.Repo)
		}
		if api, bad, web := g.fleets["api"].order, g.fleets["bad"].order, g.fleets["web"].order; api.want.Fleet == nil || api.meta.rejected == nil || bad.want.Fleet != nil || bad.meta.rejected == nil || web.meta.rejected != nil ||
			web.want.Version != (versionOfFile(web.want.Fleet)) || web.meta.committed.IsZero() {
			t.Errorf("orders %+v; %+v; %+v", api, bad, web)
		}
		if g.fleets["web"].status.Rollout.Release != "v0" || len(g.deps.Kept) > 0 || len(kept) != 1 {
			t.Errorf("what was kept: %v, and for later %v of %v", g.fleets["web"].status.Rollout, g.deps.Kept, kept)
		}
		g.over["web"], g.over["api"] = true, true
		take([]string{"web-gone", "api-gone"}, "api")
		if names() != "[api web]" || !g.over["web"] || g.over["api"] || g.fleets["api"].order.meta.rejected == nil || g.fleets["web"].order.want.Released {
			t.Errorf("fleets %s; over %v", names(), g.over)
		}
		take([]string{"web"})
		if names() != "[web]" || g.over["web"] {
			t.Errorf("fleets %s; over %v", names(), g.over)
		}
		cancel()
		g.await()
	})
}

func versionOfFile(f *desired.Fleet) actuators.Version {
	return actuators.Version{Release: f.Release, Digest: f.Digest(desired.DigestAlgorithm), Algorithm: desired.DigestAlgorithm, Revision: "rev"}
}

// A fleet's status is taken from its own actor alone, and ends the fleet where it is over.
func TestStatusesAreTakenFromTheFleetsOwnActor(t *testing.T) {
	g := New(Deps{})
	stopped := 0
	m, other := memberOf(webFleet("v1"), false), memberOf(webFleet("v1"), false)
	m.stop, other.stop = func() { stopped++ }, func() { stopped++ }
	g.fleets["web"] = m
	changed := g.Changed()
	if g.report(other, Status{Name: "web", Reason: "old"}); m.status.Reason == "old" || isClosed(changed) {
		t.Error("an actor that is gone is listened to")
	}
	if g.report(m, Status{Name: "web", Reason: "new"}); g.Snapshot().Fleets[0].Reason != "new" || !isClosed(changed) {
		t.Errorf("it says %q", g.Snapshot().Fleets[0].Reason)
	}
	if g.report(m, Status{Name: "web", over: true}); stopped != 0 || g.over["web"] {
		t.Error("its file is there")
	}
	m.order.want.Released = true
	if g.report(m, Status{Name: "web", over: true}); stopped != 1 || !g.over["web"] || len(g.fleets) != 0 {
		t.Errorf("stopped %d times, over %v, fleets %v", stopped, g.over, g.fleets)
	}
}

// What fleets hold is compared again when one comes to know its machines, holds something else, or, being deleted, is done.
func TestClashesAreLookedForWhenSomethingChanged(t *testing.T) {
	holds := []holding{{what: "i-1"}}
	for name, c := range map[string]struct {
		released bool
		before   Status
		after    Status
		want     bool
	}{
		"nothing":          {false, Status{known: true, holdings: holds}, Status{known: true, holdings: holds}, false},
		"known":            {false, Status{holdings: holds}, Status{known: true, holdings: holds}, true},
		"another machine":  {false, Status{known: true}, Status{known: true, holdings: holds}, true},
		"done":             {true, Status{known: true, holdings: holds, Nodes: []Node{{NodeStatus: plan.NodeStatus{UnderWay: true}}}}, Status{known: true, holdings: holds}, true},
		"done, and wanted": {false, Status{known: true, holdings: holds, Nodes: []Node{{NodeStatus: plan.NodeStatus{UnderWay: true}}}}, Status{known: true, holdings: holds}, false},
	} {
		g := New(Deps{})
		g.patient = false
		m := memberOf(webFleet("v1"), c.released)
		m.status, m.clash = c.before, "an old clash" // which is no more when it is looked for
		g.fleets["web"] = m
		c.after.Name = "web"
		g.report(m, c.after)
		if got := m.clash == ""; got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// The newest order is what an actor gets, with why it is refused unless it was before.
func TestOrdersReplaceEachOther(t *testing.T) {
	g := New(Deps{})
	m := memberOf(webFleet("v1"), false)
	m.clash, m.awaits = "shared", "api"
	for _, blocked := range []string{"first", "", "second"} {
		m.order.want.Blocked = blocked
		g.send(m)
		if o := <-m.orders; o.want.Blocked != map[string]string{"first": "first", "": "shared", "second": "second"}[blocked] || o.meta.awaits != "api" {
			t.Errorf("blocked by %q, awaits %q", o.want.Blocked, o.meta.awaits)
		}
	}
	g.send(m)
	m.order.want.Blocked = "newest"
	if g.send(m); (<-m.orders).want.Blocked != "newest" {
		t.Error("an older order was not replaced")
	}
}

// The patience of a new agent begins with the first word of git, once.
func TestPatienceBeginsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(1, "v1")
		g, states, end := s.begin(t, webFleet("v1"), s.deps())
		defer end()
		time.Sleep(startPatience - time.Second)
		states <- desired.State{Fleets: map[string]desired.Version{"web": {Fleet: webFleet("v1")}}}
		patient := func() bool { g.mu.Lock(); defer g.mu.Unlock(); return g.patient }
		synctest.Wait()
		if !patient() {
			t.Error("it is over a second early")
		}
		if time.Sleep(time.Second + time.Millisecond); patient() {
			t.Error("it began anew with another word of git")
		}
	})
}

// What is foreseen of a fleet is made of a copy: the fleet goes on meanwhile.
func TestSightOfAFleetThatMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d := rolling(3)
		g, states, end := c.begin(t, webFleet("v1"), d)
		defer end()
		time.Sleep(time.Minute)
		commit(states, webFleet("v2"))
		for range 20 {
			s, err := g.Sight(t.Context(), "web")
			if err != nil || s.Want.Fleet.Name != "web" || len(s.World.Nodes) != 3 || s.Status.Name != "web" {
				t.Fatalf("%+v, %v", s, err)
			}
			for i := range s.World.Nodes {
				s.World.Nodes[i].Host.Record.Stage, s.World.Nodes[i].Name = "", ""
			}
			time.Sleep(time.Second)
		}
		awaitRelease(t, g, "v2", 3)
		if _, err := g.Sight(t.Context(), "api"); err != ErrUnknown {
			t.Errorf("a fleet that is not there: %v", err)
		}
	})
}

func TestSightInTime(t *testing.T) {
	g := New(Deps{})
	m := memberOf(webFleet("v1"), false)
	g.fleets["web"] = m
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, asks := range map[string]chan ask{"an actor that does not listen": make(chan ask), "one that does not answer": make(chan ask, 1)} {
		m.asks = asks
		if _, err := g.Sight(ctx, "web"); err != context.Canceled {
			t.Errorf("%s: %v", name, err)
		}
	}
}
