package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"windlass/actuators"
)

// mostSpans is how many spans are kept, the newest.
const mostSpans = 8

// spanRipens is how old a span that goes on must be to be written down by itself: a fleet that flaps costs no writes.
const spanRipens = time.Minute

// clockSlack is by how much the wall clock may differ from the time that passed before it counts as set.
const clockSlack = time.Minute

// A Span is a time in which every node of the fleet had one release, proven, and served. Its times are by the agent's clock.
type Span struct {
	Release string
	At      time.Time // since when
	Until   time.Time // to when; zero: it goes on
	Seen    time.Time // when that was last seen; Until, when it is over
}

// Lasted is for how long it is known to have been so.
func (s Span) Lasted() time.Duration { return max(0, s.Seen.Sub(s.At)) }

// GoesOn reports whether it is still so, as far as is known.
func (s Span) GoesOn() bool { return s.Until.IsZero() }

// Wholeness is what is known of when the whole fleet had one release. The zero value is that of an agent that knows nothing yet.
//
// Law: a span claims no instant at which some node lacked the release, had it unproven, was under way or out of service, or a halt of it was in force, as far
// as this agent or, before it began, those before it could see. Where nobody can tell, nothing ends, and nothing grows until somebody can. What records say of
// a span that goes on is taken over once, when this agent first can tell, from all of them together; of one that is over, from more than half.
type Wholeness struct {
	Spans  []Span // in the order of their begin: of each release the longest that is over, and one that goes on, which is last
	Judged bool   // this agent could tell once: what records say of one that goes on counts no more
}

// Now is the span that goes on; of no release: none does.
func (w Wholeness) Now() Span {
	if n := len(w.Spans); n > 0 && w.Spans[n-1].GoesOn() {
		return w.Spans[n-1]
	}
	return Span{}
}

// Longest is the longest span of a release; of no release: there is none.
func (w Wholeness) Longest(release string) (longest Span) {
	for _, s := range w.Spans {
		if s.Release == release && (longest.Release == "" || s.Lasted() > longest.Lasted()) {
			longest = s
		}
	}
	return longest
}

// ended is w with the span that goes on ended when it was last seen.
func (w Wholeness) ended() Wholeness {
	last := w.Now()
	if last.Release == "" {
		return w
	}
	w.Spans = w.Spans[:len(w.Spans)-1]
	last.Until = last.Seen
	return w.with(last)
}

// with is w with a span that is over, if it is the longest of its release.
func (w Wholeness) with(s Span) Wholeness {
	shorter := func(o Span) bool { return o.Release == s.Release && !o.GoesOn() }
	if i := slices.IndexFunc(w.Spans, shorter); i >= 0 {
		if w.Spans[i].Lasted() >= s.Lasted() {
			return w
		}
		w.Spans = slices.Delete(slices.Clone(w.Spans), i, i+1)
	}
	w.Spans = append(slices.Clone(w.Spans), s)
	slices.SortStableFunc(w.Spans, func(a, b Span) int {
		switch {
		case a.GoesOn():
			return 1
		case b.GoesOn():
			return -1
		}
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Release, b.Release))
	})
	w.Spans = w.Spans[max(0, len(w.Spans)-mostSpans):]
	return w
}

// wholeness is what is known now of when the whole fleet had one release.
func (k *known) wholeness() Wholeness {
	w := k.World.Whole
	if k.Awaited {
		for _, s := range k.recordedSpans() {
			w = w.with(s)
		}
	}
	release, sure := k.provenOnAll()
	if !sure {
		return w
	}
	last := w.Now()
	if last.Release != "" && (last.Release != release || last.clockSet(k.Now)) {
		w = w.ended()
		last = Span{}
	}
	switch {
	case release == "":
	case last.Release == "":
		w.Spans = append(slices.Clone(w.Spans), k.beginning(release, w.Judged))
	default:
		w.Spans = slices.Clone(w.Spans)
		w.Spans[len(w.Spans)-1].Seen = later(last.Seen, k.seenAt())
	}
	w.Judged = true
	w.Spans = w.Spans[max(0, len(w.Spans)-mostSpans):]
	return w
}

// seenAt is as of when the fleet is known: of the newest reading of its balancers.
func (k *known) seenAt() time.Time {
	if k.balanced() && k.GroupsRead.Before(k.Now) {
		return k.GroupsRead
	}
	return k.Now
}

// clockSet reports whether the agent's clock was set since the span began, so that from there to here is not what passed.
func (s Span) clockSet(now time.Time) bool {
	passed, shown := now.Sub(s.At), now.Round(0).Sub(s.At.Round(0))
	return now.Before(s.Seen) || (passed-shown).Abs() > clockSlack
}

// beginning is a span that goes on, from now on or as all records say of one. The clock that shows its begin goes on from now.
func (k *known) beginning(release string, judged bool) Span {
	s := Span{Release: release, At: k.Now, Seen: k.Now}
	if judged || !k.Awaited {
		return s
	}
	for _, f := range k.views[0].rec.Facts {
		if f.Release == release && f.Until.IsZero() && f.At.Before(s.At) && k.onAllRecords(f) {
			s.At = k.Now.Add(-k.Now.Sub(f.At))
		}
	}
	return s
}

// onAllRecords reports whether every node's record tells of the span.
func (k *known) onAllRecords(f actuators.Fact) bool {
	for i := range k.views {
		if !slices.ContainsFunc(k.views[i].rec.Facts, func(o actuators.Fact) bool { return sameSpan(o, f) }) {
			return false
		}
	}
	return true
}

