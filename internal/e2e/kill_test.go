package e2e

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"windlass/internal/sandbox"
	"windlass/internal/sandbox/aws"
	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// A moment is a point of a node's journey at which the agent is killed. It returns when the agent is dead, with what is to be
// undone once the next agent is up.
type moment func(w *world) (after func())

func nothing() {}

// inState kills while a node is in a state; what holds it there is let go under the next agent.
func inState(state plan.State, held ...string) moment {
	return func(w *world) func() {
		var letGo []func()
		for _, name := range held {
			letGo = append(letGo, w.hold(name))
		}
		w.deploy("v2")
		n := w.meets(state)
		for _, name := range held {
			w.eventually("the step to begin", func() bool { return name == "verify" || w.ran(n, name) == 1 })
		}
		check(w.T, w.Agent.Kill())
		return func() {
			for _, let := range letGo {
				let()
			}
		}
	}
}

// afterFirst kills when one node is through and the next is being prepared.
func afterFirst(w *world) func() {
	w.deploy("v2")
	w.sees("one of two nodes done", func(f web.Fleet) bool { return f.Releases["v2"] == 1 && in(f, plan.InService) != "" })
	check(w.T, w.Agent.Kill())
	return nothing
}

var errCut = errors.New("the caller is dead")

// inCall kills while the agent waits for the answer to a call: before it has its effect, or after.
func inCall(action string, before bool) moment {
	return func(w *world) func() {
		killed := make(chan error, 1)
		var once sync.Once
		hook := func(called string, _ url.Values) (err error) {
			if called == action {
				once.Do(func() {
					killed <- w.Agent.Kill()
					err = errCut
				})
			}
			return err
		}
		w.Cloud.Adjust(func(f *aws.Faults) {
			if before {
				f.Before = hook
			} else {
				f.After = hook
			}
		})
		w.deploy("v2")
		select {
		case err := <-killed:
			check(w.T, err)
		case <-w.deadline():
			w.Fatalf("%s was never called", action)
		}
		return nothing
	}
}

// An agent that is killed anywhere is replaced by one that looks, and goes on: nothing fails, nothing is done twice that must
// not be, and the fleet arrives.
func TestKilledAgentIsReplaced(t *testing.T) {
	t.Parallel()
	for name, kill := range map[string]moment{
		"while a node prepares":      inState(plan.Preparing, "prepare"),
		"before a node leaves":       inCall("elbv2:DeregisterTargets", true),
		"when a node has left":       inCall("elbv2:DeregisterTargets", false),
		"while a node drains":        inState(plan.Draining),
		"while a node is configured": inState(plan.Configuring, "activate"),
		"while a node is verified":   whileVerified,
		"before a node is added":     inCall("elbv2:RegisterTargets", true),
		"when a node was added":      inCall("elbv2:RegisterTargets", false),
		"while a node bakes":         inState(plan.Baking),
		"while the others wait":      afterFirst,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 2)
			w.edit(fleetFile, longer)
			w.begin()
			after := kill(w)
			check(t, w.Agent.Start())
			after()
			w.arrives(w.Repo.Head(), "v2")
			w.kept(1)
			for _, n := range w.Nodes() {
				if ran := w.ran(n, "activate"); ran != 1 {
					t.Errorf("%s was activated %d times", n.Name, ran)
				}
			}
		})
	}
}

// longer makes the bake long enough to be seen.
func longer(fleet string) string { return strings.ReplaceAll(fleet, "bake: 300ms", "bake: 600ms") }

// held adds a check that can be held.
func held(base string) string {
	gate := `  - {name: gate, command: {run: 'test ! -e "$HOME/hold-verify"'}, interval: 300ms, timeout: 5s, within: 30s}` + "\n"
	return strings.Replace(base, "health:\n", "health:\n"+gate, 1)
}

// whileVerified kills while a node's checks do not pass yet.
func whileVerified(w *world) func() {
	w.edit(baseFile, held)
	w.arrives(w.Repo.Head(), "v1") // a check is no part of the digest: nothing rolls
	return inState(plan.Verifying, "verify")(w)
}

// An agent that is killed again and again, each time a node is seen in a state it was not seen in before, arrives all the same.
func TestAgentIsKilledAgainAndAgain(t *testing.T) {
	w := newWorld(t, 2)
	w.edit(fleetFile, longer)
	w.begin()
	revision := w.deploy("v2")
	kills, seen := 0, map[string]bool{}
	for done := false; !done; {
		f := w.sees("something new", func(f web.Fleet) bool {
			done = f.Desired.Revision == revision && f.Phase == plan.PhaseIdle && f.Releases["v2"] == 2
			return done || news(f, seen)
		})
		for _, n := range f.Nodes {
			seen[n.Name+" "+string(n.State)] = true
		}
		if !done {
			kills++
			check(t, w.Agent.Kill())
			check(t, w.Agent.Start())
		}
	}
	w.arrives(revision, "v2")
	w.kept(1)
	if kills < 6 {
		t.Errorf("it was killed only %d times", kills)
	}
}

