package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"time"

	"windlass/desired"
	"windlass/internal/web"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

const (
	mostWords = 500 // characters of a reason
	barWidth  = 12
)

// head is the first message of a rollout, as it reads now.
func (d *decision) head(r web.Rollout, reason string, newest bool) Message {
	m := Message{Thread: id(d.fleet.Name, r), At: d.now, Fleet: d.fleet.Name, Mood: d.mood(r), Link: safeLink(r.Link)}
	m.Title = d.fleet.Name + ": " + releases(r)
	if r.Ended.IsZero() {
		m.Lines = append(m.Lines, d.progress(r))
	} else {
		m.Title = d.recap(r)
	}
	if by := d.by(r); by != "" {
		m.Lines = append(m.Lines, by)
	}
	switch {
	case r.Result == reconciler.ResultHalted && reason != "":
		m.Lines = append(m.Lines, cut(reason))
	case newest && !d.waiting.IsZero():
		m.Lines = append(m.Lines, "waits: "+cut(reason))
	case newest && d.paused(r):
		m.Lines = append(m.Lines, "paused: "+cut(reason))
	}
	return m
}

// brief is a reply to it.
func (d *decision) brief(t *thread, r web.Rollout, reason string, on desired.Occasion) (title string, lines []string) {
	switch {
	case on == desired.OnStarted:
		return fmt.Sprintf("%s: %s begins, it waited since %s UTC", d.fleet.Name, releases(r), t.Held.Since.UTC().Format("15:04")), []string{"waited: " + strings.TrimPrefix(t.Held.Why, "hold: ")}
	case on == desired.OnWaiting:
		return fmt.Sprintf("%s waits since %s UTC, at %d of %d nodes", d.fleet.Name, d.waiting.UTC().Format("15:04"), r.Completed, r.Planned), []string{cut(reason)}
	case on == desired.OnHalted && reason != "":
		lines = []string{cut(reason)}
	}
	return d.recap(r), lines
}

// recap tells of a rollout that ended in one line, but for its link.
func (d *decision) recap(r web.Rollout) string {
	if d.gone {
		return d.fleet.Name + ": no more is told of it here"
	}
	if r.Release == "" { // nobody knows more of it
		return d.fleet.Name + ": another rollout took its place; how it ended is not known any more"
	}
	link := r.Link
	r.Link = ""
	says := r.Recap(d.fleet.Name)
	r.Link = link
	if next := d.fleet.Rollout; r.Result == reconciler.ResultSuperseded && next.Started.After(r.Started) && next.Release != "" {
		says += ", now " + next.Release
	}
	return cut(says)
}

// releases is what the rollout brings.
func releases(r web.Rollout) string {
	if r.From == "" || r.From == r.Release {
		return r.Release
	}
	return r.From + " → " + r.Release
}

func (d *decision) mood(r web.Rollout) Mood {
	switch r.Result {
	case reconciler.ResultHalted:
		return Bad
	case reconciler.ResultSuperseded:
		return Over
	case reconciler.ResultSucceeded, reconciler.ResultRolledBack:
		return Good
	}
	if !d.waiting.IsZero() || d.paused(r) {
		return Held
	}
	return Busy
}

// paused reports whether the fleet's file holds up a rollout that has begun.
func (d *decision) paused(r web.Rollout) bool {
	return r.UnderWay() && d.fleet.Phase == plan.PhasePaused
}

// progress is a bar with n of m, and when the rollout is expected to end: as a time, which changes less than what is left.
func (d *decision) progress(r web.Rollout) string {
	full := 0
	if r.Planned > 0 {
		full = min(barWidth, max(0, r.Completed*barWidth/r.Planned))
	}
	says := fmt.Sprintf("%s%s %d of %d", strings.Repeat("█", full), strings.Repeat("░", barWidth-full), r.Completed, r.Planned)
	if e := d.fleet.Expected; e != nil && !e.Ends.IsZero() && d.waiting.IsZero() {
		says += ", until about " + e.Ends.UTC().Round(time.Minute).Format("15:04") + " UTC"
	}
	return says
}

// by is who wanted it, and in which words.
func (d *decision) by(r web.Rollout) string {
	if small(r) {
		return "after " + string(r.Trigger)
	}
	c := r.Change
	if c == nil {
		return ""
	}
	var parts []string
	if c.Author != "" {
		parts = append(parts, "by "+c.Author)
	}
	if c.Subject != "" {
		parts = append(parts, c.Subject)
	}
	return cut(strings.Join(parts, ": "))
}

// rejection tells of a file that is not in force.
func rejection(f web.Fleet) Message {
	m := Message{
		Fleet: f.Name, On: desired.OnRejected, Kind: Post, Mood: Bad,
		Title: fmt.Sprintf("%s: %s is not in force", f.Name, f.Rejected.Path),
	}
	const most = 5
	for i, e := range f.Rejected.Errors {
		if i == most {
			m.Lines = append(m.Lines, fmt.Sprintf("and %d more", len(f.Rejected.Errors)-most))
			break
		}
		m.Lines = append(m.Lines, cut(e))
	}
	return m
}

func cut(s string) string {
	if r := []rune(s); len(r) > mostWords {
		return string(r[:mostWords-1]) + "…"
	}
	return s
}

// safeLink is a link that leads to a page, or none.
func safeLink(link string) string {
	at, err := url.Parse(link)
	if err != nil || at.Host == "" || at.Scheme != "https" && at.Scheme != "http" || at.User != nil {
		return ""
	}
	return at.String()
}

// text is the message as plain lines.
func (m Message) text() string {
	lines := append([]string{m.Title}, m.Lines...)
	if m.Link != "" {
		lines = append(lines, m.Link)
	}
	return strings.Join(lines, "\n")
}

// digest tells what is said from what else could be.
func digest(m Message) string {
	sum := sha256.Sum256([]byte(string(m.Mood) + "\x00" + m.text()))
	return hex.EncodeToString(sum[:8])
}

// An Event is a message for a program.
type Event struct {
	ID      string       `json:"id"`      // the same when it comes again
	Event   string       `json:"event"`   // an occasion, or superseded
	At      time.Time    `json:"at"`      // when it was made
	Fleet   string       `json:"fleet"`   //
	Phase   string       `json:"phase"`   // of the fleet now
	Reason  string       `json:"reason"`  // of that
	Text    string       `json:"text"`    // for people
	Rollout *web.Rollout `json:"rollout"` // null: it is about a rejected file

	Rejected *web.Rejection `json:"rejected,omitempty"`
}

func eventOf(m Message, f web.Fleet, r web.Rollout) Event {
	e := Event{ID: m.ID, Event: string(m.On), At: m.At.UTC().Truncate(time.Millisecond), Fleet: f.Name, Phase: string(f.Phase), Reason: f.Reason, Text: m.text()}
	if m.On == "" {
		e.Event = string(reconciler.ResultSuperseded)
	}
	if !r.Started.IsZero() {
		e.Rollout = &r
	} else {
		e.Rejected = f.Rejected
	}
	return e
}
