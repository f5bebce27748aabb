package reconciler

import (
	"io"
	"log/slog"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler/plan"
)

// The parts of the loop by themselves: what each makes of what is known, without a world. act_test.go and agent_test.go are beside their files;
// take_test.go has what orders do, reading_test.go what is read and when, telling_test.go what is told, claimed and remembered.

// quietActor is an actor of n nodes that were read and serve v1, which is wanted, with nothing in flight. Nobody runs its loop.
func quietActor(n int, changes ...func(*desired.Fleet)) *actor {
	s := stageOf(n, "v1")
	d := s.deps()
	d.Log = slog.New(slog.DiscardHandler)
	a := newActor("web", d, func(Status) {})
	f := webFleet("v1")
	for _, change := range changes {
		change(f)
	}
	a.want = plan.Want{Fleet: f, Version: versionOf("v1")}
	a.meet(s.nodes)
	a.found = plan.Source{At: time.Now()}
	for _, x := range a.order {
		h := s.state(x.Name)
		x.learn(h, time.Now())
		x.host.state, x.host.readAt = h, time.Now()
		x.serving, x.nextRead, x.nextIdle = true, time.Now().Add(time.Hour), time.Now().Add(time.Hour)
	}
	a.groups, a.read = s.groups, time.Now()
	a.nextGroups, a.nextInventory = time.Now().Add(time.Hour), time.Now().Add(time.Hour)
	a.progress = time.Now().Add(-time.Hour)
	a.plan = a.Decide(a.question(), a.world())
	return a
}

// stub is a quiet actor's own world.
func (a *actor) stub() *stage { return a.Host.(*stage) }

// claimed is a claim of this agent's that lasts.
func claimed() *actuators.Claim {
	return &actuators.Claim{Holder: "a", Epoch: 1, Nonce: "n", Expires: time.Now().Add(30 * time.Second)}
}

// changedTo puts a changed record in place of a node's.
func (n *node) changedTo(change func(*actuators.NodeRecord)) {
	h := *n.Host
	h.Record = h.Record.Clone()
	change(&h.Record)
	n.Host = &h
}

// occupy has a task in flight without end.
func (a *actor) occupy(kind taskKind, subject string) {
	a.tasks.running[task{kind, subject}] = true
	a.tasks.kinds[kind]++
}

func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }
