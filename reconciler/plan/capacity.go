package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"windlass/actuators"
	"windlass/health"
)

// capacity is a fleet's strength counted at its worst: whatever is under way, unknown or failed is unavailable (law 7).
type capacity struct {
	size      int // the largest of what is expected, what is found, and who is in the fleet's groups
	max       int // how many may be out by windlass's hand
	floor     int // how many must serve
	inService int
	away      int // out by windlass's hand, or claimed to be taken out
	claimed   int // of those, the ones that still serve because nobody has asked a balancer yet
	strangers []actuators.Target
}

// count works out the capacity of what is seen.
func (f *fleet) count() {
	c := capacity{strangers: f.strangers()}
	for _, v := range f.views {
		if v.counts(f) {
			c.inService++
		}
		if v.away(f) {
			c.away++
		}
		if v.stillServes(f) {
			c.claimed++
		}
	}
	for _, t := range c.strangers {
		switch t.Status {
		case actuators.TargetHealthy:
			c.inService++
		case actuators.TargetDraining:
			c.away++
		}
	}
	c.resize(f, len(f.views)+len(c.strangers))
	f.cap = c
	f.plan.InService = c.inService
}

// resize sets the limits of a fleet of at least found nodes.
func (c *capacity) resize(f *fleet, found int) {
	c.size = max(f.expected(), found)
	c.max = f.Fleet.Rollout.MaxUnavailable.Of(c.size)
	c.floor = max(c.size-c.max, 0)
	if !f.Fleet.Rollout.AllowOutage {
		c.floor = max(c.floor, 1)
	}
}

// expected is how many nodes there should be, without the excluded ones.
func (f *fleet) expected() int { return f.Fleet.Nodes.Expect - len(f.Fleet.Nodes.Exclude) }

// strangers are the members of the fleet's own groups that are none of its nodes: each once, as the group says that likes it least.
// One that was asked to leave a moment ago counts as leaving, whatever a lagging reading says (G8).
func (f *fleet) strangers() []actuators.Target {
	worst := map[string]actuators.Target{}
	for _, g := range f.Groups {
		ours := f.targetsIn(g)
		for _, t := range g.Members {
			if t.ID == f.Pruned.ID && f.Now.Before(f.Pruned.At.Add(AskAgain)) {
				t.Status = actuators.TargetDraining
			}
			if was, seen := worst[t.ID]; !ours[t.ID] && (!seen || was.Status == actuators.TargetHealthy) {
				worst[t.ID] = t
			}
		}
	}
	found := slices.Collect(maps.Values(worst))
	slices.SortFunc(found, func(a, b actuators.Target) int { return a.Compare(b.Membership) })
	return found
}

// targetsIn is every id by which a group may hold a node found for the fleet, excluded ones too, also those that are switched off.
func (f *fleet) targetsIn(g actuators.GroupState) map[string]bool {
	ids := make(map[string]bool, len(f.World.Nodes))
	for _, e := range f.Fleet.Nodes.Exclude {
		ids[e.Name] = true
	}
	for _, n := range f.World.Nodes {
		ids[g.Target(n.Node)] = true
	}
	return ids
}

// mayLose returns why a node must not set out to leave now, or "". It counts the node itself as gone, and claimed ones too.
func (f *fleet) mayLose(v *view) string {
	others, away := f.cap.inService, f.cap.away
	if v.counts(f) {
		others--
	}
	if v.away(f) {
		away--
	}
	return f.refusal(v, others, away)
}

// mayDrain returns why a claimed node must not be taken out of its groups now, or "". Others that are only claimed still serve.
func (f *fleet) mayDrain(v *view) string {
	others, away := f.cap.inService+f.cap.claimed, f.cap.away-f.cap.claimed
	if v.stillServes(f) {
		others--
	} else if v.away(f) {
		away--
	}
	return f.refusal(v, others, away)
}

// stillServes reports whether a claimed node serves as before, nothing having been asked of its balancers.
func (v *view) stillServes(f *fleet) bool {
	return v.rec.Stage == actuators.Leaving && v.serving && v.Busy == "" && v.unsure == "" && !f.drainUnseen(v)
}

// refusal weighs what would be left: others in service, and how many out by windlass's hand besides the node.
func (f *fleet) refusal(v *view, others, away int) string {
	c := f.cap
	switch {
	case away+1 > c.max:
		return fmt.Sprintf("%d of %d out by windlass's hand, maxUnavailable is %s%s", away, c.size, f.budget(), f.whoFailed())
	case v.mayServeBy(f) && others < c.floor:
		return f.atFloor()
	case f.balanced() && !f.Fleet.Rollout.AllowOutage && f.membersBut(v) == 0:
		return "it is the last member of its load balancers; rollout.allowOutage lets it leave"
	}
	return ""
}

// whoFailed names the nodes that stay out as failed: they use up what may be away.
func (f *fleet) whoFailed() string {
	var who strings.Builder
	for _, v := range f.views {
		if v.rec.Stage == actuators.Failed {
			fmt.Fprintf(&who, "; %s failed and stays out: mend, replace or exclude it", v.Name)
		}
	}
	return who.String()
}

// budget is maxUnavailable for people: of a percentage, what it comes to (G23).
func (f *fleet) budget() string {
	most := f.Fleet.Rollout.MaxUnavailable
	if most.Percent == 0 {
		return most.String()
	}
	return fmt.Sprintf("%d (%s of %d)", f.cap.max, most, f.cap.size)
}

// mayServeBy reports whether the node may be serving by the time it leaves: it does, or nothing that can be read says that it does
// not, or it was registered and a reading may be behind the balancer that has found it healthy.
func (v *view) mayServeBy(f *fleet) bool {
	if !f.balanced() {
		unheard := v.Health.Status == health.Unknown || v.Health.Status == health.Pending
		return v.serving || unheard && !v.spoiled()
	}
	joining, ill := false, len(v.targets) == 0
	for _, t := range v.targets {
		joining = joining || t.Status == actuators.TargetInitial || t.Status == actuators.TargetRamping
		ill = ill || t.Status != actuators.TargetHealthy && t.Status != actuators.TargetRamping && t.Status != actuators.TargetUnknown
	}
	return v.serving || !ill || joining && v.rec.Stage != actuators.Idle
}

// atFloor is the refusal with its numbers.
func (f *fleet) atFloor() string {
	c := f.cap
	why := fmt.Sprintf("%d of %d in service, floor is %d (maxUnavailable %s", c.inService, c.size, c.floor, f.budget())
	if c.size-c.max < c.floor {
		return why + "; the last node stays unless rollout.allowOutage is set)"
	}
	return why + ")"
}

// membersBut is how many other nodes and strangers are in rotation, healthy or not: with none healthy a balancer sends
// traffic to all of them.
func (f *fleet) membersBut(v *view) int {
	n := len(slices.DeleteFunc(slices.Clone(f.cap.strangers), func(t actuators.Target) bool { return t.Status == actuators.TargetDraining }))
	for _, o := range f.views {
		if o != v && o.rotation == member && !o.away(f) {
			n++
		}
	}
	return n
}

// lost counts a node out from here on in this plan.
func (f *fleet) lost(v *view) {
	if v.stillServes(f) {
		f.cap.claimed--
	}
	if v.counts(f) {
		f.cap.inService--
	}
	if !v.away(f) {
		f.cap.away++
	}
	v.begin(Leave)
}
