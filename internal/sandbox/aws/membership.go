package aws

import (
	"errors"
	"fmt"
	"time"
)

// Register makes targets members of a target group or classic load balancer, as if somebody had called the API: the same
// errors, but no fault of [Faults] and no trace in Calls.
func (c *Cloud) Register(name string, targets ...Target) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g := c.groups[name]; g != nil {
		if err := c.admissible(g, targets, c.now()); err != nil {
			return fmt.Errorf("cannot register in target group %s: %w", name, err)
		}
		c.join(g.pool, targets, c.now())
		return nil
	}
	l, err := c.classicByName(name)
	if err != nil {
		return fmt.Errorf("cannot register in %s: %w", name, err)
	}
	if err := c.known(targets, c.now()); err != nil {
		return fmt.Errorf("cannot register in classic load balancer %s: %w", name, err)
	}
	c.join(l.pool, targets, c.now())
	return nil
}

// Deregister lets members of a target group or classic load balancer drain, as if somebody had called the API.
func (c *Cloud) Deregister(name string, targets ...Target) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := c.poolByName(name)
	if err != nil {
		return fmt.Errorf("cannot deregister from %s: %w", name, err)
	}
	c.leave(p, targets, c.now())
	return nil
}

// Health returns how the members of a target group or classic load balancer are at this moment, draining ones included,
// whatever lag the API has. For both it speaks in the states and reasons of a target group.
func (c *Cloud) Health(name string) (map[Target]TargetHealth, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := c.poolByName(name)
	if err != nil {
		return nil, fmt.Errorf("cannot tell the health in %s: %w", name, err)
	}
	health := map[Target]TargetHealth{}
	for _, t := range p.listed(c.now()) {
		health[Target{ID: t.ID, Port: t.Port}] = p.report(t, c.now())
	}
	return health, nil
}

// ForceHealth makes the API report a member in a state of the caller's choice, known to AWS or not, until it is called
// with nil. Traffic goes by the truth.
func (c *Cloud) ForceHealth(name string, t Target, health *TargetHealth) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, err := c.poolByName(name)
	if err != nil {
		return fmt.Errorf("cannot force the health of %s in %s: %w", t.ID, name, err)
	}
	i, found := p.find(t)
	if !found {
		return fmt.Errorf("cannot force the health of %s in %s: it is no member", t.ID, name)
	}
	p.members[i].forced = health
	c.announce()
	return nil
}

func (c *Cloud) poolByName(name string) (*pool, error) {
	if g := c.groups[name]; g != nil {
		return g.pool, nil
	}
	l, err := c.classicByName(name)
	if err != nil {
		return nil, err
	}
	return l.pool, nil
}

// vacant refuses a name that something of that kind has, or none at all.
func vacant[T any](kind map[string]T, name string) error {
	if name == "" {
		return errors.New("it has no name")
	}
	if _, taken := kind[name]; taken {
		return errors.New("the name is taken")
	}
	return nil
}

// join registers targets and starts their health checks. The mutex is held.
func (c *Cloud) join(p *pool, targets []Target, now time.Time) {
	for _, t := range targets {
		if m := p.register(t, now); m != nil {
			c.watch(p, m)
		}
	}
	c.announce()
}

// leave deregisters targets. The mutex is held.
func (c *Cloud) leave(p *pool, targets []Target, now time.Time) {
	for _, t := range targets {
		if m := p.deregister(t, now); m != nil && p.cuts {
			c.cutLater(p, m, now)
		}
	}
	c.announce()
}

// cutLater cuts what a member has that was deregistered just now, unless it comes back first. Each of a load balancer's machines waits for
// the delay from when it knows, so that what the last of them sent has it as well. The mutex is held.
func (c *Cloud) cutLater(p *pool, m *member, now time.Time) {
	ctx, left, address := c.ctx, m.life.at(now), p.address(m, now)
	c.running.Go(func() {
		select {
		case <-ctx.Done():
			return
		case <-time.After(p.spread + p.delay):
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if m.life.at(c.now()) == left {
			p.connections.cut(address)
		}
	})
}
