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

func groupState(id string, members ...string) actuators.GroupState {
	g := actuators.GroupState{Group: actuators.Group{ID: id, Name: id}, TargetType: "ip", At: time.Now()}
	for _, m := range members {
		target, status, _ := strings.Cut(m, " ")
		g.Members = append(g.Members, actuators.Target{Membership: actuators.Membership{Group: id, ID: target}, Status: actuators.TargetStatus(status)})
	}
	return g
}

// What a group said last is shown when it cannot be read now: of those the file names by their place, of others by what they are.
func TestUnreadableGroupsShowWhatTheySaidLast(t *testing.T) {
	a := quietActor(1)
	a.groups, a.former = []actuators.GroupState{groupState("a", "x healthy"), groupState("b", "y healthy")}, []actuators.GroupState{groupState("c", "z healthy"), groupState("d", "w healthy"), {Group: actuators.Group{ID: "f"}, Err: "none", Missing: true}}
	states := []actuators.GroupState{
		{Group: actuators.Group{Name: "a"}, Err: "denied"}, groupState("b", "y draining"),
		{Group: actuators.Group{ID: "d"}, Err: "denied"}, {Group: actuators.Group{ID: "c"}, Err: "none", Missing: true}, {Group: actuators.Group{ID: "e"}, Err: "denied"},
		{Group: actuators.Group{ID: "f"}, Err: "denied"},
	}
	for i := range states {
		states[i].At = time.Unix(int64(i), 0)
	}
	a.recall(states)
	var got []string
	for i, s := range states {
		got = append(got, fmt.Sprint(s.ID, " ", s.Err, " ", s.Missing, " ", len(s.Members)))
		if !s.At.Equal(time.Unix(int64(i), 0)) {
			t.Errorf("group %d was asked at %v", i, s.At)
		}
	}
	want := []string{"a denied false 1", "b  false 1", "d denied false 1", "c none true 0", "e denied false 0", "f denied false 0"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A node is in a group that holds it, draining or not, or that cannot be asked; in none that does not exist.
func TestWhereANodeIsHeld(t *testing.T) {
	n := &node{Node: plan.Node{Node: actuators.Node{Targets: actuators.Targets{IP: "x"}}}}
	denied, gone := groupState("a"), groupState("a")
	denied.Err = "denied"
	gone.Err, gone.Missing = "none", true
	for name, c := range map[string]struct {
		group               actuators.GroupState
		in, member, healthy bool
	}{
		"no":         {groupState("a", "y healthy"), false, false, false},
		"draining":   {groupState("a", "x draining"), true, false, false},
		"healthy":    {groupState("a", "x healthy"), true, true, true},
		"unhealthy":  {groupState("a", "x unhealthy"), true, true, false},
		"unreadable": {denied, true, true, true},
		"missing":    {gone, false, true, true},
	} {
		groups := []actuators.GroupState{groupState("b", "y healthy"), c.group}
		a := quietActor(1)
		a.groups = groups[1:]
		all := presencesIn(groups)
		if got := isIn(groups, all, n); got != c.in {
			t.Errorf("%s: in one %t", name, got)
		}
		if member, healthy := a.inAll(n, all[1:], isMember), a.inAll(n, all[1:], isHealthy); member != c.member || healthy != c.healthy {
			t.Errorf("%s: in all %t, healthy %t", name, member, healthy)
		}
	}
}

// Groups that only records name are asked for beside those of the file, each once and sorted; an excluded node's are not, nor is any before the
// file's own were read.
func TestGroupsThatOnlyRecordsName(t *testing.T) {
	in := func(groups ...string) (all []actuators.Membership) {
		for _, g := range groups {
			all = append(all, actuators.Membership{Group: g})
		}
		return all
	}
	a := quietActor(3)
	for i, places := range [][2][]actuators.Membership{{in("z", "arn:web"), in("y")}, {in("y", "z"), nil}, {in("hostile"), in("more")}} {
		a.order[i].changedTo(func(r *actuators.NodeRecord) { r.Places, r.Taken = places[0], places[1] })
	}
	a.order[2].excluded = true
	if got := a.recordedGroups(); !slices.Equal(got, []string{"y", "z"}) {
		t.Errorf("recorded %q", got)
	}
	for former, want := range map[string]bool{"": true, "y": true, "z": true, "y z": false, "y z w": false} {
		a.former = nil
		for _, id := range strings.Fields(former) {
			a.former = append(a.former, groupState(id))
		}
		if got := a.unasked(); got != want {
			t.Errorf("former %q: unasked %t", former, got)
		}
	}
	if a.groups = nil; a.recordedGroups() != nil {
		t.Error("the file's own groups were not read yet")
	}
}

// When everything was last seen: with the nodes, and all groups where there are some.
func TestSeenIsTheOlderOfWhoBelongsAndWhoServes(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		change func(*actor)
		want   time.Duration // ago; an hour: as before
	}{
		"both":                {func(*actor) {}, 2 * time.Minute},
		"nodes are older":     {func(a *actor) { a.found.At = now.Add(-3 * time.Minute) }, 3 * time.Minute},
		"nodes are not known": {func(a *actor) { a.found.Err = "denied" }, time.Hour},
		"groups are not":      {func(a *actor) { a.groups = nil }, time.Hour},
		"one group is not":    {func(a *actor) { a.groups[0].Err = "denied" }, time.Hour},
		"no groups":           {func(a *actor) { a.want.Fleet.LoadBalancers, a.groups = nil, nil }, time.Minute},
	} {
		a := quietActor(1)
		a.found.At, a.read, a.seen = now.Add(-time.Minute), now.Add(-2*time.Minute), now.Add(-time.Hour)
		c.change(a)
		a.noteSeen()
		if got := now.Sub(a.seen); got != c.want {
			t.Errorf("%s: %v ago, want %v", name, got, c.want)
		}
	}
}

// How soon the balancers are read again: by what the node in the greatest hurry waits for, and ever later while they cannot be read.
func TestBalancersAreReadAtThePaceOfWhatIsAwaited(t *testing.T) {
	under := func(state plan.State) plan.NodeStatus {
		return plan.NodeStatus{Name: "web-1", State: state, UnderWay: true}
	}
	for name, c := range map[string]struct {
		status  plan.NodeStatus
		held    bool
		trouble int
		want    time.Duration
	}{
		"idle":              {plan.NodeStatus{Name: "web-1", State: plan.InService}, false, 0, 15 * time.Second},
		"draining":          {under(plan.Draining), false, 0, actuators.PollPace(time.Minute, 10*time.Second, false)},
		"draining and held": {under(plan.Draining), true, 0, 15 * time.Second},
		"another drains it": {plan.NodeStatus{Name: "web-1", State: plan.Draining}, false, 0, 15 * time.Second},
		"joining":           {under(plan.Joining), false, 0, actuators.PollPace(0, 10*time.Second, false)},
		"baking":            {under(plan.Baking), false, 0, 2500 * time.Millisecond},
		"verifying":         {under(plan.Verifying), false, 0, 15 * time.Second},
		"trouble":           {under(plan.Joining), false, 3, 8 * time.Second},
		"much trouble":      {under(plan.Joining), false, 99, time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			a := quietActor(1)
			a.Interval = 15 * time.Second
			a.groups[0].Delay = time.Minute
			a.order[0].stateAt = time.Now().Add(-10 * time.Second)
			a.plan.Nodes, a.plan.Holds, a.groupsTrouble = []plan.NodeStatus{c.status}, nil, c.trouble
			if c.held {
				a.plan.Holds = []plan.Hold{{Node: "web-1"}}
			}
			if got := a.groupsPace(time.Now()); got != c.want {
				t.Errorf("%s: %v, want %v", name, got, c.want)
			}
		})
	}
	a := quietActor(1)
	if a.network() {
		t.Error("no group is a network load balancer's")
	}
	if a.groups[0].Network = true; !a.network() {
		t.Error("the group is a network load balancer's")
	}
	a.former = []actuators.GroupState{{Rules: actuators.Rules{Delay: time.Hour}}}
	if got := a.longestDelay(); got != time.Hour {
		t.Errorf("the longest delay is %v", got)
	}
}

