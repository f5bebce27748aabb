package plan

import (
	"strings"
	"time"

	"windlass/actuators"
)

// A Kind names a step.
type Kind string

const (
	Adopt     Kind = "adopt"     // record a node that proved to have what is wanted
	Prepare   Kind = "prepare"   // run the prepare steps while it serves
	Leave     Kind = "leave"     // claim a node and write down its membership, before it is drained
	Take      Kind = "take"      // take a journey over from an agent that is gone
	Drain     Kind = "drain"     // take it out of its groups
	Configure Kind = "configure" // files and activate steps
	Add       Kind = "add"       // register it where it was
	Prove     Kind = "prove"     // record that it was verified, added and baked
	Restore   Kind = "restore"   // record that it is back with what it had
	Fail      Kind = "fail"      // record a used-up attempt, and the halt when it was the last
	Bake      Kind = "bake"      // have a node prove what it serves already
	Halt      Kind = "halt"      // copy the verdict on a digest, or a fact about another node, to a node
	Prune     Kind = "prune"     // take a member outside the node set out of its group
)

// A Step is one thing to do on one node, with the record to write before it is done.
type Step struct {
	Node    string // empty for Prune
	Kind    Kind
	Reason  string
	Record  *actuators.NodeRecord // nil: write nothing. A Claim in it is renewed as it is written
	Targets []actuators.Membership
	Job     Job // of Prepare and Configure
}

// A Job says which steps of the fleet file run, for which version.
type Job struct {
	Key      string
	Version  actuators.Version
	Previous string // the release proven on the node before; empty: none
	Prepare  bool   // the prepare steps
	Activate bool   // files and the activate steps, after them
}

// A Hold is why something is not done now.
type Hold struct {
	Node   string // empty: the whole fleet
	Cause  Cause
	Reason string
}

// A State is how a node stands, in the words of the status page and the metrics.
type State string

const (
	InService    State = "in_service"
	Outdated     State = "outdated" // serves, with something other than what is wanted
	Preparing    State = "preparing"
	Draining     State = "draining"
	Configuring  State = "configuring"
	Verifying    State = "verifying"
	Joining      State = "joining"
	Baking       State = "baking"
	OutOfService State = "out_of_service"
	Failed       State = "failed"
	Unreachable  State = "unreachable"
	Missing      State = "missing"
)

// words is the state in a sentence.
func (s State) words() string { return strings.ReplaceAll(string(s), "_", " ") }

// States lists every state, in the order of a journey.
var States = [...]State{InService, Outdated, Preparing, Draining, Configuring, Verifying, Joining, Baking, OutOfService, Failed, Unreachable, Missing}

// unbalanced is the state of a node behind no load balancer: nothing drains and nothing joins there.
func (s State) unbalanced() State {
	switch s {
	case Draining:
		return Configuring
	case Joining:
		return Verifying
	}
	return s
}

// A Phase is how a fleet stands.
type Phase string

const (
	PhaseIdle        Phase = "idle"
	PhaseProgressing Phase = "progressing"
	PhasePaused      Phase = "paused"
	PhaseWaiting     Phase = "waiting"
	PhaseRollingBack Phase = "rolling_back"
	PhaseHalted      Phase = "halted"
	PhaseInvalid     Phase = "invalid"
)

// Phases lists every phase.
var Phases = [...]Phase{PhaseIdle, PhaseProgressing, PhasePaused, PhaseWaiting, PhaseRollingBack, PhaseHalted, PhaseInvalid}

// A NodeStatus is how one node stands and why.
type NodeStatus struct {
	Name     string
	State    State
	Release  string // what is on it as far as is known; empty: unknown
	Reason   string
	Since    time.Time // since when it has been at this; zero: unknown
	Deadline time.Time // until when that may last; zero: none
	Attempt  int       // which attempt at the wanted version is under way, or how many were used up; 0: none
	UnderWay bool      // a journey is in hand
	Outdated bool      // it does not have what is wanted, or nobody knows whether it has
	Drift    bool      // it answers with another release than was put there
	Foreign  bool      // somebody else took it out of rotation
}

// A Plan is what to do now, why not more, and how everything stands.
type Plan struct {
	Phase     Phase
	Reason    string
	Size      int
	Floor     int
	InService int // nodes that can be counted on: in service and not under way
	Missing   int // nodes that are expected and were not found
	Nodes     []NodeStatus
	Steps     []Step
	Watch     []Watch
	Sense     []Sense
	Holds     []Hold
	Expected  Expectation      // how long the way to what is wanted will take
	Gates     []Gate           // as they count now
	Notes     []string         // what makes drains slower or less sure than they could be, and what to do; one line each
	Halt      *actuators.Halt  // the verdict in force on the wanted version; nil: none
	Facts     []actuators.Fact // what must outlive the nodes it is about: to be seen by the next plan
	Whole     Wholeness        // when all nodes had one release: to be seen by the next plan
	Reread    bool             // a removal is due: read the balancers again, then ask again (law 9)
	Refresh   bool             // a journey is due: read every record older than RecordAge again, then ask again (law 18)
	Soon      []string         // nodes whose turn comes next, in order: what is read of them is kept fresh, and their connections open
	Stalled   bool             // the no-progress deadline runs: whatever is waited for is overdue
	WakeAt    time.Time        // when time alone may change the answer; zero: never
}

// How long things may take that the fleet file does not say.
const (
	JoinTimeout  = 10 * time.Minute // from registering until the balancers say healthy, slow start apart
	SlowStart    = 15 * time.Minute // the longest that AWS allows
	AskAgain     = 5 * time.Second  // until a balancer shows what it was asked to do
	TakeoverWait = 15 * time.Second // beyond the expiry of another agent's claim: the deadline of a call it may have begun
	FirstBackoff = 2 * time.Second  // after a failed attempt; doubles
	MostBackoff  = time.Minute
	FirstRelapse = 5 * time.Minute // from one repair of a node's drift to the next; doubles
	MostRelapse  = time.Hour
	Fresh        = time.Second             // how old a reading of the balancers may be right before a removal
	Calibrate    = 35 * time.Second        // for somebody else's connection to be seen before a node leaves: a balancer checks it each 30 s by default
	SampleAge    = 2 * time.Second         // how old a sample of a node's connections may be
	SilentBeyond = 5 * time.Second         // longer than the balancer's idle time-out a connection must be silent not to count
	RecordAge    = actuators.ClaimTime / 2 // how old a record may be when a journey starts: it may name another agent's claim
	MostSoon     = 4                       // nodes made ready for their turn
	MostPrepares = 4                       // side by side
	MostRepairs  = 8                       // side by side
	MostRechecks = 48                      // of other nodes, before one is changed that no balancer takes out
)
