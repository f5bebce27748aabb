package aws

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

func described(target Target) []types.TargetDescription {
	d := types.TargetDescription{Id: &target.ID}
	if target.Port != 0 {
		d.Port = aws.Int32(int32(target.Port))
	}
	return []types.TargetDescription{d}
}

func (w *world) register(arn string, target Target) error {
	_, err := w.elbv2.RegisterTargets(w.t.Context(), &elbv2.RegisterTargetsInput{TargetGroupArn: &arn, Targets: described(target)})
	return err
}

func (w *world) deregister(arn string, target Target) error {
	_, err := w.elbv2.DeregisterTargets(w.t.Context(), &elbv2.DeregisterTargetsInput{TargetGroupArn: &arn, Targets: described(target)})
	return err
}

func (w *world) wantHealth(arn, id, want string) {
	w.t.Helper()
	if got := w.healthOf(arn)[id]; got != want {
		w.t.Errorf("%s is %q, want %q", id, got, want)
	}
}

func TestNewTargetPassesTwoInitialReasons(t *testing.T) {
	w := newWorld(t)
	arn, _ := w.ipGroup(TargetGroup{Name: "web", RegistrationTime: time.Hour})
	check(t, w.register(arn, newNode(t).target))
	w.wantHealth(arn, "127.0.0.1", "initial Elb.RegistrationInProgress")
	w.advance(time.Hour)
	w.wantHealth(arn, "127.0.0.1", "initial Elb.InitialHealthChecking")
}

// G7: a new target needs one passed check, one that was unhealthy needs the threshold.
func TestSinglePassedCheckMakesNewTargetHealthy(t *testing.T) {
	w := newWorld(t)
	slow := HealthCheck{Interval: time.Hour, Healthy: 10}
	arn, _ := w.ipGroup(TargetGroup{Name: "web", HealthCheck: slow})
	n := newNode(t)
	check(t, w.register(arn, n.target))
	w.awaitState("web", n.target, Healthy)
	w.wantHealth(arn, "127.0.0.1", "healthy ")
}

func TestUnhealthyTargetNeedsTheThresholdToRecover(t *testing.T) {
	now := time.Now()
	p := &pool{firstPass: 1, inUse: true, check: HealthCheck{Healthy: 3, Unhealthy: 2}}
	m := p.register(Target{ID: "127.0.0.1", Port: 80}, now)
	var states []string
	for _, failure := range []string{"", Timeout, Timeout, FailedHealthChecks, "", "", Timeout, "", "", ""} {
		p.record(m, failure, now)
		states = append(states, p.status(m, now).State)
	}
	equal(t, "states", states, []string{
		Healthy, Healthy, Unhealthy, Unhealthy, Unhealthy, Unhealthy, Unhealthy, Unhealthy, Unhealthy, Healthy,
	})
}

func TestUnhealthyReasonsComeFromRealChecks(t *testing.T) {
	for reason, spoil := range map[string]func(*node) HealthCheck{
		ResponseCodeMismatch: func(n *node) HealthCheck { n.status.Store(http.StatusInternalServerError); return quick },
		FailedHealthChecks:   func(n *node) HealthCheck { n.Close(); return quick },
		Timeout: func(*node) HealthCheck {
			return HealthCheck{Path: "/never", Interval: 40 * time.Millisecond, Timeout: 20 * time.Millisecond}
		},
	} {
		t.Run(reason, func(t *testing.T) {
			w := newWorld(t)
			n := newNode(t)
			arn, _ := w.ipGroup(TargetGroup{Name: "web", HealthCheck: spoil(n)})
			check(t, w.register(arn, n.target))
			w.awaitState("web", n.target, Unhealthy)
			w.wantHealth(arn, n.target.ID, "unhealthy "+reason)
		})
	}
}

