package aws

import (
	"context"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
)

func TestCloudStartsOnceAndEndsCleanly(t *testing.T) {
	t.Parallel()
	c := New(Config{})
	if err := c.Close(); err != nil {
		t.Errorf("closing what was never started: %v", err)
	}
	if _, err := c.AddLoadBalancer(LoadBalancer{Name: "web"}); err == nil {
		t.Error("a load balancer was opened before the start")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	check(t, c.Start(ctx))
	if c.Start(ctx) == nil {
		t.Error("it started twice")
	}
	if !strings.HasPrefix(c.URL(), "http://127.0.0.1:") {
		t.Errorf("the endpoint is %s", c.URL())
	}
	check(t, c.Close())
	check(t, c.Close())
	if conn, err := net.DialTimeout("tcp", strings.TrimPrefix(c.URL(), "http://"), time.Second); err == nil {
		conn.Close()
		t.Error("the endpoint still listens")
	}
	if _, err := c.AddClassic(Classic{Name: "late"}); err == nil {
		t.Error("a load balancer was opened after the end")
	}
}

// The clients of the SDK find the endpoint, region and credentials in the environment alone.
func TestEnvironmentIsAllThatAnSDKNeeds(t *testing.T) {
	c := New(Config{})
	check(t, c.Start(t.Context()))
	defer c.Close()
	for _, variable := range c.Environment() {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	for _, other := range []string{"AWS_PROFILE", "AWS_CA_BUNDLE", "AWS_SESSION_TOKEN"} {
		t.Setenv(other, "")
	}
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	client := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.DisableKeepAlives = true })
	settings := must(config.LoadDefaultConfig(t.Context(), config.WithHTTPClient(client)))(t)
	must(elb.NewFromConfig(settings).DescribeLoadBalancers(t.Context(), nil))(t)
	must(elbv2.NewFromConfig(settings).DescribeTargetGroups(t.Context(), nil))(t)
	equal(t, "calls", slices.Sorted(maps.Keys(c.Calls())), []string{"elb:DescribeLoadBalancers", "elbv2:DescribeTargetGroups"})
}

func TestCloseEndsRequestsInHand(t *testing.T) {
	w := newWorld(t)
	n := newNode(t)
	_, url := w.ipGroup(TargetGroup{Name: "web"})
	check(t, w.Register("web", n.target))
	w.awaitState("web", n.target, Healthy)
	ended := make(chan int)
	go func() { ended <- w.status(url + "/hold") }()
	<-n.held
	check(t, w.Close())
	if status := <-ended; status == 200 {
		t.Error("a request that was never answered succeeded")
	}
	close(n.hold)
}

func TestResourcesAreCheckedWhenAdded(t *testing.T) {
	w := newWorld(t)
	w.ipGroup(TargetGroup{Name: "web"})
	must(w.AddTargetGroup(TargetGroup{Name: "spare"}))(t)
	group := func(g TargetGroup) error { _, err := w.AddTargetGroup(g); return err }
	balancer := func(b LoadBalancer) error { _, err := w.AddLoadBalancer(b); return err }
	classic := func(l Classic) error { _, err := w.AddClassic(l); return err }
	for what, err := range map[string]error{
		"a group twice":                    group(TargetGroup{Name: "web"}),
		"a group without a name":           group(TargetGroup{}),
		"a group of lambdas":               group(TargetGroup{Name: "fn", Type: "lambda"}),
		"a group of a strange protocol":    group(TargetGroup{Name: "odd", Protocol: "SCTP"}),
		"a group of half a zone":           group(TargetGroup{Name: "odd", CrossZone: "half"}),
		"a balancer without groups":        balancer(LoadBalancer{Name: "b"}),
		"a balancer of nothing":            balancer(LoadBalancer{Name: "b", TargetGroups: []string{"nope"}}),
		"a balancer of another's":          balancer(LoadBalancer{Name: "b", TargetGroups: []string{"web"}}),
		"a balancer twice":                 balancer(LoadBalancer{Name: "web", TargetGroups: []string{"spare"}}),
		"a balancer of an unknown type":    balancer(LoadBalancer{Name: "b", Type: "gateway", TargetGroups: []string{"spare"}}),
		"a classic with a group's name":    classic(Classic{Name: "web"}),
		"a member of what is not there":    w.Register("nope", Target{ID: "i-1"}),
		"removal from what is not there":   w.Deregister("nope", Target{ID: "i-1"}),
		"forcing what is not there":        w.ForceHealth("nope", Target{ID: "i-1"}, nil),
		"the traffic of what is not there": func() error { _, err := w.Traffic("nope"); return err }(),
		"the health of what is not there":  func() error { _, err := w.Health("nope"); return err }(),
	} {
		if err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

// Only loopback is reached, unless the caller says otherwise; what is not reached is no target.
func TestReach(t *testing.T) {
	t.Parallel()
	group := TargetGroup{Name: "web", Type: "ip", RegistrationTime: time.Hour}
	for name, c := range map[string]struct {
		reaches func(netip.Addr) bool
		want    map[string]string // reasons by address
	}{
		"by default": {nil, map[string]string{"127.0.0.1": RegistrationInProgress, "10.0.0.1": IPUnusable}},
		"others":     {netip.MustParsePrefix("10.0.0.0/8").Contains, map[string]string{"127.0.0.1": IPUnusable, "10.0.0.1": RegistrationInProgress}},
	} {
		cloud := New(Config{Reaches: c.reaches})
		check(t, cloud.Start(t.Context()))
		must(cloud.AddTargetGroup(group))(t)
		must(cloud.AddLoadBalancer(LoadBalancer{Name: "web", TargetGroups: []string{"web"}}))(t)
		for address, want := range c.want {
			check(t, cloud.Register("web", Target{ID: address}))
			if got := must(cloud.Health("web"))(t)[Target{ID: address, Port: 80}].Reason; got != want {
				t.Errorf("%s: %s is %s, want %s", name, address, got, want)
			}
		}
		if _, err := cloud.reaches.dial(t.Context(), "tcp", "192.0.2.1:80"); err == nil || !strings.Contains(err.Error(), "the sandbox does not reach it") {
			t.Errorf("%s: %v", name, err)
		}
		check(t, cloud.Close())
	}
}
