package elb_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
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

// failing observes group "web" with a balancer and returns its Err.
func failing(t *testing.T, b *elb.Balancer) string {
	t.Helper()
	states, err := b.Observe(t.Context(), web, nil)
	if err != nil || len(states) != 1 || states[0].Err == "" || len(states[0].Members) != 0 {
		t.Fatalf("want one state that carries Err, got %+v, %v", states, err)
	}
	if strings.ContainsAny(states[0].Err, "\r\n\x1b") {
		t.Errorf("not one line: %q", states[0].Err)
	}
	return states[0].Err
}

func wantLine(t *testing.T, got string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(got, part) {
			t.Errorf("%q\nlacks %q", got, part)
		}
	}
}

func TestADeniedCallNamesThePermission(t *testing.T) {
	w := newWorld(t)
	w.group(aws.TargetGroup{Name: "web"}, false)
	for _, call := range []string{"DescribeTargetGroups", "DescribeTargetGroupAttributes", "DescribeTargetHealth"} {
		w.Adjust(func(f *aws.Faults) { f.Denied = []string{"elbv2:" + call} })
		wantLine(t, failing(t, w.lb), "cannot read target group web: AWS denies elasticloadbalancing:"+call, "IAM policy")
	}
	w.Adjust(func(f *aws.Faults) { f.Denied = nil })
	w.one("web")
}

// AWS refuses a call for one name it does not like; a record may hold such a name.
func TestABadNameHarmsNoOther(t *testing.T) {
	w := newWorld(t)
	arn := w.group(aws.TargetGroup{Name: "web"}, false)
	bad := strings.Replace(arn, "/web/", "/-/", 1)
	w.Adjust(func(f *aws.Faults) {
		f.Before = func(_ string, form url.Values) error {
			if strings.Contains(form.Encode(), url.QueryEscape(bad)) {
				return &aws.Error{Code: "ValidationError", Message: "not a valid target group ARN"}
			}
			return nil
		}
	})
	states, _ := w.lb.Observe(t.Context(), nil, []string{bad, arn})
	if states[1].Err != "" {
		t.Error(states[1].Err)
	}
	wantLine(t, states[0].Err, "AWS answers elasticloadbalancing:DescribeTargetGroups with ValidationError: not a valid target group ARN")
}

func TestSettingsThatAreMissing(t *testing.T) {
	t.Run("region", func(t *testing.T) {
		cfg := awsapitest.Config("http://127.0.0.1:1")
		cfg.Region = ""
		wantLine(t, failing(t, elb.New(awsapi.Prepare(cfg, nil))), "no AWS region is set: set AWS_REGION")
	})
	t.Run("credentials", func(t *testing.T) {
		cfg := awsapitest.Config("http://127.0.0.1:1")
		cfg.Credentials = sdk.CredentialsProviderFunc(func(context.Context) (sdk.Credentials, error) {
			return sdk.Credentials{}, http.ErrServerClosed
		})
		wantLine(t, failing(t, elb.New(awsapi.Prepare(cfg, nil))), "no AWS credentials for elasticloadbalancing:DescribeTargetGroups", "instance role", "Server closed")
	})
	t.Run("rejected", func(t *testing.T) {
		s := webScript(targets())
		s.answers["DescribeTargetGroups"] = []string{"error:ExpiredToken"}
		wantLine(t, failing(t, scripted(s)), "rejects the agent's credentials", "ExpiredToken")
	})
}

