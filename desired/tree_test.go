package desired_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"windlass/desired"
)

// write makes a working tree of the given files and returns its path.
func write(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		name := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func loadDir(t *testing.T, dir string) desired.Tree {
	t.Helper()
	files, closer, err := desired.Dir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	tree, err := desired.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

const withFile = smallest + "base: ../base/web.yaml\n"

func workingTree(t *testing.T) string {
	return write(t, "fleets/web.yaml", withFile, "base/web.yaml", "configure: {files: [{from: files/a/web.env, to: /etc/web.env}]}\n", "files/a/web.env", "A=1\n")
}

func TestLoadsAWorkingTree(t *testing.T) {
	t.Parallel()
	fleet := loadDir(t, workingTree(t)).Fleets["web-live"]
	if fleet == nil || string(fleet.Configure.Files[0].Content) != "A=1\n" {
		t.Errorf("got %+v", fleet)
	}
}

// G42: whatever a link leads to, inside of the repo or out of it, is not read.
func TestSymbolicLinksAreRefusedEverywhere(t *testing.T) {
	t.Parallel()
	outside := write(t, "web.yaml", withFile, "web.env", "SECRET=1\n")
	for name, c := range map[string]struct{ link, to, key, message string }{
		"fleet file":           {"fleets/web.yaml", outside + "/web.yaml", "fleets/web.yaml", "fleets/web.yaml:1:1: the file is a symbolic link"},
		"fleet file, dangling": {"fleets/web.yaml", "nowhere", "fleets/web.yaml", "fleets/web.yaml:1:1: the file is a symbolic link"},
		"fleets":               {"fleets", outside, "fleets", "fleets:1:1: fleets is a symbolic link"},
		"directory of fleets":  {"fleets/more", "../base", "fleets/more", "fleets/more:1:1: the file is a symbolic link"},
		"base":                 {"base/web.yaml", "../files/a/web.env", "web-live", `fleets/web.yaml:13:7: base "../base/web.yaml" is a symbolic link`},
		"directory of bases":   {"base", outside, "web-live", `fleets/web.yaml:13:7: base "../base/web.yaml" cannot be reached: base is a symbolic link`},
		"file":                 {"files/a/web.env", outside + "/web.env", "web-live", `base/web.yaml:1:28: configure.files[0].from: "files/a/web.env" is a symbolic link`},
		"directory of files":   {"files/a", outside, "web-live", `"files/a/web.env" cannot be reached: files/a is a symbolic link`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := workingTree(t)
			if err := os.RemoveAll(filepath.Join(dir, c.link)); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(c.to, filepath.Join(dir, c.link)); err != nil {
				t.Fatal(err)
			}
			tree := loadDir(t, dir)
			got := tree.Rejected[c.key].Errors
			if len(got) != 1 || !strings.Contains(got[0].Error(), c.message) {
				t.Errorf("got %v, rejected %v", got, tree.Rejected)
			}
		})
	}
}

// G42: a name that is no text or holds a backslash is some other file's elsewhere, such as in a zip; it hides no other fleet (law 3).
func TestASubmoduleOfFleetsIsRefused(t *testing.T) {
	t.Parallel()
	dir := write(t, "fleets/team/web.yaml", smallest, "fleets/team/.git", "gitdir: ../../.git/modules/team\n")
	tree := loadDir(t, dir)
	if got := tree.Rejected["fleets/team"].Errors.Error(); len(tree.Fleets) > 0 || !strings.HasPrefix(got, "fleets/team:1:1: the file is a submodule") {
		t.Errorf("accepted %v, rejected %v", tree.Fleets, tree.Rejected)
	}
}

func TestBadFileNamesAreRefusedAlone(t *testing.T) {
	t.Parallel()
	for bad, key := range map[string]string{
		"fleets/caf\xe9.yaml":      `"fleets/caf\xe9.yaml"`,
		"fleets/caf\xe9/web.yaml":  `"fleets/caf\xe9"`,
		"fleets/a\nb/web.yaml":     `"fleets/a\nb"`,
		`fleets/more\web.yaml`:     `"fleets/more\\web.yaml"`,
		"fleets/caf\xe9/notes.txt": `"fleets/caf\xe9"`,
	} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			tree := loadDir(t, write(t, "fleets/web.yaml", smallest, bad, smallest))
			got := tree.Rejected[key].Errors
			if len(got) != 1 || !strings.Contains(got[0].Error(), "the name holds a backslash, a control character or bytes that are no text; rename it") {
				t.Errorf("rejected %v", tree.Rejected)
			}
			if tree.Fleets["web-live"] == nil {
				t.Error("it hides another fleet")
			}
		})
	}
}

// G41: what is far too large is refused by its size, without reading it.
func TestLargeFilesAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		size         int64
		key, message string
	}{
		"fleets/web.yaml": {100 << 20, "fleets/web.yaml", "fleets/web.yaml:1:1: the file has 104857600 bytes; at most 1048576 are allowed"},
		"base/web.yaml":   {1<<20 + 1, "web-live", `fleets/web.yaml:13:7: base "../base/web.yaml" has 1048577 bytes; at most 1048576 are allowed`},
		"files/a/web.env": {4<<20 + 1, "web-live", `"files/a/web.env" has 4194305 bytes; at most 4194304 are allowed`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := workingTree(t)
			if err := os.Truncate(filepath.Join(dir, name), c.size); err != nil {
				t.Fatal(err)
			}
			got := loadDir(t, dir).Rejected[c.key].Errors
			if len(got) != 1 || !strings.Contains(got[0].Error(), c.message) {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestTheFilesOfAFleetAreBoundedTogether(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("x", 4<<20)
	files := []string{"files/large", content, "fleets/web.yaml", smallest + "base: ../base/web.yaml\n", "base/web.yaml", "configure:\n  files:\n"}
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		files[5] += "    - {from: files/large, to: /" + name + "}\n"
	}
	got := load(t, files...).Rejected["web-live"].Errors
	want := "base/web.yaml:7:14: the files of a fleet may have 16777216 bytes together; with this one they have more (used by fleet web-live)"
	if len(got) != 1 || got[0].Error() != want {
		t.Errorf("got %v", got)
	}
}

func TestADirectoryThatIsNotThere(t *testing.T) {
	t.Parallel()
	if _, _, err := desired.Dir(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "cannot open deploy repo") {
		t.Errorf("got %v", err)
	}
}
