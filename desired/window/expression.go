package window

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A pattern is what an expression says, in wall time: one of always, from and to, and lengths.
type pattern struct {
	always   bool
	from, to int64    // of dates
	start    int64    // seconds after midnight at which each day's window starts
	lengths  [7]int64 // seconds for which it lasts, by the weekday on which it starts; 0: none does
}

func (p *pattern) weekly() bool { return p.lengths != [7]int64{} }

// longest is more than the longest expression that says something only once.
const longest = 100

const forms = "write days, times or both, as 'Mon-Fri 09:00-16:00', 'Sat-Sun' or '22:00-02:00', " +
	"or dates, as '2026-12-24', '2026-12-20/2027-01-02' or '2026-12-24 12:00/2026-12-27 08:00'"

// parse understands an expression. Its errors quote what is wrong and say what would be right.
func parse(text string) (pattern, error) {
	if len(text) > longest {
		return pattern{}, fmt.Errorf("%q is too long; %s", shorten(text), forms)
	}
	first, rest, both := strings.Cut(text, " ")
	switch {
	case dateLike.MatchString(text):
		return parseDates(text)
	case !both && strings.Contains(first, ":"):
		return parseWeek("Mon-Sun", first)
	case !both:
		return parseWeek(first, "00:00-24:00")
	}
	return parseWeek(first, rest)
}

func parseWeek(days, times string) (pattern, error) {
	var p pattern
	on, err := parseDays(days)
	if err != nil {
		return p, err
	}
	var length int64
	if p.start, length, err = parseTimes(times); err != nil {
		return p, err
	}
	if length == day {
		return wholeDays(on), nil
	}
	for d := range on {
		if on[d] {
			p.lengths[d] = length
		}
	}
	return p, nil
}

// wholeDays makes one window of days that follow each other: there is no border between them that clocks could show twice.
func wholeDays(on [7]bool) pattern {
	if on == [7]bool{true, true, true, true, true, true, true} {
		return pattern{always: true}
	}
	var p pattern
	for d := range on {
		for n := d; on[n%7]; n++ {
			p.lengths[d] += day
		}
	}
	return p
}

func parseDays(text string) (on [7]bool, err error) {
	for part := range strings.SplitSeq(text, ",") {
		first, last, ranged := strings.Cut(part, "-")
		if !ranged {
			last = first
		}
		from, err := parseDay(first)
		if err != nil {
			return on, err
		}
		to, err := parseDay(last)
		if err != nil {
			return on, err
		}
		if ranged && from == to {
			return on, fmt.Errorf("%q begins and ends on one day; write %s alone, or Mon-Sun for all", part, first)
		}
		on[to] = true
		for d := from; d != to; d = (d + 1) % 7 {
			on[d] = true
		}
	}
	return on, nil
}

var weekdays = [7]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} // as time.Weekday counts

func parseDay(text string) (int, error) {
	if d := slices.Index(weekdays[:], strings.ToLower(text)); d >= 0 && len(text) == 3 { // a letter of two bytes may have a small one of one
		return d, nil
	}
	return 0, fmt.Errorf("%q is no day; days are Mon, Tue, Wed, Thu, Fri, Sat and Sun; %s", shorten(text), forms)
}

// parseTimes finds when times start after midnight and how long they last, both in seconds.
func parseTimes(text string) (start, length int64, err error) {
	first, last, ranged := strings.Cut(text, "-")
	if !ranged {
		return 0, 0, fmt.Errorf("%q is no range of times; %s", shorten(text), forms)
	}
	if start, err = parseClock(first, false); err != nil {
		return 0, 0, err
	}
	end, err := parseClock(last, true)
	switch {
	case err != nil:
		return 0, 0, err
	case start == end:
		return 0, 0, fmt.Errorf("%q ends when it starts; a whole day is 00:00-24:00", text)
	case end < start:
		end += day
	}
	return start, end - start, nil
}

var clockShape = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$`)

// parseClock finds the seconds after midnight.
func parseClock(text string, ends bool) (int64, error) {
	switch {
	case text == "24:00" && ends:
		return day, nil
	case text == "24:00":
		return 0, errors.New("nothing starts at 24:00; write 00:00 of the day after")
	case !clockShape.MatchString(text):
		return 0, fmt.Errorf("%q is no time; times are two digits each, 00:00 to 23:59, and 24:00 for an end; %s", shorten(text), forms)
	}
	digit := func(i int) int64 { return int64(text[i] - '0') }
	return ((digit(0)*10+digit(1))*60 + digit(3)*10 + digit(4)) * minute, nil
}

// dateLike is what begins as a date does, so that it is told what is wrong with it as a date.
var dateLike = regexp.MustCompile(`^[0-9]+[-/.][0-9]+[-/.]`)

func parseDates(text string) (pattern, error) {
	var p pattern
	first, last, ranged := strings.Cut(text, "/")
	if !ranged {
		last = first
	}
	var fromTimed, toTimed bool
	var err error
	if p.from, fromTimed, err = parseMoment(first, false); err != nil {
		return p, err
	}
	if p.to, toTimed, err = parseMoment(last, true); err != nil {
		return p, err
	}
	switch {
	case fromTimed != toTimed || fromTimed && !ranged:
		return p, fmt.Errorf("%q has a time for one end only; give both a date and a time, as '2026-12-24 12:00/2026-12-27 08:00', or none a time", text)
	case p.from == p.to:
		return p, fmt.Errorf("%q ends when it starts, so it is never", text)
	case p.to < p.from:
		return p, fmt.Errorf("%q ends before it starts, so it is never", text)
	}
	return p, nil
}

var dateShape = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`)

// parseMoment finds the wall time at which a date, or a minute of it, starts or ends: a date alone ends with its day.
func parseMoment(text string, ends bool) (wall int64, timed bool, err error) {
	date, clock, timed := strings.Cut(text, " ")
	if !dateShape.MatchString(date) {
		return 0, false, fmt.Errorf("%q is no date; dates are as 2026-12-24; %s", shorten(date), forms)
	}
	midnight, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return 0, false, fmt.Errorf("there is no %s in the calendar; correct the month or the day", date)
	}
	switch {
	case timed:
		wall, err = parseClock(clock, ends)
	case ends:
		wall = day
	}
	return midnight.Unix() + wall, timed, err
}

// shorten keeps what a message quotes short.
func shorten(s string) string {
	const most = 40
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}
