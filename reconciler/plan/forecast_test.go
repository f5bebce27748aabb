package plan_test

import (
	"strings"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/reconciler/plan"
)

// A forecast outwaits what is waited for, also when that is over in part of a second.
func TestForecastOutwaitsPartsOfASecond(t *testing.T) {
	w := fleetOf(3, "v1")
	w.Nodes = append(w.Nodes, nodeOf("web-4", "a", ""))
	w.Nodes[3].Out = start.Add(300*time.Millisecond - plan.AskAgain)
	f := plan.Foresee(wants("v1"), w)
	if f.End.Phase != plan.PhaseIdle || f.End.InService != 4 {
		t.Errorf("the new node never joins: %s", story(f))
	}
}

// A change of nothing but the configuration is told as that, everywhere.
func TestChangedConfigurationIsTold(t *testing.T) {
	want := wants("v1")
	want.Version.Digest = "d1-other"
	p := plan.Next(want, fleetOf(3, "v1"))
	if got := p.Nodes[1].Reason; got != "serves v1, wanted is v1 with another configuration" {
		t.Errorf("web-2 is outdated because it %s", got)
	}
}

// A reason names states as people write them.
func TestReasonsAreInWords(t *testing.T) {
	w := fleetOf(3, "v1")
	w.Groups[0].Members[0].Status = actuators.TargetUnhealthy
	if p := plan.Next(wants("v1"), w); !strings.Contains(p.Reason, "web-1 is out of service: ") {
		t.Errorf("the fleet is %s: %s", p.Phase, p.Reason)
	}
}
