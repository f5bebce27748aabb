package plan

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
)

// fleet is one question and all that is worked out on the way to its answer.
type fleet struct {
	Want
	World
	groups             []group           // those the fleet names, then the former ones
	recorded           map[string]string // groups that records name, each with the first node whose record does
	unread             string            // why a group that only records name must be read first; empty: none
	views              []*view
	twins              string          // why two nodes may be one machine; empty: all differ
	halt               *actuators.Halt // the verdict on the wanted version; nil: none
	haltFrom           string          // the node whose record has it; empty: none that can be read
	retried            int             // the highest retry at which the wanted version was halted
	proven             map[string]bool // digests proven on some node
	proofs             int             // nodes on which the wanted version is proven
	cap                capacity
	prepared, repaired int  // nodes being prepared and configured, those of this plan too
	full               bool // no more nodes may leave in this plan
	plan               Plan
}

// view is a node with what follows from its record and from the balancers. Node and rec are the world's own: they are never written to.
type view struct {
	*Node
	Busy     Kind                  // the node's, or the step that this plan begins
	rec      *actuators.NodeRecord // noRecord when there is none that counts
	unsure   string                // why the host cannot be built on now; empty: it can
	foreign  *actuators.Claim      // another agent's live claim
	targets  []actuators.Target    // its places in all groups, named ones first
	rotation rotation
	absent   []int // indexes of the named groups it has no place in
	held     bool  // it should leave and must not, so others go before it
	awaits   bool  // it is held for other nodes of the fleet alone
	serving  bool  // in service, whoever works on it
	has      bool  // it has what is wanted, as far as is known
	moving   bool  // a journey is in hand on it, or about to be
	class    class // as whose turn to start comes
	turn     int   // its place among those of its zone, by name
	status   NodeStatus
}

// noRecord is what a node without a record of its own is taken to have.
var noRecord actuators.NodeRecord

// rotation says where a node is with its balancers, taken together.
type rotation int

const (
	out      rotation = iota // a member of no group
	draining                 // leaving all groups it was in
	member                   // a member of at least one group
)

// group is a reading with its members found by id.
type group struct {
	*actuators.GroupState
	named   bool
	members map[string][]actuators.Target
}

// index prepares the groups for as many look-ups as there are nodes. Former ones count while a record that counts names them.
func (f *fleet) index() {
	f.recorded = map[string]string{}
	newest := "" // most records name what the one before them names
	for _, v := range f.views {
		for _, places := range [][]actuators.Membership{v.rec.Places, v.rec.Taken} {
			for _, m := range places {
				if m.Group == newest {
					continue
				}
				newest = m.Group
				if _, seen := f.recorded[m.Group]; !seen {
					f.recorded[m.Group] = v.Name
				}
			}
		}
	}
	for i := range f.Groups {
		f.groups = append(f.groups, newGroup(&f.Groups[i], true))
	}
	for i := range f.Former {
		if _, named := f.recorded[f.Former[i].ID]; named {
			f.groups = append(f.groups, newGroup(&f.Former[i], false))
		}
	}
}

func newGroup(g *actuators.GroupState, named bool) group {
	members := make(map[string][]actuators.Target, len(g.Members))
	if g.Missing {
		return group{g, named, members}
	}
	for i, t := range g.Members {
		if others, twice := members[t.ID]; twice {
			members[t.ID] = append(others, t)
		} else {
			members[t.ID] = g.Members[i : i+1 : i+1]
		}
	}
	return group{g, named, members}
}

// places returns the targets under which the group holds the node.
func (g group) places(n actuators.Node) []actuators.Target {
	id := g.Target(n)
	if id == "" {
		return nil
	}
	return g.members[id]
}

