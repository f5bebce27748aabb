package elb_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"

	"windlass/actuators"
	"windlass/actuators/elb"
	"windlass/desired"
	"windlass/internal/awsapi"
	"windlass/internal/awsapi/awsapitest"
	"windlass/internal/sandbox/aws"
)

func TestANodeLeavesAndReturnsToExactlyWhatItHad(t *testing.T) { // G4, G5, G10
	w := newWorld(t)
	w.instance("i-0000000a", "127.0.0.2")
	w.group(aws.TargetGroup{Name: "web", Port: 8080, DeregistrationDelay: time.Hour}, false)
	w.group(aws.TargetGroup{Name: "admin", Type: "ip", Port: 8080, DeregistrationDelay: time.Hour}, false)
	if _, err := w.AddClassic(aws.Classic{Name: "old", ConnectionDraining: time.Hour}); err != nil {
		t.Fatal(err)
	}
	w.must(w.Register("web", aws.Target{ID: "i-0000000a"}, aws.Target{ID: "i-0000000a", Port: 9090}))
	w.must(w.Register("admin", aws.Target{ID: "127.0.0.2", Port: 7070, Zone: "eu-central-1c"}))
	w.must(w.Register("old", aws.Target{ID: "i-0000000a"}))
	lbs := []desired.LoadBalancer{{TargetGroup: "web"}, {TargetGroup: "admin"}, {Classic: "old"}}

	var taken []actuators.Membership
	for _, state := range w.observe(lbs...) {
		for _, member := range state.Members {
			taken = append(taken, member.Membership)
		}
	}
	if len(taken) != 4 || taken[2].Port != 7070 || taken[2].Zone != "eu-central-1c" || taken[3].Port != 0 {
		t.Fatalf("memberships %+v", taken)
	}
	for _, m := range taken {
		w.must(w.lb.Deregister(t.Context(), m))
		w.must(w.lb.Deregister(t.Context(), m)) // already so
	}
	for _, state := range w.observe(lbs...) {
		for _, member := range state.Members {
			if member.Status != actuators.TargetDraining {
				t.Errorf("%s is %q after it was taken out", member.Membership, member.Status)
			}
		}
	}
	for _, m := range taken {
		w.must(w.lb.Register(t.Context(), m))
		w.must(w.lb.Register(t.Context(), m)) // already so
	}
	var restored []actuators.Membership
	for _, state := range w.observe(lbs...) {
		for _, member := range state.Members {
			restored = append(restored, member.Membership)
			if member.Status == actuators.TargetDraining {
				t.Errorf("%s still drains after a new registration", member.Membership)
			}
		}
	}
	if len(restored) != 4 {
		t.Fatalf("restored %+v", restored)
	}
	for i := range taken {
		if restored[i] != taken[i] {
			t.Errorf("left as %+v, returned as %+v", taken[i], restored[i])
		}
	}
}

func TestAWholeJourneyThroughEachKindOfBalancer(t *testing.T) { // G1, G2, G5
	service := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer service.Close()
	host, portText, _ := net.SplitHostPort(service.Listener.Addr().String())
	port, _ := strconv.Atoi(portText)
	var ahead atomic.Int64 // of the real time, in seconds
	w := worldAt(t, func() time.Time { return time.Now().Add(time.Duration(ahead.Load()) * time.Second) })
	w.instance("i-0000000a", host)
	check := aws.HealthCheck{Interval: 10 * time.Millisecond, Healthy: 1}
	web := w.group(aws.TargetGroup{Name: "web", Port: port, DeregistrationDelay: 300 * time.Second, HealthCheck: check}, false)
	if _, err := w.AddClassic(aws.Classic{Name: "old", InstancePort: port, ConnectionDraining: 300 * time.Second, HealthCheck: check}); err != nil {
		t.Fatal(err)
	}
	for lb, m := range map[desired.LoadBalancer]actuators.Membership{
		{TargetGroup: "web"}: {Group: web, ID: "i-0000000a", Port: port},
		{Classic: "old"}:     {Group: "classic/old", ID: "i-0000000a"},
	} {
		w.must(w.lb.Register(t.Context(), m))
		w.until(lb, actuators.TargetHealthy)
		w.must(w.lb.Deregister(t.Context(), m))
		ahead.Add(295)
		if got := w.until(lb, actuators.TargetDraining); got.Membership != m {
			t.Errorf("%s drains as %+v", lb, got)
		}
		ahead.Add(5)
		if state := w.observe(lb)[0]; len(state.Members) > 0 || state.Err != "" {
			t.Errorf("%s after its delay: %+v", lb, state)
		}
	}
}

