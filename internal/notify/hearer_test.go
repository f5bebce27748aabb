package notify

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"windlass/desired"
	"windlass/internal/history"
	"windlass/reconciler"
)

// A board is a chat's channel that speaks to nobody: it keeps what is said there, and behaves as badly as chats do.
type board struct {
	traits Traits
	seed   uint64
	hangs  bool      // it never answers
	until  time.Time // when its faults end; zero: it has none

	mu       sync.Mutex
	calls    int
	unsure   int // messages that are there, and whose sender was not told so
	messages []said
}

// said is a message that is there.
type said struct {
	Message
	ts string
}

func (b *board) Traits() Traits { return b.traits }

// Say takes an instant of its own, and then goes as it goes.
func (b *board) Say(ctx context.Context, m Message) (string, error) {
	b.mu.Lock()
	b.calls++
	h := fnv.New64a()
	fmt.Fprint(h, b.seed, m.Kind, m.ID, b.calls)
	r := rand.New(rand.NewPCG(h.Sum64(), 3))
	bad := time.Now().Before(b.until)
	b.mu.Unlock()
	if b.hangs {
		<-ctx.Done()
		return "", &Failure{Says: "there was no answer", Unsure: true}
	}
	travels := time.After(time.Duration(1 + r.IntN(8_000_000)))
	select {
	case <-travels:
	case <-ctx.Done():
		return "", &Failure{Says: "cut off", Unsure: true}
	}
	how := 100
	if bad {
		how = r.IntN(100)
	}
	switch {
	case how < 12:
		return "", &Failure{Says: "too many requests", Wait: time.Duration(r.IntN(180)) * time.Second}
	case how < 22:
		return "", &Failure{Says: "connection refused"}
	case how < 30:
		b.put(m, true)
		return "", &Failure{Says: "connection reset", Unsure: true}
	case how < 36:
		<-ctx.Done()
		return "", &Failure{Says: "there was no answer", Unsure: true}
	}
	return b.put(m, false), nil
}

func (b *board) put(m Message, unsure bool) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if unsure && m.Kind == Post {
		b.unsure++
	}
	if m.Kind == Update {
		for i := range b.messages {
			if b.messages[i].ts == m.Place {
				ts := b.messages[i].ts
				b.messages[i] = said{m, ts}
			}
		}
		return m.Place
	}
	ts := fmt.Sprintf("ts-%d", len(b.messages)+1)
	b.messages = append(b.messages, said{m, ts})
	return ts
}

// A crowd is all who hear of a simulated fleet: a notifier beside each start of the agent, with boards that outlive it.
type crowd struct {
	boards map[string]*board
	on     []desired.Notification
	decide func(view, books, Traits, time.Time) (*step, time.Time) // nil: next
	dir    string
	loses  func(start int) bool // the state directory is lost before that start

	mu      sync.Mutex
	starts  int
	kills   int
	lost    int
	lostAt  time.Time
	kept    map[string]reconciler.Kept
	ended   []reconciler.RolloutDone // all that were told of
	past    []history.Entry
	current *beside
	ending  sync.WaitGroup
}

// beside is what runs beside one start of the agent.
type beside struct {
	notifier *Notifier
	memory   *Memory
	agent    *reconciler.Agent
	stop     context.CancelFunc
	running  sync.WaitGroup
}

func (c *crowd) Notify() []desired.Notification { return c.on }

func (c *crowd) Kept() map[string]reconciler.Kept {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.starts++
	if c.loses != nil && c.starts > 1 && c.loses(c.starts) {
		c.lost++
		c.lostAt, c.kept, c.past = time.Now(), nil, nil
		c.dir = filepath.Join(c.dir, "anew")
	}
	return c.kept
}

func (c *crowd) Newest(string, int) ([]history.Entry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := slices.Clone(c.past)
	slices.Reverse(all)
	return all, nil
}

func (c *crowd) Begin(agent *reconciler.Agent) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	b := &beside{agent: agent, memory: openMemoryIn(c.dir, log)}
	others := map[string]Channel{}
	for _, to := range c.on {
		others[to.Channel] = c.boards[to.Channel]
	}
	n, err := New(Options{Memory: b.memory, Source: agent, Past: c, Touch: agent.Touch, Log: log, Others: others})
	if err != nil {
		panic(err)
	}
	for _, w := range n.workers {
		if c.decide != nil {
			w.decide = c.decide
		}
		w.pace.Jitter = 0
	}
	b.notifier = n
	var ctx context.Context
	ctx, b.stop = context.WithCancel(context.Background())
	b.running.Go(func() { n.Run(ctx) })
	b.running.Go(func() { c.keep(ctx, b) })
	c.mu.Lock()
	c.current = b
	c.mu.Unlock()
}

// keep does as the agent does: it writes how rollouts stand, at most once a second.
func (c *crowd) keep(ctx context.Context, b *beside) {
	for ctx.Err() == nil {
		changed := b.agent.Changed()
		c.write(b)
		await(ctx, changed, time.Time{})
		await(ctx, nil, time.Now().Add(time.Second))
	}
}

func (c *crowd) write(b *beside) {
	s := b.agent.Snapshot()
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.Repo.Revision == "" {
		return
	}
	c.kept = map[string]reconciler.Kept{}
	for _, f := range s.Fleets {
		c.kept[f.Name] = f.Keep()
	}
}

func (c *crowd) RolloutDone(d reconciler.RolloutDone) {
	c.mu.Lock()
	b := c.current
	c.ended = append(c.ended, d)
	r := d.Rollout
	c.past = append(c.past, history.Entry{
		Fleet: d.Fleet, Started: r.Started, Ended: r.Ended, Trigger: r.Trigger, Result: r.Result, From: r.From, To: r.Release, Planned: r.Planned, Completed: r.Completed,
	})
	c.mu.Unlock()
	b.notifier.RolloutDone(d)
}

func (c *crowd) End(killed bool) {
	c.mu.Lock()
	b := c.current
	c.mu.Unlock()
	if killed {
		c.mu.Lock()
		c.kills++
		c.mu.Unlock()
		b.memory.kill()
	} else {
		c.write(b)
	}
	b.stop() // a process that ends takes a moment more where a channel hangs; the next need not wait for that
	c.ending.Add(1)
	go func() {
		defer c.ending.Done()
		b.running.Wait()
	}()
}

// Rest gives the last notifier the time that its longest pause takes.
func (c *crowd) Rest() { time.Sleep(20 * time.Minute) }
