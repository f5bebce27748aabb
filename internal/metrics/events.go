package metrics

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"windlass/desired"
	"windlass/health"
	"windlass/reconciler"
)

// Buckets, in seconds. Rollouts and lead times take minutes to hours; a step takes seconds to an hour; a pass takes
// milliseconds unless an API is slow.
var (
	longBuckets  = []float64{30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800}
	stepBuckets  = []float64{0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600, 1200, 3600}
	passBuckets  = []float64{0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30}
	errorBuckets = []float64{0.05, 0.1, 0.25, 0.5, 1, 2}
	gitBuckets   = []float64{0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600}
)

// What may be told; every combination exists from the start.
var (
	steps         = [...]string{"prepare", "drain", "configure", "verify", "add", "bake"}
	results       = [...]string{success, failure}
	driftKinds    = [...]string{"release", "membership"}
	checkResults  = [...]string{"pass", "fail", "error"}
	sshResults    = [...]string{success, "lost", "failed"}
	gitOperations = [...]string{"list", "fetch", "clone"}
)

const (
	success = "success"
	failure = "failure"
)

// Events counts what happened since the process started. It is a reconciler.Observer; all its methods may be called from
// any goroutine and return at once.
type Events struct {
	rollouts    *prometheus.CounterVec
	corrections *prometheus.CounterVec
	aws         *prometheus.CounterVec
	checks      *prometheus.CounterVec
	ssh         *prometheus.CounterVec
	rejected    *prometheus.CounterVec
	rollout     *prometheus.HistogramVec
	paused      *prometheus.HistogramVec
	step        *prometheus.HistogramVec
	lead        *prometheus.HistogramVec
	misjudged   *prometheus.HistogramVec
	pass        *prometheus.HistogramVec
	git         *prometheus.HistogramVec

	known map[string][]string // fleets that have their series, with their checks; of the scrape alone

	mu    sync.RWMutex    // held for writing while series come and go
	ended map[string]bool // fleets that had theirs taken away

	codesMu sync.Mutex
	codes   map[string]bool // that AWS answered, at most mostCodes
}

var _ reconciler.Observer = (*Events)(nil)

// NewEvents returns Events that nothing happened to yet. Hand it to NewRegistry to be seen.
func NewEvents() *Events {
	e := &Events{
		rollouts:    counter("windlass_rollouts_total", "Rollouts that ended.", "fleet", "trigger", "result"),
		corrections: counter("windlass_drift_corrections_total", "Nodes put right that had drifted from what was put there.", "fleet", "kind"),
		aws:         counter("windlass_aws_requests_total", "Requests sent to AWS, retries included, by error code or ok.", "service", "operation", "code"),
		checks:      counter("windlass_checks_total", "Tries of health checks: pass, fail, or error when it could not be tried.", "fleet", "check", "result"),
		ssh:         counter("windlass_ssh_sessions_total", "SSH sessions with nodes: success, lost on the way, or failed before that.", "fleet", "result"),
		rejected:    counter("windlass_revisions_rejected_total", "Commits whose file of the fleet was not put in force.", "fleet", "reason"),
		rollout:     histogram("windlass_rollout_duration_seconds", "How long rollouts took, pauses included.", longBuckets, "fleet", "result"),
		paused:      histogram("windlass_rollout_paused_duration_seconds", "How long people held rollouts up with paused.", longBuckets, "fleet", "result"),
		step:        histogram("windlass_step_duration_seconds", "How long the stages of a node's journey took.", stepBuckets, "fleet", "step", "result"),
		lead:        histogram("windlass_lead_time_seconds", "From a commit until it was fully in service.", longBuckets, "fleet"),
		misjudged:   histogram("windlass_rollout_expectation_error_ratio", "By how much the end of rollouts was misjudged when two nodes were done, as a part of the time from then on.", errorBuckets, "fleet"),
		pass:        histogram("windlass_reconcile_duration_seconds", "How long passes took to plan and to start what is due.", passBuckets, "fleet"),
		git:         histogram("windlass_git_operation_duration_seconds", "How long exchanges with the git server took: list, fetch, or clone of the whole history.", gitBuckets, "operation", "result"),
		known:       map[string][]string{},
		ended:       map[string]bool{},
		codes:       map[string]bool{"ok": true},
	}
	for _, operation := range gitOperations {
		for _, result := range results {
			e.git.WithLabelValues(operation, result)
		}
	}
	return e
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
}

// of counts what happened to a fleet. What comes late, after the fleet has ended, makes no series of it anew.
func (e *Events) of(fleet string, count func(fleet string)) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if fleet = label(fleet); !e.ended[fleet] {
		count(fleet)
	}
}

// StepDone counts a stage and, when it ended a correction, the correction.
func (e *Events) StepDone(d reconciler.StepDone) {
	e.of(d.Fleet, func(fleet string) {
		e.step.WithLabelValues(fleet, label(d.Step), label(d.Result)).Observe(d.Took.Seconds())
		if d.Corrected != "" {
			e.corrections.WithLabelValues(fleet, label(d.Corrected)).Inc()
		}
	})
}

