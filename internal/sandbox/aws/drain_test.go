package aws

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// once is a health check that is made when a target is registered, and never again.
var once = HealthCheck{Interval: time.Hour}

// oneNode is a healthy node in a target group web behind a load balancer.
func oneNode(t *testing.T, g TargetGroup, b LoadBalancer) (w *world, n *node, arn, url string) {
	t.Helper()
	w, n = newWorld(t), newNode(t)
	g.Name = "web"
	arn, url = w.balanced(g, b)
	check(t, w.Register("web", n.target))
	w.awaitState("web", n.target, Healthy)
	return w, n, arn, url
}

// What is deregistered is called draining at once, and gets requests until all of the balancer knows, even when its delay is over before.
func TestADeregistrationSpreads(t *testing.T) {
	tcp := TargetGroup{Protocol: "TCP", DeregistrationDelay: time.Minute}
	for _, c := range []struct {
		name   string
		g      TargetGroup
		b      LoadBalancer
		passed time.Duration
		late   uint64 // of 4 requests
	}{
		{"at once", TargetGroup{DeregistrationDelay: time.Minute}, LoadBalancer{}, 0, 0},
		{"application", TargetGroup{DeregistrationDelay: time.Minute}, LoadBalancer{Spread: 10 * time.Second}, 9 * time.Second, 4},
		{"over", TargetGroup{DeregistrationDelay: time.Minute}, LoadBalancer{Spread: 10 * time.Second}, 10 * time.Second, 0},
		{"longer than the delay", TargetGroup{DeregistrationDelay: time.Second}, LoadBalancer{Spread: 10 * time.Second}, 9 * time.Second, 4},
		{"network", tcp, LoadBalancer{Type: Network, Spread: 10 * time.Second}, 9 * time.Second, 4},
		{"network, over", tcp, LoadBalancer{Type: Network, Spread: 10 * time.Second}, 10 * time.Second, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, n, arn, url := oneNode(t, c.g, c.b)
			check(t, w.deregister(arn, n.target))
			w.wantHealth(arn, n.target.ID, "draining Target.DeregistrationInProgress")
			w.advance(c.passed)
			ok := w.requests(4, url)[http.StatusOK]
			if traffic := must(w.Traffic("web"))(t); uint64(ok) != c.late || traffic.Late != c.late || uint64(n.served.Load()) != c.late {
				t.Errorf("%d were answered, the node served %d, the balancer counted %+v, want %d", ok, n.served.Load(), traffic, c.late)
			}
		})
	}
}

func TestAClassicDeregistrationSpreads(t *testing.T) {
	w, n, url := classicWorld(t, Classic{ConnectionDraining: time.Minute, Spread: 10 * time.Second})
	check(t, w.join("i-00000001"))
	w.awaitState("web", Target{ID: "i-00000001", Port: n.target.Port}, Healthy)
	must(w.leave("i-00000001"))(t)
	equal(t, "states", w.states(), []string{"i-00000001 InService N/A Instance deregistration currently in progress."})
	w.advance(9 * time.Second)
	early := w.status(url)
	w.advance(time.Second)
	equal(t, "answers while it spreads and after", []int{early, w.status(url)}, []int{http.StatusOK, http.StatusServiceUnavailable})
}

// One that never was healthy gets nothing because it leaves, and one that comes back starts anew.
func TestOnlyWhatGotTrafficGetsItWhileItsEndSpreads(t *testing.T) {
	w, n, arn, url := oneNode(t, TargetGroup{FailsOpen: Minimum{Count: -1}, DeregistrationDelay: time.Minute, HealthCheck: once}, LoadBalancer{Spread: time.Minute})
	check(t, w.deregister(arn, n.target))
	other := newNode(t)
	other.status.Store(http.StatusTeapot)
	check(t, w.register(arn, other.target))
	check(t, w.deregister(arn, other.target))
	if w.requests(4, url); n.served.Load() != 4 {
		t.Errorf("it served %d of 4", n.served.Load())
	}
	n.status.Store(http.StatusTeapot)
	check(t, w.register(arn, n.target))
	if got := w.requests(2, url); got[http.StatusServiceUnavailable] != 2 {
		t.Errorf("answers %v before it is found healthy again", got)
	}
}

