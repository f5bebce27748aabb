package notify

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"windlass/internal/web"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

// fleetsOf are that many fleets in the middle of their rollouts.
func fleetsOf(n int) view {
	v := view{known: true}
	for i := range n {
		s := standingOf("v1", "v2")
		s.fleet.Name = fmt.Sprintf("web-%03d", i)
		v.standings = append(v.standings, s)
	}
	return v
}

// sayAll says what there is to say until there is nothing for now, and the messages.
func sayAll(v view, told books, t Traits, now time.Time, fails func(Message) *Failure) (all []Message) {
	for range 1000 {
		s, _ := next(v, told, t, now)
		if s == nil {
			return all
		}
		s.begins(told)
		all = append(all, s.message)
		if f := fails(s.message); f != nil {
			s.failed(told, f, t, now)
		} else {
			s.done(told, "place", now)
		}
		now = now.Add(time.Millisecond)
	}
	return all
}

func well(Message) *Failure { return nil }

// Many fleets share a channel that takes one message a second: how far the first are keeps nobody from hearing how the last ended, and each is kept up to
// date in its turn.
func TestProgressGivesWay(t *testing.T) {
	t.Parallel()
	v, told, now := fleetsOf(50), books{}, noon
	if all := sayAll(v, told, kinds["chat"], now, well); len(all) != 50 {
		t.Fatalf("%d messages of 50 starts", len(all))
	}
	turns := map[string]int{}
	for i := range 100 {
		now = now.Add(4 * time.Second)
		for j := range 49 {
			v.standings[j].fleet.Rollout.Completed = 1 + i%7
		}
		if i == 20 {
			v.standings[49] = ending(v.standings[49], reconciler.ResultHalted, plan.PhaseHalted, "it failed")
		}
		s, _ := next(v, told, kinds["chat"], now)
		s.begins(told)
		s.done(told, "place", now)
		turns[s.fleet]++
		if ended := s.fleet == "web-049" && s.message.Mood == Bad; ended != (i == 20 || i == 21) {
			t.Fatalf("message %d is %+v", i, s.message)
		}
	}
	if len(turns) != 50 {
		t.Errorf("%d of 50 had a turn", len(turns))
	}
}

// A message that a place refuses for what it says keeps no other from being said, and is given up once the place is seen to take others.
func TestARefusedMessageIsNotInTheWay(t *testing.T) {
	t.Parallel()
	for name, traits := range kinds {
		v, told, tried, said := fleetsOf(3), books{}, 0, map[string]bool{}
		sayAll(v, told, traits, noon, func(m Message) *Failure {
			if m.Fleet == "web-000" {
				tried++
				return &Failure{Refused: true}
			}
			said[m.Fleet] = true
			return nil
		})
		if tried != 2 || len(said) != 2 {
			t.Errorf("%s: it was tried %d times, and %d others were said", name, tried, len(said))
		}
	}
}

// Who refuses everything may come to take it: nothing is given up.
func TestWhatRefusesEverythingIsTriedAgain(t *testing.T) {
	t.Parallel()
	told := books{}
	if all := sayAll(fleetsOf(3), told, kinds["chat"], noon, func(Message) *Failure { return &Failure{Refused: true} }); len(all) != 1000 {
		t.Errorf("it was tried %d times", len(all))
	}
	if all := sayAll(fleetsOf(3), told, kinds["chat"], noon.Add(time.Hour), well); len(all) != 3 {
		t.Errorf("%d messages, once it takes them", len(all))
	}
}

// A place that never answers may have everything: it is not told the same for ever, and not given up before some time.
func TestWhatIsNeverAnsweredIsSaidFewTimes(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"chat", "space", "room"} {
		for what, s := range map[string]standing{
			"an end": ending(standingOf("v1", "v2"), reconciler.ResultSucceeded, plan.PhaseIdle, ""),
			"a broken file": {on: everything, fleet: web.Fleet{Name: "other", Phase: plan.PhaseInvalid, Rejected: &web.Rejection{
				Path: "fleets/other.yaml", Revision: "1111", Errors: []string{"fleets/other.yaml:3:1: unknown key"},
			}}},
		} {
			told, now, said := books{}, noon, 0
			for range 1000 {
				step, wake := next(view{known: true, standings: []standing{s}}, told, kinds[name], now)
				if step == nil && wake.IsZero() {
					break
				}
				if step == nil {
					now = wake
					continue
				}
				said++
				step.begins(told)
				step.failed(told, &Failure{Unsure: true}, kinds[name], now)
			}
			if said != mostUnsure || now.Sub(noon) < 20*time.Minute {
				t.Errorf("%s: %s was said %d times in %v", name, what, said, now.Sub(noon))
			}
		}
	}
}

