// Package docs_test holds what people read to what the program does.
package docs_test

import (
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/prometheus/client_golang/prometheus"

	"windlass/desired"
	"windlass/internal/forge"
	"windlass/internal/metrics"
	"windlass/internal/notify"
	"windlass/internal/web/access"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

const root = ".."

// pages are the texts for people, by path from the root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{"README.md": read(t, "README.md")}
	for _, pattern := range []string{"docs/*.md", "docs/decisions/*.md"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(paths) == 0 {
			t.Fatalf("no pages match %s (%v)", pattern, err)
		}
		for _, path := range paths {
			name, _ := strings.CutPrefix(filepath.ToSlash(path), root+"/")
			found[name] = read(t, name)
		}
	}
	return found
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	fence     = regexp.MustCompile("(?ms)^[ \t]*```([a-z]*)[^\n]*\n(.*?)^[ \t]*```$")
	codeSpan  = regexp.MustCompile("`([^`\n]+)`")
	firstCell = regexp.MustCompile("(?m)^\\| `([^`]+)` \\|")
)

// words sorts the keys of a set.
func words(set map[string]bool) []string { return slices.Sorted(maps.Keys(set)) }

// same reports what only one of two sets has.
func same(t *testing.T, told, real map[string]bool, page, what string) {
	t.Helper()
	for _, w := range words(told) {
		if !real[w] {
			t.Errorf("%s tells of %s %s, which there is not", page, what, w)
		}
	}
	for _, w := range words(real) {
		if !told[w] {
			t.Errorf("%s does not tell of %s %s", page, what, w)
		}
	}
}

// firstCells are the code spans that begin the rows of a page's tables.
func firstCells(page string) map[string]bool {
	found := map[string]bool{}
	for _, m := range firstCell.FindAllStringSubmatch(page, -1) {
		found[m[1]] = true
	}
	return found
}

func TestEveryYAMLExampleIsAFleet(t *testing.T) {
	t.Parallel()
	examples := 0
	for name, page := range pages(t) {
		for _, m := range fence.FindAllStringSubmatch(page, -1) {
			if m[1] != "yaml" {
				continue
			}
			examples++
			tree, err := desired.Load(fstest.MapFS{"fleets/example.yaml": {Data: []byte(m[2])}})
			if err != nil {
				t.Fatal(err)
			}
			for _, rejection := range tree.Rejected {
				t.Errorf("%s: %v\n%s", name, rejection.Errors, m[2])
			}
		}
	}
	if examples < 3 {
		t.Errorf("%d examples found", examples)
	}
}

