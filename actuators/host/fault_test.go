package host_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/internal/sandbox/sshdtest"
)

// Law 11: a disk that is full or read-only where a file goes uses up no attempt, and the job goes on when that is mended.
func TestLaw11DiskThatTakesNoFileIsNoFailedStep(t *testing.T) {
	for name, c := range map[string]struct {
		spoil, mend func(t *testing.T, disk string)
		want        string
	}{
		"full": {
			func(t *testing.T, disk string) { write(t, disk+"/filler", strings.Repeat("x", 508<<10)) },
			func(t *testing.T, disk string) { write(t, disk+"/filler", "") }, "No space left on device",
		},
		"read-only": {
			func(t *testing.T, disk string) { remount(t, disk, "ro") },
			func(t *testing.T, disk string) { remount(t, disk, "rw") }, "Read-only file system",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := workbench(t)
			disk := tinyDisk(t)
			target := filepath.Join(disk, "app.conf")
			write(t, target, "old")
			c.spoil(t, disk)
			j := job("one", step("a", "echo run >>ran"))
			j.Files = []actuators.JobFile{{To: target, Content: []byte(strings.Repeat("x", 8192))}}
			got, err := b.try(t.Context(), j)
			if got.Exited || err == nil || !strings.Contains(err.Error(), "cannot place "+target+": "+c.want) {
				t.Errorf("got %+v, %v", got, err)
			}
			if state, err := b.host.Read(t.Context(), b.at); err != nil || state.Job.Exited || state.Job.Running {
				t.Errorf("read %+v, %v", state.Job, err)
			}
			if left, _ := filepath.Glob(disk + "/.app.conf*"); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			c.mend(t, disk)
			if got := b.run(j); !got.Exited || got.Exit != 0 || b.content("ran") != "run\n" {
				t.Errorf("mended: %+v", got)
			}
		})
	}
}

// A tidied directory is no running job, and no licence to run a second one beside the first (law 19).
func TestTidiedDirectoryNeitherHidesNorMakesUpAJob(t *testing.T) {
	b := workbench(t)
	tidy := func() {
		names, err := filepath.Glob(b.dir + "/job/*")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if base := filepath.Base(name); base != "current" && base != "group" {
				if err := os.RemoveAll(name); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	b.run(job("zero", step("a", "exit 3")))
	tidy()
	if state, err := b.host.Read(t.Context(), b.at); err != nil || state.Job.Running || state.Job.Exited {
		t.Errorf("nothing runs, and %+v is said, %v", state.Job, err)
	}
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { _, err := b.try(t.Context(), job("one", gated("a", 0))); first <- err }()
	b.await("a")
	tidy()
	go func() {
		_, err := b.try(t.Context(), job("two", step("b", "[ -e go ] && echo after >order")))
		second <- err
	}()
	for tick := time.Tick(10 * time.Millisecond); missing(b.dir + "/order"); { // it waits, or has begun
		state, err := b.host.Read(t.Context(), b.at)
		if err != nil || state.Job.Key != "one" || !state.Job.Running {
			t.Errorf("job one runs, and %+v is said, %v", state.Job, err)
			break
		}
		if waiting(t, b.dir) {
			break
		}
		<-tick
	}
	b.open()
	<-first
	if err := <-second; err != nil || b.content("order") != "after\n" {
		t.Errorf("the second job: %v", err)
	}
}

// waiting reports whether a call waits on the node until a job has ended.
func waiting(tb testing.TB, dir string) bool {
	tb.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		tb.Fatal(err)
	}
	return slices.ContainsFunc(processes, func(p string) bool {
		line, _ := os.ReadFile(p + "/cmdline")
		where, _ := os.Readlink(p + "/cwd")
		return where == dir && strings.HasPrefix(string(line), "flock\x00-s\x00-w")
	})
}

// workbenchWithTools is a node with tools of the test's own before its own ones; %[1]s in one is its directory, %[2]s the real tool.
func workbenchWithTools(t *testing.T, tools map[string]string) (b bench, log string) {
	t.Helper()
	t.Parallel()
	bin := t.TempDir()
	for name, script := range tools {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		tool(t, bin, name, fmt.Sprintf("#!/bin/sh\n: %[1]s %[2]s\n"+script, bin, path))
	}
	return workbenchWith(t, sshdtest.Options{Env: map[string]string{"PATH": bin + ":" + os.Getenv("PATH")}}), filepath.Join(bin, "log")
}

// What was told as written survives a power failure: the content is synced before it takes its place, and its directory after.
func TestWhatIsWrittenIsSynced(t *testing.T) {
	b, log := workbenchWithTools(t, map[string]string{
		"sync": "echo sync \"$@\" >>%[1]s/log\nexec %[2]s \"$@\"\n",
		"mv":   "echo mv \"$@\" >>%[1]s/log\nexec %[2]s \"$@\"\n",
	})
	logged := func() string {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(log); err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	record := "sync record.json.new\nmv -f record.json.new record.json\nsync .\n"
	if got := logged(); got != record {
		t.Errorf("a record is written by\n%swant\n%s", got, record)
	}
	j := job("one", step("a", "true"))
	j.Files = []actuators.JobFile{{To: b.dir + "/file", Content: []byte("x")}}
	b.run(j)
	_, got, _ := strings.Cut(logged(), record)
	lines := strings.Split(got, "\n")
	i := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "sync "+b.dir+"/.file.") })
	if i < 0 || len(lines) < i+3 || lines[i+1] != "mv -fT -- "+strings.TrimPrefix(lines[i], "sync ")+" "+b.dir+"/file" || lines[i+2] != "sync "+b.dir+"/" {
		t.Errorf("a file is placed by\n%s", got)
	}
}

