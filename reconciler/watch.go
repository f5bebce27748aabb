package reconciler

import (
	"context"
	"slices"
	"time"

	"windlass/desired"
	"windlass/health"
	"windlass/reconciler/plan"
)

// A watch probes a node for as long as a plan asks for it.
type watch struct {
	plan.Watch
	since   time.Time // zero: nothing is watched
	samples []health.Sample
	tried   map[string]int
	next    map[string]time.Time
	again   time.Time       // when time alone may change the verdict; zero: never
	failing map[string]bool // whether the newest conclusive sample failed
}

// mostSamples is how many samples a watch keeps.
const mostSamples = 256

func newWatch(w plan.Watch, now time.Time) watch {
	return watch{Watch: w, since: now, tried: map[string]int{}, next: map[string]time.Time{}, failing: map[string]bool{}}
}

// add keeps a sample. Of those that are too many it keeps each check's newest failure, which a long bake has to remember.
func (w *watch) add(s health.Sample) {
	if len(w.samples) >= mostSamples {
		old, recent := w.samples[:mostSamples/2], w.samples[mostSamples/2:]
		w.samples = append(newestFailures(old), recent...)
	}
	w.samples = append(w.samples, s)
}

func newestFailures(samples []health.Sample) []health.Sample {
	var kept []health.Sample
	seen := map[string]bool{}
	for _, s := range slices.Backward(samples) {
		if s.Result != health.Pass && s.Result != health.NoAnswer && !seen[s.Check] {
			seen[s.Check] = true
			kept = append(kept, s)
		}
	}
	slices.Reverse(kept)
	return kept
}

// probe makes the tries that a node's watch is due for.
func (a *actor) probe(ctx context.Context, n *node, now time.Time) {
	a.idleWatch(n, now)
	if n.watch.since.IsZero() {
		return
	}
	for _, check := range a.checks(n.watch.Release) {
		if !now.Before(n.watch.next[check.Name]) {
			a.try(ctx, n, check)
		}
	}
	if again := n.watch.again; !again.IsZero() && !now.Before(again) {
		a.judge(n)
	}
}

// checks are those that can be made with what is known: without a release, the ones that name none.
func (a *actor) checks(release string) []desired.Check {
	if release != "" {
		return a.want.Fleet.Health
	}
	return slices.DeleteFunc(slices.Clone(a.want.Fleet.Health), func(c desired.Check) bool { return c.NamesRelease() })
}

func (a *actor) try(ctx context.Context, n *node, check desired.Check) {
	subject := identity(n.Node.Node) + "\n" + check.Name
	if a.tasks.busy(taskProbe, subject) {
		return
	}
	place, release, since := n.place, n.watch.Release, n.watch.since
	a.tasks.begin(ctx, taskProbe, subject, check.Timeout+2*time.Second, func(ctx context.Context) func() {
		sample := a.Prober.Probe(ctx, place, check, release)
		return func() {
			if n.watch.since.Equal(since) {
				a.tookSample(n, check, sample)
			}
		}
	})
}

func (a *actor) tookSample(n *node, check desired.Check, s health.Sample) {
	a.Observer.CheckDone(a.name, check.Name, s.Result)
	w := &n.watch
	w.add(s)
	w.tried[check.Name]++
	if s.Result == health.Pass && w.failing[check.Name] {
		w.tried[check.Name] = 1
	}
	w.failing[check.Name] = s.Result != health.Pass
	pace := check.Interval
	if w.failing[check.Name] || w.tried[check.Name] < check.Successes {
		pace = health.Pace(w.tried[check.Name], check.Interval)
	}
	now := time.Now()
	w.next[check.Name] = now.Add(pace)
	if steady := w.steadyAt(check.Name); steady.After(now) {
		w.next[check.Name] = earlier(w.next[check.Name], steady)
	}
	a.judge(n)
}

// refused reports whether a node that nobody wrote down has said no for certain, also where it is asked for another's sake: it need not be
// waited for.
func (n *node) refused(check string) bool {
	if n.watch.Phase != plan.WatchFirst && (n.watch.Phase != plan.WatchAgain || n.record().Known()) {
		return false
	}
	for _, s := range slices.Backward(n.watch.samples) {
		if s.Check == check {
			return s.Result == health.Fail || s.Result == health.Contradict
		}
	}
	return false
}

// quiet reports whether a watch speaks, once, when it has come to an end: what was known before holds until then.
func (w *watch) quiet() bool { return w.Phase == plan.WatchIdle || w.Phase == plan.WatchAgain }

// judge sums the samples of a node's watch up.
func (a *actor) judge(n *node) {
	w := &n.watch
	now := time.Now()
	var verdicts []health.Verdict
	for _, c := range a.checks(w.Release) {
		p := health.Policy{Check: c.Name, Successes: c.Successes, Steady: w.Steady, Within: c.Within, Since: w.since}
		if n.refused(c.Name) {
			p.Within = 0
		}
		verdicts = append(verdicts, health.Judge(w.samples, p, now))
	}
	v := health.Worst(verdicts...)
	if len(verdicts) == 0 {
		v = health.Verdict{Status: health.Passing, Reason: "no check names no release"}
	}
	w.again = time.Time{}
	if v.Status == health.Pending {
		w.again = later(v.Deadline, now.Add(time.Millisecond))
	}
	if w.quiet() && v.Status == health.Pending {
		return
	}
	known := n.Health
	n.Health = plan.Health{Release: w.Release, Phase: w.Phase, Since: w.since, Verdict: v}
	if n.Health != known {
		a.news = true
	}
	if w.quiet() {
		n.watch, n.rests = watch{}, true
	}
}

// steadyAt is when a pass of the check shows that it has been without failure for long enough.
func (w *watch) steadyAt(check string) time.Time {
	from := w.since
	for _, s := range w.samples {
		if s.Check == check && s.Result != health.Pass && s.Result != health.NoAnswer {
			from = later(from, s.At)
		}
	}
	return from.Add(w.Steady)
}

// idleWatch begins the checks of a node nothing is done to, with the release its record names (law 4).
func (a *actor) idleWatch(n *node, now time.Time) {
	if now.Before(n.nextIdle) || now.Before(n.idleDue()) {
		return
	}
	pause := a.Refresh
	if n.nextIdle.IsZero() {
		pause = a.Refresh/2 + n.spread(a.Refresh)
	}
	n.nextIdle = now.Add(pause)
	n.watch = newWatch(plan.Watch{Node: n.Name, Release: n.record().On.Release, Phase: plan.WatchIdle}, now)
}

// idleDue is when the node's idle checks begin next; never while it is watched or worked on.
func (n *node) idleDue() time.Time {
	if !n.watch.since.IsZero() || n.Host == nil || n.record().UnderWay() || n.Busy != "" {
		return never
	}
	return n.nextIdle
}
