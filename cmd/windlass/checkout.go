package main

import (
	"cmp"
	"context"
	"io/fs"
	"os"
	"regexp"
	"strings"

	"windlass/internal/clone"
)

// A checkout is a deploy repo that can be committed to: a person's clone of it, or one in memory.
//
// Laws: commits are full hashes. What Commit and Undo make is nowhere else before Push. Push believes only what the remote has then; clone.ErrMoved is a branch that
// others were faster on. Nothing that a person works with is touched.
type checkout interface {
	committer
	historian
	brancher
}

// A committer makes and pushes commits.
type committer interface {
	Fetch(ctx context.Context, branch string) (tip string, err error)
	Read(ctx context.Context, commit, dir string, use func(fs.FS) error) error
	Commit(ctx context.Context, change clone.Change) (string, error)
	Raw(ctx context.Context, commit string) ([]byte, error)
	Push(ctx context.Context, commit, parent, branch string) error
	Newest(ctx context.Context, after, to, file string) (string, error)
	Contains(ctx context.Context, branch, newer, older string) (bool, error)
}

// A historian finds commits, and takes them back.
type historian interface {
	Resolve(ctx context.Context, branch, name string) (string, error)
	Reaches(ctx context.Context, branch, newer, older string) (bool, error)
	Touching(ctx context.Context, branch, older, newer string, files []string) ([]clone.Commit, error)
	Undo(ctx context.Context, parent, message string, undone []clone.Commit) (string, error)
}

// A brancher knows what other branches have.
type brancher interface {
	URL(ctx context.Context) (string, error)
	Branch(ctx context.Context, branch string) (tip string, err error)
	Alike(ctx context.Context, branch, tip, commit string) (bool, error)
}

// scpLike is user@host:path, as git takes it for ssh.
var scpLike = regexp.MustCompile(`^[^/:@]+@[^/:]+:.`)

// isURL reports whether --repo names a repo at its server and no directory.
func isURL(repo string) bool { return strings.Contains(repo, "://") || scpLike.MatchString(repo) }

// reach opens the clone, or prepares to do without one. What it returns is called in the end.
func (d *deployment) reach(ctx context.Context) (done func(), err error) {
	if !isURL(d.repo) {
		d.clone, err = clone.Open(ctx, clone.Options{Dir: d.repo, Env: os.Environ(), Interactive: d.onTerminal()})
		return func() {}, err
	}
	by, err := d.person()
	if err != nil {
		return nil, err
	}
	o := agentOptions{repo: d.repo, branch: d.branch, path: d.path, gitTokenFile: d.gitTokenFile, gitSSHKey: d.gitSSHKey, gitKnownHosts: d.gitKnownHosts}
	m, err := clone.OpenURL(o.gitOptions(""), by)
	if err != nil {
		return nil, err
	}
	d.clone = m
	return m.Close, nil
}

// person is who commits where no clone's git says so.
func (d *deployment) person() (p clone.Person, err error) {
	p.Author = clone.Identity{Name: os.Getenv("GIT_AUTHOR_NAME"), Email: os.Getenv("GIT_AUTHOR_EMAIL")}
	if d.author != "" {
		if p.Author, err = clone.ParseIdentity(d.author); err != nil {
			return p, err
		}
	}
	p.Committer = clone.Identity{
		Name: cmp.Or(os.Getenv("GIT_COMMITTER_NAME"), p.Author.Name), Email: cmp.Or(os.Getenv("GIT_COMMITTER_EMAIL"), p.Author.Email),
	}
	return p, nil
}
