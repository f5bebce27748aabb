package web

import (
	"fmt"
	"html"
	"strings"
	"unicode/utf8"
)

const (
	// ProposalMarker begins what ProposalMarkdown writes, so that a comment is found again.
	ProposalMarker = "<!-- windlass plan -->"

	// MostMarkdown is how many bytes ProposalMarkdown returns at the most: forges take 65,536 characters.
	MostMarkdown = 60_000

	mostCell = 300 // characters of one text from outside
)

// ProposalMarkdown is a proposal as a comment on a pull request. Every text from outside stands in a code span, in which forges look for
// nothing: no mention, link, image, reference or HTML.
func ProposalMarkdown(p Proposal) string {
	w := &markdown{left: MostMarkdown - 500} // for what says that something was cut off
	w.add(ProposalMarker + "\n### windlass: " + p.headline() + "\n\n")
	w.add(fmt.Sprintf("Branch %s at %s, on top of %s at %s.\n", code(p.Branch), code(brief(p.Commit.Revision)), code(p.Followed), code(brief(p.InForce))))
	for _, l := range p.standing() {
		w.add("\n> " + code(l) + "\n")
	}
	shown := 0
	for _, f := range p.Fleets {
		if !w.add(f.markdown()) {
			break
		}
		shown++
	}
	if len(p.Warnings) > 0 {
		fold(w, "Warnings", "\n", p.Warnings, func(_ int, l string) string { return "- " + code(l) + "\n" })
	}
	if len(p.Same) > 0 {
		fold(w, fmt.Sprintf("%s not changed", count(len(p.Same), "fleet")), "\n", p.Same, func(_ int, l string) string { return "- " + code(l) + "\n" })
	}
	for _, f := range p.Fleets[:shown] {
		if c := f.Forecast; c != nil && len(c.Steps) > 0 {
			head := "\n| | step | node | in service | why |\n|--:|---|---|---|---|\n"
			fold(w, fmt.Sprintf("%s of %s", count(len(c.Steps), "step"), codeInHTML(f.Name)), head, c.Steps, func(i int, s Foreseen) string {
				return fmt.Sprintf("| %d | %s | %s | %d of %d | %s |\n", i+1, code(s.Kind), code(s.Node), s.InService, c.Size, code(s.Reason))
			})
		}
	}
	if more := len(p.Fleets) - shown; more > 0 {
		w.text.WriteString(fmt.Sprintf("\n**%s more, cut off here.**\n", count(more, "fleet")))
	}
	if w.cut || shown < len(p.Fleets) {
		w.text.WriteString("\nThis is cut off where a comment ends; `windlass plan --server URL --branch NAME` shows all of it.\n")
	}
	return w.text.String()
}

// headline is what would happen, in numbers.
func (p Proposal) headline() string {
	if p.Problem != "" {
		return "this branch cannot be planned"
	}
	var parts []string
	say := func(one, many string, are func(ProposedFleet) bool) {
		n := 0
		for _, f := range p.Fleets {
			if are(f) {
				n++
			}
		}
		switch {
		case n == 1:
			parts = append(parts, "1 fleet "+one)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d fleets %s", n, many))
		}
	}
	is := func(e Effect) func(ProposedFleet) bool {
		return func(f ProposedFleet) bool { return f.Change == e }
	}
	say("is broken", "are broken", is(EffectBroken))
	say("rolls", "roll", is(EffectRolls))
	say("is new", "are new", is(EffectNew))
	say("is let go", "are let go", is(EffectGone))
	say("changes", "change", func(f ProposedFleet) bool { return f.Change == EffectTuned && !f.quiet() })
	say("changes and rolls nothing", "change and roll nothing", ProposedFleet.quiet)
	if len(parts) == 0 {
		return "no fleet changes"
	}
	return strings.Join(parts, ", ")
}

// markdown is a fleet as a heading and a table, without its steps.
func (f ProposedFleet) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n#### %s %s\n\n", code(f.Name), f.markdownSays())
	facts := f.facts()
	if len(facts) == 0 {
		return b.String()
	}
	b.WriteString("| | |\n|---|---|\n")
	const most = 30
	for _, l := range facts[:min(most, len(facts))] {
		fmt.Fprintf(&b, "| %s | %s |\n", l.head, code(l.text))
	}
	if more := len(facts) - most; more > 0 {
		fmt.Fprintf(&b, "| | and %d more |\n", more)
	}
	return b.String()
}

// markdownSays is says with its releases as code.
func (f ProposedFleet) markdownSays() string {
	switch {
	case f.Change == EffectRolls && f.Was != "" && f.Was != f.Release:
		return "rolls: " + code(f.Was) + " → " + code(f.Release)
	case f.Change == EffectRolls:
		return "rolls with " + code(f.Release) + ", otherwise configured"
	case f.Change == EffectNew:
		return "is new, with " + code(f.Release)
	}
	plain := f
	plain.Was, plain.Release = "", ""
	if said := plain.says(); said != string(f.Change) {
		return said
	}
	return code(string(f.Change))
}

// A markdown is a comment that is being written.
type markdown struct {
	text strings.Builder
	left int // bytes
	cut  bool
}

// add writes text, or nothing when there is no room for all of it.
func (m *markdown) add(text string) bool {
	if len(text) > m.left {
		m.cut, m.left = true, 0
		return false
	}
	m.text.WriteString(text)
	m.left -= len(text)
	return true
}

// code is text from outside as a code span that ends where it should: what would end it, or the cell of a table, is replaced.
func code(text string) string {
	if text = inert(text); text == "" {
		return "–"
	}
	return "`" + text + "`"
}

// codeInHTML is code for where forges take what is written for HTML.
func codeInHTML(text string) string { return "<code>" + html.EscapeString(inert(text)) + "</code>" }

func inert(text string) string {
	text = strings.NewReplacer("`", "'", "|", "¦").Replace(strings.TrimSpace(line(text)))
	if utf8.RuneCountInString(text) > mostCell {
		text = string([]rune(text)[:mostCell-1]) + "…"
	}
	return text
}

// fold writes rows that are shown when somebody opens them, as many as there is room for.
func fold[T any](m *markdown, summary, head string, rows []T, row func(i int, r T) string) {
	const end = "\n</details>\n"
	opening := "\n<details><summary>" + summary + "</summary>\n" + head
	if len(opening)+len(end)+200 > m.left {
		m.cut = true
		return
	}
	m.left -= len(end) + 100
	m.add(opening)
	for i, r := range rows {
		if text := row(i, r); !m.add(text) {
			fmt.Fprintf(&m.text, "\n%d more, cut off here.\n", len(rows)-i)
			break
		}
	}
	m.text.WriteString(end)
}
