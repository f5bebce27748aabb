package desired

import (
	"encoding/json"
	"sync"
)

// A Description says what a file of the agent's own may hold, by a JSON Schema in the style of the fleet file's: so that all files that people write are
// read as strictly, and complain alike.
type Description struct {
	schema  func() schema // compiled when it is asked for first, as most commands read no such file
	example string
}

// Describe takes a schema in YAML, and checks of formats that are its own, whose errors say what would be right. About is what the file describes and
// example a line of it, for messages. Read panics on a schema that is broken, as schemas are part of the program.
func Describe(source []byte, about, example string, own map[string]func(string) error) *Description {
	return &Description{example: example, schema: sync.OnceValue(func() schema {
		s := schema{about: about, tree: treeOf(source)}
		s.compiled = compile(s.tree, own)
		return s
	})}
}

// Read puts what the text of a file says into the value that into points to, with the schema's defaults for what is left out, or returns everything
// that is wrong, by line and column. Durations come as nanoseconds.
func (d *Description) Read(file string, text []byte, into any) Errors {
	if len(text) > maxDocumentBytes {
		return Errors{errorAt(Position{file, 1, 1}, "the file has more than %d bytes", maxDocumentBytes)}
	}
	document, errors := parseMapping(file, text, d.example)
	if document != nil {
		errors = append(errors, d.schema().check(document)...)
	}
	if len(errors) > 0 {
		return atMost(maxErrors, sorted(errors))
	}
	return d.schema().decode(document, into)
}

// decode puts a valid document into the value that into points to, with the defaults of what is left out.
func (s schema) decode(document *value, into any) Errors {
	filled, err := json.Marshal(filledIn(s.tree, document.plain()))
	if err == nil {
		err = json.Unmarshal(filled, into)
	}
	if err != nil {
		return Errors{errorAt(Position{document.at.File, 1, 1}, "%s cannot be understood: %v", s.about, err)}
	}
	return nil
}
