// Package report tells a forge what becomes of commits: a status for each fleet that a commit changed and, at GitHub, a deployment for each rollout.
//
// It is level-triggered. A book says what is to be said of which commit, from the newest snapshot, and what the forge was told; what differs is told,
// one request at a time. The book is kept on disk, so that the next start of the agent goes on with the same deployments. Nothing waits for it.
package report
