package manual

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const fleetExample = `  apiVersion: windlass/v1
  kind: Fleet
  name: web-live
  release: v1.4.2 # this line is the deploy
  nodes: {ec2: {tags: {app: web, env: live}}}
  loadBalancers: [{targetGroup: web-live}]
  ssh: {user: deploy, sudo: true}
  configure:
    activate:
      - {name: install, run: 'apt-get install -y "web=$WINDLASS_RELEASE"'}
  health:
    - {name: serves, http: {port: 8080, path: /version, body: '{release}'}}`

// fleetFile is the page of the fleet file: every key of the schema, with what it is for and what it is when left out.
func fleetFile(schema []byte, edition Edition) (Page, error) {
	const name = "windlass-fleet"
	var document yaml.Node // JSON is YAML
	if err := yaml.Unmarshal(schema, &document); err != nil {
		return Page{}, fmt.Errorf("cannot read the schema of fleet files: %w", err)
	}
	if len(document.Content) == 0 {
		return Page{}, errors.New("cannot read the schema of fleet files: there is none")
	}
	keys := newSchemaKeys(document.Content[0])
	var s sheet
	s.title(name, 5, edition)
	s.name(name, "what a fleet of servers should run, and how it gets there")
	s.section("DESCRIPTION")
	s.text(`A fleet file is YAML, below fleets/ in the deploy repo. windlass-validate(1) checks it, and windlass-schema(1) prints its JSON Schema, by which
editors complete keys and mark mistakes. Keys are written here by their path; [] stands for each entry of a list.`)
	s.section("EXAMPLE")
	s.literal(fleetExample)
	s.section("KEYS")
	keys.list(&s, keys.part(document.Content[0]), "")
	s.section("SEE ALSO")
	s.line("windlass(1), windlass-validate(1), windlass-schema(1)")
	return Page{File: name + ".5", Text: s.String()}, nil
}

// schemaKeys finds its way in a schema.
type schemaKeys struct{ definitions map[string]*yaml.Node }

// A schemaPart is what a schema says of one thing in several places, the nearest first: a reference goes on where it leads.
type schemaPart []*yaml.Node

func newSchemaKeys(root *yaml.Node) schemaKeys {
	return schemaKeys{definitions: fields(schemaPart{root}.find("$defs"))}
}

// part is a place in the schema, and where it refers to.
func (k schemaKeys) part(places ...*yaml.Node) schemaPart {
	var all schemaPart
	for _, place := range places {
		for place != nil {
			all = append(all, place)
			reference := fields(place)["$ref"]
			place = nil
			if reference != nil {
				place = k.definitions[strings.TrimPrefix(reference.Value, "#/$defs/")]
			}
		}
	}
	return all
}

// list writes an entry for each key below a part of the schema, sorted.
func (k schemaKeys) list(s *sheet, part schemaPart, path string) {
	below := map[string][]*yaml.Node{}
	for _, place := range part {
		for key, value := range fields(fields(place)["properties"]) {
			below[key] = append(below[key], value)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(below)) {
		value, full := k.part(below[key]...), strings.TrimPrefix(path+"."+key, ".")
		s.term(full, "")
		s.line(value.explained())
		k.list(s, value, full)
	}
	if items := part.find("items"); items != nil {
		k.list(s, k.part(items), path+"[]")
	}
}

// explained is the description of a key, with the choices there are and its default.
func (p schemaPart) explained() string {
	var text string
	if said := p.find("description"); said != nil {
		text = said.Value
	}
	if choices := p.find("enum"); choices != nil && len(choices.Content) > 1 {
		var words []string
		for _, c := range choices.Content {
			words = append(words, c.Value)
		}
		text += " One of: " + strings.Join(words, ", ") + "."
	}
	if value := p.find("default"); value != nil && value.Kind == yaml.ScalarNode && value.Value != "" {
		text += " Default: " + value.Value + "."
	}
	return text
}

// find is the nearest that is said of a word; nil: nothing.
func (p schemaPart) find(word string) *yaml.Node {
	for _, place := range p {
		if said := fields(place)[word]; said != nil {
			return said
		}
	}
	return nil
}

// fields are the values of a map by their keys; of anything else there are none.
func fields(node *yaml.Node) map[string]*yaml.Node {
	found := map[string]*yaml.Node{}
	if node == nil || node.Kind != yaml.MappingNode {
		return found
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		found[node.Content[i].Value] = node.Content[i+1]
	}
	return found
}
