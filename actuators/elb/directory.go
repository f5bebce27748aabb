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
	factsAge   = 5 * time.Minute // after which a group or load balancer is looked up again
	factsRetry = time.Minute     // after looking it up again has failed
)

// facts are what of a group changes seldom.
type facts struct {
	actuators.Group
	targetType string
	port       int
	slowStart  time.Duration
	rules      actuators.Rules // from get: whole; as looked up: without what the load balancers add
	inherits   bool            // cross-zone balancing is as the load balancers have it
	balancers  []string        // those that add to the rules
}

// A directory keeps the facts of the groups that were looked up and of their load balancers, and one memory of each group's readings.
type directory struct {
	mu        sync.Mutex
	ids       map[string]string        // by name of a target group
	known     map[string]*entry        // by Group.ID
	memories  map[string]*memory       // by Group.ID
	balancers map[string]*loadBalancer // by ARN, or Group.ID of a Classic ELB
	looking   map[ref]chan struct{}    // being looked up, so that two passes do not ask the same; closed at the end
}

type entry struct {
	facts
	due time.Time // to be looked up again
}

func newDirectory() *directory {
	return &directory{
		ids:       map[string]string{},
		known:     map[string]*entry{},
		memories:  map[string]*memory{},
		balancers: map[string]*loadBalancer{},
		looking:   map[ref]chan struct{}{},
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
	whole := e.facts
	whole.rules = d.rules(whole)
	return whole, d.memories[id], true
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
	if !r.classic {
		delete(d.ids, r.name)
	}
}

// claim parts those of refs that are to be looked up: mine are the caller's to ask for and to give to done, theirs are being
// looked up by somebody else.
func (d *directory) claim(refs []ref) (mine, theirs []ref) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range refs {
		switch e := d.known[d.id(r)]; {
		case e != nil && time.Now().Before(e.due):
		case d.looking[r] != nil:
			theirs = append(theirs, r)
		default:
			d.looking[r] = make(chan struct{})
			mine = append(mine, r)
		}
	}
	return mine, theirs
}

// done ends a look-up, after which some groups may be gone and some load balancers be no group's any more.
func (d *directory) done(mine []ref) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(mine) > 0 {
		d.forgetUnused()
	}
	for _, r := range mine {
		close(d.looking[r])
		delete(d.looking, r)
	}
}

// await returns when the look-up of r that is under way has ended, and fails when ctx ends first.
func (d *directory) await(ctx context.Context, r ref) error {
	d.mu.Lock()
	ended := d.looking[r]
	d.mu.Unlock()
	if ended == nil {
		return nil
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return busy(ctx)
	}
}

// learn looks up those groups that are not known, or not since a while, and returns why that failed for some. Facts that are
// merely old stay in force when they cannot be read again; a group that is gone is forgotten. It waits only for those who look
// up the same.
func (b *Balancer) learn(ctx context.Context, refs ...ref) map[ref]error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	failures := b.learnGroups(ctx, refs)
	b.learnBalancers(ctx, refs)
	return failures
}

func (b *Balancer) learnGroups(ctx context.Context, refs []ref) map[ref]error {
	failures := map[ref]error{}
	for {
		mine, theirs := b.directory.claim(refs)
		for r, answer := range b.lookUp(ctx, mine) {
			b.keep(r, answer, failures)
		}
		b.directory.done(mine)
		if len(theirs) == 0 {
			return failures
		}
		if err := b.directory.await(ctx, theirs[0]); err != nil {
			for _, r := range theirs {
				b.keep(r, looked{err: err}, failures)
			}
			return failures
		}
		refs = theirs
	}
}

// keep files an answer, and the error among failures when it matters.
func (b *Balancer) keep(r ref, answer looked, failures map[ref]error) {
	switch {
	case answer.err == nil:
		b.directory.put(r, answer.facts)
		return
	case errors.Is(answer.err, errGone):
		b.directory.forget(r)
	case b.directory.postpone(r):
		return
	}
	failures[r] = answer.err
}

// acquire takes a turn that one goroutine has at a time, unless ctx ends first.
func acquire(ctx context.Context, turn chan struct{}) error {
	select {
	case turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return busy(ctx)
	}
}

func busy(ctx context.Context) error {
	return fmt.Errorf("no answer in time: another request for the same is still under way: %w", ctx.Err())
}

func release(turn chan struct{}) { <-turn }
