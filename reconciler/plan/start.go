package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"windlass/actuators"
)

// class is the order in which nodes are started (law 8); restoring what is under way comes before all of them.
type class int

const (
	none       class = iota
	unfinished       // a member with what is wanted, let go before it was proven: it bakes, or where it does not serve gets it anew
	repair           // out of service with something other than what is wanted, or new
	unhealthy        // a member whose checks fail, or that somebody else took out of some of its groups for too long
	rolling          // serves
	shadowed         // a member that gets no traffic by no fault of its own: what it gets can hardly be proven there
)

// starts is who sets out now, and why not more.
type starts struct {
	moves   []*move
	left    budget
	holds   []Hold
	soon    []string
	refresh bool
}

// starter spends what is left, in one place and on copies of its own.
type starter struct {
	*known
	starts
	preparing, repairing int             // nodes in hand, those of this plan too
	full                 bool            // no more nodes may leave in this plan
	lowZones             map[string]bool // by why nobody else may leave them
	begun                int
}

// start begins as many journeys as the limits allow, in the order of law 8, and says why not more.
func (k *known) start(moves []*move, left budget) starts {
	left.left, left.gone = left.left.clone(), slices.Clip(left.gone)
	s := &starter{known: k, starts: starts{moves: slices.Clone(moves), left: left}, lowZones: map[string]bool{}}
	candidates := s.candidates()
	if len(candidates) == 0 {
		return s.starts
	}
	if why := s.mustWait(); !why.none() {
		s.holdFleet(why)
		return s.starts
	}
	s.preparing, s.repairing = k.inHand()
	s.beginAll(candidates)
	s.soon = s.following(candidates)
	return s.starts
}

// mustWait returns why nobody may set out now.
func (s *starter) mustWait() refusal {
	failing := s.failing()
	switch {
	case s.blocked != "":
		return refusal{ByFleet, s.blocked}
	case s.sourcesIncomplete() != "":
		return refusal{BySource, s.sourcesIncomplete()}
	case failing != "":
		return refusal{ByProof, "the failure of " + failing + " is recorded first"}
	}
	return refusal{}
}

func (s *starter) holdFleet(r refusal) {
	s.holds = append(s.holds, Hold{Cause: r.cause, Reason: "hold: " + r.why})
}

// failing returns whose failure is being recorded, or "": it may be the verdict on what others would get.
func (s *starter) failing() string {
	whose := ""
	for i := range s.views {
		if step := s.moves[i].step; step != nil && step.Kind == Fail || s.views[i].doing() == Fail {
			whose = s.views[i].Name
		}
	}
	return whose
}

// A candidate is a node that lacks what is wanted and can be worked on.
type candidate struct {
	*view
	class class
	at    int // of its move
}

// candidates are in the order they are to be started: round the zones.
func (s *starter) candidates() []candidate {
	var found []candidate
	for i := range s.views {
		v := &s.views[i]
		if v.moving || v.has {
			continue
		}
		if c := s.classOf(v, i); c != none {
			found = append(found, candidate{v, c, i})
		}
	}
	slices.SortFunc(found, candidate.compare)
	return found
}

// compare orders candidates by class, then round the zones.
func (c candidate) compare(o candidate) int {
	if by := cmp.Or(int(c.class-o.class), c.turn-o.turn); by != 0 {
		return by
	}
	return cmp.Or(strings.Compare(c.Zone, o.Zone), strings.Compare(c.Name, o.Name))
}

// change makes a node's move one of the starter's own.
func (s *starter) change(i int) *move {
	m := *s.moves[i]
	s.moves[i] = &m
	return &m
}

func (s *starter) classOf(v *view, i int) class {
	switch {
	case v.foreign != nil, v.unsure != "", v.Busy != "", s.adoptable(v), s.usedUp(v):
		return none
	case v.serving && v.unfinished() && s.Is(v.rec.On):
		return unfinished
	case v.serving:
		return rolling
	case !s.balanced() && s.unchecked(v):
		s.checkFirst(v, s.change(i))
		return none
	case s.foreignOut(v) && !s.restoreDue(v):
		s.change(i).status.Foreign = true
		return none
	case v.rotation == draining:
		return none
	case v.rotation == member && v.unfinished() && s.Is(v.rec.On):
		return unfinished
	case v.rotation == member && (v.atFault() || s.foreignOut(v)):
		return unhealthy
	case v.rotation == member:
		return shadowed
	}
	return repair
}

// unchecked reports whether nothing says whether a node behind no load balancer serves.
func (s *starter) unchecked(v *view) bool {
	first := !v.rec.Known() && v.Health.Phase == WatchFirst
	return !v.rec.Spoiled && (v.Health.Since.IsZero() || first && !v.fails() && !v.serving)
}

