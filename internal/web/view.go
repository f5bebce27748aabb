package web

import (
	"encoding/json"
	"sync"
	"time"

	"windlass/reconciler"
)

// A view is a snapshot as it may be shown, made once for all who watch.
type view struct {
	changed <-chan struct{} // closed when there is a newer snapshot
	made    time.Time
	repo    Repo
	fleets  []shown

	events   func() ([]event, error) // what the API's watchers are to know
	timeless func() (string, error)  // the changing part of the page, without what time alone changes

	mu       sync.Mutex
	rendered string // the same with it, at a time
	at       time.Time
}

// A shown fleet is one as it may be shown, by the name that the reconciler knows it by.
type shown struct {
	Fleet
	key string
}

// An event is the newest of its key, as it is sent. It is made once for all who are told.
type event struct{ key, text string }

// views makes views, one at a time.
type views struct {
	source Source

	mu   sync.Mutex
	fit  *censor // of all snapshots, one after another
	last *view
}

func newViews(source Source) *views { return &views{source: source, fit: newCensor()} }

// newest is a view of the newest snapshot, or one made less than tolerance ago: that may be old, and its channel is closed then.
func (v *views) newest(tolerance time.Duration) *view {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.last == nil || v.last.old() && time.Since(v.last.made) >= tolerance {
		v.last = v.look()
	}
	return v.last
}

func (v *views) look() *view {
	defer v.fit.next()
	changed := v.source.Changed() // before the snapshot, which may be newer then and not older
	snapshot := v.source.Snapshot()
	seen := &view{changed: changed, made: time.Now(), repo: v.fit.repo(snapshot.Repo)}
	seen.fleets = each(snapshot.Fleets, func(s reconciler.Status) shown { return shown{v.fit.fleet(s), s.Name} })
	seen.events = sync.OnceValues(seen.encode)
	seen.timeless = sync.OnceValues(func() (string, error) { return newState(seen, time.Time{}).render("state") })
	return seen
}

// old reports whether there is a newer snapshot.
func (v *view) old() bool {
	select {
	case <-v.changed:
		return true
	default:
		return false
	}
}

// encode tells of the repo last: who hears of a new revision has heard before what its fleets want.
func (v *view) encode() ([]event, error) {
	all := make([]event, 0, len(v.fleets)+1)
	add := func(name, key string, value any) error {
		data, err := json.Marshal(value)
		all = append(all, event{key, wire(name, string(data))})
		return err
	}
	for _, f := range v.fleets {
		if err := add("fleet", f.key, f.Fleet); err != nil {
			return nil, err
		}
	}
	return all, add("repo", "", v.repo)
}

// page is the changing part of the page at a time, or as it was hardly earlier.
func (v *view) page(now time.Time) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.rendered != "" && now.Sub(v.at) < pace {
		return v.rendered, nil
	}
	content, err := newState(v, now).render("state")
	if err == nil {
		v.rendered, v.at = content, now
	}
	return content, err
}
