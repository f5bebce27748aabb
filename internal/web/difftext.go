package web

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"windlass/desired"
)

// DiffText writes what fleets lack, as `windlass diff` shows it.
func DiffText(w io.Writer, all []Diff, t Terminal) error {
	out := bufio.NewWriter(w)
	p := printer{out, t}
	for i, d := range all {
		if i > 0 {
			p.blank()
		}
		p.diff(d)
	}
	return out.Flush()
}

func (p printer) diff(d Diff) {
	said := fmt.Sprintf("%d of %d nodes differ", len(d.Nodes)+d.Missing, max(d.Size, len(d.Nodes)+d.Missing))
	switch {
	case !d.Differs():
		said = fmt.Sprintf("no difference on %s", count(d.Size, "node"))
	case len(d.Nodes)+d.Missing+len(d.Members) == 0:
		said = "it is not known which nodes differ"
	}
	if d.Release == "" {
		p.line(bold, "", "%s: there is nothing to compare with", d.Fleet)
	} else {
		p.line(bold, "", "%s: %s from %s (%s)", d.Fleet, said, d.Release, brief(d.Revision))
	}
	for _, n := range d.Nodes {
		p.line(none, "  ", "%s %s", n.Name, n.says(d))
		if len(n.Differs) > 0 {
			p.line(none, "    ", "differs: %s", strings.Join(each(n.Differs, desired.Difference.String), ", "))
		}
		if n.Unknown != "" {
			p.line(yellow, "    ", "what differs is not known: %s", n.Unknown)
		}
		p.line(none, "    ", "%s: %s", words(n.State), n.Reason)
	}
	if d.Missing > 0 {
		p.line(none, "  ", "%s expected and not found", count(d.Missing, "node"))
	}
	for _, m := range d.Members {
		p.line(yellow, "  ", "%s in %s is no node of the fleet", m.ID, m.Group)
	}
	for _, l := range d.Unread {
		p.line(red, "  ", "not known: %s", l)
	}
	for _, e := range d.Excluded {
		p.line(none, "  ", "excluded: %s: %s", e.Name, e.Reason)
	}
}

// says is what a node has, and lacks, in a few words.
func (n NodeDiff) says(d Diff) string {
	has := n.Release
	if has == "" {
		has = "unknown"
	}
	said := has + " → " + d.Release
	switch {
	case n.Revision != "" && n.Revision == d.Revision && has == d.Release:
		said = d.Release
	case n.Revision != "" && n.Revision != d.Revision:
		said += fmt.Sprintf(" (%s → %s)", brief(n.Revision), brief(d.Revision))
	}
	if n.Drift {
		said += ", drifted"
	}
	if n.Foreign {
		said += ", taken out by somebody else"
	}
	return said
}
