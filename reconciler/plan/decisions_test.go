package plan_test

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/reconciler/plan"
)

// The decision as tables: what is decided in each of many small situations, in all words that people see, with what is written to the node.
// testdata/decisions has a file for each table. A change of the decision shows there as what it does to whom; whoever makes it reads that
// the laws still hold, and writes the tables anew with go test -update.

// A situation is one world, told as how it differs from a quiet fleet of four that serves v1 and is to get v2.
type situation struct {
	name  string
	world plan.World
	want  plan.Want
}

// A twist changes a quiet fleet.
type twist struct {
	name string
	do   func(*plan.World, *desired.Fleet)
}

// quiet is the fleet that situations begin with.
func quiet(release string, twists ...twist) situation {
	w := fleetOf(4, "v1")
	var names []string
	want := wants(release, func(f *desired.Fleet) {
		for _, t := range twists {
			if names = append(names, t.name); t.do != nil {
				t.do(&w, f)
			}
		}
	})
	if names = slices.DeleteFunc(names, func(n string) bool { return n == "" }); len(names) == 0 {
		names = []string{"nothing else"}
	}
	return situation{strings.Join(names, ", "), w, want}
}

// on is a twist of one node.
func on(i int, name string, do func(n *plan.Node, r *actuators.NodeRecord)) twist {
	return twist{name, func(w *plan.World, _ *desired.Fleet) { do(&w.Nodes[i], &w.Nodes[i].Host.Record) }}
}

// place is a twist of how the first group sees a node.
func place(i int, name string, status actuators.TargetStatus, atFault bool) twist {
	return twist{name, func(w *plan.World, _ *desired.Fleet) {
		m := memberIn(w, i)
		m.Status, m.Reason, m.AtFault = status, string(status), atFault
		if status == actuators.TargetUnhealthy && !atFault {
			m.Reason = "Elb.InternalError"
		}
	}}
}

func memberIn(w *plan.World, i int) *actuators.Target {
	at := slices.IndexFunc(w.Groups[0].Members, func(t actuators.Target) bool { return t.ID == w.Nodes[i].Name })
	return &w.Groups[0].Members[at]
}

// gone is a twist of a node that has been in no group for so long.
func gone(i int, name string, since time.Duration) twist {
	return twist{name, func(w *plan.World, _ *desired.Fleet) {
		for g := range w.Groups {
			w.Groups[g].Members = slices.DeleteFunc(w.Groups[g].Members, func(t actuators.Target) bool { return t.ID == w.Nodes[i].Name })
		}
		w.Nodes[i].Out, w.Nodes[i].OutSince = start.Add(-since), start.Add(-since)
	}}
}

// under is a twist of a node that this agent works on since a minute, and that has v2 tried on it.
func under(i int, s actuators.Stage, also ...twist) twist {
	return twist{"", func(w *plan.World, f *desired.Fleet) {
		r := own(w, i, s)
		r.StageAt = start.Add(-time.Minute)
		w.Nodes[i].Staged = r.StageAt
		if s != actuators.Preparing {
			r.Taken = []actuators.Membership{memberIn(w, i).Membership}
		}
		if s != actuators.Leaving {
			r.Try = actuators.Try{Version: version("v2"), ID: "x"}
		}
		if s == actuators.Configuring || s == actuators.Verified || s == actuators.Failed {
			r.On = version("v2")
		}
		if s == actuators.Failed {
			r.Claim = nil
		}
		for _, t := range also {
			t.do(w, f)
		}
	}}
}

// checks is what a node's checks say.
func checks(phase plan.WatchPhase, release string, status health.Status) plan.Health {
	h := plan.Health{Release: release, Phase: phase, Since: start.Add(-20 * time.Second), Verdict: health.Verdict{Status: status, Reason: "check serves: " + cmp.Or(string(status), "unheard")}}
	if status == health.Pending {
		h.Deadline = start.Add(40 * time.Second)
	}
	return h
}

func ended(key string, exit int) actuators.JobState {
	return actuators.JobState{Key: key, Exited: true, Exit: exit, Step: "install", Tail: "one\n two \n"}
}

