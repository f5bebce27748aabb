package gitrepo

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// Why a name cannot be opened although it is in the commit.
var (
	errSymlink   = errors.New("is a symbolic link, which windlass does not follow: commit the file itself")
	errSubmodule = errors.New("is a submodule, which windlass does not fetch: commit the files themselves")
	errBadName   = errors.New("holds an entry whose name is no file name") // git itself writes no such tree
)

// A treeFS is the files of one commit, below one directory: a torn read is impossible because nothing in it can change (G36).
// It remembers which files were read, so that exactly those can be kept.
type treeFS struct {
	store storer.EncodedObjectStorer
	root  *object.Tree
	when  time.Time // of the commit: every file's modification time
	trees map[plumbing.Hash]*object.Tree
	read  map[string]struct{}
}

// newTree returns the files of commit below dir ("." is all of them). It is fs.ErrNotExist when there is no such directory.
func newTree(store storer.EncodedObjectStorer, commit *object.Commit, dir string) (*treeFS, error) {
	t := &treeFS{store: store, when: commit.Committer.When, trees: map[plumbing.Hash]*object.Tree{}, read: map[string]struct{}{}}
	root, err := t.tree(commit.TreeHash)
	if err != nil {
		return nil, fail(Corrupt, "cannot read the files of commit %s: %w", commit.Hash, err)
	}
	t.root = root
	t.root, err = t.below(dir)
	return t, err
}

// tree reads a directory's entries, once.
func (t *treeFS) tree(hash plumbing.Hash) (*object.Tree, error) {
	if known, ok := t.trees[hash]; ok {
		return known, nil
	}
	read, err := object.GetTree(t.store, hash)
	if err == nil {
		t.trees[hash] = read
	}
	return read, err
}

// Open refuses symbolic links and submodules by name rather than reading something else in their place (G42).
func (t *treeFS) Open(name string) (fs.File, error) {
	file, err := t.open(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return file, nil
}

// Lstat tells what an entry is without following it; fs.Lstat asks for it.
func (t *treeFS) Lstat(name string) (fs.FileInfo, error) {
	info, err := t.lstat(name)
	if err != nil {
		return nil, &fs.PathError{Op: "lstat", Path: name, Err: err}
	}
	return info, nil
}

func (t *treeFS) lstat(name string) (fs.FileInfo, error) {
	switch {
	case !fs.ValidPath(name):
		return nil, fs.ErrInvalid
	case name == ".":
		return treeInfo{name: ".", mode: fs.ModeDir | 0o755, when: t.when}, nil
	}
	entry, err := t.find(name)
	if err != nil {
		return nil, err
	}
	return t.info(name, *entry)
}

// ReadLink refuses: where a link leads is nothing windlass wants to know.
func (t *treeFS) ReadLink(name string) (string, error) {
	return "", &fs.PathError{Op: "readlink", Path: name, Err: errSymlink}
}

func (t *treeFS) open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, fs.ErrInvalid
	}
	if name == "." {
		return t.directory(".", t.root)
	}
	entry, err := t.find(name)
	if err != nil {
		return nil, err
	}
	switch entry.Mode {
	case filemode.Dir:
		tree, err := t.tree(entry.Hash)
		if err != nil {
			return nil, err
		}
		return t.directory(name, tree)
	case filemode.Symlink:
		return nil, errSymlink
	case filemode.Submodule:
		return nil, errSubmodule
	}
	return t.file(name, entry)
}

// find looks one directory up at a time: what is missing in the commit is fs.ErrNotExist, what is missing in the store is not.
func (t *treeFS) find(name string) (*object.TreeEntry, error) {
	parent, err := t.below(path.Dir(name))
	if err != nil {
		return nil, err
	}
	entry, err := parent.FindEntry(path.Base(name))
	if errors.Is(err, object.ErrEntryNotFound) {
		return nil, fs.ErrNotExist
	}
	return entry, err
}

