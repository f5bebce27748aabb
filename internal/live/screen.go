package live

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"
)

// A screen is a terminal in which a frame is drawn over itself, below whatever is there already.
//
// Between two frames the cursor is at the beginning of the first row: a terminal that breaks lines anew when it is resized takes the cursor
// along with its line, so the next frame begins where this one did, however many rows this one has become. Each frame is one write, over
// the old one rather than on a cleared screen, and between the marks of those terminals that show what is between them at once.
type screen struct {
	file          *os.File
	rows          []string // of the frame that is there; nil: none
	width, height int      // of the terminal then
}

// Sequences of a terminal.
const (
	begin      = "\x1b[?2026h\x1b[?25l\x1b[?7l\r" // of a frame: shown at once, without cursor, no row goes on in the next
	done       = "\x1b[?7h\x1b[?2026l"
	giveBack   = "\x1b[?7h\x1b[?25h\x1b[?2026l"
	restOfLine = "\x1b[K"
	restBelow  = "\x1b[J"
)

// size is the terminal's in columns and rows; 0 where it does not say.
func (s *screen) size() (width, height int) {
	width, height, err := term.GetSize(int(s.file.Fd()))
	if err != nil {
		return 0, 0
	}
	return width, height
}

// draw shows the rows in place of those that are there. It writes nothing where they are the same.
func (s *screen) draw(rows []string) error {
	width, height := s.size()
	if s.rows != nil && width == s.width && height == s.height && slices.Equal(rows, s.rows) {
		return nil
	}
	s.rows, s.width, s.height = rows, width, height
	up := ""
	if len(rows) > 1 {
		up = fmt.Sprintf("\x1b[%dA", len(rows)-1)
	}
	return s.write(begin + strings.Join(rows, restOfLine+"\r\n") + restOfLine + restBelow + up + "\r" + done)
}

// leave shows the rows for good, with lines below them that are as long as they are, and gives the terminal back.
func (s *screen) leave(rows, below []string) error {
	s.rows = nil
	var b strings.Builder
	b.WriteString(begin)
	for _, r := range rows {
		b.WriteString(r + restOfLine + "\r\n")
	}
	b.WriteString(restBelow + giveBack)
	for _, l := range below {
		b.WriteString(l + "\r\n")
	}
	return s.write(b.String())
}

func (s *screen) write(text string) error {
	_, err := s.file.WriteString(text)
	return err
}
