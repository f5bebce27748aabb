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
	none      class = iota
	repair          // out of service with something other than what is wanted, or new
	unhealthy       // a member that does not serve
	rolling         // serves
)

// start begins as many journeys as the limits allow, in the order of law 8, and says why not more.
func (f *fleet) start(idle []*view) {
	f.give(idle)
	candidates := f.candidates(idle)
	if len(candidates) == 0 {
		return
	}
	if why := cmp.Or(f.blocked(), f.sourcesIncomplete(), f.failing()); why != "" {
		f.holdFleet(why)
		return
	}
	f.beginAll(candidates)
	f.plan.Soon = f.soon(candidates)
}

// soon are the candidates that follow when those under way have ended: as many as may be out at once. While nothing moves, nobody's
// turn comes.
func (f *fleet) soon(candidates []*view) []string {
	if !f.moves() {
		return nil
	}
	var names []string
	for _, v := range candidates {
		if v.Busy == "" && !f.Now.Before(v.NotBefore) && len(names) < min(f.cap.max, MostSoon) {
			names = append(names, v.Name)
		}
	}
	return names
}

// moves reports whether anything is under way, or begins with this plan or after its roll call.
func (f *fleet) moves() bool {
	return f.plan.Refresh || len(f.plan.Steps) > 0 || slices.ContainsFunc(f.views, isMoving)
}

// beginAll begins with the candidates in their order until a limit is met.
func (f *fleet) beginAll(candidates []*view) {
	f.prepared, f.repaired = f.inHand()
	unproven := f.unprovenRoom()
	for _, v := range candidates {
		if f.proofs < f.proofsNeeded() && unproven <= 0 {
			f.holdFleet(f.whyUnproven())
			return
		}
		began := f.begin(v)
		if began {
			unproven--
		}
		if f.full && (!f.prepares() || f.prepared >= MostPrepares) {
			return
		}
	}
}

// awaitsRollCall asks for the records to be read again before the first journey begins, and reports whether they must be.
func (f *fleet) awaitsRollCall() bool {
	if !f.plan.Refresh && !f.dated() {
		return false
	}
	f.plan.Refresh, f.full = true, true
	return true
}

// dated reports whether records that were read too long ago may hide another agent's claim or a halt, while this agent has
// nothing under way itself.
func (f *fleet) dated() bool {
	return !slices.ContainsFunc(f.views, isMoving) && f.Now.Sub(f.RollCall) > RecordAge
}

// inHand counts the nodes that are being prepared, and those being configured.
func (f *fleet) inHand() (preparing, repairing int) {
	for _, v := range f.views {
		switch {
		case v.rec.Stage == actuators.Preparing || v.doing() == Prepare:
			preparing++
		case v.rec.Stage == actuators.Configuring || v.doing() == Configure:
			repairing++
		}
	}
	return preparing, repairing
}

// whyUnproven is why no more nodes may set out for a version that is not proven.
func (f *fleet) whyUnproven() string {
	return fmt.Sprintf("%s is to be proven on %d of %d nodes before the rest follows", f.Version.Release, f.proofsNeeded(), len(f.views)) + f.whoIsOpaque()
}

// whoIsOpaque names the nodes that may have anything.
func (f *fleet) whoIsOpaque() string {
	var who strings.Builder
	for _, v := range f.views {
		if v.opaque() {
			fmt.Fprintf(&who, "; %s serves and cannot be read, it may have something unproven: mend or exclude it", v.Name)
		}
	}
	return who.String()
}

// prepares reports whether nodes are to be readied before they leave.
func (f *fleet) prepares() bool { return len(f.Fleet.Configure.Prepare) > 0 }

func (f *fleet) holdFleet(why string) {
	f.plan.Holds = append(f.plan.Holds, Hold{Reason: "hold: " + why})
}

// blocked returns why nothing new starts on this fleet, or "".
func (f *fleet) blocked() string {
	switch {
	case f.Blocked != "":
		return f.Blocked
	case f.twins != "":
		return f.twins
	case f.Released:
		return "its file is gone from the deploy repo"
	case f.halt != nil:
		return f.halted()
	case f.Fleet.Paused != nil:
		return "paused: " + f.Fleet.Paused.Reason
	}
	for _, v := range f.views {
		switch {
		case v.foreign != nil:
			return fmt.Sprintf("agent %s works on %s; leave the fleet to one agent, and give plan the --state-dir of that one", v.foreign.Holder, v.Name)
		case v.Host == nil && v.Read.Err == "":
			return v.Name + " was not read yet"
		}
	}
	return ""
}

// failing returns whose failure is being recorded, or "": it may be the verdict on what others would get.
func (f *fleet) failing() string {
	whose := ""
	for _, s := range f.plan.Steps {
		if s.Kind == Fail {
			whose = s.Node
		}
	}
	for _, v := range f.views {
		if v.doing() == Fail {
			whose = v.Name
		}
	}
	if whose == "" {
		return ""
	}
	return "the failure of " + whose + " is recorded first"
}

