package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"windlass/actuators"
	"windlass/health"
)

// class is the order in which nodes are started (law 8); restoring what is under way comes before all of them.
type class int

const (
	none      class = iota
	repair          // out of service with something other than what is wanted, or new
	unhealthy       // a member that does not serve
	rolling         // serves
)

// rest finds how an idle node stands.
func (f *fleet) rest(v *view) {
	v.status.Drift = v.drifted()
	v.status.Since = cmpTime(v.status.Since, v.OutSince, v.when(v.rec.StageAt))
	switch {
	case v.foreign != nil:
		v.status.State, v.status.Reason = stateOf(v), fmt.Sprintf("agent %s works on it", v.foreign.Holder)
	case v.unsure != "":
		f.unseen(v)
	case v.rec.Stage == actuators.Failed:
		f.failed(v)
	case v.serving:
		f.serves(v)
	default:
		v.status.State, v.status.Reason = OutOfService, f.whyOut(v)
	}
}

// unseen is a node whose host cannot be built on now: healthy in its balancers, it counts as in service and cannot be taken (law 1).
func (f *fleet) unseen(v *view) {
	v.status.State, v.status.Reason = Unreachable, v.unsure
	if v.Read.Err == "" && v.Host != nil {
		v.status.State = OutOfService
	}
	if f.balanced() && v.serving {
		v.status.State = InService
		if v.Read.Err != "" {
			v.status.State = Unreachable
		}
	}
	v.status.Outdated = v.rec.Known() && v.status.Outdated
}

func (f *fleet) failed(v *view) {
	v.status.State = Failed
	v.status.Attempt = v.rec.Try.Failures
	v.status.Reason = fmt.Sprintf("%s failed here: %s", v.rec.Try.Version.Release, v.rec.Try.Error)
	switch v.rec.Try.Earlier {
	case "":
	case v.rec.Try.Version.Digest:
		v.status.Reason += "; it was proven here before: look at the node, and replace it or exclude it"
	default:
		v.status.Reason += "; an earlier release failed here too: look at the node, and replace it or exclude it"
	}
}

func (f *fleet) serves(v *view) {
	v.status.State = InService
	switch {
	case v.drifted():
		v.status.State, v.status.Reason = Outdated, "drift: "+v.Health.Reason
	case v.status.Outdated && v.failures(f) >= f.Fleet.Rollout.Attempts:
		v.status.State = Outdated
		v.status.Reason = fmt.Sprintf("serves %s; %s failed here %d times and is not tried again (set retry to try it): %s", v.rec.On.Release, f.Version.Release, v.failures(f), v.rec.Try.Error)
	case v.status.Outdated:
		v.status.State, v.status.Reason = Outdated, "serves "+cmp.Or(v.rec.On.Release, "an unknown release")+", wanted is "+f.Version.Release
		if v.rec.On.Release == f.Version.Release && !f.Is(v.rec.On) {
			v.status.Reason += " with another configuration"
		}
	}
}

func (f *fleet) whyOut(v *view) string {
	switch {
	case !f.balanced():
		return cmp.Or(v.Health.Reason, "not checked yet")
	case v.foreignOut(f):
		return fmt.Sprintf("somebody else took it out; left alone for %s: %s", f.Fleet.Rollout.RestoreAfter, v.said(f))
	case v.rotation == out && !v.rec.Known():
		return "new: it joins when it is configured and verified"
	}
	return v.said(f)
}

// foreignOut reports whether somebody else took a node out of a group it was proven in (law 13).
func (v *view) foreignOut(f *fleet) bool {
	if !f.balanced() || v.rec.Stage != actuators.Idle {
		return false
	}
	return v.rotation == draining && v.rec.Known() || slices.ContainsFunc(v.absent, func(i int) bool { return v.wasIn(f.Groups[i].ID) })
}

// start begins as many journeys as the limits allow, in the order of law 8, and says why not more.
func (f *fleet) start(idle []*view) {
	f.give(idle)
	candidates := f.candidates(idle)
	if len(candidates) == 0 {
		return
	}
	if why := cmp.Or(f.blocked(), f.sourcesIncomplete()); why != "" {
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
	return f.plan.Refresh || len(f.plan.Steps) > 0 || slices.ContainsFunc(f.views, (*view).underWay)
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
	return !slices.ContainsFunc(f.views, (*view).underWay) && f.Now.Sub(f.RollCall) > RecordAge
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
			return fmt.Sprintf("agent %s works on %s; stop one of the two agents", v.foreign.Holder, v.Name)
		case v.Host == nil && v.Read.Err == "":
			return v.Name + " was not read yet"
		}
	}
	return ""
}

// tooFew returns why the nodes found are too few to take any away, or "".
func (f *fleet) tooFew() string {
	if found, expected := len(f.views), f.expected(); found < expected {
		return fmt.Sprintf("%d nodes found, %d expected (nodes.expect)", found, expected)
	}
	return ""
}

