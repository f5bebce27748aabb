package plan

import (
	"maps"
	"slices"

	"windlass/actuators"
	"windlass/health"
)

// A tally is a fleet's strength counted at its worst: whatever is under way, unknown or failed is unavailable (law 7).
type tally struct {
	size      int // the largest of what is expected, what is found, and who is in the fleet's groups
	floor     int // how many must serve
	inService int
	claimed   int            // serve, and are to leave: nobody has asked a balancer yet
	away      int            // out by windlass's hand
	awayIn    map[string]int // of them, by zone, those that are not given up
	groups    []strength
	strangers []actuators.Target
	failed    []string // nodes that stay out
	lost      []string // nodes that are out and cannot be read
	strayed   []string // nodes that count as away because facts say so
}

// strength is that of one group that the fleet names, by itself: a node that serves in it alone counts here, and not in the whole.
type strength struct {
	size       int // who is in it, or was until windlass took it out
	healthy    int
	members    int                 // in rotation, healthy or not
	open       int                 // of them, those a balancer sends traffic to where none is healthy
	registered int                 // members that do not drain
	zones      map[string]presence // of a zonal group
}

// count works out the strength of what is seen.
func (s *scene) count(strayed []string) tally {
	t := tally{strangers: s.strangers(), strayed: strayed, away: len(strayed), groups: make([]strength, len(s.Groups)), awayIn: map[string]int{}}
	for i := range s.views {
		v := &s.views[i]
		switch {
		case s.counts(v):
			t.inService++
		case s.stillServes(v):
			t.claimed++
		}
		if s.away(v) {
			t.away++
			if v.rec.Stage != actuators.Failed {
				t.awayIn[v.Zone]++
			}
		}
		switch {
		case v.rec.Stage == actuators.Failed:
			t.failed = append(t.failed, v.Name)
		case v.Read.Err != "" && s.away(v):
			t.lost = append(t.lost, v.Name)
		}
		t.addTo(s, v)
	}
	for _, x := range t.strangers {
		switch x.Status {
		case actuators.TargetHealthy:
			t.inService++
		case actuators.TargetDraining:
			t.away++
		}
	}
	t.addStrangers(s)
	t.size = max(s.expected(), len(s.views)+len(t.strangers))
	t.floor = s.floorOf(t.size)
	return t
}

// addTo adds a node to the groups it is in, or was.
func (t tally) addTo(s *scene, v *view) {
	for g := range s.Groups {
		id := s.Groups[g].ID
		taken := slices.ContainsFunc(v.rec.Taken, func(m actuators.Membership) bool { return m.Group == id })
		if here := v.places[g]; len(here) > 0 || taken || v.wasIn(id) {
			t.groups[g].size++
		}
		if s.memberIn(v, g) {
			t.groups[g].members++
		}
		if s.openIn(v, g) {
			t.groups[g].open++
		}
		if s.healthyIn(v, g) && s.steady(v) {
			t.groups[g].healthy++
		}
		t.addZone(s, v, g)
	}
}

// memberIn reports whether the node is in rotation in the group.
func (s *scene) memberIn(v *view, g int) bool {
	return !s.away(v) && slices.ContainsFunc(v.places[g], func(t actuators.Target) bool { return t.Status != actuators.TargetDraining })
}

// openIn reports whether the node gets traffic of the group, should that fail open.
func (s *scene) openIn(v *view, g int) bool {
	return !s.away(v) && slices.ContainsFunc(v.places[g], failsOpenTo)
}

// failsOpenTo reports whether a balancer with no healthy target sends traffic to this one: not to what leaves, nor to what never gets any.
func failsOpenTo(t actuators.Target) bool {
	return t.Status != actuators.TargetDraining && t.Status != actuators.TargetUnused
}

// healthyIn reports whether the group says that the node is healthy in it.
func (s *scene) healthyIn(v *view, g int) bool {
	here := v.places[g]
	sick := slices.ContainsFunc(here, func(t actuators.Target) bool { return t.Status != actuators.TargetHealthy })
	return len(here) > 0 && !sick && s.groups[g].Err == ""
}

// addStrangers adds the members outside the node set to their groups, draining and pruned ones apart.
func (t tally) addStrangers(s *scene) {
	for g := range s.Groups {
		for _, x := range s.groups[g].strangers {
			t.groups[g].size++
			if s.leaves(x) {
				continue
			}
			t.addStranger(s.groups[g], g, x)
			t.groups[g].members++
			if failsOpenTo(x) {
				t.groups[g].open++
			}
			if x.Status == actuators.TargetHealthy {
				t.groups[g].healthy++
			}
		}
	}
}

// floorOf is how many of a fleet, or of a group, of so many must serve.
func (s *scene) floorOf(size int) int {
	floor := max(size-s.Fleet.Rollout.MaxUnavailable.Of(size), 0)
	if !s.Fleet.Rollout.AllowOutage {
		floor = max(floor, 1)
	}
	return floor
}

// expected is how many nodes there should be. Excluded ones are no part of it, where they are known: an exclusion that names nobody does not
// make fewer of them.
func (s *scene) expected() int {
	if s.Fleet.Nodes.Expect == 0 {
		return 0
	}
	return max(0, s.Fleet.Nodes.Expect-len(s.excluded)-len(s.switchedOff()))
}

// switchedOff are the exclusions of targets that are registered and whose machines were not found.
func (s *scene) switchedOff() []string {
	var off []string
	for _, e := range s.Fleet.Nodes.Exclude {
		found := slices.ContainsFunc(s.excluded, func(n *Node) bool { return Means(e, n.Node) })
		registered := slices.ContainsFunc(s.groups, func(g group) bool {
			from, to := g.span(e.Name)
			return from < to
		})
		if !found && registered {
			off = append(off, e.Name)
		}
	}
	return off
}

