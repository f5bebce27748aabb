package elb

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"windlass/actuators"
)

const (
	factsAge   = 5 * time.Minute // after which a group is looked up again
	factsRetry = time.Minute     // after looking it up again has failed
)

// facts are what of a group changes seldom.
type facts struct {
	actuators.Group
	targetType string
	port       int
	network    bool
	delay      time.Duration // deregistration delay or connection draining time
	slowStart  time.Duration
}

// A directory keeps the facts of the groups that were looked up, and one memory of each group's readings.
type directory struct {
	looking chan struct{} // capacity 1: held while groups are looked up, so that two passes do not ask the same

	mu       sync.Mutex
	ids      map[string]string  // by name of a target group
	known    map[string]*entry  // by Group.ID
	memories map[string]*memory // by Group.ID
}

type entry struct {
	facts
	due time.Time // to be looked up again
}

func newDirectory() *directory {
	return &directory{
		looking:  make(chan struct{}, 1),
		ids:      map[string]string{},
		known:    map[string]*entry{},
		memories: map[string]*memory{},
	}
}

// id is the Group.ID that r was last found under; "" when it was not. The mutex is held.
func (d *directory) id(r ref) string {
	if id := r.identity().ID; id != "" {
		return id
	}
	return d.ids[r.name]
}

// get returns what is known of a group, and the memory of its readings.
func (d *directory) get(r ref) (facts, *memory, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := d.id(r)
	e := d.known[id]
	if e == nil {
		return facts{}, nil, false
	}
	if d.memories[id] == nil {
		d.memories[id] = newMemory()
	}
	return e.facts, d.memories[id], true
}

func (d *directory) put(r ref, f facts) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.identity().ID == "" {
		d.ids[r.name] = f.ID
	}
	d.known[f.ID] = &entry{facts: f, due: time.Now().Add(factsAge)}
}

// postpone puts off looking up a group again that is known, and reports false for one that is not.
func (d *directory) postpone(r ref) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.known[d.id(r)]
	if e == nil {
		return false
	}
	e.due = time.Now().Add(factsRetry)
	return true
}

func (d *directory) forget(r ref) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id := d.id(r)
	delete(d.known, id)
	delete(d.memories, id)
	delete(d.ids, r.name)
}

// due lists which of refs are to be looked up.
func (d *directory) due(refs []ref) []ref {
	d.mu.Lock()
	defer d.mu.Unlock()
	var due []ref
	for _, r := range refs {
		if e := d.known[d.id(r)]; e == nil || !time.Now().Before(e.due) {
			due = append(due, r)
		}
	}
	return due
}

// learn looks up those groups that are not known, or not since a while, and returns why that failed for some. Facts that are
// merely old stay in force when they cannot be read again; a group that is gone is forgotten.
func (b *Balancer) learn(ctx context.Context, refs ...ref) map[ref]error {
	if len(b.directory.due(refs)) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	answers := map[ref]looked{}
	if err := acquire(ctx, b.directory.looking); err != nil {
		for _, r := range b.directory.due(refs) {
			answers[r] = looked{err: err}
		}
	} else {
		defer release(b.directory.looking)
		answers = b.lookUp(ctx, b.directory.due(refs))
	}
	failures := map[ref]error{}
	for r, answer := range answers {
		if err := b.keep(r, answer); err != nil {
			failures[r] = err
		}
	}
	return failures
}

// keep files an answer and returns the error that matters.
func (b *Balancer) keep(r ref, answer looked) error {
	switch {
	case answer.err == nil:
		b.directory.put(r, answer.facts)
		return nil
	case errors.Is(answer.err, errGone):
		b.directory.forget(r)
	case b.directory.postpone(r):
		return nil
	}
	return answer.err
}

// acquire takes a turn that one goroutine has at a time, unless ctx ends first.
func acquire(ctx context.Context, turn chan struct{}) error {
	select {
	case turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("no answer in time: another request for the same is still under way: %w", ctx.Err())
	}
}

func release(turn chan struct{}) { <-turn }
