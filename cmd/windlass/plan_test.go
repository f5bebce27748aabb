package main

import (
	"strings"
	"testing"

	"windlass/desired"
	"windlass/internal/web"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

// printed is what plan shows of a forecast below how the fleet stands.
func printed(t *testing.T, f plan.Forecast) string {
	t.Helper()
	fleet := &desired.Fleet{Name: "web", Rollout: desired.Rollout{MaxUnavailable: desired.Amount{Count: 1}}}
	s := reconciler.Sight{Want: plan.Want{Fleet: fleet}, Status: reconciler.Status{Name: "web"}}
	var out strings.Builder
	if err := printForecast(&out, s, f, web.Terminal{}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestPlanTellsHowManyNodesAndWhichFirst(t *testing.T) {
	t.Parallel()
	step := func(node string, kind plan.Kind, inService int) plan.Event {
		return plan.Event{Step: plan.Step{Node: node, Kind: kind, Reason: "v1 → v2"}, InService: inService}
	}
	f := plan.Forecast{
		Events: []plan.Event{step("web-3", plan.Leave, 8), step("web-3", plan.Drain, 7), step("web-1", plan.Leave, 8)}, Lowest: 7,
		End: plan.Plan{Size: 8, Floor: 7, Phase: plan.PhaseWaiting, Reason: "web-1: hold: why", Holds: []plan.Hold{{Node: "web-1", Reason: "hold: why"}, {Reason: "hold: more"}}},
	}
	want := `
  what would be done, if all goes well, on 2 nodes, web-3 first:
     1. leave     web-3        8 of 8 in service: v1 → v2
     2. drain     web-3        7 of 8 in service: v1 → v2
     3. leave     web-1        8 of 8 in service: v1 → v2
  lowest capacity: 7 of 8 in service, floor 7 (maxUnavailable 1)
  then: waiting, web-1: hold: why
    hold: more
`
	if got := printed(t, f); !strings.HasSuffix(got, want) {
		t.Errorf("it shows\n%s\nwant at its end\n%s", got, want)
	}
}

// A fleet that lacks what is wanted, and gets nothing, is not passed over in silence.
func TestPlanTellsThatNothingWouldBeDone(t *testing.T) {
	t.Parallel()
	held := plan.Plan{Phase: plan.PhasePaused, Nodes: []plan.NodeStatus{{Name: "web-1", Outdated: true}}}
	if got := printed(t, plan.Forecast{Now: held, End: held}); !strings.HasSuffix(got, "\n  nothing would be done while the fleet is paused\n") {
		t.Errorf("a paused fleet with a change pending shows\n%s", got)
	}
	if got := printed(t, plan.Forecast{Now: plan.Plan{Phase: plan.PhaseIdle}}); strings.Contains(got, "would") {
		t.Errorf("a fleet at rest shows\n%s", got)
	}
}
