package desired_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"windlass/desired"
)

func TestRendersForANode(t *testing.T) {
	fleet := &desired.Fleet{Name: "web", Release: "v1", Configure: desired.Configure{Vars: map[string]any{"workers": int64(4_000_000), "list": []any{"a", "b"}}}}
	for name, c := range map[string]struct {
		file desired.File
		want string
	}{
		"plain":    {desired.File{Content: []byte("{{.Node}}")}, "{{.Node}}"},
		"template": {desired.File{Template: true, Content: []byte("{{.Fleet}}/{{.Node}} {{.Release}} {{.Vars.workers}}{{range .Vars.list}} {{.}}{{end}}")}, "web/web-1 v1 4000000 a b"},
	} {
		got, err := fleet.Render(c.file, "web-1")
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got %q, error %v", name, got, err)
		}
	}
}

func TestARenderingThatFailsSaysWhere(t *testing.T) {
	fleet := &desired.Fleet{Name: "web", Configure: desired.Configure{Vars: map[string]any{"list": make([]any, 5000)}}}
	for content, want := range map[string]string{
		"a\n  {{.Vars.port}}":  `files/x:2:10: template: <.Vars.port>: map has no entry for key "port"`,
		"a\n{{.Nodes}}":        `files/x:2:3: template: <.Nodes>: a template has .Fleet, .Node, .Release and .Vars, and nothing else`,
		"a\nb\n{{end}}":        `files/x:3:1: template: unexpected {{end}}`,
		`{{template "other"}}`: `files/x:1:12: template: <{{template "other"}}>: template "other" not defined`,
		"a\n{{range .Vars.list}}{{range $.Vars.list}}{{end}}{{end}}":                  `files/x:2:42: template: its loops take more than 100000 turns`,
		`{{$x := "0123456789abcdef"}}{{range 40}}{{$x = printf "%s%s" $x $x}}{{end}}`: `files/x:1:48: template: <printf "%s%s" $x $x>: error calling printf: it may make a text of more than 67108864 bytes`,
		"{{range 10_000_000_000}}{{else}}{{end}}":                                     `files/x:1:25: template: its loops take more than 100000 turns`,
		"{{if true}}{{range 10_000_000_000}}{{if false}}{{end}}{{end}}{{end}}":        `files/x:1:36: template: its loops take more than 100000 turns`,
		`{{define "b"}}{{template "a" .}}{{template "a" .}}{{end}}{{define "a"}}{{if .}}{{template "b" (slice . 1)}}{{end}}{{end}}{{template "a" "` + strings.Repeat("x", 40) + `"}}`: `files/x:1:72: template: its loops take more than 100000 turns`,
		"{{range .Vars.list}}{{range $.Vars.list}}" + strings.Repeat("x", 100) + "{{end}}{{end}}":                                                                                     "files/x: it renders to more than 4194304 bytes",
	} {
		_, err := fleet.Render(desired.File{From: "files/x", Template: true, Content: []byte(content)}, "web-1")
		var wrong desired.Error
		if !errors.As(err, &wrong) || wrong.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// A few bytes of template must not take the agent's memory.
func TestATemplateTakesLittleMemory(t *testing.T) {
	fleet := &desired.Fleet{Name: "web", Configure: desired.Configure{Vars: map[string]any{"list": make([]any, 5000)}}}
	for name, content := range map[string]string{
		"wide verbs":         `{{printf "` + strings.Repeat("%999999[1]d", 1000) + `" 1}}`,
		"precise verbs":      `{{printf "` + strings.Repeat("%.999999[1]f", 1000) + `" 1.5}}`,
		"starred verbs":      `{{printf "` + strings.Repeat("%[1]*[2]d", 1000) + `" 999999 1}}`,
		"a wide list":        `{{printf "%999999v" .Vars.list}}`,
		"one text often":     `{{$a := printf "%999999d" 1}}{{printf "` + strings.Repeat("%[1]s", 1000) + `" $a}}`,
		"one argument often": `{{$a := printf "%999999d" 1}}{{print` + strings.Repeat(" $a", 1000) + `}}`,
		"escaped often":      `{{$a := printf "%999999d" 1}}{{js` + strings.Repeat(" $a", 1000) + `}}`,
		"many variables":     strings.Repeat(`{{$a := printf "%999999d" 1}}`, 1000),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := fleet.Render(desired.File{From: "files/x", Template: true, Content: []byte(content)}, "web-1")
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
		if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 400 {
			t.Errorf("%s: took %d MiB; error %v", name, took, err)
		}
	}
}

func TestPrintfIsBoundedFarAboveWhatPeopleWrite(t *testing.T) {
	vars := map[string]any{"bundle": strings.Repeat("-----BEGIN-----\n", 20_000), "hosts": []any{"a", "b"}, "port": int64(8080)}
	fleet := &desired.Fleet{Name: "web", Configure: desired.Configure{Vars: vars}}
	content := `{{printf "%s" .Vars.bundle}}{{printf "%*d|%-20s|%5.1f|%q|%v" 8 .Vars.port "x" 1.25 "y" .Vars.hosts}}`
	got, err := fleet.Render(desired.File{From: "files/x", Template: true, Content: []byte(content)}, "web-1")
	if err != nil || !strings.HasSuffix(string(got), `    8080|x                   |  1.2|"y"|[a b]`) {
		t.Errorf("got %.200s, error %v", got[max(0, len(got)-200):], err)
	}
}
