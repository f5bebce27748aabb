package reconciler

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"windlass/actuators"
	"windlass/reconciler/plan"
)

var someService = actuators.Service{Address: netip.MustParseAddr("10.0.0.1"), Ports: []int{80}, Silent: 65 * time.Second}

// sensing is an actor with one node that serves, and whose connections a plan wants to be sensed.
func sensingActor() (*actor, *node) {
	a := newActor("web", stageOf(1, "v1").deps(), func(Status) {})
	a.want.Fleet = webFleet("v1")
	n := &node{host: newSession(), serving: true}
	n.Node.Node = actuators.Node{Name: "web-1", ID: "i-web-1"}
	a.order = []*node{n}
	a.plan.Sense = []plan.Sense{{Node: "web-1", Service: someService}}
	return a, n
}

// What a sensor lists counts as a proof that it works only while the node serves: afterwards, nobody may be there to be listed.
func TestSensorIsTriedWhileItsNodeServes(t *testing.T) {
	good := actuators.Traffic{Sees: true, Others: []int{80}, Busy: 1, Peer: "10.0.9.1"}
	for name, change := range map[string]func(*node){
		"serves": func(*node) {}, "is in no rotation": func(n *node) { n.Left = time.Now() }, "is in none of its groups": func(n *node) { n.serving = false },
		"was asked to leave": func(n *node) { n.Asked, n.AskedAt = plan.Drain, time.Now() }, "is being deregistered": func(n *node) { n.Busy = plan.Drain },
	} {
		a, n := sensingActor()
		change(n)
		a.sensed(n, someService, good)
		if proven := n.Traffic.Sees || len(n.Traffic.Others) > 0; proven != (name == "serves") {
			t.Errorf("one that %s: %+v", name, n.Traffic)
		}
		if n.Traffic.Busy != 1 || !n.Traffic.Quiet.IsZero() {
			t.Errorf("one that %s is not busy: %+v", name, n.Traffic)
		}
	}
}

// What was seen once stays seen, of this service alone: another may be reached in another way.
func TestWhatWasSeenIsOfItsService(t *testing.T) {
	a, n := sensingActor()
	two := someService
	two.Ports = []int{80, 443}
	for _, x := range []actuators.Traffic{{Sees: true, Others: []int{443}}, {Others: []int{80}}, {Others: []int{80, 443}}} {
		a.sensed(n, two, x)
	}
	if !n.Traffic.Sees || !slices.Equal(n.Traffic.Others, two.Ports) {
		t.Errorf("%+v", n.Traffic)
	}
	if a.sensed(n, someService, actuators.Traffic{}); n.Traffic.Sees || len(n.Traffic.Others) > 0 {
		t.Errorf("of another service: %+v", n.Traffic)
	}
}

// A node is quiet since its first sample without anybody, and a gap between samples is as good as somebody.
func TestGapInTheSamplesEndsTheQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, n := sensingActor()
		quietFor := func(want time.Duration) {
			t.Helper()
			if got := time.Since(n.Traffic.Quiet); got != want {
				t.Errorf("quiet for %s, not %s", got, want)
			}
		}
		a.sensed(n, someService, actuators.Traffic{})
		time.Sleep(time.Second)
		a.sensed(n, someService, actuators.Traffic{})
		quietFor(time.Second)
		time.Sleep(plan.SampleAge + time.Millisecond)
		a.sensed(n, someService, actuators.Traffic{})
		quietFor(0)
		time.Sleep(time.Second)
		a.sensed(n, someService, actuators.Traffic{Busy: 1})
		a.sensed(n, someService, actuators.Traffic{})
		quietFor(0)
		n.sensing.stop = func() {}
		a.sensedNoMore(n, errors.New("no sample for 2s"))
		if !n.Traffic.Quiet.IsZero() || !n.Traffic.At.IsZero() || n.Traffic.Trouble == "" {
			t.Errorf("after a session that broke off: %+v", n.Traffic)
		}
		if a.sensed(n, someService, actuators.Traffic{}); n.Traffic.Trouble != "" {
			t.Errorf("after the next sample: %+v", n.Traffic)
		}
	})
}

