package sandbox

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	example "windlass/deploy-repo-example"
	"windlass/desired"
)

// What is played has every step, file, variable and check of the example, under the same names and in the same order.
func TestTheExampleIsPlayedWhole(t *testing.T) {
	t.Parallel()
	s := stage{fleet: "web", release: "v1", nodes: 4, user: "demo", ssh: 22, web: 80, etc: "/tmp/a b/etc"}
	files := fstest.MapFS{}
	for name, content := range must(s.files())(t) {
		files[name] = &fstest.MapFile{Data: []byte(content)}
	}
	ours, theirs := outline(t, must(desired.Load(files))(t), "web"), outline(t, must(desired.Load(example.Files))(t), exampleFleet)
	if ours != theirs {
		t.Errorf("the sandbox plays\n%s\nthe example has\n%s", ours, theirs)
	}
	if base := string(files["base/web.yaml"].Data); strings.Contains(base, "/opt/web") {
		t.Errorf("a step would leave the node's home:\n%s", base)
	}
}

// outline is what a fleet consists of, by name.
func outline(t *testing.T, tree desired.Tree, name string) string {
	t.Helper()
	if len(tree.Rejected) > 0 || len(tree.Warnings) > 0 || tree.Fleets[name] == nil {
		t.Fatalf("rejected %v, warnings %v", tree.Rejected, tree.Warnings)
	}
	fleet := tree.Fleets[name]
	var names []string
	for _, f := range fleet.Configure.Files {
		names = append(names, f.From)
	}
	for _, step := range append(fleet.Configure.Prepare, fleet.Configure.Activate...) {
		names = append(names, step.Name)
	}
	for _, check := range fleet.Health {
		names = append(names, check.Name)
	}
	names = append(names, fmt.Sprint(fleet.Configure.Vars))
	return strings.Join(names, "\n")
}
