package reconciler

import (
	"context"
	"errors"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"windlass/desired"
	"windlass/reconciler/plan"
)

// A saying is a gate that says what a test wants.
type saying struct {
	name  string
	says  plan.Gate
	err   error
	asked int
}

func (s *saying) Gate(*desired.Fleet) (plan.Gate, bool) {
	return plan.Gate{Name: s.name, Stops: plan.StopsStart}, s.name != "absent"
}

func (s *saying) Read(context.Context, plan.Want) (plan.Gate, error) {
	s.asked++
	return s.says, s.err
}

// Gates are asked when they say so: an open one that has no end once, one that holds each half minute, one with an end then; and anew for
// another version. What they say counts as of the reading.
func TestGatesAreAskedWhenTheySaySo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		at := func(s int) time.Time { return began.Add(time.Duration(s) * time.Second) }
		open, holds, ends := &saying{name: "open"}, &saying{name: "holds"}, &saying{name: "ends"}
		open.says = plan.Gate{State: plan.GateOpen, Reason: "green"}
		holds.err = errors.New("no route to host")
		ends.says = plan.Gate{State: plan.GateWait, Reason: "closed", Until: at(100)}
		a := quietActor(1)
		a.Gatekeepers = []Gatekeeper{open, &saying{name: "absent"}, holds, ends}
		a.hangGates()
		run := func() {
			a.readGates(t.Context(), time.Now())
			synctest.Wait()
			a.tasks.drain()
		}
		run()
		shown := a.shownGates()
		want := []plan.Gate{
			{Name: "open", Stops: plan.StopsStart, State: plan.GateOpen, Reason: "green", Since: at(0)},
			{Name: "holds", Stops: plan.StopsStart, Reason: "cannot be read: no route to host", Since: at(0)},
			{Name: "ends", Stops: plan.StopsStart, State: plan.GateWait, Reason: "closed", Since: at(0), Until: at(100)},
		}
		if len(shown) != len(want) {
			t.Fatalf("shown %+v", shown)
		}
		for i := range want {
			if shown[i] != want[i] {
				t.Errorf("shown %+v, want %+v", shown[i], want[i])
			}
		}
		if due := a.gatesDue(never); !due.Equal(at(30)) {
			t.Errorf("due at %v", due.Sub(began))
		}
		ends.says = plan.Gate{State: plan.GateOpen, Reason: "open", Until: at(50)} // its end is over: it is not asked all the time
		for range 400 {
			time.Sleep(500 * time.Millisecond)
			run()
		}
		if open.asked != 1 || holds.asked != 7 || ends.asked != 102 {
			t.Errorf("asked %d, %d and %d times", open.asked, holds.asked, ends.asked)
		}
		if g := a.shownGates()[1]; !g.Since.Equal(at(0)) {
			t.Errorf("it holds since %v", g.Since.Sub(began))
		}
		if g := a.shownGates()[2]; g.State != plan.GateOpen || !g.Since.Equal(at(100)) {
			t.Errorf("it is %v since %v", g.State, g.Since.Sub(began))
		}
		a.readGates(t.Context(), at(-1)) // the clock was set back
		synctest.Wait()
		if a.tasks.drain(); open.asked != 2 {
			t.Errorf("asked %d times after the clock was set back", open.asked)
		}
		next := plan.Want{Fleet: webFleet("v2"), Version: versionOf("v2")}
		a.take(order{want: next})
		for _, g := range a.shownGates() {
			if g.State != plan.GateUnread {
				t.Errorf("%s is %v for another version", g.Name, g.State)
			}
		}
		run()
		if open.asked != 3 {
			t.Errorf("asked %d times", open.asked)
		}
		next.Released = true
		if a.take(order{want: next}); len(a.shownGates()) != 0 {
			t.Error("a fleet whose file is gone has gates")
		}
	})
}

