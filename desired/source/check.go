package source

// A Check is what a forge reports of a commit under one name: the newest report of its Kind by that name and App.
type Check struct {
	Kind  CheckKind
	Name  string // a check run's name, or a status's context
	App   string // the slug of the app that reports it, such as github-actions; empty: anybody with the right to write could
	State CheckState
	Says  string // how it ended, in the forge's own word: "failure", "skipped", "timed_out"; hostile text
	Page  string // its page for people; empty: none
}

// A CheckKind is how a forge keeps a report. At GitHub a status and a check run may share a name; both have to be good then.
type CheckKind string

// The kinds there are.
const (
	Status   CheckKind = "status"
	CheckRun CheckKind = "check run"
	Pipeline CheckKind = "pipeline" // of GitLab, as a whole: its name is "pipeline"
)

// A CheckState is what a report comes to. The zero value is no word that windlass knows, which is not green.
type CheckState int

const (
	CheckUnknown CheckState = iota
	CheckPending            // queued, waiting, or running
	CheckGreen              // "success", and nothing else
	CheckNeutral            // "neutral": green where the fleet file says so
	CheckRed                // it ended in any other way: failed, cancelled, timed out, skipped
)
