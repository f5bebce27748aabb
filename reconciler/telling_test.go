package reconciler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/reconciler/plan"
)

// A fleet whose file is gone is over when nothing of it is under way and every node was read, or tried for long enough.
func TestReleasedFleetIsOverWhenNothingIsLeft(t *testing.T) {
	silent := func(unread int) func(*actor) {
		return func(a *actor) { a.order[0].Host, a.order[0].unread = nil, unread }
	}
	outside := func(a *actor) { a.groups[0].Members = a.groups[0].Members[1:] }
	for name, c := range map[string]struct {
		change func(*actor)
		want   bool
	}{
		"at rest":                     {func(*actor) {}, true},
		"its file is there":           {func(a *actor) { a.want.Released = false }, false},
		"its file is broken":          {func(a *actor) { a.meta.rejected = &desired.Rejection{} }, false},
		"never listed":                {func(a *actor) { a.found = plan.Source{} }, false},
		"under way":                   {func(a *actor) { a.plan.Nodes[0].UnderWay = true }, false},
		"a step in flight":            {func(a *actor) { a.occupy(taskStep, "i-web-1") }, false},
		"silent":                      {silent(4), false},
		"silent for long":             {silent(5), true},
		"silent and excluded":         {func(a *actor) { silent(0)(a); a.order[0].excluded = true }, true},
		"silent and out":              {func(a *actor) { silent(119)(a); outside(a) }, false},
		"silent and out, for an hour": {func(a *actor) { silent(120)(a); outside(a) }, true},
		"silent and draining":         {func(a *actor) { silent(119)(a); a.groups[0].Members[0].Status = actuators.TargetDraining }, false},
		"silent, with no groups":      {func(a *actor) { silent(119)(a); a.groups = nil }, false},
	} {
		a := quietActor(2)
		a.want.Released = true
		c.change(a)
		if s := a.status(); s.over != c.want {
			t.Errorf("%s: over %t", name, s.over)
		}
	}
}

// Every source was tried: the list, the groups, each host. A fleet without a file has none.
func TestReadyIsWhenEverythingWasTried(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*actor)
		want   bool
	}{
		"all":                   {func(*actor) {}, true},
		"no file":               {func(a *actor) { a.want.Fleet = nil }, true},
		"not listed":            {func(a *actor) { a.found = plan.Source{} }, false},
		"cannot be listed":      {func(a *actor) { a.found = plan.Source{Err: "denied"} }, true},
		"groups not read":       {func(a *actor) { a.groups = nil }, false},
		"a host not read":       {func(a *actor) { a.order[1].Host = nil }, false},
		"a host cannot be read": {func(a *actor) { a.order[1].Host, a.order[1].Read.Err = nil, "no route" }, true},
	} {
		a := quietActor(2)
		c.change(a)
		if got := a.ready(); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// What a fleet works with, for those that may share it: machines, where they are reached, groups; nothing of an excluded node.
func TestHoldings(t *testing.T) {
	a := quietActor(3)
	a.order[0].excluded = true
	a.order[2].ID, a.order[2].Targets.Instance = "", ""
	a.groups = append(a.groups, actuators.GroupState{Group: actuators.Group{Name: "unread"}})
	want := "[{arn:web false} {i-web-2 false} {web-2:22 true} {web-3:22 false}]"
	a.want.Fleet.SSH.Port = 22
	for _, n := range a.order {
		n.place.SSH.Port = 22
	}
	if got := fmt.Sprint(a.holdings()); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	a.order[2].Targets.Instance = "i-3"
	if got := fmt.Sprint(a.holdings()); !strings.Contains(got, "{i-3 false}") || !strings.Contains(got, "{web-3:22 true}") {
		t.Errorf("an instance that only its group knows: %s", got)
	}
}

// How a node stands, for people: what is wrong with its record, the output of what failed, since when a bake lasts.
func TestNodesAreToldWithWhatWentWrong(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		change func(*actor, *node, *plan.NodeStatus)
		want   string
	}{
		"well":            {func(*actor, *node, *plan.NodeStatus) {}, "in_service i-web-1 tail  because "},
		"set aside":       {func(_ *actor, n *node, _ *plan.NodeStatus) { n.problem = "no JSON" }, "in_service i-web-1 tail  because no JSON"},
		"set aside, held": {func(_ *actor, n *node, s *plan.NodeStatus) { n.problem, s.Reason = "no JSON", "hold" }, "in_service i-web-1 tail  because no JSON; hold"},
		"failed":          {func(_ *actor, n *node, s *plan.NodeStatus) { s.State, n.tail = plan.Failed, "boom" }, "failed i-web-1 tail boom because "},
		"failed before": {func(_ *actor, n *node, s *plan.NodeStatus) {
			s.State = plan.Failed
			h := *n.Host
			h.Job.Tail = "old"
			n.Host = &h
		}, "failed i-web-1 tail old because "},
		"failed, not read": {func(_ *actor, n *node, s *plan.NodeStatus) { s.State, n.Host = plan.Failed, nil }, "failed i-web-1 tail  because "},
		"serves, with an old output": {func(_ *actor, n *node, _ *plan.NodeStatus) {
			h := *n.Host
			h.Job.Tail = "old"
			n.Host = &h
		}, "in_service i-web-1 tail  because "},
		"static": {func(_ *actor, n *node, _ *plan.NodeStatus) { n.ID, n.Host.Machine = "", "m-1" }, "in_service m-1 tail  because "},
	} {
		a := quietActor(1)
		n, p := a.order[0], a.plan.Nodes[0]
		c.change(a, n, &p)
		var s Status
		s.Releases = map[string]int{}
		s.add(n, p)
		got := fmt.Sprintf("%s %s tail %s because %s", s.Nodes[0].State, s.Nodes[0].Instance, s.Nodes[0].Tail, s.Nodes[0].Reason)
		if got != c.want || s.Releases["v1"] != 1 {
			t.Errorf("%s: %q, want %q; releases %v", name, got, c.want, s.Releases)
		}
	}
	a := quietActor(1)
	n := a.order[0]
	n.stateAt, n.Health.Since = now.Add(-time.Hour), now.Add(-time.Minute)
	for state, want := range map[plan.State]time.Time{plan.Baking: n.Health.Since, plan.Draining: n.stateAt, plan.InService: {}, plan.Failed: {}} {
		s := Status{Releases: map[string]int{}}
		s.add(n, plan.NodeStatus{Name: "web-1", State: state, UnderWay: true})
		switch {
		case want.IsZero() && len(s.Steps) > 0, !want.IsZero() && (len(s.Steps) != 1 || !s.Steps[0].Since.Equal(want)):
			t.Errorf("%s: steps %+v, want since %v", state, s.Steps, want)
		}
	}
	n.Health.Since = time.Time{}
	s := Status{Releases: map[string]int{}}
	if s.add(n, plan.NodeStatus{State: plan.Baking, UnderWay: true}); !s.Steps[0].Since.Equal(n.stateAt) {
		t.Errorf("a bake that is not watched yet: since %v", s.Steps[0].Since)
	}
	if s.add(n, plan.NodeStatus{State: plan.Baking}); len(s.Steps) != 1 {
		t.Errorf("nothing is under way: %+v", s.Steps)
	}
}

