package web

import (
	"cmp"
	"fmt"
	"strings"
	"unicode/utf8"
)

// nodes writes a table, one line a node.
func (p printer) nodes(nodes []Node) {
	if len(nodes) == 0 {
		return
	}
	head := []string{"NODE", "STATE", "RELEASE", "FOR", "TRY", "WHY"}
	rows := each(nodes, p.row)
	widths := columns(append(rows[:len(rows):len(rows)], head))
	p.blank()
	p.cells(head, widths, dim)
	for i, row := range rows {
		p.cells(row, widths, stateColours[nodes[i].Tone()])
	}
}

var stateColours = map[string]colour{"good": green, "old": none, "busy": blue, "bad": red}

func (p printer) row(n Node) []string {
	since, attempt := "", ""
	if !n.Since.IsZero() {
		since = span(p.Now.Sub(n.Since))
	}
	if n.Attempt > 0 {
		attempt = fmt.Sprint(n.Attempt)
	}
	return each([]string{n.Name, words(n.State), cmp.Or(n.Release, "unknown"), since, attempt, n.Reason}, visible)
}

// columns is how wide each column is; those of hostile width are cut to what names are allowed.
func columns(rows [][]string) []int {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = min(max(widths[i], utf8.RuneCountInString(cell)), 64)
		}
	}
	return widths
}

// cells writes a row. The state, the second cell, has the colour, and the last takes what width is left.
func (p printer) cells(row []string, widths []int, c colour) {
	var b strings.Builder
	used := 2
	b.WriteString("  ")
	for i, cell := range row {
		if i == len(row)-1 {
			b.WriteString(p.cut(cell, p.Width-used))
			break
		}
		padded := fmt.Sprintf("%-*s", widths[i], p.cut(cell, widths[i]))
		if i == 1 {
			padded = p.paint(c, padded)
		}
		b.WriteString(padded + "  ")
		used += widths[i] + 2
	}
	p.w.WriteString(strings.TrimRight(b.String(), " ") + "\n")
}
