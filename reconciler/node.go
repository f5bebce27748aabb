package reconciler

import (
	"cmp"
	"context"
	"errors"
	"hash/fnv"
	"sync"
	"time"

	"windlass/actuators"
	"windlass/reconciler/plan"
)

// A node is what an actor keeps of one machine. All of it could be seen again.
type node struct {
	plan.Node
	place      actuators.Place
	host       *session
	watch      watch
	sensing    sensing
	nextRead   time.Time
	triedAt    time.Time // when the newest reading began, whatever came of it
	nextIdle   time.Time // when its idle checks are due
	unread     int       // readings in a row that failed
	troubles   int       // steps in a row that broke off
	changed    bool      // the newest step found another record than the one that was read
	renewAt    time.Time
	claimedAt  time.Time // when this agent's claim was last written
	searchedAt time.Time // when the deploy repo's history was last searched for its sake
	excluded   bool      // the fleet file says to leave it alone: nothing it says is built on
	warm       bool      // its connection is open since it was read
	rests      bool      // it may have no work left

	claim   actuators.Claim // as first seen at Claimed
	stage   actuators.Stage // as first seen at Staged
	state   plan.State      // at the newest plan, since stateAt
	stateAt time.Time
	outAt   time.Time // since when it is out of service, as rollouts saw; zero: it is not
	journey string    // what the journey in hand puts right, if it is a correction
	serving bool
	problem string // what was wrong with its record, until one is written again
	tail    string // output of the step that failed here
}

// identity tells machines apart: the instance id where there is one, else where it is reached (G16).
func identity(n actuators.Node) string {
	if n.ID != "" {
		return n.ID
	}
	return n.Name + "@" + n.Address
}

// spread returns a moment within period that is the node's own, so that idle nodes are read evenly.
func (n *node) spread(period time.Duration) time.Duration {
	h := fnv.New32a()
	h.Write([]byte(identity(n.Node.Node)))
	return time.Duration(uint64(h.Sum32()) * uint64(period) >> 32)
}

// revision is the commit that the node's record came from; empty: there is none.
func (n *node) revision() string {
	return n.record().On.Revision
}

// noRecord is what a node without a record of its own is taken to have. Nobody writes to it.
var noRecord actuators.NodeRecord

// record is the node's record, where it is one of this machine: a disk image may carry another's (law 4).
func (n *node) record() *actuators.NodeRecord {
	return cmp.Or(n.Record(), &noRecord)
}

// learn takes a good reading of the host.
func (n *node) learn(s actuators.HostState, at time.Time) {
	job := s.Job
	if n.Host != nil && job.Key == "" {
		job = n.Host.Job
	}
	s.Job = job
	n.Host, n.Read = &s, plan.Source{At: at}
	n.Stale, n.Doubt, n.unread = false, "", 0
	var claim actuators.Claim
	if s.Record.Claim != nil {
		claim = *s.Record.Claim
	}
	if claim != n.claim || n.Claimed.IsZero() {
		n.claim, n.Claimed = claim, at
	}
	if s.Record.Stage != n.stage || n.Staged.IsZero() {
		n.Inherited = n.Staged.IsZero()
		n.stage, n.Staged = s.Record.Stage, at
	}
}

// tried reports whether reading the host has succeeded or failed once.
func (n *node) tried() bool { return n.Host != nil || n.Read.Err != "" }

// miss takes a failed reading. What was known stays, marked as not to be built on.
func (n *node) miss(err error, at time.Time) {
	n.Read.Err = err.Error()
	n.nextRead = at.Add(pause(n.unread))
	n.unread++
}

// stumble backs off after a step that broke off, until one goes well.
func (n *node) stumble(err error, at time.Time) {
	n.NotBefore, n.Trouble = at.Add(pause(n.troubles)), err.Error()
	n.troubles++
}

// recover ends the backing off.
func (n *node) recover() { n.NotBefore, n.Trouble, n.troubles, n.changed = time.Time{}, "", 0, false }

// pause is how long to wait after failures that are nobody's fault: twice as long each time, up to half a minute.
func pause(failures int) time.Duration { return min(30*time.Second, time.Second<<min(failures, 10)) }

// A session is an agent's hold on a node's record: the newest bytes it saw, and until when its claim surely lasts. Steps and
// renewals write through it one at a time.
type session struct {
	turn   chan struct{} // holds a token while nobody has the turn
	state  actuators.HostState
	readAt time.Time
	wrote  time.Time // when the newest write ended
	until  time.Time // the claim lasts till then by this agent's clock, counted from before it was written
}

func newSession() *session {
	s := &session{turn: make(chan struct{}, 1)}
	s.turn <- struct{}{}
	return s
}

