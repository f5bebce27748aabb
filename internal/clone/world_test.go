package clone_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"windlass/desired"
	"windlass/internal/clone"
)

const fleetFile = "fleets/web.yaml"

// A world is a deploy repo that people push to, and a person with settings of their own.
type world struct {
	*testing.T
	dir    string
	remote string // a bare repo
	env    []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("left out: git is not installed")
	}
	dir := t.TempDir()
	w := &world{T: t, dir: dir, remote: filepath.Join(dir, "deploy.git")}
	w.env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "TMPDIR=" + t.TempDir()}
	w.git(dir, "config", "--global", "user.name", "Ada")
	w.git(dir, "config", "--global", "user.email", "ada@example.org")
	w.git(dir, "config", "--global", "init.defaultBranch", "main")
	w.git(dir, "init", "-q", "--bare", w.remote)
	w.git(w.remote, "config", "uploadpack.allowFilter", "true")
	seed := w.clone("seed")
	w.write(seed, fleetFile, "name: web\r\nrelease: v1 # now\n")
	w.write(seed, "files/web.env", "A=1\n")
	w.write(seed, "fleets/deploy.sh", "#!/bin/sh\n")
	check(t, os.Chmod(filepath.Join(seed, "fleets/deploy.sh"), 0o755))
	w.git(seed, "add", ".")
	w.git(seed, "commit", "-qm", "web: begin")
	w.git(seed, "push", "-q", "origin", "main", "main:other")
	return w
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// git runs git in a directory, and returns what it writes.
func (w *world) git(dir string, args ...string) string {
	w.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = dir, w.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// clone makes a clone with arguments of git clone's, and returns where it is.
func (w *world) clone(name string, args ...string) string {
	w.Helper()
	dir := filepath.Join(w.dir, name)
	w.git(w.dir, append(append([]string{"clone", "-q"}, args...), "file://"+w.remote, dir)...)
	return dir
}

func (w *world) write(dir, name, text string) {
	w.Helper()
	path := filepath.Join(dir, name)
	check(w.T, os.MkdirAll(filepath.Dir(path), 0o755))
	check(w.T, os.WriteFile(path, []byte(text), 0o644))
}

// hook has a program run by git in a repository.
func (w *world) hook(repo, name, script string) {
	w.Helper()
	path := filepath.Join(repo, "hooks", name)
	check(w.T, os.MkdirAll(filepath.Dir(path), 0o755))
	check(w.T, os.WriteFile(path, []byte("#!/bin/sh\nset -e\n"+script), 0o755))
}

func (w *world) open(dir string) *clone.Clone {
	w.Helper()
	c, err := clone.Open(w.Context(), clone.Options{Dir: dir, Env: w.env})
	check(w.T, err)
	return c
}

// onRemote is a file as the remote's branch has it.
func (w *world) onRemote(file string) string {
	w.Helper()
	cmd := exec.Command("git", "show", "main:"+file)
	cmd.Dir, cmd.Env = w.remote, w.env
	out, err := cmd.Output()
	check(w.T, err)
	return string(out)
}

// deploy is the whole way: the release is changed on top of what the remote has now, and pushed.
func (w *world) deploy(c *clone.Clone, release string) (string, error) {
	w.Helper()
	parent, err := c.Fetch(w.Context(), "main")
	check(w.T, err)
	commit, err := w.commit(c, parent, release)
	if err != nil {
		return "", err
	}
	return commit, c.Push(w.Context(), commit, parent, "main")
}

func (w *world) commit(c *clone.Clone, parent, release string) (string, error) {
	w.Helper()
	var edited []byte
	check(w.T, c.Read(w.Context(), parent, ".", func(files fs.FS) error {
		text, err := fs.ReadFile(files, fleetFile)
		if err != nil {
			return err
		}
		edited, _, err = desired.SetRelease(fleetFile, text, release)
		return err
	}))
	return c.Commit(w.Context(), clone.Change{Parent: parent, Message: "web: " + release + "\n# 42 is kept", Files: map[string][]byte{fleetFile: edited}})
}
