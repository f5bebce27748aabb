package probe_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/health/probe"
	"windlass/internal/nettest"
)

// A fakeShell is a node that is reached as the test says.
type fakeShell struct {
	err     error
	exit    int
	tail    string
	hang    bool
	takes   time.Duration // how long a command takes
	conn    net.Conn      // what connections through it are; nil: real ones
	ends    error         // how connections through it end at once; nil: they do not
	command string
	env     []string
	timeout time.Duration
}

func (f *fakeShell) Check(ctx context.Context, _ actuators.Place, env []string, command string, timeout time.Duration) (int, string, error) {
	f.command, f.env, f.timeout = command, env, timeout
	if f.hang {
		<-ctx.Done()
		return 0, "", ctx.Err()
	}
	select {
	case <-time.After(f.takes):
		return f.exit, f.tail, f.err
	case <-ctx.Done():
		return 0, "", ctx.Err()
	}
}

func (f *fakeShell) Dial(ctx context.Context, _ actuators.Place, address string) (net.Conn, error) {
	if f.hang {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if !strings.HasPrefix(address, "127.0.0.1:") {
		return nil, fmt.Errorf("%s is not the node itself", address)
	}
	if f.conn != nil {
		return f.conn, nil
	}
	if f.ends != nil {
		return endingConn{err: f.ends}, nil
	}
	if f.err != nil {
		return nil, f.err
	}
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

func place() actuators.Place {
	return actuators.Place{Fleet: "web-live", Node: actuators.Node{Name: "web-1", Address: "127.0.0.1"}}
}

func page(port int, body string) desired.Check {
	return desired.Check{Name: "serves", Timeout: 5 * time.Second, HTTP: &desired.HTTPCheck{Port: port, Path: "/version", Status: 200, Body: body, Via: desired.Direct}}
}

// service answers with a handler and returns its port.
func service(t *testing.T, handler http.HandlerFunc) int {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return portOf(t, s.Listener.Addr().String())
}

func portOf(t *testing.T, address string) int {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// closedPort is one that nobody listens on.
func closedPort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return portOf(t, l.Addr().String())
}

func expect(t *testing.T, got health.Sample, want health.Result, detail string) {
	t.Helper()
	if got.Result != want || !strings.Contains(got.Detail, detail) || got.At.IsZero() || strings.ContainsAny(got.Detail, "\n\x1b") {
		t.Errorf("got %s: %q, want %s: …%q…", got.Result, got.Detail, want, detail)
	}
}

func TestPage(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		answer string
		body   string
		want   health.Result
		detail string
	}{
		"as wanted":            {200, `{"version": "v1.4.2"}`, "{release}", health.Pass, "200"},
		"any body":             {200, "anything", "", health.Pass, "200"},
		"broken":               {503, "v1.4.2", "{release}", health.Fail, "/version: 503, want 200"},
		"well in another way":  {203, "v1.4.2", "{release}", health.Fail, "/version: 203, want 200"},
		"another release":      {200, "v1.4.1", "{release}", health.Contradict, `want "v1.4.2" in the answer: "v1.4.1"`},
		"a longer release":     {200, "v1.4.2-rc1", "{release}", health.Contradict, "v1.4.2-rc1"},
		"another page":         {200, "it works", "ready", health.Fail, `want "ready"`},
		"the node's name":      {200, "I am web-1.", "{node}", health.Pass, ""},
		"a redirect is not ok": {302, "", "", health.Fail, "302, want 200"},
		"hostile text":         {200, "\x1b[2J\nno\xff", "{release}", health.Contradict, ""},
	} {
		t.Run(name, func(t *testing.T) {
			port := service(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "http://127.0.0.1:1/")
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.answer)
			})
			direct, over := page(port, c.body), page(port, c.body)
			over.HTTP.Via = desired.OverSSH
			p := probe.New(&fakeShell{})
			expect(t, p.Probe(t.Context(), place(), direct, "v1.4.2"), c.want, c.detail)
			far := place()
			far.Node.Address = "192.0.2.1" // is not looked at: the page is the node's own
			expect(t, p.Probe(t.Context(), far, over, "v1.4.2"), c.want, c.detail)
		})
	}
}

