package clone

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Attributes are what the .gitattributes files on the way to a file say, as far as filters go (gitattributes(5)). The zero value says nothing.
//
// go-git's own reader is not asked: it stops at the first rule that matches when that says something else.
type attributes struct {
	rules  []attributeRule
	macros map[string][]string // what they stand for
}

// An attributeRule says something of the files whose path, below the directory of the rule's file, matches.
type attributeRule struct {
	dir   string // of its file, with a slash at the end; empty: the root
	path  *regexp.Regexp
	words []string
}

// macro is what a line that defines one begins with. Only the root's file may.
const macro = "[attr]"

// add reads a file in a directory, which has a slash at its end unless it is the root: those nearer to the file come later, and count for more.
func (a *attributes) add(dir, text string) error {
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		pattern, words := splitRule(strings.TrimSpace(line))
		switch name, defines := strings.CutPrefix(pattern, macro); {
		case pattern == "", strings.HasPrefix(pattern, "!"), strings.HasSuffix(pattern, "/"): // of which none matches a file
		case defines && dir != "":
		case defines:
			if a.macros == nil {
				a.macros = map[string][]string{}
			}
			a.macros[name] = words
		default:
			path, err := regexp.Compile(globExpression(pattern))
			if err != nil {
				return fmt.Errorf("the pattern %q cannot be understood", pattern)
			}
			a.rules = append(a.rules, attributeRule{dir, path, words})
		}
	}
	return nil
}

// splitRule parts a line into its pattern, which may be quoted, and its attributes. A comment has no pattern.
func splitRule(line string) (pattern string, words []string) {
	if strings.HasPrefix(line, "#") {
		return "", nil
	}
	if quoted, err := strconv.QuotedPrefix(line); err == nil && strings.HasPrefix(line, `"`) {
		pattern, _ = strconv.Unquote(quoted) // it is quoted well
		return pattern, strings.Fields(line[len(quoted):])
	}
	if words = strings.Fields(line); len(words) == 0 {
		return "", nil
	}
	return words[0], words[1:]
}

// filter is the filter that git stores a file by; empty: none.
func (a attributes) filter(file string) (is string) {
	for _, rule := range a.rules {
		if below, ok := strings.CutPrefix(file, rule.dir); ok && rule.path.MatchString(below) {
			is = a.filterBy(rule.words, is, nil)
		}
	}
	return is
}

// filterBy is the filter after some attributes, where it was another one before them. Within lists the macros that are being expanded.
func (a attributes) filterBy(words []string, is string, within []string) string {
	for _, word := range words {
		value, valued := strings.CutPrefix(word, "filter=")
		switch {
		case valued:
			is = value
		case word == "filter":
			is = "true"
		case word == "-filter", word == "!filter":
			is = ""
		case a.macros[word] != nil && !slices.Contains(within, word):
			is = a.filterBy(a.macros[word], is, append(within[:len(within):len(within)], word))
		}
	}
	return is
}

// globExpression is a pattern as a regular expression. One without a slash matches names in any directory.
func globExpression(pattern string) string {
	var e strings.Builder
	e.WriteString("^")
	if !strings.Contains(pattern, "/") {
		e.WriteString("(?:.*/)?")
	}
	rest := strings.TrimPrefix(pattern, "/")
	if after, ok := strings.CutPrefix(rest, "**/"); ok {
		e.WriteString("(?:.*/)?")
		rest = after
	}
	for rest != "" {
		switch part := rest[:1]; {
		case strings.HasPrefix(rest, "/**/"):
			e.WriteString("/(?:.*/)?")
			rest = rest[3:]
		case rest == "/**":
			e.WriteString("/.*")
			rest = rest[2:]
		case part == "*":
			e.WriteString("[^/]*")
			rest = strings.TrimLeft(rest, "*")
			continue
		case part == "?":
			e.WriteString("[^/]")
		case part == "[":
			class, after := globClass(rest)
			e.WriteString(class)
			rest = after
			continue
		case part == `\` && len(rest) > 1:
			e.WriteString(regexp.QuoteMeta(rest[1:2]))
			rest = rest[1:]
		default:
			e.WriteString(regexp.QuoteMeta(part))
		}
		rest = rest[1:]
	}
	return "(?s)" + e.String() + "$"
}

// globClass is the class of characters that a pattern begins with, as a regular expression, and what follows it.
func globClass(pattern string) (class, after string) {
	begins := 1
	if strings.HasPrefix(pattern[1:], "!") || strings.HasPrefix(pattern[1:], "^") {
		begins = 2
	}
	for end := begins + 1; end < len(pattern); end++ {
		switch {
		case pattern[end-1] == '\\':
			end++
		case strings.HasPrefix(pattern[end-1:], "[:"):
			if inner := strings.Index(pattern[end:], ":]"); inner >= 0 {
				end += inner + 2
			}
		}
		if end < len(pattern) && pattern[end] == ']' {
			within := strings.ReplaceAll(pattern[begins:end], "[", `\[`)
			within = strings.ReplaceAll(within, `\[:`, "[:")
			if begins == 2 {
				return "[^/" + within + "]", pattern[end+1:]
			}
			return "[" + within + "]", pattern[end+1:]
		}
	}
	return "[^/]*", "*" // it does not end: git matches nothing, and who is careful anything
}
