package desired_test

import (
	"testing"
	"time"

	"windlass/desired"
)

// What a fleet comes after says when a release may start, not what it is; an empty list takes back what a base says.
func TestAfterRollsNothing(t *testing.T) {
	t.Parallel()
	const after = "after: [{fleet: web-staging}, {fleet: load, provenFor: 1h30m}]\n"
	without := good(t, "fleets/web.yaml", smallest)
	f := good(t, "fleets/web.yaml", smallest+after)
	if len(f.After) != 2 || f.After[0] != (desired.After{Fleet: "web-staging"}) || f.After[1] != (desired.After{Fleet: "load", ProvenFor: 90 * time.Minute}) {
		t.Errorf("it comes after %+v", f.After)
	}
	if f.Digest(desired.DigestAlgorithm) != without.Digest(desired.DigestAlgorithm) || f.Same(without) {
		t.Error("it is rolled for it, or nobody is told of a change")
	}
	if f := good(t, "fleets/web.yaml", smallest+"base: ../base/web.yaml\nafter: []\n", "base/web.yaml", after); len(f.After) > 0 {
		t.Errorf("it comes after %+v", f.After)
	}
}

// A circle may come of versions of two commits.
func TestCirclesBetweenVersionsOfSeveralCommits(t *testing.T) {
	t.Parallel()
	after := func(fleets ...string) *desired.Fleet {
		f := &desired.Fleet{Path: "fleets/x.yaml"}
		for _, name := range fleets {
			f.After = append(f.After, desired.After{Fleet: name})
		}
		return f
	}
	got := desired.Conflicts(map[string]*desired.Fleet{"a": after("b"), "b": after("d", "c"), "c": after("gone", "a"), "d": after(), "e": after("a")})
	want := map[string]string{"a": "a → b → c → a", "b": "b → c → a → b", "c": "c → a → b → c"}
	if len(got) != len(want) {
		t.Fatalf("got %v", got)
	}
	for name, way := range want {
		if message := got[name].Error(); message != "fleets/x.yaml: after["+map[string]string{"a": "0", "b": "1", "c": "1"}[name]+"].fleet goes in a circle: "+way+"; none of these fleets could ever start a release, so take one of them out" {
			t.Errorf("%s: %s", name, message)
		}
	}
}
