package sim

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"windlass/desired"
)

// Temper is how a release behaves.
type Temper string

// The tempers of releases.
const (
	Good     Temper = ""
	Broken   Temper = "broken"   // installs, and passes no check
	Explodes Temper = "explodes" // its activate step fails
	Fades    Temper = "fades"    // passes its checks, and fails some seconds later
)

// A Story is what happens to a fleet, made from a seed.
type Story struct {
	Nodes    int
	Groups   int
	Recorded bool          // the fleet was windlass's before
	Delay    time.Duration // deregistration delay
	Lag      time.Duration // of the balancers' readings
	Rollout  desired.Rollout
	Prepare  bool
	Faults   [5]int // per mille: fails before, fails after, hangs, late, throttled
	Releases map[string]Temper
	Skew     bool
	Rival    bool // a second agent runs for a while
	Strikes  int  // of ten thousand calls, how many kill the agent that makes them just before they have their effect
	Events   []Event
	Last     string // the release that is wanted in the end
	Wild     Wild
	Field    Field
	Traffic  Traffic
	Gates    Gates
	Awaited  bool // another fleet gets what this one has proven
}

// An Event is something that happens to the world at an instant.
type Event struct {
	At   time.Duration
	What string
	Node int
	To   string // a release, with commits
}

// NewStory makes the story of a seed.
func NewStory(seed uint64) Story {
	r := rand.New(rand.NewPCG(seed, 7))
	s := Story{
		Nodes: 1 + r.IntN(7), Groups: 1 + r.IntN(2), Recorded: r.IntN(3) > 0,
		Delay: time.Duration(1+r.IntN(60)) * time.Second, Lag: time.Duration(r.IntN(4)) * time.Second,
		Prepare: r.IntN(3) == 0, Skew: r.IntN(2) == 0, Rival: r.IntN(6) == 0,
		Releases: map[string]Temper{},
	}
	if r.IntN(12) == 0 {
		s.Groups = 0
	}
	s.Rollout = desired.Rollout{
		MaxUnavailable: desired.Amount{Count: 1 + r.IntN(min(3, s.Nodes))}, AllowOutage: s.Nodes == 1,
		Bake: time.Duration(r.IntN(30)) * time.Second, Drain: desired.Drain{Timeout: 10 * time.Minute}, Attempts: 1 + r.IntN(3),
		ProgressDeadline: 15 * time.Minute, RestoreAfter: 2 * time.Minute, OnFailure: "halt",
	}
	if r.IntN(3) == 0 {
		s.Rollout.Canary = &desired.Canary{Nodes: 1 + r.IntN(2), Bake: time.Minute}
	}
	if r.IntN(4) > 0 {
		s.Faults = [5]int{r.IntN(40), r.IntN(40), r.IntN(10), r.IntN(20), r.IntN(40)}
	}
	s.plot(r)
	s.Strikes = max(0, r.IntN(30)-10)
	s.more(rand.New(rand.NewPCG(seed, 8)))
	return s
}

// plot lays the events out: releases come and go, agents die, machines too.
func (s *Story) plot(r *rand.Rand) {
	at := time.Duration(20+r.IntN(120)) * time.Second
	s.Last = "v1"
	for i := range 1 + r.IntN(4) {
		release := fmt.Sprintf("v%d", i+2)
		if r.IntN(4) == 0 {
			release = "v1"
		} else {
			s.Releases[release] = []Temper{Good, Good, Good, Broken, Explodes, Fades}[r.IntN(6)]
		}
		s.Events = append(s.Events, Event{At: at, What: "commit", To: release})
		s.Last = release
		at += time.Duration(r.IntN(600)) * time.Second
	}
	for range r.IntN(6) {
		e := Event{At: time.Duration(r.IntN(int(at))), What: troubles[r.IntN(len(troubles))], Node: r.IntN(s.Nodes)}
		s.insert(e)
	}
}

// more are events that came into the stories later: drawn by themselves, they leave the stories of most seeds as they were.
func (s *Story) more(r *rand.Rand) {
	if r.IntN(12) == 0 {
		s.insert(Event{At: time.Duration(r.IntN(int(5 * time.Minute))), What: "haunt", Node: r.IntN(s.Nodes)})
		s.insert(Event{At: s.Events[len(s.Events)-1].At + time.Duration(r.IntN(int(80*time.Minute))), What: "commit", To: s.Last})
	}
}

// insert puts an event in its place.
func (s *Story) insert(e Event) {
	s.Events = append(s.Events, e)
	slices.SortStableFunc(s.Events, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
}

// troubles are what happens besides commits.
var troubles = []string{"kill", "kill", "kill", "stop", "terminate", "appear", "cut", "takeout", "corrupt", "pause", "retry", "sicken", "reboot", "replace", "drift"}

// Calm is how long after the last event the faults end.
const Calm = 3 * time.Minute

// Bound is how long a fleet may take to come to rest once the faults have ended.
const Bound = 3 * time.Hour
