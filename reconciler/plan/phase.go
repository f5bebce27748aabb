package plan

import (
	"cmp"
	"fmt"
	"slices"
)

// phase is the fleet in a word and a sentence.
func (f *fleet) phase() (Phase, string) {
	under, outdated, troubled := f.tally()
	moving := under > 0 || f.setsOut()
	progress := fmt.Sprintf("%d of %d nodes under way, %d more to go", under, len(f.views), outdated)
	switch {
	case f.Released && !moving:
		return PhaseIdle, "its file is gone from the deploy repo: left alone"
	case f.halt != nil:
		return PhaseHalted, f.halted() + f.untilWhen()
	case moving && f.rollsBack():
		return PhaseRollingBack, progress + ", back to " + f.Version.Release
	case moving:
		return PhaseProgressing, progress
	case f.Fleet.Paused != nil:
		return PhasePaused, cmp.Or(f.Fleet.Paused.Reason, "paused")
	case f.blocked() != "":
		return PhaseWaiting, f.blocked()
	case f.sourcesIncomplete() != "":
		return PhaseWaiting, f.sourcesIncomplete()
	case f.tooFew() != "":
		return PhaseWaiting, f.tooFew()
	case len(f.views) == 0:
		return PhaseWaiting, "no nodes found; check nodes in " + f.Fleet.Path
	case len(f.plan.Holds) > 0:
		return PhaseWaiting, f.plan.Holds[0].String()
	case troubled != "":
		return PhaseWaiting, troubled
	case outdated > 0:
		return PhaseWaiting, fmt.Sprintf("%d of %d nodes are to get %s; records are read again first", outdated, len(f.views), f.Version.Release)
	}
	return PhaseIdle, fmt.Sprintf("%d of %d in service with %s", f.plan.InService, f.cap.size, f.Version.Release)
}

// setsOut reports whether a step of the plan is part of a journey: recording what is so already is none.
func (f *fleet) setsOut() bool {
	return slices.ContainsFunc(f.plan.Steps, func(s Step) bool { return s.Kind != Adopt && s.Kind != Halt })
}

// String is the hold with its node.
func (h Hold) String() string {
	if h.Node == "" {
		return h.Reason
	}
	return h.Node + ": " + h.Reason
}

// tally counts nodes under way and nodes that lack what is wanted, and finds the first node that only time or people help.
func (f *fleet) tally() (under, outdated int, troubled string) {
	for _, v := range f.views {
		s := v.status
		if s.UnderWay && v.foreign == nil {
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
func (f *fleet) rollsBack() bool {
	for _, v := range f.views {
		was := f.Is(v.rec.Proven) || f.Is(v.rec.Previous)
		if was && !f.Is(v.rec.On) && v.rec.Known() {
			return true
		}
	}
	return false
}
