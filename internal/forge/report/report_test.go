package report

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"windlass/desired"
	"windlass/internal/forge"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

// Commits of the stories.
var (
	first  = strings.Repeat("a", 40)
	second = strings.Repeat("b", 40)
	third  = strings.Repeat("c", 40)
)

// A told is what a forge was told, and when.
type told struct {
	at   time.Duration
	what string
}

// A memory is a forge that keeps what it was told, and fails when it is to.
type memory struct {
	began   time.Time
	github  bool
	numbers map[string]int64
	busy    bool

	mu    sync.Mutex
	told  []told
	tries int
	fail  func(what string) error // nil: it never does
	late  bool                    // what fails was done all the same
}

func newMemory() *memory {
	return &memory{began: time.Now(), github: true, numbers: map[string]int64{}}
}

func (m *memory) do(ctx context.Context, format string, args ...any) error {
	if m.busy {
		panic("two requests at once")
	}
	m.busy = true
	defer func() { m.busy = false }()
	select {
	case <-time.After(50 * time.Millisecond):
	case <-ctx.Done():
		return ctx.Err()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tries++
	what := fmt.Sprintf(format, args...)
	var err error
	if m.fail != nil {
		err = m.fail(what)
	}
	if err == nil || m.late {
		m.told = append(m.told, told{time.Since(m.began), what})
	}
	return err
}

func (m *memory) Retells() bool { return m.github }
func (m *memory) Deploys() bool { return m.github }
func (m *memory) SetStatus(ctx context.Context, s forge.Status) error {
	return m.do(ctx, "%.1s %s %s: %s", s.Commit, s.Context, s.State, s.Text)
}
func (m *memory) Deploy(ctx context.Context, d forge.Deployment) (int64, error) {
	err := m.do(ctx, "deploy %.1s to %s: %s", d.Commit, d.Environment, d.Text)
	if err == nil || m.late {
		m.numbers[d.Key] = int64(len(m.numbers) + 1)
	}
	if err != nil {
		return 0, err
	}
	return m.numbers[d.Key], nil
}
func (m *memory) FindDeployment(ctx context.Context, d forge.Deployment) (int64, error) {
	return m.numbers[d.Key], m.do(ctx, "find %.1s in %s", d.Commit, d.Environment)
}
func (m *memory) SetDeployment(ctx context.Context, id int64, s forge.State, text string) error {
	return m.do(ctx, "deployment %d %s", id, s)
}

// fails has it fail from now on, and begins to count anew.
func (m *memory) fails(late bool, fail func(what string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.late, m.fail, m.tries = late, fail, 0
}

// tried is how often it was asked for something, since that was asked last.
func (m *memory) tried() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.tries
	m.tries = 0
	return n
}

// says are what it was told, without times.
func (m *memory) says() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var lines []string
	for _, t := range m.told {
		lines = append(lines, t.what)
	}
	return strings.Join(lines, "\n")
}

// A stage shows one fleet after another.
type stage struct {
	mu      sync.Mutex
	now     reconciler.Snapshot
	changed chan struct{}
}

func newStage() *stage {
	return &stage{now: reconciler.Snapshot{Repo: reconciler.Repo{Revision: first}}, changed: make(chan struct{})}
}

func (s *stage) Snapshot() reconciler.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *stage) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *stage) show(fleets ...reconciler.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.Fleets = fleets
	close(s.changed)
	s.changed = make(chan struct{})
}

// standing is a fleet web of four nodes of which so many have what a commit wants.
func standing(commit, release string, phase plan.Phase, done int, reason string) reconciler.Status {
	s := reconciler.Status{
		Name: "web", Phase: phase, Reason: reason, Ready: true, Size: 4, InService: 4,
		Desired: reconciler.Desired{Revision: commit, Release: release, Change: desired.Commit{Revision: commit}},
	}
	for i := range 4 {
		s.Nodes = append(s.Nodes, reconciler.Node{NodeStatus: plan.NodeStatus{State: plan.InService, Outdated: i >= done}})
	}
	return s
}

// rolling is standing with its rollout.
func rolling(commit, release string, done int, began time.Time) reconciler.Status {
	s := standing(commit, release, plan.PhaseProgressing, done, "1 of 4 nodes under way")
	s.Rollout = reconciler.Rollout{
		Trigger: reconciler.TriggerCommit, Change: desired.Commit{Revision: commit}, From: "v1", Release: release, Started: began, Planned: 4, Completed: done,
	}
	return s
}

