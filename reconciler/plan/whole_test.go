package plan_test

import (
	"slices"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/reconciler/plan"
)

// awaited is what a fleet wants that another one waits for.
func awaited(release string, how ...func(*desired.Fleet)) plan.Want {
	w := wants(release, how...)
	w.Awaited = true
	return w
}

// span is a fact of a span as records tell of it; an end of 0 is none.
func span(release string, from, to time.Duration) actuators.Fact {
	f := actuators.Fact{Kind: actuators.Whole, Release: release, At: start.Add(from)}
	if to != 0 {
		f.Until = start.Add(to)
	}
	return f
}

// tell has the first n records tell facts.
func tell(w *plan.World, n int, facts ...actuators.Fact) {
	for i := range n {
		w.Nodes[i].Host.Record.Facts = facts
	}
}

// later is the world after some time in which nothing happened, as the agent that made the plan sees it.
func later(w plan.World, p plan.Plan, passed time.Duration) plan.World {
	w = plan.Copy(w)
	w.Now, w.GroupsRead, w.Whole = w.Now.Add(passed), w.GroupsRead.Add(passed), p.Whole
	return w
}

// A span claims that every node serves with a release that it has proven: one that does not is enough to claim nothing, and so is not to know.
func TestNoSpanWhereANodeLacksTheRelease(t *testing.T) {
	t.Parallel()
	record := func(how func(*actuators.NodeRecord)) func(*plan.World, *desired.Fleet) {
		return func(w *plan.World, _ *desired.Fleet) { how(&w.Nodes[1].Host.Record) }
	}
	for name, c := range map[string]struct {
		spoil func(*plan.World, *desired.Fleet)
		sure  bool
	}{
		"under way":       {under(1, actuators.Leaving).do, true},
		"not proven":      {record(func(r *actuators.NodeRecord) { r.Proven = version("v0") }), true},
		"another release": {record(func(r *actuators.NodeRecord) { r.On, r.Proven = version("v2"), version("v2") }), true},
		"failed":          {record(func(r *actuators.NodeRecord) { r.Stage = actuators.Failed }), true},
		"spoiled":         {record(func(r *actuators.NodeRecord) { r.Spoiled = true }), true},
		"condemned": {record(func(r *actuators.NodeRecord) {
			r.Halts = []actuators.Halt{{Digest: version("v1").Digest, Release: "v1"}}
		}), true},
		"no record":         {record(func(r *actuators.NodeRecord) { *r = actuators.NodeRecord{} }), true},
		"another machine's": {record(func(r *actuators.NodeRecord) { r.Instance = "i-other" }), true},
		"out of its group":  {gone(1, "", time.Hour).do, true},
		"drifted": {func(w *plan.World, _ *desired.Fleet) {
			w.Nodes[1].Health = checks(plan.WatchIdle, "v1", health.Contradicted)
		}, true},
		"one is missing":          {func(_ *plan.World, f *desired.Fleet) { f.Nodes.Expect = 5 }, true},
		"its file is gone":        {nil, true},
		"a node was never read":   {func(w *plan.World, _ *desired.Fleet) { w.Nodes[1].Host, w.Nodes[1].Read = nil, plan.Source{} }, false},
		"a node cannot be read":   {func(w *plan.World, _ *desired.Fleet) { w.Nodes[1].Read.Err = "no route" }, false},
		"the group is unread":     {func(w *plan.World, _ *desired.Fleet) { w.Groups[0].Err = "throttled" }, false},
		"machines are not listed": {func(w *plan.World, _ *desired.Fleet) { w.Inventory.Err = "throttled" }, false},
	} {
		w := fleetOf(4, "v1")
		had := later(w, plan.Next(wants("v1"), w), time.Hour)
		for _, seen := range []plan.World{plan.Copy(w), had} {
			want := wants("v1", func(f *desired.Fleet) {
				if c.spoil != nil {
					c.spoil(&seen, f)
				}
			})
			want.Released = c.spoil == nil
			got := plan.Next(want, seen).Whole
			kept := !c.sure && len(seen.Whole.Spans) > 0 // what was known is neither ended nor longer
			if now := got.Now(); (now.Release != "") != kept || now.Lasted() != 0 {
				t.Errorf("%s: claims %+v", name, got.Spans)
			}
			if ended := got.Longest("v1"); len(seen.Whole.Spans) > 0 && (ended.GoesOn() == c.sure || ended.Lasted() != 0) {
				t.Errorf("%s: ends as %+v", name, got.Spans)
			}
		}
	}
}