// What a fleet's phase is called, where a broken file or a rollout back says more than the plan.
func TestPhasesAreTold(t *testing.T) {
	broken := &desired.Rejection{Errors: desired.Errors{{Message: "no release"}, {Message: "no nodes"}, {Message: "no checks"}}}
	back := Rollout{Trigger: TriggerRevert, Started: time.Now()}
	ended := back
	ended.Ended = time.Now()
	for name, c := range map[string]struct {
		phase    plan.Phase
		rejected *desired.Rejection
		rollout  Rollout
		want     plan.Phase
	}{
		"idle":                 {plan.PhaseIdle, nil, Rollout{}, plan.PhaseIdle},
		"idle, broken":         {plan.PhaseIdle, broken, Rollout{}, plan.PhaseInvalid},
		"waiting, broken":      {plan.PhaseWaiting, broken, Rollout{}, plan.PhaseInvalid},
		"paused, broken":       {plan.PhasePaused, broken, Rollout{}, plan.PhaseInvalid},
		"nothing yet, broken":  {"", broken, Rollout{}, plan.PhaseInvalid},
		"progressing, broken":  {plan.PhaseProgressing, broken, Rollout{}, plan.PhaseProgressing},
		"halted, broken":       {plan.PhaseHalted, broken, Rollout{}, plan.PhaseHalted},
		"a rollback goes on":   {plan.PhaseProgressing, nil, back, plan.PhaseRollingBack},
		"a rollback has ended": {plan.PhaseProgressing, nil, ended, plan.PhaseProgressing},
		"a rollback waits":     {plan.PhaseWaiting, nil, back, plan.PhaseWaiting},
		"a rollout goes on":    {plan.PhaseProgressing, nil, Rollout{Trigger: TriggerCommit, Started: time.Now()}, plan.PhaseProgressing},
	} {
		a := quietActor(1)
		a.plan.Phase, a.meta.rejected, a.rollout.Rollout = c.phase, c.rejected, c.rollout
		if got := a.status(); got.Phase != c.want || (c.want == plan.PhaseInvalid) != strings.HasSuffix(got.Reason, "no release; and 2 more") {
			t.Errorf("%s: %s (%s), want %s", name, got.Phase, got.Reason, c.want)
		}
	}
	a := quietActor(1)
	a.problems, a.plan.Holds = []string{"i-9 has no address"}, []plan.Hold{{Reason: "hold"}}
	if got := fmt.Sprint(a.status().Holds); !strings.Contains(got, "hold") || !strings.Contains(got, "i-9 has no address") {
		t.Errorf("holds %s", got)
	}
	if len(a.plan.Holds) != 1 || len(a.status().Holds) != 2 {
		t.Errorf("told twice: %v", a.status().Holds)
	}
	a.want.Fleet = nil
	if s := a.status(); s.Desired != (Desired{}) || len(s.Checks) > 0 {
		t.Errorf("no file, and %+v is wanted, checked by %v", s.Desired, s.Checks)
	}
}