func TestTCPHealthCheckNeedsOnlyAConnection(t *testing.T) {
	w := newWorld(t)
	n := newNode(t)
	n.status.Store(http.StatusInternalServerError)
	check := HealthCheck{Protocol: "TCP", Interval: 20 * time.Millisecond}
	arn, _ := w.ipGroup(TargetGroup{Name: "web", Protocol: "TCP", HealthCheck: check})
	if err := w.register(arn, n.target); err != nil {
		t.Fatal(err)
	}
	w.awaitState("web", n.target, Healthy)
	n.Close()
	w.awaitState("web", n.target, Unhealthy)
}

// G1: draining lasts the whole delay although the target is idle. G5: only a new registration brings it back.
func TestTargetDrainsForTheWholeDelay(t *testing.T) {
	w := newWorld(t)
	arn, _ := w.ipGroup(TargetGroup{Name: "web", DeregistrationDelay: 300 * time.Second})
	n := newNode(t)
	check(t, w.register(arn, n.target))
	w.awaitState("web", n.target, Healthy)
	check(t, w.deregister(arn, n.target))
	w.advance(299 * time.Second)
	w.wantHealth(arn, n.target.ID, "draining Target.DeregistrationInProgress")
	check(t, w.deregister(arn, n.target)) // changes nothing, in particular not the end of the delay
	w.advance(time.Second)
	if left := w.healthOf(arn); len(left) != 0 {
		t.Errorf("after the delay the group still has %v", left)
	}
	check(t, w.register(arn, n.target))
	w.awaitState("web", n.target, Healthy)
	check(t, w.deregister(arn, n.target))
	check(t, w.register(arn, n.target))
	w.awaitState("web", n.target, Healthy)
	w.advance(time.Hour)
	w.wantHealth(arn, n.target.ID, "healthy ")
}

// G4: 200 and no effect.
func TestDeregisteringUnderAnotherPortDoesNothing(t *testing.T) {
	w := newWorld(t)
	arn, _ := w.ipGroup(TargetGroup{Name: "web", Port: 80, DeregistrationDelay: time.Minute})
	n := newNode(t)
	check(t, w.register(arn, n.target))
	w.awaitState("web", n.target, Healthy)
	check(t, w.deregister(arn, Target{ID: n.target.ID}))
	check(t, w.deregister(arn, Target{ID: n.target.ID, Port: n.target.Port + 1}))
	check(t, w.deregister(arn, Target{ID: "127.0.0.99", Port: 80}))
	w.wantHealth(arn, n.target.ID, "healthy ")
	check(t, w.deregister(arn, n.target))
	w.wantHealth(arn, n.target.ID, "draining Target.DeregistrationInProgress")
}

func TestPortMayBeLeftOutForTheDefaultPort(t *testing.T) {
	w := newWorld(t)
	arn, _ := w.ipGroup(TargetGroup{Name: "web", Port: 8080})
	check(t, w.register(arn, Target{ID: "127.0.0.1"}))
	out := must(w.elbv2.DescribeTargetHealth(t.Context(), &elbv2.DescribeTargetHealthInput{TargetGroupArn: &arn}))(t)
	if got := *out.TargetHealthDescriptions[0].Target.Port; got != 8080 {
		t.Errorf("the port is %d, want the group's", got)
	}
	check(t, w.deregister(arn, Target{ID: "127.0.0.1"}))
	if left := w.healthOf(arn); len(left) != 0 {
		t.Errorf("the group still has %v", left)
	}
}

