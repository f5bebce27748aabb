// Package redact is the one place where text that may hold secrets is made fit to be shown (law 22).
//
// It knows shapes of secrets, not where text comes from; who shows or stores text of a node, a step, a URL or an error passes it
// through here first.
package redact

import (
	"regexp"
	"strings"
)

// Mark stands where a secret was.
const Mark = "[redacted]"

type rule struct {
	pattern *regexp.Regexp
	replace string
}

const (
	// key is a name that only secrets have; pass and pwd alone are ordinary words.
	key = `[\w-]*(?:passw(?:or)?d|passphrase|secret|token|(?:api|access|private|signing|encryption)[_-]?key|credential)[\w-]*|[\w-]*[_-](?:pass|pwd)`
	// value is quoted, with what is joined to it by a backslash; quoted to the end of the line, its end cut off; or a word.
	value = `(?:"(?:\\.|[^"\\])*"(?:\\\S+)?|'[^']*'(?:\\\S+)?|["'][^\r\n]*|(?:\\.|[^\s"'\\])+)`
)

// escapes are the sequences a program sends to colour a terminal or to move its cursor (ECMA-48), window titles included. One may stand in
// the middle of what is looked for.
var escapes = regexp.MustCompile("\x1b\\[[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|\x1b[@-Z\\\\^_]")

var rules = []rule{
	{regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----.*?(-----END [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----|\z)`), Mark},
	{regexp.MustCompile(`(?:[A-Za-z0-9+/=]{1,76}\s+)*-----END [A-Z0-9 ]*PRIVATE KEY( BLOCK)?-----`), Mark}, // its beginning was cut off
	{regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)[^/\s"']*@`), "${1}" + Mark + "@"},
	{regexp.MustCompile(`(?i)(\b(?:(?:proxy-)?authorization|(?:set-)?cookie)["']?\s*[:=]\s*["']?)[^\r\n"']+`), "${1}" + Mark},
	{regexp.MustCompile(`(?i)(\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}`), "${1}" + Mark},
	{regexp.MustCompile(`\b(?:AKIA|ASIA)[A-Z0-9]{16}\b`), Mark},
	{regexp.MustCompile(`\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|npm_[A-Za-z0-9]{16,}|xox[abprs]-[\w-]{8,})`), Mark},
	{regexp.MustCompile(`\beyJ[\w-]+\.[\w-]+\.[\w-]*`), Mark}, // JWT
	{regexp.MustCompile(`(\bcurl\b[^\r\n]*?\s(?:-u\s*|--user[\s=]+)["']?)[^\s"':]+:[^\s"']+`), "${1}" + Mark},
	{regexp.MustCompile(`(?i)((?:` + key + `)\\*["']?\s*(?:=>|:=|[:=])\s*)` + value), "${1}" + Mark},
	{regexp.MustCompile(`(?i)(--?[\w-]*(?:passw(?:or)?d|secret|token|api-key)[\w-]*\s+)("[^"\r\n]*"|'[^'\r\n]*'|[^\s"'-][^\s"']*)`), "${1}" + Mark},
}

// Text returns s without escape sequences and with what looks like a secret replaced by Mark: the user part of a URL, authorization headers and
// cookies, bearer tokens, keys of AWS and of forges, private key blocks, and the value of whatever is named like a password. It errs on
// the side of hiding.
func Text(s string) string {
	s = escapes.ReplaceAllString(s, "")
	for _, r := range rules {
		s = r.pattern.ReplaceAllString(s, r.replace)
	}
	return s
}

// Line is Text on one line: what is not printable becomes a space, as text from outside is hostile wherever it is shown.
func Line(s string) string {
	return strings.Join(strings.FieldsFunc(Text(s), func(c rune) bool { return c <= ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 }), " ")
}
