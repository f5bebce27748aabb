package report

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"windlass/internal/forge"
	"windlass/internal/outbound"
	"windlass/reconciler"
)

// A Source knows how everything stands.
//
// Laws: both methods return at once. The channel that Changed returns is closed when a newer snapshot is there than any taken before the call.
type Source interface {
	Snapshot() reconciler.Snapshot
	Changed() <-chan struct{}
}

// A Forge is the repository that is written to: a forge.Client.
//
// Law: a method makes one attempt, and its error is a *forge.Refusal where the forge answered. After any other error what was asked may have been done.
type Forge interface {
	SetStatus(ctx context.Context, s forge.Status) error
	Deploy(ctx context.Context, d forge.Deployment) (int64, error)
	FindDeployment(ctx context.Context, d forge.Deployment) (int64, error)
	SetDeployment(ctx context.Context, id int64, state forge.State, text string) error
	Retells() bool // a status may be given another text in the same state
	Deploys() bool // there are deployments
}

// Options are what a reporter needs.
type Options struct {
	Forge   Forge
	Where   string // the repository, for people; a book of another is not gone on with
	File    string // the book
	Log     *slog.Logger
	Observe func(operation string, failed bool) // one of Operations was tried; returns at once
}

// Operations lists what is written to a forge.
var Operations = [...]string{"status", "deployment"}

const (
	betweenWrites = time.Second // GitHub's advice, "Best practices for using the REST API"
	leastPause    = 5 * time.Second
	mostPauses    = 5 * time.Minute
	leastBarred   = time.Minute // where the token is not right
	mostBarred    = 15 * time.Minute
	gather        = 200 * time.Millisecond // what happens within that is one change
)

// A Reporter tells a forge what becomes of commits. The zero value is of no use; New makes one, Run starts it.
type Reporter struct {
	Options

	mu       sync.Mutex
	done     []reconciler.RolloutDone // and not in the book yet
	problems []string                 // that people are to know of

	book   book
	saved  []byte // the book as it is on disk
	states string // of it, when it was last written for their sake
	unkept bool   // it could not be written, and that was said
	turn   outbound.Pace
	barred [lanes]outbound.Pace
	why    [lanes]string // the newest attempt failed; empty: it did not
}

// New makes a reporter that goes on with what the last start wrote down. It starts nothing.
func New(o Options) *Reporter {
	r := &Reporter{Options: o, turn: outbound.Pace{Every: betweenWrites, Least: leastPause, Most: mostPauses, Jitter: 0.1}}
	for i := range r.barred {
		r.barred[i] = outbound.Pace{Least: leastBarred, Most: mostBarred, Jitter: 0.1}
	}
	r.book = r.load()
	r.book.retells, r.book.deploys = o.Forge.Retells(), o.Forge.Deploys()
	return r
}

// RolloutDone takes a rollout that ended. It returns at once.
func (r *Reporter) RolloutDone(d reconciler.RolloutDone) {
	r.mu.Lock()
	defer r.mu.Unlock()
	const most = 1000
	r.done = append(r.done, d)
	r.done = r.done[max(0, len(r.done)-most):]
}

// Problems are what keeps the forge from being told, a line each.
func (r *Reporter) Problems() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.problems)
}

// Run tells the forge until ctx ends. What is not told by then the next start tells.
func (r *Reporter) Run(ctx context.Context, source Source) {
	for ctx.Err() == nil {
		changed := source.Changed()
		r.look(source)
		next := r.book.next(time.Now(), r.open())
		if !next.none() && !next.at.After(time.Now()) {
			r.tell(ctx, next)
			continue
		}
		if wait(ctx, changed, next) {
			rest(ctx, gather)
		}
	}
	r.look(source)
	r.save()
}

// open is from when on each lane may be used.
func (r *Reporter) open() (from [lanes]time.Time) {
	for i := range from {
		from[i] = latest(r.turn.Next(), r.barred[i].Next())
	}
	return from
}

// wait returns when something may be told, and true when there is a newer snapshot first.
func wait(ctx context.Context, changed <-chan struct{}, next write) bool {
	var late <-chan time.Time
	if !next.none() {
		timer := time.NewTimer(time.Until(next.at))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-ctx.Done():
	case <-late:
	case <-changed:
		return true
	}
	return false
}

