package reconciler

import (
	"time"

	"windlass/desired"
	"windlass/health"
	"windlass/reconciler/plan"
)

// A Snapshot is all that the agent knows at an instant. It is a value: what reports it shares nothing with the loop.
type Snapshot struct {
	At     time.Time
	Repo   Repo
	Fleets []Status // sorted by name
}

// A Repo is how reading the deploy repo goes.
type Repo struct {
	Revision  string    // of the accepted head; empty: none yet
	Committed time.Time // of that commit
	Checked   time.Time // when it was last read successfully; zero: never
	Problem   string    // why a newer commit is not in force, or why it cannot be read
	Branch    string    // that is followed; empty where who reads it does not say
	Path      string    // of the directory there that fleets/ is in; likewise
	Link      string    // to the page of Revision, for people; the same

	Reports []Report // places outside that cannot be told of rollouts now; who makes a snapshot for people adds them
}

// A Report is a place outside that is told of rollouts, and cannot be now. Nothing waits for it.
type Report struct {
	To      string    // such as: channel deploys (slack)
	Problem string    // one line; hostile text
	Since   time.Time // of the first attempt that failed
}

// A Status is all that is known of one fleet.
type Status struct {
	Name      string
	Phase     plan.Phase
	Reason    string
	Desired   Desired
	Rejected  *desired.Rejection // why the newest file is not in force; nil: it is
	Released  bool               // its file is gone from the deploy repo
	PausedAt  time.Time          // since when it is paused; zero: it is not, or not known
	Releases  map[string]int     // nodes by release, unknown ones left out
	InService int
	Floor     int
	Size      int
	Nodes     []Node
	Excluded  []desired.Exclusion // left alone, and not among Nodes
	Steps     []Step              // in flight, or waited for
	Holds     []plan.Hold
	WakeAt    time.Time // when time alone may change the plan; zero: never
	Ready     bool      // every source was tried once
	Seen      time.Time // when it was last completely known who belongs and who serves; zero: never
	Checks    []string  // by name
	Rollout   Rollout
	Gates     []plan.Gate      // what things outside it say about going on
	Whole     plan.Wholeness   // when all its nodes had one release, proven
	Halted    []string         // releases that were halted on it, where another fleet comes after it
	Expected  plan.Expectation // of the way to what is wanted
	Ends      time.Time        // when that way is expected to end; zero: nothing moves
	Took      plan.Took        // how long stages took lately

	Notify []desired.Notification // who is to hear of its rollouts

	holdings []holding // what it works with, sorted; for finding fleets that share something
	known    bool      // its machines were listed once
	over     bool      // its file is gone, and nothing of it is under way
}

// A holding is a machine or a group that a fleet works with.
type holding struct {
	what  string // an instance's id, where a machine is reached, or a group's id
	loose bool   // where an instance is reached: that may be another one's by the time they are listed again
}

// Desired is what git says the fleet should be.
type Desired struct {
	Release   string
	Revision  string
	Digest    string
	Committed time.Time
	Change    desired.Commit // the newest that changed what the fleet file says; zero: it is not known
	Link      string         // to the page of Revision, for people; empty where who reads it does not say
}

// A Node is how one machine of the fleet stands.
type Node struct {
	plan.NodeStatus
	Instance string // instance id, else machine id; empty: not known yet
	Address  string
	Zone     string
	Tail     string // the last lines of the step that failed here; hostile text
}

// A Step is something under way on a node.
type Step struct {
	Node     string
	Kind     string // prepare drain configure verify add bake, or a plan.Kind that only writes
	Reason   string
	Since    time.Time
	Deadline time.Time // zero: none
}

