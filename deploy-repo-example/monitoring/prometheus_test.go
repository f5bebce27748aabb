package monitoring_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// An act is something that happens to an agent while Prometheus looks on.
type act struct {
	name  string
	play  func(p *prometheus) // returns once Prometheus has seen it
	fires []string            // the alerts that fire at the end; no other one fires during the act, but for those of the act before
}

// checkAgainst has a real Prometheus scrape the agent at address, which serves /metrics, while the acts are played. It
// requires that every query of the dashboard has data, that every rule is evaluated without an error, and that alerts fire
// when an act says so and not otherwise. Who plays the acts, a script or a real rollout, is all the same.
func checkAgainst(t *testing.T, address string, acts ...act) {
	t.Helper()
	p := startPrometheus(t, address)
	begun := time.Now()
	var before []string
	for _, a := range acts {
		from := time.Now()
		a.play(p)
		p.awaitFiring(a.name, a.fires)
		for _, alert := range p.fired(from) {
			if !slices.Contains(a.fires, alert) && !slices.Contains(before, alert) {
				t.Errorf("%s: %s fired", a.name, alert)
			}
		}
		before = a.fires
	}
	p.checkSeries()
	p.checkRules()
	p.checkQueries(begun)
}

// A prometheus is a running server, stopped when its test ends.
type prometheus struct {
	*testing.T
	url string
}

const patience = 20 * time.Second // for anything Prometheus is asked to show

// atOnce are the alerts whose "for" is dropped, because no test can wait for it; promtool proves what it does.
var atOnce = []string{"WindlassRolloutHalted", "WindlassGitStale", "WindlassReconcileErrors"}

// startPrometheus returns once the agent was scraped and nothing that the start itself set off fires any more.
func startPrometheus(t *testing.T, address string) *prometheus {
	t.Helper()
	binary, dir := tool(t, "prometheus"), t.TempDir()
	target, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "alerts.yaml"), rulesAtOnce(t))
	write(t, filepath.Join(dir, "prometheus.yaml"), fmt.Appendf(nil, `
global: {scrape_interval: 400ms, scrape_timeout: 400ms, evaluation_interval: 200ms}
rule_files: [alerts.yaml]
scrape_configs: [{job_name: windlass, static_configs: [{targets: [%q]}]}]
`, target.Host))

	output := &output{listening: make(chan string, 1)}
	cmd := exec.CommandContext(t.Context(), binary,
		"--config.file="+filepath.Join(dir, "prometheus.yaml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address=127.0.0.1:0")
	cmd.Stderr = output
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = patience
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Wait() // the test's context has ended it
		if t.Failed() {
			t.Logf("Prometheus wrote:\n%s", output)
		}
	})
	p := &prometheus{T: t}
	select {
	case listening := <-output.listening:
		p.url = "http://" + listening
	case <-time.After(patience):
		t.Fatal("Prometheus does not listen")
	}
	p.await("windlass_git_last_success_timestamp_seconds > 0")
	p.awaitFiring("start", nil)
	return p
}

// rulesAtOnce is alerts.yaml without the "for" of those that are atOnce.
func rulesAtOnce(t *testing.T) []byte {
	t.Helper()
	rules := read(t, "alerts.yaml")
	for _, alert := range atOnce {
		lines := regexp.MustCompile(`(- alert: ` + alert + `\n +expr: .*\n) +for: .*\n`)
		if !lines.Match(rules) {
			t.Fatalf("alerts.yaml has no %s with a for", alert)
		}
		rules = lines.ReplaceAll(rules, []byte("$1"))
	}
	return rules
}

// An output collects what Prometheus logs, and tells where it listens.
type output struct {
	mu        sync.Mutex
	text      bytes.Buffer
	listening chan string
}

var listeningOn = regexp.MustCompile(`msg="Listening on" address=(\S+)\n`)

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.text.Write(p)
	if at := listeningOn.FindSubmatch(o.text.Bytes()); at != nil {
		select {
		case o.listening <- string(at[1]):
		default:
		}
	}
	return n, err
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// get asks the HTTP API and reads the answer's data.
func (p *prometheus) get(path string, parameters url.Values, data any) error {
	request, err := http.NewRequestWithContext(p.Context(), http.MethodGet, p.url+"/api/v1/"+path+"?"+parameters.Encode(), nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("cannot read %s: %s: %w", path, response.Status, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("cannot get %s: %s", path, answer.Error)
	}
	return nil
}

func (p *prometheus) mustGet(path string, parameters url.Values, data any) {
	p.Helper()
	if err := p.get(path, parameters, data); err != nil {
		p.Fatal(err)
	}
}

// until asks again and again; what it waits for has a deadline, and the last reason why not.
func (p *prometheus) until(what string, done func() error) {
	p.Helper()
	deadline := time.After(patience)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		err := done()
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			p.Fatalf("%s: %v", what, err)
		}
	}
}

