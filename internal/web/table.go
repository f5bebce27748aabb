package web

import (
	"cmp"
	"fmt"
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
	p.cells(head, widths, none)
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

// columns is how wide each column is.
func columns(rows [][]string) []int {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

// cells writes a row. The state, which is the second cell, has the colour; the last cell takes what width is left.
func (p printer) cells(row []string, widths []int, c colour) {
	head, used := "  ", 2
	last := len(row) - 1
	for i, cell := range row[:last] {
		padded := fmt.Sprintf("%-*s", widths[i], cell)
		if i == 1 {
			padded = p.paint(c, padded)
		}
		head += padded + "  "
		used += widths[i] + 2
	}
	p.hang(head, used, none, row[last])
}
