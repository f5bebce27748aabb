package live

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// heads are what is always shown: of one fleet all that matters, of several a row each.
func (f framer) heads(fleets []web.Fleet) []section {
	if len(fleets) == 1 {
		rows := f.head(fleets[0])
		return []section{fixed(len(rows), rows)}
	}
	return []section{f.list(fleets)}
}

// head is a fleet, its phase, what it goes from and to, by whom, how far it is, and how long that takes.
func (f framer) head(fleet web.Fleet) []row {
	title := row{{bold, web.Line(fleet.Name)}, {none, "  "}, {phaseColour(fleet.Phase), words(fleet.Phase)}}
	parts := []row{title, plain(releases(fleet))}
	if by := who(fleet.Rollout); by != "" {
		parts = append(parts, plain(by))
	}
	rows := f.flow(parts)
	parts = nil
	if far := progress(fleet, f.w.Now, f.bar()); far != nil {
		parts = append(parts, far)
	}
	return append(rows, f.flow(append(parts, plain(service(fleet))))...)
}

// bar is how wide one is.
func (f framer) bar() int {
	if f.width < 60 {
		return 8
	}
	return 20
}

// flow puts parts beside each other as far as they fit. Of the last one of a row as much is enough as can be read.
func (f framer) flow(parts []row) []row {
	const enough = 16 // columns
	var rows []row
	for i, part := range parts {
		last := len(rows) - 1
		if i > 0 {
			left := f.width - rows[last].columns() - 2
			if part.columns() <= left || i == len(parts)-1 && left >= enough {
				rows[last] = rows[last].and(span{none, "  "}).and(part...)
				continue
			}
		}
		rows = append(rows, part)
	}
	return rows
}

// releases are what a fleet goes from and to.
func releases(f web.Fleet) string {
	to := cmp.Or(web.Line(f.Desired.Release), "no release")
	if from := f.Rollout.From; from != "" && from != f.Desired.Release && f.Rollout.Release == f.Desired.Release {
		return web.Line(from) + " → " + to
	}
	return to
}

// who is who wanted the rollout, and what they said of it.
func who(r web.Rollout) string {
	by := r.By()
	if r.Started.IsZero() || by == "" {
		return ""
	}
	if r.Change != nil && r.Change.Subject != "" && strings.HasPrefix(by, "by ") {
		by += ": " + web.Line(r.Change.Subject)
	}
	return by
}

// progress is how far the rollout is, and how long it still takes; nil: there is none.
func progress(f web.Fleet, now time.Time, bar int) row {
	r := f.Rollout
	if r.Started.IsZero() || r.Planned == 0 {
		return nil
	}
	said := fmt.Sprintf(" %d of %d", r.Completed, r.Planned)
	if left := f.Left(now); left != "" {
		said += ", " + left
	}
	if !r.Ended.IsZero() {
		said += fmt.Sprintf(", %s after %s", words(r.Result), web.Span(r.Ended.Sub(r.Started)))
	}
	return row{{phaseColour(f.Phase), web.Bar(r.Completed, r.Planned, bar)}, {none, said}}
}

func service(f web.Fleet) string {
	return fmt.Sprintf("%d of %d in service, floor %d", f.InService, f.Size, f.Floor)
}

// list is a row for each fleet. Where they do not fit, those that most need attention are there.
func (f framer) list(fleets []web.Fleet) section {
	name := 0
	for _, fleet := range fleets {
		name = min(24, max(name, columns(web.Line(fleet.Name))))
	}
	rows := func(shown []web.Fleet) []row {
		all := make([]row, len(shown))
		for i, fleet := range shown {
			all[i] = f.listed(fleet, name)
		}
		return all
	}
	return section{least: min(len(fleets), max(4, f.w.Height/2)), want: len(fleets), patient: true, draw: func(n int) []row {
		if n >= len(fleets) {
			return rows(fleets)
		}
		urgent := byUrgency(fleets)
		return append(rows(urgent[:n-1]), coloured(dim, fmt.Sprintf("and %d more fleets, %s", len(urgent)-n+1, phases(urgent[n-1:]))))
	}}
}

// listed is a fleet in a row.
func (f framer) listed(fleet web.Fleet, name int) row {
	const phase = len("rolling back")
	r := row{
		{bold, pad(cut(web.Line(fleet.Name), name), name)}, {none, "  "},
		{phaseColour(fleet.Phase), pad(words(fleet.Phase), phase)}, {none, "  "},
	}
	if !fleet.Rollout.UnderWay() {
		return r.and(span{none, web.Line(fleet.Desired.Release) + "  " + service(fleet)})
	}
	r = r.and(progress(fleet, f.w.Now, 8)...).and(span{none, "  " + releases(fleet)})
	if by := who(fleet.Rollout); by != "" {
		r = r.and(span{none, "  " + by})
	}
	return r
}

// phases are how many fleets are in each.
func phases(fleets []web.Fleet) string {
	counts := map[plan.Phase]int{}
	var seen []plan.Phase
	for _, f := range fleets {
		if counts[f.Phase]++; counts[f.Phase] == 1 {
			seen = append(seen, f.Phase)
		}
	}
	parts := make([]string, len(seen))
	for i, p := range seen {
		parts[i] = fmt.Sprintf("%d %s", counts[p], words(p))
	}
	return strings.Join(parts, ", ")
}

// urgency is the order of phases in which people are asked for attention.
var urgency = []plan.Phase{
	plan.PhaseHalted, plan.PhaseInvalid, plan.PhaseRollingBack, plan.PhaseProgressing, plan.PhaseWaiting, "", plan.PhasePaused, plan.PhaseIdle,
}

// byUrgency are the fleets, what most needs attention first.
func byUrgency(fleets []web.Fleet) []web.Fleet {
	sorted := slices.Clone(fleets)
	slices.SortStableFunc(sorted, func(a, b web.Fleet) int { return slices.Index(urgency, a.Phase) - slices.Index(urgency, b.Phase) })
	return sorted
}

func rests(f web.Fleet) bool { return f.Phase == plan.PhaseIdle || f.Phase == plan.PhasePaused }

// words turns a name of the API into words: in_service, rolling_back.
func words[T ~string](s T) string { return web.Line(strings.ReplaceAll(string(s), "_", " ")) }
