package clone

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// hashOrPart is a commit's hash, or the beginning of one.
var hashOrPart = regexp.MustCompile(`^[0-9a-fA-F]{7,40}$`)

// Resolve is the commit of a branch that a hash, or the beginning of one (7 digits or more), means. All of the history is fetched for one that is not found.
func (m *Memory) Resolve(ctx context.Context, branch, name string) (string, error) {
	missing := fmt.Errorf("branch %s has no commit %q; give its hash, or 7 digits of it", branch, name)
	if !hashOrPart.MatchString(name) {
		return "", missing
	}
	var found []string
	err := m.deepen(ctx, branch, false, func() (bool, error) {
		found = found[:0]
		for hash := range m.store.Commits {
			if strings.HasPrefix(hash.String(), strings.ToLower(name)) {
				found = append(found, hash.String())
			}
		}
		return len(found) > 0, nil
	})
	switch {
	case err != nil:
		return "", err
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return "", fmt.Errorf("%q is the beginning of %d commits; give more of it", name, len(found))
	}
	return "", missing
}

// Touching lists the commits after one, up to another, whose difference to their first parent has one of the files, the newest first. The error is
// ErrUnrelated when the older one is no ancestor.
func (m *Memory) Touching(ctx context.Context, branch, older, newer string, files []string) ([]Commit, error) {
	switch in, err := m.Reaches(ctx, branch, newer, older); {
	case err != nil:
		return nil, err
	case !in:
		return nil, ErrUnrelated
	}
	chain, err := m.chain(ctx, branch, plumbing.NewHash(newer), plumbing.NewHash(older))
	if err != nil {
		return nil, err
	}
	var found []Commit
	for _, c := range chain {
		changes, err := m.changes(c)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(changes, func(one fileChange) bool { return slices.Contains(files, one.path) }) {
			said, _, _ := strings.Cut(strings.TrimSpace(c.Message), "\n")
			found = append(found, Commit{c.Hash.String(), c.Author.Name, said})
		}
	}
	return found, nil
}

// chain are the commits from one back to another, which is left out, by first parents. Where the older one was merged they lead past it, and end at what it is built on
// itself: to tell that all of the history is needed.
func (m *Memory) chain(ctx context.Context, branch string, newer, older plumbing.Hash) ([]*object.Commit, error) {
	walk := func(ends func(plumbing.Hash) bool) (chain []*object.Commit, ended bool) {
		for at := newer; !ends(at); {
			c, err := object.GetCommit(m.store, at)
			if err != nil {
				return nil, false
			}
			if chain = append(chain, c); c.NumParents() == 0 {
				return chain, false
			}
			at = c.ParentHashes[0]
		}
		return chain, true
	}
	if chain, ended := walk(func(at plumbing.Hash) bool { return at == older }); ended {
		return chain, nil
	}
	if whole := (extent{branch, false}); !m.whole[whole] {
		if _, err := m.fetch(ctx, branch, 0, false); err != nil {
			return nil, err
		}
	}
	chain, _ := walk(func(at plumbing.Hash) bool { in, _ := m.ancestry(older, at); return in })
	return chain, nil
}

// Undo makes a commit on top of parent that takes others back, in their order, file by file: what a commit changed has to be as it left it, which a later change of the same
// file that is not taken back is not. The error names the commit then.
func (m *Memory) Undo(_ context.Context, parent, message string, undone []Commit) (string, error) {
	base, err := object.GetCommit(m.store, plumbing.NewHash(parent))
	if err != nil {
		return "", err
	}
	files := map[string]*object.TreeEntry{}
	for _, u := range undone {
		c, err := object.GetCommit(m.store, plumbing.NewHash(u.Hash))
		if err != nil {
			return "", err
		}
		changes, err := m.changes(c)
		if err != nil {
			return "", err
		}
		for _, one := range changes {
			now := plainEntry(entryAt(m.store, base, one.path))
			if changed, ok := files[one.path]; ok {
				now = object.TreeEntry{}
				if changed != nil {
					now = *changed
				}
			}
			if now.Hash != one.after.Hash {
				return "", fmt.Errorf("commit %.7s (%s) cannot be taken back: what it changed was changed again", u.Hash, u.Subject)
			}
			files[one.path] = nil
			if !one.before.Hash.IsZero() {
				files[one.path] = &one.before
			}
		}
	}
	return m.commit(&writer{store: m.store}, base, message, files)
}
