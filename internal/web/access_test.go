package web_test

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"windlass/internal/nettest"
	"windlass/internal/web"
	"windlass/internal/web/access"
)

const passwords = "carol: %[1]s, dave: %[1]s"

// A secured is an agent that is reached with TLS, and knows carol, and dave who is a reader. Their password is "right".
type secured struct {
	url, file string
	client    *http.Client
}

// secure serves over TLS as on an address that other machines reach, until the test ends.
func secure(t *testing.T, a *agent, more string) secured {
	t.Helper()
	ca, dir := nettest.NewAuthority(t), t.TempDir()
	cert, key := ca.Issue(t, "agent.example")
	file := filepath.Join(dir, "web.yaml")
	text := "tls_server_config: {cert_file: agent.crt, key_file: agent.key}\nbasic_auth_users: {" + fmt.Sprintf(passwords, hash(t)) + "}\nreaders: [dave]\n" + more
	for name, content := range map[string]string{"agent.crt": string(cert), "agent.key": string(key), "web.yaml": text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	gate, err := access.Open(access.Options{File: file, Public: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	metrics := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "windlass_build_info 1\n") })
	h := web.New(web.Options{Addr: "0.0.0.0:9190", Access: gate, Source: a, Metrics: metrics, Now: clock})
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 2)
	go func() { served <- web.Serve(ctx, l, h, gate.TLS(), slog.New(slog.DiscardHandler)) }()
	go func() { gate.Watch(ctx); served <- nil }()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		cancel()
		for range 2 {
			if err := <-served; err != nil {
				t.Error(err)
			}
		}
	})
	return secured{"https://" + l.Addr().String(), file, &http.Client{Transport: transport}}
}

func hash(t *testing.T) string {
	t.Helper()
	made, err := bcrypt.GenerateFromPassword([]byte("right"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(made)
}

// ask makes a request as a user, with header fields by name and value.
func (s secured) ask(t *testing.T, method, path, user string, header ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		r.SetBasicAuth(user, "right")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := s.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestWithUsersEverythingIsServedToThemAlone(t *testing.T) {
	t.Parallel()
	s := secure(t, newAgent(idle()), "http_server_config: {headers: {Strict-Transport-Security: max-age=60}}\n")
	for _, c := range []struct {
		method, path  string
		nobody, known int
	}{
		{"GET", "/healthz", 200, 200},
		{"HEAD", "/readyz", 200, 200},
		{"GET", "/metrics", 401, 200},
		{"GET", "/", 401, 200},
		{"GET", "/live.js", 401, 200},
		{"GET", "/api/v1/fleets", 401, 200},
		{"GET", "/api/v1/fleets/none", 401, 404},
		{"HEAD", "/api/v1/events", 401, 200},
		{"GET", "/nothing", 401, 404},
		{"POST", "/healthz", 401, 404},
	} {
		for user, want := range map[string]int{"": c.nobody, "carol": c.known} {
			answer := s.ask(t, c.method, c.path, user, "Content-Type", "application/json")
			text, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if answer.StatusCode != want || err != nil || answer.Proto != "HTTP/2.0" {
				t.Errorf("%s %s as %q: %s %d (%v), want %d", c.method, c.path, user, answer.Proto, answer.StatusCode, err, want)
			}
			if want == 401 && strings.Count(string(text), "\n") != 1 && c.method != "HEAD" {
				t.Errorf("%s %s: %q is not one line", c.method, c.path, text)
			}
			if answer.Header.Get("Strict-Transport-Security") != "max-age=60" || answer.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s %s as %q: %v", c.method, c.path, user, answer.Header)
			}
		}
	}
}

// What would change something is held back before anything looks at what it is.
func TestRequestsThatAreNotThereToLook(t *testing.T) {
	t.Parallel()
	s := secure(t, newAgent(idle()), "")
	const json = "application/json; charset=utf-8"
	for _, c := range []struct {
		name, user string
		header     []string
		want       int
	}{
		{"as it should be", "carol", []string{"Content-Type", json}, 405},
		{"from the page itself", "carol", []string{"Content-Type", json, "Origin", s.url, "Sec-Fetch-Site", "same-origin"}, 405},
		{"by nobody", "", []string{"Content-Type", json}, 401},
		{"by a reader", "dave", []string{"Content-Type", json}, 403},
		{"by a form", "carol", []string{"Content-Type", "application/x-www-form-urlencoded"}, 415},
		{"by a form that disguises itself", "carol", []string{"Content-Type", "text/plain; application/json"}, 415},
		{"without saying what", "carol", nil, 415},
		{"from another page", "carol", []string{"Content-Type", json, "Origin", "https://evil.example"}, 403},
		{"from another page of the site", "carol", []string{"Content-Type", json, "Sec-Fetch-Site", "same-site"}, 403},
	} {
		for _, method := range []string{"POST", "PUT", "DELETE"} {
			answer := s.ask(t, method, "/api/v1/fleets/web-live", c.user, c.header...)
			answer.Body.Close()
			if answer.StatusCode != c.want {
				t.Errorf("%s %s: %d, want %d", method, c.name, answer.StatusCode, c.want)
			}
		}
	}
	answer := s.ask(t, "GET", "/api/v1/fleets", "dave")
	answer.Body.Close()
	if answer.StatusCode != 200 {
		t.Errorf("a reader who looks: %d", answer.StatusCode)
	}
}

// On loopback without users the same holds, as a browser on this machine could be made to ask.
func TestRequestsThatAreNotThereToLookWithoutUsers(t *testing.T) {
	t.Parallel()
	h := handler(newAgent(idle()), local)
	if got := ask(h, "DELETE", "/api/v1/fleets/web-live", "evil.example").Code; got != 403 {
		t.Errorf("under another name: %d", got)
	}
	if got := ask(h, "DELETE", "/api/v1/fleets/web-live", "localhost").Code; got != 405 {
		t.Errorf("as it should be: %d", got)
	}
}

func TestAStreamEndsWhenItsUserIsTakenOut(t *testing.T) {
	t.Parallel()
	s := secure(t, newAgent(idle()), "")
	answer := s.ask(t, "GET", "/api/v1/events", "dave")
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "event: fleet") {
	}
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	without := strings.NewReplacer("dave: ", "erin: ", "[dave]", "[erin]").Replace(string(text))
	if err := os.WriteFile(s.file, []byte(without), 0o600); err != nil {
		t.Fatal(err)
	}
	last := ""
	for lines.Scan() { // until the stream ends
		last = cmp.Or(lines.Text(), last)
	}
	if err := lines.Err(); err != nil || !strings.Contains(last, "knows you no more") {
		t.Errorf("the stream did not end well: %v, last it says %q", err, last)
	}
	again := s.ask(t, "GET", "/api/v1/fleets", "dave")
	again.Body.Close()
	if again.StatusCode != 401 {
		t.Errorf("after that he is answered %d", again.StatusCode)
	}
}

func TestPlainHTTPIsToldToUseTLS(t *testing.T) {
	t.Parallel()
	s := secure(t, newAgent(idle()), "")
	answer, err := s.client.Get(strings.Replace(s.url, "https", "http", 1) + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, _ := io.ReadAll(answer.Body); answer.StatusCode != 400 || !strings.Contains(string(text), "HTTPS server") {
		t.Errorf("%d %q", answer.StatusCode, text)
	}
}
