package web

// Line makes text of a node, a commit or an API fit for one line of a terminal or a log: no secrets, nothing that a terminal
// obeys or that reads as something else, of bounded length.
func Line(s string) string { return line(s) }
