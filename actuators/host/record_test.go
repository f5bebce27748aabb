package host_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/actuators/host"
	"windlass/internal/sandbox/sshdtest"
)

func TestOfRacingWritersOneWins(t *testing.T) {
	t.Parallel()
	s, at := node(t, sshdtest.Options{})
	h := agent(t, s, host.Options{})
	state := claim(t, h, at, "nonce-0")
	const writers = 6
	won := make([]string, 0, writers)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range writers {
		nonce := "nonce-" + string(rune('a'+i))
		wg.Go(func() {
			_, err := h.Write(t.Context(), at, state.Version, claimed(nonce, state.Now, time.Minute))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won = append(won, nonce)
			} else if !errors.Is(err, actuators.ErrChanged) {
				t.Errorf("lost with %v", err)
			}
		})
	}
	wg.Wait()
	got, err := h.Read(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	if len(won) != 1 || got.Record.Claim.Nonce != won[0] {
		t.Errorf("%v won, the record says %s", won, got.Record.Claim.Nonce)
	}
}

// Law 22: what a record says of failures holds no secret, whoever wrote it.
func TestRecordKeepsNoSecret(t *testing.T) {
	t.Parallel()
	s, at := node(t, sshdtest.Options{})
	h := agent(t, s, host.Options{})
	before, err := h.Read(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	record := claimed("nonce-1", before.Now, time.Minute)
	record.Try.Error = "template files/web.env: DB_PASSWORD=hunter2"
	record.Halts = []actuators.Halt{{Digest: "d1", Release: "v1", Reason: "https://user:hunter2@example.com: 500"}}
	after, err := h.Write(t.Context(), at, before.Version, record)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(filepath.Join(s.Home, ".windlass", fleet, "record.json"))
	if err != nil || strings.Contains(string(kept), "hunter2") || strings.Contains(after.Record.Try.Error, "hunter2") {
		t.Errorf("%s, %v", kept, err)
	}
	if read, err := h.Read(t.Context(), at); err != nil || read.Version != after.Version {
		t.Errorf("read %+v, %v", read, err)
	}
	if !strings.Contains(record.Halts[0].Reason, "hunter2") {
		t.Error("the caller's record was changed")
	}
}

func TestCorruptRecordIsSetAside(t *testing.T) {
	t.Parallel()
	s, at := node(t, sshdtest.Options{})
	dir := filepath.Join(s.Home, ".windlass", fleet)
	write(t, filepath.Join(dir, "record.json"), `{"schema": 1, "fleet": "web-l`)

	looker := agent(t, s, host.Options{ReadOnly: true})
	got, err := looker.Read(t.Context(), at)
	if err != nil || got.Problem == "" || got.Version != "" {
		t.Errorf("read-only: %+v, %v", got, err)
	}
	if files := names(t, dir); len(files) != 1 || files[0] != "record.json" {
		t.Errorf("law 21: a reader that changes nothing left %v", files)
	}
	if _, err := looker.Write(t.Context(), at, "", claimed("nonce-1", got.Now, time.Minute)); err == nil {
		t.Error("law 21: a read-only host wrote")
	}

	h := agent(t, s, host.Options{})
	got, err = h.Read(t.Context(), at)
	if err != nil || !strings.Contains(got.Problem, "set aside") || got.Record.Known() {
		t.Errorf("got %+v, %v", got, err)
	}
	kept, _ := filepath.Glob(filepath.Join(dir, "record.json.corrupt-*"))
	if len(kept) != 1 {
		t.Errorf("the corrupt record is not there any more: %v", names(t, dir))
	}
	if again := claim(t, h, at, "nonce-1"); again.Problem != "" || again.Record.Claim == nil {
		t.Errorf("afterwards: %+v", again)
	}
}

// What is larger than a record can be is no record, and is set aside like any other that is none.
func TestRecordThatIsTooLargeIsSetAside(t *testing.T) {
	t.Parallel()
	s, at := node(t, sshdtest.Options{})
	dir := filepath.Join(s.Home, ".windlass", fleet)
	write(t, filepath.Join(dir, "record.json"), strings.Repeat("x", 1<<20))
	got, err := agent(t, s, host.Options{}).Read(t.Context(), at)
	if err != nil || !strings.Contains(got.Problem, "set aside") || got.Version != "" {
		t.Errorf("got %+v, %v", got, err)
	}
	if kept, _ := filepath.Glob(filepath.Join(dir, "record.json.corrupt-*")); len(kept) != 1 {
		t.Errorf("it is not there any more: %v", names(t, dir))
	}
}

func TestNewerRecordIsLeftAlone(t *testing.T) {
	t.Parallel()
	s, at := node(t, sshdtest.Options{})
	dir := filepath.Join(s.Home, ".windlass", fleet)
	const newer = `{"schema": 99, "fleet": "web-live"}`
	write(t, filepath.Join(dir, "record.json"), newer)
	h := agent(t, s, host.Options{})
	if _, err := h.Read(t.Context(), at); !errors.Is(err, actuators.ErrNewerSchema) || !strings.Contains(err.Error(), "upgrade") {
		t.Errorf("got %v", err)
	}
	if _, err := h.Write(t.Context(), at, "", claimed("nonce-1", time.Now(), time.Minute)); !errors.Is(err, actuators.ErrChanged) {
		t.Errorf("write over it: %v", err)
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "record.json")); string(b) != newer {
		t.Errorf("it became %q", b)
	}
}

