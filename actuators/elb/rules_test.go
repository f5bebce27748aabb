package elb_test

import (
	"fmt"
	"maps"
	"net/http"
	"reflect"
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

const (
	arnFront = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/front/0123456789abcdef"
	arnOther = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/app/other/0123456789abcdef"
	arnNet   = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/net/front/0123456789abcdef"
	arnNet2  = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/net/other/0123456789abcdef"
)

// behind is group "web" of a protocol as DescribeTargetGroups has it, behind load balancers.
func behind(protocol string, balancers ...string) string {
	arns := "<LoadBalancerArns><member>" + strings.Join(balancers, "</member><member>") + "</member></LoadBalancerArns>"
	return strings.Replace(groupWeb, "<Protocol>HTTP</Protocol>", "<Protocol>"+protocol+"</Protocol>"+arns, 1)
}

// having is attributes, given as keys and values in turn.
func having(pairs ...string) string {
	var list strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(&list, "<member><Key>%s</Key><Value>%s</Value></member>", pairs[i], pairs[i+1])
	}
	return "<Attributes>" + list.String() + "</Attributes>"
}

func idleOf(seconds string) string { return having("idle_timeout.timeout_seconds", seconds) }

// listening is a Classic ELB with listeners as DescribeLoadBalancers has it.
func listening(name string, ports ...int) string {
	var list strings.Builder
	for _, port := range ports {
		fmt.Fprintf(&list, "<member><Listener><LoadBalancerPort>%d</LoadBalancerPort><InstancePort>%d</InstancePort></Listener></member>", port+1, port)
	}
	return "<LoadBalancerDescriptions><member><LoadBalancerName>" + name + "</LoadBalancerName><ListenerDescriptions>" + list.String() + "</ListenerDescriptions></member></LoadBalancerDescriptions>"
}