// TestExamplesOfAgentFilesAreTaken reads what pages and the package show of the agent's files as the agent does.
func TestExamplesOfAgentFilesAreTaken(t *testing.T) {
	t.Parallel()
	example := func(page, begins string) string {
		for _, m := range fence.FindAllStringSubmatch(read(t, page), -1) {
			if strings.HasPrefix(m[2], begins) {
				return m[2]
			}
		}
		t.Fatalf("%s has no example that begins with %q", page, begins)
		return ""
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, text := range []string{example("docs/notifications.md", "# /etc/windlass/notify.yaml"), read(t, ".ci/packaging/examples/notify.yaml")} {
		for _, m := range regexp.MustCompile(`File: ([a-z-]+)`).FindAllStringSubmatch(text, -1) {
			write(m[1], "secret")
		}
		if f, err := notify.Read(write("notify.yaml", text)); err != nil || len(f.Channels) != 6 {
			t.Errorf("%v, %d channels\n%s", err, len(f.Channels), text)
		}
	}
	for _, text := range []string{example("docs/forges.md", "# forges.yaml"), read(t, ".ci/packaging/examples/forges.yaml")} {
		text = strings.ReplaceAll(text, ", caFile: ca.pem}", "}") // there is no authority here
		if hosts, err := forge.Read(write("forges.yaml", text)); err != nil || len(hosts) != 2 {
			t.Errorf("%v, %d hosts\n%s", err, len(hosts), text)
		}
	}
	write("agent.crt", "")
	write("agent.key", "")
	// As it stands it lets nobody in: a password that works would be everybody's.
	for _, text := range []string{example("docs/operations.md", "# /etc/windlass/web.yaml"), read(t, ".ci/packaging/examples/web.yaml")} {
		if _, err := access.Open(access.Options{File: write("web.yaml", text)}); err == nil || !strings.Contains(err.Error(), `what is given for "anna" is no bcrypt hash`) {
			t.Errorf("%v\n%s", err, text)
		}
	}
}

func TestEveryKeyOfTheFleetFileIsTold(t *testing.T) {
	t.Parallel()
	schema, real := schemaOf(t), map[string]bool{}
	collect(schema, schema, "", real)
	same(t, firstCells(read(t, "docs/fleet-file.md")), real, "fleet-file.md", "key")
}

// collect adds the paths of all keys of a part of the schema, as in health[].http.port.
func collect(schema, part map[string]any, path string, keys map[string]bool) {
	if ref, ok := part["$ref"].(string); ok {
		defs, _ := schema["$defs"].(map[string]any)
		definition, _ := defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
		collect(schema, definition, path, keys)
	}
	if items, ok := part["items"].(map[string]any); ok {
		collect(schema, items, path+"[]", keys)
	}
	properties, _ := part["properties"].(map[string]any)
	for key, value := range properties {
		below := strings.TrimPrefix(path+"."+key, ".")
		keys[below] = true
		collect(schema, value.(map[string]any), below, keys)
	}
}

// TestDefaultsAreAsTold compares the plain defaults of the table with the schema's.
func TestDefaultsAreAsTold(t *testing.T) {
	t.Parallel()
	row := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| `([^`]+)` \\|")
	schema := schemaOf(t)
	for _, m := range row.FindAllStringSubmatch(read(t, "docs/fleet-file.md"), -1) {
		want, known := defaultOf(schema, m[1])
		told := strings.Trim(m[2], `"`)
		if known && want != told {
			t.Errorf("fleet-file.md: the default of %s is told as %s and is %s", m[1], told, want)
		}
	}
}

func schemaOf(t *testing.T) map[string]any {
	t.Helper()
	var schema map[string]any
	if err := json.Unmarshal(desired.Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	return schema
}

// defaultOf finds what the schema says at a path such as rollout.canary.bake.
func defaultOf(schema map[string]any, path string) (string, bool) {
	part := schema
	for step := range strings.SplitSeq(path, ".") {
		name, list := strings.CutSuffix(step, "[]")
		properties, _ := resolved(schema, part)["properties"].(map[string]any)
		part, _ = properties[name].(map[string]any)
		if list {
			part, _ = part["items"].(map[string]any)
		}
	}
	value, ok := part["default"]
	if !ok {
		return "", false
	}
	text, err := json.Marshal(value)
	return strings.Trim(string(text), `"`), err == nil
}

func resolved(schema, part map[string]any) map[string]any {
	ref, ok := part["$ref"].(string)
	if !ok {
		return part
	}
	defs, _ := schema["$defs"].(map[string]any)
	merged := maps.Clone(defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any))
	maps.Copy(merged, part)
	return merged
}

var descName = regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)

// series are the labels of every series that is described, also of those that have no value yet.
func series() map[string][]string {
	found := map[string][]string{}
	registry := metrics.NewRegistry(metrics.Build{}, metrics.NewEvents(), nobody{}, func() metrics.Git { return metrics.Git{} })
	registry.MustRegister(metrics.WebConfig(func() string { return "" }), metrics.NewNotifications(nil, nil, func() []metrics.Channel { return nil }))
	registry.MustRegister(metrics.NewWebhooks[string, string](nil, nil))
	registry.MustRegister(metrics.NewForge(nil).Collectors(func() []string { return nil })...)
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		registry.Describe(descs)
	}()
	for d := range descs {
		m := descName.FindStringSubmatch(d.String())
		if m != nil && strings.HasPrefix(m[1], "windlass_") {
			found[m[1]] = strings.Split(m[2], ",")
		}
	}
	return found
}

