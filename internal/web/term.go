package web

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"windlass/reconciler/plan"
)

// A Terminal is where text is written to.
type Terminal struct {
	Width  int // columns; 0: lines are not broken
	Colour bool
	Now    time.Time
}

// Text writes how everything stands, as `windlass status` shows it. It never sends a control character of a fleet's to the
// terminal.
func Text(w io.Writer, repo Repo, fleets []Fleet, t Terminal) error {
	out := bufio.NewWriter(w)
	p := printer{out, t}
	if repo.Problem != "" {
		p.line(red, "deploy repo: ", "%s", repo.Problem)
		p.blank()
	}
	for _, r := range repo.Reports {
		p.line(yellow, visible(r.To)+": ", "%s", visible(r.Problem))
	}
	if len(repo.Reports) > 0 {
		p.blank()
	}
	switch {
	case len(fleets) > 0:
	case repo.Revision != "":
		p.line(none, "", "the deploy repo has no fleet files at commit %.12s", repo.Revision)
	default:
		p.line(none, "", "no fleets are known yet")
	}
	for i, f := range fleets {
		if i > 0 {
			p.blank()
		}
		p.fleet(f)
	}
	return out.Flush()
}

// printer writes lines; what goes wrong is reported by the Flush of its writer.
type printer struct {
	w *bufio.Writer
	Terminal
}

type colour string

const (
	none   colour = ""
	bold   colour = "1"
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
	blue   colour = "34"
	violet colour = "35"
)

func (p printer) blank() { p.w.WriteByte('\n') }

// line writes a sentence behind a head, over as many lines as it takes.
func (p printer) line(c colour, head, format string, args ...any) {
	p.hang(head, utf8.RuneCountInString(head), c, fmt.Sprintf(format, args...))
}

// hang writes text behind a head of so many columns; further lines begin where the first did.
func (p printer) hang(head string, columns int, c colour, text string) {
	for _, l := range wrap(visible(text), p.room(columns)) {
		p.w.WriteString(strings.TrimRight(head+p.paint(c, l), " ") + "\n")
		head = strings.Repeat(" ", columns)
	}
}

// room is how many columns are left beside those used: at least enough to read. 0: as many as it takes.
func (p printer) room(used int) int {
	if p.Width <= 0 {
		return 0
	}
	return max(p.Width-used, 24)
}

func (p printer) paint(c colour, s string) string {
	if !p.Colour || c == none {
		return s
	}
	return "\x1b[" + string(c) + "m" + s + "\x1b[0m"
}

func (p printer) fleet(f Fleet) {
	p.w.WriteString(p.paint(bold, visible(f.Name)) + "  " + p.paint(phaseColour(f.Phase), words(visible(string(f.Phase)))) + "\n")
	p.line(none, "  ", "%s", f.Reason)
	p.figures(f)
	p.rejection(f.Rejected)
	p.steps(f.Plan.Steps)
	for _, hold := range f.Held() {
		p.line(yellow, "  ", "%s", hold)
	}
	p.nodes(f.Nodes)
	for _, n := range f.Nodes {
		p.failure(n)
	}
}

func (p printer) figures(f Fleet) {
	p.blank()
	if f.Desired.Release != "" {
		p.line(none, "  wanted      ", "%s (%s)", f.Desired.Release, p.commit(f.Desired))
	}
	p.line(none, "  in service  ", "%d of %d, floor %d%s", f.InService, f.Size, f.Floor, spread(f))
	for _, e := range f.Excluded {
		p.line(none, "  excluded    ", "%s: %s", e.Name, e.Reason)
	}
	if r := f.Rollout; !r.Started.IsZero() && r.Planned > 0 {
		p.line(none, "  rollout     ", "%s %d of %d%s%s", Bar(r.Completed, r.Planned, 20), r.Completed, r.Planned, f.other(), p.pace(f))
	}
	for _, g := range f.Gates {
		p.line(gateColour(g), "  gate        ", "%s: %s, %s", g.Name, g.State, g.Reason)
	}
	if f.Expected != nil {
		p.line(none, "  expected    ", "%s", f.Expected.Says)
	}
}

func gateColour(g Gate) colour {
	if g.State == plan.GateOpen.String() {
		return none
	}
	return yellow
}

func (p printer) commit(d Desired) string {
	if d.Committed.IsZero() {
		return brief(d.Revision)
	}
	return brief(d.Revision) + ", committed " + span(p.Now.Sub(d.Committed)) + " ago"
}

func spread(f Fleet) string {
	if len(f.Releases) == 0 {
		return ""
	}
	return "; " + f.spread()
}

// pace is how the rollout goes or went.
func (p printer) pace(f Fleet) string {
	if r := f.Rollout; !r.Ended.IsZero() {
		return ", " + words(r.Result) + " " + span(p.Now.Sub(r.Ended)) + " ago"
	}
	if left := f.Left(p.Now); left != "" {
		return ", " + left
	}
	return ""
}

// Bar is a share of the whole in so many characters; only the whole fills it.
func Bar(part, whole, places int) string {
	filled := 0
	if whole > 0 {
		filled = max(0, min(part, whole)) * places / whole
	}
	return strings.Repeat("█", filled) + strings.Repeat("░", places-filled)
}

func (p printer) rejection(r *Rejection) {
	if r == nil {
		return
	}
	p.blank()
	p.line(red, "  ", "the newest file is not in force (%s at %s):", r.Path, brief(r.Revision))
	for _, err := range r.Errors {
		p.line(none, "    ", "%s", err)
	}
}

func (p printer) steps(steps []Step) {
	if len(steps) == 0 {
		return
	}
	p.blank()
	for _, s := range steps {
		p.line(blue, "  ", "%s %s: %s%s", words(s.Kind), s.Node, s.Reason, p.times(s))
	}
}

func (p printer) times(s Step) string {
	var parts []string
	if !s.Since.IsZero() {
		parts = append(parts, "for "+span(p.Now.Sub(s.Since)))
	}
	if !s.Deadline.IsZero() {
		parts = append(parts, "at most "+span(s.Deadline.Sub(p.Now))+" more")
	}
	if len(parts) == 0 {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}

func (p printer) failure(n Node) {
	if n.Tail == "" {
		return
	}
	p.blank()
	p.line(red, "  ", "last lines of the failed step on %s:", n.Name)
	for l := range strings.SplitSeq(n.Tail, "\n") {
		p.w.WriteString("    │ " + visible(l) + "\n")
	}
}

func phaseColour(phase plan.Phase) colour {
	switch phase {
	case plan.PhaseIdle:
		return green
	case plan.PhaseProgressing:
		return blue
	case plan.PhaseRollingBack:
		return violet
	case plan.PhasePaused, plan.PhaseWaiting:
		return yellow
	}
	return red
}
