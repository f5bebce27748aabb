package aws

import (
	"fmt"
	"hash/fnv"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// TargetGroup is a set of targets that a load balancer forwards to.
type TargetGroup struct {
	Name                string
	Type                string        // instance or ip; default instance
	Protocol            string        // HTTP, HTTPS, TCP, TLS, UDP, TCP_UDP or GENEVE; default HTTP, which all of them carry here
	Port                int           // of targets registered without one; default 80
	DeregistrationDelay time.Duration // how long a target drains; then an Application load balancer cuts what it has in hand; 0: not at all
	SlowStart           time.Duration // how long a new target's share of the traffic rises; 0: not at all
	RegistrationTime    time.Duration // from being registered to the first health check
	MaxTargets          int           // default 1000
	HealthCheck         HealthCheck

	CrossZone             string  // true, false or use_load_balancer_configuration, which is the default; false: a zone sends to its own targets only
	InDNS                 Minimum // of healthy targets, below which a zone gets no traffic unless all zones are below theirs
	FailsOpen             Minimum // of healthy targets, below which the unhealthy get traffic as well
	ConnectionTermination bool    // a Network load balancer cuts flows when the delay of their target is over (AWS sets it for new groups of UDP)
}

// Minimum is how many targets must be healthy for something: in each zone when cross-zone balancing is off, otherwise in all together.
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health.html
type Minimum struct {
	Count   int // default 1; negative: off
	Percent int // of those registered; 0: off
}

// among returns the minimum of so many targets.
func (m Minimum) among(registered int) int {
	return max(0, orElse(m.Count, 1), (registered*m.Percent+99)/100)
}

type group struct {
	TargetGroup
	arn string
	*pool
}

var protocols = []string{"HTTP", "HTTPS", "TCP", "TLS", "UDP", "TCP_UDP", "GENEVE"}

// balancesRequests tells groups of application load balancers from others.
func (g TargetGroup) balancesRequests() bool { return strings.HasPrefix(g.Protocol, "HTTP") }

// endsUnhealthy tells groups whose Network load balancer cuts the flows of an unhealthy target.
func (g TargetGroup) endsUnhealthy() bool { return g.Protocol == "TCP" || g.Protocol == "TLS" }

// The types of a load balancer.
const (
	Application = "application"
	Network     = "network"
)

// LoadBalancer has one listener that forwards to its target groups in turn: requests that of an Application one, TCP connections that of a
// Network one, whatever the protocol of the group.
type LoadBalancer struct {
	Name         string
	Type         string   // Application or Network; default Application
	TargetGroups []string // names; none may belong to another load balancer

	IdleTimeout time.Duration // of an Application one: how long it waits for an answer to begin, and keeps an idle connection to a target; default 60 s
	CrossZone   bool          // of a Network one, whose zones otherwise send to their own targets only; always on for Application
	Spread      time.Duration // for how long a target that was deregistered still gets requests or connections, at most a minute; 0: not at all
}

type loadBalancer struct {
	LoadBalancer
	arn     string
	created time.Time
}

// AddTargetGroup adds a target group and returns its ARN. Until a load balancer has it, its targets are unused.
func (c *Cloud) AddTargetGroup(g TargetGroup) (arn string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := vacant(c.groups, g.Name); err != nil {
		return "", fmt.Errorf("cannot add target group %q: %w", g.Name, err)
	}
	g = g.withDefaults()
	if err := g.known(); err != nil {
		return "", fmt.Errorf("cannot add target group %q: %w", g.Name, err)
	}
	arn = c.arn("targetgroup/" + g.Name + "/" + digits(g.Name))
	c.groups[g.Name] = &group{TargetGroup: g, arn: arn, pool: &pool{
		ofInstances:  g.Type == "instance",
		port:         g.Port,
		delay:        g.DeregistrationDelay,
		slowStart:    g.SlowStart,
		registration: g.RegistrationTime,
		check:        g.HealthCheck,
		firstPass:    1,
		failsOpen:    g.FailsOpen.among,
		inDNS:        g.InDNS.among,
		instances:    c.instances,
		reaches:      c.reaches,
		connections:  newConnections(c.reaches),
	}}
	return arn, nil
}

func (g TargetGroup) withDefaults() TargetGroup {
	g.Type = orElse(g.Type, "instance")
	g.Protocol = orElse(g.Protocol, "HTTP")
	g.CrossZone = orElse(g.CrossZone, inherited)
	g.Port = orElse(g.Port, 80)
	g.MaxTargets = orElse(g.MaxTargets, 1000)
	g.HealthCheck = g.HealthCheck.withDefaults()
	return g
}

// known refuses what is not among the few values that AWS has.
func (g TargetGroup) known() error {
	for _, c := range []struct {
		what, value string
		values      []string
	}{
		{"type", g.Type, []string{"instance", "ip"}},
		{"protocol", g.Protocol, protocols},
		{"cross-zone balancing", g.CrossZone, []string{"true", "false", inherited}},
	} {
		if !slices.Contains(c.values, c.value) {
			return fmt.Errorf("its %s is %q, none of %s", c.what, c.value, strings.Join(c.values, ", "))
		}
	}
	return nil
}

// AddLoadBalancer opens a load balancer and returns the address, host:port, to send traffic to. The cloud must have been
// started.
func (c *Cloud) AddLoadBalancer(b LoadBalancer) (address string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b.Type = orElse(b.Type, Application)
	kind, known := map[string]string{Application: "app", Network: "net"}[b.Type]
	if !known {
		return "", fmt.Errorf("cannot add load balancer %q: its type is %q, not %s or %s", b.Name, b.Type, Application, Network)
	}
	pools, err := c.freePools(b.TargetGroups)
	if err != nil {
		return "", fmt.Errorf("cannot add load balancer %q: %w", b.Name, err)
	}
	if b.Type == Application {
		b.IdleTimeout, b.CrossZone = orElse(b.IdleTimeout, time.Minute), true
	} else {
		b.IdleTimeout = 0 // it has connections, and nothing that would be waited for in them
	}
	address, err = c.open(b.Name, pools, b.IdleTimeout, b.Spread)
	if err != nil {
		return "", fmt.Errorf("cannot add load balancer %q: %w", b.Name, err)
	}
	for _, name := range b.TargetGroups {
		c.groups[name].follow(b)
	}
	c.balancers[b.Name] = &loadBalancer{
		LoadBalancer: b,
		arn:          c.arn("loadbalancer/" + kind + "/" + b.Name + "/" + digits(b.Name)),
		created:      c.now(),
	}
	return address, nil
}

// follow has the group's targets get traffic in the way of a load balancer.
func (g *group) follow(b LoadBalancer) {
	g.zonal = g.CrossZone == "false" || g.CrossZone == inherited && !b.CrossZone
	g.cuts = b.Type == Application || g.ConnectionTermination
	g.cutsUnhealthy = b.Type == Network && g.endsUnhealthy()
}

// freePools returns the pools of target groups that no load balancer has yet.
func (c *Cloud) freePools(names []string) ([]*pool, error) {
	if len(names) == 0 {
		return nil, fmt.Errorf("it names no target group")
	}
	var pools []*pool
	for _, name := range names {
		g := c.groups[name]
		switch {
		case g == nil:
			return nil, fmt.Errorf("there is no target group %q", name)
		case g.inUse:
			return nil, fmt.Errorf("target group %q belongs to another", name)
		}
		pools = append(pools, g.pool)
	}
	return pools, nil
}

// digits is the unique part of an ARN.
func digits(name string) string {
	h := fnv.New64a()
	h.Write([]byte(name))
	return fmt.Sprintf("%016x", h.Sum64())
}

const validation = "ValidationError"

// Limits of the API: names or ARNs, entries of a page, and targets in one call.
const (
	maxNames   = 20
	maxPage    = 400
	maxTargets = 200
)

func (c *Cloud) describeTargetGroups(q query) (any, error) {
	names, arns, balancer := q.members("Names"), q.members("TargetGroupArns"), q.Get("LoadBalancerArn")
	if len(names) > maxNames || len(arns) > maxNames {
		return nil, refusal(validation, "Member must have length less than or equal to %d", maxNames)
	}
	if len(names) > 0 && len(arns) > 0 || balancer != "" && len(names)+len(arns) > 0 {
		return nil, refusal(validation, "Specify names, ARNs or a load balancer, and only one of them")
	}
	groups, err := c.selectGroups(names, arns, balancer)
	if err != nil {
		return nil, err
	}
	size, err := q.size("PageSize", 1, maxPage, validation)
	if err != nil {
		return nil, err
	}
	part, next, err := page(groups, func(g *group) string { return g.Name }, q.Get("Marker"), size, validation)
	if err != nil {
		return nil, err
	}
	result := describeTargetGroupsResult{NextMarker: next}
	for _, g := range part {
		result.TargetGroups = append(result.TargetGroups, c.groupItem(g))
	}
	return result, nil
}

// selectGroups returns the groups that are named, or have one of the ARNs, or belong to the balancer, or all, sorted by
// name.
func (c *Cloud) selectGroups(names, arns []string, balancer string) ([]*group, error) {
	for _, arn := range arns {
		g, err := c.groupByARN(arn)
		if err != nil {
			return nil, err
		}
		names = append(names, g.Name)
	}
	if balancer != "" {
		b := c.balancerByARN(balancer)
		if b == nil {
			return nil, refusal("LoadBalancerNotFound", "Load balancer '%s' not found", balancer)
		}
		names = slices.Clone(b.TargetGroups)
	}
	if len(names) == 0 {
		names = slices.Collect(maps.Keys(c.groups))
	}
	slices.Sort(names)
	var groups []*group
	for _, name := range slices.Compact(names) {
		g := c.groups[name]
		if g == nil {
			return nil, refusal("TargetGroupNotFound", "One or more target groups not found")
		}
		groups = append(groups, g)
	}
	return groups, nil
}

func (c *Cloud) groupByARN(arn string) (*group, error) {
	if !strings.HasPrefix(arn, "arn:aws:elasticloadbalancing:") || !strings.Contains(arn, ":targetgroup/") {
		return nil, refusal(validation, "'%s' is not a valid target group ARN", arn)
	}
	for _, g := range c.groups {
		if g.arn == arn {
			return g, nil
		}
	}
	return nil, refusal("TargetGroupNotFound", "One or more target groups not found")
}

func (c *Cloud) balancerByARN(arn string) *loadBalancer {
	for _, b := range c.balancers {
		if b.arn == arn {
			return b
		}
	}
	return nil
}

// balancerOf returns the load balancer that a target group belongs to, nil for none.
func (c *Cloud) balancerOf(group string) *loadBalancer {
	for _, b := range c.balancers {
		if slices.Contains(b.TargetGroups, group) {
			return b
		}
	}
	return nil
}

func (c *Cloud) describeTargetGroupAttributes(q query) (any, error) {
	g, err := c.groupByARN(q.Get("TargetGroupArn"))
	if err != nil {
		return nil, err
	}
	return attributesResult{Attributes: g.attributes()}, nil
}

// seconds rounds a duration to what the API can say.
func seconds(d time.Duration) int { return int(d.Round(time.Second) / time.Second) }

func (c *Cloud) describeTargetHealth(q query) (any, error) {
	g, targets, err := c.groupAndTargets(q)
	if err != nil {
		return nil, err
	}
	if len(targets) == 0 {
		targets = g.listed(q.asOf)
	}
	var result describeTargetHealthResult
	for _, t := range targets {
		item := healthItem(g.named(t), g.report(t, q.asOf))
		if g.balancesRequests() && slices.Contains([]string{"AnomalyDetection", "All"}, q.Get("Include.member.1")) {
			item.Anomaly = anomalyOf(g.report(t, q.asOf))
		}
		result.Descriptions = append(result.Descriptions, item)
	}
	return result, nil
}

func (c *Cloud) registerTargets(q query) (any, error) {
	g, targets, err := c.groupAndTargets(q)
	if err != nil {
		return nil, err
	}
	if err := c.admissible(g, targets, q.now); err != nil {
		return nil, err
	}
	c.join(g.pool, targets, q.now)
	return struct{}{}, nil
}

func (c *Cloud) deregisterTargets(q query) (any, error) {
	g, targets, err := c.groupAndTargets(q)
	if err != nil {
		return nil, err
	}
	if len(targets) == 0 {
		return nil, errNoTarget
	}
	c.leave(g.pool, targets, q.now)
	return struct{}{}, nil
}

func (c *Cloud) groupAndTargets(q query) (*group, []Target, error) {
	g, err := c.groupByARN(q.Get("TargetGroupArn"))
	if err != nil {
		return nil, nil, err
	}
	targets, err := targetsOf(q)
	return g, targets, err
}

// targetsOf reads a list of targets, each of which must have an id.
func targetsOf(q query) ([]Target, error) {
	var targets []Target
	for n := 1; ; n++ {
		prefix := fmt.Sprintf("Targets.member.%d.", n)
		id, portText, zone := q.Get(prefix+"Id"), q.Get(prefix+"Port"), q.Get(prefix+"AvailabilityZone")
		port, err := strconv.Atoi(orElse(portText, "0"))
		switch {
		case n > maxTargets && id != "":
			return nil, refusal(validation, "Member must have length less than or equal to %d", maxTargets)
		case id == "" && portText == "" && zone == "" && !q.Has(prefix+"Id"):
			return targets, nil
		case id == "":
			return nil, refusal(validation, "A target ID must be specified")
		case err != nil || port < 0 || port > 65535:
			return nil, refusal(validation, "Port '%s' is not from 1 to 65535", portText)
		}
		targets = append(targets, Target{ID: id, Port: port, Zone: zone})
	}
}

var errNoTarget = refusal(validation, "At least one target must be specified")

// admissible refuses a registration as a whole when one of its targets cannot be registered or the group would become
// too full (G12).
func (c *Cloud) admissible(g *group, targets []Target, now time.Time) error {
	if len(targets) == 0 {
		return errNoTarget
	}
	members := map[Target]bool{}
	for _, t := range g.registered(now) {
		members[Target{ID: t.ID, Port: t.Port}] = true
	}
	for _, t := range targets {
		if err := c.registrable(g, t, now); err != nil {
			return err
		}
		members[Target{ID: t.ID, Port: orElse(t.Port, g.Port)}] = true
	}
	if len(members) > g.MaxTargets {
		return refusal("TooManyTargets", "The maximum number of targets in target group '%s' is %d", g.Name, g.MaxTargets)
	}
	return nil
}

func (c *Cloud) registrable(g *group, t Target, now time.Time) error {
	if !g.ofInstances {
		if ip, err := netip.ParseAddr(t.ID); err != nil || ip.Zone() != "" {
			return refusal(validation, "The IP address '%s' is not a valid IP address", t.ID)
		}
		return nil
	}
	i := c.instances.at(t.ID, now)
	switch {
	case t.Zone != "":
		return refusal(validation, "You cannot specify an Availability Zone for the instance '%s'", t.ID)
	case i == nil:
		return refusal("InvalidTarget", "The following targets are not valid instances: '%s'", t.ID)
	case i.State != Running:
		return refusal("InvalidTarget", "The following targets are not in a running state and cannot be registered: '%s'", t.ID)
	}
	return nil
}

func (c *Cloud) describeLoadBalancers(q query) (any, error) {
	found, err := c.selectBalancers(q.members("Names"), q.members("LoadBalancerArns"))
	if err != nil {
		return nil, err
	}
	size, err := q.size("PageSize", 1, maxPage, validation)
	if err != nil {
		return nil, err
	}
	part, next, err := page(found, func(b *loadBalancer) string { return b.Name }, q.Get("Marker"), size, validation)
	if err != nil {
		return nil, err
	}
	result := describeLoadBalancersResult{NextMarker: next}
	for _, b := range part {
		result.LoadBalancers = append(result.LoadBalancers, balancerItem{
			ARN: b.arn, Name: b.Name, Type: b.Type, DNSName: loopback, Scheme: "internal", State: "active", Created: timestamp(b.created),
		})
	}
	return result, nil
}

func (c *Cloud) describeLoadBalancerAttributes(q query) (any, error) {
	b := c.balancerByARN(q.Get("LoadBalancerArn"))
	if b == nil {
		return nil, refusal("LoadBalancerNotFound", "Load balancer '%s' not found", q.Get("LoadBalancerArn"))
	}
	return attributesResult{Attributes: b.attributes()}, nil
}

// selectBalancers returns the balancers that are named or have one of the ARNs, or all, sorted by name.
func (c *Cloud) selectBalancers(names, arns []string) ([]*loadBalancer, error) {
	if len(names)+len(arns) > maxNames {
		return nil, refusal(validation, "Member must have length less than or equal to %d", maxNames)
	}
	all := len(names)+len(arns) == 0
	var found []*loadBalancer
	for _, name := range slices.Sorted(maps.Keys(c.balancers)) {
		b := c.balancers[name]
		if all || slices.Contains(names, name) || slices.Contains(arns, b.arn) {
			found = append(found, b)
		}
	}
	if len(found) < len(names)+len(arns) {
		return nil, refusal("LoadBalancerNotFound", "One or more load balancers not found")
	}
	return found, nil
}
