package host

import (
	"bytes"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"windlass/actuators"
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

// whole is a report as a node makes it, with more lines before its end.
func whole(lines ...string) string {
	return "windlass 1\nmachine m-1\nnow 1900000000.000000001\n" + strings.Join(append(lines, "end\n"), "\n")
}

func TestReportIsRead(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 4*tailBytes+100)
	for name, c := range map[string]struct {
		text string
		want actuators.HostState
	}{
		"no job":         {whole(), actuators.HostState{}},
		"exited":         {whole("job one exited 255", "step a", "|first", "|", "|end", "|last"), actuators.HostState{Job: actuators.JobState{Key: "one", Exited: true, Exit: 255, Step: "a", Tail: "first\n\nend\nlast"}}},
		"running":        {whole("job one running 0", "step place /a b"), actuators.HostState{Job: actuators.JobState{Key: "one", Running: true, Step: "place /a b"}}},
		"interrupted":    {whole("job one interrupted 0"), actuators.HostState{Job: actuators.JobState{Key: "one"}}},
		"greeting":       {"hello\n" + long + "\nwindlass 0\n\n" + whole(), actuators.HostState{}},
		"what is to be":  {whole("colour green", ""), actuators.HostState{}},
		"step":           {whole("job one running 0", "step pass\twd=x \xff\x1b[2Ja password=hunter2"), actuators.HostState{Job: actuators.JobState{Key: "one", Running: true, Step: "pass wd=x a password=[redacted]"}}},
		"long step":      {whole("job one running 0", "step "+strings.Repeat("y", 201)), actuators.HostState{Job: actuators.JobState{Key: "one", Running: true, Step: strings.Repeat("y", 200) + "…"}}},
		"a long line":    {whole("job one exited 1", "|a", long, "|b"), actuators.HostState{Job: actuators.JobState{Key: "one", Exited: true, Exit: 1, Tail: "a\nb"}}},
		"much greeting":  {strings.Repeat("\n", keptOutput) + whole(), actuators.HostState{}},
		"a large report": {whole(strings.Repeat("\n", keptOutput-len("machine m-1\nnow 1900000000.000000001\n\n"))), actuators.HostState{}},
	} {
		c.want.Machine, c.want.Now = "m-1", time.Unix(1_900_000_000, 1).UTC()
		r := newReportReader(strings.NewReader(c.text + "rest"))
		got, err := readReport(r)
		if err == nil {
			err = checkReport(got)
		}
		if rest, _ := io.ReadAll(r); err != nil || !reflect.DeepEqual(got, c.want) || string(rest) != "rest" {
			t.Errorf("%s: got %+v, %v, and then %.20q; want %+v", name, got, err, rest, c.want)
		}
	}
}

func TestReportThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"nothing":              {"", "not whole"},
		"only a greeting":      {"hello\nwindlass 0\n", "not whole"},
		"half a first line":    {"windlass 1", "not whole"},
		"no end":               {strings.TrimSuffix(whole(), "end\n"), "not whole"},
		"half an end":          {strings.TrimSuffix(whole(), "\n"), "not whole"},
		"too much greeting":    {strings.Repeat("\n", keptOutput+1) + whole(), "not whole"},
		"too large":            {whole(strings.Repeat("\n", keptOutput)), "not whole"},
		"no machine":           {"windlass 1\nnow 1900000000.1\nend\n", "no usable machine id"},
		"machine with a path":  {"windlass 1\nmachine a/b\nnow 1900000000.1\nend\n", "no usable machine id"},
		"no time":              {"windlass 1\nmachine m-1\nend\n", "did not tell its time"},
		"no seconds":           {whole("now x.1"), `its clock says "x.1"`},
		"no nanoseconds":       {whole("now 1900000000"), "its clock says"},
		"other nanoseconds":    {whole("now 1900000000.%N"), "its clock says"},
		"less than none":       {whole("now 1900000000.-1"), "its clock says"},
		"more than a second":   {whole("now 1900000000.1000000000"), "its clock says"},
		"before its time":      {whole("now 0.5"), "its clock says"},
		"beyond all time":      {whole("now 34359738369.0"), "its clock says"},
		"job without a state":  {whole("job one 0"), "its newest job is unreadable: \"one 0\""},
		"job with too much":    {whole("job one exited 0 0"), "its newest job is unreadable"},
		"key with a path":      {whole("job ../one exited 0"), "its newest job is unreadable"},
		"status beyond 255":    {whole("job one exited 256"), `job one ended with status "256"; remove job/one.exit`},
		"status that is none":  {whole("job one exited x"), `job one ended with status "x"`},
		"status below nothing": {whole("job one exited -1"), `job one ended with status "-1"`},
	} {
		state, err := readReport(newReportReader(strings.NewReader(c.text)))
		if err == nil {
			err = checkReport(state)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %+v, %v; want …%s…", name, state, err, c.want)
		}
	}
	for text, want := range map[string]time.Time{
		"1.000000000":           time.Unix(1, 0).UTC(),
		"34359738368.999999999": time.Unix(1<<35, 999_999_999).UTC(),
	} {
		if got, err := parseClock(text); err != nil || got != want {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
}

func TestTailIsTheEndOfOutputFitToBeShown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"nothing":               {"", ""},
		"blank":                 {" \n\n", ""},
		"last words":            {"a\n  b \n \n", "a\n  b"},
		"twenty lines":          {strings.Repeat("x\n", 20), strings.Repeat("x\n", 19) + "x"},
		"more":                  {"y\n" + strings.Repeat("x\n", 20), strings.Repeat("x\n", 19) + "x"},
		"4 KiB":                 {strings.Repeat("x", tailBytes), strings.Repeat("x", tailBytes)},
		"a byte more":           {"y" + strings.Repeat("x", tailBytes), strings.Repeat("x", tailBytes)},
		"a character that cuts": {"é" + strings.Repeat("x", tailBytes-1), strings.Repeat("x", tailBytes-1)},
		"much more":             {strings.Repeat("y", keptOutput) + strings.Repeat("x", tailBytes), strings.Repeat("x", tailBytes)},
		"lines of Windows":      {"a\r\nb\r\n", "a\nb"},
		"progress":              {"10 %\r20 %", "10 %\n20 %"},
		"tab":                   {"a\tb", "a b"},
		"binary":                {"a\x00b\xffé\u0085\u202ec", "ab?éc"},
		"colour":                {"\x1b[1ma\x1b[0m", "a"},
		"secret":                {"password=hunter2", "password=[redacted]"},
		"secret in colour":      {"pass\x1b[1mword=hunter2", "password=[redacted]"},
		"secret that began before what is shown": {
			"password=" + strings.Repeat("x", tailBytes) + " " + strings.Repeat("y", 10), "password=[redacted] yyyyyyyyyy",
		},
	} {
		if got := Tail(c.text); got != c.want {
			t.Errorf("%s: got %.100q (%d bytes), want %.100q (%d)", name, got, len(got), c.want, len(c.want))
		}
	}
}

func TestClipCutsAtAWholeCharacter(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"": "", "abc": "abc", "abcd": "abc…", "abé": "ab…", "aé": "aé"} {
		if got := clip(in, 3); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}
