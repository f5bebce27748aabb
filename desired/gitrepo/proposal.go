package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/storage/memory"

	"windlass/desired"
)

// Bounds on what a proposal costs: whoever may look may ask for one, and whoever may push a branch decides what is in it.
const (
	mostProposed  = 128 << 20 // bytes that are fetched, and held
	mostEntries   = 20_000    // of directories that are listed
	deepProposal  = 2000      // commits that are fetched of each branch where the usual depth does not reach
	mostNameBytes = 250
	keptProposals = 4
	proposalPause = 250 * time.Millisecond // from one conversation to the next
)

// proposals are made one at a time. Only who holds turn (by a value in it) touches the rest.
type proposals struct {
	turn chan struct{}
	last time.Time  // when the newest conversation began
	kept []proposed // the newest ones, of the commit in force
	was  []wasFleet // looked up lately, newest last
}

// A proposed is what was made while the followed branch was at a commit.
type proposed struct {
	desired.Proposal
	followed plumbing.Hash
}

func (p *proposals) begin(ctx context.Context) (end func(), err error) {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	end = func() { <-p.turn }
	if err := sleep(ctx, time.Until(p.last.Add(proposalPause))); err != nil {
		end()
		return nil, err
	}
	p.last = time.Now()
	return end, nil
}

// recall is a proposal of the same commits that was made before.
func (p *proposals) recall(branch string, head, followed plumbing.Hash, onto string) *desired.Proposal {
	p.kept = slices.DeleteFunc(p.kept, func(q proposed) bool { return q.Onto != onto })
	for i, q := range p.kept {
		if q.Branch == branch && q.Head.Revision == head.String() && q.followed == followed {
			return &p.kept[i].Proposal
		}
	}
	return nil
}

func (p *proposals) keep(q proposed) {
	p.kept = append(p.kept, q)
	p.kept = p.kept[max(0, len(p.kept)-keptProposals):]
}

// Propose tells what would be in force if a branch of the repo were merged. It fetches the branch and the followed one into a store of
// their own and puts nothing in force; polls go on meanwhile. The error is desired.ErrBranchName, ErrNoBranch or ErrNoneYet where it is one
// of those, ctx's, or an *Error.
func (r *Repo) Propose(ctx context.Context, branch string) (desired.Proposal, error) {
	if err := CheckBranch(branch); err != nil {
		return desired.Proposal{}, err
	}
	end, err := r.proposals.begin(ctx)
	if err != nil {
		return desired.Proposal{}, err
	}
	defer end()
	from, err := newRemote(r.options)
	if err != nil {
		return desired.Proposal{}, err
	}
	defer from.close()
	from.most.history = mostProposed
	p, err := (&proposing{Repo: r, from: from, branch: branch}).propose(ctx)
	switch {
	case err == nil, ctx.Err() != nil:
		return p, errors.Join(ctx.Err())
	case errors.Is(err, desired.ErrNoBranch), errors.Is(err, desired.ErrNoneYet):
		return p, err
	}
	return p, from.explain(err)
}

// CheckBranch refuses what is no plain name of a branch. The error is a desired.ErrBranchName.
func CheckBranch(name string) error {
	full := plumbing.NewBranchReferenceName(name)
	if name == "" || len(name) > mostNameBytes || full.Validate() != nil || !utf8.ValidString(name) || name == "HEAD" || strings.HasPrefix(name, "-") || strings.HasPrefix(name, "refs/") {
		return fmt.Errorf("%w: %q; give it as in my-branch or team/my-branch", desired.ErrBranchName, name[:min(len(name), mostNameBytes)])
	}
	return nil
}

// A proposing is one proposal on its way.
type proposing struct {
	*Repo
	from   *remote
	branch string

	store *memory.Storage // of both heads
	head  *object.Commit
	onto  *object.Commit // in force

	followed plumbing.Hash // the newest of the followed branch
}

func (p *proposing) propose(ctx context.Context) (desired.Proposal, error) {
	force := p.State()
	if force.Revision == "" {
		return desired.Proposal{}, desired.ErrNoneYet
	}
	made, err := p.fetch(ctx, force.Revision, p.options.Depth)
	if err == nil && made == nil && p.onto == nil { // it may lie further down
		made, err = p.fetch(ctx, force.Revision, deepProposal)
	}
	if err != nil {
		return desired.Proposal{}, err
	}
	if made != nil {
		return *made, nil
	}
	out := desired.Proposal{Branch: p.branch, Onto: force.Revision, Before: force.Fleets, Head: commitOf(p.head)}
	if p.onto == nil {
		out.Unclear = fmt.Sprintf("commit %.12s, which is in force, is not among the newest %d of branch %s: its history was rewritten, or the agent is far behind", force.Revision, deepProposal, p.options.Branch)
		return out, nil
	}
	merged, err := p.merge(ctx, &out)
	if err == nil && out.Unclear == "" {
		err = p.read(ctx, merged, &out)
	}
	if err == nil {
		p.proposals.keep(proposed{out, p.followed})
	}
	return out, err
}

