package actuators

import (
	"slices"
	"time"
)

// RecordSchema is the newest record schema this version reads and the one it writes.
const RecordSchema = 3

// ClaimTime is how long a claim lasts from its last renewal, by the node's clock (law 18).
const ClaimTime = 30 * time.Second

// RenewEvery is how often a claim is renewed while its node is under way.
const RenewEvery = 10 * time.Second

// A NodeRecord is what one fleet's agent has written down on a node: which configuration it has, what was tried, and how
// that ended. It is a claim about the world, not the world (law 4). It holds no secret, and it may come from an attacker:
// DecodeRecord bounds and checks it like any input. The zero value means nothing is known.
type NodeRecord struct {
	Schema   int       `json:"schema"`
	Fleet    string    `json:"fleet"`
	Instance string    `json:"instance"` // instance id, else machine id; another machine's record is no record
	Claim    *Claim    `json:"claim,omitempty"`
	Stage    Stage     `json:"stage,omitempty"`
	StageAt  time.Time `json:"stageAt,omitzero"` // by the node's clock

	On       Version      `json:"on,omitzero"`        // what is on the host, or is being put there while Stage is configuring
	Spoiled  bool         `json:"spoiled,omitempty"`  // what is on the host failed there: it does not go back as it is
	Prepared string       `json:"prepared,omitempty"` // digest whose prepare steps have all succeeded
	Proven   Version      `json:"proven,omitzero"`    // the newest that was verified, added and baked here
	Previous Version      `json:"previous,omitzero"`  // the one proven before it
	Repairs  int          `json:"repairs,omitempty"`  // how often Proven was put there again because the node had something else
	Try      Try          `json:"try,omitzero"`
	Taken    []Membership `json:"taken,omitempty"`  // what the node left and must be given back; only a finished add clears it
	Places   []Membership `json:"places,omitempty"` // where it was when last proven, in the groups the fleet named then
	Halts    []Halt       `json:"halts,omitempty"`  // verdicts on digests, newest last; any copy binds the whole fleet
	Facts    []Fact       `json:"facts,omitempty"`  // sorted; any copy binds. Since schema 2
}

// A Version names a configuration and where it came from.
type Version struct {
	Release   string `json:"release"`
	Digest    string `json:"digest"`
	Algorithm int    `json:"algorithm"` // of Digest
	Revision  string `json:"revision"`
	Commit    string `json:"commit,omitempty"` // of the release's source, that its tag named when it was let through; empty: nobody looked. Since schema 3
}

// A Claim says who works on a node.
type Claim struct {
	Holder  string    `json:"holder"`  // the agent, as its state directory names it
	Epoch   int       `json:"epoch"`   // one more at each process start
	Nonce   string    `json:"nonce"`   // new at each process start
	Expires time.Time `json:"expires"` // by the node's clock
}

// A Stage is where a node is on its journey. Together with what the balancers say it is all a new agent needs to go on.
type Stage string

const (
	Idle        Stage = ""            // nothing is under way
	Preparing   Stage = "preparing"   // prepare steps run; the node serves
	Leaving     Stage = "leaving"     // claimed and Taken written; still in rotation, draining, or out and not changed
	Configuring Stage = "configuring" // files and activate steps for On may have begun; what is on the host is unsure
	Verified    Stage = "verified"    // On passed its checks out of service; to be added, joining or baking
	Failed      Stage = "failed"      // used up its attempts at Try; stays out
)

// A Try is the newest attempt at a configuration on this node and how its attempts ended.
type Try struct {
	Version  Version   `json:"version"`
	ID       string    `json:"id,omitempty"`       // tells this journey's jobs from those of an earlier one to the same version
	Retry    int       `json:"retry,omitempty"`    // the fleet's retry count when tried
	Failures int       `json:"failures,omitempty"` // attempts used
	Error    string    `json:"error,omitempty"`    // of the last one; bounded, redacted
	At       time.Time `json:"at,omitzero"`        // of the last failure, by the node's clock
	Earlier  string    `json:"earlier,omitempty"`  // digest that failed here before this one with no success since; sick is the node only where Version is proven (law 11)
}

// A Halt is the verdict that a digest failed on this fleet. It ends by another digest or a higher retry count (law 11).
type Halt struct {
	Digest   string    `json:"digest"`
	Release  string    `json:"release"`
	Revision string    `json:"revision"`
	Retry    int       `json:"retry,omitempty"`
	Node     string    `json:"node"` // where it failed
	Reason   string    `json:"reason"`
	At       time.Time `json:"at"` // by that node's clock
}

// A Fact is what must survive the node it is about, or was learned on, and the agent that learned it: it is copied to the other nodes' records, and any
// copy binds. Which of its fields a fact has is said by its kind. Those but Away are of schema 3.
type Fact struct {
	Kind     FactKind  `json:"kind"`
	Node     string    `json:"node,omitempty"`     // of Away: its name
	Instance string    `json:"instance,omitempty"` // of Away: its instance id, else its machine id
	Release  string    `json:"release,omitempty"`  // what it was to get; what was proven
	At       time.Time `json:"at,omitzero"`        // by the agent's clock: since when it is so
	Until    time.Time `json:"until,omitzero"`     // by the agent's clock: to when; zero: there is no end yet
}

// A FactKind says what a fact is.
type FactKind string

const (
	Away  FactKind = "away"  // windlass took a node out of service, and it is not back
	Whole FactKind = "whole" // every node of the fleet had the release and had proven it, without a halt of it, from At to Until
)

// Known reports whether the record says anything about what is on the host.
func (r NodeRecord) Known() bool { return r.On.Digest != "" }

// UnderWay reports whether a journey is in hand on the node.
func (r NodeRecord) UnderWay() bool {
	return r.Stage == Preparing || r.Stage == Leaving || r.Stage == Configuring || r.Stage == Verified
}

// Clone returns a copy that shares nothing with r.
func (r NodeRecord) Clone() NodeRecord {
	r.Taken, r.Places, r.Halts, r.Facts = slices.Clone(r.Taken), slices.Clone(r.Places), slices.Clone(r.Halts), slices.Clone(r.Facts)
	if r.Claim != nil {
		c := *r.Claim
		r.Claim = &c
	}
	return r
}
