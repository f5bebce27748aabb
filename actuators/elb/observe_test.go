package elb_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"windlass/actuators"
	"windlass/actuators/elb"
	"windlass/desired"
	"windlass/internal/awsapi"
	"windlass/internal/awsapi/awsapitest"
	"windlass/internal/sandbox/aws"
)

func TestObserveReadsAGroupWhole(t *testing.T) { // G1, G4
	w := newWorld(t)
	arn := w.group(aws.TargetGroup{Name: "web", Type: "ip", Port: 8080, DeregistrationDelay: time.Hour}, false)
	w.must(w.Register("web", aws.Target{ID: "127.0.0.3", Port: 9090, Zone: "eu-central-1b"}, aws.Target{ID: "127.0.0.2"}))
	w.must(w.ForceHealth("web", aws.Target{ID: "127.0.0.3", Port: 9090}, &aws.TargetHealth{State: aws.Unhealthy, Reason: aws.Timeout, Description: "Request timed out"}))
	got := w.one("web")
	if got.ID != arn || got.Name != "web" || got.TargetType != "ip" || got.Port != 8080 || got.Delay != time.Hour || got.Network || got.At.IsZero() {
		t.Errorf("got %+v", got)
	}
	if len(got.Members) != 2 || got.Members[0].Port != 8080 {
		t.Fatalf("members %+v; the first has the group's port", got.Members)
	}
	want := actuators.Target{
		Membership: actuators.Membership{Group: arn, ID: "127.0.0.3", Port: 9090, Zone: "eu-central-1b"},
		Status:     actuators.TargetUnhealthy,
		Reason:     "Target.Timeout: Request timed out",
		AtFault:    true,
	}
	if got.Members[1] != want {
		t.Errorf("got  %+v\nwant %+v", got.Members[1], want)
	}
}

func TestObserveKnowsOneGroupBehindItsSpellings(t *testing.T) {
	w := newWorld(t)
	arn := w.group(aws.TargetGroup{Name: "web", Port: 8080}, false)
	w.instance("i-0000000a", "127.0.0.2")
	w.must(w.Register("web", aws.Target{ID: "i-0000000a"}))
	w.observe(desired.LoadBalancer{TargetGroup: "web"})
	before := w.Calls()
	states, _ := w.lb.Observe(t.Context(), []desired.LoadBalancer{{TargetGroup: "web"}, {TargetGroup: arn, Port: 9000}}, []string{arn})
	if len(states) != 3 {
		t.Fatalf("asked for three, got %d states", len(states))
	}
	for i, port := range []int{8080, 9000, 8080} {
		if states[i].ID != arn || states[i].Err != "" || states[i].Port != port || len(states[i].Members) != 1 || states[i].Members[0].Reason == "mine" {
			t.Errorf("state %d: %+v, want port %d", i, states[i], port)
			continue
		}
		states[i].Members[0].Reason = "mine" // each state is its reader's own
	}
	if made := w.calls(before); !maps.Equal(made, map[string]int{"elbv2:DescribeTargetHealth": 1}) {
		t.Errorf("one group cost %v", made)
	}
}

func TestAnIdlePassCostsOneCallForEachGroup(t *testing.T) { // G9, G11
	w := newWorld(t)
	var lbs []desired.LoadBalancer
	var arns []string
	for i := range 23 { // more than one call may name
		name := fmt.Sprintf("web-%02d", i)
		arns = append(arns, w.group(aws.TargetGroup{Name: name}, true))
		lbs = append(lbs, desired.LoadBalancer{TargetGroup: name})
	}
	if _, err := w.AddClassic(aws.Classic{Name: "old"}); err != nil {
		t.Fatal(err)
	}
	lbs = append(lbs, desired.LoadBalancer{Classic: "old"})
	w.Adjust(func(f *aws.Faults) { f.PageSize = 7 })
	for _, state := range w.observe(lbs...) {
		if state.Err != "" {
			t.Error(state.Err)
		}
	}
	// Two calls of at most twenty names, in pages of seven: three and one.
	if made := w.Calls()["elbv2:DescribeTargetGroups"]; made != 4 {
		t.Errorf("looking 23 groups up took %d calls, want 4", made)
	}
	before := w.Calls()
	w.observe(lbs...)
	want := map[string]int{"elbv2:DescribeTargetHealth": 23, "elb:DescribeInstanceHealth": 1}
	if made := w.calls(before); !maps.Equal(made, want) {
		t.Errorf("an idle pass cost %v, want %v", made, want)
	}
	before = w.Calls()
	states, _ := elb.New(awsapi.Prepare(awsapitest.Config(w.URL()), nil)).Observe(t.Context(), nil, arns)
	for _, state := range states {
		if state.Err != "" {
			t.Error(state.Err)
		}
	}
	if made := w.calls(before)["elbv2:DescribeTargetGroups"]; made != 4 {
		t.Errorf("looking 23 groups up by their ARNs took %d calls, want 4", made)
	}
}

