package source

import (
	"context"
	"time"

	"windlass/desired/trust"
)

// A Remote is the git repository that releases come from, at its server. It is asked by one at a time.
//
// Law: Refs are all references that the server lists, by their full names, with the hashes that they have themselves, not what tags peel to; an empty repository
// has none. Fetch gets objects that were listed, by their hashes, with so many commits of the history of each, 0 for all.
type Remote interface {
	Refs(ctx context.Context) (map[string]string, error)
	Fetch(ctx context.Context, depth int, hashes ...string) (Copy, error)
}

// A Copy is a part of a repository, each object by the hash of its own bytes.
type Copy interface {
	Tag(hash string) (raw []byte, ok bool) // an annotated tag as it is stored, without git's "tag SIZE" header
	Commit(hash string) bool
	Reaches(head, commit string) Reach
}

// A Reach says whether a commit is another one, or one of its ancestors. The zero value is that a part of the history is missing that would tell.
type Reach int

const (
	CannotTell Reach = iota
	Reached
	NotReached
)

// A Forge reports on the commits of a repository. Checks are the newest reports of each kind and app under the names; an error means that it cannot be told.
type Forge interface {
	Checks(ctx context.Context, commit string, names []string) ([]Check, error)
}

// Signers say who may sign a release: trust.Keys. Their error is a *trust.Refusal.
type Signers interface {
	Tag(raw []byte, now time.Time) (trust.Signer, error)
}
