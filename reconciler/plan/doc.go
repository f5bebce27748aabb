// Package plan decides. Next turns what a fleet should be and what is seen of it into the steps to start now, the reasons
// for not doing more, and the instant to look again.
//
// It is a function of values: no clock, no input or output, no randomness, no log, no map order. What `windlass plan`
// prints is what the reconciler starts. Carrying a step out belongs to reconciler; so does everything that needs memory.
package plan
