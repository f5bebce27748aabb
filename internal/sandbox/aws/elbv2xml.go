package aws

import (
	"strconv"
	"time"
)

// The answers of Elastic Load Balancing v2, for encoding/xml.

type describeTargetGroupsResult struct {
	TargetGroups []groupItem `xml:"TargetGroups>member"`
	NextMarker   string      `xml:"NextMarker,omitempty"`
}

type groupItem struct {
	ARN              string   `xml:"TargetGroupArn"`
	Name             string   `xml:"TargetGroupName"`
	Type             string   `xml:"TargetType"`
	Protocol         string   `xml:"Protocol"`
	Port             int      `xml:"Port"`
	LoadBalancers    []string `xml:"LoadBalancerArns>member"`
	CheckEnabled     bool     `xml:"HealthCheckEnabled"`
	CheckProtocol    string   `xml:"HealthCheckProtocol"`
	CheckPort        string   `xml:"HealthCheckPort"`
	CheckPath        string   `xml:"HealthCheckPath,omitempty"`
	Interval         int      `xml:"HealthCheckIntervalSeconds"`
	Timeout          int      `xml:"HealthCheckTimeoutSeconds"`
	Healthy          int      `xml:"HealthyThresholdCount"`
	Unhealthy        int      `xml:"UnhealthyThresholdCount"`
	ExpectedHTTPCode string   `xml:"Matcher>HttpCode,omitempty"`
}

func (c *Cloud) groupItem(g *group) groupItem {
	item := groupItem{
		ARN: g.arn, Name: g.Name, Type: g.Type, Protocol: g.Protocol, Port: g.Port,
		CheckEnabled: true, CheckProtocol: g.check.Protocol, CheckPort: "traffic-port",
		Interval: max(1, seconds(g.check.Interval)), Timeout: max(1, seconds(g.check.Timeout)),
		Healthy: g.check.Healthy, Unhealthy: g.check.Unhealthy,
	}
	if g.check.Protocol == "HTTP" {
		item.CheckPath, item.ExpectedHTTPCode = g.check.Path, "200"
	}
	if b := c.balancerOf(g.Name); b != nil {
		item.LoadBalancers = []string{b.arn}
	}
	return item
}

type describeTargetHealthResult struct {
	Descriptions []targetHealthItem `xml:"TargetHealthDescriptions>member"`
}

type targetHealthItem struct {
	ID          string    `xml:"Target>Id"`
	Port        int       `xml:"Target>Port"`
	Zone        string    `xml:"Target>AvailabilityZone,omitempty"`
	CheckPort   string    `xml:"HealthCheckPort"`
	State       string    `xml:"TargetHealth>State"`
	Reason      string    `xml:"TargetHealth>Reason,omitempty"`
	Description string    `xml:"TargetHealth>Description,omitempty"`
	Anomaly     *anomaly  `xml:"AnomalyDetection"`
	Override    *override `xml:"AdministrativeOverride"`
}

type anomaly struct {
	Result             string
	MitigationInEffect string
}

func anomalyOf(h TargetHealth) *anomaly {
	found := anomaly{Result: orElse(h.Anomaly, "normal"), MitigationInEffect: "no"}
	if h.Mitigated {
		found.MitigationInEffect = "yes"
	}
	return &found
}

type override struct {
	State string
}

func healthItem(t Target, h TargetHealth) targetHealthItem {
	item := targetHealthItem{
		ID: t.ID, Port: t.Port, Zone: t.Zone, CheckPort: strconv.Itoa(t.Port),
		State: h.State, Reason: h.Reason, Description: h.Description,
	}
	if h.Override != "" {
		item.Override = &override{State: h.Override}
	}
	return item
}

type describeLoadBalancersResult struct {
	LoadBalancers []balancerItem `xml:"LoadBalancers>member"`
	NextMarker    string         `xml:"NextMarker,omitempty"`
}

type balancerItem struct {
	ARN     string `xml:"LoadBalancerArn"`
	Name    string `xml:"LoadBalancerName"`
	Type    string `xml:"Type"`
	DNSName string `xml:"DNSName"`
	Scheme  string `xml:"Scheme"`
	State   string `xml:"State>Code"`
	Created string `xml:"CreatedTime"`
}

// timestamp is how every service writes a time.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