// look works out the views, sorted by name, without the excluded nodes.
func (f *fleet) look() {
	all := make([]view, 0, len(f.World.Nodes))
	f.views = make([]*view, 0, len(f.World.Nodes))
	for i := range f.World.Nodes {
		n := &f.World.Nodes[i]
		if Excludes(f.Fleet, n.Node) {
			continue
		}
		all = append(all, view{Node: n, Busy: n.Busy, rec: &noRecord, status: NodeStatus{Name: n.Name, Since: n.Since}})
		v := &all[len(all)-1]
		v.readHost(f)
		f.views = append(f.views, v)
	}
	slices.SortFunc(f.views, func(a, b *view) int { return cmp.Compare(a.Name, b.Name) })
	f.index()
	inZone := map[string]int{}
	for _, v := range f.views {
		v.has, v.moving = v.hasWanted(f), v.underWay()
		v.readBalancers(f)
		v.status.Release, v.status.Outdated = v.rec.On.Release, !v.has
		v.turn = inZone[v.Zone]
		inZone[v.Zone]++
	}
	f.twins, f.unread = twins(f.views), f.recordsUnread()
}

// Excludes reports whether the fleet file excludes the node. Nothing is built on what its record says, and nothing is written there.
func Excludes(f *desired.Fleet, n actuators.Node) bool {
	return slices.ContainsFunc(f.Nodes.Exclude, func(e desired.Exclusion) bool { return Means(e, n) })
}

// Means reports whether the exclusion is of the node: by its name, its instance id, or a tag Name that it shares with others. A node that
// somebody works on stays excluded when another with the same tag appears, and so does that one: nobody can tell which was meant.
func Means(e desired.Exclusion, n actuators.Node) bool {
	return e.Name == n.Name || e.Name == n.ID || e.Name == n.Alias
}

// twins finds two nodes that name the same machine: a record could not tell them apart (law 4).
func twins(views []*view) string {
	if !slices.ContainsFunc(views, func(v *view) bool { return v.ID == "" }) {
		return "" // instance ids are the inventory's, each once
	}
	names := make(map[string]string, len(views))
	for _, v := range views {
		if v.Host == nil {
			continue
		}
		if other, taken := names[v.identity()]; taken {
			return fmt.Sprintf("%s and %s have the same machine id: they are one machine, or one was cloned and needs a machine id of its own", other, v.Name)
		}
		names[v.identity()] = v.Name
	}
	return ""
}

// readHost takes the record where it counts: one of this machine (law 4).
func (v *view) readHost(f *fleet) {
	switch {
	case v.Host == nil && v.Read.Err == "":
		v.unsure = "not read yet"
	case v.Read.Err != "":
		v.unsure = v.Read.Err
	case v.Stale:
		v.unsure = "to be read again after a call that may have had an effect"
	}
	if v.Host == nil {
		return
	}
	rec := &v.Host.Record
	if rec.Instance != v.identity() {
		return
	}
	v.rec = rec
	if v.claimLives(f) {
		v.foreign = rec.Claim
	}
	if v.unsure == "" && rec.On.Algorithm > f.Version.Algorithm {
		v.unsure = fmt.Sprintf("its record is a newer windlass's (digest algorithm %d, this one knows up to %d); upgrade this agent", rec.On.Algorithm, f.Version.Algorithm)
	}
}

// identity is what a record must name to be this machine's.
func (v *view) identity() string { return cmp.Or(v.ID, v.Host.Machine) }

// claimLives reports whether another agent may still act under the record's claim: until it expired by the node's clock, but
// never longer than a claim lasts, and then for as long as a call it began may take (law 18).
func (v *view) claimLives(f *fleet) bool {
	c := v.rec.Claim
	if c == nil || f.Agent.succeeds(*c) {
		return false
	}
	expired := v.Host.Now.Sub(c.Expires) >= TakeoverWait
	outwaited := !v.Claimed.IsZero() && v.Read.At.Sub(v.Claimed) >= actuators.ClaimTime+TakeoverWait
	return !expired && !outwaited
}

