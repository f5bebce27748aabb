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

// Gate holds each next node, or where rollouts finish the first one.
func (k Windows) Gate(f *desired.Fleet) (plan.Gate, bool) {
	w := k.of(f)
	if w == nil {
		return plan.Gate{}, false
	}
	g := plan.Gate{Name: "windows", Reverts: w.Reverts == desired.RevertsInWindow}
	if k.Repo {
		g.Name = desired.WindowsFile
	}
	if w.Finish == desired.FinishRollout {
		g.Stops = plan.StopsStart
	}
	return g, true
}

// Read is what the windows say now.
func (k Windows) Read(_ context.Context, want plan.Want) (plan.Gate, error) {
	w := k.of(want.Fleet)
	if w.Passes(want.Version.Release) {
		return plan.Gate{State: plan.GateOpen, Digest: want.Version.Digest, Reason: fmt.Sprintf("emergency by %s: %s", w.Emergency.By, w.Emergency.Reason)}, nil
	}
	v := w.At(time.Now())
	switch g := (plan.Gate{State: plan.GateWait, Reason: v.Reason, Until: v.Until}); {
	case v.Open && v.Until.IsZero():
		return plan.Gate{State: plan.GateOpen, Reason: "no end is in sight"}, nil
	case v.Open:
		g.State, g.Reason = plan.GateOpen, "until "+w.Clock(v.Until)
		return g, nil
	case v.Until.IsZero():
		g.State = plan.GateShut
		return g, nil
	default:
		g.Reason += "; opens " + w.Clock(v.Until)
		return g, nil
	}
}
