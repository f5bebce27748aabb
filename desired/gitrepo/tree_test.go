package gitrepo

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// tree fetches the head as a file system.
func (s *gitServer) tree(dir string) *treeFS {
	s.t.Helper()
	got, err := s.open(s.options()).remote.fetch(s.t.Context(), plumbing.ZeroHash, extent{depth: 1})
	s.check(err)
	commit, err := object.GetCommit(got.store, got.head)
	s.check(err)
	files, err := newTree(got.store, commit, dir)
	s.check(err)
	return files
}

func TestTreeIsAFileSystem(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"top.txt": text("top"), "live/fleets/web.yaml": text("web"), "live/files/a/b/c.env": text(""), "live/README": text("read\n")})
	if err := fstest.TestFS(server.tree("."), "top.txt", "live/fleets/web.yaml"); err != nil {
		t.Error(err)
	}
	live := server.tree("live")
	if err := fstest.TestFS(live, "fleets/web.yaml", "files/a/b/c.env", "README"); err != nil {
		t.Error(err)
	}
	if _, err := live.Open("../top.txt"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("left the directory: %v", err)
	}
	file, err := live.Open("README")
	server.check(err)
	begin := make([]byte, 1)
	_, err = file.Read(begin)
	server.check(err)
	server.check(file.Close())
	if _, err := file.Read(begin); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("read after it was closed: %v", err)
	}
}

func TestFilesOfAWorkingTreeAsTheyAreCommitted(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	before := server.commit(files{"live/fleets/web.yaml": text("v1")})
	server.commit(files{"live/fleets/web.yaml": text("v2")})
	link := filepath.Join(t.TempDir(), "link")
	server.check(os.Symlink(filepath.Join(server.work, "live"), link))
	for _, dir := range []string{filepath.Join(server.work, "live"), link} { // by whatever way it is named
		for revision, want := range map[string]string{"HEAD": "v2", before: "v1", "HEAD~1": "v1"} {
			committed, err := Committed(dir, revision)
			server.check(err)
			if got, err := fs.ReadFile(committed, "fleets/web.yaml"); err != nil || string(got) != want {
				t.Errorf("%s of %s: %q, %v; want %q", revision, dir, got, err, want)
			}
		}
	}
	linked := filepath.Join(t.TempDir(), "linked") // a second working tree of the same repository
	server.run(server.work, "worktree", "add", "-q", "--detach", linked, before)
	if committed, err := Committed(filepath.Join(linked, "live"), "main"); err != nil {
		t.Error(err)
	} else if got, err := fs.ReadFile(committed, "fleets/web.yaml"); err != nil || string(got) != "v2" {
		t.Errorf("main, from a second working tree: %q, %v", got, err)
	}
	for want, where := range map[string][2]string{"is in no git repository": {t.TempDir(), "HEAD"}, `has no revision "elsewhere"`: {link, "elsewhere"}} {
		if _, err := Committed(where[0], where[1]); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s of %s: %v, want %q", where[1], where[0], err, want)
		}
	}
}

func TestTreeRemembersWhatWasReadNotWhatWasLookedAt(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	server.commit(files{"a": text("a"), "b": text(strings.Repeat("b", 1<<20))})
	tree := server.tree(".")
	info, err := fs.Stat(tree, "b")
	if err != nil || info.Size() != 1<<20 {
		t.Errorf("stat: %v, %v", info, err)
	}
	if _, err := fs.ReadFile(tree, "a"); err != nil {
		t.Error(err)
	}
	if names := tree.names(); len(names) != 1 || names[0] != "a" {
		t.Errorf("read %v, want a", names)
	}
}

func TestG42LinksAndSubmodulesAreRefused(t *testing.T) {
	t.Parallel()
	server := newGitServer(t)
	head := server.commit(files{"fleets/web.yaml": fleet("web", "v1")})
	server.check(os.Symlink("/etc/shadow", filepath.Join(server.work, "link")))
	server.run(server.work, "update-index", "--add", "--cacheinfo", "160000,"+head+",module")
	server.run(server.work, "add", "link")
	server.run(server.work, "commit", "-q", "-m", "links")
	server.push()
	tree := server.tree(".")
	for name, want := range map[string]error{"link": errSymlink, "module": errSubmodule} {
		if _, err := fs.ReadFile(tree, name); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		if info, err := fs.Lstat(tree, name); err != nil || info.Mode().IsRegular() || info.IsDir() {
			t.Errorf("%s: %v, %v; want neither file nor directory", name, info, err)
		}
	}
	if _, err := tree.ReadLink("link"); !errors.Is(err, errSymlink) {
		t.Errorf("read link: %v", err)
	}
	if entries, err := fs.ReadDir(tree, "."); err != nil || len(entries) != 3 {
		t.Errorf("%v, %v", entries, err)
	}
}
