package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"windlass/internal/web"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

// A terminal is a real one: tmux's, which keeps what scrolls away and breaks its lines anew when it is resized.
type terminal struct {
	t      *testing.T
	socket string
}

// newTerminal is a terminal of so many columns and rows in which a command of the shell runs, and then nothing.
func newTerminal(t *testing.T, width, height int, command string, env ...string) *terminal {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("left out: tmux is not installed")
	}
	dir, err := os.MkdirTemp("", "windlass-") // the name of a socket may not be long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	term := &terminal{t, filepath.Join(dir, "tmux")}
	args := []string{"-f", "/dev/null", "new-session", "-d", "-x", fmt.Sprint(width), "-y", fmt.Sprint(height)}
	for _, e := range env {
		args = append(args, "-e", e)
	}
	term.tmux(append(args, command+"; echo exit $?; exec sleep 600")...)
	t.Cleanup(func() { term.tmux("kill-server") })
	return term
}

func (s *terminal) tmux(args ...string) string {
	s.t.Helper()
	cmd := exec.Command("tmux", append([]string{"-u", "-S", s.socket}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TMUX=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("tmux %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// screen is what is to be seen, without empty rows below it.
func (s *terminal) screen() string { return strings.TrimRight(s.tmux("capture-pane", "-p"), "\n") }

// all is the same with what has scrolled away.
func (s *terminal) all() string {
	return strings.TrimRight(s.tmux("capture-pane", "-p", "-S", "-"), "\n")
}

// resize gives the terminal another size.
func (s *terminal) resize(width, height int) {
	s.t.Helper()
	s.tmux("resize-window", "-x", fmt.Sprint(width), "-y", fmt.Sprint(height))
}

// shows waits until the screen satisfies, and returns it.
func (s *terminal) shows(what string, holds func(screen string) bool) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	for {
		screen := s.screen()
		if holds(screen) {
			return screen
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("it never shows %s:\n%s", what, screen)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *terminal) says(words string) string {
	s.t.Helper()
	return s.shows(words, func(screen string) bool { return strings.Contains(screen, words) })
}

// isInOrder fails unless the cursor is to be seen and lines wrap, as before.
func (s *terminal) isInOrder() {
	s.t.Helper()
	if got := strings.TrimSpace(s.tmux("display-message", "-p", "cursor #{cursor_flag} wrap #{wrap_flag}")); got != "cursor 1 wrap 1" {
		s.t.Errorf("the terminal is left with %s", got)
	}
}

// fleetOf is a fleet on its way to v2, so many of whose nodes are there.
func fleetOf(nodes, done int) web.Fleet {
	f := web.Fleet{
		Name: "web", Phase: plan.PhaseProgressing, Reason: fmt.Sprintf("1 of %d nodes under way", nodes), Size: nodes, InService: nodes - 1, Floor: nodes - 1,
		Desired: web.Desired{Revision: "new", Release: "v2", Digest: "d2"},
		Rollout: web.Rollout{Trigger: reconciler.TriggerCommit, From: "v1", Release: "v2", Started: time.Now(), Planned: nodes, Completed: done, Change: &web.Change{Author: "Anna"}},
	}
	for i := range nodes {
		n := web.Node{Name: fmt.Sprintf("web-%d", i+1), Release: "v1", State: plan.Outdated}
		switch {
		case i < done:
			n.Release, n.State = "v2", plan.InService
		case i == done:
			n.State, n.Reason, n.Deadline = plan.Draining, "waits for connections to close, of which there are some more than thirty", time.Now().Add(time.Hour)
		}
		f.Nodes = append(f.Nodes, n)
	}
	if done == nodes {
		f.Phase, f.Reason, f.InService = plan.PhaseIdle, fmt.Sprintf("%d of %[1]d in service with v2", nodes), nodes
		f.Rollout.Ended, f.Rollout.Result = f.Rollout.Started.Add(90*time.Second), reconciler.ResultSucceeded
	}
	return f
}

func told(f web.Fleet) string { return event("fleet", f) + event("repo", web.Repo{Revision: "new"}) }

// earlier are lines that were in the terminal before, more than fit.
const earlier = "for i in $(seq 1 30); do echo earlier $i; done; "

// keeps fails unless all that was there before still is, once and in order, and of the frame there is what was shown last.
func (s *terminal) keeps(frame string) {
	s.t.Helper()
	all := s.all()
	var want strings.Builder
	for i := range 30 {
		fmt.Fprintf(&want, "earlier %d\n", i+1)
	}
	if !strings.HasPrefix(all, want.String()+frame) || strings.Count(all, frame) != 1 {
		s.t.Errorf("it has lost something, or has some of it twice:\n%s", all)
	}
}

// On a terminal all is drawn in place, whatever its size is and becomes, and is left there at the end with a line to pass on.
func TestFollowOnATerminal(t *testing.T) {
	t.Parallel()
	for name, nodes := range map[string]int{"4 nodes": 4, "500 nodes": 500} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events := make(chan string)
			agent := fakeAgent(t, events)
			s := newTerminal(t, 80, 24, earlier+"windlass follow web --server "+agent.URL)
			s.says("the agent has not read the deploy repo yet")
			for done := range 4 {
				events <- told(fleetOf(nodes, done))
				screen := s.says(fmt.Sprintf("░ %d of %d", done, nodes))
				if at := strings.Index(screen, "web  progressing  v1 → v2  by Anna\n"); at < 0 || !strings.Contains(screen, fmt.Sprintf(" 1 draining        web-%d  until ", done+1)) {
					t.Errorf("with %d done:\n%s", done, screen)
				}
			}
			s.keeps("web  progressing  v1 → v2  by Anna\n")
			s.resize(120, 40)
			s.says("of which there are some more than thirty\n")
			s.keeps("web  progressing  v1 → v2  by Anna\n")
			s.resize(70, 30)
			s.shows("a frame of 69 columns", func(screen string) bool {
				return strings.Contains(screen, "web  progressing  v1 → v2  by Anna\n") && strings.Contains(screen, "…\n") && !strings.Contains(screen, "thirty\n")
			})
			s.keeps("web  progressing  v1 → v2  by Anna\n")
			events <- told(fleetOf(nodes, nodes))
			s.says("\nexit 0")
			s.isInOrder()
			s.keeps("web  idle  v1 → v2  by Anna\n████████████████████ ")
			if last := fmt.Sprintf("\nweb: v1 → v2 in service on %d of %[1]d, took 1 min, by Anna\nexit 0", nodes); !strings.HasSuffix(s.all(), last) {
				t.Errorf("it does not end with %q:\n%s", last, s.all())
			}
		})
	}
}

// However it ends, the terminal is as it was.
func TestTheTerminalIsLeftInOrder(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args string
		end  func(*terminal, chan<- string)
		says string
	}{
		"Ctrl-C":   {"", func(s *terminal, _ chan<- string) { s.tmux("send-keys", "C-c") }, "windlass: not followed any more, and it goes on;"},
		"time-out": {"--timeout 1s", func(*terminal, chan<- string) {}, "windlass: not at its end after 1s, and it goes on;"},
		"an error": {"", func(_ *terminal, events chan<- string) { events <- event("gone", web.Fleet{Name: "web"}) }, "windlass: web: the agent knows no fleet web any more"},
		"superseded": {"", func(_ *terminal, events chan<- string) {
			f := fleetOf(4, 0)
			f.Desired.Revision, f.Desired.Digest, f.Desired.Release = "later", "d3", "v3"
			events <- told(f)
		}, "web: superseded: commit later wants v3\nweb: v1 → v2 superseded at 1 of 4, by Anna\nexit 4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events := make(chan string)
			s := newTerminal(t, 100, 24, earlier+"windlass follow web "+c.args+" --server "+fakeAgent(t, events).URL)
			if c.args == "" {
				events <- told(fleetOf(4, 1))
				s.says("░ 1 of 4")
			}
			c.end(s, events)
			s.says("\nexit ")
			if got := s.screen(); !strings.Contains(got, "\n"+c.says) {
				t.Errorf("it does not say %q:\n%s", c.says, got)
			}
			s.isInOrder()
			if c.args == "" {
				s.keeps("web  ")
			}
		})
	}
}

