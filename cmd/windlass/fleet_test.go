package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"windlass/internal/sandbox"
	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// localFleet is a sandbox whose agent is this test's windlass.
func localFleet(t *testing.T, ctx context.Context, o sandbox.Options) *sandbox.Fleet {
	t.Helper()
	path, err := exec.LookPath("windlass")
	if err != nil {
		t.Fatal(err)
	}
	o.Executable, o.Dir = path, t.TempDir()
	fleet, err := sandbox.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := fleet.Close(); err != nil {
			t.Error(err)
		}
	})
	return fleet
}

// windlass runs a command with the environment of the fleet's agent.
func windlass(t *testing.T, ctx context.Context, fleet *sandbox.Fleet, args ...string) (stdout, stderr string, exit int) {
	t.Helper()
	var out, trouble bytes.Buffer
	cmd := exec.CommandContext(ctx, fleet.Agent.Command.Path, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = fleet.Agent.Command.Env, &out, &trouble
	var ended *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &ended) {
		t.Fatal(err)
	}
	return out.String(), trouble.String(), cmd.ProcessState.ExitCode()
}

// planArgs are the arguments for a plan of what the fleet's agent runs.
func planArgs(fleet *sandbox.Fleet) []string {
	args := slices.Clone(fleet.Agent.Command.Args)
	args[0] = "plan"
	for _, flag := range []string{"--listen", "--log-format"} {
		at := slices.Index(args, flag)
		args = slices.Delete(args, at, at+2)
	}
	return args
}

// filesBelow lists all there is below a directory, with sizes.
func filesBelow(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestPlanTellsWhatRunDoes follows a fleet from its first day (law 12) over a deploy, and proves that looking changes nothing
// (law 21, G24).
func TestPlanTellsWhatRunDoes(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	fleet := localFleet(t, ctx, sandbox.Options{Nodes: 3})

	before := filesBelow(t, filepath.Join(fleet.Dir, "nodes"))
	out, trouble, exit := windlass(t, ctx, fleet, planArgs(fleet)...)
	expect(t, "first day", exit, 2, out, trouble, "adopt", "web-3", "lowest capacity: 3 of 3 in service, floor 2 (maxUnavailable 1)", "then: idle")
	if after := filesBelow(t, filepath.Join(fleet.Dir, "nodes")); !slices.Equal(before, after) {
		t.Errorf("plan left files on nodes: %v, were %v", after, before)
	}
	if left := filesBelow(t, filepath.Join(fleet.Dir, "agent")); len(left) > 0 {
		t.Errorf("plan left files in the state directory: %v", left)
	}

	startAndWait(t, ctx, fleet, "adoption", rests("v1", 3))
	if err := fleet.Agent.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	out, trouble, exit = windlass(t, ctx, fleet, planArgs(fleet)...)
	expect(t, "at rest", exit, 0, out, trouble, "1 fleet, nothing to do")

	deploy(t, ctx, fleet, "v2")
	out, trouble, exit = windlass(t, ctx, fleet, planArgs(fleet)...)
	expect(t, "deploy", exit, 2, out, trouble, "drain", "configure", "add", "prove", "lowest capacity: 2 of 3 in service, floor 2", "then: idle, 3 of 3 in service with v2")

	startAndWait(t, ctx, fleet, "deploy", rests("v2", 3))
	out, trouble, exit = windlass(t, ctx, fleet, "status", "--server", fleet.Agent.URL)
	expect(t, "status", exit, 0, out, trouble, "web  idle", "v2 on 3")
	out, trouble, exit = windlass(t, ctx, fleet, planArgs(fleet)...)
	expect(t, "beside a running agent", exit, 0, out, trouble, "nothing to do")
}

func rests(release string, nodes int) func(web.Fleet) bool {
	return func(f web.Fleet) bool { return f.Phase == "idle" && f.Releases[release] == nodes }
}

// deploy publishes and commits a release.
func deploy(t *testing.T, ctx context.Context, fleet *sandbox.Fleet, release string) {
	t.Helper()
	if err := fleet.Publish(sandbox.Build{Release: release}); err != nil {
		t.Fatal(err)
	}
	if _, err := fleet.Repo.Commit(ctx, release); err != nil {
		t.Fatal(err)
	}
}

// startAndWait starts the agent and waits for what holds.
func startAndWait(t *testing.T, ctx context.Context, fleet *sandbox.Fleet, what string, holds func(web.Fleet) bool) web.Fleet {
	t.Helper()
	if err := fleet.Agent.Start(); err != nil {
		t.Fatal(err)
	}
	f, err := fleet.Agent.Wait(ctx, what, holds)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestStopInMidRolloutSaysWhatIsLeft and the next agent goes on from there.
func TestStopInMidRolloutSaysWhatIsLeft(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	fleet := localFleet(t, ctx, sandbox.Options{Nodes: 2, Delay: 2 * time.Second})
	startAndWait(t, ctx, fleet, "adoption", rests("v1", 2))
	deploy(t, ctx, fleet, "v2")
	drains := func(f web.Fleet) bool {
		return slices.ContainsFunc(f.Nodes, func(n web.Node) bool { return n.State == plan.Draining })
	}
	if _, err := fleet.Agent.Wait(ctx, "a drain", drains); err != nil {
		t.Fatal(err)
	}
	if err := fleet.Agent.Stop(ctx); err != nil {
		t.Errorf("a graceful stop ended badly: %v", err)
	}
	log := strings.Join(fleet.Agent.Log(5), "\n")
	for _, said := range []string{"left under way; the next agent goes on", `"msg":"stopped","nodes_left_under_way":1`} {
		if !strings.Contains(log, said) {
			t.Errorf("%q is not in the log's end:\n%s", said, log)
		}
	}
	startAndWait(t, ctx, fleet, "the rest of the rollout", rests("v2", 2))
}

// TestLaw2LostStateDirectoryAndRewrittenHistory is no order until a person says so.
func TestLaw2LostStateDirectoryAndRewrittenHistory(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	fleet := localFleet(t, ctx, sandbox.Options{Nodes: 2})
	deploy(t, ctx, fleet, "v1")
	startAndWait(t, ctx, fleet, "adoption", rests("v1", 2))
	if err := errors.Join(fleet.Agent.Stop(ctx), os.RemoveAll(filepath.Join(fleet.Dir, "agent"))); err != nil {
		t.Fatal(err)
	}
	head, err := fleet.Repo.Rewrite(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"the refusal", "the refusal after a restart"} {
		blocked := startAndWait(t, ctx, fleet, what, func(f web.Fleet) bool { return f.Phase == "waiting" && strings.Contains(f.Reason, "rewritten") })
		if !strings.Contains(blocked.Reason, "--accept-revision") {
			t.Errorf("the reason does not say what to do: %s", blocked.Reason)
		}
		if err := fleet.Agent.Stop(ctx); err != nil {
			t.Fatal(err)
		}
	}
	fleet.Agent.Command.Args = append(fleet.Agent.Command.Args, "--accept-revision", head)
	startAndWait(t, ctx, fleet, "acceptance", rests("v1", 2))
}

func expect(t *testing.T, what string, exit, wantExit int, out, trouble string, words ...string) {
	t.Helper()
	if exit != wantExit || trouble != "" {
		t.Errorf("%s: exit status %d, want %d; standard error %q", what, exit, wantExit, trouble)
	}
	for _, word := range words {
		if !strings.Contains(out, word) {
			t.Errorf("%s: %q is not in\n%s", what, word, out)
		}
	}
}
