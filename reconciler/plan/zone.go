package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"windlass/actuators"
	"windlass/desired"
)

// presence is how strong a group is, or a zone of it.
type presence struct {
	members int // registered and not draining, healthy or not
	healthy int // of them, those that can be counted on
}

// zoneOf is where a node's places in a group are: as the inventory says, else as the group does; "" when neither knows.
func (s *scene) zoneOf(v *view, g int) string {
	if v.Zone != "" || len(v.places[g]) == 0 {
		return v.Zone
	}
	return v.places[g][0].Zone
}

// addZone counts the node in its zone of a group whose zones stand by themselves.
func (t tally) addZone(s *scene, v *view, g int) {
	t.groups[g].registered += s.presenceIn(v, g).members
	if !s.groups[g].Zonal {
		return
	}
	if t.groups[g].zones == nil {
		t.groups[g].zones = map[string]presence{}
	}
	t.groups[g].zones[s.zoneOf(v, g)] = t.groups[g].zones[s.zoneOf(v, g)].with(s.presenceIn(v, g), 1)
}

// addStranger counts a member outside the node set that stays in rotation, in its zone where that is known.
func (t tally) addStranger(g group, at int, x actuators.Target) {
	t.groups[at].registered++
	if !g.Zonal || x.Zone == "" {
		return
	}
	if t.groups[at].zones == nil {
		t.groups[at].zones = map[string]presence{}
	}
	t.groups[at].zones[x.Zone] = t.groups[at].zones[x.Zone].with(presenceOf(x), 1)
}

func presenceOf(t actuators.Target) presence {
	if t.Status == actuators.TargetHealthy {
		return presence{members: 1, healthy: 1}
	}
	return presence{members: 1}
}

// refuseStrangerZone is refuseZone of a member outside the node set.
func (b *budget) refuseStrangerZone(t actuators.Target, g int) refusal {
	k, in := b.k, b.left.groups[g]
	if t.Status != actuators.TargetHealthy || k.Fleet.Rollout.AllowOutage {
		return refusal{}
	}
	if !k.groups[g].Zonal {
		return k.groups[g].tooLow(presence{in.registered, in.healthy}.with(presenceOf(t), -1), "")
	}
	if t.Zone != "" {
		return k.groups[g].tooLow(in.zones[t.Zone].with(presenceOf(t), -1), t.Zone)
	}
	for _, zone := range slices.Sorted(maps.Keys(in.zones)) { // it may be in any of them, and none counts on it
		if why := k.groups[g].tooLow(in.zones[zone], zone); !why.none() {
			return why
		}
	}
	return refusal{}
}

// presenceIn is what a node adds to a group.
func (s *scene) presenceIn(v *view, g int) presence {
	var p presence
	if slices.ContainsFunc(v.places[g], func(t actuators.Target) bool { return t.Status != actuators.TargetDraining }) {
		p.members = 1
	}
	if s.healthyIn(v, g) && s.steady(v) {
		p.healthy = 1
	}
	return p
}

func (p presence) with(o presence, times int) presence {
	return presence{members: p.members + times*o.members, healthy: p.healthy + times*o.healthy}
}

// refuseZone returns why a healthy node must not leave a group: its zone would leave DNS, or unhealthy targets would get traffic there (G47).
// Those that are alike count as healthy.
func (b *budget) refuseZone(v *view, g int, alike []*view) refusal {
	k, in := b.k, b.left.groups[g]
	if !k.healthyIn(v, g) || k.Fleet.Rollout.AllowOutage {
		return refusal{}
	}
	zone, left := k.zoneOf(v, g), presence{in.registered, in.healthy}
	if k.groups[g].Zonal {
		left = in.zones[zone]
	}
	for _, o := range alike {
		if k.healthyIn(o, g) && (!k.groups[g].Zonal || k.zoneOf(o, g) == zone) {
			left.healthy++
		}
	}
	return k.groups[g].tooLow(left.with(k.presenceIn(v, g), -1), zone)
}

// tooLow returns why a group must not be left with no more than that in a zone, or in all of them where it is not zonal.
func (g *group) tooLow(left presence, zone string) refusal {
	for _, t := range []struct {
		name string
		actuators.Threshold
	}{{"dns_failover", g.InDNS}, {"unhealthy_state_routing", g.FailsOpen}} {
		need, name := t.Of(left.members), t.name
		if g.Zonal && need == 0 {
			need, name = 1, "cross-zone balancing is off"
		}
		switch {
		case left.healthy >= need:
		case g.Zonal:
			return refusal{ByZone, fmt.Sprintf("%s needs %d healthy per zone (%s), %d would be left in %s; rollout.allowOutage lets it leave", g.Name, need, name, left.healthy, cmp.Or(zone, "its zone, which is not known"))}
		default:
			return refusal{ByZone, fmt.Sprintf("%s needs %d healthy (%s), %d would be left; rollout.allowOutage lets it leave", g.Name, need, name, left.healthy)}
		}
	}
	return refusal{}
}

// spendZone counts a node out of its zone.
func (b *budget) spendZone(v *view, g int) {
	k := b.k
	b.left.groups[g].registered -= k.presenceIn(v, g).members
	if k.groups[g].Zonal {
		zone := k.zoneOf(v, g)
		b.left.groups[g].zones[zone] = b.left.groups[g].zones[zone].with(k.presenceIn(v, g), -1)
	}
}

// otherZone returns why a node must not leave while one of another zone is away, where the fleet file asks for one zone at a time. Nodes that
// failed and stay out hold nobody up.
func (b *budget) otherZone(v *view) refusal {
	if b.k.Fleet.Rollout.Zones != desired.OneZoneAtOnce {
		return refusal{}
	}
	for _, zone := range slices.Sorted(maps.Keys(b.left.awayIn)) {
		if zone != v.Zone && b.left.awayIn[zone] > 0 {
			return refusal{ByBudget, fmt.Sprintf("%d away in %s, and rollout.zones is one-at-a-time", b.left.awayIn[zone], cmp.Or(zone, "a zone that is not known"))}
		}
	}
	return refusal{}
}

// clone returns what shares nothing that is spent with t.
func (t tally) clone() tally {
	t.groups, t.awayIn = slices.Clone(t.groups), maps.Clone(t.awayIn)
	for i := range t.groups {
		t.groups[i].zones = maps.Clone(t.groups[i].zones)
	}
	return t
}
