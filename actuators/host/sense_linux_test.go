package host_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/actuators/host"
	"windlass/internal/sandbox/sshdtest"
)

// A scene is a node, with an sshd in a network of its own, and a world that it has a cable to.
type scene struct {
	*testing.T
	node, world *network
	server      *sshdtest.Server
	at          actuators.Place
	host        *host.Host
}

const (
	here, there   = "10.9.0.1", "10.9.0.2"
	here6, there6 = "fd00::1", "fd00::2"
)

func newScene(t *testing.T, o sshdtest.Options) *scene {
	t.Helper()
	s := &scene{T: t, node: newNetwork(t), world: newNetwork(t)}
	s.node.join(s.world, "world", here+"/24", there+"/24")
	s.node.address("world", here6+"/64")
	s.world.address("world", there6+"/64")
	s.node.within(func() error { s.server, s.at = node(t, o); return nil })
	if s.server == nil {
		t.FailNow()
	}
	outside := s.node.outside(s.server.Place())
	s.at.SSH.Port = outside.Port
	s.host = agent(t, s.server, host.Options{ReadOnly: true}) // looking changes nothing
	return s
}

// hiding is a server on which these programs do not work.
func hiding(t *testing.T, programs ...string) sshdtest.Options {
	bin := t.TempDir()
	for _, name := range programs {
		tool(t, bin, name, "#!/bin/sh\necho there is no "+name+" >&2\nexit 127\n")
	}
	return sshdtest.Options{Env: map[string]string{"PATH": bin + ":/usr/local/bin:/usr/bin:/bin:/usr/sbin"}}
}

// A service accepts connections, and ends each when the other side does.
type tcpService struct {
	net.Listener
	port     int
	accepted chan net.Conn
	conns    sync.WaitGroup
}

func (n *network) serve(address string) *tcpService {
	n.Helper()
	s := &tcpService{Listener: n.listen(net.JoinHostPort(address, "0")), accepted: make(chan net.Conn, 1000)}
	s.port = s.Addr().(*net.TCPAddr).Port
	s.conns.Go(func() {
		for {
			conn, err := s.Accept()
			if err != nil {
				return
			}
			s.accepted <- conn
			s.conns.Go(func() { _, _ = io.Copy(io.Discard, conn); conn.Close() })
		}
	})
	n.Cleanup(func() { s.stop(); s.conns.Wait() })
	return s
}

// stop ends the service, and its connections with it.
func (s *tcpService) stop() {
	s.Close()
	for {
		select {
		case conn := <-s.accepted:
			conn.Close()
		default:
			return
		}
	}
}

func (s *scene) sense(service actuators.Service) *watch {
	return sense(s.T, s.host, s.at, service)
}

// What is connected is seen, whichever the sensor, the family and what the service listens on.
func TestSensorsSee(t *testing.T) {
	t.Parallel()
	for sensor, hidden := range map[string][]string{"ss": nil, "/proc/net/tcp": {"ss"}} {
		t.Run(filepath.Base(sensor), func(t *testing.T) {
			t.Parallel()
			s := newScene(t, hiding(t, hidden...))
			v4, both := s.node.serve("0.0.0.0"), s.node.serve("::")
			cases := []struct {
				at, by string
				port   int
				w      *watch
			}{{at: here, by: there, port: v4.port}, {at: here, by: there, port: both.port}, {at: here6, by: there6, port: both.port}}
			for i, c := range cases {
				h := agent(t, s.server, host.Options{ReadOnly: true})
				cases[i].w = sense(t, h, s.at, serviceAt(c.at, c.port)) // all at once: each takes its time
			}
			for _, c := range cases {
				c.w.sees(sensor)
			}
			for _, c := range cases {
				s.seesWhatComesAndGoes(c.w, c.at, c.by, c.port)
				c.w.cancel()
			}
		})
	}
}

func (s *scene) seesWhatComesAndGoes(w *watch, at, by string, port int) {
	s.Helper()
	target := net.JoinHostPort(at, strconv.Itoa(port))
	w.fresh()
	w.busy(0)
	client := s.world.dial(target)
	if got := w.busy(1); got.Peer != by || !slices.Equal(got.Others, []int{port}) || !got.Sees {
		s.Errorf("%s: one is there: %+v", target, got)
	}
	second, sidecar := s.world.dial(target), s.node.dial(target)
	w.busy(2)
	client.Close()
	w.busy(1)
	if got := w.fresh(); got.Busy != 1 || got.Peer != by {
		s.Errorf("%s: one of the node's own counts: %+v", target, got)
	}
	sidecar.Close()
	second.Close()
	w.busy(0)
}

