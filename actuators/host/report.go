package host

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"windlass/actuators"
	"windlass/internal/redact"
)

var errNotWhole = errors.New("the node's answer is not whole; look for a login script that ends the session or prints without end")

const (
	tailLines = 20
	tailBytes = 4 << 10
)

var (
	keyPattern     = regexp.MustCompile(`^[a-z0-9-]{1,128}$`)
	machinePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$`)
)

// newReportReader returns what readReport can read from.
func newReportReader(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, 4*tailBytes) }

// skipGreeting reads up to the line that our scripts begin with: a login shell may greet.
func skipGreeting(r *bufio.Reader) error {
	for size := 0; size <= keptOutput; {
		line, err := readLine(r)
		if err != nil {
			return err
		}
		if line == "windlass 1\n" {
			return nil
		}
		size += len(line)
	}
	return errNotWhole
}

// readLine returns a line, or the beginning of one that is longer than those of a report.
func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	if err != nil && err != bufio.ErrBufferFull {
		return "", errNotWhole
	}
	return string(line), nil
}

// readReport reads what the report function of common.sh printed, and nothing beyond it. The text is hostile: whatever it says ends in a HostState that is bounded, printable and redacted.
func readReport(r *bufio.Reader) (actuators.HostState, error) {
	if err := skipGreeting(r); err != nil {
		return actuators.HostState{}, err
	}
	var state actuators.HostState
	var tail []string
	for size := 0; size <= keptOutput; {
		text, err := readLine(r)
		if err != nil {
			return actuators.HostState{}, err
		}
		size += len(text)
		line := strings.TrimSuffix(text, "\n")
		word, value, _ := strings.Cut(line, " ")
		switch {
		case strings.HasPrefix(word, "|"):
			tail = append(tail, line[1:])
		case line == "end":
			state.Job.Tail = Tail(strings.Join(tail, "\n"))
			return state, nil
		default:
			if err := parseField(&state, word, value); err != nil {
				return actuators.HostState{}, err
			}
		}
	}
	return actuators.HostState{}, errNotWhole
}

func parseField(state *actuators.HostState, word, value string) (err error) {
	switch word {
	case "machine":
		state.Machine = value
	case "now":
		state.Now, err = parseClock(value)
	case "job":
		state.Job, err = parseJob(value)
	case "step":
		state.Job.Step = clip(redact.Line(strings.ToValidUTF8(value, "")), 200)
	}
	return err
}

// checkReport refuses a node that cannot be told from others, or does not tell its time.
func checkReport(state actuators.HostState) error {
	switch {
	case !machinePattern.MatchString(state.Machine):
		return fmt.Errorf("it has no usable machine id; run systemd-machine-id-setup there, or write an id to machine-id in the state directory")
	case state.Now.IsZero():
		return fmt.Errorf("it did not tell its time; GNU date is needed there")
	}
	return nil
}

// parseClock reads seconds.nanoseconds since 1970.
func parseClock(s string) (time.Time, error) {
	sec, nsec, _ := strings.Cut(s, ".")
	seconds, err1 := strconv.ParseInt(sec, 10, 64)
	nanos, err2 := strconv.ParseInt(nsec, 10, 64)
	if err1 != nil || err2 != nil || nanos < 0 || nanos > 999_999_999 || seconds < 1 || seconds > 1<<35 {
		return time.Time{}, fmt.Errorf("its clock says %.40q; GNU date is needed there", s)
	}
	return time.Unix(seconds, nanos).UTC(), nil
}

// parseJob reads "key state status".
func parseJob(s string) (actuators.JobState, error) {
	f := strings.Fields(s)
	if len(f) != 3 || !keyPattern.MatchString(f[0]) {
		return actuators.JobState{}, fmt.Errorf("its newest job is unreadable: %.80q; remove job/current in the fleet's state directory", s)
	}
	exit, err := strconv.ParseUint(f[2], 10, 8)
	if err != nil {
		return actuators.JobState{}, fmt.Errorf("job %s ended with status %.20q; remove job/%[1]s.exit in the fleet's state directory", f[0], f[2])
	}
	return actuators.JobState{Key: f[0], Running: f[1] == "running", Exited: f[1] == "exited", Exit: int(exit)}, nil
}

// Tail is the end of a command's output, fit to be shown: at most 20 lines and 4 KiB, valid and printable text, secrets redacted (G32).
func Tail(s string) string {
	s = s[max(0, len(s)-8*tailBytes):] // far enough back for a secret that begins before what is shown
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "?"), "\r\n", "\n")
	s = strings.Map(showable, redact.Text(s)) // in this order: an escape sequence without its first character hides a secret's name
	lines := strings.Split(strings.TrimRight(s, "\n "), "\n")
	s = strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
	if len(s) > tailBytes {
		s = strings.ToValidUTF8(s[len(s)-tailBytes:], "") // it may begin within a character
	}
	return s
}

// showable drops what could move a terminal's cursor; a bare carriage return, as progress bars print it, begins a new line.
func showable(c rune) rune {
	switch {
	case c == '\r':
		return '\n'
	case c == '\t':
		return ' '
	case c == '\n' || unicode.IsPrint(c):
		return c
	default:
		return -1
	}
}

// clip cuts s to at most n bytes at a whole character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}