// What a reading shows of where a node is, since when, and whether its host is to be read for that.
func TestMovesAreNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := time.Now().Add(-time.Hour)
		in, draining, sick, nowhere := groupState("arn:web", "web-1 healthy"), groupState("arn:web", "web-1 draining"), groupState("arn:web", "web-1 unhealthy"), groupState("arn:web")
		denied := nowhere
		denied.Err = "denied"
		gone := nowhere
		gone.Err, gone.Missing = "none", true
		under := func(n *node) { n.changedTo(func(r *actuators.NodeRecord) { r.Stage = actuators.Configuring }) }
		asked := func(kind plan.Kind, nonce string) func(*node) {
			return func(n *node) {
				n.Asked = kind
				n.changedTo(func(r *actuators.NodeRecord) {
					r.Stage, r.Claim = actuators.Configuring, &actuators.Claim{Nonce: nonce}
				})
			}
		}
		own := quietActor(1).Agent.Nonce
		comes := func(n *node) { asked(plan.Add, own)(n); n.serving, n.Out = false, before }
		for name, c := range map[string]struct {
			group, former                    actuators.GroupState
			change                           func(*node)
			served, out, outSince, readAgain bool
		}{
			"serves":               {in, nowhere, nil, true, false, false, false},
			"drains":               {draining, nowhere, nil, false, false, true, true},
			"fails":                {sick, nowhere, nil, false, false, false, false},
			"is nowhere":           {nowhere, nowhere, nil, false, true, true, true},
			"is in a former group": {nowhere, in, nil, false, false, true, true},
			"cannot be seen":       {denied, nowhere, nil, false, false, false, false},
			"has no group":         {gone, nowhere, nil, false, false, false, false},
			"is being changed":     {nowhere, nowhere, under, false, true, false, true},
			"is being worked on":   {nowhere, nowhere, func(n *node) { n.Busy = plan.Drain }, false, true, false, true},
			"is taken out by us":   {draining, nowhere, asked(plan.Drain, own), false, false, false, false},
			"by another agent":     {draining, nowhere, asked(plan.Drain, "another"), false, false, false, true},
			"out, and we add it":   {draining, nowhere, asked(plan.Add, own), false, false, false, true},
			"is added by us":       {in, nowhere, comes, true, false, false, false},
			"in, and we drain it":  {in, nowhere, func(n *node) { comes(n); n.Asked = plan.Drain }, true, false, false, true},
			"is at rest, and comes": {in, nowhere, func(n *node) {
				comes(n)
				n.changedTo(func(r *actuators.NodeRecord) { r.Stage = actuators.Idle })
			}, true, false, false, true},
			"was out before": {nowhere, nowhere, func(n *node) { n.serving, n.Out, n.OutSince = false, before, before }, false, true, true, false},
			"is back":        {in, nowhere, func(n *node) { n.serving, n.Out, n.OutSince = false, before, before }, true, false, false, true},
		} {
			a := quietActor(1)
			n, now := a.order[0], time.Now()
			if c.change != nil {
				c.change(n)
			}
			a.groups, a.former = []actuators.GroupState{c.group}, []actuators.GroupState{c.former}
			since := n.Out
			a.noticeMoves(now)
			if n.Served.Equal(now) != c.served || n.Out.IsZero() == c.out || n.OutSince.IsZero() == c.outSince || n.nextRead.Equal(now) != c.readAgain {
				t.Errorf("%s: served %v, out %v, out of rotation %v, read %v", name, n.Served, n.Out, n.OutSince, n.nextRead.Sub(now))
			}
			if since.IsZero() {
				since = now
			}
			if c.out && !n.Out.Equal(since) {
				t.Errorf("%s: out since %v, not %v", name, n.Out, since)
			}
		}
	})
}

