package metrics_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"pgregory.net/rapid"

	"windlass/desired"
	"windlass/health"
	"windlass/internal/metrics"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

var update = flag.Bool("update", false, "write the golden files")

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// agent is a Source that says what it is told to.
type agent struct{ fleets []reconciler.Status }

func (a *agent) Snapshot() reconciler.Snapshot {
	return reconciler.Snapshot{At: noon, Fleets: a.fleets}
}

func node(name string, state plan.State, release string) reconciler.Node {
	return reconciler.Node{NodeStatus: plan.NodeStatus{Name: name, State: state, Release: release, Since: noon.Add(-time.Minute), Outdated: release != "v2"}}
}

func rolling() reconciler.Status {
	drifted := node("web-3", plan.Outdated, "v1")
	drifted.Drift = true
	foreign := node("web-4", plan.OutOfService, "v2")
	foreign.Foreign = true
	return reconciler.Status{
		Name: "web-live", Phase: plan.PhaseProgressing, Ready: true,
		Desired:   reconciler.Desired{Release: "v2", Revision: "3f2a9c1d4b5e6f708192a3b4c5d6e7f801234567"},
		InService: 2, Floor: 3, Size: 4,
		Gates: []plan.Gate{{Name: "windows", State: plan.GateOpen, Since: noon.Add(-time.Hour)}},
		Seen:  noon.Add(-5 * time.Second), Checks: []string{"up", "serves"},
		Nodes:   []reconciler.Node{node("web-1", plan.InService, "v2"), node("web-2", plan.Draining, "v1"), drifted, foreign},
		Rollout: reconciler.Rollout{Started: noon.Add(-5 * time.Minute), LastProgress: noon.Add(-30 * time.Second), Planned: 3, Completed: 1},
	}
}

func paused() reconciler.Status {
	lost := reconciler.Node{NodeStatus: plan.NodeStatus{State: plan.Missing, Since: noon.Add(-30 * time.Minute)}}
	return reconciler.Status{
		Name: "db", Phase: plan.PhasePaused, Ready: true, PausedAt: noon.Add(-time.Hour), Rejected: &desired.Rejection{},
		Desired:   reconciler.Desired{Release: "v2", Revision: "aa"},
		InService: 1, Floor: 1, Size: 3,
		Gates: []plan.Gate{{Name: "windows.yaml", State: plan.GateWait, Since: noon.Add(-10 * time.Minute)}, {Name: "windows"}},
		Nodes: []reconciler.Node{node("db-1", plan.InService, "v2"), lost, lost},
	}
}

func git() metrics.Git {
	return metrics.Git{
		Errors: map[string]int{"auth": 0, "network": 2}, Rewrites: 1, Refused: true, LastSuccess: noon,
		Branch: "main", Head: "3f2a9c1d4b5e6f708192a3b4c5d6e7f801234567", HeadCommitted: noon.Add(-time.Hour),
	}
}

func registry(a *agent, events *metrics.Events) *prometheus.Registry {
	return metrics.NewRegistry(metrics.Build{Version: "v0.1.0", Revision: "abcdef0123456789"}, events, a, git)
}

func gather(t testing.TB, g prometheus.Gatherer) []*dto.MetricFamily {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// exposition is the text of the agent's own series, without the one that differs from toolchain to toolchain.
func exposition(t testing.TB, g prometheus.Gatherer) string {
	t.Helper()
	var text bytes.Buffer
	for _, family := range gather(t, g) {
		if strings.HasPrefix(family.GetName(), "windlass_") && family.GetName() != "windlass_build_info" {
			if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
				t.Fatal(err)
			}
		}
	}
	return text.String()
}

