package bench

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"windlass/desired"
	"windlass/internal/notify"
	"windlass/reconciler"
	"windlass/reconciler/sim"
)

const notifiedStories = 4

// BenchmarkNotified reports how much longer rollouts take with four channels, one of which hangs: stories of the simulation, bad luck and kills
// included, with the real core and the real notifier in virtual time.
func BenchmarkNotified(b *testing.B) {
	for b.Loop() {
		var with, without time.Duration
		same, said := true, 0
		for seed := range uint64(notifiedStories) {
			alone, heard := &hearer{}, &hearer{dir: b.TempDir(), places: newPlaces()}
			a, h := playHeard(b, seed+1, alone), playHeard(b, seed+1, heard)
			with, without = with+h.Took, without+a.Took
			same = same && h.Took == a.Took && slices.Equal(h.Log, a.Log)
			for _, p := range heard.places {
				said += p.(*place).said
			}
		}
		got := fmt.Sprintf("%v : %v, %d messages", with, without, said)
		table.add(fmt.Sprintf("%d stories with four channels, one of which hangs : with none, in virtual time", notifiedStories), got, "equal, call by call", same && said > 0)
	}
}

func playHeard(b *testing.B, seed uint64, h *hearer) (r sim.Result) {
	inVirtualTime(b, fmt.Sprintf("story %d", seed), func(*testing.T) {
		r = sim.PlayHeard(seed, sim.NewStory(seed), nil, h)
		h.ending.Wait()
	})
	return r
}

// A place takes 40 ms to answer, or hangs.
type place struct {
	hangs bool
	mu    sync.Mutex
	said  int
}

func newPlaces() map[string]notify.Channel {
	return map[string]notify.Channel{"a": &place{}, "b": &place{}, "c": &place{}, "d": &place{hangs: true}}
}

func (p *place) Traits() notify.Traits {
	return notify.Traits{Service: "slack", Updates: true, Threads: true, Every: 1200 * time.Millisecond}
}

func (p *place) Say(ctx context.Context, m notify.Message) (string, error) {
	if p.hangs {
		<-ctx.Done()
		return "", &notify.Failure{Says: "there was no answer", Unsure: true}
	}
	select {
	case <-time.After(40 * time.Millisecond):
	case <-ctx.Done():
		return "", &notify.Failure{Says: "it was cut off", Unsure: true}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said++
	return m.ID, nil
}

// A hearer has a notifier beside each start of the agent; without places it has none.
type hearer struct {
	dir    string
	places map[string]notify.Channel

	notifier *notify.Notifier
	stop     context.CancelFunc
	ending   sync.WaitGroup
}

func (h *hearer) Notify() (all []desired.Notification) {
	for name := range h.places {
		all = append(all, desired.Notification{Channel: name, On: []desired.Occasion{desired.OnStarted, desired.OnWaiting, desired.OnHalted, desired.OnRolledBack, desired.OnSucceeded}})
	}
	return all
}

func (h *hearer) Kept() map[string]reconciler.Kept { return nil }

func (h *hearer) Begin(agent *reconciler.Agent) {
	if h.places == nil {
		return
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	n, err := notify.New(notify.Options{Memory: notify.OpenMemory(filepath.Join(h.dir, "notified.json"), log), Source: agent, Touch: agent.Touch, Log: log, Others: h.places})
	if err != nil {
		panic(err) // nothing of it is read from a file
	}
	ctx, stop := context.WithCancel(context.Background())
	h.notifier, h.stop = n, stop
	h.ending.Add(1)
	go func() {
		defer h.ending.Done()
		n.Run(ctx)
	}()
}

func (h *hearer) RolloutDone(d reconciler.RolloutDone) {
	if h.notifier != nil {
		h.notifier.RolloutDone(d)
	}
}

func (h *hearer) End(bool) {
	if h.stop != nil {
		h.stop()
	}
}

func (h *hearer) Rest() {}
