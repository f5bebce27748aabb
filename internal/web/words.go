package web

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"windlass/internal/redact"
)

// Bounds on what is shown of text from outside.
const (
	mostLine      = 1000 // characters
	mostTailLines = 40
	mostTail      = 64 << 10 // bytes that are looked at
)

// line makes a sentence from outside fit to be shown: one line, no secrets, nothing invisible, of bounded length. It leaves its
// own results as they are.
func line(s string) string {
	if s == "" {
		return ""
	}
	return name(redact.Line(s))
}

// name is line for names, revisions and addresses. They have no room for a secret, and a fleet has many of them.
func name(s string) string {
	s = visible(s)
	if len(s) > mostLine && utf8.RuneCountInString(s) > mostLine {
		s = string([]rune(s)[:mostLine-1]) + "…"
	}
	return s
}

// block is line for several lines, of which the last are kept. A line that was written over is what it was last.
func block(s string) string {
	if s == "" {
		return ""
	}
	if len(s) > mostTail {
		s = s[len(s)-mostTail:]
		s = s[strings.IndexByte(s, '\n')+1:]
	}
	lines := strings.Split(strings.TrimRight(redact.Text(s), "\r\n"), "\n")
	lines = lines[max(0, len(lines)-mostTailLines):]
	for i, l := range lines {
		l = strings.TrimRight(l, "\r")
		l = l[strings.LastIndexByte(l, '\r')+1:]
		l = visible(strings.ReplaceAll(l, "\t", "    "))
		lines[i] = string([]rune(l)[:min(mostLine, utf8.RuneCountInString(l))])
	}
	return strings.Join(lines, "\n")
}

func plain(s string) bool {
	return strings.IndexFunc(s, func(c rune) bool { return c < ' ' || c > '~' }) < 0
}

// visible marks what has no shape of its own or changes how its neighbours are read: control characters, direction overrides,
// zero-width characters, broken UTF-8.
func visible(s string) string {
	if plain(s) {
		return s
	}
	return strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return utf8.RuneError
	}, s)
}

// span is a duration for people, in at most two units: 12 s, 4 min, 3 h 20 min, 5 d 2 h.
func span(d time.Duration) string {
	switch d = max(0, d); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 24*time.Hour:
		return two(int(d.Hours()), "h", int(d.Minutes())%60, "min")
	}
	return two(int(d.Hours())/24, "d", int(d.Hours())%24, "h")
}

// about is a span that is foreseen, to ten seconds, from ten minutes on to the minute. It is never over before it is.
func about(d time.Duration) string {
	const least = 5 * time.Second
	if d < least {
		return span(least)
	}
	switch d = d.Round(10 * time.Second); {
	case d < time.Minute:
		return span(d)
	case d < 10*time.Minute:
		return two(int(d.Minutes()), "min", int(d.Seconds())%60, "s")
	}
	return span(d.Round(time.Minute))
}

func two(n int, unit string, m int, part string) string {
	if m == 0 {
		return fmt.Sprintf("%d %s", n, unit)
	}
	return fmt.Sprintf("%d %s %d %s", n, unit, m, part)
}

// words turns a name of the contract into words: in_service, rolling_back.
func words[T ~string](s T) string { return strings.ReplaceAll(string(s), "_", " ") }

// brief is a revision as people abbreviate it.
func brief(revision string) string { return revision[:min(len(revision), 7)] }

// wrap breaks s between words into lines of at most width characters; a longer word gets a line of its own. No width, no break.
func wrap(s string, width int) []string {
	var lines []string
	for _, word := range strings.Fields(s) {
		last := len(lines) - 1
		if last >= 0 && (width <= 0 || utf8.RuneCountInString(lines[last])+1+utf8.RuneCountInString(word) <= width) {
			lines[last] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	if lines == nil {
		return []string{""}
	}
	return lines
}
