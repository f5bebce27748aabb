package aws

import (
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"
)

// classicWorld has a running instance i-00000001 on a node, and a classic load balancer web for it.
func classicWorld(t *testing.T, l Classic) (w *world, n *node, url string) {
	t.Helper()
	w, n = newWorld(t), newNode(t)
	check(t, w.AddInstance(Instance{ID: "i-00000001", PrivateAddress: n.target.ID}))
	l.Name, l.InstancePort = "web", n.target.Port
	l.HealthCheck = orElse(l.HealthCheck, quick)
	return w, n, "http://" + must(w.AddClassic(l))(t)
}

func identify(ids ...string) []types.Instance {
	all := []types.Instance{}
	for _, id := range ids {
		all = append(all, types.Instance{InstanceId: &id})
	}
	return all
}

func (w *world) join(ids ...string) error {
	_, err := w.elb.RegisterInstancesWithLoadBalancer(w.t.Context(), &elb.RegisterInstancesWithLoadBalancerInput{
		LoadBalancerName: aws.String("web"), Instances: identify(ids...),
	})
	return err
}

func (w *world) leave(ids ...string) (left int, err error) {
	out, err := w.elb.DeregisterInstancesFromLoadBalancer(w.t.Context(), &elb.DeregisterInstancesFromLoadBalancerInput{
		LoadBalancerName: aws.String("web"), Instances: identify(ids...),
	})
	if err != nil {
		return 0, err
	}
	return len(out.Instances), nil
}

// states returns state, reason code and description of each instance.
func (w *world) states(ids ...string) []string {
	w.t.Helper()
	out := must(w.elb.DescribeInstanceHealth(w.t.Context(), &elb.DescribeInstanceHealthInput{
		LoadBalancerName: aws.String("web"), Instances: identify(ids...),
	}))(w.t)
	var lines []string
	for _, s := range out.InstanceStates {
		lines = append(lines, line(*s.InstanceId, *s.State, *s.ReasonCode, *s.Description))
	}
	return lines
}

const inService = "i-00000001 InService N/A N/A"

// G2: a draining instance is reported as in service; only the description tells.
func TestClassicReportsDrainingAsInService(t *testing.T) {
	w, n, url := classicWorld(t, Classic{ConnectionDraining: 300 * time.Second})
	target := Target{ID: "i-00000001", Port: n.target.Port}
	check(t, w.join("i-00000001"))
	w.awaitState("web", target, Healthy)
	equal(t, "in service", w.states(), []string{inService})
	if status := w.status(url); status != http.StatusOK {
		t.Errorf("answered %d", status)
	}
	if left := must(w.leave("i-00000001"))(t); left != 0 {
		t.Errorf("%d instances are left, want none at once", left)
	}
	w.advance(299 * time.Second)
	draining := "i-00000001 InService N/A Instance deregistration currently in progress."
	equal(t, "draining", w.states(), []string{draining})
	if status := w.status(url); status != http.StatusServiceUnavailable {
		t.Errorf("with a draining instance only it answered %d", status)
	}
	w.advance(time.Second)
	equal(t, "drained", w.states(), nil)
	gone := "i-00000001 OutOfService Instance Instance is not currently registered with the LoadBalancer."
	equal(t, "drained, by name", w.states("i-00000001"), []string{gone})
}

func TestClassicWithoutConnectionDrainingLetsGoAtOnce(t *testing.T) {
	w, _, _ := classicWorld(t, Classic{})
	check(t, w.join("i-00000001"))
	must(w.leave("i-00000001"))(t)
	equal(t, "states", w.states(), nil)
	check(t, w.AddInstance(Instance{ID: "i-00000002", PrivateAddress: "127.0.0.1"}))
	check(t, w.join("i-00000001", "i-00000002"))
	if left := must(w.leave("i-00000001"))(t); left != 1 {
		t.Errorf("%d instances are left, want 1", left)
	}
}

func TestClassicInstanceNeedsTheThresholdFromTheStart(t *testing.T) {
	w, n, _ := classicWorld(t, Classic{HealthCheck: HealthCheck{Interval: time.Hour, Healthy: 2}})
	check(t, w.join("i-00000001"))
	registering := "i-00000001 OutOfService ELB Instance registration is still in progress."
	equal(t, "registering", w.states(), []string{registering})
	p := w.classics["web"].pool
	w.Cloud.mu.Lock()
	p.members[0].passed = 0 // the one real check may or may not have been made
	p.record(p.members[0], "", w.Now())
	first := p.status(p.members[0], w.Now()).State
	p.record(p.members[0], "", w.Now())
	second := p.status(p.members[0], w.Now()).State
	w.Cloud.mu.Unlock()
	equal(t, "states of "+n.target.ID, []string{first, second}, []string{Initial, Healthy})
}

