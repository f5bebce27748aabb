// Package gitrepo turns the newest acceptable commit of a deploy repo's branch into a desired.State.
//
// It belongs here how a repo is reached (https, ssh, file), when it is fetched, which commit is in force and why a newer one
// is not, what of that survives a restart, what would be in force if a branch were merged, and what earlier commits said. What a fleet file means belongs to package desired; what to do about a new
// State belongs to reconciler.
//
// Its one rule: trouble with git is never an order. An outage, an empty repo, a missing branch or directory and a rewritten
// history all leave the last accepted commit in force and say so in State.Problem.
package gitrepo
