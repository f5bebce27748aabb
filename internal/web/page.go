package web

import (
	"bytes"
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"windlass/reconciler"
	"windlass/reconciler/plan"
)

// mostRows is how many nodes the page lists of a fleet. Of a larger one it lists those that are not simply in service with
// what is wanted, so that ten thousand well nodes do not hide the sick one.
const mostRows = 200

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"words": words[string], "brief": brief, "utc": stamp,
}).ParseFS(assets, "assets/*.html"))

// page answers with everything at once, so that it is whole without JavaScript, too.
func (s *server) page(w http.ResponseWriter, _ *http.Request) {
	content, err := newState(s.views.newest(0), s.now()).render("page")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write([]byte(content))
}

// live sends the changing part of the page, as HTML, whenever it changed by more than time.
func (s *server) live(w http.ResponseWriter, r *http.Request) {
	sent := ""
	s.stream(w, r, func(to *stream, seen *view) error {
		timeless, err := seen.timeless()
		if err != nil || timeless == sent {
			return err
		}
		content, err := seen.page(s.now())
		if err != nil {
			return err
		}
		sent = timeless
		return to.event("state", content)
	})
}

// state is what the page shows.
type state struct {
	clock
	Repo   Repo
	Fleets []fleetView
}

func newState(seen *view, now time.Time) state {
	return state{clock{now}, seen.repo, each(seen.fleets, func(f shown) fleetView { return fleetView{clock{now}, f.Fleet} })}
}

func (s state) render(template string) (string, error) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, template, s); err != nil {
		return "", fmt.Errorf("cannot render page: %w", err)
	}
	return b.String(), nil
}

// Title says what most needs attention, so that a browser's tab shows it.
func (s state) Title() string {
	counts := map[plan.Phase]int{}
	for _, f := range s.Fleets {
		counts[f.Phase]++
	}
	var parts []string
	for _, phase := range urgency {
		if n := counts[phase]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, words(phase)))
		}
	}
	return strings.Join(append(parts, "windlass"), " · ")
}

var urgency = [...]plan.Phase{
	plan.PhaseHalted, plan.PhaseInvalid, plan.PhaseRollingBack, plan.PhaseProgressing, plan.PhaseWaiting, plan.PhasePaused, plan.PhaseIdle,
}

// clock makes ages of times.
type clock struct{ Now time.Time }

// moment is a time and how far it is from now. The page's script keeps the distance current.
type moment struct {
	At   time.Time
	Span string
	Left bool // counts down to At
}

func (c clock) Age(t time.Time) moment   { return moment{t, span(c.Now.Sub(t)), false} }
func (c clock) Until(t time.Time) moment { return moment{t, span(t.Sub(c.Now)), true} }

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// fleetView is a Fleet with what only the page needs.
type fleetView struct {
	clock
	Fleet
}

// Reaches is how long the rollout still takes.
func (f fleetView) Reaches() string { return f.Left(f.Now) }

// Other is that of Fleet.
func (f fleetView) Other() string { return f.other() }

// Failures are the nodes on which a step failed, with what it said last.
func (f fleetView) Failures() []Node {
	return slices.DeleteFunc(slices.Clone(f.Nodes), func(n Node) bool { return n.Tail == "" })
}

// Spread says how many nodes have which release, the wanted one first.
func (f fleetView) Spread() string { return f.spread() }

func (f Fleet) spread() string {
	releases := slices.SortedFunc(maps.Keys(f.Releases), func(a, b string) int {
		return cmp.Or(cmp.Compare(f.rank(a), f.rank(b)), cmp.Compare(a, b))
	})
	parts := each(releases, func(r string) string { return fmt.Sprintf("%s on %d", r, f.Releases[r]) })
	return strings.Join(parts, ", ")
}

func (f Fleet) rank(release string) int {
	if release == f.Desired.Release {
		return 0
	}
	return 1
}

// Rows are the nodes to list.
func (f fleetView) Rows() []Node {
	if len(f.Nodes) <= mostRows {
		return f.Nodes
	}
	rows := slices.DeleteFunc(slices.Clone(f.Nodes), func(n Node) bool { return n.State == plan.InService && !n.Outdated })
	return rows[:min(len(rows), mostRows)]
}

// Unlisted is how many nodes Rows leaves out.
func (f fleetView) Unlisted() int { return len(f.Nodes) - len(f.Rows()) }

// Tone groups states by what they ask of people; it is the colour they are shown in.
func (n Node) Tone() string {
	switch n.State {
	case plan.InService:
		return "good"
	case plan.Outdated:
		return "old"
	case plan.Failed, plan.Unreachable, plan.Missing, plan.OutOfService:
		return "bad"
	}
	return "busy"
}

// Tone is the colour of a rollout: its fleet's while it is under way, then its result's.
func (r Rollout) Tone() string {
	switch r.Result {
	case reconciler.ResultSucceeded, reconciler.ResultRolledBack:
		return "good"
	case reconciler.ResultHalted:
		return "bad"
	case reconciler.ResultSuperseded:
		return "old"
	}
	return ""
}

// Because is what began a rollout, in words.
func (r Rollout) Because() string {
	switch r.Trigger {
	case reconciler.TriggerDrift:
		return "because nodes drifted"
	case reconciler.TriggerMembership:
		return "because nodes came"
	case "":
		return ""
	}
	return "by a " + string(r.Trigger)
}

// A cell is a stretch of the bar that shows the nodes by tone.
type cell struct {
	X, Width float64
	Tone     string
}

// Bar is one cell per node of a small fleet, one per tone of a large one.
func (f fleetView) Bar() []cell {
	counts := map[string]int{}
	for _, n := range f.Nodes {
		counts[n.Tone()]++
	}
	var cells []cell
	at := 0
	for _, tone := range []string{"good", "old", "busy", "bad"} {
		n := counts[tone]
		switch {
		case len(f.Nodes) <= 60:
			for range n {
				cells = append(cells, cell{float64(at) + 0.04, 0.92, tone})
				at++
			}
		case n > 0:
			cells = append(cells, cell{float64(at), float64(n), tone})
			at += n
		}
	}
	return cells
}

// Places is the width of the bar.
func (f fleetView) Places() int { return max(f.Size, len(f.Nodes), 1) }
