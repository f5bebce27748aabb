package reconciler

import (
	"context"
	"time"
)

// checkHistory asks, once for each revision that a record names, whether the deploy repo still knows it (law 2).
func (a *actor) checkHistory(ctx context.Context) {
	if a.History == nil {
		return
	}
	if time.Now().Before(a.nextHistory) {
		return
	}
	for _, n := range a.order {
		revision := n.revision()
		if _, known := a.history[revision]; known || revision == "" {
			continue
		}
		a.history[revision] = "the deploy repo's history is still to be searched for revision " + short(revision) + ", which its record names"
		a.tasks.begin(ctx, taskHistory, revision, 5*time.Minute, func(ctx context.Context) func() {
			known, err := a.History.Contains(ctx, revision)
			return func() { a.searched(revision, known, err) }
		})
	}
}

func (a *actor) searched(revision string, known bool, err error) {
	switch {
	case err != nil:
		a.Log.Warn("cannot search the deploy repo's history", "fleet", a.name, "revision", revision, "error", err)
		delete(a.history, revision)
		a.nextHistory = time.Now().Add(a.Interval)
	case known:
		a.history[revision] = ""
	default:
		a.history[revision] = "its record names revision " + short(revision) + ", which the deploy repo's history does not hold: rewritten history; start windlass run with --accept-revision to go on"
	}
}

func short(revision string) string { return revision[:min(len(revision), 12)] }
