package report

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"windlass/internal/forge"
	"windlass/reconciler"
)

// Bounds of the book, for each fleet: what is open, or was not told yet, of commits and rollouts that are not the newest. The oldest give way.
const mostOpen = 10

// A line is what a commit says of a fleet.
type line struct {
	Fleet   string    `json:"fleet"`
	Commit  string    `json:"commit"`
	Want    verdict   `json:"want"`
	Told    verdict   `json:"told,omitzero"`
	At      time.Time `json:"at,omitzero"` // when it was told
	Count   int       `json:"count,omitempty"`
	Refused string    `json:"refused,omitempty"` // why the forge will never take that state; empty: it may
	failed  int       // so many attempts in a row
}

// A deployment is what a rollout says.
type deployment struct {
	Fleet   string    `json:"fleet"`
	Started time.Time `json:"started"`
	Commit  string    `json:"commit"`
	Text    string    `json:"text"`
	ID      int64     `json:"id,omitempty"`    // the forge's; 0: it has not begun
	Asked   bool      `json:"asked,omitempty"` // it may have begun
	Want    verdict   `json:"want"`
	Told    verdict   `json:"told,omitzero"`
	Refused string    `json:"refused,omitempty"` // as a line's
	failed  int
}

// want has a deployment say something.
func (d *deployment) want(v verdict) {
	if v.State != d.Want.State {
		d.Refused = ""
	}
	d.Want = v
}

// key tells a rollout from all others.
func (d deployment) key() string { return d.Fleet + "@" + d.Started.UTC().Format(time.RFC3339Nano) }

// A book is what is to be told of one repository, and what was.
type book struct {
	Lines       []line       `json:"lines"`
	Deployments []deployment `json:"deployments"`

	retells bool // a line may say another text in the same state
	deploys bool // the forge has deployments
}

// line is the line of a commit and a fleet, made where there is none. It is good until the next is made.
func (b *book) line(fleet, commit string) *line {
	at := slices.IndexFunc(b.Lines, func(l line) bool { return l.Fleet == fleet && l.Commit == commit })
	if at < 0 {
		b.Lines = append(b.Lines, line{Fleet: fleet, Commit: commit})
		at = len(b.Lines) - 1
	}
	return &b.Lines[at]
}

// rollout is the deployment of a rollout; nil: there is none.
func (b *book) rollout(fleet string, r reconciler.Rollout) *deployment {
	at := slices.IndexFunc(b.Deployments, func(d deployment) bool { return d.Fleet == fleet && d.Started.Equal(r.Started) })
	if at < 0 {
		return nil
	}
	return &b.Deployments[at]
}

// want has a line say something. What went well stays so, whatever happens to its nodes later, unless it halts.
func (l *line) want(v verdict) {
	switch {
	case v.State == "":
	case l.Want.State == forge.Success && v.State != forge.Failure && (v.State != forge.Success || l.Told.State == forge.Success):
	default:
		if v.State != l.Want.State {
			l.Refused = ""
		}
		l.Want = v
	}
}

// close takes a rollout that ended.
func (b *book) close(d reconciler.RolloutDone) {
	if !deploys(d.Rollout) {
		return
	}
	v := ended(d)
	l := b.line(d.Fleet, brought(d.Rollout))
	if !l.Want.ends() || v.State == forge.Success || v.State == forge.Failure {
		l.want(v)
	}
	if b.begin(d.Fleet, d.Rollout) {
		b.rollout(d.Fleet, d.Rollout).want(v)
	}
}

// begin makes the deployment of a rollout where there is none, and reports whether there is one now.
func (b *book) begin(fleet string, r reconciler.Rollout) bool {
	if !b.deploys {
		return false
	}
	if b.rollout(fleet, r) == nil {
		text := r.Release
		if r.From != "" && r.From != r.Release {
			text = r.From + " → " + r.Release
		}
		b.Deployments = append(b.Deployments, deployment{
			Fleet: fleet, Started: r.Started, Commit: brought(r), Text: say("", "%s", text).Text, Want: say(forge.Pending, "%s", text),
		})
	}
	return true
}