func TestAnEndpointThatIsDownOrIsNotAWS(t *testing.T) {
	t.Run("down", func(t *testing.T) {
		gone := httptest.NewServer(http.NotFoundHandler())
		gone.Close()
		wantLine(t, failing(t, elb.New(awsapi.Prepare(awsapitest.Config(gone.URL), nil))), "cannot reach AWS for elasticloadbalancing:DescribeTargetGroups", "connection refused")
	})
	t.Run("a proxy's page", func(t *testing.T) {
		s := webScript("raw:<html><body>Please log in</body></html>")
		wantLine(t, failing(t, scripted(s)), "cannot be read", "proxy")
	})
	t.Run("an empty page", func(t *testing.T) {
		wantLine(t, failing(t, scripted(webScript("raw:"))), "leaves out the targets", "incomplete")
	})
	t.Run("cut", func(t *testing.T) {
		w := newWorld(t)
		w.group(aws.TargetGroup{Name: "web"}, false)
		w.Adjust(func(f *aws.Faults) {
			f.Before = func(string, url.Values) error { return http.ErrAbortHandler }
		})
		wantLine(t, failing(t, w.lb), "cannot reach AWS")
	})
}

func TestAnIncompleteAnswerIsNoShorterList(t *testing.T) { // law 1
	good := target("10.0.0.1", "healthy", "", "")
	for _, health := range []string{
		"",
		targets(good, "<member/>"),
		targets(good, "<member><Target><Id></Id><Port>80</Port></Target><TargetHealth><State>healthy</State></TargetHealth></member>"),
		targets(good, "<member><Target><Id>10.0.0.2</Id></Target><TargetHealth><State>healthy</State></TargetHealth></member>"),
		targets(good, "<member><Target><Id>10.0.0.2</Id><Port>80</Port></Target></member>"),
		targets(good, "<member><Target><Id>10.0.0.2</Id><Port>many</Port></Target></member>"),
	} {
		failing(t, scripted(webScript(health)))
	}
	for _, bad := range []string{"", "<Attributes/>", strings.Replace(attributes, "300", "soon", 1), strings.Replace(attributes, "300", "-1", 1), strings.Replace(attributes, ">30<", ">soon<", 1)} {
		s := webScript(targets())
		s.answers["DescribeTargetGroupAttributes"] = []string{bad}
		failing(t, scripted(s))
	}
	for port, usable := range map[string]bool{"0": false, "1": true, "65535": true, "65536": false} {
		s := webScript(targets())
		s.answers["DescribeTargetGroups"] = []string{strings.Replace(groupWeb, "8080", port, 1)}
		if states, _ := scripted(s).Observe(t.Context(), web, nil); (states[0].Err == "") != usable {
			t.Errorf("port %s: %q", port, states[0].Err)
		}
	}
	for _, bad := range []string{"", "<member><State>InService</State></member>", "<member><InstanceId>i-1</InstanceId></member>"} {
		s := &script{made: map[string]int{}, answers: map[string][]string{
			"DescribeLoadBalancerAttributes": {"<LoadBalancerAttributes><ConnectionDraining><Enabled>false</Enabled></ConnectionDraining></LoadBalancerAttributes>"},
			"DescribeInstanceHealth":         {"<InstanceStates><member><InstanceId>i-0</InstanceId><State>InService</State></member>" + bad + "</InstanceStates>"},
		}}
		if states, _ := scripted(s).Observe(t.Context(), []desired.LoadBalancer{{Classic: "old"}}, nil); (states[0].Err == "") != (bad == "") {
			t.Errorf("%q: %q", bad, states[0].Err)
		}
	}
	for _, c := range []struct {
		attributes string
		says       string // empty: it is read
		delay      time.Duration
	}{
		{"<LoadBalancerAttributes><ConnectionDraining><Enabled>true</Enabled><Timeout>300</Timeout></ConnectionDraining></LoadBalancerAttributes>", "", 300 * time.Second},
		{"<LoadBalancerAttributes><ConnectionDraining><Enabled>false</Enabled><Timeout>300</Timeout></ConnectionDraining></LoadBalancerAttributes>", "", 0},
		{"", "leaves out ConnectionDraining", 0}, {"<LoadBalancerAttributes/>", "leaves out ConnectionDraining", 0},
		{"error:LoadBalancerNotFound", "there is no such group", 0}, {"error:ValidationError:what?", "ValidationError", 0},
	} {
		s := &script{made: map[string]int{}, answers: map[string][]string{"DescribeLoadBalancerAttributes": {c.attributes}, "DescribeInstanceHealth": {"<InstanceStates/>"}}}
		states, _ := scripted(s).Observe(t.Context(), []desired.LoadBalancer{{Classic: "old"}}, nil)
		if got := states[0]; (got.Err == "") != (c.says == "") || !strings.Contains(got.Err, c.says) || got.Delay != c.delay {
			t.Errorf("%s: %q, delay %s", c.attributes, got.Err, got.Delay)
		}
	}
	for _, element := range []string{"<Port>8080</Port>", "<Protocol>HTTP</Protocol>"} { // without them it would be registered at no port, or taken for a network one
		s := webScript(targets())
		s.answers["DescribeTargetGroups"] = []string{strings.Replace(groupWeb, element, "", 1)}
		wantLine(t, failing(t, scripted(s)), "leaves out its port or protocol")
	}
	for _, bad := range []string{"<TargetGroups/>", strings.Replace(groupWeb, arnWeb, "", 1), strings.Replace(groupWeb, "<TargetGroupArn>"+arnWeb+"</TargetGroupArn>", "", 1)} {
		s := webScript(targets())
		s.answers["DescribeTargetGroups"] = []string{bad}
		wantLine(t, failing(t, scripted(s)), "leaves out target group web")
	}
}

