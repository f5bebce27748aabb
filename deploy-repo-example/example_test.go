// Package example_test keeps the example deploy repo from rotting: it is loaded, rendered, its steps are run, and what its
// README promises is tried. internal/e2e plans it and rolls it out and back. Nothing else belongs here.
package example_test

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"windlass/desired"
)

func TestLoadsWithoutErrorsOrWarnings(t *testing.T) {
	t.Parallel()
	tree := load(t, repo(t))
	if got := slices.Sorted(maps.Keys(tree.Fleets)); !slices.Equal(got, []string{"web-live", "web-staging"}) {
		t.Errorf("the fleets are %q", got)
	}
	for _, warning := range tree.Warnings {
		t.Error(warning)
	}
	for _, shared := range []string{"base/web.yaml", "files/web.env.tmpl", "files/web.service"} {
		if got := tree.Uses[shared]; !slices.Equal(got, []string{"web-live", "web-staging"}) {
			t.Errorf("%s goes into %q, want both fleets", shared, got)
		}
	}
}

func TestFilesRender(t *testing.T) {
	t.Parallel()
	for name, fleet := range load(t, repo(t)).Fleets {
		for _, file := range fleet.Configure.Files {
			content, err := fleet.Render(file, "web-1")
			switch {
			case err != nil:
				t.Errorf("%s: %v", name, err)
			case bytes.Contains(content, []byte("{{")) || bytes.Contains(content, []byte("<no value>")):
				t.Errorf("%s: %s renders to\n%s", name, file.From, content)
			case file.Template && !bytes.Contains(content, []byte("WEB_NODE=web-1\n")):
				t.Errorf("%s: %s does not name its node:\n%s", name, file.From, content)
			}
		}
	}
}

func TestStepsAreShell(t *testing.T) {
	t.Parallel()
	for name, fleet := range load(t, repo(t)).Fleets {
		for _, step := range slices.Concat(fleet.Configure.Prepare, fleet.Configure.Activate) {
			if out, err := exec.Command("sh", "-n", "-c", step.Run).CombinedOutput(); err != nil {
				t.Errorf("%s: step %s: %v\n%s", name, step.Name, err, out)
			}
		}
	}
}

// The README's diff is the whole of a deploy: one fleet's release, nothing else of it, and no other fleet.
func TestOneLineIsADeployAndItsRevertARollback(t *testing.T) {
	t.Parallel()
	before := repo(t)
	after := maps.Clone(before)
	file, removed, added := readmeDiff(t)
	text := string(before[file].Data)
	if strings.Count(text, removed) != 1 {
		t.Fatalf("%s has %q %d times, so that the README's diff does not apply", file, removed, strings.Count(text, removed))
	}
	after[file] = &fstest.MapFile{Data: []byte(strings.Replace(text, removed, added, 1))}

	was, is := load(t, before).Fleets, load(t, after).Fleets
	if d := is["web-staging"].Digest(desired.DigestAlgorithm); d != was["web-staging"].Digest(desired.DigestAlgorithm) {
		t.Error("a deploy to live rolls staging too")
	}
	live := *is["web-live"]
	if live.Digest(desired.DigestAlgorithm) == was["web-live"].Digest(desired.DigestAlgorithm) {
		t.Error("the README's diff rolls nothing")
	}
	live.Release = was["web-live"].Release
	if live.Digest(desired.DigestAlgorithm) != was["web-live"].Digest(desired.DigestAlgorithm) || !reflect.DeepEqual(&live, was["web-live"]) {
		t.Error("the README's diff changes more than the release, so that its revert is no plain rollback")
	}
}

// What the README says may be tuned rolls nothing.
func TestTuningRollsNothing(t *testing.T) {
	t.Parallel()
	before := repo(t)
	for _, edit := range []struct{ file, old, new string }{
		{"fleets/web-live.yaml", "bake: 5m", "bake: 15m"},
		{"fleets/web-live.yaml", "maxUnavailable: 1", "maxUnavailable: 25%"},
		{"base/web.yaml", "timeout: 2m", "timeout: 5m"},
		{"base/web.yaml", "path: /healthz", "path: /ready"},
	} {
		text := string(before[edit.file].Data)
		if !strings.Contains(text, edit.old) {
			t.Fatalf("%s does not say %q", edit.file, edit.old)
		}
		after := maps.Clone(before)
		after[edit.file] = &fstest.MapFile{Data: []byte(strings.Replace(text, edit.old, edit.new, 1))}
		for name, fleet := range load(t, after).Fleets {
			if fleet.Digest(desired.DigestAlgorithm) != load(t, before).Fleets[name].Digest(desired.DigestAlgorithm) {
				t.Errorf("%q in %s rolls %s", edit.new, edit.file, name)
			}
		}
	}
}

func TestSchemaIsCurrent(t *testing.T) {
	t.Parallel()
	if !bytes.Equal(repo(t)["fleet.schema.json"].Data, desired.Schema()) {
		t.Error("fleet.schema.json is not what windlass schema prints; run: go run ./cmd/windlass schema > deploy-repo-example/fleet.schema.json")
	}
}

func TestEditorsFindTheSchema(t *testing.T) {
	t.Parallel()
	files := repo(t)
	const modeline = "# yaml-language-server: $schema="
	for name, file := range files {
		if !strings.HasPrefix(name, "fleets/") {
			continue
		}
		first, _, _ := strings.Cut(string(file.Data), "\n")
		schema, ok := strings.CutPrefix(first, modeline)
		if !ok || files[filepath.Join(filepath.Dir(name), schema)] == nil {
			t.Errorf("%s begins with %q, which leads to no schema", name, first)
		}
	}
}

// repo is every file of the example, in memory, so that a test may change its copy.
func repo(t *testing.T) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		files[name] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// load requires that no fleet is rejected.
func load(t *testing.T, files fs.FS) desired.Tree {
	t.Helper()
	tree, err := desired.Load(files)
	for _, rejection := range tree.Rejected {
		err = errors.Join(err, rejection.Errors)
	}
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// readmeDiff is the one diff that the README shows.
func readmeDiff(t *testing.T) (file, removed, added string) {
	t.Helper()
	_, rest, _ := strings.Cut(string(repo(t)["README.md"].Data), "```diff\n")
	diff, _, found := strings.Cut(rest, "```")
	lines := strings.Split(strings.TrimSpace(diff), "\n")
	if !found || len(lines) != 4 {
		t.Fatalf("the README shows no diff of one line:\n%s", diff)
	}
	return strings.TrimPrefix(lines[1], "+++ b/"), strings.TrimPrefix(lines[2], "-"), strings.TrimPrefix(lines[3], "+")
}
