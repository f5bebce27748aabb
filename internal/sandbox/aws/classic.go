package aws

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Classic is a Classic Load Balancer with one listener.
type Classic struct {
	Name               string
	InstancePort       int           // default 80
	ConnectionDraining time.Duration // after which it cuts what an instance that was deregistered has in hand; 0: disabled, and it is cut at once
	IdleTimeout        time.Duration // how long it waits for an answer to begin, and keeps an idle connection to an instance; default 60 s
	CrossZone          bool          // otherwise a zone sends to its own instances only
	Spread             time.Duration // for how long an instance that was deregistered still gets requests, at most a minute; 0: not at all
	RegistrationTime   time.Duration // from being registered to the first health check
	HealthCheck        HealthCheck
}

type classic struct {
	Classic
	created time.Time
	address string
	*pool
}

// AddClassic opens a classic load balancer and returns the address, host:port, to send traffic to. The cloud must have
// been started.
func (c *Cloud) AddClassic(l Classic) (address string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := vacant(c.classics, l.Name); err != nil {
		return "", fmt.Errorf("cannot add classic load balancer %q: %w", l.Name, err)
	}
	l.InstancePort = orElse(l.InstancePort, 80)
	l.IdleTimeout = orElse(l.IdleTimeout, time.Minute)
	l.HealthCheck = l.HealthCheck.withDefaults()
	p := &pool{
		ofInstances:  true,
		port:         l.InstancePort,
		delay:        l.ConnectionDraining,
		registration: l.RegistrationTime,
		check:        l.HealthCheck,
		firstPass:    l.HealthCheck.Healthy,
		inDNS:        Minimum{}.among,
		cuts:         true,
		zonal:        !l.CrossZone,
		instances:    c.instances,
		reaches:      c.reaches,
		connections:  newConnections(c.reaches),
	}
	address, err = c.open(l.Name, []*pool{p}, l.IdleTimeout, l.Spread)
	if err != nil {
		return "", fmt.Errorf("cannot add classic load balancer %q: %w", l.Name, err)
	}
	c.classics[l.Name] = &classic{Classic: l, created: c.now(), address: address, pool: p}
	return address, nil
}

func (c *Cloud) classicByName(name string) (*classic, error) {
	if l := c.classics[name]; l != nil {
		return l, nil
	}
	return nil, refusal("LoadBalancerNotFound", "There is no ACTIVE Load Balancer named '%s'", name)
}

func (c *Cloud) describeClassics(q query) (any, error) {
	names := q.members("LoadBalancerNames")
	if len(names) == 0 {
		names = slices.Collect(maps.Keys(c.classics))
	}
	slices.Sort(names)
	var found []*classic
	for _, name := range slices.Compact(names) {
		l, err := c.classicByName(name)
		if err != nil {
			return nil, err
		}
		found = append(found, l)
	}
	size, err := q.size("PageSize", 1, maxPage, validation)
	if err != nil {
		return nil, err
	}
	part, next, err := page(found, func(l *classic) string { return l.Name }, q.Get("Marker"), size, validation)
	if err != nil {
		return nil, err
	}
	result := describeClassicsResult{NextMarker: next}
	for _, l := range part {
		result.Descriptions = append(result.Descriptions, classicItemOf(l, q.asOf))
	}
	return result, nil
}

func (c *Cloud) describeClassicAttributes(q query) (any, error) {
	l, err := c.classicByName(q.Get("LoadBalancerName"))
	if err != nil {
		return nil, err
	}
	var result describeClassicAttributesResult
	result.DrainingEnabled = l.ConnectionDraining > 0
	result.DrainingTimeout = seconds(l.ConnectionDraining)
	result.IdleTimeout = seconds(l.IdleTimeout)
	result.CrossZone = l.CrossZone
	return result, nil
}

// describeInstanceHealth answers for the instances asked about or for all members; a terminated instance is left out.
func (c *Cloud) describeInstanceHealth(q query) (any, error) {
	l, targets, err := c.classicAndInstances(q)
	if err != nil {
		return nil, err
	}
	if len(targets) == 0 {
		targets = l.listed(q.asOf)
	} else if err := c.known(targets, q.asOf); err != nil {
		return nil, err
	}
	var result describeInstanceHealthResult
	for _, t := range targets {
		i := c.instances.at(t.ID, q.asOf)
		if i != nil && i.State != Terminated {
			result.States = append(result.States, instanceStateOf(i, l.report(t, q.asOf)))
		}
	}
	return result, nil
}

// instanceStateOf words a health as the classic API does, which reports a draining instance as in service (G2).
func instanceStateOf(i *Instance, h TargetHealth) instanceState {
	state := func(state, reason, description string) instanceState {
		return instanceState{ID: i.ID, State: state, ReasonCode: reason, Description: description}
	}
	switch {
	case h.State == Healthy:
		return state("InService", "N/A", "N/A")
	case h.Reason == DeregistrationInProgress:
		return state("InService", "N/A", "Instance deregistration currently in progress.")
	case h.State == Initial:
		return state("OutOfService", "ELB", "Instance registration is still in progress.")
	case h.Reason == NotRegistered:
		return state("OutOfService", "Instance", "Instance is not currently registered with the LoadBalancer.")
	case h.Reason == InvalidState:
		return state("OutOfService", "Instance", fmt.Sprintf("Instance is in %s state.", i.State))
	case h.State == Unhealthy:
		return state("OutOfService", "Instance", "Instance has failed at least the UnhealthyThreshold number of health checks consecutively.")
	}
	return state("Unknown", "ELB", "A transient error occurred. Please try again later.")
}

