package plan

import (
	"fmt"
	"slices"
	"strings"

	"windlass/actuators"
)

// A Cause is what kind of thing holds a step back.
type Cause string

const (
	BySource   Cause = "source"   // something cannot be read
	ByFleet    Cause = "fleet"    // nothing starts on this fleet: paused, halted, released, another agent's
	ByExpect   Cause = "expect"   // fewer nodes are found than are expected
	ByBudget   Cause = "budget"   // as many are out as may be
	ByFloor    Cause = "floor"    // too few others serve
	ByZone     Cause = "zone"     // too few others serve in its zone, or in its group by the group's own rules
	ByProof    Cause = "proof"    // the version is to be proven first
	ByBalancer Cause = "balancer" // a fault on the balancer's side
	ByGate     Cause = "gate"     // something outside the fleet says no, not yet, or nothing
)

// A refusal is why something must not be done now; the zero value is none.
type refusal struct {
	cause Cause
	why   string
}

func (r refusal) none() bool { return r.cause == "" }

// A budget is what of a fleet's strength may still be spent. Who decides spends on a copy of its own.
type budget struct {
	k    *known
	left tally
	gone []*view // who was let go
}

func (k *known) budget() budget {
	left := k.tally.clone()
	left.inService += left.claimed // those that stay after all still serve
	return budget{k: k, left: left}
}

// refuse returns why a node must not leave now. It counts the node itself as gone.
func (b *budget) refuse(v *view) refusal {
	alike := b.alike(v)
	k, others, away := b.k, b.left.inService+len(alike), b.left.away
	if k.counts(v) || k.stillServes(v) {
		others--
	}
	if k.away(v) {
		away--
	}
	finishes := k.away(v) && v.rec.Spoiled // it cannot go back, and makes no more of them
	switch {
	case away+1 > k.wave.away && !finishes:
		return refusal{ByBudget, fmt.Sprintf("%d of %d out by windlass's hand, maxUnavailable is %s%s", away, b.left.size, k.limit(), k.whoIsOut())}
	case k.mayServe(v) && others < b.left.floor:
		return refusal{ByFloor, k.atFloor()}
	}
	return cmpRefusal(b.refuseGroups(v, alike), b.otherZone(v))
}

// alike are the other nodes that are to leave with what never was proven there, and serve, as a node does that is: either they serve as well as it
// does, or its leaving costs nothing. For any other node they are no capacity.
func (b *budget) alike(v *view) []*view {
	unproven := func(o *view) bool { return o.serving && b.k.claimed(o) && o.changed() && !o.rec.Spoiled }
	if !unproven(v) {
		return nil
	}
	var alike []*view
	for i := range b.k.views {
		if o := &b.k.views[i]; o != v && unproven(o) && !slices.Contains(b.gone, o) {
			alike = append(alike, o)
		}
	}
	return alike
}

// refuseGroups weighs every group by itself (law 7): the last one in rotation stays, healthy or not, and so does one that is healthy there
// when too few others are.
func (b *budget) refuseGroups(v *view, alike []*view) refusal {
	k := b.k
	for g := range k.Groups {
		if !slices.ContainsFunc(v.places[g], func(t actuators.Target) bool { return t.Status != actuators.TargetDraining }) {
			continue
		}
		s := b.left.groups[g]
		healthy, members, open := s.healthy, s.members, s.open
		for _, o := range alike {
			if k.healthyIn(o, g) {
				healthy++
			}
		}
		if k.healthyIn(v, g) && k.steady(v) {
			healthy--
		}
		if k.memberIn(v, g) {
			members--
		}
		if k.openIn(v, g) {
			open--
		}
		last := members == 0 || open == 0 && slices.ContainsFunc(v.places[g], failsOpenTo)
		switch {
		case last && !k.Fleet.Rollout.AllowOutage:
			return refusal{ByFloor, fmt.Sprintf("it is the last member of %s; rollout.allowOutage lets it leave", k.Groups[g].Name)}
		case k.healthyIn(v, g) && healthy < k.floorOf(s.size):
			return refusal{ByFloor, fmt.Sprintf("%d of %d healthy in %s, floor is %d (maxUnavailable %s)", s.healthy, s.size, k.Groups[g].Name, k.floorOf(s.size), k.limit())}
		}
		if why := b.refuseZone(v, g, alike); !why.none() {
			return why
		}
	}
	return refusal{}
}

// spend counts a node out.
func (b *budget) spend(v *view) {
	k := b.k
	b.gone = append(b.gone, v)
	if k.counts(v) || k.stillServes(v) {
		b.left.inService--
	}
	if !k.away(v) {
		b.left.away++
		b.left.awayIn[v.Zone]++
	}
	for g := range k.Groups {
		b.spendZone(v, g)
		if k.healthyIn(v, g) && k.steady(v) {
			b.left.groups[g].healthy--
		}
		if k.memberIn(v, g) {
			b.left.groups[g].members--
		}
		if k.openIn(v, g) {
			b.left.groups[g].open--
		}
	}
}

