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
	mostLines  = 400         // of a fleet's rollout, after which it is told of as of a larger one
	mostNodes  = 20          // of a larger fleet it is told how far it is, and of nodes only what is wrong with them
	mostWrong  = 20          // nodes of such a fleet that are told of in one rollout, of each way to be wrong
	mostAtOnce = 3           // nodes that are told of by themselves when they change alike at the same time
	shares     = 20          // of a large fleet's rollout, after each of which it is told how far it is
	signOfLife = time.Minute // or after so long, when something changed
)

// Lines tell what changes of a fleet, a line for each change: enough to read afterwards what happened, and no more of them than there are
// states. However large and restless a fleet is, their number is bounded, but for one now and then.
type Lines struct {
	Out   io.Writer
	Stamp func(now time.Time) string // what each line begins with

	names   int // how wide the longest name is
	phase   plan.Phase
	shut    string             // gates that keep it from going on until somebody does something, as told last
	nodes   map[string]string  // what was told last, by node
	rollout time.Time          // the start of the one whose lines and wrong nodes are counted
	lines   int                // that were written
	wrong   map[plan.State]int // that were told of: many that are out of reach hide none that failed
	share   int                // of the rollout, as told last
	told    time.Time          // when
	untold  bool               // something changed since
}

// Take tells what is not as it was told before. Of what rests when it is first seen nothing is told.
func (l *Lines) Take(f web.Fleet, now time.Time) error {
	first := l.nodes == nil
	if first {
		l.nodes, l.names, l.told = map[string]string{}, len("fleet"), now
	}
	if l.wrong == nil || !f.Rollout.Started.Equal(l.rollout) {
		l.rollout, l.lines, l.wrong = f.Rollout.Started, 0, map[plan.State]int{}
	}
	large := len(f.Nodes) > mostNodes || l.lines >= mostLines
	for _, n := range f.Nodes {
		l.names = max(l.names, utf8.RuneCountInString(n.Name))
	}
	if len(f.Nodes) > mostAtOnce {
		l.names = max(l.names, len(nodes(len(f.Nodes))))
	}
	changes := l.changes(f.Nodes, first)
	if large {
		changes = l.onlyWrong(changes)
	}
	for _, c := range changes {
		if err := l.change(c, now); err != nil {
			return err
		}
	}
	shut := shutGates(f)
	closes := shut != l.shut && shut != "" && f.Phase == plan.PhaseWaiting && (!large || now.Sub(l.told) >= signOfLife)
	if closes || shut == "" {
		l.shut = shut
	}
	switch share := share(f); {
	case l.phase != f.Phase && (!large || !goesOn(l.phase) || !goesOn(f.Phase) || now.Sub(l.told) >= signOfLife):
		l.phase, l.share, l.told, l.untold = f.Phase, share, now, false
		return l.line(now, "fleet", string(f.Phase), f.Desired.Release, f.Reason)
	case closes:
		l.told = now
		return l.line(now, "fleet", string(f.Phase), f.Desired.Release, f.Reason)
	case large && (share != l.share || l.untold && now.Sub(l.told) >= signOfLife):
		l.share, l.told, l.untold = share, now, false
		return l.line(now, "fleet", string(f.Phase), f.Desired.Release, farness(f, now))
	}
	return nil
}

// goesOn reports whether a rollout that is in the phase may be held back and go on many times.
func goesOn(p plan.Phase) bool {
	return p == plan.PhaseProgressing || p == plan.PhaseRollingBack || p == plan.PhaseWaiting
}

// shutGates are the names of the gates that do not open by themselves.
func shutGates(f web.Fleet) string {
	var names []string
	for _, g := range f.Gates {
		if g.State == plan.GateShut.String() {
			names = append(names, g.Name)
		}
	}
	return strings.Join(names, ", ")
}

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
func (l *Lines) onlyWrong(changes []change) []change {
	var wrong []change
	for _, c := range changes {
		state := c[0].State
		if l.wrong[state] >= mostWrong || !isWrong(state) {
			continue
		}
		l.wrong[state] += min(len(c), mostAtOnce+1)
		wrong = append(wrong, c)
	}
	return wrong
}

// isWrong reports whether something is wrong with a node in the state.
func isWrong(s plan.State) bool {
	return s == plan.Failed || s == plan.Unreachable || s == plan.Missing
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
	if isWrong(c[0].State) {
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
	return l.line(now, nodes(len(c)), string(c[0].State), c[0].Release, said)
}

// farness is how far a fleet is, and how many nodes are in each state.
func farness(f web.Fleet, now time.Time) string {
	said := fmt.Sprintf("%d of %d", f.Rollout.Completed, f.Rollout.Planned)
	if left := f.Left(now); left != "" {
		said += ", " + left
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

// node tells of a node, and of one that failed also what its step said last.
func (l *Lines) node(n web.Node, now time.Time) error {
	if err := l.line(now, n.Name, string(n.State), n.Release, n.Reason); err != nil || n.State != plan.Failed || n.Tail == "" {
		return err
	}
	for said := range strings.SplitSeq(n.Tail, "\n") {
		if _, err := fmt.Fprintln(l.Out, "    │ "+web.Line(said)); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lines) line(now time.Time, who, word, release, reason string) error {
	word = web.Line(strings.ReplaceAll(word, "_", " "))
	line := fmt.Sprintf("%s  %-*s  %-14s %s", l.Stamp(now), l.names, web.Line(who), word, web.Line(release))
	if reason != "" {
		line += "  " + web.Line(reason)
	}
	l.lines++
	_, err := fmt.Fprintln(l.Out, line)
	return err
}