// provenOnAll is the release that every node of the fleet has proven, serves with, and rests with; empty: they have none in common. Sure is false where
// nobody can tell.
func (k *known) provenOnAll() (release string, sure bool) {
	sure = len(k.views) > 0 && k.sourcesIncomplete() == "" && k.twins == ""
	for i := range k.views {
		v := &k.views[i]
		has, known := k.rests(v)
		switch {
		case known && (!has || v.rec.On.Release != k.views[0].rec.On.Release):
			return "", true
		case !known:
			sure = false
		}
	}
	if !sure {
		return "", false
	}
	if k.Released || k.tally.size > len(k.views) || !k.alike() {
		return "", true
	}
	return k.views[0].rec.On.Release, true
}

// alike reports whether all nodes have the wanted version, or all another one.
func (k *known) alike() bool {
	first := k.views[0].rec.On
	for i := range k.views {
		if on := k.views[i].rec.On; on.Digest != first.Digest && !(k.Is(on) && k.Is(first)) {
			return false
		}
	}
	return true
}

// rests reports whether a node serves with a version that it has proven, which nothing condemns, while nothing is under way on it. Known is false where nobody
// can tell.
func (k *known) rests(v *view) (has, known bool) {
	switch {
	case v.moving || v.rec.Stage == actuators.Failed:
		return false, true
	case v.Host == nil || v.unsure != "":
		return false, false
	case !v.rec.Known() || v.changed() || v.rec.Spoiled || v.drifted() || k.condemned(v):
		return false, true
	case k.balanced():
		return v.serving, v.serving || k.groupsUnread() == ""
	}
	return v.answers(), v.answers() || v.fails()
}

// condemned reports whether a halt is in force of what the node has.
func (k *known) condemned(v *view) bool {
	if k.verdict.halt == nil && len(v.rec.Halts) == 0 {
		return false
	}
	if k.verdict.halt != nil && k.Is(v.rec.On) {
		return true
	}
	return slices.ContainsFunc(v.rec.Halts, func(h actuators.Halt) bool {
		return h.Digest == v.rec.On.Digest && h.Retry >= k.Fleet.Retry
	})
}

func isSpan(f actuators.Fact) bool { return f.Kind == actuators.Whole }

// recordedSpans are those that are over and that more than half of the fleet's nodes' records tell of.
func (k *known) recordedSpans() (spans []Span) {
	type key struct {
		release   string
		at, until int64
	}
	told := map[key]int{}
	for i := range k.views {
		for _, f := range k.views[i].rec.Facts {
			if !isSpan(f) || f.Until.IsZero() || f.Until.Before(f.At) || f.Until.After(k.Now) {
				continue
			}
			id := key{f.Release, f.At.UnixNano(), f.Until.UnixNano()}
			if told[id]++; told[id] == max(k.tally.size, len(k.views))/2+1 {
				spans = append(spans, Span{Release: f.Release, At: f.At, Until: f.Until, Seen: f.Until})
			}
		}
	}
	return spans
}

// spanFacts are the spans as a node's record is to hold them, at most most: this agent's, and what the record says already that this agent cannot say better.
func (k *known) spanFacts(v *view, most int) (facts []actuators.Fact) {
	if !k.Awaited {
		return nil
	}
	for _, s := range k.whole.Spans {
		facts = append(facts, s.fact())
	}
	for _, f := range slices.Backward(v.rec.Facts) {
		known := func(o actuators.Fact) bool { return sameSpan(o, f) }
		if isSpan(f) && len(facts) < mostSpans && (!f.Until.IsZero() || !k.whole.Judged) && !slices.ContainsFunc(facts, known) {
			facts = append(facts, f)
		}
	}
	facts = facts[max(0, len(facts)-max(0, most)):]
	slices.SortStableFunc(facts, func(a, b actuators.Fact) int { return a.At.Compare(b.At) })
	return facts
}

// fact is the span as a record tells of it, by the wall clock.
func (s Span) fact() actuators.Fact {
	return actuators.Fact{Kind: actuators.Whole, Release: s.Release, At: s.At.Round(0).UTC(), Until: s.Until.Round(0).UTC()}
}

func sameSpan(a, b actuators.Fact) bool {
	return isSpan(a) && isSpan(b) && a.Release == b.Release && a.At.Equal(b.At) && a.Until.Equal(b.Until)
}

// knowsSpans reports whether a node's record tells of every span that is to be written down by itself, and of none that goes on but that.
func (k *known) knowsSpans(v *view) bool {
	if !k.Awaited || !k.whole.Judged {
		return true
	}
	tells := func(f actuators.Fact) bool {
		return slices.ContainsFunc(v.rec.Facts, func(o actuators.Fact) bool { return sameSpan(o, f) })
	}
	for _, s := range k.whole.Spans {
		if (!s.GoesOn() || !k.Now.Before(s.ripe())) && !tells(s.fact()) {
			return false
		}
	}
	now := k.whole.Now().fact()
	return !slices.ContainsFunc(v.rec.Facts, func(f actuators.Fact) bool { return isSpan(f) && f.Until.IsZero() && !sameSpan(f, now) })
}

// ripe is when the span is written down by itself.
func (s Span) ripe() time.Time { return s.At.Add(spanRipens) }

// spanWake is when a span is to be written down; zero: none is.
func (k *known) spanWake() time.Time {
	if last := k.whole.Now(); k.Awaited && last.Release != "" && k.Now.Before(last.ripe()) {
		return last.ripe()
	}
	return time.Time{}
}

// wholeWords is the newest span, for people.
func (k *known) wholeWords() string {
	s := k.whole.Spans[len(k.whole.Spans)-1]
	if s.GoesOn() {
		return fmt.Sprintf("every node has %s, proven, since %s", s.Release, s.At.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("every node had %s, proven, for %v", s.Release, s.Lasted().Round(time.Second))
}
