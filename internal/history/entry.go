package history

import (
	"encoding/binary"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"windlass/internal/redact"
	"windlass/reconciler"
)

// Bounds on the texts of an entry, in characters.
const (
	mostName = 200 // names, releases, revisions, an author, a subject
	mostText = 500 // a reason
)

// An Entry is a rollout that ended. Its texts are one line each, bounded, and without secrets or characters that do not print.
type Entry struct {
	Fleet   string             `json:"fleet"`
	Started time.Time          `json:"started"`
	Ended   time.Time          `json:"ended"`
	Trigger reconciler.Trigger `json:"trigger"`
	Result  reconciler.Result  `json:"result"`
	Reason  string             `json:"reason,omitempty"` // why it halted

	From      string    `json:"from,omitempty"` // the release that most nodes had before; empty: none is known
	To        string    `json:"to"`
	Revision  string    `json:"revision"` // of the commit that changed the fleet last, and so on
	Committed time.Time `json:"committed,omitzero"`
	Author    string    `json:"author,omitempty"`
	Subject   string    `json:"subject,omitempty"`

	Planned   int                 `json:"planned"` // nodes
	Completed int                 `json:"completed"`
	Lowest    reconciler.Capacity `json:"lowest,omitzero"`  // the least that was seen; zero: it was never seen whole
	Longest   reconciler.Outage   `json:"longest,omitzero"` // of one node; zero: none was seen out of service
}

// entryOf is what is kept of a rollout that ended.
func entryOf(d reconciler.RolloutDone) Entry {
	r := d.Rollout
	e := Entry{
		Fleet: d.Fleet, Started: r.Started.UTC(), Ended: r.Ended.UTC(), Trigger: r.Trigger, Result: r.Result, Reason: fit(d.Reason, mostText),
		From: fit(r.From, mostName), To: fit(r.Release, mostName),
		Revision: fit(r.Change.Revision, mostName), Committed: r.Change.Committed.UTC(), Author: fit(r.Change.Author, mostName), Subject: fit(r.Change.Subject, mostName),
		Planned: r.Planned, Completed: r.Completed, Lowest: r.Lowest, Longest: r.Longest,
	}
	e.Longest.Node = fit(r.Longest.Node, mostName)
	if e.Revision == "" { // it began under a windlass that did not know
		e.Revision, e.Committed = fit(r.Revision, mostName), r.Committed.UTC()
	}
	return e
}

// fit makes text from outside fit to be kept.
func fit(s string, most int) string {
	s = strings.Map(func(c rune) rune {
		if unicode.IsPrint(c) {
			return c
		}
		return utf8.RuneError
	}, redact.Line(s))
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most-1]) + "…"
	}
	return s
}

// key orders a fleet's entries by when they started, and is the same however often a rollout is told of.
func (e Entry) key() []byte { return binary.BigEndian.AppendUint64(nil, uint64(e.Started.UnixNano())) }
