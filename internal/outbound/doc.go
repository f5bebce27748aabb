// Package outbound makes single attempts to tell a place outside something over HTTP, and says when the next attempt may be made. Chat
// and forges are such places: they are slow, full, gone, or answer with hostile text, and must learn no more than they have to.
//
// It knows nothing of what is told, and repeats nothing by itself.
package outbound
