package desired_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"windlass/desired"
)

// TestGoldenDigests: a digest is kept on nodes. When one of these changes, every fleet of that kind rolls when windlass is
// upgraded; then DigestAlgorithm is to be raised instead, and the old algorithm kept.
func TestGoldenDigests(t *testing.T) {
	everything := func() *desired.Fleet {
		return &desired.Fleet{
			Name: "web", Release: "v1.4.2",
			Configure: desired.Configure{
				Vars: map[string]any{"workers": int64(4), "share": 0.5, "hosts": []any{"a", true, nil}, "tls": map[string]any{}},
				Files: []desired.File{
					{From: "files/b", To: "/b", Mode: "0600", Owner: "web:web", Template: true, Content: []byte("{{.Node}}\n")},
					{From: "files/a", To: "/a", Mode: "0644", Content: []byte{0, 255}},
				},
				Prepare:  []desired.Step{{Name: "fetch", Run: "fetch"}},
				Activate: []desired.Step{{Name: "switch", Run: "switch"}, {Name: "restart", Run: "restart"}},
			},
		}
	}
	for want, fleet := range map[string]*desired.Fleet{
		"d1-f9bf03cc2e33f204660d96be703fb7f4": {},
		"d1-1dab9d95fb8af52989a70571816e24b1": good(t, "fleets/web.yaml", smallest),
		"d1-150967d714c0b9a8fb6768d013c2044a": everything(),
	} {
		if got := fleet.Digest(1); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := everything().Digest(2); got != "" {
		t.Errorf("an unknown algorithm gives %q", got)
	}
}

// A change is one edit of a fleet, and whether nodes must be changed for it.
type change struct {
	name  string
	rolls bool
	edit  func(*desired.Fleet, string)
}

var changes = []change{
	{"release", true, func(f *desired.Fleet, s string) { f.Release += s }},
	{"a var", true, func(f *desired.Fleet, s string) { f.Configure.Vars["workers"] = s }},
	{"another var", true, func(f *desired.Fleet, s string) { f.Configure.Vars["x"+s] = int64(1) }},
	{"a nested var", true, func(f *desired.Fleet, s string) { f.Configure.Vars["list"].([]any)[0] = s }},
	{"a file's bytes", true, func(f *desired.Fleet, s string) {
		f.Configure.Files[0].Content = append([]byte(s), f.Configure.Files[0].Content...)
	}},
	{"a file's place", true, func(f *desired.Fleet, s string) { f.Configure.Files[0].To += s }},
	{"a file's mode", true, func(f *desired.Fleet, s string) { f.Configure.Files[0].Mode = "0755" }},
	{"a file's owner", true, func(f *desired.Fleet, s string) { f.Configure.Files[0].Owner = s }},
	{"template", true, func(f *desired.Fleet, s string) { f.Configure.Files[0].Template = true }},
	{"a step's command", true, func(f *desired.Fleet, s string) { f.Configure.Activate[1].Run += s }},
	{"a new step", true, func(f *desired.Fleet, s string) {
		f.Configure.Prepare = append(f.Configure.Prepare, desired.Step{Run: s})
	}},
	{"the order of steps", true, func(f *desired.Fleet, s string) { slices.Reverse(f.Configure.Activate) }},
	{"prepare instead of activate", true, func(f *desired.Fleet, s string) {
		f.Configure.Prepare, f.Configure.Activate = f.Configure.Activate, f.Configure.Prepare
	}},

	{"retry", false, func(f *desired.Fleet, s string) { f.Retry++ }},
	{"paused", false, func(f *desired.Fleet, s string) { f.Paused = &desired.Pause{Reason: s} }},
	{"adopt", false, func(f *desired.Fleet, s string) { f.Adopt = !f.Adopt }},
	{"nodes", false, func(f *desired.Fleet, s string) {
		f.Nodes.Static = append(f.Nodes.Static, desired.StaticNode{Name: s, Address: s})
	}},
	{"load balancers", false, func(f *desired.Fleet, s string) { f.LoadBalancers = nil }},
	{"ssh", false, func(f *desired.Fleet, s string) { f.SSH = desired.SSH{User: s} }},
	{"health", false, func(f *desired.Fleet, s string) { f.Health[0].Name, f.Health[0].Interval = s, time.Hour }},
	{"unproven", false, func(f *desired.Fleet, s string) { f.Unproven = s }},
	{"rollout", false, func(f *desired.Fleet, s string) { f.Rollout = desired.Rollout{Attempts: 7} }},
	{"notify", false, func(f *desired.Fleet, s string) { f.Notify = []desired.Notification{{Channel: s}} }},
	{"dir", false, func(f *desired.Fleet, s string) { f.Configure.Dir = s }},
	{"a step's name", false, func(f *desired.Fleet, s string) { f.Configure.Activate[0].Name = s }},
	{"a step's time-out", false, func(f *desired.Fleet, s string) { f.Configure.Activate[0].Timeout = time.Hour }},
	{"where a file lies in the repo", false, func(f *desired.Fleet, s string) { f.Configure.Files[0].From = s }},
	{"a mode's leading zero", false, func(f *desired.Fleet, s string) { f.Configure.Files[0].Mode = "644" }},
	{"the order of files", false, func(f *desired.Fleet, s string) { slices.Reverse(f.Configure.Files) }},
	{"no vars instead of empty ones", false, func(f *desired.Fleet, s string) {
		if len(f.Configure.Vars) == 0 {
			f.Configure.Vars = nil
		}
	}},
	{"the file's path", false, func(f *desired.Fleet, s string) { f.Path = s }},
}

func TestTheDigestChangesExactlyWithWhatANodeGets(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[a-z{}=,:\n"]{1,12}`)
		fleet := func() *desired.Fleet {
			return &desired.Fleet{
				Release: "v1",
				Health:  []desired.Check{{Name: "a"}},
				Configure: desired.Configure{
					Vars:     map[string]any{"list": []any{"", "b"}, "n": int64(1)},
					Files:    []desired.File{{To: "/a", Mode: "0644", Content: []byte("x")}, {To: "/b", Mode: "0600"}},
					Prepare:  []desired.Step{{Name: "p", Run: "one"}},
					Activate: []desired.Step{{Name: "a", Run: "two"}, {Name: "b", Run: "three"}},
				},
			}
		}
		c := rapid.SampledFrom(changes).Draw(t, "change")
		before, after := fleet(), fleet()
		c.edit(after, text.Draw(t, "text"))
		if same := before.Digest(1) == after.Digest(1); same == c.rolls {
			t.Fatalf("%s: before %s, after %s", c.name, before.Digest(1), after.Digest(1))
		}
	})
}

