package main

import (
	"log/slog"
	"path/filepath"

	"windlass/internal/forge"
	"windlass/internal/forge/report"
	"windlass/internal/metrics"
	"windlass/reconciler"
)

// A forgeReport tells the forge that the deploy repo is on what becomes of its commits. The zero value tells nobody.
type forgeReport struct {
	*report.Reporter // nil: there is nobody to tell
	client           *forge.Client
	counts           *metrics.Forge
}

// openForge finds the forge of the deploy repo among those of the file.
func openForge(o agentOptions, hosts forge.Hosts, state *stateDir, log *slog.Logger) (f forgeReport, err error) {
	if hosts == nil {
		return f, nil
	}
	place, ok := forge.Locate(o.repo)
	if !ok {
		log.Info("the deploy repo is on no forge: no commit status is set", "forges", o.forges)
		return f, nil
	}
	host, ok := hosts.Of(place)
	if !ok {
		log.Info("the deploy repo's host is not in the file of --forges: no commit status is set", "forges", o.forges, "host", place.Host)
		return f, nil
	}
	if f.client, err = forge.NewClient(host, place); err != nil {
		return f, err
	}
	f.counts = metrics.NewForge(report.Operations[:])
	f.Reporter = report.New(report.Options{
		Forge: f.client, Where: place.String(), File: state.forgePath(), Log: log, Observe: f.counts.Wrote,
	})
	return f, nil
}

func (d *stateDir) forgePath() string { return filepath.Join(d.path, "forge.json") }

// RolloutDone passes on a rollout that ended.
func (f forgeReport) RolloutDone(d reconciler.RolloutDone) {
	if f.Reporter != nil {
		f.Reporter.RolloutDone(d)
	}
}

// Problems are what keeps the forge from being told.
func (f forgeReport) Problems() []string {
	if f.Reporter == nil {
		return nil
	}
	return f.Reporter.Problems()
}

// reports are the same for people.
func (f forgeReport) reports() (all []reconciler.Report) {
	for _, problem := range f.Problems() {
		all = append(all, reconciler.Report{To: "commit status", Problem: problem})
	}
	return all
}

func (f forgeReport) close() {
	if f.client != nil {
		f.client.Close()
	}
}

// link names the page of what a rollout changed. Drift that is put right, and nodes that came, bring no change.
func link(pages forge.Pages, r reconciler.Rollout) string {
	to := r.Change.Revision
	if to == "" {
		to = r.Revision
	}
	if r.Trigger == reconciler.TriggerDrift || r.Trigger == reconciler.TriggerMembership {
		return pages.Commit(to)
	}
	return pages.Change(r.FromRevision, to)
}
