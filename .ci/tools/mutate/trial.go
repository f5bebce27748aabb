package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A trial shows bugs to tests.
type trial struct {
	suites []suite
	dir    string // for what is built, and what the tests leave
	jobs   int
	grace  time.Duration // for a test with a bug, beyond four times what it takes without
}

// A binary is a suite, compiled.
type binary struct {
	suite
	path  string
	took  time.Duration    // without a bug
	tests map[int][]string // which of its tests come by a bug
}

// A verdict is what became of a bug.
type verdict int

const (
	untried verdict = iota
	unreached
	survived
	found
)

// try shows each bug to one suite after the other until one finds it. When ctx ends before, some are left untried.
func (t trial) try(ctx context.Context, mutants []*mutant) (map[*mutant]verdict, error) {
	became := map[*mutant]verdict{}
	for _, s := range t.suites {
		left := slices.DeleteFunc(slices.Clone(mutants), func(m *mutant) bool { return became[m] == found })
		if len(left) == 0 || ctx.Err() != nil {
			break
		}
		b, err := t.baseline(ctx, s, left)
		if err != nil {
			return nil, err
		}
		verdicts := make([]verdict, len(left))
		err = t.each(ctx, len(left), func(i int) (err error) {
			verdicts[i], err = t.show(ctx, b, left[i])
			if (i+1)%50 == 0 {
				fmt.Fprintf(os.Stderr, "%s: shown %d of %d\n", b.name, i+1, len(left))
			}
			return err
		})
		for i, m := range left {
			became[m] = max(became[m], verdicts[i])
		}
		if err != nil {
			return became, err
		}
	}
	return became, nil
}

// baseline is a suite that carries the bugs of Go files, and what it does when none is in force.
func (t trial) baseline(ctx context.Context, s suite, mutants []*mutant) (*binary, error) {
	overlay := ""
	for _, m := range mutants {
		if m.number > 0 {
			overlay = m.overlay
		}
	}
	path := filepath.Join(t.dir, strings.ReplaceAll(s.name, "/", "-")+".test")
	if err := build(ctx, s, overlay, path); err != nil {
		return nil, err
	}
	b := &binary{suite: s, path: path, tests: map[int][]string{}}
	names, err := b.list(ctx)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	reached := make([][]int, len(names))
	err = t.each(ctx, len(names), func(i int) (err error) {
		reached[i], err = t.reach(ctx, b, names[i], fmt.Sprintf("%s.%d", path, i))
		return err
	})
	b.took = time.Since(began)
	for i, numbers := range reached {
		for _, n := range numbers {
			b.tests[n] = append(b.tests[n], names[i])
		}
	}
	return b, err
}

// list names a suite's tests, or the one that it is bound to.
func (b *binary) list(ctx context.Context) ([]string, error) {
	if b.only != "" {
		return []string{b.only}, nil
	}
	out, err := output(exec.CommandContext(ctx, b.path, "-test.list", "^(Test|Fuzz|Example)"))
	return strings.Fields(string(out)), err
}

// reach returns the bugs that one test comes by when none is in force.
func (t trial) reach(ctx context.Context, b *binary, name, log string) ([]int, error) {
	out, err := t.run(ctx, b, b.path, 10*time.Minute, []string{name}, "MUTANT_REACHED="+log)
	if err != nil {
		return nil, fmt.Errorf("without any bug: %w\n%s", err, out)
	}
	var reached []int
	lines, _ := os.ReadFile(log) // there is none when nothing is reached
	for line := range strings.FieldsSeq(string(lines)) {
		number, err := strconv.Atoi(line)
		if err != nil {
			return nil, err
		}
		reached = append(reached, number)
	}
	return reached, nil
}

// each does f for every number below n, some at once. After the first error it begins no more; the end of ctx is none.
func (t trial) each(ctx context.Context, n int, f func(i int) error) error {
	var failure error
	var once sync.Once
	var failed atomic.Bool
	free := make(chan struct{}, t.jobs)
	var wg sync.WaitGroup
	for i := range n {
		free <- struct{}{}
		if ctx.Err() != nil || failed.Load() {
			break
		}
		wg.Go(func() {
			if err := f(i); err != nil && ctx.Err() == nil {
				once.Do(func() { failure = err })
				failed.Store(true)
			}
			<-free
		})
	}
	wg.Wait()
	return failure
}

// show says whether a suite fails with a bug.
func (t trial) show(ctx context.Context, b *binary, m *mutant) (verdict, error) {
	path, tests := b.path, b.tests[m.number]
	switch {
	case m.number == 0:
		path, tests = m.overlay+".test", []string{cmp.Or(b.only, ".*")}
		if err := build(ctx, b.suite, m.overlay, path); err != nil {
			return untried, err
		}
		defer os.Remove(path)
	case len(tests) == 0:
		return unreached, nil
	}
	_, err := t.run(ctx, b, path, 4*b.took+t.grace, tests, "MUTANT_PLANTED="+strconv.Itoa(m.number))
	switch {
	case ctx.Err() != nil:
		return untried, nil
	case err != nil:
		return found, nil
	}
	return survived, nil
}

func build(ctx context.Context, s suite, overlay, path string) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", path, "./"+s.name)
	if overlay != "" {
		cmd.Args = append(cmd.Args[:3:3], append([]string{"-overlay", overlay}, cmd.Args[3:]...)...)
	}
	_, err := output(cmd)
	return err
}

// memory is how much a test may have, in KiB, so that a bug that collects without end is found rather than the machine's end.
const memory = 3 << 20

// run runs some tests of a suite, with a directory of its own for what it leaves, and ends all that it started.
func (t trial) run(ctx context.Context, b *binary, path string, limit time.Duration, tests []string, setting string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	dir, err := os.MkdirTemp(t.dir, "")
	if err != nil {
		return nil, err
	}
	args := append([]string{"-c", fmt.Sprintf(`ulimit -d %d; exec "$0" "$@"`, memory), path, "-test.failfast", "-test.run=^(" + strings.Join(tests, "|") + ")$"}, b.args...)
	cmd := exec.CommandContext(ctx, "sh", args...)
	cmd.Dir = b.name
	cmd.Env = append(os.Environ(), setting, "TMPDIR="+dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second // for what it started and did not end
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS // what it mounts goes with it
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err = cmd.Run()
	sweep(dir)
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it has ended well, and left something running
	}
	return out.Bytes(), err
}

// sweep ends what a test left running, told by the test's own directory, and removes that.
func sweep(dir string) {
	for range 3 {
		processes, _ := filepath.Glob("/proc/[0-9]*")
		for _, p := range processes {
			line, _ := os.ReadFile(p + "/cmdline")
			where, _ := os.Readlink(p + "/cwd")
			if pid, err := strconv.Atoi(filepath.Base(p)); err == nil && (bytes.Contains(line, []byte(dir+"/")) || strings.HasPrefix(where, dir+"/")) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		if os.RemoveAll(dir) == nil {
			return
		}
	}
}
