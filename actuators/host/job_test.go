package host_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/actuators/host"
	"windlass/internal/sandbox/sshdtest"
)

// a bench is a claimed node.
type bench struct {
	*testing.T
	server *sshdtest.Server
	host   *host.Host
	at     actuators.Place
	dir    string // the fleet's directory
	begun  *bufio.Reader
}

func workbench(t *testing.T) bench {
	t.Parallel()
	return workbenchWith(t, sshdtest.Options{})
}

func workbenchWith(t *testing.T, o sshdtest.Options) bench {
	t.Helper()
	s, at := node(t, o)
	h := agent(t, s, host.Options{})
	claim(t, h, at, "nonce-1")
	dir := filepath.Join(s.Home, ".windlass", fleet)
	return bench{t, s, h, at, dir, pipe(t, filepath.Join(dir, "begun"))}
}

// pipe is a named pipe that steps can write lines to without waiting for a reader.
func pipe(t *testing.T, name string) *bufio.Reader {
	t.Helper()
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(f)
}

func job(key string, steps ...actuators.JobStep) actuators.Job {
	return actuators.Job{Key: key, Steps: steps}
}

// try runs a job under a fresh claim.
func (b bench) try(ctx context.Context, j actuators.Job) (actuators.JobState, error) {
	before, err := b.host.Read(ctx, b.at)
	if err != nil {
		return actuators.JobState{}, err
	}
	return b.host.Run(ctx, b.at, before.Version, claimed("nonce-1", before.Now, time.Minute), j, func(actuators.HostState) {})
}

func (b bench) run(j actuators.Job) actuators.JobState {
	b.Helper()
	got, err := b.try(b.Context(), j)
	if err != nil {
		b.Fatal(err)
	}
	return got
}

func (b bench) content(name string) string {
	b.Helper()
	got, err := os.ReadFile(filepath.Join(b.dir, name))
	if err != nil {
		b.Error(err)
	}
	return string(got)
}

// await returns when a step has said that it began.
func (b bench) await(step string) {
	b.Helper()
	if line, err := b.begun.ReadString('\n'); err != nil || line != step+"\n" {
		b.Fatalf("step %s does not begin: %q, %v", step, line, err)
	}
}

// number is what a file says.
func (b bench) number(name string) int {
	b.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(b.content(name)))
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// gated is a step that says it began, waits for the file go, and ends with a status.
func gated(name string, exit int) actuators.JobStep {
	return step(name, fmt.Sprintf("echo begun >>began-%s; echo %[1]s >begun; until [ -e go ]; do sleep 0.01; done; exit %d", name, exit))
}

// awaitUnlocked returns when nothing holds the job's lock: what is killed is not dead at once.
func (b bench) awaitUnlocked() {
	b.Helper()
	lock, err := os.Open(filepath.Join(b.dir, "job")) // what its runner holds
	if err == nil {
		defer lock.Close()
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_SH)
	}
	if err != nil {
		b.Fatal(err)
	}
}

func (b bench) open() { write(b, filepath.Join(b.dir, "go"), "") }

func TestStepsSeeTheirEnvironmentAndNothingElse(t *testing.T) {
	b := workbench(t)
	j := job("one", step("look", `printf '%s|%s|%s|%s' "$WINDLASS_RELEASE" "$WINDLASS_DIR" "$PWD" "$0" >out; ls /proc/self/fd >fds; trap '' INT; trap >traps; cat >in`))
	j.Env = []string{`WINDLASS_RELEASE=v1'"; $(reboot) é`}
	if got := b.run(j); !got.Exited || got.Exit != 0 || got.Step != "" || got.Tail != "" {
		t.Errorf("got %+v", got)
	}
	if got, want := b.content("out"), `v1'"; $(reboot) é|`+b.dir+"|"+b.dir+"|sh"; got != want {
		t.Errorf("a step sees %q, want %q", got, want)
	}
	if got := strings.Fields(b.content("fds")); len(got) != 4 { // three, and the listing's own
		t.Errorf("a step inherits descriptors %v", got)
	}
	if got := b.content("in"); got != "" {
		t.Errorf("a step reads %q from its input", got)
	}
	_, own, err := b.host.Check(t.Context(), b.at, nil, "umask", time.Minute)
	if got := b.run(job("mask", step("look", "umask; exit 1"))); err != nil || got.Tail != own {
		t.Errorf("a step's umask is %q, the login's %q, %v", got.Tail, own, err)
	}
	j = job("two", step("look", "pwd >/dev/stderr; exit 1"))
	j.Dir = "job"
	if got := b.run(j); got.Tail != b.dir+"/job" {
		t.Errorf("a step with a directory runs in %q", got.Tail)
	}
}

