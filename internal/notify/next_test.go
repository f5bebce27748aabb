package notify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"windlass/desired"
	"windlass/internal/web"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

// standingOf is a fleet in the middle of a rollout.
func standingOf(from, release string) standing {
	return standing{on: everything, fleet: web.Fleet{
		Name: "web", Phase: plan.PhaseProgressing, Reason: "1 of 8 nodes under way",
		Rollout: web.Rollout{
			Trigger: reconciler.TriggerCommit, From: from, Release: release, Started: noon, Planned: 8, Completed: 2,
			Change: &web.Change{Revision: "3f2a", Author: "Ann", Subject: "Release " + release}, Link: "https://git.example.com/compare/a...b",
		},
	}}
}

// A talk is what a channel is told, step by step.
type talk struct {
	traits Traits
	told   books
	now    time.Time
	said   []string
}

// hear says all that there is to say of a fleet, and the wait that is left.
func (c *talk) hear(s standing) time.Duration {
	for range 20 {
		step, wake := next(view{known: true, standings: []standing{s}}, c.told, c.traits, c.now)
		if step == nil {
			if wake.IsZero() {
				return 0
			}
			return wake.Sub(c.now)
		}
		c.said = append(c.said, fmt.Sprintf("%s: %s", step.message.Kind, strings.ReplaceAll(step.message.text(), "\n", " | ")))
		step.begins(c.told)
		step.done(c.told, "place", c.now)
	}
	panic("it never ends")
}

func ending(s standing, result reconciler.Result, phase plan.Phase, reason string) standing {
	s.fleet.Phase, s.fleet.Reason = phase, reason
	s.fleet.Rollout.Result, s.fleet.Rollout.Ended, s.fleet.Rollout.Completed = result, noon.Add(9*time.Minute), 8
	s.waiting = time.Time{}
	return s
}

func story(t Traits) []string {
	c := talk{traits: t, told: books{}, now: noon}
	s := standingOf("v1", "v2")
	c.hear(s)
	c.now = c.now.Add(time.Minute)
	s.fleet.Rollout.Completed = 5
	c.hear(s)
	s.waiting, s.fleet.Phase, s.fleet.Reason = c.now, plan.PhaseWaiting, "7 of 8 in service, floor is 7"
	c.hear(s)
	c.now = c.now.Add(waitPatience)
	c.hear(s)
	c.now = c.now.Add(time.Minute)
	c.hear(ending(s, reconciler.ResultSucceeded, plan.PhaseIdle, "all 8 nodes are in service"))
	c.hear(ending(s, reconciler.ResultSucceeded, plan.PhaseIdle, "all 8 nodes are in service"))
	return c.said
}

