package plan

import (
	"cmp"
	"slices"
	"strings"

	"windlass/actuators"
)

// facts finds which nodes are out by windlass's hand: those whose own records say so, and those that a fact on other nodes' records, or of
// this agent's, says it of, as long as nothing shows that it is over. They must survive the node that they are about and the agent that
// learned them: any copy binds (law 11, decision 23). The result is sorted by instance.
func (s *scene) facts() []actuators.Fact {
	var all []actuators.Fact
	for i := range s.views {
		if v := &s.views[i]; v.Host != nil && v.unsure == "" && v.foreign == nil && s.away(v) {
			all = append(all, v.fact(s.Version.Release))
		}
	}
	seen := map[actuators.Fact]bool{} // most records tell the same
	for _, f := range slices.Concat(s.World.Facts, s.recordedFacts()) {
		if seen[f] || isSpan(f) {
			continue
		}
		seen[f] = true
		n := s.about(f)
		same := func(o actuators.Fact) bool { return o.Kind == f.Kind && isOf(o, n) }
		if n != nil && s.holds(f) && !slices.ContainsFunc(all, same) {
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(a, b actuators.Fact) int {
		return cmp.Or(strings.Compare(a.Instance, b.Instance), cmp.Compare(a.Kind, b.Kind))
	})
	return all
}

// recordedFacts are those that records name, in the records' order. Most name what the one before them names.
func (s *scene) recordedFacts() []actuators.Fact {
	var all, newest []actuators.Fact
	for i := range s.views {
		if facts := s.views[i].rec.Facts; len(facts) > 0 && !slices.Equal(facts, newest) {
			all, newest = append(all, facts...), facts
		}
	}
	return all
}

// fact is that of a node that windlass has out.
func (v *view) fact(release string) actuators.Fact {
	if v.rec.Try.Version.Release != "" {
		release = v.rec.Try.Version.Release
	}
	return actuators.Fact{Kind: actuators.Away, Node: v.Name, Instance: v.identity(), Release: release}
}

// about finds the node that a fact is about. Of one that is no part of the fleet any more nothing holds: it frees its place (G14). While the
// machines cannot be listed, the last list tells; else a record could name machines without end.
func (s *scene) about(f actuators.Fact) *Node {
	if v := s.subject(f); v != nil {
		return v.Node
	}
	return s.excludedNode(f)
}

// holds reports whether a fact about a node is still so. Of one that the file excludes it is until it serves, for nothing is built on what it
// says; of any other its own record tells.
func (s *scene) holds(f actuators.Fact) bool {
	if n := s.excludedNode(f); n != nil {
		return !s.servesAlone(n)
	}
	v := s.subject(f)
	return v != nil && (v.Host == nil || v.unsure != "")
}

// subject finds the node that a fact is about, by its name at first: it seldom has another by now.
func (s *scene) subject(f actuators.Fact) *view {
	if v := s.nodeNamed(f.Node); v != nil && isOf(f, v.Node) {
		return v
	}
	for i := range s.views {
		if isOf(f, s.views[i].Node) {
			return &s.views[i]
		}
	}
	return nil
}

// excludedNode finds the excluded node that a fact is about.
func (s *scene) excludedNode(f actuators.Fact) *Node {
	if i := slices.IndexFunc(s.excluded, func(n *Node) bool { return isOf(f, n) }); i >= 0 {
		return s.excluded[i]
	}
	return nil
}

// isOf reports whether a fact is about the node: by the instance, or by the name of one whose machine id only itself could tell.
func isOf(f actuators.Fact, n *Node) bool {
	if n.ID != "" {
		return f.Instance == n.ID
	}
	return f.Node == n.Name
}

// servesAlone reports whether every group that the fleet names says that an excluded node is healthy.
func (s *scene) servesAlone(n *Node) bool {
	if !s.balanced() || s.groupsUnread() != "" {
		return false
	}
	for i := range s.groups {
		g := &s.groups[i]
		places := g.places(n)
		sick := slices.ContainsFunc(places, func(t actuators.Target) bool { return t.Status != actuators.TargetHealthy })
		if g.named && (len(places) == 0 || sick) {
			return false
		}
	}
	return true
}

// strayed are the nodes that count as away because facts say so alone (law 11), by name: excluded ones, and where no balancer tells who is out
// those that were never read.
func (s *scene) strayed(facts []actuators.Fact) []string {
	var names []string
	for _, f := range facts {
		n := s.about(f)
		if n != nil && (s.excludedNode(f) != nil || n.Host == nil && !s.balanced()) {
			names = append(names, n.Name)
		}
	}
	return names
}

// lasting are the facts that other nodes' records are to hold: of nodes that stay out as failed, until they are back, and of excluded ones.
// Those of a journey in hand the agent remembers.
func (s *scene) lasting(facts []actuators.Fact) []actuators.Fact {
	told := map[string]bool{}
	for _, f := range s.recordedFacts() {
		told[f.Instance] = true
	}
	all := slices.DeleteFunc(slices.Clone(facts), func(f actuators.Fact) bool {
		v := s.subject(f)
		return v != nil && !told[f.Instance] && v.rec.Stage != actuators.Failed
	})
	return all[:min(len(all), actuators.MaxFacts)]
}

// spread copies the halt in force, and the facts, to every node that can be written and has them not, so that they survive the node they
// were found on (law 11). A record that a step of this plan writes carries them anyway.
func (k *known) spread(steps []Step) []Step {
	if k.Released {
		return nil
	}
	written := make(map[string]bool, len(steps))
	for _, s := range steps {
		written[s.Node] = true
	}
	reason := strings.Join(k.strayedWords(), "; ")
	switch {
	case k.verdict.halt != nil:
		reason = k.halted()
	case k.Awaited && len(k.lasting) == 0 && len(k.whole.Spans) > 0:
		reason = k.wholeWords()
	}
	var spread []Step
	for i := range k.views {
		v := &k.views[i]
		if written[v.Name] || !k.writable(v) || k.knows(v) {
			continue
		}
		r := k.draft(v)
		spread = append(spread, Step{Node: v.Name, Kind: Halt, Reason: reason, Record: &r})
	}
	return spread
}

// writable reports whether a record may be written that is not about the node itself.
func (k *known) writable(v *view) bool {
	ours := v.rec.Claim == nil || v.rec.Claim.Nonce == k.Agent.Nonce
	return ours && v.Busy == "" && v.unsure == "" && v.Host != nil && v.foreign == nil && !k.Now.Before(v.NotBefore)
}

// knows reports whether the node's record has the halt in force, and just these facts.
func (k *known) knows(v *view) bool {
	halted := k.verdict.halt == nil || slices.ContainsFunc(v.rec.Halts, k.condemns)
	away := v.rec.Facts
	if slices.ContainsFunc(away, isSpan) {
		away = slices.DeleteFunc(slices.Clone(away), isSpan)
	}
	return halted && k.knowsSpans(v) && slices.EqualFunc(away, k.lasting, func(a, b actuators.Fact) bool {
		return a.Kind == b.Kind && a.Instance == b.Instance && a.Node == b.Node
	})
}

func (k *known) strayedWords() []string {
	words := []string{}
	for _, f := range k.lasting {
		words = append(words, f.Node+" was taken out by windlass and is not back")
	}
	if len(words) == 0 {
		return []string{"every node that was out is back, or gone"}
	}
	return words
}
