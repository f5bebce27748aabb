package desired_test

import (
	"errors"
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
		`{{$x := "0123456789abcdef"}}{{range 40}}{{$x = printf "%s%s" $x $x}}{{end}}`: `files/x:1:48: template: <printf "%s%s" $x $x>: error calling printf: it makes a text of more than 4194304 bytes`,
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
