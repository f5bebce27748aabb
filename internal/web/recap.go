package web

import (
	"fmt"
	"strings"
	"time"

	"windlass/reconciler"
)

// Recap tells a rollout that has ended in one line to pass on: what it brought and to how many, who wanted it, how long it took, the least
// capacity, and where the difference is. Of one that has not ended it tells how far it is.
func (r Rollout) Recap(fleet string) string {
	parts := []string{fmt.Sprintf("%s: %s %s %d of %d", visible(fleet), r.releases(), endings[r.Result], r.Completed, r.Planned)}
	if !r.Ended.IsZero() {
		parts = append(parts, "took "+span(r.Ended.Sub(r.Started)))
	}
	if l := r.Lowest; l != nil {
		parts = append(parts, fmt.Sprintf("at least %d of %d in service", l.InService, l.Size))
	}
	if by := r.By(); by != "" {
		parts = append(parts, by)
	}
	if r.Link != "" {
		parts = append(parts, visible(r.Link))
	}
	return strings.Join(parts, ", ")
}

// endings are how a rollout ended, before how many nodes it came to.
var endings = map[reconciler.Result]string{
	"": "on", reconciler.ResultSucceeded: "in service on", reconciler.ResultRolledBack: "rolled back, in service on",
	reconciler.ResultHalted: "halted at", reconciler.ResultSuperseded: "superseded at",
}

func (r Rollout) releases() string {
	return Past{From: visible(r.From), Release: visible(r.Release)}.releases()
}

// By is who wanted it. Of drift and of nodes that came nobody is the author.
func (r Rollout) By() string {
	if r.Trigger == reconciler.TriggerDrift || r.Trigger == reconciler.TriggerMembership {
		return "after " + words(r.Trigger)
	}
	if r.Change == nil || r.Change.Author == "" {
		return ""
	}
	return "by " + visible(r.Change.Author)
}

// Span is a duration for people, in at most two units: 12 s, 4 min, 3 h 20 min.
func Span(d time.Duration) string { return span(d) }
