package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"windlass/actuators"
)

// group is a reading with its members found by id.
type group struct {
	*actuators.GroupState
	named     bool
	members   []actuators.Target // by id; none of one that is missing
	strangers []actuators.Target // those that are no node found for the fleet, nor excluded
}

// index prepares the groups for as many look-ups as there are nodes. Former ones count while a record that counts names them.
func (s *scene) index() {
	s.recorded = map[string]string{}
	newest := "" // most records name what the one before them names
	for i := range s.views {
		v := &s.views[i]
		for _, places := range [][]actuators.Membership{v.rec.Places, v.rec.Taken} {
			for _, m := range places {
				if m.Group == newest {
					continue
				}
				newest = m.Group
				if _, seen := s.recorded[m.Group]; !seen {
					s.recorded[m.Group] = v.Name
				}
			}
		}
	}
	for i := range s.Groups {
		s.groups = append(s.groups, newGroup(&s.Groups[i], true))
	}
	for i := range s.Former {
		if _, named := s.recorded[s.Former[i].ID]; named {
			s.groups = append(s.groups, newGroup(&s.Former[i], false))
		}
	}
}

func newGroup(g *actuators.GroupState, named bool) group {
	byID := func(a, b actuators.Target) int { return strings.Compare(a.ID, b.ID) }
	switch {
	case g.Missing:
		return group{GroupState: g, named: named}
	case slices.IsSortedFunc(g.Members, byID):
		return group{GroupState: g, named: named, members: g.Members}
	}
	return group{GroupState: g, named: named, members: slices.SortedStableFunc(slices.Values(g.Members), byID)}
}

// places returns the targets under which the group holds the node.
func (g *group) places(n *Node) []actuators.Target {
	from, to := g.span(g.Target(n.Node))
	return g.members[from:to:to]
}

// span is where the members with an id are; no member goes by "".
func (g *group) span(id string) (from, to int) {
	if id == "" {
		return 0, 0
	}
	from = sort.Search(len(g.members), func(i int) bool { return g.members[i].ID >= id })
	for to = from; to < len(g.members) && g.members[to].ID == id; to++ {
	}
	return from, to
}

// findPlaces finds where the groups hold each node, and who else is in them.
func (s *scene) findPlaces() {
	each := len(s.groups)
	places := make([][]actuators.Target, len(s.views)*each)
	for i := range s.views {
		s.views[i].places = places[i*each : (i+1)*each]
	}
	for g := range s.groups {
		s.findIn(g)
	}
}

// findIn is findPlaces in one group. Excluded nodes are no strangers there, also those that are switched off.
func (s *scene) findIn(i int) {
	g := &s.groups[i]
	ours := make([]bool, len(g.members))
	find := func(id string) []actuators.Target {
		from, to := g.span(id)
		for at := from; at < to; at++ {
			ours[at] = true
		}
		return g.members[from:to:to]
	}
	for at := range s.views {
		v := &s.views[at]
		v.places[i] = find(g.Target(v.Node.Node))
	}
	for _, n := range s.excluded {
		find(g.Target(n.Node))
	}
	for _, e := range s.Fleet.Nodes.Exclude {
		find(e.Name)
	}
	for at, t := range g.members {
		if !ours[at] {
			g.strangers = append(g.strangers, t)
		}
	}
}

func (s *scene) groupName(id string) string {
	for _, g := range s.groups {
		if g.ID == id {
			return g.Name
		}
	}
	return id
}

// sourcesIncomplete returns why who belongs or who serves is not completely known, or "" (law 1).
func (s *scene) sourcesIncomplete() string {
	switch {
	case s.Inventory.Err != "":
		return "the node set is not completely known: " + s.Inventory.Err
	case !s.Inventory.Complete():
		return "the node set was not read yet"
	case len(s.Groups) < len(s.Fleet.LoadBalancers):
		return "the load balancers were not read yet"
	}
	for _, g := range s.groups {
		switch {
		case g.Err == "":
		case g.named:
			return g.Err
		case !g.Missing:
			return s.namedByRecord(g)
		}
	}
	return cmp.Or(s.unread, s.neverRead())
}