// G3: unused means four different things.
func TestUnusedHasFourReasons(t *testing.T) {
	w := newWorld(t)
	lonely := must(w.AddTargetGroup(TargetGroup{Name: "lonely", Type: "ip"}))(t)
	check(t, w.register(lonely, Target{ID: "127.0.0.1", Port: 80}))
	w.wantHealth(lonely, "127.0.0.1", "unused Target.NotInUse")

	used, _ := w.ipGroup(TargetGroup{Name: "used"})
	check(t, w.register(used, Target{ID: "10.0.0.1", Port: 80}))
	w.wantHealth(used, "10.0.0.1", "unused Target.IpUnusable")
	absent := must(w.elbv2.DescribeTargetHealth(t.Context(), &elbv2.DescribeTargetHealthInput{
		TargetGroupArn: &used, Targets: described(Target{ID: "127.0.0.7", Port: 80}),
	}))(t).TargetHealthDescriptions[0].TargetHealth
	if absent.State != types.TargetHealthStateEnumUnused || absent.Reason != types.TargetHealthReasonEnumNotRegistered {
		t.Errorf("an absent target is %+v", absent)
	}

	n := newNode(t)
	check(t, w.AddInstance(Instance{ID: "i-00000001", PrivateAddress: "127.0.0.1"}))
	machines := must(w.AddTargetGroup(TargetGroup{Name: "machines", HealthCheck: quick}))(t)
	must(w.AddLoadBalancer(LoadBalancer{Name: "machines", TargetGroups: []string{"machines"}}))(t)
	target := Target{ID: "i-00000001", Port: n.target.Port}
	check(t, w.register(machines, target))
	w.awaitState("machines", target, Healthy)
	check(t, w.SetInstanceState("i-00000001", Stopped))
	w.wantHealth(machines, "i-00000001", "unused Target.InvalidState")
	check(t, w.SetInstanceState("i-00000001", Running))
	w.awaitState("machines", target, Healthy)
}

func TestAttachingAGroupStartsItsHealthChecks(t *testing.T) {
	w := newWorld(t)
	n := newNode(t)
	arn := must(w.AddTargetGroup(TargetGroup{Name: "web", Type: "ip", HealthCheck: quick}))(t)
	check(t, w.Register("web", n.target))
	w.wantHealth(arn, n.target.ID, "unused Target.NotInUse")
	must(w.AddLoadBalancer(LoadBalancer{Name: "web", TargetGroups: []string{"web"}}))(t)
	w.awaitState("web", n.target, Healthy)
}

func TestInvalidTargetsAreRefused(t *testing.T) {
	w := newWorld(t)
	arn := must(w.AddTargetGroup(TargetGroup{Name: "web"}))(t)
	check(t, w.AddInstance(Instance{ID: "i-00000001", State: Stopped}))
	wantCode(t, w.register(arn, Target{ID: "i-0000dead"}), "InvalidTarget")
	wantCode(t, w.register(arn, Target{ID: "i-00000001"}), "InvalidTarget")
	ips := must(w.AddTargetGroup(TargetGroup{Name: "ips", Type: "ip"}))(t)
	wantCode(t, w.register(ips, Target{ID: "i-00000001"}), "ValidationError")
	if err := w.Register("web", Target{ID: "i-0000dead"}); err == nil {
		t.Error("the Go API registered an unknown instance")
	}
}

// G12: the quota counts who stays, so that a full group takes another once one drains; nothing of a refused call is done.
func TestFullGroupRefusesTheWholeCall(t *testing.T) {
	w := newWorld(t)
	arn, _ := w.ipGroup(TargetGroup{Name: "web", MaxTargets: 2, DeregistrationDelay: time.Minute})
	check(t, w.register(arn, Target{ID: "127.0.0.1"}))
	both := append(described(Target{ID: "127.0.0.2"}), described(Target{ID: "127.0.0.3"})...)
	_, err := w.elbv2.RegisterTargets(t.Context(), &elbv2.RegisterTargetsInput{TargetGroupArn: &arn, Targets: both})
	wantCode(t, err, "TooManyTargets")
	if got := len(w.healthOf(arn)); got != 1 {
		t.Errorf("the group has %d targets, want 1", got)
	}
	check(t, w.register(arn, Target{ID: "127.0.0.2"}))
	check(t, w.register(arn, Target{ID: "127.0.0.2"})) // a member already: no more than before
	wantCode(t, w.register(arn, Target{ID: "127.0.0.3"}), "TooManyTargets")
	check(t, w.deregister(arn, Target{ID: "127.0.0.1"}))
	check(t, w.register(arn, Target{ID: "127.0.0.3"}))
}