// Only what changes an answer makes a plan: a node is looked at twice a second.
func TestSamplesThatChangeNothingMakeNoPlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, n := sensingActor()
		for i, c := range []struct {
			x    actuators.Traffic
			want bool
		}{
			{actuators.Traffic{Busy: 1}, true}, {actuators.Traffic{Busy: 2}, false}, {actuators.Traffic{Busy: 2, Sees: true}, true}, {actuators.Traffic{Busy: 2, Sees: true}, false},
			{actuators.Traffic{Busy: 1, Others: []int{80}}, true}, {actuators.Traffic{}, false}, // it serves
			{actuators.Traffic{Busy: 1}, true}, {actuators.Traffic{}, true}, {actuators.Traffic{}, false}, {actuators.Traffic{Busy: 1}, true}, {actuators.Traffic{Busy: 1, Blind: "no sensor"}, true},
		} {
			time.Sleep(500 * time.Millisecond)
			a.news = false
			if i == 6 {
				n.Left = time.Now()
			}
			if a.sensed(n, someService, c.x); a.news != c.want {
				t.Errorf("sample %d, %+v: a plan is due: %t", i, c.x, a.news)
			}
		}
	})
}

// A sensor is watched without a gap from before its node leaves until the work on it begins, whatever step is in flight meanwhile. What it
// showed of a node that goes on serving is forgotten.
func TestSensingHasNoGapWhileItsNodeLeaves(t *testing.T) {
	ended := 0
	begin := func() (*actor, *node) {
		a, n := sensingActor()
		a.followSense()
		n.sensing.stop = func() { ended++ }
		n.Traffic = plan.Traffic{Service: someService, Sees: true, Others: []int{80}, Quiet: time.Now(), At: time.Now()}
		a.plan.Sense = nil
		return a, n
	}
	a, n := begin()
	n.Busy = plan.Leave
	if a.followSense(); ended != 0 || !n.sensing.wanted {
		t.Error("ended while the node is claimed")
	}
	n.Busy, n.Left = "", time.Now()
	if a.followSense(); ended != 1 || n.sensing.wanted || !n.Traffic.Sees || !n.Traffic.Quiet.IsZero() || !n.Traffic.At.IsZero() {
		t.Errorf("ended %d, %+v", ended, n.Traffic)
	}
	a, n = begin()
	if a.followSense(); ended != 2 || n.Traffic.Sees {
		t.Errorf("of a node that serves on: %+v", n.Traffic)
	}
	a, n = begin()
	other := someService
	other.Silent = 20 * time.Second
	a.plan.Sense = []plan.Sense{{Node: "web-1", Service: other}}
	if a.followSense(); ended != 3 || !n.sensing.wanted || !n.sensing.service.Equal(other) || !n.Traffic.Sees {
		t.Errorf("of another service: ended %d, %+v, %+v", ended, n.sensing, n.Traffic)
	}
	if a.followSense(); ended != 3 {
		t.Error("ended what goes on as it is wanted")
	}
}