func over(s reconciler.Status, result reconciler.Result) reconciler.RolloutDone {
	s.Rollout.Result, s.Rollout.Ended = result, s.Rollout.Started.Add(time.Minute)
	return reconciler.RolloutDone{Fleet: s.Name, Rollout: s.Rollout, Reason: "failed on web-1"}
}

// A play is a reporter at work.
type play struct {
	*stage
	*Reporter
	forge *memory
	stop  func()
}

func begin(f *memory, s *stage, file string) *play {
	r := New(Options{Forge: f, Where: "git.example.com/ops/deploy", File: file, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Observe: func(string, bool) {}})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx, s)
	}()
	return &play{stage: s, Reporter: r, forge: f, stop: func() { cancel(); <-ended }}
}

// story runs a play in virtual time.
func story(t *testing.T, tell func(t *testing.T, file string)) {
	t.Helper()
	t.Parallel()
	file := filepath.Join(t.TempDir(), "forge.json")
	synctest.Test(t, func(t *testing.T) { tell(t, file) })
}

func wants(t *testing.T, f *memory, want string) {
	t.Helper()
	if got := f.says(); got != strings.TrimSpace(want) {
		t.Errorf("the forge is told\n%s\nwant\n%s", got, strings.TrimSpace(want))
	}
}

// A rollout is told from its beginning to its end, a second between two writes and 15 between two texts.
func TestARollout(t *testing.T) {
	story(t, func(t *testing.T, file string) {
		p := begin(newMemory(), newStage(), file)
		began := time.Now()
		for done := range 4 {
			p.show(rolling(second, "v2", done, began))
			time.Sleep(10 * time.Second)
		}
		s := rolling(second, "v2", 4, began)
		p.RolloutDone(over(s, reconciler.ResultSucceeded))
		p.show(standing(second, "v2", plan.PhaseIdle, 4, "4 of 4 in service with v2"))
		time.Sleep(time.Hour)
		p.show(standing(second, "v2", plan.PhaseWaiting, 3, "web-4 is unreachable"))
		time.Sleep(time.Hour)
		wants(t, p.forge, `
deploy b to web: v1 → v2
deployment 1 pending
b windlass/web pending: 0 of 4 with v2; 1 of 4 nodes under way
b windlass/web pending: 1 of 4 with v2; 1 of 4 nodes under way
b windlass/web pending: 3 of 4 with v2; 1 of 4 nodes under way
deployment 1 success
b windlass/web success: 4 of 4 in service with v2
`)
		texts := time.Duration(0)
		p.stop()
		for i, told := range p.forge.told {
			if i > 0 && told.at-p.forge.told[i-1].at < time.Second {
				t.Errorf("%q came %v after the one before", told.what, told.at-p.forge.told[i-1].at)
			}
			if strings.Contains(told.what, "windlass/web ") {
				if texts > 0 && told.at-texts < pace {
					t.Errorf("%q came %v after the text before", told.what, told.at-texts)
				}
				texts = told.at
			}
		}
	})
}

// A halt is told at once with its reason, a commit that takes over ends what was open, and one that is not in order says where.
func TestOtherEndings(t *testing.T) {
	story(t, func(t *testing.T, file string) {
		p := begin(newMemory(), newStage(), file)
		defer p.stop()
		began := time.Now()
		p.show(rolling(first, "v2", 1, began))
		time.Sleep(time.Minute)
		p.RolloutDone(over(rolling(first, "v2", 1, began), reconciler.ResultSuperseded))
		p.show(rolling(second, "v3", 0, began.Add(time.Minute)))
		time.Sleep(time.Minute)
		s := rolling(second, "v3", 0, began.Add(time.Minute))
		p.RolloutDone(over(s, reconciler.ResultHalted))
		s = standing(second, "v3", plan.PhaseHalted, 0, "v3 is halted: web-1: 500, \x1b[2Jpassword=hunter2")
		s.Rejected = &desired.Rejection{Path: "fleets/web.yaml", Revision: third, Errors: desired.Errors{
			{Position: desired.Position{File: "fleets/web.yaml", Line: 3, Column: 1}, Message: "unknown key \"relaese\"" + strings.Repeat("!", 200)}, {Message: "more"},
		}}
		p.show(s)
		time.Sleep(time.Minute)
		const place = `fleets/web.yaml:3:1: unknown key "relaese"`
		wants(t, p.forge, `
deploy a to web: v1 → v2
deployment 1 pending
a windlass/web pending: 1 of 4 with v2; 1 of 4 nodes under way
a windlass/web replaced: superseded at 1 of 4
deployment 1 replaced
deploy b to web: v1 → v3
deployment 2 pending
b windlass/web pending: 0 of 4 with v3; 1 of 4 nodes under way
b windlass/web failure: halted, 0 of 4 with v3: v3 is halted: web-1: 500, password=[redacted]
c windlass/web failure: `+place+strings.Repeat("!", 140-len(place)-len("x (and 1 more)"))+`… (and 1 more)
deployment 2 failure
`)
	})
}

