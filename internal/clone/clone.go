package clone

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// A Clone is a person's clone of a deploy repo. Its methods are not safe for concurrent use.
type Clone struct {
	git    git
	remote string // by name
}

// Options say whose clone it is.
type Options struct {
	Dir         string
	Env         []string      // of the person's programs; what points git at another repository is left out of it
	Interactive bool          // they can be asked for a password
	Limit       time.Duration // of one run of git; 0: 10 minutes, with a large history to fetch, hooks, somebody who looks for a passphrase
}

// Open finds the clone that a directory lies in, and which of its remotes the deploy repo is: git's checkout.defaultRemote, else origin,
// else the only one.
func Open(ctx context.Context, o Options) (*Clone, error) {
	g, err := newGit(ctx, o)
	if err != nil {
		return nil, err
	}
	if _, err := g.line(ctx, "rev-parse", "--git-dir"); err != nil {
		return nil, fmt.Errorf("%s is no clone that git can work in (%w); change to one of the deploy repo, or name one with --repo", o.Dir, err)
	}
	if top, err := g.line(ctx, "rev-parse", "--show-toplevel"); err == nil && top != "" { // a bare one has none
		g.dir = top
	}
	if format, err := g.line(ctx, "rev-parse", "--show-object-format"); err == nil && format == "sha256" { // an older git says its argument again
		return nil, fmt.Errorf("%s names its objects by sha256, which windlass cannot read; its agent cannot either", o.Dir)
	}
	c := &Clone{git: g}
	if c.remote, err = chooseRemote(ctx, g); err != nil {
		return nil, err
	}
	return c, c.spareBranches(ctx)
}

// spareBranches refuses a clone in which git keeps the remote's branches as the person's own, at each fetch and push.
func (c *Clone) spareBranches(ctx context.Context) error {
	refspecs, err := c.git.line(ctx, "config", "--get-all", "remote."+c.remote+".fetch")
	var unset *failure
	if errors.As(err, &unset) && unset.exit == 1 {
		return nil
	}
	for refspec := range strings.Lines(refspecs) {
		refspec = strings.TrimSpace(refspec)
		if _, to, _ := strings.Cut(refspec, ":"); strings.HasPrefix(to, "refs/heads/") || strings.HasPrefix(to, "refs/*") {
			return fmt.Errorf("git would overwrite branches of this clone (remote.%s.fetch is %s); use a clone that keeps the remote's branches apart, as git clone makes it",
				c.remote, refspec)
		}
	}
	return err
}

func chooseRemote(ctx context.Context, g git) (string, error) {
	listed, err := g.line(ctx, "remote")
	if err != nil {
		return "", err
	}
	remotes := strings.Fields(listed)
	chosen, err := g.setting(ctx, "", "checkout.defaultRemote")
	if err != nil {
		return "", err
	}
	switch {
	case chosen != "":
		return chosen, nil
	case slices.Contains(remotes, "origin"):
		return "origin", nil
	case len(remotes) == 1:
		return remotes[0], nil
	case len(remotes) == 0:
		return "", errors.New("this clone has no remote; add the deploy repo with git remote add origin URL")
	}
	return "", fmt.Errorf("this clone has the remotes %s; say which is the deploy repo with git config checkout.defaultRemote NAME", strings.Join(remotes, ", "))
}

// Fetch returns the commit that a branch of the remote has now, with its files here.
func (c *Clone) Fetch(ctx context.Context, branch string) (string, error) {
	for range 3 { // a branch that was rewritten in between has another tip than the one that was asked for
		tip, err := c.tip(ctx, c.remote, branch)
		if err != nil {
			return "", err
		}
		if c.has(ctx, tip) {
			return tip, nil
		}
		if err := c.fetch(ctx, c.remote, branch); err != nil {
			return "", err
		}
		if c.has(ctx, tip) {
			return tip, nil
		}
	}
	return "", fmt.Errorf("branch %s of %s changes faster than it can be fetched; try again", branch, c.remote)
}

// fetch takes a branch of a remote, by name or URL.
func (c *Clone) fetch(ctx context.Context, remote, branch string) error {
	_, err := c.git.run(ctx, call{args: []string{"fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", remote, "refs/heads/" + branch}})
	if err != nil {
		return fmt.Errorf("cannot fetch branch %s of %s: %w", branch, c.remote, err)
	}
	return nil
}

// tip asks a remote, by name or URL, for the commit of a branch that it has.
func (c *Clone) tip(ctx context.Context, remote, branch string) (string, error) {
	tip, err := c.find(ctx, remote, branch)
	if err == nil && tip == "" {
		err = fmt.Errorf("%s has no branch %s; name the one that the agent follows with --branch", c.remote, branch)
	}
	return tip, err
}

// find asks a remote, by name or URL, for the commit of a branch; empty: it has none of that name.
func (c *Clone) find(ctx context.Context, remote, branch string) (string, error) {
	ref := "refs/heads/" + branch
	out, err := c.git.run(ctx, call{args: []string{"ls-remote", remote, ref}})
	if err != nil {
		return "", fmt.Errorf("cannot ask %s for branch %s: %w", c.remote, branch, err)
	}
	for line := range strings.Lines(string(out)) {
		if hash, name, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok && name == ref { // a pattern, it also matches at the end of longer names
			return hash, nil
		}
	}
	return "", nil
}

// Resolve is the commit that a name means here: a hash or the beginning of one, a tag, a branch.
func (c *Clone) Resolve(ctx context.Context, _, name string) (string, error) {
	commit, err := c.git.line(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", name+"^{commit}")
	if err != nil {
		return "", fmt.Errorf("this clone knows no commit %q; fetch it first", name)
	}
	return commit, nil
}

// Newest names the newest of the commits after one, up to another, that touched a file: its hash, its author and its subject.
func (c *Clone) Newest(ctx context.Context, after, to, file string) (string, error) {
	return c.git.line(ctx, "log", "-1", "--no-show-signature", "--format=%h by %an, %s", after+".."+to, "--", file)
}

// Contains reports whether a newer commit of the remote's branch, which is fetched where it is not here, is an older one or has it among its
// ancestors. What is no hash is none of its commits: an agent may name anything.
func (c *Clone) Contains(ctx context.Context, branch, newer, older string) (bool, error) {
	if !plumbing.IsHash(newer) || !plumbing.IsHash(older) {
		return false, nil
	}
	if !c.has(ctx, newer) {
		if err := c.fetch(ctx, c.remote, branch); err != nil {
			return false, err
		}
	}
	return c.contains(ctx, newer, older)
}

// has reports whether a commit is here, without fetching it where a clone is filtered.
func (c *Clone) has(ctx context.Context, commit string) bool {
	_, err := c.git.run(ctx, call{args: []string{"cat-file", "-e", commit + "^{commit}"}, env: []string{"GIT_NO_LAZY_FETCH=1"}})
	return err == nil
}

// contains reports whether a commit is another one or one of its ancestors.
func (c *Clone) contains(ctx context.Context, newer, older string) (bool, error) {
	_, err := c.git.run(ctx, call{args: []string{"merge-base", "--is-ancestor", older, newer}})
	var no *failure
	if errors.As(err, &no) && no.exit == 1 {
		return false, nil
	}
	return err == nil, err
}
