package reconciler

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler/plan"
)

func paused(f *desired.Fleet) { f.Paused = &desired.Pause{Reason: "sale"} }

// The deadline for progress begins anew with what people do: another version, a retry, a pause that begins or ends. What else a commit
// changes is none of that.
func TestOrdersThatArePeoplesProgress(t *testing.T) {
	retried := func(f *desired.Fleet) { f.Retry = 1 }
	for name, c := range map[string]struct {
		before, after []func(*desired.Fleet)
		version       string
		progress      bool
	}{
		"the same":        {nil, nil, "v1", false},
		"another version": {nil, nil, "v2", true},
		"a retry":         {nil, []func(*desired.Fleet){retried}, "v1", true},
		"a pause":         {nil, []func(*desired.Fleet){paused}, "v1", true},
		"a pause ends":    {[]func(*desired.Fleet){paused}, nil, "v1", true},
		"a pause goes on": {[]func(*desired.Fleet){paused}, []func(*desired.Fleet){paused}, "v1", false},
	} {
		a := quietActor(2, c.before...)
		f, before := webFleet("v1"), a.progress
		for _, change := range c.after {
			change(f)
		}
		a.take(order{want: plan.Want{Fleet: f, Version: versionOf(c.version)}})
		if got := a.progress.After(before); got != c.progress || !a.news {
			t.Errorf("%s: progress %t, want %t; news %t", name, got, c.progress, a.news)
		}
	}
	a := newActor("web", stageOf(1, "v1").deps(), func(Status) {})
	a.take(order{want: plan.Want{Fleet: webFleet("v1"), Version: versionOf("v1")}})
	if a.progress.IsZero() {
		t.Error("the first order is no progress")
	}
}

// How long a version takes counts from the commit that first wanted it, whatever is committed after it.
func TestAVersionIsAsOldAsTheCommitThatFirstWantedIt(t *testing.T) {
	a, first := quietActor(1), time.Now()
	wanted := func(release, revision string, committed time.Time) time.Time {
		v := versionOf(release)
		v.Revision = revision
		a.take(order{want: plan.Want{Fleet: webFleet(release), Version: v}, meta: meta{committed: committed}})
		return a.committed
	}
	wanted("v2", "rev-1", first)
	if got := wanted("v2", "rev-2", first.Add(time.Hour)); !got.Equal(first) {
		t.Errorf("another commit with the same version: %v later", got.Sub(first))
	}
	if got := wanted("v3", "rev-3", first.Add(2*time.Hour)); !got.Equal(first.Add(2 * time.Hour)) {
		t.Errorf("another version: %v later", got.Sub(first))
	}
}

// What an order makes worthless is read again: another node set before anybody leaves, other groups at once.
func TestOrdersMakeReadingsWorthless(t *testing.T) {
	static := func(f *desired.Fleet) { f.Nodes.Static = []desired.StaticNode{{Name: "web-1"}} }
	group := func(f *desired.Fleet) { f.LoadBalancers = []desired.LoadBalancer{{TargetGroup: "api"}} }
	for name, c := range map[string]struct {
		change       func(*desired.Fleet)
		unmet        bool
		err          bool // the node set is not known
		groups, same bool
	}{
		"nothing":                      {func(*desired.Fleet) {}, false, false, true, false},
		"the very same file":           {nil, false, false, true, true},
		"nodes":                        {static, false, true, true, false},
		"nodes, before any was listed": {static, true, false, true, false},
		"groups":                       {group, false, false, false, false},
	} {
		a := quietActor(2)
		if c.unmet {
			a.found = plan.Source{}
		}
		f := a.want.Fleet
		if c.change != nil {
			f = webFleet("v1")
			c.change(f)
		}
		a.take(order{want: plan.Want{Fleet: f, Version: versionOf("v1")}})
		asked := a.nextGroups.IsZero() && a.nextInventory.IsZero()
		if (a.found.Err != "") != c.err || (len(a.groups) == 1) != c.groups || asked == c.same {
			t.Errorf("%s: node set %q, %d groups, read again %t", name, a.found.Err, len(a.groups), asked)
		}
	}
	a := quietActor(1)
	a.take(order{})
	if len(a.groups) != 0 || a.found.Err != "" {
		t.Errorf("no file: %d groups, node set %q", len(a.groups), a.found.Err)
	}
}