// Both ports must be seen, and each is told of.
func TestSeveralPorts(t *testing.T) {
	t.Parallel()
	s := newScene(t, sshdtest.Options{})
	const second = "10.9.0.77" // from there the kernel connects to it from the first
	s.node.address("world", second+"/24")
	a, b := s.node.serve("::"), s.node.serve("0.0.0.0")
	ports := []int{a.port, b.port}
	slices.Sort(ports)
	w := s.sense(serviceAt(second, ports...))
	w.sees("ss")
	s.world.dial(net.JoinHostPort(second, strconv.Itoa(b.port)))
	if got := w.busy(1); !slices.Equal(got.Others, []int{b.port}) {
		t.Errorf("one is connected: %+v", got)
	}
	s.world.dial(net.JoinHostPort(second, strconv.Itoa(a.port)))
	if got := w.busy(2); !slices.Equal(got.Others, ports) {
		t.Errorf("both are connected: %+v", got)
	}
	w.cancel()

	for _, stopped := range []*tcpService{a, b} { // the other one of them shows nothing by itself, and is not kept connected
		stopped.stop()
	}
	other := s.node.listen(net.JoinHostPort("0.0.0.0", strconv.Itoa(ports[0])))
	w = s.sense(serviceAt(second, ports...))
	conn, err := other.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("our connection beside one that is refused: %v", err)
	}
	for range 6 {
		if got := w.fresh(); got.Sees || got.Blind != "" || got.Sensor != "ss" {
			t.Errorf("one of them is stopped: %+v", got)
		}
	}
}

func TestIgnoredPeersDoNotCount(t *testing.T) {
	t.Parallel()
	s := newScene(t, sshdtest.Options{})
	s.world.address("world", "10.9.0.130/24")
	service := s.node.serve("::")
	target := net.JoinHostPort(here, strconv.Itoa(service.port))
	watched := serviceAt(here, service.port)
	watched.Ignore = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/25"), netip.MustParsePrefix("::/0")} // 0-127
	w := s.sense(watched)
	w.sees("ss")
	s.world.dial(target)
	s.world.dial(net.JoinHostPort(here6, strconv.Itoa(service.port)))
	if got := w.fresh(); got.Busy != 0 || got.Others != nil {
		t.Errorf("the scraper counts: %+v", got)
	}
	s.world.within(func() error {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("10.9.0.130")}}
		conn, err := dialer.Dial("tcp", target)
		if err == nil {
			s.Cleanup(func() { conn.Close() })
		}
		return err
	})
	if got := w.busy(1); got.Peer != "10.9.0.130" {
		t.Errorf("another: %+v", got)
	}
}

// A request in flight is busy until it is answered; what is left of its connection shows that somebody was there.
func TestRequestIsBusyUntilItIsAnswered(t *testing.T) {
	t.Parallel()
	for _, hidden := range [][]string{nil, {"ss"}} {
		t.Run(strings.Join(hidden, ""), func(t *testing.T) {
			t.Parallel()
			s := newScene(t, hiding(t, hidden...))
			l := s.node.listen("0.0.0.0:0")
			port := l.Addr().(*net.TCPAddr).Port
			accepted := make(chan *net.TCPConn, 100)
			var accepting sync.WaitGroup
			accepting.Go(func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					if conn.RemoteAddr().(*net.TCPAddr).IP.String() != there {
						accepting.Go(func() { _, _ = io.Copy(io.Discard, conn); conn.Close() })
						continue
					}
					accepted <- conn.(*net.TCPConn)
				}
			})
			t.Cleanup(func() { l.Close(); accepting.Wait() })
			w := s.sense(serviceAt(here, port))
			w.until("sees", func(s actuators.Traffic) bool { return s.Sees })
			client := s.world.dial(net.JoinHostPort(here, strconv.Itoa(port)))
			_, _ = io.WriteString(client, "GET / HTTP/1.0\r\n\r\n")
			server := <-accepted
			w.busy(1)
			if err := client.CloseWrite(); err != nil { // the server's end is in CLOSE-WAIT
				t.Fatal(err)
			}
			if _, err := io.ReadAll(server); err != nil {
				t.Fatal(err)
			}
			if got := w.fresh(); got.Busy != 1 {
				t.Errorf("half closed, not answered: %+v", got)
			}
			_, _ = io.WriteString(server, "HTTP/1.0 200 OK\r\n\r\n")
			server.Close()
			client.Close()
			w.busy(0)

			client = s.world.dial(net.JoinHostPort(here, strconv.Itoa(port)))
			server = <-accepted
			w.busy(1)
			if err := server.CloseWrite(); err != nil { // the server's end is in FIN-WAIT-2: the client owes the end
				t.Fatal(err)
			}
			if got := w.busy(0); !slices.Equal(got.Others, []int{port}) {
				t.Errorf("the client is to end it: %+v", got)
			}
			if _, err := io.ReadAll(client); err != nil {
				t.Fatal(err)
			}
			client.Close()
			server.Close() // TIME-WAIT
			if got := w.fresh(); got.Busy != 0 || !slices.Equal(got.Others, []int{port}) {
				t.Errorf("it was there a moment ago: %+v", got)
			}
		})
	}
}