// nonzero drops the series at 0, which another test counts.
func nonzero(text string) string {
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasSuffix(line, " 0\n") {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func happened() *metrics.Events {
	events := metrics.NewEvents()
	tell(events)
	return events
}

// tell tells of events of every kind.
func tell(events *metrics.Events) {
	events.StepDone(reconciler.StepDone{Fleet: "web-live", Node: "web-1", Step: "drain", Result: "success", Took: 20 * time.Second})
	events.StepDone(reconciler.StepDone{Fleet: "web-live", Node: "web-1", Step: "bake", Result: "success", Took: 10 * time.Second, Corrected: "release"})
	events.RolloutDone(reconciler.RolloutDone{
		Fleet: "web-live", Lead: 7 * time.Minute, Foretold: true, Misjudged: 0.12,
		Rollout: reconciler.Rollout{Trigger: reconciler.TriggerCommit, Result: reconciler.ResultSucceeded, Started: noon.Add(-6 * time.Minute), Ended: noon, Paused: 2 * time.Minute},
	})
	for _, result := range []health.Result{health.Pass, health.Pass, health.Fail, health.Contradict, health.NoAnswer} {
		events.CheckDone("web-live", "serves", result)
	}
	events.Rejected("web-live", desired.ReasonSchema)
	events.SSHSession("web-live", "lost")
	events.GitOperation("fetch", 50*time.Millisecond, false)
	events.GitOperation("list", 30*time.Second, true)
	events.PassDone("web-live", 2*time.Millisecond)
	events.AWSRequest("elasticloadbalancing", "DescribeTargetHealth", "ok")
}

func TestStatesAndEventsOfARollout(t *testing.T) {
	g := registry(&agent{[]reconciler.Status{paused(), rolling()}}, happened())
	golden(t, "rollout.prom", nonzero(exposition(t, g)))
}

func TestNothingKnownYet(t *testing.T) {
	events := metrics.NewEvents()
	g := metrics.NewRegistry(metrics.Build{}, events, &agent{}, func() metrics.Git { return metrics.Git{Errors: map[string]int{"auth": 0}} })
	golden(t, "start.prom", exposition(t, g))
}

func TestOneScrapeIsOneSnapshot(t *testing.T) {
	counting := &countingAgent{}
	g := metrics.NewRegistry(metrics.Build{}, metrics.NewEvents(), counting, git)
	gather(t, g)
	if counting.asked != 1 {
		t.Errorf("a scrape took %d snapshots, want 1", counting.asked)
	}
}

type countingAgent struct{ asked int }

func (a *countingAgent) Snapshot() reconciler.Snapshot {
	a.asked++
	return reconciler.Snapshot{Fleets: []reconciler.Status{rolling()}}
}

func TestAFleetThatGoesTakesItsSeriesAlongAndComesBackAtZero(t *testing.T) {
	a := &agent{[]reconciler.Status{rolling(), paused()}}
	events := happened()
	g := registry(a, events)
	gather(t, g)

	a.fleets = []reconciler.Status{paused()}
	if text := exposition(t, g); strings.Contains(text, "web-live") {
		t.Errorf("series of a fleet that is gone:\n%s", text)
	}
	tell(events) // late
	if text := exposition(t, g); strings.Contains(text, "web-live") {
		t.Errorf("series of a fleet that is gone, made anew by what came late:\n%s", text)
	}
	a.fleets = []reconciler.Status{rolling()}
	if n := value(t, g, "windlass_rollouts_total"); n != 0 {
		t.Errorf("%v rollouts of a fleet that came back, want 0", n)
	}
}

func TestACheckThatGoesTakesItsSeriesAlong(t *testing.T) {
	status := rolling()
	a := &agent{[]reconciler.Status{status}}
	g := registry(a, happened())
	gather(t, g)
	a.fleets[0].Checks = []string{"up"}
	if text := exposition(t, g); strings.Contains(text, `check="serves"`) || !strings.Contains(text, `check="up"`) {
		t.Errorf("the check serves is gone, up is there:\n%s", text)
	}
}

// A fleet that was tried and never wholly seen says 0, so that an alert on its age fires; one that was not tried yet, or of which
// nothing is in force, says nothing.
func TestAFleetThatWasNeverSeenSaysSo(t *testing.T) {
	blind, broken := rolling(), rolling()
	blind.Seen = time.Time{}
	broken.Name, broken.Desired = "broken", reconciler.Desired{}
	fresh := blind
	fresh.Name, fresh.Ready = "fresh", false
	text := exposition(t, registry(&agent{[]reconciler.Status{blind, broken, fresh}}, metrics.NewEvents()))
	if !strings.Contains(text, `windlass_reconcile_last_success_timestamp_seconds{fleet="web-live"} 0`) || strings.Contains(text, `last_success_timestamp_seconds{fleet="broken"}`) || strings.Contains(text, `last_success_timestamp_seconds{fleet="fresh"}`) {
		t.Error(text)
	}
}

func TestANodeThatGoesTakesItsSeriesAlong(t *testing.T) {
	status := rolling()
	a := &agent{[]reconciler.Status{status}}
	g := registry(a, metrics.NewEvents())
	gather(t, g)
	status.Nodes = status.Nodes[1:]
	a.fleets = []reconciler.Status{status}
	if text := exposition(t, g); strings.Contains(text, `node="web-1"`) {
		t.Errorf("series of a node that is gone:\n%s", text)
	}
}

func TestEveryCounterOfAFleetExistsBeforeItsFirstEvent(t *testing.T) {
	g := registry(&agent{[]reconciler.Status{rolling()}}, metrics.NewEvents())
	counts := map[string]int{}
	for _, family := range gather(t, g) {
		counts[family.GetName()] = len(family.GetMetric())
	}
	want := map[string]int{
		"windlass_rollouts_total":                           len(reconciler.Triggers) * len(reconciler.Results),
		"windlass_rollout_duration_seconds":                 len(reconciler.Results),
		"windlass_step_duration_seconds":                    6 * 2,
		"windlass_drift_corrections_total":                  2,
		"windlass_lead_time_seconds":                        1,
		"windlass_rollout_expectation_error_ratio":          1,
		"windlass_checks_total":                             2 * 3,
		"windlass_ssh_sessions_total":                       3,
		"windlass_revisions_rejected_total":                 len(desired.Reasons),
		"windlass_rollout_paused_duration_seconds":          len(reconciler.Results),
		"windlass_git_operation_duration_seconds":           3 * 2,
		"windlass_reconcile_last_success_timestamp_seconds": 1,
		"windlass_reconcile_duration_seconds":               1,
		"windlass_git_errors_total":                         2,
		"windlass_git_history_rewrites_total":               1,
		"windlass_fleet_phase":                              len(plan.Phases),
		"windlass_fleet_sync_status":                        3,
		"windlass_fleet_nodes":                              len(plan.States),
		"windlass_rollout_nodes_planned":                    1,
		"windlass_fleet_paused_timestamp_seconds":           0,
	}
	for name, n := range want {
		if counts[name] != n {
			t.Errorf("%s has %d series, want %d", name, counts[name], n)
		}
	}
}

// TestNoEventAddsASeries holds the fixed sets here to what the reconciler says.
func TestNoEventAddsASeries(t *testing.T) {
	events := metrics.NewEvents()
	g := registry(&agent{[]reconciler.Status{rolling()}}, events)
	before := strings.Count(exposition(t, g), "\n")
	for _, trigger := range reconciler.Triggers {
		for _, result := range reconciler.Results {
			events.RolloutDone(reconciler.RolloutDone{Fleet: "web-live", Lead: 1, Rollout: reconciler.Rollout{Trigger: trigger, Result: result}})
		}
	}
	for _, step := range []string{"prepare", "drain", "configure", "verify", "add", "bake"} {
		events.StepDone(reconciler.StepDone{Fleet: "web-live", Step: step, Result: "failure", Corrected: "membership"})
	}
	for _, result := range []health.Result{health.Pass, health.Fail, health.Contradict, health.NoAnswer} {
		events.CheckDone("web-live", "serves", result)
	}
	for _, reason := range desired.Reasons {
		events.Rejected("web-live", reason)
	}
	events.PassDone("web-live", 1)
	if after := strings.Count(exposition(t, g), "\n"); after != before {
		t.Errorf("%d lines before the first events, %d after", before, after)
	}
}

func TestSyncStatus(t *testing.T) {
	starting, current, halfway := rolling(), rolling(), rolling()
	starting.Ready = false
	current.Nodes = current.Nodes[:1]
	for status, s := range map[string]reconciler.Status{"unknown": starting, "synced": current, "out_of_sync": halfway} {
		text := exposition(t, registry(&agent{[]reconciler.Status{s}}, metrics.NewEvents()))
		if want := fmt.Sprintf("windlass_fleet_sync_status{fleet=\"web-live\",status=%q} 1", status); !strings.Contains(text, want) {
			t.Errorf("missing %s", want)
		}
	}
}

// TestLabelsAreBounded feeds hostile text wherever text comes from outside.
func TestLabelsAreBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.Just("\xff\x00\u202e"), rapid.Map(rapid.IntRange(100, 5000), func(n int) string { return strings.Repeat("é", n) }))
		status := reconciler.Status{
			Name: text.Draw(t, "fleet"), Reason: text.Draw(t, "reason"),
			Desired: reconciler.Desired{Release: text.Draw(t, "desired"), Revision: text.Draw(t, "revision")},
			Nodes:   []reconciler.Node{node(text.Draw(t, "node"), plan.InService, text.Draw(t, "release"))},
		}
		events := metrics.NewEvents()
		events.StepDone(reconciler.StepDone{Fleet: status.Name, Step: text.Draw(t, "step"), Result: "success"})
		events.AWSRequest(text.Draw(t, "service"), text.Draw(t, "operation"), text.Draw(t, "code"))
		events.CheckDone(status.Name, text.Draw(t, "check"), health.Fail)
		families, err := registry(&agent{[]reconciler.Status{status}}, events).Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			for _, metric := range family.GetMetric() {
				for _, l := range metric.GetLabel() {
					if v := l.GetValue(); len(v) > 128 || !utf8.ValidString(v) || strings.ContainsAny(v, "\x00\n\u202e") {
						t.Fatalf("%s{%s=%q} (%d bytes)", family.GetName(), l.GetName(), v, len(v))
					}
				}
			}
		}
	})
}