func TestTheRulesOfATargetGroup(t *testing.T) { // G45, G47
	const delay = 90 * time.Second
	one := actuators.Threshold{Count: 1}
	application := func(change func(*actuators.Rules)) actuators.Rules {
		rules := actuators.Rules{Protocol: "HTTP", Delay: delay, IdleAfter: time.Minute, InDNS: one, FailsOpen: one}
		change(&rules)
		return rules
	}
	network := func(protocol string, change func(*actuators.Rules)) actuators.Rules {
		rules := actuators.Rules{Protocol: protocol, Network: true, Delay: delay, InDNS: one, FailsOpen: one}
		change(&rules)
		return rules
	}
	as := func(*actuators.Rules) {}
	zonal := func(r *actuators.Rules) { r.Zonal = true }
	const inherits = "use_load_balancer_configuration"
	for i, c := range []struct {
		group    aws.TargetGroup
		balancer aws.LoadBalancer // none when it has no type
		asked    int              // DescribeLoadBalancerAttributes
		want     actuators.Rules
	}{
		{aws.TargetGroup{}, aws.LoadBalancer{Type: aws.Application}, 1, application(as)},
		{aws.TargetGroup{CrossZone: inherits}, aws.LoadBalancer{Type: aws.Application, IdleTimeout: 2 * time.Minute}, 1, application(func(r *actuators.Rules) { r.IdleAfter = 2 * time.Minute })},
		{aws.TargetGroup{CrossZone: "true", Protocol: "HTTPS"}, aws.LoadBalancer{Type: aws.Application}, 1, application(func(r *actuators.Rules) { r.Protocol = "HTTPS" })},
		{aws.TargetGroup{CrossZone: "false"}, aws.LoadBalancer{Type: aws.Application}, 1, application(zonal)},
		{aws.TargetGroup{}, aws.LoadBalancer{}, 0, application(func(r *actuators.Rules) { r.IdleAfter = 0 })},
		{aws.TargetGroup{InDNS: aws.Minimum{Count: 5, Percent: 60}, FailsOpen: aws.Minimum{Count: 2, Percent: 30}}, aws.LoadBalancer{Type: aws.Application}, 1, application(func(r *actuators.Rules) {
			r.InDNS, r.FailsOpen = actuators.Threshold{Count: 5, Percent: 60}, actuators.Threshold{Count: 2, Percent: 30}
		})},
		{aws.TargetGroup{InDNS: aws.Minimum{Count: -1}}, aws.LoadBalancer{Type: aws.Application}, 1, application(func(r *actuators.Rules) { r.InDNS = actuators.Threshold{} })},
		{aws.TargetGroup{Protocol: "TCP"}, aws.LoadBalancer{Type: aws.Network}, 1, network("TCP", zonal)},
		{aws.TargetGroup{Protocol: "TCP"}, aws.LoadBalancer{Type: aws.Network, CrossZone: true}, 1, network("TCP", as)},
		{aws.TargetGroup{Protocol: "TLS", CrossZone: "true"}, aws.LoadBalancer{Type: aws.Network}, 0, network("TLS", as)}, // there is nothing to ask
		{aws.TargetGroup{Protocol: "UDP", CrossZone: "false"}, aws.LoadBalancer{Type: aws.Network, CrossZone: true}, 0, network("UDP", zonal)},
		{aws.TargetGroup{Protocol: "TCP_UDP", ConnectionTermination: true}, aws.LoadBalancer{Type: aws.Network}, 1, network("TCP_UDP", func(r *actuators.Rules) { r.Zonal, r.Terminates = true, true })},
		{aws.TargetGroup{Protocol: "TCP"}, aws.LoadBalancer{}, 0, network("TCP", as)},
	} {
		w := newWorld(t)
		c.group.Name, c.group.DeregistrationDelay = "web", delay
		w.group(c.group, true)
		if c.balancer.Type != "" {
			c.balancer.Name, c.balancer.TargetGroups = "front", []string{"web"}
			if _, err := w.AddLoadBalancer(c.balancer); err != nil {
				t.Fatal(err)
			}
		}
		if got := w.one("web").Rules; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%d: got  %+v\nwant %+v", i, got, c.want)
		}
		if asked := w.Calls()["elbv2:DescribeLoadBalancerAttributes"]; asked != c.asked {
			t.Errorf("%d: asked %d times about the load balancer, want %d", i, asked, c.asked)
		}
	}
}

func TestTheRulesOfAClassic(t *testing.T) {
	for _, c := range []struct {
		classic aws.Classic
		want    actuators.Rules
	}{
		{aws.Classic{}, actuators.Rules{Ports: []int{80}, IdleAfter: time.Minute, Zonal: true}},
		{
			aws.Classic{InstancePort: 8080, ConnectionDraining: 90 * time.Second, IdleTimeout: 2 * time.Minute, CrossZone: true},
			actuators.Rules{Ports: []int{8080}, IdleAfter: 2 * time.Minute, Delay: 90 * time.Second},
		},
	} {
		w := newWorld(t)
		c.classic.Name = "old"
		if _, err := w.AddClassic(c.classic); err != nil {
			t.Fatal(err)
		}
		for range 2 { // each state is its reader's own
			states := w.observe(desired.LoadBalancer{Classic: "old"}, desired.LoadBalancer{Classic: "old"})
			if got := states[1].Rules; !reflect.DeepEqual(got, c.want) || states[1].Err != "" {
				t.Errorf("got  %+v\nwant %+v. %s", got, c.want, states[1].Err)
			}
			states[0].Ports[0] = 1
		}
		if made := w.Calls()["elb:DescribeLoadBalancers"]; made != 1 {
			t.Errorf("described %d times", made)
		}
	}
}