// A shell makes what it starts in the background deaf to SIGINT; a service started by a step must not be.
func TestStepsAreNotDeafToSignals(t *testing.T) {
	b := workbench(t)
	b.run(job("one", step("look", "grep SigIgn /proc/self/status >ignored")))
	mask, err := strconv.ParseUint(strings.Fields(b.content("ignored"))[1], 16, 64)
	if err != nil || mask&(1<<(syscall.SIGINT-1)|1<<(syscall.SIGQUIT-1)) != 0 {
		t.Errorf("ignored signals: %x, %v", mask, err)
	}
}

// Law 18: no step without our live claim.
func TestNoStepWithoutTheClaim(t *testing.T) {
	b := workbench(t)
	state, err := b.host.Read(t.Context(), b.at)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(why, old string, r actuators.NodeRecord, writes bool) {
		t.Helper()
		wrote := false
		_, err := b.host.Run(t.Context(), b.at, old, r, job("one", step("a", "touch ran")), func(s actuators.HostState) { wrote, state = true, s })
		if !errors.Is(err, actuators.ErrChanged) || wrote != writes {
			t.Errorf("%s: written %v, %v", why, wrote, err)
		}
		if got, err := b.host.Read(t.Context(), b.at); err != nil || got.Version != state.Version {
			t.Errorf("%s: the record is %+v, not %+v: %v", why, got, state, err)
		}
	}
	refused("another's record", "", claimed("nonce-1", state.Now, time.Minute), false)
	refused("an expired claim", state.Version, claimed("nonce-1", state.Now, -time.Second), true)
	free := claimed("nonce-1", state.Now, time.Minute)
	free.Claim = nil
	if _, err := b.host.Run(t.Context(), b.at, state.Version, free, job("one", step("a", "touch ran")), nil); err == nil {
		t.Error("it ran without a claim")
	}
	if _, err := os.Stat(filepath.Join(b.dir, "ran")); err == nil {
		t.Error("it ran nevertheless")
	}
}

// Law 18: a claim that was taken over while its job waited for another one starts nothing any more.
func TestClaimLostWhileAJobWaits(t *testing.T) {
	b := workbench(t)
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { _, err := b.try(t.Context(), job("one", gated("a", 0))); first <- err }()
	b.await("a")
	before, err := b.host.Read(t.Context(), b.at)
	if err != nil {
		t.Fatal(err)
	}
	wrote := make(chan actuators.HostState, 1)
	go func() {
		_, err := b.host.Run(t.Context(), b.at, before.Version, claimed("nonce-2", before.Now, time.Minute), job("two", step("b", "touch ran")), func(s actuators.HostState) { wrote <- s })
		second <- err
	}()
	mine := <-wrote // while the first job runs
	if _, err := b.host.Write(t.Context(), b.at, mine.Version, claimed("nonce-3", mine.Now, time.Minute)); err != nil {
		t.Errorf("the record cannot be written while a job waits: %v", err)
	}
	b.open()
	if err := <-first; err != nil {
		t.Error(err)
	}
	if err := <-second; !errors.Is(err, actuators.ErrChanged) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(b.dir, "ran")); err == nil {
		t.Error("it ran nevertheless")
	}
}

// Law 16: a call that was given up while its job waited starts nothing once the record says something else, under the same claim.
func TestCallThatWasGivenUpStartsNothing(t *testing.T) {
	b := workbench(t)
	first := make(chan error, 1)
	go func() { _, err := b.try(t.Context(), job("one", gated("a", 0))); first <- err }()
	b.await("a")
	before, err := b.host.Read(t.Context(), b.at)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	wrote, old := make(chan actuators.HostState, 1), make(chan error, 1)
	go func() {
		_, err := b.host.Run(ctx, b.at, before.Version, claimed("nonce-1", before.Now, time.Minute), job("old", step("b", "echo old >>order")), func(s actuators.HostState) { wrote <- s })
		old <- err
	}()
	mine := <-wrote
	cancel()
	<-old
	decided := claimed("nonce-1", mine.Now, 2*time.Minute)
	decided.Stage = actuators.Configuring
	if _, err := b.host.Write(t.Context(), b.at, mine.Version, decided); err != nil {
		t.Fatal(err)
	}
	b.open()
	if err := <-first; err != nil {
		t.Error(err)
	}
	for range 3 { // its script may still wait on the node, and finds no record like its own again
		before, err := b.host.Read(t.Context(), b.at)
		if err != nil {
			t.Fatal(err)
		}
		record := claimed("nonce-1", before.Now, time.Minute)
		record.Stage = decided.Stage
		if _, err := b.host.Run(t.Context(), b.at, before.Version, record, job("new", step("c", "echo new >>order")), nil); err != nil {
			t.Error(err)
		}
	}
	if got := b.content("order"); got != "new\n" {
		t.Errorf("ran %q", got)
	}
}

