package web

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"windlass/desired"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

// A Fleet is how a fleet stands, in the shape that the API, `windlass status --json` and `windlass plan` share. Times are UTC
// and left out when they are not known; lists are never null.
type Fleet struct {
	Name      string         `json:"name"`
	Phase     plan.Phase     `json:"phase"`
	Reason    string         `json:"reason"`
	Desired   Desired        `json:"desired"`
	Rejected  *Rejection     `json:"rejected,omitempty"` // why the newest file is not in force
	Released  bool           `json:"released,omitempty"` // its file is gone from the deploy repo
	PausedAt  time.Time      `json:"pausedAt,omitzero"`
	Releases  map[string]int `json:"releases"` // nodes by release
	InService int            `json:"inService"`
	Floor     int            `json:"floor"`
	Size      int            `json:"size"`
	Nodes     []Node         `json:"nodes"`
	Excluded  []Exclusion    `json:"excluded,omitempty"` // nodes that the file says to leave alone; not among the others
	Gates     []Gate         `json:"gates,omitempty"`    // what things outside the fleet say about going on
	Proven    *Proven        `json:"proven,omitempty"`   // what all its nodes serve and have proven; null: no one release, or nobody can tell yet
	Plan      Plan           `json:"plan"`
	Rollout   Rollout        `json:"rollout"`
	Expected  *Expected      `json:"expected,omitempty"` // of nodes that lack what is wanted; null: none does
}

// A Gate is something outside the fleet that has a word in going on.
type Gate struct {
	Name   string    `json:"name"`
	Stops  string    `json:"stops"` // start: the first node of a rollout; next: each node
	State  string    `json:"state"` // open, wait, shut or unread; all but open hold
	Reason string    `json:"reason"`
	Since  time.Time `json:"since,omitzero"`
	Until  time.Time `json:"until,omitzero"` // when it is asked again
}

// Proven is a release that all nodes of a fleet have proven.
type Proven struct {
	Release string    `json:"release"`
	Since   time.Time `json:"since"` // by the agent's clock: when all had it
}

// Expected is how long the way to what is wanted will take, if all goes as it went.
type Expected struct {
	Says  string    `json:"says"`            // in words, with what the time goes into
	Nodes int       `json:"nodes"`           // that lack what is wanted
	Left  float64   `json:"leftSeconds"`     // from when this was said
	Ends  time.Time `json:"endsAt,omitzero"` // while something moves
}

// Desired is what git says the fleet should be.
type Desired struct {
	Release   string    `json:"release"`
	Revision  string    `json:"revision"`
	Digest    string    `json:"digest"`
	Committed time.Time `json:"committed,omitzero"`
	Link      string    `json:"link,omitempty"` // to the commit, where the deploy repo has a page for people
}

// A Rejection is a fleet file that is not in force, with all that is wrong with it.
type Rejection struct {
	Path     string   `json:"path"`
	Revision string   `json:"revision"`
	Errors   []string `json:"errors"` // file:line:column: what is wrong
}

// A Node is how one machine stands.
type Node struct {
	Name     string     `json:"name"`
	Instance string     `json:"instance"`
	Address  string     `json:"address"`
	Zone     string     `json:"zone"`
	Release  string     `json:"release"` // empty: unknown
	State    plan.State `json:"state"`
	Since    time.Time  `json:"since,omitzero"`
	Deadline time.Time  `json:"deadline,omitzero"` // until when the state may last
	Attempt  int        `json:"attempt"`
	Reason   string     `json:"reason"`
	Outdated bool       `json:"outdated,omitempty"` // it does not have what is wanted
	Drift    bool       `json:"drift,omitempty"`    // it answers with another release than was put there
	Foreign  bool       `json:"foreign,omitempty"`  // somebody else took it out of rotation
	Tail     string     `json:"tail,omitempty"`     // the last lines of the step that failed here
}

// An Exclusion is a node that is left alone, and why.
type Exclusion struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// A Plan is what is under way, what is not done and why, and when time alone may change that.
type Plan struct {
	Steps  []Step    `json:"steps"`
	Holds  []string  `json:"holds"`
	WakeAt time.Time `json:"wakeAt,omitzero"`
}

