package desired

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// explain says in people's words, and at the place in the file, what the schema library found.
func (s schema) explain(document *value, invalid *jsonschema.ValidationError) Errors {
	part := s.part(invalid.SchemaURL)
	switch invalid.ErrorKind.(type) {
	case *kind.OneOf, *kind.AnyOf: // one sentence, not one for each alternative
	default:
		if len(invalid.Causes) > 0 {
			var all Errors
			for _, cause := range invalid.Causes {
				all = append(all, s.explain(document, cause)...)
			}
			return all
		}
	}
	at, path := resolve(document, invalid.InstanceLocation)
	if at == nil {
		at, path = document, nil // cannot be; but what is invalid must not pass for want of words
	}
	if at.flawed || document.partial && lacks(invalid.ErrorKind) {
		return nil
	}
	f := finding{part: part, at: at, path: keyPath(path...)}
	if f.path == "" {
		f.path = s.about
	}
	return f.explain(invalid.ErrorKind)
}

// lacks reports whether why is about something that is not there, and might be in a base.
func lacks(why jsonschema.ErrorKind) bool {
	switch why.(type) {
	case *kind.Required, *kind.AnyOf:
		return true
	}
	return false
}

// resolve follows the schema library's path, whose steps are all strings.
func resolve(document *value, location []string) (*value, []any) {
	at, path := document, make([]any, len(location))
	for i, step := range location {
		path[i] = step
		if at != nil && at.kind == sequenceValue {
			index, err := strconv.Atoi(step)
			if err != nil {
				return nil, path
			}
			path[i] = index
		}
		at = at.get(path[i])
	}
	return at, path
}

// A finding is a value that breaks the part of the schema that describes it.
type finding struct {
	part map[string]any
	at   *value
	path string
}

func (f finding) explain(why jsonschema.ErrorKind) Errors {
	switch why := why.(type) {
	case *kind.AdditionalProperties:
		return f.unknownKeys()
	case *kind.Required:
		return f.missing("", why.Missing)
	case *kind.DependentRequired:
		return f.missing(why.Prop+" of ", why.Missing)
	case *kind.Type:
		return f.say("%s", f.wrongType(why.Want))
	case *kind.Enum:
		return f.say("%s", f.oneOf(why.Want))
	case *kind.Const:
		return f.say("it must be %v", why.Want)
	case *kind.Minimum, *kind.Maximum:
		return f.say("it must be %.0f to %.0f", f.part["minimum"], f.part["maximum"])
	case *kind.MinLength:
		return Errors{errorAt(f.at.at, "%s is empty", f.path)}
	case *kind.MinItems, *kind.MinProperties:
		return Errors{errorAt(f.at.at, "%s is empty; it needs at least one", f.path)}
	case *kind.MaxLength:
		return f.say("it has %d characters; at most %d are allowed", why.Got, why.Want)
	case *kind.MaxItems:
		return f.say("it has %d items; at most %d are allowed", why.Got, why.Want)
	case *kind.Pattern:
		return f.say("%v", f.part["patternErrorMessage"])
	case *kind.Format:
		return f.say("%v", why.Err)
	}
	if words, ok := f.part["errorMessage"]; ok {
		return Errors{errorAt(f.at.at, "%s: %v", f.path, words)}
	}
	return f.say("it is not allowed here")
}

func (f finding) say(format string, args ...any) Errors {
	return Errors{errorAt(f.at.at, "%s is %s; %s", f.path, f.at.shown(), fmt.Sprintf(format, args...))}
}

func (f finding) unknownKeys() Errors {
	properties, _ := f.part["properties"].(map[string]any)
	known := sortedKeys(properties)
	var all Errors
	for _, key := range f.at.keys {
		if _, ok := properties[key]; ok || len(all) > maxErrors {
			continue
		}
		hint := "known here: " + strings.Join(known, ", ")
		if near := nearest(key, known); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		all = append(all, errorAt(f.at.fields[key].at, "unknown key %q in %s; %s", shorten(key), f.path, hint))
	}
	return all
}

func (f finding) missing(what string, keys []string) Errors {
	words := strings.Join(keys, ", ")
	if last := len(keys) - 1; last > 0 {
		words = strings.Join(keys[:last], ", ") + " and " + keys[last]
	}
	return Errors{errorAt(f.at.at, "%s%s needs %s", what, f.path, words)}
}

var typeWords = map[string]string{
	"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false", "array": "a list", "object": "a mapping",
}

func (f finding) wrongType(want []string) string {
	words := make([]string, len(want))
	for i, t := range want {
		words[i] = typeWords[t]
	}
	must := "it must be " + strings.Join(words, " or ")
	if format, _ := f.part["format"].(string); strings.HasSuffix(format, "go-duration") || len(want) > 1 {
		return fmt.Sprint(f.part["patternErrorMessage"])
	}
	if known, _ := f.part["properties"].(map[string]any); len(known) > 0 {
		return must + "; known here: " + strings.Join(sortedKeys(known), ", ")
	}
	if f.at.kind == scalarValue && f.at.scalar != nil && slices.Contains(want, "string") {
		return fmt.Sprintf("%s: quote it, %q", must, shorten(f.at.source))
	}
	return must
}

func (f finding) oneOf(allowed []any) string {
	words := make([]string, len(allowed))
	for i, word := range allowed {
		words[i] = fmt.Sprint(word)
	}
	if len(words) == 1 {
		return "it must be " + words[0]
	}
	must := "it must be one of " + strings.Join(words, ", ")
	if near := nearest(f.at.text(), words); near != "" {
		must += fmt.Sprintf("; did you mean %s?", near)
	}
	return must
}

// nearest is the known word that is most like word, or empty when none is like it.
func nearest(word string, known []string) string {
	best, least := "", 1+max(1, len(word)/3)
	if len(word) > 64 || len(known) > 1000 {
		return ""
	}
	for _, candidate := range known {
		if strings.EqualFold(word, candidate) {
			return candidate
		}
		if len(candidate) >= len(word)+least || len(word) >= len(candidate)+least {
			continue
		}
		if d := editDistance(word, candidate); d < least {
			best, least = candidate, d
		}
	}
	return best
}

// editDistance counts the bytes to insert, delete, replace or swap with a neighbour to get from a to b.
func editDistance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row = last, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := last[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			row[j] = min(replaced, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