// A list is taken as a whole or not at all; one that leaves may hold what is no member (G4).
func TestAListOfTargetsIsTakenWholeOrNotAtAll(t *testing.T) {
	w := newWorld(t)
	machines := must(w.AddTargetGroup(TargetGroup{Name: "machines"}))(t)
	for _, id := range []string{"i-00000001", "i-00000002", "i-00000003"} {
		check(t, w.AddInstance(Instance{ID: id, PrivateAddress: "127.0.0.1"}))
	}
	check(t, w.SetInstanceState("i-00000002", Stopped))
	call := func(targets ...Target) (register, deregister error) {
		var list []types.TargetDescription
		for _, target := range targets {
			d := described(target)
			if target.Zone != "" {
				d[0].AvailabilityZone = &target.Zone
			}
			list = append(list, d...)
		}
		if list == nil {
			list = []types.TargetDescription{}
		}
		_, register = w.elbv2.RegisterTargets(t.Context(), &elbv2.RegisterTargetsInput{TargetGroupArn: &machines, Targets: list})
		before := len(w.healthOf(machines))
		_, deregister = w.elbv2.DeregisterTargets(t.Context(), &elbv2.DeregisterTargetsInput{TargetGroupArn: &machines, Targets: list})
		if register != nil && before != 0 || register == nil && before != len(targets) {
			t.Errorf("%v: %v, and %d are members", targets, register, before)
		}
		if after := len(w.healthOf(machines)); after != 0 {
			t.Errorf("%v: %d are members after leaving", targets, after)
		}
		return register, deregister
	}
	good, other := Target{ID: "i-00000001"}, Target{ID: "i-00000003", Port: 9090}
	register, deregister := call(good, other)
	check(t, register)
	check(t, deregister)
	for _, c := range []struct {
		bad        Target
		code       string
		bothRefuse bool
	}{
		{Target{ID: "i-00000002"}, "InvalidTarget", false},
		{Target{ID: "i-0000dead"}, "InvalidTarget", false},
		{Target{ID: "i-00000001", Port: 81, Zone: "eu-central-1a"}, "ValidationError", false},
		{Target{ID: "i-00000001", Port: 70000}, "ValidationError", true},
		{Target{}, "ValidationError", true},
	} {
		register, deregister := call(good, c.bad, other)
		wantCode(t, register, c.code)
		if c.bothRefuse {
			wantCode(t, deregister, c.code)
		} else {
			check(t, deregister)
		}
	}
	register, deregister = call()
	wantCode(t, register, "ValidationError")
	wantCode(t, deregister, "ValidationError")
}

// G11: pages, and limits of a call.
func TestTargetGroupsPageAndBatch(t *testing.T) {
	w := newWorld(t)
	var arns, want []string
	for i := range 25 {
		name := fmt.Sprintf("g%02d", i)
		want = append(want, name)
		arns = append(arns, must(w.AddTargetGroup(TargetGroup{Name: name}))(t))
	}
	var got []string
	pages := elbv2.NewDescribeTargetGroupsPaginator(w.elbv2, &elbv2.DescribeTargetGroupsInput{PageSize: aws.Int32(10)})
	for pages.HasMorePages() {
		for _, g := range must(pages.NextPage(t.Context()))(t).TargetGroups {
			got = append(got, *g.TargetGroupName)
		}
	}
	equal(t, "groups", got, want)
	if calls := w.Calls()["elbv2:DescribeTargetGroups"]; calls != 3 {
		t.Errorf("%d calls, want 3", calls)
	}
	_, err := w.elbv2.DescribeTargetGroups(t.Context(), &elbv2.DescribeTargetGroupsInput{TargetGroupArns: arns})
	wantCode(t, err, "ValidationError")
	out := must(w.elbv2.DescribeTargetGroups(t.Context(), &elbv2.DescribeTargetGroupsInput{TargetGroupArns: arns[:20]}))(t)
	if len(out.TargetGroups) != 20 {
		t.Errorf("%d groups, want 20", len(out.TargetGroups))
	}
	_, err = w.elbv2.RegisterTargets(t.Context(), &elbv2.RegisterTargetsInput{
		TargetGroupArn: &arns[0], Targets: make201(),
	})
	wantCode(t, err, "ValidationError")
}

