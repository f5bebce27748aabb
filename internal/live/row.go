package live

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// A span is text of one colour.
type span struct {
	colour colour
	text   string
}

// A row is a line of the terminal.
type row []span

func plain(text string) row { return row{{none, text}} }

func coloured(c colour, text string) row { return row{{c, text}} }

// and is the row with more behind it.
func (r row) and(more ...span) row { return append(r[:len(r):len(r)], more...) }

// columns is how many columns the row takes.
func (r row) columns() int {
	n := 0
	for _, s := range r {
		n += columns(s.text)
	}
	return n
}

// render is the row as it is written, cut to so many columns.
func (r row) render(room int, colours bool) string {
	var b strings.Builder
	fits := r.columns() <= room
	for _, s := range r {
		text := s.text
		if used := columns(text); !fits && used >= room {
			text, room = cut(text+"…", room), 0 // what comes behind does not fit
		} else {
			room -= used
		}
		if colours {
			text = s.colour.paint(text)
		}
		b.WriteString(text)
		if room <= 0 {
			break
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// columns is how many columns of a terminal a text takes.
func columns(s string) int {
	n := 0
	for _, c := range s {
		n += columnsOf(c)
	}
	return n
}

// columnsOf is as terminals do it: East Asian characters and pictures are wide, and marks stand above what is before them. Where a
// terminal thinks otherwise, the end of the row is lost, as it is drawn without wrapping.
func columnsOf(c rune) int {
	switch {
	case c < 0x300:
		return 1
	case unicode.In(c, unicode.Mn, unicode.Me):
		return 0
	}
	switch width.LookupRune(c).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// cut is as much of a text as fits; what is cut ends in an ellipsis.
func cut(s string, room int) string {
	if columns(s) <= room {
		return s
	}
	used, end := 0, 0
	for i, c := range s {
		if used+columnsOf(c) > room-1 {
			break
		}
		used += columnsOf(c)
		end = i + len(string(c))
	}
	if room <= 0 {
		return ""
	}
	return s[:end] + "…"
}

// pad is a text with blanks behind it, up to so many columns.
func pad(s string, to int) string { return s + strings.Repeat(" ", max(0, to-columns(s))) }

// wrapped is a text in rows of at most so many columns, broken between words where that can be.
func wrapped(s string, room int) []string {
	var lines []string
	for _, word := range strings.Fields(s) {
		last := len(lines) - 1
		if last >= 0 && columns(lines[last])+1+columns(word) <= room {
			lines[last] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	return lines
}
