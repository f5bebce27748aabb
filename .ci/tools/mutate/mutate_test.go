package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// module is a small module with tests that look at some of it only.
var module = map[string]string{
	"go.mod": "module shop\n\ngo 1.26\n",
	"price/price.go": `package price

import (
	_ "embed"
	"errors"
	"time"
)

//go:embed sh/count.sh
var Script string

// Of is cheaper from ten on.
func Of(n int) int {
	price := 3 * n
	if n >= 10 && n < 1000 {
		price = 2 * n
	}
	return price
}

func Check(n int) error {
	if n < 0 {
		return errors.New("less than nothing")
	}
	return nil
}

func Ends(t time.Time) time.Time { return t.Add(time.Hour) }

func Forever(n int) int {
	i := 0
	for i < n {
		i++
	}
	return i
}
`,
	"price/sh/count.sh": `# counts
if [ "$1" -gt 2 ]; then
	echo many
fi
echo end
`,
	"price/price_test.go": `package price

import (
	"os/exec"
	"testing"
	"time"
)

func TestOf(t *testing.T) {
	if Of(9) != 27 || Of(10) != 20 || Of(1000) != 3000 || Of(2000) != 6000 {
		t.Fail()
	}
}

func TestCheck(t *testing.T) {
	if Check(-1) == nil {
		t.Fail()
	}
}

func TestEnds(t *testing.T) {
	if Ends(time.Time{}).IsZero() || Forever(2) != 2 {
		t.Fail()
	}
}

func TestScript(t *testing.T) {
	if out, _ := exec.Command("sh", "-c", Script, "sh", "3").Output(); string(out) != "many\nend\n" {
		t.Fail()
	}
}
`,
}

func shop(t *testing.T) {
	dir := t.TempDir()
	for name, text := range module {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

// What the tests do not look at is what survives; a bug that hangs does not.
func TestSurvivorsAreWhatNoTestLooksAt(t *testing.T) {
	shop(t)
	dir := t.TempDir()
	mutants, err := find(t.Context(), "price", dir)
	if err != nil {
		t.Fatal(err)
	}
	became, err := trial{suites: []suite{{name: "price"}}, dir: dir, jobs: 2, grace: time.Second}.try(t.Context(), mutants)
	var left []string
	killed := 0
	for _, m := range mutants {
		if became[m] == found {
			killed++
		} else {
			left = append(left, m.key())
		}
	}
	want := []string{
		"price/price.go Check: n < 0 → true",
		"price/price.go Check: n < 0 → n <= 0",
		`price/sh/count.sh script: if [ "$1" -gt 2 ]; then → if [ "$1" -ge 2 ]; then`,
	}
	if err != nil || !slices.Equal(left, want) || killed != len(mutants)-len(want) || killed < 12 {
		t.Errorf("%d of %d were found, %v; survived:\n%s", killed, len(mutants), err, strings.Join(left, "\n"))
	}
}

// A bug is planted without touching the tree, and a sample depends on the bugs alone.
func TestSampleIsTheSameEachTime(t *testing.T) {
	shop(t)
	sample := func() []string {
		mutants, err := find(context.Background(), "price", t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		picked, err := choose(mutants, options{seed: "1", sample: 5})
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, m := range picked {
			keys = append(keys, m.key())
		}
		return keys
	}
	before := sample()
	text := "package price\n\nfunc Other(a, b int) bool { return a < b }\n"
	if err := os.WriteFile("price/another.go", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	after := slices.DeleteFunc(sample(), func(key string) bool { return strings.Contains(key, "Other") })
	if len(before) != 5 || !subset(after, before) {
		t.Errorf("before %q\nafter %q", before, after)
	}
	if got, err := os.ReadFile("price/price.go"); err != nil || string(got) != module["price/price.go"] {
		t.Errorf("the tree was changed: %v", err)
	}
}

// What an earlier run printed can be planted again, wherever its lines are by now.
func TestEarlierSurvivorsArePlantedAgain(t *testing.T) {
	shop(t)
	mutants, err := find(t.Context(), "price", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	want := []*mutant{mutants[1], mutants[len(mutants)-1]}
	text := "price: shown 50 of 60\n"
	for _, m := range want {
		earlier := *m
		earlier.line += 7
		text += earlier.String() + "  (no test fails)\n"
	}
	file := filepath.Join(t.TempDir(), "survivors")
	if err := os.WriteFile(file, []byte(text+"price: 58 of 60 planted bugs were found\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := choose(slices.Clone(mutants), options{again: file}); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	if got, err := choose(slices.Clone(mutants), options{again: file + "s"}); err == nil {
		t.Errorf("of a file that is not there: %v", got)
	}
}

// A sample fails below its floor, and when it was stopped.
func TestScoreReachesItsFloor(t *testing.T) {
	for s, want := range map[score]bool{
		{planted: 10, killed: 9}: true, {planted: 10, killed: 8}: false, {planted: 10, killed: 10, untried: 1}: false, {}: true,
	} {
		if s.reaches(90) != want {
			t.Errorf("%v reaches 90 %%: %t", s, !want)
		}
	}
}

func subset(of, all []string) bool {
	return !slices.ContainsFunc(of, func(s string) bool { return !slices.Contains(all, s) })
}