// crossed are all situations that take one twist of each list.
func crossed(releases []string, lists ...[]twist) []situation {
	rows := [][]twist{nil}
	for _, list := range lists {
		var longer [][]twist
		for _, row := range rows {
			for _, t := range list {
				longer = append(longer, append(slices.Clone(row), t))
			}
		}
		rows = longer
	}
	var all []situation
	for _, row := range rows {
		for _, release := range releases {
			s := quiet(release, row...)
			s.name = release + " wanted, " + s.name
			all = append(all, s)
		}
	}
	return all
}

// decided tells a plan: the fleet, each node that does not just serve, what is done, and what is awaited.
func decided(s situation) string { return planTold(plan.Next(s.want, s.world), s.world) }

func planTold(p plan.Plan, w plan.World) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", p.Phase, p.Reason)
	fmt.Fprintf(&b, "    %d of %d in service, floor %d", p.InService, p.Size, p.Floor)
	fmt.Fprint(&b, words([]bool{p.Reread, p.Refresh, p.Stalled}, "; read balancers again", "; read records again", "; stalled"))
	if len(p.Soon) > 0 {
		fmt.Fprintf(&b, "; soon %s", strings.Join(p.Soon, " "))
	}
	if !p.WakeAt.IsZero() {
		fmt.Fprintf(&b, "; wake %s", moment(p.WakeAt))
	}
	b.WriteString("\n")
	for _, n := range p.Nodes {
		plain := n.Name != "web-1" && strings.HasPrefix(n.Reason, "serves v1, wanted is")
		if !plain && (n.State != plan.InService || n.Outdated || n.UnderWay || n.Reason != "") {
			fmt.Fprintf(&b, "    %s\n", nodeTold(n))
		}
	}
	for _, st := range p.Steps {
		fmt.Fprintf(&b, "    → %s\n", stepTold(st, w))
	}
	for _, x := range p.Watch {
		fmt.Fprintf(&b, "    → watch %s %s %q %s\n", x.Node, x.Phase, x.Release, x.Steady)
	}
	for _, h := range p.Holds {
		fmt.Fprintf(&b, "    %s (%s)\n", h, h.Cause)
	}
	if p.Halt != nil {
		fmt.Fprintf(&b, "    halt %s\n", told(*p.Halt))
	}
	for _, f := range p.Facts {
		fmt.Fprintf(&b, "    fact %s\n", told(f))
	}
	return b.String()
}

func nodeTold(n plan.NodeStatus) string {
	out := fmt.Sprintf("%s %s %s", n.Name, n.State, cmp.Or(n.Release, "-"))
	out += words([]bool{n.UnderWay, n.Outdated, n.Drift, n.Foreign}, ", under way", ", outdated", ", drift", ", foreign")
	if n.Attempt > 0 {
		out += fmt.Sprintf(", attempt %d", n.Attempt)
	}
	if !n.Since.IsZero() {
		out += ", since " + moment(n.Since)
	}
	if !n.Deadline.IsZero() {
		out += ", until " + moment(n.Deadline)
	}
	return out + ": " + n.Reason
}

// words are those that are true.
func words(are []bool, say ...string) string {
	var out string
	for i, is := range are {
		if is {
			out += say[i]
		}
	}
	return out
}

// stepTold tells a step with what it changes in the record.
func stepTold(s plan.Step, w plan.World) string {
	out := strings.TrimSpace(fmt.Sprintf("%s %s", s.Kind, s.Node))
	if len(s.Targets) > 0 {
		out += " " + told(s.Targets)
	}
	if s.Job.Key != "" {
		out += fmt.Sprintf(" job %s (%s after %q, prepare %t, activate %t)", s.Job.Key, told(s.Job.Version), s.Job.Previous, s.Job.Prepare, s.Job.Activate)
	}
	out += ": " + s.Reason
	if s.Record == nil {
		return out
	}
	var was actuators.NodeRecord
	for _, n := range w.Nodes {
		if n.Name == s.Node && n.Host != nil {
			was = n.Host.Record
		}
	}
	was.Schema = s.Record.Schema
	before, after := reflect.ValueOf(was), reflect.ValueOf(*s.Record)
	for i := range before.NumField() {
		if !reflect.DeepEqual(before.Field(i).Interface(), after.Field(i).Interface()) {
			out += fmt.Sprintf("\n        %s %s", before.Type().Field(i).Name, told(after.Field(i).Interface()))
		}
	}
	return out
}