func TestAGroupThatIsMissingHarmsNoOther(t *testing.T) {
	w := newWorld(t)
	w.group(aws.TargetGroup{Name: "web"}, false)
	states := w.observe(desired.LoadBalancer{TargetGroup: "web"}, desired.LoadBalancer{TargetGroup: "wbe"}, desired.LoadBalancer{Classic: "old"}, desired.LoadBalancer{TargetGroup: "arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/web/0a"}, desired.LoadBalancer{TargetGroup: "arn:aws:s3:::web"},
		desired.LoadBalancer{TargetGroup: "arn:aws:vpc-lattice:eu-central-1:1:targetgroup/web/0a"}, desired.LoadBalancer{TargetGroup: "arn:aws:elasticloadbalancing:eu-central-1:1:loadbalancer/app/web/0a"},
		desired.LoadBalancer{Classic: "arn:old"})
	want := []string{
		"",
		"cannot read target group wbe: there is no such group in region eu-central-1; check loadBalancers in the fleet file and AWS_REGION",
		"cannot read classic load balancer old: there is no such group in region eu-central-1; check loadBalancers in the fleet file and AWS_REGION",
		"cannot read target group arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/web/0a: there is no such group here: it is in region us-east-1 and this agent works in eu-central-1; check loadBalancers in the fleet file and AWS_REGION",
		"cannot read target group arn:aws:s3:::web: there is no such group: that is not the ARN of a target group; check loadBalancers in the fleet file",
		"cannot read target group arn:aws:vpc-lattice:eu-central-1:1:targetgroup/web/0a: there is no such group: that is not the ARN of a target group; check loadBalancers in the fleet file",
		"cannot read target group arn:aws:elasticloadbalancing:eu-central-1:1:loadbalancer/app/web/0a: there is no such group: that is not the ARN of a target group; check loadBalancers in the fleet file",
		"cannot read classic load balancer arn:old: there is no such group in region eu-central-1; check loadBalancers in the fleet file and AWS_REGION",
	}
	for i := range want {
		if states[i].Err != want[i] || states[i].Missing != (i > 0) {
			t.Errorf("state %d: %q\nwant     %q", i, states[i].Err, want[i])
		}
	}
	if made := w.Calls(); made["elbv2:DescribeTargetGroups"] != 3 || made["elb:DescribeLoadBalancerAttributes"] != 2 {
		t.Errorf("looked up by %v; both names, each alone, and each Classic once", made)
	}
	w.group(aws.TargetGroup{Name: "wbe"}, false)
	w.one("wbe") // ends by itself when the cause ends
}

func TestARecordedGroupThatIsGoneHoldsNobody(t *testing.T) {
	w := newWorld(t)
	gone := []string{"arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/old/1", "classic/old", "no\ngroup at all", "arn:hostile"}
	gone = append(gone, gone[0], "classic/old\none", strings.Repeat("x", 1000)) // the first by two nodes
	names := []string{"old", "old", gone[2], gone[3], "old", "old\none", gone[6]}
	states, _ := w.lb.Observe(t.Context(), nil, gone)
	for i, state := range states {
		if state.Err == "" || !state.Missing || len(state.Members) != 0 || state.ID != gone[i] || state.Name != names[i] || strings.Contains(state.Err, "\n") || len(state.Err) > 500 {
			t.Errorf("%q: %+v", gone[i], state)
		}
	}
	if made := w.Calls()["elbv2:DescribeTargetGroups"]; made != 1 {
		t.Errorf("%d look-ups; what is no identity is not asked for", made)
	}
}

// Only a target that is an address is registered with its zone (G5), and readings of the same members are the same.
func TestMembersAreSortedAndInstancesHaveNoZone(t *testing.T) {
	zoned := func(id string) string {
		return strings.Replace(target(id, "healthy", "", ""), "</Port>", "</Port><AvailabilityZone>eu-central-1a</AvailabilityZone>", 1)
	}
	for kind, zone := range map[string]string{"ip": "eu-central-1a", "instance": ""} {
		s := webScript(targets(zoned("b"), zoned("c"), zoned("a")))
		s.answers["DescribeTargetGroups"] = []string{strings.Replace(groupWeb, "<TargetType>ip", "<TargetType>"+kind, 1)}
		states, _ := scripted(s).Observe(t.Context(), web, nil)
		var got []actuators.Membership
		for _, m := range states[0].Members {
			got = append(got, m.Membership)
		}
		at := actuators.Membership{Group: arnWeb, Port: 8080, Zone: zone}
		want := []actuators.Membership{at, at, at}
		want[0].ID, want[1].ID, want[2].ID = "a", "b", "c"
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", kind, got, want)
		}
	}
}

