package bench

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"windlass/desired"
	"windlass/reconciler/plan"
)

// The fleet whose drains are measured. A way that waits for the whole delay takes six minutes.
const (
	drainNodes    = 20
	drainSeeds    = 3 // rollouts of each kind
	drainJob      = 30 * time.Second
	drainBake     = 10 * time.Second
	drainPatience = 24 * time.Hour // of virtual time, for one rollout
)

// A drainCase is what is rolled: who is connected, how, and what is aimed at. How long it takes where each node is busy, nobody has set a target
// for: on nodes with more requests the last one ends later.
type drainCase struct {
	name              string
	atOnce            int
	shortest, longest time.Duration // requests, or flows
	keeps             time.Duration // how long a connection stays open that carries nothing
	busy              bool          // each node is asked for something each second; else half of them, the others each 20 s
	network           bool          // the balancer is an NLB that ends no flows
	promise           time.Duration // rollout.drain.longestRequest; 0: none
	most              float64       // times what it takes with policy delay; 0: as long as it takes
	within            time.Duration // 0: the same
	stepwise          bool          // each step of the way is told
}

var drainCases = []drainCase{
	{name: "1 at a time, no keep-alive", atOnce: 1, shortest: quickest, longest: slowest, most: 0.25, stepwise: true},
	{name: "1 at a time, 60 s keep-alive", atOnce: 1, shortest: quickest, longest: slowest, keeps: drainIdleAfter, most: 0.40},
	{
		name: "2 at a time, 60 s keep-alive, longestRequest 20s", atOnce: 2, shortest: quickest, longest: slowest,
		keeps: drainIdleAfter, promise: slowest, most: 0.30, within: 20 * time.Minute,
	},
	{name: "1 at a time, NLB, flows of up to 10 min", atOnce: 1, shortest: time.Second, longest: 10 * time.Minute, network: true},
	{name: "1 at a time, no keep-alive, each node busy", atOnce: 1, shortest: quickest, longest: slowest, busy: true},
	{name: "1 at a time, 60 s keep-alive, each node busy", atOnce: 1, shortest: quickest, longest: slowest, keeps: drainIdleAfter, busy: true},
	{
		name: "2 at a time, 60 s keep-alive, longestRequest 20s, each node busy", atOnce: 2, shortest: quickest, longest: slowest,
		keeps: drainIdleAfter, promise: slowest, busy: true,
	},
}

// How long requests take.
const (
	quickest = 300 * time.Millisecond
	slowest  = 20 * time.Second
)

// BenchmarkDrains reports how long rollouts take whose drains end when the node is proven idle, beside the same ones that wait for the
// deregistration delay, and what both cut: the real core in virtual time.
func BenchmarkDrains(b *testing.B) {
	for b.Loop() {
		for _, c := range drainCases {
			b.Run(c.name, func(b *testing.B) { benchDrains(b, c) })
		}
	}
}

func benchDrains(b *testing.B, c drainCase) {
	before := rollDrains(b, c, desired.Drain{Policy: desired.DrainForDelay, IdleFor: 5 * time.Second, Timeout: 10 * time.Minute})
	now := rollDrains(b, c, desired.Drain{
		Policy: desired.DrainUntilIdle, Settle: 20 * time.Second, NetworkSettle: 2 * time.Minute, IdleFor: 5 * time.Second,
		LongestRequest: c.promise, Timeout: 10 * time.Minute,
	})
	ratio, worst := now.ratio(before)
	what := fmt.Sprintf("%d nodes, %s, until idle : for the delay: ", drainNodes, c.name)
	got := fmt.Sprintf("%.1f : %.1f min = %.3f, at most %.3f%s", now.usual().Minutes(), before.usual().Minutes(), ratio, worst, now.unfinished()+before.unfinished())
	met := (c.most == 0 || ratio <= c.most) && (c.within == 0 || now.usual() < c.within) && now.unfinished() == ""
	table.add(what+"time", got, c.target(), met)
	table.add(what+"cut", fmt.Sprintf("%d : %d", now.cut, before.cut), "0 : any", now.cut == 0)
	table.note(what+"API calls", fmt.Sprintf("%d : %d", now.calls/drainSeeds, before.calls/drainSeeds))
	table.note("  median seconds to "+partNames()+": "+c.name, now.partTimes()+" : "+before.partTimes())
	if c.stepwise {
		now.tellSteps(c.name)
	}
	b.ReportMetric(now.usual().Minutes(), "min")
	b.ReportMetric(before.usual().Minutes(), "delay-min")
	b.ReportMetric(ratio, "ratio")
	b.ReportMetric(float64(now.cut), "cut")
	b.ReportMetric(float64(now.calls/drainSeeds), "calls")
}

// target is what is aimed at, for people; empty: nothing is.
func (c drainCase) target() string {
	var all []string
	if c.most > 0 {
		all = append(all, fmt.Sprintf("≤ %.2f", c.most))
	}
	if c.within > 0 {
		all = append(all, "< "+c.within.String())
	}
	return strings.Join(all, ", ")
}

// rollDrains rolls the fleet of a case in the world of each seed.
func rollDrains(b *testing.B, c drainCase, drain desired.Drain) (d drained) {
	for seed := range uint64(drainSeeds) {
		inVirtualTime(b, c.name, func(t *testing.T) { d.add(newDrainWorld(c, drain, seed).roll(t)) })
	}
	return d
}

// drained is how some rollouts went.
type drained struct {
	took, starts, gaps []time.Duration // of each; from its commit to its first way; from the end of each way to the next one's beginning
	rolled             int             // nodes
	calls, cut         int             // to AWS; requests or flows
	ways               []way           // of each, in the order in which they began
}