func TestDeregisterWithTheWrongPortShowsInTheNextReading(t *testing.T) { // G4
	w := newWorld(t)
	arn := w.group(aws.TargetGroup{Name: "web", Type: "ip", Port: 8080, DeregistrationDelay: time.Hour}, false)
	w.must(w.Register("web", aws.Target{ID: "127.0.0.2"}))
	w.must(w.lb.Deregister(t.Context(), actuators.Membership{Group: arn, ID: "127.0.0.2", Port: 80}))
	if got := statuses(w.one("web"))["127.0.0.2"]; got == actuators.TargetDraining {
		t.Error("the sandbox does not do what AWS does")
	}
	err := w.lb.Deregister(t.Context(), actuators.Membership{Group: arn, ID: "127.0.0.2"})
	if want := "its port is not known; it is taken from a reading of the group"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("without a port: %v, want %q", err, want)
	}
	if made := w.Calls()["elbv2:DeregisterTargets"]; made != 1 {
		t.Errorf("%d calls; the one without a port was not to be made", made)
	}
}

func TestWhatIsNotThereAnyMoreHasLeft(t *testing.T) { // law 14
	w := newWorld(t)
	arn := w.group(aws.TargetGroup{Name: "web"}, false)
	if _, err := w.AddClassic(aws.Classic{Name: "old"}); err != nil {
		t.Fatal(err)
	}
	for _, m := range []actuators.Membership{
		{Group: arn, ID: "i-0000000b", Port: 80},
		{Group: strings.Replace(arn, "/web/", "/gone/", 1), ID: "i-0000000b", Port: 80},
		{Group: "classic/old", ID: "i-0000000b"},
		{Group: "classic/gone", ID: "i-0000000b"},
	} {
		if err := w.lb.Deregister(t.Context(), m); err != nil {
			t.Error(err)
		}
	}
}

func TestRefusedRegistrationsSayWhy(t *testing.T) { // G12
	w := newWorld(t)
	arn := w.group(aws.TargetGroup{Name: "web", Type: "ip", MaxTargets: 1}, false)
	instances := w.group(aws.TargetGroup{Name: "app"}, false)
	w.must(w.Register("web", aws.Target{ID: "127.0.0.2"}))
	for _, c := range []struct {
		m    actuators.Membership
		want string
	}{
		{actuators.Membership{Group: arn, ID: "127.0.0.3", Port: 80}, "the quota of targets is used up (TooManyTargets): raise it"},
		{actuators.Membership{Group: instances, ID: "i-0000000f", Port: 80}, "AWS answers elasticloadbalancing:RegisterTargets with InvalidTarget"},
		{actuators.Membership{Group: strings.Replace(arn, "/web/", "/gone/", 1), ID: "127.0.0.3", Port: 80}, "there is no such group in region eu-central-1"},
		{actuators.Membership{Group: "classic/gone", ID: "i-0000000f"}, "there is no such group in region eu-central-1"},
		{actuators.Membership{Group: "web", ID: "127.0.0.3", Port: 80}, "neither an ARN nor a classic load balancer"},
		{actuators.Membership{Group: arn, Port: 80}, "it has no target id"},
		{actuators.Membership{Group: arn, ID: "127.0.0.3"}, "its port is not known"},
		{actuators.Membership{Group: arn, ID: "127.0.0.3", Port: 65536}, "its port is not known"},
		{actuators.Membership{Group: strings.Replace(arn, "eu-central-1", "us-east-1", 1), ID: "127.0.0.3", Port: 80}, "it is in region us-east-1 and this agent works in eu-central-1"},
		{actuators.Membership{Group: "arn:hostile", ID: "127.0.0.3", Port: 80}, "that is not the ARN of a target group"},
	} {
		err := w.lb.Register(t.Context(), c.m)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v\nwant %q", c.m, err, c.want)
		}
	}
	if made := w.Calls()["elbv2:RegisterTargets"]; made != 3 {
		t.Errorf("%d calls for target groups; three were to be made, and what AWS would misread not", made)
	}
}

