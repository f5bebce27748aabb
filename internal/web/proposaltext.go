package web

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// ProposalText writes a proposal as `windlass plan --server` shows it.
func ProposalText(w io.Writer, p Proposal, t Terminal) error {
	out := bufio.NewWriter(w)
	to := printer{out, t}
	to.line(bold, "", "%s", p.about())
	for _, l := range p.standing() {
		to.line(yellow, "  ", "%s", l)
	}
	for _, l := range p.Warnings {
		to.line(none, "  ", "warning: %s", l)
	}
	for _, f := range p.Fleets {
		to.blank()
		to.proposed(f)
	}
	if len(p.Same) > 0 {
		to.blank()
		to.line(none, "", "not changed: %s", strings.Join(p.Same, ", "))
	}
	return out.Flush()
}

// about is which branch it is, and on top of what.
func (p Proposal) about() string {
	said := fmt.Sprintf("branch %s at %s", p.Branch, brief(p.Commit.Revision))
	if p.Commit.Author != "" || p.Commit.Subject != "" {
		said += fmt.Sprintf(" (%s: %s)", p.Commit.Author, p.Commit.Subject)
	}
	return said + fmt.Sprintf(", on top of %s at %s", p.Followed, brief(p.InForce))
}

// standing is what is to be said of the branch itself.
func (p Proposal) standing() []string {
	var said []string
	if p.Problem != "" {
		said = append(said, "cannot be planned: "+p.Problem)
	}
	if p.Behind > 0 && p.Problem == "" {
		said = append(said, fmt.Sprintf("%s behind: planned as it would be merged, with what is in force meanwhile", count(p.Behind, "commit")))
	}
	if p.Newer != "" && p.Problem == "" {
		said = append(said, fmt.Sprintf("without %s, the newest of %s, which is not in force", brief(p.Newer), p.Followed))
	}
	if p.Merged {
		said = append(said, "all of it is in force already")
	}
	return said
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// says is what becomes of a fleet in a few words.
func (f ProposedFleet) says() string {
	releases := f.Release
	if f.Was != "" && f.Was != f.Release {
		releases = f.Was + " → " + f.Release
	}
	switch f.Change {
	case EffectRolls:
		return "rolls, " + releases
	case EffectTuned:
		return "changes" + f.tunes()
	case EffectNew:
		return "is new, with " + releases
	case EffectGone:
		return "is let go"
	case EffectBroken:
		return "is broken: its file would not be in force"
	}
	return string(f.Change)
}

// tunes is what comes of a change by which nodes are to get what they have.
func (f ProposedFleet) tunes() string {
	switch {
	case f.quiet():
		return ", and no node gets anything else"
	case f.Moves:
		return " its nodes or load balancers"
	case f.worked():
		return ", and nodes are worked on"
	}
	return ", and what comes of it cannot be told yet"
}

// A fact is a line about a fleet, with its head.
type fact struct{ head, text string }

// facts are what is to be known of a fleet, but for the steps.
func (f ProposedFleet) facts() []fact {
	var all []fact
	add := func(head, format string, args ...any) { all = append(all, fact{head, fmt.Sprintf(format, args...)}) }
	if len(f.Files) > 0 {
		add("because of", "%s", strings.Join(f.Files, ", "))
	}
	for _, e := range f.Errors {
		add("wrong", "%s", e)
	}
	if c := f.Forecast; c != nil {
		if len(c.Nodes) > 0 {
			add("nodes", "%s", c.inOrder())
			add("capacity", "at least %d of %d in service, floor %d (maxUnavailable %s)", c.Lowest, c.Size, c.Floor, c.MaxUnavailable)
		}
		if c.Expected != nil && len(c.Nodes) > 0 {
			add("expected", "%s", c.Expected.Says)
		}
		if c.Left > 0 {
			add("then", "foreseen so far; %s to follow in the same way", count(c.Left, "node"))
		} else {
			add("then", "%s, %s", words(c.Phase), c.Reason)
		}
		for _, h := range c.Holds {
			if h != c.Reason {
				add("", "%s", h)
			}
		}
	}
	for _, n := range f.Notes {
		add("note", "%s", n)
	}
	if f.Unknown != "" {
		add("unknown", "nothing could be foreseen: %s", f.Unknown)
	}
	return all
}

// inOrder names the nodes that would be visited, the first ones by name.
func (c Forecast) inOrder() string {
	const shown = 12
	said := strings.Join(c.Nodes[:min(shown, len(c.Nodes))], ", ")
	if more := len(c.Nodes) + c.Left - min(shown, len(c.Nodes)); more > 0 {
		said += fmt.Sprintf(" and %d more", more)
	}
	return said
}

func (p printer) proposed(f ProposedFleet) {
	p.line(bold, "", "%s %s", f.Name, f.says())
	for _, l := range f.facts() {
		p.line(none, fmt.Sprintf("  %-11s", l.head), "%s", l.text)
	}
	if f.Forecast == nil {
		return
	}
	for i, s := range f.Forecast.Steps {
		head := visible(fmt.Sprintf("  %4d. %-9s %-12s ", i+1, s.Kind, s.Node))
		p.line(none, head, "%d of %d in service: %s", s.InService, f.Forecast.Size, s.Reason)
	}
}