// A sensor is asked again after a pause when it broke off, and not at all where nothing there can be relied upon.
func TestSensorsAreAskedWhenTheyAreDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, n := sensingActor()
		if due := a.senseDue(n); due != never {
			t.Errorf("due at %s before a plan wants it", due)
		}
		a.followSense()
		if time.Now().Before(a.senseDue(n)) {
			t.Error("not due at once")
		}
		n.sensing.stop = func() {}
		if due := a.senseDue(n); due != never {
			t.Errorf("due at %s while it goes on", due)
		}
		for _, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
			n.sensing.stop, n.sensing.began = func() {}, time.Now()
			a.sensedNoMore(n, errors.New("connection reset by peer"))
			if wait := time.Until(a.senseDue(n)); wait != want {
				t.Errorf("due in %s, not in %s", wait, want)
			}
		}
		for lasts, want := range map[time.Duration]time.Duration{time.Minute: 8 * time.Second, time.Minute + time.Second: time.Second} {
			n.sensing.broken, n.sensing.stop, n.sensing.began = 3, func() {}, time.Now()
			time.Sleep(lasts)
			a.sensedNoMore(n, errors.New("connection reset by peer"))
			if wait := time.Until(a.senseDue(n)); wait != want {
				t.Errorf("after a session of %s due in %s, not in %s", lasts, wait, want)
			}
		}
		wanted := a.plan.Sense
		a.plan.Sense = nil
		a.followSense()
		a.plan.Sense = wanted
		if a.followSense(); !time.Now().Before(a.senseDue(n)) {
			t.Error("a sensor that broke off a moment ago is due at once, as it was not wanted meanwhile")
		}
		a.sensed(n, someService, actuators.Traffic{Blind: "nothing lists our own connection"})
		if due := a.senseDue(n); due != never {
			t.Errorf("a blind one is due at %s", due)
		}
		n.sensing.service.Ports = []int{81}
		if a.senseDue(n) == never {
			t.Error("another service is never due")
		}
	})
}

// sensors is a sensor that tells one sample and waits.
type sensors struct {
	told, over int
}

func (s *sensors) Sense(ctx context.Context, _ actuators.Place, _ actuators.Service, tell func(actuators.Traffic)) error {
	s.told++
	tell(actuators.Traffic{Sees: true, Others: []int{80}})
	<-ctx.Done()
	s.over++
	return ctx.Err()
}

// A node's session ends with the step that changes it, with its machine, and with the agent.
func TestSessionsEndWithWhatTheyAreFor(t *testing.T) {
	for name, end := range map[string]func(*actor, *node){
		"its steps begin": func(a *actor, n *node) {
			a.plan.Steps = []plan.Step{{Node: "web-1", Kind: plan.Configure, Record: &actuators.NodeRecord{}, Job: plan.Job{Key: "k"}}}
			a.start(context.Background())
		},
		"its machine is gone":     func(a *actor, n *node) { a.nodes = map[string]*node{"i-web-1": n}; a.meet(nil) },
		"nobody wants it further": func(a *actor, n *node) { a.plan.Sense = nil; a.followSense() },
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &sensors{}
			a, n := sensingActor()
			a.Sensor, a.want.Fleet = s, webFleet("v1")
			ctx, cancel := context.WithCancel(context.Background())
			a.followSense()
			a.sense(ctx, n, time.Now())
			synctest.Wait()
			a.tasks.drain()
			if s.told != 1 || !n.Traffic.Sees {
				t.Errorf("%s: told %d times, %+v", name, s.told, n.Traffic)
			}
			end(a, n)
			synctest.Wait()
			if s.over != 1 {
				t.Errorf("%s, and its session goes on", name)
			}
			cancel()
			a.tasks.wait()
		})
	}
}

// lingering is a sensor that tells a last sample when it was ended long ago.
type lingering struct{ sensors }

func (s *lingering) Sense(ctx context.Context, _ actuators.Place, _ actuators.Service, tell func(actuators.Traffic)) error {
	s.told++
	<-ctx.Done()
	time.Sleep(time.Second)
	tell(actuators.Traffic{Sees: true, Others: []int{80}})
	return errors.New("late")
}

// A session that was ended tells nothing any more, and until it is over no other begins.
func TestEndedSessionIsNotHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &lingering{}
		a, n := sensingActor()
		a.Sensor = s
		ctx := context.Background()
		a.followSense()
		a.sense(ctx, n, time.Now())
		synctest.Wait()
		n.endSensing()
		n.sensing.wanted, n.sensing.service = true, someService
		if due := a.senseDue(n); due != never {
			t.Errorf("due at %s while the one before is not over", due)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		a.tasks.drain()
		for len(a.tasks.done) > 0 {
			(<-a.tasks.done)()
		}
		if n.Traffic.Sees || n.Traffic.Trouble != "" || s.told != 1 || time.Now().Before(a.senseDue(n)) {
			t.Errorf("%+v, told %d times", n.Traffic, s.told)
		}
		a.tasks.wait()
	})
}