// What a client does not acknowledge keeps its connection busy: FIN-WAIT-1 and LAST-ACK. SYN-RECV is one that is not yet there.
func TestStatesOfAClientThatIsGone(t *testing.T) {
	t.Parallel()
	for _, hidden := range [][]string{nil, {"ss"}} {
		t.Run(strings.Join(hidden, ""), func(t *testing.T) {
			t.Parallel()
			s := newScene(t, hiding(t, hidden...))
			service := s.node.serve("0.0.0.0")
			target := net.JoinHostPort(here, strconv.Itoa(service.port))
			w := s.sense(serviceAt(here, service.port))
			w.until("sees", func(s actuators.Traffic) bool { return s.Sees })
			s.world.dial(target)
			w.busy(1)
			for len(service.accepted) > 1 { // ours came first
				<-service.accepted
			}
			server := <-service.accepted
			s.world.feed("add table ip t; add chain ip t in { type filter hook input priority 0; policy drop; }", "nft", "-f", "-")
			server.Close() // FIN-WAIT-1: its end is not acknowledged
			if got := w.fresh(); got.Busy != 1 {
				t.Errorf("FIN-WAIT-1: %+v", got)
			}
			s.world.within(func() error { return s.world.syn(target) }) // whose answer is never heard
			w.busy(2)
		})
	}
}

// A connection that was silent both ways for its time does not count, if that can be seen.
func TestSilentConnectionsDoNotCount(t *testing.T) {
	t.Parallel()
	s := newScene(t, sshdtest.Options{})
	service := s.node.serve("::")
	target := net.JoinHostPort(here, strconv.Itoa(service.port))
	watched := serviceAt(here, service.port)
	watched.Silent = 2 * time.Second
	w := s.sense(watched)
	w.sees("ss")
	client := s.world.dial(target) // carries nothing either way: silent since it was opened
	w.busy(1)
	if got := w.busy(0); !slices.Equal(got.Others, []int{service.port}) {
		t.Errorf("silent: %+v", got)
	}
	var server net.Conn
	for server == nil || server.RemoteAddr().String() != client.LocalAddr().String() {
		server = <-service.accepted
	}
	_, _ = io.WriteString(server, "x")
	w.busy(1)
	_, _ = io.WriteString(client, "x")
	w.busy(0)

	watched.Silent = 1<<63 - 1
	w.cancel()
	w = s.sense(watched)
	w.busy(1)
}

// /proc does not show silence: only absence counts.
func TestSilenceThatCannotBeSeen(t *testing.T) {
	t.Parallel()
	s := newScene(t, hiding(t, "ss"))
	service := s.node.serve("::")
	watched := serviceAt(here, service.port)
	watched.Silent = time.Millisecond
	w := s.sense(watched)
	w.sees("/proc/net/tcp")
	s.world.dial(net.JoinHostPort(here, strconv.Itoa(service.port)))
	w.busy(1)
	if got := w.fresh(); got.Busy != 1 {
		t.Errorf("silent: %+v", got)
	}
}