func TestAStoryAtEachKindOfPlace(t *testing.T) {
	t.Parallel()
	const link = " | https://git.example.com/compare/a...b"
	started := "post: web: v1 → v2 | ███░░░░░░░░░ 2 of 8 | by Ann: Release v2" + link
	held := "web: v1 → v2 | ███████░░░░░ 5 of 8 | by Ann: Release v2 | waits: 7 of 8 in service, floor is 7" + link
	ended := "web: v1 → v2 in service on 8 of 8, took 9 min, by Ann | by Ann: Release v2" + link
	waits := "reply: web waits since 12:01 UTC, at 5 of 8 nodes | 7 of 8 in service, floor is 7" + link
	in := "reply: web: v1 → v2 in service on 8 of 8, took 9 min, by Ann" + link
	for name, c := range map[string]struct {
		traits Traits
		want   []string
	}{
		"updates and threads": {kinds["chat"], []string{
			started, "update: web: v1 → v2 | ███████░░░░░ 5 of 8 | by Ann: Release v2" + link, waits, "update: " + held, "update: " + ended, in,
		}},
		"threads": {kinds["space"], []string{started, waits, in}},
		"neither": {kinds["room"], []string{started, "post: " + held, "post: " + ended}},
	} {
		if diff := cmp.Diff(c.want, story(c.traits)); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
}

// A program hears of each occasion, also of those that passed while it could not be told.
func TestAProgramHearsOfEachOccasion(t *testing.T) {
	t.Parallel()
	for want, result := range map[string]reconciler.Result{"started succeeded": reconciler.ResultSucceeded, "started superseded": reconciler.ResultSuperseded} {
		for _, trigger := range []reconciler.Trigger{reconciler.TriggerCommit, reconciler.TriggerMembership} { // each node that comes, too
			s := ending(standingOf("v1", "v2"), result, plan.PhaseIdle, "")
			s.fleet.Rollout.Trigger = trigger
			var events []string
			for _, m := range sayAll(view{known: true, standings: []standing{s}}, books{"web": {Since: noon, Small: noon}}, kinds["program"], noon, well) {
				events = append(events, m.Event.Event)
			}
			if got := strings.Join(events, " "); got != want {
				t.Errorf("after %s %q, want %q", trigger, got, want)
			}
		}
	}
}

func TestOnlyWhatIsAskedForIsSaid(t *testing.T) {
	t.Parallel()
	c := talk{traits: kinds["chat"], told: books{}, now: noon}
	s := standingOf("v1", "v2")
	s.on = []desired.Occasion{desired.OnHalted}
	c.hear(s)
	if len(c.said) > 0 {
		t.Errorf("of the start: %v", c.said)
	}
	c.hear(ending(s, reconciler.ResultHalted, plan.PhaseHalted, "v2 failed on web-1"))
	if len(c.said) != 1 || !strings.HasPrefix(c.said[0], "post: web: v1 → v2 halted at 8 of 8") || !strings.Contains(c.said[0], "v2 failed on web-1") {
		t.Errorf("%v", c.said)
	}
}

// A day's drift is one thread, not fifty; a halt is told all the same.
func TestSmallRolloutsDoNotFlood(t *testing.T) {
	t.Parallel()
	c := talk{traits: kinds["chat"], told: books{}, now: noon}
	for i := range 50 {
		s := standingOf("v1", "v1")
		s.fleet.Rollout.Trigger, s.fleet.Rollout.Started = reconciler.TriggerDrift, noon.Add(time.Duration(i)*time.Second)
		c.now = s.fleet.Rollout.Started
		c.hear(s)
		s = ending(s, reconciler.ResultSucceeded, plan.PhaseIdle, "")
		s.fleet.Rollout.Ended = c.now
		c.hear(s)
	}
	if posts := strings.Count(strings.Join(c.said, "\n"), "post:"); posts != 1 {
		t.Errorf("%d threads", posts)
	}
	s := standingOf("v1", "v1")
	s.fleet.Rollout.Trigger, s.fleet.Rollout.Started = reconciler.TriggerDrift, c.now.Add(time.Second)
	before := len(c.said)
	c.hear(ending(s, reconciler.ResultHalted, plan.PhaseHalted, "it failed"))
	if len(c.said) != before+1 {
		t.Errorf("of the halt: %v", c.said[before:])
	}
	if n := len(c.told["web"].Threads); n > mostThreads {
		t.Errorf("%d threads are remembered", n)
	}
}

func TestARejectedFileIsToldOnce(t *testing.T) {
	t.Parallel()
	c := talk{traits: kinds["chat"], told: books{}, now: noon}
	s := standing{on: everything, fleet: web.Fleet{Name: "web", Phase: plan.PhaseInvalid, Rejected: &web.Rejection{
		Path: "fleets/web.yaml", Revision: "1111", Errors: []string{"fleets/web.yaml:3:1: unknown key"},
	}}}
	c.hear(s)
	s.fleet.Rejected.Revision = "2222" // another commit leaves it as it is
	c.hear(s)
	if len(c.said) != 1 || c.said[0] != "post: web: fleets/web.yaml is not in force | fleets/web.yaml:3:1: unknown key | as of commit 1111" {
		t.Errorf("%v", c.said)
	}
	s.fleet.Rejected.Errors[0] = "fleets/web.yaml:4:1: another"
	c.hear(s)
	if len(c.said) != 2 {
		t.Errorf("another error: %v", c.said)
	}
}

// What ended before a channel heard of a fleet is no news, and what a fleet that is gone was is forgotten.
func TestOldNews(t *testing.T) {
	t.Parallel()
	c := talk{traits: kinds["chat"], told: books{}, now: noon.Add(time.Hour)}
	c.hear(ending(standingOf("v1", "v2"), reconciler.ResultSucceeded, plan.PhaseIdle, ""))
	if len(c.said) > 0 {
		t.Errorf("%v", c.said)
	}
	next(view{known: true}, c.told, c.traits, c.now)
	if len(c.told) > 0 {
		t.Errorf("remembered: %v", c.told)
	}
}

// A clock that was ahead, and was set back, makes no end old news.
func TestTheClockIsSetBack(t *testing.T) {
	t.Parallel()
	c := talk{traits: kinds["chat"], told: books{"web": {Since: noon.Add(time.Hour), Small: noon.Add(time.Hour)}}, now: noon}
	s := standingOf("v1", "v2")
	s.on = []desired.Occasion{desired.OnHalted, desired.OnSucceeded}
	c.hear(s)
	c.now = noon.Add(2 * smallPause)
	s.fleet.Rollout.Trigger = reconciler.TriggerDrift
	c.hear(ending(s, reconciler.ResultSucceeded, plan.PhaseIdle, ""))
	if len(c.said) != 1 {
		t.Errorf("%v", c.said)
	}
}

// A start of the agent knows a fleet's name before it knows what to tell of it.
func TestWhatIsNotKnownYetIsNotForgotten(t *testing.T) {
	t.Parallel()
	c := talk{traits: kinds["chat"], told: books{}, now: noon}
	c.hear(standingOf("v1", "v2"))
	before := len(c.said)
	c.hear(standing{fleet: web.Fleet{Name: "web"}, unheard: true})
	c.hear(standingOf("v1", "v2"))
	if len(c.said) != before {
		t.Errorf("said again: %v", c.said[before:])
	}
}

func TestAlerts(t *testing.T) {
	t.Parallel()
	a := &alertmanager{}
	v := func(s standing) view { return view{known: true, standings: []standing{s}} }
	names := func(s standing, now time.Time) (all []string) {
		due, _ := a.due(v(s), now)
		for _, one := range due {
			state := "fires"
			if !one.EndsAt.After(now) {
				state = "ends"
			}
			all = append(all, one.Labels["alertname"]+" "+state)
		}
		if len(due) > 0 {
			a.took(due, now)
		}
		return all
	}
	moving := standingOf("v1", "v2")
	halted := ending(moving, reconciler.ResultHalted, plan.PhaseHalted, "v2 failed")
	idle := ending(moving, reconciler.ResultSucceeded, plan.PhaseIdle, "")
	for i, c := range []struct {
		s    standing
		at   time.Duration
		want []string
	}{
		{moving, 0, []string{"WindlassRolloutUnderWay fires"}},
		{moving, 10 * time.Second, nil},
		{moving, time.Minute, []string{"WindlassRolloutUnderWay fires"}},
		{halted, time.Minute, []string{"WindlassRolloutHalted fires", "WindlassRolloutUnderWay ends"}},
		{halted, 2 * time.Minute, []string{"WindlassRolloutHalted fires"}},
		{idle, 3 * time.Minute, []string{"WindlassRolloutHalted ends"}},
		{idle, 9 * time.Minute, nil},
	} {
		if diff := cmp.Diff(c.want, names(c.s, noon.Add(c.at))); diff != "" {
			t.Errorf("%d: -want +got\n%s", i, diff)
		}
	}
}

// Somebody removes messages: what is left to say is said below what is left of them, or anew.
func TestRemovedMessages(t *testing.T) {
	t.Parallel()
	c := talk{traits: kinds["chat"], told: books{}, now: noon}
	s := standingOf("v1", "v2")
	c.hear(s)
	c.now = c.now.Add(time.Minute)
	s.fleet.Rollout.Completed = 5
	try := func(gone bool) string {
		step, _ := next(view{known: true, standings: []standing{s}}, c.told, c.traits, c.now)
		if step == nil {
			return ""
		}
		step.begins(c.told)
		if gone {
			step.failed(c.told, &Failure{Gone: true}, c.traits, c.now)
		} else {
			step.done(c.told, "place-2", c.now)
		}
		return string(step.message.Kind)
	}
	if got := []string{try(true), try(true)}; got[0] != "update" || got[1] != "" {
		t.Errorf("progress of a message that is gone: %q", got)
	}
	s = ending(s, reconciler.ResultSucceeded, plan.PhaseIdle, "")
	if got := []string{try(true), try(false), try(false)}; got[0] != "reply" || got[1] != "post" || got[2] != "" {
		t.Errorf("the end of a thread that is gone: %q", got)
	}
}