func TestAGroupThatIsMadeAgainIsFoundUnderItsName(t *testing.T) {
	again := strings.Replace(arnWeb, "0123456789abcdef", "fedcba9876543210", 1)
	s := webScript(targets(), "error:TargetGroupNotFound", targets(target("10.0.0.1", "healthy", "", "")))
	s.answers["DescribeTargetGroups"] = []string{groupWeb, strings.Replace(groupWeb, arnWeb, again, 1)}
	b := scripted(s)
	for i, want := range []string{arnWeb, again} {
		states, _ := b.Observe(t.Context(), web, nil)
		if states[0].ID != want || states[0].Err != "" {
			t.Errorf("reading %d: %+v, want group %s", i, states[0], want)
		}
	}
}

func TestStatesByReasonCode(t *testing.T) { // G3
	override := func(state string) string {
		return "<AdministrativeOverride><State>" + state + "</State><Reason>AdministrativeOverride.ZonalShiftActive</Reason></AdministrativeOverride>"
	}
	members := []struct {
		state, reason, more string
		want                actuators.TargetStatus
	}{
		{"initial", "Elb.RegistrationInProgress", "", actuators.TargetInitial},
		{"initial", "Elb.InitialHealthChecking", "", actuators.TargetInitial},
		{"healthy", "", "", actuators.TargetHealthy},
		{"healthy", "", override("no_override"), actuators.TargetHealthy},
		{"healthy", "", override("zonal_shift_active"), actuators.TargetUnknown},
		{"healthy", "", override("zonal_shift_delegated_to_dns"), actuators.TargetHealthy}, // "not visible here", of every target behind a network load balancer
		{"healthy", "", override("unknown"), actuators.TargetHealthy},
		{"healthy", "", override(""), actuators.TargetHealthy},
		{"healthy", "", override("a new kind"), actuators.TargetUnknown},
		{"initial", "Elb.InitialHealthChecking", override("zonal_shift_active"), actuators.TargetInitial},
		{"draining", "Target.DeregistrationInProgress", override("zonal_shift_active"), actuators.TargetDraining},
		{"unhealthy", "Target.Timeout", override("zonal_shift_active"), actuators.TargetUnhealthy},
		{"unhealthy", "Target.FailedHealthChecks", "", actuators.TargetUnhealthy},
		{"unhealthy.draining", "Target.FailedHealthChecks", "", actuators.TargetUnhealthy},
		{"draining", "Target.DeregistrationInProgress", "", actuators.TargetDraining},
		{"unused", "Target.NotInUse", "", actuators.TargetUnused},
		{"unused", "Target.InvalidState", "", actuators.TargetUnused},
		{"unused", "Target.IpUnusable", "", actuators.TargetUnused},
		{"unused", "Target.SomethingNew", "", actuators.TargetUnknown},
		{"unused", "", "", actuators.TargetUnknown},
		{"unavailable", "Target.HealthCheckDisabled", "", actuators.TargetUnknown},
		{"resting", "Elb.Siesta", "", actuators.TargetUnknown},
		{"", "", "", actuators.TargetUnknown},
		{"initial", "Target.NotRegistered", "", actuators.TargetInitial}, // only one that is unused, too, is none
	}
	list := []string{target("10.0.1.0", "unused", "Target.NotRegistered", "")}
	for i, m := range members {
		list = append(list, target(fmt.Sprintf("10.0.0.%02d", i), m.state, m.reason, m.more))
	}
	states, _ := scripted(webScript(targets(list...))).Observe(t.Context(), web, nil)
	if len(states[0].Members) != len(members) {
		t.Fatalf("%d members, want %d: one that is not registered is none. %s", len(states[0].Members), len(members), states[0].Err)
	}
	for i, m := range members {
		if got := states[0].Members[i].Status; got != m.want {
			t.Errorf("%s %s %s: %q, want %q", m.state, m.reason, m.more, got, m.want)
		}
	}
	if got := states[0].Members[21].Reason; got != `state "resting" Elb.Siesta` {
		t.Errorf("an unknown state is told as %q", got)
	}
}

