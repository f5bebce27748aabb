package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"windlass/reconciler"
)

// Buckets, in seconds. Rollouts and lead times take minutes to hours; a step takes seconds to an hour; a pass takes
// milliseconds unless an API is slow.
var (
	longBuckets = []float64{30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800}
	stepBuckets = []float64{0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600, 1200, 3600}
	passBuckets = []float64{0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30}
)

// What a StepDone may say; every combination exists from the start.
var (
	steps       = [...]string{"prepare", "drain", "configure", "verify", "add", "bake"}
	stepResults = [...]string{"success", "failure"}
	driftKinds  = [...]string{"release", "membership"}
)

// Events counts what happened since the process started. It is a reconciler.Observer; all its methods may be called from
// any goroutine and return at once.
type Events struct {
	rollouts    *prometheus.CounterVec
	corrections *prometheus.CounterVec
	aws         *prometheus.CounterVec
	rollout     *prometheus.HistogramVec
	step        *prometheus.HistogramVec
	lead        *prometheus.HistogramVec
	pass        *prometheus.HistogramVec

	known map[string]bool // fleets that have their series; of the scrape alone
}

var _ reconciler.Observer = (*Events)(nil)

// NewEvents returns Events that nothing happened to yet. Hand it to NewRegistry to be seen.
func NewEvents() *Events {
	return &Events{
		rollouts:    counter("windlass_rollouts_total", "Rollouts that ended.", "fleet", "trigger", "result"),
		corrections: counter("windlass_drift_corrections_total", "Nodes put right that had drifted from what was put there.", "fleet", "kind"),
		aws:         counter("windlass_aws_requests_total", "Requests sent to AWS, retries included, by error code or ok.", "service", "operation", "code"),
		rollout:     histogram("windlass_rollout_duration_seconds", "How long rollouts took.", longBuckets, "fleet", "result"),
		step:        histogram("windlass_step_duration_seconds", "How long the stages of a node's journey took.", stepBuckets, "fleet", "step", "result"),
		lead:        histogram("windlass_lead_time_seconds", "From a commit until it was fully in service.", longBuckets, "fleet"),
		pass:        histogram("windlass_reconcile_duration_seconds", "How long passes took to plan and to start what is due.", passBuckets, "fleet"),
		known:       map[string]bool{},
	}
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
}

// StepDone counts a stage and, when it ended a correction, the correction.
func (e *Events) StepDone(d reconciler.StepDone) {
	e.step.WithLabelValues(label(d.Fleet), label(d.Step), label(d.Result)).Observe(d.Took.Seconds())
	if d.Corrected != "" {
		e.corrections.WithLabelValues(label(d.Fleet), label(d.Corrected)).Inc()
	}
}

// RolloutDone counts a rollout.
func (e *Events) RolloutDone(d reconciler.RolloutDone) {
	fleet, result := label(d.Fleet), label(string(d.Rollout.Result))
	e.rollouts.WithLabelValues(fleet, label(string(d.Rollout.Trigger)), result).Inc()
	e.rollout.WithLabelValues(fleet, result).Observe(d.Rollout.Ended.Sub(d.Rollout.Started).Seconds())
	if d.Lead > 0 {
		e.lead.WithLabelValues(fleet).Observe(d.Lead.Seconds())
	}
}

// PassDone counts a pass.
func (e *Events) PassDone(fleet string, took time.Duration) {
	e.pass.WithLabelValues(label(fleet)).Observe(took.Seconds())
}

// AWSRequest counts a request; it is an awsapi.Observer.
func (e *Events) AWSRequest(service, operation, code string) {
	e.aws.WithLabelValues(label(service), label(operation), label(code)).Inc()
}

// follow gives each of the fleets all its series, at zero, and takes away those of fleets that are gone. Doing so while a
// scrape is answered is soon enough: no scrape sees a counter for the first time at one, which increase() would miss. Calls
// come one at a time.
func (e *Events) follow(fleets []reconciler.Status) {
	gone := e.known
	e.known = make(map[string]bool, len(fleets))
	for _, f := range fleets {
		name := label(f.Name)
		if !gone[name] {
			e.begin(name)
		}
		delete(gone, name)
		e.known[name] = true
	}
	for name := range gone {
		e.end(name)
	}
}

func (e *Events) begin(fleet string) {
	for _, result := range reconciler.Results {
		e.rollout.WithLabelValues(fleet, string(result))
		for _, trigger := range reconciler.Triggers {
			e.rollouts.WithLabelValues(fleet, string(trigger), string(result))
		}
	}
	for _, step := range steps {
		for _, result := range stepResults {
			e.step.WithLabelValues(fleet, step, result)
		}
	}
	for _, kind := range driftKinds {
		e.corrections.WithLabelValues(fleet, kind)
	}
	e.lead.WithLabelValues(fleet)
	e.pass.WithLabelValues(fleet)
}

func (e *Events) end(fleet string) {
	match := prometheus.Labels{"fleet": fleet}
	e.rollouts.DeletePartialMatch(match)
	e.corrections.DeletePartialMatch(match)
	for _, h := range []*prometheus.HistogramVec{e.rollout, e.step, e.lead, e.pass} {
		h.DeletePartialMatch(match)
	}
}

func (e *Events) each(do func(prometheus.Collector)) {
	for _, c := range []prometheus.Collector{e.rollouts, e.corrections, e.aws, e.rollout, e.step, e.lead, e.pass} {
		do(c)
	}
}