// checkFirst has a node checked before anything is done to it: it may be one that serves. Of one that nobody wrote down, whether it has what
// is wanted is asked, for it must be asked for something.
func (s *starter) checkFirst(v *view, m *move) {
	if v.rec.Known() {
		m.probe(WatchAgain, v.rec.On.Release, 0)
		m.because("checked before anything is done: it may be one that serves")
		return
	}
	m.probe(WatchFirst, s.Version.Release, 0)
	m.because("no record; checked before anything is done: it may be one that serves")
	if v.watched(WatchFirst, s.Version.Release) {
		m.status.Deadline = v.Health.Deadline
		m.status.Reason += ": " + v.Health.Reason
	}
}

// inHand counts the nodes that are being prepared, and those being configured.
func (k *known) inHand() (preparing, repairing int) {
	for i := range k.views {
		switch v := &k.views[i]; {
		case v.rec.Stage == actuators.Preparing || v.doing() == Prepare:
			preparing++
		case v.rec.Stage == actuators.Configuring || v.doing() == Configure:
			repairing++
		}
	}
	return preparing, repairing
}

// beginAll begins with the candidates in their order until a limit is met.
func (s *starter) beginAll(candidates []candidate) {
	room, held, gated := s.unprovenRoom(), false, false
	for _, c := range candidates {
		if why := s.gated(c.view); !why.none() && (c.class != unfinished || c.drifted()) {
			if !gated {
				s.holdFleet(why)
			}
			gated = true
			continue
		}
		if !s.wave.proven() && room <= 0 && !s.hasPlace(c.view) {
			if !held {
				s.holdFleet(refusal{ByProof, s.whyUnproven()})
			}
			held = true
			continue
		}
		if m := s.change(c.at); s.begin(c, m) {
			s.begun++
			m.order = s.begun
			m.status.UnderWay = true
			if !s.hasPlace(c.view) {
				room--
			}
		}
		if s.full && (!s.prepares() || s.preparing >= MostPrepares) {
			return
		}
	}
}

// unprovenRoom is how many more nodes may set out for a version that is not proven: those that serve it or are lost to it take up room
// (laws 8, 11).
func (s *starter) unprovenRoom() int {
	room := s.wave.unproven
	for i := range s.views {
		v := &s.views[i]
		yields := s.moves[i].yields || s.moves[i].hold != nil && v.rec.Spoiled
		if v.moving && !yields || v.opaque() || s.lost(v) || s.hasPlace(v) {
			room--
		}
	}
	return room
}

// hasPlace reports whether a node at rest is one of those that may have a version before it is proven: it serves it, or has begun to get it and
// waits for its next attempt.
func (s *scene) hasPlace(v *view) bool {
	serves := v.unfinished() && s.Is(v.rec.On) && v.rotation == member
	waits := v.rec.Stage == actuators.Idle && s.failures(v) > 0 && !s.usedUp(v) && v.unsure == "" && !s.foreignOut(v)
	return serves || waits
}

// lost reports whether a node is lost to the wanted version. One that gave it up and says nothing of it is sick.
func (k *known) lost(v *view) bool {
	failed := v.rec.Stage == actuators.Failed
	return k.Is(v.rec.Try.Version) && (v.rec.Spoiled || failed) && v.rec.Try.Retry >= k.Fleet.Retry && (!failed || k.verdict.blames(v, v.rec.Try))
}

// whyUnproven is why no more nodes may set out for a version that is not proven.
func (k *known) whyUnproven() string {
	return fmt.Sprintf("%s is to be proven on %d of %d nodes before the rest follows", k.Version.Release, k.wave.unproven, len(k.views)) + k.whoIsLost() + k.whoIsOpaque()
}

// whoIsLost names the nodes that gave the version up where none that can be read has proven it, else it would be halted; and those that have it
// at rest and cannot be reached to prove it.
func (k *known) whoIsLost() string {
	var who strings.Builder
	for i := range k.views {
		switch v := &k.views[i]; {
		case v.rec.Stage == actuators.Failed && k.lost(v):
			fmt.Fprintf(&who, "; it failed on %s, and a node that cannot be read may have proven it: mend or replace that one, or revert", v.Name)
		case v.Read.Err != "" && k.hasPlace(v):
			fmt.Fprintf(&who, "; %s has it and cannot be reached: mend or replace it", v.Name)
		}
	}
	return who.String()
}

// whoIsOpaque names the nodes that may have anything.
func (k *known) whoIsOpaque() string {
	var who strings.Builder
	for i := range k.views {
		if v := &k.views[i]; v.opaque() {
			fmt.Fprintf(&who, "; %s serves and cannot be read, it may have something unproven: mend or exclude it", v.Name)
		}
	}
	return who.String()
}

