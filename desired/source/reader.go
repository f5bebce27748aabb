package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"windlass/desired"
)

// Options say how a Reader reaches what it reads.
type Options struct {
	Remote  func(repository string) (Remote, error) // made once for each repository
	Forge   func(repository string) (Forge, error)  // an error says why no checks can be read there, and what to do
	Signers func(files fs.FS) (Signers, error)      // an error says what is wrong with the files
	Pause   time.Duration                           // for how long what a server said is good for whoever asks next
}

// A Reader tells whether releases are as fleets demand. It remembers for which commits it let them through. Its methods may be called side by side.
type Reader struct {
	options Options

	mu       sync.Mutex
	places   map[string]*place
	accepted memory[string]    // commit, by fleet and release
	seen     memory[time.Time] // when a tag was first seen to name a commit, by fleet, release and commit
}

// NewReader makes a Reader. It connects nowhere.
func NewReader(o Options) *Reader { return &Reader{options: o, places: map[string]*place{}} }

// An Ask is of which release what is to be told.
type Ask struct {
	Fleet, Release string
	Source         *desired.Source
}

// Read tells whether a release is as its fleet demands. It ends with ctx, and says then that it cannot be told.
func (r *Reader) Read(ctx context.Context, ask Ask) Verdict {
	if o := ask.Source.Override; ask.Source.Overrides(ask.Release) {
		return Verdict{State: Open, Reason: fmt.Sprintf("override by %s: %s", o.By, o.Reason)}
	}
	v, err := r.judge(ctx, ask)
	if err == nil {
		err = r.accept(ask, v.Commit)
	}
	if err != nil {
		return held(err, time.Now())
	}
	return v
}

// judge asks one thing after the other, and nobody for what does not count any more.
func (r *Reader) judge(ctx context.Context, ask Ask) (Verdict, error) {
	s, name := ask.Source, ask.Source.TagOf(ask.Release)
	at, err := r.place(s.Repository)
	if err != nil {
		return Verdict{}, err
	}
	done, err := at.enter(ctx)
	if err != nil {
		return Verdict{}, err
	}
	defer done()
	t, err := at.find(ctx, name, s.Branch)
	if err != nil {
		return Verdict{}, err
	}
	var signer string
	if s.Signed {
		if signer, err = r.signer(t, name, s); err != nil {
			return Verdict{}, err
		}
	}
	if err := r.checks(ctx, at, ask, t.commit); err != nil {
		return Verdict{}, err
	}
	return Verdict{State: Open, Commit: t.commit, Reason: opened(s, name, t.commit, signer)}, nil
}

func (r *Reader) signer(t tagged, name string, s *desired.Source) (string, error) {
	keys, err := r.options.Signers(s.SignerFiles())
	if err != nil {
		return "", shut("who may sign releases cannot be told: %v", err)
	}
	by, err := t.signed(name, keys, time.Now())
	return by.Name, err
}

func (r *Reader) checks(ctx context.Context, at *place, ask Ask, commit string) error {
	if len(ask.Source.Checks) == 0 {
		return nil
	}
	since := r.firstSeen(ask, commit)
	reported, err := at.reports(ctx, commit, ask.Source.Checks)
	if err != nil {
		return err
	}
	return judgeChecks(ask.Source, commit, reported, since, time.Now())
}

// firstSeen is when a fleet's tag was first seen to name a commit, by this process.
func (r *Reader) firstSeen(ask Ask, commit string) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen.recall(ask.key()+"\x00"+commit, time.Now())
}

// accept lets a release through as a commit, unless it was let through as another one before.
func (r *Reader) accept(ask Ask, commit string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if was := r.accepted.recall(ask.key(), commit); was != commit {
		return shut("tag %s moved: it named commit %s when it was let through, and names %s now; deploy another release, or say who lets this one pass with source.override",
			ask.Source.TagOf(ask.Release), short(was), short(commit))
	}
	return nil
}

// Forget has a release be let through as another commit than before: who asked knows that it did not start as that one.
func (r *Reader) Forget(ask Ask) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.accepted.forget(ask.key())
}

func (a Ask) key() string { return a.Fleet + "\x00" + a.Source.Repository + "\x00" + a.Release }

// place is where a repository is.
func (r *Reader) place(repository string) (*place, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if at := r.places[repository]; at != nil {
		return at, nil
	}
	remote, err := r.options.Remote(repository)
	if err != nil {
		return nil, err
	}
	at := &place{remote: remote, pause: r.options.Pause, turn: make(chan struct{}, 1)}
	at.forge, at.noForge = r.options.Forge(repository)
	r.places[repository] = at
	return at, nil
}

// errNoTurn is told where a server is so slow that others' questions take all the time there is.
var errNoTurn = errors.New("it was not its turn yet to ask the repository")

// mostRemembered bounds a memory: more than any agent's fleets have releases under way.
const mostRemembered = 2000

// A memory is what was known first by a key. The zero value is empty.
type memory[V any] struct {
	of    map[string]V
	order []string
}

// recall is what is known by a key, which is now if nothing is.
func (m *memory[V]) recall(key string, now V) V {
	if was, known := m.of[key]; known {
		return was
	}
	if m.of == nil {
		m.of = map[string]V{}
	}
	if len(m.order) == mostRemembered {
		delete(m.of, m.order[0])
		m.order = m.order[1:]
	}
	m.of[key], m.order = now, append(m.order, key)
	return now
}

func (m *memory[V]) forget(key string) {
	delete(m.of, key)
	m.order = slices.DeleteFunc(m.order, func(one string) bool { return one == key })
}
