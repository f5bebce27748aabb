package clone_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestAuthorIsAsGitSaysIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := w.clone("c")
	w.write(w.dir, "work", "[user]\n\temail = ada@work.example.org\n")
	w.git(w.dir, "config", "--global", "includeIf.gitdir:"+dir+"/.path", w.dir+"/work")
	commit, err := w.deploy(w.open(dir), "v2")
	check(t, err)
	if got := w.git(w.remote, "show", "-s", "--format=%ae %ce", commit); got != "ada@work.example.org ada@work.example.org" {
		t.Errorf("it is by %s", got)
	}
}

func TestCommitThatIsNotMade(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(*world, string)
		want    string
	}{
		"no name": {func(w *world, _ string) { w.git(w.dir, "config", "--global", "user.email", "") }, "git knows no address of yours; set it with git config user.email"},
		"nobody": {func(w *world, _ string) {
			w.git(w.dir, "config", "--global", "--unset", "user.email")
			w.git(w.dir, "config", "--global", "user.useConfigOnly", "true")
		}, "git does not know who you are: git var: "},
		"a key that is not there": {func(w *world, _ string) {
			w.git(w.dir, "config", "--global", "commit.gpgSign", "true")
			w.git(w.dir, "config", "--global", "gpg.format", "ssh")
			w.git(w.dir, "config", "--global", "user.signingKey", w.dir+"/none")
		}, "cannot make a signed commit: git commit-tree: "},
		"a filter": {func(w *world, dir string) {
			w.write(dir, ".gitattributes", "fleets/*.yaml filter=crypt\n")
			w.git(dir, "add", ".")
			w.git(dir, "commit", "-qm", "filter")
			w.git(dir, "push", "-q", "origin", "main")
		}, `git stores fleets/web.yaml by the filter "crypt", so it can only be changed in a work tree; commit the change there`},
		"a filter of this clone": {func(w *world, dir string) { w.write(dir, ".git/info/attributes", "*.yaml filter=crypt\n") }, `git stores fleets/web.yaml by the filter "crypt"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			dir := w.clone("c")
			c.prepare(w, dir)
			if _, err := w.deploy(w.open(dir), "v2"); err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v; want %s", err, c.want)
			}
			if got := w.onRemote(fleetFile); !strings.Contains(got, "v1") {
				t.Errorf("the remote has %q", got)
			}
		})
	}
}

func TestCommitIsSignedWhereGitSignsCommits(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		t.Skip("left out: ssh-keygen is not installed (package openssh-client)")
	}
	w := newWorld(t)
	key := filepath.Join(w.dir, "key")
	check(t, exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).Run())
	for name, value := range map[string]string{"commit.gpgSign": "yes", "gpg.format": "ssh", "user.signingKey": key + ".pub"} {
		w.git(w.dir, "config", "--global", name, value)
	}
	commit, err := w.deploy(w.open(w.clone("c")), "v2")
	check(t, err)
	if got := w.git(w.remote, "cat-file", "commit", commit); !strings.Contains(got, "\ngpgsig -----BEGIN SSH SIGNATURE-----") {
		t.Errorf("it is not signed:\n%s", got)
	}
}

// Line ends are those of the commit, however git checks files out.
func TestLineEndsStay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.git(w.dir, "config", "--global", "core.autocrlf", "true")
	_, err := w.deploy(w.open(w.clone("c")), "v2")
	check(t, err)
	if got := w.onRemote(fleetFile); got != "name: web\r\nrelease: v2 # now\n" {
		t.Errorf("the remote has %q", got)
	}
}
