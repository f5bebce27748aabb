package notify

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"windlass/desired"
	"windlass/reconciler"
	"windlass/reconciler/sim"
)

var (
	stories = flag.Int("stories", 30, "how many stories are played; a sixth of them under the race detector")
	tell    = flag.Uint64("tell", 0, "print what was said in the story of this seed")
)

var everything = []desired.Occasion{desired.OnStarted, desired.OnWaiting, desired.OnHalted, desired.OnRolledBack, desired.OnSucceeded, desired.OnRejected}

func openMemoryIn(dir string, log *slog.Logger) *Memory {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		panic(err)
	}
	return OpenMemory(filepath.Join(dir, "notified.json"), log)
}

// kill has nothing reach the disk any more.
func (m *Memory) kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.path = filepath.Join(m.path, "of a process that is dead", "file")
}

var kinds = map[string]Traits{
	"chat":    {Service: "slack", Updates: true, Threads: true, Every: 1200 * time.Millisecond},
	"space":   {Service: "googleChat", Threads: true, Every: 1200 * time.Millisecond},
	"room":    {Service: "teams", Every: 1200 * time.Millisecond},
	"program": {Service: "webhook", Known: true, Each: true, Every: 100 * time.Millisecond},
}

func newCrowd(seed uint64, dir string) *crowd {
	c := &crowd{boards: map[string]*board{}, dir: dir}
	for name, traits := range kinds {
		c.boards[name] = &board{traits: traits, seed: seed + uint64(len(name)), until: time.Now().Add(24 * time.Hour)}
	}
	for _, name := range []string{"chat", "space", "room", "program"} {
		c.on = append(c.on, desired.Notification{Channel: name, On: everything})
	}
	if seed%5 == 0 {
		c.loses = func(start int) bool { return start%2 == 0 }
	}
	return c
}

// calmed ends the boards' faults with the story's.
func (c *crowd) calmed(story sim.Story) {
	last := time.Duration(0)
	for _, e := range story.Events {
		last = max(last, e.At)
	}
	for _, b := range c.boards {
		b.until = time.Now().Add(last + sim.Calm)
	}
}

// broken are the laws that a story with people broke.
func (c *crowd) broken() []string {
	var all []string
	for name, b := range c.boards {
		all = append(all, c.lostEnds(name, b)...)
		threads, told := map[string]bool{}, map[string][]string{} // told: what of a rollout, but that it waits
		posts := 0
		for _, m := range b.messages {
			thread := m.Thread
			if thread == "" || !b.traits.Threads {
				thread = m.ID
			}
			if m.Kind != Reply {
				posts++
				threads[thread] = true
			}
			if m.Thread != "" && m.Kind != Update && m.On != desired.OnWaiting && !slices.Contains(told[m.Thread], m.ID) {
				told[m.Thread] = append(told[m.Thread], m.ID)
			}
		}
		if extra, bound := posts-len(threads), c.kills+c.lost+b.unsure; extra > bound {
			all = append(all, fmt.Sprintf("%s: %d threads are extra, with %d kills, %d lost directories, %d unanswered", name, extra, c.kills, c.lost, b.unsure))
		}
		for thread, ids := range told {
			if len(ids) > 2 { // its beginning and its end
				all = append(all, fmt.Sprintf("%s: too much about %s: %v", name, thread, ids))
			}
		}
	}
	slices.Sort(all)
	return all
}

// lostEnds are rollouts whose end was told to nobody.
func (c *crowd) lostEnds(name string, b *board) (lost []string) {
	words := map[reconciler.Result]string{
		reconciler.ResultSucceeded: "in service on", reconciler.ResultHalted: "halted at", reconciler.ResultRolledBack: "rolled back", reconciler.ResultSuperseded: "superseded",
	}
	for _, d := range c.ended {
		r := d.Rollout
		if r.Started.Before(c.lostAt) || r.Result == reconciler.ResultSuperseded && !b.traits.Updates ||
			r.Trigger == reconciler.TriggerDrift || r.Trigger == reconciler.TriggerMembership {
			continue
		}
		of := fmt.Sprintf("web@%d", r.Started.UnixMilli())
		told := slices.ContainsFunc(b.messages, func(m said) bool { return m.Thread == of && strings.Contains(m.Title, words[r.Result]) })
		began := slices.ContainsFunc(b.messages, func(m said) bool { return m.Thread == of })
		if !told && (began || r.Result != reconciler.ResultSuperseded) {
			lost = append(lost, fmt.Sprintf("%s: nobody was told that %s %s", name, r.Release, r.Result))
		}
	}
	return lost
}