// Nothing is told of fleets that were not seen whole, and what an earlier start told stays as it is while an actor has not made up its mind.
func TestARestart(t *testing.T) {
	story(t, func(t *testing.T, file string) {
		f, began := newMemory(), time.Now()
		p := begin(f, newStage(), file)
		p.show(rolling(second, "v2", 1, began))
		time.Sleep(time.Minute)
		p.stop()
		p = begin(f, newStage(), file)
		s := rolling(second, "v2", 1, began)
		p.show(reconciler.Status{Name: "web", Rollout: s.Rollout})
		time.Sleep(time.Minute)
		s.Ready = false
		p.show(s)
		time.Sleep(time.Minute)
		s.Ready = true
		p.show(s)
		time.Sleep(time.Minute)
		p.stop()
		p = begin(f, newStage(), file)
		defer p.stop()
		done := over(s, reconciler.ResultSucceeded) // an earlier start ended it, and knew no more
		s = standing(second, "v2", plan.PhaseIdle, 4, "")
		s.Rollout = done.Rollout
		p.show(s)
		time.Sleep(time.Minute)
		p.show()
		time.Sleep(time.Minute)
		wants(t, f, `
deploy b to web: v1 → v2
deployment 1 pending
b windlass/web pending: 1 of 4 with v2; 1 of 4 nodes under way
b windlass/web success: 4 of 4 in service with v2
deployment 1 success
`)
	})
}

// A deployment that was begun by an agent that was killed before it heard so is found again, and one whose answer was lost as well.
func TestNoDeploymentBeginsTwice(t *testing.T) {
	story(t, func(t *testing.T, file string) {
		f := newMemory()
		p := begin(f, newStage(), file)
		defer p.stop()
		f.fails(true, func(what string) error {
			if strings.HasPrefix(what, "deploy ") {
				return errors.New("the connection was lost")
			}
			return nil
		})
		p.show(rolling(second, "v2", 0, time.Now()))
		time.Sleep(time.Minute)
		wants(t, f, `
deploy b to web: v1 → v2
b windlass/web pending: 0 of 4 with v2; 1 of 4 nodes under way
find b in web
deployment 1 pending
`)
	})
}

// A forge that is away, is asked too much of or does not know the token is left alone for longer and longer, says so, and hears the end
// in the end; what it never takes it is not asked for again.
func TestAFailingForge(t *testing.T) {
	story(t, func(t *testing.T, file string) {
		f := newMemory()
		p := begin(f, newStage(), file)
		defer p.stop()
		fails := func(err error) { f.fails(false, func(string) error { return err }) }
		fails(&forge.Refusal{Says: "out of order", Busy: true})
		began := time.Now()
		p.show(rolling(second, "v2", 0, began))
		time.Sleep(time.Hour)
		if n := f.tried(); n < 10 || n > 30 {
			t.Errorf("it was tried %d times in an hour", n)
		}
		if got := p.Problems(); len(got) != 1 || got[0] != "out of order" {
			t.Errorf("the problems are %q", got)
		}
		fails(&forge.Refusal{Says: "too many", Busy: true, Wait: 40 * time.Minute})
		time.Sleep(10 * time.Minute)
		f.tried()
		time.Sleep(25 * time.Minute)
		if n := f.tried(); n > 0 {
			t.Errorf("it was tried %d times before it wanted to be", n)
		}
		fails(&forge.Refusal{Says: "no rights", Rights: true})
		time.Sleep(time.Hour)
		done := over(rolling(second, "v2", 4, began), reconciler.ResultSucceeded)
		p.RolloutDone(done)
		idle := standing(second, "v2", plan.PhaseIdle, 4, "")
		idle.Rollout = done.Rollout
		p.show(idle)
		f.fails(false, func(what string) error {
			if strings.HasPrefix(what, "deploy") {
				return &forge.Refusal{Says: "no such thing"}
			}
			return nil
		})
		time.Sleep(time.Hour)
		f.tried()
		time.Sleep(time.Hour)
		if !strings.Contains(f.says(), "b windlass/web success: 4 of 4 in service with v2") || strings.Contains(f.says(), "pending") {
			t.Errorf("in the end it is told\n%s", f.says())
		}
		if got := p.Problems(); f.tried() > 0 || len(got) != 1 || got[0] != "no such thing" {
			t.Errorf("the problems are %q", got)
		}
	})
}