func (v *view) readBalancers(f *fleet) {
	v.rotation = out
	healthy := true
	for i, g := range f.groups {
		places := g.places(v.Node.Node)
		if v.targets == nil {
			v.targets = slices.Clip(places)
		} else {
			v.targets = append(v.targets, places...)
		}
		for _, t := range places {
			v.rotation = max(v.rotation, rotationOf(t.Status))
			healthy = healthy && t.Status == actuators.TargetHealthy
		}
		if g.named && len(places) == 0 {
			v.absent = append(v.absent, i)
		}
	}
	if f.balanced() {
		v.serving = healthy && v.rotation == member && len(f.Groups) == len(f.Fleet.LoadBalancers) && f.servesWithout(v)
		return
	}
	v.serving = v.Health.Status == health.Passing && v.unsure == "" && !v.spoiled()
}

// servesWithout reports whether the node serves as it should without a place in the groups that it is absent from: it has none to be in, or
// it lacks what is wanted, and gets its place in groups that are new to it together with that (decision 19).
func (f *fleet) servesWithout(v *view) bool {
	old := func(i int) bool { return !f.newTo(v, f.Groups[i].ID) }
	return len(v.absent) == 0 || !v.has && f.groupsUnread() == "" && !slices.ContainsFunc(v.absent, old)
}

// newTo reports whether the node never had a place in the group, as far as is known. Where nobody wrote down where it was, somebody may have
// taken it out a moment ago (law 13).
func (f *fleet) newTo(v *view, group string) bool {
	taken := slices.ContainsFunc(v.rec.Taken, func(m actuators.Membership) bool { return m.Group == group })
	return v.Host != nil && !taken && !v.wasIn(group) && (v.rec.Known() || f.restoreDue(v))
}

func rotationOf(s actuators.TargetStatus) rotation {
	if s == actuators.TargetDraining {
		return draining
	}
	return member
}

// balanced reports whether the fleet is behind load balancers at all.
func (f *fleet) balanced() bool { return len(f.Fleet.LoadBalancers) > 0 }

// underWay reports whether a journey is in hand on the node, or about to be.
func (v *view) underWay() bool {
	k := v.doing()
	return v.rec.UnderWay() || k != "" && k != Halt && k != Adopt
}

// isMoving is for searches.
func isMoving(v *view) bool { return v.moving }

// begin notes the step that this plan begins on the node.
func (v *view) begin(k Kind) { v.Busy, v.moving = k, true }

// doing is the step in flight, or the one that may be.
func (v *view) doing() Kind { return cmp.Or(v.Busy, v.Doubt) }

// away reports whether the node is, or must be taken to be, out of service by windlass's hand (law 7).
func (v *view) away(f *fleet) bool {
	if v.doing() == Leave || v.Host == nil && f.balanced() && v.rotation != member {
		return true
	}
	switch v.rec.Stage {
	case actuators.Leaving:
		return true
	case actuators.Configuring, actuators.Verified, actuators.Failed:
		return len(v.rec.Taken) > 0 || !f.balanced()
	}
	return false
}

// counts reports whether the node can be counted on to serve (law 7).
func (v *view) counts(f *fleet) bool {
	return v.serving && !v.away(f) && (!v.rec.UnderWay() || v.rec.Stage == actuators.Preparing)
}

// when turns a time the node wrote into the agent's time, by the node's clock alone (law 20). A time that cannot be is when
// this agent first saw the node at its stage.
func (v *view) when(t time.Time) time.Time {
	if v.Host == nil || t.IsZero() {
		return time.Time{}
	}
	age := v.Host.Now.Sub(t)
	if age < -time.Second || age > 365*24*time.Hour {
		return v.Staged
	}
	return v.Read.At.Add(-max(0, age))
}

// failures is how many attempts at the wanted version the node has used up.
func (v *view) failures(f *fleet) int {
	if !f.Is(v.rec.Try.Version) || v.rec.Try.Retry < f.Fleet.Retry {
		return 0
	}
	return v.rec.Try.Failures
}

// opaque reports whether a node serves whose record this agent never saw: it may have anything.
func (v *view) opaque() bool { return v.Host == nil && v.rotation == member }