func TestPageWithAStatusOfItsOwn(t *testing.T) {
	port := service(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	check := page(port, "")
	check.HTTP.Status = http.StatusUnauthorized
	expect(t, probe.New(nil).Probe(t.Context(), place(), check, "v1"), health.Pass, ": 401")
	check.HTTP.Status = 0
	expect(t, probe.New(nil).Probe(t.Context(), place(), check, "v1"), health.Fail, "401, want 200")
}

func TestPageIsBoundedAndAskedPlainly(t *testing.T) {
	var asked *http.Request
	stopped := make(chan bool, 1)
	port := service(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r
		for range 1 << 10 {
			if _, err := w.Write(make([]byte, 64<<10)); err != nil {
				stopped <- true
				return
			}
		}
		stopped <- false
	})
	expect(t, probe.New(nil).Probe(t.Context(), place(), page(port, "{release}"), "v1"), health.Contradict, "want")
	if !asked.Close || asked.Header.Get("Accept-Encoding") != "" || asked.Header.Get("User-Agent") != "windlass" {
		t.Errorf("asked with %+v", asked)
	}
	if !<-stopped {
		t.Error("64 MiB were read")
	}
}

// Law 16: an answer that breaks off proves nothing: v1.4.2 may be the beginning of v1.4.2-rc.
func TestPageThatBreaksOff(t *testing.T) {
	port := service(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "9")
		fmt.Fprint(w, "v1.4.2")
	})
	expect(t, probe.New(nil).Probe(t.Context(), place(), page(port, "{release}"), "v1.4.2"), health.Fail, "unexpected EOF")
}

// The same holds of an answer that is too long to be looked at whole.
func TestPageThatIsCut(t *testing.T) {
	for text, want := range map[string]health.Result{" v1.4.2-rc": health.Contradict, " v1.4.2": health.Contradict, " v1.4.2\n": health.Pass} {
		body := strings.Repeat(" ", 64<<10-len(" v1.4.2")) + text + strings.Repeat("x", 100)
		if text == " v1.4.2\n" {
			body = body[1:]
		}
		port := service(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
		expect(t, probe.New(nil).Probe(t.Context(), place(), page(port, "{release}"), "v1.4.2"), want, "200")
	}
}

func TestPageThatDoesNotCome(t *testing.T) {
	release := make(chan struct{})
	port := service(t, func(_ http.ResponseWriter, r *http.Request) { <-release })
	defer close(release)
	check := page(port, "")
	check.Timeout = 50 * time.Millisecond
	p := probe.New(&fakeShell{})
	expect(t, p.Probe(t.Context(), place(), check, "v1"), health.Fail, "no answer in time")
	expect(t, p.Probe(t.Context(), place(), page(closedPort(t), ""), "v1"), health.Fail, "connection refused")
	unsaid := page(closedPort(t), "")
	unsaid.HTTP.Via = "" // is direct
	expect(t, p.Probe(t.Context(), place(), unsaid, "v1"), health.Fail, "connection refused")

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	expect(t, p.Probe(gone, place(), page(port, ""), "v1"), health.NoAnswer, "")
	over, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	expect(t, p.Probe(over, place(), page(port, ""), "v1"), health.NoAnswer, "")
}

// A caller who is out of time has learned nothing of the service, also in the moment in which only the dialler knows it.
func TestCallerWhoIsOutOfTimeBlamesNobody(t *testing.T) {
	port := service(t, func(http.ResponseWriter, *http.Request) {})
	p := probe.New(nil)
	expect(t, p.Probe(lateContext{t.Context()}, place(), page(port, ""), "v1"), health.NoAnswer, "in time")
	expect(t, p.Probe(lateContext{t.Context()}, place(), desired.Check{Name: "tcp", TCP: &desired.TCPCheck{Port: port}, Timeout: time.Second}, "v1"), health.NoAnswer, "")
}

// A lateContext has ended by its deadline, and nobody was told yet.
type lateContext struct{ context.Context }

func (lateContext) Deadline() (time.Time, bool) { return time.Now().Add(-time.Millisecond), true }

func TestOverSSHTellsTheNodeFromItsService(t *testing.T) {
	check := page(closedPort(t), "")
	check.HTTP.Via = desired.OverSSH
	expect(t, probe.New(&fakeShell{}).Probe(t.Context(), place(), check, "v1"), health.Fail, "connection refused")
	lost := errors.New("cannot connect to 127.0.0.1 through node web-1 (10.0.1.11): user deploy is refused with our key")
	expect(t, probe.New(&fakeShell{err: lost}).Probe(t.Context(), place(), check, "v1"), health.NoAnswer, "user deploy is refused")
	refused := fmt.Errorf("cannot connect: %w", syscall.ECONNREFUSED)
	expect(t, probe.New(&fakeShell{err: refused}).Probe(t.Context(), place(), check, "v1"), health.Fail, "connection refused")
	ended := fmt.Errorf("cannot connect: %w", io.EOF) // what ends a connection that was made says nothing of one that was not
	expect(t, probe.New(&fakeShell{err: ended}).Probe(t.Context(), place(), check, "v1"), health.NoAnswer, "EOF")
	way := fmt.Errorf("cannot connect: %w", &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("no route to host")})
	if got := probe.New(&fakeShell{err: way}).Probe(t.Context(), place(), check, "v1"); !strings.HasSuffix(got.Detail, "version: no route to host") {
		t.Errorf("%q says what the reader knows", got.Detail)
	}
	check.Timeout = 50 * time.Millisecond
	expect(t, probe.New(&fakeShell{hang: true}).Probe(t.Context(), place(), check, "v1"), health.NoAnswer, "")
	silent := &fakeShell{conn: silentConn{deadConn{closed: make(chan struct{})}}}
	expect(t, probe.New(silent).Probe(t.Context(), place(), check, "v1"), health.Fail, "no answer in time")
}

