package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"

	"windlass/actuators"
	"windlass/desired"
	"windlass/internal/web"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

// unlike is a fleet of three of which each node lacks something else, with a member too many, one node missing and one excluded.
func unlike(t *testing.T) (reconciler.Sight, *desired.Fleet) {
	t.Helper()
	seen := sighted(t)
	before := strings.NewReplacer("release: v1", "release: v0", "systemctl restart web", "systemctl restart s3cr3tvalue").Replace(webFile)
	tree, err := desired.Load(fstest.MapFS{"fleets/web.yaml": {Data: []byte(before)}})
	if err != nil || tree.Fleets["web"] == nil {
		t.Fatal(tree.Rejected, err)
	}
	was := tree.Fleets["web"]
	records := seen.World.Nodes
	records[0].Host.Record.On = actuators.Version{Release: "v0", Digest: was.Digest(desired.DigestAlgorithm), Algorithm: desired.DigestAlgorithm, Revision: "0ld0ld0ld0ld"}
	records[2].Host.Record = actuators.NodeRecord{}
	for id, status := range map[string]actuators.TargetStatus{"10.0.0.99": actuators.TargetHealthy, "10.0.0.98": actuators.TargetDraining} {
		place := actuators.Membership{Group: "arn:web", ID: id, Port: 80}
		seen.World.Groups[0].Members = append(seen.World.Groups[0].Members, actuators.Target{Membership: place, Status: status})
	}
	seen.Status = reconciler.Status{Size: 4, Excluded: []desired.Exclusion{{Name: "web-5", Reason: "disk swap password=s3cr3tvalue"}}}
	for _, n := range []plan.NodeStatus{
		{Name: "web-1", State: plan.Outdated, Release: "v0", Reason: "serves v0, wanted is v1", Outdated: true},
		{Name: "web-2", State: plan.Outdated, Release: "v1", Reason: "drift: GET http://10.0.0.2/: \x1b[2Jno v1", Outdated: true, Drift: true},
		{Name: "web-3", State: plan.OutOfService, Reason: "new: it joins when it is configured and verified", Outdated: true},
		{State: plan.Missing, Reason: "expected, and not found"},
		{Name: "web-9", State: plan.InService, Release: "v1"},
	} {
		seen.Status.Nodes = append(seen.Status.Nodes, reconciler.Node{NodeStatus: n})
	}
	return seen, was
}

// differing answers with what is seen, and with what commits said.
func differing(seen reconciler.Sight, err error, earlier web.Earlier) http.Handler {
	return web.New(web.Options{
		Addr: local, Source: newAgent(idle()), Now: clock, Metrics: http.NotFoundHandler(), Earlier: earlier,
		Sight: func(context.Context, string) (reconciler.Sight, error) { return seen, err },
	})
}

func diffOf(t *testing.T, h http.Handler) web.Diff {
	t.Helper()
	got := ask(h, "GET", "/api/v1/fleets/web/diff", "localhost:9190")
	var d web.Diff
	if err := json.Unmarshal(got.Body.Bytes(), &d); err != nil || got.Code != http.StatusOK {
		t.Fatalf("answered %d, %v: %s", got.Code, err, got.Body)
	}
	return d
}

func TestShapeOfADiff(t *testing.T) {
	t.Parallel()
	seen, was := unlike(t)
	var asked []string
	d := diffOf(t, differing(seen, nil, func(_ context.Context, fleet string, revisions []string) (map[string]desired.Earlier, error) {
		asked = append(append(asked, fleet), revisions...)
		return map[string]desired.Earlier{"0ld0ld0ld0ld": {Fleet: was}}, nil
	}))
	golden(t, "diff.json", encoded(t, d))
	var text bytes.Buffer
	if err := web.DiffText(&text, []web.Diff{d}, web.Terminal{}); err != nil {
		t.Fatal(err)
	}
	golden(t, "diff.txt", text.String())
	if !d.Differs() || strings.Join(asked, " ") != "web 0ld0ld0ld0ld" {
		t.Errorf("it differs: %t; asked of %q", d.Differs(), asked)
	}
	if said := text.String() + encoded(t, d); strings.Contains(said, "s3cr3tvalue") || strings.Contains(said, "\x1b") {
		t.Errorf("it tells a secret, or obeys a node:\n%s", said)
	}
}

