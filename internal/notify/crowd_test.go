package notify

import (
	"fmt"
	"testing"
	"time"

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
	v, told, now := fleetsOf(200), books{}, noon
	if all := sayAll(v, told, kinds["chat"], now, well); len(all) != 200 {
		t.Fatalf("%d messages of 200 starts", len(all))
	}
	turns := map[string]int{}
	for i := range 400 {
		now = now.Add(4 * time.Second)
		for j := range 199 {
			v.standings[j].fleet.Rollout.Completed = 1 + i%7
		}
		if i == 100 {
			v.standings[199] = ending(v.standings[199], reconciler.ResultHalted, plan.PhaseHalted, "it failed")
		}
		s, _ := next(v, told, kinds["chat"], now)
		s.begins(told)
		s.done(told, "place", now)
		turns[s.fleet]++
		if ended := s.fleet == "web-199" && s.message.Mood == Bad; ended != (i == 100 || i == 101) {
			t.Fatalf("message %d is %+v", i, s.message)
		}
	}
	if len(turns) != 200 {
		t.Errorf("%d of 200 had a turn", len(turns))
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

// A place that never answers may have everything: it is not told the same for ever.
func TestWhatIsNeverAnsweredIsSaidFewTimes(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"chat", "space", "room"} {
		told := books{}
		for what, s := range map[string]standing{
			"an end": ending(standingOf("v1", "v2"), reconciler.ResultSucceeded, plan.PhaseIdle, ""),
			"a broken file": {on: everything, fleet: web.Fleet{Name: "other", Phase: plan.PhaseInvalid, Rejected: &web.Rejection{
				Path: "fleets/other.yaml", Revision: "1111", Errors: []string{"fleets/other.yaml:3:1: unknown key"},
			}}},
		} {
			all := sayAll(view{known: true, standings: []standing{s}}, told, kinds[name], noon, func(Message) *Failure { return &Failure{Unsure: true} })
			if len(all) == 0 || len(all) > mostUnsure {
				t.Errorf("%s: %s was said %d times", name, what, len(all))
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