// A reading of other groups than the file names now is none, and is made again at once.
func TestReadingOfAnOlderFileIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := quietActor(1)
		held := len(a.held)
		a.readGroups(t.Context())
		a.want.Fleet = webFleet("v2")
		a.groups = nil
		(<-a.tasks.done)()
		if !a.nextGroups.IsZero() || a.groups != nil {
			t.Errorf("next %v, groups %v", a.nextGroups, a.groups)
		}
		a.readGroups(t.Context())
		(<-a.tasks.done)()
		if len(a.groups) != 1 || len(a.held) != held+1 {
			t.Errorf("%d groups; holds %v", len(a.groups), a.held)
		}
		denied := groupState("arn:web")
		denied.Err = "denied"
		lost, gone := groupState("c"), groupState("c")
		lost.Err = "denied"
		gone.Err, gone.Missing = "none", true
		for _, c := range []struct {
			states  []actuators.GroupState
			trouble int
		}{{[]actuators.GroupState{denied}, 1}, {[]actuators.GroupState{groupState("arn:web"), lost}, 2}, {[]actuators.GroupState{groupState("arn:web", "web-1 healthy"), gone}, 0}} {
			a.takeGroups(a.want.Fleet, c.states, nil)
			if a.groupsTrouble != c.trouble {
				t.Errorf("%+v: %d troubles, want %d", c.states, a.groupsTrouble, c.trouble)
			}
		}
		members := len(a.groups[0].Members)
		if a.takeGroups(a.want.Fleet, nil, errCut); a.groups[0].Err == "" || len(a.groups[0].Members) != members || members == 0 || a.groupsTrouble != 1 {
			t.Errorf("none could be asked: %+v", a.groups)
		}
		a.tasks.wait()
	})
}

// A list of other machines than the file names now is none, and is asked for again at once.
func TestLaw1ListOfAnOlderFileIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, change := range map[string]func(*actor){
			"other nodes": func(a *actor) {
				a.want.Fleet = webFleet("v1")
				a.want.Fleet.Nodes.Static = []desired.StaticNode{{Name: "api-1"}}
			},
			"no file": func(a *actor) { a.want.Fleet = nil },
		} {
			a := quietActor(3)
			a.stub().nodes = a.stub().nodes[:1]
			a.readInventory(t.Context())
			change(a)
			(<-a.tasks.done)()
			if !a.nextInventory.IsZero() || len(a.order) != 3 {
				t.Errorf("%s: next %v, %d nodes", name, a.nextInventory, len(a.order))
			}
			a.tasks.wait()
		}
	})
}

