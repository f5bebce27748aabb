package gitrepo

import (
	"errors"
	"maps"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// A history is the commits known to be a head or its ancestors. It is whole when nothing is missing.
type history struct {
	commits map[plumbing.Hash]struct{}
	missing map[plumbing.Hash]struct{} // parents that a bounded fetch left out
}

func (h history) has(commit plumbing.Hash) bool {
	_, ok := h.commits[commit]
	return ok
}

func (h history) whole() bool { return len(h.commits) > 0 && len(h.missing) == 0 }

// walk collects head and its ancestors as far as the store holds them.
func walk(store storer.EncodedObjectStorer, head plumbing.Hash) (history, error) {
	found := history{commits: map[plumbing.Hash]struct{}{}, missing: map[plumbing.Hash]struct{}{}}
	for todo := []plumbing.Hash{head}; len(todo) > 0; {
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if found.has(next) {
			continue
		}
		commit, err := object.GetCommit(store, next)
		if errors.Is(err, plumbing.ErrObjectNotFound) {
			found.missing[next] = struct{}{}
			continue
		}
		if err != nil {
			return history{}, fail(Corrupt, "cannot read commit %s: %w", next, err)
		}
		found.commits[next] = struct{}{}
		todo = append(todo, commit.ParentHashes...)
	}
	return found, nil
}

// join adds what is known of an ancestor's history.
func (h history) join(ancestor history) history {
	joined := history{commits: maps.Clone(h.commits), missing: map[plumbing.Hash]struct{}{}}
	maps.Copy(joined.commits, ancestor.commits)
	for _, part := range []history{h, ancestor} {
		for commit := range part.missing {
			if !joined.has(commit) {
				joined.missing[commit] = struct{}{}
			}
		}
	}
	return joined
}
