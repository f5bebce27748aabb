package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"sort"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/memory"

	"windlass/desired"
)

// A merge is what a branch makes of the commit in force, file by file: those it changed since it left, on top of what is there now.
// Within a file nothing is merged, as git would: it could tell less than people expect.
type merge struct {
	commit *object.Commit // the branch's head with the files of the merge
	both   []string       // files that were changed on both sides, as the whole repo names them; they are as the branch has them
	torn   []string       // what one side moved, deleted or made another kind of, and the other changed: git follows some of it to other names
}

// merge tells in out what cannot be told, and how far the branch is behind.
func (p *proposing) merge(ctx context.Context, out *desired.Proposal) (*merge, error) {
	l, err := lineageOf(p.store, p.head.Hash, p.onto.Hash)
	if err != nil {
		return nil, err
	}
	if !l.theirs.has(p.onto.Hash) && !l.whole() {
		if l, err = p.wholeLineage(ctx); err != nil {
			return nil, err
		}
	}
	if p.followed != p.onto.Hash && !l.theirs.has(p.followed) {
		out.Newer = p.followed.String()
	}
	switch {
	case l.theirs.has(p.onto.Hash):
		return &merge{commit: p.head}, nil
	case l.ours.has(p.head.Hash):
		out.Merged = true
		return &merge{commit: p.onto}, nil
	}
	out.Behind = l.behind()
	base, why := l.base(p.head.Hash)
	if why != "" {
		out.Unclear = fmt.Sprintf("%s: merge %s into it, or rebase it, and look again", why, p.options.Branch)
		return nil, nil
	}
	from, err := p.reach(ctx, base)
	if err != nil || from == nil {
		out.Unclear = fmt.Sprintf("it left branch %s more than %d commits ago: rebase it, and look again", p.options.Branch, deepProposal)
		return nil, err
	}
	m := merger{store: p.store}
	files, err := m.trees("", 0, from.TreeHash, p.onto.TreeHash, p.head.TreeHash)
	if err != nil {
		return nil, fmt.Errorf("cannot merge commit %s: %w", p.head.Hash, err)
	}
	commit := *p.head
	commit.TreeHash = files
	return &merge{commit: &commit, both: m.both, torn: m.torn}, nil
}

// wholeLineage fetches every commit of both branches, without files.
func (p *proposing) wholeLineage(ctx context.Context) (lineage, error) {
	store, err := p.from.fetchHeads(ctx, extent{commitsOnly: true}, p.heads)
	if err != nil {
		return lineage{}, err
	}
	l, err := lineageOf(store, p.head.Hash, p.onto.Hash)
	switch {
	case err != nil:
		return l, err
	case !l.theirs.has(p.head.Hash) || !l.ours.has(p.onto.Hash):
		return l, fail(Other, "its branches moved meanwhile; try again")
	case !l.whole():
		return l, fail(Corrupt, "the server's copy lacks a part of the history: unshallow it")
	}
	return l, nil
}

// reach returns a commit with its files, from further down than the usual depth where it must. It is nil where that is too far.
func (p *proposing) reach(ctx context.Context, base plumbing.Hash) (*object.Commit, error) {
	from, err := object.GetCommit(p.store, base)
	if !errors.Is(err, plumbing.ErrObjectNotFound) {
		return from, err
	}
	head, onto := p.head.Hash, p.onto.Hash
	made, err := p.fetch(ctx, onto.String(), deepProposal)
	if err != nil {
		return nil, err
	}
	if made != nil || p.onto == nil || p.head.Hash != head {
		return nil, fail(Other, "its branches moved meanwhile; try again")
	}
	from, err = object.GetCommit(p.store, base)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return nil, nil
	}
	return from, err
}

// A lineage is how two heads are related: theirs is the branch's.
type lineage struct {
	store        *memory.Storage
	theirs, ours history
}

func lineageOf(store *memory.Storage, theirs, ours plumbing.Hash) (l lineage, err error) {
	l.store = store
	if l.theirs, err = walk(store, theirs); err == nil {
		l.ours, err = walk(store, ours)
	}
	return l, err
}

func (l lineage) whole() bool { return l.theirs.whole() && l.ours.whole() }

// behind is how many commits of ours theirs lacks.
func (l lineage) behind() int {
	n := 0
	for commit := range l.ours.commits {
		if !l.theirs.has(commit) {
			n++
		}
	}
	return n
}

// mostBases is more than any two branches have that people made.
const mostBases = 8

