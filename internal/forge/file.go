package forge

import (
	_ "embed"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"windlass/desired"
	"windlass/internal/outbound"
)

//go:embed forges.schema.yaml
var schemaSource []byte

var description = desired.Describe(schemaSource, "the file", "github.com", map[string]func(string) error{
	"place": func(s string) error { _, err := outbound.ParseURL(s); return err },
})

// A Kind is the software of a forge.
type Kind string

// The kinds there are.
const (
	GitHub Kind = "github"
	GitLab Kind = "gitlab"
	Gitea  Kind = "gitea" // and Forgejo
)

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

// Read reads the file of --forges. Paths in it are relative to its directory. Its error is everything that is wrong, by line and column, or by host. An
// empty path is no forges.
func Read(path string) (Hosts, error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read --forges: %w", err)
	}
	hosts := Hosts{}
	if wrong := description.Read(path, text, &hosts); len(wrong) > 0 {
		return nil, wrong
	}
	for _, name := range slices.Sorted(maps.Keys(hosts)) {
		host, err := hosts[name].complete(name, filepath.Dir(path))
		if err != nil {
			return nil, fmt.Errorf("%s: host %q: %w", path, name, err)
		}
		hosts[name] = host
	}
	return hosts, nil
}

// hostName is a host, with or without a port.
var hostName = regexp.MustCompile(`^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?$`)

// complete fills in what the file leaves out, and says what a schema cannot.
func (h Host) complete(name, dir string) (Host, error) {
	if !hostName.MatchString(name) {
		return h, fmt.Errorf("it must be written as the deploy repo's URL does, in small letters, as in git.example.com")
	}
	if h.Name = name; h.API == "" {
		h.API = usualAPI(name, h.Kind)
	}
	for _, file := range []*string{&h.TokenFile, &h.CAFile} {
		if *file != "" && !filepath.IsAbs(*file) {
			*file = filepath.Join(dir, *file)
		}
	}
	_, err := outbound.New(outbound.Options{CAFile: h.CAFile})
	return h, err
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
