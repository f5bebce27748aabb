package desired

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Limits on one YAML file, far above what people write and far below what hurts (G41).
const (
	maxDocumentBytes = 1 << 20
	maxDocumentDepth = 32
	maxDocumentNodes = 200_000
)

// parseDocument reads the YAML of one file strictly: one document, a mapping at its top, no anchors, aliases, tags or
// merge keys, no key twice, and no scalar that two YAML readers could understand differently. The value is nil when the
// text could not be parsed at all.
func parseDocument(file string, text []byte) (*value, Errors) {
	return parseMapping(file, text, "apiVersion: "+APIVersion)
}

// parseMapping is parseDocument of a file whose keys are such as in the example.
func parseMapping(file string, text []byte, example string) (*value, Errors) {
	text = bytes.TrimPrefix(text, []byte("\uFEFF"))
	if err, bad := unreadable(file, text); bad {
		return nil, Errors{err}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document, next yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, Errors{errorAt(Position{file, 1, 1}, "the file is empty")}
	} else if err != nil {
		return nil, Errors{syntaxError(file, text, err)}
	}
	p := parser{file: file}
	root := p.value(document.Content[0], 0)
	switch err := decoder.Decode(&next); {
	case err == nil:
		p.report(&next, "a second document starts here; a file holds one")
	case !errors.Is(err, io.EOF):
		p.errors = append(p.errors, syntaxError(file, text, err))
	}
	if root.kind == scalarValue && root.scalar == nil && !root.flawed {
		return nil, append(p.errors, errorAt(Position{file, 1, 1}, "the file is empty"))
	}
	if root.kind != mappingValue && !root.flawed {
		p.errors = append(p.errors, errorAt(root.at, "the file is %s; it must be a mapping of keys such as %s", root.shown(), example))
		return nil, p.errors
	}
	return root, p.errors
}

// unreadable finds the first byte that no YAML file may hold.
func unreadable(file string, text []byte) (Error, bool) {
	line, column := 1, 1
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		at := Position{file, line, column}
		switch {
		case r == utf8.RuneError && size == 1:
			return errorAt(at, "byte 0x%02x is not UTF-8; save the file as UTF-8", text[0]), true
		case r < ' ' && r != '\t' && r != '\n' && r != '\r', r == 0x7f:
			return errorAt(at, "control character 0x%02x is not allowed; is this a text file?", r), true
		case r == '\n':
			line, column = line+1, 0
		}
		column++
		text = text[size:]
	}
	return Error{}, false
}

var syntaxLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)

// syntaxError puts what the YAML library says, which names a line at most, at that line's first character.
func syntaxError(file string, text []byte, err error) Error {
	at, message := Position{file, 1, 1}, err.Error()
	if m := syntaxLine.FindStringSubmatch(message); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			at.Line = n
		}
		if m[1] != "" && strings.HasPrefix(m[2], "did not find expected") {
			at.Line++ // the library's parser, unlike its scanner, counts from 0
		}
		message = m[2]
	}
	lines := strings.Split(strings.TrimRight(string(text), "\r\n"), "\n")
	at.Line = min(at.Line, len(lines))
	line := lines[at.Line-1]
	indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	if tab := strings.IndexByte(indent, '\t'); tab >= 0 {
		at.Column = tab + 1
		return errorAt(at, "a tab indents this line; YAML allows only spaces there")
	}
	at.Column = len(indent) + 1
	return errorAt(at, "this is not YAML: %s (here or just above)", shorten(message))
}

type parser struct {
	file   string
	nodes  int
	errors Errors
}

func (p *parser) at(n *yaml.Node) Position { return Position{p.file, n.Line, n.Column} }

func (p *parser) report(n *yaml.Node, format string, args ...any) {
	if len(p.errors) > maxErrors {
		return
	}
	p.errors = append(p.errors, errorAt(p.at(n), format, args...))
}

// flaw reports n and stands in for it.
func (p *parser) flaw(n *yaml.Node, format string, args ...any) *value {
	p.report(n, format, args...)
	return &value{at: p.at(n), scalar: n.Value, source: n.Value, flawed: true}
}

