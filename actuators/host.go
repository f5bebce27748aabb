package actuators

import (
	"errors"
	"time"
)

// A HostState is one reading of a node over SSH.
type HostState struct {
	Record  NodeRecord
	Version string    // of the record's bytes, for compare and swap; "" when there is none
	Problem string    // a corrupt record that was set aside; the record is then none
	Machine string    // the machine id
	Now     time.Time // the node's clock at the reading
	Job     JobState  // the newest job of this fleet on the node
}

// A JobState is how the newest job on a node stands.
type JobState struct {
	Key     string // "" when there was none
	Running bool
	Exited  bool // all is over and Exit is its status
	Exit    int
	Step    string // the step that runs, or the one that failed
	Tail    string // the last lines of its output; bounded, redacted, hostile
}

// A Job is a list of steps (and files before them) for one node, run detached in a process group of its own, so that it outlives the
// connection that started it. Its key names it: running a key again attaches to it, or reads how it ended (law 19, G27).
type Job struct {
	Key   string // [a-z0-9-]; derived from digest, kind and attempt
	Dir   string // where steps run; empty: the fleet's directory
	Env   []string
	Files []JobFile
	Steps []JobStep
	// FilesAfter is how many of the steps run before the files are placed: the prepare steps of a job that has some.
	FilesAfter int
	NeedsKB    int64 // free space the job wants below the state directory, checked first (G31)
}

// A JobFile is a file to place, already rendered.
type JobFile struct {
	To      string
	Mode    string
	Owner   string
	Content []byte
}

// A JobStep is one command of a job, run with `sh -c`.
type JobStep struct {
	Name    string
	Run     string
	Timeout time.Duration // enforced on the node
}

// Errors of a host that callers branch on; every other error leaves the node's state unknown until it is read again.
var (
	// ErrChanged: the record is not the one that was read, or the claim is not the caller's any more. Read again.
	ErrChanged = errors.New("the node's record was changed by somebody else")
	// ErrNewerSchema: the record was written by a newer windlass. Nothing is done on the node.
	ErrNewerSchema = errors.New("the node's record was written by a newer windlass; upgrade this agent")
	// ErrGone: the machine does not exist any more.
	ErrGone = errors.New("the machine is gone")
)