// Whose host is read first, of several that are due: this agent's own work, then the longest due, then the longest untried.
func TestHostsAreReadInOrder(t *testing.T) {
	a := quietActor(5)
	now := time.Now()
	names := func() (all []string) {
		for _, n := range a.queue {
			all = append(all, n.Name)
		}
		return all
	}
	for i, n := range a.order {
		n.nextRead, n.triedAt = now.Add(-time.Duration(i)*time.Second), now.Add(-time.Hour)
	}
	a.order[3].nextRead, a.order[3].triedAt = a.order[2].nextRead, now.Add(-2*time.Hour)
	a.order[0].changedTo(func(r *actuators.NodeRecord) { r.Stage, r.Claim = actuators.Leaving, claimed() })
	a.order[1].nextRead = now.Add(time.Second)
	a.order[4].changedTo(func(r *actuators.NodeRecord) {
		r.Stage, r.Claim = actuators.Leaving, &actuators.Claim{Holder: "b", Nonce: "b1"}
	})
	for _, kind := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u", "v", "w", "x", "y", "z", "1", "2", "3", "4", "5", "6"} {
		a.occupy(taskRead, kind) // no place is free
	}
	a.readHosts(t.Context(), now)
	if got, want := fmt.Sprint(names()), "[web-1 web-5 web-4 web-3]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	a.order[0].changedTo(func(r *actuators.NodeRecord) { r.Stage = actuators.Idle })
	a.readHosts(t.Context(), now)
	if got, want := fmt.Sprint(names()), "[web-5 web-4 web-3 web-1]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	a.order[0].changedTo(func(r *actuators.NodeRecord) { r.Stage, r.Claim = actuators.Leaving, nil })
	if a.holds(a.order[0]) {
		t.Error("nobody claims it")
	}
}

// A host has its place when nothing is done there and not too much elsewhere: half of the places are kept from those that did not answer.
func TestHostsThatDoNotAnswerLeavePlaces(t *testing.T) {
	for name, c := range map[string]struct {
		unread, busy int
		change       func(*actor, *node)
		due          bool
	}{
		"free":                     {0, 31, nil, true},
		"full":                     {0, 32, nil, false},
		"half full":                {0, 16, nil, true},
		"silent, half full":        {1, 16, nil, false},
		"silent, almost half full": {1, 15, nil, true},
		"worked on":                {0, 0, func(_ *actor, n *node) { n.Busy = plan.Drain }, false},
		"being read":               {0, 0, func(a *actor, _ *node) { a.occupy(taskRead, "i-web-1") }, false},
	} {
		a := quietActor(1)
		n := a.order[0]
		n.nextRead, n.unread = time.Now(), c.unread
		for i := range c.busy {
			a.occupy(taskRead, fmt.Sprint(i))
		}
		if c.change != nil {
			c.change(a, n)
		}
		if due := a.readDue(n).Equal(n.nextRead); due != c.due {
			t.Errorf("%s: %t", name, due)
		}
	}
}

// A host that has answered leaves its place to the next at once, whenever the loop looks at the fleet again.
func TestPlacesAreTakenAsSoonAsTheyAreFree(t *testing.T) {
	a := quietActor(mostReads + 1)
	for _, n := range a.order {
		n.nextRead = time.Time{}
	}
	a.readHosts(t.Context(), time.Now())
	if a.tasks.busyWith(taskRead) != mostReads || len(a.queue) != 1 {
		t.Fatalf("%d are read, and %d wait", a.tasks.busyWith(taskRead), len(a.queue))
	}
	(<-a.tasks.done)()
	if a.tasks.busyWith(taskRead) != mostReads || len(a.queue) != 0 {
		t.Errorf("one has answered: %d are read, and %d wait", a.tasks.busyWith(taskRead), len(a.queue))
	}
	a.tasks.wait()
}

