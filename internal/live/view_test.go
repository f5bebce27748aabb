package live_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"windlass/internal/live"
	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// Without a terminal it is told line by line what happens, by the fleet where there are several; colours there are none.
func TestElsewhereAreLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out, stderr strings.Builder
		v := live.Start(live.Options{Out: &out, Err: &stderr, Colour: true, Stamp: func(time.Time) string { return "12:00:00" }})
		check(t, v.Await("the agent has not seen commit 3f2a9c1 yet"))
		check(t, v.Await("the agent has not seen commit 3f2a9c1 yet"))
		check(t, v.Show(web.Repo{}, []web.Fleet{rolling("web-live", 3, 0)}))
		for range 3 {
			check(t, v.Trouble(errors.New("the connection was lost\x1b[2J; trying again")))
			check(t, v.Show(web.Repo{}, []web.Fleet{rolling("web-live", 3, 0, plan.Draining)}))
		}
		time.Sleep(time.Minute)
		check(t, v.Show(web.Repo{}, []web.Fleet{idle("web-live", 3), idle("api", 1), {Name: "new"}}))
		check(t, v.End("web-live: it is over"))
		check(t, v.Close())
		want := `12:00:00  the agent has not seen commit 3f2a9c1 yet
12:00:00  fleet  progressing    v1.4.2  0 of 3 nodes under way, 3 to go
12:00:00  web-1  draining       v1.4.1  waits for 3 connections to close
12:00:00  web-live  web-1  in service     v1.4.2
12:00:00  web-live  web-2  in service     v1.4.2
12:00:00  web-live  web-3  in service     v1.4.2
12:00:00  web-live  fleet  idle           v1.4.2  3 of 3 in service with v1.4.2
12:00:00  api  fleet  idle           v1.4.2  1 of 1 in service with v1.4.2
web-live: it is over
`
		if got := out.String(); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		if got, want := stderr.String(), "windlass: the connection was lost; trying again\n"; got != want {
			t.Errorf("on standard error: %q, want %q", got, want)
		}
	})
}

// What a large fleet waits for is told after a while although nothing comes any more, and nothing after the end.
func TestALargeFleetThatWaitsIsToldOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		v := live.Start(live.Options{Out: &out})
		f := rolling("web-live", 50, 3)
		check(t, v.Show(web.Repo{}, []web.Fleet{f}))
		time.Sleep(10 * time.Second)
		f.Phase, f.Reason = plan.PhaseWaiting, "the floor"
		check(t, v.Show(web.Repo{}, []web.Fleet{f}))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := out.String(); strings.Count(got, "\n") != 2 || !strings.HasSuffix(got, "waiting        v1.4.2  the floor\n") {
			t.Errorf("it was told\n%s", got)
		}
		f.Phase, f.Reason = plan.PhaseProgressing, "one more"
		check(t, v.Show(web.Repo{}, []web.Fleet{f}))
		f.Phase = plan.PhaseWaiting
		check(t, v.Show(web.Repo{}, []web.Fleet{f}))
		check(t, v.End("it is over"))
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := out.String(); !strings.HasSuffix(got, "\nit is over\n") {
			t.Errorf("after the end:\n%s", got)
		}
		check(t, v.Close())
	})
}

// Who reads no more is told of at once.
func TestAReaderWhoLeftEndsIt(t *testing.T) {
	t.Parallel()
	v := live.Start(live.Options{Out: gone{}, Err: gone{}})
	for name, err := range map[string]error{
		"a picture": v.Show(web.Repo{}, []web.Fleet{rolling("web-live", 3, 0)}), "what is waited for": v.Await("x"), "a trouble": v.Trouble(errors.New("y")),
		"the end": v.End("z"),
	} {
		if !errors.Is(err, errGone) {
			t.Errorf("%s: %v", name, err)
		}
	}
	check(t, v.Close())
}

type gone struct{}

var errGone = errors.New("nobody reads")

func (gone) Write([]byte) (int, error) { return 0, errGone }