func TestPagesThatDoNotEndAreNotReadForEver(t *testing.T) {
	s := webScript(targets())
	s.answers["DescribeTargetGroups"] = []string{groupWeb + "<NextMarker>x</NextMarker>"}
	wantLine(t, failing(t, scripted(s)), "DescribeTargetGroups names the same next page again")
	if made := s.made["DescribeTargetGroups"]; made != 2 {
		t.Errorf("%d pages were read", made)
	}
}

func TestThrottledCallsAreTriedAgainWithinTheDeadline(t *testing.T) { // G9
	synctest.Test(t, func(t *testing.T) {
		counted := map[string]int{}
		prepared := func(s *script) *elb.Balancer {
			cfg := awsapitest.Answered(s)
			cfg.Retryer = func() sdk.Retryer { return retry.NewStandard() }
			return elb.New(awsapi.Prepare(cfg, func(service, operation, code string) { counted[service+" "+operation+" "+code]++ }))
		}
		s := webScript("error:Throttling", targets())
		states, _ := prepared(s).Observe(t.Context(), web, nil)
		if states[0].Err != "" {
			t.Error(states[0].Err)
		}
		if counted["elasticloadbalancing DescribeTargetHealth Throttling"] != 1 || counted["elasticloadbalancing DescribeTargetHealth ok"] != 1 {
			t.Errorf("counted %v; each try is one", counted)
		}
		wantLine(t, failing(t, prepared(webScript("error:Throttling"))), "AWS throttles elasticloadbalancing:DescribeTargetHealth (Throttling)")

		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		began := time.Now()
		states, _ = prepared(webScript("error:Throttling")).Observe(ctx, web, nil)
		wantLine(t, states[0].Err, "AWS throttles") // and not just "deadline exceeded"
		if took := time.Since(began); took > time.Millisecond {
			t.Errorf("took %v beyond a deadline of 1 ms", took)
		}
	})
}

func TestASilentEndpointIsGivenUp(t *testing.T) { // law 15
	w := newWorld(t)
	w.group(aws.TargetGroup{Name: "web"}, false)
	w.one("web")
	w.Adjust(func(f *aws.Faults) { f.Latency = time.Hour })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	states, _ := w.lb.Observe(ctx, web, nil)
	wantLine(t, states[0].Err, "no answer to elasticloadbalancing:DescribeTargetHealth in time")
	if err := w.lb.Deregister(ctx, actuators.Membership{Group: states[0].ID, ID: "i-0000000a", Port: 80}); err == nil {
		t.Error("no error")
	}
}

