package desired

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// MostAfter is how many fleets one may come after.
const MostAfter = 8

// An After is a fleet that proves releases before they start on another one.
type After struct {
	Fleet     string        // of the same agent, else nothing starts
	ProvenFor time.Duration // for how long every node there must have had the release, proven, without a break; 0: that all have it is enough
}

// circles finds the fleets that come after themselves, by way of others or not: none of them could ever start.
func circles(fleets map[string]*Fleet) (found []conflict) {
	for _, name := range sortedKeys(fleets) {
		for i, a := range fleets[name].After {
			if way := wayBetween(fleets, a.Fleet, name); way != nil {
				c := conflict{fleet: name, path: []any{"after", i, "fleet"}, what: strings.Join(append([]string{name}, way...), " → ")}
				found = append(found, c)
			}
		}
	}
	return found
}

// wayBetween is the shortest way from a fleet over those that it comes after to another one, both included; nil: there is none.
func wayBetween(fleets map[string]*Fleet, from, to string) []string {
	ways, seen := [][]string{{from}}, map[string]bool{from: true}
	for len(ways) > 0 {
		way := ways[0]
		ways = ways[1:]
		last := way[len(way)-1]
		if last == to {
			return way
		}
		if fleets[last] == nil {
			continue
		}
		for _, a := range fleets[last].After {
			if !seen[a.Fleet] {
				seen[a.Fleet] = true
				ways = append(ways, append(slices.Clone(way), a.Fleet))
			}
		}
	}
	return nil
}

// circle says what is wrong with a fleet that comes after itself.
func (c conflict) circle(at Position) Error {
	return errorAt(at, "%s goes in a circle: %s; none of these fleets could ever start a release, so take one of them out", keyPath(c.path...), c.what)
}

// warnUnknown warns of fleets to come after that no file of this repo names: another agent may have them, and this one cannot read what that has proven.
func (l *loader) warnUnknown() {
	known := map[string]bool{}
	for _, c := range l.candidates {
		known[c.name] = true
	}
	for _, c := range l.candidates {
		if c.fleet == nil {
			continue
		}
		for i, a := range c.fleet.After {
			if known[a.Fleet] {
				continue
			}
			hint := "nothing starts here while the agent does not have it"
			if near := nearest(a.Fleet, sortedKeys(known)); near != "" {
				hint += fmt.Sprintf("; did you mean %q?", near)
			}
			c.warnings = append(c.warnings, errorAt(c.document.get("after", i, "fleet").at, "after[%d].fleet: no file below %s/ is fleet %s; %s", i, fleetsDir, a.Fleet, hint))
		}
	}
}