// give sees to nodes that need nothing but a record or their place: adoption, and what somebody else took out.
func (f *fleet) give(idle []*view) {
	if f.blocked() != "" {
		return
	}
	for _, v := range idle {
		switch {
		case v.Busy != "" || v.unsure != "" || f.Now.Before(v.NotBefore):
		case f.adoptable(v):
			f.adopt(v)
		case v.has(f) && f.balanced() && len(v.absent) > 0:
			f.giveBack(v)
		}
	}
}

// adoptable reports whether a node nobody wrote down may prove that it has what is wanted (law 12).
func (f *fleet) adoptable(v *view) bool {
	return !v.rec.Known() && v.rec.Stage == actuators.Idle && f.Fleet.Adopt && f.Fleet.Unproven == "" && (v.rotation == member || !f.balanced()) &&
		!(v.watched(WatchVerify, f.Version.Release) && (v.Health.Status == health.Failing || v.Health.Status == health.Contradicted))
}

func (f *fleet) adopt(v *view) {
	passed := v.passed(WatchVerify, f.Version.Release)
	if passed && f.balanced() && !v.serving {
		v.status.Reason = "no record; it passes its checks with " + f.Version.Release + ", and is recorded when it is in service: " + v.said(f)
		f.watch(v, WatchVerify, f.Version.Release, 0)
		return
	}
	if passed {
		v.status.Outdated = false
		f.step(v, Adopt, "serves "+f.Version.Release+" already: "+v.Health.Reason, f.toProve(v, f.Version))
		return
	}
	f.watch(v, WatchVerify, f.Version.Release, 0)
	v.status.Reason = "no record; checked whether it has " + f.Version.Release + " already"
}

// giveBack registers a node that has what is wanted and is missing from a group: at once in a group that is new to the
// fleet, after restoreAfter where somebody took it out (law 13).
func (f *fleet) giveBack(v *view) {
	if v.foreignOut(f) {
		v.status.Foreign = true
		until := v.OutSince.Add(f.Fleet.Rollout.RestoreAfter)
		if v.OutSince.IsZero() || f.Now.Before(until) {
			v.status.Deadline = until
			f.wakeIf(until, !v.OutSince.IsZero())
			return
		}
	}
	release := v.rec.On.Release
	switch {
	case f.groupsUnread() != "":
		f.hold(v, f.groupsUnread())
	case v.passed(WatchVerify, release):
		f.add(v, f.at(v, actuators.Verified))
	case v.watched(WatchVerify, release) && v.Health.Status != health.Pending:
		f.watch(v, WatchVerify, release, 0)
		v.status.Reason = "not given back, its checks fail: " + v.Health.Reason
	default:
		f.watch(v, WatchVerify, release, 0)
		v.status.State, v.status.Reason = Verifying, "checked before it is given back"
	}
}

// candidates are the nodes that lack what is wanted and can be worked on, in the order they are to be started.
func (f *fleet) candidates(idle []*view) []*view {
	var found []*view
	rank := f.zoneRank()
	class := map[*view]class{}
	for _, v := range idle {
		if c := f.classOf(v); c != none {
			found, class[v] = append(found, v), c
		}
	}
	slices.SortStableFunc(found, func(a, b *view) int {
		return cmp.Or(cmp.Compare(class[a], class[b]), cmp.Compare(rank[a], rank[b]), cmp.Compare(a.Zone, b.Zone), cmp.Compare(a.Name, b.Name))
	})
	return found
}

// zoneRank is each node's place among those of its zone by name, so that ordering by it goes round the zones.
func (f *fleet) zoneRank() map[*view]int {
	rank, count := make(map[*view]int, len(f.views)), map[string]int{}
	for _, v := range f.views {
		rank[v] = count[v.Zone]
		count[v.Zone]++
	}
	return rank
}

func (f *fleet) classOf(v *view) class {
	switch {
	case v.has(f), v.foreign != nil, v.unsure != "", v.Busy != "":
		return none
	case f.adoptable(v):
		return none
	case v.failures(f) >= f.Fleet.Rollout.Attempts:
		return none
	case v.serving:
		return rolling
	case !f.balanced() && v.Health.Since.IsZero():
		return none // not checked yet: it may be the one that serves
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

func (f *fleet) restoreDue(v *view) bool {
	until := v.OutSince.Add(f.Fleet.Rollout.RestoreAfter)
	if v.OutSince.IsZero() || f.Now.Before(until) {
		f.wakeIf(until, !v.OutSince.IsZero())
		return false
	}
	return true
}

// unprovenRoom is how many more nodes may set out for a version that is not proven (law 8).
func (f *fleet) unprovenRoom() int {
	room := f.unprovenLimit()
	for _, v := range f.views {
		if v.underWay() && !v.held || v.opaque() {
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

// beginLeave claims a node that is to be drained. The first refusal ends it for all that would follow.
func (f *fleet) beginLeave(v *view) bool {
	if f.full {
		return false
	}
	if why := cmp.Or(f.tooFew(), f.mayLose(v)); why != "" {
		f.hold(v, why)
		f.full = true
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
	v.Busy = Prepare
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