func TestClassicNamesWhatIsWrongWithAnInstance(t *testing.T) {
	w, n, url := classicWorld(t, Classic{})
	target := Target{ID: "i-00000001", Port: n.target.Port}
	check(t, w.join("i-00000001"))
	w.awaitState("web", target, Healthy)
	n.status.Store(http.StatusInternalServerError)
	w.awaitState("web", target, Unhealthy)
	failed := "i-00000001 OutOfService Instance Instance has failed at least the UnhealthyThreshold number of health checks consecutively."
	equal(t, "unhealthy", w.states(), []string{failed})
	if status := w.status(url); status != http.StatusServiceUnavailable {
		t.Errorf("a classic balancer does not fail open, but answered %d", status)
	}
	check(t, w.SetInstanceState("i-00000001", Stopped))
	equal(t, "stopped", w.states(), []string{"i-00000001 OutOfService Instance Instance is in stopped state."})
	check(t, w.SetInstanceState("i-00000001", Terminated))
	equal(t, "terminated", w.states(), nil)
	check(t, w.SetInstanceState("i-00000001", Running))
	check(t, w.ForceHealth("web", target, &TargetHealth{State: "puzzled"}))
	equal(t, "unknown", w.states(), []string{"i-00000001 Unknown ELB A transient error occurred. Please try again later."})
}

func TestClassicRefusesWhatIsNotThere(t *testing.T) {
	w, _, _ := classicWorld(t, Classic{})
	wantCode(t, w.join("i-0000dead"), "InvalidInstance")
	wantCode(t, w.join("i-00000001", "i-0000dead"), "InvalidInstance")
	equal(t, "after a list with one that is not there", w.states(), nil)
	_, err := w.leave("i-0000dead")
	wantCode(t, err, "InvalidInstance")
	check(t, w.join("i-00000001"))
	_, err = w.leave("i-00000001", "i-0000dead")
	wantCode(t, err, "InvalidInstance")
	if got := len(w.states()); got != 1 {
		t.Errorf("%d instances are left after a call that was refused, want 1", got)
	}
	wantCode(t, w.join(), "ValidationError")
	_, err = w.leave()
	wantCode(t, err, "ValidationError")
	_, err = w.elb.DescribeInstanceHealth(t.Context(), &elb.DescribeInstanceHealthInput{LoadBalancerName: aws.String("nope")})
	wantCode(t, err, "LoadBalancerNotFound")
	_, err = w.elb.DescribeLoadBalancers(t.Context(), &elb.DescribeLoadBalancersInput{LoadBalancerNames: []string{"web", "nope"}})
	wantCode(t, err, "LoadBalancerNotFound")
}

func TestClassicTellsItsMembersAndAttributes(t *testing.T) {
	w, n, _ := classicWorld(t, Classic{ConnectionDraining: time.Minute})
	must(w.AddClassic(Classic{Name: "another", IdleTimeout: 90 * time.Second, CrossZone: true}))(t)
	check(t, w.join("i-00000001"))
	var names []string
	var last types.LoadBalancerDescription
	pages := elb.NewDescribeLoadBalancersPaginator(w.elb, &elb.DescribeLoadBalancersInput{PageSize: aws.Int32(1)})
	for pages.HasMorePages() {
		for _, last = range must(pages.NextPage(t.Context()))(t).LoadBalancerDescriptions {
			names = append(names, *last.LoadBalancerName)
		}
	}
	equal(t, "names", names, []string{"another", "web"})
	got := line(*last.Instances[0].InstanceId, *last.ListenerDescriptions[0].Listener.InstancePort, *last.HealthCheck.Target)
	if want := line("i-00000001", n.target.Port, "HTTP:"+line(n.target.Port)+"/"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for name, want := range map[string]string{"web": "true 60 60 false", "another": "false 0 90 true"} {
		in := &elb.DescribeLoadBalancerAttributesInput{LoadBalancerName: &name}
		has := must(w.elb.DescribeLoadBalancerAttributes(t.Context(), in))(t).LoadBalancerAttributes
		got := line(has.ConnectionDraining.Enabled, *has.ConnectionDraining.Timeout, *has.ConnectionSettings.IdleTimeout, has.CrossZoneLoadBalancing.Enabled)
		if got != want {
			t.Errorf("%s: draining, idle time-out and cross-zone balancing are %s, want %s", name, got, want)
		}
	}
}
