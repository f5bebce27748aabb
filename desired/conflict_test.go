package desired_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"windlass/desired"
)

// Versions of several commits can be in force at once; then nobody loaded them together.
func TestConflictsBetweenVersionsOfSeveralCommits(t *testing.T) {
	fleet := func(path, address, group string, tags map[string]string) *desired.Fleet {
		f := &desired.Fleet{Path: path, LoadBalancers: []desired.LoadBalancer{{TargetGroup: group}}}
		if address != "" {
			f.Nodes.Static = []desired.StaticNode{{Name: "x", Address: address}}
		}
		if tags != nil {
			f.Nodes.EC2 = &desired.EC2Selector{Tags: tags}
		}
		return f
	}
	got := desired.Conflicts(map[string]*desired.Fleet{
		"a": fleet("fleets/a.yaml", "10.0.0.1", "one", nil),
		"b": fleet("fleets/b.yaml", "10.0.0.1", "two", map[string]string{"app": "web", "env": "live"}),
		"c": fleet("fleets/c.yaml", "", "three", map[string]string{"app": "web", "env": "staging"}),
		"d": fleet("fleets/d.yaml", "", "three", map[string]string{"app": "db", "env": "staging"}),
		"e": fleet("fleets/e.yaml", "10.0.0.2", "five", map[string]string{"zone": "a"}),
	})
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, []string{"a", "b", "c", "d"}) {
		t.Fatalf("got %v", got)
	}
	want := "fleets/a.yaml: nodes.static[0].address: address 10.0.0.1 also belongs to fleet b (fleets/b.yaml)"
	if !strings.HasPrefix(got["a"].Error(), want) {
		t.Errorf("got %v", got["a"])
	}
}

// An ARN says more than a name: groups of one name in two regions are two groups.
func TestGroupsOfOneNameInTwoRegionsDoNotConflict(t *testing.T) {
	fleet := func(region string) *desired.Fleet {
		return &desired.Fleet{LoadBalancers: []desired.LoadBalancer{{TargetGroup: "arn:aws:elasticloadbalancing:" + region + ":1:targetgroup/web/0a"}}}
	}
	if got := desired.Conflicts(map[string]*desired.Fleet{"a": fleet("eu-west-1"), "b": fleet("us-east-1")}); len(got) > 0 {
		t.Errorf("got %v", got)
	}
	if got := desired.Conflicts(map[string]*desired.Fleet{"a": fleet("eu-west-1"), "b": fleet("eu-west-1")}); len(got) != 2 {
		t.Errorf("got %v", got)
	}
}

func TestANodeIsTheSameHoweverItIsSpelled(t *testing.T) {
	fleet := func(address, target string) *desired.Fleet {
		return &desired.Fleet{Nodes: desired.NodeSet{Static: []desired.StaticNode{{Address: address, Target: target}}}}
	}
	for _, pair := range [][2]*desired.Fleet{
		{fleet("fd00::2", "fd00::2"), fleet("FD00:0::2", "FD00:0::2")},
		{fleet("web-1.example.com", "web-1.example.com"), fleet("Web-1.example.com.", "Web-1.example.com.")},
		{fleet("10.0.0.1", "i-0a"), fleet("10.0.0.2", "i-0a")},
		{fleet("web-1", "10.0.0.1"), fleet("10.0.0.1", "i-0a")},
	} {
		if got := desired.Conflicts(map[string]*desired.Fleet{"a": pair[0], "b": pair[1]}); len(got) != 2 {
			t.Errorf("%v and %v: got %v", pair[0].Nodes, pair[1].Nodes, got)
		}
	}
	if got := desired.Conflicts(map[string]*desired.Fleet{"a": fleet("10.0.0.1", ""), "b": fleet("10.0.0.2", "")}); len(got) != 0 {
		t.Errorf("two nodes: got %v", got)
	}
}
