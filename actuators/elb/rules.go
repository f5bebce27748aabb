package elb

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v1types "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"windlass/actuators"
	"windlass/internal/awsapi"
)

// The attributes that are read, of a target group and of a load balancer.
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetGroupAttribute.html
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_LoadBalancerAttribute.html
const (
	keyDelay      = "deregistration_delay.timeout_seconds"
	keySlowStart  = "slow_start.duration_seconds"
	keyTerminates = "deregistration_delay.connection_termination.enabled"
	keyCrossZone  = "load_balancing.cross_zone.enabled" // of both
	keyInDNS      = "target_group_health.dns_failover.minimum_healthy_targets"
	keyFailsOpen  = "target_group_health.unhealthy_state_routing.minimum_healthy_targets"
	keyIdle       = "idle_timeout.timeout_seconds" // of an application load balancer
)

// attributes are those that AWS sent, by key. It sends every one that a kind of group or load balancer has.
type attributes map[string]string

func groupAttributes(sent []types.TargetGroupAttribute) attributes {
	a := make(attributes, len(sent))
	for _, each := range sent {
		a[aws.ToString(each.Key)] = aws.ToString(each.Value)
	}
	return a
}

func balancerAttributes(sent []types.LoadBalancerAttribute) attributes {
	a := make(attributes, len(sent))
	for _, each := range sent {
		a[aws.ToString(each.Key)] = aws.ToString(each.Value)
	}
	return a
}

// seconds reads a number of seconds that must be there.
func (a attributes) seconds(key string) (time.Duration, error) {
	text, sent := a[key]
	if !sent {
		return 0, fmt.Errorf("attribute %s is left out: %w", key, awsapi.ErrIncomplete)
	}
	seconds, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("attribute %s is %q, no number of seconds: %w", key, text, awsapi.ErrIncomplete)
	}
	return time.Duration(seconds) * time.Second, nil
}

// secondsIfSent is 0 for an attribute that this kind of group does not have.
func (a attributes) secondsIfSent(key string) (time.Duration, error) {
	if _, sent := a[key]; !sent {
		return 0, nil
	}
	return a.seconds(key)
}

// A rulebook reads attributes that matter for rules alone. One that says what is not known here makes no group unreadable: it counts
// as left out, and is told.
type rulebook struct {
	attributes
	unread []string
}

func (b *rulebook) puzzle(key string) {
	b.unread = append(b.unread, fmt.Sprintf("attribute %s is %q, which is not understood: does it need a newer windlass?", key, b.attributes[key]))
}

// choice returns the value of an attribute that has a few; "" when it is left out.
func (b *rulebook) choice(key string, known ...string) string {
	value, sent := b.attributes[key]
	if sent && !slices.Contains(known, value) {
		b.puzzle(key)
		return ""
	}
	return value
}

// threshold reads the two parts of one; each may be a number, "off" or left out.
func (b *rulebook) threshold(key string) actuators.Threshold {
	return actuators.Threshold{Count: b.number(key+".count", 1<<31-1), Percent: b.number(key+".percentage", 100)}
}

func (b *rulebook) number(key string, most int) int {
	text, sent := b.attributes[key]
	if !sent || text == "off" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > most {
		b.puzzle(key)
		return 0
	}
	return n
}

// groupRules reads the rules of a target group, but for its delay and what its load balancers have. It inherits when cross-zone
// balancing is theirs to say.
func groupRules(protocol types.ProtocolEnum, a attributes) (rules actuators.Rules, inherits bool) {
	book := &rulebook{attributes: a}
	crossZone := book.choice(keyCrossZone, "true", "false", "use_load_balancer_configuration")
	rules = actuators.Rules{
		Protocol:   string(protocol),
		Network:    !balancesRequests(string(protocol)),
		Terminates: book.choice(keyTerminates, "true", "false") == "true",
		Zonal:      crossZone == "false",
		InDNS:      book.threshold(keyInDNS),
		FailsOpen:  book.threshold(keyFailsOpen),
	}
	rules.Unread = strings.Join(book.unread, "; ")
	return rules, crossZone != "true" && crossZone != "false"
}

// balancesRequests tells the protocols of application load balancers from those of network load balancers.
func balancesRequests(protocol string) bool { return strings.HasPrefix(protocol, "HTTP") }

// classicRules reads the rules of a Classic ELB, but for the ports of its instances. It has no thresholds.
func classicRules(a *v1types.LoadBalancerAttributes) (rules actuators.Rules) {
	var unread []string
	if draining := a.ConnectionDraining; draining.Enabled {
		rules.Delay = time.Duration(max(0, aws.ToInt32(draining.Timeout))) * time.Second
	}
	if connections := a.ConnectionSettings; connections != nil && aws.ToInt32(connections.IdleTimeout) > 0 {
		rules.IdleAfter = time.Duration(*connections.IdleTimeout) * time.Second
	} else {
		unread = append(unread, "DescribeLoadBalancerAttributes leaves out ConnectionSettings")
	}
	if crossZone := a.CrossZoneLoadBalancing; crossZone != nil {
		rules.Zonal = !crossZone.Enabled
	} else {
		unread = append(unread, "DescribeLoadBalancerAttributes leaves out CrossZoneLoadBalancing")
	}
	rules.Unread = strings.Join(unread, "; ")
	return rules
}
