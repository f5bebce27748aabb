package host_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
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

// What is written or set aside is so under the node's lock, and who waits for that in vain is told (law 17).
func TestNothingIsChangedWithoutTheLock(t *testing.T) {
	b, _ := workbenchWithTools(t, map[string]string{"flock": "[ \"$*\" = '-w 10 9' ] && set -- -w 0.1 9\nexec %[2]s \"$@\"\n"})
	before, err := b.host.Read(t.Context(), b.at)
	if err != nil {
		t.Fatal(err)
	}
	lock, err := os.Open(b.dir + "/lock")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	next := claimed("nonce-2", before.Now, time.Minute)
	_, err = b.host.Write(t.Context(), b.at, before.Version, next)
	complaint(t, err, b.dir+"/lock is held by another process")
	_, err = b.try(t.Context(), job("one", step("a", "touch ran")))
	complaint(t, err, "run job one on", b.dir+"/lock is held by another process")
	if got, err := b.host.Read(t.Context(), b.at); err != nil || got.Version != before.Version || !missing(b.dir+"/ran") {
		t.Errorf("it was changed: %+v, %v", got, err)
	}
	whole := b.content("record.json")
	write(t, b.dir+"/record.json", "corrupt")
	_, err = b.host.Read(t.Context(), b.at)
	complaint(t, err, "cannot set aside the corrupt record", b.dir+"/lock is held by another process")
	if got := b.content("record.json"); got != "corrupt" {
		t.Errorf("it was set aside: %q", got)
	}
	write(t, b.dir+"/record.json", whole)
	lock.Close()
	if _, err := b.host.Write(t.Context(), b.at, before.Version, next); err != nil {
		t.Errorf("with the lock free again: %v", err)
	}
}

// A job starts under the lock that its record was written under, and takes it again where it had to let go of it (law 18).
func TestJobStartsUnderTheLock(t *testing.T) {
	b, log := workbenchWithTools(t, map[string]string{"flock": "if [ \"$*\" = '-w 10 9' ]; then echo lock >>%[1]s/log; fi\nexec %[2]s \"$@\"\n"})
	j := job("one", step("a", "true"))
	for i, want := range []string{"lock\n", "lock\nlock\n"} {
		write(t, log, "")
		b.run(j)
		if got, err := os.ReadFile(log); err != nil || string(got) != want {
			t.Errorf("with %d files: %q, %v", i, got, err)
		}
		j.Key, j.Files = "two", []actuators.JobFile{{To: b.dir + "/file", Content: []byte("x")}} // locked by nobody while it arrives
	}
}

// A record that was mended between the reading and the setting aside is left.
func TestOnlyTheCorruptRecordIsSetAside(t *testing.T) {
	b, log := workbenchWithTools(t, map[string]string{"flock": "if [ \"$*\" = '-w 10 9' ] && [ -e %[1]s/log ]; then cat %[1]s/log >record.json; fi\nexec %[2]s \"$@\"\n"})
	whole := b.content("record.json")
	write(t, b.dir+"/record.json", "corrupt")
	write(t, log, whole)
	_, err := b.host.Read(t.Context(), b.at)
	complaint(t, err, "cannot set aside the corrupt record", "the record is another one now")
	if !errors.Is(err, actuators.ErrChanged) || b.content("record.json") != whole {
		t.Errorf("%v, the record is %q", err, b.content("record.json"))
	}
}