// What began a rollout: a commit, a revert, a retry, drift, or nodes that come and go.
func TestTriggers(t *testing.T) {
	outdated := plan.NodeStatus{Name: "web-1", State: plan.Outdated, Outdated: true}
	rests := plan.NodeStatus{Name: "web-1", State: plan.InService}
	drift := plan.NodeStatus{Name: "web-2", State: plan.Outdated, Outdated: true, Drift: true}
	for name, c := range map[string]struct {
		change func(a *actor, r *rollout)
		nodes  []plan.NodeStatus
		want   Trigger
	}{
		"a commit":                     {nil, []plan.NodeStatus{outdated}, TriggerCommit},
		"rolling back":                 {func(a *actor, _ *rollout) { a.plan.Phase = plan.PhaseRollingBack }, []plan.NodeStatus{outdated}, TriggerRevert},
		"a retry":                      {func(a *actor, r *rollout) { r.Digest = a.want.Version.Digest; a.want.Fleet.Retry = 2; r.Retry = 1 }, []plan.NodeStatus{outdated}, TriggerRetry},
		"the same retry":               {func(a *actor, r *rollout) { r.Digest = a.want.Version.Digest; a.want.Fleet.Retry, r.Retry = 1, 1 }, []plan.NodeStatus{outdated}, TriggerMembership},
		"a retry with another version": {func(a *actor, _ *rollout) { a.want.Fleet.Retry = 2 }, []plan.NodeStatus{outdated}, TriggerCommit},
		"a new node":                   {nil, []plan.NodeStatus{rests, {Name: "web-2", State: plan.OutOfService, Outdated: true}}, TriggerMembership},
		"drift":                        {nil, []plan.NodeStatus{rests, drift}, TriggerDrift},
		"an agent that is gone had begun": {func(a *actor, _ *rollout) {
			a.order[1].changedTo(func(r *actuators.NodeRecord) { r.Proven = versionOf("v0") })
		}, []plan.NodeStatus{rests, outdated}, TriggerCommit},
		"nobody was ever proven": {func(a *actor, _ *rollout) {
			a.order[1].changedTo(func(r *actuators.NodeRecord) { r.Proven = actuators.Version{} })
		}, []plan.NodeStatus{rests, outdated}, TriggerMembership},
		"one rests with something else": {nil, []plan.NodeStatus{{Name: "web-1", State: plan.InService, Outdated: true}}, TriggerCommit},
		"one is on its way":             {nil, []plan.NodeStatus{{Name: "web-1", State: plan.Baking}}, TriggerCommit},
	} {
		a := quietActor(2)
		a.want.Version = versionOf("v1")
		r := rollout{}
		a.plan.Nodes, a.plan.Phase = c.nodes, plan.PhaseProgressing
		if c.change != nil {
			c.change(a, &r)
		}
		if got := r.trigger(a); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// A rollout from its first step to its end: who counts as done, what supersedes it, what a pause takes, and what is told at the end.
func TestRolloutsAreFollowedToTheirEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &chronicle{stage: stageOf(4, "v1")}
		a := quietActor(4)
		a.Observer, a.committed = c, time.Now().Add(-time.Minute)
		began := time.Now()
		at := func(phase plan.Phase, lacking int) {
			a.plan.Phase = phase
			for i := range a.plan.Nodes {
				a.plan.Nodes[i].Outdated, a.plan.Nodes[i].UnderWay = i < lacking, false
			}
			if lacking > 0 {
				a.plan.Nodes[lacking-1].Outdated, a.plan.Nodes[lacking-1].UnderWay = false, true // it bakes
			}
			time.Sleep(time.Minute)
			a.rollout.advance(a, time.Now())
		}
		is := func(what, want string) {
			t.Helper()
			r := a.rollout.Rollout
			got := fmt.Sprintf("%d of %d, %s, paused %v, ended %t %d", r.Completed, r.Planned, r.Trigger, r.Paused, !r.Ended.IsZero(), len(c.ended))
			if got != want {
				t.Errorf("%s: %s, want %s", what, got, want)
			}
		}
		at(plan.PhaseIdle, 0)
		is("nothing moves", "0 of 0, , paused 0s, ended false 0")
		at(plan.PhaseWaiting, 3)
		is("three lack it, and nothing moves", "0 of 0, , paused 0s, ended false 0")
		at(plan.PhaseProgressing, 0)
		is("it moves, and nobody lacks it", "0 of 0, , paused 0s, ended false 0")
		a.order[0].Host = nil
		at(plan.PhaseProgressing, 3)
		is("one was not read yet", "0 of 0, , paused 0s, ended false 0")
		a.order[0].learn(a.stub().state("web-1"), time.Now())
		a.order[3].changedTo(func(r *actuators.NodeRecord) { r.Proven = versionOf("v0") })
		at(plan.PhaseProgressing, 3)
		is("begun", "0 of 3, commit, paused 0s, ended false 0")
		at(plan.PhaseProgressing, 2)
		is("one is done", "1 of 3, commit, paused 0s, ended false 0")
		a.want.Fleet.Paused = &desired.Pause{}
		at(plan.PhasePaused, 2)
		at(plan.PhasePaused, 2)
		a.want.Fleet.Paused = nil
		at(plan.PhaseProgressing, 2)
		is("paused for two minutes", "1 of 3, commit, paused 2m0s, ended false 0")
		at(plan.PhaseProgressing, 4)
		is("two more came", "1 of 5, commit, paused 2m0s, ended false 0")
		a.want.Fleet.Paused = &desired.Pause{}
		at(plan.PhasePaused, 1)
		a.want.Fleet.Paused = nil
		at(plan.PhaseWaiting, 0)
		is("done", "5 of 5, commit, paused 3m0s, ended true 1")
		if got := c.ended[0]; got.Rollout.Result != ResultSucceeded || got.Lead != time.Since(began)+time.Minute || got.Fleet != "web" {
			t.Errorf("told %+v", got)
		}
		at(plan.PhaseProgressing, 1)
		is("again", "0 of 1, membership, paused 0s, ended false 1")
		a.want.Fleet.Paused = &desired.Pause{}
		at(plan.PhasePaused, 1)
		a.want.Version, a.want.Fleet.Paused = versionOf("v2"), nil
		at(plan.PhaseProgressing, 2)
		if got := c.ended[1].Rollout; got.Paused != time.Minute || !got.PausedAt.IsZero() {
			t.Errorf("superseded in a pause: %+v", got)
		}
		is("another version", "0 of 2, commit, paused 0s, ended false 2")
		at(plan.PhaseHalted, 2)
		is("halted", "0 of 2, commit, paused 0s, ended true 3")
		if r := []Result{c.ended[1].Rollout.Result, c.ended[2].Rollout.Result}; r[0] != ResultSuperseded || r[1] != ResultHalted || c.ended[1].Lead+c.ended[2].Lead != 0 {
			t.Errorf("results %v, leads %v and %v", r, c.ended[1].Lead, c.ended[2].Lead)
		}
		at(plan.PhaseRollingBack, 1)
		a.rollout.Committed = time.Time{}
		at(plan.PhaseIdle, 0)
		if got := c.ended[3]; got.Rollout.Result != ResultRolledBack || got.Rollout.Trigger != TriggerRevert || got.Lead != 0 {
			t.Errorf("told %+v", got)
		}
		a.rollout = rollout{inherited: true, Rollout: Rollout{Trigger: TriggerCommit, Digest: "older", Started: began, LastProgress: began.Add(time.Second), Planned: 2}}
		at(plan.PhaseProgressing, 2)
		if got := c.ended[4]; got.Rollout.Result != ResultSuperseded || !got.Rollout.Ended.Equal(began.Add(time.Second)) || a.rollout.inherited {
			t.Errorf("of an earlier process: %+v", got)
		}
		last := a.rollout.LastProgress.Add(time.Second)
		a.rollout.moved(last)
		if a.rollout.moved(last.Add(-time.Hour)); !a.rollout.LastProgress.Equal(last) {
			t.Errorf("progress at %v, want %v", a.rollout.LastProgress, last)
		}
		a.rollout.Ended = time.Now()
		if a.rollout.moved(last.Add(time.Hour)); !a.rollout.LastProgress.Equal(last) {
			t.Error("what has ended makes no progress")
		}
	})
}

