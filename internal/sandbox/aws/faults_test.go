package aws

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	elbv2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
)

// G8: what was written shows only later.
func TestReadsLagBehindWrites(t *testing.T) {
	w := newWorld(t)
	arn, url := w.ipGroup(TargetGroup{Name: "web", DeregistrationDelay: 10 * time.Second})
	n := newNode(t)
	w.Adjust(func(f *Faults) { f.ReadLag = 5 * time.Second })
	check(t, w.register(arn, n.target))
	w.awaitState("web", n.target, Healthy)
	if seen := w.healthOf(arn); len(seen) != 0 {
		t.Errorf("the new target is seen at once: %v", seen)
	}
	if status := w.status(url); status != http.StatusOK {
		t.Errorf("traffic does not lag, but got %d", status)
	}
	w.advance(5 * time.Second)
	w.wantHealth(arn, n.target.ID, "healthy ")
	check(t, w.deregister(arn, n.target))
	w.advance(4 * time.Second)
	w.wantHealth(arn, n.target.ID, "healthy ")
	w.advance(time.Second)
	w.wantHealth(arn, n.target.ID, "draining Target.DeregistrationInProgress")
	w.advance(9 * time.Second)
	w.wantHealth(arn, n.target.ID, "draining Target.DeregistrationInProgress")
	w.advance(time.Second)
	if seen := w.healthOf(arn); len(seen) != 0 {
		t.Errorf("after delay and lag the group has %v", seen)
	}
}

func TestInstancesLagToo(t *testing.T) {
	w := newWorld(t)
	w.Adjust(func(f *Faults) { f.ReadLag = 5 * time.Second })
	check(t, w.AddInstance(Instance{ID: "i-00000001"}))
	if code := w.describe("InstanceId.1", "i-00000001").Code; code != "InvalidInstanceID.NotFound" {
		t.Errorf("the new instance is seen at once: %q", code)
	}
	w.advance(5 * time.Second)
	check(t, w.RemoveInstance("i-00000001"))
	equal(t, "removed", w.describe().ids(), []string{"i-00000001"})
}

func TestTimelineRemembersAMinuteAndNoMore(t *testing.T) {
	begin := time.Now()
	var line timeline[int]
	for i := range 1000 {
		line.set(begin.Add(time.Duration(i)*time.Second), i)
	}
	if got := line.at(begin.Add(999*time.Second - memory)); got != 999-60 {
		t.Errorf("a minute ago it was %d", got)
	}
	if len(line.entries) > 70 {
		t.Errorf("it keeps %d entries", len(line.entries))
	}
}

// G9: each action has a bucket; the SDK takes the refusal for a throttle.
func TestThrottling(t *testing.T) {
	w := newWorld(t)
	w.Adjust(func(f *Faults) { f.Throttle = map[string]Rate{"elbv2:DescribeTargetGroups": {PerSecond: 2, Burst: 3}} })
	call := func() error {
		_, err := w.elbv2.DescribeTargetGroups(t.Context(), &elbv2.DescribeTargetGroupsInput{})
		return err
	}
	for range 3 {
		check(t, call())
	}
	wantCode(t, call(), "Throttling")
	_, err := w.elbv2.DescribeLoadBalancers(t.Context(), &elbv2.DescribeLoadBalancersInput{})
	check(t, err)
	w.advance(500 * time.Millisecond)
	check(t, call())
	wantCode(t, call(), "Throttling")
	w.Adjust(func(f *Faults) { f.Throttle = map[string]Rate{"*": {}} })
	if code := w.describe().Code; code != "RequestLimitExceeded" {
		t.Errorf("EC2 throttles with %q", code)
	}
	if calls := w.Calls()["elbv2:DescribeTargetGroups"]; calls != 6 {
		t.Errorf("%d calls were counted, want 6, refused ones included", calls)
	}
}

func TestDeniedActions(t *testing.T) {
	w := newWorld(t)
	arn, _ := w.ipGroup(TargetGroup{Name: "web"})
	w.Adjust(func(f *Faults) { f.Denied = []string{"elbv2:*Targets", "ec2:*"} })
	wantCode(t, w.register(arn, Target{ID: "127.0.0.1"}), "AccessDenied")
	if code := w.describe().Code; code != "UnauthorizedOperation" {
		t.Errorf("EC2 denies with %q", code)
	}
	if seen := w.healthOf(arn); len(seen) != 0 {
		t.Errorf("the denied registration had an effect: %v", seen)
	}
}

