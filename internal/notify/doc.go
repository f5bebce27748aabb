// Package notify tells people of rollouts where they are: in the chat, by mail, at an Alertmanager, at a webhook.
//
// What to say next is a function of values: how fleets stand, what a channel was told already, and the time (next.go). What was told is kept in the
// state directory, so that an agent that is killed goes on in the same thread. Each channel has a worker of its own, which says one thing after
// another at the pace that the place bears; nothing here is waited for by a rollout, and nothing is decided by it.
package notify