// take takes what is known of all fleets now, and drops what nobody is to be told any more.
func (b *book) take(fleets []reconciler.Status) {
	current, under, unknown := map[string][]string{}, map[string]time.Time{}, map[string]bool{}
	for _, s := range fleets {
		unknown[s.Name] = s.Desired.Revision == "" && s.Rejected == nil // it has not made up its mind since the agent started
		current[s.Name] = b.speak(s)
		under[s.Name] = s.Rollout.Started
		b.deploy(s)
	}
	for i := range b.Lines {
		if l := &b.Lines[i]; !unknown[l.Fleet] && !slices.Contains(current[l.Fleet], l.Commit) && !l.Want.ends() {
			l.want(replaced(current[l.Fleet]))
		}
	}
	for i := range b.Deployments {
		if d := &b.Deployments[i]; !unknown[d.Fleet] && !d.Started.Equal(under[d.Fleet]) && !d.Want.ends() {
			d.want(replaced(current[d.Fleet]))
		}
	}
	b.drop(current, under, unknown)
}

func replaced(by []string) verdict {
	if len(by) == 0 {
		return say(forge.Replaced, "the fleet's file is gone")
	}
	return say(forge.Replaced, "superseded by %.7s", by[0])
}

// speak has the commits that a fleet is about now say how it stands, and names them.
func (b *book) speak(s reconciler.Status) (commits []string) {
	if c := s.Desired.Change.Revision; c != "" && !s.Released {
		commits = append(commits, c)
		if v := judge(s); v.State != "" {
			b.line(s.Name, c).want(v)
		}
	}
	if s.Rejected != nil && s.Rejected.Revision != "" {
		commits = append(commits, s.Rejected.Revision)
		b.line(s.Name, s.Rejected.Revision).want(refusal(s))
	}
	return commits
}

// deploy has the deployment of a fleet's rollout say how that stands. One that ended before anything was known of it is left alone.
func (b *book) deploy(s reconciler.Status) {
	r := s.Rollout
	if r.Started.IsZero() || !deploys(r) {
		return
	}
	known := b.rollout(s.Name, r)
	switch {
	case known == nil && r.Ended.IsZero() && s.Ready:
		b.begin(s.Name, r)
	case known != nil && !r.Ended.IsZero() && !known.Want.ends():
		known.want(ended(reconciler.RolloutDone{Fleet: s.Name, Rollout: r, Reason: s.Reason}))
	}
}

// states are what the book says but for its texts: what is not to be lost with the process.
func (b *book) states() string {
	var all strings.Builder
	for _, l := range b.Lines {
		fmt.Fprintln(&all, l.Fleet, l.Commit, l.Want.State)
	}
	for _, d := range b.Deployments {
		fmt.Fprintln(&all, d.key(), d.Want.State)
	}
	return all.String()
}

// drop forgets what was told to its end and is not the newest, and of what was not told the oldest beyond bounds.
func (b *book) drop(current map[string][]string, under map[string]time.Time, unknown map[string]bool) {
	open := map[string]int{}
	keep := func(fleet string, isNewest, isTold bool) bool {
		if isNewest || unknown[fleet] {
			return true
		}
		open[fleet]++
		return !isTold && open[fleet] <= mostOpen
	}
	slices.Reverse(b.Lines) // the newest first
	b.Lines = slices.DeleteFunc(b.Lines, func(l line) bool {
		return !keep(l.Fleet, slices.Contains(current[l.Fleet], l.Commit), l.Refused != "" || l.Told.State == l.Want.State)
	})
	slices.Reverse(b.Lines)
	clear(open)
	slices.Reverse(b.Deployments)
	b.Deployments = slices.DeleteFunc(b.Deployments, func(d deployment) bool {
		return !keep(d.Fleet, d.Started.Equal(under[d.Fleet]), d.Refused != "" || d.Told.State == d.Want.State)
	})
	slices.Reverse(b.Deployments)
}
