package clone

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// Push makes a commit the tip of a branch, as Clone.Push does; there are no hooks here.
func (m *Memory) Push(ctx context.Context, commit, parent, branch string) error {
	return push(ctx, pushing{
		commit: commit, parent: parent, branch: branch,
		push: func(ctx context.Context) error {
			hash := plumbing.NewHash(commit)
			return m.remote.Push(ctx, m.store, m.made[hash], hash, plumbing.NewHash(parent), branch)
		},
		ask:  func(ctx context.Context) (string, error) { return m.Branch(ctx, branch) },
		has:  func(ctx context.Context, tip string) (bool, error) { return m.Contains(ctx, branch, tip, commit) },
		odds: "the server says that it took the commit, and does not have it",
	})
}

// Alike reports whether the tip of a branch changes what a commit does, as Clone.Alike does.
func (m *Memory) Alike(ctx context.Context, branch, tip, commit string) (bool, error) {
	if _, err := m.fetch(ctx, branch, 2, false); err != nil {
		return false, err
	}
	var changes [2][]string
	for i, of := range []string{tip, commit} {
		c, err := object.GetCommit(m.store, plumbing.NewHash(of))
		if err != nil || c.NumParents() == 0 {
			return false, nil
		}
		if in, err := m.Contains(ctx, m.base, commit, c.ParentHashes[0].String()); err != nil || !in {
			return false, err
		}
		all, err := m.changes(c)
		if err != nil {
			return false, err
		}
		for _, one := range all {
			changes[i] = append(changes[i], fmt.Sprintf("%s %v %v", one.path, one.before, one.after))
		}
	}
	return slices.Equal(changes[0], changes[1]), nil
}

// A fileChange is a file that a commit changed against its first parent; a zero hash: it is not there.
type fileChange struct {
	path          string
	before, after object.TreeEntry
}

// changes are the files that a commit changed, by path.
func (m *Memory) changes(c *object.Commit) ([]fileChange, error) {
	var before *object.Tree
	after, err := object.GetTree(m.store, c.TreeHash)
	if err == nil && c.NumParents() > 0 {
		var parent *object.Commit
		if parent, err = object.GetCommit(m.store, c.ParentHashes[0]); err == nil {
			before, err = object.GetTree(m.store, parent.TreeHash)
		}
	}
	if err != nil {
		return nil, err
	}
	all, err := object.DiffTree(before, after)
	if err != nil {
		return nil, err
	}
	var found []fileChange
	for _, one := range all {
		change := fileChange{path: one.To.Name, before: plainEntry(one.From.TreeEntry), after: plainEntry(one.To.TreeEntry)}
		if change.path == "" {
			change.path = one.From.Name
		}
		found = append(found, change)
	}
	slices.SortFunc(found, func(a, b fileChange) int { return strings.Compare(a.path, b.path) })
	return found, nil
}

// plainEntry is an entry without its name, which of a file that is not there is empty.
func plainEntry(e object.TreeEntry) object.TreeEntry {
	if e.Hash.IsZero() {
		return object.TreeEntry{Mode: filemode.Empty}
	}
	return object.TreeEntry{Mode: e.Mode, Hash: e.Hash}
}
