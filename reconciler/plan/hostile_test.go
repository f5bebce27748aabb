package plan_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/reconciler/plan"
)

var (
	someTimes  = []time.Time{{}, start, start.Add(-time.Second), start.Add(-time.Minute), start.Add(-20 * time.Minute), start.Add(-48 * time.Hour), start.AddDate(-50, 0, 0), start.AddDate(900, 0, 0), start.Add(10 * time.Second)}
	someGroups = []string{"arn:web", "arn:two", "arn:former", "arn:foreign"}
	someStages = []actuators.Stage{actuators.Idle, actuators.Idle, actuators.Preparing, actuators.Leaving, actuators.Configuring, actuators.Verified, actuators.Failed}
)

func drawVersion(t *rapid.T, label string) actuators.Version {
	if rapid.IntRange(0, 5).Draw(t, label+"?") == 0 {
		return actuators.Version{}
	}
	v := version(rapid.SampledFrom([]string{"v1", "v2", "v3"}).Draw(t, label))
	if rapid.IntRange(0, 6).Draw(t, label+" algorithm") == 0 {
		v.Algorithm = 2
	}
	v.Commit = rapid.SampledFrom([]string{"", "", oneCommit, otherCommit}).Draw(t, label+" commit")
	return v
}

func drawPlaces(t *rapid.T, label, name string) []actuators.Membership {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) actuators.Membership {
		return actuators.Membership{Group: rapid.SampledFrom(someGroups).Draw(t, "group"), ID: rapid.SampledFrom([]string{name, name, "web-2", "evil"}).Draw(t, "id"), Port: rapid.SampledFrom([]int{0, 80, 8080}).Draw(t, "port")}
	}), 0, 3).Draw(t, label)
}

func drawRecord(t *rapid.T, n actuators.Node) actuators.NodeRecord {
	r := actuators.NodeRecord{
		Schema: 1, Fleet: "web", Instance: rapid.SampledFrom([]string{n.ID, n.ID, n.ID, "m-other"}).Draw(t, "instance"),
		Stage: rapid.SampledFrom(someStages).Draw(t, "stage"), StageAt: rapid.SampledFrom(someTimes).Draw(t, "stageAt"),
		On: drawVersion(t, "on"), Proven: drawVersion(t, "proven"), Previous: drawVersion(t, "previous"),
		Spoiled: rapid.Bool().Draw(t, "spoiled"), Taken: drawPlaces(t, "taken", n.Name), Places: drawPlaces(t, "places", n.Name),
		Prepared: rapid.SampledFrom([]string{"", "d1-v2"}).Draw(t, "prepared"),
	}
	r.Try = actuators.Try{Version: drawVersion(t, "try"), ID: "x", Retry: rapid.SampledFrom([]int{0, 0, 1, actuators.MaxRetry}).Draw(t, "try.retry"), Failures: rapid.SampledFrom([]int{0, 0, 1, 2, 1 << 40}).Draw(t, "failures"), At: rapid.SampledFrom(someTimes).Draw(t, "try.at"), Error: "e", Earlier: rapid.SampledFrom([]string{"", "d1-v0"}).Draw(t, "earlier")}
	if rapid.IntRange(0, 4).Draw(t, "halts") == 0 {
		r.Halts = []actuators.Halt{{Digest: rapid.SampledFrom([]string{"d1-v1", "d1-v2"}).Draw(t, "halt"), Release: "v2", Node: "web-1", Reason: "r", Retry: rapid.SampledFrom([]int{0, actuators.MaxRetry - 1}).Draw(t, "halt.retry"), At: rapid.SampledFrom(someTimes).Draw(t, "halt.at")}}
	}
	if r.Stage != actuators.Idle && r.Stage != actuators.Failed || rapid.IntRange(0, 9).Draw(t, "claim") == 0 {
		r.Claim = &actuators.Claim{Holder: rapid.SampledFrom([]string{"agent-a", "agent-a", "agent-a", "agent-b"}).Draw(t, "holder"), Epoch: 3, Nonce: rapid.SampledFrom([]string{"n3", "n2"}).Draw(t, "nonce"), Expires: rapid.SampledFrom(someTimes[1:]).Draw(t, "expires")}
	}
	if rapid.IntRange(0, 3).Draw(t, "facts") == 0 {
		r.Schema, r.Facts = 3, drawFacts(t)
	}
	return r
}

// drawFacts draws what a record says of others: of some that are there, and of some that nobody knows.
func drawFacts(t *rapid.T) []actuators.Fact {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) actuators.Fact {
		if rapid.IntRange(0, 2).Draw(t, "whole") == 0 {
			return drawSpan(t)
		}
		node := rapid.SampledFrom([]string{"web-1", "web-2", "web-3", "web-9"}).Draw(t, "node")
		return actuators.Fact{Kind: actuators.Away, Node: node, Instance: rapid.SampledFrom([]string{"m-" + node, "m-web-2", "m-other"}).Draw(t, "instance"), Release: "v2"}
	}), 0, 4).Draw(t, "facts")
}

