package clone_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"windlass/internal/clone"
)

// Whatever a clone is like, a change goes from there to the remote, and nothing else of it changes.
func TestCloneOfEachKind(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(*world) string{
		"plain":             func(w *world) string { return w.clone("c") },
		"in a subdirectory": func(w *world) string { return filepath.Join(w.clone("c"), "fleets") },
		"shallow":           func(w *world) string { return w.clone("c", "--depth", "1") },
		"of another branch": func(w *world) string { return w.clone("c", "--single-branch", "-b", "other") },
		"shallow, of another branch": func(w *world) string {
			return w.clone("c", "--depth", "1", "-b", "other")
		},
		"without blobs": func(w *world) string { return w.clone("c", "--filter=blob:none", "--no-checkout") },
		"bare":          func(w *world) string { return w.clone("c", "--bare") },
		"once sparse": func(w *world) string {
			dir := w.clone("c")
			w.git(dir, "sparse-checkout", "set", "--sparse-index", "files")
			return dir
		},
		"a linked work tree": func(w *world) string {
			dir := w.clone("c")
			w.git(dir, "worktree", "add", "-q", "--detach", filepath.Join(w.dir, "linked"))
			return filepath.Join(w.dir, "linked")
		},
		"with borrowed objects": func(w *world) string { return w.clone("c", "--reference", filepath.Join(w.dir, "seed")) },
		"with a split index": func(w *world) string {
			dir := w.clone("c")
			w.git(dir, "config", "core.splitIndex", "true")
			w.git(dir, "update-index", "--split-index")
			return dir
		},
		"behind": func(w *world) string {
			dir := w.clone("c")
			w.write(filepath.Join(w.dir, "seed"), "README", "more\n")
			w.git(filepath.Join(w.dir, "seed"), "add", ".")
			w.git(filepath.Join(w.dir, "seed"), "commit", "-qm", "more")
			w.git(filepath.Join(w.dir, "seed"), "push", "-q", "origin", "main")
			return dir
		},
		"pushed to elsewhere than fetched from": func(w *world) string {
			dir := w.clone("c")
			mirror := filepath.Join(w.dir, "mirror")
			w.git(w.dir, "clone", "-q", "--mirror", w.remote, mirror)
			w.git(dir, "remote", "set-url", "origin", "mirror:deploy")
			w.git(w.dir, "config", "--global", "url.file://"+mirror+".insteadOf", "mirror:deploy")
			w.git(w.dir, "config", "--global", "url.file://"+w.remote+".pushInsteadOf", "mirror:deploy")
			return dir
		},
		"with an alias of git's for another repository": func(w *world) string {
			dir := w.clone("c")
			w.env = append(w.env, "GIT_DIR="+w.dir+"/none", "GIT_INDEX_FILE="+dir+"/.git/index")
			return dir
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			dir := make(w)
			before := untouched(w)
			commit, err := w.deploy(w.open(dir), "v2")
			check(t, err)
			w.env = w.env[:4]
			if got := w.onRemote(fleetFile); got != "name: web\r\nrelease: v2 # now\n" {
				t.Errorf("the remote has %q", got)
			}
			if got, want := w.git(w.remote, "show", "--raw", "--format=%an <%ae>, %cn: %B", commit), "Ada <ada@example.org>, Ada: web: v2\n# 42 is kept"; !strings.HasPrefix(got, want) || strings.Count(got, "\n:") != 1 {
				t.Errorf("the commit is %s", got)
			}
			if after := untouched(w); after != before {
				t.Errorf("the clone was\n%s\nand is\n%s", before, after)
			}
		})
	}
}

// untouched is all of the clones' directories that a person works with.
func untouched(w *world) string {
	w.Helper()
	var all strings.Builder
	check(w.T, filepath.WalkDir(w.dir, func(path string, entry fs.DirEntry, err error) error {
		inside, _ := filepath.Rel(w.dir, path)
		switch {
		case err != nil:
			return err
		case path == w.remote, entry.Name() == "objects", entry.Name() == "remotes" && entry.IsDir():
			return filepath.SkipDir
		case entry.IsDir(), entry.Name() == "packed-refs", entry.Name() == "shallow", inside == ".gitconfig":
			return nil
		}
		text, err := os.ReadFile(path)
		all.WriteString(inside + " " + string(text) + "\n")
		return err
	}))
	return all.String()
}

