package web

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler/plan"
)

// A Proposal is what would be done if a branch of the deploy repo were merged now, in the shape that the API and `windlass plan
// --server --format json` share. Lists are never null.
type Proposal struct {
	Branch   string          `json:"branch"`
	Commit   Change          `json:"commit"`            // the branch's newest
	Followed string          `json:"followed"`          // the branch that the agent follows
	InForce  string          `json:"inForce"`           // the commit in force, which it would come on top of
	Newer    string          `json:"newer,omitempty"`   // the followed branch's newest commit, where it is not in force and left out
	Behind   int             `json:"behind"`            // commits in force that the branch lacks: what they changed is planned as they have it
	Merged   bool            `json:"merged,omitempty"`  // all of it is in force already
	Problem  string          `json:"problem,omitempty"` // why nothing can be planned
	Fleets   []ProposedFleet `json:"fleets"`            // that would not be as they are, by name
	Same     []string        `json:"same"`              // fleets that would, sorted
	Warnings []string        `json:"warnings"`
}

// A ProposedFleet is a fleet that a branch changes.
type ProposedFleet struct {
	Name     string    `json:"name"` // or its file's path, where the name cannot be told
	Change   Effect    `json:"change"`
	Release  string    `json:"release,omitempty"` // that would be wanted
	Was      string    `json:"was,omitempty"`     // that is wanted now
	Moves    bool      `json:"moves,omitempty"`   // it gets other nodes or load balancers, of which nothing is foreseen
	Files    []string  `json:"files"`             // of those it is made of, the ones that change
	Errors   []string  `json:"errors"`            // why its file would not be in force: file:line:column: what is wrong
	Notes    []string  `json:"notes"`             // what the forecast leaves out
	Unknown  string    `json:"unknown,omitempty"` // why nothing could be foreseen
	Forecast *Forecast `json:"forecast,omitempty"`
}

// An Effect is what a branch does to a fleet.
type Effect string

// The effects there are.
const (
	EffectRolls  Effect = "rolls"  // its nodes get something else
	EffectTuned  Effect = "tuned"  // its file says something else, and what nodes get stays as it is
	EffectNew    Effect = "new"    // there is no such fleet yet
	EffectGone   Effect = "gone"   // its file is deleted: what is under way is finished, then hands off
	EffectBroken Effect = "broken" // its file would be rejected, and its last good version stay in force
)

// Pending reports whether anything would be done, or may be.
func (p Proposal) Pending() bool {
	return slices.ContainsFunc(p.Fleets, func(f ProposedFleet) bool {
		return f.Change == EffectRolls || f.Change == EffectNew || f.Change == EffectGone || f.Change == EffectTuned && !f.quiet()
	})
}

// worked reports whether steps are foreseen.
func (f ProposedFleet) worked() bool { return f.Forecast != nil && len(f.Forecast.Steps) > 0 }

// quiet reports whether a fleet is tuned, was looked at, and nothing comes of it.
func (f ProposedFleet) quiet() bool {
	return f.Change == EffectTuned && !f.Moves && f.Forecast != nil && !f.worked() && f.Forecast.Phase != plan.PhaseWaiting
}

// Troubled reports whether something is wrong with the branch, or could not be foreseen.
func (p Proposal) Troubled() bool {
	return p.Problem != "" || slices.ContainsFunc(p.Fleets, func(f ProposedFleet) bool { return f.Change == EffectBroken || f.Unknown != "" })
}

// proposalTime bounds a proposal: fetching the branch, and looking at each of its fleets.
const proposalTime = 50 * time.Second