func TestAnomaliesAreANoteOfWhoIsHealthy(t *testing.T) {
	found := func(result, mitigation string) string {
		return "<AnomalyDetection><Result>" + result + "</Result><MitigationInEffect>" + mitigation + "</MitigationInEffect></AnomalyDetection>"
	}
	const mitigated, anomalous = "anomaly mitigation is in effect: it gets less traffic", "anomaly detection finds it anomalous: it fails more requests than others"
	const delegated = "<AdministrativeOverride><State>zonal_shift_delegated_to_dns</State></AdministrativeOverride>"
	members := []struct {
		state, more, reason string
		mitigated           bool
	}{
		{"healthy", "", "", false},
		{"healthy", found("normal", "no"), "", false},
		{"healthy", found("anomalous", "no"), anomalous, false},
		{"healthy", found("anomalous", "yes"), mitigated, true},
		{"healthy", found("normal", "yes"), mitigated, true}, // not over yet
		{"healthy", found("puzzling", "perhaps"), "", false},
		{"healthy", found("", ""), "", false},
		{"healthy", "<AnomalyDetection/>", "", false},
		{"healthy", delegated + found("anomalous", "yes"), "administrative override zonal_shift_delegated_to_dns; " + mitigated, true},
		{"unhealthy", found("anomalous", "yes"), "Target.Timeout", true},
		{"draining", found("anomalous", "no"), "Target.Timeout", false},
	}
	var list []string
	for i, m := range members {
		reason := "Target.Timeout"
		if m.state == "healthy" {
			reason = ""
		}
		list = append(list, target(fmt.Sprintf("10.0.0.%02d", i), m.state, reason, m.more))
	}
	states, _ := scripted(webScript(targets(list...))).Observe(t.Context(), web, nil)
	for i, got := range states[0].Members {
		if m := members[i]; got.Reason != m.reason || got.Mitigated != m.mitigated || string(got.Status) != m.state {
			t.Errorf("%s %s: %+v, want %q, mitigated %t", m.state, m.more, got, m.reason, m.mitigated)
		}
	}
}

// Only application load balancers look for them.
func TestAnomaliesAreAskedForWhereThereAreAny(t *testing.T) {
	w := newWorld(t)
	for protocol, asked := range map[string]bool{"HTTP": true, "HTTPS": true, "TCP": false, "TLS": false, "UDP": false, "TCP_UDP": false} {
		w.group(aws.TargetGroup{Name: protocol, Type: "ip", Protocol: protocol}, true)
		w.must(w.Register(protocol, aws.Target{ID: "127.0.0.2"}))
		w.must(w.ForceHealth(protocol, aws.Target{ID: "127.0.0.2"}, &aws.TargetHealth{State: aws.Healthy, Mitigated: true}))
		got := w.one(protocol)
		calls := w.Log()
		if form := calls[len(calls)-1].Form; (form.Get("Include.member.1") == "AnomalyDetection") != asked || got.Members[0].Mitigated != asked {
			t.Errorf("%s: asked with %v, %+v", protocol, form, got.Members)
		}
	}
}

// Only a target that answers its checks wrongly, late or not at all speaks of what runs on it; the rest is the world's (law 11).
func TestOnlyTheTargetsOwnAnswersPutItAtFault(t *testing.T) { // G46
	const shifted = "<AdministrativeOverride><State>zonal_shift_active</State></AdministrativeOverride>"
	const delegated = "<AdministrativeOverride><State>zonal_shift_delegated_to_dns</State></AdministrativeOverride>"
	members := []struct {
		state, reason, more string
		atFault             bool
	}{
		{"unhealthy", "Target.ResponseCodeMismatch", "", true},
		{"unhealthy", "Target.Timeout", "", true},
		{"unhealthy", "Target.FailedHealthChecks", "", true},
		{"unhealthy.draining", "Target.FailedHealthChecks", "", true},
		{"unhealthy", "Target.FailedHealthChecks", delegated, true},
		{"unhealthy", "Target.Timeout", shifted, false}, // the zone is shifted since something is wrong with it
		{"unhealthy", "Elb.InternalError", "", false},
		{"unhealthy", "Target.SomethingNew", "", false},
		{"unhealthy", "", "", false},
		{"unavailable", "Elb.InternalError", "", false},
		{"unavailable", "Target.HealthCheckDisabled", "", false},
		{"unused", "Target.NotInUse", "", false},
		{"unused", "Target.IpUnusable", "", false},
		{"unused", "Target.InvalidState", "", false},
		{"initial", "Elb.InitialHealthChecking", "", false},
		{"draining", "Target.DeregistrationInProgress", "", false},
		{"resting", "Target.Timeout", "", false},
		{"healthy", "", "", false},
		{"healthy", "", shifted, false},
		{"healthy", "Target.Timeout", delegated, false},
	}
	var list []string
	for i, m := range members {
		list = append(list, target(fmt.Sprintf("10.0.0.%02d", i), m.state, m.reason, m.more))
	}
	states, _ := scripted(webScript(targets(list...))).Observe(t.Context(), web, nil)
	for i, m := range members {
		if got := states[0].Members[i]; got.AtFault != m.atFault {
			t.Errorf("%s %s %s: at fault %t, want %t", m.state, m.reason, m.more, got.AtFault, m.atFault)
		}
	}
}