// forwarded is a scene whose traffic goes to a container, with its own network.
func forwarded(t *testing.T, o sshdtest.Options) (*scene, *tcpService) {
	s := newScene(t, o)
	container := newNetwork(t)
	s.node.join(container, "container", "172.30.0.1/24", "172.30.0.2/24")
	container.run("ip", "route", "add", "default", "via", "172.30.0.1")
	s.node.within(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) })
	service := container.serve("0.0.0.0")
	s.node.feed(fmt.Sprintf(`
		add table ip n
		add chain ip n pre { type nat hook prerouting priority -100; }
		add chain ip n out { type nat hook output priority -100; }
		add rule ip n pre fib daddr type local tcp dport %[1]d dnat to 172.30.0.2
		add rule ip n out ip daddr != 127.0.0.0/8 fib daddr type local tcp dport %[1]d dnat to 172.30.0.2
	`, service.port), "nft", "-f", "-")
	return s, service
}

func TestForwardedTrafficIsSeenByConntrackOnly(t *testing.T) {
	t.Parallel()
	s, service := forwarded(t, sshdtest.Options{})
	crowd := make([]*net.TCPConn, 60) // whose list is longer than what conntrack writes at once
	for i := range crowd {
		crowd[i] = s.world.dial(net.JoinHostPort(here, strconv.Itoa(service.port)))
	}
	w := s.sense(serviceAt(here, service.port))
	w.sees("conntrack")
	w.busy(len(crowd))
	for _, conn := range crowd {
		conn.Close()
	}
	w.busy(0)
	w.cancel()

	s, service = forwarded(t, sshdtest.Options{})
	w = s.sense(serviceAt(here, service.port))
	w.sees("conntrack")
	if got := w.fresh(); got.Busy != 0 || got.Others != nil {
		t.Errorf("nobody is there: %+v", got)
	}
	client := s.world.dial(net.JoinHostPort(here, strconv.Itoa(service.port)))
	if got := w.busy(1); got.Peer != there {
		t.Errorf("one is there: %+v", got)
	}
	client.Close()
	if got := w.busy(0); !slices.Equal(got.Others, []int{service.port}) {
		t.Errorf("it has gone: %+v", got)
	}
}

func TestForwardedTrafficWithoutConntrack(t *testing.T) {
	t.Parallel()
	s, service := forwarded(t, hiding(t, "conntrack"))
	s.sense(serviceAt(here, service.port)).blind(fmt.Sprintf("ss and /proc/net/tcp do not list a connection from the node to 10.9.0.1:%d (its traffic may be forwarded to a container); conntrack does not work there", service.port))
	plain := newScene(t, hiding(t, "ss"))
	gone := plain.node.serve("0.0.0.0")
	w := plain.sense(serviceAt(here, gone.port))
	w.sees("/proc/net/tcp")
}

func TestAddressesThatCannotBeMeasured(t *testing.T) {
	t.Parallel()
	s := newScene(t, sshdtest.Options{})
	service := s.node.serve("::")
	for address, why := range map[string]string{
		"127.0.0.1": "only a connection to an address that other machines use", "::1": "only a connection", "::ffff:127.0.0.1": "only a connection",
		"fe80::1": "only a connection", "224.0.0.1": "only a connection", "0.0.0.0": "only a connection",
		there: "10.9.0.2 is none of the node's own addresses", "10.9.0.255": "none of the node's own", there6: "none of the node's own",
	} {
		s.sense(serviceAt(address, service.port)).blind(why)
	}
	s.sense(actuators.Service{}).blind("only a connection")
	s.sense(serviceAt(here)).blind("0 ports")
	s.sense(serviceAt(here, 70000)).blind("70000")
	s.sense(serviceAt(here, make([]int, 101)...)).blind("101 ports")
	w := s.sense(serviceAt("::ffff:"+here, service.port))
	w.sees("ss")
}

