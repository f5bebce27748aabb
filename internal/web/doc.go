// Package web shows what the agent knows: as JSON, as a page that updates itself, and as text for a terminal.
//
// It reports and changes nothing; who may ask is said by package access. Every word that comes from a node, a commit or an API is hostile text: it is cleaned once,
// where a reconciler.Status becomes a Fleet, escaped by html/template, and cleaned again before it reaches a terminal, as the
// Fleet may have come from another process.
package web