func TestAnOverrideThatWithholdsNothingIsANote(t *testing.T) { // G46
	override := func(inside string) string {
		return "<AdministrativeOverride>" + inside + "</AdministrativeOverride>"
	}
	for inside, want := range map[string]string{
		"<State>no_override</State>": "",
		"<State>zonal_shift_delegated_to_dns</State><Description>Zonal shift status is\ndelegated to DNS</Description>": "administrative override zonal_shift_delegated_to_dns: Zonal shift status is delegated to DNS",
		"<State>unknown</State>":                    "administrative override unknown",
		"<Description>Internal error</Description>": "administrative override without a state: Internal error",
		"": "administrative override without a state",
	} {
		states, _ := scripted(webScript(targets(target("10.0.0.1", "healthy", "", override(inside))))).Observe(t.Context(), []desired.LoadBalancer{{TargetGroup: "web"}}, nil)
		if got := states[0].Members[0]; got.Status != actuators.TargetHealthy || got.Reason != want {
			t.Errorf("%s: %q, %q; want healthy and %q", inside, got.Status, got.Reason, want)
		}
	}
}

// A kind of group that has no slow start does not tell how long it is.
func TestAGroupWithoutSlowStartIsReadAllTheSame(t *testing.T) {
	s := webScript(targets(target("10.0.0.1", "healthy", "", "")))
	s.answers["DescribeTargetGroupAttributes"] = []string{"<Attributes><member><Key>deregistration_delay.timeout_seconds</Key><Value>300</Value></member></Attributes>"}
	states, _ := scripted(s).Observe(t.Context(), web, nil)
	if got := states[0]; got.Err != "" || len(got.Members) != 1 || got.Members[0].Status != actuators.TargetHealthy || got.Delay != 300*time.Second {
		t.Errorf("%+v", got)
	}
}

func TestClassicStatesByDescription(t *testing.T) { // G2
	members := []struct {
		state, code, description string
		want                     actuators.TargetStatus
		atFault                  bool
	}{
		{"InService", "N/A", "N/A", actuators.TargetHealthy, false},
		{"InService", "", "", actuators.TargetHealthy, false},
		{"InService", "N/A", "Instance deregistration currently in progress.", actuators.TargetDraining, false},
		{"InService", "ELB", "Disable Availability Zone is currently in progress.", actuators.TargetUnknown, false},
		{"OutOfService", "ELB", "Instance registration is still in progress.", actuators.TargetInitial, false},
		{"OutOfService", "Instance", "Instance has not passed the configured HealthyThreshold number of health checks consecutively.", actuators.TargetInitial, false},
		{"OutOfService", "Instance", "Instance has failed at least the UnhealthyThreshold number of health checks consecutively.", actuators.TargetUnhealthy, true},
		{"OutOfService", "ELB", "Instance is in the EC2 Availability Zone for which LoadBalancer is not configured to route traffic to.", actuators.TargetUnused, false},
		{"OutOfService", "Instance", "Instance is in stopped state.", actuators.TargetUnused, false},
		{"OutOfService", "Instance", "Instance is in terminated state.", actuators.TargetUnused, false},
		{"OutOfService", "Instance", "Instance is in pending state.", actuators.TargetUnused, false},
		{"OutOfService", "ELB", "Instance has failed at least the UnhealthyThreshold number of health checks consecutively.", actuators.TargetUnhealthy, false},
		{"OutOfService", "Instance", "something new", actuators.TargetUnhealthy, false},
		{"OutOfService", "Instance", "Instance has failed to launch.", actuators.TargetUnhealthy, false},
		{"OutOfService", "Instance", "Instance is not ready for health checks.", actuators.TargetUnhealthy, false},
		{"OutOfService", "ELB", "something new", actuators.TargetUnhealthy, false},
		{"OutOfService", "N/A", "something without a code", actuators.TargetUnhealthy, false},
		{"Unknown", "ELB", "A transient error occurred. Please try again later.", actuators.TargetUnknown, false},
		{"Napping", "N/A", "N/A", actuators.TargetUnknown, false},
	}
	var list strings.Builder
	list.WriteString("<InstanceStates><member><InstanceId>i-ff</InstanceId><State>OutOfService</State><Description>Instance is not currently registered with the LoadBalancer.</Description></member>")
	for i, m := range members {
		fmt.Fprintf(&list, "<member><InstanceId>i-%02d</InstanceId><State>%s</State><ReasonCode>%s</ReasonCode><Description>%s</Description></member>", i, m.state, m.code, m.description)
	}
	list.WriteString("</InstanceStates>")
	s := &script{made: map[string]int{}, answers: map[string][]string{
		"DescribeLoadBalancerAttributes": {"<LoadBalancerAttributes><ConnectionDraining><Enabled>true</Enabled><Timeout>300</Timeout></ConnectionDraining></LoadBalancerAttributes>"},
		"DescribeInstanceHealth":         {list.String()},
	}}
	states, _ := scripted(s).Observe(t.Context(), []desired.LoadBalancer{{Classic: "old"}}, nil)
	got := states[0]
	if got.ID != "classic/old" || got.TargetType != "instance" || got.Port != 0 || got.Delay != 300*time.Second || len(got.Members) != len(members) {
		t.Fatalf("got %+v", got)
	}
	for i, m := range members {
		if got.Members[i].Status != m.want || got.Members[i].AtFault != m.atFault || got.Members[i].Port != 0 || strings.Contains(got.Members[i].Reason, "N/A: ") || !strings.Contains(got.Members[i].Reason, strings.TrimPrefix(m.description, "N/A")) {
			t.Errorf("%s, %s, %s: %+v, want %q, at fault %t", m.state, m.code, m.description, got.Members[i], m.want, m.atFault)
		}
	}
}

