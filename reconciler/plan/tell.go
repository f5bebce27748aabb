package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// atOnce is how soon a plan wakes for what is due already.
const atOnce = time.Millisecond

// tell sums everything up in words.
func (k *known) tell(d decision) Plan {
	if d.halt != nil && k.verdict.halt == nil {
		k = k.condemning(*d.halt)
	}
	p := Plan{
		Size: k.tally.size, Floor: k.tally.floor, InService: k.tally.inService, Missing: max(0, k.expected()-len(k.views)), Halt: d.halt, Facts: k.facts, Whole: k.whole, Gates: k.heard,
		Steps: d.steps, Soon: d.soon, Refresh: d.refresh, Stalled: d.stalled, Reread: d.prune.reread, WakeAt: first(first(d.prune.wake, d.wake), k.spanWake()),
		Nodes: make([]NodeStatus, 0, len(d.moves)),
	}
	for i := range d.moves {
		m := d.moves[i]
		p.Nodes = append(p.Nodes, k.told(&k.views[i], m))
		p.Reread = p.Reread || m.reread
		if m.serves {
			p.InService++
		}
		if m.watch != nil {
			p.Watch = append(p.Watch, *m.watch)
		}
		if m.sense {
			p.Sense = append(p.Sense, k.sensed(&k.views[i])...)
		}
		if m.hold != nil {
			p.Holds = append(p.Holds, *m.hold)
		}
		p.WakeAt = first(p.WakeAt, m.wake)
	}
	p.Holds = append(append(p.Holds, d.fleet...), d.prune.holds...)
	p.Notes, p.Expected = k.notes(d.moves), k.expect(d.moves)
	p.Phase, p.Reason = k.phase(p)
	if !p.WakeAt.IsZero() {
		p.WakeAt = later(p.WakeAt, k.Now.Add(atOnce))
	}
	return p
}

// told is how a node stands, with what went wrong on the way.
func (k *known) told(v *view, m *move) NodeStatus {
	s := m.status
	if v.Trouble != "" && !strings.Contains(s.Reason, v.Trouble) {
		s.Reason = strings.TrimPrefix(s.Reason+"; the last try broke off: "+v.Trouble, "; ")
	}
	if len(k.groups) == 0 {
		s.State = s.State.unbalanced()
	}
	return s
}

// phase is the fleet in a word and a sentence.
func (k *known) phase(p Plan) (Phase, string) {
	under, outdated, troubled := k.sum(p)
	moving := under > 0 || setsOut(p.Steps)
	progress := fmt.Sprintf("%d of %d nodes under way, %d more to go", under, len(k.views), outdated)
	switch {
	case k.Released && !moving:
		return PhaseIdle, "its file is gone from the deploy repo: left alone"
	case k.verdict.halt != nil:
		return PhaseHalted, k.wayBack()
	case moving && k.rollsBack():
		return PhaseRollingBack, progress + ", back to " + k.Version.Release + k.standstill(p)
	case moving:
		return PhaseProgressing, progress + k.standstill(p)
	case k.Fleet.Paused != nil:
		return PhasePaused, cmp.Or(k.Fleet.Paused.Reason, "paused")
	case k.blocked != "":
		return PhaseWaiting, k.blocked
	case k.sourcesIncomplete() != "":
		return PhaseWaiting, k.sourcesIncomplete()
	case !k.tooFew().none():
		return PhaseWaiting, k.tooFew().why
	case len(k.views) == 0:
		return PhaseWaiting, "no nodes found; check nodes in " + k.Fleet.Path
	case len(p.Holds) > 0:
		return PhaseWaiting, p.Holds[0].String()
	case troubled != "":
		return PhaseWaiting, troubled
	case outdated > 0:
		return PhaseWaiting, fmt.Sprintf("%d of %d nodes are to get %s; records are read again first", outdated, len(k.views), k.Version.Release)
	}
	return PhaseIdle, fmt.Sprintf("%d of %d in service with %s", p.InService, p.Size, k.Version.Release)
}

// standstill is what the first node under way waits for, when none goes on before people or other nodes do something; else empty.
func (k *known) standstill(p Plan) string {
	if len(p.Steps) > 0 {
		return ""
	}
	first := ""
	for i, s := range p.Nodes {
		if !s.UnderWay || k.views[i].foreign != nil || s.State == Outdated {
			continue // one that is claimed waits for the others
		}
		held := slices.ContainsFunc(p.Holds, func(h Hold) bool { return h.Node == s.Name })
		if !held && s.State != Unreachable && s.State != OutOfService {
			return ""
		}
		if first == "" {
			first = fmt.Sprintf("; %s is %s: %s", s.Name, s.State.words(), s.Reason)
		}
	}
	return first
}

// setsOut reports whether a step of the plan is part of a journey: recording what is so already is none.
func setsOut(steps []Step) bool {
	return slices.ContainsFunc(steps, func(s Step) bool { return s.Kind != Adopt && s.Kind != Halt })
}

// String is the hold with its node.
func (h Hold) String() string {
	if h.Node == "" {
		return h.Reason
	}
	return h.Node + ": " + h.Reason
}

// sum counts nodes under way and nodes that lack what is wanted, and finds the first node that only time or people help.
func (k *known) sum(p Plan) (under, outdated int, troubled string) {
	for i, s := range p.Nodes {
		if s.UnderWay && k.views[i].foreign == nil {
			under++
		}
		if s.Outdated && !s.UnderWay {
			outdated++
		}
		well := s.State == InService || s.UnderWay
		if !well && troubled == "" {
			troubled = fmt.Sprintf("%s is %s: %s", s.Name, s.State.words(), s.Reason)
		}
	}
	return under, outdated, troubled
}

// rollsBack reports whether the wanted version was proven before on a node that has moved on from it.
func (k *known) rollsBack() bool {
	return slices.ContainsFunc(k.views, func(v view) bool {
		was := k.Is(v.rec.Proven) || k.Is(v.rec.Previous)
		return was && !k.Is(v.rec.On) && v.rec.Known()
	})
}
