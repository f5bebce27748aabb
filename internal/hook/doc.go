// Package hook hears of pushes: it answers POST /hooks/git of GitHub, GitLab, Gitea, Forgejo, Bitbucket, and of whoever signs as they do.
//
// A request proves by a shared secret that it comes from who may wake the agent, and that is all that is taken from it. What was pushed, the agent
// asks the repo; so nobody has to trust what a payload says, and a request that is played again does no harm. The agent polls without being woken,
// too: who is turned away here is late, not lost.
//
// What is listened on, TLS, and time-outs of connections are for those who serve the handler.
package hook