// below returns the directory called name.
func (t *treeFS) below(name string) (*object.Tree, error) {
	if name == "." {
		return t.root, nil
	}
	entry, err := t.find(name)
	switch {
	case err != nil:
		return nil, err
	case entry.Mode != filemode.Dir:
		return nil, fs.ErrNotExist
	}
	return t.tree(entry.Hash)
}

func (t *treeFS) file(name string, entry *object.TreeEntry) (fs.File, error) {
	info, err := t.info(name, *entry)
	if err != nil {
		return nil, err
	}
	return &treeFile{info: info, tree: t, name: name, hash: entry.Hash}, nil
}

func (t *treeFS) directory(name string, tree *object.Tree) (fs.File, error) {
	dir := &treeDir{info: treeInfo{name: path.Base(name), mode: fs.ModeDir | 0o755, when: t.when}}
	for _, entry := range tree.Entries {
		if entry.Name == "" || entry.Name == "." || entry.Name == ".." || strings.Contains(entry.Name, "/") {
			return nil, errBadName
		}
		info, err := t.info(entry.Name, entry)
		if err != nil {
			return nil, err
		}
		dir.entries = append(dir.entries, fs.FileInfoToDirEntry(info))
	}
	slices.SortFunc(dir.entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return dir, nil
}

func (t *treeFS) info(name string, entry object.TreeEntry) (treeInfo, error) {
	info := treeInfo{name: path.Base(name), when: t.when}
	switch entry.Mode {
	case filemode.Dir:
		info.mode = fs.ModeDir | 0o755
	case filemode.Symlink:
		info.mode = fs.ModeSymlink | 0o777
	case filemode.Submodule:
		info.mode = fs.ModeIrregular
	case filemode.Executable:
		info.mode = 0o755
	default:
		info.mode = 0o644
	}
	if !info.mode.IsRegular() {
		return info, nil
	}
	size, err := t.store.EncodedObjectSize(entry.Hash)
	info.size = size
	return info, err
}

type treeInfo struct {
	name string
	size int64
	mode fs.FileMode
	when time.Time
}

func (i treeInfo) Name() string       { return i.name }
func (i treeInfo) Size() int64        { return i.size }
func (i treeInfo) Mode() fs.FileMode  { return i.mode }
func (i treeInfo) ModTime() time.Time { return i.when }
func (i treeInfo) IsDir() bool        { return i.mode.IsDir() }
func (i treeInfo) Sys() any           { return nil }

type treeFile struct {
	info    treeInfo
	tree    *treeFS
	name    string
	hash    plumbing.Hash
	content io.ReadCloser // nil until the first Read: a Stat costs no content
	closed  bool
}

func (f *treeFile) Stat() (fs.FileInfo, error) { return f.info, nil }

func (f *treeFile) Read(p []byte) (int, error) {
	if f.closed {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: fs.ErrClosed}
	}
	if f.content == nil {
		blob, err := object.GetBlob(f.tree.store, f.hash)
		if err != nil {
			return 0, &fs.PathError{Op: "read", Path: f.name, Err: err}
		}
		if f.content, err = blob.Reader(); err != nil {
			return 0, &fs.PathError{Op: "read", Path: f.name, Err: err}
		}
		f.tree.read[f.name] = struct{}{}
	}
	return f.content.Read(p)
}

func (f *treeFile) Close() error {
	f.closed = true
	if f.content == nil {
		return nil
	}
	return f.content.Close()
}

type treeDir struct {
	info    treeInfo
	entries []fs.DirEntry // those not handed out yet
}

func (d *treeDir) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *treeDir) Close() error               { return nil }

func (d *treeDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.info.name, Err: errors.New("is a directory")}
}

func (d *treeDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		n = len(d.entries)
	} else if len(d.entries) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.entries))
	batch := d.entries[:n]
	d.entries = d.entries[n:]
	return batch, nil
}

// names lists the files that were read, sorted.
func (t *treeFS) names() []string { return slices.Sorted(maps.Keys(t.read)) }