func TestPortsAreEachListenersOnceAndSorted(t *testing.T) {
	for answer, want := range map[string]struct {
		ports  []int
		unread string
	}{
		listening("old", 9090, 80, 9090, 8080): {[]int{80, 8080, 9090}, ""},
		listening("old", 1, 65535):             {[]int{1, 65535}, ""},
		listening("old"):                       {nil, "cannot read the instance ports of classic load balancer old: it has no listener"},
		listening("old", 80, 0):                {nil, "DescribeLoadBalancers leaves out the instance port of a listener: the answer is incomplete"},
		listening("old", 65536):                {nil, "leaves out the instance port"},
		listening("another", 80):               {nil, "DescribeLoadBalancers leaves it out: the answer is incomplete"},
		"":                                     {nil, "DescribeLoadBalancers leaves it out"},
		strings.Replace(listening("old", 80), "<InstancePort>80</InstancePort>", "", 1):                                                                                        {nil, "leaves out the instance port"},
		"<LoadBalancerDescriptions><member><LoadBalancerName>old</LoadBalancerName><ListenerDescriptions><member/></ListenerDescriptions></member></LoadBalancerDescriptions>": {nil, "leaves out the instance port"},
	} {
		s := &script{made: map[string]int{}, answers: map[string][]string{
			"DescribeLoadBalancerAttributes": {"<LoadBalancerAttributes><ConnectionDraining><Enabled>false</Enabled></ConnectionDraining><ConnectionSettings><IdleTimeout>60</IdleTimeout></ConnectionSettings><CrossZoneLoadBalancing><Enabled>true</Enabled></CrossZoneLoadBalancing></LoadBalancerAttributes>"},
			"DescribeLoadBalancers":          {answer},
			"DescribeInstanceHealth":         {"<InstanceStates/>"},
		}}
		got, _ := within(t, scripted(s), time.Minute, desired.LoadBalancer{Classic: "old"})
		if got.Err != "" || !reflect.DeepEqual(got.Ports, want.ports) || (got.Unread == "") != (want.unread == "") || !strings.Contains(got.Unread, want.unread) || got.IdleAfter != time.Minute || got.Zonal {
			t.Errorf("%s: %+v\nwant %v, %q", answer, got, want.ports, want.unread)
		}
	}
}

