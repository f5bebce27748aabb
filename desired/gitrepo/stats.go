package gitrepo

import (
	"maps"
	"time"
)

// Stats are counts since the process started, and what was seen last.
type Stats struct {
	Polls    int
	Fetches  int
	Rewrites int // heads seen that do not follow the accepted commit
	Errors   map[Reason]int
	Refused  bool // a commit that the branch has now is not accepted because of who signed it, or did not

	LastSuccess   time.Time // of a poll; zero: none yet
	Head          string    // accepted commit; empty: none yet
	HeadCommitted time.Time
	Branch, Path  string // that are followed
}

// Stats returns a copy; it never waits for a poll.
func (r *Repo) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	stats := r.stats
	stats.Errors = maps.Clone(r.stats.Errors)
	stats.Head, stats.HeadCommitted = r.force.Revision, r.force.Committed
	stats.Refused = r.trusted.refused.Reason != ""
	return stats
}

func (r *Repo) count(change func(*Stats)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.stats)
}
