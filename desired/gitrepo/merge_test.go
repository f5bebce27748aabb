package gitrepo

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/memory"
	"github.com/google/go-cmp/cmp"
)

// Trees are merged as their files are, one by one, however these lie in directories.
func TestTreesAreMergedFileByFile(t *testing.T) {
	t.Parallel()
	paths := []string{"a", "b", "d/a", "d/b", "d/e/a", "d/e/b", "f/a", "g/h/i/a"}
	for seed := range uint64(2000) {
		draw := rand.New(rand.NewPCG(seed, 1))
		side := func(from map[string]string) map[string]string {
			to := maps.Clone(from)
			for _, name := range paths {
				switch draw.IntN(6) {
				case 0:
					to[name] = fmt.Sprint(draw.IntN(3))
				case 1:
					delete(to, name)
				}
			}
			return to
		}
		base := side(side(map[string]string{}))
		ours, theirs := side(base), side(base)
		want, both, torn := map[string]string{}, []string(nil), []string(nil)
		for _, name := range paths {
			b, o, th := base[name], ours[name], theirs[name]
			text := o
			switch {
			case th == b, th == o:
			case o == b:
				text = th
			case o == "", th == "":
				torn = append(torn, name)
			default:
				both = append(both, name)
				text = th
			}
			if text != "" {
				want[name] = text
			}
		}
		m := merger{store: memory.NewStorage()}
		hash, err := m.trees("", 0, planted(t, m.store, base), planted(t, m.store, ours), planted(t, m.store, theirs))
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(m.both)
		slices.Sort(m.torn)
		if diff := cmp.Diff(want, grown(t, m.store, hash)) + cmp.Diff(both, m.both) + cmp.Diff(torn, m.torn); diff != "" {
			t.Fatalf("seed %d: %v, with %v and %v (-want +got):\n%s", seed, base, ours, theirs, diff)
		}
	}
}

// planted is the tree of files.
func planted(t *testing.T, store *memory.Storage, all map[string]string) plumbing.Hash {
	t.Helper()
	tree, below := &object.Tree{}, map[string]map[string]string{}
	for name, text := range all {
		dir, rest, nested := strings.Cut(name, "/")
		if nested {
			if below[dir] == nil {
				below[dir] = map[string]string{}
			}
			below[dir][rest] = text
			continue
		}
		blob := &plumbing.MemoryObject{}
		blob.SetType(plumbing.BlobObject)
		_, _ = blob.Write([]byte(text)) // never fails
		hash, err := store.SetEncodedObject(blob)
		if err != nil {
			t.Fatal(err)
		}
		tree.Entries = append(tree.Entries, object.TreeEntry{Name: name, Mode: filemode.Regular, Hash: hash})
	}
	for dir, files := range below {
		tree.Entries = append(tree.Entries, object.TreeEntry{Name: dir, Mode: filemode.Dir, Hash: planted(t, store, files)})
	}
	hash, err := (&merger{store: store}).write(tree)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// grown are the files of a tree, which has no empty directory.
func grown(t *testing.T, store *memory.Storage, tree plumbing.Hash) map[string]string {
	t.Helper()
	read, err := object.GetTree(store, tree)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, entry := range read.Entries {
		if entry.Mode != filemode.Dir {
			file, err := read.File(entry.Name)
			if err != nil {
				t.Fatal(err)
			}
			if all[entry.Name], err = file.Contents(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		below := grown(t, store, entry.Hash)
		if len(below) == 0 {
			t.Errorf("%s is empty", entry.Name)
		}
		for name, text := range below {
			all[path.Join(entry.Name, name)] = text
		}
	}
	return all
}
