// Package history keeps the rollouts that ended, in a file of the agent's state directory, for people.
//
// Nothing is decided by it, and nothing waits for it: where it cannot be opened, read or written, that is said once in the log and
// rollouts go on. It knows neither the loop that tells it nor the API that asks it.
package history