// What moves from one place to the next must not look the same: every part is kept apart from its neighbours.
func TestTheDigestIsUnambiguous(t *testing.T) {
	vars := func(v map[string]any) *desired.Fleet { return &desired.Fleet{Configure: desired.Configure{Vars: v}} }
	steps := func(runs ...string) *desired.Fleet {
		var f desired.Fleet
		for _, run := range runs {
			f.Configure.Activate = append(f.Configure.Activate, desired.Step{Run: run})
		}
		return &f
	}
	fleets := []*desired.Fleet{
		vars(map[string]any{"a": "1"}), vars(map[string]any{"a": int64(1)}), vars(map[string]any{"a": true}), vars(map[string]any{"a": "true"}),
		vars(map[string]any{"a": nil}), vars(map[string]any{"a": ""}), vars(map[string]any{"a": []any{}}), vars(map[string]any{"a": map[string]any{}}),
		vars(map[string]any{"a": []any{"b", "c"}}), vars(map[string]any{"a": []any{"bc"}}), vars(map[string]any{"a": []any{[]any{"b"}, "c"}}),
		vars(map[string]any{"a": "b", "c": "d"}), vars(map[string]any{"a": map[string]any{"b": "c"}, "d": ""}),
		steps("a", "b"), steps("ab"), steps("a", "", "b"), steps("b", "a"),
	}
	seen := map[string]int{}
	for i, fleet := range fleets {
		digest := fleet.Digest(1)
		if j, twice := seen[digest]; twice {
			t.Errorf("fleets %d and %d are both %s", j, i, digest)
		}
		seen[digest] = i
	}
}

func TestADigestIsShortAndPrintable(t *testing.T) {
	digest := good(t, "fleets/web.yaml", smallest).Digest(desired.DigestAlgorithm)
	if !regexp.MustCompile(`^d1-[0-9a-f]{32}$`).MatchString(digest) || strings.ToLower(digest) != digest {
		t.Errorf("got %q", digest)
	}
}
