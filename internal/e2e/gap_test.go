package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"windlass/actuators"
	"windlass/internal/sandbox"
	"windlass/reconciler/plan"
)

// Killed after it wrote down that a node is being configured, and before a step began there: the next agent runs the steps, and
// does not take the end of the prepare steps for theirs.
func TestKilledBeforeTheStepsBegin(t *testing.T) {
	w := newWorld(t, 2)
	w.begin()
	letPrepare := w.hold("prepare")
	revision := w.deploy("v2")
	n := w.meets(plan.Preparing)
	w.eventually("the step to begin", func() bool { return w.ran(n, "prepare") == 1 })
	letGo := w.hold("activate")
	letPrepare()
	w.eventually("the prepare steps to end", func() bool { return w.record(n).Prepared != "" })
	unlock := w.lockJobs(n)
	w.eventually("the record to say so", func() bool { return w.record(n).Stage == actuators.Configuring })
	check(t, w.Agent.Kill())
	check(t, n.Kill()) // with what would have begun the steps
	unlock()
	letGo()
	check(t, n.Start(t.Context()))
	check(t, w.Agent.Start())
	w.arrives(revision, "v2")
	w.kept(1)
}

// lockJobs keeps jobs on a node from beginning.
func (w *world) lockJobs(n *sandbox.Node) (unlock func()) {
	w.Helper()
	lock := must(os.Open(filepath.Join(n.Home, ".windlass", "web", "job")))(w.T)
	check(w.T, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	return func() { check(w.T, lock.Close()) }
}
