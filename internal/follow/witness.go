package follow

import (
	"time"

	"windlass/internal/web"
	"windlass/reconciler"
)

// A Witness knows the rollout that it saw come to its end. Its zero value has seen nothing.
type Witness struct {
	seen   bool
	before time.Time // the start of the rollout that had ended when it began to look
	fleet  web.Fleet // as it was seen last
}

// Take looks at the newest picture of the fleet.
func (w *Witness) Take(f web.Fleet) {
	if f.Desired.Revision == "" { // the agent has not looked at it yet
		return
	}
	if !w.seen && !f.Rollout.Ended.IsZero() {
		w.before = f.Rollout.Started
	}
	w.seen, w.fleet = true, f
}

// Recap tells the rollout in a line to pass on. It is empty where none came to this end before the witness's eyes: whatever ended
// earlier is not what was followed. A superseded rollout is taken as it was seen last.
func (w *Witness) Recap(end End) string {
	r := w.fleet.Rollout
	if end == Superseded && r.Ended.IsZero() {
		r.Result = reconciler.ResultSuperseded
	}
	if r.Started.IsZero() || r.Started.Equal(w.before) || r.Result == "" {
		return ""
	}
	return r.Recap(w.fleet.Name)
}
