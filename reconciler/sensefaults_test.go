package reconciler

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"windlass/actuators"
	"windlass/reconciler/plan"
)

var calibratedTraffic = plan.Traffic{Service: someService, Sees: true, Others: []int{80}}

// one Deregister that was throttled makes the agent forget that the sensor works, and then it will not look again.
func TestThrottledDrainKeepsWhatWasSeen(t *testing.T) {
	a, n := sensingActor()
	n.Host = &actuators.HostState{Record: actuators.NodeRecord{Instance: "i-web-1", Stage: actuators.Leaving}}
	a.followSense()
	n.Traffic = calibratedTraffic
	n.Busy = plan.Drain
	a.acted(n, plan.Step{Node: "web-1", Kind: plan.Drain}, outcome{}, errors.New("Throttling"))
	a.plan.Sense = nil // canWork refuses while the node is read again: "to be read again after a call…"
	a.followSense()
	a.plan.Sense = []plan.Sense{{Node: "web-1", Service: someService}}
	a.followSense()
	a.sensed(n, someService, actuators.Traffic{Sees: true, Others: []int{80}, Busy: 1}) // it serves on
	if !n.Traffic.Sees {
		t.Errorf("forgotten, and not learned again: %+v", n.Traffic)
	}
}

// a drain that never began (access denied, then paused: the node stays) leaves Asked behind; its next journey is never looked at.
func TestDrainThatWasGivenUpBlindsTheNextOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, n := sensingActor()
		a.acted(n, plan.Step{Node: "web-1", Kind: plan.Drain}, outcome{}, errors.New("AccessDenied"))
		a.acted(n, plan.Step{Node: "web-1", Kind: plan.Restore}, outcome{}, nil) // stays for now
		time.Sleep(time.Hour)
		a.followSense()
		a.sensed(n, someService, actuators.Traffic{Sees: true, Others: []int{80}, Busy: 1})
		if !n.Traffic.Sees {
			t.Errorf("later, while it serves: %+v, asked %q", n.Traffic, n.Asked)
		}
	})
}

// somebody puts a node back by hand whose steps had begun: what was seen of the service before the steps is believed of the one after.
func TestPutBackByHandIsLookedAtAnew(t *testing.T) {
	a, n := sensingActor()
	n.Targets = actuators.Targets{IP: "web-1"}
	a.followSense()
	n.Traffic = calibratedTraffic
	read := func(status actuators.TargetStatus) {
		g := actuators.GroupState{Group: actuators.Group{ID: "arn:web"}, TargetType: "ip"}
		g.Members = []actuators.Target{{Membership: actuators.Membership{Group: "arn:web", ID: "web-1"}, Status: status}}
		a.groups = []actuators.GroupState{g}
		a.noticeMoves(time.Now())
	}
	a.acted(n, plan.Step{Node: "web-1", Kind: plan.Drain}, outcome{}, nil)
	read(actuators.TargetDraining)
	a.acted(n, plan.Step{Node: "web-1", Kind: plan.Configure}, outcome{}, nil) // the service is a container now
	a.plan.Sense = nil
	a.followSense()
	read(actuators.TargetHealthy) // put back by hand
	a.followSense()
	if n.Traffic.Sees {
		t.Errorf("it serves with something else, and a sensor that was never tried on that is believed: %+v", n.Traffic)
	}
}

// dyingSensor tells one sample a session and breaks off.
type dyingSensor struct{ told int }

func (s *dyingSensor) Sense(_ context.Context, _ actuators.Place, _ actuators.Service, tell func(actuators.Traffic)) error {
	s.told++
	tell(actuators.Traffic{Busy: 1})
	return errors.New("it sends what is no sample")
}

// a sensor that dies after each first sample is begun anew each second, with a warning each time.
func TestSensorThatDiesIsBackedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &dyingSensor{}
		a, n := sensingActor()
		a.Sensor = s
		a.followSense()
		for range 600 {
			a.sense(t.Context(), n, time.Now())
			synctest.Wait()
			a.tasks.drain()
			for len(a.tasks.done) > 0 {
				(<-a.tasks.done)()
			}
			time.Sleep(time.Second)
		}
		a.tasks.wait()
		if s.told > 60 {
			t.Errorf("%d SSH sessions in 10 minutes, broken %d", s.told, n.sensing.broken)
		}
	})
}
