package main

import (
	"windlass/desired/gitrepo"
	"windlass/internal/forge"
	"windlass/internal/metrics"
	"windlass/reconciler"
)

// A sight is what the core knows, with how reading the deploy repo goes right now, and with what only the outside has a use for.
type sight struct {
	*reconciler.Agent
	repo  *gitrepo.Repo
	pages forge.Pages
}

// Snapshot is the core's, with the newest good reading of the deploy repo, which the core hears of only when it says something new.
func (r *sight) Snapshot() reconciler.Snapshot {
	s := r.Agent.Snapshot()
	stats := r.repo.Stats()
	s.Repo.Branch, s.Repo.Path = stats.Branch, stats.Path
	if read := stats.LastSuccess; !s.Repo.Checked.IsZero() && read.After(s.Repo.Checked) {
		s.Repo.Checked = read
	}
	s.Repo.Link = r.pages.Commit(s.Repo.Revision)
	for i := range s.Fleets {
		f := &s.Fleets[i]
		f.Desired.Link, f.Rollout.Link = r.pages.Commit(f.Desired.Revision), link(r.pages, f.Rollout)
	}
	return s
}

// An account is a sight, with the places outside that cannot be told.
type account struct {
	*sight
	forge forgeReport
	told  *notices
}

// Snapshot is the sight's, with who cannot be told of it.
func (r *account) Snapshot() reconciler.Snapshot {
	s := r.sight.Snapshot()
	s.Repo.Reports = r.forge.reports()
	r.told.report(&s)
	return s
}

func (r *sight) git() metrics.Git {
	s := r.repo.Stats()
	g := metrics.Git{
		Errors: map[string]int{}, Rewrites: s.Rewrites, Refused: s.Refused, LastSuccess: s.LastSuccess,
		Branch: s.Branch, Head: s.Head, HeadCommitted: s.HeadCommitted,
	}
	for reason, count := range s.Errors {
		g.Errors[string(reason)] = count
	}
	return g
}