// told is a part of a record in short.
func told(v any) string {
	switch v := v.(type) {
	case actuators.Version:
		return cmp.Or(strings.TrimPrefix(v.Digest, "d1-"), "nothing")
	case *actuators.Claim:
		if v == nil {
			return "none"
		}
		return fmt.Sprintf("%s %d %s", v.Holder, v.Epoch, v.Nonce)
	case actuators.Try:
		return fmt.Sprintf("%s #%s, retry %d, %d failures, %q, earlier %q, at %s", told(v.Version), v.ID, v.Retry, v.Failures, v.Error, v.Earlier, moment(v.At))
	case []actuators.Membership:
		var all []string
		for _, m := range v {
			all = append(all, m.String())
		}
		return "[" + strings.Join(all, " ") + "]"
	case actuators.Halt:
		return fmt.Sprintf("%s %s %s, retry %d, on %s: %s", v.Digest, v.Release, v.Revision, v.Retry, v.Node, v.Reason)
	case []actuators.Halt:
		var all []string
		for _, h := range v {
			all = append(all, told(h))
		}
		return strings.Join(all, "; ")
	case actuators.Fact:
		return fmt.Sprintf("%s %s (%s) %s", v.Kind, v.Node, v.Instance, v.Release)
	case []actuators.Fact:
		var all []string
		for _, f := range v {
			all = append(all, told(f))
		}
		return strings.Join(all, "; ")
	case actuators.Stage:
		return cmp.Or(string(v), "idle")
	case time.Time:
		return moment(v)
	}
	return fmt.Sprintf("%v", v)
}

// moment is an instant as people say it: from the start of the situation.
func moment(t time.Time) string {
	if t.IsZero() {
		return "then"
	}
	if d := t.Sub(start); d != 0 {
		return fmt.Sprintf("%+.9g s", d.Seconds())
	}
	return "now"
}

// briefly tells a plan by what is done and not done.
func briefly(s situation) string {
	p := plan.Next(s.want, s.world)
	out := fmt.Sprintf("%d of %d in service, floor %d: %s", p.InService, p.Size, p.Floor, cmp.Or(kindsOf(p, ""), "nothing"))
	out += words([]bool{p.Reread, p.Refresh, p.Stalled}, "; read balancers again", "; read records again", "; stalled")
	if !p.WakeAt.IsZero() {
		out += "; wake " + moment(p.WakeAt)
	}
	for _, x := range p.Watch {
		out += fmt.Sprintf("; watch %s %s %q", x.Node, x.Phase, x.Release)
	}
	for _, h := range p.Holds {
		out += "\n    " + h.String()
	}
	for _, f := range p.Facts {
		out += "\n    fact " + told(f)
	}
	return out + "\n"
}

// foreseen tells a forecast: each event, and how it ends.
func foreseen(s situation) string {
	f := plan.Foresee(s.want, s.world)
	var b strings.Builder
	for _, e := range f.Events {
		fmt.Fprintf(&b, "%d in service: %s %s: %s\n", e.InService, e.Kind, e.Node, e.Reason)
	}
	fmt.Fprintf(&b, "lowest %d, %d left, ", f.Lowest, f.Left)
	return b.String() + planTold(f.End, s.world)
}

// grouped tells situations that are decided alike together.
func grouped(all []situation, decided func(situation) string) string {
	var order []string
	when := map[string][]string{}
	for _, s := range all {
		d := decided(s)
		if when[d] == nil {
			order = append(order, d)
		}
		when[d] = append(when[d], s.name)
	}
	var b strings.Builder
	for _, d := range order {
		fmt.Fprintf(&b, "%s\n%s\n", strings.Join(when[d], "\n"), d)
	}
	return b.String()
}

func TestDecisions(t *testing.T) {
	for name, c := range map[string]struct {
		all  func() []situation
		tell func(situation) string
	}{
		"at rest": {atRest, decided}, "under way": {underWay, decided}, "pairs": {pairs, briefly}, "without balancers": {alone, briefly}, "fleets": {fleets, decided},
		"groups": {groups, briefly}, "surely out": {surelyOut, decided}, "in flight": {inFlight, decided}, "forecasts": {forecasts, foreseen},
		"drains": {drains, drainTold}, "zones": {zoned, briefly}, "gates": {gates, briefly},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			golden(t, "decisions/"+name, grouped(c.all(), c.tell))
		})
	}
}
