package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
)

// scene is one question with what each node and each group is. No later stage changes it.
type scene struct {
	Want
	World
	groups   []group           // those the fleet names, then the former ones
	recorded map[string]string // groups that records name, each with the first node whose record does
	unread   string            // why a group that only records name must be read first; empty: none
	views    []view            // by name, without the excluded ones
	excluded []*Node
	twins    string // why two nodes may be one machine; empty: all differ
}

// view is a node with what follows from its record and from the balancers. Node and rec are the world's own: they are never written to.
type view struct {
	*Node
	rec      *actuators.NodeRecord // noRecord when there is none that counts
	unsure   string                // why the host cannot be built on now; empty: it can
	foreign  *actuators.Claim      // another agent's live claim
	places   [][]actuators.Target  // under which each of the groups holds it
	targets  []actuators.Target    // all of them, those in named groups first
	rotation rotation
	absent   []int // indexes of the named groups it has no place in
	serving  bool  // in service, whoever works on it
	has      bool  // it has what is wanted, as far as is known
	moving   bool  // a journey is in hand on it, or about to be
	turn     int   // its place among those of its zone, by name; 0 where zones have their turns one after the other
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

// look works out what each node is.
func look(want Want, seen World) *scene {
	s := &scene{Want: want, World: seen, views: make([]view, 0, len(seen.Nodes))}
	for i := range s.World.Nodes {
		n := &s.World.Nodes[i]
		if Excludes(s.Fleet, n.Node) {
			s.excluded = append(s.excluded, n)
			continue
		}
		s.views = append(s.views, s.readHost(n))
	}
	slices.SortFunc(s.views, func(a, b view) int { return cmp.Compare(a.Name, b.Name) })
	s.index()
	s.findPlaces()
	inZone := map[string]int{}
	for i := range s.views {
		v := &s.views[i]
		v.has, v.moving = s.hasWanted(v), v.isMoving()
		s.readBalancers(v)
		if s.Fleet.Rollout.Zones != desired.OneZoneAtOnce {
			v.turn = inZone[v.Zone]
		}
		inZone[v.Zone]++
	}
	s.twins, s.unread = twins(s.views), s.recordsUnread()
	return s
}

// nodeNamed finds a node by its name; nil: there is none.
func (s *scene) nodeNamed(name string) *view {
	i, found := slices.BinarySearchFunc(s.views, name, func(v view, name string) int { return strings.Compare(v.Name, name) })
	if !found {
		return nil
	}
	return &s.views[i]
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
func twins(views []view) string {
	if !slices.ContainsFunc(views, func(v view) bool { return v.ID == "" }) {
		return "" // instance ids are the inventory's, each once
	}
	names := make(map[string]string, len(views))
	for i := range views {
		v := &views[i]
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
func (s *scene) readHost(n *Node) view {
	v := view{Node: n, rec: &noRecord}
	switch {
	case v.Host == nil && v.Read.Err == "":
		v.unsure = "not read yet"
	case v.Read.Err != "":
		v.unsure = v.Read.Err
	case v.Stale:
		v.unsure = "to be read again after a call that may have had an effect"
	}
	if v.Host == nil || v.Host.Record.Instance != v.identity() {
		return v
	}
	v.rec = &v.Host.Record
	if s.claimLives(&v) {
		v.foreign = v.rec.Claim
	}
	if v.unsure == "" && v.rec.On.Algorithm > s.Version.Algorithm {
		v.unsure = fmt.Sprintf("its record is a newer windlass's (digest algorithm %d, this one knows up to %d); upgrade this agent", v.rec.On.Algorithm, s.Version.Algorithm)
	}
	return v
}

// identity is what a record must name to be this machine's.
func (v *view) identity() string { return cmp.Or(v.ID, v.Host.Machine) }

// claimLives reports whether another agent may still act under the record's claim: until it expired by the node's clock, but
// never longer than a claim lasts, and then for as long as a call it began may take (law 18).
func (s *scene) claimLives(v *view) bool {
	c := v.rec.Claim
	if c == nil || s.Agent.succeeds(*c) {
		return false
	}
	expired := v.Host.Now.Sub(c.Expires) >= TakeoverWait
	outwaited := !v.Claimed.IsZero() && v.Read.At.Sub(v.Claimed) >= actuators.ClaimTime+TakeoverWait
	return !expired && !outwaited
}

func (s *scene) readBalancers(v *view) {
	healthy := true
	for i, places := range v.places {
		if v.targets == nil {
			v.targets = places
		} else {
			v.targets = append(v.targets, places...)
		}
		for _, t := range places {
			v.rotation = max(v.rotation, rotationOf(t.Status))
			healthy = healthy && t.Status == actuators.TargetHealthy
		}
		if s.groups[i].named && len(places) == 0 {
			v.absent = append(v.absent, i)
		}
	}
	if s.balanced() {
		v.serving = healthy && v.rotation == member && len(s.Groups) == len(s.Fleet.LoadBalancers) && s.servesWithout(v)
		return
	}
	v.serving = v.answers() && v.unsure == "" && !v.rec.Spoiled
}

// answers reports whether the node's own checks show that it serves: one that nobody has written down yet also with another release than
// it was asked for.
func (v *view) answers() bool {
	return v.Health.Status == health.Passing || v.Health.Status == health.Contradicted && !v.rec.Known()
}

func rotationOf(s actuators.TargetStatus) rotation {
	if s == actuators.TargetDraining {
		return draining
	}
	return member
}

// servesWithout reports whether the node serves as it should without a place in the groups that it is absent from: it has none to be in, or
// it lacks what is wanted, and gets its place in groups that are new to it together with that (decision 19).
func (s *scene) servesWithout(v *view) bool {
	old := func(i int) bool { return !s.newTo(v, s.Groups[i].ID) }
	return len(v.absent) == 0 || !v.has && s.groupsUnread() == "" && !slices.ContainsFunc(v.absent, old)
}

// newTo reports whether the node never had a place in the group, as far as is known. Where nobody wrote down where it was, somebody may have
// taken it out a moment ago (law 13).
func (s *scene) newTo(v *view, group string) bool {
	taken := slices.ContainsFunc(v.rec.Taken, func(m actuators.Membership) bool { return m.Group == group })
	return v.Host != nil && !taken && !v.wasIn(group) && (v.rec.Known() || s.restoreDue(v))
}

// balanced reports whether the fleet is behind load balancers at all.
func (s *scene) balanced() bool { return len(s.Fleet.LoadBalancers) > 0 }

// isMoving reports whether a journey is in hand on the node, or about to be.
func (v *view) isMoving() bool {
	k := v.doing()
	return v.rec.UnderWay() || k != "" && k != Halt && k != Adopt
}

// doing is the step in flight, or the one that may be.
func (v *view) doing() Kind { return cmp.Or(v.Busy, v.Doubt) }

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
func (s *scene) failures(v *view) int {
	if !s.Is(v.rec.Try.Version) || v.rec.Try.Retry < s.Fleet.Retry {
		return 0
	}
	return v.rec.Try.Failures
}

// usedUp reports whether the node has no attempt at the wanted version left.
func (s *scene) usedUp(v *view) bool { return s.failures(v) >= s.Fleet.Rollout.Attempts }

// opaque reports whether a node serves whose record this agent never saw: it may have anything.
func (v *view) opaque() bool { return v.Host == nil && v.rotation == member }

// drifted reports whether the node answers with another release than its record says (law 4).
func (v *view) drifted() bool {
	unchanged := v.rec.Stage == actuators.Idle || v.rec.Stage == actuators.Leaving
	return v.Health.Status == health.Contradicted && unchanged && v.rec.Known() && v.Health.Release == v.rec.On.Release
}

// changed reports whether what is on the host never was proven there.
func (v *view) changed() bool { return v.rec.Known() && v.rec.On.Digest != v.rec.Proven.Digest }

// unfinished reports whether a node at rest has something that was never proven there: it was let go before it had baked.
func (v *view) unfinished() bool { return v.rec.Stage == actuators.Idle && v.changed() }

// hasWanted reports whether the node has what is wanted, as far as is known. A node at rest has it only where that was proven.
func (s *scene) hasWanted(v *view) bool {
	return s.Is(v.rec.On) && !v.rec.Spoiled && !v.drifted() && !v.unfinished()
}

// passed reports whether the node is known to be well with this release, by a watch made for what is to follow: an earlier one shows how it
// was then.
func (v *view) passed(release string) bool {
	return v.watched(WatchVerify, release) && v.Health.Status == health.Passing && !v.Health.Over
}

func (v *view) watched(phase WatchPhase, release string) bool {
	return v.Health.Phase == phase && v.Health.Release == release
}

// fails reports whether the newest checks came to a bad end.
func (v *view) fails() bool {
	return v.Health.Status == health.Failing || v.Health.Status == health.Contradicted
}

// provenOnce reports whether the version was ever proven on this node.
func (v *view) provenOnce(version actuators.Version) bool {
	return version.Digest != "" && (v.rec.Proven.Digest == version.Digest || v.rec.Previous.Digest == version.Digest)
}

// wasIn reports whether the node was in a group when it was last proven.
func (v *view) wasIn(group string) bool {
	return slices.ContainsFunc(v.rec.Places, func(m actuators.Membership) bool { return m.Group == group })
}

// foreignOut reports whether somebody else took a node out of a group it was proven in (law 13).
func (s *scene) foreignOut(v *view) bool {
	if !s.balanced() || v.rec.Stage != actuators.Idle {
		return false
	}
	leaves := func(t actuators.Target) bool { return t.Status == actuators.TargetDraining && v.wasIn(t.Group) }
	return v.rotation == draining && v.rec.Known() || slices.ContainsFunc(v.targets, leaves) ||
		slices.ContainsFunc(v.absent, func(i int) bool { return v.wasIn(s.Groups[i].ID) })
}

// restoreDue reports whether a node that somebody else took out was left alone for long enough.
func (s *scene) restoreDue(v *view) bool {
	return !v.OutSince.IsZero() && !s.Now.Before(s.restoreAt(v))
}

// restoreAt is until when a node that somebody else took out is left alone. It means something once it was seen to be out.
func (s *scene) restoreAt(v *view) time.Time { return v.OutSince.Add(s.Fleet.Rollout.RestoreAfter) }

// atFault reports whether a balancer says that the node itself fails its checks, in a group that the fleet names (law 11).
func (v *view) atFault() bool {
	return slices.ContainsFunc(v.targets, func(t actuators.Target) bool { return t.Status == actuators.TargetUnhealthy && t.AtFault })
}

// said is the balancers' own words on a node that is not healthy in all of its groups.
func (s *scene) said(v *view) string {
	var parts []string
	for _, t := range v.targets {
		if t.Status != actuators.TargetHealthy {
			parts = append(parts, s.groupName(t.Group)+" says "+cmp.Or(t.Reason, string(t.Status), "a state this version does not know"))
		}
	}
	for _, i := range v.absent {
		parts = append(parts, "it is not registered in "+s.Groups[i].Name)
	}
	return strings.Join(parts, "; ")
}

// noted is what the balancers add to saying that the node is healthy.
func (s *scene) noted(v *view) string {
	var parts []string
	for _, t := range v.targets {
		if t.Status == actuators.TargetHealthy && t.Reason != "" && t.Reason != string(actuators.TargetHealthy) {
			parts = append(parts, s.groupName(t.Group)+" notes: "+t.Reason)
		}
	}
	return strings.Join(parts, "; ")
}
