package web

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"windlass/internal/history"
	"windlass/reconciler"
)

// How many rollouts are listed at once: unless asked otherwise, and at most.
const (
	UsualPast = 50
	MostPast  = history.MostEntries
)

// A History lists the rollouts of a fleet that ended, the newest first, at most so many; none for a fleet that it does not know. It may
// read a disk, and may be asked by several goroutines.
type History interface {
	Newest(fleet string, most int) ([]history.Entry, error)
}

// A Past is a rollout that ended, in the shape that the API and `windlass history --json` share. Times are UTC and left out when they are
// not known.
type Past struct {
	Started   time.Time          `json:"started"`
	Ended     time.Time          `json:"ended"`
	Took      float64            `json:"durationSeconds"`
	Trigger   reconciler.Trigger `json:"trigger"`
	Result    reconciler.Result  `json:"result"`
	Reason    string             `json:"reason,omitempty"` // why it halted
	From      string             `json:"from"`             // the release that most nodes had when it began; empty: none is known
	Release   string             `json:"release"`          // the one it brought
	Revision  string             `json:"revision"`         // the commit that last changed what the fleet file says, with its committer's time
	Committed time.Time          `json:"committed,omitzero"`
	Author    string             `json:"author"`
	Subject   string             `json:"subject"`
	Planned   int                `json:"planned"` // nodes
	Completed int                `json:"completed"`
	Lowest    *Lowest            `json:"lowest,omitempty"`  // capacity that was seen; null: it was never seen whole
	Longest   *Longest           `json:"longest,omitempty"` // out of service; null: nobody was seen so
}

// Lowest is the least capacity that was seen during a rollout.
type Lowest struct {
	InService int `json:"inService"`
	Size      int `json:"size"`
}

// Longest is who was out of service for the longest at a stretch during a rollout.
type Longest struct {
	Node  string    `json:"node"`
	Since time.Time `json:"since"`
	For   float64   `json:"forSeconds"`
}

// fromEntry is what may be shown of an entry: its file may have been written by anybody.
func fromEntry(e history.Entry) Past {
	return Past{
		Started: utc(e.Started), Ended: utc(e.Ended), Took: seconds(e.Started, e.Ended), Trigger: e.Trigger, Result: e.Result, Reason: line(e.Reason),
		From: name(e.From), Release: name(e.To), Revision: name(e.Revision), Committed: utc(e.Committed), Author: line(e.Author), Subject: line(e.Subject),
		Planned: e.Planned, Completed: e.Completed, Lowest: fromCapacity(e.Lowest), Longest: fromOutage(e.Longest),
	}
}

func fromCapacity(c reconciler.Capacity) *Lowest {
	if c.Size == 0 {
		return nil
	}
	return &Lowest{InService: c.InService, Size: c.Size}
}

// fromOutage is nil also for one that is not over.
func fromOutage(o reconciler.Outage) *Longest {
	if o.Node == "" || o.Until.IsZero() {
		return nil
	}
	return &Longest{Node: name(o.Node), Since: utc(o.Since), For: seconds(o.Since, o.Until)}
}

// seconds is how long it is from one time to the other, to a millisecond.
func seconds(from, to time.Time) float64 {
	return max(0, to.Sub(from)).Truncate(time.Millisecond).Seconds()
}

// past answers with a list, also for a fleet that is gone.
func (s *server) past(w http.ResponseWriter, r *http.Request) {
	most, err := limit(r.FormValue("limit"))
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	fleet := r.PathValue("name")
	known := s.find(fleet) != nil
	if s.history == nil && known {
		refuse(w, http.StatusServiceUnavailable, "this agent keeps no history of rollouts; its log says why")
		return
	}
	var entries []history.Entry
	if s.history != nil {
		if entries, err = s.history.Newest(fleet, most); err != nil {
			refuse(w, http.StatusInternalServerError, line("cannot read the history of rollouts: "+err.Error()))
			return
		}
	}
	if len(entries) == 0 && !known {
		unknown(w, fleet)
		return
	}
	answer(w, http.StatusOK, each(entries, fromEntry))
}

func limit(text string) (int, error) {
	if text == "" {
		return UsualPast, nil
	}
	most, err := strconv.Atoi(text)
	if err != nil || most < 1 || most > MostPast {
		return 0, fmt.Errorf("limit must be a number from 1 to %d", MostPast)
	}
	return most, nil
}
