// Package mirror says how a fleet of a deploy repo can be had on one machine: which of its words other ones take the place of
// (addresses, ports, the pace), and what of it cannot be had at all. It is a function of the repo's files and of what the fleet
// stands on; nothing is run here. Whatever is different is a Note, so that it can be told.
package mirror