// A span goes on while all have the release, whatever is wanted; it ends when it was last seen, and the longest of a release is kept.
func TestASpanLastsAsLongAsItIsSeen(t *testing.T) {
	t.Parallel()
	w := fleetOf(4, "v1")
	p := plan.Next(wants("v1"), w)
	w = later(w, p, 20*time.Minute)
	p = plan.Next(wants("v2"), w)
	if s := p.Whole.Now(); s.Release != "v1" || s.Lasted() != 20*time.Minute {
		t.Fatalf("goes on as %+v", p.Whole)
	}
	w = later(w, p, time.Minute)
	broken := plan.Copy(w)
	under(0, actuators.Leaving).do(&broken, nil)
	p = plan.Next(wants("v2"), broken)
	if s := p.Whole.Longest("v1"); s.GoesOn() || !s.Until.Equal(start.Add(20*time.Minute)) {
		t.Fatalf("ended as %+v", p.Whole)
	}
	w.Whole = p.Whole // it went straight back
	for range 3 {
		p = plan.Next(wants("v1"), w)
		w = later(w, p, 6*time.Minute)
	}
	under(0, actuators.Leaving).do(&w, nil)
	p = plan.Next(wants("v2"), w)
	if len(p.Whole.Spans) != 1 || p.Whole.Longest("v1").Lasted() != 20*time.Minute {
		t.Errorf("a shorter one counts: %+v", p.Whole.Spans)
	}
}

