package metrics

import (
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"windlass/reconciler"
)

// A Source knows how everything stands.
//
// Law: Snapshot never blocks for longer than it takes to copy what is known.
type Source interface {
	Snapshot() reconciler.Snapshot
}

// Git is how reading the deploy repo went since the process started.
type Git struct {
	Errors        map[string]int // failed polls by reason; every reason there is, those that never happened at 0
	Rewrites      int            // heads seen that do not follow the accepted commit
	Refused       bool           // the branch has a commit that is not accepted because of who signed it, or did not
	LastSuccess   time.Time      // zero: never, and the series says 0, so that an alert on its age fires
	Branch        string
	Head          string // accepted commit; empty: none yet
	HeadCommitted time.Time
}

// Build names the running program.
type Build struct {
	Version  string
	Revision string
}

// NewRegistry returns all series of the agent, and those of its process. One scrape asks source and git once each.
func NewRegistry(build Build, events *Events, source Source, git func() Git) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		&collector{build: build, events: events, source: source, git: git},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return registry
}

// WebConfig is the series that says whether the newest file of --web-config is in force. Problem says why it is not; empty: it is.
func WebConfig(problem func() string) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "windlass_web_config_rejected", Help: "1 while the newest file of --web-config is not in force; absent without one.",
	}, func() float64 { return one(problem() != "") })
}

// Notifications are the series of telling people of rollouts: attempts by service, what they were about, and result, every one of them from the start at
// 0; and which channels fail now.
type Notifications struct {
	attempts *prometheus.CounterVec
	failing  func() []Channel
}

// A Channel is one that is told of rollouts.
type Channel struct {
	Name, Service string
	Failing       bool
}

var channelFailing = desc("windlass_notification_channel_failing", "1 while a channel of --notify cannot be told; absent without one.", "channel", "service")

// NewNotifications makes the series; failing says how the channels are, at each scrape.
func NewNotifications(services, triggers []string, failing func() []Channel) *Notifications {
	n := &Notifications{
		attempts: counter("windlass_notifications_total", "Attempts to notify, by what they were about.", "service", "trigger", "result"),
		failing:  failing,
	}
	for _, service := range services {
		for _, trigger := range triggers {
			for _, result := range [...]string{success, "error"} {
				n.attempts.WithLabelValues(label(service), label(trigger), result)
			}
		}
	}
	return n
}

// Attempt counts one.
func (n *Notifications) Attempt(service, trigger, result string) {
	n.attempts.WithLabelValues(label(service), label(trigger), label(result)).Inc()
}

// Describe implements prometheus.Collector.
func (n *Notifications) Describe(ch chan<- *prometheus.Desc) {
	ch <- channelFailing
	n.attempts.Describe(ch)
}

// Collect implements prometheus.Collector.
func (n *Notifications) Collect(ch chan<- prometheus.Metric) {
	for _, c := range n.failing() {
		out(ch).gauge(channelFailing, one(c.Failing), label(c.Name), label(c.Service))
	}
	n.attempts.Collect(ch)
}

// Handler serves what the gatherer holds. A series that cannot be built is left out; the others are served all the same.
func Handler(g prometheus.Gatherer) http.Handler {
	return promhttp.HandlerFor(g, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
}

var (
	buildInfo   = desc("windlass_build_info", "The running program.", "version", "revision", "goversion")
	gitErrors   = desc("windlass_git_errors_total", "Polls of the deploy repo that failed, by reason.", "reason")
	gitRewrites = desc("windlass_git_history_rewrites_total", "Heads seen that do not follow the accepted commit.")
	gitRefused  = desc("windlass_git_signature_refused", "1 while the branch has a commit that is not accepted for want of a signature; what is before it is in force.")
	gitSuccess  = desc("windlass_git_last_success_timestamp_seconds", "When the deploy repo was last read; 0 when it never was.")
	gitHead     = desc("windlass_git_head_info", "The commit in force.", "branch", "revision")
	gitHeadTime = desc("windlass_git_head_commit_timestamp_seconds", "When the commit in force was made.")
)

// collector turns one snapshot into series.
type collector struct {
	build  Build
	events *Events
	source Source
	git    func() Git
	scrape sync.Mutex // scrapes take turns, so that an older snapshot never undoes what a newer one began
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range stateDescs {
		ch <- d
	}
	for _, d := range []*prometheus.Desc{buildInfo, gitErrors, gitRewrites, gitRefused, gitSuccess, gitHead, gitHeadTime} {
		ch <- d
	}
	c.events.each(func(v prometheus.Collector) { v.Describe(ch) })
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.scrape.Lock()
	defer c.scrape.Unlock()
	o := out(ch)
	snapshot := c.source.Snapshot()
	o.gauge(buildInfo, 1, label(c.build.Version), short(c.build.Revision), runtime.Version())
	o.repo(c.git())
	for _, status := range snapshot.Fleets {
		o.fleet(status, snapshot.At)
	}
	c.events.follow(snapshot.Fleets)
	c.events.each(func(v prometheus.Collector) { v.Collect(ch) })
}

func (o out) repo(g Git) {
	for reason, count := range g.Errors {
		o.counter(gitErrors, float64(count), label(reason))
	}
	o.counter(gitRewrites, float64(g.Rewrites))
	o.gauge(gitRefused, one(g.Refused))
	if g.LastSuccess.IsZero() {
		g.LastSuccess = time.Unix(0, 0)
	}
	o.since(gitSuccess, g.LastSuccess)
	o.since(gitHeadTime, g.HeadCommitted)
	if g.Head != "" {
		o.gauge(gitHead, 1, label(g.Branch), short(g.Head))
	}
}