// A service that has been stopped is sensed, and seen when it is back.
func TestServiceThatStops(t *testing.T) {
	t.Parallel()
	s := newScene(t, sshdtest.Options{})
	service := s.node.serve("0.0.0.0")
	target := net.JoinHostPort(here, strconv.Itoa(service.port))
	w := s.sense(serviceAt(here, service.port))
	w.sees("ss")
	s.world.dial(target)
	w.busy(1)
	service.stop()
	w.busy(0)
	if got := w.fresh(); !got.Sees || got.Blind != "" {
		t.Errorf("stopped: %+v", got)
	}
	w.cancel()

	w = s.sense(serviceAt(here, service.port))
	for range 2 {
		if got := w.fresh(); got.Sees || got.Blind != "" || got.Busy != 0 || got.Sensor != "ss" {
			t.Errorf("stopped before: %+v", got)
		}
	}
	s.node.listen(target) // and accepts nothing yet: what ends is seen to end nevertheless
	w.sees("ss")
}

func TestForwardingIsForbidden(t *testing.T) {
	t.Parallel()
	s := newScene(t, sshdtest.Options{Config: []string{"AllowTcpForwarding no"}})
	service := s.node.serve("0.0.0.0")
	s.sense(serviceAt(here, service.port)).blind("sshd there does not forward connections", "set AllowTcpForwarding there")
}

// Where there is one session, it is not the sensor's: the record is read and written, and a claim renewed.
func TestOnlySessionIsNotTheSensors(t *testing.T) {
	t.Parallel()
	s := newScene(t, sshdtest.Options{Config: []string{"MaxSessions 1"}})
	service := s.node.serve("0.0.0.0")
	h := agent(t, s.server, host.Options{})
	claim(t, h, s.at, "nonce-1")
	w := sense(t, h, s.at, serviceAt(here, service.port))
	w.sees("ss")
	claim(t, h, s.at, "nonce-2")
	w.blind("one session at a time (MaxSessions)")
}

// A session that lasts keeps the sensor out, and is not disturbed by it.
func TestSensorIsRefusedItsSession(t *testing.T) {
	t.Parallel()
	s := newScene(t, sshdtest.Options{Config: []string{"MaxSessions 1"}})
	fifo := filepath.Join(s.server.Home, "fifo")
	if out, err := exec.Command("mkfifo", fifo).CombinedOutput(); err != nil {
		t.Fatal(string(out))
	}
	var check sync.WaitGroup
	check.Go(func() {
		if exit, tail, err := s.host.Check(t.Context(), s.at, nil, "echo begun >"+fifo+"; cat "+fifo, time.Minute); exit != 0 || tail != "go" || err != nil {
			t.Errorf("%d, %s, %v", exit, tail, err)
		}
	})
	if b, err := os.ReadFile(fifo); err != nil || string(b) != "begun\n" {
		t.Fatal(err)
	}
	s.sense(serviceAt(here, 80)).wrong("sshd refuses another session", "MaxSessions")
	if err := os.WriteFile(fifo, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	check.Wait()
}

// Two sensors and all that else goes on fit into what sshd allows.
func TestSensorsTakeNobodysPlace(t *testing.T) {
	t.Parallel()
	s := newScene(t, sshdtest.Options{})
	service := s.node.serve("0.0.0.0")
	first, second := s.sense(serviceAt(here, service.port)), s.sense(serviceAt(here, service.port))
	first.sees("ss")
	second.sees("ss")
	var checks sync.WaitGroup
	for range 16 {
		checks.Go(func() {
			if exit, _, err := s.host.Check(t.Context(), s.at, nil, "sleep 0.1", time.Minute); exit != 0 || err != nil {
				t.Errorf("%d, %v", exit, err)
			}
		})
	}
	checks.Wait()
	first.fresh()
	second.fresh()
}

// Nothing is left on the node: not the script, nor our connections.
func TestNothingOfASensorIsLeft(t *testing.T) {
	t.Parallel()
	s := newScene(t, sshdtest.Options{Env: map[string]string{"SENSED_BY": t.Name()}})
	service := s.node.serve("0.0.0.0")
	w := s.sense(serviceAt(here, service.port))
	w.sees("ss")
	if !running("SENSED_BY=" + t.Name()) {
		t.Error("the script is not found while it runs")
	}
	w.cancel()
	if err := <-w.ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for limit := time.Now().Add(20 * time.Second); running("SENSED_BY=" + t.Name()); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatal("it runs on")
		}
	}
}

// running reports whether a process has this in its environment.
func running(variable string) bool {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		b, _ := os.ReadFile(file)
		if slices.Contains(strings.Split(string(b), "\x00"), variable) {
			return true
		}
	}
	return false
}