// A pause is as old as the commit that began it, also where an earlier start of the agent saw that.
func TestPausesAreSinceTheyBegan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now, earlier := time.Now(), time.Now().Add(-time.Hour)
		pausedFleet, running := webFleet("v1"), webFleet("v1")
		paused(pausedFleet)
		for name, c := range map[string]struct {
			old, wanted *desired.Fleet
			before      time.Time
			want        time.Time
		}{
			"none":                            {running, running, time.Time{}, time.Time{}},
			"no file":                         {pausedFleet, nil, earlier, time.Time{}},
			"it ends":                         {pausedFleet, running, earlier, time.Time{}},
			"it begins":                       {running, pausedFleet, time.Time{}, now},
			"it begins, after an earlier one": {running, pausedFleet, earlier, now},
			"it goes on":                      {pausedFleet, pausedFleet, earlier, earlier},
			"it goes on, and nobody knew":     {pausedFleet, pausedFleet, time.Time{}, now},
			"an earlier start knew":           {nil, pausedFleet, earlier, earlier},
			"a first start finds it":          {nil, pausedFleet, time.Time{}, now},
		} {
			a := quietActor(1)
			a.want.Fleet = c.wanted
			if got := a.pausedSince(plan.Want{Fleet: c.old}, c.before); !got.Equal(c.want) {
				t.Errorf("%s: since %v, want %v", name, got.Sub(now), c.want.Sub(now))
			}
		}
	})
}

// What blocks a fleet is told by the first of its reasons, and plans are made of what is seen, nothing else.
func TestQuestionsAndWorldsAreWhatIsKnown(t *testing.T) {
	a := quietActor(2)
	a.history[a.order[1].revision()] = &search{why: "rewritten history"}
	if got := a.question().Blocked; got != "web-1: rewritten history" {
		t.Errorf("blocked by %q", got)
	}
	a.want.Blocked = "shared"
	if got := a.question().Blocked; got != "shared" {
		t.Errorf("blocked by %q, and it was before", got)
	}
	a.meta.awaits = "api"
	if got := a.world().Inventory.Err; got != "the machines of fleet api are not known yet" {
		t.Errorf("it awaits api: %q", got)
	}
	a.found.Err = "no answer"
	if got := a.world().Inventory.Err; got != "no answer" {
		t.Errorf("it awaits api, and its own are not known: %q", got)
	}
	if w := a.world(); len(w.Nodes) != 2 || w.Nodes[1].Name != "web-2" {
		t.Errorf("nodes %+v", w.Nodes)
	}
}

// The deadline for progress stands still while nothing is overdue, and never runs ahead of now.
func TestProgressStandsStillUnlessStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			stalled bool
			ago     time.Duration // progress
			want    time.Duration
		}{
			"nothing is overdue": {false, time.Minute, 40 * time.Second},
			"stalled":            {true, time.Minute, time.Minute},
			"a moment ago":       {false, 10 * time.Second, 0},
		} {
			a := quietActor(1)
			a.plan.Stalled, a.progress, a.planned = c.stalled, time.Now().Add(-c.ago), time.Now().Add(-20*time.Second)
			a.standStill()
			if got := time.Since(a.progress); got != c.want {
				t.Errorf("%s: progress %v ago, want %v", name, got, c.want)
			}
		}
		a := quietActor(1)
		a.progress = time.Time{}
		if a.standStill(); !a.progress.IsZero() {
			t.Error("no progress was made ever")
		}
	})
}