// base is the one commit at which theirs left ours. Where there is none, or more than one, why says so.
func (l lineage) base(head plumbing.Hash) (base plumbing.Hash, why string) {
	seen, met := map[plumbing.Hash]bool{}, map[plumbing.Hash]bool{}
	for todo := []plumbing.Hash{head}; len(todo) > 0; {
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[next] || met[next] {
			continue
		}
		if l.ours.has(next) {
			met[next] = true
			continue
		}
		seen[next] = true
		if commit, err := object.GetCommit(l.store, next); err == nil {
			todo = append(todo, commit.ParentHashes...)
		}
	}
	switch {
	case len(met) == 0:
		return base, "it has no commit in common with what is in force"
	case len(met) > mostBases:
		return base, "it left what is in force more than once"
	}
	newest := l.newest(met)
	if len(newest) > 1 {
		return base, "it left what is in force more than once"
	}
	return newest[0], ""
}

// newest are those commits that are in no other one's past.
func (l lineage) newest(all map[plumbing.Hash]bool) []plumbing.Hash {
	past := map[plumbing.Hash]bool{}
	for commit := range all {
		if known, err := walk(l.store, commit); err == nil {
			for other := range all {
				past[other] = past[other] || other != commit && known.has(other)
			}
		}
	}
	var newest []plumbing.Hash
	for commit := range all {
		if !past[commit] {
			newest = append(newest, commit)
		}
	}
	return newest
}

// mostDirectories is how deep directories lie in each other at the most.
const mostDirectories = 64

// A merger makes trees of trees, in their store.
type merger struct {
	store      *memory.Storage
	both, torn []string // as of a merge
}

// trees is ours with what theirs changed since base. A zero hash is a tree that is not there, or of what lies below the first one, empty.
func (m *merger) trees(at string, depth int, base, ours, theirs plumbing.Hash) (plumbing.Hash, error) {
	if depth > mostDirectories {
		return plumbing.ZeroHash, fail(Other, "directories lie more than %d deep in each other", mostDirectories)
	}
	var sides [3]map[string]object.TreeEntry
	for i, hash := range []plumbing.Hash{base, ours, theirs} {
		var err error
		if sides[i], err = m.entries(hash); err != nil {
			return plumbing.ZeroHash, err
		}
	}
	merged := &object.Tree{}
	for _, name := range names(sides[1], sides[2]) {
		entry, err := m.entry(path.Join(at, name), depth, sides[0][name], sides[1][name], sides[2][name])
		if err != nil {
			return plumbing.ZeroHash, err
		}
		if entry.Hash != plumbing.ZeroHash {
			entry.Name = name
			merged.Entries = append(merged.Entries, entry)
		}
	}
	if len(merged.Entries) == 0 && depth > 0 {
		return plumbing.ZeroHash, nil
	}
	return m.write(merged)
}

// entry is one name's of a merge; the zero entry is none.
func (m *merger) entry(at string, depth int, base, ours, theirs object.TreeEntry) (object.TreeEntry, error) {
	switch {
	case same(theirs, base), same(theirs, ours):
		return ours, nil
	case same(ours, base):
		return theirs, nil
	case isDir(ours) && isDir(theirs), isDir(base) && dirOrNone(ours) && dirOrNone(theirs):
		if !isDir(base) {
			base = object.TreeEntry{}
		}
		hash, err := m.trees(at, depth+1, base.Hash, ours.Hash, theirs.Hash)
		return object.TreeEntry{Mode: filemode.Dir, Hash: hash}, err // one that is empty is none
	}
	if ours.Hash == plumbing.ZeroHash || theirs.Hash == plumbing.ZeroHash || isDir(ours) || isDir(theirs) {
		m.torn = append(m.torn, at)
		return ours, nil
	}
	m.both = append(m.both, at)
	return theirs, nil
}

func same(a, b object.TreeEntry) bool { return a.Hash == b.Hash && a.Mode == b.Mode }

func isDir(e object.TreeEntry) bool { return e.Mode == filemode.Dir && e.Hash != plumbing.ZeroHash }

func dirOrNone(e object.TreeEntry) bool { return e.Mode == filemode.Dir || e.Hash == plumbing.ZeroHash }

func (m *merger) entries(tree plumbing.Hash) (map[string]object.TreeEntry, error) {
	if tree == plumbing.ZeroHash {
		return nil, nil
	}
	read, err := object.GetTree(m.store, tree)
	if err != nil {
		return nil, err
	}
	found := make(map[string]object.TreeEntry, len(read.Entries))
	for _, entry := range read.Entries {
		found[entry.Name] = entry
	}
	return found, nil
}

// write keeps a tree that was made.
func (m *merger) write(tree *object.Tree) (plumbing.Hash, error) {
	sort.Sort(object.TreeEntrySorter(tree.Entries))
	encoded := &plumbing.MemoryObject{}
	if err := tree.Encode(encoded); err != nil {
		return plumbing.ZeroHash, err
	}
	return m.store.SetEncodedObject(encoded)
}

func names(sides ...map[string]object.TreeEntry) []string {
	var all []string
	for _, side := range sides {
		for name := range side {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
