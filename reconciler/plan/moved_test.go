package plan_test

import (
	"strings"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler/plan"
)

const (
	oneCommit   = "1111111111111111111111111111111111111111"
	otherCommit = "2222222222222222222222222222222222222222"
)

// lets is a release gate that lets v2 begin, as a commit.
func lets(commit string) plan.Gate {
	return plan.Gate{Name: "source", Stops: plan.StopsStart, State: plan.GateOpen, Digest: version("v2").Digest, Commit: commit, Reason: "all is well"}
}

// recorded has a node's record name a commit for a release.
func recorded(w *plan.World, node int, release, commit string, where func(*actuators.NodeRecord) *actuators.Version) {
	v := version(release)
	v.Commit = commit
	*where(&w.Nodes[node].Host.Record) = v
}

func previous(r *actuators.NodeRecord) *actuators.Version  { return &r.Previous }
func proven(r *actuators.NodeRecord) *actuators.Version    { return &r.Proven }
func installed(r *actuators.NodeRecord) *actuators.Version { return &r.On }
func tried(r *actuators.NodeRecord) *actuators.Version     { return &r.Try.Version }

// What a gate lets through is written on each record with the version, and stays there while the gate cannot be read.
func TestTheCommitOfAReleaseIsWrittenDown(t *testing.T) {
	t.Parallel()
	w := fleetOf(3, "v1")
	w.Gates = []plan.Gate{lets(oneCommit)}
	written := 0
	for _, e := range plan.Foresee(wants("v2"), w).Events {
		if e.Record == nil {
			continue
		}
		for _, v := range []actuators.Version{e.Record.On, e.Record.Try.Version, e.Record.Proven} {
			if v.Release == "v2" && v.Commit != oneCommit || v.Release != "v2" && v.Commit != "" {
				t.Errorf("%s of %s writes %+v", e.Kind, e.Node, v)
			}
			if v.Release == "v2" {
				written++
			}
		}
	}
	if written == 0 {
		t.Fatal("nothing was written of v2")
	}
	want := wants("v2")
	under(0, actuators.Leaving).do(&w, want.Fleet)
	gone(0, "", time.Minute).do(&w, want.Fleet)
	recorded(&w, 0, "v2", oneCommit, tried)
	w.Gates = []plan.Gate{{Name: "source", Stops: plan.StopsStart}}
	for _, e := range plan.Foresee(want, w).Events {
		if e.Node == "web-1" && e.Record != nil && e.Record.On.Release == "v2" && e.Record.On.Commit == oneCommit {
			return
		}
	}
	t.Error("a node that was begun goes on without the commit")
}

// A tag that moved since the fleet let it through holds its release, and says which commits and by whose record; in the middle of a rollout as well.
func TestMovedTags(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		release string // wanted; v2 where it is empty
		change  func(w *plan.World, f *desired.Fleet)
		by      string // whose record shuts the gate; empty: nobody's
		gate    func(*plan.Gate)
	}{
		"never seen":        {change: func(*plan.World, *desired.Fleet) {}},
		"the same":          {change: func(w *plan.World, _ *desired.Fleet) { recorded(w, 0, "v2", oneCommit, previous) }},
		"another release's": {change: func(w *plan.World, _ *desired.Fleet) { recorded(w, 0, "v0", otherCommit, previous) }},
		"was there before":  {change: func(w *plan.World, _ *desired.Fleet) { recorded(w, 1, "v2", otherCommit, tried) }, by: "web-2"},
		"with other variables then": {change: func(w *plan.World, _ *desired.Fleet) {
			recorded(w, 1, "v2", otherCommit, tried)
			w.Nodes[1].Host.Record.Try.Version.Digest = "d1-else"
		}, by: "web-2"},
		"in the middle of it": {change: func(w *plan.World, _ *desired.Fleet) {
			recorded(w, 2, "v2", otherCommit, installed)
			recorded(w, 2, "v2", otherCommit, proven)
		}, by: "web-3"},
		"an excluded node says so": {change: func(w *plan.World, f *desired.Fleet) {
			recorded(w, 1, "v2", otherCommit, tried)
			f.Nodes.Exclude = []desired.Exclusion{{Name: "web-2", Reason: "not ours any more"}}
		}},
		"a person lets it pass": {change: func(w *plan.World, _ *desired.Fleet) { recorded(w, 1, "v2", otherCommit, tried) }, gate: func(g *plan.Gate) { g.Commit = "" }},
	} {
		w := fleetOf(3, "v1")
		want := wants("v2", func(f *desired.Fleet) { c.change(&w, f) })
		g := lets(oneCommit)
		if c.gate != nil {
			c.gate(&g)
		}
		w.Gates = []plan.Gate{g}
		p := plan.Next(want, w)
		if c.by == "" {
			if p.Gates[0].State != plan.GateOpen || len(p.Steps) == 0 {
				t.Errorf("%s: the gate is %s: %s; %d steps, %s", name, p.Gates[0].State, p.Gates[0].Reason, len(p.Steps), holds(p))
			}
			continue
		}
		says := "the tag of v2 moved: it named commit 222222222222 when it was let through (by the record of " + c.by + "), and names 111111111111 now; "
		if p.Gates[0].State != plan.GateShut || !strings.HasPrefix(p.Gates[0].Reason, says) || len(p.Steps) > 0 || !strings.Contains(holds(p), "gate source: "+says) {
			t.Errorf("%s: the gate is %s: %s; %d steps, %s", name, p.Gates[0].State, p.Gates[0].Reason, len(p.Steps), holds(p))
		}
	}
}

// A moved tag keeps nobody out of service whose version is proven, and holds no way back to what was proven here.
func TestMovedTagsStrandNobody(t *testing.T) {
	t.Parallel()
	w := fleetOf(3, "v1")
	w.Gates = []plan.Gate{lets(oneCommit)}
	recorded(&w, 2, "v2", otherCommit, installed)
	recorded(&w, 2, "v2", otherCommit, proven)
	want := wants("v2")
	gone(0, "", time.Hour).do(&w, want.Fleet)
	if p := plan.Next(want, w); len(p.Steps) == 0 || p.Steps[0].Node != "web-1" {
		t.Errorf("web-1, which serves nobody: %+v, %s", p.Steps, holds(p))
	}
	w = fleetOf(3, "v3")
	w.Gates = []plan.Gate{lets(oneCommit)}
	for i := range w.Nodes {
		recorded(&w, i, "v2", otherCommit, previous)
	}
	if p := plan.Next(wants("v2"), w); p.Gates[0].State != plan.GateShut || len(p.Steps) == 0 {
		t.Errorf("back to v2: the gate is %s, %+v, %s", p.Gates[0].State, p.Steps, holds(p))
	}
}
