package web_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"windlass/internal/web"
	"windlass/reconciler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func handler(a *agent, addr string) http.Handler {
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "windlass_build_info 1\n") })
	return web.New(web.Options{Addr: addr, Source: a, Metrics: metrics, Now: clock, Sight: func(context.Context, string) (reconciler.Sight, error) {
		return reconciler.Sight{}, reconciler.ErrUnknown
	}})
}

const local = "127.0.0.1:9190"

func askWith(ctx context.Context, h http.Handler, path string) int {
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	r.Host = local
	h.ServeHTTP(w, r)
	return w.Code
}

func ask(h http.Handler, method, path, host string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, nil)
	r.Host = host
	r.Header.Set("Content-Type", "application/json")
	h.ServeHTTP(w, r)
	return w
}

func TestWhatIsServedWhere(t *testing.T) {
	cases := []struct {
		method, path  string
		local, public int
	}{
		{"GET", "/metrics", 200, 200},
		{"HEAD", "/metrics", 200, 200},
		{"GET", "/healthz", 200, 200},
		{"GET", "/readyz", 200, 200},
		{"GET", "/", 200, 403},
		{"GET", "/style.css", 200, 403},
		{"GET", "/live.js", 200, 403},
		{"GET", "/api/v1/fleets", 200, 403},
		{"GET", "/api/v1/repo", 200, 403},
		{"GET", "/api/v1/fleets/web-live", 200, 403},
		{"GET", "/api/v1/fleets/none", 404, 403},
		{"GET", "/api/v1/fleets/none/plan", 404, 403},
		{"HEAD", "/api/v1/events", 200, 403},
		{"GET", "/nothing", 404, 403},
		{"POST", "/metrics", 405, 405},
		{"DELETE", "/api/v1/fleets/web-live", 405, 405},
	}
	inside, outside := handler(newAgent(idle()), local), handler(newAgent(idle()), "0.0.0.0:9190")
	for _, c := range cases {
		if got := ask(inside, c.method, c.path, "localhost:9190").Code; got != c.local {
			t.Errorf("%s %s on loopback: %d, want %d", c.method, c.path, got, c.local)
		}
		if got := ask(outside, c.method, c.path, "agent.example:9190").Code; got != c.public {
			t.Errorf("%s %s on a public address: %d, want %d", c.method, c.path, got, c.public)
		}
	}
}

func TestPublic(t *testing.T) {
	for addr, want := range map[string]bool{
		"127.0.0.1:9190": false, "127.8.0.1:1": false, "[::1]:9190": false, "localhost:9190": false, "[::ffff:127.0.0.1]:80": false,
		":9190": true, "0.0.0.0:9190": true, "[::]:9190": true, "10.0.0.1:9190": true, "agent.example:9190": true, "localhost.example:1": true,
		"": true, "127.0.0.1": true,
	} {
		if got := web.Public(addr); got != want {
			t.Errorf("Public(%q) = %v", addr, got)
		}
	}
}

// TestAnotherNameForLoopbackIsRefused is DNS rebinding: the browser thinks it talks to the attacker's own site.
func TestAnotherNameForLoopbackIsRefused(t *testing.T) {
	h := handler(newAgent(idle()), local)
	for host, want := range map[string]int{
		"127.0.0.1:9190": 200, "localhost": 200, "[::1]:9190": 200, "demo.localhost:9190": 200,
		"evil.example:9190": 403, "127.0.0.1.evil.example": 403, "10.0.0.1:9190": 403, "": 403,
	} {
		if got := ask(h, "GET", "/api/v1/fleets", host).Code; got != want {
			t.Errorf("Host %q: %d, want %d", host, got, want)
		}
	}
}

func TestEveryAnswerHasTheSecurityHeaders(t *testing.T) {
	h := handler(newAgent(idle()), local)
	for _, path := range []string{"/", "/metrics", "/api/v1/fleets", "/nothing"} {
		header := ask(h, "GET", path, "localhost").Header()
		csp := header.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: Content-Security-Policy %q", path, csp)
		}
		if header.Get("X-Content-Type-Options") != "nosniff" || header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: %v", path, header)
		}
	}
}

