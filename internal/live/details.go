package live

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// titled are the details of one fleet of several.
func (f framer) titled(fleet web.Fleet) []section {
	title := fixed(1, []row{coloured(bold, web.Line(fleet.Name))})
	title.apart = true
	return append([]section{title}, f.details(fleet)...)
}

// details are why a fleet stands as it does, its nodes, what holds it back, and what the failed step said.
func (f framer) details(fleet web.Fleet) []section {
	all := []section{f.says(none, fleet.Reason, 3)}
	if r := fleet.Rejected; r != nil {
		all = append(all, f.rejection(r))
	}
	all = append(all, f.nodes(fleet))
	if held := f.held(fleet); held.want > 0 {
		all = append(all, held)
	}
	if failed := f.failure(fleet.Nodes); failed.want > 0 {
		all = append(all, failed)
	}
	return all
}

func (f framer) rejection(r *web.Rejection) section {
	rows := []row{coloured(red, fmt.Sprintf("the newest file is not in force (%s at %.7s):", web.Line(r.Path), web.Line(r.Revision)))}
	for _, err := range r.Errors {
		rows = append(rows, plain("  "+web.Line(err)))
	}
	return fixed(2, rows)
}

// held is why not more is done.
func (f framer) held(fleet web.Fleet) section {
	const most = 4
	holds := fleet.Held()
	return section{least: 1, want: min(len(holds), most), apart: true, draw: func(n int) []row {
		shown := holds[:n]
		more := len(holds) - n
		if more > 0 && n > 1 {
			shown, more = holds[:n-1], more+1
		}
		var rows []row
		for _, h := range shown {
			rows = append(rows, coloured(yellow, web.Line(h)))
		}
		if len(rows) < n {
			rows = append(rows, coloured(yellow, fmt.Sprintf("… and %d more holds", more)))
		}
		return rows
	}}
}

// failure is what the step that failed last said last.
func (f framer) failure(nodes []web.Node) section {
	const most = 10
	var failed web.Node
	for _, n := range nodes {
		if n.Tail != "" && (failed.Tail == "" || n.Since.After(failed.Since)) {
			failed = n
		}
	}
	if failed.Tail == "" {
		return section{}
	}
	lines := strings.Split(failed.Tail, "\n")
	title := coloured(red, "last lines of the failed step on "+web.Line(failed.Name)+":")
	return section{least: 4, want: min(len(lines), most) + 1, apart: true, draw: func(n int) []row {
		rows := []row{title}
		for _, l := range lines[len(lines)-(n-1):] {
			rows = append(rows, plain("  │ "+web.Line(l)))
		}
		return rows
	}}
}

// A group is the nodes in one state.
type group struct {
	word  string
	state plan.State
	nodes []web.Node
}

// order is that of states from what needs attention to what rests.
var order = []plan.State{
	plan.Failed, plan.Missing, plan.Unreachable, plan.OutOfService, plan.Baking, plan.Joining, plan.Verifying, plan.Configuring, plan.Draining, plan.Preparing,
	plan.Outdated, plan.InService,
}

func groups(fleet web.Fleet) []group {
	byState := map[plan.State][]web.Node{}
	states := slices.Clone(order)
	for _, n := range fleet.Nodes {
		if !slices.Contains(states, n.State) { // of an agent of a later version
			states = append([]plan.State{n.State}, states...)
		}
		byState[n.State] = append(byState[n.State], n)
	}
	all := others(fleet)
	for _, s := range states {
		if nodes := byState[s]; len(nodes) > 0 {
			all = append(all, group{words(s), s, nodes})
		}
	}
	return all
}

// others are what is under way on members that are no nodes, and what is left alone.
func others(fleet web.Fleet) []group {
	var all []group
	for _, s := range fleet.Plan.Steps {
		if slices.ContainsFunc(fleet.Nodes, func(n web.Node) bool { return n.Name == s.Node }) {
			continue
		}
		all = append(all, group{words(s.Kind), "", []web.Node{{Name: s.Node, Deadline: s.Deadline, Reason: s.Reason}}})
	}
	if len(fleet.Excluded) > 0 {
		left := group{word: "excluded", state: plan.Outdated}
		for _, e := range fleet.Excluded {
			left.nodes = append(left.nodes, web.Node{Name: e.Name, Reason: e.Reason})
		}
		all = append(all, left)
	}
	return all
}

