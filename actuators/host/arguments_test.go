package host

import (
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/desired"
)

// The scripts take their arguments by position.
func TestJobIsHandedOverInTheOrderThatTheScriptsReadIt(t *testing.T) {
	t.Parallel()
	job := actuators.Job{
		Key: "one", Dir: "/srv", NeedsKB: 1000, Env: []string{"A=1", "B=two words"},
		Files: []actuators.JobFile{
			{To: "/etc/a", Mode: "600", Owner: "web:web", Content: []byte(strings.Repeat("x", 10_240))},
			{To: "/etc/b", Content: []byte("b")},
		},
		Steps: []actuators.JobStep{
			{Name: "prepare", Run: "mkdir x", Timeout: 1500 * time.Millisecond},
			{Name: "first", Run: "true", Timeout: time.Minute},
			{Name: "last", Run: "false", Timeout: 2 * time.Minute},
		},
		FilesAfter: 1,
	}
	want := []string{
		"one", "3084", "274", compact(runnerScript), "10240 1", "/srv", // 1000 + 2048 + 2·(10+4) + 2·4 KB; 60 + 1.5 + 60 + 120 + 3·11 s
		"2", "A=1", "B=two words",
		"1", "prepare", "1.500", "mkdir x",
		"2", "/etc/a", "600", "web:web", versionOf(job.Files[0].Content), "/etc/b", "0644", "", versionOf(job.Files[1].Content),
		"first", "60.000", "true", "last", "120.000", "false",
	}
	if got := jobArguments(job); !slices.Equal(got, want) {
		t.Errorf("got %q,\nwant %q", got, want)
	}
	if b, err := io.ReadAll(jobInput(job)); err != nil || string(b) != strings.Repeat("x", 10_240)+"bend\n" {
		t.Errorf("its input is …%q, %v", b[max(0, len(b)-10):], err)
	}
	job.Files = nil
	if jobInput(job) != nil {
		t.Error("a job without files has an input")
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	at := actuators.Place{Fleet: "web", SSH: desired.SSH{StateDir: "it's"}}
	const script = "# words\n\t# more\necho '# no comment' # nor this\n"
	tail := quote(compact(commonScript)+"echo '# no comment' # nor this\n") + ` windlass "$HOME" 'it'\''s' 'web' '' 'a b'`
	if got, want := commandLine(at, script, "", "a b"), "exec sh -c "+tail; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	at.SSH.Sudo = true
	if got, want := commandLine(at, script, "", "a b"), "exec sudo -n sh -c "+tail; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

// What the scripts could misread is refused, and nothing else is.
func TestOnlyJobsThatCouldBeMisreadAreRefused(t *testing.T) {
	t.Parallel()
	file := func(change func(*actuators.JobFile)) func(*actuators.Job) {
		return func(j *actuators.Job) {
			f := actuators.JobFile{To: "/etc/a", Mode: "0644", Owner: "web"}
			change(&f)
			j.Files = []actuators.JobFile{{To: "/etc/first"}, f}
		}
	}
	to := func(path string) func(*actuators.Job) { return file(func(f *actuators.JobFile) { f.To = path }) }
	mode := func(mode string) func(*actuators.Job) { return file(func(f *actuators.JobFile) { f.Mode = mode }) }
	owner := func(owner string) func(*actuators.Job) { return file(func(f *actuators.JobFile) { f.Owner = owner }) }
	for _, c := range []struct {
		name   string
		change func(*actuators.Job)
		want   string // of the refusal; empty: there is none
	}{
		{"as it is", func(*actuators.Job) {}, ""},
		{"no key", func(j *actuators.Job) { j.Key = "" }, `its key "" is not of [a-z0-9-]`},
		{"key with a path", func(j *actuators.Job) { j.Key = "../one" }, "its key"},
		{"key with a line", func(j *actuators.Job) { j.Key = "one\n" }, "its key"},
		{"key of 128", func(j *actuators.Job) { j.Key = strings.Repeat("k", 128) }, ""},
		{"key of 129", func(j *actuators.Job) { j.Key = strings.Repeat("k", 129) }, "its key"},
		{"directory", func(j *actuators.Job) { j.Dir = "/srv\x00" }, "its directory holds a zero byte"},
		{"files first", func(j *actuators.Job) { j.FilesAfter = 0 }, ""},
		{"files last", func(j *actuators.Job) { j.FilesAfter = 2 }, ""},
		{"files never", func(j *actuators.Job) { j.FilesAfter = 3 }, "its files come after step 3 of 2"},
		{"files before", func(j *actuators.Job) { j.FilesAfter = -1 }, "its files come after step -1 of 2"},
		{"variables", func(j *actuators.Job) { j.Env = []string{"_a1=", "B=x=y\nz"} }, ""},
		{"option", func(j *actuators.Job) { j.Env = []string{"A=1", "-p"} }, `its environment holds "-p"`},
		{"digit first", func(j *actuators.Job) { j.Env = []string{"1A=1"} }, "its environment"},
		{"zero in the value", func(j *actuators.Job) { j.Env = []string{"A=\x00"} }, "its environment"},
		{"relative", to("etc/a"), `a file goes to "etc/a", which is no plain absolute path`},
		{"not plain", to("/etc/../a"), "no plain absolute path"},
		{"directory itself", to("/etc/"), "no plain absolute path"},
		{"root", to("/"), "no plain absolute path"},
		{"line", to("/etc/a\nb"), "no plain absolute path"},
		{"spaces", to("/etc/a b'\"$c"), ""},
		{"no mode", mode(""), ""},
		{"short mode", mode("644"), ""},
		{"symbols", mode("u+s"), `file /etc/a has mode "u+s", which is not octal`},
		{"too short", mode("64"), "not octal"},
		{"too long", mode("00644"), "not octal"},
		{"decimal", mode("0888"), "not octal"},
		{"group", owner(":web"), ""},
		{"both", owner("1000:w.eb-1"), ""},
		{"machine account", owner("web$:web"), ""},
		{"none", owner(""), ""},
		{"reference", owner("--reference=/"), `file /etc/a has owner "--reference=/", which is not user or user:group`},
		{"three", owner("a:b:c"), "not user or user:group"},
		{"no name", func(j *actuators.Job) { j.Steps[1].Name = "" }, `step "" needs a name of one line`},
		{"two lines", func(j *actuators.Job) { j.Steps[1].Name = "a\nb" }, "needs a name of one line"},
		{"name of 200", func(j *actuators.Job) { j.Steps[1].Name = strings.Repeat("n", 200) }, ""},
		{"name of 201", func(j *actuators.Job) { j.Steps[1].Name = strings.Repeat("n", 201) }, "needs a name of one line"},
		{"no time", func(j *actuators.Job) { j.Steps[1].Timeout = 0 }, "step b has no time-out"},
		{"less than none", func(j *actuators.Job) { j.Steps[1].Timeout = -1 }, "step b has no time-out"},
		{"shortest time", func(j *actuators.Job) { j.Steps[1].Timeout = 1 }, ""},
		{"zero byte", func(j *actuators.Job) { j.Steps[1].Run = "a\x00" }, "step b holds a zero byte"},
		{"script", func(j *actuators.Job) { j.Steps[1].Run = "a\n\tb 'c'" }, ""},
	} {
		j := actuators.Job{Key: "one", FilesAfter: 1, Steps: []actuators.JobStep{{Name: "a", Run: "true", Timeout: 1}, {Name: "b", Run: "true", Timeout: 1}}}
		c.change(&j)
		err := checkJob(&actuators.Claim{}, j)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if err := checkJob(nil, actuators.Job{Key: "one"}); err == nil || err.Error() != "its record carries no claim" {
		t.Errorf("without a claim: %v", err)
	}
}