// silentConn takes everything and answers nothing.
type silentConn struct{ deadConn }

func (c silentConn) Write(b []byte) (int, error) { return len(b), nil }

// endingConn ends as soon as something is asked.
type endingConn struct {
	net.Conn
	err error
}

func (c endingConn) Read([]byte) (int, error)    { return 0, c.err }
func (c endingConn) Write(b []byte) (int, error) { return len(b), nil }
func (c endingConn) Close() error                { return nil }

// Law 19: a connection to the node that is lost during a check says nothing of its service.
func TestOverSSHBreaksOff(t *testing.T) {
	check := page(1, "")
	check.HTTP.Via = desired.OverSSH
	for ends, want := range map[error]health.Result{errors.New("the connection was lost"): health.NoAnswer, io.EOF: health.Fail} {
		expect(t, probe.New(&fakeShell{ends: ends}).Probe(t.Context(), place(), check, "v1"), want, "GET ")
	}
}

// deadConn takes nothing, and does not say so to who reads.
type deadConn struct {
	net.Conn
	closed chan struct{}
}

func (c deadConn) Read([]byte) (int, error)  { <-c.closed; return 0, io.EOF }
func (c deadConn) Write([]byte) (int, error) { return 0, errors.New("the connection was lost") }
func (c deadConn) Close() error              { close(c.closed); return nil }

func TestOverSSHTakesNothing(t *testing.T) {
	check := page(1, "")
	check.HTTP.Via = desired.OverSSH
	f := &fakeShell{conn: deadConn{closed: make(chan struct{})}}
	expect(t, probe.New(f).Probe(t.Context(), place(), check, "v1"), health.NoAnswer, "the connection was lost")
}

// A try ends with its time-out; a command, which is ended on the node, gets a little longer to be told of.
func TestTriesEndInTime(t *testing.T) {
	over := page(1, "")
	over.HTTP.Via = desired.OverSSH
	usual := over
	usual.Timeout = 0
	slow := command("web-selfcheck")
	for name, c := range map[string]struct {
		check desired.Check
		shell fakeShell
		took  time.Duration
		want  health.Result
	}{
		"page":            {over, fakeShell{hang: true}, 5 * time.Second, health.NoAnswer},
		"page, as usual":  {usual, fakeShell{hang: true}, 2 * time.Second, health.NoAnswer},
		"command":         {slow, fakeShell{exit: 124, takes: 800 * time.Millisecond}, 800 * time.Millisecond, health.Fail},
		"command, killed": {slow, fakeShell{exit: 137, takes: 500 * time.Millisecond}, 500 * time.Millisecond, health.Fail},
		"command, hangs":  {slow, fakeShell{hang: true}, 850 * time.Millisecond, health.NoAnswer},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			got := probe.New(&c.shell).Probe(t.Context(), place(), c.check, "v1")
			if took := time.Since(began); got.Result != c.want || took != c.took || !got.At.Equal(time.Now()) {
				t.Errorf("%s: %s (%s) after %v, want %s after %v", name, got.Result, got.Detail, took, c.want, c.took)
			}
		})
	}
}

func TestTCPConnectionIsClosed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := probe.New(nil)
	check := desired.Check{Name: "port", Timeout: 5 * time.Second, TCP: &desired.TCPCheck{Port: portOf(t, l.Addr().String())}}
	expect(t, p.Probe(t.Context(), place(), check, "v1"), health.Pass, "connect to")
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("it is left open: %v", err)
	}
}

