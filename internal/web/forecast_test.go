package web_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/internal/web"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

const webFile = `apiVersion: windlass/v1
kind: Fleet
name: web
release: v1
nodes: {static: [{name: web-1, address: 10.0.0.1}, {name: web-2, address: 10.0.0.2}, {name: web-3, address: 10.0.0.3}]}
loadBalancers: [{targetGroup: web}]
ssh: {user: deploy}
configure: {activate: [{name: restart, run: systemctl restart web}]}
health: [{name: serves, http: {port: 80, path: /, body: '{release}'}}]
rollout: {drain: {settle: 0s}}
`

// sighted is a fleet of three that rests with v1.
func sighted(t *testing.T) reconciler.Sight {
	t.Helper()
	tree, err := desired.Load(fstest.MapFS{"fleets/web.yaml": {Data: []byte(webFile)}})
	if err != nil || tree.Fleets["web"] == nil {
		t.Fatal(tree.Rejected, err)
	}
	fleet := tree.Fleets["web"]
	now := clock()
	version := actuators.Version{Release: "v1", Digest: fleet.Digest(desired.DigestAlgorithm), Algorithm: desired.DigestAlgorithm, Revision: "3f2a"}
	s := reconciler.Sight{Want: plan.Want{Fleet: fleet, Version: version}, World: plan.World{
		Now: now, Agent: plan.Agent{Holder: "a", Epoch: 1, Nonce: "n"}, Inventory: plan.Source{At: now}, GroupsRead: now, RollCall: now, Progress: now,
		Groups: []actuators.GroupState{{Group: actuators.Group{ID: "arn:web", Name: "web"}, TargetType: "ip", Port: 80, At: now, Rules: actuators.Rules{Delay: time.Second}}},
	}}
	for _, n := range fleet.Nodes.Static {
		place := actuators.Membership{Group: "arn:web", ID: n.Address, Port: 80}
		s.World.Groups[0].Members = append(s.World.Groups[0].Members, actuators.Target{Membership: place, Status: actuators.TargetHealthy})
		s.World.Nodes = append(s.World.Nodes, plan.Node{
			Node: actuators.Node{Name: n.Name, ID: "m-" + n.Name, Address: n.Address, Targets: actuators.Targets{IP: n.Address}}, Read: plan.Source{At: now},
			Host: &actuators.HostState{Machine: "m-" + n.Name, Now: now, Record: actuators.NodeRecord{
				Schema: 1, Fleet: "web", Instance: "m-" + n.Name, On: version, Proven: version, Places: []actuators.Membership{place},
			}},
		})
	}
	return s
}

// A forecast of what is wanted is held by what its gates say; one of another release knows nothing of what they would say.
func TestAForecastKnowsWhatGatesSayOfWhatIsWanted(t *testing.T) {
	t.Parallel()
	s := sighted(t)
	s.World.Gates = []plan.Gate{{Name: "source", Stops: plan.StopsStart, State: plan.GateShut, Reason: "red"}}
	for i := range s.World.Nodes {
		r := &s.World.Nodes[i].Host.Record
		r.On = actuators.Version{Release: "v0", Digest: "d1-v0", Algorithm: desired.DigestAlgorithm, Revision: "3f2a"}
		r.Proven = r.On
	}
	if f := web.Foresee(s, ""); len(f.Nodes) > 0 || !strings.Contains(strings.Join(f.Holds, ";"), "gate source: red") {
		t.Errorf("of what is wanted: it visits %v and is %s, %s", f.Nodes, f.Phase, f.Reason)
	}
	if f := web.Foresee(s, "v2"); len(f.Nodes) != 3 {
		t.Errorf("of another: it visits %v and is %s, %s", f.Nodes, f.Phase, f.Reason)
	}
}

// A forecast of another release is of what its windows would say of that one, and not of what they say of the one in force.
func TestAForecastKnowsWhatWindowsWouldSay(t *testing.T) {
	t.Parallel()
	const emergency = "emergency: {release: v2, reason: CVE, by: ann}}"
	for _, c := range []struct {
		windows, release string
		now              plan.Gate
		held             bool
	}{
		{"{rules: [{deny: '2000-01-01/2999-12-31'}], " + emergency, "v2", plan.Gate{State: plan.GateShut, Reason: "closed"}, false},
		{"{rules: [{deny: '2000-01-01/2999-12-31'}], " + emergency, "v3", plan.Gate{State: plan.GateOpen}, true},
		{"{rules: [{deny: '2000-01-01'}], " + emergency, "v3", plan.Gate{State: plan.GateOpen, Digest: "of another"}, false},
	} {
		s := sighted(t)
		tree, err := desired.Load(fstest.MapFS{"fleets/web.yaml": {Data: []byte(webFile + "windows: " + c.windows + "\n")}})
		if err != nil || tree.Fleets["web"] == nil {
			t.Fatal(tree.Rejected, err)
		}
		c.now.Name = "windows"
		s.Want.Fleet, s.World.Gates = tree.Fleets["web"], []plan.Gate{c.now}
		if f := web.Foresee(s, c.release); (len(f.Nodes) == 0) != c.held {
			t.Errorf("of %s, with %s: it visits %v and is %s, %s", c.release, c.windows, f.Nodes, f.Phase, f.Reason)
		}
	}
}