// await waits until an expression has a result.
func (p *prometheus) await(expr string) {
	p.Helper()
	p.until("waiting for "+expr, func() error {
		var answer struct{ Result []any }
		err := p.get("query", url.Values{"query": {expr}}, &answer)
		if err == nil && len(answer.Result) == 0 {
			err = fmt.Errorf("no result within %v", patience)
		}
		return err
	})
}

// An alert is one that is active.
type alert struct {
	Labels      map[string]string
	Annotations map[string]string
	State       string
}

func (p *prometheus) firing() ([]alert, error) {
	var answer struct{ Alerts []alert }
	err := p.get("alerts", nil, &answer)
	return slices.DeleteFunc(answer.Alerts, func(a alert) bool { return a.State != "firing" }), err
}

// awaitFiring waits until just these alerts fire.
func (p *prometheus) awaitFiring(act string, want []string) {
	p.Helper()
	p.until(act, func() error {
		alerts, err := p.firing()
		var names []string
		for _, a := range alerts {
			names = append(names, a.Labels["alertname"])
		}
		slices.Sort(names)
		if err == nil && !slices.Equal(slices.Compact(names), slices.Sorted(slices.Values(want))) {
			err = fmt.Errorf("firing are %q, want %q", names, want)
		}
		return err
	})
}

// A matrix is the answer to a query over time.
type matrix struct {
	Result []struct {
		Metric map[string]string
		Values [][2]any // time, value
	}
}

// over asks about every moment since from: no step is longer than the pause between two scrapes, unless there are too many.
func (p *prometheus) over(from time.Time, expr string) (m matrix, err error) {
	const most = 10000 // Prometheus refuses 11,001
	step := max(100*time.Millisecond, time.Since(from)/most)
	seconds := func(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }
	err = p.get("query_range", url.Values{"query": {expr}, "start": {seconds(from)}, "end": {seconds(time.Now())}, "step": {step.String()}}, &m)
	return m, err
}

// fired are the alerts that fired at any time since from.
func (p *prometheus) fired(from time.Time) []string {
	p.Helper()
	m, err := p.over(from, `ALERTS{alertstate="firing"}`)
	if err != nil {
		p.Fatal(err)
	}
	var names []string
	for _, series := range m.Result {
		names = append(names, series.Metric["alertname"])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// checkSeries requires that the agent exports what the dashboard and the rules may build on. Two series are there only for
// a fleet that is paused, or that has a gate; internal/metrics shows them.
func (p *prometheus) checkSeries() {
	p.Helper()
	var names []string
	p.mustGet("label/__name__/values", nil, &names)
	for i, name := range names {
		names[i] = strings.Join(mentioned(name), "")
	}
	others := []string{"windlass_fleet_paused_timestamp_seconds", "windlass_gate_state"}
	for _, name := range exported {
		if !slices.Contains(names, name) && !slices.Contains(others, name) {
			p.Errorf("the agent never exported %s", name)
		}
	}
}

func (p *prometheus) checkRules() {
	p.Helper()
	var answer struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	p.mustGet("rules", nil, &answer)
	loaded := 0
	for _, group := range answer.Groups {
		for _, r := range group.Rules {
			loaded++
			if r.Health != "ok" {
				p.Errorf("rule %s: %s %s", r.Name, r.Health, r.LastError)
			}
		}
	}
	if want := len(readRules(p.T)); loaded != want {
		p.Errorf("%d rules are loaded, want %d", loaded, want)
	}
}

// checkQueries requires a number from every query of the dashboard at some time since from, and choices for each variable.
func (p *prometheus) checkQueries(from time.Time) {
	p.Helper()
	d := readDashboard(p.T)
	for _, q := range d.queries() {
		m, err := p.over(from, q.expr)
		if err != nil || !m.hasNumber() {
			p.Errorf("%s has no data (error: %v): %s", q.where, err, q.expr)
		}
	}
	for _, v := range d.Templating.List {
		metric, label, isQuery := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(asked(v.Definition), "label_values("), ")"), ", ")
		if !isQuery {
			continue
		}
		var choices []string
		p.mustGet("label/"+label+"/values", url.Values{"match[]": {metric}}, &choices)
		if len(choices) == 0 {
			p.Errorf("variable %s has no choices", v.Name)
		}
	}
}

func (m matrix) hasNumber() bool {
	for _, series := range m.Result {
		for _, sample := range series.Values {
			text, _ := sample[1].(string)
			if number, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(number) && !math.IsInf(number, 0) {
				return true
			}
		}
	}
	return false
}
