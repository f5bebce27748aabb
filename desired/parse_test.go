package desired_test

import (
	"fmt"
	"strings"
	"testing"
)

// G41: bytes and shapes that no person writes.
func TestHostileYAMLIsRefusedInOneLine(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"NUL":          {"name: a\x00b", "1:8: control character 0x00"},
		"escape":       {"name: a\n# \x1b[31m", "2:3: control character 0x1b"},
		"Latin-1":      {"# d\xe9j\xe0", "1:4: byte 0xe9 is not UTF-8"},
		"UTF-16":       {"\xff\xfen\x00", "1:1: byte 0xff is not UTF-8"},
		"flow nesting": {"a: " + strings.Repeat("[", 1<<19), "1:1: this is not YAML: exceeded max depth"},
		"no value":     {"---\n", "the file is empty"},
		"second":       {"name: a\n---\n", "2:1: a second document starts here"},
		"third broken": {"name: a\n---\nb: [\n", "this is not YAML"},
		"text":         {"hello", `1:1: the file is "hello"; it must be a mapping`},
	} {
		t.Run(name, func(t *testing.T) {
			tree := load(t, "fleets/a.yaml", c.text)
			for _, rejection := range tree.Rejected {
				if !strings.Contains(rejection.Errors.Error(), c.want) {
					t.Errorf("got %v", rejection.Errors)
				}
				return
			}
			t.Error("not rejected")
		})
	}
}

func TestNestingIsBounded(t *testing.T) {
	deep := edited(t, "configure:\n", "configure:\n  vars: {a: "+strings.Repeat("[", 40)+strings.Repeat("]", 40)+"}\n")
	got := load(t, "fleets/a.yaml", deep).Rejected["web-live"].Errors
	if len(got) != 1 || got[0].Error() != "fleets/a.yaml:9:43: this is nested more than 32 levels deep" {
		t.Errorf("got %v", got)
	}
}

func TestTheNumberOfValuesIsBounded(t *testing.T) {
	wide := edited(t, "configure:\n", "configure:\n  vars: {a: ["+strings.Repeat("a,", 250_000)+"]}\n")
	got := load(t, "fleets/a.yaml", wide).Rejected["web-live"].Errors
	if len(got) != 1 || !strings.Contains(got[0].Error(), "the file holds more than 200000 values from here on") {
		t.Errorf("got %v", got)
	}
}

func TestTheNumberOfErrorsIsBounded(t *testing.T) {
	var b strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&b, "key%d: 1\nname: a\n", i)
	}
	got := load(t, "fleets/a.yaml", b.String()).Rejected["a"].Errors
	if len(got) != 101 || !strings.Contains(got[100].Message, "there is more wrong from here on") {
		t.Errorf("got %d errors, the last %v", len(got), got[len(got)-1])
	}
}

func TestStepsFitACommandLine(t *testing.T) {
	long := func(bytes int) string {
		return edited(t, "configure:\n", "configure:\n  prepare: [{name: fetch, run: '"+strings.Repeat("true;", bytes/5)+"'}]\n")
	}
	if got := load(t, "fleets/a.yaml", long(60<<10)); len(got.Rejected) > 0 {
		t.Errorf("60 KiB: %v", got.Rejected)
	}
	got := load(t, "fleets/a.yaml", long(64<<10)).Rejected["web-live"].Errors
	if len(got) != 1 || !strings.Contains(got[0].Error(), "configure: its steps and the paths of its files take 65 KiB of a command line, and a node takes 64 KiB; put long scripts into files") {
		t.Errorf("64 KiB: %v", got)
	}
}

// What a template prints is what stands in the file, or the file is refused.
func TestNumbersPrintAsTheyAreWritten(t *testing.T) {
	for number, ok := range map[string]bool{"4": true, "-0.5": true, "250000.5": true, "2500000.5": false, "0.00005": false, "1e3": false, "1.50": false, "100000000000000000000000": false} {
		tree := load(t, "fleets/web.yaml", edited(t, "configure:\n", "configure:\n  vars: {n: "+number+"}\n  files: [{from: f, to: /f, template: true}]\n"), "f", "{{.Vars.n}}")
		fleet := tree.Fleets["web-live"]
		if (fleet != nil) != ok {
			t.Errorf("%s: rejected %v", number, tree.Rejected)
		}
		if fleet == nil {
			continue
		}
		if got, err := fleet.Render(fleet.Configure.Files[0], "web-1"); err != nil || string(got) != number {
			t.Errorf("%s is printed as %s, error %v", number, got, err)
		}
	}
}

func TestSyntaxErrorsAreAtTheirLine(t *testing.T) {
	before := "a: 1\n" + strings.Repeat("# a line\n", 50)
	for mistake, line := range map[string]int{
		"b: [1, 2\nc: 3\n": 52, "b: {x: 1\nc: 2\n": 52, "b:\n  - x\n - y\n": 54, "b:\n  c: 1\n d: 2\n": 54,
		"b: 'it's'\nc: 1\n": 52, "b: c: d\n": 52, "- x\n": 52, "b: @x\n": 52, "b: \"\\q\"\n": 52,
	} {
		got := load(t, "fleets/web.yaml", before+mistake+"z: 1\n").Rejected["fleets/web.yaml"].Errors
		if len(got) != 1 || got[0].Position.Line != line {
			t.Errorf("%q: want line %d, got %v", mistake, line, got)
		}
	}
}