// Whose claim is another agent's, and for how long its work may be in flight: beyond its expiry by the node's clock as long as a call may take,
// and never longer than since it was first seen.
func TestLaw18OthersWork(t *testing.T) {
	const most = actuators.ClaimTime + plan.TakeoverWait
	for name, c := range map[string]struct {
		holder        string
		epoch         int
		expired, seen time.Duration // ago
		excluded      bool
		want          bool
	}{
		"another agent":        {"b", 1, -time.Second, 0, false, true},
		"this process":         {"a", 1, -time.Second, 0, false, false},
		"a later process":      {"a", 2, -time.Second, 0, false, true},
		"an earlier process":   {"a", 0, -time.Second, 0, false, false},
		"a copy of this one":   {"a", 1, -time.Second, 0, false, true},
		"expired a moment ago": {"b", 1, plan.TakeoverWait - time.Second, 0, false, true},
		"expired long ago":     {"b", 1, plan.TakeoverWait, 0, false, false},
		"seen almost too long": {"b", 1, -time.Hour, most - time.Second, false, true},
		"seen too long":        {"b", 1, -time.Hour, most, false, false},
		"of an excluded node":  {"b", 1, -time.Second, 0, true, false},
	} {
		a := quietActor(1)
		n, now := a.order[0], time.Now()
		nonce := "other"
		if name == "this process" {
			nonce = "n"
		}
		n.changedTo(func(r *actuators.NodeRecord) {
			r.Claim = &actuators.Claim{Holder: c.holder, Epoch: c.epoch, Nonce: nonce, Expires: n.Host.Now.Add(-c.expired)}
		})
		n.Claimed, n.excluded = now.Add(-c.seen), c.excluded
		if got := a.othersWork(n, now); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	a := quietActor(1)
	if a.othersWork(a.order[0], time.Now()) {
		t.Error("nobody claims it")
	}
}

// A roll call asks those that were not tried a moment ago, nor since another agent's claim was seen, and those that can be read.
func TestLaw18RollCallsAskWhoWasNotTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		now := time.Now()
		a := quietActor(5)
		tried := []time.Duration{0, plan.RecordAge, plan.RecordAge + 1, 10 * time.Second, time.Hour}
		for i, n := range a.order {
			n.triedAt = now.Add(-tried[i])
		}
		a.order[4].Read.Err = "no route"
		a.rollCall.foreign = now.Add(-time.Second * 8)
		a.callRoll(now)
		var asked []string
		for _, n := range a.order {
			if n.nextRead.Equal(now) {
				asked = append(asked, n.Name)
			}
		}
		var want []string
		for i, n := range a.order[:4] {
			if tried[i] > plan.RecordAge || tried[i] > 8*time.Second {
				want = append(want, n.Name)
			}
		}
		if !slices.Equal(asked, want) || a.again || len(want) == 0 {
			t.Errorf("asked %v, want %v; over %t", asked, want, a.again)
		}
		for _, n := range a.order[:4] {
			n.triedAt = now
		}
		if a.rollCalled(now); !a.again || !a.rollCall.began.IsZero() || !a.rollCall.ended.Equal(now) {
			t.Errorf("all have answered: %+v, again %t", a.rollCall, a.again)
		}
		for name, c := range map[string]struct {
			ago, claimed time.Duration
			ours, keeps  bool
		}{
			"kept by a claim":     {time.Second, 10 * time.Second, true, true},
			"by the oldest":       {plan.RecordAge, actuators.ClaimTime - time.Second, true, true},
			"too late":            {plan.RecordAge + time.Second, 10 * time.Second, true, false},
			"by one that is over": {time.Second, actuators.ClaimTime, true, false},
			"not by another's":    {time.Second, 10 * time.Second, false, false},
		} {
			a.rollCall.ended = now.Add(-c.ago)
			a.order[1].changedTo(func(r *actuators.NodeRecord) { r.Stage, r.Claim = actuators.Leaving, claimed() })
			if !c.ours {
				a.order[1].Host.Record.Claim.Nonce = "n0"
			}
			a.order[1].claimedAt = now.Add(-c.claimed)
			a.keepRollCall(now)
			if got := a.rollCall.ended.Equal(now); got != c.keeps {
				t.Errorf("%s: %t", name, got)
			}
		}
	})
}