// Law 14: a call that returned an error may still have happened.
func TestHooksFailBeforeOrAfterTheEffect(t *testing.T) {
	w := newWorld(t)
	arn, _ := w.ipGroup(TargetGroup{Name: "web"})
	fail := func(err error) func(string, url.Values) error {
		return func(action string, form url.Values) error {
			if action == "elbv2:RegisterTargets" && form.Get("TargetGroupArn") == arn {
				return err
			}
			return nil
		}
	}
	internal := &Error{Code: "InternalFailure", Message: "try again", Status: http.StatusInternalServerError}
	w.Adjust(func(f *Faults) { f.Before = fail(internal) })
	wantCode(t, w.register(arn, Target{ID: "127.0.0.1"}), "InternalFailure")
	if seen := w.healthOf(arn); len(seen) != 0 {
		t.Errorf("it happened: %v", seen)
	}
	w.Adjust(func(f *Faults) { f.Before, f.After = nil, fail(errors.New("the line is cut")) })
	if err := w.register(arn, Target{ID: "127.0.0.1"}); err == nil {
		t.Error("a call whose connection was cut succeeded")
	}
	if seen := w.healthOf(arn); len(seen) != 1 {
		t.Errorf("it did not happen: %v", seen)
	}
}

func TestPagesCanBeCapped(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"a", "b", "c"} {
		must(w.AddTargetGroup(TargetGroup{Name: name}))(t)
		must(w.AddClassic(Classic{Name: "classic-" + name}))(t)
	}
	w.Adjust(func(f *Faults) { f.PageSize = 2 })
	groups := must(w.elbv2.DescribeTargetGroups(t.Context(), &elbv2.DescribeTargetGroupsInput{PageSize: aws.Int32(400)}))(t)
	classics := must(w.elb.DescribeLoadBalancers(t.Context(), &elb.DescribeLoadBalancersInput{}))(t)
	if len(groups.TargetGroups) != 2 || groups.NextMarker == nil || len(classics.LoadBalancerDescriptions) != 2 {
		t.Errorf("pages of %d and %d", len(groups.TargetGroups), len(classics.LoadBalancerDescriptions))
	}
}

func TestLatency(t *testing.T) {
	w := newWorld(t)
	w.Adjust(func(f *Faults) { f.Latency = 30 * time.Millisecond })
	begin := time.Now()
	w.describe()
	if took := time.Since(begin); took < 30*time.Millisecond {
		t.Errorf("the call took %s", took)
	}
}

func TestUnsignedAndUnknownCallsAreRefused(t *testing.T) {
	w := newWorld(t)
	post := func(form, authorization string) (int, string) {
		request := must(http.NewRequest(http.MethodPost, w.URL(), strings.NewReader(form)))(t)
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Authorization", authorization)
		response := must(w.client.Do(request))(t)
		response.Body.Close()
		calls := w.Log()
		return response.StatusCode, calls[len(calls)-1].Error
	}
	status, fault := post("Action=DescribeInstances&Version=2016-11-15", "")
	if status != http.StatusForbidden || !strings.HasPrefix(fault, "MissingAuthenticationToken") {
		t.Errorf("unsigned: %d %s", status, fault)
	}
	status, fault = post("Action=LaunchRocket&Version=2015-12-01", "any")
	if status != http.StatusBadRequest || !strings.HasPrefix(fault, "InvalidAction") {
		t.Errorf("unknown: %d %s", status, fault)
	}
}

func TestLogKeepsTheLatestCalls(t *testing.T) {
	c := New(Config{})
	for range kept + 5 {
		c.note("ec2:DescribeInstances", nil, nil)
	}
	if len(c.Log()) != kept || c.Calls()["ec2:DescribeInstances"] != kept+5 {
		t.Errorf("%d kept, %d counted", len(c.Log()), c.Calls()["ec2:DescribeInstances"])
	}
}
