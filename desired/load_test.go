package desired_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"windlass/desired"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// repo is a deploy repo's tree of the given files: path, content, path, content …
func repo(files ...string) fstest.MapFS {
	tree := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		tree[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return tree
}

func load(t *testing.T, files ...string) desired.Tree {
	t.Helper()
	tree, err := desired.Load(repo(files...))
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// good loads files, which hold one fleet that must be accepted.
func good(t *testing.T, files ...string) *desired.Fleet {
	t.Helper()
	tree := load(t, files...)
	for _, rejection := range tree.Rejected {
		t.Fatalf("rejected: %v", rejection.Errors)
	}
	for _, fleet := range tree.Fleets {
		return fleet
	}
	t.Fatal("no fleet")
	return nil
}

const smallest = `apiVersion: windlass/v1
kind: Fleet
name: web-live
release: v1.4.2
nodes: {ec2: {tags: {app: web, env: live}}}
loadBalancers: [{targetGroup: web-live}]
ssh: {user: deploy, sudo: true}
configure:
  activate:
    - {name: install, run: 'apt-get install -y "web=$WINDLASS_RELEASE"'}
health:
  - {name: serves, http: {port: 8080, path: /version, body: '{release}'}}
`

// edited is the smallest fleet with texts replaced: old, new, old, new …
func edited(t *testing.T, replacements ...string) string {
	t.Helper()
	for i := 0; i < len(replacements); i += 2 {
		if !strings.Contains(smallest, replacements[i]) {
			t.Fatalf("the smallest fleet has no %q", replacements[i])
		}
	}
	return strings.NewReplacer(replacements...).Replace(smallest)
}

// TestMessages holds what people read about their mistakes against testdata/load/*.txtar: a repo's files, and what Load says
// of them in the file "want" (G41, G42, G43).
func TestMessages(t *testing.T) {
	cases, err := filepath.Glob("testdata/load/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var files []string
			want := ""
			for _, file := range archive.Files {
				if file.Name == "want" {
					want = string(file.Data)
					continue
				}
				files = append(files, file.Name, string(file.Data))
			}
			got := outcome(load(t, files...))
			if *update {
				archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return f.Name == "want" })
				archive.Files = append(archive.Files, txtar.File{Name: "want", Data: []byte(got)})
				if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// outcome is a tree as the golden files have it.
func outcome(tree desired.Tree) string {
	var b strings.Builder
	for _, name := range slices.Sorted(keys(tree.Fleets)) {
		fmt.Fprintf(&b, "accepted %s\n", name)
	}
	for _, name := range slices.Sorted(keys(tree.Rejected)) {
		fmt.Fprintf(&b, "\nrejected %s\n", name)
		for _, err := range tree.Rejected[name].Errors {
			fmt.Fprintln(&b, err)
		}
	}
	for i, warning := range tree.Warnings {
		if i == 0 {
			fmt.Fprintln(&b, "\nwarnings")
		}
		fmt.Fprintln(&b, warning)
	}
	return b.String()
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for key := range m {
			if !yield(key) {
				return
			}
		}
	}
}

func TestFillsInEveryDefault(t *testing.T) {
	want := &desired.Fleet{
		Name:          "web-live",
		Release:       "v1.4.2",
		Adopt:         true,
		Nodes:         desired.NodeSet{EC2: &desired.EC2Selector{Tags: map[string]string{"app": "web", "env": "live"}, Address: desired.PrivateAddress}},
		LoadBalancers: []desired.LoadBalancer{{TargetGroup: "web-live"}},
		SSH:           desired.SSH{User: "deploy", Port: 22, Sudo: true, ConnectTimeout: 10 * time.Second, StateDir: ".windlass"},
		Configure: desired.Configure{
			Vars:     map[string]any{},
			Files:    []desired.File{},
			Prepare:  []desired.Step{},
			Activate: []desired.Step{{Name: "install", Run: `apt-get install -y "web=$WINDLASS_RELEASE"`, Timeout: 5 * time.Minute}},
		},
		Health: []desired.Check{{
			Name:     "serves",
			HTTP:     &desired.HTTPCheck{Port: 8080, Path: "/version", Status: 200, Body: "{release}", Via: desired.Direct},
			Interval: time.Second, Timeout: 2 * time.Second, Successes: 2, Within: 2 * time.Minute,
		}},
		Rollout: desired.Rollout{
			MaxUnavailable: desired.Amount{Count: 1}, Zones: desired.SpreadZones, Bake: 10 * time.Second, Attempts: 2,
			Drain: desired.Drain{
				Policy: desired.DrainUntilIdle, Settle: 20 * time.Second, NetworkSettle: 2 * time.Minute, IdleFor: 5 * time.Second,
				IgnorePeers: []netip.Prefix{}, Timeout: 10 * time.Minute,
			},
			ProgressDeadline: 15 * time.Minute, RestoreAfter: 10 * time.Minute, OnFailure: "halt",
		},
		Path: "fleets/web.yaml",
	}
	if diff := cmp.Diff(want, good(t, "fleets/web.yaml", smallest)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestReadsEverythingAFleetCanSay(t *testing.T) {
	file, err := os.ReadFile("testdata/everything.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got := good(t, "fleets/live/web.yml", string(file), "base/web.yaml", "rollout: {attempts: 5, bake: 1h}\n", "files/web.env", "A={{.Vars.workers}}\n")
	want := &desired.Fleet{
		Name:    "web-live",
		Release: "v1.4.2",
		Retry:   3,
		Paused:  &desired.Pause{Reason: "incident 4711"},
		Nodes: desired.NodeSet{
			Static: []desired.StaticNode{
				{Name: "web-1", Address: "10.0.1.11", Zone: "a", Target: "i-0abc", HostKey: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA web-1"},
				{Name: "web-2", Address: "fd00::2", Target: "fd00::2"},
			},
			EC2:     &desired.EC2Selector{Tags: map[string]string{"app": "web"}, Address: desired.PublicAddress},
			Expect:  8,
			Exclude: []desired.Exclusion{{Name: "web-3", Reason: "disk swap"}},
		},
		LoadBalancers: []desired.LoadBalancer{{TargetGroup: "web-live", Port: 8080, Prune: true}, {Classic: "web-internal"}},
		SSH:           desired.SSH{User: "deploy", Port: 2222, Sudo: true, ConnectTimeout: 1500 * time.Millisecond, StateDir: "/var/lib/windlass"},
		Configure: desired.Configure{
			Dir:      "/srv/web",
			Vars:     map[string]any{"workers": int64(4), "share": 0.5, "hosts": []any{"a", "b"}, "tls": map[string]any{"on": true}},
			Files:    []desired.File{{From: "files/web.env", To: "/etc/web/web.env", Mode: "0640", Owner: "web:web", Template: true, Content: []byte("A={{.Vars.workers}}\n")}},
			Prepare:  []desired.Step{{Name: "fetch", Run: `fetch-release "$WINDLASS_RELEASE"`, Timeout: 10 * time.Minute}},
			Activate: []desired.Step{{Name: "restart", Run: "systemctl restart web\n", Timeout: time.Minute}},
		},
		Health: []desired.Check{
			{Name: "up", HTTP: &desired.HTTPCheck{Port: 8080, Path: "/", Status: 204, Via: desired.OverSSH}, Interval: 300 * time.Millisecond, Timeout: time.Second, Successes: 3, Within: time.Minute},
			{Name: "port", TCP: &desired.TCPCheck{Port: 8080}, Interval: time.Second, Timeout: 2 * time.Second, Successes: 2, Within: 2 * time.Minute},
			{Name: "jobs", Command: &desired.CommandCheck{Run: "web-selfcheck"}, Interval: time.Second, Timeout: 2 * time.Second, Successes: 2, Within: 2 * time.Minute},
		},
		Unproven: "it is an old program",
		Rollout: desired.Rollout{
			MaxUnavailable: desired.Amount{Percent: 25}, AllowOutage: true, Canary: &desired.Canary{Nodes: 2, Bake: 2 * time.Minute}, Zones: desired.OneZoneAtOnce, Bake: 0,
			Drain: desired.Drain{
				Policy: desired.DrainForDelay, Settle: 30 * time.Second, NetworkSettle: 30 * time.Second, IdleFor: 2 * time.Second, LongestRequest: 20 * time.Second,
				IgnorePeers: []netip.Prefix{netip.MustParsePrefix("10.0.3.0/24"), netip.MustParsePrefix("fd00::7/128")}, Timeout: time.Hour,
			},
			Attempts: 5, ProgressDeadline: 90 * time.Minute, RestoreAfter: 20 * time.Minute, OnFailure: "halt",
		},
		Source: &desired.Source{
			Repository: "https://git.example.com/shop/web", Branch: "stable", Tag: "web-{release}", ChecksWithin: 30 * time.Minute,
			Checks:   []desired.RequiredCheck{{Name: "ci/test"}, {Name: "ci/lint", App: "github-actions", Neutral: true}},
			Override: &desired.Emergency{Release: "v1.4.2", Reason: "the forge is down", By: "ann"},
		},
		Notify: []desired.Notification{
			{Channel: "deploys", On: []desired.Occasion{desired.OnStarted, desired.OnWaiting, desired.OnHalted, desired.OnRolledBack, desired.OnSucceeded, desired.OnRejected}},
			{Channel: "on-call", On: []desired.Occasion{desired.OnHalted}},
		},
		Path: "fleets/live/web.yml",
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// G41: line ends and a byte order mark of other systems change nothing.
func TestReadsFilesOfOtherSystems(t *testing.T) {
	want := good(t, "fleets/web.yaml", smallest)
	for name, text := range map[string]string{
		"CRLF":            strings.ReplaceAll(smallest, "\n", "\r\n"),
		"byte order mark": "\uFEFF" + smallest,
		"document marks":  "---\n" + smallest + "...\n",
	} {
		if diff := cmp.Diff(want, good(t, "fleets/web.yaml", text)); diff != "" {
			t.Errorf("%s: -want +got\n%s", name, diff)
		}
	}
}

func TestARepoWithoutFleetsIsEmptyAndSaysSo(t *testing.T) {
	tree := load(t, "README.md", "hello")
	if len(tree.Fleets)+len(tree.Rejected) != 0 || len(tree.Warnings) != 1 {
		t.Errorf("got %+v", tree)
	}
	if tree = load(t, "fleets/README.md", "hello"); len(tree.Fleets)+len(tree.Rejected) != 0 {
		t.Errorf("got %+v", tree)
	}
}

func TestSaysWhoUsesAFile(t *testing.T) {
	base := "base: ../base/web.yaml\n"
	tree := load(t,
		"base/web.yaml", "configure: {files: [{from: files/web.env, to: /etc/web.env}]}\n", "files/web.env", "A=1\n",
		"fleets/live.yaml", smallest+base,
		"fleets/staging.yaml", edited(t, "web-live", "web-staging", "env: live", "env: staging")+base,
		"fleets/broken.yaml", "name: [\n",
	)
	want := map[string][]string{
		"base/web.yaml": {"web-live", "web-staging"}, "files/web.env": {"web-live", "web-staging"},
		"fleets/live.yaml": {"web-live"}, "fleets/staging.yaml": {"web-staging"}, "fleets/broken.yaml": {"fleets/broken.yaml"},
	}
	if diff := cmp.Diff(want, tree.Uses); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestAffectedNamesTheFleetsThatRoll(t *testing.T) {
	files := func(env, timeout string) desired.Tree {
		base := fmt.Sprintf("base: ../base/web.yaml\nrollout: {bake: %s}\n", timeout)
		return load(t,
			"base/web.yaml", "configure: {files: [{from: files/web.env, to: /etc/web.env}]}\n", "files/web.env", env,
			"fleets/live.yaml", smallest+base, "fleets/other.yaml", edited(t, "web-live", "other", "app: web", "app: other"))
	}
	before := files("A=1", "10s")
	if got := desired.Affected(before, files("A=1", "20s")); len(got) > 0 {
		t.Errorf("a time-out rolls %v", got)
	}
	if got := desired.Affected(before, files("A=2", "10s")); !slices.Equal(got, []string{"web-live"}) {
		t.Errorf("a file rolls %v", got)
	}
	if got := desired.Affected(desired.Tree{}, before); !slices.Equal(got, []string{"other", "web-live"}) {
		t.Errorf("new fleets: %v", got)
	}
}

// G33: a store that cannot be read says nothing about what is in it.
func TestAnOutageRejectsNothing(t *testing.T) {
	whole := repo("fleets/web.yaml", smallest+"base: ../base/web.yaml\n", "base/web.yaml", "configure: {files: [{from: files/a, to: /a}]}\n", "files/a", "a")
	if _, err := desired.Load(whole); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"fleets", "fleets/web.yaml", "base", "base/web.yaml", "files/a"} {
		_, err := desired.Load(outage{whole, name})
		if !errors.Is(err, errOutage) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got error %v", name, err)
		}
	}
}

var errOutage = errors.New("object store is away")

// An outage is a tree in which one name cannot be read.
type outage struct {
	fstest.MapFS
	name string
}

func (o outage) Open(name string) (fs.File, error) {
	if name == o.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errOutage}
	}
	return o.MapFS.Open(name)
}

func (o outage) Lstat(name string) (fs.FileInfo, error) {
	if name == o.name {
		return nil, &fs.PathError{Op: "lstat", Path: name, Err: errOutage}
	}
	return o.MapFS.Lstat(name)
}

// Law 22: what a commit says is hostile text.
func TestMessagesAreOneHarmlessLine(t *testing.T) {
	tree := load(t,
		"fleets/a\nb.yaml", "",
		"fleets/long.yaml", edited(t, "release: v1.4.2", `release: "\e[31m`+strings.Repeat("x", 10_000)+`"`),
		"fleets/other.yaml", edited(t, "web-live", "other", "app: web", `"a\nb": 1`, "env: live", `"": x`)+`"x\u202Ey": 1`+"\n",
	)
	want := []string{
		`"fleets/a\nb.yaml": "fleets/a\nb.yaml":1:1: the name holds a backslash, a control character or bytes that are no text; rename it`,
		`other: fleets/other.yaml:5:30: nodes.ec2.tags.a�b is 1; it must be text: quote it, "1"`,
		`other: fleets/other.yaml:5:33: key "" of nodes.ec2.tags: a tag's key has 1 to 128 characters`,
		`other: fleets/other.yaml:13:1: unknown key "x\u202ey" in the fleet; known here: `,
		`web-live: fleets/long.yaml:4:10: release is "\x1b[31mxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…"; it must be`,
	}
	var got []string
	for _, name := range slices.Sorted(keys(tree.Rejected)) {
		for _, err := range tree.Rejected[name].Errors {
			got = append(got, name+": "+err.Error())
		}
	}
	for i, line := range want {
		if i >= len(got) || !strings.HasPrefix(got[i], line) {
			t.Errorf("want %s\ngot  %s", line, strings.Join(got, "\n     "))
			break
		}
	}
}

func TestRejectionsAreOfAKind(t *testing.T) {
	shared := edited(t, "name: web-live", "name: other")
	tree := load(t, "fleets/a.yaml", "name: [\n", "fleets/b.yaml", smallest, "fleets/c.yaml", "name: c\n", "fleets/d.yaml", shared)
	for name, want := range map[string]desired.Reason{
		"fleets/a.yaml": desired.ReasonParse, "web-live": desired.ReasonSafety, "c": desired.ReasonSchema, "other": desired.ReasonSafety,
	} {
		if got := tree.Rejected[name].Reason; got != want {
			t.Errorf("%s is rejected as %q, want %q", name, got, want)
		}
	}
}

func TestABrokenFleetHidesNoOther(t *testing.T) {
	tree := load(t, "fleets/a.yaml", "name: [\n", "fleets/b.yaml", smallest, "fleets/c.yaml", "name: c\n")
	if tree.Fleets["web-live"] == nil || len(tree.Fleets) != 1 {
		t.Errorf("accepted %v", tree.Fleets)
	}
	if r := tree.Rejected["c"]; r.Path != "fleets/c.yaml" {
		t.Errorf("rejected %v", tree.Rejected)
	}
	if r := tree.Rejected["fleets/a.yaml"]; r.Path != "fleets/a.yaml" {
		t.Errorf("rejected %v", tree.Rejected)
	}
}

// patient is a context that ends after it was asked so often.
type patient struct {
	context.Context
	left int
}

func (p *patient) Err() error {
	if p.left--; p.left < 0 {
		return context.Canceled
	}
	return nil
}

// Loops of templates take as long as whoever writes them wants, in as many files as they want.
func TestLoadGivesUp(t *testing.T) {
	t.Parallel()
	tree := fstest.MapFS{"fleets/web.yaml": {Data: []byte(`apiVersion: windlass/v1
kind: Fleet
name: web
release: v1
nodes: {static: [{name: web-1, address: 10.0.0.1}]}
configure:
  files: [{from: loop, to: /etc/loop, template: true}, {from: loop, to: /etc/again, template: true}]
  activate: [{name: install, run: 'true'}]
health: [{name: serves, http: {port: 80, body: '{release}'}}]
`)}, "loop": {Data: []byte("{{range 20000}}{{end}}")}}
	for left, want := range map[int]error{20: context.Canceled, 30_000: context.Canceled, 50_000: nil} {
		read, err := desired.LoadWithin(&patient{t.Context(), left}, tree)
		if err != want || (err == nil) != (read.Fleets["web"] != nil) || len(read.Rejected) > 0 {
			t.Errorf("after %d: %v, %v", left, read.Rejected, err)
		}
	}
}

// Loads side by side share the schema, and write nothing of it: defaults that are lists among them.
func TestLoadsSideBySide(t *testing.T) {
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			f := good(t, "fleets/web.yaml", smallest+"notify: [{channel: deploys}]\n")
			f.Notify[0].On[0] = "mine"
			f.Rollout.Drain.IgnorePeers = append(f.Rollout.Drain.IgnorePeers, netip.Prefix{})
		})
	}
	group.Wait()
	if f := good(t, "fleets/web.yaml", smallest+"notify: [{channel: deploys}]\n"); f.Notify[0].On[0] != desired.OnStarted {
		t.Errorf("the default of the schema became %v", f.Notify[0].On)
	}
}
