package metrics

import "github.com/prometheus/client_golang/prometheus"

// Webhooks counts requests to the address of --webhook-listen. It is a prometheus.Collector.
type Webhooks struct{ *prometheus.CounterVec }

// NewWebhooks makes the counters of providers and results, at 0.
func NewWebhooks[P, R ~string](providers []P, results []R) *Webhooks {
	w := &Webhooks{counter("windlass_webhook_requests_total", "Webhooks that came, by who sends them by their own account, and what became of them.", "provider", "result")}
	for _, provider := range providers {
		for _, result := range results {
			w.WithLabelValues(string(provider), string(result))
		}
	}
	return w
}

// Request counts one.
func (w *Webhooks) Request(provider, result string) {
	w.WithLabelValues(label(provider), label(result)).Inc()
}
