package desired

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"
)

// A Proposal is what would be in force if a branch of the deploy repo were merged.
type Proposal struct {
	Branch  string
	Head    Commit              // its newest
	Onto    string              // the commit in force, which it would come on top of
	Newer   string              // the followed branch's newest commit, where neither Onto nor Head has it: it is not in force, and left out
	Before  map[string]Version  // by fleet name: what is in force now
	Behind  int                 // commits that are in force and that the branch lacks: the files they changed are taken from there
	Merged  bool                // all of it is in force already
	Unclear string              // why nobody can tell what would be in force; empty: State is that
	State   State               // what would be in force
	Changed map[string][]string // by fleet name: the files it uses that would be others, sorted
}

// Why there is no Proposal.
var (
	ErrBranchName = errors.New("that is no name of a branch")
	ErrNoBranch   = errors.New("the deploy repo has no such branch")
	ErrNoneYet    = errors.New("no commit of the deploy repo is in force yet")
)

// ChangedFiles are the files that a fleet of tree, which was read from is, uses and that are not what they were, sorted.
func ChangedFiles(fleet string, tree Tree, was, is fs.FS) []string {
	var changed []string
	for file, users := range tree.Uses {
		if !slices.Contains(users, fleet) {
			continue
		}
		old, oldErr := fs.ReadFile(was, file)
		now, nowErr := fs.ReadFile(is, file)
		if oldErr != nil || nowErr != nil || !bytes.Equal(old, now) {
			changed = append(changed, file)
		}
	}
	slices.Sort(changed)
	return changed
}