func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// look puts into the book what has happened. Before git said which fleets there are, a snapshot says nothing.
func (r *Reporter) look(source Source) {
	r.mu.Lock()
	done := r.done
	r.done = nil
	r.mu.Unlock()
	for _, d := range done {
		r.book.close(d)
	}
	if s := source.Snapshot(); s.Repo.Revision != "" {
		r.book.take(s.Fleets)
	}
	if states := r.book.states(); states != r.states {
		r.states = states
		r.save()
	}
	r.note()
}

// tell makes one attempt.
func (r *Reporter) tell(ctx context.Context, w write) {
	on, err := statuses, error(nil)
	if w.line > 0 {
		err = r.tellLine(ctx, &r.book.Lines[w.line-1])
	} else {
		on = deployments
		err = r.tellDeployment(ctx, &r.book.Deployments[w.deployment-1])
	}
	if err != nil && ctx.Err() != nil {
		return // nobody's fault
	}
	r.Observe(Operations[on], err != nil)
	r.judge(on, err, time.Now())
	r.save()
}

func (r *Reporter) tellLine(ctx context.Context, l *line) error {
	said := l.Want
	err := r.Forge.SetStatus(ctx, forge.Status{Commit: l.Commit, Context: "windlass/" + l.Fleet, State: said.State, Text: said.Text})
	if err == nil {
		l.Told, l.At = said, time.Now()
		l.Count++
	}
	l.failed = inARow(l.failed, err)
	l.Refused = final(err)
	return err
}

// tellDeployment makes one step on the way to what is to be said of a rollout: it begins the deployment, or says how that stands. That it may have begun is on
// disk before it is asked for; then it is looked for first.
func (r *Reporter) tellDeployment(ctx context.Context, d *deployment) (err error) {
	wanted := forge.Deployment{Commit: d.Commit, Environment: d.Fleet, Text: d.Text, Key: d.key()}
	switch {
	case d.ID != 0:
		said := d.Want
		if err = r.Forge.SetDeployment(ctx, d.ID, said.State, said.Text); err == nil {
			d.Told = said
		}
	case d.Asked:
		if d.ID, err = r.Forge.FindDeployment(ctx, wanted); err == nil && d.ID == 0 {
			d.Asked = false
		}
	default:
		d.Asked = true
		r.save()
		d.ID, err = r.Forge.Deploy(ctx, wanted)
		var refused *forge.Refusal
		if errors.As(err, &refused) && !refused.Busy {
			d.Asked = false
		}
	}
	d.failed = inARow(d.failed, err)
	d.Refused = final(err)
	return err
}

// inARow counts attempts that failed, this one included.
func inARow(before int, err error) int {
	if err == nil {
		return 0
	}
	return before + 1
}

// final is why the same will never be taken; empty: it was, or may be.
func final(err error) string {
	var refused *forge.Refusal
	if errors.As(err, &refused) && refused.Final() {
		return refused.Says
	}
	return ""
}

// judge makes of how an attempt ended when the next may be made.
func (r *Reporter) judge(on lane, err error, now time.Time) {
	var refused *forge.Refusal
	answered := errors.As(err, &refused)
	before := r.why
	switch {
	case err == nil, answered && refused.Final():
		r.turn.Done(now)
		r.barred[on].Done(now)
		r.why[on] = ""
	case answered && refused.Rights:
		r.turn.Done(now)
		r.barred[on].Failed(now, refused.Wait)
		r.why[on] = err.Error()
	default:
		asked := time.Duration(0)
		if answered {
			asked = refused.Wait
		}
		r.turn.Failed(now, asked)
		r.why[on] = err.Error()
	}
	switch {
	case err != nil && r.why[on] == "":
		r.Log.Warn("the forge refuses what it is told", "error", err)
	case r.why[on] != "" && before[on] == "":
		r.Log.Warn("cannot tell the forge what becomes of commits; rollouts go on, and it is tried again", "error", err)
	case r.why[on] == "" && before[on] != "":
		r.Log.Info("the forge is told again", "of", Operations[on])
	}
	r.note()
}

// note makes what people are to know of.
func (r *Reporter) note() {
	var now []string
	add := func(text string) {
		if text != "" && !slices.Contains(now, text) {
			now = append(now, text)
		}
	}
	for _, why := range r.why {
		add(why)
	}
	for _, l := range r.book.Lines {
		add(l.Refused)
	}
	for _, d := range r.book.Deployments {
		add(d.Refused)
	}
	const most = 5
	now = now[:min(len(now), most)]
	r.mu.Lock()
	defer r.mu.Unlock()
	r.problems = now
}