func TestASpreadHasALimit(t *testing.T) {
	w := newWorld(t)
	must(w.AddTargetGroup(TargetGroup{Name: "web"}))(t)
	if _, err := w.AddLoadBalancer(LoadBalancer{Name: "web", TargetGroups: []string{"web"}, Spread: time.Hour}); err == nil {
		t.Error("an hour is taken")
	}
	if _, err := w.AddClassic(Classic{Name: "old", Spread: time.Hour}); err == nil {
		t.Error("an hour is taken by a classic one")
	}
}

// Idle connections to a target are kept for the idle time-out, also when it drains.
func TestIdleConnectionsAreKept(t *testing.T) {
	for _, c := range []struct {
		idle time.Duration
		kept bool
	}{{time.Minute, true}, {20 * time.Millisecond, false}} {
		t.Run(line(c.idle), func(t *testing.T) {
			w, n, arn, url := oneNode(t, TargetGroup{HealthCheck: once, DeregistrationDelay: time.Minute}, LoadBalancer{IdleTimeout: c.idle, Spread: time.Minute})
			w.requests(1, url)
			first := <-n.from
			if !c.kept {
				n.awaitClosed(t, first)
			}
			check(t, w.deregister(arn, n.target))
			w.requests(1, url)
			if second := <-n.from; (second == first) != c.kept {
				t.Errorf("the requests came from %s and %s", first, second)
			}
		})
	}
}

// awaitClosed waits until the connection from an address has ended.
func (n *node) awaitClosed(t *testing.T, from string) {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		select {
		case address := <-n.closed:
			if address == from {
				return
			}
		case <-late:
			t.Fatalf("the connection from %s was not closed", from)
		}
	}
}

// A request that a target drops on a connection that was used before is lost, though the target would answer it the second time.
func TestALostRequestIsNotSentAgain(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPost, http.MethodDelete} {
		t.Run(method, func(t *testing.T) {
			w, n, _, url := oneNode(t, TargetGroup{HealthCheck: once}, LoadBalancer{})
			w.requests(1, url)
			request := must(http.NewRequest(method, url+"/once", nil))(t)
			response := must(w.client.Do(request))(t)
			response.Body.Close()
			if first, second := <-n.from, <-n.from; first != second {
				t.Fatalf("the requests came from %s and %s, so that nothing is shown", first, second)
			}
			if response.StatusCode != http.StatusBadGateway || n.served.Load() != 2 {
				t.Errorf("answered %d, and the node got %d requests", response.StatusCode, n.served.Load())
			}
		})
	}
}

// What is in hand when the delay is over is cut, and an idle connection closed. A classic balancer without draining does so at once.
func TestWhatIsInHandIsCutWhenTheDelayIsOver(t *testing.T) {
	const cut, broken = "502 502 Bad Gateway\n", "200 half unexpected EOF"
	soon := TargetGroup{HealthCheck: once, DeregistrationDelay: 20 * time.Millisecond}
	for _, c := range []struct {
		name, path string
		g          TargetGroup
		b          LoadBalancer
		classic    *Classic
		want       string
	}{
		{"not answered", "/hold", soon, LoadBalancer{}, nil, cut},
		{"half answered", "/stream", soon, LoadBalancer{}, nil, broken},
		{"spread", "/hold", soon, LoadBalancer{Spread: 20 * time.Millisecond}, nil, cut},
		{"classic", "/hold", TargetGroup{}, LoadBalancer{}, &Classic{ConnectionDraining: 20 * time.Millisecond}, cut},
		{"classic without draining", "/stream", TargetGroup{}, LoadBalancer{}, &Classic{}, broken},
	} {
		t.Run(c.name, func(t *testing.T) {
			var w *world
			var n *node
			var url string
			if c.classic != nil {
				w, n, url = classicWorld(t, *c.classic)
				check(t, w.join("i-00000001"))
				w.awaitState("web", Target{ID: "i-00000001", Port: n.target.Port}, Healthy)
			} else {
				w, n, _, url = oneNode(t, c.g, c.b)
			}
			defer close(n.hold)
			answer := w.ask(url + c.path)
			<-n.held
			idle := w.ask(url)
			<-idle
			<-n.from
			unused := <-n.from
			w.letGo(n)
			if got := <-answer; got != c.want {
				t.Errorf("the request in hand ended with %q, want %q", got, c.want)
			}
			n.awaitClosed(t, unused)
		})
	}
}