func make201() []types.TargetDescription {
	var targets []types.TargetDescription
	for i := range 201 {
		targets = append(targets, described(Target{ID: "i-00000001", Port: i + 1})...)
	}
	return targets
}

func TestTargetGroupsThatCannotBeFound(t *testing.T) {
	w := newWorld(t)
	arn := must(w.AddTargetGroup(TargetGroup{Name: "web"}))(t)
	for code, in := range map[string]*elbv2.DescribeTargetGroupsInput{
		"TargetGroupNotFound":  {Names: []string{"web", "wbe"}},
		"LoadBalancerNotFound": {LoadBalancerArn: aws.String("arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/x/1")},
		"ValidationError":      {Names: []string{"web"}, TargetGroupArns: []string{arn}},
	} {
		_, err := w.elbv2.DescribeTargetGroups(t.Context(), in)
		wantCode(t, err, code)
	}
	_, err := w.elbv2.DescribeTargetHealth(t.Context(), &elbv2.DescribeTargetHealthInput{TargetGroupArn: aws.String(arn + "0")})
	wantCode(t, err, "TargetGroupNotFound")
	_, err = w.elbv2.DescribeTargetHealth(t.Context(), &elbv2.DescribeTargetHealthInput{TargetGroupArn: aws.String("web")})
	wantCode(t, err, "ValidationError")
	for _, in := range []*elbv2.DescribeTargetGroupsInput{{PageSize: aws.Int32(401)}, {Marker: aws.String("?")}} {
		_, err = w.elbv2.DescribeTargetGroups(t.Context(), in)
		wantCode(t, err, "ValidationError")
	}
}

func TestTargetGroupTellsItsSettings(t *testing.T) {
	w := newWorld(t)
	arn, _ := w.ipGroup(TargetGroup{
		Name: "web", Port: 8080, DeregistrationDelay: 90 * time.Second, SlowStart: 30 * time.Second,
		HealthCheck: HealthCheck{Path: "/up", Interval: 10 * time.Second, Healthy: 3, Unhealthy: 4},
	})
	g := must(w.elbv2.DescribeTargetGroups(t.Context(), &elbv2.DescribeTargetGroupsInput{Names: []string{"web"}}))(t).TargetGroups[0]
	got := line(*g.TargetGroupArn == arn, g.TargetType, g.Protocol, *g.Port, *g.HealthCheckPath,
		*g.HealthCheckIntervalSeconds, *g.HealthyThresholdCount, *g.UnhealthyThresholdCount, *g.Matcher.HttpCode)
	if want := "true ip HTTP 8080 /up 10 3 4 200"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	values := w.groupAttributes(arn)
	if values["deregistration_delay.timeout_seconds"] != "90" || values["slow_start.duration_seconds"] != "30" {
		t.Errorf("attributes are %v", values)
	}
	b := must(w.elbv2.DescribeLoadBalancers(t.Context(), &elbv2.DescribeLoadBalancersInput{LoadBalancerArns: g.LoadBalancerArns}))(t).LoadBalancers
	if len(b) != 1 || b[0].Type != types.LoadBalancerTypeEnumApplication || b[0].State.Code != types.LoadBalancerStateEnumActive {
		t.Errorf("its load balancers are %+v", b)
	}
	of := must(w.elbv2.DescribeTargetGroups(t.Context(), &elbv2.DescribeTargetGroupsInput{LoadBalancerArn: b[0].LoadBalancerArn}))(t)
	if len(of.TargetGroups) != 1 || *of.TargetGroups[0].TargetGroupName != "web" {
		t.Errorf("the balancer's groups are %+v", of.TargetGroups)
	}
}

func (w *world) groupAttributes(arn string) map[string]string {
	w.t.Helper()
	values := map[string]string{}
	in := &elbv2.DescribeTargetGroupAttributesInput{TargetGroupArn: &arn}
	for _, a := range must(w.elbv2.DescribeTargetGroupAttributes(w.t.Context(), in))(w.t).Attributes {
		values[*a.Key] = *a.Value
	}
	return values
}