// A token that may set statuses and nothing else sets statuses.
func TestLanesFailApart(t *testing.T) {
	story(t, func(t *testing.T, file string) {
		f := newMemory()
		p := begin(f, newStage(), file)
		defer p.stop()
		f.fails(false, func(what string) error {
			if strings.HasPrefix(what, "deploy") {
				return &forge.Refusal{Says: "no rights", Rights: true}
			}
			return nil
		})
		p.show(rolling(second, "v2", 0, time.Now()))
		time.Sleep(20 * time.Second)
		wants(t, f, `b windlass/web pending: 0 of 4 with v2; 1 of 4 nodes under way`)
	})
}

// However long a commit is under way, it has its end told, and far less than the forge takes.
func TestStatusesAreBounded(t *testing.T) {
	story(t, func(t *testing.T, file string) {
		f := newMemory()
		p := begin(f, newStage(), file)
		began := time.Now()
		for n := 0; time.Since(began) < 30*24*time.Hour; n++ {
			p.show(rolling(second, fmt.Sprint("v", n), 0, began))
			time.Sleep(20 * time.Minute)
		}
		p.stop()
		if n := len(f.told); n < 200 || n > 600 {
			t.Errorf("it was told %d things in 30 days", n)
		}
		year := 1
		for at := time.Duration(0); at < 365*24*time.Hour; year++ {
			at += pause(year)
		}
		if year < 820 || year >= 840 {
			t.Errorf("a year is told in %d statuses", year)
		}
		l := line{Told: verdict{forge.Pending, "x"}, Want: verdict{forge.Pending, "y"}, Count: mostTold}
		if _, ever := l.due(true); ever {
			t.Error("there is no bound")
		}
		for ahead, late := range map[time.Duration]bool{0: true, time.Hour: false} { // of the clock, before it was set back
			l.At, l.Count = time.Now().Add(ahead), 1
			b := book{Lines: []line{l}, retells: true}
			if w := b.next(time.Now(), [lanes]time.Time{}); w.at.After(time.Now()) != late {
				t.Errorf("told %v from now, the next is due at %v", ahead, w.at)
			}
		}
		l.Count = mostTold
		l.Want.State = forge.Failure
		if _, ever := l.due(true); !ever {
			t.Error("an ending has no room")
		}
	})
}

// A GitLab, which takes no other text in the same state and has no deployments, is told states.
func TestAForgeThatDoesNotRetell(t *testing.T) {
	story(t, func(t *testing.T, file string) {
		f := newMemory()
		f.github = false
		p := begin(f, newStage(), file)
		defer p.stop()
		for done := range 4 {
			p.show(rolling(second, "v2", done, time.Now()))
			time.Sleep(time.Minute)
		}
		p.show(standing(second, "v2", plan.PhaseIdle, 4, ""))
		time.Sleep(time.Minute)
		wants(t, f, `
b windlass/web pending: 0 of 4 with v2; 1 of 4 nodes under way
b windlass/web success: 4 of 4 in service with v2
`)
	})
}

// A book is of one repository, and one that cannot be understood or written stops nothing.
func TestBooks(t *testing.T) {
	story(t, func(t *testing.T, file string) {
		for _, text := range []string{"{", `{"schema":7}`, `{"schema":1,"where":"elsewhere","lines":[{"fleet":"web","commit":"` + second + `","told":{"state":"success"}}]}`} {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			p := begin(newMemory(), newStage(), file)
			if p.stop(); len(p.book.Lines) > 0 {
				t.Errorf("%s is gone on with", text)
			}
		}
		p := begin(newMemory(), newStage(), filepath.Join(file, "none"))
		defer p.stop()
		p.show(standing(second, "v2", plan.PhaseIdle, 4, ""))
		time.Sleep(time.Minute)
		wants(t, p.forge, `b windlass/web success: 4 of 4 in service with v2`)
	})
}