type nobody struct{}

func (nobody) Snapshot() reconciler.Snapshot { return reconciler.Snapshot{} }

func TestEverySeriesIsTold(t *testing.T) {
	t.Parallel()
	real := map[string]bool{}
	all := series()
	for name := range all {
		real[name] = true
	}
	page := read(t, "docs/metrics.md")
	same(t, firstCells(page), real, "metrics.md", "series")
	for name, labels := range all {
		told := regexp.MustCompile("(?m)^\\| `" + name + "` \\| [a-z]+ \\| ?([a-z_, ]*) ?\\|").FindStringSubmatch(page)
		if told != nil && strings.ReplaceAll(strings.TrimSpace(told[1]), " ", "") != strings.Join(labels, ",") {
			t.Errorf("metrics.md: %s has the labels %v, told are %q", name, labels, told[1])
		}
	}
}

func TestEveryPhaseAndStateIsTold(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"docs/operations.md", "docs/metrics.md"} {
		page := read(t, name)
		for _, phase := range plan.Phases {
			if !strings.Contains(page, string(phase)) {
				t.Errorf("%s does not tell of phase %s", name, phase)
			}
		}
	}
	operations := read(t, "docs/operations.md")
	for _, state := range plan.States {
		if !strings.Contains(operations, string(state)) {
			t.Errorf("operations.md does not tell of state %s", state)
		}
	}
}

// TestEveryMessageIsTheProgramsOwn looks for the fixed parts of each message of troubleshooting.md in the sources.
func TestEveryMessageIsTheProgramsOwn(t *testing.T) {
	t.Parallel()
	text := sources(t)
	for message := range firstCells(read(t, "docs/troubleshooting.md")) {
		for part := range strings.SplitSeq(message, "…") {
			if part = strings.TrimSpace(part); len(part) > 5 && !strings.Contains(text, part) {
				t.Errorf("troubleshooting.md: nothing in the sources says %q (of %q)", part, message)
			}
		}
	}
}

// sourceText is the text of all that is built into the program.
var sourceText = sync.OnceValues(func() (string, error) {
	var all strings.Builder
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		built := strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, ".sh")
		if !built {
			return nil
		}
		text, err := os.ReadFile(path)
		all.Write(text)
		return err
	})
	return all.String(), err
})

func sources(t *testing.T) string {
	t.Helper()
	text, err := sourceText()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestEveryLawAndGotchaNamedInTheCodeIsTold lets a reader look up what a comment names by number.
func TestEveryLawAndGotchaNamedInTheCodeIsTold(t *testing.T) {
	t.Parallel()
	page := read(t, "docs/laws.md")
	for _, m := range regexp.MustCompile(`\blaw (\d+)\b`).FindAllStringSubmatch(sources(t), -1) {
		if !strings.Contains(page, "\n"+m[1]+". ") {
			t.Errorf("laws.md lacks law %s", m[1])
		}
	}
	for _, m := range regexp.MustCompile(`[( ](G\d+)\b[,): ]`).FindAllStringSubmatch(sources(t), -1) {
		if !strings.Contains(page, "| "+m[1]+" |") {
			t.Errorf("laws.md lacks gotcha %s", m[1])
		}
	}
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	all := pages(t)
	for name, page := range all {
		for _, m := range link.FindAllStringSubmatch(page, -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			path := filepath.ToSlash(filepath.Join(filepath.Dir(name), target))
			if target == "" {
				path = name
			}
			if _, err := os.Stat(filepath.Join(root, path)); err != nil {
				t.Errorf("%s: link to %s: %v", name, m[1], err)
			}
			if anchor != "" && !anchors(all[path])[anchor] {
				t.Errorf("%s: %s has no heading for #%s", name, path, anchor)
			}
		}
	}
}

// anchors are the headings of a page as forges name them in links.
func anchors(page string) map[string]bool {
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		plain := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		found[strings.ReplaceAll(plain, " ", "-")] = true
	}
	return found
}