func TestSlowStart(t *testing.T) { // G7
	synctest.Test(t, func(t *testing.T) {
		both := func(second string) string {
			return targets(target("10.0.0.1", "healthy", "", ""), target("10.0.0.2", second, "", ""))
		}
		b := scripted(webScript(both("initial"), both("healthy"), both("healthy"), "error:Throttling", both("healthy"), both("unhealthy"), both("healthy")))
		want := []struct {
			after  time.Duration
			is     actuators.TargetStatus
			reason string
		}{
			{0, actuators.TargetInitial, ""},
			{0, actuators.TargetRamping, "slow start for another 30s"}, // healthy for the first time
			{29 * time.Second, actuators.TargetRamping, "slow start for another 1s"},
			{0, "", ""}, // could not be read; what is remembered stays
			{time.Second, actuators.TargetHealthy, ""},
			{time.Second, actuators.TargetUnhealthy, ""},
			{time.Second, actuators.TargetRamping, "slow start for another 30s"}, // again at each return
		}
		for i, step := range want {
			time.Sleep(step.after)
			states, _ := b.Observe(t.Context(), web, nil)
			if step.is == "" {
				if states[0].Err == "" {
					t.Errorf("step %d: no error", i)
				}
				continue
			}
			if got := states[0].Members[1].Reason; got != step.reason {
				t.Errorf("step %d: reason %q, want %q", i, got, step.reason)
			}
			if got := statuses(states[0]); got["10.0.0.2"] != step.is || got["10.0.0.1"] != actuators.TargetHealthy {
				t.Errorf("step %d: %v, want %s, and the one that was healthy at first to stay so", i, got, step.is)
			}
		}
	})
}

// A group that nobody was in at the first reading was seen by it all the same.
func TestTheFirstMemberOfAnEmptyGroupIsInSlowStart(t *testing.T) { // G7
	b := scripted(webScript(targets(), targets(target("10.0.0.1", "healthy", "", ""))))
	_, _ = b.Observe(t.Context(), web, nil)
	states, _ := b.Observe(t.Context(), web, nil)
	if got := statuses(states[0])["10.0.0.1"]; got != actuators.TargetRamping {
		t.Errorf("it is %q", got)
	}
}

// What happened while AWS answered may not be in its answer (law 9).
func TestAReadingIsAsOldAsItsBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := webScript(targets(), targets(), "error:Throttling")
		b := scripted(s)
		_, _ = b.Observe(t.Context(), web, nil)
		s.latency = time.Second
		for range 2 {
			began := time.Now()
			states, _ := b.Observe(t.Context(), web, nil)
			if at := states[0].At; !at.Equal(began) {
				t.Errorf("begun at %v, it is said to be of %v. %s", began, at, states[0].Err)
			}
		}
	})
}

func TestFactsAreReadAgainEveryFewMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := webScript(targets())
		s.answers["DescribeTargetGroupAttributes"] = []string{attributes, strings.Replace(attributes, "300", "60", 1), "error:Throttling", attributes}
		b := scripted(s)
		for i, step := range []struct {
			after, delay time.Duration
			looks        int
		}{
			{0, 300 * time.Second, 1},
			{4 * time.Minute, 300 * time.Second, 1},
			{time.Minute, time.Minute, 2},
			{5 * time.Minute, time.Minute, 3}, // cannot be read again: the last known stays
			{30 * time.Second, time.Minute, 3},
			{30 * time.Second, 300 * time.Second, 4},
		} {
			time.Sleep(step.after)
			states, _ := b.Observe(t.Context(), web, nil)
			if states[0].Err != "" || states[0].Delay != step.delay || s.made["DescribeTargetGroupAttributes"] != step.looks {
				t.Errorf("step %d: delay %v after %d looks, want %v after %d. %s", i, states[0].Delay, s.made["DescribeTargetGroupAttributes"], step.delay, step.looks, states[0].Err)
			}
		}
	})
}