func TestMadeUpErrorCodesAddABoundedNumberOfSeries(t *testing.T) {
	events := metrics.NewEvents()
	for i := range 10_000 {
		events.AWSRequest("ec2", "DescribeInstances", fmt.Sprint("MadeUp", i))
		events.AWSRequest("ec2", "DescribeInstances", "ok")
	}
	series := strings.Count(exposition(t, registry(&agent{}, events)), "windlass_aws_requests_total{")
	if series > 101 {
		t.Errorf("%d series", series)
	}
	if got := exposition(t, registry(&agent{}, events)); !strings.Contains(got, `code="ok",operation="DescribeInstances",service="ec2"} 10000`) {
		t.Error("what went well is not counted apart any more")
	}
}

func TestHostileNamesStayApart(t *testing.T) {
	long := strings.Repeat("x", 500)
	status := rolling()
	status.Nodes = []reconciler.Node{node(long+"1", plan.InService, "v2"), node(long+"2", plan.InService, "v2")}
	gather(t, registry(&agent{[]reconciler.Status{status}}, metrics.NewEvents()))
}

func TestNodesByStateSumToTheInventory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		states := rapid.SliceOfN(rapid.SampledFrom(plan.States[:]), 0, 40).Draw(t, "states")
		status := reconciler.Status{Name: "web-live"}
		for i, state := range states {
			status.Nodes = append(status.Nodes, node(fmt.Sprint("web-", i), state, "v1"))
		}
		families, err := registry(&agent{[]reconciler.Status{status}}, metrics.NewEvents()).Gather()
		if err != nil {
			t.Fatal(err)
		}
		if got := sum(families, "windlass_fleet_nodes"); got != float64(len(states)) {
			t.Fatalf("sum(windlass_fleet_nodes) = %v, want %d", got, len(states))
		}
	})
}

