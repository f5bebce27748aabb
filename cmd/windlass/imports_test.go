package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "windlass"

// mayKnow says which parts of the module each part may import (docs/architecture.md). A part is a path
// below the module, its sub-packages included unless they have a line of their own.
var mayKnow = map[string][]string{
	"desired":         {"desired/window"},
	"health":          {},
	"actuators":       {"desired", "health"},
	"reconciler/plan": {"desired", "health", "actuators"},
	"reconciler":      {"desired", "health", "actuators", "reconciler/plan"},
	"reconciler/sim":  {"desired", "health", "actuators", "reconciler/plan", "reconciler"},

	"desired/source":  {"desired", "desired/trust"},
	"desired/window":  {},
	"desired/trust":   {},
	"desired/gitrepo": {"desired", "desired/source", "desired/trust", "internal/durable", "internal/redact"},
	"health/probe":    {"desired", "health", "actuators", "internal/redact"},
	"actuators/elb":   {"desired", "actuators", "internal/awsapi"},
	"actuators/ec2":   {"desired", "actuators", "internal/awsapi"},
	"actuators/host":  {"desired", "actuators", "internal/redact"},

	"internal/durable": {},
	"internal/redact":  {},
	"internal/nettest": {},
	"internal/awsapi":  {"internal/redact"},
	"internal/metrics": {"desired", "health", "reconciler/plan", "reconciler"},
	"internal/history": {"reconciler", "internal/redact"},
	"internal/web":     {"desired", "actuators", "reconciler/plan", "reconciler", "internal/redact", "internal/history", "internal/web/access"},
	"internal/clone":   {"desired/gitrepo", "internal/redact"},
	"internal/follow":  {"reconciler/plan", "reconciler", "internal/web"},
	"internal/manual":  {},
	"internal/sandbox": {"internal/notify/notifytest", "reconciler/plan", "internal/web", "internal/follow", "internal/sandbox/aws", "deploy-repo-example", "internal/live", "desired", "internal/cage", "internal/mirror"},
	"internal/live":    {"reconciler/plan", "internal/web", "internal/follow"},

	"internal/forge":           {"desired", "desired/source", "internal/outbound", "internal/redact"},
	"internal/forge/report":    {"reconciler/plan", "reconciler", "internal/durable", "internal/outbound", "internal/web", "internal/forge"},
	"internal/forge/forgetest": {"desired/source", "internal/forge"},
	"internal/cage":            {},
	"internal/mirror":          {"desired"},

	"internal/web/access":        {"desired", "internal/tries"},
	"internal/tries":             {},
	"internal/hook":              {"internal/outbound", "internal/tries"},
	"internal/scaffold":          {"desired", "deploy-repo-example"},
	"internal/outbound":          {"internal/redact"},
	"internal/notify/notifytest": {},
	"internal/notify":            {"desired", "reconciler/plan", "reconciler", "internal/durable", "internal/history", "internal/outbound", "internal/redact", "internal/web"},
	"internal/sandbox/aws":       {},
	"internal/sandbox/sshdtest":  {},
	"internal/awsapi/awsapitest": {"internal/sandbox/aws"},

	"internal/bench":      nil, // tests of the whole
	"internal/e2e":        nil,
	"deploy-repo-example": {},
	"docs":                {},
	"cmd/windlass":        nil, // everything
}

// core is what must not even come to know AWS, SSH or go-git through somebody else.
var core = []string{"desired", "health", "actuators", "reconciler/plan", "reconciler"}

var technologies = []string{"github.com/aws/", "github.com/go-git/", "golang.org/x/crypto/ssh", "github.com/spf13/", "github.com/prometheus/"}

// onlyTestsImport are packages no program may hold.
var onlyTestsImport = []string{"reconciler/sim", "internal/sandbox/sshdtest", "internal/awsapi/awsapitest", "internal/nettest", "internal/forge/forgetest"}

type listed struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Standard   bool
}

// parts lists the module's packages as the go command sees them, without tests.
func parts(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,Deps,Standard", module+"/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func own(path string) (string, bool) { return strings.CutPrefix(path, module+"/") }

// partOf is the line of mayKnow that a package belongs to.
func partOf(name string) (string, bool) {
	for {
		if _, ok := mayKnow[name]; ok {
			return name, true
		}
		cut := strings.LastIndexByte(name, '/')
		if cut < 0 {
			return "", false
		}
		name = name[:cut]
	}
}

func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	for _, p := range parts(t) {
		name, ours := own(p.ImportPath)
		if !ours {
			continue
		}
		part, known := partOf(name)
		if !known {
			t.Errorf("%s has no line in mayKnow: say who may know whom", name)
			continue
		}
		for _, path := range p.Imports {
			imported, ours := own(path)
			if !ours || mayKnow[part] == nil {
				continue
			}
			if of, _ := partOf(imported); !slices.Contains(mayKnow[part], of) {
				t.Errorf("%s imports %s; it may know %s only", name, imported, strings.Join(mayKnow[part], ", "))
			}
		}
	}
}

func TestTheCoreKnowsNoTechnology(t *testing.T) {
	t.Parallel()
	for _, p := range parts(t) {
		name, ours := own(p.ImportPath)
		if !ours || !slices.Contains(core, name) {
			continue
		}
		for _, dependency := range p.Deps {
			for _, technology := range technologies {
				if strings.HasPrefix(dependency, technology) {
					t.Errorf("%s depends on %s", name, dependency)
				}
			}
		}
	}
}

// Compiling service/ec2 takes a minute and gigabytes, so one package pays for it.
func TestOnePackageImportsTheEC2Service(t *testing.T) {
	t.Parallel()
	const service = "github.com/aws/aws-sdk-go-v2/service/ec2"
	for _, p := range parts(t) {
		name, ours := own(p.ImportPath)
		if ours && name != "actuators/ec2" && slices.Contains(p.Imports, service) {
			t.Errorf("%s imports %s; actuators/ec2 alone may", name, service)
		}
	}
}

func TestOnlyTestsImportTheirHelpers(t *testing.T) {
	t.Parallel()
	for _, p := range parts(t) {
		for _, path := range p.Imports {
			if helper, ours := own(path); ours && slices.Contains(onlyTestsImport, helper) {
				t.Errorf("%s imports %s, which is for tests", p.ImportPath, helper)
			}
		}
	}
}