func playCrowd(t *testing.T, seed uint64, decide func(view, books, Traits, time.Time) (*step, time.Time)) (broken []string) {
	dir := t.TempDir()
	synctest.Test(t, func(*testing.T) {
		c, story := newCrowd(seed, dir), sim.NewStory(seed)
		c.decide = decide
		c.calmed(story)
		sim.PlayHeard(seed, story, nil, c)
		c.ending.Wait()
		broken = c.broken()
		if seed == *tell {
			c.tell(t)
		}
	})
	return broken
}

// tell prints what was said.
func (c *crowd) tell(t *testing.T) {
	for _, d := range c.ended {
		t.Logf("ended %s: %s %s by %s, started %d", d.Rollout.Ended.Format(time.TimeOnly), d.Rollout.Release, d.Rollout.Result, d.Rollout.Trigger, d.Rollout.Started.UnixMilli())
	}
	for name, b := range c.boards {
		for _, m := range b.messages {
			t.Logf("%s %s %s %s in %s at %s: %s", name, m.At.Format(time.TimeOnly), m.Kind, m.On, m.Thread, m.ts, m.Title)
		}
	}
}

// fewer is as many, or a sixth under the race detector.
func fewer(stories int) uint64 {
	if raceEnabled {
		stories = (stories + 5) / 6
	}
	return uint64(stories)
}

// In no story, whatever befalls agent, fleet and channels, an end is lost, or a thread opened that no kill, lost directory or lost answer explains.
func TestLaws(t *testing.T) {
	t.Parallel()
	for seed := range fewer(*stories) {
		if broken := playCrowd(t, seed+1, nil); len(broken) > 0 {
			t.Errorf("seed %d: %s", seed+1, strings.Join(broken, "; "))
		}
	}
}

// The laws would notice when something is wrong.
func TestLawsBite(t *testing.T) {
	t.Parallel()
	for name, bug := range map[string]struct {
		decide func(view, books, Traits, time.Time) (*step, time.Time)
		says   string
	}{
		"ends are dropped": {func(v view, told books, t Traits, now time.Time) (*step, time.Time) {
			s, wake := next(v, told, t, now)
			if s != nil && s.closes {
				told[s.fleet].Threads[s.id] = &thread{Started: startOf(s.id), Closed: true}
				return nil, now.Add(time.Second)
			}
			return s, wake
		}, "nobody was told"},
		"threads are forgotten": {func(v view, told books, t Traits, now time.Time) (*step, time.Time) {
			for _, b := range told {
				for _, t := range b.Threads {
					t.Posted = t.Posted && now.Second()%10 != 0
				}
			}
			return next(v, told, t, now)
		}, "are extra"},
		"each node is told": {func(v view, told books, t Traits, now time.Time) (*step, time.Time) {
			s, wake := next(v, told, t, now)
			for _, f := range v.standings {
				id, node := id(f.fleet.Name, f.fleet.Rollout), desired.Occasion(fmt.Sprint("node ", f.fleet.Rollout.Completed))
				if b := told[f.fleet.Name]; s == nil && b != nil && b.Threads[id] != nil && b.Threads[id].Posted && !b.Threads[id].told(node) {
					m := Message{ID: id + "/" + string(node), Thread: id, Kind: Reply, On: node}
					return &step{fleet: f.fleet.Name, id: id, told: []desired.Occasion{node}, message: m}, wake
				}
			}
			return s, wake
		}, "too much about"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(*stories) {
				if strings.Contains(strings.Join(playCrowd(t, seed+1, bug.decide), "; "), bug.says) {
					return
				}
			}
			t.Errorf("no story of %d shows it", *stories)
		})
	}
}

// A rollout with four channels, of which one hangs and the others fail, goes as one with none: in virtual time, to the nanosecond.
func TestChannelsDelayNoRollout(t *testing.T) {
	t.Parallel()
	for seed := range fewer(12) {
		story := sim.NewStory(seed + 1)
		play := func(c *crowd) (r sim.Result) {
			synctest.Test(t, func(*testing.T) {
				c.calmed(story)
				r = sim.PlayHeard(seed+1, story, nil, c)
				c.ending.Wait()
			})
			return r
		}
		c := newCrowd(seed+1, t.TempDir())
		c.loses = nil
		c.boards["chat"].hangs = true
		nobody := newCrowd(seed+1, t.TempDir())
		nobody.loses, nobody.on = nil, nil
		without, with := play(nobody), play(c)
		if without.Took != with.Took || !slices.Equal(without.Log, with.Log) {
			i := 0
			for i < len(with.Log) && i < len(without.Log) && with.Log[i] == without.Log[i] {
				i++
			}
			t.Errorf("seed %d: it took %v with channels, %v without; with: %v, without: %v", seed+1, with.Took, without.Took, with.Log[i:min(i+2, len(with.Log))], without.Log[i:min(i+2, len(without.Log))])
		}
	}
}
