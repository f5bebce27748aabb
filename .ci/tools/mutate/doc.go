// Mutate plants small bugs, one at a time, and says which of them no test finds. What it plants in Go: a condition that is always or
// never true (a flipped one, or && for ||, is found by whatever finds these), a comparison that takes its boundary for the other side, an
// error that is dropped, a sum for a difference and back, a time that is not added, a statement that is left out. In shell scripts: a line that is left out, a
// test that takes its boundary for the other side or is turned round, && for || and back.
//
// The work tree is never touched. All bugs of a package are compiled into one test binary, by go test -overlay, and one is chosen by the
// environment at each run; a script is embedded anew for each. A first run without a bug tells which ones the tests reach at all. A bug
// that makes the tests hang, or grow without bounds, is found by that.
//
// Order and sample depend on the seed and on the bug itself, not on what else is in the tree: a change moves only its own bugs.
package main
