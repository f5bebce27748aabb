package aws

import (
	"slices"
	"strconv"
)

// attribute is one of a target group or load balancer. Each kind has its own, and all of those are always sent:
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetGroupAttribute.html
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_LoadBalancerAttribute.html
type attribute struct {
	Key   string
	Value string
}

type attributesResult struct {
	Attributes []attribute `xml:"Attributes>member"`
}

// inherited is what a target group says that leaves cross-zone balancing to its load balancer.
const inherited = "use_load_balancer_configuration"

func (g *group) attributes() []attribute {
	common := []attribute{
		{"deregistration_delay.timeout_seconds", strconv.Itoa(seconds(g.DeregistrationDelay))},
		{"stickiness.enabled", "false"},
	}
	switch {
	case g.balancesRequests():
		return slices.Concat(common, g.healthAttributes(), g.applicationAttributes())
	case g.Protocol == "GENEVE":
		return append(common, attribute{"target_failover.on_deregistration", "no_rebalance"}, attribute{"target_failover.on_unhealthy", "no_rebalance"})
	}
	return slices.Concat(common, g.healthAttributes(), g.networkAttributes())
}

// healthAttributes are those of both application and network load balancers' groups.
func (g *group) healthAttributes() []attribute {
	const dns, routing = "target_group_health.dns_failover.minimum_healthy_targets.", "target_group_health.unhealthy_state_routing.minimum_healthy_targets."
	return []attribute{
		{"load_balancing.cross_zone.enabled", g.CrossZone},
		{dns + "count", orOff(orElse(g.InDNS.Count, 1))},
		{dns + "percentage", orOff(g.InDNS.Percent)},
		{routing + "count", orOff(orElse(g.FailsOpen.Count, 1))},
		{routing + "percentage", orOff(g.FailsOpen.Percent)},
	}
}

func (g *group) applicationAttributes() []attribute {
	return []attribute{
		{"load_balancing.algorithm.type", "round_robin"},
		{"load_balancing.algorithm.anomaly_mitigation", "off"},
		{"slow_start.duration_seconds", strconv.Itoa(seconds(g.SlowStart))},
		{"stickiness.type", "lb_cookie"},
		{"stickiness.lb_cookie.duration_seconds", "86400"},
		{"stickiness.app_cookie.cookie_name", ""},
		{"stickiness.app_cookie.duration_seconds", "86400"},
	}
}

func (g *group) networkAttributes() []attribute {
	datagrams := g.Protocol == "UDP" || g.Protocol == "TCP_UDP"
	return []attribute{
		{"deregistration_delay.connection_termination.enabled", strconv.FormatBool(g.ConnectionTermination)},
		{"preserve_client_ip.enabled", strconv.FormatBool(g.ofInstances || datagrams)},
		{"proxy_protocol_v2.enabled", "false"},
		{"stickiness.type", "source_ip"},
		{"target_health_state.unhealthy.connection_termination.enabled", strconv.FormatBool(g.endsUnhealthy())},
		{"target_health_state.unhealthy.draining_interval_seconds", "0"},
	}
}

func (b *loadBalancer) attributes() []attribute {
	common := []attribute{
		{"access_logs.s3.enabled", "false"},
		{"deletion_protection.enabled", "false"},
		{"load_balancing.cross_zone.enabled", strconv.FormatBool(b.CrossZone)},
		{"zonal_shift.config.enabled", "false"},
	}
	if b.Type == Network {
		return append(common, attribute{"dns_record.client_routing_policy", "any_availability_zone"})
	}
	return append(common,
		attribute{"client_keep_alive.seconds", "3600"},
		attribute{"idle_timeout.timeout_seconds", strconv.Itoa(seconds(b.IdleTimeout))},
		attribute{"routing.http2.enabled", "true"},
	)
}

// orOff words a minimum of healthy targets.
func orOff(n int) string {
	if n <= 0 {
		return "off"
	}
	return strconv.Itoa(n)
}