// However many rollouts a fleet has had, each end is told once.
func TestManyRolloutsAreToldOnce(t *testing.T) {
	t.Parallel()
	told, s := books{}, standingOf("v0", "v1")
	sayAll(view{known: true, standings: []standing{s}}, told, kinds["chat"], noon, well)
	for i := range 2 * mostPastOf {
		r := s.fleet.Rollout
		r.Started, r.Ended, r.Result = noon.Add(time.Duration(i)*time.Minute), noon.Add(time.Duration(i)*time.Minute+time.Second), reconciler.ResultSucceeded
		s.past = append(s.past, ended{rollout: r})
	}
	s.fleet.Rollout.Started = noon.Add(time.Hour)
	v := view{known: true, standings: []standing{s}}
	ids := map[string]int{}
	for _, m := range sayAll(v, told, kinds["chat"], noon.Add(time.Hour), well) {
		if ids[m.ID]++; ids[m.ID] > 1 {
			t.Fatalf("%s is said again", m.ID)
		}
	}
	if all := sayAll(v, told, kinds["chat"], noon.Add(2*time.Hour), well); len(all) > 0 {
		t.Errorf("again: %v", all[0].ID)
	}
}

// Of what ended while a channel could not be told, it hears as far as that is known, and of nothing else.
func TestALongOutageIsNoFlood(t *testing.T) {
	t.Parallel()
	told, s := books{}, standingOf("v1", "v2")
	for i := range 3 * mostPastOf {
		now := noon.Add(time.Duration(i) * time.Minute)
		s.fleet.Rollout.Started = now
		step, _ := next(view{known: true, standings: []standing{s}}, told, kinds["chat"], now)
		step.begins(told)
		step.failed(told, &Failure{}, kinds["chat"], now)
		r := s.fleet.Rollout
		r.Ended, r.Result = now, reconciler.ResultSucceeded
		s.past = append(s.past, ended{rollout: r})
		s.past = s.past[max(0, len(s.past)-mostPastOf):]
	}
	s.fleet.Rollout.Started = noon.Add(time.Hour)
	all := sayAll(view{known: true, standings: []standing{s}}, told, kinds["chat"], noon.Add(time.Hour), well)
	if len(all) != mostPastOf+1 {
		t.Errorf("%d messages; the last is %+v", len(all), all[len(all)-1])
	}
}

// A commit that nothing may begin with is told once, after a while; the rollout that begins at last is told as any.
func TestWhatCannotBeginIsTold(t *testing.T) {
	t.Parallel()
	s := ending(standingOf("v1", "v2"), reconciler.ResultSucceeded, plan.PhaseWaiting, "6 of 8 in service, floor is 7")
	s.fleet.Desired = web.Desired{Release: "v3", Digest: "d3", Link: "https://git.example.com/commit/d3"}
	s.fleet.Rollout.Ended = noon.Add(-time.Minute) // no news
	s.coming, s.held = web.Rollout{Release: "v3", Change: &web.Change{Author: "Ann", Subject: "Release v3"}}, noon
	c := talk{traits: kinds["chat"], told: books{"web": {Since: noon}}, now: noon}
	if left := c.hear(s); left != waitPatience || len(c.said) > 0 {
		t.Fatalf("at once: %v, and again in %v", c.said, left)
	}
	c.now = noon.Add(waitPatience)
	c.hear(s)
	c.now = noon.Add(5 * time.Hour)
	s.fleet.Reason = "5 of 8 in service, floor is 7"
	c.hear(s)
	want := "post: web: v3 has not begun, waits since 12:00 UTC | 6 of 8 in service, floor is 7 | by Ann: Release v3 | https://git.example.com/commit/d3"
	if len(c.said) != 1 || c.said[0] != want {
		t.Errorf("%q, want %q", c.said, want)
	}
}