// What is asked of the history, and when again: by what records name, the head's moves, and never for a node without end.
func TestWhatIsAskedOfTheHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := quietActor(4)
		a.History = &past{knows: true}
		now := time.Now()
		name := func(i int, revision string) {
			a.order[i].changedTo(func(r *actuators.NodeRecord) { r.On.Revision = revision })
		}
		for i, revision := range []string{"rev-a", "rev-a", "rev-b", ""} {
			name(i, revision)
		}
		a.noteRevisions()
		if got := len(a.history); got != 2 || !strings.Contains(a.history["rev-a"].why, "still to be searched for revision rev-a") {
			t.Fatalf("%d revisions: %+v", got, a.history["rev-a"])
		}
		due := func(i int) time.Duration { return max(0, a.searchDue(a.order[i]).Sub(now)) }
		a.order[0].searchedAt = now
		a.order[2].searchedAt = now
		a.want.Version.Revision = "rev-b"
		if due(0) != searchPause || due(1) != 0 || due(2) != 0 {
			t.Errorf("due in %v, %v and %v", due(0), due(1), due(2))
		}
		a.history["rev-a"].why, a.history["rev-b"].asked = "", true
		a.history["rev-a"].asked = true
		a.order[1].searchedAt = now
		a.forgetDenials()
		if !a.history["rev-a"].asked || a.history["rev-b"].asked || !a.order[2].searchedAt.IsZero() || a.order[1].searchedAt.IsZero() {
			t.Errorf("the head moved: %+v and %+v; %v, %v", a.history["rev-a"], a.history["rev-b"], a.order[1].searchedAt, a.order[2].searchedAt)
		}
		a.history["rev-b"].asked = true
		a.occupy(taskHistory, "rev-b")
		if a.forgetDenials(); !a.history["rev-b"].asked {
			t.Error("it is being searched for")
		}
		if !a.doubts() || a.doubt(a.order[0]) != "" || a.doubt(a.order[2]) == "" || a.doubt(a.order[3]) != "" {
			t.Errorf("doubts %t: %q, %q, %q", a.doubts(), a.doubt(a.order[0]), a.doubt(a.order[2]), a.doubt(a.order[3]))
		}
		a.order[2].excluded = true
		if a.doubt(a.order[2]) != "" {
			t.Error("web-3 is excluded")
		}
		a.noteRevisions()
		if a.history["rev-b"] != nil || a.history["rev-a"] == nil {
			t.Errorf("only an excluded node names rev-b, and it was not found: %v", a.history)
		}
		for i := range 2 {
			a.order[i].excluded = true
		}
		if a.noteRevisions(); a.history["rev-a"] == nil || a.doubts() {
			t.Errorf("only excluded nodes name rev-a, and it was found: %v", a.history)
		}
		name(0, "")
		name(1, "rev-c")
		a.order[1].excluded = false
		if a.noteRevisions(); a.history["rev-a"] != nil || a.history["rev-c"] == nil {
			t.Errorf("nobody names rev-a: %v", a.history)
		}
		a.searched("rev-a", true, nil)
		a.searched("rev-a", false, errCut)
		if a.history["rev-a"] != nil {
			t.Error("nobody names rev-a any more")
		}
		a.nextHistory = time.Time{}
		a.searched("rev-c", false, errCut)
		if a.history["rev-c"].why == "" || !a.nextHistory.Equal(now.Add(a.Interval)) {
			t.Errorf("it could not be searched: %+v, next %v", a.history["rev-c"], a.nextHistory)
		}
		a.searched("rev-c", false, nil)
		if !strings.Contains(a.history["rev-c"].why, "rewritten history") {
			t.Errorf("it is not there: %+v", a.history["rev-c"])
		}
		a.searched("rev-c", true, nil)
		if a.history["rev-c"].why != "" {
			t.Errorf("it is there: %+v", a.history["rev-c"])
		}
	})
}

// At most two searches are in flight, none for an excluded node nor for what was asked, and none while git is left alone after a failure.
func TestSearchesAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			change func(*actor)
			want   int
		}{
			"five revisions": {func(*actor) {}, 2},
			"one in flight":  {func(a *actor) { a.occupy(taskHistory, "x") }, 2},
			"four excluded": {func(a *actor) {
				for _, n := range a.order[1:] {
					n.excluded = true
				}
			}, 1},
			"four asked": {func(a *actor) {
				a.noteRevisions()
				for _, n := range a.order[1:] {
					a.history[n.revision()].asked = true
				}
			}, 1},
			"four lately": {func(a *actor) {
				for _, n := range a.order[1:] {
					n.searchedAt = time.Now()
				}
			}, 1},
			"left alone": {func(a *actor) { a.nextHistory = time.Now().Add(time.Second) }, 0},
			"no history": {func(a *actor) { a.History = nil }, 0},
		} {
			a := quietActor(5)
			a.History = &past{knows: true}
			for i, n := range a.order {
				n.changedTo(func(r *actuators.NodeRecord) { r.On.Revision = fmt.Sprint("rev-", i) })
			}
			c.change(a)
			a.checkHistory(t.Context())
			if got := a.tasks.busyWith(taskHistory); got != c.want {
				t.Errorf("%s: %d searches, want %d", name, got, c.want)
			}
			a.tasks.wait()
		}
	})
}

