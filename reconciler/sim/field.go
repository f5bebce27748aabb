package sim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"windlass/desired"
)

// Field is what field stories have beyond wild ones: fleets of the size and with the troubles that are reported from the field. The zero
// value changes nothing.
type Field struct {
	On     bool
	Absent int  // machines that are in all groups but the last at first
	Rested bool // the last machine was let go with v2 before that had baked
	Slow   bool // the call that takes a stranger out lasts longer than plan.AskAgain
}

// fieldTroubles happen in field stories, most of them with an end of their own.
var fieldTroubles = []string{
	"says", "says", "says", "says", "deny leave", "deny leave", "deny join", "one out", "exclude failed", "exclude nobody",
	"ill", "ill", "terminate", "kill", "kill", "cut", "takeout", "deny run",
}

// fieldEnds names the event that ends another of field stories.
var fieldEnds = map[string]string{
	"says": "says no more", "deny leave": "let leave", "deny join": "let join", "exclude failed": "include", "exclude nobody": "name nobody",
	"ill": "well", "cut": "cut", "deny run": "allow",
}

// NewFieldStory is the story of a seed with a larger fleet, limits in per cent, and what balancers and people do in the field.
func NewFieldStory(seed uint64) Story {
	r := rand.New(rand.NewPCG(seed, 31))
	s := Story{
		Nodes: 8 + min(r.IntN(23), r.IntN(23)), Groups: 1 + r.IntN(3), Recorded: r.IntN(6) > 0,
		Delay: time.Duration(1+r.IntN(40)) * time.Second, Lag: time.Duration(r.IntN(4)) * time.Second,
		Prepare: r.IntN(4) == 0, Skew: r.IntN(2) == 0, Releases: map[string]Temper{},
		Wild: Wild{On: true, Adopt: true, Expect: r.IntN(3) == 0}, Field: Field{On: true},
	}
	s.Rollout = fieldRollout(r)
	if r.IntN(2) == 0 {
		s.Faults = [5]int{r.IntN(20), r.IntN(20), r.IntN(5), r.IntN(10), r.IntN(20)}
	}
	s.Strikes = max(0, r.IntN(15)-10)
	if r.IntN(4) == 0 {
		s.Wild.Strangers, s.Wild.Prune, s.Wild.Expect = 1+r.IntN(4), true, true
		s.Field.Slow = r.IntN(4) > 0
	}
	if s.Groups > 1 && s.Recorded && r.IntN(4) == 0 {
		s.Field.Absent = 1 + r.IntN(s.Nodes/2)
	}
	s.tale(r)
	if s.Recorded && s.Events[0].To == "v2" && s.Releases["v2"] == Good && r.IntN(2) == 0 {
		s.Field.Rested = true
		s.Events[0].At = time.Duration(r.IntN(3000)) * time.Millisecond
	}
	s.vex(r)
	return s
}

// fieldRollout is how a fleet of the field is rolled: half of them count in per cent.
func fieldRollout(r *rand.Rand) desired.Rollout {
	o := desired.Rollout{
		MaxUnavailable: desired.Amount{Count: 1 + r.IntN(6)}, AllowOutage: r.IntN(6) == 0,
		Bake: time.Duration(r.IntN(30)) * time.Second, Drain: desired.Drain{Timeout: 10 * time.Minute}, Attempts: 1 + r.IntN(2),
		ProgressDeadline: 15 * time.Minute, RestoreAfter: 2 * time.Minute, OnFailure: "halt",
	}
	if r.IntN(2) == 0 {
		o.MaxUnavailable = desired.Amount{Percent: []int{5, 10, 20, 25, 34, 50}[r.IntN(6)]}
	}
	if r.IntN(2) == 0 {
		o.Canary = &desired.Canary{Nodes: 1 + r.IntN(3), Bake: time.Duration(20+r.IntN(200)) * time.Second}
	}
	return o
}

// tale lays out which releases follow each other: bad fixes after a bad release, a release that is wanted again after another had begun,
// or whatever comes.
func (s *Story) tale(r *rand.Rand) {
	at := time.Duration(20+r.IntN(60)) * time.Second
	commit := func(release string, temper Temper, lasts time.Duration) {
		if release != "v1" {
			s.Releases[release] = temper
		}
		s.insert(Event{At: at, What: "commit", To: release})
		s.Last = release
		at += lasts
	}
	minutes := func(least, most int) time.Duration {
		return time.Duration(least*60+r.IntN((most-least)*60)) * time.Second
	}
	bad := []Temper{Broken, Explodes, Fades}
	switch r.IntN(3) {
	case 0:
		if r.IntN(2) == 0 {
			commit("v9", Good, minutes(0, 15)) // what is fixed came while the fleet was rolled
		}
		for i := range 2 + r.IntN(2) {
			commit(fmt.Sprintf("v%d", i+2), bad[r.IntN(3)], minutes(1, 14))
		}
	case 1:
		commit("v2", Good, minutes(0, 5))
		commit("v3", []Temper{Good, Broken, Explodes, Fades}[r.IntN(4)], minutes(0, 10))
		commit("v2", Good, minutes(1, 10))
	default:
		commit("v2", []Temper{Good, Good, Broken, Explodes, Fades}[r.IntN(5)], minutes(1, 20))
	}
	if r.IntN(3) == 0 {
		commit("v1", Good, minutes(1, 10))
	} else {
		commit("v8", Good, minutes(1, 10))
	}
}

// vex adds the troubles. Who failed is excluded when somebody may have.
func (s *Story) vex(r *rand.Rand) {
	for _, e := range slices.Clone(s.Events) {
		if s.Releases[e.To] != Good && r.IntN(3) > 0 {
			s.trouble(r, Event{At: e.At + time.Duration(120+r.IntN(600))*time.Second, What: "exclude failed"})
		}
	}
	last := s.Events[len(s.Events)-1].At
	if s.Wild.Expect && r.IntN(3) == 0 {
		at := time.Duration(r.IntN(int(last)))
		s.Events = append(s.Events, Event{At: at, What: "terminate", Node: r.IntN(s.Nodes)})
		s.trouble(r, Event{At: at + time.Duration(130+r.IntN(300))*time.Second, What: "exclude nobody"})
	}
	for range 1 + r.IntN(4) {
		s.trouble(r, Event{At: time.Duration(r.IntN(int(last + 5*time.Minute))), What: fieldTroubles[r.IntN(len(fieldTroubles))], Node: r.IntN(s.Nodes)})
	}
	slices.SortStableFunc(s.Events, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
}

// trouble adds an event, and the end of it where it has one.
func (s *Story) trouble(r *rand.Rand, e Event) {
	if e.What == "says" {
		e.To = sayings[r.IntN(len(sayings))].name + " " + scopes[r.IntN(len(scopes))]
	}
	s.Events = append(s.Events, e)
	end, ends := fieldEnds[e.What]
	if !ends {
		return
	}
	after := Event{At: e.At + time.Duration(20+r.IntN(1200))*time.Second, What: end, Node: e.Node, To: cmp.Or(e.To, e.What)}
	s.Events = append(s.Events, after)
}
