package main

import (
	"testing"
	"time"

	"windlass/actuators/host"
	"windlass/desired/gitrepo"
	"windlass/internal/metrics"
	"windlass/reconciler"
)

type oneFleet struct{}

func (oneFleet) Snapshot() reconciler.Snapshot {
	return reconciler.Snapshot{Fleets: []reconciler.Status{{Name: "web"}}}
}

// The adapters say nothing that the metrics do not expect: each word has its series at 0 before it is first said.
func TestMetricsKnowTheAdaptersWords(t *testing.T) {
	t.Parallel()
	events := metrics.NewEvents()
	registry := metrics.NewRegistry(metrics.Build{}, events, oneFleet{}, func() metrics.Git { return metrics.Git{} })
	series := func() map[string]int {
		counts := map[string]int{}
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			counts[f.GetName()] = len(f.GetMetric())
		}
		return counts
	}
	before := series()
	for _, result := range host.Results {
		events.SSHSession("web", result)
	}
	for _, operation := range gitrepo.Operations {
		events.GitOperation(operation, time.Second, true)
		events.GitOperation(operation, time.Second, false)
	}
	after := series()
	for name, words := range map[string]int{"windlass_ssh_sessions_total": len(host.Results), "windlass_git_operation_duration_seconds": 2 * len(gitrepo.Operations)} {
		if before[name] != words || after[name] != words {
			t.Errorf("%s has %d series at first and %d when all was said, want %d", name, before[name], after[name], words)
		}
	}
}