// An attribute that only rules are made of makes no group unreadable: an upgrade stops no fleet.
func TestAttributesThatAreLeftOutOrNotUnderstood(t *testing.T) {
	const delay, crossZone = "deregistration_delay.timeout_seconds", "load_balancing.cross_zone.enabled"
	const dns, routing = "target_group_health.dns_failover.minimum_healthy_targets.", "target_group_health.unhealthy_state_routing.minimum_healthy_targets."
	const terminates = "deregistration_delay.connection_termination.enabled"
	plain := actuators.Rules{Protocol: "TCP", Network: true, Delay: time.Minute}
	with := func(change func(*actuators.Rules)) actuators.Rules {
		rules := plain
		change(&rules)
		return rules
	}
	for _, c := range []struct {
		pairs []string
		want  actuators.Rules
		odd   string // a key that is not understood
	}{
		{nil, plain, ""},
		{[]string{dns + "count", "off", dns + "percentage", "off", routing + "count", "off", routing + "percentage", "off"}, plain, ""},
		{[]string{dns + "count", "3"}, with(func(r *actuators.Rules) { r.InDNS.Count = 3 }), ""},
		{[]string{dns + "percentage", "100"}, with(func(r *actuators.Rules) { r.InDNS.Percent = 100 }), ""},
		{[]string{routing + "count", "3"}, with(func(r *actuators.Rules) { r.FailsOpen.Count = 3 }), ""},
		{[]string{routing + "percentage", "1"}, with(func(r *actuators.Rules) { r.FailsOpen.Percent = 1 }), ""},
		{[]string{terminates, "true", crossZone, "false"}, with(func(r *actuators.Rules) { r.Terminates, r.Zonal = true, true }), ""},
		{[]string{terminates, "false", crossZone, "true"}, plain, ""},
		{[]string{dns + "count", "many", dns + "percentage", "50"}, with(func(r *actuators.Rules) { r.InDNS.Percent = 50 }), dns + "count"},
		{[]string{dns + "percentage", "101"}, plain, dns + "percentage"},
		{[]string{routing + "count", "-1"}, plain, routing + "count"},
		{[]string{routing + "count", "99999999999"}, plain, routing + "count"},
		{[]string{routing + "percentage", ""}, plain, routing + "percentage"},
		{[]string{terminates, "perhaps"}, plain, terminates},
		{[]string{crossZone, "in\nhalf"}, plain, crossZone},
	} {
		s := webScript(targets(target("10.0.0.1", "healthy", "", "")))
		s.answers["DescribeTargetGroups"] = []string{behind("TCP")}
		s.answers["DescribeTargetGroups"][0] = strings.Replace(s.answers["DescribeTargetGroups"][0], "<member></member>", "", 1)
		s.answers["DescribeTargetGroupAttributes"] = []string{having(append([]string{delay, "60"}, c.pairs...)...)}
		got, _ := within(t, scripted(s), time.Minute, web...)
		if unread := got.Unread; (unread == "") != (c.odd == "") || !strings.Contains(unread, c.odd) || c.odd != "" && !strings.Contains(unread, "does it need a newer windlass?") || strings.Contains(unread, "\n") {
			t.Errorf("%q: unread %q", c.pairs, unread)
		}
		got.Unread = ""
		if got.Err != "" || len(got.Members) != 1 || !reflect.DeepEqual(got.Rules, c.want) {
			t.Errorf("%q: got  %+v\nwant %+v. %s", c.pairs, got.Rules, c.want, got.Err)
		}
	}
	got, _ := within(t, scripted(&script{made: map[string]int{}, answers: map[string][]string{
		"DescribeLoadBalancerAttributes": {drainedClassic}, "DescribeLoadBalancers": {listening("old", 80)}, "DescribeInstanceHealth": {"<InstanceStates/>"},
	}}), time.Minute, desired.LoadBalancer{Classic: "old"})
	want := "DescribeLoadBalancerAttributes leaves out ConnectionSettings; DescribeLoadBalancerAttributes leaves out CrossZoneLoadBalancing"
	if got.Err != "" || got.Delay != time.Minute || got.Zonal || got.IdleAfter != 0 || got.Unread != want {
		t.Errorf("a Classic ELB: %+v", got)
	}
}

func TestWhatALoadBalancerSaysOfItself(t *testing.T) {
	const crossZone = "load_balancing.cross_zone.enabled"
	for _, c := range []struct {
		protocol, arn, answer string
		idle                  time.Duration
		zonal                 bool
		unread                string
	}{
		{"HTTP", arnFront, having("idle_timeout.timeout_seconds", "4000", crossZone, "true"), 4000 * time.Second, false, ""},
		{"HTTP", arnFront, idleOf("1"), time.Second, false, ""},
		{"HTTP", arnFront, idleOf("soon"), 0, false, `cannot read the idle time-out of load balancer front: attribute idle_timeout.timeout_seconds is "soon", no number of seconds`},
		{"HTTP", arnFront, having(), 0, false, "cannot read the idle time-out of load balancer front: attribute idle_timeout.timeout_seconds is left out"},
		{"HTTP", arnFront, "", 0, false, "DescribeLoadBalancerAttributes leaves out the attributes: the answer is incomplete"},
		{"HTTP", arnFront, "raw:<html>Please log in</html>", 0, false, "cannot be read: does something else than AWS answer?"},
		{"HTTP", arnFront, "error:LoadBalancerNotFound:gone", 0, false, "cannot read the idle time-out of load balancer front: AWS answers elasticloadbalancing:DescribeLoadBalancerAttributes with LoadBalancerNotFound: gone"},
		{"TCP", arnNet, having(crossZone, "true"), 0, false, ""},
		{"TCP", arnNet, having(crossZone, "false"), 0, true, ""},
		{"TCP", arnNet, having(), 0, true, ""}, // the default
		{"TCP", arnNet, having(crossZone, "perhaps"), 0, true, "attribute load_balancing.cross_zone.enabled is \"perhaps\", which is not understood"},
		{"TCP", arnNet, "error:Throttling:slow down", 0, false, "cannot read the cross-zone setting of load balancer front: AWS throttles elasticloadbalancing:DescribeLoadBalancerAttributes"},
	} {
		s := webScript(targets(target("10.0.0.1", "healthy", "", "")))
		s.answers["DescribeTargetGroups"] = []string{behind(c.protocol, c.arn)}
		s.answers["DescribeLoadBalancerAttributes"] = []string{c.answer}
		got, _ := within(t, scripted(s), time.Minute, web...)
		if got.Err != "" || len(got.Members) != 1 || got.IdleAfter != c.idle || got.Zonal != c.zonal || (got.Unread == "") != (c.unread == "") || !strings.Contains(got.Unread, c.unread) {
			t.Errorf("%s %s: %+v\nwant %v, zonal %t, %q", c.protocol, c.answer, got, c.idle, c.zonal, c.unread)
		}
	}
}

