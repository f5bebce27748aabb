package web_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"windlass/internal/web"
)

// serveAt serves on a socket until the test ends it or is over.
func serveAt(t *testing.T, a *agent, socket string) (end func()) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- web.Serve(ctx, l, handler(a, local), nil, slog.New(slog.DiscardHandler))
	}()
	end = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(end)
	return end
}

// proxies are what people put before an agent, with the settings that come with them, by name: the arguments that run one, and the file in
// its directory that says it all. Beside that are its socket and the agent's.
var proxies = map[string]struct {
	program, config string
	args            []string
}{
	"nginx": {"nginx", `daemon off; master_process off; pid DIR/pid; events {}
http { access_log off; client_body_temp_path DIR/a; proxy_temp_path DIR/b; fastcgi_temp_path DIR/c; uwsgi_temp_path DIR/d; scgi_temp_path DIR/e;
server { listen unix:DIR/socket; location / { proxy_pass http://unix:DIR/agent:; } } }`, []string{"-e", "stderr", "-c", "DIR/config"}},
	"nginx that compresses": {"nginx", `daemon off; master_process off; pid DIR/pid; events {}
http { access_log off; client_body_temp_path DIR/a; proxy_temp_path DIR/b; fastcgi_temp_path DIR/c; uwsgi_temp_path DIR/d; scgi_temp_path DIR/e;
gzip on; gzip_proxied any; gzip_min_length 0; gzip_types text/event-stream;
server { listen unix:DIR/socket; location / { proxy_pass http://unix:DIR/agent:; proxy_http_version 1.1; } } }`, []string{"-e", "stderr", "-c", "DIR/config"}},
	"haproxy": {"haproxy", `defaults
 mode http
 timeout connect 5s
 timeout client 50s
 timeout server 50s
frontend f
 bind unix@DIR/socket
 default_backend b
backend b
 server s unix@DIR/agent
`, []string{"-db", "-f", "DIR/config"}},
	"haproxy that compresses": {"haproxy", `defaults
 mode http
 timeout connect 5s
 timeout client 50s
 timeout server 50s
 compression algo gzip
 compression type text/event-stream
frontend f
 bind unix@DIR/socket
 default_backend b
backend b
 option http-no-delay
 server s unix@DIR/agent
`, []string{"-db", "-f", "DIR/config"}},
}

// through starts a proxy in a directory and returns a client that asks through it.
func through(t *testing.T, proxy, dir string) *http.Client {
	t.Helper()
	p := proxies[proxy]
	program, err := exec.LookPath(p.program)
	if err != nil {
		t.Skipf("left out: %s is not installed", p.program)
	}
	fill := strings.NewReplacer("DIR", dir)
	if err := os.WriteFile(filepath.Join(dir, "config"), []byte(fill.Replace(p.config)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	for _, arg := range p.args {
		cmd.Args = append(cmd.Args, fill.Replace(arg))
	}
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s says:\n%s", p.program, said.String())
		}
	})
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		for {
			conn, err := (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, "socket"))
			if err == nil || ctx.Err() != nil {
				return conn, err
			}
			time.Sleep(5 * time.Millisecond) // until the proxy listens
		}
	}
	client := &http.Client{Transport: &http.Transport{DialContext: dial}}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// Through a proxy as it comes, compressing or not, the header and each event are there while the stream goes on, the end of the agent is told as one, a
// connection that was lost is none, and who comes back is told everything.
func TestStreamsPassProxies(t *testing.T) {
	t.Parallel()
	for proxy := range proxies {
		t.Run(proxy, func(t *testing.T) {
			t.Parallel()
			dir, err := os.MkdirTemp("", "windlass-") // the name of a socket may not be long
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(dir) })
			a, socket := newAgent(idle()), filepath.Join(dir, "agent")
			end := serveAt(t, a, socket)
			client := through(t, proxy, dir)
			stream := streamOf(t, client)
			stream.tells(`"phase":"idle"`)
			a.set(progressing())
			stream.tells(`"phase":"progressing"`)
			a.set(halted())
			stream.tells(`"phase":"halted"`)
			end()
			stream.tells("event: end")
			stream.ends()

			serveAt(t, a, socket)
			again := streamOf(t, client)
			again.tells(`"phase":"halted"`)
			again.tells("event: repo")
		})
	}
}

// A stream is what a client hears.
type eventStream struct {
	t     *testing.T
	lines *bufio.Scanner
}

// streamOf returns when the header is there. A stream that says nothing for long fails the test.
func streamOf(t *testing.T, client *http.Client) *eventStream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", "http://localhost/api/v1/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	var answer *http.Response
	for { // the proxy may still know the agent that ended
		if answer, err = client.Do(r); err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode == http.StatusOK {
			break
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		time.Sleep(20 * time.Millisecond)
	}
	t.Cleanup(func() { answer.Body.Close() })
	if got := answer.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("it is %s", got)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	return &eventStream{t, lines}
}

// tells waits for a line with so much in it.
func (s *eventStream) tells(words string) {
	s.t.Helper()
	for s.lines.Scan() {
		if strings.Contains(s.lines.Text(), words) {
			return
		}
	}
	s.t.Fatalf("it ended without %q: %v", words, s.lines.Err())
}

// ends waits for the end.
func (s *eventStream) ends() {
	s.t.Helper()
	for s.lines.Scan() {
	}
	if err := s.lines.Err(); err != nil {
		s.t.Errorf("it did not end well: %v", err)
	}
}