// How soon a host is read again: where somebody else works, where a job runs, after the first reading at a moment of its own, else as asked.
func TestHostsAreReadAtThePaceOfWhatHappensThere(t *testing.T) {
	a := quietActor(1)
	own := a.Refresh/2 + a.order[0].spread(a.Refresh)
	for name, c := range map[string]struct {
		change func(*node)
		want   time.Duration
	}{
		"idle":          {func(*node) {}, a.Refresh},
		"first reading": {func(n *node) { n.nextIdle = time.Time{} }, own},
		"never read":    {func(n *node) { n.Read.At = time.Time{} }, own},
		"a job runs":    {func(n *node) { n.Host.Job.Running = true }, time.Second},
		"another's claim": {func(n *node) {
			n.changedTo(func(r *actuators.NodeRecord) { r.Claim = &actuators.Claim{Holder: "b", Nonce: "b"} })
		}, 5 * time.Second},
		"an earlier start's claim": {func(n *node) {
			n.changedTo(func(r *actuators.NodeRecord) { r.Claim = claimed(); r.Claim.Nonce, r.Claim.Epoch = "before", 0 })
		}, a.Refresh},
		"our own claim": {func(n *node) { n.changedTo(func(r *actuators.NodeRecord) { r.Claim = claimed() }) }, a.Refresh},
	} {
		a := quietActor(1)
		c.change(a.order[0])
		if got := a.readPace(a.order[0]); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// The claim is renewed where it is this process's, the node is under way, and nothing of it is in flight; nowhere else.
func TestClaimsAreRenewedWhereTheyAreOurs(t *testing.T) {
	soon := time.Now().Add(time.Second)
	for name, c := range map[string]struct {
		change func(*actor, *node)
		due    bool
	}{
		"ours":          {func(*actor, *node) {}, true},
		"read only":     {func(a *actor, _ *node) { a.ReadOnly = true }, false},
		"excluded":      {func(_ *actor, n *node) { n.excluded = true }, false},
		"idle":          {func(_ *actor, n *node) { n.changedTo(func(r *actuators.NodeRecord) { r.Stage = actuators.Idle }) }, false},
		"another's":     {func(_ *actor, n *node) { n.changedTo(func(r *actuators.NodeRecord) { r.Claim.Nonce = "n0" }) }, false},
		"nobody's":      {func(_ *actor, n *node) { n.changedTo(func(r *actuators.NodeRecord) { r.Claim = nil }) }, false},
		"being renewed": {func(a *actor, _ *node) { a.occupy(taskRenew, "i-web-1") }, false},
	} {
		a := quietActor(1)
		n := a.order[0]
		n.renewAt = soon
		n.changedTo(func(r *actuators.NodeRecord) { r.Stage, r.Claim = actuators.Configuring, claimed() })
		c.change(a, n)
		if due := a.renewDue(n).Equal(soon); due != c.due {
			t.Errorf("%s: %t", name, due)
		}
	}
}

// What comes of a renewal: after a failure the node is read and it is tried again soon; while a step runs there, only the claim's age is learned.
func TestRenewalsThatFailAreTriedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			busy    plan.Kind
			changed bool
			claim   bool
			learned bool
		}{"well": {"", false, true, true}, "in a step": {plan.Configure, false, true, false}, "changed": {"", true, false, false}} {
			a := quietActor(1)
			n, now := a.order[0], time.Now()
			n.changedTo(func(r *actuators.NodeRecord) { r.Stage, r.Claim = actuators.Configuring, claimed() })
			n.host.state = *n.Host
			n.Busy = c.busy
			if c.changed {
				a.stub().version["web-1"]++
			}
			read := n.Read.At
			time.Sleep(time.Second)
			a.renew(t.Context(), n, now)
			(<-a.tasks.done)()
			after := time.Now()
			if n.claimedAt.Equal(after) != c.claim || n.Read.At.After(read) != c.learned || n.Stale == c.claim {
				t.Errorf("%s: claimed %v, read %v, stale %t", name, n.claimedAt, n.Read.At, n.Stale)
			}
			if want := map[bool]time.Time{true: now.Add(actuators.RenewEvery), false: after.Add(2 * time.Second)}[c.claim]; !n.renewAt.Equal(want) {
				t.Errorf("%s: renewed again in %v, want %v", name, n.renewAt.Sub(after), want.Sub(after))
			}
			a.tasks.wait()
		}
	})
}

// The connection is kept while a node is under way, worked on, watched, or next; else it is closed.
func TestConnectionsAreClosedWhereThereIsNoWorkLeft(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*actor, *node)
		closed bool
	}{
		"at rest":    {func(*actor, *node) {}, true},
		"next":       {func(a *actor, _ *node) { a.plan.Soon = []string{"web-1"} }, false},
		"another is": {func(a *actor, _ *node) { a.plan.Soon = []string{"web-2"} }, true},
		"under way":  {func(_ *actor, n *node) { n.changedTo(func(r *actuators.NodeRecord) { r.Stage = actuators.Leaving }) }, false},
		"worked on":  {func(_ *actor, n *node) { n.Busy = plan.Leave }, false},
		"watched":    {func(_ *actor, n *node) { n.watch.since = time.Now() }, false},
		"untouched":  {func(_ *actor, n *node) { n.rests = false }, false},
	} {
		a := quietActor(1)
		h := &closing{stage: a.stub()}
		a.Host = h
		n := a.order[0]
		n.warm, n.rests = true, true
		c.change(a, n)
		a.rest()
		if (h.closed == 1) != c.closed || n.warm == c.closed || n.rests {
			t.Errorf("%s: closed %d times, warm %t, rests %t", name, h.closed, n.warm, n.rests)
		}
	}
}

type closing struct {
	*stage
	closed int
}

func (c *closing) Close(actuators.Place) { c.closed++ }