func value(t *testing.T, g prometheus.Gatherer, name string) float64 {
	t.Helper()
	return sum(gather(t, g), name)
}

func sum(families []*dto.MetricFamily, name string) (total float64) {
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			total += m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return total
}

// Attempts to tell places outside are counted, each result from 0.
func TestWhatPlacesOutsideAreTold(t *testing.T) {
	t.Parallel()
	channels := func() []metrics.Channel {
		return []metrics.Channel{{Name: "deploys", Service: "slack"}, {Name: "ops", Service: "email", Failing: true}}
	}
	n, f := metrics.NewNotifications([]string{"slack"}, []string{"started"}, channels), metrics.NewForge([]string{"status"})
	n.Attempt("slack", "started", "error")
	f.Wrote("status", true)
	w := metrics.NewWebhooks([]string{"github"}, []string{"accepted", "bad_signature"})
	w.Request("github", "accepted")
	told := prometheus.NewPedanticRegistry()
	told.MustRegister(n, w)
	told.MustRegister(f.Collectors(func() []string { return []string{"it is down"} })...)
	golden(t, "outside.prom", exposition(t, told))
}

func TestPromtoolFindsNothing(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("left out: promtool is not installed, so the series were not linted")
	}
	var text bytes.Buffer
	for _, family := range gather(t, registry(&agent{[]reconciler.Status{paused(), rolling()}}, happened())) {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			t.Fatal(err)
		}
	}
	lint := exec.Command(promtool, "check", "metrics")
	lint.Stdin = &text
	if out, err := lint.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}