// drawSpan draws what a record says of when the fleet had a release: of times that are over, to come, and none.
func drawSpan(t *rapid.T) actuators.Fact {
	times := []time.Time{start.Add(-3 * time.Hour), start.Add(-time.Hour), start.Add(time.Hour)}
	return actuators.Fact{
		Kind: actuators.Whole, Release: rapid.SampledFrom([]string{"v1", "v1", "v2"}).Draw(t, "release"),
		At: rapid.SampledFrom(times).Draw(t, "at"), Until: rapid.SampledFrom(append(times, time.Time{})).Draw(t, "until"),
	}
}

// tellOf counts the fleet's nodes, and the records that tell of a span.
func tellOf(want plan.Want, w plan.World, s plan.Span) (n, of int) {
	for _, node := range w.Nodes {
		if plan.Excludes(want.Fleet, node.Node) {
			continue
		}
		if of++; node.Host != nil && slices.ContainsFunc(node.Host.Record.Facts, func(f actuators.Fact) bool {
			return f.Kind == actuators.Whole && f.Release == s.Release && f.At.Equal(s.At) && f.Until.Equal(s.Until)
		}) {
			n++
		}
	}
	return n, of
}

func drawWorld(t *rapid.T) (plan.Want, plan.World) {
	size := rapid.IntRange(1, 5).Draw(t, "nodes")
	w := fleetOf(size, "v1")
	groups := rapid.IntRange(0, 2).Draw(t, "groups")
	w.Groups = nil
	for g := range groups {
		gs := actuators.GroupState{Group: actuators.Group{ID: someGroups[g], Name: someGroups[g]}, TargetType: "ip", Port: 8080, At: start, Rules: actuators.Rules{Delay: 5 * time.Second}}
		for i := range w.Nodes {
			if rapid.IntRange(0, 3).Draw(t, "member") > 0 {
				m := memberOf(w.Nodes[i].Name, rapid.SampledFrom([]actuators.TargetStatus{actuators.TargetHealthy, actuators.TargetHealthy, actuators.TargetHealthy, actuators.TargetUnhealthy, actuators.TargetInitial, actuators.TargetDraining, actuators.TargetRamping, actuators.TargetUnknown, actuators.TargetUnused}).Draw(t, "status"))
				m.Group = gs.ID
				gs.Members = append(gs.Members, m)
			}
		}
		w.Groups = append(w.Groups, gs)
	}
	for _, id := range someGroups[groups:] {
		w.Former = append(w.Former, actuators.GroupState{Group: actuators.Group{ID: id, Name: id}, TargetType: "ip", At: start, Err: "gone", Missing: true})
	}
	for i := range w.Nodes {
		n := &w.Nodes[i]
		if rapid.IntRange(0, 4).Draw(t, "static") == 0 {
			n.ID = ""
		}
		switch rapid.IntRange(0, 9).Draw(t, "host") {
		case 0:
			n.Host, n.Read = nil, plan.Source{Err: "timeout"}
			continue
		case 1:
			n.Read.Err = "timeout"
		}
		n.Host.Record = drawRecord(t, actuators.Node{Name: n.Name, ID: n.Host.Machine})
		n.Host.Job = actuators.JobState{Key: rapid.SampledFrom([]string{"", "d1-v2-x-0-activate", "d1-v1-x-0-activate"}).Draw(t, "job"), Exited: rapid.Bool().Draw(t, "exited"), Exit: rapid.IntRange(0, 1).Draw(t, "exit")}
		n.Staged = start.Add(-time.Minute)
		n.Out = rapid.SampledFrom([]time.Time{{}, start.Add(-time.Hour), start.Add(-time.Second)}).Draw(t, "out")
		n.OutSince = n.Out
		n.Asked = rapid.SampledFrom([]plan.Kind{"", plan.Drain, plan.Add}).Draw(t, "asked")
		n.AskedAt = start.Add(-time.Duration(rapid.IntRange(0, 20).Draw(t, "askedAt")) * time.Second)
		n.Health = plan.Health{Release: rapid.SampledFrom([]string{"v1", "v2", ""}).Draw(t, "checked"), Phase: rapid.SampledFrom([]plan.WatchPhase{plan.WatchIdle, plan.WatchVerify, plan.WatchBake}).Draw(t, "phase"), Since: start.Add(-time.Minute),
			Verdict: health.Verdict{Status: rapid.SampledFrom([]health.Status{health.Passing, health.Pending, health.Failing, health.Contradicted, health.Unknown}).Draw(t, "verdict"), Reason: "because"}}
		if n.Health.Status == health.Pending {
			n.Health.Deadline = start.Add(time.Minute)
		}
	}
	if rapid.IntRange(0, 4).Draw(t, "remembers") == 0 {
		w.Facts = drawFacts(t)
	}
	if rapid.IntRange(0, 6).Draw(t, "unlisted") == 0 {
		w.Inventory.Err = "throttled"
	}
	w.Progress = start.Add(-time.Duration(rapid.IntRange(0, 60).Draw(t, "progress")) * time.Minute)
	want := wants(rapid.SampledFrom([]string{"v1", "v2"}).Draw(t, "want"), func(f *desired.Fleet) {
		f.LoadBalancers = f.LoadBalancers[:0]
		for g := range groups {
			f.LoadBalancers = append(f.LoadBalancers, desired.LoadBalancer{TargetGroup: someGroups[g]})
		}
		f.Rollout.MaxUnavailable.Count = rapid.IntRange(1, 3).Draw(t, "max")
		f.Rollout.AllowOutage = rapid.Bool().Draw(t, "outage")
		f.Retry = rapid.SampledFrom([]int{0, 1}).Draw(t, "retry")
		if rapid.IntRange(0, 3).Draw(t, "exclude") == 0 {
			f.Nodes.Exclude = []desired.Exclusion{{Name: rapid.SampledFrom([]string{"web-1", "web-2", "web-3"}).Draw(t, "excluded"), Reason: "x"}}
		}
		if rapid.IntRange(0, 4).Draw(t, "paused") == 0 {
			f.Paused = &desired.Pause{Reason: "p"}
		}
		if rapid.IntRange(0, 4).Draw(t, "prepare") == 0 {
			f.Configure.Prepare = []desired.Step{{Name: "fetch", Run: "fetch"}}
		}
	})
	want.Awaited = rapid.Bool().Draw(t, "awaited")
	return want, w
}

