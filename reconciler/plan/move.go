package plan

import (
	"strings"
	"time"

	"windlass/actuators"
)

// A move is what is decided for one node, and how it stands.
type move struct {
	status    NodeStatus
	step      *Step
	watch     *Watch
	hold      *Hold
	wake      time.Time // when time alone may change the move; zero: never
	reread    bool      // the balancers are to be read again
	waitsTurn bool      // it is claimed, or is to be, before others have finished
	serves    bool      // it is claimed, and serves on until its turn
	sense     bool      // the connections to the node are to be sensed
	yields    bool      // it can neither serve nor leave, and lets others go before it
	order     int       // its step's place among those of other nodes; the same: by name
}

// because says what the node is at.
func (m *move) because(why string) { m.status.Reason = why }

// do starts something on the node, with the record that is written first.
func (m *move) do(kind Kind, reason string, r actuators.NodeRecord) {
	m.status.Reason = reason
	m.step = &Step{Node: m.status.Name, Kind: kind, Reason: reason, Record: &r}
}

// run starts a job on the node.
func (m *move) run(v *view, kind Kind, reason string, r actuators.NodeRecord, job Job) {
	job.Previous = v.rec.Proven.Release
	m.do(kind, reason, r)
	m.step.Job = job
}

// probe asks for the node to be watched.
func (m *move) probe(phase WatchPhase, release string, steady time.Duration) {
	m.watch = &Watch{Node: m.status.Name, Release: release, Phase: phase, Steady: steady}
}

// refuse holds the node.
func (m *move) refuse(r refusal) {
	m.hold = &Hold{Node: m.status.Name, Cause: r.cause, Reason: "hold: " + r.why}
	m.status.Reason = m.hold.Reason
}

// wakeAt pulls the next look earlier, never later. An instant that has come changes nothing more: a reading is awaited.
func (m *move) wakeAt(now, t time.Time) { m.wake = sooner(m.wake, now, t) }

// sooner is the earlier of two instants to wake at, the second where it is still to come.
func sooner(wake, now, t time.Time) time.Time {
	if t.After(now) && (wake.IsZero() || t.Before(wake)) {
		return t
	}
	return wake
}

// overdue reports whether the node's stage has outlasted its deadline; if not, the plan wakes when it will have.
func (m *move) overdue(now time.Time) bool {
	if now.Before(m.status.Deadline) {
		m.wakeAt(now, m.status.Deadline)
		return false
	}
	return true
}

// waits makes the move last until then, and reports whether that is still to come.
func (m *move) waits(now, until time.Time, why string) bool {
	if !now.Before(until) {
		return false
	}
	m.wakeAt(now, until)
	m.status.Deadline = until
	m.status.Reason = why
	return true
}

// bounded keeps a reason short enough for a record.
func bounded(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	const most = 300
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

var zeroTime time.Time

// cmpTime returns the first time that is known.
func cmpTime(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return zeroTime
}

// first is the earlier of two times that are known.
func first(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