// wants is how many rows a group would have: a node that moves or is in trouble has one of its own.
func (g group) wants() int {
	if g.state == plan.InService || g.state == plan.Outdated {
		return 1
	}
	return len(g.nodes)
}

// nodes are the groups of a fleet's nodes. They take at most half of the window, but for a row of each.
func (f framer) nodes(fleet web.Fleet) section {
	all := groups(fleet)
	wanted := 0
	for _, g := range all {
		wanted += g.wants()
	}
	want := min(wanted, max(len(all), f.w.Height/2))
	return section{least: len(all), want: want, apart: true, draw: func(n int) []row {
		var rows []row
		for i, g := range all {
			if left := len(all) - i; n < left && n == 1 && left > 1 {
				return append(rows, f.summary(all[i:]))
			}
			share := 1 + min(g.wants()-1, max(0, n-(len(all)-i)))
			rows = append(rows, f.group(g, share)...)
			n -= share
		}
		return rows
	}}
}

// summary is how many nodes are in the groups that there is no room for.
func (f framer) summary(all []group) row {
	parts := make([]string, len(all))
	for i, g := range all {
		parts[i] = fmt.Sprintf("%d %s", len(g.nodes), g.word)
	}
	return plain(strings.Join(parts, ", "))
}

// group is a group in so many rows.
func (f framer) group(g group, rows int) []row {
	if rows >= len(g.nodes) && rows == g.wants() && (rows > 1 || len(g.nodes) == 1) {
		return f.each(g, g.nodes)
	}
	shown := f.each(g, g.nodes[:rows-1])
	left := g.nodes[rows-1:]
	head := f.label(g, rows == 1)
	if rows > 1 {
		head = head.and(span{none, "and "})
	}
	return append(shown, head.and(span{none, f.names(left, f.width-head.columns())}))
}

// each is a row for each node. The first has the label of the group.
func (f framer) each(g group, nodes []web.Node) []row {
	name := 0
	for _, n := range nodes {
		name = min(24, max(name, columns(web.Line(n.Name))))
	}
	if f.narrow() {
		name = 0
	}
	var rows []row
	for i, n := range nodes {
		r := f.label(g, i == 0).and(span{none, pad(web.Line(n.Name), name) + "  "})
		if !n.Deadline.IsZero() {
			r = r.and(span{none, "until " + f.clock(n.Deadline) + "  "})
		}
		if n.Attempt > 1 {
			r = r.and(span{yellow, fmt.Sprintf("try %d  ", n.Attempt)})
		}
		rows = append(rows, r.and(span{dim, web.Line(n.Reason)}))
	}
	return rows
}

func (f framer) narrow() bool { return f.width < 60 }

// label is how many nodes are in a state, or as many blanks.
func (f framer) label(g group, first bool) row {
	count, word := fmt.Sprintf("%4d ", len(g.nodes)), pad(g.word, len("out of service"))+"  "
	if f.narrow() {
		count, word = strings.TrimLeft(count, " "), g.word+" "
	}
	if !first {
		return plain(strings.Repeat(" ", columns(count+word)))
	}
	return row{{none, count}, {g.colour(), word}}
}

// names are as many as there is room for, and how many more there are.
func (f framer) names(nodes []web.Node, room int) string {
	said := ""
	for i, n := range nodes {
		next, more := said, ""
		if i > 0 {
			next += ", "
		}
		next += web.Line(n.Name)
		if left := len(nodes) - i - 1; left > 0 {
			more = fmt.Sprintf(" and %d more", left)
		}
		if columns(next+more) > room {
			if i == 0 {
				return fmt.Sprintf("%d nodes", len(nodes))
			}
			return said + fmt.Sprintf(" and %d more", len(nodes)-i)
		}
		said = next
	}
	return said
}

// clock is a time as a clock shows it; one that is not of this day has the date as well.
func (f framer) clock(t time.Time) string {
	t = t.In(f.w.Now.Location())
	if t.Sub(f.w.Now).Abs() > 20*time.Hour {
		return t.Format("2 Jan 15:04")
	}
	return t.Format(time.TimeOnly)
}

func (g group) colour() colour {
	if g.word == "excluded" {
		return none
	}
	return stateColour(g.state)
}