// neverRead returns which node was not read yet, or "": an agent before this one may have it under way.
func (s *scene) neverRead() string {
	for i := range s.views {
		if v := &s.views[i]; v.Host == nil && v.Read.Err == "" {
			return v.Name + " was not read yet"
		}
	}
	return ""
}

// namedByRecord says why a group that only records name could not be read, and whose record that is.
func (s *scene) namedByRecord(g group) string {
	return fmt.Sprintf("%s (the record of %s names that group)", g.Err, s.recorded[g.ID])
}

// recordsUnread returns why a group that only records name must be read before anything is built on who is out, or "".
func (s *scene) recordsUnread() string {
	for _, id := range slices.Sorted(maps.Keys(s.recorded)) {
		if !slices.ContainsFunc(s.groups, func(g group) bool { return g.ID == id }) {
			return fmt.Sprintf("%s, which the record of %s names, was not read yet", id, s.recorded[id])
		}
	}
	return ""
}

// groupsUnread is why a group the nodes belong in cannot be built on now, or "".
func (s *scene) groupsUnread() string {
	for _, g := range s.groups {
		if g.named && g.Err != "" {
			return g.Err
		}
	}
	if len(s.Groups) < len(s.Fleet.LoadBalancers) {
		return "the load balancers were not read yet"
	}
	return s.unread
}

// formerUnread returns why a group that the file no longer names, and that may still hold the node, cannot be read, or "".
func (s *scene) formerUnread(v *view) string {
	for _, g := range s.groups {
		here := func(m actuators.Membership) bool { return m.Group == g.ID }
		if !g.named && g.Err != "" && !g.Missing && (slices.ContainsFunc(v.rec.Taken, here) || v.wasIn(g.ID)) {
			return s.namedByRecord(g)
		}
	}
	return ""
}

// fresh reports whether the balancers were read a moment ago, and after that moment when they were last asked about what is to be done now.
// What other nodes asked for since does not matter: they are counted out by their records and requests, whatever a reading says, so that all
// who wait share one. Former groups that cannot be read hold up those alone that may be in them.
func (s *scene) fresh(asked time.Time) bool {
	stale := slices.ContainsFunc(s.groups, func(g group) bool { return g.At.Before(asked) && (g.named || g.Err == "") })
	return !stale && s.Now.Sub(s.GroupsRead) <= Fresh
}

// readSince is when the oldest of the groups' readings began.
func (s *scene) readSince() time.Time {
	read := s.Now
	for _, g := range s.groups {
		read = earlier(read, g.At)
	}
	return read
}

// drainUnseen reports whether the balancers were asked to drain the node, and may not show it yet: a call that failed may have had its
// effect (law 14), and readings lag (G8).
func (s *scene) drainUnseen(v *view) bool { return s.readSince().Before(v.drainShows()) }

// drainShows is when every reading shows that the node was asked to leave, if it was; zero when it was not. An agent before this one may have
// asked just before this one first saw the node.
func (v *view) drainShows() time.Time {
	switch {
	case v.Asked == Drain:
		return v.AskedAt.Add(AskAgain)
	case v.Asked == "" && v.Inherited:
		return v.Staged.Add(AskAgain)
	}
	return zeroTime
}

// missing are the places the node is to have and has not.
func (s *scene) missing(v *view) []actuators.Membership {
	return slices.DeleteFunc(s.due(v), v.isIn)
}

// isIn reports whether the node has a place, and is not leaving it.
func (v *view) isIn(m actuators.Membership) bool {
	return slices.ContainsFunc(v.targets, func(t actuators.Target) bool {
		return t.Status != actuators.TargetDraining && t.Group == m.Group && t.ID == m.ID && t.Port == m.Port
	})
}