// Who wants to can have gates that hold asked more often.
func TestHowOftenAGateThatHoldsIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		holds := &saying{name: "holds", says: plan.Gate{State: plan.GateShut}}
		a := quietActor(1)
		a.Gatekeepers, a.GatePause = []Gatekeeper{holds}, 2*time.Second
		a.hangGates()
		for range 10 {
			a.readGates(t.Context(), time.Now())
			synctest.Wait()
			a.tasks.drain()
			time.Sleep(time.Second)
		}
		if holds.asked != 5 {
			t.Errorf("in ten seconds it was asked %d times", holds.asked)
		}
	})
}

// A gate that is open by its own word, and shut by a record, is read again until either says something else; what it remembers is no help then.
func TestAGateThatRecordsContradictIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open := &forgetful{saying: saying{name: "source", says: plan.Gate{State: plan.GateOpen, Commit: "moved"}}}
		a := quietActor(1)
		a.Gatekeepers, a.GatePause = []Gatekeeper{open}, 10*time.Second
		a.hangGates()
		pass := func(told plan.GateState) {
			a.readGates(t.Context(), time.Now())
			synctest.Wait()
			a.tasks.drain()
			a.plan.Gates = []plan.Gate{{Name: "windows"}, {Name: "source", State: told}}
			a.heedGates(time.Now())
			time.Sleep(time.Second)
		}
		for range 30 {
			pass(plan.GateShut)
		}
		if open.asked != 3 || open.forgot != 3 {
			t.Errorf("in half a minute it was asked %d times, and told to forget %d times", open.asked, open.forgot)
		}
		for range 300 {
			pass(plan.GateOpen)
		}
		if open.asked != 4 || open.forgot != 3 {
			t.Errorf("it was asked %d times, and told to forget %d times", open.asked, open.forgot)
		}
	})
}

// A forgetful gate remembers something.
type forgetful struct {
	saying
	forgot int
}

func (f *forgetful) Forget(plan.Want) { f.forgot++ }

// What is said too late, of what is not wanted any more, counts for nothing.
func TestALateAnswerIsOfNoEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &saying{name: "open", says: plan.Gate{State: plan.GateOpen}}
		a := quietActor(1)
		a.Gatekeepers = []Gatekeeper{s}
		a.hangGates()
		a.readGates(t.Context(), time.Now())
		synctest.Wait()
		a.take(order{want: plan.Want{Fleet: webFleet("v2"), Version: versionOf("v2")}})
		a.tasks.drain()
		if g := a.shownGates()[0]; g.State != plan.GateUnread {
			t.Errorf("it is %v", g.State)
		}
	})
}

// With another commit there is no moment in which windows say nothing: a claimed node would be given back.
func TestWindowsSpeakAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := quietActor(1)
		a.Gatekeepers = []Gatekeeper{Windows{}}
		a.take(order{want: plan.Want{Fleet: windowed(t, "{rules: [{deny: '1999-12-24'}]}", ""), Version: versionOf("v2")}})
		if g := a.shownGates()[0]; g.State != plan.GateOpen {
			t.Errorf("it is %v", g.State)
		}
	})
}

