package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"windlass/desired"
	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// A proof is a release that every node of a fleet has proven.
type proof struct {
	fleet, release string
	nodes          int
	since          time.Time // when the last of them came into service with it; zero: it is not known
}

// proven asks the agent what a fleet has proven.
func (c *client) proven(ctx context.Context, fleet string) (proof, error) {
	var f web.Fleet
	err := c.get(ctx, "/api/v1/fleets/"+url.PathEscape(fleet), &f)
	var no *refusal
	if errors.As(err, &no) && no.code == http.StatusNotFound {
		return proof{}, fmt.Errorf("the agent knows no fleet %q%s; windlass status shows all", fleet, didYouMean("", fleet, c.fleetNames(ctx)))
	}
	if err != nil {
		return proof{}, err
	}
	return provenBy(f)
}

// provenBy is what a fleet has proven: what is wanted there, when the agent says that every node has, and that each is in service with it now. Anything less
// is an error, which says how it stands and what to do. What the agent tells is checked like any input.
func provenBy(f web.Fleet) (proof, error) {
	wanted, whole := f.Desired.Release, f.Phase == plan.PhaseIdle || f.Phase == plan.PhasePaused
	whole = whole && f.Rejected == nil && f.Proven != nil && f.Proven.Release == wanted
	p := proof{fleet: f.Name, release: wanted, nodes: len(f.Nodes)}
	for _, n := range f.Nodes {
		whole = whole && n.State == plan.InService && n.Release == wanted && !n.Outdated
		if n.Since.After(p.since) {
			p.since = n.Since
		}
	}
	if !whole {
		return proof{}, fmt.Errorf("fleet %s has not proven %s on every node: %s, %s%s; wait for it with windlass follow, or name a release",
			web.Line(f.Name), web.Line(wanted), web.Line(string(f.Phase)), web.Line(f.Reason), spreadOf(f.Releases))
	}
	return p, desired.CheckRelease(wanted)
}

// spreadOf says how many nodes have which release.
func spreadOf(releases map[string]int) string {
	var parts []string
	for _, release := range slices.Sorted(maps.Keys(releases)) {
		parts = append(parts, fmt.Sprintf("%s on %d", web.Line(release), releases[release]))
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

// String says what was proven, where and since when.
func (p proof) String() string {
	text := fmt.Sprintf("%s: %s is proven on all of its %d nodes", p.fleet, p.release, p.nodes)
	if !p.since.IsZero() {
		text += ", since " + p.since.UTC().Format("2006-01-02 15:04") + " UTC"
	}
	return text
}
