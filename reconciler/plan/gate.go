package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"windlass/actuators"
)

// A Gate is what something outside the fleet says about going on, as it was last read. The zero value was never read, and holds.
//
// Law: a gate holds what has not begun, and nothing else. It takes nothing away and turns no journey back, but that of a node on which nothing was
// changed yet: it serves again with what it had. It keeps no node out of service whose version is proven on this fleet, and holds no revert to what
// was proven here, unless Reverts says so. An open one counts until Until and no longer.
type Gate struct {
	Name    string // unique in the fleet: "windows"
	Stops   Stops
	Reverts bool // it holds back a revert as well
	State   GateState
	Digest  string    // of the version it speaks of; empty: of any
	Commit  string    // of the source, that the version's tag names; empty: it speaks of none. One that is open has it written on records
	Reason  string    // for people: why it holds, or lets pass
	Since   time.Time // when it came to this state; zero: never read
	Until   time.Time // when it is to be asked again; zero: it says so by itself
}

// Stops says what a gate holds back.
type Stops string

const (
	StopsNext  Stops = "next"  // each node that is not under way; the zero value is that as well
	StopsStart Stops = "start" // the first node: a rollout that began goes on
)

// A GateState is what a gate says.
type GateState int

const (
	GateUnread GateState = iota // nobody knows: it holds
	GateOpen
	GateWait // not yet: it opens by itself
	GateShut // no: somebody has to do something
)

// GateStates are all of them.
var GateStates = [...]GateState{GateUnread, GateOpen, GateWait, GateShut}

func (s GateState) String() string {
	return [...]string{"unread", "open", "wait", "shut"}[s]
}

// At is the gate as it counts at an instant for a version: what it says of another one, or said too long ago, is not read.
func (g Gate) At(now time.Time, digest string) Gate {
	stale := g.State == GateOpen && !g.Until.IsZero() && !now.Before(g.Until)
	switch {
	case g.Digest != "" && g.Digest != digest:
		g.State, g.Commit, g.Reason, g.Since, g.Until = GateUnread, "", "it was not asked about this version yet", time.Time{}, time.Time{}
	case stale:
		g.State, g.Reason = GateUnread, "it is asked again"
	case g.State == GateUnread:
		g.Reason = cmp.Or(g.Reason, "it was not asked yet")
	}
	return g
}

// holds is why the gate holds, for people; empty: it does not.
func (g Gate) holds() string {
	if g.State == GateOpen {
		return ""
	}
	return fmt.Sprintf("gate %s: %s", g.Name, g.Reason)
}

// A weighing is what all gates say together, of a node that may be held.
type weighing struct {
	next  refusal // why no other node begins
	start refusal // why nothing begins that has not begun: no node gets the wanted version
}

// weigh asks each gate whether it holds now. It is the one place that does.
func (k *known) weigh() (w weighing) {
	for i, g := range k.heard {
		why := g.holds()
		moved := g.State == GateShut && k.Gates[i].State == GateOpen
		switch {
		case why == "", !g.Reverts && k.rollsBack(), g.Stops == StopsStart && k.begun() && !moved:
			continue
		case g.Stops == StopsStart:
			w.start = cmpRefusal(w.start, refusal{ByGate, why})
		}
		w.next = cmpRefusal(w.next, refusal{ByGate, why})
	}
	return w
}

// cut is what the first gate says that closes within so long and holds the nodes that have not begun by then; empty: none does.
func (k *known) cut(left time.Duration) string {
	end, says := k.Now.Add(left), ""
	for _, g := range k.Gates {
		if g.State != GateOpen || g.Stops == StopsStart || g.Until.IsZero() || !g.Until.Before(end) || !g.Reverts && k.rollsBack() {
			continue
		}
		end, says = g.Until, fmt.Sprintf("gate %s is open %s", g.Name, g.Reason)
	}
	return says
}

// begun reports whether some node came to the wanted version in this rollout, or was to. Where it comes back to what nodes had before, one that still has it
// says nothing, but where it came back from what others are still to leave.
func (k *known) begun() bool {
	leaving := map[string]bool{}
	if k.rollsBack() {
		for i := range k.views {
			leaving[k.views[i].rec.On.Digest] = !k.Is(k.views[i].rec.On)
		}
		leaving[""] = false
	}
	return slices.ContainsFunc(k.views, func(v view) bool {
		return k.tries(&v) || k.Is(v.rec.On) && (len(leaving) == 0 || leaving[v.rec.Previous.Digest])
	})
}

// gated is why a node does not begin. One that serves nobody gets what is proven on the fleet, and what was begun on it goes on: a gate keeps
// nobody out.
func (k *known) gated(v *view) refusal {
	if !v.serving && (k.verdict.proofs > 0 || k.tries(v) || k.Is(v.rec.On)) {
		return refusal{}
	}
	return k.gates.next
}

// gatedAgain is why a claimed node does not leave after all. One that left a group, or failed, goes on.
func (k *known) gatedAgain(v *view) refusal {
	if v.rec.Spoiled || !k.claimed(v) {
		return refusal{}
	}
	return k.gated(v)
}

// toldGates are the gates as they count now. One that is open for another commit than the release had on this fleet is shut: half a fleet would
// have one program, and half another, of one name.
func (s *scene) toldGates() []Gate {
	told := make([]Gate, len(s.Gates))
	for i, g := range s.Gates {
		told[i] = g.At(s.Now, s.Version.Digest)
		if why := s.moved(told[i]); why != "" {
			told[i].State, told[i].Reason = GateShut, why
		}
	}
	return told
}

// moved is why an open gate speaks of another commit than the one that a record has for the wanted release; empty: it does not.
func (s *scene) moved(g Gate) string {
	if g.State != GateOpen || g.Commit == "" {
		return ""
	}
	for i := range s.views {
		v := &s.views[i]
		if was := otherCommit(v.rec, s.Version.Release, g.Commit); was != "" {
			return fmt.Sprintf("the tag of %s moved: it named commit %.12s when it was let through (by the record of %s), and names %.12s now; "+
				"deploy another release, or say who lets this one pass with source.override", s.Version.Release, was, v.Name, g.Commit)
		}
	}
	return ""
}

// otherCommit is a commit that a record has for a release, where it is not the given one; empty: there is none.
func otherCommit(r *actuators.NodeRecord, release, commit string) string {
	for _, v := range [...]actuators.Version{r.On, r.Try.Version, r.Proven, r.Previous} {
		if v.Release == release && v.Commit != "" && v.Commit != commit {
			return v.Commit
		}
	}
	return ""
}

// accepted is the commit of the wanted release that a gate lets through; empty: none speaks of one.
func accepted(told []Gate) string {
	for _, g := range told {
		if g.State == GateOpen && g.Commit != "" {
			return g.Commit
		}
	}
	return ""
}