func TestConnectionIsLostWhileSensing(t *testing.T) {
	t.Parallel()
	s := newScene(t, sshdtest.Options{})
	service := s.node.serve("0.0.0.0")
	w := s.sense(serviceAt(here, service.port))
	w.sees("ss")
	s.server.Stop()
	w.wrong("the connection was lost")
}

// What conntrack prints is understood, or refused. Flows to other machines' ports are none of the service's. What it says beside, at the place of a
// ~ here, may come in the middle of a line: it writes its list 4 KiB at a time.
func TestWhatConntrackPrints(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	n.address("lo", here+"/32")
	n.feed("add table ip t; add chain ip t out { type filter hook output priority 0; }; add rule ip t out ct state new counter", "nft", "-f", "-")
	const (
		flow   = "src=10.9.0.2 dst=10.9.0.1 sport=46510 dport=8080 src=172.17.0.2 dst=10.9.0.2 sport=80 dport=46510 [ASSURED] mark=0 use=1\n"
		one    = "8080 1 1 40a090002 -"
		seen   = "8080 0 1 - -"
		nobody = "8080 0 0 - -"
	)
	for name, c := range map[string]struct{ out, want string }{
		"nothing":            {"", nobody},
		"established":        {"tcp      6 431999 ESTABLISHED " + flow, one},
		"of /proc":           {"ipv4     2 tcp      6 431999 ESTABLISHED " + flow + "ipv4     2 udp      17 29 " + flow + "ipv6     10 udp      17 29 " + flow, one},
		"being opened":       {"tcp      6 119 SYN_SENT " + flow, one},
		"half closed":        {"tcp      6 59 CLOSE_WAIT " + flow, one},
		"opened at once":     {"tcp      6 119 SYN_SENT2 " + flow, one},
		"being accepted":     {"tcp      6 59 SYN_RECV " + flow, one},
		"ended by one":       {"tcp      6 119 FIN_WAIT " + flow, one},
		"nearly over":        {"tcp      6 29 LAST_ACK " + flow, one},
		"of no state":        {"tcp      6 9 NONE " + flow, seen},
		"offloaded":          {"tcp      6 " + flow, one},
		"over":               {"tcp      6 119 TIME_WAIT " + flow, seen},
		"reset":              {"tcp      6 9 CLOSE " + flow, seen},
		"to another machine": {"tcp      6 9 ESTABLISHED src=172.17.0.2 dst=10.9.0.7 sport=46510 dport=8080 src=10.9.0.7 dst=10.9.0.1\n", nobody},
		"to another port":    {"tcp      6 9 ESTABLISHED src=172.17.0.2 dst=10.9.0.1 sport=46510 dport=8081\n", nobody},
		"words in between":   {"tcp      6 9 ESTABL~ISHED " + flow, one},
		"our own":            {"tcp      6 9 ESTABLISHED src=10.9.0.1 dst=10.9.0.1 sport=46510 dport=8080\n", "8080 0 0 - 46510"},
		"a new state":        {"tcp      6 9 LINGERING " + flow, ""},
		"words":              {"Operation failed: sorry, you must be root\n", ""},
		"torn":               {"tcp      6 9 ESTABLISHED src=10.9.0.2 dst=10.9\n", ""},
	} {
		bin := t.TempDir()
		first, rest, _ := strings.Cut(c.out, "~")
		write(t, filepath.Join(bin, "first"), first)
		write(t, filepath.Join(bin, "rest"), rest)
		tool(t, bin, "conntrack", "#!/bin/sh\nout() { case $1 in *ipv4*) cat "+bin+"/$2 ;; esac; }\nout \"$*\" first\necho 'conntrack v1.4.7 (conntrack-tools): 1 flow entries have been shown.' >&2\nout \"$*\" rest\n")
		at := actuators.Place{Fleet: fleet}
		at.SSH.StateDir = "/tmp"
		cmd := exec.Command("sh", "-c", host.SenseCommand(at, "conntrack", serviceAt(here, 8080)))
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
		var out []byte
		var err error
		n.within(func() error { out, err = cmd.Output(); return nil })
		got, want := firstSample(out), "sample 1 "+c.want
		if c.want == "" {
			want = ""
		}
		if got != want || (err == nil) != (c.want != "") {
			t.Errorf("%s: got %q, %v\nwant %q", name, got, err, want)
		}
	}
}