// counts reports whether the node can be counted on to serve (law 7).
func (s *scene) counts(v *view) bool { return v.serving && s.steady(v) && !s.claimed(v) }

// steady reports whether nothing is done to the node that could end its serving.
func (s *scene) steady(v *view) bool {
	return !s.away(v) && (!v.rec.UnderWay() || s.proving(v) || v.rec.Stage == actuators.Preparing || s.claimed(v) && !v.rec.Spoiled && !v.changed())
}

// stillServes reports whether a claimed node serves as before, nothing having been asked of its balancers.
func (s *scene) stillServes(v *view) bool { return v.serving && s.claimed(v) && s.steady(v) }

// claimed reports whether the node is to leave and has not begun to: it has all its places, and no balancer was asked, as far as can be
// known. It counts as away only when it may go.
func (s *scene) claimed(v *view) bool {
	if v.rec.Stage != actuators.Leaving || v.doing() != "" || v.unsure != "" && !s.servesUnread(v) || v.foreign != nil {
		return false
	}
	if !s.balanced() {
		return !v.rec.Spoiled // one that failed has been out since
	}
	back := v.serving || !v.changed() || v.rec.Spoiled // else it was never seen to be back since it was taken out
	return back && s.inAllPlaces(v) && !s.drainUnseen(v)
}

// servesUnread reports whether a node cannot be read that this agent claimed, and has not asked to leave: as long as its balancers call it
// healthy it serves as before, and cannot be taken (law 1).
func (s *scene) servesUnread(v *view) bool {
	ours := v.rec.Claim != nil && v.rec.Claim.Nonce == s.Agent.Nonce && !v.Inherited && !v.askedToLeave()
	return ours && s.balanced() && v.serving && !v.rec.Spoiled && !v.changed()
}

// askedToLeave reports whether this agent asked the node's balancers to let it go since it was claimed.
func (v *view) askedToLeave() bool { return v.Asked == Drain && !v.AskedAt.Before(v.Staged) }

// inAllPlaces reports whether the node has every place that its record says it is to leave, in groups that exist. One that has left some of
// them and was given back has not until its load balancers send it traffic again.
func (s *scene) inAllPlaces(v *view) bool {
	for _, t := range v.targets {
		switch t.Status {
		case actuators.TargetDraining, actuators.TargetInitial, actuators.TargetRamping:
			return false
		}
	}
	gone := func(m actuators.Membership) bool {
		i := slices.IndexFunc(s.groups, func(g group) bool { return g.ID == m.Group })
		return i >= 0 && (s.groups[i].Missing || s.groups[i].Target(v.Node.Node) != m.ID)
	}
	return v.rotation == member && !slices.ContainsFunc(v.rec.Taken, func(m actuators.Membership) bool { return !v.isIn(m) && !gone(m) })
}

// away reports whether the node is, or must be taken to be, out of service by windlass's hand (law 7).
func (s *scene) away(v *view) bool {
	if v.doing() == Leave || v.Host == nil && s.balanced() && v.rotation != member {
		return true
	}
	switch v.rec.Stage {
	case actuators.Leaving:
		return !s.claimed(v)
	case actuators.Configuring, actuators.Verified, actuators.Failed:
		return (len(v.rec.Taken) > 0 || !s.balanced()) && !s.proving(v)
	}
	return false
}

// strangers are the members of the fleet's own groups that are none of its nodes: each once, as the group says that likes it least.
func (s *scene) strangers() []actuators.Target {
	worst := map[string]actuators.Target{}
	for g := range s.Groups {
		for _, t := range s.groups[g].strangers {
			if s.leaves(t) {
				t.Status = actuators.TargetDraining
			}
			if was, seen := worst[t.ID]; !seen || was.Status == actuators.TargetHealthy {
				worst[t.ID] = t
			}
		}
	}
	found := slices.Collect(maps.Values(worst))
	slices.SortFunc(found, func(a, b actuators.Target) int { return a.Compare(b.Membership) })
	return found
}

// leaves reports whether a member outside the node set is leaving: the call that asked for it is not over, or was so lately that a reading
// may lag behind it (G8).
func (s *scene) leaves(t actuators.Target) bool {
	p := s.Pruned
	return t.Status == actuators.TargetDraining || t.ID == p.ID && (p.Busy || s.Now.Before(p.At.Add(AskAgain)))
}

// mayServe reports whether the node may be serving by the time it leaves: it does, or nothing that can be read says that it does
// not, or it was registered and a reading may be behind the balancer that has found it healthy.
func (s *scene) mayServe(v *view) bool {
	if !s.balanced() {
		unheard := v.Health.Status == health.Unknown || v.Health.Status == health.Pending
		return v.serving || unheard && !v.rec.Spoiled
	}
	joining, ill := false, len(v.targets) == 0
	for _, t := range v.targets {
		joining = joining || t.Status == actuators.TargetInitial || t.Status == actuators.TargetRamping
		ill = ill || !mayServeAs(t)
	}
	return v.serving || !ill || joining && v.rec.Stage != actuators.Idle
}

// mayServeAs reports whether a target may get traffic: a balancer's fault may end at any moment, what is said of the target itself does not.
func mayServeAs(t actuators.Target) bool {
	switch t.Status {
	case actuators.TargetHealthy, actuators.TargetRamping, actuators.TargetUnknown:
		return true
	case actuators.TargetUnhealthy:
		return !t.AtFault
	}
	return false
}