// spoiled reports whether what is on the host failed there and must not go back into service as it is.
func (v *view) spoiled() bool {
	return v.rec.Spoiled
}

// drifted reports whether the node answers with another release than its record says (law 4).
func (v *view) drifted() bool {
	unchanged := v.rec.Stage == actuators.Idle || v.rec.Stage == actuators.Leaving
	return v.Health.Status == health.Contradicted && unchanged && v.rec.Known() && v.Health.Release == v.rec.On.Release
}

// hasWanted reports whether the node has what is wanted, as far as is known. A node at rest has it only where that was proven.
func (v *view) hasWanted(f *fleet) bool {
	abandoned := v.rec.Stage == actuators.Idle && v.changed()
	return f.Is(v.rec.On) && !v.spoiled() && !v.drifted() && !abandoned
}

// passed reports whether the node is known to be well with this release, by a watch made for what is to follow: an earlier one shows how it
// was then.
func (v *view) passed(release string) bool {
	return v.watched(WatchVerify, release) && v.Health.Status == health.Passing && !v.Health.Over
}

func (v *view) watched(phase WatchPhase, release string) bool {
	return v.Health.Phase == phase && v.Health.Release == release
}

// provenOnce reports whether the version was ever proven on this node.
func (v *view) provenOnce(version actuators.Version) bool {
	return version.Digest != "" && (v.rec.Proven.Digest == version.Digest || v.rec.Previous.Digest == version.Digest)
}

// wasIn reports whether the node was in a group when it was last proven.
func (v *view) wasIn(group string) bool {
	return slices.ContainsFunc(v.rec.Places, func(m actuators.Membership) bool { return m.Group == group })
}

// said is the balancers' own words on a node that is not healthy in all of its groups.
func (v *view) said(f *fleet) string {
	var parts []string
	for _, t := range v.targets {
		if t.Status != actuators.TargetHealthy {
			parts = append(parts, f.groupName(t.Group)+" says "+cmp.Or(t.Reason, string(t.Status), "a state this version does not know"))
		}
	}
	for _, i := range v.absent {
		parts = append(parts, "it is not registered in "+f.Groups[i].Name)
	}
	return strings.Join(parts, "; ")
}

func (f *fleet) groupName(id string) string {
	for _, g := range f.groups {
		if g.ID == id {
			return g.Name
		}
	}
	return id
}

// sourcesIncomplete returns why who belongs or who serves is not completely known, or "" (law 1).
func (f *fleet) sourcesIncomplete() string {
	switch {
	case f.Inventory.Err != "":
		return "the node set is not completely known: " + f.Inventory.Err
	case !f.Inventory.Complete():
		return "the node set was not read yet"
	case len(f.Groups) < len(f.Fleet.LoadBalancers):
		return "the load balancers were not read yet"
	}
	for _, g := range f.groups {
		switch {
		case g.Err == "":
		case g.named:
			return g.Err
		case !g.Missing:
			return f.namedByRecord(g)
		}
	}
	return f.unread
}

// namedByRecord says why a group that only records name could not be read, and whose record that is.
func (f *fleet) namedByRecord(g group) string {
	return fmt.Sprintf("%s (the record of %s names that group)", g.Err, f.recorded[g.ID])
}

// recordsUnread returns why a group that only records name must be read before anything is built on who is out, or "".
func (f *fleet) recordsUnread() string {
	for _, id := range slices.Sorted(maps.Keys(f.recorded)) {
		if !slices.ContainsFunc(f.groups, func(g group) bool { return g.ID == id }) {
			return fmt.Sprintf("%s, which the record of %s names, was not read yet", id, f.recorded[id])
		}
	}
	return ""
}

// cmpTime returns the first time that is known.
func cmpTime(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return zeroTime
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// wakeIf wakes the plan at t when that instant is known.
func (f *fleet) wakeIf(t time.Time, known bool) {
	if known {
		f.wake(t)
	}
}
