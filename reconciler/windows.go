package reconciler

import (
	"context"
	"fmt"
	"time"

	"windlass/desired"
	"windlass/reconciler/plan"
)

// Windows is the gate of when a fleet's nodes may be changed, by the fleet's own file or by the repo's. It asks nobody but the clock.
type Windows struct {
	Repo bool // by the repo's windows.yaml
}

func (k Windows) of(f *desired.Fleet) *desired.Windows {
	if k.Repo {
		return f.RepoWindows
	}
	return f.Windows
}

// Gate holds each next node, or where rollouts finish the first one. It says at once what Read says.
func (k Windows) Gate(f *desired.Fleet) (plan.Gate, bool) { return k.at(f, time.Now()) }

// Read is what the windows say now.
func (k Windows) Read(_ context.Context, want plan.Want) (plan.Gate, error) {
	g, _ := k.at(want.Fleet, time.Now())
	return g, nil
}

// WindowsOf are the gates that windows are of a fleet, as they are at an instant.
func WindowsOf(f *desired.Fleet, now time.Time) (gates []plan.Gate) {
	for _, k := range []Windows{{Repo: true}, {}} {
		if g, has := k.at(f, now); has {
			gates = append(gates, g)
		}
	}
	return gates
}

func (k Windows) at(f *desired.Fleet, now time.Time) (g plan.Gate, has bool) {
	w := k.of(f)
	if w == nil {
		return plan.Gate{}, false
	}
	g = plan.Gate{Name: "windows", Reverts: w.Reverts == desired.RevertsInWindow}
	if k.Repo {
		g.Name = desired.WindowsFile
	}
	if w.Finish == desired.FinishRollout {
		g.Stops = plan.StopsStart
	}
	if w.Passes(f.Release) {
		g.State, g.Reason = plan.GateOpen, fmt.Sprintf("emergency by %s: %s", w.Emergency.By, w.Emergency.Reason)
		return g, true
	}
	v := w.At(now)
	g.Reason, g.Until = v.Reason, v.Until
	switch {
	case v.Open && v.Until.IsZero():
		g.State, g.Reason = plan.GateOpen, "no end is in sight"
	case v.Open:
		g.State, g.Reason = plan.GateOpen, "until "+w.Clock(v.Until)
	case v.Until.IsZero():
		g.State = plan.GateShut
	default:
		g.State, g.Reason = plan.GateWait, v.Reason+"; opens "+w.Clock(v.Until)
	}
	return g, true
}