func TestReadyzNamesWhatWasNotTried(t *testing.T) {
	starting := idle()
	starting.Ready = false
	a := newAgent(starting)
	a.snapshot.Repo = reconciler.Repo{}
	w := ask(handler(a, local), "GET", "/readyz", "localhost")
	if lines := strings.Count(w.Body.String(), "\n"); w.Code != 503 || lines != 2 || !strings.Contains(w.Body.String(), "web-live") {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	a.snapshot.Repo.Problem = "cannot be reached"
	a.set(idle())
	if w := ask(handler(a, local), "GET", "/readyz", "localhost"); w.Code != 200 {
		t.Errorf("a repo that was tried in vain: %d %q", w.Code, w.Body)
	}
}

func TestFleetsAsJSON(t *testing.T) {
	h := handler(newAgent(halted()), local)
	var all []web.Fleet
	w := ask(h, "GET", "/api/v1/fleets", "localhost")
	if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil || len(all) != 1 || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%v in %s", err, w.Body)
	}
	var one web.Fleet
	if err := json.Unmarshal(ask(h, "GET", "/api/v1/fleets/web-live", "localhost").Body.Bytes(), &one); err != nil {
		t.Fatal(err)
	}
	if want := encoded(t, web.FromStatus(halted())); encoded(t, one) != want || encoded(t, all[0]) != want {
		t.Errorf("got %s, want %s", encoded(t, one), want)
	}
	if body := ask(handler(newAgent(), local), "GET", "/api/v1/fleets", "localhost").Body.String(); body != "[]\n" {
		t.Errorf("no fleets are %q", body)
	}
	var problem struct{ Error string }
	if err := json.Unmarshal(ask(h, "GET", "/api/v1/fleets/%1b%5b2J%3Cb%3E", "localhost").Body.Bytes(), &problem); err != nil || problem.Error == "" || strings.Contains(problem.Error, "\x1b") {
		t.Errorf("%v: %q", err, problem.Error)
	}
}

func TestServeEndsItsStreamsWhenItsContextDoes(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- web.Serve(ctx, l, handler(newAgent(idle()), l.Addr().String()), nil, slog.New(slog.DiscardHandler))
	}()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	response, err := client.Get("http://" + l.Addr().String() + "/api/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
	told, err := io.ReadAll(response.Body)
	if want := "event: end\ndata: {\"reason\":\"the agent ends\"}\n\n"; err != nil || !strings.HasSuffix(string(told), want) {
		t.Errorf("the stream did not end well: %v, %q", err, told)
	}
}

// A crowd of silent clients must not take the files that the agent needs to reach its nodes.
func TestServeHoldsABoundedNumberOfConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- web.Serve(ctx, l, handler(newAgent(idle()), l.Addr().String()), nil, slog.New(slog.DiscardHandler))
	}()
	defer func() {
		cancel()
		<-served
	}()
	var conns []net.Conn
	for range 257 {
		conns = append(conns, connect(t, l.Addr().String()))
	}
	for i, conn := range conns[:256] {
		if got := greet(conn, 20*time.Second); !strings.HasPrefix(got, "HTTP/1.1 200") {
			t.Fatalf("client %d was answered %q", i+1, got)
		}
	}
	last := conns[256]
	if got := greet(last, 100*time.Millisecond); got != "" {
		t.Errorf("client 257 was answered %q beside 256 others", got)
	}
	conns[0].Close()
	if got := greet(last, 20*time.Second); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("after one left, client 257 was answered %q", got)
	}
}

func connect(t *testing.T, addr string) net.Conn {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// greet asks whether the server is alive and returns how its answer begins; nothing when none comes in time.
func greet(conn net.Conn, within time.Duration) string {
	io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	conn.SetReadDeadline(time.Now().Add(within))
	b := make([]byte, 4<<10)
	n, _ := conn.Read(b)
	return string(b[:n])
}

func TestServeReportsAListenerThatFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := web.Serve(t.Context(), l, http.NotFoundHandler(), nil, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("no error")
	}
}
