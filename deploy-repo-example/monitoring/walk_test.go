package monitoring_test

import (
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"windlass/health"
	"windlass/internal/metrics"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

// A fleet is walked, by script, through what happens to fleets; the series come from the agent's own exporter.
func TestPrometheusShowsAFleetsWay(t *testing.T) {
	t.Parallel()
	tool(t, "prometheus")
	s := newScript(t)
	checkAgainst(t, s.url,
		act{"a rollout that goes well", s.deploy, nil},
		act{"a release that fails", s.fail, []string{"WindlassRolloutHalted"}},
		act{"its revert", s.revert, nil},
		act{"a pause", s.pause, nil},
		act{"a repo that is not read for 20 minutes", s.lose(time.Now().Add(-20 * time.Minute)), []string{"WindlassGitStale"}},
		act{"a repo that was never read", s.neverRead, []string{"WindlassGitStale"}},
		act{"a repo that is read again", s.readAgain, nil},
		act{"a load balancer that is not read for 31 minutes", s.blind, []string{"WindlassReconcileErrors"}},
		act{"a load balancer that is read again", s.sees, nil},
	)
}

// A script is an agent that only says it does something. Its fleet web-live has four nodes and a floor of three.
type script struct {
	url    string
	events *metrics.Events

	mu    sync.Mutex
	fleet reconciler.Status
	git   metrics.Git
}

func newScript(t *testing.T) *script {
	s := &script{events: metrics.NewEvents()}
	s.git = metrics.Git{Errors: map[string]int{"timeout": 1, "auth": 0}, LastSuccess: time.Now(), Branch: "main"}
	s.want("v1.4.1", "3f2a9c")
	s.show(plan.PhaseIdle, "v1.4.1", "v1.4.1", "v1.4.1", "v1.4.1")
	build := metrics.Build{Version: "v0.1.0", Revision: "8d31f0"}
	server := httptest.NewServer(metrics.Handler(metrics.NewRegistry(build, s.events, s, s.gitStats)))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *script) Snapshot() reconciler.Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return reconciler.Snapshot{At: time.Now(), Fleets: []reconciler.Status{s.fleet}}
}

func (s *script) gitStats() metrics.Git {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.git
}

// want is a commit that sets the release.
func (s *script) want(release, revision string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.git.Head, s.git.HeadCommitted = revision, time.Now().Add(-time.Minute)
	s.fleet.Desired = reconciler.Desired{Release: release, Revision: revision, Committed: s.git.HeadCommitted}
}

// show sets the phase, and what each node has: a release, or a release and a state other than serving it.
func (s *script) show(phase plan.Phase, nodes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fleet.Seen, s.fleet.Checks = time.Now(), []string{"up", "serves"}
	s.fleet.Name, s.fleet.Phase, s.fleet.Ready, s.fleet.Floor, s.fleet.InService = "web-live", phase, true, 3, 0
	s.fleet.Nodes = nil
	for i, has := range nodes {
		release, state, _ := strings.Cut(has, " ")
		n := reconciler.Node{NodeStatus: plan.NodeStatus{
			Name: fmt.Sprintf("web-%d", i+1), Release: release, State: plan.State(state), Outdated: release != s.fleet.Desired.Release, Since: time.Now(),
		}}
		if state == "" {
			n.State = plan.InService
			if n.Outdated {
				n.State = plan.Outdated
			}
			s.fleet.InService++
		}
		s.fleet.Nodes = append(s.fleet.Nodes, n)
	}
	s.events.PassDone("web-live", 2*time.Millisecond)
	s.events.AWSRequest("elasticloadbalancing", "DescribeTargetHealth", "ok")
	s.events.GitOperation("list", 3*time.Millisecond, false)
	s.events.CheckDone("web-live", "serves", health.Pass)
	s.events.SSHSession("web-live", "success")
}

// begin starts a rollout of so many nodes; advance says how many of them are through.
func (s *script) begin(nodes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.fleet.Rollout = reconciler.Rollout{Trigger: reconciler.TriggerCommit, Started: now, LastProgress: now, Planned: nodes}
}

func (s *script) advance(completed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fleet.Rollout.Completed, s.fleet.Rollout.LastProgress = completed, time.Now()
}

func (s *script) end(result reconciler.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fleet.Rollout.Ended, s.fleet.Rollout.Result = time.Now(), result
	s.events.RolloutDone(reconciler.RolloutDone{Fleet: "web-live", Rollout: s.fleet.Rollout, Lead: time.Minute})
}

func (s *script) step(name, result string) {
	s.events.StepDone(reconciler.StepDone{Fleet: "web-live", Node: "web-1", Step: name, Result: result, Took: 2 * time.Second})
}

