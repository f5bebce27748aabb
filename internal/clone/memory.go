package clone

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/memory"

	"windlass/desired/gitrepo"
)

// A Memory does what a Clone does where there is none: it holds in memory what it needs of the deploy repo, which it reaches by URL as the agent does. Its methods
// are those of Clone, and not safe for concurrent use.
type Memory struct {
	remote *gitrepo.Remote
	url    string
	author Person
	store  *memory.Storage // objects of all that was fetched and made; some lack their parents
	made   map[plumbing.Hash][]plumbing.Hash
	whole  map[extent]bool // all of which was here when it was fetched
	base   string          // the branch that Fetch was asked for last: commits are made on top of it
}

// An extent is the history of a branch.
type extent struct {
	branch      string
	commitsOnly bool // without files
}

// A Person is who makes commits.
type Person struct{ Author, Committer Identity }

// An Identity is a name and an address.
type Identity struct{ Name, Email string }

// ParseIdentity reads "Name <address>".
func ParseIdentity(text string) (Identity, error) {
	name, rest, ok := strings.Cut(text, "<")
	email, after, closed := strings.Cut(rest, ">")
	i := Identity{strings.TrimSpace(name), strings.TrimSpace(email)}
	if !ok || !closed || strings.TrimSpace(after) != "" || !i.whole() {
		return Identity{}, fmt.Errorf("%q is nobody: write 'Name <address>'", text)
	}
	return i, nil
}

// whole reports whether a commit can name the identity.
func (i Identity) whole() bool {
	return i.Name != "" && i.Email != "" && !strings.ContainsAny(i.Name+i.Email, "<>\n\x00")
}

// OpenURL prepares to reach the deploy repo that the options name. It connects nowhere.
func OpenURL(o gitrepo.Options, by Person) (*Memory, error) {
	if !by.Author.whole() || !by.Committer.whole() {
		return nil, errors.New("who makes the commit is not known: give --author 'Name <address>', or GIT_AUTHOR_NAME and GIT_AUTHOR_EMAIL in the environment")
	}
	remote, err := gitrepo.NewRemote(o)
	if err != nil {
		return nil, err
	}
	return &Memory{
		remote: remote, url: o.URL, author: by, store: memory.NewStorage(), made: map[plumbing.Hash][]plumbing.Hash{}, whole: map[extent]bool{},
	}, nil
}

// Close lets go of idle connections.
func (m *Memory) Close() { m.remote.Close() }

// URL is where the repo is. It may hold a password.
func (m *Memory) URL(context.Context) (string, error) { return m.url, nil }

// Branch is the commit that a branch has; empty: there is none of that name.
func (m *Memory) Branch(ctx context.Context, branch string) (string, error) {
	tip, err := m.remote.Tip(ctx, branch)
	if err != nil || tip.IsZero() {
		return "", err
	}
	return tip.String(), nil
}

// Fetch returns the commit that a branch has now, with its files here and nothing of its history.
func (m *Memory) Fetch(ctx context.Context, branch string) (string, error) {
	m.base = branch
	tip, err := m.fetch(ctx, branch, 1, false)
	return tip.String(), err
}

// fetch takes so much of a branch's history, 0 for all. Each fetch has a store of its own (gitrepo's fetched says why); only objects are put together.
func (m *Memory) fetch(ctx context.Context, branch string, depth int, commitsOnly bool) (plumbing.Hash, error) {
	tip, got, err := m.remote.Fetch(ctx, branch, depth, commitsOnly)
	if err != nil {
		return tip, err
	}
	maps.Copy(m.store.Objects, got.Objects)
	maps.Copy(m.store.Commits, got.Commits)
	maps.Copy(m.store.Trees, got.Trees)
	maps.Copy(m.store.Blobs, got.Blobs)
	maps.Copy(m.store.Tags, got.Tags)
	if depth == 0 {
		m.whole[extent{branch, true}] = true
		m.whole[extent{branch, commitsOnly}] = true
	}
	return tip, nil
}

// depths are how much of a history is fetched until enough of it is here.
var depths = [...]int{100, 2000, 0}

// deepen fetches more of a branch's history until there is enough, or all of it.
func (m *Memory) deepen(ctx context.Context, branch string, commitsOnly bool, enough func() (bool, error)) error {
	for _, depth := range depths {
		if done, err := enough(); done || err != nil || m.whole[extent{branch, commitsOnly}] {
			return err
		}
		if _, err := m.fetch(ctx, branch, depth, commitsOnly); err != nil {
			return err
		}
	}
	_, err := enough()
	return err
}