// What moves or creates the record and fails is told.
func TestRecordThatCannotBeWritten(t *testing.T) {
	b, log := workbenchWithTools(t, map[string]string{
		"mv":    "if [ -e %[1]s/log ]; then exit 1; fi\nexec %[2]s \"$@\"\n",
		"mkdir": "if [ -e %[1]s/log ]; then exit 1; fi\nexec %[2]s \"$@\"\n",
	})
	before, err := b.host.Read(t.Context(), b.at)
	if err != nil {
		t.Fatal(err)
	}
	write(t, log, "")
	next := claimed("nonce-2", before.Now, time.Minute)
	_, err = b.host.Write(t.Context(), b.at, before.Version, next)
	complaint(t, err, b.dir+"/record.json cannot be replaced", "make it writable for user")
	write(t, b.dir+"/record.json", "corrupt")
	_, err = b.host.Read(t.Context(), b.at)
	complaint(t, err, b.dir+"/record.json cannot be renamed")
	if err := os.Remove(b.dir + "/record.json"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(b.dir+"/record.json", 0o700); err != nil {
		t.Fatal(err)
	}
	_, err = b.host.Read(t.Context(), b.at)
	complaint(t, err, b.dir+"/record.json cannot be read")
	other := b.at
	other.Fleet = "api"
	next.Fleet = "api"
	_, err = b.host.Write(t.Context(), other, "", next)
	complaint(t, err, filepath.Dir(b.dir)+"/api cannot be created")
}

// A job that cannot be put down is not begun.
func TestJobThatCannotBePutDown(t *testing.T) {
	for _, name := range []string{"group", "current"} {
		t.Run(name, func(t *testing.T) {
			b := workbench(t)
			if err := os.Mkdir(b.dir+"/job/"+name, 0o700); err != nil {
				t.Fatal(err)
			}
			_, err := b.try(t.Context(), job("one", step("a", "touch ran")))
			complaint(t, err, b.dir+"/job cannot be written")
			if !missing(b.dir + "/ran") {
				t.Error("it ran")
			}
			if name != "current" && !missing(b.dir+"/job/current") {
				t.Error("it counts as begun")
			}
		})
	}
}

// While files arrive, the record may be written: the claim is renewed, and the job goes on.
func TestFilesArriveWhileNobodyIsHeldUp(t *testing.T) {
	b, _ := workbenchWithTools(t, map[string]string{"head": "if [ \"$2\" = 1 ]; then echo receiving >begun; until [ -e go ]; do sleep 0.01; done; fi\nexec %[2]s \"$@\"\n"})
	before, err := b.host.Read(t.Context(), b.at)
	if err != nil {
		t.Fatal(err)
	}
	j := job("one", step("a", "cat file >seen"))
	j.Files = []actuators.JobFile{{To: b.dir + "/file", Content: []byte("x")}}
	wrote, ended := make(chan actuators.HostState, 1), make(chan error, 1)
	go func() {
		_, err := b.host.Run(t.Context(), b.at, before.Version, claimed("nonce-1", before.Now, time.Minute), j, func(s actuators.HostState) { wrote <- s })
		ended <- err
	}()
	mine := <-wrote
	b.await("receiving")
	if _, err := b.host.Write(t.Context(), b.at, mine.Version, claimed("nonce-1", mine.Now, time.Hour)); err != nil {
		t.Errorf("the claim cannot be renewed: %v", err)
	}
	b.open()
	if err := <-ended; err != nil || b.content("seen") != "x" {
		t.Errorf("the job: %v", err)
	}
}

func TestFilesThatCannotBeStaged(t *testing.T) {
	b, _ := workbenchWithTools(t, map[string]string{"head": "if [ \"$2\" = 3 ]; then exit 1; fi\nexec %[2]s \"$@\"\n"})
	j := job("one", step("a", "touch ran"))
	j.Files = []actuators.JobFile{{To: b.dir + "/first", Content: []byte("x")}, {To: b.dir + "/file", Content: []byte("xyz")}}
	_, err := b.try(t.Context(), j)
	complaint(t, err, "the disk is full: "+b.dir+"/job/.stage-", "/2 cannot be written")
	if staged, _ := filepath.Glob(b.dir + "/job/.stage-*"); len(staged) > 0 || !missing(b.dir+"/ran") {
		t.Errorf("left behind: %v", staged)
	}
}

// G31: what is free is weighed to the kilobyte, and the inodes with it, where there are any.
func TestSpaceIsWeighed(t *testing.T) {
	b, log := workbenchWithTools(t, map[string]string{"stat": "if [ \"$1\" = -f ]; then exec cat %[1]s/log; fi\nexec %[2]s \"$@\"\n"})
	j := job("one", step("a", "echo ran >>ran"))
	j.NeedsKB = 1000 // and 2048 for what windlass keeps
	for _, c := range []struct{ free, want string }{
		{"761 4096 100 64", "3044 KB are free in " + b.dir + ", 3048 KB are needed"},
		{"762 4096 100 63", "63 inodes are free in " + b.dir + ", 64 are needed"},
		{"762 4096 100 64", ""},
		{"762 4096 0 0", ""}, // a filesystem that makes inodes as it needs them
	} {
		write(t, log, c.free+"\n")
		_, err := b.try(t.Context(), j)
		if c.want != "" {
			complaint(t, err, "the disk is full: "+c.want)
		} else if err != nil {
			t.Errorf("%s: %v", c.free, err)
		}
		if c.want == "" {
			j.Key += "-more"
		}
	}
	if got := b.content("ran"); got != "ran\nran\n" {
		t.Errorf("it ran: %q", got)
	}
}

// What a step that fails says last is shown, also when it is slow to be kept, and is not waited for when it was kept.
func TestLastWordsOfAFailureAreShown(t *testing.T) {
	b, _ := workbenchWithTools(t, map[string]string{
		"cat":   "if [ $# = 0 ]; then sleep 0.2; fi\nexec %[2]s \"$@\"\n",
		"sleep": "if [ \"$1\" != 0.05 ]; then exec %[2]s \"$@\"; fi\necho waits >>waits\nfor try in 1 2 3 4 5 6 7 8 9; do\n\tfor job in job/*.drained; do if [ -e \"$job\" ]; then exit; fi; done\n\t%[2]s 1\ndone\n",
	})
	if got := b.run(job("one", step("a", "echo last words; exit 3"))); got.Exit != 3 || got.Tail != "last words" {
		t.Errorf("got %+v", got)
	}
	if n := strings.Count(b.content("waits"), "waits"); n != 1 {
		t.Errorf("it was waited for %d times", n)
	}
}

// A job that cannot even be killed is told, and nothing is begun beside it.
func TestJobThatCannotBeKilled(t *testing.T) {
	b, _ := workbenchWithTools(t, map[string]string{"flock": "if [ \"$*\" = '-s -w 10 7' ]; then exit 1; fi\nexec %[2]s \"$@\"\n"})
	first := make(chan error, 1)
	go func() {
		_, err := b.try(t.Context(), job("one", step("a", "echo a >begun; exec sleep 600")))
		first <- err
	}()
	b.await("a")
	write(t, b.dir+"/job/one.limit", "0\n")
	_, err := b.try(t.Context(), job("two", step("b", "touch ran")))
	complaint(t, err, "the job before does not end, not even when killed")
	if <-first; !missing(b.dir + "/ran") {
		t.Error("it ran")
	}
}