func TestEachKindOfGroupHasItsAttributes(t *testing.T) {
	w := newWorld(t)
	const dns, routing = "target_group_health.dns_failover.minimum_healthy_targets.", "target_group_health.unhealthy_state_routing.minimum_healthy_targets."
	const absent = "-"
	for _, c := range []struct {
		g    TargetGroup
		want map[string]string
	}{
		{TargetGroup{}, map[string]string{
			"load_balancing.cross_zone.enabled": "use_load_balancer_configuration", "slow_start.duration_seconds": "0", "load_balancing.algorithm.anomaly_mitigation": "off",
			dns + "count": "1", dns + "percentage": "off", routing + "count": "1", routing + "percentage": "off",
			"deregistration_delay.connection_termination.enabled": absent, "preserve_client_ip.enabled": absent, "stickiness.type": "lb_cookie",
		}},
		{TargetGroup{Protocol: "HTTPS", CrossZone: "false", InDNS: Minimum{Count: 3, Percent: 50}, FailsOpen: Minimum{Count: -1, Percent: 20}}, map[string]string{
			"load_balancing.cross_zone.enabled": "false", dns + "count": "3", dns + "percentage": "50", routing + "count": "off", routing + "percentage": "20",
		}},
		{TargetGroup{Protocol: "TCP", CrossZone: "true", ConnectionTermination: true}, map[string]string{
			"load_balancing.cross_zone.enabled": "true", "deregistration_delay.connection_termination.enabled": "true", "slow_start.duration_seconds": absent,
			"preserve_client_ip.enabled": "true", "proxy_protocol_v2.enabled": "false", "load_balancing.algorithm.type": absent, dns + "count": "1", "stickiness.type": "source_ip",
			"target_health_state.unhealthy.connection_termination.enabled": "true",
		}},
		{TargetGroup{Protocol: "TLS", Type: "ip"}, map[string]string{"deregistration_delay.connection_termination.enabled": "false", "preserve_client_ip.enabled": "false"}},
		{TargetGroup{Protocol: "UDP", Type: "ip"}, map[string]string{"preserve_client_ip.enabled": "true", "target_health_state.unhealthy.connection_termination.enabled": "false"}},
		{TargetGroup{Protocol: "TCP_UDP"}, map[string]string{"slow_start.duration_seconds": absent, "preserve_client_ip.enabled": "true"}},
		{TargetGroup{Protocol: "GENEVE", Port: 6081}, map[string]string{
			"target_failover.on_deregistration": "no_rebalance", "load_balancing.cross_zone.enabled": absent, dns + "count": absent, "slow_start.duration_seconds": absent,
		}},
	} {
		c.g.Name = "web-" + c.g.Protocol
		got := w.groupAttributes(must(w.AddTargetGroup(c.g))(t))
		for key, want := range c.want {
			if value, sent := got[key]; value != want && (sent || want != absent) {
				t.Errorf("%s: %s is %q, want %q", c.g.Protocol, key, value, want)
			}
		}
	}
}

func TestEachKindOfBalancerHasItsAttributes(t *testing.T) {
	w := newWorld(t)
	for i, c := range []struct {
		b               LoadBalancer
		idle, crossZone string
	}{
		{LoadBalancer{}, "60", "true"},
		{LoadBalancer{IdleTimeout: 90 * time.Second}, "90", "true"},
		{LoadBalancer{Type: Network}, "", "false"},
		{LoadBalancer{Type: Network, CrossZone: true}, "", "true"},
	} {
		c.b.Name = fmt.Sprint("front-", i)
		must(w.AddTargetGroup(TargetGroup{Name: c.b.Name}))(t)
		c.b.TargetGroups = []string{c.b.Name}
		must(w.AddLoadBalancer(c.b))(t)
		b := must(w.elbv2.DescribeLoadBalancers(t.Context(), &elbv2.DescribeLoadBalancersInput{Names: []string{c.b.Name}}))(t).LoadBalancers[0]
		got := map[string]string{}
		for _, a := range must(w.elbv2.DescribeLoadBalancerAttributes(t.Context(), &elbv2.DescribeLoadBalancerAttributesInput{LoadBalancerArn: b.LoadBalancerArn}))(t).Attributes {
			got[*a.Key] = *a.Value
		}
		if got["idle_timeout.timeout_seconds"] != c.idle || got["load_balancing.cross_zone.enabled"] != c.crossZone {
			t.Errorf("%+v: %v", c.b, got)
		}
	}
	_, err := w.elbv2.DescribeLoadBalancerAttributes(t.Context(), &elbv2.DescribeLoadBalancerAttributesInput{LoadBalancerArn: aws.String("arn:none")})
	wantCode(t, err, "LoadBalancerNotFound")
}