// A look-up that hangs takes only part of the time there is, and what was known stays in force (law 15).
func TestFactsThatCannotBeReadAgainInTimeHarmNoReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := webScript(targets(target("10.0.0.1", "healthy", "", "")))
		b := scripted(s)
		_, _ = b.Observe(t.Context(), web, nil)
		time.Sleep(10 * time.Minute)
		s.hang = "DescribeTargetGroupAttributes"
		var readers sync.WaitGroup
		for range 2 { // the second waits for the first one's look-up
			readers.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // as long as the reconciler gives
				defer cancel()
				if states, _ := b.Observe(ctx, web, nil); states[0].Err != "" || states[0].Delay != 300*time.Second || len(states[0].Members) != 1 {
					t.Errorf("%+v", states[0])
				}
			})
		}
		readers.Wait()
	})
}

// AWS answers for any group, at a pace that a call for each in turn would not do.
func TestManyFleetsAreLookedUpAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := elb.New(awsapi.Prepare(awsapitest.Answered(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := webScript(targets(target("10.0.0.1", "healthy", "", "")))
			s.latency = 150 * time.Millisecond
			_ = r.ParseForm()
			s.answers["DescribeTargetGroups"] = []string{strings.ReplaceAll(groupWeb, "web", r.Form.Get("Names.member.1"))}
			s.ServeHTTP(w, r)
		})), nil))
		var fleets sync.WaitGroup
		for i := range 100 {
			fleets.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // as long as the reconciler gives
				defer cancel()
				states, _ := b.Observe(ctx, []desired.LoadBalancer{{TargetGroup: fmt.Sprint("web-", i)}}, nil)
				if states[0].Err != "" || len(states[0].Members) != 1 {
					t.Errorf("%+v", states[0])
				}
			})
		}
		fleets.Wait()
	})
}

// Who asks for the same groups, some of them in another order, costs no second look-up.
func TestAGroupIsLookedUpByOneAtATime(t *testing.T) { // G9
	synctest.Test(t, func(t *testing.T) {
		s := webScript(targets())
		s.latency = 150 * time.Millisecond
		b := scripted(s)
		asks := [][]desired.LoadBalancer{web, {{TargetGroup: arnWeb}, web[0]}, {web[0], {TargetGroup: arnWeb}}}
		began := time.Now()
		var readers sync.WaitGroup
		for i := range 12 {
			readers.Go(func() {
				states, _ := b.Observe(t.Context(), asks[i%len(asks)], nil)
				for _, state := range states {
					if state.Err != "" {
						t.Error(state.Err)
					}
				}
			})
		}
		readers.Wait()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("who waits for another's look-up goes on when that ends, not after %s", took)
		}
		if made := s.made["DescribeTargetGroups"]; made != 2 { // by its name and by its ARN
			t.Errorf("12 readers at once made %d look-ups, want 2", made)
		}
	})
}

func TestReadersOfOneGroupShareReadings(t *testing.T) { // G9
	synctest.Test(t, func(t *testing.T) {
		s := webScript(targets())
		b := scripted(s)
		_, _ = b.Observe(t.Context(), web, nil)
		s.latency = 300 * time.Millisecond
		var readers sync.WaitGroup
		for range 20 {
			readers.Go(func() {
				if states, _ := b.Observe(t.Context(), web, nil); states[0].Err != "" {
					t.Error(states[0].Err)
				}
			})
		}
		readers.Wait()
		if made := s.made["DescribeTargetHealth"]; made != 3 { // the one before, the first reader's, and one for all who came during it
			t.Errorf("20 readers at once made %d calls", made-1)
		}
	})
}

func TestAReadingIsNeverOlderThanTheQuestion(t *testing.T) { // G8, law 9
	w := newWorld(t)
	arn := w.group(aws.TargetGroup{Name: "web", Type: "ip", DeregistrationDelay: time.Hour}, false)
	var changes sync.WaitGroup
	for i := range 8 {
		id := fmt.Sprintf("127.0.1.%d", i)
		w.must(w.Register("web", aws.Target{ID: id}))
		changes.Go(func() {
			if err := w.lb.Deregister(t.Context(), actuators.Membership{Group: arn, ID: id, Port: 80}); err != nil {
				t.Error(err)
			}
			if got := statuses(w.one("web"))[id]; got != actuators.TargetDraining {
				t.Errorf("%s was taken out and reads %q", id, got)
			}
		})
	}
	changes.Wait()
}

