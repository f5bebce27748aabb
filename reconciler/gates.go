package reconciler

import (
	"cmp"
	"context"
	"slices"
	"time"

	"windlass/reconciler/plan"
)

const (
	gateDeadline = 30 * time.Second // of one reading
	gatePause    = 30 * time.Second // from one reading to the next while a gate holds and does not say when to ask it again, unless Deps say otherwise
	gateBreath   = time.Second      // at the least, whatever it says
)

// A gate is one that the fleet has, as it was last read.
type gate struct {
	Gatekeeper
	shown plan.Gate // as plans see it
	last  plan.Gate // the newest reading, of whatever was wanted then
	next  time.Time // when it is read again
	asked time.Time // when it was read last, by the wall clock
}

// hangGates takes the gates that the fleet has by its file, with what can be told at once: what was read for another file, or of another version, is
// no word on this one.
func (a *actor) hangGates() {
	old := a.gates
	a.gates = nil
	if a.want.Fleet == nil || a.want.Released {
		return
	}
	for _, k := range a.Gatekeepers {
		shown, has := k.Gate(a.want.Fleet)
		if !has {
			continue
		}
		g := &gate{Gatekeeper: k, shown: shown}
		for _, o := range old {
			if o.shown.Name == shown.Name {
				g.last = o.last
			}
		}
		a.gates = append(a.gates, g)
	}
}

// readGates reads the gates that are due, apart from the loop; all of them after the clock was set back.
func (a *actor) readGates(ctx context.Context, now time.Time) {
	for _, g := range a.gates {
		if (!now.Before(g.next) || now.Before(g.asked)) && !a.tasks.busy(taskGate, g.shown.Name) {
			a.readGate(ctx, g)
		}
	}
}

func (a *actor) readGate(ctx context.Context, g *gate) {
	want := a.want
	g.asked = time.Now().Round(0)
	a.tasks.begin(ctx, taskGate, g.shown.Name, gateDeadline, func(ctx context.Context) func() {
		read, err := g.Read(ctx, want)
		return func() { g.take(read, err, time.Now(), cmp.Or(a.GatePause, gatePause)) } // of no effect where it was replaced
	})
}

// take is told what a reading said. One that holds is read again after a pause, unless it says when.
func (g *gate) take(read plan.Gate, err error, now time.Time, pause time.Duration) {
	if err != nil {
		read = plan.Gate{Reason: "cannot be read: " + err.Error()}
	}
	g.shown.State, g.shown.Digest, g.shown.Commit, g.shown.Reason, g.shown.Until = read.State, read.Digest, read.Commit, read.Reason, read.Until
	if g.shown.Since = g.last.Since; g.shown.State != g.last.State || g.last.Since.IsZero() {
		g.shown.Since = now
	}
	g.last = g.shown
	switch {
	case !read.Until.IsZero():
		g.next = later(read.Until, now.Add(gateBreath))
	case read.State == plan.GateOpen:
		g.next = never
	default:
		g.next = now.Add(pause)
	}
}

// heedGates has gates read again that are open by their own word and shut by what records say: neither ends that but another answer.
func (a *actor) heedGates(now time.Time) {
	for _, g := range a.gates {
		at := slices.IndexFunc(a.plan.Gates, func(told plan.Gate) bool { return told.Name == g.shown.Name })
		if at < 0 || a.plan.Gates[at].State != plan.GateShut || g.shown.State != plan.GateOpen || !g.next.Equal(never) {
			continue
		}
		g.next = now.Add(cmp.Or(a.GatePause, gatePause))
		if k, remembers := g.Gatekeeper.(Forgetter); remembers {
			k.Forget(a.want)
		}
	}
}

// gatesDue is the earlier of due and when a gate is read again.
func (a *actor) gatesDue(due time.Time) time.Time {
	for _, g := range a.gates {
		if !a.tasks.busy(taskGate, g.shown.Name) {
			due = earlier(due, g.next)
		}
	}
	return due
}

// shownGates are the gates as plans take them.
func (a *actor) shownGates() []plan.Gate {
	if len(a.gates) == 0 {
		return nil
	}
	shown := make([]plan.Gate, len(a.gates))
	for i, g := range a.gates {
		shown[i] = g.shown
	}
	return shown
}