// What a reading of a host tells, and when the next one is due.
func TestReadingsOfHostsAreTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			change func(a *actor, n *node, s *actuators.HostState) error
			next   time.Duration // -1: at once, as it was asked for meanwhile
			read   bool
			said   string
		}{
			"well":             {func(*actor, *node, *actuators.HostState) error { return nil }, 5 * time.Minute, true, ""},
			"asked meanwhile":  {func(_ *actor, n *node, _ *actuators.HostState) error { n.nextRead = time.Now(); return nil }, 0, true, ""},
			"in a step's turn": {func(_ *actor, n *node, _ *actuators.HostState) error { return n.host.take(t.Context()) }, 100 * time.Millisecond, false, ""},
			"failed":           {func(*actor, *node, *actuators.HostState) error { return errCut }, time.Second, false, "cannot be read"},
			"failed again":     {func(_ *actor, n *node, _ *actuators.HostState) error { n.miss(errCut, time.Now()); return errCut }, 2 * time.Second, false, ""},
			"set aside":        {func(_ *actor, _ *node, s *actuators.HostState) error { s.Problem = "no JSON"; return nil }, 5 * time.Minute, true, "set aside"},
		} {
			a := quietActor(1)
			said := &strings.Builder{}
			a.Log = textLog(said)
			n, s, began := a.order[0], a.stub().state("web-1"), time.Now()
			time.Sleep(time.Second)
			n.nextRead = began.Add(readDeadline)
			read := n.Read.At
			err := c.change(a, n, &s)
			a.tookReading(n, s, err, began)
			if got := time.Until(n.nextRead); got != c.next || n.Read.At.After(read) != c.read || !n.triedAt.Equal(began) {
				t.Errorf("%s: next in %v, want %v; read %t, tried %v", name, got, c.next, n.Read.At.After(read), n.triedAt.Sub(began))
			}
			if got := said.String(); !strings.Contains(got, c.said) || (got == "") != (c.said == "") {
				t.Errorf("%s: said %q", name, got)
			}
			if (n.problem != "") != (name == "set aside") || n.rests != c.read || n.warm != c.read {
				t.Errorf("%s: problem %q; rests %t, warm %t", name, n.problem, n.rests, n.warm)
			}
		}
	})
}

// The claim of another agent voids the roll call: what was read before it was seen says nothing of what that one does.
func TestLaw18AnothersClaimVoidsTheRollCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for holder, want := range map[string]rollCall{"b": {foreign: time.Now()}, "a": {began: time.Now(), ended: time.Now()}} {
			a := quietActor(1)
			a.rollCall.began, a.rollCall.ended = time.Now(), time.Now()
			n, s := a.order[0], a.stub().state("web-1")
			s.Record.Claim = &actuators.Claim{Holder: holder, Nonce: "other", Expires: s.Now.Add(time.Second)}
			n.host.wrote = time.Now().Add(-time.Second)
			if a.tookReading(n, s, nil, time.Now()); a.rollCall != want {
				t.Errorf("a claim of %s: %+v, want %+v", holder, a.rollCall, want)
			}
		}
	})
}

// Of a machine that is no more the list is asked for at once, whether a reading or a step says so.
func TestLaw1MachineThatIsGoneIsLookedForAtOnce(t *testing.T) {
	gone := fmt.Errorf("dial: %w", actuators.ErrGone)
	for name, tell := range map[string]func(*actor, error){
		"a reading": func(a *actor, err error) { a.tookReading(a.order[0], actuators.HostState{}, err, time.Now()) },
		"a step":    func(a *actor, err error) { a.stumbled(a.order[0], plan.Step{}, err, time.Now()) },
	} {
		a := quietActor(1)
		if tell(a, errors.New("no route")); !a.nextInventory.After(time.Now()) {
			t.Errorf("%s: of any other failure it is not", name)
		}
		if tell(a, gone); a.nextInventory.After(time.Now()) {
			t.Errorf("%s: the list is asked for in %v", name, time.Until(a.nextInventory))
		}
	}
}

