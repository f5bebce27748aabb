package follow

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// Lines tell what changes of a fleet, a line for each change: enough to read afterwards what happened, and no more of them than there are
// states.
type Lines struct {
	Out    io.Writer
	Stamp  func() string // what each line begins with
	Colour bool
	Width  int // columns of a terminal; 0: no end

	names int // how wide the longest name is
	phase plan.Phase
	nodes map[string]string // what was told last, by node
}

// Take tells what is not as it was told before. Of what rests when it is first seen nothing is told.
func (l *Lines) Take(f web.Fleet) error {
	first := l.nodes == nil
	if first {
		l.nodes, l.names = map[string]string{}, len("fleet")
	}
	for _, n := range f.Nodes {
		l.names = max(l.names, utf8.RuneCountInString(n.Name))
	}
	for _, n := range f.Nodes {
		now, rests := string(n.State)+" "+n.Release, n.State == plan.InService || n.State == plan.Outdated
		if l.nodes[n.Name] == now {
			continue
		}
		l.nodes[n.Name] = now
		if first && rests {
			continue
		}
		if err := l.node(n); err != nil {
			return err
		}
	}
	if l.phase == f.Phase {
		return nil
	}
	l.phase = f.Phase
	return l.line("fleet", colourOfPhase(f.Phase), string(f.Phase), f.Desired.Release, f.Reason)
}

// node tells of a node, and of one that failed all that is known.
func (l *Lines) node(n web.Node) error {
	if n.State != plan.Failed {
		return l.line(n.Name, colourOf(n.State), string(n.State), n.Release, l.cut(n.Reason))
	}
	if err := l.line(n.Name, red, string(n.State), n.Release, n.Reason); err != nil || n.Tail == "" {
		return err
	}
	for said := range strings.SplitSeq(n.Tail, "\n") {
		if _, err := fmt.Fprintf(l.Out, "    │ %s\n", web.Line(said)); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lines) line(who string, c colour, word, release, reason string) error {
	word = fmt.Sprintf("%-14s", web.Line(strings.ReplaceAll(word, "_", " ")))
	line := fmt.Sprintf("%s  %-*s  %s %s", l.Stamp(), l.names, web.Line(who), l.paint(c, word), web.Line(release))
	if reason != "" {
		line += "  " + l.paint(dim, web.Line(reason))
	}
	_, err := fmt.Fprintln(l.Out, line)
	return err
}

// cut shortens a reason to what is left of the terminal's width.
func (l *Lines) cut(reason string) string {
	const leastRoom = 24
	runes, room := []rune(reason), l.Width-l.names-29 // a stamp of 8 columns, the state, a short release and what is between them
	if l.Width > 0 && room >= leastRoom && len(runes) > room {
		return string(runes[:room-1]) + "…"
	}
	return reason
}

// A colour is one of a terminal's.
type colour string

const (
	none   colour = ""
	dim    colour = "2"
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
)

func (l *Lines) paint(c colour, text string) string {
	if !l.Colour || c == none {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

func colourOf(s plan.State) colour {
	switch s {
	case plan.InService:
		return green
	case plan.Failed, plan.Unreachable, plan.Missing:
		return red
	case plan.Outdated:
		return none
	}
	return yellow
}

func colourOfPhase(p plan.Phase) colour {
	switch p {
	case plan.PhaseIdle:
		return green
	case plan.PhaseHalted, plan.PhaseInvalid:
		return red
	}
	return yellow
}
