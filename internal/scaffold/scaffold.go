package scaffold

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing/fstest"

	example "windlass/deploy-repo-example"
	"windlass/desired"
)

// Answers are what a team says of its first fleet.
type Answers struct {
	Fleet   string            // its name
	Release string            // what its nodes serve today
	Tags    map[string]string // of its EC2 instances
	Expect  int               // how many nodes there are at least; 0: not said
	Group   string            // the target group, by name or ARN; empty: no load balancer
	Port    int               // where a node is asked for its health and its release
	Install string            // the command that makes a node run $WINDLASS_RELEASE
	User    string            // to log in as
}

// Usual are answers that are valid together. Each may be tried among them.
func Usual() Answers {
	return Answers{
		Fleet: "web-live", Release: "v1.4.2", Tags: map[string]string{"app": "web"}, Group: "web-live", Port: 8080,
		Install: "install-release", User: "deploy",
	}
}

// Files are the files of a deploy repo, by path. An error says why the answers make no valid fleet, without a position: they are in no
// file yet.
func Files(a Answers) (map[string][]byte, error) {
	fleetFile, err := fleetText(a)
	if err != nil {
		return nil, err
	}
	if err := accepted([]byte(fleetFile), a); err != nil {
		return nil, err
	}
	files := map[string][]byte{"fleets/" + a.Fleet + ".yaml": []byte(fleetFile)}
	if err := fs.WalkDir(example.Around, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files[path], err = fs.ReadFile(example.Around, path)
		return err
	}); err != nil {
		return nil, err
	}
	files["fleet.schema.json"] = desired.Schema()
	files["README.md"], err = readme(files, a)
	return files, err
}

// accepted reads a fleet file as the agent does, and compares what it says with the answers: whatever they hold, it stands there as
// it was given.
func accepted(fleetFile []byte, a Answers) error {
	read, err := desired.Load(fstest.MapFS{"fleets/fleet.yaml": {Data: fleetFile, Mode: 0o644}})
	if err != nil {
		return err
	}
	for _, rejection := range read.Rejected {
		return errors.New(rejection.Errors[0].Message)
	}
	fleet := read.Fleets[a.Fleet]
	if fleet == nil || !same(fleet, a) {
		return errors.New("it cannot be written as YAML: give printable text")
	}
	return nil
}

func same(f *desired.Fleet, a Answers) bool {
	groups := []desired.LoadBalancer{{TargetGroup: a.Group}}
	if a.Group == "" {
		groups = nil
	}
	return f.Name == a.Fleet && f.Release == a.Release && maps.Equal(f.Nodes.EC2.Tags, a.Tags) && f.Nodes.Expect == a.Expect &&
		slices.Equal(f.LoadBalancers, groups) && f.SSH.User == a.User && f.Configure.Activate[0].Run == a.Install &&
		!slices.ContainsFunc(f.Health, func(c desired.Check) bool { return c.HTTP.Port != a.Port })
}

// readme is the example's, about this fleet and with the files that there are.
func readme(files map[string][]byte, a Answers) ([]byte, error) {
	text, err := replaced(string(files["README.md"]), []edit{
		{"# A deploy repo for windlass\n\nCopy this directory, its `*.go` files apart, into a repository of your own and put your names in, or let `windlass init` do both. Then point the agent at it:\n",
			"# A deploy repo for windlass\n\nPoint the agent at it:\n"},
		{"merge it. Staging first, live when you are content:", "merge it:"},
		{"-release: v1.4.2\n+release: v1.4.3\n", "-release: " + quoted(a.Release) + "\n+release: NEXT\n"},
		{"proves that it serves v1.4.3, and puts", "proves that it serves the release, and puts"},
		{"`windlass deploy web-live v1.4.3` does", "`windlass deploy " + a.Fleet + " NEXT` does"},
		{"`windlass rollback web-live` does", "`windlass rollback " + a.Fleet + "` does"},
		{"`windlass up web-live` runs", "`windlass up " + a.Fleet + "` runs"},
		{"rest keeps serving v1.4.2, and", "rest keeps serving what it had, and"},
		{"nodes that had left v1.4.2 are", "nodes that had left the old release are"},
		{"| `fleets/web-staging.yaml`, `fleets/web-live.yaml` | one file for each fleet:", "| `fleets/web-live.yaml` | one file for each fleet:"},
		{"\nuses it: give live a base of its own when it must not follow staging. Secrets", "\nuses it. Secrets"},
	})
	if err != nil {
		return nil, err
	}
	var kept []string
	for line := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(line, "| `base/") || strings.HasPrefix(line, "| `files/") {
			continue // a fleet alone needs neither
		}
		kept = append(kept, line)
	}
	return []byte(strings.ReplaceAll(strings.Join(kept, "\n"), "fleets/web-live.yaml", "fleets/"+a.Fleet+".yaml")), nil
}
