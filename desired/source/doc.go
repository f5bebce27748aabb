// Package source tells whether a release is one to deploy: its tag is on the remote, names a commit of the branch, is signed by somebody who signs releases,
// and the checks that its commit needs are green. What a fleet demands of its releases is desired.Source; the answer is a gate of the fleet.
//
// It reads a git repository and a forge through interfaces of its own, remembers what it was told for as long as that cannot have changed, and changes
// nothing. How servers are reached is for gitrepo and internal/forge, who may sign for trust, what a gate does for the plan.
package source
