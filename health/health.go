package health

import (
	"time"
)

// A Result is how one try of a check ended.
type Result string

const (
	Pass       Result = "pass"
	Fail       Result = "fail"       // tried, and it is not well
	Contradict Result = "contradict" // it answers well, and names another release than asked for
	NoAnswer   Result = "no_answer"  // nothing could be asked, such as a node that cannot be reached by SSH: says nothing about the node's service
)

// A Sample is one try of one check.
type Sample struct {
	Check  string
	At     time.Time // when the try ended
	Result Result
	Detail string // one line for people: "GET http://10.0.1.14:8080/version: 503, want 200"
}

// A Status is a verdict's word. The zero value is Unknown, which nothing may be built on.
type Status string

const (
	Unknown      Status = ""
	Pending      Status = "pending"      // not passed yet, and still allowed to
	Passing      Status = "passing"      // passed, and steady for as long as asked
	Failing      Status = "failing"      // did not pass within its time
	Contradicted Status = "contradicted" // within its time only answers that name another release
)

// A Policy says what a check must show.
type Policy struct {
	Check     string
	Successes int           // passes in a row
	Steady    time.Duration // no failure for this long, counted from Since at the earliest
	Within    time.Duration // beyond Steady: how long it may take from Since until it passes
	Since     time.Time     // when judging began; samples from before do not count
}

// A Verdict is what samples say of a subject at an instant.
type Verdict struct {
	Status   Status
	Reason   string    // one line for people, with the check's name and numbers
	Deadline time.Time // while Pending: when it turns Failing
	Flaps    int       // turns from pass to failure since Policy.Since (G7, G25)
}
