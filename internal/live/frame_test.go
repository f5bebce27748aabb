package live_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"windlass/internal/live"
	"windlass/internal/web"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

var update = flag.Bool("update", false, "write the frames anew")

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// rolling is a fleet of so many nodes, the first of which are done; some more are on their way.
func rolling(name string, nodes, done int, way ...plan.State) web.Fleet {
	f := web.Fleet{
		Name: name, Phase: plan.PhaseProgressing, Reason: fmt.Sprintf("%d of %d nodes under way, %d to go", len(way), nodes, nodes-done-len(way)),
		Desired: web.Desired{Release: "v1.4.2", Revision: "3f2a9c1d4b5e"}, Size: nodes, InService: nodes - len(way), Floor: nodes - 1,
		Rollout: web.Rollout{
			Trigger: reconciler.TriggerCommit, Release: "v1.4.2", From: "v1.4.1", Started: noon.Add(-5 * time.Minute), Planned: nodes, Completed: done,
			Change: &web.Change{Author: "Anna", Subject: "web: keep sessions longer"},
		},
		Expected: &web.Expected{Nodes: nodes - done, Ends: noon.Add(500 * time.Second)},
		Plan:     web.Plan{Holds: []string{"hold: 7 of 8 in service, floor is 7 (maxUnavailable 1)"}},
	}
	for i := range nodes {
		n := web.Node{Name: fmt.Sprintf("web-%d", i+1), Release: "v1.4.1", State: plan.Outdated, Reason: "serves v1.4.1, wanted is v1.4.2"}
		switch {
		case i < done:
			n.Release, n.State, n.Reason = "v1.4.2", plan.InService, ""
		case i < done+len(way):
			n.State, n.Reason, n.Attempt = way[i-done], "waits for 3 connections to close", 1
			n.Since, n.Deadline = noon.Add(-12*time.Second), noon.Add(588*time.Second)
		}
		f.Nodes = append(f.Nodes, n)
	}
	return f
}

// halted is a fleet whose first node failed.
func halted() web.Fleet {
	f := rolling("web-live", 8, 0, plan.Failed)
	n := &f.Nodes[0]
	n.Deadline, n.Attempt, n.Release = time.Time{}, 2, "v1.4.2"
	n.Reason = "check serves: GET http://10.0.1.11:8080/version: 503, want 200; 2 of 2 attempts used up"
	n.Tail = "web.service: starting\nerror: cannot open /etc/web/web.env: permission denied\nweb.service: main process exited, status 1"
	f.Phase, f.Reason, f.Expected, f.Plan.Holds = plan.PhaseHalted, "v1.4.2 failed on web-1: check serves: 503, want 200; revert it, commit a fix, or set retry to 1 to try it again", nil, nil
	f.Rollout.Ended, f.Rollout.Result = noon.Add(-95*time.Second), reconciler.ResultHalted
	return f
}

func idle(name string, nodes int) web.Fleet {
	f := rolling(name, nodes, nodes)
	f.Phase, f.Reason, f.Expected, f.Plan.Holds = plan.PhaseIdle, fmt.Sprintf("%d of %[1]d in service with v1.4.2", nodes), nil, nil
	f.Rollout.Ended, f.Rollout.Result = noon.Add(-95*time.Second), reconciler.ResultSucceeded
	return f
}

// hostile is a fleet all of whose texts are somebody's who means ill, or comes from far away.
func hostile() web.Fleet {
	f := rolling("wéb-日本", 3, 1, plan.Draining)
	f.Rollout.Change = &web.Change{Author: "Eve\x1b[2J\x1b]0;owned\a", Subject: "\u202egnp.exe\r\nweb: idle"}
	f.Reason = "ready\x1b[10A\x1b[2K\nweb  idle \x9b31m"
	f.Nodes[0].Name, f.Nodes[1].Name = "节点-一号", "🚀-node\u200d\u0301"
	f.Nodes[1].Reason = "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMIbPxRfiCYEXAMPLEKEYabcdefgh and then 漢字漢字漢字漢字漢字漢字漢字漢字漢字漢字"
	f.Nodes[2].Tail = "boom\x1b[H\rover\x07"
	return f
}

func events(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("12:00:%02d  web-%d  draining       v1.4.1  waits for 3 connections to close", i, i+1))
	}
	return all
}

