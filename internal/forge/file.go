package forge

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"

	"windlass/desired"
	"windlass/internal/outbound"
)

const mostFile = 1 << 20 // bytes

// A Kind is the software of a forge.
type Kind string

// The kinds there are.
const (
	GitHub Kind = "github"
	GitLab Kind = "gitlab"
	Gitea  Kind = "gitea" // and Forgejo
)

var kinds = []string{string(GitHub), string(GitLab), string(Gitea)}

// A Host is a forge as the file describes it.
type Host struct {
	Name      string // as the file says it: a host, or host:port
	Kind      Kind
	TokenFile string // read again for each attempt, so that a token can be changed
	API       string // address of its API
	CAFile    string // authorities that are trusted beside the system's; empty: none
}

// Hosts are the forges of a file, by name.
type Hosts map[string]Host

// builtin are hosts whose pages are known without a file.
var builtin = map[string]Kind{"github.com": GitHub, "gitlab.com": GitLab}

// Read reads the file of --forges. Paths in it are relative to its directory. Errors have its path, line and column. An empty path is no forges.
func Read(path string) (Hosts, error) {
	if path == "" {
		return nil, nil
	}
	text, err := bounded(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read --forges: %w", err)
	}
	r := reader{path}
	top, err := r.document(text)
	if err != nil || top == nil {
		return nil, err
	}
	hosts := Hosts{}
	for i := 0; i+1 < len(top.Content); i += 2 {
		key, value := top.Content[i], top.Content[i+1]
		if _, twice := hosts[key.Value]; twice {
			return nil, r.fail(key, "host %q is there twice", key.Value)
		}
		if hosts[key.Value], err = r.host(key, value); err != nil {
			return nil, err
		}
	}
	return hosts, nil
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

// A reader makes hosts of the nodes of a file.
type reader struct{ path string }

func (r reader) fail(at *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s: %s", desired.Position{File: r.path, Line: at.Line, Column: at.Column}, fmt.Sprintf(format, args...))
}

// yamlPlace is where the library's errors say that a file is no YAML: a line at most.
var yamlPlace = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// document is the map that the file holds; nil: it is empty.
func (r reader) document(text []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var top yaml.Node
	switch err := decoder.Decode(&top); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		line := ""
		if place := yamlPlace.FindStringSubmatch(err.Error()); place != nil {
			line = place[1]
		}
		return nil, fmt.Errorf("%s:%s:1: this is not YAML: %s", r.path, cmp.Or(line, "1"), yamlPlace.ReplaceAllString(err.Error(), ""))
	}
	if second := new(yaml.Node); decoder.Decode(second) == nil {
		return nil, r.fail(second, "there is a second document; write one")
	}
	content := top.Content[0]
	switch {
	case content.Kind == yaml.ScalarNode && content.Tag == "!!null":
		return nil, nil
	case content.Kind != yaml.MappingNode:
		return nil, r.fail(content, "write hosts by their names, as in \"github.com: {kind: github, tokenFile: github-token}\"")
	}
	return content, nil
}

// hostName is a host, with or without a port.
var hostName = regexp.MustCompile(`^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?$`)

func (r reader) host(key, value *yaml.Node) (Host, error) {
	h := Host{Name: key.Value}
	if !hostName.MatchString(key.Value) {
		return h, r.fail(key, "%q is no host: write it as the deploy repo's URL does, in small letters, as in git.example.com", key.Value)
	}
	said, err := r.entries(value)
	if err != nil {
		return h, err
	}
	kind := said["kind"]
	switch {
	case kind == nil:
		return h, r.fail(value, "%s needs a kind: github, gitlab or gitea", h.Name)
	case !slices.Contains(kinds, kind.Value):
		return h, r.fail(kind, "kind %q is unknown: github, gitlab or gitea%s", kind.Value, didYouMean(kind.Value, kinds))
	case said["tokenFile"] == nil || said["tokenFile"].Value == "":
		return h, r.fail(value, "%s needs a tokenFile: the file with the token that is used there", h.Name)
	}
	h.Kind, h.TokenFile, h.API = Kind(kind.Value), r.file(said["tokenFile"]), usualAPI(h.Name, Kind(kind.Value))
	if api := said["api"]; api != nil {
		if _, err := outbound.ParseURL(api.Value); err != nil {
			return h, r.fail(api, "api: %v", err)
		}
		h.API = api.Value
	}
	if ca := said["caFile"]; ca != nil {
		h.CAFile = r.file(ca)
		if _, err := outbound.New(outbound.Options{CAFile: h.CAFile}); err != nil {
			return h, r.fail(ca, "caFile: %v", err)
		}
	}
	return h, nil
}

var hostKeys = []string{"kind", "tokenFile", "api", "caFile"}

// entries are the values of a host by their keys.
func (r reader) entries(of *yaml.Node) (map[string]*yaml.Node, error) {
	if of.Kind != yaml.MappingNode {
		return nil, r.fail(of, "write {kind: github, tokenFile: FILE}")
	}
	said := map[string]*yaml.Node{}
	for i := 0; i+1 < len(of.Content); i += 2 {
		key, value := of.Content[i], of.Content[i+1]
		switch {
		case !slices.Contains(hostKeys, key.Value):
			return nil, r.fail(key, "unknown key %q%s", key.Value, didYouMean(key.Value, hostKeys))
		case said[key.Value] != nil:
			return nil, r.fail(key, "key %q is there twice", key.Value)
		case value.Kind != yaml.ScalarNode || value.Tag == "!!null":
			return nil, r.fail(value, "%s wants a single value", key.Value)
		}
		said[key.Value] = value
	}
	return said, nil
}

// file is a path as the file means it.
func (r reader) file(said *yaml.Node) string {
	if filepath.IsAbs(said.Value) {
		return said.Value
	}
	return filepath.Join(filepath.Dir(r.path), said.Value)
}

// usualAPI is where the API of a kind is, unless the file says otherwise.
func usualAPI(host string, kind Kind) string {
	switch {
	case kind == GitLab:
		return "https://" + host + "/api/v4"
	case kind == Gitea:
		return "https://" + host + "/api/v1"
	case host == "github.com":
		return "https://api.github.com"
	}
	return "https://" + host + "/api/v3"
}

func didYouMean(word string, known []string) string {
	if near := desired.Nearest(word, known); near != "" {
		return "; did you mean " + near + "?"
	}
	return ""
}