// proposal tells what would be done if ?branch= were merged.
func (s *server) proposal(w http.ResponseWriter, r *http.Request) {
	patient := http.NewResponseController(w)
	_ = patient.SetReadDeadline(time.Time{}) // a connection that has none has no time-out either
	_ = patient.SetWriteDeadline(time.Now().Add(proposalTime + 10*time.Second))
	ctx, cancel := context.WithTimeout(r.Context(), proposalTime)
	defer cancel()
	switch p, err := s.propose(ctx, r.FormValue("branch")); {
	case errors.Is(err, desired.ErrBranchName):
		refuse(w, http.StatusBadRequest, line(err.Error()))
	case errors.Is(err, desired.ErrNoBranch):
		refuse(w, http.StatusNotFound, line(err.Error()))
	case errors.Is(err, desired.ErrNoneYet):
		refuse(w, http.StatusConflict, line(err.Error()))
	case ctx.Err() != nil:
		refuse(w, http.StatusServiceUnavailable, fmt.Sprintf("the branch could not be read within %v, or others are being planned; try again", proposalTime))
	case err != nil:
		refuse(w, http.StatusBadGateway, line(err.Error()))
	default:
		answer(w, http.StatusOK, s.proposed(ctx, p))
	}
}

// proposed is the proposal with what is seen of its fleets.
func (s *server) proposed(ctx context.Context, p desired.Proposal) Proposal {
	c := newCensor()
	out := Proposal{
		Branch: name(p.Branch), Followed: name(s.source.Snapshot().Repo.Branch), InForce: name(p.Onto), Newer: name(p.Newer), Behind: p.Behind, Merged: p.Merged, Problem: c.line(p.Unclear),
		Commit: Change{Revision: name(p.Head.Revision), Author: c.line(p.Head.Author), Subject: c.line(p.Head.Subject)},
		Fleets: []ProposedFleet{}, Same: []string{}, Warnings: each(p.State.Warnings, func(e desired.Error) string { return c.line(e.Error()) }),
	}
	if p.Unclear != "" {
		return out
	}
	for _, fleet := range concerned(p.State) {
		effect := effectOn(fleet, p)
		if effect == "" {
			if !p.State.Fleets[fleet].Released {
				out.Same = append(out.Same, name(fleet))
			}
			continue
		}
		out.Fleets = append(out.Fleets, s.proposedFleet(ctx, c, fleet, effect, p))
	}
	return out
}

