package clone

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"windlass/internal/redact"
)

// ErrMoved is a branch that others were faster on: it has commits that ours is not built on. What it has now was fetched.
var ErrMoved = errors.New("somebody else pushed to the branch meanwhile")

// Push makes a commit the tip of a branch of the remote, which has its parent now, or which is not there yet when that is empty. Whatever git says of it, the remote is asked what it
// has: an error may hide that the commit is in, as when the connection is lost while a hook runs there, and a success that it is not.
//
// The error is ErrMoved when others were faster. Otherwise it says why the branch does not have the commit, or that nobody can tell.
func (c *Clone) Push(ctx context.Context, commit, parent, branch string) error {
	return push(ctx, pushing{
		commit: commit, parent: parent, branch: branch,
		push: func(ctx context.Context) error { return c.push(ctx, commit, parent, branch) },
		ask:  func(ctx context.Context) (string, error) { return c.Branch(ctx, branch) },
		has:  func(ctx context.Context, tip string) (bool, error) { return c.landed(ctx, branch, tip, commit) },
		odds: "git says that it pushed, and the remote does not have it; look for push.recurseSubmodules=only in git's settings",
	})
}

// A pushing is a commit on its way to a branch.
type pushing struct {
	commit, parent, branch string
	push                   func(ctx context.Context) error
	ask                    func(ctx context.Context) (tip string, err error) // empty: there is no such branch
	has                    func(ctx context.Context, tip string) (bool, error)
	odds                   string // what to say where a push went well and had no effect
}

// push pushes, and believes only what the remote has then.
func push(ctx context.Context, p pushing) error {
	asking, end := lasting(ctx)
	defer end()
	var refused error
	for range 2 { // what had no effect is tried again, with the same commit
		refused = p.push(ctx)
		tip, err := p.ask(asking)
		if err != nil {
			tip, err = p.ask(asking) // a connection that was just lost may be back
		}
		switch {
		case err != nil:
			return unknown(p.commit, p.branch, refused, err)
		case tip == p.commit:
			return nil
		case tip != p.parent:
			return p.landed(asking, tip)
		case ctx.Err() != nil:
			return fmt.Errorf("left in the middle: branch %s does not have commit %.12s so far: %w", p.branch, p.commit, context.Cause(ctx))
		}
	}
	if refused == nil {
		refused = errors.New(p.odds)
	}
	return refused
}

// landed tells of a branch that has moved whether the commit is in it, as when others built on it at once.
func (p pushing) landed(ctx context.Context, tip string) error {
	switch in, err := p.has(ctx, tip); {
	case err != nil:
		return unknown(p.commit, p.branch, nil, err)
	case in:
		return nil
	}
	return ErrMoved
}

// lasting is a context that ends some time after another one: who leaves is told what became of the push.
func lasting(ctx context.Context) (longer context.Context, end func()) {
	const grace = 10 * time.Second
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return longer, func() { stop(); cancel() }
}

func unknown(commit, branch string, refused, err error) error {
	said := ""
	if refused != nil {
		said = refused.Error() + "; then "
	}
	return fmt.Errorf("nobody can tell whether commit %.12s is on branch %s: %s%w", commit, branch, said, err)
}

// push runs git push, which also runs the person's pre-push hook, with nothing but this commit in it. It forces nothing: the lease holds it to
// the parent, since what was taken out of a branch that was set back would come back with the commit.
func (c *Clone) push(ctx context.Context, commit, parent, branch string) error {
	ref := "refs/heads/" + branch
	args := []string{"push", "--porcelain", "--no-follow-tags", "--recurse-submodules=no", "--force-with-lease=" + ref + ":" + parent, c.remote, commit + ":" + ref}
	out, err := c.git.exec(ctx, call{args: args}, "push")
	var failed *failure
	if errors.As(err, &failed) {
		said := append(verdicts(out), remarks(failed.said)...)
		if len(said) == 0 {
			said = []string{fmt.Sprintf("git push ended with status %d and said nothing", failed.exit)}
		}
		return fmt.Errorf("cannot push to branch %s of %s: %s", branch, c.remote, strings.Join(said, "; "))
	}
	return err
}

// verdicts are what the remote says of refs: lines of a flag, a ref and words. A hook may write among them.
func verdicts(out []byte) []string {
	var said []string
	for line := range strings.Lines(string(out)) {
		if parts := strings.SplitN(strings.TrimSpace(line), "\t", 3); len(parts) == 3 && parts[0] == "!" {
			said = append(said, parts[2])
		}
	}
	return said
}

// remarks are what is said on standard error, by git and by the remote's hooks, without decoration.
func remarks(stderr string) []string {
	var said []string
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(strings.TrimPrefix(redact.Line(line), "remote:")) // also without the colours of git's own words
		if line != "" && !strings.HasPrefix(line, "hint:") && !strings.HasPrefix(line, "error: failed to push some refs") {
			said = append(said, line)
		}
	}
	const most = 8
	return said[:min(len(said), most)]
}

// landed reports whether the tip of a branch, where the remote is pushed to, has a commit.
func (c *Clone) landed(ctx context.Context, branch, tip, commit string) (bool, error) {
	if err := c.fetchPushed(ctx, branch, tip); err != nil {
		return false, err
	}
	return c.contains(ctx, tip, commit)
}

// fetchPushed fetches the tip of a branch from where the remote is pushed to, if it is not here.
func (c *Clone) fetchPushed(ctx context.Context, branch, tip string) error {
	if c.has(ctx, tip) {
		return nil
	}
	url, err := c.URL(ctx)
	if err != nil {
		return err
	}
	return c.fetch(ctx, url, branch)
}

// URL is where the remote is pushed to, which may be another address than where it is fetched from. It may hold a password.
func (c *Clone) URL(ctx context.Context) (string, error) {
	return c.git.line(ctx, "remote", "get-url", "--push", c.remote)
}

// Branch is the commit that a branch has where the remote is pushed to; empty: there is none of that name.
func (c *Clone) Branch(ctx context.Context, branch string) (string, error) {
	url, err := c.URL(ctx)
	if err != nil {
		return "", err
	}
	return c.find(ctx, url, branch)
}

// Alike reports whether the tip of a branch changes what a commit does, each against its first parent, and no more: the commit is here, the tip is fetched
// where it is not. One that is built on what is none of the commit's ancestors changes more.
func (c *Clone) Alike(ctx context.Context, branch, tip, commit string) (bool, error) {
	if err := c.fetchPushed(ctx, branch, tip); err != nil {
		return false, err
	}
	parent, err := c.git.line(ctx, "rev-parse", "--verify", "--quiet", tip+"^1")
	if err != nil {
		return false, ctx.Err() // it has none, or a shallow clone ends with it
	}
	if in, err := c.contains(ctx, commit, parent); err != nil || !in {
		return false, err
	}
	var changes [2]string
	for i, of := range []string{tip, commit} {
		if changes[i], err = c.git.line(ctx, "diff-tree", "-r", "--no-renames", of+"^1", of); err != nil {
			return false, err
		}
	}
	return changes[0] == changes[1], nil
}