// What a commit said cannot always be told, and a node may lie about what it has: each says so, and no difference is made up.
func TestWhatADiffCannotTell(t *testing.T) {
	t.Parallel()
	seen, _ := unlike(t)
	other := *seen.Want.Fleet
	other.Release = "v9"
	for want, earlier := range map[string]web.Earlier{
		"it has something else than commit 0ld0ld0 says":                 answering(desired.Earlier{Fleet: &other}, nil),
		"commit 0ld0ld0 is not among the newest 2000":                    answering(desired.Earlier{Unknown: "commit 0ld0ld0 is not among the newest 2000"}, nil),
		"its commit could not be read: cannot read git.example: [redact": answering(desired.Earlier{}, errors.New("cannot read git.example: ghp_0123456789abcdefghij0123456789abcdef")),
		"its commit was not read within 25s; try again":                  answering(desired.Earlier{}, fmt.Errorf("gave up: %w", context.DeadlineExceeded)),
	} {
		d := diffOf(t, differing(seen, nil, earlier))
		if n := d.Nodes[0]; !strings.Contains(n.Unknown, want) || len(n.Differs) > 0 || n.Release != "v0" {
			t.Errorf("%+v, want %q", n, want)
		}
	}
	if d := diffOf(t, differing(seen, nil, nil)); len(d.Nodes[0].Differs) > 0 {
		t.Errorf("without a history: %+v", d.Nodes[0])
	}
	for status, err := range map[int]error{http.StatusNotFound: reconciler.ErrUnknown, http.StatusServiceUnavailable: context.DeadlineExceeded} {
		if got := ask(differing(seen, err, nil), "GET", "/api/v1/fleets/web/diff", "localhost:9190"); got.Code != status {
			t.Errorf("%v is answered %d, want %d", err, got.Code, status)
		}
	}
	if got := ask(differing(reconciler.Sight{}, nil, nil), "GET", "/api/v1/fleets/web/diff", "localhost:9190"); got.Code != http.StatusConflict {
		t.Errorf("a fleet without a version is answered %d", got.Code)
	}
}

func answering(e desired.Earlier, err error) web.Earlier {
	return func(_ context.Context, _ string, revisions []string) (map[string]desired.Earlier, error) {
		return map[string]desired.Earlier{revisions[0]: e}, err
	}
}

// A fleet that is as it is wanted differs in nothing, whoever is excluded; what could not be read may hide something.
func TestNothingDiffers(t *testing.T) {
	t.Parallel()
	seen := sighted(t)
	seen.Status = reconciler.Status{Size: 3, Excluded: []desired.Exclusion{{Name: "web-9", Reason: "x"}}}
	for _, n := range seen.World.Nodes {
		seen.Status.Nodes = append(seen.Status.Nodes, reconciler.Node{NodeStatus: plan.NodeStatus{Name: n.Name, State: plan.InService, Release: "v1"}})
	}
	d := diffOf(t, differing(seen, nil, nil))
	var text bytes.Buffer
	if err := web.DiffText(&text, []web.Diff{d}, web.Terminal{}); d.Differs() || err != nil || !strings.HasPrefix(text.String(), "web: no difference on 3 nodes from v1 (3f2a)\n") {
		t.Errorf("%+v, %v\n%s", d, err, text.String())
	}
	for want, unread := range map[string]func(*reconciler.Sight){
		"web: AccessDenied":                                    func(s *reconciler.Sight) { s.World.Groups[0].Err = "AccessDenied" },
		"DescribeInstances: denied":                            func(s *reconciler.Sight) { s.World.Inventory.Err = "DescribeInstances: denied" },
		"its load balancers were not read yet; try again":      func(s *reconciler.Sight) { s.World.Groups = nil },
		"which nodes belong to it was not read yet; try again": func(s *reconciler.Sight) { s.World, s.Status = plan.World{}, reconciler.Status{} },
	} {
		seen := sighted(t)
		seen.Status = reconciler.Status{Size: 3}
		unread(&seen)
		d := diffOf(t, differing(seen, nil, nil))
		var text bytes.Buffer
		err := web.DiffText(&text, []web.Diff{d}, web.Terminal{})
		if told := "web: it is not known which nodes differ from v1 (3f2a)\n  not known: " + want + "\n"; !d.Differs() || err != nil || text.String() != told {
			t.Errorf("%+v, %v\n%s\nwant %s", d, err, text.String(), told)
		}
	}
}
