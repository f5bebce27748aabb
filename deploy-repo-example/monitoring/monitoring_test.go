// Package monitoring_test proves the dashboard and the alert rules: their structure here, their queries and rules in
// Debian's promtool and in a real Prometheus that scrapes an agent. How the agent's series come about is proven elsewhere.
package monitoring_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// A dashboard is what the tests read of Grafana's model.
type dashboard struct {
	UID           string
	Title         string
	SchemaVersion int
	Panels        []panel
	Templating    struct{ List []variable }
	Annotations   struct{ List []annotation }
}

type panel struct {
	ID          int
	Type        string
	Title       string
	Description string
	GridPos     struct{ H, W, X, Y int }
	Datasource  datasource
	Targets     []target
	FieldConfig struct {
		Defaults  struct{ Unit string }
		Overrides []struct {
			Matcher struct{ ID, Options string }
		}
	}
	Transformations []struct {
		ID      string
		Options struct {
			ExcludeByName map[string]bool
			IndexByName   map[string]int
			RenameByName  map[string]string
		}
	}
}

type target struct {
	RefID      string
	Expr       string
	Datasource datasource
	Instant    bool
	Range      bool
}

type datasource struct{ Type, UID string }

type variable struct{ Name, Type, Definition string }

type annotation struct {
	Name       string
	BuiltIn    int
	Datasource datasource
	Expr       string
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal(read(t, "dashboard.json"), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// A query is one expression of the dashboard and where it stands.
type query struct{ where, expr string }

// queries are all that Grafana would ask, as Grafana would ask it: with its variables replaced.
func (d dashboard) queries() []query {
	var all []query
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all = append(all, query{"panel " + p.Title + ", query " + target.RefID, asked(target.Expr)})
		}
	}
	for _, a := range d.Annotations.List {
		if a.BuiltIn == 0 {
			all = append(all, query{"annotation " + a.Name, asked(a.Expr)})
		}
	}
	return all
}

// asked replaces Grafana's variables by what it sends when everything is selected.
func asked(expr string) string {
	return strings.NewReplacer("$fleet", ".*", "$node", ".*", "$__range", "1m", "$__rate_interval", "5s").Replace(expr)
}

// A rule is an alert as alerts.yaml has it.
type rule struct {
	Alert       string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

func readRules(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []rule }
	}
	if err := yaml.Unmarshal(read(t, "alerts.yaml"), &file); err != nil {
		t.Fatal(err)
	}
	var rules []rule
	for _, group := range file.Groups {
		rules = append(rules, group.Rules...)
	}
	return rules
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// tool is the path of a program of Debian's package prometheus; without it the test is left out.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("left out: %s is not installed (Debian package prometheus)", name)
	}
	return path
}

// exported are the series that the dashboard and the rules may build on.
var exported = []string{
	"windlass_aws_requests_total",
	"windlass_build_info",
	"windlass_checks_total",
	"windlass_drift_corrections_total",
	"windlass_drift_nodes",
	"windlass_fleet_info",
	"windlass_fleet_nodes",
	"windlass_fleet_nodes_in_service",
	"windlass_fleet_nodes_in_service_floor",
	"windlass_fleet_paused_timestamp_seconds",
	"windlass_fleet_phase",
	"windlass_fleet_sync_status",
	"windlass_gate_state",
	"windlass_git_errors_total",
	"windlass_git_head_commit_timestamp_seconds",
	"windlass_git_head_info",
	"windlass_git_history_rewrites_total",
	"windlass_git_last_success_timestamp_seconds",
	"windlass_git_operation_duration_seconds",
	"windlass_git_signature_refused",
	"windlass_lead_time_seconds",
	"windlass_node_info",
	"windlass_node_state_timestamp_seconds",
	"windlass_reconcile_duration_seconds",
	"windlass_reconcile_last_success_timestamp_seconds",
	"windlass_revision_rejected",
	"windlass_revisions_rejected_total",
	"windlass_rollout_duration_seconds",
	"windlass_rollout_last_progress_timestamp_seconds",
	"windlass_rollout_nodes_completed",
	"windlass_rollout_nodes_planned",
	"windlass_rollout_paused_duration_seconds",
	"windlass_rollout_start_timestamp_seconds",
	"windlass_rollouts_total",
	"windlass_ssh_sessions_total",
	"windlass_step_duration_seconds",
}

var seriesName = regexp.MustCompile(`\bwindlass_\w+`)

// mentioned are the series of an expression; those of a histogram by the histogram's name.
func mentioned(expr string) []string {
	names := seriesName.FindAllString(expr, -1)
	for i, name := range names {
		names[i] = regexp.MustCompile(`_seconds_(bucket|count|sum)$`).ReplaceAllString(name, "_seconds")
	}
	return names
}
