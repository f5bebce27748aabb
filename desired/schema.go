package desired

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"
)

//go:embed fleet.schema.yaml
var schemaSource []byte

// Schema is the JSON Schema of a fleet file, for editors: the same description that Load validates with and takes
// defaults from. Its bytes change only with the format.
func Schema() []byte { return schemaJSON(schemaSource) }

func schemaJSON(source []byte) []byte {
	text, err := yaml.YAMLToJSON(source)
	if err != nil {
		panic(fmt.Sprintf("cannot read the embedded schema: %v", err))
	}
	var out bytes.Buffer
	if err := json.Indent(&out, text, "", "  "); err != nil {
		panic(fmt.Sprintf("cannot read the embedded schema: %v", err))
	}
	out.WriteByte('\n')
	return out.Bytes()
}

// requireAll asks of a merged document what editors ask only of a file without a base.
func requireAll(tree map[string]any) {
	withoutBase := tree["else"].(map[string]any)
	tree["required"] = append(tree["required"].([]any), withoutBase["required"].([]any)...)
	delete(tree, "if")
	delete(tree, "else")
}

const schemaURL = "fleet:schema"

// A schema is one with its references replaced by what they refer to, as a tree and compiled.
type schema struct {
	about    string // what it describes, for messages: the fleet
	tree     map[string]any
	compiled *jsonschema.Schema
}

type fleetSchema struct {
	schema
	name    *regexp.Regexp // of a fleet
	release *regexp.Regexp
}

// treeOf panics when the embedded schema is broken, which any test shows that reads a file by it.
func treeOf(source []byte) map[string]any {
	var tree map[string]any
	if err := json.Unmarshal(schemaJSON(source), &tree); err != nil {
		panic(fmt.Sprintf("cannot read the embedded schema: %v", err))
	}
	defs, _ := tree["$defs"].(map[string]any)
	delete(tree, "$defs")
	return withoutReferences(tree, defs).(map[string]any)
}

var theSchema = sync.OnceValue(func() fleetSchema {
	s := fleetSchema{schema: schema{about: "the fleet", tree: treeOf(schemaSource)}}
	requireAll(s.tree)
	s.compiled = compile(s.tree, nil)
	s.name = regexp.MustCompile(s.part("#/properties/name")["pattern"].(string))
	s.release = regexp.MustCompile(s.part("#/properties/release")["pattern"].(string))
	return s
})

func compile(tree map[string]any, own map[string]func(string) error) *jsonschema.Schema {
	compiler := jsonschema.NewCompiler()
	for _, all := range []map[string]func(string) error{formats, own} {
		for name, check := range all {
			compiler.RegisterFormat(&jsonschema.Format{Name: name, Validate: func(v any) error {
				if s, ok := v.(string); ok {
					return check(s)
				}
				return nil
			}})
		}
	}
	compiler.AssertFormat()
	if err := compiler.AddResource(schemaURL, tree); err != nil {
		panic(fmt.Sprintf("cannot add the embedded schema: %v", err))
	}
	return compiler.MustCompile(schemaURL)
}

// withoutReferences replaces each $ref by the definition it names; what stands beside it is merged over that.
func withoutReferences(schema any, defs map[string]any) any {
	switch schema := schema.(type) {
	case map[string]any:
		out := make(map[string]any, len(schema))
		for key, part := range schema {
			out[key] = withoutReferences(part, defs)
		}
		ref, ok := out["$ref"].(string)
		if !ok {
			return out
		}
		delete(out, "$ref")
		definition := withoutReferences(defs[strings.TrimPrefix(ref, "#/$defs/")], defs)
		return mergedOver(definition.(map[string]any), out)
	case []any:
		out := make([]any, len(schema))
		for i, part := range schema {
			out[i] = withoutReferences(part, defs)
		}
		return out
	}
	return schema
}

func mergedOver(base, over map[string]any) map[string]any {
	out := maps.Clone(base)
	for key, part := range over {
		lower, isMap := out[key].(map[string]any)
		upper, both := part.(map[string]any)
		if isMap && both {
			part = mergedOver(lower, upper)
		}
		out[key] = part
	}
	return out
}

// check reports everything in document that the schema does not allow.
func (s schema) check(document *value) Errors {
	err := s.compiled.Validate(document.plain())
	if err == nil {
		return nil
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return Errors{errorAt(document.at, "%s is not valid: %v", s.about, err)}
	}
	return s.explain(document, invalid)
}

// part is the piece of the schema at a location such as fleet:schema#/properties/name.
func (s schema) part(location string) map[string]any {
	var at any = s.tree
	_, pointer, _ := strings.Cut(location, "#")
	for step := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		switch node := at.(type) {
		case map[string]any:
			if step != "" {
				at = node[unescapePointer.Replace(step)]
			}
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(node) {
				return nil
			}
			at = node[i]
		}
	}
	part, _ := at.(map[string]any)
	return part
}

var unescapePointer = strings.NewReplacer("~1", "/", "~0", "~")
