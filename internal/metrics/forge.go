package metrics

import "github.com/prometheus/client_golang/prometheus"

// Forge counts what a forge was told. NewForge makes one.
type Forge struct{ writes *prometheus.CounterVec }

// NewForge makes the counters of operations, at 0.
func NewForge(operations []string) *Forge {
	f := &Forge{counter("windlass_forge_writes_total", "Tries to tell the forge of the deploy repo something, by operation and result.", "operation", "result")}
	for _, operation := range operations {
		f.writes.WithLabelValues(operation, "success")
		f.writes.WithLabelValues(operation, "failure")
	}
	return f
}

// Wrote counts a try.
func (f *Forge) Wrote(operation string, failed bool) {
	result := "success"
	if failed {
		result = "failure"
	}
	f.writes.WithLabelValues(operation, result).Inc()
}

// Collectors are the counters, and a series that is 1 while there are problems.
func (f *Forge) Collectors(problems func() []string) []prometheus.Collector {
	return []prometheus.Collector{f.writes, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "windlass_forge_failing", Help: "1 while the forge of the deploy repo cannot be told what becomes of commits; absent without --forges.",
	}, func() float64 { return one(len(problems()) > 0) })}
}