// What cannot be synced is not told as written.
func TestWhatCannotBeSyncedIsNotWritten(t *testing.T) {
	b, log := workbenchWithTools(t, map[string]string{"sync": "if [ -e %[1]s/log ] && grep -qxF -- \"$1\" %[1]s/log; then exit 1; fi\nexec %[2]s \"$@\"\n"})
	before, err := b.host.Read(t.Context(), b.at)
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"record.json.new", "."} {
		write(t, log, what+"\n")
		if _, err := b.host.Write(t.Context(), b.at, before.Version, claimed("nonce-2", before.Now, time.Minute)); err == nil {
			t.Errorf("with %s not synced, the record is said to be written", what)
		}
		if what == "." {
			break
		}
		if got, err := b.host.Read(t.Context(), b.at); err != nil || got.Version != before.Version || !missing(b.dir+"/record.json.new") {
			t.Errorf("with %s not synced, the record is another one: %+v, %v", what, got, err)
		}
	}
	j := job("one", step("a", "touch ran"))
	j.Files = []actuators.JobFile{{To: b.dir + "/file", Content: []byte("x")}}
	write(t, log, b.dir+"/\n")
	if got := b.run(j); got.Exit != 1 || !missing(b.dir+"/ran") {
		t.Errorf("with the directory of a file not synced: %+v", got)
	}
}

// Law 18: a claim ends with the second that it names.
func TestLaw18ClaimEndsWithItsSecond(t *testing.T) {
	b, log := workbenchWithTools(t, map[string]string{"date": "if [ \"$*\" = '-u +%%Y%%m%%d%%H%%M%%S' ] && [ -e %[1]s/log ]; then exec cat %[1]s/log; fi\nexec %[2]s \"$@\"\n"})
	run := func(key string, left time.Duration) error {
		before, err := b.host.Read(t.Context(), b.at)
		if err != nil {
			t.Fatal(err)
		}
		record := claimed("nonce-1", before.Now, time.Hour)
		write(t, log, record.Claim.Expires.Add(-left).UTC().Format("20060102150405")+"\n")
		_, err = b.host.Run(t.Context(), b.at, before.Version, record, job(key, step("a", "echo "+key+" >>ran")), func(actuators.HostState) {})
		return err
	}
	if err := run("late", 0); err == nil || !strings.Contains(err.Error(), "our claim expired") {
		t.Errorf("in the second of its expiry: %v", err)
	}
	if err := run("later", -time.Second); err == nil {
		t.Error("it ran a second after its expiry")
	}
	if err := run("early", time.Second); err != nil {
		t.Errorf("a second before: %v", err)
	}
	if got := b.content("ran"); got != "early\n" {
		t.Errorf("ran %q", got)
	}
}

// A job is not killed for the one before it, which outlived its limit and ended just now.
func TestNextJobIsNotKilledForTheOneBefore(t *testing.T) {
	b, _ := workbenchWithTools(t, map[string]string{"flock": `case $* in
'-s -w 0 7')
	echo next >job/current
	exit 1
	;;
'-s -w '*) : >go ;;
esac
exec %[2]s "$@"
`})
	first := make(chan error, 1)
	go func() {
		_, err := b.try(t.Context(), job("one", gated("a", 0), step("b", "echo whole >end")))
		first <- err
	}()
	b.await("a")
	write(t, filepath.Join(b.dir, "job/one.limit"), "0\n")
	b.run(job("two", step("c", "true")))
	<-first // which does not know its job any more
	if got := b.content("end"); got != "whole\n" {
		t.Errorf("it was killed: %q", got)
	}
}

// A directory that cannot be locked, as on a network disk, is told, and not tried again and again on the node.
func TestDirectoryThatCannotBeLocked(t *testing.T) {
	b, _ := workbenchWithTools(t, map[string]string{"flock": "case $* in '-n 8') exit 65 ;; esac\nexec %[2]s \"$@\"\n"})
	if _, err := b.try(t.Context(), job("one", step("a", "touch ran"))); err == nil || !strings.Contains(err.Error(), "set ssh.stateDir") || !missing(b.dir+"/ran") {
		t.Errorf("it says %v", err)
	}
}
