package elb_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/actuators/elb"
	"windlass/desired"
	"windlass/internal/awsapi"
	"windlass/internal/awsapi/awsapitest"
	"windlass/internal/sandbox/aws"
)

// A world is a sandbox cloud with a Balancer over the real SDK clients.
type world struct {
	*aws.Cloud
	lb *elb.Balancer
	t  *testing.T
}

func newWorld(t *testing.T) world { return worldAt(t, time.Now) }

// worldAt is a world whose API takes the time from a clock.
func worldAt(t *testing.T, now func() time.Time) world {
	t.Helper()
	cloud := awsapitest.Cloud(t, now)
	return world{Cloud: cloud, lb: elb.New(awsapi.Prepare(awsapitest.Config(cloud.URL()), nil)), t: t}
}

// group adds a target group with a load balancer in front of it, or without one when it is idle.
func (w world) group(g aws.TargetGroup, idle bool) (arn string) {
	w.t.Helper()
	arn, err := w.AddTargetGroup(g)
	if err != nil {
		w.t.Fatal(err)
	}
	if !idle {
		if _, err := w.AddLoadBalancer(aws.LoadBalancer{Name: "lb-" + g.Name, TargetGroups: []string{g.Name}}); err != nil {
			w.t.Fatal(err)
		}
	}
	return arn
}

func (w world) instance(id, address string) {
	w.t.Helper()
	if err := w.AddInstance(aws.Instance{ID: id, PrivateAddress: address, Zone: awsapitest.Region + "a"}); err != nil {
		w.t.Fatal(err)
	}
}

func (w world) observe(lbs ...desired.LoadBalancer) []actuators.GroupState {
	w.t.Helper()
	states, err := w.lb.Observe(w.t.Context(), lbs, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return states
}

// one reads one target group, which must be readable.
func (w world) one(name string) actuators.GroupState {
	w.t.Helper()
	state := w.observe(desired.LoadBalancer{TargetGroup: name})[0]
	if state.Err != "" {
		w.t.Fatal(state.Err)
	}
	return state
}

func (w world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// calls returns the API calls made since a count.
func (w world) calls(since map[string]int) map[string]int {
	made := map[string]int{}
	for action, n := range w.Calls() {
		if n -= since[action]; n != 0 {
			made[action] = n
		}
	}
	return made
}

func statuses(state actuators.GroupState) map[string]actuators.TargetStatus {
	all := map[string]actuators.TargetStatus{}
	for _, m := range state.Members {
		all[m.ID] = m.Status
	}
	return all
}

// until observes a group after each change in the sandbox until its one member has a status.
func (w world) until(lb desired.LoadBalancer, status actuators.TargetStatus) actuators.Target {
	w.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		changed := w.Changed()
		state := w.observe(lb)[0]
		if len(state.Members) == 1 && state.Members[0].Status == status {
			return state.Members[0]
		}
		select {
		case <-changed:
		case <-deadline:
			w.t.Fatalf("never %q: %+v", status, state)
		}
	}
}

// A script answers each action with crafted XML, in order; the last answer is repeated.
type script struct {
	mu      sync.Mutex
	answers map[string][]string
	made    map[string]int
	forms   []url.Values // of all calls, in order
	latency time.Duration
	hang    string // an action that is never answered
}

// ServeHTTP answers an action with the inside of its result element, or with a whole body that begins with "raw:", or with
// an error code and perhaps a message that begin with "error:" and are parted by a colon.
func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	time.Sleep(s.latency) // virtual
	_ = r.ParseForm()
	action := r.Form.Get("Action")
	if action == s.hang {
		<-r.Context().Done()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made[action]++
	s.forms = append(s.forms, r.Form)
	answers := s.answers[action]
	if len(answers) == 0 {
		http.Error(w, "unexpected "+action, http.StatusTeapot)
		return
	}
	if len(answers) > 1 {
		s.answers[action] = answers[1:]
	}
	body := answers[0]
	switch {
	case strings.HasPrefix(body, "raw:"):
		body = strings.TrimPrefix(body, "raw:")
	case strings.HasPrefix(body, "error:"):
		w.WriteHeader(http.StatusBadRequest)
		code, message, _ := strings.Cut(strings.TrimPrefix(body, "error:"), ":")
		body = "<ErrorResponse><Error><Type>Sender</Type><Code>" + code + "</Code><Message>" + message + "</Message></Error></ErrorResponse>"
	default:
		body = "<" + action + "Response><" + action + "Result>" + body + "</" + action + "Result></" + action + "Response>"
	}
	_, _ = io.WriteString(w, body)
}

const (
	arnWeb     = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/web/0123456789abcdef"
	groupWeb   = "<TargetGroups><member><TargetGroupArn>" + arnWeb + "</TargetGroupArn><TargetGroupName>web</TargetGroupName><Protocol>HTTP</Protocol><Port>8080</Port><TargetType>ip</TargetType></member></TargetGroups>"
	attributes = "<Attributes><member><Key>deregistration_delay.timeout_seconds</Key><Value>300</Value></member><member><Key>slow_start.duration_seconds</Key><Value>30</Value></member></Attributes>"
)

// target is a member as DescribeTargetHealth has it; more goes beside its health.
func target(id, state, reason, more string) string {
	return "<member><Target><Id>" + id + "</Id><Port>8080</Port></Target><TargetHealth><State>" + state + "</State><Reason>" + reason + "</Reason></TargetHealth>" + more + "</member>"
}

func targets(members ...string) string {
	return "<TargetHealthDescriptions>" + strings.Join(members, "") + "</TargetHealthDescriptions>"
}

// webScript answers for one group "web" whose health is the given answers.
func webScript(health ...string) *script {
	return &script{made: map[string]int{}, answers: map[string][]string{
		"DescribeTargetGroups":          {groupWeb},
		"DescribeTargetGroupAttributes": {attributes},
		"DescribeTargetHealth":          health,
	}}
}

func scripted(s *script) *elb.Balancer {
	return elb.New(awsapi.Prepare(awsapitest.Answered(s), nil))
}

var web = []desired.LoadBalancer{{TargetGroup: "web"}}