// A Step is something under way on a node.
type Step struct {
	Node     string    `json:"node"`
	Kind     string    `json:"kind"`
	Reason   string    `json:"reason"`
	Since    time.Time `json:"since,omitzero"`
	Deadline time.Time `json:"deadline,omitzero"`
}

// A Rollout is the fleet's way to what is wanted; without a start there was none since the agent started.
type Rollout struct {
	Trigger      reconciler.Trigger `json:"trigger,omitempty"`
	Release      string             `json:"release,omitempty"`
	Revision     string             `json:"revision"`
	Started      time.Time          `json:"started,omitzero"`
	LastProgress time.Time          `json:"lastProgress,omitzero"`
	Ended        time.Time          `json:"ended,omitzero"`
	Result       reconciler.Result  `json:"result,omitempty"`
	Planned      int                `json:"planned"`
	Completed    int                `json:"completed"`

	From    string   `json:"from,omitempty"`   // the release that most nodes had when it began; empty: none is known
	Change  *Change  `json:"change,omitempty"` // the commit that what is wanted came from; null: none is known
	Link    string   `json:"link,omitempty"`   // to what that changed, where the deploy repo has a page for people
	Lowest  *Lowest  `json:"lowest,omitempty"` // capacity that was seen; null: it was never seen whole
	Longest *Longest `json:"longest,omitempty"`
}

// A Change is a commit, and who made it.
type Change struct {
	Revision string `json:"revision"`
	Author   string `json:"author"`
	Subject  string `json:"subject"`
}

// A Repo is how reading the deploy repo goes.
type Repo struct {
	Revision  string    `json:"revision"` // of the commit in force; empty: none yet
	Committed time.Time `json:"committed,omitzero"`
	Checked   time.Time `json:"checked,omitzero"`  // when the repo was last read
	Branch    string    `json:"branch,omitempty"`  // that is followed
	Path      string    `json:"path,omitempty"`    // of the directory there that fleets/ is in
	Link      string    `json:"link,omitempty"`    // to the commit, where the deploy repo has a page for people
	Problem   string    `json:"problem,omitempty"` // why a newer commit is not in force, or why the repo cannot be read
	Reports   []Report  `json:"reports,omitempty"` // that cannot be made now
}

// A Report is a place outside that is told of rollouts, and cannot be now.
type Report struct {
	To      string    `json:"to"`
	Problem string    `json:"problem"`
	Since   time.Time `json:"since,omitzero"`
}

// FromStatus returns what may be shown of a status: without secrets and without characters that are not visible.
func FromStatus(s reconciler.Status) Fleet { return newCensor().fleet(s) }

func (c *censor) fleet(s reconciler.Status) Fleet {
	return Fleet{
		Name: name(s.Name), Phase: s.Phase, Reason: c.line(s.Reason),
		Desired: Desired{
			Release: name(s.Desired.Release), Revision: name(s.Desired.Revision), Digest: name(s.Desired.Digest), Committed: utc(s.Desired.Committed),
			Link: name(s.Desired.Link),
		},
		Rejected: c.rejection(s.Rejected), Released: s.Released, PausedAt: utc(s.PausedAt), Releases: fromReleases(s.Releases),
		InService: s.InService, Floor: s.Floor, Size: s.Size,
		Nodes: each(s.Nodes, c.node),
		Excluded: each(s.Excluded, func(e desired.Exclusion) Exclusion {
			return Exclusion{Name: name(e.Name), Reason: c.line(e.Reason)}
		}),
		Gates: each(s.Gates, func(g plan.Gate) Gate {
			return Gate{Name: name(g.Name), Stops: string(cmp.Or(g.Stops, plan.StopsNext)), State: g.State.String(), Reason: c.line(g.Reason), Since: utc(g.Since), Until: utc(g.Until)}
		}),
		Proven:  fromSpan(s.Whole.Now()),
		Plan:    Plan{Steps: each(s.Steps, c.step), Holds: each(s.Holds, func(h plan.Hold) string { return c.line(h.String()) }), WakeAt: utc(s.WakeAt)},
		Rollout: c.rollout(s.Rollout), Expected: fromExpectation(s.Expected, s.Ends),
	}
}