// Read calls use with the files of a commit below a directory, "." for all of them.
func (m *Memory) Read(_ context.Context, commit, dir string, use func(fs.FS) error) error {
	files, err := gitrepo.Files(m.store, plumbing.NewHash(commit), dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("commit %.7s has no directory %s; name the one that fleets/ is in with --path", commit, dir)
	case err != nil:
		return err
	}
	return use(files)
}

// Raw is a commit as it is stored.
func (m *Memory) Raw(_ context.Context, commit string) ([]byte, error) {
	stored, ok := m.store.Commits[plumbing.NewHash(commit)]
	if !ok {
		return nil, fmt.Errorf("commit %.12s is not here", commit)
	}
	reader, err := stored.Reader()
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	return io.ReadAll(reader)
}

// ancestry is whether a commit is another one or an ancestor of it, as far as the history is here; known is false when more of it may tell otherwise.
func (m *Memory) ancestry(newer, older plumbing.Hash) (in, known bool) {
	seen, todo, known := map[plumbing.Hash]bool{}, []plumbing.Hash{newer}, true
	for len(todo) > 0 {
		next := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if next == older {
			return true, true
		}
		if seen[next] {
			continue
		}
		seen[next] = true
		commit, err := object.GetCommit(m.store, next)
		if err != nil {
			known = false
			continue
		}
		todo = append(todo, commit.ParentHashes...)
	}
	return false, known
}

// Contains reports whether a newer commit of the branch is an older one or has it among its ancestors. What is no hash is none of its commits.
func (m *Memory) Contains(ctx context.Context, branch, newer, older string) (in bool, err error) {
	return m.reaches(ctx, branch, newer, older, true)
}

// Reaches is Contains that has the files of all commits on the way here as well.
func (m *Memory) Reaches(ctx context.Context, branch, newer, older string) (bool, error) {
	return m.reaches(ctx, branch, newer, older, false)
}

func (m *Memory) reaches(ctx context.Context, branch, newer, older string, commitsOnly bool) (in bool, err error) {
	if !plumbing.IsHash(newer) || !plumbing.IsHash(older) {
		return false, nil
	}
	from, to := plumbing.NewHash(newer), plumbing.NewHash(older)
	if _, err := object.GetCommit(m.store, from); err != nil { // it may have been pushed since
		delete(m.whole, extent{branch, true})
		delete(m.whole, extent{branch, false})
	}
	err = m.deepen(ctx, branch, commitsOnly, func() (known bool, err error) {
		in, known = m.ancestry(from, to)
		if in && !commitsOnly {
			known = m.readableTo(from, to)
		}
		return known, nil
	})
	return in, err
}

// readableTo reports whether the commits from one back to another are here with their files, by first parents and as far as they are here at all.
func (m *Memory) readableTo(newer, older plumbing.Hash) bool {
	for at := newer; at != older; {
		c, err := object.GetCommit(m.store, at)
		if err != nil {
			break
		}
		if !m.readable(at) {
			return false
		}
		if c.NumParents() == 0 {
			break
		}
		at = c.ParentHashes[0]
	}
	return m.readable(older)
}

// readable reports whether a commit is here with the files of its root.
func (m *Memory) readable(commit plumbing.Hash) bool {
	c, err := object.GetCommit(m.store, commit)
	if err != nil {
		return false
	}
	_, err = object.GetTree(m.store, c.TreeHash)
	return err == nil
}

// Newest names the newest of the commits after one, up to another, that changed a file: its hash, its author and its subject. It looks through the last 100, and
// is empty where none of the branch's did.
func (m *Memory) Newest(ctx context.Context, after, to, file string) (string, error) {
	by, known := m.newest(plumbing.NewHash(after), plumbing.NewHash(to), file)
	if known {
		return by, nil
	}
	if _, err := m.fetch(ctx, m.base, depths[0], false); err != nil {
		return "", err
	}
	if by, known = m.newest(plumbing.NewHash(after), plumbing.NewHash(to), file); !known {
		by = fmt.Sprintf("in none of the last %d commits", depths[0])
	}
	return by, nil
}

// newest is Newest, as far as the history is here with its files; known is false where more of it is needed.
func (m *Memory) newest(after, to plumbing.Hash, file string) (by string, known bool) {
	for at := to; at != after; {
		c, err := object.GetCommit(m.store, at)
		if err != nil {
			return "", false
		}
		if c.NumParents() == 0 {
			return "", true
		}
		at = c.ParentHashes[0]
		parent, err := object.GetCommit(m.store, at)
		if err != nil || !m.readable(at) {
			return "", false
		}
		if entryAt(m.store, c, file) != entryAt(m.store, parent, file) {
			said, _, _ := strings.Cut(strings.TrimSpace(c.Message), "\n")
			return fmt.Sprintf("%.7s by %s, %s", c.Hash, c.Author.Name, said), true
		}
	}
	return "", true
}
