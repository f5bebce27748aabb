package web_test

import (
	"fmt"
	"sync"
	"time"

	"windlass/desired"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const revision = "3f2a9c1d4b5e6f708192a3b4c5d6e7f801234567"

// agent is a Source whose snapshot a test replaces.
type agent struct {
	mu       sync.Mutex
	snapshot reconciler.Snapshot
	taken    int
	changed  chan struct{}
}

func newAgent(fleets ...reconciler.Status) *agent {
	repo := reconciler.Repo{Revision: revision, Committed: noon.Add(-6 * time.Minute), Checked: noon.Add(-4 * time.Second)}
	return &agent{snapshot: reconciler.Snapshot{At: noon, Repo: repo, Fleets: fleets}, changed: make(chan struct{})}
}

func (a *agent) Snapshot() reconciler.Snapshot {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.taken++
	return a.snapshot
}

// snapshots is how many were taken so far.
func (a *agent) snapshots() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.taken
}

func (a *agent) Changed() <-chan struct{} {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.changed
}

func (a *agent) set(fleets ...reconciler.Status) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.snapshot.Fleets = fleets
	close(a.changed)
	a.changed = make(chan struct{})
}

func clock() time.Time { return noon }

func node(i int, state plan.State, release, reason string) reconciler.Node {
	zone := string(rune('a' + i%3))
	return reconciler.Node{
		NodeStatus: plan.NodeStatus{Name: fmt.Sprint("web-", i), State: state, Release: release, Reason: reason, Since: noon.Add(-3 * time.Hour), Outdated: release != "v1.4.2"},
		Instance:   fmt.Sprintf("i-0ab%05d", i), Address: fmt.Sprint("10.0.1.", 10+i), Zone: zone,
	}
}

func fleet(nodes ...reconciler.Node) reconciler.Status {
	s := reconciler.Status{
		Name: "web-live", Ready: true, Nodes: nodes, Releases: map[string]int{}, Size: len(nodes), Floor: len(nodes) - 1,
		Desired: reconciler.Desired{Release: "v1.4.2", Revision: revision, Digest: "1:9d3c", Committed: noon.Add(-6 * time.Minute)},
	}
	for _, n := range nodes {
		s.Releases[n.Release]++
		if n.State == plan.InService || n.State == plan.Outdated {
			s.InService++
		}
	}
	return s
}

func nodes(n int, state plan.State, release string) []reconciler.Node {
	var all []reconciler.Node
	for i := range n {
		all = append(all, node(i+1, state, release, ""))
	}
	return all
}

func idle() reconciler.Status {
	s := fleet(nodes(8, plan.InService, "v1.4.2")...)
	s.Phase, s.Reason = plan.PhaseIdle, "8 of 8 in service with v1.4.2"
	s.Rollout = reconciler.Rollout{
		Trigger: reconciler.TriggerCommit, Revision: revision, Release: "v1.4.2", Started: noon.Add(-3 * time.Hour), LastProgress: noon.Add(-170 * time.Minute),
		Ended: noon.Add(-170 * time.Minute), Result: reconciler.ResultSucceeded, Planned: 8, Completed: 8,
	}
	return s
}

func progressing() reconciler.Status {
	all := nodes(8, plan.Outdated, "v1.4.1")
	for i := range 3 {
		all[i] = node(i+1, plan.InService, "v1.4.2", "")
		all[i].Since = noon.Add(-time.Duration(4-i) * time.Minute)
	}
	all[3] = node(4, plan.Draining, "v1.4.1", "target group web-live says Target.DeregistrationInProgress")
	all[3].Since, all[3].Deadline, all[3].Attempt, all[3].UnderWay = noon.Add(-12*time.Second), noon.Add(588*time.Second), 1, true
	s := fleet(all...)
	s.Phase, s.Reason = plan.PhaseProgressing, "1 of 8 nodes under way, 5 to go"
	s.Steps = []reconciler.Step{{Node: "web-4", Kind: "drain", Reason: "v1.4.1 → v1.4.2", Since: all[3].Since, Deadline: all[3].Deadline}}
	s.Holds = []plan.Hold{{Node: "web-5", Reason: "hold: 7 of 8 in service, floor is 7 (maxUnavailable 1)"}}
	s.WakeAt = noon.Add(8 * time.Second)
	s.Gates = []plan.Gate{{Name: "windows", State: plan.GateOpen, Stops: plan.StopsNext, Reason: "until Mon 2026-03-02 16:00 CET", Since: noon.Add(-2 * time.Hour), Until: noon.Add(27 * time.Hour)}}
	s.Rollout = reconciler.Rollout{
		Trigger: reconciler.TriggerCommit, Revision: revision, Release: "v1.4.2",
		Started: noon.Add(-5 * time.Minute), LastProgress: noon.Add(-12 * time.Second), Planned: 8, Completed: 3,
	}
	s.Expected = plan.Expectation{Left: 8*time.Minute + 20*time.Second, Nodes: 5, Each: 100 * time.Second, Parts: []plan.Part{
		{Name: "settle", Takes: 20 * time.Second}, {Name: "drain", Takes: 17 * time.Second}, {Name: "steps", Takes: 30 * time.Second},
		{Name: "verify", Takes: 3 * time.Second}, {Name: "join", Takes: 20 * time.Second}, {Name: "bake", Takes: 10 * time.Second},
	}}
	s.Ends = noon.Add(s.Expected.Left)
	return s
}

