package web_test

import (
	"testing"
	"time"

	"windlass/internal/web"
	"windlass/reconciler"
)

func TestARolloutIsToldInALine(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	whole := web.Rollout{
		Trigger: reconciler.TriggerCommit, Release: "v2", From: "v1", Started: began, Ended: began.Add(131 * time.Second), Result: reconciler.ResultSucceeded,
		Planned: 8, Completed: 8, Lowest: &web.Lowest{InService: 7, Size: 8}, Change: &web.Change{Author: "Ann\x1b[2J"}, Link: "https://git.example.com/ops/deploy/commit/3f2a",
	}
	halted, drift, begun := whole, whole, whole
	halted.Result, halted.Completed, halted.Link, halted.Change = reconciler.ResultHalted, 0, "", nil
	drift.Trigger, drift.From, drift.Planned, drift.Completed, drift.Link = reconciler.TriggerDrift, "v2", 1, 1, "https://x/\x1b[2J"
	begun.Ended, begun.Result, begun.Completed, begun.Lowest = time.Time{}, "", 3, nil
	for want, r := range map[string]web.Rollout{
		"web: v1 → v2 in service on 8 of 8, took 2 min, at least 7 of 8 in service, by Ann�[2J, https://git.example.com/ops/deploy/commit/3f2a": whole,
		"web: v1 → v2 halted at 0 of 8, took 2 min, at least 7 of 8 in service":                                                                 halted,
		"web: v2 in service on 1 of 1, took 2 min, at least 7 of 8 in service, after drift, https://x/�[2J":                                     drift,
		"web: v1 → v2 on 3 of 8, by Ann�[2J, https://git.example.com/ops/deploy/commit/3f2a":                                                    begun,
	} {
		if got := r.Recap("web"); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
