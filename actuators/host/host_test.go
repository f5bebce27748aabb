package host_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/actuators/host"
	"windlass/desired"
	"windlass/internal/sandbox/sshdtest"
)

const fleet = "web-live"

// node starts an sshd and returns how a fleet reaches it.
func node(tb testing.TB, o sshdtest.Options) (*sshdtest.Server, actuators.Place) {
	s := sshdtest.Start(tb, o)
	return s, actuators.Place{
		Fleet: fleet,
		SSH:   desired.SSH{User: s.User, Port: s.Port, ConnectTimeout: 10 * time.Second, StateDir: ".windlass"},
		Node:  actuators.Node{Name: "web-1", Address: s.Address, HostKey: s.HostKey},
	}
}

// agent returns a Host that is let into the server.
func agent(tb testing.TB, s *sshdtest.Server, o host.Options) *host.Host {
	tb.Helper()
	if o.KeyFile == "" {
		o.KeyFile = s.KeyFile
	}
	h, err := host.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(h.CloseAll)
	return h
}

// claimed is a record under a claim that ends so long after now.
func claimed(nonce string, now time.Time, left time.Duration) actuators.NodeRecord {
	return actuators.NodeRecord{
		Schema: actuators.RecordSchema, Fleet: fleet, Instance: "i-0abc", Stage: actuators.Leaving,
		Claim: &actuators.Claim{Holder: "agent", Epoch: 1, Nonce: nonce, Expires: now.Add(left)},
	}
}

// claim writes a record with a claim and returns the state after.
func claim(tb testing.TB, h *host.Host, at actuators.Place, nonce string) actuators.HostState {
	tb.Helper()
	ctx := tb.Context()
	before, err := h.Read(ctx, at)
	if err != nil {
		tb.Fatal(err)
	}
	after, err := h.Write(ctx, at, before.Version, claimed(nonce, before.Now, actuators.ClaimTime))
	if err != nil {
		tb.Fatal(err)
	}
	return after
}

func step(name, run string) actuators.JobStep {
	return actuators.JobStep{Name: name, Run: run, Timeout: time.Minute}
}

func TestRecordIsWrittenAndReadBack(t *testing.T) {
	t.Parallel()
	s, at := node(t, sshdtest.Options{})
	h := agent(t, s, host.Options{})
	ctx := t.Context()

	empty, err := h.Read(ctx, at)
	if err != nil {
		t.Fatal(err)
	}
	if empty.Version != "" || empty.Record.Known() || empty.Machine == "" || empty.Job.Key != "" {
		t.Errorf("a fresh node says %+v", empty)
	}
	if off := time.Since(empty.Now).Abs(); off > time.Minute || empty.Now.Nanosecond() == 0 {
		t.Errorf("the node's clock says %v, %v off", empty.Now, off)
	}
	written := claim(t, h, at, "nonce-1")
	for _, dir := range []string{s.Home + "/.windlass", s.Home + "/.windlass/" + fleet, s.Home + "/.windlass/" + fleet + "/job"} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s is not its owner's alone: %v, %v", dir, info.Mode(), err)
		}
	}
	got, err := h.Read(ctx, at)
	if err != nil {
		t.Fatal(err)
	}
	if got.Version != written.Version || got.Record.Claim == nil || got.Record.Claim.Nonce != "nonce-1" {
		t.Errorf("wrote %+v, read %+v", written, got)
	}
	if _, err := h.Write(ctx, at, "", claimed("nonce-2", got.Now, time.Minute)); !errors.Is(err, actuators.ErrChanged) {
		t.Errorf("a writer who read nothing: %v", err)
	}
}

func TestJobRunsUnderItsClaim(t *testing.T) {
	t.Parallel()
	s, at := node(t, sshdtest.Options{})
	h := agent(t, s, host.Options{})
	state := claim(t, h, at, "nonce-1")
	job := actuators.Job{Key: "one", Env: []string{"WINDLASS_RELEASE=v1"}, Steps: []actuators.JobStep{
		step("greet", `echo "$WINDLASS_RELEASE in $PWD" >out`),
		step("break", "echo it broke >&2; exit 3"),
		step("never", "touch never"),
	}}
	got, err := h.Run(t.Context(), at, state.Version, state.Record, job, func(actuators.HostState) {})
	if err != nil {
		t.Fatal(err)
	}
	if want := (actuators.JobState{Key: "one", Exited: true, Exit: 3, Step: "break", Tail: "it broke"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func BenchmarkNode(b *testing.B) {
	s, at := node(b, sshdtest.Options{})
	h := agent(b, s, host.Options{})
	state := claim(b, h, at, "nonce-1")
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			if _, err := h.Read(context.Background(), at); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			var err error
			if state, err = h.Write(context.Background(), at, state.Version, claimed("nonce-1", state.Now, time.Hour)); err != nil {
				b.Fatal(err)
			}
		}
	})
	n := 0
	b.Run("step", func(b *testing.B) {
		for b.Loop() {
			n++
			job := actuators.Job{Key: fmt.Sprintf("job-%d", n), Steps: []actuators.JobStep{step("true", "true")}}
			written := func(s actuators.HostState) { state = s }
			if _, err := h.Run(context.Background(), at, state.Version, claimed("nonce-1", state.Now, time.Hour), job, written); err != nil {
				b.Fatal(err)
			}
		}
	})
}
