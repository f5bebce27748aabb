package aws

import (
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

func (w *world) twoNodes(g TargetGroup) (a, b *node, url string) {
	w.t.Helper()
	a, b = newNode(w.t), newNode(w.t)
	_, url = w.ipGroup(g)
	check(w.t, w.Register(g.Name, a.target, b.target))
	w.awaitState(g.Name, a.target, Healthy)
	w.awaitState(g.Name, b.target, Healthy)
	return a, b, url
}

func (w *world) requests(n int, url string) (statuses map[int]int) {
	statuses = map[int]int{}
	for range n {
		statuses[w.status(url)]++
	}
	return statuses
}

func TestRequestsGoRound(t *testing.T) {
	w := newWorld(t)
	a, b, url := w.twoNodes(TargetGroup{Name: "web"})
	if got := w.requests(10, url); got[200] != 10 {
		t.Errorf("statuses %v, want ten of 200", got)
	}
	if a.served.Load() != 5 || b.served.Load() != 5 {
		t.Errorf("they served %d and %d, want 5 each", a.served.Load(), b.served.Load())
	}
	traffic := must(w.Traffic("web"))(t)
	if traffic.Requests != 10 || traffic.Failed != 0 || traffic.Targets[a.target] != 5 {
		t.Errorf("the balancer counted %+v", traffic)
	}
}

func TestDrainingTargetFinishesWhatItHasAndGetsNoMore(t *testing.T) {
	w := newWorld(t)
	_, url := w.ipGroup(TargetGroup{Name: "web", DeregistrationDelay: time.Minute})
	a, b := newNode(t), newNode(t)
	check(t, w.Register("web", a.target))
	w.awaitState("web", a.target, Healthy)
	inFlight := make(chan int)
	go func() { inFlight <- w.status(url + "/hold") }()
	<-a.held
	check(t, w.Register("web", b.target))
	w.awaitState("web", b.target, Healthy)
	check(t, w.Deregister("web", a.target))
	if got := w.requests(5, url); got[200] != 5 || a.served.Load() != 1 {
		t.Errorf("statuses %v, and the draining target served %d requests, want 1", got, a.served.Load())
	}
	close(a.hold)
	if status := <-inFlight; status != 200 {
		t.Errorf("the request in flight ended with %d", status)
	}
}

func TestUnhealthyTargetGetsNoTraffic(t *testing.T) {
	w := newWorld(t)
	a, b, url := w.twoNodes(TargetGroup{Name: "web"})
	a.status.Store(http.StatusInternalServerError)
	w.awaitState("web", a.target, Unhealthy)
	if got := w.requests(6, url); got[200] != 6 || b.served.Load() != 6 {
		t.Errorf("statuses %v, the healthy target served %d", got, b.served.Load())
	}
}

// G6: with every target failing its checks all of them get traffic.
func TestTargetGroupFailsOpen(t *testing.T) {
	w := newWorld(t)
	a, b, url := w.twoNodes(TargetGroup{Name: "web"})
	a.status.Store(http.StatusTeapot)
	b.status.Store(http.StatusTeapot)
	w.awaitState("web", a.target, Unhealthy)
	w.awaitState("web", b.target, Unhealthy)
	w.requests(4, url)
	if a.served.Load() != 2 || b.served.Load() != 2 {
		t.Errorf("they served %d and %d, want 2 each", a.served.Load(), b.served.Load())
	}
}

// Below the threshold the unhealthy get traffic beside the healthy.
func TestTargetGroupFailsOpenBelowItsThreshold(t *testing.T) {
	for _, c := range []struct {
		minimum Minimum
		served  int64 // by the unhealthy one, of four
	}{{Minimum{}, 0}, {Minimum{Count: 2}, 2}, {Minimum{Percent: 50}, 0}, {Minimum{Percent: 51}, 2}, {Minimum{Count: -1}, 0}} {
		t.Run(line(c.minimum), func(t *testing.T) {
			w := newWorld(t)
			a, _, url := w.twoNodes(TargetGroup{Name: "web", FailsOpen: c.minimum})
			a.status.Store(http.StatusTeapot)
			w.awaitState("web", a.target, Unhealthy)
			w.requests(4, url)
			if got := a.served.Load(); got != c.served {
				t.Errorf("the unhealthy one served %d, want %d", got, c.served)
			}
		})
	}
}

func TestABalancerThatWaitsTooLongAnswers504(t *testing.T) {
	w := newWorld(t)
	n := newNode(t)
	_, url := w.balanced(TargetGroup{Name: "web"}, LoadBalancer{IdleTimeout: 50 * time.Millisecond})
	check(t, w.Register("web", n.target))
	w.awaitState("web", n.target, Healthy)
	if status := w.status(url + "/never"); status != http.StatusGatewayTimeout {
		t.Errorf("answered %d", status)
	}
}

func TestWithoutTargetsTheBalancerAnswers503(t *testing.T) {
	w := newWorld(t)
	_, url := w.ipGroup(TargetGroup{Name: "web", DeregistrationDelay: time.Minute})
	if status := w.status(url); status != http.StatusServiceUnavailable {
		t.Errorf("an empty group answers %d", status)
	}
	n := newNode(t)
	check(t, w.Register("web", n.target))
	check(t, w.Deregister("web", n.target))
	if status := w.status(url); status != http.StatusServiceUnavailable {
		t.Errorf("a group with a draining target only answers %d", status)
	}
	if traffic := must(w.Traffic("web"))(t); traffic.Failed != 2 || traffic.Requests != 2 {
		t.Errorf("the balancer counted %+v", traffic)
	}
}

func TestRefusedConnectionIsNotRetried(t *testing.T) {
	w := newWorld(t)
	rare := HealthCheck{Interval: time.Hour}
	a, _, url := w.twoNodes(TargetGroup{Name: "web", HealthCheck: rare})
	a.Close()
	got := w.requests(10, url)
	if got[200] != 5 || got[http.StatusBadGateway] != 5 {
		t.Errorf("statuses %v, want five of 200 and five of 502", got)
	}
	if traffic := must(w.Traffic("web"))(t); traffic.Failed != 5 {
		t.Errorf("the balancer counted %+v", traffic)
	}
}

func TestResponseBrokenOffByTheTargetCounts(t *testing.T) {
	w := newWorld(t)
	_, _, url := w.twoNodes(TargetGroup{Name: "web"})
	response := must(w.client.Get(url + "/abort"))(t)
	if _, err := io.ReadAll(response.Body); err == nil {
		t.Error("the broken response was read to its end")
	}
	response.Body.Close()
	w.await("the failure is counted", func() bool { return must(w.Traffic("web"))(t).Failed == 1 })
}

func TestTargetSeesHostAndClient(t *testing.T) {
	w := newWorld(t)
	_, _, url := w.twoNodes(TargetGroup{Name: "web"})
	response := must(w.client.Get(url))(t)
	defer response.Body.Close()
	body := string(must(io.ReadAll(response.Body))(t))
	if want := strings.TrimPrefix(url, "http://") + " 127.0.0.1"; body != want {
		t.Errorf("the target saw %q, want %q", body, want)
	}
}

// G7: slow start gives a new target a share that rises with time.
func TestSlowStartRamps(t *testing.T) {
	begin := time.Now()
	p := &pool{firstPass: 1, inUse: true, slowStart: 100 * time.Second, check: quick}
	veteran := p.register(Target{ID: "127.0.0.1", Port: 80}, begin)
	p.record(veteran, "", begin)
	later := begin.Add(time.Hour)
	fresh := p.register(Target{ID: "127.0.0.2", Port: 80}, later)
	p.record(fresh, "", later)
	var shares []int
	for _, warm := range []time.Duration{0, 50 * time.Second, 100 * time.Second} {
		served := 0
		for range 300 {
			if p.pick("", later.Add(warm)) == fresh {
				served++
			}
		}
		shares = append(shares, served)
	}
	equal(t, "of 300 requests the new target served", shares, []int{27, 100, 150})
}

func TestInstancesMayShareAPortOnDifferentAddresses(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has all of 127.0.0.0/8 without configuration")
	}
	w := newWorld(t)
	first := must(net.Listen("tcp", "127.0.0.2:0"))(t)
	port := first.Addr().(*net.TCPAddr).Port
	second := must(net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 3), Port: port}))(t)
	must(w.AddTargetGroup(TargetGroup{Name: "web", Port: port, HealthCheck: quick}))(t)
	address := must(w.AddLoadBalancer(LoadBalancer{Name: "front", TargetGroups: []string{"web"}, Type: Network}))(t)
	for id, listener := range map[string]net.Listener{"i-00000001": first, "i-00000002": second} {
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(id)) })}
		go server.Serve(listener)
		t.Cleanup(func() { server.Close() })
		host, _, _ := net.SplitHostPort(listener.Addr().String())
		check(t, w.AddInstance(Instance{ID: id, PrivateAddress: host}))
		check(t, w.Register("web", Target{ID: id}))
		w.awaitState("web", Target{ID: id, Port: port}, Healthy)
	}
	w.requests(4, "http://"+address)
	served := must(w.Traffic("front"))(t).Targets
	if served[Target{ID: "i-00000001", Port: port}] != 2 || served[Target{ID: "i-00000002", Port: port}] != 2 {
		t.Errorf("served %v, want 2 each", served)
	}
}

