package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
)

// TestMain prints what the benchmarks found out in one table, or is the process whose memory is measured.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(crowdMark) != "":
		crowd()
		return
	case os.Getenv(ancestryMark) != "":
		ancestry()
		return
	}
	code := m.Run()
	table.print()
	if err := os.RemoveAll(scratch()); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// scratch is a directory for this process.
var scratch = sync.OnceValue(func() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("windlass-bench-%d", os.Getpid()))
})

// table is the one that all benchmarks of this process write to.
var table report

// A report is what was measured, row by row.
type report struct {
	mu   sync.Mutex
	rows []row
}

// A row is one thing measured: what came out, and what is aimed at.
type row struct {
	what, got, target string
	met               bool
}

// add puts a row into the table, or replaces one about the same. A row without a target is for information.
func (r *report) add(what, got, target string, met bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = slices.DeleteFunc(r.rows, func(old row) bool { return old.what == what })
	r.rows = append(r.rows, row{what, got, target, met})
}

// note puts a row for information into the table.
func (r *report) note(what, got string) { r.add(what, got, "", false) }

func (r *report) print() {
	if len(r.rows) == 0 {
		return
	}
	at, before := earlier()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\nMEASURED\tRESULT\t%sTARGET\t\n", at)
	for _, row := range r.rows {
		then := ""
		if at != "" {
			then = before[strings.TrimSpace(row.what)] + "\t"
		}
		fmt.Fprintf(w, "%s\t%s\t%s%s\t%s\n", row.what, row.got, then, row.target, row.mark())
	}
	_ = w.Flush() // to standard output
}

// earlier is the column of an earlier revision, which .ci/before has measured, and its results; none when there is no such column.
func earlier() (heading string, results map[string]string) {
	path := os.Getenv("WINDLASS_BENCH_BEFORE")
	if path == "" {
		return "", nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		fmt.Fprintln(os.Stderr, "the earlier revision is left out:", err)
		return "", nil
	}
	heading, rows, _ := strings.Cut(string(text), "\n")
	results = map[string]string{}
	for line := range strings.Lines(rows) {
		what, got, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		results[strings.TrimSpace(what)] = got
	}
	return heading + "\t", results
}

func (r row) mark() string {
	switch {
	case r.target == "":
		return ""
	case r.met:
		return "PASS"
	}
	return "OVER TARGET"
}

// windlass is the program as it is released, built once.
var windlass = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch(), "windlass")
	out, err := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "windlass/cmd/windlass").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("cannot build windlass: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return path, nil
})

// BenchmarkBinary reports the size of the stripped program.
func BenchmarkBinary(b *testing.B) {
	const most = 34_000_000 // bytes
	for b.Loop() {
		path, err := windlass()
		check(b, err)
		info, err := os.Stat(path)
		check(b, err)
		table.add("stripped binary", fmt.Sprintf("%.1f MB", float64(info.Size())/1e6), "≤ 34 MB", info.Size() <= most)
	}
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