// A connection is given up when all have given it up, and zones are apart when they are for one.
func TestSeveralLoadBalancersOfOneGroup(t *testing.T) {
	for _, c := range []struct {
		protocol string
		answers  map[string]string // by ARN
		idle     time.Duration
		zonal    bool
		unread   string
	}{
		{"HTTP", map[string]string{arnFront: idleOf("60"), arnOther: idleOf("90")}, 90 * time.Second, false, ""},
		{"HTTP", map[string]string{arnFront: idleOf("60"), arnOther: "error:AccessDenied:no"}, 0, false, "cannot read the idle time-out of load balancer other: AWS denies elasticloadbalancing:DescribeLoadBalancerAttributes (AccessDenied): allow it"},
		{"TCP", map[string]string{arnNet: having("load_balancing.cross_zone.enabled", "true"), arnNet2: having("load_balancing.cross_zone.enabled", "false")}, 0, true, ""},
		{"TCP", map[string]string{arnNet: having("load_balancing.cross_zone.enabled", "true"), arnNet2: having("load_balancing.cross_zone.enabled", "true")}, 0, false, ""},
	} {
		s := webScript(targets())
		var arns []string
		for arn := range c.answers {
			arns = append(arns, arn, arn) // named twice it is still one
		}
		s.answers["DescribeTargetGroups"] = []string{behind(c.protocol, arns...)}
		b := elb.New(awsapi.Prepare(awsapitest.Answered(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			answer := map[string][]string{"DescribeLoadBalancerAttributes": {c.answers[r.Form.Get("LoadBalancerArn")]}}
			if r.Form.Has("LoadBalancerArn") {
				(&script{made: map[string]int{}, answers: answer}).ServeHTTP(w, r)
				return
			}
			s.ServeHTTP(w, r)
		})), nil))
		got, _ := within(t, b, time.Minute, web...)
		if got.Err != "" || got.IdleAfter != c.idle || got.Zonal != c.zonal || (got.Unread == "") != (c.unread == "") || !strings.Contains(got.Unread, c.unread) {
			t.Errorf("%v: %+v", c.answers, got)
		}
	}
}