func TestEmptyRecordIsNone(t *testing.T) {
	t.Parallel()
	s, at := node(t, sshdtest.Options{})
	write(t, filepath.Join(s.Home, ".windlass", fleet, "record.json"), "")
	if got := claim(t, agent(t, s, host.Options{}), at, "nonce-1"); got.Version == "" {
		t.Errorf("got %+v", got)
	}
}

func TestReadChangesNothing(t *testing.T) {
	t.Parallel()
	s, at := node(t, sshdtest.Options{})
	if _, err := agent(t, s, host.Options{}).Read(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	if found := names(t, s.Home); len(found) != 0 {
		t.Errorf("a reading left %v", found)
	}
}

func TestMachineIDOfAnImageCanBeOverridden(t *testing.T) {
	t.Parallel()
	s, at := node(t, sshdtest.Options{})
	write(t, filepath.Join(s.Home, ".windlass", "machine-id"), "clone-7\n")
	got, err := agent(t, s, host.Options{}).Read(t.Context(), at)
	if err != nil || got.Machine != "clone-7" {
		t.Errorf("got %q, %v", got.Machine, err)
	}
	write(t, filepath.Join(s.Home, ".windlass", "machine-id"), "\nclone-8\n")
	own, err := os.ReadFile("/etc/machine-id")
	if err != nil || len(own) == 0 {
		t.Skip("left out: this machine has no id of its own")
	}
	if got, err := agent(t, s, host.Options{}).Read(t.Context(), at); err != nil || got.Machine != strings.TrimSpace(string(own)) {
		t.Errorf("without a first line: %q, %v", got.Machine, err)
	}
}

// G31: a full disk is told as such, and the record that was there stays whole.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	s, at := node(t, sshdtest.Options{})
	at.SSH.StateDir = tinyDisk(t)
	h := agent(t, s, host.Options{})
	state := claim(t, h, at, "nonce-1")
	filler := filepath.Join(at.SSH.StateDir, "filler")
	if err := os.WriteFile(filler, make([]byte, 1<<20), 0o600); err == nil {
		t.Fatal("the small disk is not small")
	}
	long := claimed("nonce-1", state.Now, time.Hour)
	long.Try.Error = strings.Repeat("x", 4000)
	_, err := h.Write(t.Context(), at, state.Version, long)
	if err == nil || !strings.Contains(err.Error(), "the disk is full") || !strings.Contains(err.Error(), "free some space") {
		t.Errorf("write: %v", err)
	}
	if _, err := h.Run(t.Context(), at, state.Version, state.Record, job("one", step("a", "touch ran")), nil); err == nil || !strings.Contains(err.Error(), "the disk is full") {
		t.Errorf("run: %v", err)
	}
	if got, err := h.Read(t.Context(), at); err != nil || got.Version != state.Version || got.Job.Key != "" {
		t.Errorf("afterwards: %+v, %v", got, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Write(t.Context(), at, state.Version, long); err != nil {
		t.Errorf("with space again: %v", err)
	}
}

// A filesystem that turned read-only is told as such, and written again as soon as it can be.
func TestReadOnlyFilesystem(t *testing.T) {
	t.Parallel()
	s, at := node(t, sshdtest.Options{})
	at.SSH.StateDir = tinyDisk(t)
	h := agent(t, s, host.Options{})
	state := claim(t, h, at, "nonce-1")
	remount(t, at.SSH.StateDir, "ro")
	next := claimed("nonce-1", state.Now, time.Hour)
	for name, call := range map[string]func() error{
		"read":  func() error { _, err := h.Read(t.Context(), at); return err },
		"write": func() error { _, err := h.Write(t.Context(), at, state.Version, next); return err },
		"run": func() error {
			_, err := h.Run(t.Context(), at, state.Version, next, job("one", step("a", "true")), nil)
			return err
		},
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), "is not writable") {
			t.Errorf("%s: %v", name, err)
		}
	}
	remount(t, at.SSH.StateDir, "rw")
	if _, err := h.Write(t.Context(), at, state.Version, next); err != nil {
		t.Errorf("writable again: %v", err)
	}
}

func TestLoginDirectoryThatIsNotKnown(t *testing.T) {
	t.Parallel()
	s, at := node(t, sshdtest.Options{Config: []string{`ForceCommand HOME=; eval "$SSH_ORIGINAL_COMMAND"`}})
	_, err := agent(t, s, host.Options{}).Read(t.Context(), at)
	complaint(t, err, "HOME is empty there; set ssh.stateDir to an absolute path")
	at.SSH.StateDir = filepath.Join(s.Home, "state")
	claim(t, agent(t, s, host.Options{}), at, "nonce-1")
}