// Another agent goes on from what all records say, once, and from nothing less.
func TestAnotherAgentGoesOnFromAllRecords(t *testing.T) {
	t.Parallel()
	began := span("v1", -time.Hour, 0)
	for name, c := range map[string]struct {
		facts []actuators.Fact
		on    int
		seen  plan.Wholeness
		lasts time.Duration
	}{
		"all say so":               {facts: []actuators.Fact{began}, on: 4, lasts: time.Hour},
		"three of four do":         {facts: []actuators.Fact{began}, on: 3},
		"of another release":       {facts: []actuators.Fact{span("v2", -time.Hour, 0)}, on: 4},
		"from later on":            {facts: []actuators.Fact{span("v1", time.Hour, 0)}, on: 4},
		"it is over":               {facts: []actuators.Fact{span("v1", -time.Hour, -time.Minute)}, on: 4},
		"this agent saw it broken": {facts: []actuators.Fact{began}, on: 4, seen: plan.Wholeness{Judged: true}},
	} {
		w := fleetOf(4, "v1")
		tell(&w, c.on, c.facts...)
		w.Whole = c.seen
		if s := plan.Next(awaited("v1"), w).Whole.Now(); s.Release != "v1" || s.Lasted() != c.lasts {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// What is over counts where more than half of the records tell of it.
func TestASpanThatIsOverCountsByMajority(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fact  actuators.Fact
		on    int
		lasts time.Duration
	}{
		"three of four":         {span("v0", -2*time.Hour, -time.Hour), 3, time.Hour},
		"two of four":           {span("v0", -2*time.Hour, -time.Hour), 2, 0},
		"ends in time to come":  {span("v0", -2*time.Hour, time.Hour), 4, 0},
		"ends before it begins": {span("v0", -time.Hour, -2*time.Hour), 4, 0},
	} {
		w := fleetOf(4, "v1")
		tell(&w, c.on, c.fact)
		if got := plan.Next(awaited("v1"), w).Whole.Longest("v0").Lasted(); got != c.lasts {
			t.Errorf("%s: v0 lasted %v, want %v", name, got, c.lasts)
		}
	}
}

// A clock that is set back ends a span when it was last seen; what is claimed from then on begins anew.
func TestAClockThatIsSetBackEndsASpan(t *testing.T) {
	t.Parallel()
	w := fleetOf(4, "v1")
	p := plan.Next(wants("v1"), w)
	w = later(w, p, 20*time.Minute)
	p = plan.Next(wants("v1"), w)
	got := plan.Next(wants("v1"), later(w, p, -10*time.Minute)).Whole
	if got.Now().Lasted() != 0 || got.Longest("v1").Lasted() != 20*time.Minute {
		t.Errorf("%+v", got.Spans)
	}
}

// Records are told of a span that another fleet waits for, once it is a minute old, and when it ends; of no other, and nothing twice.
func TestRecordsAreToldOfSpans(t *testing.T) {
	t.Parallel()
	w := fleetOf(4, "v1")
	p := plan.Next(awaited("v1"), w)
	if len(p.Steps) > 0 || !p.WakeAt.Equal(start.Add(time.Minute)) {
		t.Errorf("a span that has just begun: %q, wakes at %v", kindsOf(p, ""), p.WakeAt)
	}
	if w = later(w, p, time.Minute); len(plan.Next(wants("v1"), w).Steps) > 0 {
		t.Error("nobody waits for it, and it is told")
	}
	p = plan.Next(awaited("v1"), w)
	if kindsOf(p, "") != "halt web-1, halt web-2, halt web-3, halt web-4" {
		t.Fatalf("a minute later: %q", kindsOf(p, ""))
	}
	for i, s := range p.Steps {
		if !slices.Equal(s.Record.Facts, []actuators.Fact{span("v1", 0, 0)}) {
			t.Errorf("%s is told %+v", s.Node, s.Record.Facts)
		}
		w.Nodes[i].Host.Record = *s.Record
	}
	w = later(w, p, time.Minute)
	if p = plan.Next(awaited("v1"), w); len(p.Steps) > 0 {
		t.Errorf("it is told again: %q", kindsOf(p, ""))
	}
	w = later(w, p, time.Minute)
	w.Nodes[0].Host.Record.Stage, w.Nodes[0].Host.Record.Spoiled = actuators.Failed, true
	p = plan.Next(awaited("v1"), w)
	for _, s := range p.Steps {
		if s.Record != nil && !slices.Equal(s.Record.Facts, []actuators.Fact{span("v1", 0, 2*time.Minute)}) {
			t.Errorf("%s is told of the end as %+v", s.Node, s.Record.Facts)
		}
	}
	if len(p.Steps) == 0 {
		t.Error("nobody is told of the end")
	}
}

// An agent that could not tell yet writes over nothing that records say of spans.
func TestSpansStayOnRecordsUntilTheyCanBeJudged(t *testing.T) {
	t.Parallel()
	w := fleetOf(4, "v1")
	open, over := span("v1", -time.Hour, 0), span("v0", -3*time.Hour, -2*time.Hour)
	tell(&w, 4, over, open)
	w.Nodes[3].Read.Err = "no route"
	w.Nodes[0].Host.Record.Halts = []actuators.Halt{{Digest: version("v2").Digest, Release: "v2", Node: "web-4", Reason: "broken"}}
	told := 0
	for _, s := range plan.Next(awaited("v2"), w).Steps {
		if told++; !slices.Equal(s.Record.Facts, []actuators.Fact{over, open}) {
			t.Errorf("%s is told %+v", s.Node, s.Record.Facts)
		}
	}
	if told == 0 {
		t.Fatal("the halt is told to nobody")
	}
}
