package follow

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// Bounds of what is told, so that a log stays one that people read.
const (
	mostNodes   = 20          // of a larger fleet it is told how far it is, and of nodes only what is wrong with them
	mostWrong   = 20          // nodes of such a fleet that are told of in one rollout, of each way to be wrong
	mostAtOnce  = 3           // nodes that are told of by themselves when they change alike at the same time
	shares      = 20          // of a large fleet's rollout, after each of which it is told how far it is
	signOfLife  = time.Minute // or after so long, when something changed
	widestStamp = 8           // columns
)

// Lines tell what changes of a fleet, a line for each change: enough to read afterwards what happened, and no more of them than there are
// states. However large a fleet is, their number is bounded.
type Lines struct {
	Out    io.Writer
	Stamp  func(now time.Time) string // what each line begins with
	Colour bool
	Width  int // columns of a terminal; 0: no end

	names   int // how wide the longest name is
	phase   plan.Phase
	nodes   map[string]string  // what was told last, by node
	rollout time.Time          // the start of the one whose wrong nodes are counted
	wrong   map[plan.State]int // that were told of: many that are out of reach hide none that failed
	share   int                // of the rollout, as told last
	told    time.Time          // when
	untold  bool               // something changed since
}

// Take tells what is not as it was told before. Of what rests when it is first seen nothing is told.
func (l *Lines) Take(f web.Fleet, now time.Time) error {
	first, large := l.nodes == nil, len(f.Nodes) > mostNodes
	if first {
		l.nodes, l.names, l.told = map[string]string{}, len("fleet"), now
	}
	for _, n := range f.Nodes {
		l.names = max(l.names, utf8.RuneCountInString(n.Name))
	}
	if len(f.Nodes) > mostAtOnce {
		l.names = max(l.names, len(nodes(len(f.Nodes))))
	}
	changes := l.changes(f.Nodes, first)
	if large {
		changes = l.onlyWrong(changes, f.Rollout.Started)
	}
	for _, c := range changes {
		if err := l.change(c, now); err != nil {
			return err
		}
	}
	switch share := share(f); {
	case l.phase != f.Phase && (!large || !goesOn(l.phase) || !goesOn(f.Phase) || now.Sub(l.told) >= signOfLife):
		l.phase, l.share, l.told, l.untold = f.Phase, share, now, false
		return l.line(now, "fleet", PhaseColour(f.Phase), string(f.Phase), f.Desired.Release, f.Reason)
	case large && (share != l.share || l.untold && now.Sub(l.told) >= signOfLife):
		l.share, l.told, l.untold = share, now, false
		return l.line(now, "fleet", PhaseColour(f.Phase), string(f.Phase), f.Desired.Release, farness(f, now))
	}
	return nil
}

// goesOn reports whether a rollout that is in the phase may be held back and go on many times.
func goesOn(p plan.Phase) bool { return p == plan.PhaseProgressing || p == plan.PhaseWaiting }

// share is which part of its rollout a fleet has behind it.
func share(f web.Fleet) int {
	if f.Rollout.Planned <= 0 {
		return 0
	}
	return f.Rollout.Completed * shares / f.Rollout.Planned
}

func nodes(n int) string { return fmt.Sprintf("%d nodes", n) }

// A change is what nodes have come to at the same time; they have the same state and release.
type change []web.Node

// changes are those of nodes since they were told of, in the order of the nodes.
func (l *Lines) changes(seen []web.Node, first bool) []change {
	var all []change
	alike := map[string]int{}
	for _, n := range seen {
		now, rests := string(n.State)+" "+n.Release, n.State == plan.InService || n.State == plan.Outdated
		if l.nodes[n.Name] == now {
			continue
		}
		l.nodes[n.Name] = now
		if first && rests {
			continue
		}
		at, there := alike[now]
		if !there {
			at = len(all)
			alike[now], all = at, append(all, nil)
		}
		all[at] = append(all[at], n)
	}
	l.untold = l.untold || len(all) > 0
	return all
}

// onlyWrong are the changes of nodes that something is wrong with, of so many nodes in each rollout.
func (l *Lines) onlyWrong(changes []change, rollout time.Time) []change {
	if l.wrong == nil || !rollout.Equal(l.rollout) {
		l.rollout, l.wrong = rollout, map[plan.State]int{}
	}
	var wrong []change
	for _, c := range changes {
		state := c[0].State
		if l.wrong[state] >= mostWrong || StateColour(state) != Red {
			continue
		}
		l.wrong[state] += min(len(c), mostAtOnce+1)
		wrong = append(wrong, c)
	}
	return wrong
}

// change tells of each node, or of many in one line and of the first as what they are like.
func (l *Lines) change(c change, now time.Time) error {
	if len(c) <= mostAtOnce {
		for _, n := range c {
			if err := l.node(n, now); err != nil {
				return err
			}
		}
		return nil
	}
	if StateColour(c[0].State) == Red {
		if err := l.node(c[0], now); err != nil {
			return err
		}
		c = c[1:]
	}
	names := make([]string, mostAtOnce)
	for i := range names {
		names[i] = c[i].Name
	}
	said := strings.Join(names, ", ")
	if more := len(c) - mostAtOnce; more > 0 {
		said += fmt.Sprintf(" and %d more", more)
	}
	return l.line(now, nodes(len(c)), StateColour(c[0].State), string(c[0].State), c[0].Release, l.cut(said))
}

// farness is how far a fleet is, and how many nodes are in each state.
func farness(f web.Fleet, now time.Time) string {
	said := fmt.Sprintf("%d of %d", f.Rollout.Completed, f.Rollout.Planned)
	if left := f.Left(now); left > 0 {
		said += ", about " + web.About(left) + " left"
	}
	counts := map[plan.State]int{}
	for _, n := range f.Nodes {
		counts[n.State]++
	}
	var states []string
	for _, s := range plan.States {
		if counts[s] > 0 {
			states = append(states, fmt.Sprintf("%d %s", counts[s], strings.ReplaceAll(string(s), "_", " ")))
		}
	}
	return said + "; " + strings.Join(states, ", ")
}

// node tells of a node, and of one that failed all that is known.
func (l *Lines) node(n web.Node, now time.Time) error {
	if n.State != plan.Failed {
		return l.line(now, n.Name, StateColour(n.State), string(n.State), n.Release, l.cut(n.Reason))
	}
	if err := l.line(now, n.Name, Red, string(n.State), n.Release, n.Reason); err != nil || n.Tail == "" {
		return err
	}
	for said := range strings.SplitSeq(n.Tail, "\n") {
		if _, err := fmt.Fprintf(l.Out, "    │ %s\n", web.Line(said)); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lines) line(now time.Time, who string, c Colour, word, release, reason string) error {
	word = fmt.Sprintf("%-14s", web.Line(strings.ReplaceAll(word, "_", " ")))
	line := fmt.Sprintf("%s  %-*s  %s %s", l.Stamp(now), l.names, web.Line(who), l.paint(c, word), web.Line(release))
	if reason != "" {
		line += "  " + l.paint(Dim, web.Line(reason))
	}
	_, err := fmt.Fprintln(l.Out, line)
	return err
}

// cut shortens a reason to what is left of the terminal's width.
func (l *Lines) cut(reason string) string {
	const leastRoom = 24
	runes, room := []rune(reason), l.Width-l.names-widestStamp-21 // the state, a short release and what is between them
	if l.Width > 0 && room >= leastRoom && len(runes) > room {
		return string(runes[:room-1]) + "…"
	}
	return reason
}

func (l *Lines) paint(c Colour, text string) string {
	if !l.Colour {
		return text
	}
	return c.Paint(text)
}