// What windows say to a gate.
func TestWindowsAsAGate(t *testing.T) {
	fleet := func(own, repo string) *desired.Fleet { return windowed(t, own, repo) }
	for name, c := range map[string]struct {
		keeper  Windows
		fleet   *desired.Fleet
		release string
		gate    plan.Gate
		none    bool
	}{
		"none":       {keeper: Windows{}, fleet: fleet("", ""), none: true},
		"the repo's": {keeper: Windows{}, fleet: fleet("", "rules: [{deny: '2000-01-01'}]"), none: true},
		"closed": {
			keeper: Windows{}, fleet: fleet("{timezone: Europe/Berlin, rules: [{allow: 'Mon-Fri 09:00-16:00'}]}", ""),
			gate: plan.Gate{Name: "windows", State: plan.GateWait, Reason: "outside of 'Mon-Fri 09:00-16:00' (Europe/Berlin); opens Mon 2000-01-03 09:00 CET", Until: time.Date(2000, 1, 3, 8, 0, 0, 0, time.UTC)},
		},
		"frozen, for reverts as well, and a rollout that began goes on": {
			keeper: Windows{Repo: true}, fleet: fleet("", "finish: rollout\nreverts: in-window\nrules: [{deny: '2000-01-01/2000-01-02', reason: millennium}]"),
			gate: plan.Gate{Name: "windows.yaml", Stops: plan.StopsStart, Reverts: true, State: plan.GateWait, Reason: "denied by '2000-01-01/2000-01-02' (UTC): millennium; opens Mon 2000-01-03 00:00 UTC", Until: time.Date(2000, 1, 3, 0, 0, 0, 0, time.UTC)},
		},
		"open for now": {
			keeper: Windows{}, fleet: fleet("{rules: [{deny: '2000-01-02'}]}", ""), gate: plan.Gate{Name: "windows", State: plan.GateOpen, Reason: "until Sun 2000-01-02 00:00 UTC", Until: time.Date(2000, 1, 2, 0, 0, 0, 0, time.UTC)},
		},
		"open for good": {
			keeper: Windows{}, fleet: fleet("{rules: [{deny: '1999-12-24'}]}", ""), gate: plan.Gate{Name: "windows", State: plan.GateOpen, Reason: "no end is in sight"},
		},
		"closed for good": {
			keeper: Windows{}, fleet: fleet("{rules: [{allow: '1999-12-24'}]}", ""), gate: plan.Gate{Name: "windows", State: plan.GateShut, Reason: "outside of '1999-12-24' (UTC); nothing opens it within 400 days"},
		},
		"an emergency": {
			keeper: Windows{}, fleet: fleet("{rules: [{allow: '1999-12-24'}], emergency: {release: v2, reason: CVE, by: ann}}", ""), release: "v2", gate: plan.Gate{Name: "windows", State: plan.GateOpen, Reason: "emergency by ann: CVE"},
		},
		"an emergency of another release": {
			keeper: Windows{}, fleet: fleet("{rules: [{allow: '1999-12-24'}], emergency: {release: v2, reason: CVE, by: ann}}", ""), release: "v3", gate: plan.Gate{Name: "windows", State: plan.GateShut, Reason: "outside of '1999-12-24' (UTC); nothing opens it within 400 days"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // where it is midnight of 1 January 2000, a Saturday
				c.fleet.Release = c.release
				gate, has := c.keeper.Gate(c.fleet)
				if has == c.none || gate != c.gate {
					t.Fatalf("gate %+v, %t; want %+v", gate, has, c.gate)
				}
				if c.none {
					return
				}
				read, err := c.keeper.Read(t.Context(), plan.Want{Fleet: c.fleet, Version: versionOf(c.release)})
				if err != nil || read != c.gate {
					t.Errorf("reads %+v (%v), want %+v", read, err, c.gate)
				}
			})
		})
	}
}

// windowed is a fleet as a repo with these windows says it.
func windowed(t *testing.T, own, repo string) *desired.Fleet {
	t.Helper()
	text := `apiVersion: windlass/v1
kind: Fleet
name: web
release: v1
nodes: {ec2: {tags: {app: web}}, expect: 4}
configure: {activate: [{name: install, run: install}]}
health: [{name: serves, http: {port: 80, body: '{release}'}}]
`
	if own != "" {
		text += "windows: " + own + "\n"
	}
	files := fstest.MapFS{"fleets/web.yaml": &fstest.MapFile{Data: []byte(text)}}
	if repo != "" {
		files[desired.WindowsFile] = &fstest.MapFile{Data: []byte(repo + "\n")}
	}
	tree, err := desired.Load(files)
	if err != nil || tree.Fleets["web"] == nil {
		t.Fatalf("%v, %v", err, tree.Rejected)
	}
	return tree.Fleets["web"]
}
