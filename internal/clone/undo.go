package clone

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
)

// A Commit is one of a branch's own, as people name it.
type Commit struct {
	Hash    string
	Author  string
	Subject string
}

// Touching lists the commits after one, up to another, whose difference to their first parent has one of the files, the newest first: what
// was merged counts as its merge. A shallow clone is deepened where it does not reach so far back. The error is ErrUnrelated when the older
// one is no ancestor.
func (c *Clone) Touching(ctx context.Context, branch, older, newer string, files []string) ([]Commit, error) {
	switch in, err := c.Reaches(ctx, branch, newer, older); {
	case err != nil:
		return nil, err
	case !in:
		return nil, ErrUnrelated
	}
	args := []string{"log", "--first-parent", "--no-color", "-z", "--format=%H%x09%an%x09%s", older + ".." + newer, "--"}
	args = append(args, files...)
	listed, err := c.git.line(ctx, args...)
	if err != nil {
		return nil, err
	}
	var found []Commit
	for line := range strings.SplitSeq(strings.Trim(listed, "\x00"), "\x00") {
		if parts := strings.SplitN(line, "\t", 3); len(parts) == 3 {
			found = append(found, Commit{parts[0], parts[1], parts[2]})
		}
	}
	return found, nil
}

// ErrUnrelated is a commit that is no ancestor of the branch's.
var ErrUnrelated = errors.New("it is no commit of the branch")

// Reaches reports whether a commit of the branch has an older one among its ancestors, for which a shallow clone is deepened.
func (c *Clone) Reaches(ctx context.Context, branch, newer, older string) (bool, error) {
	if !plumbing.IsHash(older) {
		return false, nil
	}
	if c.has(ctx, older) {
		if in, err := c.contains(ctx, newer, older); in || err != nil {
			return in, err
		}
	}
	shallow, err := c.git.line(ctx, "rev-parse", "--is-shallow-repository")
	if err != nil || shallow != "true" {
		return false, err
	}
	args := []string{"fetch", "--quiet", "--unshallow", "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no", c.remote, "refs/heads/" + branch}
	if _, err := c.git.run(ctx, call{args: args}); err != nil {
		return false, fmt.Errorf("cannot fetch the history of branch %s: %w", branch, err)
	}
	if !c.has(ctx, older) {
		return false, nil
	}
	return c.contains(ctx, newer, older)
}

// Undo makes a commit on top of parent that takes others back, in their order: of each the difference to its first parent. As with Commit it is nowhere
// but among the clone's objects. The error names the one that cannot be taken back since what it changed was changed again.
func (c *Clone) Undo(ctx context.Context, parent, message string, undone []Commit) (string, error) {
	s, end, err := c.stage()
	if err != nil {
		return "", err
	}
	defer end()
	if _, err := s.run(ctx, nil, "read-tree", parent); err != nil {
		return "", err
	}
	for _, u := range undone {
		if err := s.takeBack(ctx, u); err != nil {
			return "", err
		}
	}
	tree, err := s.run(ctx, nil, "write-tree", "--missing-ok")
	if err != nil {
		return "", err
	}
	return c.commit(ctx, Change{Parent: parent, Message: message}, tree)
}

func (s stage) takeBack(ctx context.Context, u Commit) error {
	patch, err := s.git.run(ctx, call{args: []string{"diff-tree", "-p", "--binary", "--full-index", "--no-renames", "--no-color", "--no-ext-diff", "--no-textconv", u.Hash + "^1", u.Hash}})
	if err != nil || len(patch) == 0 {
		return err
	}
	_, err = s.run(ctx, patch, "apply", "--cached", "--reverse", "-")
	var failed *failure
	if errors.As(err, &failed) {
		return fmt.Errorf("commit %.7s (%s) cannot be taken back: what it changed was changed again", u.Hash, u.Subject)
	}
	return err
}
