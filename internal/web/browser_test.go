package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// stage serves the page of an agent to a browser and knows when the browser shows what a test waits for: a script of its own
// looks for it and asks for /seen, and a picture keeps the page loading until then.
type stage struct {
	http.Handler
	await  string // what the page is to show
	begin  func() // once the page listens to updates
	once   sync.Once
	seen   chan struct{}
	pwned  atomic.Bool // something asked for what only an attack asks for
	listen atomic.Bool
}

const probe = `
const look = () => { if (document.body.innerText.includes(AWAIT)) { observer.disconnect(); fetch("/seen"); } };
const observer = new MutationObserver(look);
observer.observe(document.body, {childList: true, subtree: true});
look();`

func (s *stage) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/":
		page := httptest.NewRecorder()
		s.Handler.ServeHTTP(page, r)
		w.Header().Set("Content-Security-Policy", page.Header().Get("Content-Security-Policy"))
		w.Write([]byte(strings.Replace(page.Body.String(), "</body>", `<img src="/hold" alt=""><script src="/probe.js"></script></body>`, 1)))
	case "/probe.js":
		w.Header().Set("Content-Type", "text/javascript")
		w.Write([]byte(strings.Replace(probe, "AWAIT", `"`+s.await+`"`, 1)))
	case "/hold":
		select {
		case <-s.seen:
		case <-r.Context().Done():
		}
	case "/seen":
		s.once.Do(func() { close(s.seen) })
	case "/pwned":
		s.pwned.Store(true)
	case "/live":
		if !s.listen.Swap(true) {
			s.begin()
		}
		s.Handler.ServeHTTP(w, r)
	default:
		s.Handler.ServeHTTP(w, r)
	}
}

// browse returns the document as it is once the page showed what it waits for.
func browse(t *testing.T, s *stage) string {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("left out: chromium is not installed, so the page was not tried in a browser")
	}
	s.seen = make(chan struct{})
	server := httptest.NewServer(s)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--user-data-dir="+t.TempDir(), "--dump-dom", server.URL).Output()
	if err != nil {
		t.Fatalf("chromium: %v\n%s", err, out)
	}
	select {
	case <-s.seen:
	default:
		t.Fatalf("the page never showed %q:\n%s", s.await, out)
	}
	return string(out)
}

func TestThePageUpdatesItself(t *testing.T) {
	a := newAgent(idle())
	s := &stage{Handler: handler(a, local), await: "permission denied", begin: func() { a.set(halted()) }}
	dom := browse(t, s)
	if !strings.Contains(dom, "<title>1 halted · windlass</title>") || strings.Count(dom, `id="fleet-web-live"`) != 1 {
		t.Errorf("after the update:\n%s", dom)
	}
}

func TestThePageComesBackAfterItsStreamWasRefused(t *testing.T) {
	a := newAgent(idle())
	var refused atomic.Bool
	once := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/live" && !refused.Swap(true) {
			http.Error(w, "all places are taken", http.StatusServiceUnavailable)
			return
		}
		handler(a, local).ServeHTTP(w, r)
	})
	dom := browse(t, &stage{Handler: once, await: "permission denied", begin: func() { a.set(halted()) }})
	if !strings.Contains(dom, "<title>1 halted · windlass</title>") {
		t.Errorf("after the stream was refused once:\n%s", dom)
	}
}

// The answers are those to a person who asks the browser to stop asking: one without a person waits for a password for ever.
func TestThePageIsLoadedAnewWhenItsUserIsNotLetInAnyMore(t *testing.T) {
	a := newAgent(idle())
	var loaded, refused atomic.Int32
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/" && loaded.Add(1) == 2:
			a.set(halted())
		case r.URL.Path == "/live" && loaded.Load() == 1:
			refused.Add(1)
			http.Error(w, "wrong user or password", http.StatusUnauthorized)
			return
		}
		handler(a, local).ServeHTTP(w, r)
	})
	browse(t, &stage{Handler: h, await: "permission denied", begin: func() {}})
	if refused.Load() != 2 || loaded.Load() != 2 {
		t.Errorf("%d tries with a wrong password, and %d pages were loaded; want 2 of each", refused.Load(), loaded.Load())
	}
}

func TestHostileTextDoesNothingInABrowser(t *testing.T) {
	const attack = "\u202e\x07</pre></script><script>fetch('/pwned')</script><img src=/pwned onerror=\"fetch('/pwned')\">\"' autofocus onfocus=\"fetch('/pwned')\" x='<style>@import '/pwned';</style>"
	a := newAgent(hostile(attack))
	s := &stage{Handler: handler(a, local), await: "8 of 8 in service", begin: func() {
		update := hostile(attack + " again")
		update.Phase = "idle"
		update.Desired.Release = "8 of 8 in service"
		a.set(update)
	}}
	dom := browse(t, s)
	if s.pwned.Load() {
		t.Error("the page asked for what only the attack asks for")
	}
	if !strings.Contains(dom, "&lt;script&gt;fetch('/pwned')&lt;/script&gt;") || strings.Contains(dom, "\u202e") {
		t.Errorf("the text is not shown as text:\n%s", dom)
	}
}
