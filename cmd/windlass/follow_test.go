package main

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"windlass/internal/follow"
	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// A log is what was written so far, by whoever writes.
type log struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func wantsOf(revision, release string, phase plan.Phase, reason string, inService int, nodes ...web.Node) string {
	return event("fleet", web.Fleet{
		Name: "web", Phase: phase, Reason: reason, InService: inService, Size: 2, Nodes: nodes,
		Desired: web.Desired{Revision: revision, Release: release, Digest: "d-" + release},
	}) + event("repo", web.Repo{Revision: revision})
}

func TestFollowEndsAsTheFleetDoes(t *testing.T) {
	t.Parallel()
	var (
		old     = wantsOf("old", "v1", plan.PhaseIdle, "2 of 2 in service with v1", 2, web.Node{Name: "web-1", Release: "v1", State: plan.InService})
		rolling = wantsOf("new", "v2", plan.PhaseProgressing, "1 of 2 nodes under way", 1, web.Node{Name: "web-1", Release: "v1", State: plan.Draining, Reason: "3 connections"})
		done    = wantsOf("new", "v2", plan.PhaseIdle, "2 of 2 in service with v2", 2, web.Node{Name: "web-1", Release: "v2", State: plan.InService})
		halted  = wantsOf("new", "v2", plan.PhaseHalted, "v2 failed on web-1", 1)
		newer   = wantsOf("newer", "v3", plan.PhaseProgressing, "1 of 2 nodes under way", 1)
	)
	begins := event("fleet", web.Fleet{Name: "web"}) + event("repo", web.Repo{Revision: "new"})
	refused := event("fleet", web.Fleet{Name: "web", Desired: web.Desired{Revision: "old"}, Rejected: &web.Rejection{Revision: "new", Errors: []string{"fleets/web.yaml:3:1: no"}}})
	for name, c := range map[string]struct {
		events []string
		err    string // of an error that is told; empty: the code
		code   code
		out    []string
		stderr string
	}{
		"in service": {[]string{old, rolling, done}, "", 0, []string{
			"the agent has not read the deploy repo yet\n", "the agent has not seen commit new yet\n", "  web-1  draining       v1  3 connections\n",
			"  fleet  progressing    v2  1 of 2 nodes under way\n", "  web-1  in service     v2\n", "web: v2 in service on 2 of 2, followed for 0s, at least 1 in service meanwhile\n"}, ""},
		"halted":      {[]string{rolling, halted}, "", hasHalted, []string{"web: halted: v2 failed on web-1\n"}, ""},
		"superseded":  {[]string{rolling, newer}, "", isSuperseded, []string{"web: superseded: commit newer wants v3\n"}, ""},
		"refused":     {[]string{old, refused}, "web: the agent refuses the commit: fleets/web.yaml:3:1: no", 0, nil, ""},
		"a new agent": {[]string{rolling, "", done}, "", 0, []string{"web: v2 in service on 2 of 2"}, "was lost; trying again\n"},
		"an agent that ends": {[]string{rolling, "event: end\ndata: {\"reason\":\"the agent ends\"}\n\n", "", done}, "", 0, []string{"web: v2 in service on 2 of 2"},
			"ended the connection: the agent ends; trying again\n"},
		"a new agent that has not looked yet": {[]string{rolling, "", begins, done}, "", 0, []string{
			"  web-1  draining       v1  3 connections\n", "  fleet  progressing    v2  1 of 2 nodes under way\n", "  web-1  in service     v2\n",
			"  fleet  idle           v2  2 of 2 in service with v2\nweb: v2 in service on 2 of 2, followed for ", "s, at least 1 in service meanwhile\n"}, "was lost; trying again\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events := make(chan string)
			c2, err := newClient(agentAddress{server: fakeAgent(t, events).URL})
			if err != nil {
				t.Fatal(err)
			}
			defer c2.close()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			go sendAll(ctx, events, c.events)
			var out, stderr log
			err = newFollower(c2, follow.Aim{Fleet: "web", Revision: "new", Release: "v2"}, 0, &out, &stderr).run(ctx)
			said := ""
			if _, known := err.(code); err != nil && !known {
				said = err.Error()
			}
			if want := orNone(c.code); said != c.err || said == "" && err != want {
				t.Errorf("%v, want %v %s", err, want, c.err)
			}
			last := -1
			for _, want := range c.out {
				at := strings.Index(out.String(), want)
				if at <= last {
					t.Errorf("no %q in its place in\n%s", want, out.String())
				}
				last = at
			}
			if !strings.Contains(stderr.String(), c.stderr) || c.stderr == "" && stderr.String() != "" {
				t.Errorf("on standard error: %s", stderr.String())
			}
		})
	}
}

// Neither a time-out nor Ctrl-C ends more than the following.
func TestFollowIsLeft(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		timeout time.Duration
		want    code
		stderr  string
	}{
		"time-out": {time.Nanosecond, ranOut, "windlass: not at its end after 1ns, and it goes on; windlass follow web follows it again\n"},
		"Ctrl-C":   {0, interrupted, "windlass: not followed any more, and it goes on; windlass follow web follows it again\n"},
	} {
		agent, err := newClient(agentAddress{server: fakeAgent(t, nil).URL})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if c.want == interrupted {
			cancel()
		}
		var out, stderr log
		if err := newFollower(agent, follow.Aim{Fleet: "web"}, c.timeout, &out, &stderr).run(ctx); err != c.want || stderr.String() != c.stderr {
			t.Errorf("%s: %v, %s", name, err, stderr.String())
		}
		cancel()
		agent.close()
	}
}