// The book does not grow with commits that nobody speaks of any more, nor with those that a forge does not hear of.
func TestTheBookIsBounded(t *testing.T) {
	t.Parallel()
	b := book{deploys: true, retells: true}
	began := time.Now()
	for n := range 100 {
		commit := fmt.Sprintf("%040x", n)
		s := rolling(commit, "v2", 0, began.Add(time.Duration(n)*time.Minute))
		b.take([]reconciler.Status{s})
		b.close(over(s, reconciler.ResultHalted))
	}
	b.take([]reconciler.Status{rolling(first, "v3", 0, began)})
	if len(b.Lines) > mostOpen+1 || len(b.Deployments) > mostOpen+1 || b.Lines[len(b.Lines)-1].Commit != first {
		t.Errorf("it has %d lines and %d deployments", len(b.Lines), len(b.Deployments))
	}
	for i := range b.Lines {
		b.Lines[i].Told = b.Lines[i].Want
	}
	for i := range b.Deployments {
		b.Deployments[i].Told = b.Deployments[i].Want
	}
	b.take([]reconciler.Status{rolling(first, "v3", 0, began)})
	if len(b.Lines) != 1 || len(b.Deployments) != 1 {
		t.Errorf("it keeps %+v and %+v", b.Lines, b.Deployments)
	}
}

// A halt whose reason changes is told each 15 seconds at most, like anything else that stays as it is but for its text.
func TestAReasonThatChanges(t *testing.T) {
	story(t, func(t *testing.T, file string) {
		p := begin(newMemory(), newStage(), file)
		for n := range 60 {
			p.show(standing(second, "v2", plan.PhaseHalted, 0, fmt.Sprintf("web-%d failed", n)))
			time.Sleep(time.Second)
		}
		p.stop()
		for i, told := range p.forge.told {
			if i > 0 && told.at-p.forge.told[i-1].at < pace {
				t.Errorf("%q came %v after the one before", told.what, told.at-p.forge.told[i-1].at)
			}
		}
		if n := len(p.forge.told); n < 4 || n > 5 {
			t.Errorf("it was told %d times", n)
		}
	})
}

// What the forge has trouble with, a commit that was taken out of it for one, holds nothing else up.
func TestOneThatFailsAlone(t *testing.T) {
	for name, refusal := range map[string]*forge.Refusal{"a fault": {Says: "500", Busy: true}, "no rights": {Says: "404", Rights: true}} {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T, file string) {
				f := newMemory()
				p := begin(f, newStage(), file)
				defer p.stop()
				f.fails(false, func(what string) error {
					if strings.HasPrefix(what, "a ") {
						return refusal
					}
					return nil
				})
				other := standing(second, "v2", plan.PhaseWaiting, 1, "floor")
				other.Name = "api"
				p.show(standing(first, "v1", plan.PhaseIdle, 4, ""), other)
				time.Sleep(5 * time.Minute)
				wants(t, f, "b windlass/api pending: 1 of 4 with v2, waiting: floor")
			})
		})
	}
}

// A commit that the forge does not have yet, as a mirror that lags, is told how it ended all the same.
func TestWhatWasRefusedBeforeItsEnd(t *testing.T) {
	story(t, func(t *testing.T, file string) {
		f := newMemory()
		p := begin(f, newStage(), file)
		defer p.stop()
		f.fails(false, func(string) error { return &forge.Refusal{Says: "no rights", Rights: true} })
		began := time.Now()
		p.show(rolling(second, "v2", 0, began))
		time.Sleep(30 * time.Second)
		f.fails(false, func(string) error { return &forge.Refusal{Says: "no such commit"} })
		time.Sleep(time.Minute)
		p.show(rolling(second, "v2", 1, began))
		time.Sleep(time.Minute)
		if n := f.tried(); n != 2 {
			t.Errorf("it was tried %d times", n)
		}
		if got := p.Problems(); len(got) != 1 || got[0] != "no such commit" {
			t.Errorf("the problems are %q", got)
		}
		f.fails(false, nil)
		done := over(rolling(second, "v2", 4, began), reconciler.ResultSucceeded)
		p.RolloutDone(done)
		idle := standing(second, "v2", plan.PhaseIdle, 4, "")
		idle.Rollout = done.Rollout
		p.show(idle)
		time.Sleep(time.Minute)
		wants(t, f, "b windlass/web success: 4 of 4 in service with v2\ndeploy b to web: v1 → v2\ndeployment 1 success")
		if got := p.Problems(); len(got) > 0 {
			t.Errorf("the problems are %q", got)
		}
	})
}