// What becomes due on a node, and when the loop looks again for it.
func TestTheLoopWakesForWhatIsDueNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		in := func(d time.Duration) time.Time { return now.Add(d) }
		for name, c := range map[string]struct {
			change func(*actor, *node)
			want   time.Duration
		}{
			"nothing":             {func(*actor, *node) {}, time.Hour},
			"the list":            {func(a *actor, _ *node) { a.nextInventory = in(time.Second) }, time.Second},
			"the list, asked for": {func(a *actor, _ *node) { a.nextInventory = in(time.Second); a.occupy(taskInventory, "") }, time.Hour},
			"groups":              {func(a *actor, _ *node) { a.nextGroups = in(2 * time.Second) }, 2 * time.Second},
			"groups, asked for":   {func(a *actor, _ *node) { a.nextGroups = in(2 * time.Second); a.occupy(taskGroups, "") }, time.Hour},
			"groups, none listed": {func(a *actor, _ *node) { a.nextGroups, a.found = in(2*time.Second), plan.Source{} }, time.Hour},
			"a host":              {func(_ *actor, n *node) { n.nextRead = in(3 * time.Second) }, 3 * time.Second},
			"idle checks":         {func(_ *actor, n *node) { n.nextIdle = in(4 * time.Second) }, 4 * time.Second},
			"a claim": {func(_ *actor, n *node) {
				n.renewAt = in(5 * time.Second)
				n.changedTo(func(r *actuators.NodeRecord) { r.Stage, r.Claim = actuators.Leaving, claimed() })
			}, 5 * time.Second},
			"a check": {func(_ *actor, n *node) {
				n.watch = newWatch(plan.Watch{Release: "v1"}, now)
				n.watch.next["serves"] = in(6 * time.Second)
			}, 6 * time.Second},
			"a check, being made": {func(a *actor, n *node) {
				n.watch = newWatch(plan.Watch{Release: "v1"}, now)
				n.watch.next["serves"] = in(6 * time.Second)
				a.occupy(taskProbe, "i-web-1\nserves")
			}, time.Hour},
			"a check's end": {func(a *actor, n *node) {
				n.watch = newWatch(plan.Watch{Release: "v1"}, now)
				n.watch.again = in(7 * time.Second)
				a.occupy(taskProbe, "i-web-1\nserves")
			}, 7 * time.Second},
			"the plan": {func(a *actor, _ *node) { a.plan.WakeAt = in(8 * time.Second) }, 8 * time.Second},
			"a plan":   {func(a *actor, _ *node) { a.again = true }, 0},
			"long due": {func(a *actor, _ *node) { a.nextInventory = in(-time.Second) }, 0},
		} {
			a := quietActor(1)
			n := a.order[0]
			a.nextInventory, a.nextGroups, n.nextRead, n.nextIdle = in(2*time.Hour), in(2*time.Hour), in(2*time.Hour), in(2*time.Hour)
			a.again, a.plan.WakeAt = false, time.Time{}
			c.change(a, n)
			if got := a.untilDue(); got != c.want {
				t.Errorf("%s: in %v, want %v", name, got, c.want)
			}
		}
	})
}

// Node sets are the same when they find the same machines.
func TestSameNodes(t *testing.T) {
	ec2 := func(v string) *desired.EC2Selector { return &desired.EC2Selector{Tags: map[string]string{"role": v}} }
	static := func(names ...string) (all []desired.StaticNode) {
		for _, n := range names {
			all = append(all, desired.StaticNode{Name: n})
		}
		return all
	}
	for name, c := range map[string]struct {
		a, b desired.NodeSet
		want bool
	}{
		"none":             {desired.NodeSet{}, desired.NodeSet{}, true},
		"the same":         {desired.NodeSet{EC2: ec2("web"), Static: static("a")}, desired.NodeSet{EC2: ec2("web"), Static: static("a")}, true},
		"another selector": {desired.NodeSet{EC2: ec2("web")}, desired.NodeSet{EC2: ec2("api")}, false},
		"another machine":  {desired.NodeSet{Static: static("a")}, desired.NodeSet{Static: static("b")}, false},
		"one excluded":     {desired.NodeSet{Static: static("a")}, desired.NodeSet{Static: static("a"), Exclude: []desired.Exclusion{{Name: "a"}}}, true},
	} {
		if got := sameNodes(c.a, c.b); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// A node's checks of its own begin when they are due and nothing else is done to it, with what its record says.
func TestIdleChecksBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		for name, c := range map[string]struct {
			change func(*node)
			begins bool
		}{
			"due":       {func(*node) {}, true},
			"not due":   {func(n *node) { n.nextIdle = now.Add(time.Second) }, false},
			"worked on": {func(n *node) { n.Busy = plan.Leave }, false},
			"under way": {func(n *node) { n.changedTo(func(r *actuators.NodeRecord) { r.Stage = actuators.Leaving }) }, false},
			"not read":  {func(n *node) { n.Host = nil }, false},
			"watched":   {func(n *node) { n.watch = newWatch(plan.Watch{Phase: plan.WatchBake}, now) }, false},
		} {
			a := quietActor(1)
			n := a.order[0]
			n.nextIdle = now
			c.change(n)
			a.idleWatch(n, now)
			if begins := n.watch.Phase == plan.WatchIdle && n.watch.Release == "v1"; begins != c.begins {
				t.Errorf("%s: %t, %+v", name, begins, n.watch.Watch)
			}
			if c.begins && !n.nextIdle.Equal(now.Add(a.Refresh)) {
				t.Errorf("%s: next in %v", name, n.nextIdle.Sub(now))
			}
		}
		a := quietActor(1)
		a.order[0].nextIdle = time.Time{}
		a.idleWatch(a.order[0], now)
		if got, want := a.order[0].nextIdle.Sub(now), a.Refresh/2+a.order[0].spread(a.Refresh); got != want {
			t.Errorf("after the first: in %v, want %v", got, want)
		}
	})
}

