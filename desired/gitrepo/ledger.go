package gitrepo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/memory"

	"windlass/desired/trust"
)

// A ledger is the fetched commits of a branch, with who may sign by each, as package trust judges them. What it lacks it fetches when it is told to.
type ledger struct {
	*Repo
	head   plumbing.Hash
	files  *fetched        // the newest commits, with their files
	every  *memory.Storage // all commits, without files; nil until that is needed
	past   history         // of the commit that the judgement starts from
	theirs *trust.Keys     // of the directory on this machine; nil: those of the repo count

	read map[plumbing.Hash]keysRead // by the directory's tree, so that a thousand commits read the files once
}

// A keysRead is what the files of a directory came to.
type keysRead struct {
	keys *trust.Keys
	err  error
}

// from lets the judgement start from a commit.
func (l *ledger) from(start plumbing.Hash) error {
	past, err := walk(l.deepest(), start)
	if start == plumbing.NewHash(l.force.Revision) {
		past = past.join(l.Repo.past)
	}
	l.past = past
	return err
}

// deepest is the store with the most commits.
func (l *ledger) deepest() *memory.Storage {
	if l.every != nil {
		return l.every
	}
	return l.files.store
}

// Commit returns a commit as it is stored.
func (l *ledger) Commit(id string) ([]byte, error) {
	for _, store := range []*memory.Storage{l.files.store, l.every} {
		if store == nil {
			continue
		}
		if stored, ok := store.Commits[plumbing.NewHash(id)]; ok {
			reader, err := stored.Reader()
			if err != nil {
				return nil, err
			}
			defer reader.Close()
			return io.ReadAll(reader)
		}
	}
	if l.every != nil {
		return nil, fail(Corrupt, "the server's pack lacks commit %s", id)
	}
	return nil, trust.ErrUnfetched
}

// Accepted reports whether a commit is in the past of the one that the judgement starts from.
func (l *ledger) Accepted(id string) (bool, error) {
	switch {
	case l.past.has(plumbing.NewHash(id)):
		return true, nil
	case l.past.whole():
		return false, nil
	}
	return false, trust.ErrUnfetched
}

// Keys are who may sign by a commit's own files, or by those on this machine.
func (l *ledger) Keys(id string) (*trust.Keys, error) {
	if l.theirs != nil {
		return l.theirs, nil
	}
	commit, err := object.GetCommit(l.files.store, plumbing.NewHash(id))
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return nil, trust.ErrUnfetched
	}
	if err != nil {
		return nil, fail(Corrupt, "cannot read commit %s: %w", id, err)
	}
	dir := path.Join(l.options.Path, trust.Dir)
	files, err := newTree(l.files.store, commit, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noKeys(id, "it has no directory "+dir)
	}
	if err != nil {
		return nil, err
	}
	known, ok := l.read[files.root.Hash]
	if !ok {
		known.keys, known.err = trust.Read(files)
		l.read[files.root.Hash] = known
	}
	switch {
	case known.err == nil:
		return known.keys, nil
	case errors.Is(known.err, plumbing.ErrObjectNotFound):
		return nil, fail(Corrupt, "cannot read %s of commit %s: %w", dir, id, known.err)
	}
	return nil, noKeys(id, strings.Join(trust.Lines(dir, known.err), "; "))
}

func noKeys(commit, why string) *trust.Refusal {
	return &trust.Refusal{Reason: trust.NoFiles, Text: fmt.Sprintf("who may sign after commit %s cannot be told: %s", commit, why)}
}

// errMoved is a branch that moved while it was read: the next poll judges what it has then.
var errMoved = errors.New("the branch moved meanwhile")

// deepen fetches what the judgement lacks: every commit at first, then the files of as many as lead from the start to the head.
func (l *ledger) deepen(ctx context.Context, start plumbing.Hash) error {
	if l.every == nil {
		every, _, err := l.everyCommit(ctx, l.head)
		if err != nil {
			return err
		}
		l.every = every.store
		return l.from(start)
	}
	all, err := walk(l.every, l.head)
	if err != nil {
		return err
	}
	depth := len(all.commits) - len(l.past.commits) + 1 // no way from the head to the start is longer
	deeper, err := l.remote.fetch(ctx, plumbing.ZeroHash, extent{depth: depth})
	if err != nil {
		return err
	}
	l.count(func(s *Stats) { s.Fetches++ })
	if deeper.head != l.head {
		return errMoved
	}
	if deeper.store.HasEncodedObject(start) != nil {
		return fail(Corrupt, "the server's pack lacks commit %s, which is among the newest %d", start, depth)
	}
	l.files = deeper
	return nil
}

// judge judges, and fetches what it lacks for that.
func (l *ledger) judge(ctx context.Context, start plumbing.Hash) (trust.Verdict, error) {
	if err := l.from(start); err != nil {
		return trust.Verdict{}, err
	}
	for range 2 {
		v, err := trust.Judge(l, start.String(), l.head.String(), l.now())
		if !errors.Is(err, trust.ErrUnfetched) {
			return v, err
		}
		if err := l.deepen(ctx, start); err != nil {
			return trust.Verdict{}, err
		}
	}
	return trust.Judge(l, start.String(), l.head.String(), l.now())
}
