package reconciler

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"windlass/reconciler/plan"
)

// A stage counts where it was followed by the next one, its newest times do, and half of them took longer than what is said.
func TestStagesAreTimed(t *testing.T) {
	all := timedBefore(plan.Took{plan.Draining: time.Minute, plan.Verifying: -time.Second, plan.Joining: 25 * time.Hour, "made up": time.Second})
	if took := all.took(); len(took) != 1 || took[plan.Draining] != time.Minute {
		t.Errorf("from before: %v", took)
	}
	all.add(plan.Draining, plan.Joining, time.Hour) // it went straight back
	all.add(plan.Draining, plan.Configuring, 20*time.Second)
	all.add(plan.Draining, plan.Configuring, 30*time.Second)
	if took := all.took()[plan.Draining]; took != 30*time.Second {
		t.Errorf("the median is %s", took)
	}
	for range 2 * mostTimed {
		all.add(plan.Draining, plan.Configuring, 5*time.Second)
	}
	if took := all.took()[plan.Draining]; took != 5*time.Second || len(all[plan.Draining]) != mostTimed {
		t.Errorf("the newest took %s, of %d", took, len(all[plan.Draining]))
	}
	for range mostTimed/2 + 1 {
		all.add(plan.Draining, plan.Configuring, 7*time.Second)
	}
	if took := all.took()[plan.Draining]; took != 7*time.Second {
		t.Errorf("most of the newest took %s", took)
	}
}

// ends keeps the rollouts that ended.
type ends struct {
	*stage
	done []RolloutDone
}

func (e *ends) RolloutDone(d RolloutDone) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.done = append(e.done, d)
}

func (e *ends) soFar() []RolloutDone {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.done)
}

// From the third node on it is known within a quarter when a rollout ends, however long its nodes take, and longer or shorter by turns.
func TestTheEndOfARolloutIsForetold(t *testing.T) {
	for _, job := range []time.Duration{2 * time.Second, 40 * time.Second, 5 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			s := &ends{stage: stageOf(8, "v1")}
			s.job, s.leaves, s.comes = job, true, true
			d := s.deps()
			d.Observer = s
			f := webFleet("v2")
			f.Rollout.Drain.Settle = 20 * time.Second
			g, _, end := s.begin(t, f, d)
			for len(s.soFar()) == 0 {
				time.Sleep(time.Second)
			}
			status := g.Snapshot().Fleets[0]
			end()
			if r := s.soFar()[0]; r.Rollout.Result != ResultSucceeded || !r.Foretold || r.Misjudged > 0.25 {
				t.Errorf("jobs of %s: %+v", job, r)
			}
			if status.Expected.Nodes != 0 || !status.Ends.IsZero() || status.Took[plan.Configuring] < job {
				t.Errorf("at its end %+v is expected, by %s; took %v", status.Expected, status.Ends, status.Took)
			}
		})
	}
}

// What people held up was not misjudged, and of what nobody foretold nobody can tell.
func TestWhoMisjudgesWhat(t *testing.T) {
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	r := rollout{Rollout: Rollout{Planned: 4, Completed: 1}}
	if r.foretell(plan.Expectation{Nodes: 3, Left: time.Minute}, nil, at); !r.foretold.IsZero() {
		t.Error("foretold after one node")
	}
	r.Completed = 4
	if r.foretell(plan.Expectation{Nodes: 1, Left: time.Minute}, nil, at); !r.foretold.IsZero() {
		t.Error("foretold when it is over")
	}
	r.Completed = 2
	r.foretell(plan.Expectation{}, nil, at)
	if _, foretold := r.misjudged(at.Add(time.Minute)); foretold {
		t.Error("foretold by nobody")
	}
	r.foretell(plan.Expectation{Nodes: 2, Left: time.Minute}, nil, at)
	r.foretell(plan.Expectation{Nodes: 2, Left: time.Hour}, nil, at.Add(time.Second))
	for took, want := range map[time.Duration]float64{time.Minute: 0, 2 * time.Minute: 0.5, 30 * time.Second: 1} {
		if ratio, foretold := r.misjudged(at.Add(took)); ratio != want || !foretold {
			t.Errorf("misjudged by %v (%t), want %v", ratio, foretold, want)
		}
	}
	if ratio, foretold := r.misjudged(at); foretold {
		t.Errorf("over at once, and misjudged by %v", ratio)
	}
	r.foretell(plan.Expectation{Nodes: 2, Left: time.Minute}, []plan.Hold{{Cause: plan.ByGate}}, at)
	if _, foretold := r.misjudged(at.Add(time.Minute)); foretold {
		t.Error("a gate was foretold")
	}
	r.foretell(plan.Expectation{Nodes: 2, Left: time.Minute}, nil, at)
	r.Paused = time.Second
	if _, foretold := r.misjudged(at.Add(time.Minute)); foretold {
		t.Error("a pause was foretold")
	}
}