// A Rollout is the fleet's way to what is wanted. The zero value: none is known.
type Rollout struct {
	Trigger      Trigger       `json:"trigger"`
	Revision     string        `json:"revision"`
	Release      string        `json:"release"`
	From         string        `json:"from,omitempty"`         // the release that most of the nodes had when it began; empty: none is known
	FromRevision string        `json:"fromRevision,omitempty"` // the commit that most of those nodes had it from; empty: none is known
	Digest       string        `json:"digest"`
	Retry        int           `json:"retry"`
	Committed    time.Time     `json:"committed"` // of the commit that first wanted it
	Started      time.Time     `json:"started"`
	LastProgress time.Time     `json:"lastProgress"`
	Ended        time.Time     `json:"ended,omitzero"`    // zero: under way
	Result       Result        `json:"result,omitempty"`  // once it ended
	Planned      int           `json:"planned"`           // nodes that lacked what is wanted when it began, and those that came to lack it since
	Completed    int           `json:"completed"`         //
	PausedAt     time.Time     `json:"pausedAt,omitzero"` // since when the fleet file holds it up; zero: it does not
	Paused       time.Duration `json:"paused,omitempty"`  // for how long it did before that

	Change  desired.Commit `json:"change,omitzero"`  // what git says of the fleet came from
	Link    string         `json:"-"`                // to what that changed, for people; empty where who reads it does not say
	Lowest  Capacity       `json:"lowest,omitzero"`  // the least that was seen; zero: it was never seen whole
	Longest Outage         `json:"longest,omitzero"` // of one node; zero: none was seen out of service
}

// Capacity is how many nodes can be counted on, of how many.
type Capacity struct {
	InService int `json:"inService"`
	Size      int `json:"size"`
}

// An Outage is a node that is out of service, as far as that was seen while a rollout went on.
type Outage struct {
	Node  string    `json:"node"`
	Since time.Time `json:"since"`
	Until time.Time `json:"until,omitzero"` // zero: it still is
}

// Kept is what an earlier start of the agent knew of a fleet and no node can tell. It is for people: nothing is decided by it.
type Kept struct {
	Rollout  Rollout   `json:"rollout"`
	PausedAt time.Time `json:"pausedAt,omitzero"`
	Took     plan.Took `json:"took,omitempty"` // how long stages took lately, in nanoseconds
}

// Keep is what the next start is to know.
func (s Status) Keep() Kept { return Kept{Rollout: s.Rollout, PausedAt: s.PausedAt, Took: s.Took} }

// A Trigger is what began a rollout.
type Trigger string

// The triggers of a rollout.
const (
	TriggerCommit     Trigger = "commit"
	TriggerRevert     Trigger = "revert"
	TriggerDrift      Trigger = "drift"
	TriggerRetry      Trigger = "retry"
	TriggerMembership Trigger = "membership"
)

// Triggers lists every trigger.
var Triggers = [...]Trigger{TriggerCommit, TriggerRevert, TriggerDrift, TriggerRetry, TriggerMembership}

// A Result is how a rollout ended.
type Result string

// The results of a rollout.
const (
	ResultSucceeded  Result = "succeeded"
	ResultHalted     Result = "halted"
	ResultSuperseded Result = "superseded"
	ResultRolledBack Result = "rolled_back" // succeeded, back to a release that was proven before
)

// Results lists every result.
var Results = [...]Result{ResultSucceeded, ResultHalted, ResultSuperseded, ResultRolledBack}

// An Observer is told what happened, for metrics and history. It is called from the loop: it returns at once and never fails.
type Observer interface {
	StepDone(StepDone)
	RolloutDone(RolloutDone)
	PassDone(fleet string, took time.Duration)
	CheckDone(fleet, check string, result health.Result) // one try on one node
	Rejected(fleet string, why desired.Reason)           // a commit's file of it
}

// StepDone is a stage of a node's journey that ended: prepare, drain, configure, verify, add or bake.
type StepDone struct {
	Fleet, Node string
	Step        string
	Result      string // success or failure
	Took        time.Duration
	Corrected   string // the kind of drift that the journey put right (release, membership), with its last stage; else empty
}

// RolloutDone is a rollout that ended.
type RolloutDone struct {
	Fleet   string
	Rollout Rollout
	Reason  string        // why it halted; hostile text
	Lead    time.Duration // from the commit until it was fully in service; 0: it does not apply
	// Foretold is whether its end was, when two nodes were done, and Misjudged by how much that was wrong, as a part of the time from then on.
	Foretold  bool
	Misjudged float64
}