// A record counts where it is this machine's; a job is remembered where a reading says nothing of it; a claim and a stage are as old as they
// were first seen.
func TestLaw4WhatANodeIsTakenToHave(t *testing.T) {
	n := &node{Node: plan.Node{Node: actuators.Node{ID: "i-1"}}}
	if n.record() != &noRecord || n.revision() != "" {
		t.Error("it was not read")
	}
	at := time.Now()
	state := func(change func(*actuators.HostState)) actuators.HostState {
		s := actuators.HostState{Machine: "m-1", Record: actuators.NodeRecord{Instance: "i-1", On: versionOf("v1")}, Job: actuators.JobState{Key: "k", Exited: true}}
		if change != nil {
			change(&s)
		}
		return s
	}
	n.Stale, n.Doubt, n.unread = true, plan.Drain, 3
	n.learn(state(nil), at)
	if n.record().On.Release != "v1" || n.Stale || n.Doubt != "" || n.unread != 0 || !n.Inherited || !n.Claimed.Equal(at) || !n.Staged.Equal(at) {
		t.Errorf("read: %+v", n.Node)
	}
	n.learn(state(func(s *actuators.HostState) { s.Job = actuators.JobState{} }), at.Add(time.Second))
	if n.Host.Job.Key != "k" || !n.Inherited || !n.Claimed.Equal(at) || !n.Staged.Equal(at) || !n.Read.At.Equal(at.Add(time.Second)) {
		t.Errorf("the same, and no job: %+v", n.Node)
	}
	claim := actuators.Claim{Holder: "b", Nonce: "b1"}
	with := func(c actuators.Claim, stage actuators.Stage) func(*actuators.HostState) {
		return func(s *actuators.HostState) { s.Record.Claim, s.Record.Stage = &c, stage }
	}
	n.learn(state(with(claim, actuators.Idle)), at.Add(2*time.Second))
	if !n.Claimed.Equal(at.Add(2*time.Second)) || !n.Staged.Equal(at) || !n.Inherited {
		t.Errorf("a claim: %+v", n.Node)
	}
	n.learn(state(with(claim, actuators.Leaving)), at.Add(3*time.Second))
	if !n.Claimed.Equal(at.Add(2*time.Second)) || !n.Staged.Equal(at.Add(3*time.Second)) || n.Inherited {
		t.Errorf("a stage: %+v", n.Node)
	}
	n.learn(state(nil), at.Add(4*time.Second))
	if !n.Claimed.Equal(at.Add(4 * time.Second)) {
		t.Errorf("no claim: %+v", n.Node)
	}
	n.learn(state(func(s *actuators.HostState) { s.Record.Instance = "i-9" }), at)
	if n.record() != &noRecord {
		t.Error("the record is another machine's")
	}
	n.ID = ""
	n.learn(state(func(s *actuators.HostState) { s.Record.Instance = "m-1" }), at)
	if n.record().On.Release != "v1" {
		t.Error("the record is this machine's, by its machine id")
	}
}

// What only the moment of writing knows is filled in, and nothing else is changed.
func TestTimesAreStampedWhereTheyAreMissing(t *testing.T) {
	now := time.Date(2026, 3, 1, 9, 0, 0, 999, time.UTC)
	at, before := now.Truncate(time.Second), now.Add(-time.Hour)
	for name, c := range map[string]struct {
		r, want actuators.NodeRecord
	}{
		"nothing":    {actuators.NodeRecord{}, actuators.NodeRecord{StageAt: at}},
		"a stage":    {actuators.NodeRecord{StageAt: before}, actuators.NodeRecord{StageAt: before}},
		"a failure":  {actuators.NodeRecord{StageAt: at, Try: actuators.Try{Failures: 1}}, actuators.NodeRecord{StageAt: at, Try: actuators.Try{Failures: 1, At: at}}},
		"an old one": {actuators.NodeRecord{StageAt: at, Try: actuators.Try{Failures: 1, At: before}}, actuators.NodeRecord{StageAt: at, Try: actuators.Try{Failures: 1, At: before}}},
		"no failure": {actuators.NodeRecord{StageAt: at}, actuators.NodeRecord{StageAt: at}},
		"halts":      {actuators.NodeRecord{StageAt: at, Halts: []actuators.Halt{{At: before}, {}}}, actuators.NodeRecord{StageAt: at, Halts: []actuators.Halt{{At: before}, {At: at}}}},
	} {
		stamp(&c.r, now)
		if fmt.Sprint(c.r) != fmt.Sprint(c.want) {
			t.Errorf("%s: %+v, want %+v", name, c.r, c.want)
		}
	}
	claim := &actuators.Claim{Nonce: "n"}
	r := actuators.NodeRecord{Claim: claim}
	stamp(&r, now)
	if !r.Claim.Expires.Equal(at.Add(actuators.ClaimTime)) || !claim.Expires.IsZero() {
		t.Errorf("claim %+v, and the one it was made from %+v", r.Claim, claim)
	}
}

