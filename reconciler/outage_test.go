package reconciler

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler/plan"
)

// Who was out the longest is told by what each pass saw, a minute apart.
func TestWhoWasOutTheLongest(t *testing.T) {
	t.Parallel()
	const in, out, gone, lost = plan.InService, plan.Draining, plan.Failed, plan.Unreachable
	for name, c := range map[string]struct {
		web1, web2 []plan.State
		node       string
		since      int // minutes from the beginning
		lasted     time.Duration
	}{
		"nobody":                     {[]plan.State{in, in, in}, []plan.State{in, in, in}, "", 0, 0},
		"one after another":          {[]plan.State{in, out, in, in, in}, []plan.State{in, in, out, out, in}, "web-2", 2, 2 * time.Minute},
		"the first of equals":        {[]plan.State{in, out, in, in}, []plan.State{in, in, out, in}, "web-1", 1, time.Minute},
		"until the end":              {[]plan.State{in, out, gone, gone}, []plan.State{in, out, in, in}, "web-1", 1, 2 * time.Minute},
		"out before it began":        {[]plan.State{gone, gone, in}, []plan.State{in, in, in}, "web-1", 0, 2 * time.Minute},
		"twice counts apart":         {[]plan.State{out, out, in, out}, []plan.State{in, in, in, in}, "web-1", 0, 2 * time.Minute},
		"unreachable ends nothing":   {[]plan.State{out, lost, out, in}, []plan.State{in, in, in, in}, "web-1", 0, 3 * time.Minute},
		"unreachable begins nothing": {[]plan.State{lost, lost, in}, []plan.State{in, in, in}, "", 0, 0},
	} {
		began := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		r, web1, web2 := rollout{Rollout: Rollout{Started: began}}, &node{}, &node{}
		web1.Name, web2.Name = "web-1", "web-2"
		web1.outAt = map[bool]time.Time{true: began.Add(-time.Hour)}[name == "out before it began"]
		at := began
		for i := range c.web1 {
			at = began.Add(time.Duration(i) * time.Minute)
			r.noteNode(web1, c.web1[i], at)
			r.noteNode(web2, c.web2[i], at)
		}
		r.Longest.end(at)
		got := r.Longest
		if got.Node != c.node || got.lasted(at) != c.lasted || c.node != "" && !got.Since.Equal(began.Add(time.Duration(c.since)*time.Minute)) {
			t.Errorf("%s: %+v, want %s for %v since minute %d", name, got, c.node, c.lasted, c.since)
		}
	}
}

// commitBy is commit, with who made it.
func (c *chronicle) commitBy(f *desired.Fleet, by desired.Commit) {
	c.states <- desired.State{Revision: "head", Fleets: map[string]desired.Version{"web": {Fleet: f, Revision: "head", Committed: by.Committed, Change: by}}}
	time.Sleep(time.Second)
}

// What a rollout is told to have been like does not depend on the agent that saw it living to its end.
func TestARolloutTellsWhatItWasLike(t *testing.T) {
	for _, restart := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := newChronicle(t)
			defer func() { c.kill() }()
			by := desired.Commit{Revision: "3f2a", Committed: time.Now(), Author: "somebody", Subject: "web v2"}
			c.commitBy(webFleet("v2"), by)
			c.until(t, "a drain", func(s Status) bool { return s.Rollout.Longest.Node != "" })
			left := c.status().Rollout.Longest
			if restart {
				c.restart(t, 10*time.Minute, webFleet("v2"), by.Committed)
			}
			c.until(t, "idle", idle)
			d := c.only(t)
			r := d.Rollout
			if r.Change != by || r.From != "v1" || r.FromRevision != versionOf("v1").Revision || r.Lowest != (Capacity{InService: 2, Size: 3}) || d.Reason != "" {
				t.Errorf("restart %v: it says of itself %+v", restart, r)
			}
			lasted := r.Longest.lasted(r.Ended)
			if lasted < time.Minute || restart && (r.Longest.Node != left.Node || !r.Longest.Since.Equal(left.Since) || lasted < 10*time.Minute) {
				t.Errorf("restart %v: out the longest was %+v, for %v; %+v left first", restart, r.Longest, lasted, left)
			}
		})
	}
}

// While something cannot be read nobody knows how many serve: that is no lowest.
func TestTheLowestIsOfWhatWasSeenWhole(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	whole, broken := plan.Source{At: now}, plan.Source{At: now, Err: "denied"}
	read, unread := []actuators.GroupState{{}}, []actuators.GroupState{{Err: "timeout"}}
	for name, c := range map[string]struct {
		found     plan.Source
		groups    []actuators.GroupState
		inService int
		want      Capacity
	}{
		"fewer":                  {whole, read, 1, Capacity{1, 3}},
		"more":                   {whole, read, 3, Capacity{2, 3}},
		"none at all":            {whole, read, 0, Capacity{0, 3}},
		"machines not listed":    {broken, read, 0, Capacity{2, 3}},
		"group cannot be read":   {whole, unread, 0, Capacity{2, 3}},
		"group was not read yet": {whole, nil, 0, Capacity{2, 3}},
	} {
		a := &actor{found: c.found, groups: c.groups, plan: plan.Plan{InService: c.inService, Size: 3}}
		a.want.Fleet = webFleet("v2")
		r := rollout{Rollout: Rollout{Started: now, Lowest: Capacity{2, 3}}}
		if r.note(a, now); r.Lowest != c.want {
			t.Errorf("%s: %+v, want %+v", name, r.Lowest, c.want)
		}
	}
}

// A halt is told with its reason.
func TestAHaltedRolloutSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChronicle(t)
		defer func() { c.kill() }()
		c.mu.Lock()
		c.comes = false // registering does nothing
		c.mu.Unlock()
		c.commit(webFleet("v2"), time.Now())
		c.until(t, "halted", func(s Status) bool { return s.Phase == plan.PhaseHalted })
		if d := c.only(t); d.Rollout.Result != ResultHalted || !strings.HasPrefix(d.Reason, "failed on web-1: ") || !strings.Contains(c.status().Reason, d.Reason) || d.Rollout.Longest.Until != d.Rollout.Ended {
			t.Errorf("it was told as %+v", d)
		}
	})
}
