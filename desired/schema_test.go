package desired_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"windlass/desired"
)

func schemaTree(t *testing.T) map[string]any {
	t.Helper()
	var tree map[string]any
	if err := json.Unmarshal(desired.Schema(), &tree); err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestTheSchemaIsStable(t *testing.T) {
	if !bytes.Equal(desired.Schema(), desired.Schema()) || !bytes.HasSuffix(desired.Schema(), []byte("}\n")) {
		t.Error("the schema's bytes change")
	}
}

// Editors show a description for every key, whole.
func TestEveryKeyIsDescribed(t *testing.T) {
	var walk func(path string, at any)
	walk = func(path string, at any) {
		switch at := at.(type) {
		case map[string]any:
			properties, _ := at["properties"].(map[string]any)
			for key, part := range properties {
				part := part.(map[string]any)
				if said, _ := part["description"].(string); !strings.HasSuffix(said, ".") && len(part) > 1 {
					t.Errorf("%s/%s has no description, or it ends early: %q", path, key, said)
				}
			}
			for key, part := range at {
				if part == nil {
					t.Errorf("%s has a stray key: %q", path, key)
				}
				walk(path+"/"+key, part)
			}
		case []any:
			for _, part := range at {
				walk(path, part)
			}
		}
	}
	walk("", schemaTree(t))
}

// Every key of the file has the field of the same name to be decoded into, but for the few that are read otherwise.
func TestEveryKeyHasItsField(t *testing.T) {
	tree := schemaTree(t)
	defs := tree["$defs"].(map[string]any)
	elsewhere := map[string]bool{"apiVersion": true, "kind": true, "base": true, "rollout.drain": true}
	var walk func(path string, schema map[string]any, into reflect.Type)
	walk = func(path string, schema map[string]any, into reflect.Type) {
		if ref, ok := schema["$ref"].(string); ok {
			walk(path, defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any), into)
		}
		for into.Kind() == reflect.Pointer || into.Kind() == reflect.Slice {
			into = into.Elem()
		}
		if items, ok := schema["items"].(map[string]any); ok {
			walk(path, items, into)
		}
		properties, _ := schema["properties"].(map[string]any)
		for key, part := range properties {
			name := strings.TrimPrefix(path+"."+key, ".")
			if elsewhere[name] {
				continue
			}
			field, ok := into.FieldByNameFunc(func(s string) bool { return strings.EqualFold(s, key) })
			if into.Kind() != reflect.Struct || !ok {
				t.Errorf("%s has no field in %v", name, into)
				continue
			}
			walk(name, part.(map[string]any), field.Type)
		}
	}
	walk("", tree, reflect.TypeFor[desired.Fleet]())
}
