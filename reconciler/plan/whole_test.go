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

// A halt of what the nodes have ends a span also where another version is wanted; one that a raised retry ended, or of another version, does not.
func TestAHaltOfWhatTheNodesHave(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		halt actuators.Halt
		span bool
	}{
		"in force":                {actuators.Halt{Digest: version("v1").Digest, Release: "v1", Retry: 1}, false},
		"ended by a raised retry": {actuators.Halt{Digest: version("v1").Digest, Release: "v1"}, true},
		"of another version":      {actuators.Halt{Digest: version("v0").Digest, Release: "v0", Retry: 1}, true},
		"of what is wanted":       {actuators.Halt{Digest: version("v2").Digest, Release: "v2", Retry: 1}, true},
	} {
		w := fleetOf(4, "v1")
		w.Nodes[2].Host.Record.Halts = []actuators.Halt{c.halt}
		p := plan.Next(wants("v2", func(f *desired.Fleet) { f.Retry = 1 }), w)
		if got := p.Whole.Now().Release == "v1"; got != c.span || !p.Whole.Judged {
			t.Errorf("%s: %+v", name, p.Whole)
		}
	}
}

// Where no balancer tells who serves, checks do; while they have not spoken nobody can tell.
func TestChecksTellWhereNoBalancerDoes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		says   health.Status
		judged bool
		span   bool
	}{{health.Passing, true, true}, {health.Failing, true, false}, {health.Pending, false, false}, {health.Unknown, false, false}} {
		w := unbalanced(3, "v1")
		for i := range w.Nodes {
			w.Nodes[i].Health = passing("v1", plan.WatchIdle)
		}
		w.Nodes[1].Health = checks(plan.WatchIdle, "v1", c.says)
		p := plan.Next(wants("v1", noBalancers), w)
		if span := p.Whole.Now().Release != ""; span != c.span || p.Whole.Judged != c.judged {
			t.Errorf("%s: %+v", c.says, p.Whole)
		}
	}
	w := fleetOf(3, "v1")
	gone(1, "", time.Hour).do(&w, nil)
	w.Groups[0].Err = "throttled"
	if p := plan.Next(wants("v1"), w); p.Whole.Judged {
		t.Errorf("a group that was not read tells of a node: %+v", p.Whole)
	}
}

// A record that tells otherwise of what goes on is told again, one that tells more of what is over is not.
func TestRecordsThatTellOtherwise(t *testing.T) {
	t.Parallel()
	own := span("v1", -time.Hour, 0)
	over := span("v0", -3*time.Hour, -2*time.Hour)
	for name, c := range map[string]struct {
		facts []actuators.Fact
		again bool
	}{
		"just so":                    {[]actuators.Fact{own}, false},
		"and more that is over":      {[]actuators.Fact{over, own}, false},
		"nothing":                    {nil, true},
		"from another time":          {[]actuators.Fact{span("v1", -2*time.Hour, 0)}, true},
		"it is over":                 {[]actuators.Fact{span("v1", -time.Hour, -time.Minute)}, true},
		"of another release":         {[]actuators.Fact{span("v0", -time.Hour, 0)}, true},
		"of another release as well": {[]actuators.Fact{span("v0", -time.Hour, 0), own}, true},
	} {
		w := fleetOf(4, "v1")
		tell(&w, 4, own)
		w.Whole = plan.Wholeness{Spans: []plan.Span{{Release: "v1", At: own.At, Seen: start}}, Judged: true}
		w.Nodes[1].Host.Record.Facts = c.facts
		want := ""
		if c.again {
			want = "halt web-2"
		}
		p := plan.Next(awaited("v1"), w)
		if kindsOf(p, "") != want {
			t.Errorf("%s: %q", name, kindsOf(p, ""))
			continue
		}
		if !c.again {
			continue
		}
		s := p.Steps[0]
		open := slices.DeleteFunc(slices.Clone(s.Record.Facts), func(f actuators.Fact) bool { return !f.Until.IsZero() })
		if !slices.Equal(open, []actuators.Fact{own}) || s.Reason != "every node has v1, proven, since 2026-03-01T08:00:00Z" {
			t.Errorf("%s: it is told %+v: %s", name, s.Record.Facts, s.Reason)
		}
		w.Whole.Judged, w.Whole.Spans = false, nil
		w.Nodes[2].Read.Err = "no route"
		if p := plan.Next(awaited("v1"), w); len(p.Steps) > 0 {
			t.Errorf("%s: who cannot tell tells others: %q", name, kindsOf(p, ""))
		}
	}
}

