package outbound_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"windlass/internal/nettest"
	"windlass/internal/outbound"
)

const token = "tok-4711-sesame"

func client(t *testing.T, o outbound.Options) *outbound.Client {
	t.Helper()
	c, err := outbound.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func post(url string) outbound.Request {
	return outbound.Request{
		Method: "POST", URL: url, Body: []byte("news"), Secrets: []string{token},
		Header: http.Header{"Authorization": {"Bearer " + token}},
	}
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestDo(t *testing.T) {
	t.Parallel()
	at := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, r.Method, r.Header.Get("Authorization"), r.ContentLength)
	})
	got, err := client(t, outbound.Options{}).Do(t.Context(), post(at))
	if err != nil {
		t.Fatal(err)
	}
	if got.OK() || got.Status != 429 || string(got.Body) != "POSTBearer "+token+"4" || outbound.RetryAfter(got.Header, time.Now()) != 3*time.Second {
		t.Errorf("%d %q", got.Status, got.Body)
	}
}

// An answer may have so many bytes, and no more.
func TestBoundOfAnAnswer(t *testing.T) {
	t.Parallel()
	at := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 100)) })
	if got, err := client(t, outbound.Options{Body: 100}).Do(t.Context(), post(at)); err != nil || len(got.Body) != 100 {
		t.Errorf("as many: %d bytes, %v", len(got.Body), err)
	}
	if _, err := client(t, outbound.Options{Body: 99}).Do(t.Context(), post(at)); err == nil || !strings.Contains(err.Error(), "its answer has more than 99 bytes") {
		t.Errorf("more: %v", err)
	}
}

// What is sent is for the place that it is sent to.
func TestRedirectsAreFollowedOnTheSameHostOnly(t *testing.T) {
	t.Parallel()
	var strangers atomic.Int32
	other := serve(t, func(http.ResponseWriter, *http.Request) { strangers.Add(1) })
	at := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/elsewhere":
			http.Redirect(w, r, other, http.StatusTemporaryRedirect)
		case "/get":
			http.Redirect(w, r, "/end", http.StatusFound)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusPermanentRedirect)
		case "/same":
			http.Redirect(w, r, "/end", http.StatusPermanentRedirect)
		case "/end":
			fmt.Fprint(w, r.Method, r.ContentLength)
		}
	})
	c := client(t, outbound.Options{})
	for path, want := range map[string]int{"/elsewhere": 307, "/get": 302, "/round": 308, "/same": 200} {
		got, err := c.Do(t.Context(), post(at+path))
		if err != nil || got.Status != want {
			t.Errorf("%s: %d %v, want %d", path, got.Status, err, want)
		}
		if path == "/same" && string(got.Body) != "POST4" {
			t.Errorf("it came as %q", got.Body)
		}
	}
	if n := strangers.Load(); n > 0 {
		t.Errorf("another host was asked %d times", n)
	}
}

func TestErrorsSayWhatMayHaveHappenedAndKeepSecrets(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	silent := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	cut := serve(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	endless := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 3 << 10 {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
	})
	deaf := "http://127.0.0.1:" + strconv.Itoa(nettest.DeafPort(t))
	refused := httptest.NewServer(nil)
	refused.Close()
	for name, c := range map[string]struct {
		at, says string
		unsent   bool
		timeout  time.Duration
	}{
		"silent":   {silent, "there was no answer within 200ms", false, 200 * time.Millisecond},
		"cut":      {cut, "EOF", false, 0},
		"endless":  {endless, "more than 1048576 bytes", false, 0},
		"deaf":     {deaf, "there was no answer within 200ms", true, 200 * time.Millisecond},
		"refused":  {refused.URL, "connection refused", true, 0},
		"no TLS":   {strings.Replace(cut, "http:", "https:", 1), "HTTPS", true, 0},
		"open":     {"http://chat.example.com", "give https", true, 0},
		"password": {"https://me:" + token + "@chat.example.com", "leave that out", true, 0},
		"no URL":   {"chat.example.com/" + token, "is no URL", true, 0},
		"control":  {"https://chat.example.com/\x7f" + token, "is no URL", true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client(t, outbound.Options{Timeout: c.timeout}).Do(t.Context(), post(c.at+"/hook/"+token+"?sig=abc&x=/"))
			var e *outbound.Error
			if !errors.As(err, &e) {
				t.Fatalf("it was %v", err)
			}
			if !strings.Contains(e.Says, c.says) || e.Unsent != c.unsent {
				t.Errorf("%q, unsent %v", e.Says, e.Unsent)
			}
			if strings.Contains(e.Says, token) || strings.Contains(e.Says, "sig=") || strings.Contains(e.Says, "hook") {
				t.Errorf("it tells a secret: %s", e.Says)
			}
		})
	}
}

func TestAnAttemptEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	at := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) // only then the server notices that the client goes
		cancel()
		<-r.Context().Done()
	})
	_, err := client(t, outbound.Options{}).Do(ctx, post(at))
	if err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("it was %v", err)
	}
}

func TestCAFile(t *testing.T) {
	t.Parallel()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if _, err := outbound.New(outbound.Options{CAFile: ca}); err == nil || !strings.Contains(err.Error(), ca) {
		t.Errorf("a file that is not there: %v", err)
	}
	if err := os.WriteFile(ca, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := outbound.New(outbound.Options{CAFile: ca}); err == nil || !strings.Contains(err.Error(), "no certificate in") {
		t.Errorf("a file without one: %v", err)
	}
	authority := nettest.NewAuthority(t)
	cert, key := authority.Issue(t, "chat.test")
	if err := os.WriteFile(ca, authority.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	trusted := nettest.TLSServer(t, cert, key, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	if got, err := client(t, outbound.Options{CAFile: ca}).Do(t.Context(), post(trusted)); err != nil || !got.OK() {
		t.Errorf("by the file: %v", err)
	}
	_, err := client(t, outbound.Options{}).Do(t.Context(), post(trusted))
	var e *outbound.Error
	if !errors.As(err, &e) || !e.Unsent || !strings.Contains(e.Says, "certificate") {
		t.Errorf("without the file: %v", err)
	}
}

func TestParseURL(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"https://a.example/x?y", "http://localhost:1/", "http://127.0.0.9/", "http://[::1]:8/"} {
		if _, err := outbound.ParseURL(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "a.example", "//a.example", "file:///etc/passwd", "ftp://localhost/", "http://10.0.0.1/", "http://localhost.example/", "https://u@a.example/"} {
		if _, err := outbound.ParseURL(bad); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}