// So is one that nobody set a limit for.
func TestNoQuestionIsAskedForEver(t *testing.T) { // law 15
	for action, limit := range map[string]time.Duration{
		"DescribeTargetGroups": 4 * time.Second, "DescribeTargetHealth": 10 * time.Second, "RegisterTargets": 4 * time.Second, "DeregisterTargets": 4 * time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			s := webScript(targets())
			s.hang = action
			b, began, m := scripted(s), time.Now(), actuators.Membership{Group: arnWeb, ID: "10.0.0.1", Port: 80}
			got := ""
			switch action {
			case "RegisterTargets":
				got = b.Register(t.Context(), m).Error()
			case "DeregisterTargets":
				got = b.Deregister(t.Context(), m).Error()
			default:
				got = failing(t, b)
			}
			wantLine(t, got, "no answer to elasticloadbalancing:"+action+" in time")
			if took := time.Since(began); took != limit {
				t.Errorf("%s was given up after %v, want %v", action, took, limit)
			}
		})
	}
}

func TestAChangeThatFailsAfterItsEffect(t *testing.T) { // law 14
	w := newWorld(t)
	arn := w.group(aws.TargetGroup{Name: "web", Type: "ip", DeregistrationDelay: time.Hour}, false)
	w.must(w.Register("web", aws.Target{ID: "127.0.0.2"}))
	w.Adjust(func(f *aws.Faults) {
		f.After = func(action string, _ url.Values) error {
			if action == "elbv2:DeregisterTargets" {
				return http.ErrAbortHandler
			}
			return nil
		}
	})
	if err := w.lb.Deregister(t.Context(), actuators.Membership{Group: arn, ID: "127.0.0.2", Port: 80}); err == nil {
		t.Error("a cut connection is no success")
	}
	if got := statuses(w.one("web"))["127.0.0.2"]; got != actuators.TargetDraining {
		t.Errorf("the next reading says %q", got)
	}
}

func TestReadsThatLagAreToldAsTheyAre(t *testing.T) { // G8
	w := newWorld(t)
	arn := w.group(aws.TargetGroup{Name: "web", Type: "ip", DeregistrationDelay: time.Hour}, false)
	w.must(w.Register("web", aws.Target{ID: "127.0.0.2"}))
	w.Adjust(func(f *aws.Faults) { f.ReadLag = time.Minute })
	if got := statuses(w.one("web")); len(got) != 0 {
		t.Errorf("a minute ago nobody was a member, got %v", got)
	}
	w.Adjust(func(f *aws.Faults) { f.ReadLag = 0 })
	w.must(w.lb.Deregister(t.Context(), actuators.Membership{Group: arn, ID: "127.0.0.2", Port: 80}))
	if got := statuses(w.one("web"))["127.0.0.2"]; got != actuators.TargetDraining {
		t.Errorf("it reads %q", got)
	}
}

func TestHostileTextStaysOneLine(t *testing.T) { // law 22
	s := webScript(targets(target("10.0.0.1", "unhealthy", "Target.Timeout", "")))
	s.answers["DescribeTargetHealth"] = []string{"<TargetHealthDescriptions><member><Target><Id>10.0.0.1</Id><Port>80</Port></Target><TargetHealth><State>unhealthy</State><Description>one\ntwo&#x9b;31m" + strings.Repeat("x", 10000) + "</Description></TargetHealth></member></TargetHealthDescriptions>"}
	states, _ := scripted(s).Observe(t.Context(), []desired.LoadBalancer{{TargetGroup: "web"}}, nil)
	if got := states[0].Members[0].Reason; strings.ContainsAny(got, "\n\u009b") || len(got) > 1000 || !strings.HasPrefix(got, "one two") {
		t.Errorf("%q", got)
	}
}
