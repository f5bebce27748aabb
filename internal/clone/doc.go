// Package clone commits to a deploy repo from a person's clone of it, with that person's git: what go-git misreads of clones as people have
// them (sparse ones, linked work trees, borrowed objects, rewritten addresses, settings by directory), git reads right.
//
// Nothing that a person works with is touched: the index, the work tree, the branches and FETCH_HEAD stay as they are. What is added are
// objects, and where the remote's branches are known to be. Commits are made beside all that, so that git's hooks for committing do not
// run; the one for pushing does.
//
// Where there is no clone, a Memory does the same with go-git, and holds no more of the repo than it needs.
package clone