// take waits for the turn. It fails only with its context.
func (s *session) take(ctx context.Context) error {
	select {
	case <-s.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *session) give() { s.turn <- struct{}{} }

// saw takes a reading made outside of the session, and reports whether it did: one that began before a write ended shows what was
// there before.
func (s *session) saw(state actuators.HostState, began, at time.Time) bool {
	select {
	case <-s.turn:
	default:
		return false
	}
	defer s.give()
	if !began.After(s.wrote) {
		return false
	}
	s.state, s.readAt = state, at
	return true
}

// write puts a record in place of the newest one seen. Times left zero, and the claim's expiry, are filled in by the node's clock.
func (s *session) write(ctx context.Context, host Host, at actuators.Place, r actuators.NodeRecord) (actuators.HostState, error) {
	if err := s.take(ctx); err != nil {
		return actuators.HostState{}, err
	}
	defer s.give()
	return s.put(ctx, host, at, r)
}

func (s *session) put(ctx context.Context, host Host, at actuators.Place, r actuators.NodeRecord) (actuators.HostState, error) {
	began := s.stamp(&r)
	state, err := host.Write(ctx, at, s.state.Version, r)
	if err == nil {
		s.written(state, began)
	}
	return state, err
}

// run puts a record in place of the newest one seen, and runs a job under its claim. It has the turn until the record is written, for
// as long as a write may take, and tells written of the new state.
func (s *session) run(ctx context.Context, host Host, at actuators.Place, r actuators.NodeRecord, job actuators.Job, written func(actuators.HostState)) (actuators.JobState, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(writeDeadline, func() { cancel(context.DeadlineExceeded) })
	defer late.Stop()
	if err := s.take(ctx); err != nil {
		return actuators.JobState{}, err
	}
	give := sync.OnceFunc(s.give)
	defer give()
	began := s.stamp(&r)
	return host.Run(ctx, at, s.state.Version, r, job, func(state actuators.HostState) {
		late.Stop()
		s.written(state, began)
		give()
		written(state)
	})
}

// stamp fills in what only the moment of writing knows, and returns that moment by this agent's clock.
func (s *session) stamp(r *actuators.NodeRecord) time.Time {
	now := time.Now()
	stamp(r, s.state.Now.Add(now.Sub(s.readAt)))
	return now
}

// written takes the state after a write that began then.
func (s *session) written(state actuators.HostState, began time.Time) {
	now := time.Now()
	s.state, s.readAt, s.wrote = state, now, now
	if c := state.Record.Claim; c != nil {
		s.until = earlier(began.Add(actuators.ClaimTime), now.Add(c.Expires.Sub(state.Now))) // its clock may have been set since it was read
	}
}

// renew writes the newest record again with a later expiry, while the claim in it is the agent's own.
func (s *session) renew(ctx context.Context, host Host, at actuators.Place, agent plan.Agent) (actuators.HostState, error) {
	if err := s.take(ctx); err != nil {
		return actuators.HostState{}, err
	}
	defer s.give()
	r := s.state.Record.Clone() // the loop has what it shares with s.state
	if r.Claim == nil || r.Claim.Nonce != agent.Nonce {
		return s.state, actuators.ErrChanged
	}
	return s.put(ctx, host, at, r)
}

// hold makes sure that the claim outlives a call of this length (law 18), and renews it where it would not.
func (s *session) hold(ctx context.Context, host Host, at actuators.Place, agent plan.Agent, call time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, writeDeadline)
	defer cancel()
	held, err := s.outlives(ctx, call)
	if held || err != nil {
		return err
	}
	if _, err := s.renew(ctx, host, at, agent); err != nil {
		return err
	}
	if held, err = s.outlives(ctx, call); !held && err == nil {
		err = errors.New("the claim was renewed too late for what was to be done under it; it is tried again")
	}
	return err
}

// outlives reports whether the claim lasts for longer than a call, by both of this machine's clocks: one stands still while the machine is
// suspended, the other may be set.
func (s *session) outlives(ctx context.Context, call time.Duration) (bool, error) {
	if err := s.take(ctx); err != nil {
		return false, err
	}
	defer s.give()
	return min(time.Until(s.until), s.until.Round(0).Sub(time.Now().Round(0))) > call, nil
}

// stamp fills in what only the moment of writing knows. Seconds are enough, and every node's shell can compare them.
func stamp(r *actuators.NodeRecord, now time.Time) {
	now = now.UTC().Truncate(time.Second)
	if r.Claim != nil {
		c := *r.Claim
		c.Expires = now.Add(actuators.ClaimTime)
		r.Claim = &c
	}
	if r.StageAt.IsZero() {
		r.StageAt = now
	}
	if r.Try.Failures > 0 && r.Try.At.IsZero() {
		r.Try.At = now
	}
	for i := range r.Halts {
		if r.Halts[i].At.IsZero() {
			r.Halts[i].At = now
		}
	}
}

// gone reports whether an error says that the machine is no more.
func gone(err error) bool { return errors.Is(err, actuators.ErrGone) }
