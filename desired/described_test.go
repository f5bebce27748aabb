package desired_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"windlass/desired"
)

var pets = desired.Describe([]byte(`
title: pets
type: object
additionalProperties: false
required: [pets]
properties:
  pets: {type: object, additionalProperties: {$ref: '#/$defs/pet'}}
$defs:
  pet:
    type: object
    additionalProperties: false
    properties:
      name: {type: string, format: pet-name}
      nap: {type: string, pattern: '^[0-9]+[smh]$', patternErrorMessage: it must be a duration, format: go-duration, default: 2h}
`), "the file of pets", "pets: {}", map[string]func(string) error{"pet-name": func(s string) error {
	if s == "Cat" {
		return errors.New("it must be no kind")
	}
	return nil
}})

func TestDescribedFilesAreReadAsStrictly(t *testing.T) {
	t.Parallel()
	var got struct {
		Pets map[string]struct {
			Name string
			Nap  time.Duration
		}
	}
	if errors := pets.Read("pets.yaml", []byte("pets: {a: {name: Rex}, b: {nap: 5m}}"), &got); errors != nil {
		t.Fatal(errors)
	}
	if got.Pets["a"].Name != "Rex" || got.Pets["a"].Nap != 2*time.Hour || got.Pets["b"].Nap != 5*time.Minute {
		t.Errorf("%+v", got)
	}
	for text, want := range map[string]string{
		"":                           "pets.yaml:1:1: the file is empty",
		"- a":                        "pets.yaml:1:1: the file is a list; it must be a mapping of keys such as pets: {}",
		"{}":                         "pets.yaml:1:1: the file of pets needs pets",
		"pets: {a: {nam: Rex}}":      `pets.yaml:1:12: unknown key "nam" in pets.a; did you mean "name"?`,
		"pets:\n  a: {name: 1}":      `pets.yaml:2:13: pets.a.name is 1; it must be text: quote it, "1"`,
		"pets: {a: &x {}, b: *x}":    "pets.yaml:1:11: anchor &x: anchors are not allowed; write the value out where it is needed, or use base; pets.yaml:1:21: alias *x: aliases are not allowed; write the value out, or use base",
		"pets: {a: {name: Cat}}":     `pets.yaml:1:18: pets.a.name is "Cat"; it must be no kind`,
		strings.Repeat("#", 1<<20+1): "pets.yaml:1:1: the file has more than 1048576 bytes",
	} {
		if got := pets.Read("pets.yaml", []byte(text), &got).Error(); got != want {
			t.Errorf("%.30q: %s, want %s", text, got, want)
		}
	}
}

// A command that reads no such file spends nothing on schemas at its start.
func TestADescriptionIsCompiledWhenItIsUsed(t *testing.T) {
	t.Parallel()
	broken := desired.Describe([]byte("type: nonsense"), "nothing", "a: b", nil)
	defer func() {
		if recover() == nil {
			t.Error("a broken schema is taken")
		}
	}()
	broken.Read("nothing.yaml", []byte("a: b"), new(any))
}
