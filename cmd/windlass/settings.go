package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"windlass/desired"
)

const (
	configFlag     = "config"
	mostConfigSize = 1 << 20
)

// configurable lets each flag of cmd be given in the environment and in a file as well. A flag goes over the environment, which goes
// over the file.
func configurable(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().String(configFlag, "", "YAML `file` with flags by their names, as in \"repo: https://…\"; flag over environment (WINDLASS_REPO) over file")
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := fromEnvironment(cmd.Flags(), os.Getenv); err != nil {
			return err
		}
		return fromFile(cmd.Flags())
	}
	return cmd
}

// fromEnvironment sets the flags that were not given. An empty variable counts as none.
func fromEnvironment(flags *pflag.FlagSet, getenv func(string) string) error {
	return each(flags, func(f *pflag.Flag) error {
		name := "WINDLASS_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value := getenv(name)
		if f.Changed || value == "" || f.Name == "help" {
			return nil
		}
		if err := flags.Set(f.Name, value); err != nil {
			return fmt.Errorf("%s in the environment: %w", name, plainly(err))
		}
		return nil
	})
}

func each(flags *pflag.FlagSet, do func(*pflag.Flag) error) error {
	var errs []error
	flags.VisitAll(func(f *pflag.Flag) { errs = append(errs, do(f)) })
	return errors.Join(errs...)
}

// fromFile sets the flags that were not given from the file that --config names.
func fromFile(flags *pflag.FlagSet) error {
	path := flags.Lookup(configFlag).Value.String()
	if path == "" {
		return nil
	}
	entries, err := readConfig(path)
	if err != nil {
		return err
	}
	known := fileKeys()
	for _, e := range entries {
		switch f := flags.Lookup(e.key); {
		case !slices.Contains(known, e.key):
			return fmt.Errorf("%s: unknown key %q%s", e.at, e.key, didYouMean("", e.key, known))
		case f == nil || f.Changed: // another command's, or given closer by
		default:
			if err := flags.Set(e.key, e.value); err != nil {
				return fmt.Errorf("%s: %w", e.at, plainly(err))
			}
		}
	}
	return nil
}

// fileKeys are the flags of every command that reads the file, so that one file serves them all.
func fileKeys() []string {
	var keys []string
	for _, cmd := range newRoot().Commands() {
		if cmd.Flags().Lookup(configFlag) == nil {
			continue
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Name != configFlag {
				keys = append(keys, f.Name)
			}
		})
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// yamlPlace is where the library's errors say that a file is no YAML: a line at most.
var yamlPlace = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// A setting is one line of the file.
type setting struct {
	key, value string
	at         desired.Position
}

// readConfig reads a file of one flat YAML map. Its errors have file, line and column.
func readConfig(path string) ([]setting, error) {
	text, err := readBounded(path, mostConfigSize)
	if err != nil {
		return nil, fmt.Errorf("cannot read --config: %w", err)
	}
	decoder := yaml.NewDecoder(strings.NewReader(text))
	var document, second yaml.Node
	if err := decoder.Decode(&document); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		line, why := "1", yamlPlace.ReplaceAllString(err.Error(), "")
		if place := yamlPlace.FindStringSubmatch(err.Error()); place != nil {
			line = cmp.Or(place[1], line)
		}
		return nil, fmt.Errorf("%s:%s:1: this is not YAML: %s", path, line, why)
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s:%d:1: there is a second document; write one", path, max(1, second.Line))
	}
	return settings(path, document.Content[0])
}

func settings(path string, top *yaml.Node) ([]setting, error) {
	position := func(n *yaml.Node) desired.Position {
		return desired.Position{File: path, Line: n.Line, Column: n.Column}
	}
	switch {
	case top.Kind == yaml.ScalarNode && top.Tag == "!!null":
		return nil, nil
	case top.Kind != yaml.MappingNode:
		return nil, fmt.Errorf("%s: write flags by their names, one per line, as in \"interval: 15s\"", position(top))
	}
	seen := map[string]bool{}
	var found []setting
	for i := 0; i < len(top.Content); i += 2 {
		key, value := top.Content[i], top.Content[i+1]
		if value.Kind != yaml.ScalarNode || key.Kind != yaml.ScalarNode || value.Tag == "!!null" {
			return nil, fmt.Errorf("%s: %q wants a single value, as in \"interval: 15s\"", position(value), cmp.Or(key.Value, "a key"))
		}
		if seen[key.Value] {
			return nil, fmt.Errorf("%s: key %q is there twice", position(key), key.Value)
		}
		seen[key.Value] = true
		found = append(found, setting{key: key.Value, value: value.Value, at: position(key)})
	}
	return found, nil
}

// readBounded reads a file that a person wrote; one that is too large is none.
func readBounded(path string, limit int64) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close() // only read from
	text, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return string(text), err
}