// Only application load balancers look for anomalies, and only who asks is told.
func TestAnomaliesAreToldOfHTTPToWhoAsks(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		protocol, include string
		told              bool
	}{{"HTTP", "AnomalyDetection", true}, {"HTTPS", "All", true}, {"HTTP", "", false}, {"TCP", "All", false}, {"UDP", "AnomalyDetection", false}} {
		name := c.protocol + "-" + c.include
		arn := must(w.AddTargetGroup(TargetGroup{Name: name, Type: "ip", Protocol: c.protocol}))(t)
		check(t, w.Register(name, Target{ID: "127.0.0.1"}))
		in := &elbv2.DescribeTargetHealthInput{TargetGroupArn: &arn}
		if c.include != "" {
			in.Include = []types.DescribeTargetHealthInputIncludeEnum{types.DescribeTargetHealthInputIncludeEnum(c.include)}
		}
		found := must(w.elbv2.DescribeTargetHealth(t.Context(), in))(t).TargetHealthDescriptions[0].AnomalyDetection
		if (found != nil) != c.told || found != nil && (found.Result != "normal" || found.MitigationInEffect != "no") {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

// G3: states that are rare or not known today, overrides and anomalies can be made to appear.
func TestForcedHealthIsReported(t *testing.T) {
	w := newWorld(t)
	arn, _ := w.ipGroup(TargetGroup{Name: "web"})
	target := Target{ID: "127.0.0.1", Port: 80, Zone: "eu-central-1a"}
	check(t, w.Register("web", target))
	check(t, w.ForceHealth("web", target, &TargetHealth{State: "levitating", Reason: "Elb.Gravity", Override: "zonal_shift_active", Anomaly: "anomalous", Mitigated: true}))
	d := must(w.elbv2.DescribeTargetHealth(t.Context(), &elbv2.DescribeTargetHealthInput{
		TargetGroupArn: &arn, Include: []types.DescribeTargetHealthInputIncludeEnum{"AnomalyDetection"},
	}))(t).TargetHealthDescriptions[0]
	got := line(d.TargetHealth.State, d.TargetHealth.Reason, d.AdministrativeOverride.State, d.AnomalyDetection.Result, d.AnomalyDetection.MitigationInEffect, *d.Target.AvailabilityZone)
	if want := "levitating Elb.Gravity zonal_shift_active anomalous yes eu-central-1a"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := w.ForceHealth("web", Target{ID: "127.0.0.2"}, nil); err == nil {
		t.Error("the health of a target that is no member was forced")
	}
}

func TestAddressTargetHasTheZoneOfItsInstance(t *testing.T) {
	w := newWorld(t)
	check(t, w.AddInstance(Instance{ID: "i-00000001", Zone: "eu-central-1b", PrivateAddress: "127.0.0.5"}))
	arn, _ := w.ipGroup(TargetGroup{Name: "web"})
	check(t, w.register(arn, Target{ID: "127.0.0.5"}))
	d := must(w.elbv2.DescribeTargetHealth(t.Context(), &elbv2.DescribeTargetHealthInput{TargetGroupArn: &arn}))(t).TargetHealthDescriptions[0]
	if got := aws.ToString(d.Target.AvailabilityZone); got != "eu-central-1b" {
		t.Errorf("the zone is %q", got)
	}
}