// What a person has half done stays so, staged or not, on whatever branch.
func TestWorkInProgressStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := w.clone("c")
	w.git(dir, "checkout", "-q", "-b", "mine")
	w.write(dir, fleetFile, "name: web\nrelease: mine\n")
	w.git(dir, "add", ".")
	w.write(dir, fleetFile, "half a thought")
	w.write(dir, "new", "untracked\n")
	w.git(dir, "fetch", "-q", "origin", "other")
	w.git(dir, "tag", "-a", "-m", "mine", "mine-1")
	w.git(dir, "config", "push.followTags", "true")
	for _, hook := range []string{"pre-commit", "commit-msg", "post-commit", "post-index-change", "reference-transaction"} {
		w.hook(filepath.Join(dir, ".git"), hook, "echo "+hook+" >>"+w.dir+"/ran\n")
	}
	before := untouched(w)
	_, err := w.deploy(w.open(dir), "v2")
	check(t, err)
	ran, _ := os.ReadFile(w.dir + "/ran")
	check(t, os.RemoveAll(w.dir+"/ran"))
	if after := untouched(w); after != before {
		t.Errorf("the clone was\n%s\nand is\n%s", before, after)
	}
	if strings.Contains(string(ran), "commit") || strings.Contains(string(ran), "index") {
		t.Errorf("hooks for what a person commits ran: %s", ran)
	}
	if tags := w.git(w.remote, "tag"); tags != "" {
		t.Errorf("tags were pushed: %s", tags)
	}
}

func TestWhichRemote(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		remotes []string
		chosen  string
		want    string
	}{
		"the only one":       {[]string{"deploy"}, "", ""},
		"origin":             {[]string{"deploy", "origin"}, "", ""},
		"by git's setting":   {[]string{"deploy", "backup"}, "deploy", ""},
		"none":               {nil, "", "this clone has no remote; add the deploy repo"},
		"two of equal worth": {[]string{"deploy", "backup"}, "", "this clone has the remotes backup, deploy; say which"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			dir := filepath.Join(w.dir, "c")
			w.git(w.dir, "init", "-q", dir)
			for _, remote := range c.remotes {
				url := "file://" + w.remote
				if remote == "backup" || remote == "deploy" && strings.Contains(strings.Join(c.remotes, " "), "origin") {
					url = "file:///none"
				}
				w.git(dir, "remote", "add", remote, url)
			}
			if c.chosen != "" {
				w.git(dir, "config", "checkout.defaultRemote", c.chosen)
			}
			opened, err := clone.Open(t.Context(), clone.Options{Dir: dir, Env: w.env})
			if err == nil {
				_, err = opened.Fetch(t.Context(), "main")
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
				t.Errorf("%v; want %s", err, c.want)
			}
		})
	}
}

func TestWhatIsNoDeployRepo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	empty := t.TempDir()
	if _, err := clone.Open(t.Context(), clone.Options{Dir: empty, Env: append(w.env, "GIT_CEILING_DIRECTORIES="+filepath.Dir(empty))}); err == nil || !strings.Contains(err.Error(), "is no clone that git can work in (git rev-parse: fatal: not a git repository") {
		t.Errorf("an empty directory: %v", err)
	}
	dir := w.clone("c")
	if _, err := w.open(dir).Fetch(t.Context(), "prod"); err == nil || err.Error() != "origin has no branch prod; name the one that the agent follows with --branch" {
		t.Errorf("no such branch: %v", err)
	}
	w.git(w.remote, "update-ref", "refs/heads/deep/main", "main")
	w.git(w.remote, "update-ref", "-d", "refs/heads/main")
	if _, err := w.open(dir).Fetch(t.Context(), "main"); err == nil || !strings.HasPrefix(err.Error(), "origin has no branch main") {
		t.Errorf("a longer name: %v", err)
	}
	check(t, os.RemoveAll(w.remote))
	if _, err := w.open(dir).Fetch(t.Context(), "main"); err == nil || !strings.HasPrefix(err.Error(), "cannot ask origin for branch main: git ls-remote: ") || strings.Contains(err.Error(), "\n") {
		t.Errorf("no remote any more: %v", err)
	}
}
