package web

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"windlass/reconciler"
)

// PastText writes a fleet's rollouts that ended, as `windlass history` shows them: where lines are not broken, one line each.
func PastText(w io.Writer, fleet string, all []Past, t Terminal) error {
	out := bufio.NewWriter(w)
	p := printer{out, t}
	if len(all) == 0 {
		p.line(none, "", "%s: no rollout has ended since this agent keeps a history", fleet)
		return out.Flush()
	}
	head := []string{"STARTED (UTC)", "RESULT", "TOOK", "ROLLOUT"}
	rows := each(all, pastRow)
	widths := columns(append(rows[:len(rows):len(rows)], head))
	p.cells(head, widths, none)
	for i, row := range rows {
		p.cells(row, widths, resultColours[all[i].Result])
	}
	return out.Flush()
}

var resultColours = map[reconciler.Result]colour{
	reconciler.ResultSucceeded: green, reconciler.ResultHalted: red, reconciler.ResultSuperseded: yellow, reconciler.ResultRolledBack: violet,
}

func pastRow(r Past) []string {
	took := time.Duration(r.Took * float64(time.Second))
	return each([]string{r.Started.UTC().Format("2006-01-02 15:04"), words(r.Result), span(took), r.says()}, visible)
}

// says is a rollout in words: what it brought, who wanted that, and what it was like.
func (r Past) says() string {
	parts := []string{fmt.Sprintf("%s, %d of %d nodes", r.releases(), r.Completed, r.Planned), r.cause()}
	if l := r.Longest; l != nil {
		parts = append(parts, fmt.Sprintf("%s was out the longest, %s", l.Node, span(time.Duration(l.For*float64(time.Second)))))
	}
	if l := r.Lowest; l != nil {
		parts = append(parts, fmt.Sprintf("at least %d of %d in service", l.InService, l.Size))
	}
	if r.Reason != "" {
		parts = append(parts, r.Reason)
	}
	return strings.Join(parts, "; ")
}

func (r Past) releases() string {
	if r.From == "" || r.From == r.Release {
		return r.Release
	}
	return r.From + " → " + r.Release
}

// cause is what began it, and the commit. Of drift and of nodes that came nobody is the author.
func (r Past) cause() string {
	switch r.Trigger {
	case reconciler.TriggerDrift, reconciler.TriggerMembership:
		return words(r.Trigger) + ", at commit " + brief(r.Revision)
	}
	said := words(r.Trigger) + " " + brief(r.Revision)
	if r.Author != "" {
		said += " by " + r.Author
	}
	if r.Subject != "" {
		said += ": " + r.Subject
	}
	return said
}