func TestEachQuotaOfTargetsIsToldAsOne(t *testing.T) { // G12
	for _, code := range []string{"TooManyTargets", "TooManyRegistrationsForTargetId"} {
		s := &script{made: map[string]int{}, answers: map[string][]string{"RegisterTargets": {"error:" + code}}}
		err := scripted(s).Register(t.Context(), actuators.Membership{Group: arnWeb, ID: "10.0.0.1", Port: 80})
		if want := "the quota of targets is used up (" + code + "): raise it"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestEveryPortThereIsCanBeRegistered(t *testing.T) {
	for _, port := range []int{1, 65535} {
		s := &script{made: map[string]int{}, answers: map[string][]string{"RegisterTargets": {""}}}
		if err := scripted(s).Register(t.Context(), actuators.Membership{Group: arnWeb, ID: "10.0.0.1", Port: port}); err != nil {
			t.Error(err)
		}
		if got := s.forms[0].Get("Targets.member.1.Port"); got != strconv.Itoa(port) {
			t.Errorf("sent port %s, want %d", got, port)
		}
	}
}

// Many leave and return at once, among them one that is stopped, through lists as AWS takes them.
func TestManyNodesLeaveAndReturnTogether(t *testing.T) { // G5, G9, G12
	w := newWorld(t)
	const nodes, stopped = 26, 17 // more than may be sent at once
	web := w.group(aws.TargetGroup{Name: "web", Port: 8080, DeregistrationDelay: time.Hour}, false)
	if _, err := w.AddClassic(aws.Classic{Name: "old", ConnectionDraining: time.Hour}); err != nil {
		t.Fatal(err)
	}
	id := func(i int) string { return fmt.Sprintf("i-%08x", i+1) }
	for i := range nodes {
		w.instance(id(i), fmt.Sprintf("127.0.1.%d", i+1))
		w.must(w.Register("web", aws.Target{ID: id(i)}))
		w.must(w.Register("old", aws.Target{ID: id(i)}))
	}
	w.must(w.SetInstanceState(id(stopped), aws.Stopped))
	for _, group := range []string{web, "classic/old"} {
		w.lb = elb.New(awsapi.Prepare(awsapitest.Config(w.URL()), nil))
		place := func(i int) actuators.Membership {
			m := actuators.Membership{Group: group, ID: id(i)}
			if group == web {
				m.Port = 8080
			}
			return m
		}
		for i, err := range all(nodes, func(i int) error { return w.lb.Deregister(t.Context(), place(i)) }) {
			if err != nil {
				t.Errorf("%s: %v", place(i), err)
			}
		}
		w.lb = elb.New(awsapi.Prepare(awsapitest.Config(w.URL()), nil)) // which has sent nothing lately
		for i, err := range all(nodes, func(i int) error { return w.lb.Register(t.Context(), place(i)) }) {
			if refused := group == web && i == stopped; refused != (err != nil) || refused && !strings.Contains(err.Error(), "not in a running state") {
				t.Errorf("%s: %v", place(i), err)
			}
		}
	}
	for _, state := range w.observe(desired.LoadBalancer{TargetGroup: "web"}, desired.LoadBalancer{Classic: "old"}) {
		for i, member := range state.Members {
			if draining := state.ID == web && member.ID == id(stopped); (member.Status == actuators.TargetDraining) != draining {
				t.Errorf("%d: %s is %q", i, member.Membership, member.Status)
			}
		}
	}
	lists := map[string]bool{}
	for _, call := range w.Log() {
		if call.Form.Has("Targets.member.2.Id") || call.Form.Has("Instances.member.2.InstanceId") {
			lists[call.Action] = true
		}
	}
	if len(lists) != 4 {
		t.Errorf("only %v took several at once", lists)
	}
}

// AWS detects the zone of an address in the group's VPC and refuses to be told "all"; of any other address it wants to be
// told, and a new node has no earlier place to take it from.
func TestANewAddressOutsideTheVPCIsRegisteredForAllZones(t *testing.T) {
	const outside = "error:ValidationError:You must specify a valid Availability Zone or select 'all' for all enabled Availability zones, since the IP address '10.9.0.1' is outside the VPC"
	for _, c := range []struct {
		zone    string
		answers []string
		sent    []string
		want    string
	}{
		{"", []string{outside, ""}, []string{"all"}, ""},
		{"eu-central-1a", []string{outside}, []string{"eu-central-1a"}, "is outside the VPC"},
		{"", []string{"error:ValidationError:The IP address is not a valid IPv4 address"}, nil, "not a valid IPv4 address"},
	} {
		s := &script{made: map[string]int{}, answers: map[string][]string{"RegisterTargets": c.answers}}
		err := scripted(s).Register(t.Context(), actuators.Membership{Group: arnWeb, ID: "10.9.0.1", Port: 80, Zone: c.zone})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.zone, err, c.want)
		}
		var sent []string
		for _, form := range s.forms {
			sent = append(sent, form["Targets.member.1.AvailabilityZone"]...) // not an empty one
		}
		if !slices.Equal(sent, c.sent) {
			t.Errorf("%q: sent zones %q, want %q", c.zone, sent, c.sent)
		}
	}
}

