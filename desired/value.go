package desired

import (
	"fmt"
	"strings"
	"unicode"
)

type valueKind int

const (
	scalarValue valueKind = iota
	mappingValue
	sequenceValue
)

// A value is a piece of a fleet file that knows where it stands, so that whatever is found wrong with it, early or late,
// points there. It is never changed once parsed: documents are shared between fleets. Its methods accept nil, which is
// what a part that is not there, or is of another kind than asked for, reads as.
type value struct {
	at     Position
	kind   valueKind
	scalar any    // string, bool, int64 or float64; nil: the key has no value
	source string // the scalar as it is written
	items  []*value
	keys   []string // in the order of the file
	fields map[string]field

	flawed  bool // reported when it was parsed; nothing more is said of it
	partial bool // a base of this document cannot be read; what is not here may be there
}

type field struct {
	at Position // of the key
	*value
}

// get follows keys (string) and indices (int).
func (v *value) get(path ...any) *value {
	for _, step := range path {
		if v == nil {
			return nil
		}
		switch step := step.(type) {
		case string:
			v = v.fields[step].value
		case int:
			if step >= len(v.items) {
				return nil
			}
			v = v.items[step]
		}
	}
	return v
}

// text is the string at path, or empty.
func (v *value) text(path ...any) string {
	s, _ := v.scalarAt(path...).(string)
	return s
}

// scalarAt is the scalar at path, nil when there is none.
func (v *value) scalarAt(path ...any) any {
	if v = v.get(path...); v == nil {
		return nil
	}
	return v.scalar
}

// each are the items of the list at path.
func (v *value) each(path ...any) []*value {
	v = v.get(path...)
	if v == nil {
		return nil
	}
	return v.items
}

// plain is the value without its positions, as encoding/json would have read it, but for whole numbers, which are int64.
func (v *value) plain() any {
	switch v.kind {
	case mappingValue:
		m := make(map[string]any, len(v.keys))
		for _, key := range v.keys {
			m[key] = v.fields[key].plain()
		}
		return m
	case sequenceValue:
		list := make([]any, len(v.items))
		for i, item := range v.items {
			list[i] = item.plain()
		}
		return list
	}
	return v.scalar
}

// shown is the value as a message quotes it.
func (v *value) shown() string {
	switch {
	case v.kind == mappingValue:
		return "a mapping"
	case v.kind == sequenceValue:
		return "a list"
	case v.scalar == nil:
		return "empty"
	}
	if s, ok := v.scalar.(string); ok {
		return fmt.Sprintf("%q", shorten(s))
	}
	return shorten(v.source)
}

// shorten keeps hostile or long text from flooding a message.
func shorten(s string) string {
	const most = 60
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}

// keyPath is a path as people write it: health[0].http.port.
func keyPath(path ...any) string {
	var b strings.Builder
	for _, step := range path {
		switch step := step.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", step)
		case string:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(shorten(step))
		}
	}
	return b.String()
}

// errorAt makes a message of one line out of what may be hostile text.
func errorAt(at Position, format string, args ...any) Error {
	printable := func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}
	return Error{Position: at, Message: strings.Map(printable, fmt.Sprintf(format, args...))}
}