func fromSpan(s plan.Span) *Proven {
	if s.Release == "" {
		return nil
	}
	return &Proven{Release: name(s.Release), Since: utc(s.At)}
}

func fromExpectation(e plan.Expectation, ends time.Time) *Expected {
	if e.Nodes == 0 {
		return nil
	}
	return &Expected{Says: e.String(), Nodes: e.Nodes, Left: e.Left.Seconds(), Ends: utc(ends)}
}

func (c *censor) repo(r reconciler.Repo) Repo {
	out := Repo{Revision: name(r.Revision), Committed: utc(r.Committed), Checked: utc(r.Checked), Problem: c.line(r.Problem), Branch: name(r.Branch), Path: name(r.Path), Link: name(r.Link)}
	for _, report := range r.Reports {
		out.Reports = append(out.Reports, Report{To: name(report.To), Problem: c.line(report.Problem), Since: utc(report.Since)})
	}
	return out
}

func (c *censor) rejection(r *desired.Rejection) *Rejection {
	if r == nil {
		return nil
	}
	return &Rejection{
		Path: name(r.Path), Revision: name(r.Revision),
		Errors: each(r.Errors, func(e desired.Error) string { return c.line(e.Error()) }),
	}
}

func fromReleases(releases map[string]int) map[string]int {
	shown := make(map[string]int, len(releases))
	for release, nodes := range releases {
		shown[name(release)] += nodes
	}
	return shown
}

func (c *censor) node(n reconciler.Node) Node {
	return Node{
		Name: name(n.Name), Instance: name(n.Instance), Address: name(n.Address), Zone: name(n.Zone),
		Release: name(n.Release), State: n.State, Since: utc(n.Since), Deadline: utc(n.Deadline), Attempt: n.Attempt,
		Reason: c.line(n.Reason), Outdated: n.Outdated, Drift: n.Drift, Foreign: n.Foreign, Tail: c.block(n.Tail),
	}
}

func (c *censor) step(s reconciler.Step) Step {
	return Step{Node: name(s.Node), Kind: name(s.Kind), Reason: c.line(s.Reason), Since: utc(s.Since), Deadline: utc(s.Deadline)}
}

func (c *censor) rollout(r reconciler.Rollout) Rollout {
	out := Rollout{
		Trigger: r.Trigger, Release: name(r.Release), Revision: name(r.Revision),
		Started: utc(r.Started), LastProgress: utc(r.LastProgress), Ended: utc(r.Ended),
		Result: r.Result, Planned: r.Planned, Completed: r.Completed, Link: name(r.Link),
		From: name(r.From), Lowest: fromCapacity(r.Lowest), Longest: fromOutage(r.Longest),
	}
	if r.Change.Revision != "" {
		out.Change = &Change{Revision: name(r.Change.Revision), Author: c.line(r.Change.Author), Subject: c.line(r.Change.Subject)}
	}
	return out
}

// each is never nil, as a null in JSON breaks those who range over it.
func each[A, B any](from []A, convert func(A) B) []B {
	to := make([]B, len(from))
	for i, a := range from {
		to[i] = convert(a)
	}
	return to
}

// utc drops what is finer than a millisecond, and keeps the zero time.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Millisecond)
}

// UnderWay reports whether the rollout goes on: it has begun, and has not ended.
func (r Rollout) UnderWay() bool { return !r.Started.IsZero() && r.Ended.IsZero() }

// other is what the rollout brings, where that is not what is wanted now.
func (f Fleet) other() string {
	if f.Rollout.Release == "" || f.Rollout.Release == f.Desired.Release {
		return ""
	}
	return " with " + f.Rollout.Release
}

// Held is why not more is done, as far as the reason does not say it already.
func (f Fleet) Held() []string {
	return slices.DeleteFunc(slices.Clone(f.Plan.Holds), func(h string) bool { return strings.Contains(f.Reason, strings.TrimPrefix(h, "hold: ")) })
}

// Left is how long the rollout is expected to take still, in words; empty when nothing can be said.
func (f Fleet) Left(now time.Time) string {
	if f.Expected == nil || !f.Rollout.UnderWay() || !f.Expected.Ends.After(now) {
		return ""
	}
	return "about " + about(f.Expected.Ends.Sub(now)) + " left"
}