func (d *drained) add(o drained) {
	d.took, d.starts, d.gaps = append(d.took, o.took...), append(d.starts, o.starts...), append(d.gaps, o.gaps...)
	d.rolled, d.calls, d.cut = d.rolled+o.rolled, d.calls+o.calls, d.cut+o.cut
	d.ways = append(d.ways, o.ways...)
}

func (d drained) usual() time.Duration { return sum(d.took) / time.Duration(len(d.took)) }

// ratio is what the rollouts take, times what the same ones took before, and that of the worst of them.
func (d drained) ratio(before drained) (usual, worst float64) {
	for i, took := range d.took {
		worst = max(worst, float64(took)/float64(before.took[i]))
	}
	return float64(d.usual()) / float64(before.usual()), worst
}

// unfinished tells of rollouts that were given up.
func (d drained) unfinished() string {
	if d.rolled == drainNodes*len(d.took) {
		return ""
	}
	return fmt.Sprintf("; given up with %d of %d nodes", d.rolled, drainNodes*len(d.took))
}

// A mark is something that happens once on a node's way.
type mark int

// The marks of a way, in their order.
const (
	claimOrdered mark = iota
	claimed
	calibrated
	drainOrdered
	drainAsked
	drainShown // as soon as a reading would show it
	drainSeen
	settled
	mayBegin // idle for long enough, or out after the delay
	stepsOrdered
	stepsBegun
	stepsEnded
	addOrdered
	addAsked
	healthy // by the balancer
	inService
	baked
	proveOrdered
	proven
	marks
)

// ordered are the marks of a plan's steps.
var ordered = map[plan.Kind]mark{
	plan.Leave: claimOrdered, plan.Drain: drainOrdered, plan.Configure: stepsOrdered, plan.Add: addOrdered, plan.Prove: proveOrdered,
}

// A way is when what happened on a node's way.
type way [marks]time.Time

// note notes a mark's first time.
func (w *way) note(m mark, at time.Time) {
	if w[m].IsZero() {
		w[m] = at
	}
}

// inOrder is the way with every mark at the one before it that came earlier, or not at all: the time between two marks is what the second
// is waited for when the first is there.
func (w way) inOrder() way {
	for m := claimed; m < marks; m++ {
		if w[m].Before(w[m-1]) {
			w[m] = w[m-1]
		}
	}
	return w
}

// parts are those of a way that people know.
var parts = []struct {
	name     string
	from, to mark
}{
	{"leave", claimOrdered, drainAsked}, {"be seen to", drainAsked, drainSeen}, {"settle", drainSeen, settled}, {"drain", settled, stepsOrdered},
	{"be changed", stepsOrdered, stepsEnded}, {"join", stepsEnded, inService}, {"bake", inService, proven},
}

func partNames() string {
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	return strings.Join(names, ", ")
}

func (d drained) partTimes() string {
	var times []string
	for _, p := range parts {
		times = append(times, fmt.Sprintf("%.1f", middle(d.between(p.from, p.to)).Seconds()))
	}
	return strings.Join(times, ", ")
}

// spans are what ends at each mark, and what that time is spent on: the world alone, a call, or the loop, which might know or act at once.
var spans = [marks]struct{ name, on string }{
	claimed:      {"claim ordered → claimed", "call"},
	calibrated:   {"→ calibrated", "world"},
	drainOrdered: {"→ drain ordered", "loop"},
	drainAsked:   {"→ drain asked", "call"},
	drainShown:   {"→ a reading would show it", "world"},
	drainSeen:    {"→ seen draining", "loop"},
	settled:      {"→ settled", "world"},
	mayBegin:     {"→ idle for long enough", "world"},
	stepsOrdered: {"→ steps ordered", "loop"},
	stepsBegun:   {"→ steps begun", "call"},
	stepsEnded:   {"→ steps ended", "world"},
	addOrdered:   {"→ verified, registration ordered", "loop"},
	addAsked:     {"→ registered", "call"},
	healthy:      {"→ healthy", "world"},
	inService:    {"→ seen in service", "loop"},
	baked:        {"→ baked", "world"},
	proveOrdered: {"→ proof ordered", "loop"},
	proven:       {"→ proven", "call"},
}

// between is the time between two marks on each way.
func (d drained) between(from, to mark) []time.Duration {
	var all []time.Duration
	for _, w := range d.ways {
		all = append(all, w[to].Sub(w[from]))
	}
	return all
}

func middle(times []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(times))[len(times)/2]
}

func sum(times []time.Duration) (all time.Duration) {
	for _, t := range times {
		all += t
	}
	return all
}

// tellSteps tells what each step of ways takes that follow one another, and what all of them together spend it on.
func (d drained) tellSteps(name string) {
	spent := map[string]time.Duration{}
	tell := func(what, on string, took []time.Duration) {
		spent[on] += sum(took)
		table.note("  step: "+what, fmt.Sprintf("%s, mean %s, at most %s (%s)", millis(middle(took)), millis(sum(took)/time.Duration(len(took))), millis(slices.Max(took)), on))
	}
	tell("commit known → first claim ordered", "loop", d.starts)
	for m := claimed; m < marks; m++ {
		tell(spans[m].name, spans[m].on, d.between(m-1, m))
	}
	tell("→ next claim ordered", "loop", d.gaps)
	each := func(on string) float64 { return spent[on].Seconds() / float64(len(d.ways)) }
	table.note("  mean seconds of a node on the world, calls, the loop: "+name, fmt.Sprintf("%.1f, %.2f, %.2f", each("world"), each("call"), each("loop")))
}
