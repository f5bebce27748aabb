package desired

import (
	"fmt"
	"strings"
	"time"
)

// A State is what one commit says, read from that commit alone.
type State struct {
	Revision  string // full commit hash
	Committed time.Time
	Fleets    map[string]Version   // by fleet name: what is in force
	Rejected  map[string]Rejection // by fleet name (or path, when the name cannot be told)
	Warnings  []Error              // likely mistakes in the files of Revision, that reject nothing
	Problem   string               // why a newer commit is not in force (outage, rewritten history …); empty: none
	Refused   Refusal              // the newer commit that is not in force because of who signed it, or did not; zero: none is
	Checked   time.Time            // when the repo was last read successfully
}

// A Version is a fleet as some accepted commit had it. A fleet whose newest file is broken keeps its last good version, so
// versions of several commits can be in force at once.
type Version struct {
	Fleet     *Fleet
	Revision  string
	Committed time.Time
	Change    Commit // the newest that changed what the fleet file says, as far back as is known
	Released  bool   // the file is gone in an accepted descendant: finish what is under way, then hands off
}

// A Commit is who said what when. Author and Subject are text from outside: a bounded line each, without secrets.
type Commit struct {
	Revision  string    `json:"revision"`
	Committed time.Time `json:"committed"`
	Author    string    `json:"author,omitempty"` // the name alone
	Subject   string    `json:"subject,omitempty"`
}

// A Refusal is a commit of the followed branch that is not accepted, nor what follows it, since it does not carry the signature that it has to. State.Problem
// tells people of it.
type Refusal struct {
	Revision string    // that lacks it: of the branch, or merged by one
	Author   string    // as it says: hostile text
	Reason   string    // trust.Reason; root: nothing says yet what newer commits are to be held to
	Again    time.Time // when it is judged again, as it may be good by itself then; zero: when the branch moves
}

// A Rejection is why a fleet's newest file is not in force.
type Rejection struct {
	Path     string
	Revision string
	Reason   Reason
	Errors   Errors
}

// A Reason is the kind of a Rejection, for counting.
type Reason string

const (
	ReasonParse  Reason = "parse"  // the file cannot be read, or is no YAML that is understood
	ReasonSchema Reason = "schema" // what it says is no fleet
	ReasonSafety Reason = "safety" // it has the name, a node or a load balancer of another fleet

	ReasonSignature Reason = "signature" // the commit does not carry the signature that it has to: of all fleets at once
)

// Reasons lists every reason.
var Reasons = [...]Reason{ReasonParse, ReasonSchema, ReasonSafety, ReasonSignature}

// A Position is a place in a file of the repo; Line and Column count from 1, 0 is unknown.
type Position struct {
	File         string
	Line, Column int
}

// String is file:line:column, as far as it is known.
func (p Position) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Column == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// An Error is one thing wrong with a fleet file, and what would be right.
type Error struct {
	Position Position
	Message  string
}

func (e Error) Error() string { return e.Position.String() + ": " + e.Message }

// Errors are all that is wrong with a fleet, in the order of their positions.
type Errors []Error

// Error is a single line; people who want a line for each range over it.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "; ")
}