func (p *parser) value(n *yaml.Node, depth int) *value {
	switch p.nodes++; {
	case p.nodes == maxDocumentNodes:
		return p.flaw(n, "the file holds more than %d values from here on", maxDocumentNodes)
	case p.nodes > maxDocumentNodes:
		return &value{at: p.at(n), flawed: true}
	case depth > maxDocumentDepth:
		return p.flaw(n, "this is nested more than %d levels deep", maxDocumentDepth)
	case n.Kind == yaml.AliasNode:
		return p.flaw(n, "alias *%s: aliases are not allowed; write the value out, or use base", shorten(n.Value))
	case n.Anchor != "":
		p.report(n, "anchor &%s: anchors are not allowed; write the value out where it is needed, or use base", shorten(n.Anchor))
	case n.Style&yaml.TaggedStyle != 0:
		return p.flaw(n, "tag %s: tags are not allowed; quote the value when it is text", shorten(n.Tag))
	}
	switch n.Kind {
	case yaml.MappingNode:
		return p.mapping(n, depth)
	case yaml.SequenceNode:
		return p.sequence(n, depth)
	}
	return p.scalar(n)
}

func (p *parser) sequence(n *yaml.Node, depth int) *value {
	v := &value{at: p.at(n), kind: sequenceValue}
	for _, item := range n.Content {
		v.items = append(v.items, p.value(item, depth+1))
	}
	return v
}

func (p *parser) mapping(n *yaml.Node, depth int) *value {
	v := &value{at: p.at(n), kind: mappingValue, fields: map[string]field{}}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if !p.isKey(key) {
			continue
		}
		if first, twice := v.fields[key.Value]; twice {
			p.report(key, "key %q is given twice; it is first given at line %d", shorten(key.Value), first.at.Line)
			continue
		}
		v.keys = append(v.keys, key.Value)
		v.fields[key.Value] = field{at: p.at(key), value: p.value(n.Content[i+1], depth+1)}
	}
	return v
}

func (p *parser) isKey(key *yaml.Node) bool {
	switch {
	case key.Kind != yaml.ScalarNode:
		p.report(key, "a key must be text")
	case key.Tag == "!!merge":
		p.report(key, "merge key <<: merge keys are not allowed; use base")
	case key.Anchor != "" || key.Style&yaml.TaggedStyle != 0:
		p.report(key, "anchors and tags are not allowed on a key")
	case key.Tag != "!!str" || elsewhereBool(key) && key.Value != "on": // which is a key of a notification
		p.report(key, "key %s is not read as text; quote it", shorten(key.Value))
	default:
		return true
	}
	return false
}

func (p *parser) scalar(n *yaml.Node) *value {
	v := &value{at: p.at(n), source: n.Value}
	switch n.Tag {
	case "!!str":
		if elsewhereBool(n) {
			return p.flaw(n, "%s is read as true or false by some YAML readers; write true or false, or quote it when it is text: %[1]q", shorten(n.Value))
		}
		if elsewhereNumber(n) {
			return p.flaw(n, "%s is read as a number by some YAML readers; quote it: %[1]q", shorten(n.Value))
		}
		v.scalar = n.Value
	case "!!null":
	case "!!bool":
		v.scalar = strings.EqualFold(n.Value, "true")
	case "!!int", "!!float":
		number, ok := exactNumber(n.Value)
		if !ok {
			return p.flaw(n, "%s is read as a number and would not come out as it is written; quote it when it is text: %[1]q", shorten(n.Value))
		}
		v.scalar = number
	default:
		return p.flaw(n, "%s is not read as text; quote it: %[1]q", shorten(n.Value))
	}
	return v
}

// elsewhereBool reports whether n is text to YAML 1.2 and a boolean to YAML 1.1.
func elsewhereBool(n *yaml.Node) bool {
	if n.Style != 0 {
		return false
	}
	switch strings.ToLower(n.Value) {
	case "yes", "no", "on", "off":
		return true
	}
	return false
}

// base60 is how YAML 1.1 writes 12:30:00 for 45000.
var base60 = regexp.MustCompile(`^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+([.][0-9_]*)?$`)

// elsewhereNumber reports whether n is text here and a number elsewhere: base 60 in YAML 1.1, or one that is too large for a float64.
func elsewhereNumber(n *yaml.Node) bool {
	if n.Style != 0 {
		return false
	}
	_, err := strconv.ParseFloat(n.Value, 64)
	return errors.Is(err, strconv.ErrRange) || base60.MatchString(n.Value)
}

// exactNumber reads a number that a template prints as it is written; 1.10, 0644, 1e3, 1_000 and 0.00005 do not.
func exactNumber(s string) (any, bool) {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return i, fmt.Sprint(i) == s
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && fmt.Sprint(f) == s
}
