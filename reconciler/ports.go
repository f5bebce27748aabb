package reconciler

import (
	"context"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/reconciler/plan"
)

// An Inventory finds the machines of a fleet.
//
// Law: a nil error means the answer is complete. An outage, a denied call or a page that is missing is an error, never a
// shorter list (law 1).
type Inventory interface {
	Nodes(ctx context.Context, set desired.NodeSet) (actuators.Inventory, error)
}

// A Balancer reads and changes who gets traffic.
//
// Laws: Observe returns a state for each group asked for, in order; a group that cannot be read carries Err and nothing
// else is believed of it. One call reads a group once, however many nodes it holds (G9). Register and Deregister are
// idempotent: a member already so, or not there any more, is success. An error from them may hide an effect: observe
// again before deciding (law 14). No call outlives its context's deadline.
type Balancer interface {
	// Observe reads the groups the fleet file names and, by their Group.ID, those that only records still name.
	Observe(ctx context.Context, named []desired.LoadBalancer, recorded []string) ([]actuators.GroupState, error)
	Register(ctx context.Context, m actuators.Membership) error
	Deregister(ctx context.Context, m actuators.Membership) error
}

// A Host works on one node of a fleet over one connection.
//
// Laws: Write replaces the record only if its Version is still old, under the node's lock, durably, and answers with the
// new state; actuators.ErrChanged means nothing was written, any other error that it may have been. A record that is
// already what it should become, because an answer was lost, is another one than old: ErrChanged, read again.
//
// Run is Write, and when the record is written, the job. It tells written of the new state as soon as there is one, at
// most once and never after it has returned; others may write from then on, and must, or the claim expires while the job
// runs. ErrChanged before that means nothing was written and nothing started; any other error before that, that both may
// have happened. Run starts the job only while the record carries the written claim's nonce, unexpired; it attaches
// to a job of the same key instead of starting it again, and waits for any other job of the fleet to end first. Its
// result is an exit status only when the steps really ended; a lost connection is an error and says nothing about the job
// (law 19).
type Host interface {
	Read(ctx context.Context, at actuators.Place) (actuators.HostState, error)
	Write(ctx context.Context, at actuators.Place, old string, record actuators.NodeRecord) (actuators.HostState, error)
	Run(ctx context.Context, at actuators.Place, old string, record actuators.NodeRecord, job actuators.Job, written func(actuators.HostState)) (actuators.JobState, error)
	// Close ends the connection to a node that has no work left; it may be opened again by the next call.
	Close(at actuators.Place)
}

// A Sensor shows who has connections to a node's service.
//
// Law: Sense tells of one sample after the other, each half second, from one goroutine, until ctx ends or it returns. A sample that could
// not be taken is never told of as an empty one: Sense returns an error when none came for two seconds (the first may take longer), when the
// connection to the node is lost, or when the node refuses it a session. It gives way to any other call that is refused a session beside it.
// Blind is told of once, and ends it with a nil error: what it says of the node will not change by itself. It changes nothing on the node but
// for connections to the service itself, which it opens and closes without a word.
type Sensor interface {
	Sense(ctx context.Context, at actuators.Place, service actuators.Service, tell func(actuators.Traffic)) error
}

// A Prober makes one try of a check.
//
// Law: it always answers within the check's timeout plus a second; what cannot be asked is health.NoAnswer.
type Prober interface {
	Probe(ctx context.Context, at actuators.Place, check desired.Check, release string) health.Sample
}

// A History answers questions about the deploy repo's past.
type History interface {
	// Contains reports whether revision is the accepted head or one of its ancestors. An error means it could not be told.
	Contains(ctx context.Context, revision string) (bool, error)
}

// A Gatekeeper reads one gate: something outside a fleet that has a word in going on.
//
// Laws: Gate says whether a fleet has the gate, by which name, what it stops, and what can be told of its State without asking anybody. Read says what the
// gate says of exactly what is wanted, changes nothing, and never guesses: what it cannot tell is an error, and holds. It ends by its context's deadline.
type Gatekeeper interface {
	Gate(f *desired.Fleet) (g plan.Gate, has bool)
	Read(ctx context.Context, want plan.Want) (plan.Gate, error)
}

// A Forgetter is a Gatekeeper that remembers what it let through.
//
// Law: Forget is told that what is wanted was not let through as it last read it, as the nodes' records speak of something else. It returns at once, and changes
// nothing but what is remembered of that.
type Forgetter interface {
	Gatekeeper
	Forget(want plan.Want)
}
