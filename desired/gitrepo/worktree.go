package gitrepo

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// Committed returns the files of a directory in a git working tree as a revision (HEAD, a branch, a tag, a hash) has them. It
// reads the repository's objects only and changes nothing. A link on the way to dir is followed, as git does. The error is
// fs.ErrNotExist when there is no repository around dir, no such revision, or no such directory in it.
func Committed(dir, revision string) (fs.FS, error) {
	place, err := realPath(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot tell where %s is: %w", dir, err)
	}
	repo, err := git.PlainOpenWithOptions(place, &git.PlainOpenOptions{DetectDotGit: true, EnableDotGitCommonDir: true})
	if errors.Is(err, git.ErrRepositoryNotExists) {
		return nil, missing(fmt.Sprintf("%s is in no git repository", dir))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the git repository of %s: %w", dir, err)
	}
	hash, err := repo.ResolveRevision(plumbing.Revision(revision))
	if err != nil {
		return nil, missing(fmt.Sprintf("the git repository of %s has no revision %q: fetch it first, a shallow clone lacks most", dir, revision))
	}
	below, err := pathInRepo(repo, place)
	if err != nil {
		return nil, fmt.Errorf("cannot tell where in its git repository %s is: %w", dir, err)
	}
	return Files(repo.Storer, *hash, below)
}

// missing is an fs.ErrNotExist in words of its own.
type missing string

func (m missing) Error() string      { return string(m) }
func (missing) Is(target error) bool { return target == fs.ErrNotExist }

func realPath(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

// pathInRepo is dir, a real path, as the commits of its repository name it.
func pathInRepo(repo *git.Repository, dir string) (string, error) {
	worktree, err := repo.Worktree()
	if err != nil {
		return "", err
	}
	root, err := realPath(worktree.Filesystem.Root())
	if err != nil {
		return "", err
	}
	below, err := filepath.Rel(root, dir)
	return filepath.ToSlash(below), err
}

// Files returns the files of a commit below a directory of its repository, "." for all of them, read from a store as they are asked for.
// The error is fs.ErrNotExist when there is no such directory.
func Files(store storer.EncodedObjectStorer, commit plumbing.Hash, dir string) (fs.FS, error) {
	read, err := object.GetCommit(store, commit)
	if err != nil {
		return nil, fmt.Errorf("cannot read commit %s: %w", commit, err)
	}
	return newTree(store, read, dir)
}
