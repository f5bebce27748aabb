package plan_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler/plan"
)

// facts about web-1 that nothing is known of but that a record says so: as many as fit, each with another instance.
func inventedFacts() (facts []actuators.Fact) {
	for i := range actuators.MaxFacts {
		facts = append(facts, actuators.Fact{Kind: actuators.Away, Node: "web-1", Instance: fmt.Sprintf("a-%02d", i)})
	}
	return facts
}

func excludesWeb1(f *desired.Fleet) {
	f.Nodes.Exclude = []desired.Exclusion{{Name: "web-1", Reason: "looked at"}}
}

// Law 11: a node is away once, however often one record says it.
func TestLaw11OneNodeIsAwayOnce(t *testing.T) {
	w := fleetOf(6, "v1")
	for i := range w.Nodes {
		w.Nodes[i].ID = "" // of a static list: only its own machine id tells one from another
	}
	w.Groups[0].Members = w.Groups[0].Members[1:]
	w.Nodes[1].Host.Record.Facts = inventedFacts()
	p := plan.Next(wants("v2", excludesWeb1, func(f *desired.Fleet) { f.Rollout.MaxUnavailable = desired.Amount{Count: 2} }), w)
	if !strings.Contains(kindsOf(p, ""), "leave") || len(p.Facts) != 1 {
		t.Errorf("web-1 is out, and 2 may be: steps %q; %d facts; %.200s", kindsOf(p, ""), len(p.Facts), p.Reason)
	}
}

// Law 11: while the machines cannot be listed, what a record says of machines nobody knows displaces no fact about one that is out.
func TestLaw11InventedFactsDisplaceNone(t *testing.T) {
	w := fleetOf(6, "v1")
	w.Inventory.Err = "throttled"
	w.Groups[0].Members = w.Groups[0].Members[1:]
	away := actuators.Fact{Kind: actuators.Away, Node: "web-1", Instance: w.Nodes[0].ID, Release: "v2"}
	w.Nodes[1].Host.Record.Facts = inventedFacts()
	for i := range w.Nodes[2:] {
		w.Nodes[2+i].Host.Record.Facts = []actuators.Fact{away}
	}
	p := plan.Next(wants("v2", excludesWeb1), w)
	if !slices.Equal(p.Facts, []actuators.Fact{away}) {
		t.Errorf("%d facts, want the one about web-1", len(p.Facts))
	}
	for _, s := range p.Steps {
		if s.Record != nil && !slices.Equal(s.Record.Facts, []actuators.Fact{away}) {
			t.Errorf("%s is told %d facts", s.Node, len(s.Record.Facts))
		}
	}
}

// Law 11: a node that failed, and that no balancer takes out, is away until it serves: also while it waits to get what is wanted next.
func TestLaw11FailedNodeIsAwayUntilItServes(t *testing.T) {
	w := unbalanced(4, "v1")
	for i := range w.Nodes {
		w.Nodes[i].Health = passing("v1", plan.WatchIdle)
		w.Nodes[i].Host.Record.Facts = []actuators.Fact{{Kind: actuators.Away, Node: "web-1", Instance: w.Nodes[0].ID, Release: "v2"}}
	}
	r := &w.Nodes[0].Host.Record
	r.Stage, r.On, r.Spoiled = actuators.Failed, version("v2"), true
	r.Try = actuators.Try{Version: version("v2"), ID: "x", Failures: 2, Error: "check serves", At: start.Add(-time.Hour)}
	w.Nodes[0].Health = failing("v2", plan.WatchVerify)
	p := plan.Next(wants("v3", noBalancers), w)
	if kindsOf(p, "") != "leave web-1" {
		t.Fatalf("steps %q; %s", kindsOf(p, ""), p.Reason)
	}
	*r = p.Steps[0].Record.Clone()
	if p := plan.Next(wants("v3", noBalancers), w); len(p.Facts) != 1 || strings.Contains(kindsOf(p, ""), "halt") {
		t.Errorf("claimed, and not changed yet: %d facts, steps %q", len(p.Facts), kindsOf(p, ""))
	}
}

// Law 11: where no balancer tells who is out, a node that cannot be read is away because other records say so.
func TestLaw11UnreadNodeIsAwayWhereNoBalancerTells(t *testing.T) {
	w := unbalanced(4, "v1")
	for i := range w.Nodes {
		w.Nodes[i].Health = passing("v1", plan.WatchIdle)
	}
	w.Nodes[0].Host, w.Nodes[0].Read, w.Nodes[0].Health = nil, plan.Source{Err: "connection timed out"}, plan.Health{}
	w.Nodes[1].Health = failing("v1", plan.WatchIdle) // costs no capacity
	if p := plan.Next(wants("v2", noBalancers), w); kindsOf(p, "") != "leave web-2" {
		t.Errorf("nothing says that web-1 is out: steps %q; %s", kindsOf(p, ""), p.Reason)
	}
	w.Nodes[2].Host.Record.Facts = []actuators.Fact{{Kind: actuators.Away, Node: "web-1", Instance: w.Nodes[0].ID, Release: "v2"}}
	p := plan.Next(wants("v2", noBalancers), w)
	if strings.Contains(kindsOf(p, ""), "leave") || !strings.Contains(p.Reason, "web-1 was taken out by windlass and cannot be reached: mend or replace it") {
		t.Errorf("web-1 is out: steps %q; %s", kindsOf(p, ""), p.Reason)
	}
}
