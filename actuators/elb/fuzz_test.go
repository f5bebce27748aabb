package elb_test

import (
	"bytes"
	"encoding/xml"
	"slices"
	"strings"
	"testing"

	"windlass/actuators"
	"windlass/desired"
)

// listed counts the elements at a path below the root, as an answer's reader is to find them: whatever their case, and in
// the first element of the path's first name.
func listed(body []byte, path ...string) int {
	decoder := xml.NewDecoder(bytes.NewReader(body))
	var at []string
	count := 0
	for {
		token, err := decoder.Token()
		if err != nil {
			return count
		}
		switch element := token.(type) {
		case xml.StartElement:
			at = append(at, element.Name.Local)
			if len(at) == len(path)+1 && slices.EqualFunc(at[1:], path, strings.EqualFold) {
				count++
			}
		case xml.EndElement:
			if len(at) == 2 && strings.EqualFold(at[1], path[0]) {
				return count
			}
			at = at[:len(at)-1]
		}
	}
}

// readAnswer observes one balancer whose health is answered with body, and holds that a state with Err has nobody in it.
func readAnswer(t *testing.T, action string, lb desired.LoadBalancer, body []byte) actuators.GroupState {
	s := webScript()
	s.answers["DescribeLoadBalancerAttributes"] = []string{"<LoadBalancerAttributes><ConnectionDraining><Enabled>false</Enabled></ConnectionDraining></LoadBalancerAttributes>"}
	s.answers[action] = []string{"raw:" + string(body)}
	states, err := scripted(s).Observe(t.Context(), []desired.LoadBalancer{lb}, nil)
	if err != nil || len(states) != 1 {
		t.Fatalf("%d states, %v", len(states), err)
	}
	if states[0].Err != "" && len(states[0].Members) > 0 {
		t.Fatalf("members beside an error: %+v", states[0])
	}
	return states[0]
}

// fuzzAnswer holds an answer of any bytes to law 1: what was listed is read or the reading fails, and an answer that is cut
// fails or says the same.
func fuzzAnswer(f *testing.F, action, list, absent string, lb desired.LoadBalancer) {
	f.Fuzz(func(t *testing.T, body []byte, cut uint16) {
		whole := readAnswer(t, action, lb, body)
		if whole.Err != "" {
			return
		}
		said, gone := listed(body, action+"Result", list, "member"), bytes.Count(bytes.ToLower(body), []byte(strings.ToLower(absent)))
		if n := len(whole.Members); n > said || n < said-gone {
			t.Errorf("%d members of %d listed, %d of them not registered", n, said, gone)
		}
		part := readAnswer(t, action, lb, body[:min(int(cut), len(body))])
		if part.Err == "" && !slices.Equal(part.Members, whole.Members) {
			t.Errorf("cut after %d bytes of %d it reads %+v, not %+v", cut, len(body), part.Members, whole.Members)
		}
	})
}

func FuzzTargetHealth(f *testing.F) {
	answer := "<DescribeTargetHealthResponse><DescribeTargetHealthResult>" + targets(
		target("10.0.0.1", "healthy", "", ""), target("10.0.0.2", "unused", "Target.NotRegistered", ""), target("10.0.0.3", "draining", "", ""),
	) + "</DescribeTargetHealthResult></DescribeTargetHealthResponse>"
	for cut := 0; cut <= len(answer); cut += 10 {
		f.Add([]byte(answer), uint16(cut))
	}
	f.Add([]byte("<DescribeTargetHealthResponse><DescribeTargetHealthResult><TargetHealthDescriptions/></DescribeTargetHealthResult></DescribeTargetHealthResponse>"), uint16(50))
	f.Add([]byte(""), uint16(0))
	f.Add([]byte("<html/>"), uint16(3))
	fuzzAnswer(f, "DescribeTargetHealth", "TargetHealthDescriptions", "Target.NotRegistered", web[0])
}

func FuzzInstanceHealth(f *testing.F) {
	answer := `<DescribeInstanceHealthResponse><DescribeInstanceHealthResult><InstanceStates>
<member><InstanceId>i-1</InstanceId><State>InService</State><ReasonCode>N/A</ReasonCode><Description>N/A</Description></member>
<member><InstanceId>i-2</InstanceId><State>OutOfService</State><Description>Instance is not currently registered with the LoadBalancer.</Description></member>
<member><InstanceId>i-3</InstanceId><State>InService</State><Description>Instance deregistration currently in progress.</Description></member>
</InstanceStates></DescribeInstanceHealthResult></DescribeInstanceHealthResponse>`
	for cut := 0; cut <= len(answer); cut += 10 {
		f.Add([]byte(answer), uint16(cut))
	}
	fuzzAnswer(f, "DescribeInstanceHealth", "InstanceStates", "not currently registered", desired.LoadBalancer{Classic: "old"})
}

// FuzzLookUp holds what is said of a group, in any bytes, to law 1: it is an error, or the group that was asked for with all that
// a change of its members rests on.
func FuzzLookUp(f *testing.F) {
	wrap := func(action, body string) []byte {
		return []byte("<" + action + "Response><" + action + "Result>" + body + "</" + action + "Result></" + action + "Response>")
	}
	groups, attributes := wrap("DescribeTargetGroups", groupWeb), wrap("DescribeTargetGroupAttributes", attributes)
	f.Add(groups, attributes)
	f.Add(bytes.Replace(groups, []byte("<Protocol>HTTP</Protocol>"), nil, 1), attributes)
	f.Add(bytes.Replace(groups, []byte("<Port>8080</Port>"), nil, 1), attributes)
	f.Add(bytes.Replace(groups, []byte("8080"), []byte("-1"), 1), attributes)
	f.Add(bytes.Replace(groups, []byte("<TargetGroups>"), []byte("<NextMarker>x</NextMarker><TargetGroups>"), 1), attributes)
	f.Add(groups, bytes.Replace(attributes, []byte("300"), []byte("-300"), 1))
	f.Add(groups, bytes.Replace(attributes, []byte("<Attributes>"), []byte("<Attributes><member><Key>load_balancing.cross_zone.enabled</Key><Value>a\nb</Value></member>"), 1))
	f.Add(groups, bytes.Replace(attributes, []byte("slow_start.duration_seconds"), []byte("target_group_health.dns_failover.minimum_healthy_targets.percentage"), 1))
	f.Add([]byte("<html/>"), []byte(""))
	f.Fuzz(func(t *testing.T, groups, attributes []byte) {
		s := webScript(targets())
		s.answers["DescribeTargetGroups"] = []string{"raw:" + string(groups)}
		s.answers["DescribeTargetGroupAttributes"] = []string{"raw:" + string(attributes)}
		states, err := scripted(s).Observe(t.Context(), web, nil)
		if err != nil || len(states) != 1 {
			t.Fatalf("%d states, %v", len(states), err)
		}
		got := states[0]
		if got.Err != "" {
			return
		}
		named := got.Name == "web" || got.ID == "web"
		r := got.Rules
		if r.IdleAfter < 0 || min(r.InDNS.Count, r.InDNS.Percent, r.FailsOpen.Count, r.FailsOpen.Percent) < 0 || max(r.InDNS.Percent, r.FailsOpen.Percent) > 100 || r.Protocol == "" || strings.ContainsAny(r.Unread, "\r\n") {
			t.Errorf("rules %+v", r)
		}
		if !named || got.ID == "" || got.TargetType != "instance" && got.TargetType != "ip" || got.Port < 1 || got.Port > 65535 || got.Delay < 0 {
			t.Errorf("%+v", got)
		}
	})
}