// frames are pictures in windows, by the file that holds what is shown.
func frames() map[string]string {
	big := rolling("web-live", 500, 137, plan.Baking, plan.Configuring, plan.Draining, plan.Draining)
	lost := rolling("web-live", 500, 0)
	for i := range lost.Nodes {
		n := &lost.Nodes[i]
		n.State, n.Reason = plan.Unreachable, "cannot read node "+n.Name+": dial tcp 10.0.1.1:22: i/o timeout"
		lost.Plan.Holds = append(lost.Plan.Holds, "hold: "+n.Reason)
	}
	lost.Phase, lost.Reason, lost.Expected = plan.PhaseWaiting, "500 nodes cannot be read", nil
	rejected := idle("web-live", 4)
	rejected.Phase, rejected.Reason = plan.PhaseInvalid, "fleets/web.yaml:4:10: release is not allowed"
	rejected.Rejected = &web.Rejection{Path: "fleets/web.yaml", Revision: "aa11bb22cc33", Errors: []string{"fleets/web.yaml:4:10: release is not allowed", "fleets/web.yaml:12:3: unknown key"}}
	rejected.Excluded = []web.Exclusion{{Name: "web-9", Reason: "disk swap"}}
	untimed := rolling("web-live", 8, 0, plan.Draining)
	untimed.Expected = nil
	several := []web.Fleet{idle("api", 3), rolling("jobs", 4, 1, plan.Verifying), halted(), idle("web-staging", 2)}
	many := several
	for i := range 40 {
		many = append(many, idle(fmt.Sprintf("zone-%d", i), 2))
	}
	one := func(f web.Fleet) live.Picture { return live.Picture{Fleets: []web.Fleet{f}, Events: events(12)} }
	of := func(p live.Picture, width, height int) string {
		return strings.Join(live.Frame(p, live.Window{Width: width, Height: height, Now: noon}), "\n") + "\n"
	}
	troubled := one(rolling("web-live", 8, 3, plan.Draining))
	troubled.Trouble, troubled.Repo.Problem = "the connection to the agent at http://127.0.0.1:9190 was lost; trying again", "cannot read it"
	return map[string]string{
		"rolling-80x24": of(one(rolling("web-live", 8, 3, plan.Draining)), 80, 24), "rolling-120x40": of(one(rolling("web-live", 8, 3, plan.Draining)), 120, 40),
		"rolling-20x5": of(one(rolling("web-live", 8, 3, plan.Draining)), 20, 5), "rolling-40x10": of(one(rolling("web-live", 8, 3, plan.Draining)), 40, 10),
		"rolling-0x0": of(one(rolling("web-live", 8, 3, plan.Draining)), 0, 0),
		"many-80x24":  of(one(big), 80, 24), "many-20x5": of(one(big), 20, 5), "lost-80x24": of(one(lost), 80, 24), "lost-120x40": of(one(lost), 120, 40),
		"halted-80x24": of(one(halted()), 80, 24), "halted-40x10": of(one(halted()), 40, 10), "idle-80x24": of(one(idle("web-live", 8)), 80, 24),
		"rejected-80x24": of(one(rejected), 80, 24), "hostile-80x24": of(one(hostile()), 80, 24), "hostile-20x5": of(one(hostile()), 20, 5),
		"several-80x24": of(live.Picture{Fleets: several, Events: events(12)}, 80, 24), "several-20x5": of(live.Picture{Fleets: several}, 20, 5),
		"several-80x40": of(live.Picture{Fleets: many, Events: events(12)}, 80, 40), "troubled-80x24": of(troubled, 80, 24),
		"nothing-80x24": of(live.Picture{}, 80, 24), "unread-80x24": of(live.Picture{Trouble: "the agent has not seen commit 3f2a9c1 yet"}, 80, 24),
		"empty-80x24": of(live.Picture{Repo: web.Repo{Revision: "3f2a9c1d4b5e6f70"}}, 80, 24), "untimed-80x24": of(one(untimed), 80, 24),
		"colour-80x24": strings.ReplaceAll(strings.Join(live.Frame(one(halted()), live.Window{Width: 80, Height: 24, Colour: true, Now: noon}), "\n")+"\n", "\x1b", "␛"),
	}
}

func TestFrames(t *testing.T) {
	t.Parallel()
	for name, got := range frames() {
		file := filepath.Join("testdata", name+".txt")
		if *update {
			check(t, os.WriteFile(file, []byte(got), 0o644))
			continue
		}
		want, err := os.ReadFile(file)
		check(t, err)
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got, -update writes it anew):\n%s", name, diff)
		}
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Whatever is shown in whatever window, a frame leaves a row and a column free, sends nothing that a terminal obeys, and has the head on top.
func TestFramesFitEveryWindow(t *testing.T) {
	t.Parallel()
	lost := rolling("web-live", 60, 3)
	for i := range lost.Nodes {
		lost.Nodes[i].State, lost.Nodes[i].Tail = plan.States[i%len(plan.States)], "a\nb\nc"
	}
	pictures := map[string]live.Picture{
		"rolling": {Fleets: []web.Fleet{rolling("web-live", 8, 3, plan.Draining)}, Events: events(40)}, "halted": {Fleets: []web.Fleet{halted()}, Events: events(3)},
		"hostile": {Fleets: []web.Fleet{hostile()}, Trouble: "lost\x1b[2J"}, "many": {Fleets: []web.Fleet{lost}, Events: events(40)},
		"several": {Fleets: []web.Fleet{halted(), lost, idle("api", 3), hostile()}, Events: events(40)}, "nothing": {},
	}
	for name, p := range pictures {
		for _, width := range []int{1, 2, 5, 10, 20, 40, 59, 60, 61, 80, 130} {
			for _, height := range []int{1, 2, 3, 5, 8, 14, 24, 60} {
				lines := live.Frame(p, live.Window{Width: width, Height: height, Now: noon})
				if len(lines) == 0 || len(lines) > max(1, height-1) {
					t.Fatalf("%s, %dx%d: %d rows", name, width, height, len(lines))
				}
				for _, l := range lines {
					if live.Columns(l) > max(1, width-1) || strings.ContainsFunc(l, func(c rune) bool { return c < ' ' || c == 0x7f || c >= 0x80 && c < 0xa0 }) {
						t.Fatalf("%s, %dx%d: %q", name, width, height, l)
					}
				}
				if head := "web-live"; name == "rolling" && width > len(head)+1 && !strings.HasPrefix(lines[0], head) {
					t.Fatalf("%dx%d begins with %q", width, height, lines[0])
				}
			}
		}
	}
}

func TestColumnsAreThoseOfATerminal(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"": 0, "web-1": 5, "é": 1, "e\u0301": 1, "日本": 4, "🚀": 2, "█░": 2, "→…│": 3, "ｆ": 2, "ｱ": 1} {
		if got := live.Columns(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func BenchmarkFrame(b *testing.B) {
	p := live.Picture{Fleets: []web.Fleet{rolling("web-live", 1000, 400, plan.Draining)}, Events: events(40)}
	for b.Loop() {
		live.Frame(p, live.Window{Width: 120, Height: 40, Now: noon, Colour: true})
	}
}
