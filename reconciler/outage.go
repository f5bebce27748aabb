package reconciler

import (
	"maps"
	"slices"
	"time"

	"windlass/reconciler/plan"
)

// note takes what was seen of who serves. Where not all of that can be read, a low count says nothing.
func (r *rollout) note(a *actor, at time.Time) {
	if !a.found.Complete() || len(a.groups) < len(a.want.Fleet.LoadBalancers) || !a.allRead() {
		return
	}
	if p := a.plan; r.Lowest.Size == 0 || p.InService < r.Lowest.InService {
		r.Lowest = Capacity{InService: p.InService, Size: p.Size}
	}
	for n, s := range a.plannedNodes() {
		r.noteNode(n, s.State, at)
	}
}

// noteNode follows a node out of service and back. What was out before the rollout began counts from then. Of an unreachable node nobody
// knows.
func (r *rollout) noteNode(n *node, state plan.State, at time.Time) {
	out := isOut(state)
	switch {
	case state == plan.Unreachable:
		return
	case !n.outAt.IsZero():
	case r.Longest.Node == n.Name && r.Longest.Until.IsZero(): // an earlier start of the agent saw it leave
		n.outAt = r.Longest.Since
	case out:
		n.outAt = at
	default:
		return
	}
	o := Outage{Node: n.Name, Since: later(n.outAt, r.Started)}
	if !out {
		o.Until, n.outAt = later(at, o.Since), time.Time{}
	}
	if same := o.Node == r.Longest.Node && o.Since.Equal(r.Longest.Since); same || o.lasted(at) > r.Longest.lasted(at) {
		r.Longest = o
	}
}

// isOut reports whether a node in that state gets no new requests.
func isOut(state plan.State) bool {
	switch state {
	case plan.Draining, plan.Configuring, plan.Verifying, plan.Joining, plan.OutOfService, plan.Failed:
		return true
	}
	return false
}

// lasted is how long the outage had lasted at that time.
func (o Outage) lasted(at time.Time) time.Duration {
	switch {
	case o.Node == "":
		return 0
	case !o.Until.IsZero():
		at = o.Until
	}
	return at.Sub(o.Since)
}

// end counts an outage that goes on until then.
func (o *Outage) end(at time.Time) {
	if o.Node != "" && o.Until.IsZero() {
		o.Until = later(at, o.Since)
	}
}

// replacedRevision is the commit that most of the nodes were given a release from, by their records; empty: none is known.
func (a *actor) replacedRevision(release string) string {
	var revisions []string
	for n, s := range a.plannedNodes() {
		if r := n.record(); s.Release == release && r.On.Release == release && (s.Outdated || s.UnderWay) {
			revisions = append(revisions, r.On.Revision)
		}
	}
	return mostly(revisions)
}

// mostly is the text that is there most often, the empty one left out; of several the first by name.
func mostly(texts []string) (most string) {
	count := map[string]int{}
	for _, text := range texts {
		count[text]++
	}
	count[""] = 0
	for _, text := range slices.Sorted(maps.Keys(count)) {
		if count[text] > count[most] {
			most = text
		}
	}
	return most
}

// replaced is the release that most of the nodes have which lack what is wanted; empty: none is known.
func replaced(p plan.Plan) string {
	var releases []string
	for _, s := range p.Nodes {
		if s.Outdated || s.UnderWay {
			releases = append(releases, s.Release)
		}
	}
	return mostly(releases)
}
