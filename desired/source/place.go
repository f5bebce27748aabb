package source

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"windlass/desired"
)

// depths is how much history is fetched, until it can be told whether a branch contains a commit; 0 is all of it.
var depths = [...]int{100, 2000, 0}

// mostFound bounds what is kept of a repository.
const mostFound = 50

// A place is a repository, with what its servers said lately. Only who holds turn (by a value in it) touches it.
type place struct {
	turn    chan struct{}
	pause   time.Duration
	remote  Remote
	forge   Forge
	noForge error // why there is none

	listed  said[map[string]string]
	found   map[pair]finding
	reached map[string]string // by commit: a head that reaches it
	checked map[string]said[[]Check]
}

// A pair is of a tag and a head of a branch: what follows of them follows for ever.
type pair struct{ name, tag, head string }

type finding struct {
	tagged
	err error
}

// said is what a server said, and when.
type said[V any] struct {
	value V
	err   error
	at    time.Time
}

// fresh reports whether it is good for whoever asks now; a clock that was set back makes it old. Who wants to be left alone for longer is.
func (s said[V]) fresh(now time.Time, pause time.Duration) bool {
	var later *Later
	if errors.As(s.err, &later) {
		pause = max(pause, later.Wait)
	}
	age := now.Sub(s.at)
	return !s.at.IsZero() && age >= 0 && age < pause
}

func (p *place) enter(ctx context.Context) (done func(), err error) {
	select {
	case p.turn <- struct{}{}:
		return func() { <-p.turn }, nil
	case <-ctx.Done():
		return nil, errNoTurn
	}
}

// find tells which commit a tag names that the branch contains.
func (p *place) find(ctx context.Context, name, branch string) (tagged, error) {
	refs, err := p.refs(ctx)
	if err != nil {
		return tagged{}, err
	}
	tag, head := refs["refs/tags/"+name], refs["refs/heads/"+branch]
	switch {
	case head == "":
		return tagged{}, wait("its repository has no branch %s yet", branch)
	case tag == "":
		return tagged{}, wait("there is no tag %s yet: push it", name)
	}
	key := pair{name, tag, head}
	if f, known := p.found[key]; known {
		return f.tagged, f.err
	}
	t, err := p.fetch(ctx, name, branch, tag, head)
	var judged *hold
	if err == nil || errors.As(err, &judged) {
		p.keep(key, finding{t, err})
	}
	return t, err
}

func (p *place) keep(key pair, f finding) {
	if p.found == nil || len(p.found) >= mostFound {
		p.found, p.reached = map[pair]finding{}, map[string]string{}
	}
	p.found[key] = f
	if f.err == nil {
		p.reached[f.commit] = key.head
	}
}

// fetch asks for as much history as it takes to tell whether the branch contains what the tag names.
func (p *place) fetch(ctx context.Context, name, branch, tag, head string) (tagged, error) {
	for _, depth := range depths {
		have, err := p.remote.Fetch(ctx, depth, tag, head)
		if err != nil {
			return tagged{}, err
		}
		t, err := peel(have, name, tag)
		if err != nil {
			return tagged{}, err
		}
		before := p.reached[t.commit] // a head that reached it: it does still where the branch went on from there
		switch reach := have.Reaches(head, t.commit); {
		case reach == Reached, before != "" && have.Reaches(head, before) == Reached:
			return t, nil
		case reach == NotReached:
			return tagged{}, shut("tag %s names commit %s, which branch %s does not contain: merge it, or tag a commit of the branch", name, short(t.commit), branch)
		}
	}
	return tagged{}, fmt.Errorf("it cannot be told whether branch %s contains tag %s: the server's copy lacks a part of the history; unshallow it", branch, name)
}

// refs are the references of the repository; an error is as good for a while as an answer is.
func (p *place) refs(ctx context.Context) (map[string]string, error) {
	if !p.listed.fresh(time.Now(), p.pause) {
		value, err := p.remote.Refs(ctx)
		if ctx.Err() != nil {
			return nil, err // which says nothing of the server
		}
		p.listed = said[map[string]string]{value, err, time.Now()}
	}
	return p.listed.value, p.listed.err
}

// reports are what the forge reports of a commit.
func (p *place) reports(ctx context.Context, commit string, checks []desired.RequiredCheck) ([]Check, error) {
	if p.noForge != nil {
		return nil, shut("%v", p.noForge)
	}
	var names []string
	for _, c := range checks {
		names = append(names, c.Name)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	key := commit + "\x00" + strings.Join(names, "\x00")
	if known := p.checked[key]; known.fresh(time.Now(), p.pause) {
		return known.value, known.err
	}
	value, err := p.forge.Checks(ctx, commit, names)
	if ctx.Err() != nil {
		return nil, err
	}
	if p.checked == nil || len(p.checked) >= mostFound {
		p.checked = map[string]said[[]Check]{}
	}
	p.checked[key] = said[[]Check]{value, err, time.Now()}
	return value, err
}