func (c *Cloud) registerInstances(q query) (any, error) {
	return c.changeMembers(q, c.join)
}

func (c *Cloud) deregisterInstances(q query) (any, error) {
	return c.changeMembers(q, c.leave)
}

// changeMembers joins or removes instances, which must be known to EC2, and answers with the members that remain.
func (c *Cloud) changeMembers(q query, change func(*pool, []Target, time.Time)) (any, error) {
	l, targets, err := c.classicAndInstances(q)
	if err != nil {
		return nil, err
	}
	if len(targets) == 0 {
		return nil, refusal(validation, "At least one instance must be specified")
	}
	if err := c.known(targets, q.now); err != nil {
		return nil, err
	}
	change(l.pool, targets, q.now)
	return classicMembersResult{Instances: identified(l.registered(q.now))}, nil
}

func (c *Cloud) classicAndInstances(q query) (*classic, []Target, error) {
	l, err := c.classicByName(q.Get("LoadBalancerName"))
	if err != nil {
		return nil, nil, err
	}
	var targets []Target
	for n := 1; q.Has(fmt.Sprintf("Instances.member.%d.InstanceId", n)); n++ {
		targets = append(targets, Target{ID: q.Get(fmt.Sprintf("Instances.member.%d.InstanceId", n))})
	}
	return l, targets, nil
}

// known refuses instances that EC2 does not know.
func (c *Cloud) known(targets []Target, asOf time.Time) error {
	for _, t := range targets {
		if c.instances.at(t.ID, asOf) == nil {
			return refusal("InvalidInstance", "Could not find EC2 instance %s.", t.ID)
		}
	}
	return nil
}

// The answers of Classic Load Balancing, for encoding/xml.

type describeClassicsResult struct {
	Descriptions []classicItem `xml:"LoadBalancerDescriptions>member"`
	NextMarker   string        `xml:"NextMarker,omitempty"`
}

type classicItem struct {
	Name      string         `xml:"LoadBalancerName"`
	DNSName   string         `xml:"DNSName"`
	Scheme    string         `xml:"Scheme"`
	Created   string         `xml:"CreatedTime"`
	Instances []instanceName `xml:"Instances>member"`
	Listener  listenerItem   `xml:"ListenerDescriptions>member>Listener"`
	Check     checkItem      `xml:"HealthCheck"`
}

type instanceName struct {
	ID string `xml:"InstanceId"`
}

type listenerItem struct {
	Protocol         string
	LoadBalancerPort string
	InstanceProtocol string
	InstancePort     int
}

type checkItem struct {
	Target             string
	Interval           int
	Timeout            int
	HealthyThreshold   int
	UnhealthyThreshold int
}

func classicItemOf(l *classic, asOf time.Time) classicItem {
	_, port, _ := strings.Cut(l.address, ":")
	target := fmt.Sprintf("%s:%d", l.check.Protocol, l.InstancePort)
	if l.check.Protocol == "HTTP" {
		target += l.check.Path
	}
	return classicItem{
		Name: l.Name, DNSName: loopback, Scheme: "internal", Created: timestamp(l.created),
		Instances: identified(l.registered(asOf)),
		Listener:  listenerItem{Protocol: "HTTP", LoadBalancerPort: port, InstanceProtocol: "HTTP", InstancePort: l.InstancePort},
		Check: checkItem{
			Target: target, Interval: max(1, seconds(l.check.Interval)), Timeout: max(1, seconds(l.check.Timeout)),
			HealthyThreshold: l.check.Healthy, UnhealthyThreshold: l.check.Unhealthy,
		},
	}
}

func identified(targets []Target) []instanceName {
	var names []instanceName
	for _, t := range targets {
		names = append(names, instanceName{t.ID})
	}
	return names
}

type describeClassicAttributesResult struct {
	DrainingEnabled bool `xml:"LoadBalancerAttributes>ConnectionDraining>Enabled"`
	DrainingTimeout int  `xml:"LoadBalancerAttributes>ConnectionDraining>Timeout"`
	IdleTimeout     int  `xml:"LoadBalancerAttributes>ConnectionSettings>IdleTimeout"`
	CrossZone       bool `xml:"LoadBalancerAttributes>CrossZoneLoadBalancing>Enabled"`
}

type describeInstanceHealthResult struct {
	States []instanceState `xml:"InstanceStates>member"`
}

type instanceState struct {
	ID          string `xml:"InstanceId"`
	State       string
	ReasonCode  string
	Description string
}

type classicMembersResult struct {
	Instances []instanceName `xml:"Instances>member"`
}
