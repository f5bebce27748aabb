package notify

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"windlass/desired"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

// A stand is an agent that stands still.
type stand struct{ fleets []reconciler.Status }

func (s *stand) Snapshot() reconciler.Snapshot {
	return reconciler.Snapshot{Repo: reconciler.Repo{Revision: "3f2a"}, Fleets: s.fleets}
}

func (s *stand) Changed() <-chan struct{} { return nil }

func notifierOf(t *testing.T, s *stand) *Notifier {
	t.Helper()
	n, err := New(Options{
		Memory: openMemoryIn(t.TempDir(), slog.New(slog.NewTextHandler(io.Discard, nil))), Source: s, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Others: map[string]Channel{"chat": &board{traits: kinds["chat"]}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

var chatHears = []desired.Notification{{Channel: "chat", On: everything}}

// Many rollouts that nobody wanted push none out that somebody did, while the channel cannot be told; and one that began earlier than the one before it,
// since the clock was set back, is before it all the same.
func TestRolloutsBeforeTheNewest(t *testing.T) {
	t.Parallel()
	s := &stand{[]reconciler.Status{{Name: "web", Phase: plan.PhaseIdle, Notify: chatHears, Rollout: reconciler.Rollout{Started: noon.Add(-time.Hour)}}}}
	n := notifierOf(t, s)
	n.look()
	n.RolloutDone(reconciler.RolloutDone{Fleet: "web", Rollout: reconciler.Rollout{Started: noon, Trigger: reconciler.TriggerCommit, Result: reconciler.ResultSucceeded}})
	for i := range 3 * mostPastOf {
		at := noon.Add(time.Duration(i+1) * time.Minute)
		n.RolloutDone(reconciler.RolloutDone{Fleet: "web", Rollout: reconciler.Rollout{Started: at, Trigger: reconciler.TriggerDrift, Result: reconciler.ResultSucceeded}})
	}
	n.look()
	past := n.views["chat"].standings[0].past
	if len(past) != mostPastOf || past[0].rollout.Trigger != reconciler.TriggerCommit || past[1].rollout.Started != noon.Add((2*mostPastOf+2)*time.Minute) {
		t.Errorf("%d are known: %+v", len(past), past)
	}
}

func TestWhatCannotBeginIsSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := reconciler.Status{
			Name: "web", Phase: plan.PhaseWaiting, Reason: "6 of 8 in service, floor is 7", Notify: chatHears, Expected: plan.Expectation{Nodes: 8},
			Desired: reconciler.Desired{Release: "v3", Digest: "d3"}, Rollout: reconciler.Rollout{Digest: "d2", Started: noon, Ended: noon.Add(time.Minute)},
		}
		s := &stand{[]reconciler.Status{f}}
		n := notifierOf(t, s)
		held := func(change func(f *reconciler.Status)) (since time.Time) {
			s.fleets = []reconciler.Status{f}
			change(&s.fleets[0])
			n.look()
			return n.views["chat"].standings[0].held
		}
		began := time.Now()
		for range 2 {
			if since := held(func(*reconciler.Status) {}); since != began {
				t.Errorf("it waits since %v, want %v", since, began)
			}
			time.Sleep(time.Minute)
		}
		for what, change := range map[string]func(*reconciler.Status){
			"a rollout that goes on":    func(f *reconciler.Status) { f.Rollout.Ended = time.Time{} },
			"nodes that drifted":        func(f *reconciler.Status) { f.Rollout.Digest = "d3" },
			"nothing to bring":          func(f *reconciler.Status) { f.Expected.Nodes = 0 },
			"a fleet that is held up":   func(f *reconciler.Status) { f.Phase = plan.PhasePaused },
			"a version that has halted": func(f *reconciler.Status) { f.Phase = plan.PhaseHalted },
		} {
			if since := held(change); !since.IsZero() {
				t.Errorf("%s waits since %v", what, since)
			}
		}
	})
}

// A channel that cannot be told for a while hears of all that ended since it was to hear of the fleet, and of nothing before.
func TestWhatEndsWhileAChannelWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := reconciler.Status{Name: "web", Phase: plan.PhaseIdle, Notify: chatHears}
		s := &stand{[]reconciler.Status{f}}
		n := notifierOf(t, s)
		n.look()
		time.Sleep(time.Minute)
		s.fleets[0].Rollout = reconciler.Rollout{Trigger: reconciler.TriggerCommit, Release: "v2", Started: time.Now(), Ended: time.Now(), Result: reconciler.ResultSucceeded}
		n.look()
		time.Sleep(time.Minute)
		if step, _ := next(*n.views["chat"], books{}, kinds["chat"], time.Now()); step == nil || step.message.On != desired.OnSucceeded {
			t.Errorf("the first to be said is %+v", step)
		}
		s.fleets[0].Notify = nil
		n.look()
		s.fleets[0].Notify = chatHears
		n.look()
		if step, _ := next(*n.views["chat"], books{}, kinds["chat"], time.Now()); step != nil {
			t.Errorf("who is to hear of it since then alone is told %+v", step)
		}
	})
}

// What could not be kept, as the disk was full, is kept as soon as it can be.
func TestWhatCouldNotBeKeptIsKeptLater(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state") // it is not there, as a full disk cannot be had
	m := OpenMemory(filepath.Join(dir, "notified.json"), slog.New(slog.NewTextHandler(io.Discard, nil)))
	w := &worker{key: "chat", memory: m, told: books{"web": {Since: noon}}}
	w.keep()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w.keep()
	if again := OpenMemory(m.path, m.log).of("chat"); again["web"] == nil {
		t.Error("it is not kept")
	}
}

// picky refuses what is said of one fleet.
type picky struct{ fleet string }

func (p picky) Traits() Traits { return kinds["chat"] }

func (p picky) Say(_ context.Context, m Message) (string, error) {
	if m.Fleet == p.fleet {
		return "", &Failure{Says: "it is spam", Refused: true}
	}
	return "place", nil
}

// A channel that takes all but one message is not in trouble, nor left alone, once that is given up.
func TestAMessageThatIsGivenUpIsNoTroubleOfTheChannel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := notifierOf(t, &stand{}).workers[0]
		w.channel, w.told = picky{"web-000"}, books{}
		v, troubles := fleetsOf(3), []bool{}
		for act, _ := w.next(v, time.Now()); act != nil; act, _ = w.next(v, time.Now()) {
			time.Sleep(time.Until(w.pace.Next()))
			act(t.Context())
			problem, _ := w.trouble()
			troubles = append(troubles, problem != "")
		}
		if !slices.Equal(troubles, []bool{true, false, false, false}) || time.Until(w.pace.Next()) > time.Minute {
			t.Errorf("in trouble: %v, and left alone until %v", troubles, w.pace.Next())
		}
	})
}