func halted() reconciler.Status {
	all := nodes(8, plan.Outdated, "v1.4.1")
	all[0] = node(1, plan.Failed, "v1.4.2", "check serves: GET http://10.0.1.11:8080/version: 503, want 200; 2 of 2 attempts used up")
	all[0].Since, all[0].Attempt = noon.Add(-95*time.Second), 2
	all[0].Tail = "web.service: starting\n\x1b[31merror:\x1b[0m cannot open /etc/web/web.env: permission denied\nDB_PASSWORD=hunter2\nweb.service: main process exited, status 1"
	s := fleet(all...)
	s.Phase = plan.PhaseHalted
	s.Reason = "v1.4.2 failed on web-1: check serves: 503, want 200; revert it, commit a fix, or set retry to 1 to try it again"
	s.Rollout = reconciler.Rollout{
		Trigger: reconciler.TriggerCommit, Revision: revision, Release: "v1.4.2",
		Started: noon.Add(-4 * time.Minute), LastProgress: noon.Add(-95 * time.Second), Ended: noon.Add(-95 * time.Second), Result: reconciler.ResultHalted, Planned: 8,
	}
	return s
}

func rejected() reconciler.Status {
	s := idle()
	s.Name, s.Phase, s.Reason = "web-staging", plan.PhaseIdle, "8 of 8 in service with v1.4.2"
	s.Excluded = []desired.Exclusion{{Name: "web-9", Reason: "disk swap"}, {Name: "web-10", Reason: "incident 4711"}}
	s.Gates = []plan.Gate{
		{Name: "windows.yaml", State: plan.GateWait, Stops: plan.StopsStart, Reason: "denied by '2026-03-01' (UTC): the sale; opens Mon 2026-03-02 00:00 UTC", Since: noon.Add(-time.Hour), Until: noon.Add(12 * time.Hour)},
		{Name: "windows", Reason: "it was not asked yet"},
	}
	at := func(l, c int) desired.Position {
		return desired.Position{File: "fleets/web-staging.yaml", Line: l, Column: c}
	}
	s.Rejected = &desired.Rejection{Path: "fleets/web-staging.yaml", Revision: "aa11bb22cc33dd44ee55ff6600112233445566aa", Errors: desired.Errors{
		{Position: at(4, 10), Message: `release "1.4.3 " is not allowed: use letters, digits and . _ + -`},
		{Position: at(12, 3), Message: "unknown key maxUnavailble, did you mean maxUnavailable?"},
	}}
	return s
}

// hostile says in every text what a node or a commit in an attacker's hands might.
func hostile(text string) reconciler.Status {
	s := halted()
	s.Name, s.Reason = text, text
	s.Desired.Release, s.Desired.Revision = text, text
	s.Releases = map[string]int{text: 1}
	s.Holds = []plan.Hold{{Node: text, Reason: text}}
	s.Gates = []plan.Gate{{Name: text, Reason: text}}
	s.Excluded = []desired.Exclusion{{Name: text, Reason: text}}
	s.Steps = []reconciler.Step{{Node: text, Kind: text, Reason: text}}
	s.Rejected = &desired.Rejection{Path: text, Revision: text, Errors: desired.Errors{{Position: desired.Position{File: text}, Message: text}}}
	s.Nodes = []reconciler.Node{{
		NodeStatus: plan.NodeStatus{Name: text, State: plan.Failed, Release: text, Reason: text},
		Instance:   text, Address: text, Zone: text, Tail: text,
	}}
	return s
}
