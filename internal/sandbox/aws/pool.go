package aws

import (
	"cmp"
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// Target is a member of a target group or of a classic load balancer.
type Target struct {
	ID   string // instance id or IP address
	Port int    // 0: the port of the group
	Zone string // what RegisterTargets was told, if anything; no part of the identity
}

func (t Target) compare(o Target) int {
	return cmp.Or(cmp.Compare(t.ID, o.ID), cmp.Compare(t.Port, o.Port))
}

// pool is the members of one target group or classic load balancer. What a member is at a moment is derived from when it
// was registered and deregistered and from its health checks. Its methods are called with the cloud's mutex held.
type pool struct {
	ofInstances   bool          // members are instance ids; otherwise addresses
	port          int           // of members registered without one
	delay         time.Duration // how long a member drains
	slowStart     time.Duration
	registration  time.Duration // from being registered to the first health check
	check         HealthCheck
	firstPass     int                      // passed checks that make a new member healthy
	failsOpen     func(registered int) int // with fewer healthy members all of them get traffic; nil: never
	inDNS         func(registered int) int // with fewer healthy members a zone leaves DNS
	inUse         bool                     // a load balancer forwards to it
	spread        time.Duration            // for how long it sends to a member that was deregistered
	cuts          bool                     // what a member has is cut when its delay is over
	cutsUnhealthy bool                     // and when it becomes unhealthy
	zonal         bool                     // what comes in at a zone goes to the members of that zone only
	zones         []string                 // that ever had a member
	instances     instances
	reaches       reach
	connections   *connections
	members       []*member // in the order of Target.compare, gone ones included until they are forgotten
}

type member struct {
	Target
	place  string // the zone that it is in, if that is known
	life   timeline[life]
	health timeline[TargetHealth]
	forced *TargetHealth // reported in place of the truth
	passed int           // checks in a row
	failed int           // checks in a row
	ramp   time.Time     // when it was first found healthy since it was registered
	credit float64       // see pick
	stop   context.CancelFunc
}

// life is when a member came and when it goes. The zero life is that of a target which is no member.
type life struct {
	registered time.Time
	left       time.Time // when it was deregistered; zero: it stays
	drained    time.Time // end of the deregistration delay; zero: it stays
}

func (l life) absentAt(t time.Time) bool {
	return l.registered.IsZero() || !l.drained.IsZero() && !t.Before(l.drained)
}

func (l life) staying() bool { return !l.registered.IsZero() && l.drained.IsZero() }

// key returns the target with the port it is known by: the pool's own unless it names one.
func (p *pool) key(t Target) Target {
	return Target{ID: t.ID, Port: orElse(t.Port, p.port), Zone: t.Zone}
}

func (p *pool) find(t Target) (i int, found bool) {
	return slices.BinarySearchFunc(p.members, p.key(t), func(m *member, t Target) int { return m.compare(t) })
}

// named returns a target as it is known here: with its port and, for a member, its zone.
func (p *pool) named(t Target) Target {
	if i, found := p.find(t); found {
		return p.members[i].Target
	}
	return p.key(t)
}

// zone is what the API tells about a target: where an address is, if that is known, and nothing about an instance.
func (p *pool) zone(t Target, now time.Time) string {
	if p.ofInstances {
		return ""
	}
	return orElse(t.Zone, p.instances.zoneOf(t.ID, now))
}

// placeOf returns the zone that a target is in, empty when it is not known.
func (p *pool) placeOf(t Target, now time.Time) string {
	if i := p.instances.at(t.ID, now); p.ofInstances && i != nil {
		return i.Zone
	}
	return p.zone(t, now)
}

// register makes a target a member and returns it, or nil when it is one already. A member that drains comes back as a
// new one (G5).
func (p *pool) register(t Target, now time.Time) *member {
	p.forget(now)
	i, found := p.find(t)
	if !found {
		p.members = slices.Insert(p.members, i, &member{Target: p.key(t)})
	}
	m := p.members[i]
	if m.life.at(now).staying() {
		return nil
	}
	m.Zone, m.place = p.zone(t, now), p.placeOf(t, now)
	if !slices.Contains(p.zones, m.place) {
		p.zones = append(p.zones, m.place)
	}
	m.life.set(now, life{registered: now})
	p.begin(m, now)
	return m
}

// deregister starts the deregistration delay of a member and returns it, or ends its membership at once in a pool that gets no
// traffic. A target that is no member under exactly that port is passed over, and nil returned (G4).
func (p *pool) deregister(t Target, now time.Time) *member {
	i, found := p.find(t)
	if !found {
		return nil
	}
	m := p.members[i]
	l := m.life.at(now)
	if !l.staying() {
		return nil
	}
	l.left, l.drained = now, now
	if p.inUse {
		l.drained = now.Add(p.delay)
	}
	m.life.set(now, l)
	m.unwatch()
	return m
}

// forget drops members that no read can see any more.
func (p *pool) forget(now time.Time) {
	p.members = slices.DeleteFunc(p.members, func(m *member) bool {
		return m.life.at(now).absentAt(now.Add(-memory))
	})
}

// begin puts a member before its first health check.
func (p *pool) begin(m *member, now time.Time) {
	m.passed, m.failed, m.credit, m.ramp = 0, 0, 0, time.Time{}
	if m.health.at(now).State != Initial {
		m.health.set(now, because(Initial, InitialHealthChecking))
	}
}

func (m *member) unwatch() {
	if m.stop != nil {
		m.stop()
		m.stop = nil
	}
}

// record counts a health check and reports whether the member's health changed by it. A new member becomes healthy by
// its first firstPass passed checks (G7), one that was unhealthy by check.Healthy of them.
func (p *pool) record(m *member, failure string, now time.Time) (changed bool) {
	before := m.health.at(now)
	after := before
	if failure == "" {
		m.passed, m.failed = m.passed+1, 0
		if before.State == Initial && m.passed >= p.firstPass {
			m.ramp = now
			after = TargetHealth{State: Healthy}
		} else if before.State == Unhealthy && m.passed >= p.check.Healthy {
			after = TargetHealth{State: Healthy}
		}
	} else {
		m.passed, m.failed = 0, m.failed+1
		if m.failed >= p.check.Unhealthy {
			after = because(Unhealthy, failure)
		}
	}
	if after == before {
		return false
	}
	m.health.set(now, after)
	return true
}

// report is what the API says about a target at a moment: the truth, or what ForceHealth put in its place.
func (p *pool) report(t Target, asOf time.Time) TargetHealth {
	i, found := p.find(t)
	if !found {
		return because(Unused, NotRegistered)
	}
	m := p.members[i]
	if m.forced != nil && !m.life.at(asOf).absentAt(asOf) {
		return *m.forced
	}
	return p.status(m, asOf)
}

func (p *pool) status(m *member, asOf time.Time) TargetHealth {
	l := m.life.at(asOf)
	switch {
	case l.absentAt(asOf):
		return because(Unused, NotRegistered)
	case !p.inUse:
		return because(Unused, NotInUse)
	case !l.staying():
		return because(Draining, DeregistrationInProgress)
	}
	return p.fitness(m, asOf)
}

// believed is the status by which members get traffic. It takes a while until all of a load balancer knows that one was deregistered.
func (p *pool) believed(m *member, now time.Time) TargetHealth {
	if l := m.life.at(now); !l.staying() && now.Before(l.left.Add(p.spread)) {
		return p.fitness(m, now)
	}
	return p.status(m, now)
}

// fitness is the status of a member that was not deregistered.
func (p *pool) fitness(m *member, asOf time.Time) TargetHealth {
	if reason := p.unusable(m, asOf); reason != "" {
		return because(Unused, reason)
	}
	h := m.health.at(asOf)
	if h.State == Initial && asOf.Before(m.life.at(asOf).registered.Add(p.registration)) {
		return because(Initial, RegistrationInProgress)
	}
	return h
}

// unusable returns the reason why a member cannot get traffic whatever its health checks say, empty when it can.
func (p *pool) unusable(m *member, asOf time.Time) string {
	if p.ofInstances {
		if i := p.instances.at(m.ID, asOf); i == nil || i.State != Running {
			return InvalidState
		}
		return ""
	}
	if ip, err := netip.ParseAddr(m.ID); err != nil || !p.reaches.includes(ip) {
		return IPUnusable
	}
	return ""
}

// address is where a member is reached.
func (p *pool) address(m *member, now time.Time) string {
	host := m.ID
	if p.ofInstances {
		if i := p.instances.at(m.ID, now); i != nil {
			host = i.PrivateAddress
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(m.Port))
}

// listed returns the members at a moment, draining ones included.
func (p *pool) listed(asOf time.Time) []Target {
	var targets []Target
	for _, m := range p.members {
		if !m.life.at(asOf).absentAt(asOf) {
			targets = append(targets, m.Target)
		}
	}
	return targets
}

// registered returns the members at a moment, without the draining ones.
func (p *pool) registered(asOf time.Time) []Target {
	var targets []Target
	for _, m := range p.members {
		if m.life.at(asOf).staying() {
			targets = append(targets, m.Target)
		}
	}
	return targets
}

// pick chooses who gets the next request that comes in at a zone, nil when nobody can. It is round robin weighted by slow start: every candidate
// earns its weight in credit, the richest is chosen and pays what all have earned.
func (p *pool) pick(zone string, now time.Time) *member {
	var best *member
	var earned float64
	for _, m := range p.candidates(zone, now) {
		weight := p.weight(m, now)
		m.credit += weight
		earned += weight
		if best == nil || m.credit > best.credit {
			best = m
		}
	}
	if best != nil {
		best.credit -= earned
	}
	return best
}

// weight is the share of a member that gets 1 once its slow start is over; it rises from a tenth.
func (p *pool) weight(m *member, now time.Time) float64 {
	warm := now.Sub(m.ramp)
	if m.ramp.IsZero() || warm >= p.slowStart {
		return 1
	}
	return max(0.1, float64(warm)/float64(p.slowStart))
}