// A session writes in turns, under a claim that it can show to be its own and to last.
func TestLaw18SessionsHoldWhatTheyClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(1, "v1")
		me, at := plan.Agent{Holder: "a", Epoch: 1, Nonce: "n"}, actuators.Place{Node: s.nodes[0]}
		h := newSession()
		h.state, h.readAt = s.state("web-1"), time.Now()
		if _, err := h.renew(t.Context(), s, at, me); !errors.Is(err, actuators.ErrChanged) {
			t.Errorf("nobody claims it, and renewing ends in %v", err)
		}
		h.state.Record.Claim = &actuators.Claim{Nonce: "n0"}
		if _, err := h.renew(t.Context(), s, at, me); !errors.Is(err, actuators.ErrChanged) {
			t.Errorf("another claims it, and renewing ends in %v", err)
		}
		if err := h.hold(t.Context(), s, at, me, time.Second); !errors.Is(err, actuators.ErrChanged) {
			t.Errorf("another claims it, and holding ends in %v", err)
		}
		h.state.Record.Claim = claimed()
		if err := h.hold(t.Context(), s, at, me, time.Second); err != nil || len(s.written) != 1 {
			t.Errorf("it is held after %d writes: %v", len(s.written), err)
		}
		if err := h.hold(t.Context(), s, at, me, time.Second); err != nil || len(s.written) != 1 {
			t.Errorf("it was held already, and there are %d writes: %v", len(s.written), err)
		}
		if err := h.hold(t.Context(), s, at, me, time.Hour); err == nil || !strings.Contains(err.Error(), "too late") {
			t.Errorf("no claim lasts an hour: %v", err)
		}
		if err := h.take(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if h.saw(s.state("web-1"), began, began) {
			t.Error("it took a reading in the middle of a turn")
		}
		for name, do := range map[string]func(context.Context) error{
			"write":    func(ctx context.Context) error { _, err := h.write(ctx, s, at, actuators.NodeRecord{}); return err },
			"renew":    func(ctx context.Context) error { _, err := h.renew(ctx, s, at, me); return err },
			"outlives": func(ctx context.Context) error { _, err := h.outlives(ctx, time.Second); return err },
			"hold":     func(ctx context.Context) error { return h.hold(ctx, s, at, me, time.Second) },
			"run": func(ctx context.Context) error {
				_, err := h.run(ctx, s, at, actuators.NodeRecord{}, actuators.Job{}, func(actuators.HostState) {})
				return err
			},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := do(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s, while another has the turn: %v", name, err)
			}
			cancel()
		}
		h.give()
		if !h.saw(s.state("web-1"), time.Now().Add(time.Second), time.Now()) || h.saw(s.state("web-1"), h.wrote, time.Now()) {
			t.Error("it takes readings that began after the newest write, and no others")
		}
	})
}

// Law 5: a renewal changes nothing of what was read, which the loop looks at meanwhile: a record may hold a verdict without its time.
func TestRenewalChangesNothingThatWasRead(t *testing.T) {
	s := stageOf(1, "v1")
	h := newSession()
	h.state, h.readAt = s.state("web-1"), time.Now()
	h.state.Record.Claim, h.state.Record.Halts = claimed(), []actuators.Halt{{Digest: "d1-0"}}
	read := h.state.Record
	if _, err := h.renew(t.Context(), s, actuators.Place{Node: s.nodes[0]}, plan.Agent{Holder: "a", Epoch: 1, Nonce: "n"}); err != nil {
		t.Fatal(err)
	}
	if !read.Halts[0].At.IsZero() || h.state.Record.Halts[0].At.IsZero() {
		t.Errorf("read %+v, written %+v", read.Halts, h.state.Record.Halts)
	}
}

// A run gives the turn back when its record is written, or cannot be.
func TestRunHasTheTurnUntilItsRecordIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(1, "v1")
		s.job = time.Minute
		seen := func() actuators.HostState {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.state("web-1")
		}
		h, at := newSession(), actuators.Place{Node: s.nodes[0]}
		h.state, h.readAt = s.state("web-1"), time.Now()
		told := 0
		go func() {
			_, _ = h.run(t.Context(), s, at, actuators.NodeRecord{Claim: claimed()}, actuators.Job{Key: "k"}, func(actuators.HostState) { told++ })
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		if !h.saw(seen(), time.Now(), time.Now()) || told != 1 {
			t.Errorf("the job runs, and the turn is taken; told %d times", told)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := h.run(ctx, silent{s}, at, actuators.NodeRecord{}, actuators.Job{}, func(actuators.HostState) { told++ })
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) || told != 1 || !h.saw(seen(), time.Now(), time.Now()) {
			t.Errorf("nothing was ever written: %v, told %d times", err, told)
		}
	})
}

