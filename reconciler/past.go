package reconciler

import (
	"cmp"
	"context"
	"time"
)

// checkHistory asks, once for each revision that a record names and again when the head has moved, whether the deploy repo still
// knows it (law 2). Until it was told that it does, nothing begins.
func (a *actor) checkHistory(ctx context.Context) {
	if a.History == nil {
		return
	}
	if time.Now().Before(a.nextHistory) {
		return
	}
	for _, n := range a.order {
		revision := n.revision()
		if a.searching[revision] || revision == "" || n.excluded {
			continue
		}
		a.searching[revision] = true
		a.history[revision] = cmp.Or(a.history[revision], "the deploy repo's history is still to be searched for revision "+short(revision)+", which its record names")
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
		delete(a.searching, revision)
		a.nextHistory = time.Now().Add(a.Interval)
	case known:
		a.history[revision] = ""
	default:
		a.history[revision] = "its record names revision " + short(revision) + ", which the deploy repo's history does not hold: rewritten history; start windlass run with --accept-revision to go on"
	}
}

// forgetDenials lets what git did not know be searched for again: its head has moved.
func (a *actor) forgetDenials() {
	for revision, why := range a.history {
		if why != "" && !a.tasks.busy(taskHistory, revision) {
			delete(a.searching, revision)
		}
	}
}

func short(revision string) string { return revision[:min(len(revision), 12)] }
