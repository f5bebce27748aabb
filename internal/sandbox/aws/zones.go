package aws

import (
	"slices"
	"time"
)

// zone is the zone at which the next request comes in: those in DNS take turns, as clients resolve the name anew for each.
func (f *front) zone(now time.Time) string {
	zones := f.zonesInDNS(now)
	if len(zones) == 0 {
		return ""
	}
	return zones[f.turn/len(f.pools)%len(zones)]
}

// zonesInDNS are the zones that have enough healthy targets of every pool, or all when none has:
// https://repost.aws/knowledge-center/elb-dns-cross-zone-balance-configuration
func (f *front) zonesInDNS(now time.Time) []string {
	var all, fit []string
	for _, p := range f.pools {
		all = append(all, p.zones...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	for _, zone := range all {
		if !slices.ContainsFunc(f.pools, func(p *pool) bool { return p.leavesDNS(zone, now) }) {
			fit = append(fit, zone)
		}
	}
	if fit == nil {
		return all
	}
	return fit
}

// census is how the members are that a zone sends to.
type census struct {
	registered int       // without the draining ones
	healthy    []*member // who get traffic
	others     []*member // who could
}

// census counts the members of a zone, or of all when the pool balances across zones.
func (p *pool) census(zone string, now time.Time) census {
	var c census
	for _, m := range p.members {
		if p.zonal && m.place != zone {
			continue
		}
		h := p.believed(m, now)
		if h.State == Draining || h.Reason == NotRegistered {
			continue
		}
		c.registered++
		switch h.State {
		case Healthy:
			c.healthy = append(c.healthy, m)
		case Unhealthy, Initial:
			c.others = append(c.others, m)
		}
	}
	return c
}

// leavesDNS reports whether a zone has too few healthy members for clients to be sent there.
func (p *pool) leavesDNS(zone string, now time.Time) bool {
	c := p.census(zone, now)
	return len(c.healthy) < p.inDNS(c.registered)
}

// candidates are the healthy members; when they are too few and the pool fails open, all that are usable.
func (p *pool) candidates(zone string, now time.Time) []*member {
	c := p.census(zone, now)
	if p.failsOpen != nil && len(c.healthy) < p.failsOpen(c.registered) {
		return append(c.healthy, c.others...)
	}
	return c.healthy
}