// What a look takes for certain: that a check which keeps failing has failed, and nothing of one that may still pass.
func TestLooksTakeWhatKeepsFailingAsFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			results []health.Result
			phase   plan.WatchPhase
			want    health.Status
			spoke   bool
		}{
			"not tried":          {nil, plan.WatchVerify, health.Pending, false},
			"failed twice":       {[]health.Result{health.Fail, health.Fail}, plan.WatchVerify, health.Pending, false},
			"failed three times": {[]health.Result{health.Fail, health.Fail, health.Fail}, plan.WatchVerify, health.Failing, true},
			"mends":              {[]health.Result{health.Fail, health.Fail, health.Pass}, plan.WatchVerify, health.Pending, false},
			"passed once":        {[]health.Result{health.Pass}, plan.WatchVerify, health.Pending, false},
			"passed":             {[]health.Result{health.Pass, health.Pass}, plan.WatchVerify, health.Passing, true},
			"idle, not tried":    {nil, plan.WatchIdle, health.Unknown, false},
			"idle, failed":       {[]health.Result{health.Fail, health.Fail, health.Fail}, plan.WatchIdle, health.Failing, true},
		} {
			a := quietActor(1)
			n := a.order[0]
			n.watch = newWatch(plan.Watch{Node: "web-1", Release: "v1", Phase: c.phase}, time.Now())
			a.plan.Watch = []plan.Watch{n.watch.Watch}
			for _, r := range c.results {
				n.watch.add(health.Sample{Check: "serves", Result: r, At: time.Now()})
				n.watch.tried["serves"]++
				n.watch.failing["serves"] = r != health.Pass
			}
			if got := a.allSpoke(); got != c.spoke {
				t.Errorf("%s: spoke %t", name, got)
			}
			if a.foretell(n); n.Health.Status != c.want {
				t.Errorf("%s: %q, want %q", name, n.Health.Status, c.want)
			}
		}
		a := quietActor(1)
		n := a.order[0]
		known := plan.Health{Release: "v1", Verdict: health.Verdict{Status: health.Passing}}
		n.Health = known
		if a.foretell(n); n.Health != known {
			t.Errorf("nothing is watched: %+v", n.Health)
		}
		steps := []struct {
			name   string
			change func()
			want   bool
		}{
			{"all spoke", func() {}, true},
			{"its checks are to begin", func() { n.nextIdle = time.Time{} }, false},
			{"not while it is under way", func() { n.changedTo(func(r *actuators.NodeRecord) { r.Stage = actuators.Leaving }) }, true},
			{"nor while it is worked on", func() { n.changedTo(func(r *actuators.NodeRecord) { r.Stage = actuators.Idle }); n.Busy = plan.Leave }, true},
			{"nor where it cannot be read", func() { n.Busy, n.Host = "", nil }, true},
			{"another watch is asked for", func() { a.plan.Watch = []plan.Watch{{Node: "web-1", Release: "v2"}} }, false},
			{"of a node that is gone", func() { a.plan.Watch = []plan.Watch{{Node: "web-9", Release: "v2"}} }, true},
		}
		for _, s := range steps {
			if s.change(); a.allSpoke() != s.want {
				t.Errorf("%s: %t", s.name, !s.want)
			}
		}
	})
}

// Everything was tried that a look asks for: also the history, and the groups that only records name.
func TestLooksTryEverySource(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*actor)
		want   bool
		again  bool // the groups are read once more
	}{
		"all":                 {func(*actor) {}, true, false},
		"no list":             {func(a *actor) { a.found = plan.Source{Err: "denied"}; a.groups = nil }, true, false},
		"a stale list":        {func(a *actor) { a.found.Err = "denied"; a.groups = nil }, true, false},
		"groups not read":     {func(a *actor) { a.groups = nil }, false, false},
		"history is searched": {func(a *actor) { a.occupy(taskHistory, "x") }, false, false},
		"a recorded group": {func(a *actor) {
			a.order[0].changedTo(func(r *actuators.NodeRecord) { r.Places = []actuators.Membership{{Group: "old"}} })
		}, false, true},
	} {
		a := quietActor(1)
		c.change(a)
		if got, again := a.allTried(), !a.nextGroups.After(time.Now()); got != c.want || again != c.again {
			t.Errorf("%s: %t, read again %t", name, got, again)
		}
	}
	a := quietActor(1)
	a.rollout.Rollout, a.meta.pausedAt = Rollout{Trigger: TriggerCommit}, time.Now()
	a.order[0].stateAt = time.Now()
	a.plan.Nodes[0].State, a.plan.Nodes[0].UnderWay = plan.Draining, true
	if s := a.glimpse(); s.Rollout != (Rollout{}) || !s.PausedAt.IsZero() || !s.Nodes[0].Since.IsZero() || !s.Steps[0].Since.IsZero() {
		t.Errorf("a look says when things began: %+v", s)
	}
}

// A claim lasts for as long as both clocks say: the node's may have been set since it was read.
func TestLaw18ClaimLastsByTheShorterClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		time.Sleep(2 * time.Second)
		for left, want := range map[time.Duration]time.Duration{28 * time.Second: 28 * time.Second, time.Hour: 28 * time.Second, 5 * time.Second: 5 * time.Second, -time.Minute: -time.Minute} {
			h, node := newSession(), time.Now().Add(time.Hour)
			h.written(actuators.HostState{Now: node, Record: actuators.NodeRecord{Claim: &actuators.Claim{Expires: node.Add(left)}}}, began)
			if got := time.Until(h.until); got != want || !h.wrote.Equal(time.Now()) {
				t.Errorf("%v are left on the node: it lasts %v, want %v", left, got, want)
			}
		}
	})
}

// A fleet whose file is gone is looked at while something of it is under way: that is finished, and people want to see it.
func TestALookShowsAReleasedFleetThatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for stage, want := range map[actuators.Stage]int{actuators.Idle: 0, actuators.Leaving: 1} {
			s := stageOf(2, "v1")
			s.hosts["web-1"].Record.Stage = stage
			s.hosts["web-1"].Record.Claim = &actuators.Claim{Holder: "a", Nonce: "before", Expires: time.Now()}
			gone := desired.State{Fleets: map[string]desired.Version{"web": {Fleet: webFleet("v1"), Revision: "a", Released: true}}}
			sights, err := Look(t.Context(), s.deps(), gone)
			if err != nil || len(sights) != want {
				t.Errorf("a node that is %q: %d sights, %v; want %d", stage, len(sights), err, want)
			}
		}
	})
}
