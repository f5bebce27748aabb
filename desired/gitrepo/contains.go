package gitrepo

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// A failedDeepening spares a server that could not send its whole history just now.
type failedDeepening struct {
	err error
	at  time.Time
}

const deepenAgain = time.Minute

var errNothingAccepted = errors.New("no commit of the deploy repo is accepted yet")

// Contains reports whether revision is the accepted commit or one of its ancestors; after a person accepted a rewritten
// history with --accept-revision, also whether it can only be of the history that was replaced. Text that is no full commit
// hash is contained in nothing. An error means that it could not be told.
//
// It asks the server only for the first revision that is neither a commit that was in force here nor among those fetched so far.
func (r *Repo) Contains(ctx context.Context, revision string) (bool, error) {
	if !isRevision(revision) {
		return false, nil
	}
	if contained, told := r.recallAncestor(revision); told {
		return contained, nil
	}
	release, err := r.enter(ctx)
	if err != nil {
		return false, err
	}
	defer release()
	if contained, told := r.recallAncestor(revision); told {
		return contained, nil
	}
	if err := r.deepenHistory(ctx); err != nil {
		return false, err
	}
	contained, _ := r.recallAncestor(revision)
	return contained, nil
}

// recallAncestor answers from memory; told is false when it cannot.
func (r *Repo) recallAncestor(revision string) (contained, told bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := revision == r.force.Revision || slices.Contains(r.kept, revision) || r.past.has(plumbing.NewHash(revision))
	contained = r.force.Revision != "" && (len(r.byHand) > 0 || was)
	return contained, contained || r.past.whole()
}

// deepenHistory learns every ancestor of the accepted commit.
func (r *Repo) deepenHistory(ctx context.Context) error {
	switch {
	case r.force.Revision == "":
		return errNothingAccepted
	case r.deepen.err != nil && time.Since(r.deepen.at) < deepenAgain:
		return r.deepen.err
	}
	past, err := r.wholeHistory(ctx, plumbing.NewHash(r.force.Revision))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.deepen = failedDeepening{}
	if err != nil {
		explained := r.remote.explain(err)
		r.stats.Errors[explained.Reason]++
		r.deepen = failedDeepening{explained, time.Now()}
		return explained
	}
	r.past = past
	return nil
}
