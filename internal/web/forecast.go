package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

// A Forecast is what would be done to a fleet if its file had another release, or as it is, and all goes well.
type Forecast struct {
	Fleet          string     `json:"fleet"`
	Release        string     `json:"release"`  // that would be wanted
	Wanted         string     `json:"wanted"`   // that is wanted now
	Revision       string     `json:"revision"` // of the fleet file in force, whose release this is about
	Nodes          []string   `json:"nodes"`    // that would be changed or moved, in order
	Steps          []Foreseen `json:"steps"`
	Left           int        `json:"left"` // nodes that would follow in the same way, in a large fleet
	Size           int        `json:"size"`
	Floor          int        `json:"floor"`
	Lowest         int        `json:"lowest"` // the fewest nodes that could be counted on at any point
	MaxUnavailable string     `json:"maxUnavailable"`
	Expected       *Expected  `json:"expected,omitempty"`
	Phase          plan.Phase `json:"phase"` // where it would come to rest
	Reason         string     `json:"reason"`
	Holds          []string   `json:"holds"`
}

// Foreseen is a step that would be done, and how many nodes could be counted on when it begins.
type Foreseen struct {
	Node      string `json:"node"` // or the member that is taken out
	Kind      string `json:"kind"`
	Reason    string `json:"reason"`
	InService int    `json:"inService"`
}

// Foresee is the forecast of what is seen. The release is another one than the file has, or empty.
func Foresee(seen reconciler.Sight, release string) Forecast {
	return forecastOf(wanting(seen.Want, release), seen)
}

// forecastOf is the forecast of what is seen, if that were wanted.
func forecastOf(want plan.Want, seen reconciler.Sight) Forecast {
	seen.World.Gates = gatesOf(want, seen)
	f := plan.Foresee(want, seen.World)
	c := newCensor()
	out := Forecast{
		Fleet: name(want.Fleet.Name), Release: name(want.Version.Release), Wanted: name(seen.Want.Version.Release), Revision: name(want.Version.Revision),
		Steps: each(f.Events, c.foreseen), Left: f.Left, Size: f.End.Size, Floor: f.End.Floor, Lowest: f.Lowest,
		MaxUnavailable: want.Fleet.Rollout.MaxUnavailable.String(), Expected: fromExpectation(f.Now.Expected, time.Time{}),
		Phase: f.End.Phase, Reason: c.line(f.End.Reason), Holds: each(f.End.Holds, func(h plan.Hold) string { return c.line(h.String()) }),
	}
	out.Nodes = visited(out.Steps)
	return out
}

// gatesOf are the gates of what is foreseen: windows, other fleets, and if it is what is wanted already, the others. Those said nothing yet of anything else, and to ask them is
// for who deploys it.
func gatesOf(want plan.Want, seen reconciler.Sight) []plan.Gate {
	gates := reconciler.WindowsOf(want.Fleet, seen.World.Now)
	if seen.After != nil {
		gates = append(gates, seen.After(want.Fleet)...)
	}
	if want.Version != seen.Want.Version {
		return gates
	}
	for _, g := range seen.World.Gates {
		if !slices.ContainsFunc(gates, func(w plan.Gate) bool { return w.Name == g.Name }) {
			gates = append(gates, g)
		}
	}
	return gates
}

// visited are the nodes that are changed or moved, in order. One that was prepared is restored to serve until its turn, which is later.
func visited(steps []Foreseen) []string {
	turn := map[string]int{}
	for i, s := range steps {
		before, known := turn[s.Node]
		if visits[plan.Kind(s.Kind)] && (!known || steps[before].Kind == string(plan.Restore)) {
			turn[s.Node] = i
		}
	}
	nodes := make([]string, 0, len(turn))
	for node := range turn {
		nodes = append(nodes, node)
	}
	slices.SortFunc(nodes, func(a, b string) int { return turn[a] - turn[b] })
	return nodes
}

// visits are the kinds of steps after which a node is not what it was; the others write down how it stands.
var visits = map[plan.Kind]bool{plan.Leave: true, plan.Drain: true, plan.Configure: true, plan.Add: true, plan.Restore: true}

// wanting is a fleet that wants another release.
func wanting(want plan.Want, release string) plan.Want {
	if release == "" {
		return want
	}
	fleet := *want.Fleet
	fleet.Release = release
	want.Fleet = &fleet
	want.Version = actuators.Version{
		Release: release, Digest: fleet.Digest(desired.DigestAlgorithm), Algorithm: desired.DigestAlgorithm, Revision: want.Version.Revision,
	}
	return want
}

func (c *censor) foreseen(e plan.Event) Foreseen {
	node := e.Node
	if node == "" && len(e.Targets) > 0 {
		node = e.Targets[0].ID
	}
	return Foreseen{Node: name(node), Kind: string(e.Kind), Reason: c.line(e.Reason), InService: e.InService}
}

// forecastTime bounds how long the fleet's actor is waited for.
const forecastTime = 10 * time.Second

// forecast tells what would be done, of ?release= or of what is wanted. Forecasts cost work: they are made one at a time.
func (s *server) forecast(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), forecastTime)
	defer cancel()
	fleet, release := r.PathValue("name"), r.FormValue("release")
	if release != "" {
		if err := desired.CheckRelease(release); err != nil {
			refuse(w, http.StatusBadRequest, err.Error())
			return
		}
	}
	select {
	case s.forecasts <- struct{}{}:
		defer func() { <-s.forecasts }()
	case <-ctx.Done():
		refuse(w, http.StatusServiceUnavailable, "other forecasts are being made; try again")
		return
	}
	if seen, ok := s.look(ctx, w, fleet); ok {
		answer(w, http.StatusOK, Foresee(seen, release))
	}
}

// look asks the fleet's actor what it sees. Where it cannot tell, the request is answered with why.
func (s *server) look(ctx context.Context, w http.ResponseWriter, fleet string) (seen reconciler.Sight, ok bool) {
	seen, err := s.sight(ctx, fleet)
	switch {
	case errors.Is(err, reconciler.ErrUnknown):
		unknown(w, fleet)
	case err != nil:
		refuse(w, http.StatusServiceUnavailable, "the fleet is busy; try again")
	case seen.Want.Fleet == nil:
		refuse(w, http.StatusConflict, "no version of its file was ever in force; windlass status says what is wrong with it")
	default:
		return seen, true
	}
	return seen, false
}
