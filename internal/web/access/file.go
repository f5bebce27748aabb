package access

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/common/config"
	toolkit "github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v3"

	"windlass/desired"
)

const mostFile = 1 << 20 // bytes of the file, and of each that it names

// A document is what the file says: the toolkit's keys and our own.
type document struct {
	toolkit.Config `yaml:",inline"`
	Readers        []string `yaml:"readers"`
}

// A digest tells what was read from everything else that could be.
type digest [sha256.Size]byte

// read reads the file, and in place of the names of certificate, key and authorities puts what is in them, so that what was read hangs
// together. Its digest is told whatever the error.
func read(path string) (d document, seen digest, err error) {
	all := sha256.New()
	defer func() {
		fmt.Fprint(all, err)
		seen = digest(all.Sum(nil))
	}()
	take := func(file string) (string, error) {
		text, err := bounded(file)
		fmt.Fprintf(all, "%q %q\n", file, text)
		return string(text), err
	}
	text, err := take(path)
	if err != nil {
		return d, seen, err
	}
	if d, err = parse(path, []byte(text)); err != nil {
		return d, seen, err
	}
	err = d.inline(take)
	return d, seen, err
}

func bounded(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() // only read from
	text, err := io.ReadAll(io.LimitReader(file, mostFile+1))
	if err == nil && len(text) > mostFile {
		err = fmt.Errorf("%s has more than %d bytes", path, mostFile)
	}
	return text, err
}

func (d *document) inline(take func(string) (string, error)) error {
	t := &d.TLSConfig
	key := string(t.TLSKey)
	for _, part := range []struct {
		name       string
		path, text *string
	}{{"cert", &t.TLSCertPath, &t.TLSCert}, {"key", &t.TLSKeyPath, &key}, {"client_ca", &t.ClientCAs, &t.ClientCAsText}} {
		if *part.path == "" {
			continue
		}
		if *part.text != "" {
			return fmt.Errorf("tls_server_config has %[1]s and %[1]s_file: keep one of them", part.name)
		}
		text, err := take(*part.path)
		if err != nil {
			return fmt.Errorf("cannot read %s_file: %w", part.name, err)
		}
		*part.path, *part.text = "", text
	}
	t.TLSKey = config.Secret(key)
	return nil
}

// known are the keys that mean something here, by the map that they are in.
var known = map[string][]string{
	"": {"tls_server_config", "http_server_config", "basic_auth_users", "readers"},
	"tls_server_config": {
		"cert", "key", "client_ca", "cert_file", "key_file", "client_ca_file", "client_auth_type", "client_allowed_sans",
		"cipher_suites", "curve_preferences", "min_version", "max_version",
	},
	"http_server_config": {"http2", "headers"},
}

// refused are keys of the toolkit's that mean nothing here, and what to do instead.
var refused = map[string]string{
	"rate_limit":                  "it counts everybody's requests together, good ones too: remove it; ten failed tries a minute are allowed to each address",
	"prefer_server_cipher_suites": "it has no effect, as Go picks the suite: remove it",
}

// parse reads the text of the file at path. Paths in it are relative to its directory. Errors have its name, line and column.
func parse(path string, text []byte) (document, error) {
	name := filepath.Base(path)
	d := document{Config: defaults()}
	var top yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&top); errors.Is(err, io.EOF) {
		return d, nil
	} else if err != nil {
		return d, explained(name, err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return d, fmt.Errorf("%s: there is a second document; write one", name)
	}
	if err := check(name, top.Content[0]); err != nil {
		return d, err
	}
	if err := top.Decode(&d); err != nil {
		return d, explained(name, err)
	}
	d.TLSConfig.SetDirectory(filepath.Dir(path))
	return d, nil
}

// check refuses keys that mean nothing, so that nobody relies on them.
func check(file string, top *yaml.Node) error {
	if top.Kind != yaml.MappingNode && top.Tag != "!!null" {
		return fmt.Errorf("%s: write keys, as in \"basic_auth_users:\"", desired.Position{File: file, Line: top.Line, Column: top.Column})
	}
	for _, section := range slices.Sorted(maps.Keys(known)) {
		of, keys := top, known[section]
		if section != "" {
			of = valueOf(top, section)
		}
		for key := range pairs(of) {
			at := desired.Position{File: file, Line: key.Line, Column: key.Column}
			if why, ok := refused[key.Value]; ok {
				return fmt.Errorf("%s: %s is not taken: %s", at, key.Value, why)
			}
			if !slices.Contains(keys, key.Value) {
				return fmt.Errorf("%s: unknown key %q%s", at, key.Value, didYouMean(key.Value, keys))
			}
		}
	}
	return nil
}

// pairs are the keys and values of a map; of anything else there are none.
func pairs(of *yaml.Node) func(yield func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		if of == nil || of.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(of.Content); i += 2 {
			if !yield(of.Content[i], of.Content[i+1]) {
				return
			}
		}
	}
}

func valueOf(of *yaml.Node, wanted string) *yaml.Node {
	for key, value := range pairs(of) {
		if key.Value == wanted {
			for value.Kind == yaml.AliasNode {
				value = value.Alias
			}
			return value
		}
	}
	return nil
}

func didYouMean(word string, known []string) string {
	if near := desired.Nearest(word, known); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}

// place is where the library's errors say that something is wrong: a line at most.
var place = regexp.MustCompile(`^(?:yaml: )?(?:unmarshal errors:\s*)?(?:line (\d+): )?`)

// explained names the first thing that is wrong, with its line.
func explained(file string, err error) error {
	first, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "yaml: unmarshal errors:\n"), "\n")
	first = strings.TrimSpace(first)
	return fmt.Errorf("%s:%s:1: cannot be understood: %s", file, cmp.Or(place.FindStringSubmatch(first)[1], "1"), place.ReplaceAllString(first, ""))
}