// However much a record tells, it holds the newest of it, in the order of time, and no more than fits.
func TestARecordHoldsTheNewestSpans(t *testing.T) {
	t.Parallel()
	w := fleetOf(4, "v1")
	var facts []actuators.Fact
	for i := range 12 {
		facts = append(facts, span("v0", time.Duration(i-20)*time.Hour, time.Duration(i-20)*time.Hour+time.Minute))
	}
	w.Nodes[1].Host.Record.Facts = facts
	w.Whole = plan.Wholeness{Spans: []plan.Span{{Release: "v1", At: start.Add(-time.Hour), Seen: start}}, Judged: true}
	for _, s := range plan.Next(awaited("v1"), w).Steps {
		if want := append(slices.Clone(facts[5:]), span("v1", -time.Hour, 0)); s.Node == "web-2" && !slices.Equal(s.Record.Facts, want) {
			t.Errorf("it holds %d: %+v", len(s.Record.Facts), s.Record.Facts)
		}
	}
	for i := range w.Nodes {
		w.Nodes[i].Host.Record.Facts = nil
	}
	w.Whole.Spans = nil
	for i := range 12 {
		at := start.Add(time.Duration(i-20) * time.Hour)
		w.Whole.Spans = append(w.Whole.Spans, plan.Span{Release: version("v0").Release + string(rune('a'+i)), At: at, Until: at.Add(time.Minute), Seen: at.Add(time.Minute)})
	}
	if p := plan.Next(awaited("v1"), w); len(p.Whole.Spans) != 8 || p.Whole.Now().Release != "v1" || p.Whole.Spans[0].Release != "v0f" {
		t.Errorf("it knows %d spans from %+v", len(p.Whole.Spans), p.Whole.Spans[0])
	}
}

// One release in two configurations is not one that all have proven; one configuration that two windlasses name differently is.
func TestOneConfigurationOnAllNodes(t *testing.T) {
	t.Parallel()
	other := actuators.Version{Release: "v1", Digest: "other", Revision: "r"}
	for name, c := range map[string]struct {
		older map[int]string
		span  bool
	}{"two configurations": {nil, false}, "one by two names": {map[int]string{0: "other"}, true}, "another older one": {map[int]string{0: "some"}, false}} {
		for _, wanted := range []string{"v1", "v2"} {
			w := fleetOf(4, "v1")
			w.Nodes[2].Host.Record.On, w.Nodes[2].Host.Record.Proven = other, other
			want := wants(wanted)
			want.Older = c.older
			if span := plan.Next(want, w).Whole.Now().Release != ""; span != (c.span && wanted == "v1") {
				t.Errorf("%s, with %s wanted: a span is claimed: %t", name, wanted, span)
			}
		}
	}
}

// A verdict that only the agent remembers ends a span of what is wanted.
func TestAVerdictThatNoRecordHasEndsASpan(t *testing.T) {
	t.Parallel()
	for wanted, span := range map[string]bool{"v1": false, "v2": true} {
		w := fleetOf(4, "v1")
		w.Verdict = &actuators.Halt{Digest: version(wanted).Digest, Release: wanted, Node: "web-9", Reason: "it fails"}
		if got := plan.Next(wants(wanted), w).Whole; (got.Now().Release == "v1") != span {
			t.Errorf("a halt of %s: %+v", wanted, got)
		}
	}
}

// A span is seen as of the newest reading of the balancers, and where there is none as of now.
func TestASpanIsSeenAsOfTheBalancersReading(t *testing.T) {
	t.Parallel()
	w := fleetOf(4, "v1")
	w = later(w, plan.Next(wants("v1"), w), 20*time.Minute)
	w.GroupsRead = w.Now.Add(-10 * time.Second)
	if s := plan.Next(wants("v1"), w).Whole.Now(); s.Lasted() != 20*time.Minute-10*time.Second {
		t.Errorf("behind a balancer: %v", s.Lasted())
	}
	w.GroupsRead = w.Now.Add(time.Second) // it has just arrived
	if s := plan.Next(wants("v1"), w).Whole.Now(); s.Lasted() != 20*time.Minute {
		t.Errorf("behind a balancer that was read in the same instant: %v", s.Lasted())
	}
	w = unbalanced(4, "v1")
	for i := range w.Nodes {
		w.Nodes[i].Health = passing("v1", plan.WatchIdle)
	}
	w = later(w, plan.Next(wants("v1", noBalancers), w), 20*time.Minute)
	w.GroupsRead = time.Time{}
	if s := plan.Next(wants("v1", noBalancers), w).Whole.Now(); s.Lasted() != 20*time.Minute {
		t.Errorf("behind none: %v", s.Lasted())
	}
}

// Where no other fleet waits for it, records are not asked.
func TestRecordsAreNotAskedForNothing(t *testing.T) {
	t.Parallel()
	w := fleetOf(4, "v1")
	tell(&w, 4, span("v0", -3*time.Hour, -2*time.Hour), span("v1", -time.Hour, 0))
	if got := plan.Next(wants("v1"), w).Whole; len(got.Spans) != 1 || got.Now().Lasted() != 0 {
		t.Errorf("%+v", got.Spans)
	}
}
