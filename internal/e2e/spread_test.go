package e2e

import (
	"testing"
	"time"

	"windlass/internal/sandbox"
	"windlass/internal/sandbox/aws"
)

// A balancer goes on sending requests to a node after its deregistration, keeps connections to it, and never sends a request twice. Not one
// is lost when drains settle for longer than that and than requests take; when they do not settle, some are.
func TestDrainsSettle(t *testing.T) {
	for _, c := range []struct {
		settle string
		spread time.Duration
		loses  bool
	}{
		{"4s", 2 * time.Second, false},
		{"0s", 10 * time.Second, true}, // within which a busy machine restarts a service as well
	} {
		t.Run(c.settle, func(t *testing.T) {
			w := newWorld(t, 2)
			url := w.spreading(c.spread)
			w.edit(fleetFile, func(old string) string {
				return w.replace(old, [][2]string{{"targetGroup: web", "targetGroup: late"}, {"settle: 0s", "settle: " + c.settle}})
			})
			w.begin()
			w.Traffic.Stop() // of the group that nobody takes nodes out of
			steady, slow := sandbox.StartTraffic(url, 20), sandbox.StartTraffic(url+"/?takes=500ms", 20)
			t.Cleanup(steady.Stop)
			t.Cleanup(slow.Stop)
			w.arrives(w.deploy("v2"), "v2")
			steady.Stop()
			slow.Stop()
			a, b, balancer := steady.Count(), slow.Count(), must(w.Cloud.Traffic("late"))(t)
			t.Logf("%d of %d requests failed, and %d of %d that take 500ms; %d were sent late", a.Failed, a.Requests, b.Failed, b.Requests, balancer.Late)
			if lost := a.Failed + b.Failed; lost > 0 != c.loses || balancer.Late == 0 || a.Releases["v2"] == 0 || b.Releases["v2"] == 0 {
				t.Errorf("%+v and %+v; the balancer counted %+v", a, b, balancer)
			}
		})
	}
}

// spreading puts all nodes behind one more load balancer, late, which sends to them for so long after they were deregistered. It returns its
// URL when it has found them healthy.
func (w *world) spreading(spread time.Duration) (url string) {
	w.Helper()
	must(w.Cloud.AddTargetGroup(aws.TargetGroup{
		Name: "late", Port: w.port(), DeregistrationDelay: time.Second,
		HealthCheck: aws.HealthCheck{Path: "/healthz", Interval: 200 * time.Millisecond, Unhealthy: 10},
	}))(w.T)
	address := must(w.Cloud.AddLoadBalancer(aws.LoadBalancer{Name: "late", TargetGroups: []string{"late"}, Spread: spread}))(w.T)
	for _, n := range w.Nodes() {
		check(w.T, w.Cloud.Register("late", aws.Target{ID: n.Instance}))
	}
	w.eventually("its members to be healthy", func() bool { return healthy(must(w.Cloud.Health("late"))(w.T)) == len(w.Nodes()) })
	return "http://" + address
}