// letGo deregisters a node from web, whichever kind that is.
func (w *world) letGo(n *node) {
	w.t.Helper()
	if w.groups["web"] != nil {
		check(w.t, w.Deregister("web", n.target))
		return
	}
	check(w.t, w.Deregister("web", Target{ID: "i-00000001"}))
}

// ask sends a request and returns what comes of it in words: the status, the body, and why it broke off if it did.
func (w *world) ask(url string) <-chan string {
	words := make(chan string, 1)
	client := http.Client{Transport: w.client.Transport, Timeout: 20 * time.Second}
	go func() {
		response, err := client.Get(url)
		if err != nil {
			words <- err.Error()
			return
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		said := fmt.Sprintf("%d %s", response.StatusCode, body)
		if err != nil {
			said += err.Error()
		}
		words <- said
	}()
	return words
}

// What ends before the delay is over is answered in full.
func TestWhatIsInHandIsAnsweredWithinTheDelay(t *testing.T) {
	w, n, arn, url := oneNode(t, TargetGroup{HealthCheck: once, DeregistrationDelay: time.Minute}, LoadBalancer{})
	answer := w.ask(url + "/stream")
	<-n.held
	check(t, w.deregister(arn, n.target))
	close(n.hold)
	if got := <-answer; got != "200 half and half" {
		t.Errorf("answered %q", got)
	}
}

// oneMore is a healthy node in another target group, later, with a load balancer of its own.
func (w *world) oneMore(g TargetGroup, b LoadBalancer) (n *node, url string) {
	w.t.Helper()
	n, g.Name = newNode(w.t), "later"
	_, url = w.balanced(g, b)
	check(w.t, w.Register("later", n.target))
	w.awaitState("later", n.target, Healthy)
	return n, url
}

// Who is registered again before its delay is over keeps what it has.
func TestWhatCameBackIsNotCut(t *testing.T) {
	g := TargetGroup{HealthCheck: once, DeregistrationDelay: 300 * time.Millisecond}
	w, n, _, url := oneNode(t, g, LoadBalancer{})
	defer close(n.hold)
	g.DeregistrationDelay = 600 * time.Millisecond
	other, otherURL := w.oneMore(g, LoadBalancer{})
	defer close(other.hold)
	answer, later := w.ask(url+"/stream"), w.ask(otherURL+"/stream")
	<-n.held
	<-other.held
	check(t, w.Deregister("web", n.target))
	check(t, w.Register("web", n.target))
	check(t, w.Deregister("later", other.target)) // is cut later than what came back would be
	if got := <-later; got != "200 half unexpected EOF" {
		t.Errorf("of the one that left came %q", got)
	}
	n.hold <- struct{}{}
	if got := <-answer; got != "200 half and half" {
		t.Errorf("of the one that came back came %q", got)
	}
}

// flow opens a connection through a network load balancer, and sees that bytes pass both ways.
func (w *world) flow(url string) net.Conn {
	w.t.Helper()
	conn := must(net.Dial("tcp", strings.TrimPrefix(url, "http://")))(w.t)
	w.t.Cleanup(func() { conn.Close() })
	check(w.t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	check(w.t, answered(conn))
	return conn
}

// answered sends a request on a connection and reports why its answer did not come.
func answered(conn net.Conn) error {
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: web\r\n\r\n"); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// Flows survive the deregistration, and its delay, unless connection termination is on.
func TestFlowsOfANetworkLoadBalancer(t *testing.T) {
	for _, terminates := range []bool{false, true} {
		t.Run(line(terminates), func(t *testing.T) {
			g := TargetGroup{Protocol: "TCP", HealthCheck: once, DeregistrationDelay: 20 * time.Millisecond, ConnectionTermination: terminates}
			w, n, arn, url := oneNode(t, g, LoadBalancer{Type: Network})
			g.ConnectionTermination = true
			other, otherURL := w.oneMore(g, LoadBalancer{Type: Network})
			conn, later := w.flow(url), w.flow(otherURL)
			check(t, w.deregister(arn, n.target))
			check(t, w.Deregister("later", other.target)) // whose flow ends no earlier than the first would
			if err := ended(later); err != io.EOF {
				t.Fatalf("with connection termination a flow ended with %v", err)
			}
			w.advance(time.Minute)
			if left := w.healthOf(arn); len(left) != 0 {
				t.Errorf("after its delay the group has %v", left)
			}
			if terminates {
				if err := ended(conn); err != io.EOF {
					t.Errorf("the flow ended with %v", err)
				}
			} else if err := answered(conn); err != nil {
				t.Errorf("the flow ended with %v", err)
			}
			if got := w.status(url); got != 0 {
				t.Errorf("a group without targets answered %d", got)
			}
			if traffic := must(w.Traffic("web"))(t); traffic.Requests != 2 || traffic.Failed != 1 || traffic.Targets[n.target] != 1 {
				t.Errorf("the balancer counted %+v", traffic)
			}
		})
	}
}

// ended waits until a connection ends and returns how.
func ended(conn net.Conn) error {
	_, err := conn.Read(make([]byte, 1))
	return err
}

func TestFlowsOfAnUnhealthyTargetAreCut(t *testing.T) {
	w, n, _, url := oneNode(t, TargetGroup{Protocol: "TCP"}, LoadBalancer{Type: Network})
	conn := w.flow(url)
	n.status.Store(http.StatusTeapot)
	if err := ended(conn); err != io.EOF {
		t.Errorf("the flow ended with %v", err)
	}
	w.awaitState("web", n.target, Unhealthy)
}

// Whatever is sent passes unchanged, and one side may end before the other.
func TestFlowsPassBytes(t *testing.T) {
	w := newWorld(t)
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				all, _ := io.ReadAll(conn) // until the client has ended
				conn.Write(all)
			}()
		}
	}()
	target := Target{ID: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port}
	_, url := w.balanced(TargetGroup{Name: "web", Protocol: "TCP", HealthCheck: HealthCheck{Protocol: "TCP", Interval: time.Hour}}, LoadBalancer{Type: Network})
	check(t, w.Register("web", target))
	w.awaitState("web", target, Healthy)
	conn := must(net.Dial("tcp", strings.TrimPrefix(url, "http://")))(t).(*net.TCPConn)
	defer conn.Close()
	sent := strings.Repeat("\x00\xff no HTTP\n", 1000)
	must(io.WriteString(conn, sent))(t)
	check(t, conn.CloseWrite())
	if got := must(io.ReadAll(conn))(t); string(got) != sent {
		t.Errorf("%d bytes came back of %d", len(got), len(sent))
	}
}

// Neither an idle connection nor a flow outlives the cloud.
func TestNoConnectionOutlivesTheCloud(t *testing.T) {
	for _, b := range []LoadBalancer{{}, {Type: Network}} {
		t.Run(b.Type, func(t *testing.T) {
			w, n, _, url := oneNode(t, TargetGroup{HealthCheck: once}, b)
			w.flow(url)
			check(t, w.Close())
			n.awaitClosed(t, <-n.from)
		})
	}
}
