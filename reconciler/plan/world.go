package plan

import (
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
)

// A Want is what a fleet should be.
type Want struct {
	Fleet    *desired.Fleet
	Version  actuators.Version // release, digest and revision that nodes should have
	Older    map[int]string    // the digest by older algorithms, for records that older agents wrote
	Released bool              // the fleet file is gone: finish what is under way, then hands off
	Blocked  string            // why nothing new may be ordered, such as a rewritten history; empty: nothing
	Awaited  bool              // another fleet gets what this one has proven: records tell since when that is
}

// Is reports whether v is the wanted configuration.
func (w Want) Is(v actuators.Version) bool {
	if v.Digest == "" {
		return false
	}
	if v.Algorithm == w.Version.Algorithm {
		return v.Digest == w.Version.Digest
	}
	return v.Digest == w.Older[v.Algorithm]
}

// A World is what is seen of a fleet at an instant. It may be incomplete, and says where.
type World struct {
	Now        time.Time
	Agent      Agent
	Inventory  Source
	Gates      []Gate                 // in the order in which their refusals are told
	Groups     []actuators.GroupState // those the fleet file names, in its order; shorter: not read since the file changed
	Former     []actuators.GroupState // those only records name
	GroupsRead time.Time              // when the newest reading of the groups arrived
	Nodes      []Node                 // sorted by name
	RollCall   time.Time              // when every record that can be read had last been read since it was asked for
	Pruned     Removal                // the newest removal of a member outside the node set
	Verdict    *actuators.Halt        // the newest this agent saw in force, also when no record that can be read has it any more; nil: none
	Facts      []actuators.Fact       // those of this agent's newest plan
	Whole      Wholeness              // that of this agent's newest plan
	Took       Took                   // how long stages took before
	Progress   time.Time              // when a node last changed its stage, or the wanted version changed; later by as long as no plan was Stalled since
}

// A Removal is that of a member outside the node set, as it was last asked for.
type Removal struct {
	ID        string    // of the target
	Busy      bool      // the call is in flight
	At        time.Time // when the balancer was asked, or answered
	NotBefore time.Time // backing off after a refusal
}

// An Agent is this process as claims name it.
type Agent struct {
	Holder string
	Epoch  int
	Nonce  string
}

// succeeds reports whether the claim is this process's own, or one of an earlier process of the same agent (law 18). A state directory
// that was copied, or put back, makes the other one's claims another agent's.
func (a Agent) succeeds(c actuators.Claim) bool {
	return c.Nonce == a.Nonce || c.Holder == a.Holder && c.Epoch < a.Epoch
}

// A Source is how reading something went. The zero value was never read.
type Source struct {
	At  time.Time // of the newest good reading; zero: none
	Err string    // why the newest reading failed; empty: it did not
}

// Complete reports whether the newest reading can be built on.
func (s Source) Complete() bool { return !s.At.IsZero() && s.Err == "" }

// A Node is what is seen of one machine.
type Node struct {
	actuators.Node
	Host    *actuators.HostState // newest good reading; nil: none
	Read    Source               // of Host, by the agent's clock
	Stale   bool                 // a call may have had an effect that Host does not show: read again first
	Staged  time.Time            // when this agent first saw the stage that Host shows
	Claimed time.Time            // when this agent first saw the claim that Host shows

	Inherited bool // Host showed this stage when this agent first saw the node: it came of something that this agent knows nothing of

	Health  Health
	Traffic Traffic
	Busy    Kind      // the step in flight; empty: none
	Since   time.Time // of Busy
	Doubt   Kind      // a step that broke off and may have had its effect: it counts as in flight until Host is read again; empty: none

	Asked     Kind      // the newest request to a balancer: Drain or Add
	AskedAt   time.Time // when it was answered
	Served    time.Time // when a reading last showed it healthy in every group; zero: none did since this agent began
	Left      time.Time // since when readings show it in rotation nowhere; zero: they do not
	Out       time.Time // since when readings show it in no group; zero: they do not
	OutSince  time.Time // when it was first seen out of rotation by nobody's order; zero: it is not
	NotBefore time.Time // backing off after a failure that is nobody's fault, such as a lost connection
	Trouble   string    // what that failure was; empty: none
}

// Health is what watching a node has shown.
type Health struct {
	Release string // what the checks were made with
	Phase   WatchPhase
	Since   time.Time // when this watch began; zero: never watched
	Over    bool      // nobody watches any more, and what followed from it was begun or given up
	health.Verdict
}

// Traffic is what sensing the connections to a node has shown. The zero value shows nothing, which counts as busy.
type Traffic struct {
	Service actuators.Service // what was sensed; what is shown of another one does not count
	Sees    bool              // while the node served, a sensor there listed our own connection to each of the ports
	Others  []int             // of the ports, those with somebody else's connection while it served; sorted
	Blind   string            // why no sensor there can be relied upon; empty: not so, as far as is known
	Quiet   time.Time         // since when every sample has been without a connection that counts; zero: the newest has one, or there is none
	At      time.Time         // when the newest sample came; zero: none did
	Busy    int               // connections that count in it
	Peer    string            // whose one of them is
	Trouble string            // why sensing broke off, while nothing came since; empty: it did not
}

// A Sense asks for the connections to a node to be sensed.
type Sense struct {
	Node    string
	Service actuators.Service
}

// A WatchPhase says what a watch is for.
type WatchPhase string

const (
	WatchIdle   WatchPhase = "idle"   // now and then, of a node nothing is done to
	WatchAgain  WatchPhase = "again"  // once more, before another node that no balancer takes out is changed
	WatchFirst  WatchPhase = "first"  // of a node that nobody wrote down: until the checks have passed once, or one said no for certain
	WatchVerify WatchPhase = "verify" // until the checks have passed once
	WatchBake   WatchPhase = "bake"   // after it is back, for as long as the bake
)

// A Watch asks for a node to be probed.
type Watch struct {
	Node    string
	Release string // empty: only the checks that name no release
	Phase   WatchPhase
	Steady  time.Duration // how long the checks must stay well
}
