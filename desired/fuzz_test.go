package desired_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"windlass/desired"
)

// FuzzLoad: whatever a fleet file holds, Load ends without a panic, with a fleet or with errors that point into a file that
// is there; and reading the same bytes again gives the same fleet.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(smallest))
	everything, err := os.ReadFile("testdata/everything.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(everything)
	cases, err := filepath.Glob("testdata/load/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range cases {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			f.Add(file.Data)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		files := []string{"fleets/web.yaml", string(text), "base/web.yaml", "ssh: {port: 2222}\n", "files/web.env", "{{.Vars.workers}}\n"}
		tree := load(t, files...)
		if len(tree.Fleets)+len(tree.Rejected) != 1 {
			t.Fatalf("one file makes %d fleets and %d rejections", len(tree.Fleets), len(tree.Rejected))
		}
		for name, fleet := range tree.Fleets {
			if again := load(t, files...).Fleets[name]; again == nil || again.Digest(1) != fleet.Digest(1) {
				t.Fatalf("the digest of %q is not the same again", text)
			}
		}
		for _, rejection := range tree.Rejected {
			checkErrors(t, files, rejection.Errors)
		}
	})
}

func checkErrors(t *testing.T, files []string, errors desired.Errors) {
	if len(errors) == 0 || len(errors) > 101 {
		t.Fatalf("%d errors", len(errors))
	}
	for _, err := range errors {
		content, known := "", false
		for i := 0; i < len(files); i += 2 {
			if files[i] == err.Position.File {
				content, known = files[i+1], true
			}
		}
		lines := strings.Count(content, "\n") + strings.Count(content, "\r") + strings.Count(content, "\u2028") + strings.Count(content, "\u2029") + strings.Count(content, "\u0085") + 1
		if !known || err.Position.Line < 1 || err.Position.Line > lines || err.Position.Column < 1 {
			t.Fatalf("%v points nowhere", err)
		}
		if err.Message == "" || len(err.Message) > 2000 || strings.ContainsAny(err.Message, "\n\r\x00\x1b") {
			t.Fatalf("not one line: %q", err.Message)
		}
	}
}

// Whatever a file looks like, what is changed is one piece of it, and the file says the same otherwise.
func FuzzSetRelease(f *testing.F) {
	for _, text := range []string{"release: v1\n", "\uFEFFname: 'ä'\r\nrelease: \"v1\" # x\u2028", "{release: v1, vars: {release: v1}}", "release: |\n  v1\n"} {
		f.Add(text, "1.10")
	}
	f.Fuzz(func(t *testing.T, text, release string) {
		got, was, err := desired.SetRelease("a.yaml", []byte(text), release)
		if err != nil {
			return
		}
		again, now, err := desired.SetRelease("a.yaml", got, release)
		if err != nil || now != release || !bytes.Equal(again, got) {
			t.Fatalf("%q became %q, which has %q, %v", text, got, now, err)
		}
		first := 0
		for first < min(len(text), len(got)) && text[first] == got[first] {
			first++
		}
		last := 0
		for last < min(len(text), len(got))-first && text[len(text)-1-last] == got[len(got)-1-last] {
			last++
		}
		if cut := len(text) - first - last; cut > len(was)+2 {
			t.Fatalf("%q became %q: %d bytes are not as they were, for %q", text, got, cut, was)
		}
	})
}
