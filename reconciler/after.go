package reconciler

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"windlass/desired"
	"windlass/reconciler/plan"
)

// A standing is how a fleet of this agent stands; has is false where it has none of that name.
type standing func(fleet string) (s Status, has bool)

// After is the gate of the fleet that another comes after: a release starts there once this one has had it proven on every node for long enough.
type After struct {
	at    int // in the list of the fleet's file
	stand standing
	late  time.Duration // how old what the other fleet told may be for it to be so still
}

// afters are the gates of all fleets that one may come after, which are read at that interval.
func afters(stand standing, interval time.Duration) []Gatekeeper {
	var all []Gatekeeper
	for i := range desired.MostAfter {
		all = append(all, After{i, stand, max(leastLate, 3*interval)})
	}
	return all
}

// afterOf are those gates of a fleet, as they are now.
func afterOf(f *desired.Fleet, stand standing, interval time.Duration) (gates []plan.Gate) {
	for _, k := range afters(stand, interval) {
		if g, has := k.Gate(f); has {
			gates = append(gates, g)
		}
	}
	return gates
}

// Gate holds the start of a rollout. It says at once what Read says, by what this agent's other fleets last told of themselves.
func (k After) Gate(f *desired.Fleet) (plan.Gate, bool) {
	if k.at >= len(f.After) {
		return plan.Gate{}, false
	}
	a := f.After[k.at]
	g := plan.Gate{State: plan.GateUnread, Reason: fmt.Sprintf("fleet %s is not one of this agent's", a.Fleet)}
	if s, has := k.stand(a.Fleet); has {
		g = k.proves(s, a.ProvenFor, f.Release, time.Now())
	}
	g.Name, g.Stops = "after "+a.Fleet, plan.StopsStart
	return g, true
}

// Read is what the other fleet says now.
func (k After) Read(_ context.Context, want plan.Want) (plan.Gate, error) {
	g, _ := k.Gate(want.Fleet)
	return g, nil
}

// leastLate is a few readings of a fleet's balancers at the usual interval.
const leastLate = time.Minute

// proves is whether a fleet that stands so has proven a release for long enough.
func (k After) proves(s Status, least time.Duration, release string, now time.Time) plan.Gate {
	gate := func(state plan.GateState, format string, args ...any) plan.Gate {
		return plan.Gate{State: state, Reason: fmt.Sprintf(format, args...)}
	}
	longest, current := s.Whole.Longest(release), s.Whole.Now()
	switch {
	case s.Phase == plan.PhaseHalted && s.Desired.Release == release:
		return gate(plan.GateShut, "%s is halted on %s", release, s.Name)
	case longest.Release != "" && longest.Lasted() >= least:
		return gate(plan.GateOpen, "every node of %s has had %s proven for %s or longer", s.Name, release, inWords(least))
	case !s.Ready:
		return gate(plan.GateUnread, "fleet %s was not read yet", s.Name)
	case current.Release == release && now.Sub(current.Seen) > k.late:
		return gate(plan.GateUnread, "whether every node of %s still has %s cannot be told: %s", s.Name, release, s.Reason)
	case current.Release == release:
		opens := later(current.At.Add(least), now)
		g := gate(plan.GateWait, "%s has had %s proven on all nodes (%d) since %s, and it takes %s; opens %s", s.Name, release, s.Size, clock(current.At), inWords(least), clock(opens))
		g.Until = opens
		return g
	case s.Desired.Release == release:
		return gate(plan.GateWait, "%s has %s on %d of %d nodes; it is %s: %s", s.Name, release, s.Releases[release], s.Size, s.Phase, s.Reason)
	case slices.Contains(s.Halted, release):
		return gate(plan.GateShut, "%s was halted on %s, which is to have %s now", release, s.Name, s.Desired.Release)
	case longest.Release != "":
		return gate(plan.GateWait, "%s had %s proven on all nodes for %s of %s, and is to have %s now", s.Name, release, longest.Lasted().Truncate(time.Second), inWords(least), s.Desired.Release)
	}
	return gate(plan.GateWait, "%s is to have %s; deploy %s there first", s.Name, cmp.Or(s.Desired.Release, "no release"), release)
}

// clock is an instant for people.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// inWords is a time as people write it in a file.
func inWords(d time.Duration) string {
	words := d.String()
	if strings.HasSuffix(words, "m0s") {
		words = strings.TrimSuffix(words, "0s")
	}
	if strings.HasSuffix(words, "h0m") {
		words = strings.TrimSuffix(words, "0m")
	}
	return words
}

// awaited are the fleets that another one comes after.
func awaited(fleets map[string]desired.Version) map[string]bool {
	names := map[string]bool{}
	for _, v := range fleets {
		if v.Fleet == nil || v.Released {
			continue
		}
		for _, a := range v.Fleet.After {
			names[a.Fleet] = true
		}
	}
	return names
}

// stand is how a fleet of this agent stands.
func (g *Agent) stand(fleet string) (Status, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := g.fleets[fleet]
	if m == nil {
		return Status{}, false
	}
	return m.status, true
}

// afterOf are the gates that a fleet has from those it comes after, as they are now.
func (g *Agent) afterOf(f *desired.Fleet) []plan.Gate { return afterOf(f, g.stand, g.deps.Interval) }

// rouse has the fleets that come after one look at it again. The caller holds the lock.
func (g *Agent) rouse(fleet string) {
	for _, m := range g.fleets {
		f := m.order.want.Fleet
		if f == nil || !slices.ContainsFunc(f.After, func(a desired.After) bool { return a.Fleet == fleet }) {
			continue
		}
		select {
		case m.wakes <- struct{}{}:
		default: // it has not looked since the last one
		}
	}
}

// standsOtherwise reports whether fleets that come after one are to look at it again.
func standsOtherwise(a, b Status) bool {
	x, y := a.Whole.Now(), b.Whole.Now()
	return a.Phase != b.Phase || a.Ready != b.Ready || a.Desired.Release != b.Desired.Release || len(a.Whole.Spans) != len(b.Whole.Spans) ||
		x.Release != y.Release || !x.At.Equal(y.At) || !slices.Equal(a.Halted, b.Halted)
}

// askAfters has the gates read that speak of other fleets.
func (a *actor) askAfters() {
	for _, g := range a.gates {
		if _, other := g.Gatekeeper.(After); other {
			g.next = time.Time{}
		}
	}
}

// halts are the releases of which some record of the fleet has a halt that a raised retry did not end, sorted. Nobody asks where no fleet comes after this one.
func (a *actor) halts() (releases []string) {
	if !a.want.Awaited {
		return nil
	}
	for _, n := range a.order {
		for _, h := range n.record().Halts {
			if h.Retry >= a.want.Fleet.Retry && !n.excluded {
				releases = append(releases, h.Release)
			}
		}
	}
	slices.Sort(releases)
	return slices.Compact(releases)
}
