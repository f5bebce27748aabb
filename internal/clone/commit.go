package clone

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Change is a commit to be made.
type Change struct {
	Parent  string
	Message string
	Files   map[string][]byte // by path in the repo; each is there already
}

// Commit makes a commit, which is nowhere but among the clone's objects. Author, committer and signature are as git's settings say. A file that
// is stored otherwise than it is read, by a filter, is refused: what is written here would be stored as it is.
func (c *Clone) Commit(ctx context.Context, change Change) (string, error) {
	s, end, err := c.stage()
	if err != nil {
		return "", err
	}
	defer end()
	tree, err := s.tree(ctx, change)
	if err != nil {
		return "", err
	}
	return c.commit(ctx, change, tree)
}

// A stage is an index of its own.
type stage struct {
	git git
	env []string
}

// stage makes an index, which end removes.
func (c *Clone) stage() (s stage, end func(), err error) {
	dir, err := os.MkdirTemp("", "windlass-index-")
	if err != nil {
		return stage{}, nil, fmt.Errorf("cannot make a place for an index: %w", err)
	}
	return stage{c.git, []string{"GIT_INDEX_FILE=" + filepath.Join(dir, "index")}}, func() { os.RemoveAll(dir) }, nil
}

func (s stage) run(ctx context.Context, stdin []byte, args ...string) (string, error) {
	out, err := s.git.run(ctx, call{args: args, stdin: stdin, env: s.env})
	return strings.TrimSpace(string(out)), err
}

// tree writes the tree of the parent with other contents of some files.
func (s stage) tree(ctx context.Context, change Change) (string, error) {
	if _, err := s.run(ctx, nil, "read-tree", change.Parent); err != nil {
		return "", err
	}
	for _, path := range slices.Sorted(maps.Keys(change.Files)) {
		if err := s.refuseFiltered(ctx, path); err != nil {
			return "", err
		}
		if err := s.put(ctx, change.Parent, path, change.Files[path]); err != nil {
			return "", err
		}
	}
	return s.run(ctx, nil, "write-tree", "--missing-ok") // a filtered clone would fetch all of it (git 2.39.5; findings/write-tree-fetches-a-filtered-clone.sh)
}

func (s stage) put(ctx context.Context, parent, path string, content []byte) error {
	listed, err := s.run(ctx, nil, "ls-tree", "--full-tree", "-z", parent, "--", path)
	if err != nil {
		return err
	}
	mode, _, ok := strings.Cut(listed, " ")
	if !ok {
		return fmt.Errorf("commit %.12s has no file %s", parent, path)
	}
	blob, err := s.run(ctx, content, "hash-object", "-w", "--stdin") // without --path: line ends stay as they are
	if err != nil {
		return err
	}
	_, err = s.run(ctx, nil, "update-index", "--add", "--cacheinfo", mode+","+blob+","+path)
	return err
}

// refuseFiltered asks git which filter applies to the file as the commit has it, git-crypt's or git-lfs's for one.
func (s stage) refuseFiltered(ctx context.Context, path string) error {
	said, err := s.run(ctx, nil, "check-attr", "-z", "--cached", "filter", "--", path)
	if err != nil {
		return err
	}
	parts := strings.Split(said, "\x00") // path, attribute, value
	if len(parts) < 3 {
		return fmt.Errorf("git check-attr says %q of %s", said, path)
	}
	if value := parts[2]; value != "unspecified" && value != "unset" {
		return fmt.Errorf("git stores %s by the filter %q, so it can only be changed in a work tree; commit the change there", path, value)
	}
	return nil
}

func (c *Clone) commit(ctx context.Context, change Change, tree string) (string, error) {
	if err := c.checkAuthor(ctx); err != nil {
		return "", err
	}
	message, err := c.git.run(ctx, call{args: []string{"stripspace"}, stdin: []byte(change.Message)})
	if err != nil {
		return "", err
	}
	args := []string{"commit-tree", tree, "-p", change.Parent, "-F", "-"}
	signs, err := c.git.setting(ctx, "bool", "commit.gpgSign")
	if err != nil {
		return "", err
	}
	if signs == "true" {
		args = append(args, "-S")
	}
	out, err := c.git.run(ctx, call{args: args, stdin: message})
	if err != nil && signs == "true" {
		return "", fmt.Errorf("cannot make a signed commit: %w; a key with a passphrase needs a terminal or an agent to ask", err)
	}
	return strings.TrimSpace(string(out)), err
}

// checkAuthor refuses what git would write down as nobody's address.
func (c *Clone) checkAuthor(ctx context.Context) error {
	for _, name := range []string{"GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"} {
		ident, err := c.git.line(ctx, "var", name)
		if err != nil {
			return fmt.Errorf("git does not know who you are: %w", err)
		}
		if strings.Contains(ident, "<>") {
			return errors.New("git knows no address of yours; set it with git config user.email")
		}
	}
	return nil
}
