// Package scaffold writes a deploy repo of somebody's own: the example's texts, comments included, with the answers of a team in place of
// the example's names. What a fleet file may say is desired's to know, which reads what was made before it is handed out. Asking people,
// and which flag is which answer, belongs to cmd/windlass.
package scaffold