func TestUnusableStateDirectory(t *testing.T) {
	t.Parallel()
	s, at := node(t, sshdtest.Options{})
	write(t, filepath.Join(s.Home, "file"), "")
	at.SSH.StateDir = "file/below"
	_, err := agent(t, s, host.Options{}).Read(t.Context(), at)
	if err == nil || !strings.Contains(err.Error(), "not writable") || !strings.Contains(err.Error(), "ssh.stateDir") {
		t.Errorf("got %v", err)
	}
}

func TestMissingTools(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	if err := os.Symlink("/bin/sh", filepath.Join(bin, "sh")); err != nil {
		t.Fatal(err)
	}
	s, at := node(t, sshdtest.Options{Env: map[string]string{"PATH": bin}})
	_, err := agent(t, s, host.Options{}).Read(t.Context(), at)
	if err == nil || !strings.Contains(err.Error(), "install coreutils and util-linux") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v", err)
	}
}

func TestSudo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ script, want string }{
		"allowed":     {"#!/bin/sh\n[ \"$1\" = -n ] || exit 9\nshift\nHOME=/nowhere exec \"$@\"\n", ""},
		"complaining": {"#!/bin/sh\nshift\necho 'sudo: unable to resolve host web-1' >&2\nexec \"$@\"\n", ""},
		"refused":     {"#!/bin/sh\necho 'sudo: a password is required' >&2\nexit 1\n", "may not use sudo there without a password"},
		"forbidden":   {"#!/bin/sh\necho 'Sorry, user deploy is not allowed to execute sh' >&2\nexit 1\n", "Sorry, user deploy is not allowed"},
		"broken":      {"#!/nowhere\n", "sudo does not run there"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bin := t.TempDir()
			tool(t, bin, "sudo", c.script)
			s, at := node(t, sshdtest.Options{Env: map[string]string{"PATH": bin + ":/usr/bin:/bin"}})
			at.SSH.Sudo = true
			h := agent(t, s, host.Options{})
			if c.want == "" {
				claim(t, h, at, "nonce-1")
				if names(t, filepath.Join(s.Home, ".windlass")); t.Failed() {
					t.Error("the state directory is not the login user's")
				}
				if exit, _, err := h.Check(t.Context(), at, nil, "exit 1", time.Minute); err != nil || exit != 1 {
					t.Errorf("a check that fails: exit %d, %v", exit, err)
				}
				return
			}
			_, err := h.Read(t.Context(), at)
			complaint(t, err, c.want)
			_, _, err = h.Check(t.Context(), at, nil, "true", time.Minute)
			complaint(t, err, c.want)
		})
	}
}

// A login shell that greets, and does not end its last line, does not confuse anybody.
func TestGreetingIsSkipped(t *testing.T) {
	t.Parallel()
	s, at := node(t, sshdtest.Options{Config: []string{`ForceCommand echo welcome; echo 'windlass 0'; seq 1000 >&2; printf '\033]0;web-1\007'; eval "$SSH_ORIGINAL_COMMAND"`}})
	h := agent(t, s, host.Options{})
	state := claim(t, h, at, "nonce-1")
	got, err := h.Run(t.Context(), at, state.Version, state.Record, job("one", step("a", "echo no; exit 3")), func(s actuators.HostState) { state = s })
	if err != nil || got.Exit != 3 || got.Tail != "no" {
		t.Errorf("got %+v, %v", got, err)
	}
	if exit, tail, err := h.Check(t.Context(), at, nil, "echo yes; exit 3", time.Minute); err != nil || exit != 3 || !strings.HasPrefix(tail, "yes") {
		t.Errorf("a check: exit %d, %q, %v", exit, tail, err)
	}
	_, err = h.Write(t.Context(), at, "", state.Record)
	complaint(t, err, "the record is another one now")
}

// An account that runs nothing says nothing about the service on its node.
func TestAccountThatRunsNothing(t *testing.T) {
	t.Parallel()
	s, at := node(t, sshdtest.Options{Config: []string{"ForceCommand echo This account is currently not available. >&2; exit 1"}})
	h := agent(t, s, host.Options{})
	_, err := h.Read(t.Context(), at)
	complaint(t, err, "This account is currently not available.", "needs a login shell")
	_, _, err = h.Check(t.Context(), at, nil, "true", time.Minute)
	complaint(t, err, "This account is currently not available.")

	s, at = node(t, sshdtest.Options{Config: []string{"ForceCommand echo Have a nice day."}}) // and ends well
	_, _, err = agent(t, s, host.Options{}).Check(t.Context(), at, nil, "true", time.Minute)
	complaint(t, err, "not whole")
}

// tool is a command that a test stands in for.
func tool(tb testing.TB, bin, name, script string) {
	tb.Helper()
	write(tb, filepath.Join(bin, name), script)
	if err := os.Chmod(filepath.Join(bin, name), 0o700); err != nil {
		tb.Fatal(err)
	}
}

func write(tb testing.TB, file, content string) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		tb.Fatal(err)
	}
}

func names(tb testing.TB, dir string) []string {
	tb.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		tb.Error(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}