// A terminal that obeys nothing, and one whose owner wants no colours, get none.
func TestNoColour(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env    string
		colour bool
		frame  bool
	}{
		"a terminal": {"A=b", true, true}, "NO_COLOR=yes": {"NO_COLOR=yes", false, true}, "NO_COLOR=0": {"NO_COLOR=0", false, true}, "NO_COLOR=": {"NO_COLOR=", true, true},
		"TERM=dumb": {"A=b TERM=dumb", false, false}, "CLICOLOR_FORCE": {"CLICOLOR_FORCE=1 TERM=dumb", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events := make(chan string)
			s := newTerminal(t, 100, 24, "env "+c.env+" windlass follow web --server "+fakeAgent(t, events).URL)
			events <- told(fleetOf(4, 1))
			events <- told(fleetOf(4, 4))
			s.says("exit 0")
			got := s.tmux("capture-pane", "-p", "-e")
			if strings.Contains(got, "\x1b[3") != c.colour || strings.Contains(got, "████") != c.frame {
				t.Errorf("it shows\n%q", got)
			}
		})
	}
}

// Several fleets have a row each, and what moves its nodes.
func TestWatchOnATerminal(t *testing.T) {
	t.Parallel()
	events := make(chan string)
	s := newTerminal(t, 100, 24, earlier+"windlass status --watch --until idle --server "+fakeAgent(t, events).URL)
	api := fleetOf(2, 2)
	api.Name = "api"
	events <- told(fleetOf(4, 1)) + event("fleet", api)
	screen := s.says("\napi  idle          v2  2 of 2 in service, floor 1\nweb  progressing   ██░░░░░░ 1 of 4")
	if !strings.Contains(screen, "\nweb\n1 of 4 nodes under way\n") || strings.Contains(screen, "\napi\n") {
		t.Errorf("it shows\n%s", screen)
	}
	events <- told(fleetOf(4, 4))
	s.says("\nexit 0")
	s.isInOrder()
	s.keeps("api  idle          v2  2 of 2 in service, floor 1\nweb  idle          v2  4 of 4 in service, floor 3\n")
	if last := "\nweb: v1 → v2 in service on 4 of 4, took 1 min, by Anna\nexit 0"; !strings.HasSuffix(s.all(), last) {
		t.Errorf("it does not end with %q:\n%s", last, s.all())
	}
}
