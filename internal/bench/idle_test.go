package bench

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// idleIntervals is how many intervals of the agent are watched while it has nothing to do.
const idleIntervals = 8

// benchIdle counts what the agent asks of the world while nothing moves. It was started before, and its records are fresh.
func (f *realFleet) benchIdle(b *testing.B) {
	for b.Loop() {
		f.await(b, "")
		time.Sleep(2 * interval) // what it asks only at first
		before, logins, listings, fetches := f.Cloud.Calls(), f.logins.Load(), f.listings.Load(), f.fetches.Load()
		time.Sleep(idleIntervals*interval + interval/2)
		f.reportIdle(callsSince(before, f.Cloud.Calls()))
		logins, listings, fetches = f.logins.Load()-logins, f.listings.Load()-listings, f.fetches.Load()-fetches
		table.add("idle: SSH connections", fmt.Sprint(logins), "0 between refreshes", logins == 0)
		const most = idleIntervals*11/10 + 2 // jitter
		table.add("idle: git listings", fmt.Sprintf("%d in %d intervals, %d fetches", listings, idleIntervals, fetches), "1 a poll", listings <= most && fetches == 0)
	}
}

// reportIdle compares API calls with those a pass may make: one target group, one page of instances.
func (f *realFleet) reportIdle(calls map[string]int) {
	total := 0
	var parts []string
	for _, action := range slices.Sorted(maps.Keys(calls)) {
		total += calls[action]
		parts = append(parts, fmt.Sprintf("%s %d", action, calls[action]))
	}
	most := 2 * (idleIntervals + 1)
	table.add("idle: API calls", fmt.Sprintf("%d in %d intervals (%s)", total, idleIntervals, strings.Join(parts, ", ")), "2 an interval", total <= most)
}

func callsSince(before, after map[string]int) map[string]int {
	calls := map[string]int{}
	for action, n := range after {
		if n > before[action] {
			calls[action] = n - before[action]
		}
	}
	return calls
}
