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

// try shows each bug to one suite after the other until one finds it, tells of those that none finds, and counts the others.
func (t trial) try(ctx context.Context, mutants []*mutant, survived func(m *mutant, why string)) (int, error) {
	left, reached := mutants, map[*mutant]bool{}
	for _, s := range t.suites {
		if len(left) == 0 {
			break
		}
		b, err := t.baseline(ctx, s, left)
		if err != nil {
			return 0, err
		}
		for _, m := range left {
			reached[m] = reached[m] || b.comesBy(m)
		}
		if left, err = t.show(ctx, b, left); err != nil {
			return 0, err
		}
	}
	for _, m := range left {
		why := "no test fails"
		if !reached[m] {
			why = "no test reaches it"
		}
		survived(m, why)
	}
	return len(mutants) - len(left), nil
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
	err = t.each(len(names), func(i int) (err error) {
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

func (b *binary) comesBy(m *mutant) bool { return m.number == 0 || len(b.tests[m.number]) > 0 }

// each does f for every number below n, some at once.
func (t trial) each(n int, f func(i int) error) error {
	errs := make([]error, n)
	free := make(chan struct{}, t.jobs)
	var wg sync.WaitGroup
	for i := range n {
		free <- struct{}{}
		wg.Go(func() {
			errs[i] = f(i)
			<-free
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// show returns the bugs that a suite does not find.
func (t trial) show(ctx context.Context, b *binary, mutants []*mutant) ([]*mutant, error) {
	found := make([]bool, len(mutants))
	var shown atomic.Int64
	err := t.each(len(mutants), func(i int) (err error) {
		if n := shown.Add(1); n%50 == 0 {
			fmt.Fprintf(os.Stderr, "%s: %d of %d\n", b.name, n, len(mutants))
		}
		if b.comesBy(mutants[i]) {
			found[i], err = t.finds(ctx, b, mutants[i])
		}
		return err
	})
	var left []*mutant
	for i, m := range mutants {
		if !found[i] {
			left = append(left, m)
		}
	}
	return left, err
}

// finds says whether a suite fails with a bug.
func (t trial) finds(ctx context.Context, b *binary, m *mutant) (bool, error) {
	path, tests := b.path, b.tests[m.number]
	if m.number == 0 {
		path, tests = m.overlay+".test", []string{cmp.Or(b.only, ".*")}
		if err := build(ctx, b.suite, m.overlay, path); err != nil {
			return false, err
		}
		defer os.Remove(path)
	}
	_, err := t.run(ctx, b, path, 4*b.took+t.grace, tests, "MUTANT_PLANTED="+strconv.Itoa(m.number))
	return err != nil, ctx.Err()
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