// A forecast of another release is of what the fleets that it comes after have proven of that one.
func TestAForecastKnowsWhatOtherFleetsHaveProven(t *testing.T) {
	t.Parallel()
	s := sighted(t)
	s.World.Gates = []plan.Gate{{Name: "after staging", State: plan.GateShut, Reason: "of the release in force"}}
	s.After = func(f *desired.Fleet) []plan.Gate {
		g := plan.Gate{Name: "after staging", Stops: plan.StopsStart, State: plan.GateWait, Reason: "staging is to have v2"}
		if f.Release == "v2" {
			g.State = plan.GateOpen
		}
		return []plan.Gate{g}
	}
	for release, visited := range map[string]int{"v2": 3, "v3": 0} {
		if f := web.Foresee(s, release); len(f.Nodes) != visited {
			t.Errorf("of %s it visits %v and is %s, %s", release, f.Nodes, f.Phase, f.Reason)
		}
	}
}

func TestShapeOfAForecast(t *testing.T) {
	t.Parallel()
	golden(t, "forecast.json", encoded(t, web.Foresee(sighted(t), "v2")))
	golden(t, "forecast-nothing.json", encoded(t, web.Foresee(sighted(t), "")))
}

func TestForecastIsAskedFor(t *testing.T) {
	t.Parallel()
	seen := sighted(t)
	h := web.New(web.Options{Addr: local, Source: newAgent(idle()), Now: clock, Metrics: http.NotFoundHandler(), Sight: func(_ context.Context, fleet string) (reconciler.Sight, error) {
		switch fleet {
		case "web":
			return seen, nil
		case "broken":
			return reconciler.Sight{}, nil
		case "busy":
			return reconciler.Sight{}, context.DeadlineExceeded
		}
		return reconciler.Sight{}, reconciler.ErrUnknown
	}})
	for path, c := range map[string]struct {
		status int
		want   string
	}{
		"/api/v1/fleets/web/plan?release=v2":      {200, `"release": "v2"`},
		"/api/v1/fleets/web/plan":                 {200, `"reason": "3 of 3 in service with v1"`},
		"/api/v1/fleets/web/plan?release=-v2":     {400, `is no release`},
		"/api/v1/fleets/web/plan?release=%0Av2":   {400, `is no release`},
		"/api/v1/fleets/api/plan?release=v2":      {404, `no fleet \"api\"; /api/v1/fleets lists them`},
		"/api/v1/fleets/broken/plan?release=v2":   {409, `no version of its file was ever in force`},
		"/api/v1/fleets/busy/plan":                {503, `the fleet is busy; try again`},
		"/api/v1/fleets/a%1b%5b2Jb/plan":          {404, `no fleet`},
		"/api/v1/fleets/web/plan?release=v2&x=%x": {200, `"release": "v2"`},
	} {
		got := ask(h, "GET", path, "localhost:9190")
		body, err := io.ReadAll(got.Body)
		if got.Code != c.status || err != nil || !strings.Contains(string(body), c.want) || strings.Contains(string(body), "\x1b") {
			t.Errorf("%s: %d %s, %v; want %d %s", path, got.Code, body, err, c.status, c.want)
		}
	}
}

// One forecast is made at a time; who goes away while waiting is not waited for.
func TestForecastsWaitForEachOther(t *testing.T) {
	t.Parallel()
	began, goOn := make(chan struct{}), make(chan struct{})
	h := web.New(web.Options{Addr: local, Source: newAgent(idle()), Now: clock, Metrics: http.NotFoundHandler(), Sight: func(context.Context, string) (reconciler.Sight, error) {
		close(began)
		<-goOn
		return reconciler.Sight{}, errors.New("enough")
	}})
	first := make(chan int)
	go func() { first <- ask(h, "GET", "/api/v1/fleets/web/plan", "localhost:9190").Code }()
	<-began
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	if got := askWith(impatient, h, "/api/v1/fleets/web/plan"); got != http.StatusServiceUnavailable {
		t.Errorf("the second is answered %d", got)
	}
	close(goOn)
	if got := <-first; got != http.StatusServiceUnavailable {
		t.Errorf("the first is answered %d", got)
	}
}
