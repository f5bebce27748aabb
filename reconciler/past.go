package reconciler

import (
	"context"
	"time"
)

// How much work records can make by the revisions they name. A walk through a long history is expensive, and what a node says is hostile.
const (
	mostSearches = 2           // of one fleet, in flight
	searchPause  = time.Minute // from one search for a node's sake to the next
)

// A search is what the deploy repo's history says of a revision that a record names.
type search struct {
	why    string // the revision cannot be built on; "" when it can
	asked  bool   // it was, or is being, searched for, and need not be again
	needed bool   // a record names it now
}

// checkHistory asks, once for each revision that a record names and again when the head has moved, whether the deploy repo still
// knows it (law 2). Until it was told that it does, nothing begins. What no record names any more is forgotten.
func (a *actor) checkHistory(ctx context.Context) {
	if a.History == nil {
		return
	}
	now := time.Now()
	a.noteRevisions()
	if now.Before(a.nextHistory) {
		return
	}
	for _, n := range a.order {
		if a.tasks.busyWith(taskHistory) >= mostSearches {
			return
		}
		s := a.history[n.revision()]
		if s == nil || s.asked || n.excluded || now.Before(a.searchDue(n)) {
			continue
		}
		s.asked, n.searchedAt = true, now
		a.search(ctx, n.revision())
	}
}

// searchDue is when the history may be searched for a node's sake. The wanted revision is no node's invention.
func (a *actor) searchDue(n *node) time.Time {
	if n.searchedAt.IsZero() || n.revision() == a.want.Version.Revision {
		return time.Time{}
	}
	return n.searchedAt.Add(searchPause)
}

// noteRevisions makes the revisions that were searched for, or are to be, those that records name. For an excluded node nothing is searched;
// what was found for it is kept for its return.
func (a *actor) noteRevisions() {
	newest := "" // most records name what the one before them names
	for _, n := range a.order {
		revision := n.revision()
		if n.excluded {
			if s := a.history[revision]; s != nil && s.why == "" {
				s.needed = true
			}
			continue
		}
		if revision == newest || revision == "" {
			continue
		}
		newest = revision
		if a.history[revision] == nil {
			a.history[revision] = &search{why: "the deploy repo's history is still to be searched for revision " + short(revision) + ", which its record names"}
		}
		a.history[revision].needed = true
	}
	for revision, s := range a.history {
		if !s.needed {
			delete(a.history, revision)
		}
		s.needed = false
	}
}

func (a *actor) search(ctx context.Context, revision string) {
	a.tasks.begin(ctx, taskHistory, revision, 5*time.Minute, func(ctx context.Context) func() {
		known, err := a.History.Contains(ctx, revision)
		return func() { a.searched(revision, known, err) }
	})
}

func (a *actor) searched(revision string, known bool, err error) {
	s := a.history[revision]
	if err != nil {
		a.Log.Warn("cannot search the deploy repo's history", "fleet", a.name, "revision", revision, "error", err)
		a.nextHistory = time.Now().Add(a.Interval)
		a.searchAgain(revision)
	}
	switch {
	case s == nil: // nobody names it any more
	case err != nil:
	case known:
		s.why = ""
	default:
		s.why = "its record names revision " + short(revision) + ", which the deploy repo's history does not hold: rewritten history; start windlass run with --accept-revision to go on"
	}
}

// forgetDenials lets what git did not know be searched for again: its head has moved.
func (a *actor) forgetDenials() {
	for revision, s := range a.history {
		if s.why != "" && s.asked && !a.tasks.busy(taskHistory, revision) {
			a.searchAgain(revision)
		}
	}
}

// searchAgain lets a revision be searched for again, without a pause: that is not its nodes' doing.
func (a *actor) searchAgain(revision string) {
	if s := a.history[revision]; s != nil {
		s.asked = false
	}
	for _, n := range a.order {
		if n.revision() == revision {
			n.searchedAt = time.Time{}
		}
	}
}

// doubts reports whether there is a revision that cannot be built on.
func (a *actor) doubts() bool {
	for _, s := range a.history {
		if s.why != "" {
			return true
		}
	}
	return false
}

// doubt is why the revision that the node's record names cannot be built on, or "".
func (a *actor) doubt(n *node) string {
	if s := a.history[n.revision()]; s != nil && !n.excluded {
		return s.why
	}
	return ""
}

func short(revision string) string { return revision[:min(len(revision), 12)] }