// news reports whether a node that moves is in a state it was not seen in.
func news(f web.Fleet, seen map[string]bool) bool {
	return slices.ContainsFunc(f.Nodes, func(n web.Node) bool {
		return n.State != plan.Outdated && n.State != plan.OutOfService && !seen[n.Name+" "+string(n.State)]
	})
}

// An agent that is killed on the first day, when some nodes are written down and others are not, is replaced by one that writes down
// the rest.
func TestKilledWhileItAdopts(t *testing.T) {
	w := newWorld(t, 3)
	check(t, w.Agent.Start())
	w.eventually("the first record", func() bool {
		return slices.ContainsFunc(w.Nodes(), func(n *sandbox.Node) bool {
			_, err := os.Stat(w.recordFile(n))
			return err == nil
		})
	})
	check(t, w.Agent.Kill())
	check(t, w.Agent.Start())
	w.arrives(w.Repo.Head(), "v1")
	for _, n := range w.Nodes() {
		if ran := w.ran(n, "prepare") + w.ran(n, "activate"); ran > 0 {
			t.Errorf("%d steps ran on %s", ran, n.Name)
		}
	}
	w.kept(3)
}

// A halt outlives the agent that found it, with and without its state directory: nothing bad is tried again. The revert goes on
// where a kill left it.
func TestKilledAgentRemembersTheHalt(t *testing.T) {
	w := newWorld(t, 2)
	w.edit(baseFile, hasty)
	w.begin()
	revision := w.deploy("v3")
	out := w.node(w.halts(revision, "v1", "v3"))
	for _, forget := range []string{"nothing", "agent"} {
		check(t, w.Agent.Kill())
		check(t, os.RemoveAll(filepath.Join(w.Dir, forget)))
		check(t, w.Agent.Start())
		w.halts(revision, "v1", "v3")
		w.status(3, "v3 failed on "+out.Name)
	}
	if ran := w.ran(out, "activate"); ran != 1 {
		t.Errorf("v3 was activated %d times", ran)
	}
	letGo := w.hold("activate")
	reverted := must(w.Repo.Revert(t.Context()))(t)
	w.meets(plan.Configuring)
	check(t, w.Agent.Kill())
	check(t, w.Agent.Start())
	letGo()
	w.arrives(reverted, "v1")
	w.kept(1)
}

// Without its state directory an agent is another one: it waits until the claim of the dead one has expired, says so, and goes on.
func TestKilledAgentWithoutItsStateDirectory(t *testing.T) {
	needs(t)
	t.Parallel()
	w := openWorld(t, 2) // it mostly waits, longer than any other
	w.begin()
	letGo := w.hold("activate")
	revision := w.deploy("v2")
	n := w.meets(plan.Configuring)
	w.eventually("the step to begin", func() bool { return w.ran(n, "activate") == 1 })
	check(t, w.Agent.Kill())
	check(t, os.RemoveAll(filepath.Join(w.Dir, "agent")))
	check(t, w.Agent.Start())
	letGo()
	w.sees("that it waits", func(f web.Fleet) bool { return says(f, "works on "+n.Name) })
	w.arrives(revision, "v2")
	w.kept(1)
}

// A second agent on the same fleet starts nothing while the first one works, and says so (law 18).
func TestSecondAgentWaits(t *testing.T) {
	w := newWorld(t, 3)
	w.begin()
	letGo := w.hold("activate")
	revision := w.deploy("v2")
	n := w.meets(plan.Configuring)
	second := w.agent("second")
	check(t, second.Start())
	w.seenBy(second, "that it waits for the first", func(f web.Fleet) bool {
		return says(f, "works on "+n.Name+"; leave the fleet to one agent")
	})
	letGo()
	w.arrives(revision, "v2")
	w.reaches(second, revision, "v2")
	w.kept(2)
}

// On SIGTERM in mid-step the agent says what is left; the step goes on on its node, and the next agent picks up its end.
func TestStoppedAgentLeavesTheStepRunning(t *testing.T) {
	w := newWorld(t, 2)
	w.begin()
	letGo := w.hold("activate")
	revision := w.deploy("v2")
	n := w.meets(plan.Configuring)
	w.eventually("the step to begin", func() bool { return w.ran(n, "activate") == 1 })
	check(t, w.Agent.Stop(t.Context()))
	if last := strings.Join(w.Agent.Log(1), ""); !strings.Contains(last, `"nodes_left_under_way":1`) {
		t.Errorf("its last word is %s", last)
	}
	letGo()
	w.eventually("the step to end", func() bool { return w.serves(n) == "v2" })
	check(t, w.Agent.Start())
	w.arrives(revision, "v2")
	if ran := w.ran(n, "activate"); ran != 1 {
		t.Errorf("the step ran %d times", ran)
	}
	w.kept(1)
}

// serves is the release that a node's web service says it is; empty while it is down.
func (w *world) serves(n *sandbox.Node) string {
	said, err := w.ask(n, "/version")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(said)
}