// begin starts a node's journey, or says why not.
func (s *starter) begin(c candidate, m *move) bool {
	v := c.view
	switch {
	case s.Now.Before(v.NotBefore):
		m.wakeAt(s.Now, v.NotBefore)
		m.because("waits before it is tried again: " + v.Trouble)
		return false
	case s.backingOff(v, m), s.relapsed(v, m):
		return false
	case c.class == unfinished && v.serving && !v.drifted() && !v.rec.Spoiled:
		return s.beginBake(v, m)
	case s.prepares() && v.rec.Prepared != s.Version.Digest && v.rec.Stage == actuators.Idle && (v.serving || v.rotation == member):
		return s.beginPrepare(v, m)
	case v.rotation == out && s.balanced():
		return s.beginRepair(v, m)
	}
	return s.beginLeave(v, m)
}

// relapsed reports whether drift came back so soon after it was put right that something keeps bringing it back: then it is put
// right ever less often, so that a node does not leave and return for ever.
func (s *starter) relapsed(v *view, m *move) bool {
	if v.rec.Repairs == 0 || !v.drifted() || !s.Is(v.rec.On) {
		return false
	}
	until := v.when(v.rec.StageAt).Add(min(MostRelapse, FirstRelapse<<min(v.rec.Repairs-1, 10)))
	return m.waits(s.Now, until, fmt.Sprintf("drift again after %d repairs, something else changes this node; the next repair waits: %s", v.rec.Repairs, v.Health.Reason))
}

// awaitsRollCall asks for the records to be read again before the first journey begins, and reports whether they must be: read too long
// ago they may hide another agent's claim or a halt, while this agent has nothing under way itself.
func (s *starter) awaitsRollCall() bool {
	underWay := s.begun > 0 || slices.ContainsFunc(s.views, func(v view) bool { return v.moving })
	if underWay || s.Now.Sub(s.RollCall) <= RecordAge {
		return false
	}
	s.refresh, s.full = true, true
	return true
}

// beginBake has a node prove what it was let go with.
func (s *starter) beginBake(v *view, m *move) bool {
	if s.awaitsRollCall() {
		return false
	}
	m.do(Bake, v.rec.On.Release+" is wanted again: it bakes", s.toBake(v))
	m.status.State = Baking
	return true
}

// beginLeave claims a node that is to be drained. The first refusal ends it for all that would follow, but for its zone alone when that is what
// keeps it; and behind no load balancer one that serves nobody leaves it to one that is out already, and costs nothing.
func (s *starter) beginLeave(v *view, m *move) bool {
	if s.full {
		return false
	}
	few := s.tooFew()
	switch why := cmpRefusal(few, s.left.refuse(v)); {
	case why.none():
	case s.claimsAhead(v, why):
		s.full, m.waitsTurn = true, true
		m.do(Leave, s.reasonToGo(v)+", when its turn comes", s.toLeave(v))
		m.sense = s.gains(v)
		return true
	case why.cause == ByZone:
		if !s.lowZones[why.why] {
			m.refuse(why)
		}
		s.lowZones[why.why] = true
		return false
	default:
		m.refuse(why)
		s.full = v.serving || s.balanced() || !few.none()
		return false
	}
	if s.awaitsRollCall() {
		return false
	}
	m.do(Leave, s.reasonToGo(v), s.toLeave(v))
	m.status.State = Draining
	m.sense = s.gains(v)
	s.left.spend(v)
	return true
}

// beginPrepare readies a node while it serves, a few side by side; it takes no capacity.
func (s *starter) beginPrepare(v *view, m *move) bool {
	if s.preparing >= MostPrepares || s.awaitsRollCall() {
		return false
	}
	s.preparing++
	r := s.toPrepare(v)
	m.run(v, Prepare, s.reasonToGo(v)+": prepare steps run while it serves", r, prepareJob(r.Try))
	m.status.State = Preparing
	return true
}

// beginRepair configures a node that is out of service already; it takes no capacity.
func (s *starter) beginRepair(v *view, m *move) bool {
	if s.repairing >= MostRepairs || s.awaitsRollCall() {
		return false
	}
	s.configure(v, m)
	if m.step == nil {
		m.status.State = OutOfService
		return false
	}
	s.repairing++
	return true
}

// following are the candidates whose turn comes when those under way have ended: as many as may be out at once. While nothing moves,
// nobody's does.
func (s *starter) following(candidates []candidate) []string {
	if !s.anyMoves() {
		return nil
	}
	var names []string
	for _, c := range candidates {
		if s.moves[c.at].order == 0 && !s.Now.Before(c.NotBefore) && len(names) < min(s.wave.away, MostSoon) {
			names = append(names, c.Name)
			if c.serving && s.gains(c.view) {
				s.change(c.at).sense = true
			}
		}
	}
	return names
}

// anyMoves reports whether anything is under way, or begins with this plan or after its roll call.
func (s *starter) anyMoves() bool {
	return s.refresh || slices.ContainsFunc(s.moves, func(m *move) bool { return m.step != nil || m.status.UnderWay })
}