// A permission that an older policy does not have stops nothing, and is named.
func TestAPermissionThatOnlyRulesNeedStopsNoFleet(t *testing.T) {
	w := newWorld(t)
	w.group(aws.TargetGroup{Name: "web", Type: "ip", DeregistrationDelay: time.Hour}, false)
	w.must(w.Register("web", aws.Target{ID: "127.0.0.2"}))
	if _, err := w.AddClassic(aws.Classic{Name: "old"}); err != nil {
		t.Fatal(err)
	}
	w.Adjust(func(f *aws.Faults) {
		f.Denied = []string{"elbv2:DescribeLoadBalancerAttributes", "elb:DescribeLoadBalancers"}
	})
	want := []string{
		"cannot read the idle time-out of load balancer lb-web: AWS denies elasticloadbalancing:DescribeLoadBalancerAttributes (AccessDenied): allow it in the IAM policy of the agent's credentials",
		"cannot read the instance ports of classic load balancer old: AWS denies elasticloadbalancing:DescribeLoadBalancers (AccessDenied): allow it in the IAM policy of the agent's credentials",
	}
	for pass := range 3 {
		states := w.observe(web[0], desired.LoadBalancer{Classic: "old"})
		for i, state := range states {
			if state.Err != "" || state.Unread != want[i] {
				t.Errorf("pass %d: %q, unread %q\nwant %q", pass, state.Err, state.Unread, want[i])
			}
		}
		if got := states[0]; len(got.Members) != 1 || got.Delay != time.Hour || got.IdleAfter != 0 || got.Zonal {
			t.Errorf("pass %d: %+v", pass, got)
		}
		if got := states[1]; got.Ports != nil || got.IdleAfter != time.Minute {
			t.Errorf("pass %d: %+v", pass, got)
		}
	}
	if made := w.Calls(); made["elbv2:DescribeLoadBalancerAttributes"] != 1 || made["elb:DescribeLoadBalancers"] != 1 {
		t.Errorf("three passes asked %v; what is denied is not asked at each", made)
	}
}

// A load balancer is asked again a while after it did not answer, and a good answer holds until there is another.
func TestALoadBalancerIsAskedAgainEveryFewMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := webScript(targets())
		s.answers["DescribeTargetGroups"] = []string{behind("HTTP", arnFront)}
		s.answers["DescribeLoadBalancerAttributes"] = []string{"error:AccessDenied", "error:Throttling", idleOf("60"), idleOf("90"), "error:AccessDenied", idleOf("30")}
		b := scripted(s)
		for i, step := range []struct {
			after, idle time.Duration
			unread      string
			asked       int
		}{
			{0, 0, "AWS denies", 1},
			{59 * time.Second, 0, "AWS denies", 1},
			{time.Second, 0, "AWS throttles", 2},
			{time.Minute, time.Minute, "", 3},
			{4 * time.Minute, time.Minute, "", 3},
			{time.Minute, 90 * time.Second, "", 4}, // it was changed
			{5 * time.Minute, 90 * time.Second, "", 5},
			{59 * time.Second, 90 * time.Second, "", 5},
			{time.Second, 30 * time.Second, "", 6},
		} {
			time.Sleep(step.after)
			got, _ := within(t, b, time.Minute, web...)
			if got.Err != "" || got.IdleAfter != step.idle || (got.Unread == "") != (step.unread == "") || !strings.Contains(got.Unread, step.unread) || s.made["DescribeLoadBalancerAttributes"] != step.asked {
				t.Errorf("step %d: %v, %q after asking %d times, want %v, %q after %d. %s", i, got.IdleAfter, got.Unread, s.made["DescribeLoadBalancerAttributes"], step.idle, step.unread, step.asked, got.Err)
			}
		}
		if groups := s.made["DescribeTargetGroups"]; groups != 3 {
			t.Errorf("the group was looked up %d times in 13 minutes, want 3: it answered", groups)
		}
	})
}