// fetch fills the store with both branches, so deep, or returns what was made of the same commits before.
func (p *proposing) fetch(ctx context.Context, onto string, depth int) (made *desired.Proposal, err error) {
	var head plumbing.Hash
	store, err := p.from.fetchHeads(ctx, extent{depth: depth}, func(advertised *packp.AdvRefs) ([]plumbing.Hash, error) {
		heads, err := p.heads(advertised)
		if err != nil {
			return nil, err
		}
		head, p.followed = heads[0], heads[len(heads)-1]
		if made = p.proposals.recall(p.branch, head, p.followed, onto); made != nil {
			return nil, nil
		}
		return heads, nil
	})
	if err != nil || made != nil {
		return made, err
	}
	p.store = store
	if p.head, err = object.GetCommit(store, head); err != nil {
		return nil, fail(Corrupt, "cannot read commit %s: %w", head, err)
	}
	p.onto, err = object.GetCommit(store, plumbing.NewHash(onto))
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return nil, nil
	}
	return nil, err
}

// heads are those of the branch and of the followed one.
func (p *proposing) heads(advertised *packp.AdvRefs) ([]plumbing.Hash, error) {
	head, ok := advertised.References[plumbing.NewBranchReferenceName(p.branch).String()]
	if !ok {
		return nil, fmt.Errorf("%w: %s", desired.ErrNoBranch, p.branch)
	}
	followed, err := p.from.headOf(advertised)
	if err != nil || followed == head {
		return []plumbing.Hash{head}, err
	}
	return []plumbing.Hash{head, followed}, nil
}

// read reads what a merge would have, as the agent would when it is there.
func (p *proposing) read(ctx context.Context, merged *merge, out *desired.Proposal) error {
	if len(merged.torn) > 0 {
		out.Unclear = p.changedTwice(merged.torn)
		return nil
	}
	is, err := p.files(ctx, merged.commit)
	if err != nil {
		return err
	}
	if _, err := is.below(fleetsDir); err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		out.Unclear = fmt.Sprintf("it has no directory %s, and the agent would refuse it: put the fleet files there", path.Join(p.options.Path, fleetsDir))
		return nil
	}
	tree, err := desired.LoadWithin(ctx, is)
	if err != nil {
		return fmt.Errorf("cannot read the fleets of commit %s: %w", p.head.Hash, err)
	}
	if both := p.matter(merged.both, tree); len(both) > 0 {
		out.Unclear = p.changedTwice(both)
		return nil
	}
	was, err := p.files(ctx, p.onto)
	if err != nil {
		return err
	}
	out.State = advance(out.Before, tree, merged.commit)
	out.Changed = map[string][]string{}
	for name := range tree.Fleets {
		out.Changed[name] = desired.ChangedFiles(name, tree, was, is)
	}
	return nil
}

// files are those of a commit below --path; none where that is no directory.
func (p *proposing) files(ctx context.Context, of *object.Commit) (*limitedTree, error) {
	files, err := newTree(p.store, of, p.options.Path)
	if errors.Is(err, fs.ErrNotExist) {
		files, err = &treeFS{store: p.store, root: &object.Tree{}, trees: map[plumbing.Hash]*object.Tree{}, read: map[string]struct{}{}}, nil
	}
	return &limitedTree{treeFS: files, left: mostEntries, ended: ctx.Err}, err
}

// matter are those of the files, as the whole repo names them, that a fleet is made of or that are where one's should be.
func (p *proposing) matter(both []string, tree desired.Tree) []string {
	used := []string{path.Join(p.options.Path, fleetsDir)}
	for file := range tree.Uses {
		used = append(used, path.Join(p.options.Path, file))
	}
	within := func(file, of string) bool { return file == of || strings.HasPrefix(file, of+"/") }
	var found []string
	for _, file := range both {
		if within(file, used[0]) || slices.ContainsFunc(used, func(u string) bool { return within(u, file) }) {
			found = append(found, file)
		}
	}
	return found
}

func (p *proposing) changedTwice(files []string) string {
	return fmt.Sprintf("%s changed since it left branch %s, and here too: merge %[2]s into it, or rebase it, and look again", list(files), p.options.Branch)
}

// list names the first few of many.
func list(names []string) string {
	const shown = 3
	some := make([]string, 0, shown+1)
	for _, name := range names[:min(shown, len(names))] {
		some = append(some, said(name))
	}
	if more := len(names) - shown; more > 0 {
		some = append(some, fmt.Sprintf("%d more", more))
	}
	return strings.Join(some, ", ")
}

// A limitedTree is a treeFS that lists no more than left entries, and nothing once it has ended: a small tree may name itself again and
// again.
type limitedTree struct {
	*treeFS
	left  int
	ended func() error
}

// Open is treeFS's, within the bounds.
func (l *limitedTree) Open(name string) (fs.File, error) {
	if err := l.ended(); err != nil {
		return nil, err
	}
	file, err := l.treeFS.Open(name)
	if dir, ok := file.(*treeDir); ok {
		if l.left -= len(dir.entries); l.left < 0 {
			return nil, fail(Other, "it has more than %d files: keep only what fleets need in the deploy repo", mostEntries)
		}
	}
	return file, err
}

// commitOf is a commit as it may be told of.
func commitOf(c *object.Commit) desired.Commit {
	return desired.Commit{Revision: c.Hash.String(), Committed: dateOf(c), Author: said(c.Author.Name), Subject: said(c.Message)}
}
