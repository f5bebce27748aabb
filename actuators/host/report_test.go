package host

import (
	"bytes"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// Whatever a node says, what comes of it is bounded and can be shown.
func FuzzParseReport(f *testing.F) {
	f.Add([]byte("welcome\nwindlass 1\nmachine m-1\nnow 1900000000.5\njob one exited 3\nstep a\n|it broke\n|\x1b[2J password=x\nend\n{}\n"))
	f.Add([]byte("windlass 1\njob one running 0\n|" + strings.Repeat("é", 3000) + "\nend\n"))
	f.Add([]byte("windlass 1\nnow -1.9999999999\nend"))
	f.Add([]byte("windlass 1\nstep \xff\xfe\r\x00\nend\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		state, err := readReport(newReportReader(bytes.NewReader(b)))
		if err != nil {
			return
		}
		if len(state.Job.Tail) > tailBytes || strings.Count(state.Job.Tail, "\n") >= tailLines || len(state.Job.Step) > 210 {
			t.Fatalf("not bounded: %+v", state)
		}
		for _, s := range []string{state.Job.Tail, state.Job.Step} {
			if !utf8.ValidString(s) || strings.ContainsFunc(s, func(c rune) bool { return c != '\n' && unicode.IsControl(c) }) {
				t.Fatalf("cannot be shown: %q", s)
			}
		}
		if state.Job.Key != "" && !keyPattern.MatchString(state.Job.Key) || state.Job.Exit < 0 || state.Job.Exit > 255 {
			t.Fatalf("job %+v", state.Job)
		}
	})
}