func TestALoadBalancerOfManyGroupsIsAskedOnce(t *testing.T) { // G9
	w := newWorld(t)
	var names []string
	var lbs []desired.LoadBalancer
	for i := range 23 { // more than one call may name
		names = append(names, fmt.Sprintf("web-%02d", i))
		lbs = append(lbs, desired.LoadBalancer{TargetGroup: names[i]})
		w.group(aws.TargetGroup{Name: names[i]}, true)
	}
	if _, err := w.AddLoadBalancer(aws.LoadBalancer{Name: "front", TargetGroups: names}); err != nil {
		t.Fatal(err)
	}
	for _, state := range w.observe(lbs...) {
		if state.Err != "" || state.Unread != "" || state.IdleAfter != time.Minute {
			t.Errorf("%+v", state)
		}
	}
	if made := w.Calls(); made["elbv2:DescribeLoadBalancerAttributes"] != 1 || made["elbv2:DescribeTargetGroups"] != 2 || made["elbv2:DescribeTargetGroupAttributes"] != 23 {
		t.Errorf("23 groups of one load balancer took %v", made)
	}
	before := w.Calls()
	w.observe(lbs...)
	if made := w.calls(before); !maps.Equal(made, map[string]int{"elbv2:DescribeTargetHealth": 23}) {
		t.Errorf("an idle pass cost %v", made)
	}
}

// Nor do fleets that come at once ask each for itself, though each has a group of its own.
func TestFleetsBehindOneLoadBalancerAskItOnce(t *testing.T) { // G9
	synctest.Test(t, func(t *testing.T) {
		front := &script{made: map[string]int{}, latency: time.Second, answers: map[string][]string{"DescribeLoadBalancerAttributes": {idleOf("60")}}}
		b := elb.New(awsapi.Prepare(awsapitest.Answered(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _ = r.ParseForm(); r.Form.Has("LoadBalancerArn") {
				front.ServeHTTP(w, r)
				return
			}
			s := webScript(targets())
			s.answers["DescribeTargetGroups"] = []string{strings.ReplaceAll(behind("HTTP", arnFront), "web", r.Form.Get("Names.member.1"))}
			s.ServeHTTP(w, r)
		})), nil))
		var fleets sync.WaitGroup
		for i := range 20 {
			fleets.Go(func() {
				got, took := within(t, b, time.Minute, desired.LoadBalancer{TargetGroup: fmt.Sprint("web-", i)})
				if got.Err != "" || got.Unread != "" || got.IdleAfter != time.Minute || took != time.Second {
					t.Errorf("%+v after %v", got, took)
				}
			})
		}
		fleets.Wait()
		if asked := front.made["DescribeLoadBalancerAttributes"]; asked != 1 {
			t.Errorf("20 fleets at once asked %d times", asked)
		}
	})
}

// A load balancer that does not answer holds no reading up for longer than a look-up has, and not the next one (law 15).
func TestALoadBalancerThatDoesNotAnswerHarmsNoReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := webScript(targets(target("10.0.0.1", "healthy", "", "")))
		s.answers["DescribeTargetGroups"] = []string{behind("HTTP", arnFront)}
		s.answers["DescribeLoadBalancerAttributes"] = []string{idleOf("60")}
		s.hang = "DescribeLoadBalancerAttributes"
		b := scripted(s)
		look := func(idle, limit time.Duration, unread string) {
			got, took := within(t, b, time.Minute, web...)
			if got.Err != "" || len(got.Members) != 1 || got.IdleAfter != idle || took != limit || (got.Unread == "") != (unread == "") || !strings.Contains(got.Unread, unread) {
				t.Errorf("%+v after %v, want %v and %q after %v", got, took, idle, unread, limit)
			}
		}
		var first sync.WaitGroup
		first.Go(func() {
			look(0, 4*time.Second, "cannot read the idle time-out of load balancer front: no answer")
		})
		time.Sleep(time.Second)
		look(0, 3*time.Second, "no answer") // which waits for the first one's question
		first.Wait()
		look(0, 0, "no answer")
		s.hang = ""
		time.Sleep(time.Minute)
		look(time.Minute, 0, "")
		s.hang = "DescribeLoadBalancerAttributes"
		time.Sleep(5 * time.Minute)
		look(time.Minute, 4*time.Second, "") // what was known stays in force
		look(time.Minute, 0, "")
	})
}