func TestUnusableGroupTypes(t *testing.T) {
	for _, kind := range []string{"lambda", "alb"} {
		s := webScript(targets())
		s.answers["DescribeTargetGroups"] = []string{strings.Replace(groupWeb, "<TargetType>ip", "<TargetType>"+kind, 1)}
		states, _ := scripted(s).Observe(t.Context(), web, nil)
		want := fmt.Sprintf("cannot read target group web: its target type is %q: windlass works on groups of instances and of IP addresses, name another one in the fleet file", kind)
		if states[0].Err != want || !states[0].Missing {
			t.Errorf("%q, missing %v\nwant %q", states[0].Err, states[0].Missing, want)
		}
	}
	for _, kind := range []string{"", "of tomorrow"} { // machines may be in it (law 1)
		s := webScript(targets())
		s.answers["DescribeTargetGroups"] = []string{strings.Replace(groupWeb, "<TargetType>ip", "<TargetType>"+kind, 1)}
		states, _ := scripted(s).Observe(t.Context(), web, nil)
		if states[0].Err == "" || states[0].Missing {
			t.Errorf("%q: %q, missing %v", kind, states[0].Err, states[0].Missing)
		}
	}
}

// A target of QUIC has a server id that it is registered with, and a node that left could not be given back without it (law 17).
func TestAGroupThatCannotBeRestoredIsNotTouched(t *testing.T) {
	for _, protocol := range []string{"QUIC", "TCP_QUIC"} {
		s := webScript(targets(target("10.0.0.1", "healthy", "", "")))
		s.answers["DescribeTargetGroups"] = []string{strings.Replace(groupWeb, "<Protocol>HTTP", "<Protocol>"+protocol, 1)}
		states, _ := scripted(s).Observe(t.Context(), web, nil)
		want := "cannot read target group web: its protocol is " + protocol + ", whose targets have server ids that could not be given back; name another one in the fleet file"
		if states[0].Err != want || states[0].Missing {
			t.Errorf("%q, missing %v\nwant %q", states[0].Err, states[0].Missing, want)
		}
	}
}

// Flows of GENEVE go on to a target that was deregistered: nobody could tell when its machine may be touched.
func TestAGroupThatCannotBeDrainedIsNotTouched(t *testing.T) {
	w := newWorld(t)
	w.group(aws.TargetGroup{Name: "web", Protocol: "GENEVE", Port: 6081}, true)
	state := w.observe(web...)[0]
	want := "cannot read target group web: its protocol is GENEVE, whose flows stay pinned to a target after it was deregistered, so that it cannot be drained; name another one in the fleet file, and replace such appliances instead"
	if state.Err != want || state.Missing {
		t.Errorf("%q, missing %v\nwant %q", state.Err, state.Missing, want)
	}
	if made := w.Calls(); made["elbv2:DescribeTargetHealth"] != 0 {
		t.Errorf("asked %v", made)
	}
}

func TestANetworkLoadBalancersGroupIsKnownAsOne(t *testing.T) { // G6
	for protocol, network := range map[string]bool{"HTTP": false, "HTTPS": false, "TCP": true, "UDP": true, "TCP_UDP": true, "TLS": true} {
		s := webScript(targets())
		s.answers["DescribeTargetGroups"] = []string{strings.Replace(groupWeb, "<Protocol>HTTP", "<Protocol>"+protocol, 1)}
		states, _ := scripted(s).Observe(t.Context(), web, nil)
		if states[0].Err != "" || states[0].Network != network || states[0].Protocol != protocol {
			t.Errorf("%s: network %t, protocol %q. %s", protocol, states[0].Network, states[0].Protocol, states[0].Err)
		}
	}
}

func TestManyMembersTakeOneCall(t *testing.T) { // G9, G11
	w := newWorld(t)
	w.group(aws.TargetGroup{Name: "web", Type: "ip"}, true)
	var all []aws.Target
	for i := range 450 {
		all = append(all, aws.Target{ID: fmt.Sprintf("127.0.%d.%d", i/250, 1+i%250)})
	}
	w.must(w.Register("web", all...))
	state := w.one("web")
	if len(state.Members) != 450 || !slices.IsSortedFunc(state.Members, func(a, b actuators.Target) int { return a.Compare(b.Membership) }) {
		t.Errorf("%d members, sorted or not", len(state.Members))
	}
	if got := state.Members[0].Status; got != actuators.TargetUnused {
		t.Errorf("a member of a group without listener is %q", got)
	}
	if made := w.Calls()["elbv2:DescribeTargetHealth"]; made != 1 {
		t.Errorf("%d calls", made)
	}
}
