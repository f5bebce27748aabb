package docs_test

import (
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	commandLine = regexp.MustCompile(`(?m)(?:^|[^-\w/.])(?:bin/|/usr/local/bin/)?windlass ([a-z]+)((?: +(?:--?[a-z-]+|[^\s` + "`" + `|&>]+))*)`)
	flagName    = regexp.MustCompile(`--[a-z][a-z-]+`)
)

// TestEveryCommandAndFlagExists asks the built program.
func TestEveryCommandAndFlagExists(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	t.Parallel()
	help := helps(t)
	everywhere := strings.Join(slices.Collect(maps.Values(help)), "\n")
	for name, page := range pages(t) {
		for _, said := range spans(page) {
			for _, m := range commandLine.FindAllStringSubmatch(said, -1) {
				text, known := help[m[1]]
				if !known {
					t.Errorf("%s: there is no command windlass %s (in %q)", name, m[1], said)
					continue
				}
				for _, flag := range flagName.FindAllString(m[2], -1) {
					if !hasFlag(text, flag) {
						t.Errorf("%s: windlass %s has no flag %s", name, m[1], flag)
					}
				}
			}
			if flag, _, _ := strings.Cut(said, " "); flagName.FindString(flag) == flag && !hasFlag(everywhere, flag) {
				t.Errorf("%s: no command has the flag %s", name, flag)
			}
		}
	}
}

func hasFlag(help, flag string) bool {
	return regexp.MustCompile(`(?m)^ +(?:-\w, )?` + regexp.QuoteMeta(flag) + `\b`).MatchString(help)
}

// spans are the code of a page: its spans, and the lines of its shell examples.
func spans(page string) []string {
	var found []string
	for _, m := range fence.FindAllStringSubmatch(page, -1) {
		if m[1] == "sh" || m[1] == "ini" {
			found = append(found, strings.Split(m[2], "\n")...)
		}
	}
	for _, m := range codeSpan.FindAllStringSubmatch(fence.ReplaceAllString(page, ""), -1) {
		found = append(found, m[1])
	}
	return found
}

// helps are the texts of --help, by command.
func helps(t *testing.T) map[string]string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "windlass")
	build := exec.Command("go", "build", "-o", program, "./cmd/windlass")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	help := map[string]string{}
	for _, command := range []string{"run", "plan", "validate", "status", "deploy", "rollback", "follow", "history", "diff", "demo", "up", "init", "schema", "completion", "manual", "version"} {
		out, err := exec.Command(program, command, "--help").Output()
		if err != nil {
			t.Fatalf("windlass %s --help: %v", command, err)
		}
		help[command] = string(out)
	}
	return help
}
