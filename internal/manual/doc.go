// Package manual writes the manual pages: one of the program, one for each of its commands, from the same words that --help shows, and
// one of the fleet file, from its schema. It belongs to packaging: the pages are written when a package is made, and no page says what
// the program does not. How a command behaves, and what it is called, is said in cmd/windlass.
package manual