// RolloutDone counts a rollout.
func (e *Events) RolloutDone(d reconciler.RolloutDone) {
	result := label(string(d.Rollout.Result))
	e.of(d.Fleet, func(fleet string) {
		e.rollouts.WithLabelValues(fleet, label(string(d.Rollout.Trigger)), result).Inc()
		e.rollout.WithLabelValues(fleet, result).Observe(d.Rollout.Ended.Sub(d.Rollout.Started).Seconds())
		e.paused.WithLabelValues(fleet, result).Observe(d.Rollout.Paused.Seconds())
		if d.Foretold {
			e.misjudged.WithLabelValues(fleet).Observe(d.Misjudged)
		}
		if d.Lead > 0 {
			e.lead.WithLabelValues(fleet).Observe(d.Lead.Seconds())
		}
	})
}

// PassDone counts a pass.
func (e *Events) PassDone(fleet string, took time.Duration) {
	e.of(fleet, func(fleet string) { e.pass.WithLabelValues(fleet).Observe(took.Seconds()) })
}

// CheckDone counts a try of a check. An answer that names another release is no pass.
func (e *Events) CheckDone(fleet, check string, result health.Result) {
	word := "fail"
	switch result {
	case health.Pass:
		word = "pass"
	case health.NoAnswer:
		word = "error"
	}
	e.of(fleet, func(fleet string) { e.checks.WithLabelValues(fleet, label(check), word).Inc() })
}

// Rejected counts a commit's file of a fleet.
func (e *Events) Rejected(fleet string, why desired.Reason) {
	e.of(fleet, func(fleet string) { e.rejected.WithLabelValues(fleet, label(string(why))).Inc() })
}

// SSHSession counts a session with a node; it is a host.Options.Observe.
func (e *Events) SSHSession(fleet, result string) {
	e.of(fleet, func(fleet string) { e.ssh.WithLabelValues(fleet, label(result)).Inc() })
}

// GitOperation counts an exchange with the git server; it is a gitrepo.Options.Observe.
func (e *Events) GitOperation(operation string, took time.Duration, failed bool) {
	result := success
	if failed {
		result = failure
	}
	e.git.WithLabelValues(label(operation), result).Observe(took.Seconds())
}

// AWSRequest counts a request; it is an awsapi.Observer.
func (e *Events) AWSRequest(service, operation, code string) {
	e.aws.WithLabelValues(label(service), label(operation), e.code(label(code))).Inc()
}

// mostCodes is how many codes of AWS are counted apart: an answer may come from anybody and make up one each time.
const mostCodes = 100

// code returns one of at most mostCodes codes, and other.
func (e *Events) code(code string) string {
	e.codesMu.Lock()
	defer e.codesMu.Unlock()
	switch {
	case e.codes[code]:
	case len(e.codes) >= mostCodes:
		return "other"
	default:
		e.codes[code] = true
	}
	return code
}

// follow gives each of the fleets all its series, at zero, and takes away those of fleets that are gone. Doing so while a
// scrape is answered is soon enough: no scrape sees a counter for the first time at one, which increase() would miss. Calls
// come one at a time.
func (e *Events) follow(fleets []reconciler.Status) {
	e.mu.Lock()
	defer e.mu.Unlock()
	gone := e.known
	e.known = make(map[string][]string, len(fleets))
	for _, f := range fleets {
		name := label(f.Name)
		checks, known := gone[name]
		if !known {
			e.begin(name)
		}
		e.followChecks(name, checks, f.Checks)
		delete(gone, name)
		e.known[name] = f.Checks
	}
	for name := range gone {
		e.end(name)
	}
}

func (e *Events) followChecks(fleet string, before, now []string) {
	for _, check := range before {
		if !slices.Contains(now, check) {
			e.checks.DeletePartialMatch(prometheus.Labels{"fleet": fleet, "check": label(check)})
		}
	}
	for _, check := range now {
		for _, result := range checkResults {
			e.checks.WithLabelValues(fleet, label(check), result)
		}
	}
}

func (e *Events) begin(fleet string) {
	delete(e.ended, fleet)
	for _, result := range reconciler.Results {
		e.rollout.WithLabelValues(fleet, string(result))
		e.paused.WithLabelValues(fleet, string(result))
		for _, trigger := range reconciler.Triggers {
			e.rollouts.WithLabelValues(fleet, string(trigger), string(result))
		}
	}
	for _, step := range steps {
		for _, result := range results {
			e.step.WithLabelValues(fleet, step, result)
		}
	}
	for _, kind := range driftKinds {
		e.corrections.WithLabelValues(fleet, kind)
	}
	for _, result := range sshResults {
		e.ssh.WithLabelValues(fleet, result)
	}
	for _, reason := range desired.Reasons {
		e.rejected.WithLabelValues(fleet, string(reason))
	}
	e.lead.WithLabelValues(fleet)
	e.misjudged.WithLabelValues(fleet)
	e.pass.WithLabelValues(fleet)
}

func (e *Events) end(fleet string) {
	e.ended[fleet] = true
	match := prometheus.Labels{"fleet": fleet}
	for _, c := range []*prometheus.CounterVec{e.rollouts, e.corrections, e.checks, e.ssh, e.rejected} {
		c.DeletePartialMatch(match)
	}
	for _, h := range []*prometheus.HistogramVec{e.rollout, e.paused, e.step, e.lead, e.misjudged, e.pass} {
		h.DeletePartialMatch(match)
	}
}

func (e *Events) each(do func(prometheus.Collector)) {
	for _, c := range []prometheus.Collector{
		e.rollouts, e.corrections, e.aws, e.checks, e.ssh, e.rejected, e.rollout, e.paused, e.step, e.lead, e.misjudged, e.pass, e.git,
	} {
		do(c)
	}
}
