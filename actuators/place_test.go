package actuators_test

import (
	"cmp"
	"testing"

	"windlass/actuators"
	"windlass/desired"
)

func TestPortOfANodeComesBeforeTheFleets(t *testing.T) {
	at := actuators.Place{SSH: desired.SSH{Port: 22}}
	if got := at.Port(); got != 22 {
		t.Errorf("without a port of its own: %d", got)
	}
	at.Node.SSHPort = 2222
	if got := at.Port(); got != 2222 {
		t.Errorf("with a port of its own: %d", got)
	}
}

func TestGroupKnowsAMachineByItsKindOfTarget(t *testing.T) {
	n := actuators.Node{Targets: actuators.Targets{Instance: "i-0a", IP: "10.0.0.1"}}
	for kind, want := range map[string]string{"instance": "i-0a", "ip": "10.0.0.1"} {
		if got := (actuators.GroupState{TargetType: kind}).Target(n); got != want {
			t.Errorf("a group of %s targets knows it as %s", kind, got)
		}
	}
	classic, target := actuators.Membership{Group: "classic/web", ID: "i-0a"}, actuators.Membership{Group: "arn:web", ID: "10.0.0.1", Port: 80}
	if got := classic.String() + ", " + target.String(); got != "i-0a in classic/web, 10.0.0.1:80 in arn:web" {
		t.Errorf("places read %q", got)
	}
}

func TestMembershipsAreSortedByAllThatTellsThemApart(t *testing.T) {
	sorted := []actuators.Membership{
		{Group: "a", ID: "i-2", Port: 80, Zone: "b"},
		{Group: "b", ID: "i-1", Port: 81, Zone: "a"},
		{Group: "b", ID: "i-2", Port: 80, Zone: "b"},
		{Group: "b", ID: "i-2", Port: 81, Zone: "a"},
		{Group: "b", ID: "i-2", Port: 81, Zone: "b"},
	}
	for i, m := range sorted {
		for j, o := range sorted {
			if got := m.Compare(o); got != cmp.Compare(i, j) {
				t.Errorf("%+v to %+v: %d", m, o, got)
			}
		}
	}
}
