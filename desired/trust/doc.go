// Package trust says who signed a commit or a tag, and whether they may: by SSH keys and authorities of an allowed_signers file, by GPG keys of a
// keyring, and by a history in which who may sign is changed only by who may sign already.
//
// It is pure: it reads files that it is given, and the raw bytes of git's objects, which are what was signed. It makes no copy of an object to verify
// that, runs no program, knows no server and has no clock. Which commits there are is for package gitrepo, which release is wanted for package source.
//
// Where go-git's verification and git's own differ, git's holds (docs/trust.md has the table).
package trust