// Whatever records say, a plan is the same twice, wakes later than now, gives reasons, writes records that can be written, registers
// only where the file says and under the node's own id, leaves no node that is not well without a word, remembers no more than there are
// nodes, believes of a span that is over more than half of the nodes and of one that goes on all of them alone, and is idle only when all have what is wanted (laws 5, 6, 11, 15, 17, 23).
func TestPlansOfHostileRecordsKeepTheLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, w := drawWorld(t)
		given, _ := json.Marshal(w)
		p := plan.Next(want, w)
		if after, _ := json.Marshal(w); string(given) != string(after) {
			t.Fatalf("the plan changed what was seen, from\n%s\nto\n%s", given, after)
		}
		for _, s := range p.Whole.Spans {
			told, of := tellOf(want, w, s)
			if s.Lasted() > 0 && (told <= of/2 || s.GoesOn() && told < of) {
				t.Fatalf("law 4: %d of %d records tell of %+v, and it is believed", told, of, s)
			}
		}
		if len(p.Facts) > len(w.Nodes) {
			t.Fatalf("law 11: %d facts about %d nodes", len(p.Facts), len(w.Nodes))
		}
		if q := plan.Next(want, plan.Copy(w)); !reflect.DeepEqual(p, q) {
			t.Fatalf("law 5: two plans of one world:\n%+v\n%+v", p, q)
		}
		if !p.WakeAt.IsZero() && p.WakeAt.Sub(w.Now) < 5*time.Millisecond && len(p.Steps) == 0 && !p.Reread {
			t.Fatalf("wakes %s from now", p.WakeAt.Sub(w.Now))
		}
		steps := map[string]int{}
		for _, s := range p.Steps {
			steps[s.Node]++
			if s.Reason == "" {
				t.Fatalf("law 6: %s of %s has no reason", s.Kind, s.Node)
			}
			if s.Record != nil {
				r := s.Record.Clone()
				if r.Claim != nil {
					r.Claim.Expires = start
				}
				if _, err := actuators.EncodeRecord(r); err != nil {
					t.Fatalf("%s of %s cannot be written: %v", s.Kind, s.Node, err)
				}
			}
			for _, m := range s.Targets {
				named := false
				for _, lb := range want.Fleet.LoadBalancers {
					named = named || lb.TargetGroup == m.Group
				}
				if s.Kind == plan.Add && (!named || m.ID != s.Node) {
					t.Fatalf("law 17: adds %s for %s", m, s.Node)
				}
			}
		}
		for _, n := range p.Nodes {
			if steps[n.Name] > 1 {
				t.Fatalf("%d steps at once on %s", steps[n.Name], n.Name)
			}
			if p.Phase == plan.PhaseIdle && (n.Outdated || n.UnderWay) {
				t.Fatalf("idle, and %s is %s: %s", n.Name, n.State, n.Reason)
			}
			if n.State != plan.InService && n.Reason == "" && steps[n.Name] == 0 {
				t.Fatalf("law 23: %s is %s and nothing says why; phase %s: %s", n.Name, n.State, p.Phase, p.Reason)
			}
		}
	})
}
