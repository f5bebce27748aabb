package gitrepo

import (
	"context"
	"errors"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/memory"

	"windlass/desired/source"
)

// A Releases is the repository that releases come from, at its server. It is reached as a deploy repo is, within the same limits. Its methods are not safe for
// concurrent use; their errors are an *Error unless their context ended.
type Releases struct{ remote *remote }

// NewReleases prepares to reach the repository that the options name; Dir, Branch and Path say nothing. It connects nowhere.
func NewReleases(o Options) (*Releases, error) {
	m, err := NewRemote(o)
	if err != nil {
		return nil, err
	}
	return &Releases{m.remote}, nil
}

// Close lets go of idle connections.
func (s *Releases) Close() { s.remote.close() }

// Refs lists the references, by their full names, with the hashes they have themselves. An empty repository has none.
func (s *Releases) Refs(ctx context.Context) (map[string]string, error) {
	short, cancel := context.WithTimeout(ctx, s.remote.timeout)
	defer cancel()
	conversation, advertised, err := s.remote.list(short)
	if errors.Is(err, transport.ErrEmptyRemoteRepository) {
		return nil, nil
	}
	if err != nil {
		return nil, s.explain(ctx, inContext(short, s.remote.timeout, err))
	}
	defer conversation.Close()
	refs := make(map[string]string, len(advertised.References))
	for name, hash := range advertised.References {
		refs[name] = hash.String()
	}
	return refs, nil
}

// Fetch gets what references have, by its hashes, with so many commits of the history of each, 0 for all.
func (s *Releases) Fetch(ctx context.Context, depth int, hashes ...string) (source.Copy, error) {
	store, err := s.remote.fetchHeads(ctx, extent{depth: depth, commitsOnly: true}, func(advertised *packp.AdvRefs) ([]plumbing.Hash, error) {
		return listed(advertised, hashes)
	})
	if err != nil {
		return nil, s.explain(ctx, err)
	}
	return part{store}, nil
}

// listed are hashes that a server still lists: what it does not list it need not give.
func listed(advertised *packp.AdvRefs, hashes []string) ([]plumbing.Hash, error) {
	has := map[plumbing.Hash]bool{}
	for _, hash := range advertised.References {
		has[hash] = true
	}
	var wants []plumbing.Hash
	for _, text := range hashes {
		hash := plumbing.NewHash(text)
		if !has[hash] {
			return nil, fail(Other, "it moved while it was read: it is read again")
		}
		if !slices.Contains(wants, hash) {
			wants = append(wants, hash)
		}
	}
	return wants, nil
}

func (s *Releases) explain(ctx context.Context, err error) error {
	return (&Remote{s.remote}).explain(ctx, err)
}

// A part is commits and tags of a repository.
type part struct{ store *memory.Storage }

// Tag is a tag object as it is stored.
func (p part) Tag(hash string) (raw []byte, ok bool) {
	id := plumbing.NewHash(hash)
	if _, ok = p.store.Tags[id]; !ok {
		return nil, false
	}
	raw, err := textOf(p.store, id)
	return raw, err == nil
}

// Commit reports whether there is a commit of that hash.
func (p part) Commit(hash string) bool {
	_, ok := p.store.Commits[plumbing.NewHash(hash)]
	return ok
}

// Reaches walks from head to where the commit is, or to where history ends here. What a commit says of its parents counts, not what the server says it cut.
func (p part) Reaches(head, commit string) source.Reach {
	past, err := walk(p.store, plumbing.NewHash(head))
	switch {
	case err != nil:
		return source.CannotTell
	case past.has(plumbing.NewHash(commit)):
		return source.Reached
	case past.whole():
		return source.NotReached
	}
	return source.CannotTell
}
