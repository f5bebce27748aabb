package clone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/memory"
)

// Commit makes a commit, which is nowhere but in memory. It is not signed. A file that is stored otherwise than it is read, by a filter, is refused.
func (m *Memory) Commit(_ context.Context, change Change) (string, error) {
	parent, err := object.GetCommit(m.store, plumbing.NewHash(change.Parent))
	if err != nil {
		return "", err
	}
	files := map[string]*object.TreeEntry{}
	w := &writer{store: m.store}
	for _, file := range slices.Sorted(maps.Keys(change.Files)) {
		if err := m.refuseFiltered(parent, file); err != nil {
			return "", err
		}
		entry := entryAt(m.store, parent, file)
		if entry.Hash.IsZero() {
			return "", fmt.Errorf("commit %.12s has no file %s", change.Parent, file)
		}
		if entry.Hash, err = w.blob(change.Files[file]); err != nil {
			return "", err
		}
		files[file] = &entry
	}
	return m.commit(w, parent, change.Message, files)
}

// commit writes a commit on top of another with other entries of files; nil: the file is gone.
func (m *Memory) commit(w *writer, parent *object.Commit, message string, files map[string]*object.TreeEntry) (string, error) {
	tree, err := w.tree(parent.TreeHash, files)
	if err != nil {
		return "", err
	}
	now := time.Now()
	sign := func(i Identity) object.Signature { return object.Signature{Name: i.Name, Email: i.Email, When: now} }
	c := &object.Commit{
		Author: sign(m.author.Author), Committer: sign(m.author.Committer), Message: strings.TrimSpace(message) + "\n",
		TreeHash: tree, ParentHashes: []plumbing.Hash{parent.Hash},
	}
	hash, err := w.put(c)
	if err != nil {
		return "", err
	}
	m.made[hash] = w.wrote
	return hash.String(), nil
}

// entryAt is the entry of a file in a commit; the zero value: there is none.
func entryAt(store *memory.Storage, c *object.Commit, file string) object.TreeEntry {
	tree, err := object.GetTree(store, c.TreeHash)
	if err != nil {
		return object.TreeEntry{}
	}
	entry, err := tree.FindEntry(file)
	if err != nil {
		return object.TreeEntry{}
	}
	return *entry
}

// refuseFiltered refuses what a .gitattributes file of the commit has a filter for, git-crypt's or git-lfs's for one.
func (m *Memory) refuseFiltered(c *object.Commit, file string) error {
	var said attributes
	parts := strings.Split(file, "/")
	for i := range parts {
		dir := path.Join(parts[:i]...)
		entry := entryAt(m.store, c, path.Join(dir, ".gitattributes"))
		if entry.Hash.IsZero() || !entry.Mode.IsFile() || entry.Mode == filemode.Symlink { // git follows no link to it
			continue
		}
		text, err := m.text(entry.Hash)
		if err != nil {
			return err
		}
		if dir != "" {
			dir += "/"
		}
		if err := said.add(dir, text); err != nil {
			return fmt.Errorf("%s.gitattributes: %w, so nobody can tell how git stores %s; commit the change in a work tree", dir, err, file)
		}
	}
	if filter := said.filter(file); filter != "" {
		return fmt.Errorf("git stores %s by the filter %q, so it can only be changed in a work tree; commit the change there", file, filter)
	}
	return nil
}

// text is what a blob holds.
func (m *Memory) text(blob plumbing.Hash) (string, error) {
	found, err := object.GetBlob(m.store, blob)
	if err != nil {
		return "", err
	}
	from, err := found.Reader()
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(from)
	return string(text), err
}

// A writer puts objects into a store, and remembers which.
type writer struct {
	store *memory.Storage
	wrote []plumbing.Hash
}

func (w *writer) put(o interface {
	Encode(plumbing.EncodedObject) error
}) (plumbing.Hash, error) {
	encoded := w.store.NewEncodedObject()
	if err := o.Encode(encoded); err != nil {
		return plumbing.ZeroHash, err
	}
	return w.keep(encoded)
}

func (w *writer) keep(encoded plumbing.EncodedObject) (plumbing.Hash, error) {
	hash, err := w.store.SetEncodedObject(encoded)
	w.wrote = append(w.wrote, hash)
	return hash, err
}

func (w *writer) blob(content []byte) (plumbing.Hash, error) {
	encoded := w.store.NewEncodedObject()
	encoded.SetType(plumbing.BlobObject)
	into, err := encoded.Writer()
	if err != nil {
		return plumbing.ZeroHash, err
	}
	if _, err := into.Write(content); err != nil {
		return plumbing.ZeroHash, err
	}
	return w.keep(encoded)
}

// tree writes a tree with other entries of files, by path below it; nil takes one out, and a directory without files goes with it.
func (w *writer) tree(of plumbing.Hash, files map[string]*object.TreeEntry) (plumbing.Hash, error) {
	tree := &object.Tree{}
	if !of.IsZero() {
		read, err := object.GetTree(w.store, of)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		tree.Entries = slices.Clone(read.Entries)
	}
	below := map[string]map[string]*object.TreeEntry{}
	for file, entry := range files {
		dir, rest, deeper := strings.Cut(file, "/")
		if !deeper {
			setEntry(tree, dir, entry)
			continue
		}
		if below[dir] == nil {
			below[dir] = map[string]*object.TreeEntry{}
		}
		below[dir][rest] = entry
	}
	for dir, files := range below {
		var old plumbing.Hash
		if at := slices.IndexFunc(tree.Entries, func(e object.TreeEntry) bool { return e.Name == dir }); at >= 0 {
			if tree.Entries[at].Mode != filemode.Dir {
				return plumbing.ZeroHash, errors.New(dir + " is no directory any more")
			}
			old = tree.Entries[at].Hash
		}
		hash, err := w.tree(old, files)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		entry := &object.TreeEntry{Name: dir, Mode: filemode.Dir, Hash: hash}
		if hash.IsZero() {
			entry = nil
		}
		setEntry(tree, dir, entry)
	}
	if len(tree.Entries) == 0 {
		return plumbing.ZeroHash, nil
	}
	slices.SortFunc(tree.Entries, func(a, b object.TreeEntry) int { return strings.Compare(sortName(a), sortName(b)) })
	return w.put(tree)
}

func setEntry(tree *object.Tree, name string, entry *object.TreeEntry) {
	tree.Entries = slices.DeleteFunc(tree.Entries, func(e object.TreeEntry) bool { return e.Name == name })
	if entry != nil {
		tree.Entries = append(tree.Entries, object.TreeEntry{Name: name, Mode: entry.Mode, Hash: entry.Hash})
	}
}

// sortName is what git sorts an entry by: a directory as if its name ended with a slash.
func sortName(e object.TreeEntry) string {
	if e.Mode == filemode.Dir {
		return e.Name + "/"
	}
	return e.Name
}
