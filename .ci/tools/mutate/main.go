package main

import (
	"cmp"
	"context"
	_ "embed"
	"flag"
	"fmt"
	"hash/fnv"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// known lists bugs that nobody could notice, a line each: key, two spaces, reason.
//
//go:embed known.txt
var known string

type options struct {
	seed   string
	sample int
	jobs   int
	floor  float64
	only   string
	again  string
	own    bool
	list   bool
}

func main() {
	var o options
	flag.StringVar(&o.seed, "seed", "1", "of the sample")
	flag.IntVar(&o.sample, "sample", 0, "plant so many of a package's bugs; 0: all")
	flag.IntVar(&o.jobs, "j", runtime.NumCPU(), "how many tests run at once")
	flag.Float64Var(&o.floor, "floor", 100, "how many percent of each package's planted bugs must be found, at the least")
	flag.StringVar(&o.only, "only", "", "plant only bugs whose key holds this text")
	flag.StringVar(&o.again, "again", "", "plant only the bugs that this file lists, as an earlier run printed them")
	flag.BoolVar(&o.own, "own", false, "show the bugs to the package's own tests alone")
	flag.BoolVar(&o.list, "list", false, "list the bugs, and plant none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	enough, err := run(ctx, o, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(2)
	}
	if !enough {
		fmt.Fprintf(os.Stderr, "mutate: %g %% must be found in each package: a test is missing for some of the above\n", o.floor)
		os.Exit(1)
	}
}

// run says whether enough of the bugs of each package were found.
func run(ctx context.Context, o options, packages []string) (bool, error) {
	if len(packages) == 0 || slices.Contains(packages, "all") {
		packages = everything()
	}
	var sum score
	enough := true
	for _, name := range packages {
		s, err := judge(ctx, o, strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/"))
		if err != nil {
			return false, fmt.Errorf("%s: %w", name, err)
		}
		sum = sum.plus(s)
		enough = enough && s.reaches(o.floor)
	}
	if len(packages) > 1 {
		fmt.Println("all together:", sum)
	}
	return enough, nil
}

// judge plants the bugs of one package.
func judge(ctx context.Context, o options, name string) (score, error) {
	dir, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return score{}, err
	}
	defer os.RemoveAll(dir)
	mutants, err := find(ctx, name, dir)
	if err != nil {
		return score{}, err
	}
	reasons := reasons(known)
	s := score{listed: len(mutants)}
	mutants = slices.DeleteFunc(mutants, func(m *mutant) bool { return reasons[m.key()] != "" })
	s.listed -= len(mutants)
	if mutants, err = choose(mutants, o); err != nil {
		return s, err
	}
	if o.list {
		for _, m := range mutants {
			fmt.Println(m)
		}
		return s, nil
	}
	t := trial{suites: suites(name, o.own), dir: dir, jobs: o.jobs, grace: 20 * time.Second}
	became, err := t.try(ctx, mutants)
	for _, m := range mutants {
		s.count(m, became[m])
	}
	fmt.Printf("%s: %s\n", name, s)
	return s, err
}

// count counts a bug, and tells of one that no test has found.
func (s *score) count(m *mutant, v verdict) {
	switch v {
	case untried:
		s.untried++
		return
	case found:
		s.killed++
	case survived:
		fmt.Printf("%s  (no test fails)\n", m)
	case unreached:
		fmt.Printf("%s  (no test reaches it)\n", m)
	}
	s.planted++
}

// choose takes the sample, and leaves the order of the files.
func choose(all []*mutant, o options) ([]*mutant, error) {
	all = slices.DeleteFunc(all, func(m *mutant) bool { return !strings.Contains(m.key(), o.only) })
	if o.again != "" {
		text, err := os.ReadFile(o.again)
		if err != nil {
			return nil, err
		}
		earlier := printed(string(text))
		all = slices.DeleteFunc(all, func(m *mutant) bool { return !earlier[m.key()] })
	}
	if o.sample == 0 || o.sample >= len(all) {
		return all, nil
	}
	rank := func(m *mutant) uint64 {
		h := fnv.New64a()
		fmt.Fprint(h, o.seed, m.key())
		return h.Sum64()
	}
	picked := slices.SortedFunc(slices.Values(all), func(a, b *mutant) int { return cmp.Compare(rank(a), rank(b)) })[:o.sample]
	return slices.DeleteFunc(all, func(m *mutant) bool { return !slices.Contains(picked, m) }), nil
}

// printed are the keys of bugs that a run printed. Their lines may have moved since.
func printed(text string) map[string]bool {
	keys := map[string]bool{}
	for line := range strings.Lines(text) {
		bug, _, _ := strings.Cut(strings.TrimSpace(line), "  (")
		if file, rest, ok := strings.Cut(bug, ":"); ok {
			if _, what, ok := strings.Cut(rest, ": "); ok {
				keys[file+" "+what] = true
			}
		}
	}
	return keys
}

// reasons are the bugs of known.txt, by their key.
func reasons(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		if key, reason, ok := strings.Cut(strings.TrimSpace(line), "  "); ok && !strings.HasPrefix(line, "#") {
			out[key] = strings.TrimSpace(reason)
		}
	}
	return out
}

type score struct{ planted, killed, listed, untried int }

func (s score) plus(o score) score {
	return score{s.planted + o.planted, s.killed + o.killed, s.listed + o.listed, s.untried + o.untried}
}

// reaches says whether all bugs were planted, and at least so many percent of them found.
func (s score) reaches(percent float64) bool {
	return s.untried == 0 && 100*float64(s.killed) >= percent*float64(s.planted)
}

func (s score) String() string {
	text := fmt.Sprintf("%d of %d planted bugs were found", s.killed, s.planted)
	if s.planted > 0 {
		text += fmt.Sprintf(" (%.1f %%)", 100*float64(s.killed)/float64(s.planted))
	}
	if s.listed > 0 {
		text += fmt.Sprintf("; %d that nobody could notice were left out (.ci/tools/mutate/known.txt)", s.listed)
	}
	if s.untried > 0 {
		text += fmt.Sprintf("; %d were not planted, as it was stopped", s.untried)
	}
	return text
}
