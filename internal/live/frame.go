package live

import (
	"time"

	"windlass/internal/web"
)

// A Picture is what is shown.
type Picture struct {
	Repo    web.Repo
	Fleets  []web.Fleet // by name
	Events  []string    // lines of what happened, the newest last
	Trouble string      // what is waited for, or why there is no newer picture; empty: all is well
}

// A Window is what a frame has to fit.
type Window struct {
	Width, Height int // of the terminal; 0: 80 and 24
	Colour        bool
	Now           time.Time
}

// Frame is a picture in rows. There is one row less than the terminal has, so that what is written below scrolls nothing of it away, and
// one column less, so that no terminal wraps. What matters most is on top, and is what is left of it in a small window. It sends no
// control character of a fleet's to the terminal.
func Frame(p Picture, w Window) []string {
	if w.Width <= 0 {
		w.Width = 80
	}
	if w.Height <= 0 {
		w.Height = 24
	}
	f := framer{w: w, width: max(1, w.Width-1)}
	sections := f.sections(p)
	room := max(1, w.Height-1)
	given := allot(sections, room)
	for _, n := range given {
		room -= n
	}
	var lines []string
	for i, s := range sections {
		if given[i] == 0 {
			continue
		}
		if s.apart && room > 0 && len(lines) > 0 {
			lines, room = append(lines, ""), room-1
		}
		for _, r := range s.draw(given[i]) {
			lines = append(lines, r.render(f.width, w.Colour))
		}
	}
	return lines
}

// A framer makes the sections of a frame.
type framer struct {
	w     Window
	width int // that rows may have
}

// A section is a part of the frame that stays together.
type section struct {
	least   int                  // rows that it has before the sections below it have more than that
	want    int                  // rows that it would have
	patient bool                 // it has more than the least only when all others have what they want
	apart   bool                 // there is a blank row before it, where there is room
	draw    func(rows int) []row // at most so many
}

// fixed is a section that is cut from below.
func fixed(least int, rows []row) section {
	return section{least: least, want: len(rows), draw: func(n int) []row { return rows[:n] }}
}

// newest is a section that is cut from above.
func newest(least, want int, rows []row) section {
	return section{least: least, want: min(want, len(rows)), apart: true, draw: func(n int) []row { return rows[len(rows)-n:] }}
}

// allot is how many rows each section has: the least of each as far as it goes, then from above what each wants.
func allot(sections []section, room int) []int {
	given := make([]int, len(sections))
	for i, s := range sections {
		given[i] = max(0, min(s.least, s.want, room))
		room -= given[i]
	}
	for _, turn := range []bool{false, true} {
		for i, s := range sections {
			if s.patient == turn {
				more := max(0, min(s.want-given[i], room))
				given[i] += more
				room -= more
			}
		}
	}
	return given
}

// sections are those of a picture, from above.
func (f framer) sections(p Picture) []section {
	all := f.heads(p.Fleets)
	if p.Trouble != "" {
		all = append(all, f.says(red, p.Trouble, 2))
	}
	if p.Repo.Problem != "" {
		all = append(all, f.says(red, "deploy repo: "+p.Repo.Problem, 2))
	}
	switch {
	case len(p.Fleets) == 1:
		all = append(all, f.details(p.Fleets[0])...)
	case len(p.Fleets) > 1:
		for _, fleet := range byUrgency(p.Fleets) {
			if !rests(fleet) {
				all = append(all, f.titled(fleet)...)
			}
		}
	case p.Trouble == "" && p.Repo.Revision != "":
		all = append(all, f.says(none, "the deploy repo has no fleet files at commit "+web.Line(p.Repo.Revision[:min(12, len(p.Repo.Revision))]), 2))
	case p.Trouble == "":
		all = append(all, f.says(none, "no fleets are known yet", 1))
	}
	return append(all, f.events(p.Events))
}

// events are the last lines of what happened.
func (f framer) events(lines []string) section {
	rows := make([]row, len(lines))
	for i, l := range lines {
		rows[i] = plain(l)
	}
	return newest(3, 10, rows)
}

// says is a sentence, over as many rows as may be.
func (f framer) says(c colour, sentence string, most int) section {
	lines := wrapped(web.Line(sentence), f.width)
	rows := make([]row, 0, most)
	for i, l := range lines {
		if i == most-1 && i < len(lines)-1 {
			l += " …"
		}
		if rows = append(rows, coloured(c, l)); len(rows) == most {
			break
		}
	}
	return fixed(1, rows)
}
