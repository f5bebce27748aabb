package monitoring_test

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"windlass/internal/sandbox"
	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// The real agent takes a local fleet through a deploy, a release that fails, and its revert: every query has data, the halt
// fires its alert, and nothing else fires.
func TestPrometheusShowsARealRollout(t *testing.T) {
	t.Parallel()
	tool(t, "prometheus")
	d := newDemo(t)
	checkAgainst(t, d.Agent.URL,
		act{"a deploy", d.deploy, nil},
		act{"a release that fails", d.fail, []string{"WindlassRolloutHalted"}},
		act{"its revert", d.revert, nil},
		act{"a deploy whose agent is killed", d.killed, nil},
	)
}

// A demo is a running local fleet of three nodes.
type demo struct{ *sandbox.Fleet }

func newDemo(t *testing.T) demo {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "windlass")
	if said, err := exec.Command("go", "build", "-o", binary, "windlass/cmd/windlass").CombinedOutput(); err != nil {
		t.Fatalf("cannot build windlass: %v\n%s", err, said)
	}
	f, err := sandbox.Start(t.Context(), sandbox.Options{Executable: binary, Nodes: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	err = errors.Join(
		f.Publish(sandbox.Build{Release: "v2"}), f.Publish(sandbox.Build{Release: "v3", Fault: "cannot reach its database"}),
		f.Publish(sandbox.Build{Release: "v4"}), f.Agent.Start(),
	)
	if err != nil {
		t.Fatal(err)
	}
	d := demo{f}
	d.ends(t, f.Repo.Head(), plan.PhaseIdle)
	return d
}

// ends waits until a revision has come to that phase.
func (d demo) ends(t *testing.T, revision string, phase plan.Phase) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := d.Agent.Wait(ctx, "the fleet "+string(phase), func(s web.Fleet) bool {
		return s.Desired.Revision == revision && s.Phase == phase && (phase != plan.PhaseIdle || s.Releases[s.Desired.Release] == len(s.Nodes))
	})
	if err != nil {
		t.Fatal(err)
	}
}

// commits plays a change of the deploy repo until it has come to that phase, and Prometheus has seen it.
func (d demo) commits(p *prometheus, phase plan.Phase, change func(context.Context) (string, error)) {
	p.Helper()
	revision, err := change(p.Context())
	if err != nil {
		p.Fatal(err)
	}
	d.ends(p.T, revision, phase)
	p.await(`windlass_fleet_phase{fleet="web",phase="` + string(phase) + `"} == 1 and on (fleet) windlass_fleet_info{desired_revision="` + revision[:12] + `"}`)
}

func (d demo) release(name string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) { return d.Repo.Commit(ctx, name) }
}

func (d demo) deploy(p *prometheus) { d.commits(p, plan.PhaseIdle, d.release("v2")) }
func (d demo) fail(p *prometheus)   { d.commits(p, plan.PhaseHalted, d.release("v3")) }
func (d demo) revert(p *prometheus) { d.commits(p, plan.PhaseIdle, d.Repo.Revert) }

// killed has the agent killed between two nodes, and another one go on: it is one rollout, begun when the first one began it.
func (d demo) killed(p *prometheus) {
	p.Helper()
	var begun time.Time
	d.commits(p, plan.PhaseIdle, func(ctx context.Context) (string, error) {
		revision, err := d.Repo.Commit(ctx, "v4")
		if err != nil {
			return "", err
		}
		half, err := d.Agent.Wait(ctx, "one node with v4", func(f web.Fleet) bool { return f.Rollout.Release == "v4" && f.Rollout.Completed == 1 })
		begun = half.Rollout.Started
		return revision, errors.Join(err, d.Agent.Kill(), d.Agent.Start())
	})
	p.await(fmt.Sprintf("abs(windlass_rollout_start_timestamp_seconds - %.3f) < 0.01 and on (fleet) windlass_rollout_nodes_completed == 3", float64(begun.UnixMilli())/1000))
	p.await(`windlass_rollouts_total{trigger="commit", result="succeeded"} == 1 and on (fleet) sum by (fleet) (windlass_rollouts_total) == 1`)
}
