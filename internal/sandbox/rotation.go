package sandbox

import (
	"sync"

	"windlass/internal/sandbox/aws"
)

// A Rotation knows how few nodes the balancer had in rotation at the worst moment. It asks the balancer, not the agent.
type Rotation struct {
	ended chan struct{}

	mu         sync.Mutex
	now, least int
}

// watchRotation watches a target group or a classic balancer until stop is closed.
func watchRotation(cloud *aws.Cloud, name string, stop <-chan struct{}) (*Rotation, error) {
	changed := cloud.Changed()
	health, err := cloud.Health(name)
	if err != nil {
		return nil, err
	}
	r := &Rotation{ended: make(chan struct{}), now: inRotation(health), least: inRotation(health)}
	go func() {
		defer close(r.ended)
		for {
			select {
			case <-changed:
			case <-stop:
				return
			}
			changed = cloud.Changed()
			if health, err := cloud.Health(name); err == nil {
				r.see(inRotation(health))
			}
		}
	}()
	return r, nil
}

func (r *Rotation) see(nodes int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now, r.least = nodes, min(r.least, nodes)
}

// Least returns how few nodes were in rotation at the worst moment since the last Reset.
func (r *Rotation) Least() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.least
}

// Reset returns Least and begins anew with how many are in rotation now.
func (r *Rotation) Reset() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	least := r.least
	r.least = r.now
	return least
}

// inRotation counts members that have joined and were not taken out. A busy machine may miss a health check now and then:
// that is nobody's removal.
func inRotation(members map[aws.Target]aws.TargetHealth) int {
	n := 0
	for _, h := range members {
		if h.State == aws.Healthy || h.State == aws.Unhealthy {
			n++
		}
	}
	return n
}
