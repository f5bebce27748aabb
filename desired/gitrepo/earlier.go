package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"

	"windlass/desired"
)

const (
	mostEarlier = 8  // revisions that are looked up at once
	keptEarlier = 32 // fleets that are remembered
)

// A wasFleet is a fleet of a commit that was looked up before. What could not be told may be told once another commit is in force.
type wasFleet struct {
	name, revision, force string
	desired.Earlier
}

// Earlier tells what commits of the followed branch said of a fleet, by their hashes: those in force as they are, any others from the
// newest commits, no further down than is fetched for a proposal. What cannot be told says why. The error is ctx's or an *Error.
func (r *Repo) Earlier(ctx context.Context, fleet string, revisions []string) (map[string]desired.Earlier, error) {
	found := map[string]desired.Earlier{}
	force := r.State()
	if v := force.Fleets[fleet]; v.Fleet != nil {
		found[v.Revision] = desired.Earlier{Fleet: v.Fleet}
	}
	end, err := r.proposals.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	var unknown []string
	for _, revision := range slices.Compact(slices.Sorted(slices.Values(revisions))) {
		_, known := found[revision]
		switch earlier := r.proposals.earlier(fleet, revision, force.Revision); {
		case known:
		case earlier != nil:
			found[revision] = *earlier
		case !isRevision(revision):
			found[revision] = desired.Earlier{Unknown: "what is written down there is no commit"}
		case len(unknown) >= mostEarlier:
			found[revision] = desired.Earlier{Unknown: "there are too many versions on the nodes to look them all up"}
		default:
			unknown = append(unknown, revision)
		}
	}
	if len(unknown) == 0 {
		return found, nil
	}
	looked, err := r.lookUp(ctx, fleet, unknown)
	if err != nil {
		return nil, err
	}
	for revision, earlier := range looked {
		found[revision] = earlier
		r.proposals.was = append(r.proposals.was, wasFleet{fleet, revision, force.Revision, earlier})
	}
	r.proposals.was = r.proposals.was[max(0, len(r.proposals.was)-keptEarlier):]
	return found, nil
}

func (p *proposals) earlier(fleet, revision, force string) *desired.Earlier {
	i := slices.IndexFunc(p.was, func(w wasFleet) bool {
		return w.name == fleet && w.revision == revision && (w.Fleet != nil || w.force == force)
	})
	if i < 0 {
		return nil
	}
	return &p.was[i].Earlier
}

// lookUp fetches the followed branch into a store of its own, deeper only where that is needed.
func (r *Repo) lookUp(ctx context.Context, fleet string, revisions []string) (map[string]desired.Earlier, error) {
	from, err := newRemote(r.options)
	if err != nil {
		return nil, err
	}
	defer from.close()
	from.most.history = mostProposed
	found, missing, err := r.lookDown(ctx, from, r.options.Depth, fleet, revisions)
	if err == nil && missing {
		found, _, err = r.lookDown(ctx, from, deepProposal, fleet, revisions)
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, from.explain(err)
	}
	return found, nil
}

// lookDown looks so deep, and tells whether a revision was not there.
func (r *Repo) lookDown(ctx context.Context, from *remote, depth int, fleet string, revisions []string) (found map[string]desired.Earlier, missing bool, err error) {
	store, err := from.fetchHeads(ctx, extent{depth: depth}, func(advertised *packp.AdvRefs) ([]plumbing.Hash, error) {
		head, err := from.headOf(advertised)
		return []plumbing.Hash{head}, err
	})
	if err != nil {
		return nil, false, err
	}
	found = map[string]desired.Earlier{}
	for _, revision := range revisions {
		commit, err := object.GetCommit(store, plumbing.NewHash(revision))
		if errors.Is(err, plumbing.ErrObjectNotFound) {
			missing = true
			found[revision] = desired.Earlier{Unknown: fmt.Sprintf("commit %.7s is not among the newest %d of branch %s", revision, depth, r.options.Branch)}
			continue
		}
		if err != nil {
			return nil, false, fail(Corrupt, "cannot read commit %s: %w", revision, err)
		}
		p := &proposing{Repo: r, store: store}
		files, err := p.files(ctx, commit)
		if err != nil {
			return nil, false, err
		}
		tree, err := r.load(files)
		if err != nil {
			return nil, false, fmt.Errorf("cannot read the fleets of commit %s: %w", revision, err)
		}
		found[revision] = desired.Earlier{Fleet: tree.Fleets[fleet]}
		if tree.Fleets[fleet] == nil {
			found[revision] = desired.Earlier{Unknown: fmt.Sprintf("commit %.7s has no good file of it", revision)}
		}
	}
	return found, missing, nil
}
