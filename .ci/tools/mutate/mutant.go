package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A mutant is one bug.
type mutant struct {
	file, within string // where: the path below the module, the function
	line         int
	was, became  string
	again        int // how many like it come before it in the same function
	number       int // chooses it among those of its overlay; 0: it is the only one
	overlay      string
}

// key names a bug without its line, which moves.
func (m *mutant) key() string {
	key := fmt.Sprintf("%s %s: %s → %s", m.file, m.within, m.was, m.became)
	if m.again > 0 {
		key += fmt.Sprintf(" (%d)", m.again+1)
	}
	return key
}

func (m *mutant) String() string {
	return fmt.Sprintf("%s:%d: %s", m.file, m.line, strings.TrimPrefix(m.key(), m.file+" "))
}

// find returns every bug that can be planted in a package. Overlays are written below dir.
func find(ctx context.Context, name, dir string) ([]*mutant, error) {
	p, err := load(ctx, name)
	if err != nil {
		return nil, err
	}
	all, err := p.plant(dir)
	if err != nil {
		return nil, err
	}
	scripts, err := p.plantScripts(dir)
	if err != nil {
		return nil, err
	}
	all = append(all, scripts...)
	seen := map[string]int{}
	for _, m := range all {
		key := m.key()
		m.again = seen[key]
		seen[key]++
	}
	return all, nil
}

// A suite is a package's tests, with what runs of them.
type suite struct {
	name string
	only string // the test that is run, and what is asked of it
	args []string
}

var stories = suite{"reconciler/sim", "Test.*Laws", []string{"-seeds=100"}}

// beyond are the tests of other packages that a package's bugs are shown to when its own have not found them.
var beyond = map[string][]suite{
	"actuators":       {{name: "reconciler/plan"}, {name: "reconciler"}},
	"actuators/ec2":   nil,
	"actuators/elb":   nil,
	"actuators/host":  nil,
	"desired":         nil,
	"desired/gitrepo": nil,
	"health":          nil,
	"reconciler":      {stories},
	"reconciler/plan": {{name: "reconciler"}, stories},
}

// replayed has tests that draw their inputs draw the same ones each time, so that what they find is the same too.
var replayed = map[string][]string{"desired": draws, "health": draws, "reconciler/plan": draws}

var draws = []string{"-rapid.seed=1", "-rapid.nofailfile"}

func everything() []string { return slices.Sorted(maps.Keys(beyond)) }

// suites are the tests that a package's bugs are shown to.
func suites(name string, own bool) []suite {
	all := []suite{{name: name, args: replayed[name]}}
	if own {
		return all
	}
	return append(all, beyond[name]...)
}
