package gitrepo

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"windlass/desired"
)

// A script is what successive polls find; the last is repeated.
type script []struct {
	revision string
	problem  string
	err      error
}

// play runs the loop on a script for some virtual time, and returns when it polled and what it delivered.
func (s script) play(t *testing.T, interval, length time.Duration) (polls []time.Duration, delivered []desired.State) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), length)
		defer cancel()
		poll := func(context.Context) (desired.State, error) {
			now := s[min(len(polls), len(s)-1)]
			polls = append(polls, time.Since(start))
			return desired.State{Revision: now.revision, Problem: now.problem}, now.err
		}
		err := loop(ctx, interval, desired.State{}, poll, func(state desired.State) { delivered = append(delivered, state) })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("loop ended with %v", err)
		}
	})
	return polls, delivered
}

func TestG38PollsAreSpread(t *testing.T) {
	t.Parallel()
	polls, _ := script{{revision: "a"}}.play(t, 10*time.Second, time.Hour)
	pauses := map[time.Duration]bool{}
	for i, at := range polls[1:] {
		pause := at - polls[i]
		if pause < 9*time.Second || pause > 11*time.Second {
			t.Errorf("pause of %s, want 10s give or take 10 %%", pause)
		}
		pauses[pause] = true
	}
	if len(pauses) < 100 {
		t.Errorf("%d different pauses of %d: no jitter", len(pauses), len(polls))
	}
}

func TestDeliversChangesOnly(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	_, delivered := script{
		{revision: "a"}, {revision: "a"},
		{revision: "a", problem: "down", err: down}, {revision: "a", problem: "down", err: down},
		{revision: "a"}, {revision: "b"}, {revision: "b"},
	}.play(t, time.Second, time.Hour)
	want := []desired.State{{Revision: "a"}, {Revision: "a", Problem: "down"}, {Revision: "a"}, {Revision: "b"}}
	if len(delivered) != len(want) {
		t.Fatalf("delivered %+v, want %+v", delivered, want)
	}
	for i := range want {
		if delivered[i].Revision != want[i].Revision || delivered[i].Problem != want[i].Problem {
			t.Errorf("delivery %d is %+v, want %+v", i, delivered[i], want[i])
		}
	}
}

func TestBacksOffDuringAnOutageAndNeverStops(t *testing.T) {
	t.Parallel()
	down := script{{err: errors.New("down")}}
	polls, _ := down.play(t, 15*time.Second, 24*time.Hour)
	for i, at := range polls[1:] {
		if pause := at - polls[i]; pause > longestPause*11/10 || pause < 13*time.Second {
			t.Errorf("pause %d is %s", i, pause)
		}
	}
	if day := 24 * time.Hour; len(polls) < 250 || len(polls) > 330 || day-polls[len(polls)-1] > 6*time.Minute {
		t.Errorf("%d polls in a day of outage", len(polls))
	}
	for range 6 {
		down = append(down, down[0])
	}
	polls, _ = append(down, script{{revision: "a"}}...).play(t, 15*time.Second, time.Hour)
	if last := len(polls) - 1; polls[last]-polls[last-1] > 17*time.Second {
		t.Errorf("still slow after the outage")
	}
	polls, _ = append(down[:6:6], script{{revision: "a"}, {err: errors.New("down")}}...).play(t, 15*time.Second, time.Hour)
	if again := polls[8] - polls[7]; again > 17*time.Second {
		t.Errorf("the next outage begins with a pause of %s", again)
	}
}

func TestDeliversWhatWasAcceptedWhileGitIsSilent(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		silence time.Duration
		kept    string
		want    []string
	}{
		"a quick answer":       {time.Second, "old", []string{"1s new"}},
		"a slow answer":        {30 * time.Second, "old", []string{"2s old", "30s new"}},
		"the same, found late": {30 * time.Second, "new", []string{"2s new", "30s new"}}, // now with what is wrong with it
		"nothing was accepted": {30 * time.Second, "", []string{"30s new"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start, got := time.Now(), []string(nil)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				poll := func(context.Context) (desired.State, error) {
					time.Sleep(test.silence)
					return desired.State{Revision: "new"}, nil
				}
				_ = loop(ctx, time.Second, desired.State{Revision: test.kept}, poll, func(state desired.State) {
					got = append(got, time.Since(start).String()+" "+state.Revision)
				})
				if !slices.Equal(got, test.want) {
					t.Errorf("delivered %v, want %v", got, test.want)
				}
			})
		})
	}
}
