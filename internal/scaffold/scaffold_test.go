package scaffold

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"pgregory.net/rapid"

	"windlass/desired"
)

// loaded is what the agent makes of the files.
func loaded(t interface{ Fatal(...any) }, files map[string][]byte) desired.Tree {
	tree := fstest.MapFS{}
	for path, text := range files {
		tree[path] = &fstest.MapFile{Data: text, Mode: 0o644}
	}
	read, err := desired.Load(tree)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

func TestTheExamplesCommentsAreKept(t *testing.T) {
	t.Parallel()
	a := Usual()
	a.Port, a.Expect = 9000, 4
	files, err := Files(a)
	if err != nil {
		t.Fatal(err)
	}
	text := string(files["fleets/web-live.yaml"])
	for _, want := range []string{
		"# yaml-language-server: $schema=../fleet.schema.json\n", "release: v1.4.2 # this line is the deploy\n", "# paused: {reason: incident 4711}\n",
		"  expect: 4 # fewer found means", "# Each step is a script for sh", "# A node goes back to its load balancer only when", "lets\n# it in on 9000;",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the fleet file lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "8080") || strings.Contains(text, "base:") {
		t.Errorf("the fleet file has something of the example that is not answered:\n%s", text)
	}
	if tree := loaded(t, files); len(tree.Warnings) > 0 {
		t.Errorf("warnings: %v", tree.Warnings)
	}
}

// Whatever is answered stands in the file as it was given, or is refused.
func TestHostileAnswersStandAsTheyWereGiven(t *testing.T) {
	t.Parallel()
	hostile := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
		"# no comment", "a: b", "'", `"`, `\`, "}", "]", "{a: b}", "[", ", x", "*a", "&a", "!!int 1", "yes", "~", "null", "1.10", "0x1f", "2026-03-01", "- a", "? a", "|", ">", "%x",
		"@a", "`a`", " a ", "a\nb: c", "a\r\nb", "\ta", "a\x00b", "\u2028", "\ufeff", "---", "...", "a #b", "{{.Release}}", "\xff", "é", strings.Repeat("long ", 100),
	}))
	rapid.Check(t, func(t *rapid.T) {
		a := Usual()
		a.Install = hostile.Draw(t, "install")
		a.Tags = map[string]string{hostile.Draw(t, "tag"): hostile.Draw(t, "value"), "env": hostile.Draw(t, "env")}
		files, err := Files(a)
		if err != nil {
			return
		}
		fleet := loaded(t, files).Fleets["web-live"]
		if fleet == nil || fleet.Configure.Activate[0].Run != a.Install || !maps.Equal(fleet.Nodes.EC2.Tags, a.Tags) {
			t.Fatalf("%+v became\n%s", a, files["fleets/web-live.yaml"])
		}
	})
}

// Most of what has to be quoted is no reason to refuse it.
func TestAnswersThatNeedQuotesAreTaken(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"# no comment", "a: b", "'", `"\`, "}, {", "yes", "1.10", "a\nb: c", "é", " a "} {
		a := Usual()
		a.Install, a.Tags = text, map[string]string{"env": text}
		if _, err := Files(a); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestAnswersThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Answers){
		"name is":        func(a *Answers) { a.Fleet = "../web" },
		"release is":     func(a *Answers) { a.Release = "v1 2" },
		"targetGroup is": func(a *Answers) { a.Group = "web live" },
		"port is":        func(a *Answers) { a.Port = 70000 },
		"user is":        func(a *Answers) { a.User = "a b" },
		"run is empty":   func(a *Answers) { a.Install = "" },
		"tags is empty":  func(a *Answers) { a.Tags = nil },
	} {
		a := Usual()
		change(&a)
		if _, err := Files(a); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error about %q, got %v", want, err)
		}
	}
}

// What is in the example is in a repo of somebody's own too, but for base, files and fleets, and tests.
func TestTheRestOfTheExampleIsThere(t *testing.T) {
	t.Parallel()
	answers := Usual()
	answers.Fleet = "shop"
	files, err := Files(answers)
	if err != nil {
		t.Fatal(err)
	}
	err = fs.WalkDir(os.DirFS("../../deploy-repo-example"), ".", func(path string, entry fs.DirEntry, err error) error {
		top, _, _ := strings.Cut(path, "/")
		if err != nil || entry.IsDir() || strings.HasSuffix(path, ".go") || slices.Contains([]string{"base", "files", "fleets"}, top) {
			return err
		}
		if files[path] == nil {
			t.Errorf("%s is not written: let embed.go name it", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	readme := string(files["README.md"])
	for _, gone := range []string{"staging", "base/web.yaml", "| `files/`", "v1.4.3", "web-live", ".go"} {
		if strings.Contains(readme, gone) {
			t.Errorf("README.md tells of %q", gone)
		}
	}
}

func TestNothingIsReplaced(t *testing.T) {
	t.Parallel()
	dir, elsewhere := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{"README.md": "mine", "unrelated": "mine"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(elsewhere, filepath.Join(dir, "monitoring")); err != nil {
		t.Fatal(err)
	}
	err := Write(dir, map[string][]byte{"README.md": []byte("new"), "a/b/c": nil, "monitoring/alerts.yaml": nil})
	if err == nil || !strings.Contains(err.Error(), "README.md, monitoring/alerts.yaml is in the way") {
		t.Errorf("the error is %v", err)
	}
	if got := listed(t, dir); !slices.Equal(got, []string{"README.md", "monitoring", "unrelated"}) || len(listed(t, elsewhere)) > 0 {
		t.Errorf("there is %q", got)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "README.md")); err != nil || string(text) != "mine" {
		t.Errorf("README.md is %q, %v", text, err)
	}
}

// What cannot be written whole is not there at all, and what was there before is.
func TestAHalfWrittenRepoIsRemoved(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Write(dir, map[string][]byte{"a": nil, "b/c/d": nil, "e": nil, "e/f": nil}); err == nil {
		t.Error("a file is a directory")
	}
	if got := listed(t, dir); !slices.Equal(got, []string{"b"}) {
		t.Errorf("left is %q", got)
	}
}

func TestTheExampleMayNotChangeUnseen(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"a": "0 times", "b b": "2 times"} {
		if _, err := replaced(text, []edit{{"b", "c"}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("in %q: %v", text, err)
		}
	}
	for _, text := range []string{"", "from"} {
		if _, err := between(text, "from", "to"); err == nil {
			t.Errorf("there is something between in %q", text)
		}
	}
}

func listed(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