// An agent that stops waits for short steps, not for jobs, which go on without it, nor for ever; and says what it leaves.
func TestStopWaitsForStepsThatAreShort(t *testing.T) {
	for name, c := range map[string]struct {
		busy plan.Kind
		ends time.Duration // 0: never
		want time.Duration
	}{
		"nothing":            {"", 0, 0},
		"a job":              {plan.Configure, 0, 0},
		"preparing":          {plan.Prepare, 0, 0},
		"a drain that ends":  {plan.Drain, 3 * time.Second, 3 * time.Second},
		"a drain that hangs": {plan.Drain, 0, stopGrace},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := quietActor(2)
				a.order[1].Busy = c.busy
				a.queue = a.order
				a.plan.Nodes = []plan.NodeStatus{{Name: "web-2", State: plan.Draining, UnderWay: true}}
				said := &strings.Builder{}
				a.Log = textLog(said)
				if c.busy != "" {
					a.occupy(taskStep, "i-web-2")
				}
				if c.ends > 0 {
					time.AfterFunc(c.ends, func() {
						a.tasks.done <- func() { a.tasks.end(task{taskStep, "i-web-2"}); a.order[1].Busy = "" }
					})
				}
				began := time.Now()
				a.stop(t.Context())
				if took := time.Since(began); took != c.want || a.queue != nil {
					t.Errorf("it took %v, want %v; %d are still to be read", took, c.want, len(a.queue))
				}
				if got := said.String(); strings.Count(got, "left under way") != 1 || !strings.Contains(got, "node=web-2") {
					t.Errorf("it said %q", got)
				}
			})
		})
	}
}

// Each commit that is rejected is told of once, whatever comes between.
func TestRejectionsAreToldByTheirCommit(t *testing.T) {
	c := &chronicle{stage: stageOf(1, "v1")}
	a := quietActor(1)
	a.Observer = c
	tell := func(revision string) {
		o := order{want: a.want}
		if revision != "" {
			o.meta.rejected = &desired.Rejection{Revision: revision, Reason: desired.Reason(revision)}
		}
		a.take(o)
	}
	for _, revision := range []string{"", "a", "a", "b", "", "b"} {
		tell(revision)
	}
	if got := len(c.rejected); got != 3 {
		t.Errorf("told of %v", c.rejected)
	}
}

// A plan is due when something was learned, when the newest asks for another, and when its time has come.
func TestPlansAreDue(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		do   func(*actor)
		want bool
	}{
		"nothing":   {func(*actor) {}, false},
		"news":      {func(a *actor) { a.news = true }, true},
		"again":     {func(a *actor) { a.again = true }, true},
		"its time":  {func(a *actor) { a.plan.WakeAt = now }, true},
		"not yet":   {func(a *actor) { a.plan.WakeAt = now.Add(time.Nanosecond) }, false},
		"long past": {func(a *actor) { a.plan.WakeAt = now.Add(-time.Hour) }, true},
	} {
		a := quietActor(1)
		a.news, a.again, a.plan.WakeAt = false, false, time.Time{}
		c.do(a)
		if got := a.planDue(now); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// A node that is listed again after a commit took it out is no stray any more, and one that a journey was in hand on is told of for a day.
func TestStraysAreToldForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := quietActor(4)
		all := a.stub().nodes
		for _, n := range a.order {
			delete(a.nodes, identity(n.Node.Node))
			n.ID = ""
			a.nodes[identity(n.Node.Node)] = n
			n.Host.Machine = "i-" + n.Name
		}
		for i := range all {
			all[i].ID = ""
		}
		a.order[0].changedTo(func(r *actuators.NodeRecord) { r.Stage, r.Claim = actuators.Leaving, claimed() })
		a.order[1].changedTo(func(r *actuators.NodeRecord) { r.Claim = claimed() })
		a.order[2].changedTo(func(r *actuators.NodeRecord) {
			r.Stage, r.Claim = actuators.Leaving, &actuators.Claim{Holder: "b", Nonce: "b1"}
		})
		told := func() (all []string) {
			for _, h := range a.status().Holds {
				if strings.Contains(h.Reason, "left the fleet") {
					all = append(all, h.Reason)
				}
			}
			return all
		}
		a.meet(all[3:])
		if got := told(); len(got) != 1 || !strings.HasPrefix(got[0], "web-1 left the fleet in the middle of a journey (leaving)") {
			t.Fatalf("told %q", got)
		}
		time.Sleep(24*time.Hour - time.Second)
		if got := told(); len(got) != 1 {
			t.Errorf("almost a day later: %q", got)
		}
		time.Sleep(time.Second)
		if got := told(); len(got) != 0 {
			t.Errorf("a day later: %q", got)
		}
		a.strays["web-1@web-1"] = stray{"web-1 left the fleet", time.Now().Add(time.Hour)}
		a.meet(all)
		if got := told(); len(got) != 0 {
			t.Errorf("it is back: %q", got)
		}
	})
}
