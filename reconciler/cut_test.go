package reconciler

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"windlass/actuators"
	"windlass/reconciler/plan"
)

// cut is a host that cannot reach one node while it is told so.
type cut struct {
	*stage
	node string
	now  atomic.Bool
}

func (c *cut) fails(at actuators.Place) error {
	if at.Node.Name == c.node && c.now.Load() {
		return errors.New("connection timed out")
	}
	return nil
}

func (c *cut) Read(ctx context.Context, at actuators.Place) (actuators.HostState, error) {
	if err := c.fails(at); err != nil {
		return actuators.HostState{}, err
	}
	return c.stage.Read(ctx, at)
}

func (c *cut) Write(ctx context.Context, at actuators.Place, old string, r actuators.NodeRecord) (actuators.HostState, error) {
	if err := c.fails(at); err != nil {
		return actuators.HostState{}, err
	}
	return c.stage.Write(ctx, at, old, r)
}

// Laws 1, 11: a node that was claimed ahead and cannot be reached any more serves on: the others get the version, which is not halted, and it
// gets it when it can be reached again.
func TestLaw1ClaimedNodeThatIsCutOffHoldsNobodyUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stageOf(5, "v1")
		s.job, s.leaves, s.comes = 20*time.Second, true, true
		host := &cut{stage: s, node: "web-3"}
		d := s.deps()
		d.Host = host
		g, _, end := s.begin(t, webFleet("v2"), d)
		defer end()
		for time.Sleep(time.Second); !strings.HasPrefix(g.Snapshot().Fleets[0].Nodes[2].Reason, "claimed, and leaves when its turn comes"); {
			time.Sleep(100 * time.Millisecond)
		}
		host.now.Store(true)
		time.Sleep(30 * time.Minute)
		f := g.Snapshot().Fleets[0]
		for i, n := range f.Nodes {
			if done := n.State == plan.InService && !n.Outdated; done != (i != 2) {
				t.Errorf("half an hour later %s is %s: %s; %s: %s", n.Name, n.State, n.Reason, f.Phase, f.Reason)
			}
		}
		host.now.Store(false)
		time.Sleep(5 * time.Minute)
		if f := g.Snapshot().Fleets[0]; f.Phase != plan.PhaseIdle {
			t.Errorf("when it can be reached again: %s: %s", f.Phase, f.Reason)
		}
	})
}
