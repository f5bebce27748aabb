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
		err := loop(ctx, newPacer(interval, nil), desired.State{}, poll, func(state desired.State) { delivered = append(delivered, state) })
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
				_ = loop(ctx, newPacer(time.Second, nil), desired.State{Revision: test.kept}, poll, func(state desired.State) {
					got = append(got, time.Since(start).String()+" "+state.Revision)
				})
				if !slices.Equal(got, test.want) {
					t.Errorf("delivered %v, want %v", got, test.want)
				}
			})
		})
	}
}

// awake runs a loop whose polls take a while and end in an error when fail says so, and returns when they began, from the start on.
func awake(t *testing.T, took, length time.Duration, fail func() error, wake func(ctx context.Context, wake func())) (polls []time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), length)
		defer cancel()
		r := &Repo{woken: make(chan struct{}, 1)}
		go wake(ctx, r.Wake)
		poll := func(context.Context) (desired.State, error) {
			polls = append(polls, time.Since(start))
			time.Sleep(took)
			return desired.State{}, fail()
		}
		_ = loop(ctx, newPacer(10*time.Minute, r.woken), desired.State{}, poll, func(desired.State) {})
		synctest.Wait()
	})
	return polls
}

func never() error { return nil }

// at wakes at times since the start.
func at(times ...time.Duration) func(context.Context, func()) {
	return func(_ context.Context, wake func()) {
		start := time.Now()
		for _, then := range times {
			time.Sleep(time.Until(start.Add(then)))
			wake()
		}
	}
}

func TestAWakePollsAtOnce(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for name, test := range map[string]struct{ wakes, polls []time.Duration }{
		"while it waits":                 {[]time.Duration{5000 * ms}, []time.Duration{0, 5000 * ms}},
		"right after another poll":       {[]time.Duration{101 * ms}, []time.Duration{0, 101 * ms}},
		"during a poll":                  {[]time.Duration{50 * ms}, []time.Duration{0, 100 * ms}},
		"several together":               {[]time.Duration{5000 * ms, 5000 * ms, 5001 * ms}, []time.Duration{0, 5000 * ms, 6000 * ms}},
		"one after the other in time":    {[]time.Duration{5000 * ms, 6500 * ms}, []time.Duration{0, 5000 * ms, 6500 * ms}},
		"one after the other, too early": {[]time.Duration{5000 * ms, 5500 * ms, 5700 * ms}, []time.Duration{0, 5000 * ms, 6000 * ms}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if polls := awake(t, 100*ms, time.Minute, never, at(test.wakes...)); !slices.Equal(polls, test.polls) {
				t.Errorf("polls at %v, want %v", polls, test.polls)
			}
		})
	}
}

// storm wakes all the time.
func storm(ctx context.Context, wake func()) {
	for sleep(ctx, 10*time.Millisecond) == nil {
		wake()
	}
}

func TestAStormOfWakesIsNoStormOfPolls(t *testing.T) {
	t.Parallel()
	polls := awake(t, 0, time.Minute, never, storm)
	if len(polls) < 55 || len(polls) > 61 {
		t.Errorf("%d polls in a minute of pushes, want one a second", len(polls))
	}
	slow := awake(t, 7*time.Second, time.Minute, never, storm)
	if len(slow) < 8 || len(slow) > 10 {
		t.Errorf("%d polls in a minute of pushes, want one after the other, 7 s each", len(slow))
	}
}

// TestWakesDoNotShortenAnOutageForEver: a server that is down is not asked once a second by everybody who pushes elsewhere.
func TestWakesDoNotShortenAnOutageForEver(t *testing.T) {
	t.Parallel()
	polls := awake(t, 0, time.Hour, func() error { return errors.New("down") }, storm)
	if len(polls) < 15 || len(polls) > 25 {
		t.Errorf("%d polls in an hour of an outage", len(polls))
	}
	if last := polls[len(polls)-1] - polls[len(polls)-2]; last < longestPause*8/10 {
		t.Errorf("after an hour it is still asked every %s", last)
	}
	asked := 0
	polls = awake(t, 0, 3*time.Minute, func() error {
		if asked++; asked <= 6 {
			return errors.New("down")
		}
		return nil
	}, storm)
	if last := polls[len(polls)-1] - polls[len(polls)-2]; last > 1100*time.Millisecond {
		t.Errorf("after the outage it is woken after %s", last)
	}
}
