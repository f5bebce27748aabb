package plan

import (
	"slices"
	"time"

	"windlass/actuators"
)

// A recheck is what is known of the others before a node is changed that no balancer takes out: nothing but their checks says who serves, so
// that they are made again (law 9).
type recheck struct {
	order []*view // the nodes at rest that are counted on, the longest unchecked first
	since time.Time
}

// recheck lists the nodes that are to be checked again for those that are claimed.
func (k *known) recheck() recheck {
	var r recheck
	if k.balanced() {
		return r
	}
	for i := range k.views {
		if v := &k.views[i]; v.rec.Stage == actuators.Leaving {
			r.since = later(r.since, v.Staged)
		}
	}
	if r.since.IsZero() {
		return r
	}
	for i := range k.views {
		if v := &k.views[i]; !v.moving && k.counts(v) {
			r.order = append(r.order, v)
		}
	}
	slices.SortStableFunc(r.order, func(a, b *view) int { return a.checkedAgain().Compare(b.checkedAgain()) })
	return r
}

// checkedAgain is when the checks began that were last made of the node for others' sake; zero: none were.
func (v *view) checkedAgain() time.Time {
	if v.Health.Phase != WatchAgain {
		return zeroTime
	}
	return v.Health.Since
}

// enough is how many others are checked again: all of a small fleet, of a large one as many as MostRechecks, the longest unchecked first, so
// that what a node costs does not grow with the fleet.
func (r recheck) enough() int { return min(len(r.order), MostRechecks) }

// done reports whether enough of the others were checked since a node was claimed.
func (r recheck) done(claimed time.Time) bool {
	n := r.enough()
	return n == 0 || !r.order[len(r.order)-n].checkedAgain().Before(claimed)
}

// due are the nodes to be checked now.
func (r recheck) due() map[string]bool {
	due := map[string]bool{}
	for i := range r.enough() {
		if r.order[len(r.order)-1-i].checkedAgain().Before(r.since) {
			due[r.order[len(due)].Name] = true
		}
	}
	return due
}
