package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

// A Diff is what a fleet's nodes lack of what is wanted, in the shape that the API and `windlass diff --json` share. It names what
// differs and says nothing of what is in it. Lists are never null.
type Diff struct {
	Fleet    string      `json:"fleet"`
	Release  string      `json:"release"` // that is wanted
	Revision string      `json:"revision"`
	Size     int         `json:"size"`
	Nodes    []NodeDiff  `json:"nodes"`   // those that lack something
	Missing  int         `json:"missing"` // expected, and not found
	Members  []Member    `json:"members"` // of its load balancers, that are no nodes of it
	Excluded []Exclusion `json:"excluded"`
	Unread   []string    `json:"unread"` // what could not be read, so that something may be missing here
}

// A NodeDiff is what a node lacks.
type NodeDiff struct {
	Name     string               `json:"name"`
	State    plan.State           `json:"state"`
	Reason   string               `json:"reason"`
	Release  string               `json:"release"`  // that was put there, or is being put; empty: nobody knows
	Revision string               `json:"revision"` // the commit that this was as of
	Differs  []desired.Difference `json:"differs"`  // from what is wanted
	Unknown  string               `json:"unknown,omitempty"`
	Drift    bool                 `json:"drift,omitempty"`   // it answers with another release than was put there
	Foreign  bool                 `json:"foreign,omitempty"` // somebody else took it out of rotation
}

// A Member is a target in a load balancer that no node of the fleet is.
type Member struct {
	Group string `json:"group"`
	ID    string `json:"id"`
	Port  int    `json:"port,omitempty"`
}

// Differs reports whether anything is not as it is wanted.
func (d Diff) Differs() bool {
	return len(d.Nodes) > 0 || d.Missing > 0 || len(d.Members) > 0 || len(d.Unread) > 0
}

// NoDiff is one of a fleet of which nothing can be told, with why.
func NoDiff(fleet, why string) Diff {
	return Diff{Fleet: fleet, Nodes: []NodeDiff{}, Members: []Member{}, Excluded: []Exclusion{}, Unread: []string{why}}
}

// An Earlier tells what commits said of a fleet, by their hashes; what it cannot tell, it leaves out or says why. It may take as long as ctx
// allows, and may be asked by several goroutines.
type Earlier func(ctx context.Context, fleet string, revisions []string) (map[string]desired.Earlier, error)

// diffTime bounds a diff: the fleet's actor is waited for, and the deploy repo's history is read.
const diffTime = 25 * time.Second

// diff tells what the nodes of a fleet lack.
func (s *server) diff(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // a connection that has none has no time-out either
	ctx, cancel := context.WithTimeout(r.Context(), diffTime)
	defer cancel()
	fleet := r.PathValue("name")
	if seen, ok := s.look(ctx, w, fleet); ok {
		answer(w, http.StatusOK, s.differences(ctx, seen))
	}
}

func (s *server) differences(ctx context.Context, seen reconciler.Sight) Diff {
	c := newCensor()
	want := seen.Want
	d := Diff{
		Fleet: name(want.Fleet.Name), Release: name(want.Version.Release), Revision: name(want.Version.Revision), Size: seen.Status.Size, Nodes: []NodeDiff{},
		Members: each(plan.Strangers(want, seen.World), func(m plan.Stranger) Member { return Member{name(m.Group), name(m.ID), m.Port} }),
		Excluded: each(seen.Status.Excluded, func(e desired.Exclusion) Exclusion {
			return Exclusion{Name: name(e.Name), Reason: c.line(e.Reason)}
		}),
		Unread: c.unread(want, seen.World),
	}
	records := recordsOf(seen.World)
	earlier, err := s.was(ctx, want, records)
	for _, n := range seen.Status.Nodes {
		switch {
		case n.State == plan.Missing:
			d.Missing++
		case lacks(n):
			d.Nodes = append(d.Nodes, c.nodeDiff(n, records[n.Name], want, earlier, err))
		}
	}
	return d
}

// lacks reports whether a node is not as it is wanted, or nobody knows whether it is.
func lacks(n reconciler.Node) bool {
	return n.Outdated || n.Drift || n.Foreign || n.UnderWay || n.State != plan.InService
}

// recordsOf are what is written down on the nodes, by name; nil: not read, or another machine's.
func recordsOf(w plan.World) map[string]*actuators.NodeRecord {
	records := map[string]*actuators.NodeRecord{}
	for _, n := range w.Nodes {
		records[n.Name] = n.Record()
	}
	return records
}

// was is what the commits said that the nodes' records name.
func (s *server) was(ctx context.Context, want plan.Want, records map[string]*actuators.NodeRecord) (map[string]desired.Earlier, error) {
	var revisions []string
	for _, r := range records {
		if r != nil && r.Known() && !want.Is(r.On) {
			revisions = append(revisions, r.On.Revision)
		}
	}
	if len(revisions) == 0 || s.earlier == nil {
		return nil, nil
	}
	return s.earlier(ctx, want.Fleet.Name, revisions)
}

func (c *censor) nodeDiff(n reconciler.Node, record *actuators.NodeRecord, want plan.Want, earlier map[string]desired.Earlier, failed error) NodeDiff {
	d := NodeDiff{Name: name(n.Name), State: n.State, Reason: c.line(n.Reason), Release: name(n.Release), Drift: n.Drift, Foreign: n.Foreign, Differs: []desired.Difference{}}
	switch {
	case record == nil || !record.Known():
		d.Unknown = "nothing is written down on it, as far as it could be read"
		return d
	case want.Is(record.On):
		d.Release, d.Revision = name(record.On.Release), name(record.On.Revision)
		return d
	}
	d.Release, d.Revision = name(record.On.Release), name(record.On.Revision)
	was, told := earlier[record.On.Revision]
	switch {
	case errors.Is(failed, context.DeadlineExceeded):
		d.Unknown = fmt.Sprintf("its commit was not read within %v; try again", diffTime)
	case failed != nil:
		d.Unknown = "its commit could not be read: " + c.line(failed.Error())
	case !told || was.Fleet == nil:
		d.Unknown = c.line(was.Unknown)
	case was.Fleet.Digest(record.On.Algorithm) != record.On.Digest:
		d.Unknown = fmt.Sprintf("it has something else than commit %s says", brief(d.Revision))
	default:
		d.Differs = each(desired.Differences(was.Fleet, want.Fleet), func(x desired.Difference) desired.Difference {
			x.Name = c.line(x.Name)
			return x
		})
	}
	return d
}

// unread says what was not read, or could not be, of who belongs and who serves.
func (c *censor) unread(want plan.Want, w plan.World) []string {
	lines := []string{}
	switch {
	case w.Inventory.Err != "":
		lines = append(lines, c.line(w.Inventory.Err))
	case !w.Inventory.Complete():
		lines = append(lines, "which nodes belong to it was not read yet; try again")
	case len(w.Groups) < len(want.Fleet.LoadBalancers):
		lines = append(lines, "its load balancers were not read yet; try again")
	}
	for _, g := range w.Groups {
		if g.Err != "" {
			lines = append(lines, c.line(g.Name+": "+g.Err))
		}
	}
	return lines
}