func TestNoTrafficLeavesTheMachine(t *testing.T) {
	w := newWorld(t)
	check(t, w.AddInstance(Instance{ID: "i-00000001", PrivateAddress: "192.0.2.1"}))
	must(w.AddTargetGroup(TargetGroup{Name: "web", HealthCheck: quick}))(t)
	address := must(w.AddLoadBalancer(LoadBalancer{Name: "web", TargetGroups: []string{"web"}}))(t)
	check(t, w.Register("web", Target{ID: "i-00000001"}))
	w.awaitState("web", Target{ID: "i-00000001", Port: 80}, Unhealthy)
	if status := w.status("http://" + address); status != http.StatusBadGateway {
		t.Errorf("answered %d", status)
	}
}

func TestGroupsOfABalancerTakeTurns(t *testing.T) {
	w := newWorld(t)
	a, b := newNode(t), newNode(t)
	for name, n := range map[string]*node{"blue": a, "green": b} {
		must(w.AddTargetGroup(TargetGroup{Name: name, Type: "ip", HealthCheck: quick}))(t)
		check(t, w.Register(name, n.target))
	}
	address := must(w.AddLoadBalancer(LoadBalancer{Name: "both", TargetGroups: []string{"blue", "green"}}))(t)
	w.awaitState("blue", a.target, Healthy)
	w.awaitState("green", b.target, Healthy)
	w.requests(6, "http://"+address)
	if a.served.Load() != 3 || b.served.Load() != 3 {
		t.Errorf("they served %d and %d, want 3 each", a.served.Load(), b.served.Load())
	}
}
