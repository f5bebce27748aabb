package desired

// Nearest is the known word that a person who wrote word most likely meant; empty when none is like it.
func Nearest(word string, known []string) string { return nearest(word, known) }
