package ec2_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/aws"

	"windlass/actuators"
	"windlass/actuators/ec2"
	"windlass/desired"
	"windlass/internal/awsapi"
	"windlass/internal/sandbox/aws"
)

func TestNodesAreTheRunningInstancesWithAllTags(t *testing.T) {
	w := newWorld(t)
	w.add(aws.Instance{ID: "i-0000000a", PrivateAddress: "10.0.0.1", PublicAddress: "192.0.2.1", Zone: "eu-central-1a"}, "web-1")
	w.add(aws.Instance{ID: "i-0000000b", PrivateAddress: "10.0.0.2", State: aws.Stopped}, "web-2")
	w.add(aws.Instance{ID: "i-0000000c", State: aws.Terminated}, "web-3")
	w.add(aws.Instance{ID: "i-0000000d", PrivateAddress: "10.0.0.4", State: aws.Pending}, "web-4")
	w.add(aws.Instance{ID: "i-0000000e", PrivateAddress: "10.0.0.5", Tags: map[string]string{"app": "web", "env": "staging"}}, "web-5")
	got := w.nodes(tagged("app", "web", "env", "live"))
	want := actuators.Node{
		Name: "web-1", ID: "i-0000000a", Address: "10.0.0.1", Zone: "eu-central-1a",
		Targets: actuators.Targets{Instance: "i-0000000a", IP: "10.0.0.1"},
	}
	if len(got.Nodes) != 1 || got.Nodes[0] != want || len(got.Problems) != 0 {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	public := tagged("app", "web", "env", "live")
	public.EC2.Address = desired.PublicAddress
	if node := w.nodes(public).Nodes[0]; node.Address != "192.0.2.1" || node.Targets.IP != "10.0.0.1" {
		t.Errorf("reached at %s and in the balancer as %s, want the public and the private address", node.Address, node.Targets.IP)
	}
}

func TestATerminatedInstanceIsNotListedAnyMore(t *testing.T) { // G14
	w := newWorld(t)
	for i := range 3 {
		w.add(aws.Instance{ID: fmt.Sprintf("i-0000000%d", i), PrivateAddress: fmt.Sprintf("10.0.0.%d", i)}, fmt.Sprintf("web-%d", i))
	}
	if err := w.SetInstanceState("i-00000001", aws.ShuttingDown); err != nil {
		t.Fatal(err)
	}
	if got := names(w.nodes(tagged("app", "web"))); !slices.Equal(got, []string{"web-0", "web-2"}) {
		t.Errorf("got %v", got)
	}
}

func TestARecycledAddressIsAnotherMachine(t *testing.T) { // G16
	w := newWorld(t)
	w.add(aws.Instance{ID: "i-0000000a", PrivateAddress: "10.0.0.1"}, "web-1")
	before := w.nodes(tagged("app", "web")).Nodes[0]
	if err := w.SetInstanceState("i-0000000a", aws.Terminated); err != nil {
		t.Fatal(err)
	}
	w.add(aws.Instance{ID: "i-0000000b", PrivateAddress: "10.0.0.1"}, "web-1")
	after := w.nodes(tagged("app", "web")).Nodes[0]
	if after.Name != before.Name || after.Address != before.Address || after.ID == before.ID {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

func TestNamesAreUniqueAndWellFormed(t *testing.T) {
	w := newWorld(t)
	for i, name := range []string{"web-1", "twin", "twin", "", "two words", "-web", "web/../1", "i-00000009", "front"} {
		w.add(aws.Instance{ID: fmt.Sprintf("i-0000000%d", i+1), PrivateAddress: fmt.Sprintf("10.0.0.%d", i+1)}, name)
	}
	set := tagged("app", "web")
	set.Static = []desired.StaticNode{{Name: "front", Address: "10.9.9.9", Target: "10.9.9.9"}}
	want := []string{"front", "i-00000002", "i-00000003", "i-00000004", "i-00000005", "i-00000006", "i-00000007", "i-00000008", "i-00000009", "web-1"}
	got := w.nodes(set)
	if !slices.Equal(names(got), want) {
		t.Errorf("got  %v\nwant %v", names(got), want)
	}
	aliases := map[string]string{"i-00000002": "twin", "i-00000003": "twin", "i-00000005": "two words", "i-00000006": "-web", "i-00000007": "web/../1", "i-00000009": "front"}
	for _, node := range got.Nodes {
		if node.Alias != aliases[node.Name] {
			t.Errorf("%s has the alias %q, want %q", node.Name, node.Alias, aliases[node.Name])
		}
	}
}

func TestTheSameMachineTwiceIsOneNode(t *testing.T) {
	w := newWorld(t)
	for i, name := range []string{"by-private", "by-public", "by-target", "alone", "by-file"} {
		w.add(aws.Instance{ID: fmt.Sprintf("i-0000000%d", i), PrivateAddress: fmt.Sprintf("10.0.0.%d", i), PublicAddress: fmt.Sprintf("192.0.2.%d", i), Zone: "a"}, name)
	}
	set := tagged("app", "web")
	set.Static = []desired.StaticNode{
		{Name: "one", Address: "10.0.0.0", Target: "10.0.0.0", HostKey: "ssh-ed25519 AAAA", Zone: "b"},
		{Name: "two", Address: "192.0.2.1", Target: "192.0.2.1"},
		{Name: "three", Address: "three.example", Target: "i-00000002"},
		{Name: "four", Address: "10.9.9.9", Target: "10.9.9.10"},
		{Name: "five", Address: "10.0.0.4", Target: "10.0.9.9"},
	}
	got := w.nodes(set)
	want := []actuators.Node{
		{Name: "alone", ID: "i-00000003", Address: "10.0.0.3", Zone: "a", Targets: actuators.Targets{Instance: "i-00000003", IP: "10.0.0.3"}},
		{Name: "five", ID: "i-00000004", Address: "10.0.0.4", Zone: "a", Targets: actuators.Targets{Instance: "i-00000004", IP: "10.0.9.9"}},
		{Name: "four", Address: "10.9.9.9", Targets: actuators.Targets{IP: "10.9.9.10"}},
		{Name: "one", ID: "i-00000000", Address: "10.0.0.0", Zone: "b", HostKey: "ssh-ed25519 AAAA", Targets: actuators.Targets{Instance: "i-00000000", IP: "10.0.0.0"}},
		{Name: "three", ID: "i-00000002", Address: "three.example", Zone: "a", Targets: actuators.Targets{Instance: "i-00000002", IP: "10.0.0.2"}},
		{Name: "two", ID: "i-00000001", Address: "192.0.2.1", Zone: "a", Targets: actuators.Targets{Instance: "i-00000001", IP: "10.0.0.1"}},
	}
	if !slices.Equal(got.Nodes, want) {
		t.Errorf("got  %+v\nwant %+v", got.Nodes, want)
	}
}

// A fleet file may name a machine as DNS does; what it calls its node says nothing of which machine that is.
func TestAStaticNodeIsFoundByTheNamesOfItsInstance(t *testing.T) {
	const more = "<privateDnsName>inside.example</privateDnsName><dnsName>outside.example</dnsName><ipAddress>192.0.2.1</ipAddress></item>"
	body := instances(strings.TrimSuffix(good, "</item>") + more)
	for _, c := range []struct {
		static desired.StaticNode
		nodes  int
	}{
		{desired.StaticNode{Name: "n", Address: "inside.example"}, 1},
		{desired.StaticNode{Name: "n", Address: "outside.example"}, 1},
		{desired.StaticNode{Name: "n", Address: "n.example", Target: "192.0.2.1"}, 1},
		{desired.StaticNode{Name: "inside.example", Address: "n.example"}, 2},
	} {
		set := tagged("app", "web")
		set.Static = []desired.StaticNode{c.static}
		got, err := answering(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }).Nodes(t.Context(), set)
		if err != nil || len(got.Nodes) != c.nodes {
			t.Errorf("%+v: %v, %v, want %d nodes", c.static, names(got), err, c.nodes)
		}
	}
}

func TestAnInstanceWithoutAPrivateAddressIsInTheBalancerAsTheFileHasIt(t *testing.T) {
	body := instances(strings.Replace(good, "privateIpAddress", "ipAddress", 2))
	set := tagged("app", "web")
	set.Static = []desired.StaticNode{{Name: "one", Address: "10.0.0.1"}}
	got, err := answering(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }).Nodes(t.Context(), set)
	if err != nil || len(got.Nodes) != 1 || got.Nodes[0].Targets != (actuators.Targets{Instance: "i-0000000a", IP: "10.0.0.1"}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestANameIsOneLineWhateverAWSSays(t *testing.T) { // law 22
	body := instances(strings.Replace(good, "i-0000000a", "i-0&#xa;\u009b1", 1))
	got, err := answering(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }).Nodes(t.Context(), tagged("app", "web"))
	if err != nil || len(got.Nodes) != 1 || strings.ContainsAny(got.Nodes[0].Name, "\n\u009b") {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAStaticNodeIsNoInstanceForWhatBothLack(t *testing.T) {
	w := newWorld(t)
	w.add(aws.Instance{ID: "i-0000000a", PrivateAddress: "10.0.0.1"}, "inside") // without a public address
	set := tagged("app", "web")
	set.Static = []desired.StaticNode{{Name: "other", Address: "10.9.9.9"}} // without a target
	if got := w.nodes(set); !slices.Equal(names(got), []string{"inside", "other"}) {
		t.Errorf("got %v", got)
	}
}

func TestTwoStaticNodesOfOneMachineAreAProblem(t *testing.T) {
	w := newWorld(t)
	w.add(aws.Instance{ID: "i-0000000a", PrivateAddress: "10.0.0.1"}, "web-1")
	set := tagged("app", "web")
	w.add(aws.Instance{ID: "i-0000000b", PrivateAddress: "10.0.0.2"}, "web-2")
	set.Static = []desired.StaticNode{{Name: "one", Address: "10.0.0.1"}, {Name: "two", Address: "two.example", Target: "i-0000000a"}, {Name: "three", Address: "three.example"}}
	got := w.nodes(set)
	want := "static nodes one and two are both instance i-0000000a, and two is left out: remove one of them"
	if !slices.Equal(names(got), []string{"one", "three", "web-2"}) || !slices.Equal(got.Problems, []string{want}) {
		t.Errorf("got %+v\nwant problem %q", got, want)
	}
}

// The file's spelling of its own address is not taken for a target of its own.
func TestAStaticInstanceIsInTheBalancerByItsPrivateAddress(t *testing.T) {
	w := newWorld(t)
	w.add(aws.Instance{ID: "i-0000000a", PrivateAddress: "10.0.0.1"}, "web-1")
	set := tagged("app", "web")
	set.Static = []desired.StaticNode{{Name: "one", Address: "2001:DB8::1", Target: "i-0000000a"}}
	if got := w.nodes(set); len(got.Nodes) != 1 || got.Nodes[0].Targets != (actuators.Targets{Instance: "i-0000000a", IP: "10.0.0.1"}) {
		t.Errorf("got %+v", got)
	}
}

func TestExcludedNodesAreListed(t *testing.T) {
	w := newWorld(t)
	w.add(aws.Instance{ID: "i-0000000a", PrivateAddress: "10.0.0.1"}, "web-1")
	set := tagged("app", "web")
	set.Exclude = []desired.Exclusion{{Name: "web-1", Reason: "disk swap"}}
	if got := names(w.nodes(set)); len(got) != 1 {
		t.Errorf("got %v; who is left alone is the plan's business", got)
	}
}

func TestAnInstanceWithoutTheAddressIsAProblem(t *testing.T) {
	w := newWorld(t)
	w.add(aws.Instance{ID: "i-0000000a", PrivateAddress: "10.0.0.1"}, "web-1")
	w.add(aws.Instance{ID: "i-0000000b", PrivateAddress: "10.0.0.2", PublicAddress: "192.0.2.2"}, "web-2")
	set := tagged("app", "web")
	set.EC2.Address = desired.PublicAddress
	got := w.nodes(set)
	want := "instance i-0000000a (web-1) has no public address and is left out: give it one, or set nodes.ec2.address"
	if !slices.Equal(names(got), []string{"web-2"}) || !slices.Equal(got.Problems, []string{want}) {
		t.Errorf("got %+v\nwant problem %q", got, want)
	}
}

func TestAThousandInstancesTakeOneCall(t *testing.T) { // G9, G11
	w := newWorld(t)
	for i := range 2001 {
		w.add(aws.Instance{ID: fmt.Sprintf("i-%08x", i), PrivateAddress: fmt.Sprintf("10.0.%d.%d", i/250, i%250)}, fmt.Sprintf("web-%d", i))
	}
	if got := len(w.nodes(tagged("app", "web")).Nodes); got != 2001 {
		t.Errorf("%d nodes", got)
	}
	if calls := w.Calls()["ec2:DescribeInstances"]; calls != 3 {
		t.Errorf("%d calls for 2001 instances, want 3", calls)
	}
}

func TestStaticNodesNeedNoAWS(t *testing.T) {
	set := desired.NodeSet{Static: []desired.StaticNode{
		{Name: "web-2", Address: "10.0.0.2", Target: "i-0123456789abcdef0", Zone: "b"},
		{Name: "web-1", Address: "10.0.0.1"},
	}}
	got, err := ec2.New(awsapi.Prepare(sdk.Config{}, nil)).Nodes(t.Context(), set)
	want := []actuators.Node{
		{Name: "web-1", Address: "10.0.0.1", Targets: actuators.Targets{IP: "10.0.0.1"}},
		{Name: "web-2", Address: "10.0.0.2", Zone: "b", Targets: actuators.Targets{Instance: "i-0123456789abcdef0", IP: "10.0.0.2"}},
	}
	if err != nil || !slices.Equal(got.Nodes, want) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, want)
	}
}

// A balancer tells an address in one spelling, and a node is found in it by that.
func TestAnAddressHasOneSpelling(t *testing.T) {
	set := desired.NodeSet{Static: []desired.StaticNode{
		{Name: "web-1", Address: "web-1.example", Target: "2001:DB8:0:0::1"},
		{Name: "web-2", Address: "2001:0db8::2"},
		{Name: "web-3", Address: "2001:0db8::3", Target: "i-0123456789abcdef0"},
		{Name: "web-4", Address: "web-4.example"},
	}}
	got, err := ec2.New(awsapi.Prepare(sdk.Config{}, nil)).Nodes(t.Context(), set)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"2001:db8::1", "2001:db8::2", "2001:db8::3", "web-4.example"} {
		if ip := got.Nodes[i].Targets.IP; ip != want {
			t.Errorf("%s is looked for as %s, want %s", got.Nodes[i].Name, ip, want)
		}
	}
}

func TestNobodyFoundIsAnAnswer(t *testing.T) {
	w := newWorld(t)
	if got := w.nodes(tagged("app", "nothing")); len(got.Nodes) != 0 || len(got.Problems) != 0 {
		t.Errorf("got %+v", got)
	}
}