// concerned are the names of all fleets, good and broken, sorted.
func concerned(s desired.State) []string {
	all := slices.Collect(maps.Keys(s.Fleets))
	for name := range s.Rejected {
		if _, good := s.Fleets[name]; !good {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}

// effectOn is what a proposal does to a fleet; empty: nothing.
func effectOn(fleet string, p desired.Proposal) Effect {
	is, was := p.State.Fleets[fleet], p.Before[fleet]
	_, broken := p.State.Rejected[fleet]
	switch {
	case broken:
		return EffectBroken
	case is.Released && was.Released:
		return ""
	case is.Released:
		return EffectGone
	case was.Fleet == nil || was.Released:
		return EffectNew
	case is.Fleet.Digest(desired.DigestAlgorithm) != was.Fleet.Digest(desired.DigestAlgorithm):
		return EffectRolls
	case !is.Fleet.Same(was.Fleet):
		return EffectTuned
	}
	return ""
}

func (s *server) proposedFleet(ctx context.Context, c *censor, fleet string, effect Effect, p desired.Proposal) ProposedFleet {
	out := ProposedFleet{
		Name: name(fleet), Change: effect, Files: each(p.Changed[fleet], name), Notes: []string{},
		Errors: each(p.State.Rejected[fleet].Errors, func(e desired.Error) string { return c.line(e.Error()) }),
	}
	is, was := p.State.Fleets[fleet], p.Before[fleet]
	if was.Fleet != nil {
		out.Was = name(was.Fleet.Release)
	}
	if is.Fleet != nil && effect != EffectGone && effect != EffectBroken {
		out.Release = name(is.Fleet.Release)
	}
	switch effect {
	case EffectNew:
		out.Notes = append(out.Notes, comes(is.Fleet))
	case EffectGone:
		out.Notes = append(out.Notes, "what is under way is finished or put back, then its nodes are left as they are")
	case EffectRolls, EffectTuned:
		out.Moves = movesNodes(was.Fleet, is.Fleet) || !reflect.DeepEqual(was.Fleet.LoadBalancers, is.Fleet.LoadBalancers)
		s.foresee(ctx, is, &out)
	}
	return out
}

// comes is what can be said of a fleet that nobody has looked at.
func comes(f *desired.Fleet) string {
	said := "nothing is known of its nodes before it is merged"
	if n := len(f.Nodes.Static); n > 0 {
		said = fmt.Sprintf("%d nodes are named; %s", n, said)
	}
	if f.Nodes.Expect > 0 {
		said = fmt.Sprintf("%d nodes are expected; %s", f.Nodes.Expect, said)
	}
	if f.Adopt && f.Unproven == "" {
		said += "; those that serve " + name(f.Release) + " already are written down, not rolled"
	}
	return said
}

// foresee adds what would be done to a fleet that is there.
func (s *server) foresee(ctx context.Context, is desired.Version, out *ProposedFleet) {
	select {
	case s.forecasts <- struct{}{}:
		defer func() { <-s.forecasts }()
	case <-ctx.Done():
		out.Unknown = "other forecasts are being made; try again"
		return
	}
	seen, err := s.sight(ctx, is.Fleet.Name)
	switch {
	case err != nil:
		out.Unknown = "the fleet is busy; try again"
	case seen.Want.Fleet == nil:
		out.Notes = append(out.Notes, comes(is.Fleet))
	default:
		want, notes := wantingAll(seen.Want, is)
		f := forecastOf(want, seen)
		out.Forecast, out.Notes = &f, append(out.Notes, notes...)
	}
}

// wantingAll is a fleet that wants what another version of its file says, but for where its nodes are and what sends them traffic: what is
// seen is of those of today.
func wantingAll(want plan.Want, is desired.Version) (plan.Want, []string) {
	var notes []string
	fleet, was := *is.Fleet, want.Fleet
	if movesNodes(was, &fleet) {
		fleet.Nodes.Static, fleet.Nodes.EC2 = was.Nodes.Static, was.Nodes.EC2
		notes = append(notes, "which nodes belong to it changes too"+moves(was.Nodes.Static, is.Fleet.Nodes.Static)+"; this is for those of today")
	}
	if !reflect.DeepEqual(fleet.LoadBalancers, was.LoadBalancers) {
		fleet.LoadBalancers = was.LoadBalancers
		notes = append(notes, "its load balancers change too; this is for those of today")
	}
	if !reflect.DeepEqual(fleet.Health, was.Health) {
		notes = append(notes, "its checks change too; this is for what those of today found")
	}
	want.Fleet = &fleet
	want.Version = actuators.Version{
		Release: fleet.Release, Digest: fleet.Digest(desired.DigestAlgorithm), Algorithm: desired.DigestAlgorithm, Revision: is.Revision,
	}
	return want, notes
}

// movesNodes reports whether other nodes may belong to a fleet.
func movesNodes(was, is *desired.Fleet) bool {
	return !reflect.DeepEqual(was.Nodes.Static, is.Nodes.Static) || !reflect.DeepEqual(was.Nodes.EC2, is.Nodes.EC2)
}

// moves names the nodes that a file no longer names, and those that it names now.
func moves(was, is []desired.StaticNode) string {
	named := func(n desired.StaticNode) string { return n.Name }
	before, after := each(was, named), each(is, named)
	said := ""
	for _, n := range after {
		if !slices.Contains(before, n) {
			said += ", " + name(n) + " comes"
		}
	}
	for _, n := range before {
		if !slices.Contains(after, n) {
			said += ", " + name(n) + " is let go"
		}
	}
	return name(said)
}

// A Proposer tells what would be in force if a branch were merged. The error is desired.ErrBranchName, ErrNoBranch or ErrNoneYet where it is
// one of those. It may take as long as ctx allows, and may be asked by several goroutines.
type Proposer func(ctx context.Context, branch string) (desired.Proposal, error)