// refuseStranger returns why a member outside the node set must not leave a group now.
func (b *budget) refuseStranger(t actuators.Target, g int) refusal {
	k, others, size := b.k, b.left.inService, b.left.size-1
	in := b.left.groups[g]
	if t.Status == actuators.TargetHealthy {
		others--
		in.healthy--
	}
	switch {
	case b.left.away > 0:
		return refusal{ByBudget, fmt.Sprintf("%d out already, members outside the node set leave one at a time", b.left.away)}
	case others < k.floorOf(max(k.expected(), size)):
		return refusal{ByFloor, fmt.Sprintf("%d would be in service, floor is %d", others, k.floorOf(max(k.expected(), size)))}
	case (in.members <= 1 || in.open <= 1 && failsOpenTo(t)) && !k.Fleet.Rollout.AllowOutage:
		return refusal{ByFloor, "it is the last member; rollout.allowOutage lets it leave"}
	case t.Status == actuators.TargetHealthy && in.healthy < k.floorOf(in.size-1):
		return refusal{ByFloor, fmt.Sprintf("%d would be healthy there, floor is %d", in.healthy, k.floorOf(in.size-1))}
	}
	return b.refuseStrangerZone(t, g)
}

// turns are the claimed nodes that must not leave after all, each with why, and what is left for others.
type turns struct {
	refused map[string]refusal
	left    budget
}

// takeTurns decides which of the claimed nodes may leave, before anything else is decided: those that failed first, then by name.
func (k *known) takeTurns() turns {
	t := turns{map[string]refusal{}, k.budget()}
	for _, failed := range []bool{true, false} {
		for i := range k.views {
			v := &k.views[i]
			if !k.isToLeave(v) || v.rec.Spoiled != failed {
				continue
			}
			if why := cmpRefusal(k.tooFew(), k.gatedAgain(v), t.left.refuse(v)); !why.none() {
				t.refused[v.Name] = why
			} else {
				t.left.spend(v)
			}
		}
	}
	return t
}

// isToLeave reports whether the node is claimed to leave the places that it has, all or the rest of them. One that has none left, or that
// nothing can be done to now, is counted out already: nothing is spent on it, and a refusal is not looked at. One that serves on and cannot be
// read does not leave.
func (k *known) isToLeave(v *view) bool {
	return v.rec.Stage == actuators.Leaving && !(v.unsure != "" && k.claimed(v))
}

// cmpRefusal returns the first refusal that is one.
func cmpRefusal(all ...refusal) refusal {
	for _, r := range all {
		if !r.none() {
			return r
		}
	}
	return refusal{}
}

// tooFew returns why the nodes found are too few to take any away.
func (k *known) tooFew() refusal {
	found, expected := len(k.views), k.expected()
	if found >= expected {
		return refusal{}
	}
	why := fmt.Sprintf("%d nodes found, %d expected (nodes.expect)", found, expected)
	off := k.switchedOff()
	for _, e := range k.Fleet.Nodes.Exclude {
		if !slices.Contains(off, e.Name) && !slices.ContainsFunc(k.excluded, func(n *Node) bool { return Means(e, n.Node) }) {
			why += fmt.Sprintf("; nodes.exclude names %s, which was not found", e.Name)
		}
	}
	return refusal{ByExpect, why}
}

// whoIsOut names the nodes that stay out: they use up what may be away.
func (k *known) whoIsOut() string {
	var who strings.Builder
	for _, name := range k.tally.failed {
		fmt.Fprintf(&who, "; %s failed and stays out: mend or replace it", name)
	}
	for _, name := range k.tally.lost {
		fmt.Fprintf(&who, "; %s is out and cannot be reached: mend or replace it", name)
	}
	for _, name := range k.tally.strayed {
		if slices.ContainsFunc(k.excluded, func(n *Node) bool { return n.Name == name }) {
			fmt.Fprintf(&who, "; %s is excluded and was taken out by windlass: remove it from nodes or terminate it, put it back in service, or end its exclusion", name)
		} else {
			fmt.Fprintf(&who, "; %s was taken out by windlass and cannot be reached: mend or replace it", name)
		}
	}
	return who.String()
}

// limit is maxUnavailable for people: of a percentage, what it comes to (G23).
func (k *known) limit() string {
	most := k.Fleet.Rollout.MaxUnavailable
	if most.Percent == 0 {
		return most.String()
	}
	return fmt.Sprintf("%d (%s of %d)", k.wave.away, most, k.tally.size)
}

// atFloor is the refusal with its numbers.
func (k *known) atFloor() string {
	t := k.tally
	why := fmt.Sprintf("%d of %d in service, floor is %d (maxUnavailable %s", t.inService, t.size, t.floor, k.limit())
	if t.size-k.wave.away < t.floor {
		return why + "; the last node stays unless rollout.allowOutage is set)"
	}
	return why + ")"
}
