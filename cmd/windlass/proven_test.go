package main

import (
	"strings"
	"testing"
	"time"

	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// whole is a fleet that has proven v2 on all of its three nodes.
func whole() web.Fleet {
	f := web.Fleet{Name: "staging", Phase: plan.PhaseIdle, Reason: "3 of 3 in service with v2", Size: 3, InService: 3, Releases: map[string]int{"v2": 3}}
	f.Desired.Release, f.Proven = "v2", &web.Proven{Release: "v2"}
	for i, name := range []string{"s-1", "s-2", "s-3"} {
		f.Nodes = append(f.Nodes, web.Node{Name: name, Release: "v2", State: plan.InService, Since: time.Date(2026, 3, 1, 12, 10*i, 0, 0, time.UTC)})
	}
	return f
}

func TestWhatAFleetHasProven(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*web.Fleet){
		"all of it":            func(*web.Fleet) {},
		"paused when it was":   func(f *web.Fleet) { f.Phase = plan.PhasePaused },
		"but for one left out": func(f *web.Fleet) { f.Excluded = []web.Exclusion{{Name: "s-4"}} },
	} {
		f := whole()
		change(&f)
		p, err := provenBy(f)
		if want := "staging: v2 is proven on all of its 3 nodes, since 2026-03-01 12:"; err != nil || p.release != "v2" || !strings.HasPrefix(p.String(), want) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}

func TestAProofOfUnknownAge(t *testing.T) {
	t.Parallel()
	if got := (proof{fleet: "staging", release: "v2", nodes: 3}).String(); got != "staging: v2 is proven on all of its 3 nodes" {
		t.Error(got)
	}
}

func TestWhatItHasNot(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*web.Fleet){
		"halted":                  func(f *web.Fleet) { f.Phase = plan.PhaseHalted },
		"on its way":              func(f *web.Fleet) { f.Phase = plan.PhaseProgressing },
		"on its way back":         func(f *web.Fleet) { f.Phase = plan.PhaseRollingBack },
		"waiting":                 func(f *web.Fleet) { f.Phase = plan.PhaseWaiting },
		"invalid":                 func(f *web.Fleet) { f.Phase = plan.PhaseInvalid },
		"its newest file refused": func(f *web.Fleet) { f.Rejected = &web.Rejection{} },
		"as the agent sees it":    func(f *web.Fleet) { f.Proven = nil },
		"but what it had before":  func(f *web.Fleet) { f.Proven.Release = "v1" },
		"a phase of later":        func(f *web.Fleet) { f.Phase = "resting" },
		"one baking":              func(f *web.Fleet) { f.Nodes[1].State = plan.Baking },
		"one outdated":            func(f *web.Fleet) { f.Nodes[1].State, f.Nodes[1].Outdated = plan.Outdated, true },
		"another configuration":   func(f *web.Fleet) { f.Nodes[1].Outdated = true },
		"one of another release":  func(f *web.Fleet) { f.Nodes[1].Release = "v1" },
		"one of none known":       func(f *web.Fleet) { f.Nodes[1].Release = "" },
		"one unreachable":         func(f *web.Fleet) { f.Nodes[1].State = plan.Unreachable },
		"paused, all on the old one": func(f *web.Fleet) {
			f.Phase, f.Desired.Release = plan.PhasePaused, "v3"
		},
	} {
		f := whole()
		change(&f)
		p, err := provenBy(f)
		if err == nil || p.release != "" {
			t.Errorf("%s: %v", name, p)
			continue
		}
		if says := err.Error(); !strings.HasPrefix(says, "fleet staging has not proven v") || !strings.Contains(says, "(v2 on 3); wait for it with windlass follow, or name a release") {
			t.Errorf("%s: %s", name, says)
		}
	}
}

// TestAgentsMayLie: what an agent says is shown as a line, and a release is one or nothing.
func TestAgentsMayLie(t *testing.T) {
	t.Parallel()
	f := whole()
	f.Desired.Release = "v2; rm -rf /"
	for i := range f.Nodes {
		f.Nodes[i].Release = f.Desired.Release
	}
	f.Proven.Release = f.Desired.Release
	if p, err := provenBy(f); err == nil {
		t.Errorf("%v is taken for a release", p)
	}
	f.Phase, f.Reason = plan.PhaseHalted, "bad\n\x1b[2Jnews"
	if _, err := provenBy(f); err == nil || strings.ContainsAny(err.Error(), "\n\x1b") {
		t.Errorf("%q", err)
	}
}
