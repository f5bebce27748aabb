// Package live shows how fleets stand while they move: on a terminal as a frame that is drawn in place and never higher than the terminal,
// elsewhere as lines, of which there are never many. What a frame says is a function of values; one type alone knows the terminal. How an agent is heard,
// and when it is enough, is for who shows it.
package live