// The claim can be renewed while a long job runs: its new version is told when it is written.
func TestRecordIsToldBeforeTheJobEnds(t *testing.T) {
	b := workbench(t)
	before, err := b.host.Read(t.Context(), b.at)
	if err != nil {
		t.Fatal(err)
	}
	record := claimed("nonce-2", before.Now, time.Minute)
	told, ended := make(chan actuators.HostState, 1), make(chan error, 1)
	go func() {
		_, err := b.host.Run(t.Context(), b.at, before.Version, record, job("one", gated("a", 0)), func(s actuators.HostState) { told <- s })
		ended <- err
	}()
	state := <-told
	b.await("a")
	if got, err := b.host.Read(t.Context(), b.at); err != nil || got.Version != state.Version || got.Record.Claim.Nonce != "nonce-2" || state.Machine != got.Machine || state.Now.IsZero() {
		t.Errorf("told %+v, read %+v, %v", state, got, err)
	}
	if _, err := b.host.Write(t.Context(), b.at, state.Version, claimed("nonce-2", state.Now, time.Hour)); err != nil {
		t.Errorf("the claim cannot be renewed: %v", err)
	}
	b.open()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Law 19, G27: a lost connection is no failed step.
func TestLostConnectionIsReattached(t *testing.T) {
	b := workbench(t)
	j := job("one", gated("a", 5))
	lost := make(chan error, 1)
	go func() { _, err := b.try(t.Context(), j); lost <- err }()
	b.await("a")
	b.server.Drop()
	if err := <-lost; err == nil || !strings.Contains(err.Error(), "lost") {
		t.Errorf("the lost call says %v", err)
	}
	state, err := b.host.Read(t.Context(), b.at)
	if err != nil || !state.Job.Running || state.Job.Step != "a" {
		t.Errorf("meanwhile: %+v, %v", state.Job, err)
	}
	b.open()
	if got := b.run(j); got.Exit != 5 || got.Step != "a" {
		t.Errorf("re-attached: %+v", got)
	}
	if got := b.run(j); got.Exit != 5 {
		t.Errorf("asked again: %+v", got)
	}
	if got := b.content("began-a"); got != "begun\n" {
		t.Errorf("the step ran more than once: %q", got)
	}
}

// Law 19: a job that ends just when another call is about to start it is not run again.
func TestJobThatEndsWhileItIsLookedAtIsNotRunAgain(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	b := workbenchWith(t, sshdtest.Options{Env: map[string]string{"PATH": bin + ":" + os.Getenv("PATH")}})
	first := make(chan error, 1)
	go func() { _, err := b.try(t.Context(), job("one", gated("a", 0))); first <- err }()
	b.await("a")
	flock, err := exec.LookPath("flock")
	if err != nil {
		t.Fatal(err)
	}
	tool(t, bin, "flock", fmt.Sprintf("#!/bin/sh\n[ \"$*\" = '-n 8' ] || exec %s \"$@\"\n: >%s/go\nexec %[1]s 8\n", flock, b.dir))
	b.run(job("one", gated("a", 0)))
	if err := <-first; err != nil {
		t.Error(err)
	}
	if got := b.content("began-a"); got != "begun\n" {
		t.Errorf("the step ran more than once: %q", got)
	}
}

// Law 19: a job that ends just when it is read has ended, and was not interrupted.
func TestJobThatEndsWhileItIsReadHasEnded(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	b := workbenchWith(t, sshdtest.Options{Env: map[string]string{"PATH": bin + ":" + os.Getenv("PATH")}})
	first := make(chan error, 1)
	go func() { _, err := b.try(t.Context(), job("one", gated("a", 3))); first <- err }()
	b.await("a")
	flock, err := exec.LookPath("flock")
	if err != nil {
		t.Fatal(err)
	}
	tool(t, bin, "flock", fmt.Sprintf("#!/bin/sh\n[ \"$*\" = '-n -s 7' ] || exec %s \"$@\"\n: >%s/go\nexec %[1]s -s 7\n", flock, b.dir))
	if got, err := b.host.Read(t.Context(), b.at); err != nil || !got.Job.Exited || got.Job.Exit != 3 || got.Job.Step != "a" {
		t.Errorf("read %+v, %v", got.Job, err)
	}
	if err := <-first; err != nil {
		t.Error(err)
	}
}

func TestCancelledCallLeavesTheJob(t *testing.T) {
	b := workbench(t)
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { _, err := b.try(ctx, job("one", gated("a", 0))); gone <- err }()
	b.await("a")
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	b.open()
	if got := b.run(job("one", gated("a", 0))); got.Exit != 0 || b.content("began-a") != "begun\n" {
		t.Errorf("got %+v", got)
	}
}

func TestAnotherJobWaitsForTheFirst(t *testing.T) {
	b := workbench(t)
	first := make(chan error, 1)
	go func() { _, err := b.try(t.Context(), job("one", gated("a", 0))); first <- err }()
	b.await("a")
	second := make(chan error, 1)
	go func() {
		_, err := b.try(t.Context(), job("two", step("b", "[ -e go ] && echo after >order")))
		second <- err
	}()
	state, err := b.host.Read(t.Context(), b.at) // the lock is free while a job runs
	if err != nil || state.Job.Key != "one" {
		t.Errorf("meanwhile: %+v, %v", state.Job, err)
	}
	b.open()
	// How the first ended is not known any more when the second has begun before its session looked.
	if err := <-first; err != nil && !strings.Contains(err.Error(), "running it again starts it again") {
		t.Errorf("the first: %v", err)
	}
	if err := <-second; err != nil {
		t.Fatal(err)
	}
	if got := b.content("order"); got != "after\n" {
		t.Errorf("the second ran beside the first: %q", got)
	}
}

// A job that was killed from outside neither runs nor has ended, and is started again.
func TestInterruptedJobStartsAgain(t *testing.T) {
	b := workbench(t)
	j := job("one", step("a", "echo $$ >>pids; echo a >begun; [ -e go ] || sleep 60"))
	lost := make(chan error, 1)
	go func() { _, err := b.try(t.Context(), j); lost <- err }()
	b.await("a")
	group, err := syscall.Getpgid(b.number("pids"))
	if err != nil || group != b.number("job/group") {
		t.Errorf("the step's group is %d, not what is written: %v", group, err)
	}
	session := parentOf(t, group)
	for _, p := range []int{session, -group} { // what a reboot would leave: nothing alive, no status
		if err := syscall.Kill(p, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-lost; err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("the call says %v", err)
	}
	b.awaitUnlocked()
	state, err := b.host.Read(t.Context(), b.at)
	if err != nil || state.Job.Key != "one" || state.Job.Running || state.Job.Exited {
		t.Errorf("afterwards: %+v, %v", state.Job, err)
	}
	b.open()
	if got := b.run(j); !got.Exited || got.Exit != 0 {
		t.Errorf("again: %+v", got)
	}
}

// With only its runner killed, the step still counts as running, and what comes next waits for it.
func TestOrphanedStepIsAwaited(t *testing.T) {
	b := workbench(t)
	lost := make(chan error, 1)
	go func() { _, err := b.try(t.Context(), job("one", gated("a", 0))); lost <- err }()
	b.await("a")
	if err := syscall.Kill(parentOf(t, b.number("job/group")), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-lost; err == nil {
		t.Error("the call saw an end")
	}
	if state, err := b.host.Read(t.Context(), b.at); err != nil || !state.Job.Running {
		t.Errorf("afterwards: %+v, %v", state.Job, err)
	}
	second := make(chan error, 1)
	go func() {
		_, err := b.try(t.Context(), job("two", step("b", "[ -e go ] && echo after >order")))
		second <- err
	}()
	b.open()
	if err := <-second; err != nil || b.content("order") != "after\n" {
		t.Errorf("the next job: %v", err)
	}
}

// A job that outlives its own limit, as its runner's time-outs should never let it, is killed by what waits for it, with all that it runs.
func TestJobBeyondItsLimitIsKilled(t *testing.T) {
	b := workbench(t)
	stuck := make(chan error, 1)
	go func() {
		_, err := b.try(t.Context(), job("one", step("a", "trap '' TERM; exec 9>held; flock 9; echo a >begun; while :; do sleep 0.05; done")))
		stuck <- err
	}()
	b.await("a")
	write(t, filepath.Join(b.dir, "job/one.limit"), "0\n")
	if got := b.run(job("two", step("b", "true"))); got.Exit != 0 {
		t.Errorf("got %+v", got)
	}
	<-stuck
	held, err := os.Open(b.dir + "/held")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	for deadline := time.Now().Add(20 * time.Second); syscall.Flock(int(held.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("its step runs on")
		}
	}
}

// Only the newest job is not run again: what an older one did may have been undone since.
func TestJobThatAnotherCameAfterIsRunAnew(t *testing.T) {
	b := workbench(t)
	for _, key := range []string{"one", "two", "one", "one"} {
		b.run(job(key, step("a", "echo "+key+" >>ran")))
	}
	if got := b.content("ran"); got != "one\ntwo\none\n" {
		t.Errorf("ran %q", got)
	}
}

// What a step that has ended left running is not killed for a job that outlives its limit later on.
func TestServiceOfAnEndedStepIsNotKilled(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	b := workbenchWith(t, sshdtest.Options{Env: map[string]string{"PATH": bin + ":" + os.Getenv("PATH")}})
	chmod, err := exec.LookPath("chmod")
	if err != nil {
		t.Fatal(err)
	}
	tool(t, bin, "chmod", fmt.Sprintf("#!/bin/sh\necho placing >%s/begun; until [ -e %[1]s/go ]; do sleep 0.01; done; exec %s \"$@\"\n", b.dir, chmod))
	j := job("one", step("serve", "sleep 300 >/dev/null 2>&1 & echo $! >service"))
	j.Files, j.FilesAfter = []actuators.JobFile{{To: b.dir + "/file", Content: []byte("x")}}, 1
	first := make(chan error, 1)
	go func() { _, err := b.try(t.Context(), j); first <- err }()
	b.await("placing")
	service := b.number("service")
	t.Cleanup(func() { _ = syscall.Kill(service, syscall.SIGKILL) })
	if got := b.content("job/group"); got != "" {
		t.Errorf("between steps, %q is what would be killed", got)
	}
	b.open()
	if err := <-first; err != nil {
		t.Error(err)
	}
}

// G27: a child in the background that holds the output holds up nothing, and does not hold the lock.
func TestBackgroundChildHoldsUpNothing(t *testing.T) {
	b := workbench(t)
	t.Cleanup(func() {
		for _, pid := range strings.Fields(b.content("children")) {
			if n, err := strconv.Atoi(pid); err == nil {
				_ = syscall.Kill(n, syscall.SIGKILL)
			}
		}
		for _, key := range []string{"one", "two"} { // what keeps the output writes until the children are gone
			drained := filepath.Join(b.dir, "job", key+".drained")
			for deadline := time.Now().Add(time.Minute); missing(drained) && time.Now().Before(deadline); {
				time.Sleep(10 * time.Millisecond)
			}
		}
	})
	got := b.run(job("one", step("serve", "sleep 600 & echo $! >>children"), step("fail", "sleep 600 & echo $! >>children; echo last words; exit 1")))
	if got.Exit != 1 || got.Tail != "last words" {
		t.Errorf("got %+v", got)
	}
	if got := b.run(job("two", step("next", "true"))); got.Exit != 0 {
		t.Errorf("the next job: %+v", got)
	}
	for _, pid := range strings.Fields(b.content("children")) {
		if n, err := strconv.Atoi(pid); err != nil || syscall.Kill(n, 0) != nil {
			t.Errorf("child %s has ended: it was waited for, or it is none", pid)
		}
	}
}

func missing(name string) bool {
	_, err := os.Stat(name)
	return err != nil
}

// G32: gigabytes, binary, secrets, terminal control.
func TestOutputIsBoundedAndClean(t *testing.T) {
	b := workbench(t)
	got := b.run(job("flood", step("flood", `yes 'a long line of output' | head -c 30000000; printf '\033[2J\000password=hunter2 \377 end\r\n'; exit 1`)))
	if got.Exit != 1 || len(got.Tail) > 4<<10 || !strings.HasSuffix(got.Tail, "password=[redacted] ? end") {
		t.Errorf("got exit %d and %d bytes: …%q", got.Exit, len(got.Tail), got.Tail[max(0, len(got.Tail)-100):])
	}
	if n := strings.Count(got.Tail, "\n"); n != 19 {
		t.Errorf("the tail has %d lines", n+1)
	}
	size := len(b.content("job/flood.output")) + len(b.content("job/flood.output.end"))
	if size > 1<<20+64<<10 {
		t.Errorf("%d bytes are kept on the node", size)
	}
}

// G32: a secret that began before what is shown is known by its beginning.
func TestSecretThatIsCutIsNotShown(t *testing.T) {
	b := workbench(t)
	got := b.run(job("one", step("a", `printf 'DB_PASSWORD=hunter2hunter2hunter2hunter2%4080s\n' x | tr ' ' .; exit 1`)))
	if got.Exit != 1 || strings.Contains(got.Tail, "hunter2") {
		t.Errorf("exit %d, shown %.60q", got.Exit, got.Tail)
	}
	got = b.run(job("two", step("a", `printf '\033[1mDB_PASSWORD\033[0m=hunter2\n'; exit 1`)))
	if got.Tail != "DB_PASSWORD=[redacted]" {
		t.Errorf("in colour, shown %q", got.Tail)
	}
}

// A shell's echo would take the name apart, and the report with it.
func TestNameWithBackslashes(t *testing.T) {
	b := workbench(t)
	if got := b.run(job("one", step(`a\nend`, "exit 1"))); got.Step != `a\nend` {
		t.Errorf("got %+v", got)
	}
	if state, err := b.host.Read(t.Context(), b.at); err != nil || state.Problem != "" || state.Version == "" {
		t.Errorf("read %+v, %v", state, err)
	}
}

func TestTimeoutIsEnforcedOnTheNode(t *testing.T) {
	b := workbench(t)
	slow := actuators.JobStep{Name: "slow", Run: "echo $$ >slow; sleep 600", Timeout: 300 * time.Millisecond}
	got := b.run(job("one", slow, step("never", "touch never")))
	if got.Exit != 124 || got.Step != "slow" || !strings.Contains(got.Tail, "step slow was ended after 0.300 s, its time-out") {
		t.Errorf("got %+v", got)
	}
}

func TestFilesArePlacedOnlyWhenTheyDiffer(t *testing.T) {
	b := workbench(t)
	target, link := filepath.Join(b.dir, "web.env"), filepath.Join(b.dir, "link")
	if err := os.Symlink("/etc/passwd", link); err != nil {
		t.Fatal(err)
	}
	content := []byte("binary \x00\xff and '\"$(quotes)\n\n")
	files := func(key, mode string) actuators.Job {
		j := job(key, step("look", "cat web.env >seen"))
		j.Files = []actuators.JobFile{{To: target, Mode: mode, Content: content}, {To: link, Mode: "600", Content: []byte("own")}, {To: b.dir + "/empty"}}
		return j
	}
	stat := func() os.FileInfo {
		info, err := os.Lstat(target)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	b.run(files("one", "0640"))
	if b.content("seen") != string(content) || stat().Mode() != 0o640 || b.content("empty") != "" {
		t.Errorf("placed %q, mode %v", b.content("seen"), stat().Mode())
	}
	if info, err := os.Lstat(link); err != nil || info.Mode() != 0o600 || b.content("link") != "own" {
		t.Errorf("a link was followed: %v, %v", info, err)
	}
	first := stat()
	b.run(files("two", "640"))
	if !os.SameFile(first, stat()) {
		t.Error("the same file was replaced")
	}
	b.run(files("three", "0600"))
	if stat().Mode() != 0o600 {
		t.Errorf("the mode stays %v", stat().Mode())
	}
	if left, _ := filepath.Glob(b.dir + "/.web.env.*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestLargeFileAndItsOwner(t *testing.T) {
	b := workbench(t)
	large := bytes.Repeat([]byte("0123456789abcdef"), 256<<10)
	j := job("one", step("look", "stat -c %U:%G large >owner"))
	j.Files = []actuators.JobFile{{To: b.dir + "/large", Content: large}, {To: b.dir + "/after", Content: []byte("after")}}
	want := b.server.User
	if os.Getuid() == 0 {
		want = "nobody"
		j.Files[0].Owner = "nobody"
	}
	b.run(j)
	if b.content("large") != string(large) || b.content("after") != "after" {
		t.Error("files arrive changed")
	}
	if got := b.content("owner"); !strings.HasPrefix(got, want+":") {
		t.Errorf("the owner is %s", got)
	}
	j.Key, j.Files[0].Owner = "two", "no-such-user"
	if got := b.run(j); got.Exit != 1 || got.Step != "place "+b.dir+"/large" || !strings.Contains(got.Tail, "no-such-user") {
		t.Errorf("an unknown owner: %+v", got)
	}
	if left, _ := filepath.Glob(b.dir + "/.large.*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// A connection that is lost while files are sent begins nothing and holds up nobody.
func TestTornUploadBeginsNothing(t *testing.T) {
	b := workbench(t)
	ctx, cancel := context.WithCancel(t.Context())
	j := job("one", step("a", "touch ran"))
	j.Files = []actuators.JobFile{{To: b.dir + "/file", Content: make([]byte, 64<<20)}}
	gone := make(chan error, 1)
	go func() { _, err := b.try(ctx, j); gone <- err }()
	staging := func() bool {
		staged, _ := filepath.Glob(b.dir + "/job/.stage-*/1")
		return len(staged) > 0
	}
	for tick := time.Tick(time.Millisecond); !staging(); {
		select {
		case err := <-gone:
			t.Fatalf("the upload ended before it could be torn: %v", err)
		case <-tick:
		}
	}
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	for deadline := time.Now().Add(time.Minute); staging() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if staging() {
		t.Error("what did not arrive whole is kept")
	}
	write(t, b.dir+"/job/.stage-old/1", "") // as after a power failure
	if got := b.run(job("two", step("b", "[ ! -e ran ]"))); got.Exit != 0 {
		t.Errorf("the next job: %+v", got)
	}
	if staged, _ := filepath.Glob(b.dir + "/job/.stage-*"); len(staged) > 0 {
		t.Errorf("left behind: %v", staged)
	}
}

// A try that was cut off just after its files were staged does not lend them to the next.
func TestStaleFilesAreNotPlaced(t *testing.T) {
	b := workbench(t)
	if err := os.Mkdir(filepath.Join(b.dir, "job/one.files"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(b.dir, "job/one.files/1"), "stale")
	j := job("one", step("a", "cat file >seen"))
	j.Files = []actuators.JobFile{{To: b.dir + "/file", Content: []byte("fresh")}}
	if got := b.run(j); got.Exit != 0 || b.content("seen") != "fresh" {
		t.Errorf("got %+v", got)
	}
}

// What a link leads to may be anybody's, also while it happens to hold the same.
func TestALinkIsReplacedByAFileOfTheSameContent(t *testing.T) {
	b := workbench(t)
	other, link := filepath.Join(b.dir, "other"), filepath.Join(b.dir, "link")
	write(t, other, "same")
	if err := errors.Join(os.Chmod(other, 0o777), os.Symlink(other, link)); err != nil {
		t.Fatal(err)
	}
	j := job("one", step("a", "true"))
	j.Files = []actuators.JobFile{{To: link, Mode: "0777", Content: []byte("same")}} // which is the mode of a link
	if got := b.run(j); got.Exit != 0 {
		t.Errorf("got %+v", got)
	}
	if info, err := os.Lstat(link); err != nil || !info.Mode().IsRegular() {
		t.Errorf("it is left: %v, %v", info, err)
	}
}

func TestFileWithoutItsDirectory(t *testing.T) {
	b := workbench(t)
	j := job("one", step("never", "touch never"))
	j.Files = []actuators.JobFile{{To: b.dir + "/no/such/file", Content: []byte("x")}}
	got := b.run(j)
	if got.Exit != 1 || got.Step != "place "+j.Files[0].To || !strings.Contains(got.Tail, "create it in a prepare step") {
		t.Errorf("got %+v", got)
	}
}

func TestFilesComeAfterThePrepareSteps(t *testing.T) {
	b := workbench(t)
	j := job("one", step("prepare", "[ ! -e new ] && mkdir new"), step("activate", "cat new/file >seen"))
	j.Files, j.FilesAfter = []actuators.JobFile{{To: b.dir + "/new/file", Content: []byte("x")}}, 1
	if got := b.run(j); got.Exit != 0 || b.content("seen") != "x" {
		t.Errorf("got %+v", got)
	}
}

func TestDirectoryThatIsNotThere(t *testing.T) {
	b := workbench(t)
	j := job("one", step("a", "true"))
	j.Dir = "/no/such/directory"
	if got := b.run(j); got.Exit == 0 || got.Step != "a" || !strings.Contains(got.Tail, j.Dir) {
		t.Errorf("got %+v", got)
	}
}

func TestJobThatNeedsMoreSpaceThanThereIs(t *testing.T) {
	b := workbench(t)
	j := job("one", step("a", "touch ran"))
	j.NeedsKB = 1 << 50
	if _, err := b.try(t.Context(), j); err == nil || !strings.Contains(err.Error(), "are needed") {
		t.Errorf("G31: %v", err)
	}
}

func TestOldJobsArePruned(t *testing.T) {
	b := workbench(t)
	left := func(pattern string) int {
		found, err := filepath.Glob(b.dir + "/job/" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	for i := range 18 {
		b.run(job(fmt.Sprintf("job-%d", i), step("a", "true")))
		if want := i + 1; want < 18 && left("*.limit") != want {
			t.Fatalf("%d of %d jobs are kept", left("*.limit"), want)
		}
	}
	if left("*.limit") != 5 || left("job-0.*") != 0 || left("job-13.exit") != 1 {
		t.Errorf("%d jobs are kept", left("*.limit"))
	}
	if got := b.run(job("job-17", step("a", "false"))); got.Exit != 0 {
		t.Errorf("the newest is forgotten: %+v", got)
	}
}

// A step that somebody kills was not ended by its time-out, and one that does not end when asked to was.
func TestTimeoutIsToldFromAKilling(t *testing.T) {
	b, _ := workbenchWithTools(t, map[string]string{"timeout": "[ \"$1 $2\" = '-k 10' ] || exit 9\nshift 2\nexec %[2]s -k 0.1 \"$@\"\n"})
	if got := b.run(job("one", step("killed", "kill -s KILL $$"))); got.Exit != 137 || strings.Contains(got.Tail, "time-out") {
		t.Errorf("killed by somebody: %+v", got)
	}
	deaf := actuators.JobStep{Name: "deaf", Run: "trap '' TERM; echo begun; while :; do sleep 0.01; done", Timeout: 200 * time.Millisecond}
	if got := b.run(job("two", deaf)); got.Exit != 124 || !strings.HasPrefix(got.Tail, "begun\n") || !strings.HasSuffix(got.Tail, "windlass: step deaf was ended after 0.200 s, its time-out") {
		t.Errorf("deaf: %+v", got)
	}
	if got := b.run(job("three", step("own", "exit 124"))); got.Exit != 124 {
		t.Errorf("a step's own status: %+v", got)
	}
}

// A file is replaced when it is another's, however its owner is named.
func TestFileThatIsOwnedAsItShouldBeIsLeft(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("left out: only root can give files away")
	}
	b := workbench(t)
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Skip("left out: there is no user nobody")
	}
	group, err := user.LookupGroupId(nobody.Gid)
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(nobody.Uid)
	gid, _ := strconv.Atoi(nobody.Gid)
	target := b.dir + "/file"
	for i, c := range []struct {
		owner    string
		uid, gid int
		left     bool // since the one before
	}{
		{"", 0, 0, false},
		{"nobody", uid, 0, false},
		{"nobody", uid, 0, true},
		{nobody.Uid, uid, 0, true},
		{"nobody:" + group.Name, uid, gid, false},
		{nobody.Uid + ":" + nobody.Gid, uid, gid, true},
		{":" + group.Name, 0, gid, false}, // a new file is root's
		{"", 0, gid, true},
		{"nobody", uid, 0, false},
		{"", 0, 0, false}, // nobody's is not ours
	} {
		before, _ := os.Stat(target)
		j := job(fmt.Sprint("job-", i), step("a", "true"))
		j.Files = []actuators.JobFile{{To: target, Mode: "4750", Owner: c.owner, Content: []byte("x")}}
		if got := b.run(j); got.Exit != 0 {
			t.Fatalf("%d: %+v", i, got)
		}
		after, err := os.Stat(target)
		if err != nil {
			t.Fatal(err)
		}
		is := after.Sys().(*syscall.Stat_t)
		if os.SameFile(before, after) != c.left || int(is.Uid) != c.uid || int(is.Gid) != c.gid {
			t.Errorf("%d, %q: left %v, owned by %d:%d", i, c.owner, os.SameFile(before, after), is.Uid, is.Gid)
		}
		if after.Mode() != os.ModeSetuid|0o750 { // which a change of owner takes away
			t.Errorf("%d, %q: its mode is %v", i, c.owner, after.Mode())
		}
	}
}

func parentOf(tb testing.TB, pid int) int {
	tb.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		tb.Fatal(err)
	}
	fields := strings.Fields(string(b[strings.LastIndex(string(b), ")")+1:]))
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		tb.Fatal(err)
	}
	return parent
}