// tooFew returns why the nodes found are too few to take any away, or "".
func (f *fleet) tooFew() string {
	if found, expected := len(f.views), f.expected(); found < expected {
		return fmt.Sprintf("%d nodes found, %d expected (nodes.expect)", found, expected)
	}
	return ""
}

// candidates are the nodes that lack what is wanted and can be worked on, in the order they are to be started: round the zones.
func (f *fleet) candidates(idle []*view) []*view {
	var found []*view
	for _, v := range idle {
		if v.class = f.classOf(v); v.class != none {
			found = append(found, v)
		}
	}
	slices.SortFunc(found, startsBefore)
	return found
}

func startsBefore(a, b *view) int {
	if a.class != b.class || a.turn != b.turn {
		return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.turn, b.turn))
	}
	return cmp.Or(cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Name, b.Name))
}

func (f *fleet) classOf(v *view) class {
	switch {
	case v.has, v.foreign != nil, v.unsure != "", v.Busy != "":
		return none
	case f.adoptable(v):
		return none
	case v.failures(f) >= f.Fleet.Rollout.Attempts:
		return none
	case v.serving:
		return rolling
	case !f.balanced() && v.Health.Since.IsZero() && !v.spoiled():
		f.watch(v, WatchAgain, v.rec.On.Release, 0)
		v.status.Reason = "checked before anything is done: it may be one that serves"
		return none
	case v.foreignOut(f) && !f.restoreDue(v):
		v.status.Foreign = true
		return none
	case v.rotation == draining:
		return none
	case v.rotation == member:
		return unhealthy
	}
	return repair
}

// unprovenRoom is how many more nodes may set out for a version that is not proven (law 8).
func (f *fleet) unprovenRoom() int {
	room := f.unprovenLimit()
	for _, v := range f.views {
		if v.moving && !v.held || v.opaque() {
			room--
		}
	}
	return room
}

// begin starts a node's journey, or says why not.
func (f *fleet) begin(v *view) bool {
	switch {
	case f.Now.Before(v.NotBefore):
		f.wake(v.NotBefore)
		v.status.Reason = "waits before it is tried again: " + v.Trouble
		return false
	case f.backingOff(v), f.relapsed(v):
		return false
	case f.prepares() && v.rec.Prepared != f.Version.Digest && v.rec.Stage == actuators.Idle && (v.serving || v.rotation == member):
		return f.beginPrepare(v)
	case v.rotation == out && f.balanced():
		return f.beginRepair(v)
	}
	return f.beginLeave(v)
}

// relapsed reports whether drift came back so soon after it was put right that something keeps bringing it back: then it is put
// right ever less often, so that a node does not leave and return for ever.
func (f *fleet) relapsed(v *view) bool {
	if v.rec.Repairs == 0 || !v.drifted() || !f.Is(v.rec.On) {
		return false
	}
	until := v.when(v.rec.StageAt).Add(min(MostRelapse, FirstRelapse<<min(v.rec.Repairs-1, 10)))
	if !f.Now.Before(until) {
		return false
	}
	f.wake(until)
	v.status.Deadline = until
	v.status.Reason = fmt.Sprintf("drift again after %d repairs, something else changes this node; the next repair waits: %s", v.rec.Repairs, v.Health.Reason)
	return true
}

// beginLeave claims a node that is to be drained. The first refusal ends it for all that would follow; but behind no load balancer one
// that serves nobody leaves it to one that is out already, and costs nothing.
func (f *fleet) beginLeave(v *view) bool {
	if f.full {
		return false
	}
	if why := cmp.Or(f.tooFew(), f.mayLose(v)); why != "" {
		f.hold(v, why)
		f.full = v.serving || f.balanced() || f.tooFew() != ""
		return false
	}
	if f.awaitsRollCall() {
		return false
	}
	f.step(v, Leave, v.reasonToGo(f), f.toLeave(v))
	v.status.State, v.status.UnderWay = Draining, true
	f.lost(v)
	return true
}

// beginPrepare readies a node while it serves, a few side by side; it takes no capacity.
func (f *fleet) beginPrepare(v *view) bool {
	if f.prepared >= MostPrepares {
		return false
	}
	if f.awaitsRollCall() {
		return false
	}
	f.prepared++
	r := f.toPrepare(v)
	f.run(v, Prepare, v.reasonToGo(f)+": prepare steps run while it serves", r, f.prepareJob(r.Try))
	v.status.State, v.status.UnderWay = Preparing, true
	v.begin(Prepare)
	return true
}

// beginRepair configures a node that is out of service already; it takes no capacity.
func (f *fleet) beginRepair(v *view) bool {
	if f.repaired >= MostRepairs || f.awaitsRollCall() {
		return false
	}
	before := len(f.plan.Steps)
	f.configure(v)
	if len(f.plan.Steps) == before {
		v.status.State = OutOfService
		return false
	}
	v.status.UnderWay = true
	f.repaired++
	return true
}