// That somebody has to do something before a rollout begins is told at once, and once more where it came to it later; the rollout goes on in that
// thread, where there are threads, and the thread says for what it waited. Another rollout of the same has a thread of its own.
func TestWhatSomebodyHasToDoIsToldAtOnce(t *testing.T) {
	t.Parallel()
	held := func(state, reason string) standing {
		s := ending(standingOf("v1", "v2"), reconciler.ResultSucceeded, plan.PhaseWaiting, reason)
		s.fleet.Desired, s.fleet.Gates = web.Desired{Release: "v3", Digest: "d3"}, []web.Gate{{Name: "windows", State: "open"}, {Name: "source", State: state}}
		s.fleet.Rollout.Ended = noon.Add(-time.Minute) // no news
		s.coming, s.held = web.Rollout{Release: "v3", Change: &web.Change{Author: "Ann", Subject: "Release v3"}}, noon
		return s
	}
	const pending, red = "gate source: check ci is pending", "gate source: check ci is red: failure"
	first := "web: v3 has not begun, waits since 12:00 UTC | " + red + " | by Ann: Release v3"
	later := "web: v3 has not begun, waits since 12:00 UTC | " + pending + " | by Ann: Release v3"
	begun := "web: v2 → v3 | ███░░░░░░░░░ 2 of 8 | by Ann: Release v3 | https://git.example.com/compare/a...b"
	begins := "reply: web: v2 → v3 begins, it waited since 12:00 UTC | waited: " + red + " | https://git.example.com/compare/a...b"
	for name, c := range map[string]struct {
		kind  string
		waits time.Duration // before the check is red
		want  []string
	}{
		"red at once":                   {"chat", 0, []string{"post: " + first, begins, "update: " + begun}},
		"red after a while":             {"chat", waitPatience, []string{"post: " + later, "reply: " + first, begins, "update: " + begun}},
		"red before that is told":       {"chat", time.Minute, []string{"post: " + first, begins, "update: " + begun}},
		"where nothing can be changed":  {"space", 0, []string{"post: " + first, begins}},
		"where there are no threads":    {"room", waitPatience, []string{"post: " + later, "post: " + first, "post: " + begun}},
		"a program, of each that there": {"program", 0, []string{"post: " + first, "post: " + begun}},
	} {
		talk := talk{traits: kinds[c.kind], told: books{"web": {Since: noon}}, now: noon}
		if c.waits > 0 {
			talk.hear(held("wait", pending))
			talk.now = noon.Add(c.waits)
			talk.hear(held("wait", pending))
		}
		for range 3 { // flapping is told once
			talk.hear(held("shut", red))
			talk.hear(held("wait", pending))
		}
		talk.now = talk.now.Add(time.Minute)
		s := standingOf("v2", "v3")
		s.fleet.Desired, s.fleet.Rollout.Started = web.Desired{Release: "v3", Digest: "d3"}, talk.now
		talk.hear(s)
		if diff := cmp.Diff(c.want, talk.said); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
		talk.hear(ending(s, reconciler.ResultHalted, plan.PhaseHalted, "v3 failed"))
		again := standingOf("v2", "v3")
		talk.now = talk.now.Add(time.Hour)
		again.fleet.Desired, again.fleet.Rollout.Started, again.fleet.Rollout.Trigger = s.fleet.Desired, talk.now, reconciler.TriggerRetry
		if talk.hear(again); talk.said[len(talk.said)-1] != "post: "+begun {
			t.Errorf("%s: another rollout of the same: %q", name, talk.said)
		}
	}
}

// Where a fleet's file is gone, or names a channel no more, the channel's thread says so, and is forgotten.
func TestTheThreadOfAFleetThatIsGoneEnds(t *testing.T) {
	t.Parallel()
	for name, traits := range kinds {
		told := books{}
		sayAll(fleetsOf(1), told, traits, noon, well)
		all := sayAll(view{known: true}, told, traits, noon.Add(time.Minute), well)
		if len(all) != 1 || all[0].Title != "web-000: no more is told of it here" || all[0].Mood != Over || len(told) > 0 {
			t.Errorf("%s: %+v, and remembered: %v", name, all, told)
		}
	}
}

// A rollout that is held up by its file says so, and one that halted why, though the fleet has other worries by now.
func TestWhatTheFirstMessageSaysOfTheFleet(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]standing{
		"paused: incident": func() standing {
			s := standingOf("v1", "v2")
			s.fleet.Phase, s.fleet.Reason = plan.PhasePaused, "incident"
			return s
		}(),
		"failed on web-1: exit 1": func() standing {
			s := ending(standingOf("v1", "v2"), reconciler.ResultHalted, plan.PhasePaused, "incident")
			s.verdict = "failed on web-1: exit 1"
			return s
		}(),
	} {
		all := sayAll(view{known: true, standings: []standing{s}}, books{}, kinds["chat"], noon, well)
		if len(all) != 1 || all[0].Lines[len(all[0].Lines)-1] != want {
			t.Errorf("%+v, want %q", all, want)
		}
	}
}