// A certain no of a node that nobody wrote down ends the wait; of any other node, and of what was not asked, it does not.
func TestCertainNoEndsTheWaitOfANewNode(t *testing.T) {
	for name, c := range map[string]struct {
		phase  plan.WatchPhase
		known  bool
		check  string
		result health.Result
		want   bool
	}{
		"first":               {plan.WatchFirst, false, "serves", health.Fail, true},
		"another release":     {plan.WatchFirst, false, "serves", health.Contradict, true},
		"no answer":           {plan.WatchFirst, false, "serves", health.NoAnswer, false},
		"a pass":              {plan.WatchFirst, false, "serves", health.Pass, false},
		"another check":       {plan.WatchFirst, false, "alive", health.Fail, false},
		"again, not known":    {plan.WatchAgain, false, "serves", health.Fail, true},
		"again, and known":    {plan.WatchAgain, true, "serves", health.Fail, false},
		"verified":            {plan.WatchVerify, false, "serves", health.Fail, false},
		"first, though known": {plan.WatchFirst, true, "serves", health.Fail, true},
	} {
		a := quietActor(1)
		n := a.order[0]
		if !c.known {
			n.changedTo(func(r *actuators.NodeRecord) { *r = actuators.NodeRecord{} })
		}
		n.watch = newWatch(plan.Watch{Phase: c.phase, Release: "v2"}, time.Now())
		n.watch.samples = []health.Sample{{Check: "serves", Result: health.Pass}, {Check: c.check, Result: c.result, At: time.Now()}}
		if got := n.refused("serves"); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// A watch that keeps too many samples keeps of each check the newest failure among the older ones, in their order.
func TestOldSamplesAreForgottenButTheNewestFailures(t *testing.T) {
	var w watch
	for i := range mostSamples {
		s := health.Sample{Check: "a", Result: health.Pass, At: time.Unix(int64(i), 0)}
		switch i {
		case 3, 9, mostSamples/2 + 1:
			s.Result = health.Fail
		case 5:
			s.Check, s.Result = "b", health.Contradict
		case 7:
			s.Check, s.Result = "c", health.NoAnswer
		}
		w.add(s)
	}
	if len(w.samples) != mostSamples {
		t.Fatalf("%d samples", len(w.samples))
	}
	w.add(health.Sample{Check: "a", Result: health.Pass, At: time.Unix(mostSamples, 0)})
	var old []int64
	for _, s := range w.samples[:len(w.samples)-mostSamples/2-1] {
		old = append(old, s.At.Unix())
	}
	if !slices.Equal(old, []int64{5, 9}) || len(w.samples) != 2+mostSamples/2+1 {
		t.Errorf("of the older half %v are kept, of all %d", old, len(w.samples))
	}
}

// A try that began for one watch says nothing to the next: that may ask for another release.
func TestATryOfAnEarlierWatchIsNotCounted(t *testing.T) {
	for late, want := range map[bool]int{false: 1, true: 0} {
		a := quietActor(1)
		n, now := a.order[0], time.Now()
		a.want.Fleet.Health = []desired.Check{{Name: "serves", Timeout: time.Second, Interval: time.Second, Successes: 9, Within: time.Minute}}
		n.watch = newWatch(plan.Watch{Node: n.Name, Release: "v1", Phase: plan.WatchVerify}, now)
		a.try(t.Context(), n, a.want.Fleet.Health[0])
		if late {
			n.watch = newWatch(plan.Watch{Node: n.Name, Release: "v2", Phase: plan.WatchVerify}, now.Add(time.Second))
		}
		(<-a.tasks.done)()
		if got := len(n.watch.samples); got != want {
			t.Errorf("another watch meanwhile %t: %d samples, want %d", late, got, want)
		}
		a.tasks.wait()
	}
}

// A machine that stays is reached as the fleet file and the list say now.
func TestMachinesAreReachedAsTheyAreListedNow(t *testing.T) {
	a := quietActor(0)
	listed := actuators.Node{Name: "web-1", ID: "i-1", Address: "10.0.0.1"}
	a.meet([]actuators.Node{listed})
	before := a.order[0]
	a.want.Fleet.SSH.User, listed.Address, listed.Zone = "deployer", "10.0.0.2", "b"
	a.meet([]actuators.Node{listed})
	if n := a.order[0]; n != before || n.Address != "10.0.0.2" || n.place.Node != listed || n.place.SSH.User != "deployer" {
		t.Errorf("the same machine %t, %+v, reached as %+v", n == before, n.Node.Node, n.place)
	}
}

// What ends when nobody applies any more is lost, and holds nobody up, however much of it there is.
func TestTasksThatEndTooLateHoldNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := newTasks(func(taskKind) { t.Error("it is applied") })
		ctx, cancel := context.WithCancel(t.Context())
		for i := range 1000 {
			ts.begin(ctx, taskRead, fmt.Sprint(i), time.Hour, func(ctx context.Context) func() {
				<-ctx.Done()
				return func() { t.Error("it is applied") }
			})
		}
		cancel()
		ts.wait()
	})
}
