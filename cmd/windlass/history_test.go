package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"windlass/desired"
	"windlass/internal/history"
	"windlass/internal/sandbox"
	"windlass/internal/web"
	"windlass/reconciler"
)

// twoFleets are what an agent knows.
type twoFleets struct{}

func (twoFleets) Snapshot() reconciler.Snapshot {
	return reconciler.Snapshot{Fleets: []reconciler.Status{{Name: "new"}, {Name: "web"}}}
}

func (twoFleets) Changed() <-chan struct{} { return nil }

// past serves the API of an agent that knows fleets new and web, with the history that is kept in a file, and names itself in
// $WINDLASS_SERVER: past FILE. In a new file it keeps three rollouts of web and one of gone first; past none: it keeps no history.
func servePast(ts *testscript.TestScript, _ bool, args []string) {
	options := web.Options{Addr: "127.0.0.1:0", Source: twoFleets{}, Metrics: http.NotFoundHandler()}
	if args[0] != "none" {
		store := history.Open(ts.MkAbs(args[0]), slog.New(slog.DiscardHandler))
		ts.Defer(func() { store.Close() })
		record := history.NewRecorder(store, slog.New(slog.DiscardHandler))
		for _, d := range ended() {
			record.RolloutDone(d)
		}
		record.Write(nil)
		options.History = store
	}
	server := httptest.NewServer(web.New(options))
	ts.Defer(server.Close)
	ts.Setenv("WINDLASS_SERVER", server.URL)
}

func ended() []reconciler.RolloutDone {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	done := func(fleet string, hour int, result reconciler.Result, from, to string) reconciler.RolloutDone {
		started := at.Add(time.Duration(hour) * time.Hour)
		return reconciler.RolloutDone{Fleet: fleet, Rollout: reconciler.Rollout{
			Trigger: reconciler.TriggerCommit, Result: result, Started: started, Ended: started.Add(11 * time.Second), From: from, Release: to,
			Planned: 4, Completed: 4, Lowest: reconciler.Capacity{InService: 3, Size: 4},
			Change:  desired.Commit{Revision: "3f2a9c1d4b", Author: "somebody", Subject: "web \x1b[2J" + to},
			Longest: reconciler.Outage{Node: "web-3", Since: started, Until: started.Add(4 * time.Second)},
		}}
	}
	halted := done("web", 2, reconciler.ResultHalted, "v2", "v3")
	halted.Rollout.Completed, halted.Reason = 0, "failed on web-3: check up: 500, want 200"
	return []reconciler.RolloutDone{
		done("web", 1, reconciler.ResultSucceeded, "v1", "v2"), halted, done("web", 3, reconciler.ResultRolledBack, "v3", "v2"),
		done("gone", 1, reconciler.ResultSucceeded, "v7", "v8"),
	}
}

// A rollout that was under way when the agent was killed is listed once, when it has ended, from when it began.
func TestAKilledAgentsRolloutIsListedOnce(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	fleet := localFleet(t, ctx, sandbox.Options{Nodes: 2, Delay: 2 * time.Second})
	startAndWait(t, ctx, fleet, "adoption", rests("v1", 2))
	deploy(t, ctx, fleet, "v2")
	f, err := fleet.Agent.Wait(ctx, "a rollout that is kept", func(f web.Fleet) bool {
		kept, _ := os.ReadFile(filepath.Join(fleet.Dir, "agent", "rollouts.json"))
		return f.Rollout.Completed == 1 && strings.Contains(string(kept), `"completed":1`)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := fleet.Agent.Kill(); err != nil {
		t.Fatal(err)
	}
	startAndWait(t, ctx, fleet, "the rest of the rollout", rests("v2", 2))
	c, err := newClient(agentAddress{server: fleet.Agent.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	var all []web.Past
	for len(all) == 0 && ctx.Err() == nil { // it is written within a second or two
		if err := c.get(ctx, "/api/v1/fleets/web/history", &all); err != nil {
			t.Fatal(err)
		}
		pause(ctx, 20*time.Millisecond)
	}
	if len(all) != 1 {
		t.Fatalf("listed are %+v", all)
	}
	p := all[0]
	if !p.Started.Equal(f.Rollout.Started) || p.Result != reconciler.ResultSucceeded || p.From != "v1" || p.Release != "v2" || p.Planned != 2 || p.Completed != 2 {
		t.Errorf("listed is %+v, begun was %+v", p, f.Rollout)
	}
	if p.Author == "" || p.Subject == "" || p.Longest == nil || p.Longest.For < 1 || p.Lowest == nil || p.Lowest.InService != 1 {
		t.Errorf("listed is %+v, longest %+v, lowest %+v", p, p.Longest, p.Lowest)
	}
	out, trouble, exit := windlass(t, ctx, fleet, "history", "web", "--server", fleet.Agent.URL)
	expect(t, "history", exit, 0, out, trouble, "v1 → v2, 2 of 2 nodes", "succeeded", p.Author, p.Subject)
}