func TestChangesAreHeldToARate(t *testing.T) { // G9
	synctest.Test(t, func(t *testing.T) {
		s := &script{made: map[string]int{}, answers: map[string][]string{"RegisterTargets": {""}}}
		b := scripted(s)
		began := time.Now()
		for range 40 {
			if err := b.Register(t.Context(), actuators.Membership{Group: arnWeb, ID: "10.0.0.1", Port: 80}); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("40 changes took %v; 20 at once and then 4 a second are 5 s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		err := b.Register(ctx, actuators.Membership{Group: arnWeb, ID: "10.0.0.1", Port: 80})
		if err == nil || !strings.Contains(err.Error(), "at most 4 a second") || time.Since(began) > 5100*time.Millisecond {
			t.Errorf("beyond its deadline: %v after %v", err, time.Since(began))
		}
	})
}

// An always is an API that gives one answer to everything, and counts.
type always struct {
	status int
	body   string
	header http.Header

	mu   sync.Mutex
	made map[string]int
}

func (a *always) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.made[r.Form.Get("Action")]++
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	fmt.Fprint(w, a.body)
}

const throttled = "<ErrorResponse><Error><Code>Throttling</Code><Message>Rate exceeded</Message></Error></ErrorResponse>"

// retrying is a Balancer over an API with the SDK's own retries, and as many attempts as its settings say; 0: they say nothing.
func retrying(api http.Handler, attempts int) *elb.Balancer {
	cfg := awsapitest.Answered(api)
	cfg.Retryer = func() sdk.Retryer { return retry.NewStandard() }
	cfg.RetryMaxAttempts = attempts
	return elb.New(awsapi.Prepare(cfg, nil))
}

// Who changes something reads again and decides anew; a reading is all there is.
func TestAChangeIsTriedTwiceAtMost(t *testing.T) { // law 14
	for _, c := range []struct {
		status, setting, changes, readings int
		body                               string
	}{
		{http.StatusBadGateway, 0, 2, 3, ""},
		{http.StatusInternalServerError, 0, 2, 3, "<ErrorResponse><Error><Code>InternalFailure</Code></Error></ErrorResponse>"},
		{http.StatusBadRequest, 0, 2, 3, throttled},
		{http.StatusBadGateway, 5, 2, 5, ""},
		{http.StatusBadGateway, 1, 1, 1, ""},
		{http.StatusBadRequest, 0, 1, 1, "<ErrorResponse><Error><Code>ValidationError</Code></Error></ErrorResponse>"}, // it would be the same again
	} {
		synctest.Test(t, func(t *testing.T) {
			api := &always{status: c.status, body: c.body, made: map[string]int{}}
			b, began := retrying(api, c.setting), time.Now()
			for _, m := range []actuators.Membership{member(1), ofClassic} {
				if b.Register(t.Context(), m) == nil || b.Deregister(t.Context(), m) == nil {
					t.Errorf("%s: no error", m)
				}
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("%d: four changes took %v, want at most a second's wait for each", c.status, took)
			}
			_, _ = b.Observe(t.Context(), []desired.LoadBalancer{{TargetGroup: "web"}, {Classic: "old"}}, nil)
			want := map[string]int{
				"RegisterTargets": c.changes, "DeregisterTargets": c.changes, "RegisterInstancesWithLoadBalancer": c.changes, "DeregisterInstancesFromLoadBalancer": c.changes,
				"DescribeTargetGroups": c.readings, "DescribeLoadBalancerAttributes": c.readings,
			}
			if !maps.Equal(api.made, want) {
				t.Errorf("%d %s with %d attempts set: %v, want %v", c.status, c.body, c.setting, api.made, want)
			}
		})
	}
}

// An answer may ask for a longer pause than a call has.
func TestAChangeDoesNotWaitForALongPause(t *testing.T) { // law 15
	synctest.Test(t, func(t *testing.T) {
		api := &always{status: http.StatusBadRequest, body: throttled, header: http.Header{"X-Amz-Retry-After": {"60000"}}, made: map[string]int{}}
		began := time.Now()
		err := retrying(api, 0).Deregister(t.Context(), member(1))
		if err == nil || !strings.Contains(err.Error(), "AWS throttles elasticloadbalancing:DeregisterTargets (Throttling)") {
			t.Error(err)
		}
		if took := time.Since(began); took != 4*time.Second || api.made["DeregisterTargets"] != 1 {
			t.Errorf("took %v and %v", took, api.made)
		}
	})
}
