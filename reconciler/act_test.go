package reconciler

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unsafe"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/reconciler/plan"
)

// A step as a whole may last as long as its parts may: the record, each balancer call, and the steps of a job.
func TestDeadlineFollowsFromWhatAStepDoes(t *testing.T) {
	a := quietActor(1)
	a.want.Fleet.Configure.Prepare = []desired.Step{{Name: "fetch", Timeout: time.Hour}}
	places := make([]actuators.Membership, 3)
	for name, c := range map[string]struct {
		step plan.Step
		want time.Duration
	}{
		"a record alone":  {plan.Step{Kind: plan.Leave}, writeDeadline + balancerDeadline},
		"three groups":    {plan.Step{Kind: plan.Drain, Targets: places}, writeDeadline + 4*balancerDeadline},
		"a job of either": {plan.Step{Kind: plan.Configure, Job: plan.Job{Key: "k"}}, writeDeadline + balancerDeadline + time.Hour + 10*time.Minute + jobSlack},
	} {
		if got := a.deadline(c.step); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// What a step that has ended tells: progress where something was granted that was not, or a job came to an end of its own.
func TestStepsThatEndAreProgressOnlyWhereSomethingMoved(t *testing.T) {
	m := []actuators.Membership{{Group: "arn:web", ID: "web-1", Port: 80}}
	for name, c := range map[string]struct {
		before   func(*node)
		kind     plan.Kind
		done     outcome
		err      error
		progress bool
	}{
		"drained":               {nil, plan.Drain, outcome{}, nil, true},
		"drained again":         {func(n *node) { n.Asked = plan.Drain }, plan.Drain, outcome{}, nil, false},
		"drained at last":       {func(n *node) { n.Asked, n.Trouble = plan.Drain, "denied" }, plan.Drain, outcome{}, nil, true},
		"added after a drain":   {func(n *node) { n.Asked = plan.Drain }, plan.Add, outcome{}, nil, true},
		"not drained":           {nil, plan.Drain, outcome{}, errCut, false},
		"a job that ended":      {nil, plan.Configure, outcome{job: actuators.JobState{Key: "k", Exited: true}}, nil, true},
		"a job cut off":         {nil, plan.Configure, outcome{}, errCut, false},
		"a job still running":   {nil, plan.Prepare, outcome{job: actuators.JobState{Key: "k", Running: true}}, nil, false},
		"a record that is kept": {nil, plan.Leave, outcome{}, nil, false},
	} {
		a := quietActor(1)
		n, before := a.order[0], a.progress
		n.Busy = c.kind
		if c.before != nil {
			c.before(n)
		}
		a.acted(n, plan.Step{Node: "web-1", Kind: c.kind, Targets: m}, c.done, c.err)
		if got := a.progress.After(before); got != c.progress {
			t.Errorf("%s: progress %t, want %t", name, got, c.progress)
		}
		if n.Busy != "" || (n.Trouble != "") != (c.err != nil) || n.Stale != (c.err != nil) {
			t.Errorf("%s: busy %q, trouble %q, stale %t after %v", name, n.Busy, n.Trouble, n.Stale, c.err)
		}
	}
}

// A machine that went out of the list while a step ran on it is not kept for ever: when the step has ended it is anybody's.
func TestLostMachineIsForgottenWithItsStep(t *testing.T) {
	a := quietActor(2)
	n := a.order[0]
	n.Busy, n.Host = plan.Configure, nil
	a.meet(a.stub().nodes[1:])
	if a.lost["i-web-1"] != n {
		t.Fatalf("lost: %v", a.lost)
	}
	a.acted(n, plan.Step{Node: "web-1", Kind: plan.Configure}, outcome{job: actuators.JobState{Key: "k", Exited: true, Exit: 1, Tail: "no"}}, nil)
	if len(a.lost) > 0 || n.tail != "no" {
		t.Errorf("lost: %v, tail %q", a.lost, n.tail)
	}
}

// The first time that a record was changed by somebody is looked at again at once; the second time in a row is trouble.
func TestARecordThatChangesOnceIsNoTrouble(t *testing.T) {
	a := quietActor(1)
	n := a.order[0]
	n.NotBefore, n.Trouble, n.troubles = time.Now(), "denied", 3
	a.stumbled(n, plan.Step{Kind: plan.Leave}, actuators.ErrChanged, time.Now())
	if n.Trouble != "" || n.troubles != 0 || !n.NotBefore.IsZero() || !n.changed || n.Doubt != plan.Leave {
		t.Errorf("once: trouble %q (%d) until %v, in doubt %q", n.Trouble, n.troubles, n.NotBefore, n.Doubt)
	}
	a.stumbled(n, plan.Step{Kind: plan.Leave}, actuators.ErrChanged, time.Now())
	if n.Trouble == "" || n.troubles != 1 {
		t.Errorf("twice: trouble %q (%d)", n.Trouble, n.troubles)
	}
}

// How a node stands is said once its host and who says whether it serves were read.
func TestNodeStandsOnceItWasRead(t *testing.T) {
	unread := func(a *actor) { a.order[0].Host = nil }
	failed := func(a *actor) { a.order[0].Host, a.order[0].Read.Err = nil, "no route" }
	alone := func(do func(*actor)) func(*actor) {
		return func(a *actor) {
			a.want.Fleet.LoadBalancers, a.groups = nil, nil
			do(a)
		}
	}
	for name, c := range map[string]struct {
		change func(*actor)
		want   bool
	}{
		"read":                              {func(*actor) {}, true},
		"not read":                          {unread, false},
		"cannot be read":                    {failed, true},
		"balancers not read":                {func(a *actor) { a.groups = nil }, false},
		"nobody says whether it serves":     {alone(func(*actor) {}), false},
		"checks said it":                    {alone(func(a *actor) { a.order[0].Health.Status = health.Failing }), true},
		"under way":                         {alone(func(a *actor) { a.order[0].changedTo(func(r *actuators.NodeRecord) { r.Stage = actuators.Leaving }) }), true},
		"not read, and checks said it":      {alone(func(a *actor) { unread(a); a.order[0].Health.Status = health.Failing }), false},
		"cannot be read, and nobody checks": {alone(failed), true},
	} {
		a := quietActor(1)
		c.change(a)
		if got := a.stands(a.order[0]); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// stages of a journey are told with how they ended, and the last one with what drift the journey put right.
func TestStagesAreToldWithHowTheyEnded(t *testing.T) {
	c := &stageTeller{stage: stageOf(2, "v1")}
	a := quietActor(2)
	a.Observer = c
	n, now := a.order[0], time.Now()
	at := func(before plan.State, s plan.NodeStatus, steps ...plan.Step) string {
		s.Name, n.state, n.stateAt, a.plan.Steps, c.told = "web-1", before, now.Add(-time.Minute), steps, nil
		a.stageDone(n, s, now)
		var said []string
		for _, d := range c.told {
			said = append(said, fmt.Sprint(d.Step, " ", d.Result, " ", d.Took, " ", d.Corrected))
		}
		return strings.Join(said, "; ")
	}
	fails := func(node string, k plan.Kind) plan.Step { return plan.Step{Node: node, Kind: k} }
	for _, x := range []struct {
		got, want string
	}{
		{at(plan.InService, plan.NodeStatus{State: plan.Draining, UnderWay: true}), ""},
		{at(plan.Draining, plan.NodeStatus{State: plan.Configuring, UnderWay: true}), "drain success 1m0s "},
		{at(plan.Draining, plan.NodeStatus{State: plan.Outdated, UnderWay: true}), ""},
		{at(plan.Configuring, plan.NodeStatus{State: plan.Failed}), "configure failure 1m0s "},
		{at(plan.Configuring, plan.NodeStatus{State: plan.Draining, UnderWay: true}, fails("web-1", plan.Fail)), "configure failure 1m0s "},
		{at(plan.Configuring, plan.NodeStatus{State: plan.Verifying, UnderWay: true}, fails("web-2", plan.Fail)), "configure success 1m0s "},
		{at(plan.Configuring, plan.NodeStatus{State: plan.Verifying, UnderWay: true}, fails("web-1", plan.Halt)), "configure success 1m0s "},
		{at(plan.Baking, plan.NodeStatus{State: plan.InService}), "bake success 1m0s "},
		{at(plan.InService, plan.NodeStatus{State: plan.Draining, UnderWay: true, Drift: true}), ""},
		{at(plan.Draining, plan.NodeStatus{State: plan.Configuring, UnderWay: true}), "drain success 1m0s "},
		{at(plan.Baking, plan.NodeStatus{State: plan.InService}), "bake success 1m0s release"},
		{at(plan.OutOfService, plan.NodeStatus{State: plan.Verifying, UnderWay: true}), ""},
		{at(plan.Baking, plan.NodeStatus{State: plan.InService}), "bake success 1m0s membership"},
		{at(plan.InService, plan.NodeStatus{State: plan.Draining, UnderWay: true}), ""},
		{at(plan.Baking, plan.NodeStatus{State: plan.InService}), "bake success 1m0s "},
	} {
		if x.got != x.want {
			t.Errorf("told %q, want %q", x.got, x.want)
		}
	}
	for _, network := range []bool{false, true} { // it is known how long a node settles: what is timed is the rest
		a.timed, a.groups[0].Network = timed{}, network
		a.want.Fleet.Rollout.Drain.Settle, a.want.Fleet.Rollout.Drain.NetworkSettle = 20*time.Second, 50*time.Second
		at(plan.Draining, plan.NodeStatus{State: plan.Configuring, UnderWay: true})
		if got, want := a.timed.took()[plan.Draining], map[bool]time.Duration{false: 40 * time.Second, true: 10 * time.Second}[network]; got != want {
			t.Errorf("behind a network load balancer (%t): %s, want %s", network, got, want)
		}
	}
}

type stageTeller struct {
	*stage
	told []StepDone
}

func (c *stageTeller) StepDone(d StepDone) { c.told = append(c.told, d) }

// A journey puts drift right where the node answered with another release, or somebody took it out; else it is a rollout.
func TestJourneysAreToldByWhatTheyPutRight(t *testing.T) {
	for name, c := range map[string]struct {
		state  plan.State
		status plan.NodeStatus
		health plan.Health
		record actuators.NodeRecord
		want   string
	}{
		"outdated":                          {plan.Outdated, plan.NodeStatus{}, plan.Health{}, versioned("v1"), journeyRollout},
		"drifted":                           {plan.InService, plan.NodeStatus{Drift: true}, plan.Health{}, versioned("v1"), journeyRelease},
		"contradicted when idle":            {plan.InService, plan.NodeStatus{}, contradicted(plan.WatchIdle), versioned("v1"), journeyRelease},
		"contradicted when verified":        {plan.InService, plan.NodeStatus{}, contradicted(plan.WatchVerify), versioned("v1"), journeyRollout},
		"passing when idle":                 {plan.InService, plan.NodeStatus{}, plan.Health{Phase: plan.WatchIdle, Verdict: health.Verdict{Status: health.Passing}}, versioned("v1"), journeyRollout},
		"somebody took it out":              {plan.InService, plan.NodeStatus{Foreign: true}, plan.Health{}, versioned("v1"), journeyMembership},
		"out, and was written down":         {plan.OutOfService, plan.NodeStatus{}, plan.Health{}, versioned("v1"), journeyMembership},
		"out, and nobody wrote it down":     {plan.OutOfService, plan.NodeStatus{}, plan.Health{}, actuators.NodeRecord{}, journeyRollout},
		"in, and was written down":          {plan.InService, plan.NodeStatus{}, plan.Health{}, versioned("v1"), journeyRollout},
		"drifted, and somebody took it out": {plan.OutOfService, plan.NodeStatus{Drift: true, Foreign: true}, plan.Health{}, versioned("v1"), journeyRelease},
	} {
		n := &node{state: c.state, Node: plan.Node{Node: actuators.Node{ID: "i"}, Host: &actuators.HostState{Record: c.record}, Health: c.health}}
		n.Host.Record.Instance = "i"
		if got := journeyOf(n, c.status); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func contradicted(phase plan.WatchPhase) plan.Health {
	return plan.Health{Phase: phase, Verdict: health.Verdict{Status: health.Contradicted}}
}

func versioned(release string) actuators.NodeRecord {
	return actuators.NodeRecord{On: versionOf(release)}
}

// The balancers are read again when a plan asks for it: at once, and where they cannot be read as soon as the newest reading is old.
func TestBalancersAreReadAgainWhenAPlanAsks(t *testing.T) {
	for name, c := range map[string]struct {
		trouble int
		busy    bool
		want    time.Duration
	}{
		"at once": {0, false, 0}, "after trouble": {1, false, plan.Fresh}, "being read": {0, true, time.Hour}, "being read, after trouble": {2, true, time.Hour},
	} {
		a := quietActor(1)
		now := time.Now()
		a.read, a.nextGroups, a.groupsTrouble, a.plan.Reread = now, now.Add(time.Hour), c.trouble, true
		if c.busy {
			a.occupy(taskGroups, "")
		}
		a.follow()
		if got := a.nextGroups.Sub(now).Round(time.Second); got != c.want {
			t.Errorf("%s: in %v, want %v", name, got, c.want)
		}
	}
}

// Nodes whose turn comes next are read when what is known of them is old, and kept warm; those that cannot be read, that are being read or
// that are gone are left alone.
func TestNodesWhoseTurnComesAreReadInTime(t *testing.T) {
	for name, c := range map[string]struct {
		change func(a *actor, n *node)
		due    bool
	}{
		"cold":                      {func(*actor, *node) {}, true},
		"warm and fresh":            {func(_ *actor, n *node) { n.warm = true }, false},
		"warm and a record's age":   {func(_ *actor, n *node) { n.warm, n.Read.At = true, time.Now().Add(-plan.RecordAge-time.Millisecond) }, true},
		"warm and a little younger": {func(_ *actor, n *node) { n.warm, n.Read.At = true, time.Now().Add(-plan.RecordAge+time.Second) }, false},
		"cannot be read":            {func(_ *actor, n *node) { n.Read.Err = "no route" }, false},
		"being read":                {func(a *actor, n *node) { a.occupy(taskRead, "i-web-1") }, false},
		"gone":                      {func(a *actor, _ *node) { a.plan.Soon = []string{"web-9"} }, false},
	} {
		a := quietActor(1)
		n := a.order[0]
		a.plan.Soon = []string{"web-1"}
		c.change(a, n)
		now := time.Now()
		a.warm(now)
		if due := !n.nextRead.After(now); due != c.due {
			t.Errorf("%s: due %t", name, due)
		}
	}
}

// A step starts on a node that is there, that nothing is done to and that is not being read; one that cannot start leaves no trace.
func TestStepsStartOnlyWhereNothingIsInHand(t *testing.T) {
	for name, c := range map[string]struct {
		change func(a *actor, n *node, s *plan.Step)
		starts bool
	}{
		"free":            {func(*actor, *node, *plan.Step) {}, true},
		"gone":            {func(_ *actor, _ *node, s *plan.Step) { s.Node = "web-9" }, false},
		"busy":            {func(_ *actor, n *node, _ *plan.Step) { n.Busy = plan.Take }, false},
		"being renewed":   {func(a *actor, _ *node, _ *plan.Step) { a.occupy(taskRenew, "i-web-1") }, false},
		"being read":      {func(a *actor, _ *node, _ *plan.Step) { a.occupy(taskRead, "i-web-1") }, false},
		"still in flight": {func(a *actor, _ *node, _ *plan.Step) { a.occupy(taskStep, "i-web-1") }, false},
	} {
		a := quietActor(1)
		n, s := a.order[0], plan.Step{Node: "web-1", Kind: plan.Leave, Record: &actuators.NodeRecord{}}
		c.change(a, n, &s)
		a.plan.Steps, a.news = []plan.Step{s}, false
		busy := n.Busy
		a.start(t.Context())
		started := a.tasks.busyWith(taskStep) == 1 && n.Busy == plan.Leave && !n.Since.IsZero()
		if started != c.starts || !started && (n.Busy != busy || a.news) {
			t.Errorf("%s: started %t, busy %q, news %t", name, started, n.Busy, a.news)
		}
		a.tasks.wait()
	}
}

// One member is pruned at a time: what is asked while a call is in flight changes nothing.
func TestPruneInFlightIsNotTakenForAnother(t *testing.T) {
	a := quietActor(1)
	a.occupy(taskStep, "prune")
	a.pruneMember(t.Context(), plan.Step{Kind: plan.Prune, Targets: []actuators.Membership{{Group: "arn:web", ID: "10.0.0.9"}}})
	if a.pruned != (plan.Removal{}) {
		t.Errorf("pruned: %+v", a.pruned)
	}
}

// A job has its files after its prepare steps, what templates make of them, and fails as a step does where one cannot be made.
func TestJobsAreMadeOfTheFleetFile(t *testing.T) {
	f := webFleet("v2")
	f.Configure.Prepare = []desired.Step{{Name: "fetch", Run: "fetch"}, {Name: "check", Run: "check"}}
	f.Configure.Files = []desired.File{{From: "a", To: "/etc/a", Template: true, Content: []byte("{{.Node}}")}}
	at := actuators.Place{Node: actuators.Node{Name: "web-1"}}
	both, err := makeJob(f, at, plan.Job{Key: "k", Version: versionOf("v2"), Previous: "v1", Prepare: true, Activate: true})
	if err != nil || both.FilesAfter != 2 || len(both.Steps) != 3 || len(both.Files) != 1 || string(both.Files[0].Content) != "web-1" {
		t.Errorf("both: %+v, %v", both, err)
	}
	if activate, err := makeJob(f, at, plan.Job{Key: "k", Activate: true}); err != nil || activate.FilesAfter != 0 || len(activate.Steps) != 1 {
		t.Errorf("activate: %+v, %v", activate, err)
	}
	if prepare, err := makeJob(f, at, plan.Job{Key: "k", Prepare: true}); err != nil || len(prepare.Files) != 0 || len(prepare.Steps) != 2 {
		t.Errorf("prepare: %+v, %v", prepare, err)
	}
	f.Configure.Files[0].Content = []byte("{{.Vars.none}}")
	if _, err := makeJob(f, at, plan.Job{Key: "k", Activate: true}); err == nil {
		t.Error("a template that fails is no error")
	}
}

// A step that cannot write its record has no effect beyond it, and says so.
func TestStepsThatCannotWriteDoNothingMore(t *testing.T) {
	steps := map[string]plan.Step{
		"drain":     {Kind: plan.Drain, Record: &actuators.NodeRecord{}, Targets: []actuators.Membership{{Group: "arn:web", ID: "web-1", Port: 80}}},
		"configure": {Kind: plan.Configure, Record: &actuators.NodeRecord{}, Job: plan.Job{Key: "k", Activate: true}},
		"files":     {Kind: plan.Configure, Record: &actuators.NodeRecord{}, Job: plan.Job{Key: "k", Activate: true}},
	}
	for name, s := range steps {
		a := quietActor(1)
		if name == "files" {
			a.want.Fleet.Configure.Files = []desired.File{{From: "a", To: "/etc/a", Template: true, Content: []byte("{{.Vars.none}}")}}
		}
		n := a.order[0]
		a.stub().version["web-1"] = 7 // somebody has written
		told := false
		done, err := a.act(t.Context(), a.want.Fleet, n.place, n.host, s, func(actuators.HostState) { told = true })
		if !errors.Is(err, actuators.ErrChanged) || told || done != (outcome{}) || a.stub().dereg+a.stub().runs > 0 {
			t.Errorf("%s: %+v, %v; told %t", name, done, err, told)
		}
	}
}

// A balancer is asked nothing while the claim cannot be shown to outlast the call.
func TestLaw18NoCallUnderAClaimThatIsOver(t *testing.T) {
	a := quietActor(1)
	n, asked := a.order[0], 0
	err := a.each(t.Context(), n.place, n.host, make([]actuators.Membership, 2), func(context.Context, actuators.Membership) error { asked++; return nil })
	if err == nil || asked > 0 {
		t.Errorf("asked %d times, %v", asked, err)
	}
	n.host.until = time.Now().Add(time.Minute)
	err = a.each(t.Context(), n.place, n.host, make([]actuators.Membership, 3), func(context.Context, actuators.Membership) error {
		if asked++; asked == 2 {
			return errCut
		}
		return nil
	})
	if !errors.Is(err, errCut) || asked != 2 {
		t.Errorf("asked %d times, %v", asked, err)
	}
	asked = 0
	err = a.each(t.Context(), n.place, n.host, make([]actuators.Membership, 2), func(context.Context, actuators.Membership) error {
		asked++
		n.host.until = time.Now() // the first call took that long
		return nil
	})
	if err == nil || asked != 1 {
		t.Errorf("asked %d times, %v", asked, err)
	}
}

// A claim ends by the clock that says so first: the machine may have slept, or its clock may have been set.
func TestLaw18AClaimEndsByEitherClock(t *testing.T) {
	for name, c := range map[string]struct {
		wall, elapsed time.Duration // what is left by each
		want          bool
	}{
		"both":                   {time.Minute, time.Minute, true},
		"the clock was set":      {time.Second, time.Hour, false},
		"the machine has worked": {time.Hour, time.Second, false},
	} {
		s := newSession()
		s.until = time.Now().Add(c.wall)
		monotonic := &(*[2]int64)(unsafe.Pointer(&s.until))[1] // of package time: the reading of the clock that is never set
		*monotonic += int64(c.elapsed - c.wall)
		if held, err := s.outlives(t.Context(), 10*time.Second); held != c.want || err != nil {
			t.Errorf("%s: outlives a call %t, %v", name, held, err)
		}
	}
}

// A record alone is told of as it was written, and with an effect to come as soon as it is: never twice.
func TestRecordsAreToldOnce(t *testing.T) {
	for name, s := range map[string]plan.Step{
		"alone":     {Kind: plan.Leave, Record: &actuators.NodeRecord{Fleet: "web"}},
		"and more":  {Kind: plan.Drain, Record: &actuators.NodeRecord{Fleet: "web"}, Targets: []actuators.Membership{{Group: "arn:web", ID: "web-1", Port: 80}}},
		"no record": {Kind: plan.Drain, Targets: []actuators.Membership{{Group: "arn:web", ID: "web-1", Port: 80}}},
	} {
		a := quietActor(1)
		n := a.order[0]
		n.host.until = time.Now().Add(time.Minute)
		told := 0
		done, err := a.act(t.Context(), a.want.Fleet, n.place, n.host, s, func(actuators.HostState) { told++ })
		wrote := 0
		if done.state != nil {
			wrote = 1
		}
		if want := map[string][2]int{"alone": {0, 1}, "and more": {1, 0}, "no record": {0, 0}}[name]; err != nil || [2]int{told, wrote} != want {
			t.Errorf("%s: told %d times, and %d at the end, %v", name, told, wrote, err)
		}
	}
}
