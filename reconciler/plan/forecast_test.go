package plan_test

import (
	"strings"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/desired"
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
	w.Groups[0].Members[0].Status, w.Groups[0].Members[0].AtFault = actuators.TargetUnhealthy, true
	if p := plan.Next(wants("v1"), w); !strings.Contains(p.Reason, "web-1 is out of service: ") {
		t.Errorf("the fleet is %s: %s", p.Phase, p.Reason)
	}
}

// A node that was seen not to have the wanted release is not foreseen to be adopted once it is prepared for it.
func TestForecastAdoptsNobodyThatFails(t *testing.T) {
	w := fleetOf(3, "v1")
	for i := range w.Nodes {
		w.Nodes[i].Host.Record = actuators.NodeRecord{}
		w.Nodes[i].Health = failing("v2", plan.WatchVerify)
	}
	f := plan.Foresee(wants("v2", func(f *desired.Fleet) { f.Configure.Prepare = []desired.Step{{Name: "fetch", Run: "fetch"}} }), w)
	if got := story(f); strings.Contains(got, "adopt") || !strings.Contains(got, "drain") || f.End.Phase != plan.PhaseIdle || f.Lowest != 2 {
		t.Errorf("lowest %d, then %s:\n%s", f.Lowest, f.End.Phase, got)
	}
}

// A version that was tried again, and halted again, is not tried at that number once more.
func TestLaw11NextRetryIsOneThatWasNotHalted(t *testing.T) {
	w := fleetOf(3, "v1")
	want := wants("v2")
	for retry := range 2 {
		w.Nodes[0].Host.Record.Halts = append(w.Nodes[0].Host.Record.Halts, actuators.Halt{Digest: want.Version.Digest, Release: "v2", Node: "web-1", Retry: retry, Reason: "no"})
	}
	if p := plan.Next(want, w); p.Phase != plan.PhaseHalted || !strings.HasPrefix(p.Reason, "v2 is halted: revert it, commit a fix, or set retry to 2 to try it again; ") {
		t.Errorf("%s: %s", p.Phase, p.Reason)
	}
}

// What is in hand comes to its end, whatever it is, and the rest of the way is foreseen: of what is wanted and of any other release.
func TestForecastFromTheMiddleOfAStep(t *testing.T) {
	busy := func(k plan.Kind) twist {
		return on(0, "", func(n *plan.Node, _ *actuators.NodeRecord) { n.Busy, n.Since = k, start })
	}
	job := actuators.JobState{Key: "d1-v2-x-0-activate", Running: true}
	for name, twists := range map[string][]twist{
		"claimed":          {busy(plan.Leave)},
		"left":             {under(0, actuators.Leaving), busy(plan.Drain)},
		"configured":       {under(0, actuators.Configuring), gone(0, "", time.Minute), busy(plan.Configure), on(0, "", func(n *plan.Node, _ *actuators.NodeRecord) { n.Host.Job = job })},
		"configured, long": {under(0, actuators.Configuring), gone(0, "", time.Minute), on(0, "", func(n *plan.Node, _ *actuators.NodeRecord) { n.Host.Job = job })},
		"registered":       {under(0, actuators.Configuring), gone(0, "", time.Minute), busy(plan.Add)},
		"proven":           {under(0, actuators.Verified), busy(plan.Prove)},
		"prepared":         {under(0, actuators.Preparing), busy(plan.Prepare)},
	} {
		for _, release := range []string{"v2", "v3", "v1"} {
			s := quiet(release, twists...)
			f := plan.Foresee(s.want, s.world)
			if f.End.Phase != plan.PhaseIdle || f.End.InService != 4 || f.Lowest < 3 || f.Left != 0 {
				t.Errorf("%s, then %s: %s", name, release, story(f))
			}
		}
	}
}