// A node that is to return is looked at anew: what serves there then may be reached in another way.
func TestWhatReturnsIsLookedAtAnew(t *testing.T) {
	a, n := sensingActor()
	n.Traffic = plan.Traffic{Service: someService, Sees: true}
	a.acted(n, plan.Step{Node: "web-1", Kind: plan.Drain}, outcome{}, nil)
	if !n.Traffic.Sees {
		t.Error("forgotten when it leaves")
	}
	if a.acted(n, plan.Step{Node: "web-1", Kind: plan.Add}, outcome{}, nil); n.Traffic.Sees {
		t.Error("remembered when it returns")
	}
}

// The time that a node has been in rotation nowhere goes on while some group cannot be read, and ends with a reading that shows it there.
func TestLeftIsSinceReadingsShowIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, n := sensingActor()
		n.Targets = actuators.Targets{IP: "web-1"}
		read := func(status actuators.TargetStatus, problem string) time.Duration {
			time.Sleep(time.Second)
			g := actuators.GroupState{Group: actuators.Group{ID: "arn:web"}, TargetType: "ip", Err: problem}
			a.former = nil
			switch status {
			case "gone":
			case "in a former group":
				old := g
				old.Members = []actuators.Target{{Membership: actuators.Membership{Group: "arn:old", ID: "web-1"}, Status: actuators.TargetHealthy}}
				a.former = []actuators.GroupState{old}
			default:
				g.Members = []actuators.Target{{Membership: actuators.Membership{Group: "arn:web", ID: "web-1"}, Status: status}}
			}
			a.groups = []actuators.GroupState{g}
			seen := n.Left.IsZero()
			n.Traffic = plan.Traffic{Service: someService, Sees: true}
			if a.noticeMoves(time.Now()); n.Left.IsZero() {
				if n.Traffic.Sees != seen {
					t.Errorf("it serves, as before %t: %+v", seen, n.Traffic)
				}
				return -1
			}
			return time.Since(n.Left)
		}
		for i, c := range []struct {
			status  actuators.TargetStatus
			problem string
			want    time.Duration
		}{
			{actuators.TargetHealthy, "", -1}, {actuators.TargetDraining, "throttled", -1}, {actuators.TargetDraining, "", 0}, {actuators.TargetDraining, "", time.Second},
			{actuators.TargetHealthy, "throttled", 2 * time.Second}, {"gone", "", 3 * time.Second}, {actuators.TargetInitial, "", -1}, {"gone", "", 0},
			{"in a former group", "", -1}, {"gone", "", 0},
		} {
			if got := read(c.status, c.problem); got != c.want {
				t.Errorf("reading %d: left for %s, not %s", i, got, c.want)
			}
		}
	})
}

// A balancer is asked soon again whether it shows that a node leaves, and later only towards the end of its delay.
func TestDrainsAreSoonSeenToBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, n := sensingActor()
		a.groups = []actuators.GroupState{{Rules: actuators.Rules{Delay: 5 * time.Minute}}}
		n.Asked, n.AskedAt, n.stateAt = plan.Drain, time.Now(), time.Now()
		if pace := a.drainPace(n, time.Now()); pace > 100*time.Millisecond {
			t.Errorf("asked again in %s", pace)
		}
		n.Trouble = "throttled"
		if pace := a.drainPace(n, time.Now()); pace != 15*time.Second {
			t.Errorf("after a call that failed in %s", pace)
		}
		n.Trouble, n.Left = "", time.Now()
		if pace := a.drainPace(n, time.Now()); pace != 15*time.Second {
			t.Errorf("when it was seen in %s", pace)
		}
	})
}
