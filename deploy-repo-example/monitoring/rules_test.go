package monitoring_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestRulesSayWhatToDo(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, r := range readRules(t) {
		if names[r.Alert] {
			t.Errorf("%s is there twice", r.Alert)
		}
		names[r.Alert] = true
		if severity := r.Labels["severity"]; severity != "warning" && severity != "critical" {
			t.Errorf("%s has severity %q", r.Alert, severity)
		}
		if r.Annotations["summary"] == "" || strings.Count(r.Annotations["description"], ".") < 2 {
			t.Errorf("%s does not say what happened and what to do: %q", r.Alert, r.Annotations)
		}
	}
}

func TestRulesAreValid(t *testing.T) {
	t.Parallel()
	if out, err := exec.Command(tool(t, "promtool"), "check", "rules", "alerts.yaml").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestRulesFireWhenTheyShould(t *testing.T) {
	t.Parallel()
	if out, err := exec.Command(tool(t, "promtool"), "test", "rules", "alerts_test.yaml").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestEveryRuleIsTestedBothWays(t *testing.T) {
	t.Parallel()
	var file struct {
		Tests []struct {
			Checks []struct {
				Alert    string `json:"alertname"`
				Expected []any  `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		}
	}
	if err := yaml.Unmarshal(read(t, "alerts_test.yaml"), &file); err != nil {
		t.Fatal(err)
	}
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, test := range file.Tests {
		for _, check := range test.Checks {
			fires[check.Alert] = fires[check.Alert] || len(check.Expected) > 0
			quiet[check.Alert] = quiet[check.Alert] || len(check.Expected) == 0
		}
	}
	for _, r := range readRules(t) {
		if !fires[r.Alert] || !quiet[r.Alert] {
			t.Errorf("alerts_test.yaml shows %s firing: %v, and quiet: %v", r.Alert, fires[r.Alert], quiet[r.Alert])
		}
	}
}

// The guards of rules (how long, and on what condition) are there for near misses that alerts_test.yaml holds.
func TestNoGuardCanBeDropped(t *testing.T) {
	t.Parallel()
	promtool := tool(t, "promtool")
	for _, guard := range []string{"for: ", "and on ", "unless on "} {
		dir := t.TempDir()
		var kept, guarded []string
		alert := ""
		for line := range strings.Lines(string(read(t, "alerts.yaml"))) {
			words := strings.TrimSpace(line)
			if name, ok := strings.CutPrefix(words, "- alert: "); ok {
				alert = name
			}
			if strings.HasPrefix(words, guard) {
				guarded = append(guarded, alert)
				continue
			}
			kept = append(kept, line)
		}
		write(t, filepath.Join(dir, "alerts.yaml"), []byte(strings.Join(kept, "")))
		write(t, filepath.Join(dir, "alerts_test.yaml"), read(t, "alerts_test.yaml"))
		out, _ := exec.Command(promtool, "test", "rules", filepath.Join(dir, "alerts_test.yaml")).CombinedOutput()
		for _, alert := range guarded {
			if !strings.Contains(string(out), "alertname: "+alert+",") {
				t.Errorf("%s can lose its %q and no test of it fails", alert, guard)
			}
		}
		if len(guarded) == 0 {
			t.Errorf("no rule has %q", guard)
		}
	}
}

// Every query of the dashboard parses: promtool reads it as a recording rule.
func TestQueriesParse(t *testing.T) {
	t.Parallel()
	promtool := tool(t, "promtool")
	type recording struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []recording
	for _, q := range readDashboard(t).queries() {
		rules = append(rules, recording{"dashboard:query", q.expr})
	}
	file, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, path, file)
	if out, err := exec.Command(promtool, "check", "rules", "--lint=none", path).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
