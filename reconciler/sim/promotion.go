package sim

import (
	"slices"
	"time"

	"windlass/actuators"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

// NewPromotedStory makes the story of a seed of a fleet that another one waits for: what it claims to have proven is held against what was.
func NewPromotedStory(seed uint64) Story {
	s := NewStory(seed)
	s.Awaited, s.Rival = true, false // what another agent does there is not seen at once
	return s
}

// awaiting decides for a fleet that another one waits for, and holds each claim against the law.
func (w *World) awaiting(decide reconciler.Decider) reconciler.Decider {
	if decide == nil {
		decide = plan.Next
	}
	return func(want plan.Want, seen plan.World) plan.Plan {
		want.Awaited = true
		p := decide(want, seen)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.laws.claimed(w, p.Whole)
		return p
	}
}

// A moment is since when the records of all machines told of one release, proven, with nothing under way and no halt of it; of no release: since when
// some told otherwise.
type moment struct {
	at      time.Time
	release string
}

// note takes down how the records stand.
func (l *laws) note(w *World) {
	if !w.story.Awaited {
		return
	}
	release, told := w.provenOnAll()
	if n := len(l.moments); told && (n == 0 || l.moments[n-1].release != release) {
		l.moments = append(l.moments, moment{w.now(), release})
	}
}

// provenOnAll is the release that every machine's record tells of; empty: they tell otherwise. One without a record tells nothing, and where none has one
// nothing is told.
func (w *World) provenOnAll() (release string, told bool) {
	for _, m := range w.sorted() {
		r := m.record
		if m.dead || m.foreign || r.Instance != m.id || !r.Known() {
			continue
		}
		condemned := slices.ContainsFunc(r.Halts, func(h actuators.Halt) bool { return h.Digest == r.On.Digest && h.Retry >= w.fleet.Retry })
		if r.Stage != actuators.Idle || r.On.Digest != r.Proven.Digest || condemned || release != "" && release != r.On.Release {
			return "", true
		}
		release = r.On.Release
	}
	return release, release != ""
}

// claimed is checked with each plan: a span claims no instant at which the records told otherwise.
func (l *laws) claimed(w *World, whole plan.Wholeness) {
	l.note(w)
	for _, s := range whole.Spans {
		for i, m := range l.moments {
			over := i+1 < len(l.moments) && !l.moments[i+1].at.After(s.At)
			if !over && !m.at.After(s.Seen) && m.release != s.Release && !(i+1 < len(l.moments) && l.moments[i+1].at.Equal(m.at)) {
				l.breaks(w, "promotion: %s is claimed from %s to %s, and at %s the records told of %q", s.Release, w.since(s.At), w.since(s.Seen), w.since(m.at), m.release)
				return
			}
		}
	}
}

// since is an instant as the time since the story began.
func (w *World) since(t time.Time) time.Duration { return t.Sub(w.gates.began) }
