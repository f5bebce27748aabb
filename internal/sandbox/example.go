package sandbox

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strconv"

	example "windlass/deploy-repo-example"
)

// exampleFleet is the fleet of deploy-repo-example that is played here.
const (
	exampleFleet = "web-live"
	exampleFile  = "fleets/web-live.yaml"
)

// A stage is what the example's live fleet is played on.
type stage struct {
	fleet    string // its name here, and that of its target group
	release  string
	nodes    int
	user     string // to log in as
	ssh, web int    // ports
	chat     bool   // there is one
	code     string // the repository that releases are tags of; empty: they are not asked about
	etc      string // the directory that stands for /etc, one for all nodes as they share a disk
}

// file is the fleet's, relative to the repo.
func (s stage) file() string { return "fleets/" + s.fleet + ".yaml" }

// A change is what is different here in a file of the example.
type change struct {
	file string
	old  *regexp.Regexp
	new  string
}

// changes are what one machine cannot give that has neither root nor systemd nor a disk for each node, and what would take longer
// than people watch. Everything else of the example is played as it is.
func (s stage) changes() []change {
	const fleet, base, env = exampleFile, "base/web.yaml", "files/web.env.tmpl"
	code := "# source:"
	if s.code != "" {
		code = fmt.Sprintf("source: {repository: '%s', checks: [{name: %s, app: %s}]} #", s.code, CheckName, CheckApp)
	}
	heard := "# notify:"
	if s.chat {
		heard = "notify: [{channel: " + chatChannel + "}] #"
	}
	return []change{
		{fleet, re(`# notify:`), heard},
		{fleet, re(`# source:`), code},
		{fleet, re(exampleFleet), s.fleet},
		{fleet, re(`release: \S+`), "release: " + s.release},
		{fleet, re(`expect: 8`), "expect: " + strconv.Itoa(s.nodes)},
		{fleet, re(`at least 7 of 8`), fmt.Sprintf("at least %d of %d", s.nodes-1, s.nodes)},
		{fleet, re(`bake: \w+`), "bake: 500ms"},
		{fleet, re(`attempts: 2 # a node that fails twice`), "drain: {settle: 0s} # this machine's balancer spreads at once that a node leaves\n  attempts: 1 # a node that fails"},

		{base, re(`user: deploy`), fmt.Sprintf("user: %s\n  port: %d", s.user, s.ssh)},
		{base, re(`  (sudo|stateDir): .*\n`), ""},
		{base, re(` owner: root:web,`), ""},
		{base, re(`to: /etc/(?:\w+/)+`), `to: ` + s.etc + "/"},
		{base, re(`mkdir -p /etc/web `), "mkdir -p "},
		{base, re(`"/opt/web/`), `"$$HOME/`},
		{base, re(` /opt/web(\S*)`), ` "$$HOME$1"`},
		{base, re(`(http: \{port: )8080(, .*\})\}`), fmt.Sprintf("${1}%d$2, interval: 200ms, timeout: 1s, within: 4s}", s.web)},
		{env, re(`8080`), strconv.Itoa(s.web)},
	}
}

func re(pattern string) *regexp.Regexp { return regexp.MustCompile(pattern) }

// files are the example's, changed, by name; the staging fleet is left out. The error is that the example has no longer what is to
// be changed.
func (s stage) files() (map[string]string, error) {
	files := map[string]string{}
	err := fs.WalkDir(example.Files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Dir(name) == "fleets" && name != exampleFile {
			return err
		}
		content, err := fs.ReadFile(example.Files, name)
		files[name] = string(content)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, c := range s.changes() {
		if !c.old.MatchString(files[c.file]) {
			return nil, fmt.Errorf("%s of the example has nothing like %q, which differs here", c.file, c.old)
		}
		files[c.file] = c.old.ReplaceAllString(files[c.file], c.new)
	}
	fleet := files[exampleFile]
	delete(files, exampleFile)
	files[s.file()] = fleet
	return files, nil
}