func (s *script) deploy(p *prometheus) {
	p.await(`windlass_fleet_phase{phase="idle"} == 1`)
	s.want("v1.4.2", "77b01e")
	s.begin(4)
	s.show(plan.PhaseProgressing, "v1.4.1 draining", "v1.4.1", "v1.4.1", "v1.4.1")
	p.await(`windlass_fleet_nodes{state="draining"} == 1`)
	for _, name := range []string{"prepare", "drain", "configure", "verify", "add"} {
		s.step(name, "success")
	}
	s.advance(1)
	s.show(plan.PhaseProgressing, "v1.4.2", "v1.4.2 baking", "v1.4.1", "v1.4.1")
	p.await(`windlass_rollout_nodes_completed == 1`)
	s.advance(4)
	s.end(reconciler.ResultSucceeded)
	s.show(plan.PhaseIdle, "v1.4.2", "v1.4.2", "v1.4.2", "v1.4.2")
	p.await(`windlass_fleet_phase{phase="idle"} == 1 and on (fleet) windlass_rollout_nodes_completed == 4`)
}

func (s *script) fail(p *prometheus) {
	s.want("v1.4.3", "c0ffee")
	s.begin(4)
	s.show(plan.PhaseProgressing, "v1.4.3 verifying", "v1.4.2", "v1.4.2", "v1.4.2")
	p.await(`windlass_fleet_nodes{state="verifying"} == 1`)
	s.step("verify", "failure")
	s.end(reconciler.ResultHalted)
	s.show(plan.PhaseHalted, "v1.4.3 failed", "v1.4.2", "v1.4.2", "v1.4.2")
	p.await(`windlass_fleet_phase{phase="halted"} == 1`)
}

func (s *script) revert(p *prometheus) {
	s.want("v1.4.2", "5a11ad")
	s.begin(1)
	s.show(plan.PhaseRollingBack, "v1.4.3 configuring", "v1.4.2", "v1.4.2", "v1.4.2")
	p.await(`windlass_fleet_phase{phase="rolling_back"} == 1`)
	s.advance(1)
	s.end(reconciler.ResultRolledBack)
	s.show(plan.PhaseIdle, "v1.4.2", "v1.4.2", "v1.4.2", "v1.4.2")
	p.await(`windlass_fleet_phase{phase="idle"} == 1`)
	// Of two changes one failed: that it halted and was rolled back counts once.
	p.await("round(100 * (" + queryOf(p.T, "Change failure rate") + ")) == 50")
}

func queryOf(t *testing.T, title string) string {
	panels := readDashboard(t).Panels
	return asked(panels[slices.IndexFunc(panels, func(p panel) bool { return p.Title == title })].Targets[0].Expr)
}

func (s *script) pause(p *prometheus) {
	s.mu.Lock()
	s.fleet.PausedAt = time.Now()
	s.mu.Unlock()
	s.show(plan.PhasePaused, "v1.4.2", "v1.4.2", "v1.4.2", "v1.4.2")
	p.await(`windlass_fleet_paused_timestamp_seconds`)
}

// lose has the repo read for the last time at that instant; zero: never.
func (s *script) lose(last time.Time) func(*prometheus) {
	return func(p *prometheus) {
		s.mu.Lock()
		s.git.LastSuccess = last
		s.mu.Unlock()
		p.await(fmt.Sprintf(`abs(windlass_git_last_success_timestamp_seconds - %d) < 2`, max(0, last.Unix())))
	}
}

// neverRead is an agent that was restarted while the repo cannot be read.
func (s *script) neverRead(p *prometheus) {
	s.lose(time.Time{})(p)
	p.until("waiting for an alert that says never", func() error {
		alerts, err := p.firing()
		if err == nil && !strings.Contains(fmt.Sprint(alerts), "It was never read since the agent started.") {
			err = fmt.Errorf("firing are %v", alerts)
		}
		return err
	})
}

// blind is a fleet whose load balancer cannot be read.
func (s *script) blind(p *prometheus) { s.seen(p, time.Now().Add(-31*time.Minute)) }

func (s *script) sees(p *prometheus) { s.seen(p, time.Now()) }

func (s *script) seen(p *prometheus, last time.Time) {
	s.mu.Lock()
	s.fleet.Seen = last
	s.mu.Unlock()
	p.await(fmt.Sprintf(`abs(windlass_reconcile_last_success_timestamp_seconds - %d) < 2`, last.Unix()))
}

func (s *script) readAgain(p *prometheus) { s.lose(time.Now())(p) }
