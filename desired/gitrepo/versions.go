package gitrepo

import (
	"maps"
	"slices"

	"github.com/go-git/go-git/v5/plumbing/object"

	"windlass/desired"
)

// advance is the State that commit makes of the versions in force before: what is good is new, what is broken keeps its last
// good version, what is gone is released (laws 2 and 3).
func advance(before map[string]desired.Version, tree desired.Tree, commit *object.Commit) desired.State {
	revision := commit.Hash.String()
	next := desired.State{
		Revision:  revision,
		Committed: dateOf(commit),
		Fleets:    map[string]desired.Version{},
		Rejected:  attribute(tree.Rejected, revision, before),
		Warnings:  tree.Warnings,
	}
	// A broken file whose name cannot be told may be any fleet that is missing: then none of them is released yet.
	anonymous := false
	for key, rejection := range next.Rejected {
		anonymous = anonymous || key == rejection.Path
	}
	for name, version := range before {
		_, rejected := next.Rejected[name]
		version.Released = version.Released || !rejected && !anonymous
		next.Fleets[name] = version
	}
	for name, fleet := range tree.Fleets {
		next.Fleets[name] = versionAfter(before[name], fleet, commit)
	}
	settle(next, before)
	return next
}

// settle takes new versions back that share a node or a group with a version of another commit: Load could not see both.
func settle(next desired.State, before map[string]desired.Version) {
	for settled := false; !settled; {
		settled = true
		for name, conflicts := range desired.Conflicts(following(next.Fleets)) {
			version, last := next.Fleets[name], before[name]
			if version.Revision != next.Revision || last.Revision == next.Revision {
				continue
			}
			settled = false
			next.Rejected[name] = desired.Rejection{Path: version.Fleet.Path, Revision: next.Revision, Reason: desired.ReasonSafety, Errors: conflicts}
			delete(next.Fleets, name)
			if last.Fleet != nil {
				next.Fleets[name] = last
			}
		}
	}
}

// following are the fleets that are not released: a released one gives its nodes up.
func following(versions map[string]desired.Version) map[string]*desired.Fleet {
	fleets := map[string]*desired.Fleet{}
	for name, version := range versions {
		if !version.Released {
			fleets[name] = version.Fleet
		}
	}
	return fleets
}

// attribute names the commit in each rejection, and the fleet where a file is too broken to say it but is where a known
// fleet's file was.
func attribute(rejected map[string]desired.Rejection, revision string, known map[string]desired.Version) map[string]desired.Rejection {
	owner := map[string]string{}
	for name, version := range known {
		owner[version.Fleet.Path] = name
	}
	attributed := map[string]desired.Rejection{}
	for _, key := range slices.Sorted(maps.Keys(rejected)) {
		rejection := rejected[key]
		rejection.Revision = revision
		name, ok := owner[rejection.Path]
		if _, taken := rejected[name]; key == rejection.Path && ok && !taken {
			key = name
		}
		attributed[key] = rejection
	}
	return attributed
}

// describe is what must be kept to have it again.
func (f inForce) describe() kept {
	description := kept{
		Schema:    keptSchema,
		Revision:  f.state.Revision,
		Committed: f.state.Committed,
		Checked:   f.state.Checked,
		ByHand:    len(f.byHand) > 0,
		Named:     f.byHand,
		Verified:  f.verified,
		Roots:     f.roots,
		Accepted:  f.accepted,
		Fleets:    map[string]keptFleet{},
	}
	for name, version := range f.state.Fleets {
		description.Fleets[name] = keptFleet{Revision: version.Revision, Committed: version.Committed, Change: version.Change, Released: version.Released}
	}
	return description
}

// recall looks in the fetched history for the last good version of fleets that are broken now and of which nothing is known:
// the state directory was lost, or this is the first day. It follows first parents, as far as the fetch went, and returns with
// the versions the files of the commits that it found them in.
func (r *Repo) recall(got *fetched, head *object.Commit, tree desired.Tree, before map[string]desired.Version) (map[string]desired.Version, map[string]*treeFS) {
	recalled, files := maps.Clone(before), map[string]*treeFS{}
	if recalled == nil {
		recalled = map[string]desired.Version{}
	}
	for commit := head; commit.NumParents() > 0 && lacking(tree, recalled); {
		parent, err := object.GetCommit(got.store, commit.ParentHashes[0])
		if err != nil {
			break // the fetch ends here
		}
		commit = parent
		older, read, err := r.read(got, commit)
		if err != nil {
			continue
		}
		for name, fleet := range older.Fleets {
			if _, known := recalled[name]; !known && rejects(tree, name, fleet.Path) {
				recalled[name] = versionAfter(desired.Version{}, fleet, commit)
				files[commit.Hash.String()] = read
			}
		}
	}
	for name := range desired.Conflicts(following(recalled)) {
		if _, known := before[name]; !known {
			delete(recalled, name) // of another commit than what it shares a node with
		}
	}
	return recalled, files
}

// lacking reports whether some broken fleet has no good version yet.
func lacking(tree desired.Tree, known map[string]desired.Version) bool {
	for key := range attribute(tree.Rejected, "", known) {
		if _, ok := known[key]; !ok {
			return true
		}
	}
	return false
}

func rejects(tree desired.Tree, name, path string) bool {
	_, byName := tree.Rejected[name]
	_, byPath := tree.Rejected[path]
	return byName || byPath
}
