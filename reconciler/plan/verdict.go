package plan

import (
	"cmp"
	"fmt"
	"slices"

	"windlass/actuators"
)

// A verdict is what is known of the wanted version, and of others: where they are proven, and whether the wanted one is halted.
type verdict struct {
	halt    *actuators.Halt // nil: none
	from    string          // the node whose record has it; empty: none that can be read
	retried int             // the highest retry at which the wanted version was halted
	proofs  int             // nodes on which the wanted version is proven
	proven  map[string]bool // digests that are proven on some node
}

// judge finds the verdict in force on the wanted version, and how well versions are proven.
func (s *scene) judge() verdict {
	d := verdict{proven: map[string]bool{}}
	for i := range s.views {
		v := &s.views[i]
		d.proven[v.rec.Proven.Digest], d.proven[v.rec.Previous.Digest] = true, true
		d = d.with(s, v.rec.Halts, v.Name)
		if s.Is(v.rec.Proven) || s.Is(v.rec.Previous) {
			d.proofs++
		}
	}
	delete(d.proven, "")
	if s.Verdict != nil {
		d = d.with(s, []actuators.Halt{*s.Verdict}, "")
	}
	return d.unexcused(s)
}

// unexcused is the verdict with that on a version which a node gave up, and which no node of the fleet has proven, though nobody wrote it
// down then: the node was sick while another had proven it, or the number of attempts was changed. A node that was never read may have proven it.
func (d verdict) unexcused(s *scene) verdict {
	if slices.ContainsFunc(s.views, func(v view) bool { return v.Host == nil }) {
		return d
	}
	for i := range s.views {
		if v := &s.views[i]; d.halt == nil && v.rec.Stage == actuators.Failed && d.blames(v, v.rec.Try) {
			d = d.with(s, []actuators.Halt{halt(v, v.rec.Try)}, v.Name)
		}
	}
	return d
}

// with lets halts come into force. Any copy does (law 11); the one on the node that failed is told.
func (d verdict) with(s *scene, halts []actuators.Halt, from string) verdict {
	if i := slices.IndexFunc(halts, s.condemns); i >= 0 && (d.halt == nil || halts[i].Node == from) {
		d.halt, d.from = &halts[i], from
	}
	for _, h := range halts {
		if s.condemns(h) {
			d.retried = max(d.retried, h.Retry)
		}
	}
	return d
}

// condemns reports whether a halt is of the wanted version, by whatever algorithm its writer named it.
func (s *scene) condemns(h actuators.Halt) bool {
	if h.Retry < s.Fleet.Retry {
		return false
	}
	for _, digest := range s.Older {
		if h.Digest == digest {
			return true
		}
	}
	return h.Digest == s.Version.Digest
}

// blames reports whether the last failure of a try halts its version, or else the node is sick (law 11). A version that no node of the fleet
// has proven is never excused by a node. Elsewhere a node that had failed an earlier version says nothing of this one, nor does one that
// fails what was proven on itself.
func (d verdict) blames(v *view, t actuators.Try) bool {
	switch {
	case v.provenOnce(t.Version):
		return false
	case d.proven[t.Version.Digest]:
		return t.Earlier == ""
	}
	return true
}

// halted is what happened, for people.
func (k *known) halted() string {
	before := ""
	here := func(v view) bool { return k.tries(&v) || v.moving && v.Name == k.verdict.halt.Node }
	if !slices.ContainsFunc(k.views, here) {
		before = " before, and is not tried again"
	}
	return fmt.Sprintf("%s failed on %s%s: %s", cmp.Or(k.verdict.halt.Release, k.Version.Release), k.verdict.halt.Node, before, k.verdict.halt.Reason)
}

// tries reports whether the wanted version was tried on the node, and nothing else since.
func (s *scene) tries(v *view) bool {
	return s.Is(v.rec.Try.Version) && (v.moving || s.failures(v) > 0)
}

// wayBack says what ends the halt, and then why it is one.
func (k *known) wayBack() string {
	d := k.verdict
	source := ""
	if d.from != "" && d.from != d.halt.Node {
		source = "; so says the record of " + d.from
	}
	return fmt.Sprintf("%s is halted: revert it, commit a fix, or set retry to %d to try it again; %s%s",
		cmp.Or(d.halt.Release, k.Version.Release), max(d.retried, d.halt.Retry)+1, k.halted(), source)
}
