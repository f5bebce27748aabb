package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"windlass/internal/sandbox"
	"windlass/internal/web"
)

// A state directory that fills up in mid-rollout costs history, and stops no rollout.
func TestAFullStateDirectoryStopsNoRollout(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	fleet := localFleet(t, ctx, sandbox.Options{Nodes: 2})
	dir := filepath.Join(fleet.Dir, "agent")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m,mode=700"); err != nil {
		t.Skipf("left out: cannot mount a small disk: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	startAndWait(t, ctx, fleet, "adoption", rests("v1", 2))
	deploy(t, ctx, fleet, "v2")
	if _, err := fleet.Agent.Wait(ctx, "a rollout", func(f web.Fleet) bool { return f.Rollout.Release == "v2" }); err != nil {
		t.Fatal(err)
	}
	_ = os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 2<<20), 0o600) // as much as there is room for
	if _, err := fleet.Agent.Wait(ctx, "the rollout's end", rests("v2", 2)); err != nil {
		t.Fatal(err)
	}
	out, trouble, exit := windlass(t, ctx, fleet, "history", "web", "--server", fleet.Agent.URL)
	expect(t, "history", exit, 0, out, trouble, "no rollout has ended since")
	if err := fleet.Agent.Stop(ctx); err != nil {
		t.Errorf("it did not end well: %v", err)
	}
	if said := strings.Count(strings.Join(fleet.Agent.Log(1000), "\n"), "cannot write the history of rollouts"); said != 1 {
		t.Errorf("the log says %d times that the history cannot be written, want once", said)
	}
}