// A port that drops packets is silent as a page may be: the try ends with its own time.
func TestTCPThatDoesNotAnswer(t *testing.T) {
	port := nettest.DeafPort(t)
	caller, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	check := desired.Check{Name: "port", Timeout: 50 * time.Millisecond, TCP: &desired.TCPCheck{Port: port}}
	expect(t, probe.New(nil).Probe(caller, place(), check, "v1"), health.Fail, "connect to 127.0.0.1:"+strconv.Itoa(port)+": no answer in time")
}

func TestTCP(t *testing.T) {
	open := service(t, func(http.ResponseWriter, *http.Request) {})
	p := probe.New(nil)
	check := func(port int) desired.Check {
		return desired.Check{Name: "port", Timeout: time.Second, TCP: &desired.TCPCheck{Port: port}}
	}
	expect(t, p.Probe(t.Context(), place(), check(open), "v1"), health.Pass, "connect to 127.0.0.1:")
	expect(t, p.Probe(t.Context(), place(), check(closedPort(t)), "v1"), health.Fail, "connection refused")
	six := place()
	six.Node.Address = "::1"
	expect(t, p.Probe(t.Context(), six, check(closedPort(t)), "v1"), health.Fail, "connect to [::1]:") // whether this machine has IPv6 or not
}

func command(run string) desired.Check {
	return desired.Check{Name: "jobs", Timeout: 50 * time.Millisecond, Command: &desired.CommandCheck{Run: run}}
}

func TestCommand(t *testing.T) {
	for name, c := range map[string]struct {
		shell  fakeShell
		want   health.Result
		detail string
	}{
		"passes":      {fakeShell{}, health.Pass, "exit 0"},
		"fails":       {fakeShell{exit: 3, tail: "queue is\nstuck, password=x"}, health.Fail, "exit 3: queue is stuck, password=[redacted]"},
		"hangs there": {fakeShell{exit: 124}, health.Fail, "no end within 50ms"},
		"is killed":   {fakeShell{exit: 137, tail: "deaf"}, health.Fail, "no end within 50ms: deaf"},
		"not reached": {fakeShell{err: errors.New("cannot check node web-1: unreachable")}, health.NoAnswer, "unreachable"},
		"hangs here":  {fakeShell{hang: true}, health.NoAnswer, ""},
		"says a lot":  {fakeShell{exit: 1, tail: strings.Repeat("é", 10_000)}, health.Fail, "é…"},
	} {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			sample := probe.New(&c.shell).Probe(t.Context(), place(), command("web-selfcheck"), "v1")
			expect(t, sample, c.want, c.detail)
			if strings.HasSuffix(sample.Detail, ":") {
				t.Errorf("the detail says nothing after its colon: %q", sample.Detail)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// G43: values reach a command as environment, and as text only when they are plain words.
func TestCommandGetsTheRelease(t *testing.T) {
	f := &fakeShell{}
	p := probe.New(f)
	expect(t, p.Probe(t.Context(), place(), command("web --version | grep -Fx '{release}' # {node}"), "v1.4.2+a"), health.Pass, "")
	if want := "web --version | grep -Fx 'v1.4.2+a' # web-1"; f.command != want {
		t.Errorf("runs %q", f.command)
	}
	if f.timeout != 50*time.Millisecond {
		t.Errorf("is ended on the node after %v", f.timeout)
	}
	if want := "WINDLASS_FLEET=web-live WINDLASS_NODE=web-1 WINDLASS_RELEASE=v1.4.2+a"; strings.Join(f.env, " ") != want {
		t.Errorf("with %q", f.env)
	}
	f.command = ""
	for _, release := range []string{"", "$(reboot)", "a'b", "a b", "a\nb"} {
		expect(t, p.Probe(t.Context(), place(), command("echo {release}"), release), health.NoAnswer, "no release is known")
	}
	if f.command != "" {
		t.Errorf("ran %q", f.command)
	}
}

func TestAddressIsNoURL(t *testing.T) {
	at := place()
	at.Node.Address = "user:secret@host/"
	got := probe.New(nil).Probe(t.Context(), at, page(1, ""), "v1")
	if got.Result == health.Pass || strings.Contains(got.Detail, "secret") {
		t.Errorf("got %+v", got)
	}
	if _, err := url.Parse("http://" + at.Node.Address); err != nil {
		t.Fatal(err)
	}
}
