package web_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"windlass/internal/web"
)

// client takes what it is sent; it is a ResponseWriter as the server's own of HTTP/2, which is lost once a deadline has passed.
type client struct {
	mu    sync.Mutex
	text  strings.Builder
	late  *time.Timer
	lost  bool
	leave func() // ends its request, and waits for that
}

func (*client) Header() http.Header             { return http.Header{} }
func (*client) WriteHeader(int)                 {}
func (*client) Flush()                          {}
func (*client) SetReadDeadline(time.Time) error { return nil }

func (c *client) SetWriteDeadline(at time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.late != nil {
		c.late.Stop()
	}
	c.late = nil
	if !at.IsZero() {
		c.late = time.AfterFunc(time.Until(at), c.lose)
	}
	return nil
}

func (c *client) lose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost = true
}

func (c *client) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost {
		return 0, os.ErrDeadlineExceeded
	}
	return c.text.Write(b)
}

// take returns what came since it was last asked.
func (c *client) take() string {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.text.Reset()
	return c.text.String()
}

// peek is what came since it was last asked for all.
func (c *client) peek() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}

// listen runs a stream until the test in the bubble ends.
func listen(t *testing.T, a *agent, path string) *client {
	return listenTo(t, handler(a, local), path)
}

func listenTo(t *testing.T, h http.Handler, path string) *client {
	ctx, cancel := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, "GET", path, nil)
	r.Host = "localhost"
	done := make(chan struct{})
	c := &client{leave: func() { cancel(); <-done }}
	go func() {
		defer close(done)
		h.ServeHTTP(c, r)
	}()
	t.Cleanup(c.leave)
	return c
}

func TestEventsFollowEachFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent(idle(), rejected())
		c := listen(t, a, "/api/v1/events")
		if first := c.take(); strings.Count(first, "event: fleet\n") != 2 || strings.Count(first, "event: repo\n") != 1 || strings.LastIndex(first, "event: fleet\n") > strings.Index(first, "event: repo\n") {
			t.Fatalf("first: %s", first)
		}
		time.Sleep(time.Second)
		a.set(progressing(), rejected())
		if next := c.take(); strings.Count(next, "event: ") != 1 || !strings.Contains(next, `data: {"name":"web-live","phase":"progressing"`) {
			t.Fatalf("after one fleet changed: %s", next)
		}
		time.Sleep(time.Second)
		a.set(progressing())
		if next := c.take(); next != "event: gone\ndata: {\"name\":\"web-staging\"}\n\n" {
			t.Fatalf("after a fleet went: %s", next)
		}
	})
}

func TestManyChangesMakeOneEventWithTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent(idle())
		c := listen(t, a, "/api/v1/events")
		c.take()
		for range 50 {
			a.set(progressing())
			time.Sleep(time.Millisecond)
			a.set(halted())
			synctest.Wait()
		}
		time.Sleep(time.Second)
		if got := c.take(); strings.Count(got, "event: ") != 1 || !strings.Contains(got, `"phase":"halted"`) {
			t.Errorf("%s", got)
		}
	})
}

// What is made of a snapshot is made once, however many watch, and no faster than any of them is told.
func TestWatchersShareWhatIsMadeOfASnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent(idle())
		h := handler(a, local)
		var watchers []*client
		for i := range 20 {
			watchers = append(watchers, listenTo(t, h, []string{"/api/v1/events", "/live"}[i%2]))
			time.Sleep(13 * time.Millisecond) // so that each has a beat of its own
		}
		synctest.Wait()
		before := a.snapshots()
		for range 1000 {
			a.set(progressing())
			time.Sleep(time.Millisecond)
			a.set(halted())
			synctest.Wait()
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if taken := a.snapshots() - before; taken > 12 {
			t.Errorf("%d watchers took %d snapshots in a second of changes", len(watchers), taken)
		}
		for i, w := range watchers {
			if got := w.take(); !strings.Contains(got[strings.LastIndex(got, "event: "):], "halted") {
				t.Errorf("watcher %d was last told: %s", i, got)
			}
		}
	})
}

func TestWhoListensBeyondTheMostIsRefusedUntilSomebodyLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := handler(newAgent(idle()), local)
		var clients []*client
		for i := range 100 {
			clients = append(clients, listenTo(t, h, []string{"/api/v1/events", "/live"}[i%2]))
		}
		for i, c := range clients {
			if got := c.take(); !strings.Contains(got, "event: ") {
				t.Errorf("client %d of 100 was told %q", i+1, got)
			}
		}
		for _, path := range []string{"/api/v1/events", "/live"} {
			w := ask(h, "GET", path, "localhost")
			if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || strings.Count(w.Body.String(), "\n") != 1 {
				t.Errorf("client 101 at %s: %d %v %q", path, w.Code, w.Header(), w.Body)
			}
		}
		if w := ask(h, "GET", "/api/v1/fleets", "localhost"); w.Code != http.StatusOK {
			t.Errorf("the list of fleets beside them: %d", w.Code)
		}
		clients[7].leave()
		if got := listenTo(t, h, "/live").take(); !strings.Contains(got, "event: state\n") {
			t.Errorf("after one left, the next was told %q", got)
		}
	})
}

// Who comes late gets the page as it is then: the browser counts ages from the time in it.
func TestLatePageHasItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := web.New(web.Options{Addr: local, Source: newAgent(idle()), Metrics: http.NotFoundHandler()})
		listenTo(t, h, "/live").take()
		time.Sleep(time.Hour)
		if got, want := listenTo(t, h, "/live").take(), fmt.Sprintf(`data-now="%d"`, time.Now().UnixMilli()); !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	})
}

func TestSilenceIsFilledWithHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := listen(t, newAgent(idle()), "/api/v1/events")
		c.take()
		time.Sleep(time.Minute)
		if got := c.take(); strings.Count(got, ": still here\n\n") < 3 || strings.Contains(got, "event: ") {
			t.Errorf("in a minute of silence: %q", got)
		}
	})
}

// What changes while nobody is told of anything new is no reason for silence.
func TestChangesThatNobodyIsToldOfAreNoReasonForSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent(idle())
		c := listen(t, a, "/api/v1/events")
		c.take()
		for range 12 {
			time.Sleep(5 * time.Second)
			a.set(idle())
		}
		if got := c.take(); strings.Count(got, ": still here\n\n") < 3 || strings.Contains(got, "event: ") {
			t.Errorf("in a minute: %q", got)
		}
	})
}

// However much happens, and whoever else watches, each change is told of soon; after quiet it is told of at once.
func TestEachChangeIsToldOfSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 100 * time.Millisecond
		a := newAgent(idle())
		h := handler(a, local)
		watchers := []*client{listenTo(t, h, "/api/v1/events"), listenTo(t, h, "/api/v1/events")}
		time.Sleep(time.Second)
		for i := range 200 {
			s := progressing()
			s.Reason = fmt.Sprint("change ", i, ".")
			a.set(s)
			synctest.Wait()
			for range most / time.Millisecond {
				if i == 0 || strings.Contains(watchers[0].peek(), s.Reason) && strings.Contains(watchers[1].peek(), s.Reason) {
					break
				}
				time.Sleep(time.Millisecond)
				synctest.Wait()
			}
			for _, w := range watchers {
				if got := w.take(); !strings.Contains(got, s.Reason) {
					t.Fatalf("%v after change %d one is told: %q", most, i, got)
				}
			}
			if i%10 == 0 {
				watchers[1].leave()
				time.Sleep(time.Duration(i) * time.Millisecond)
				watchers[1] = listenTo(t, h, "/api/v1/events")
				watchers[1].take()
			}
			time.Sleep(time.Duration(i*7%40) * time.Millisecond)
		}
	})
}

// A proxy that does not know better holds back what it may compress or buffer.
func TestStreamsTellProxiesToPassThemOn(t *testing.T) {
	t.Parallel()
	h := handler(newAgent(idle()), local)
	for _, path := range []string{"/api/v1/events", "/live"} {
		got := ask(h, "HEAD", path, "localhost").Header()
		for header, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"} {
			if got.Get(header) != want {
				t.Errorf("%s: %s is %q, want %q", path, header, got.Get(header), want)
			}
		}
	}
}

func TestThePageIsSentOnlyWhenMoreThanTimeChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAgent(idle())
		c := listen(t, a, "/live")
		if first := c.take(); !strings.Contains(first, "event: state\ndata: <main") {
			t.Fatalf("first: %s", first)
		}
		time.Sleep(time.Second)
		a.set(idle())
		if got := c.take(); got != "" {
			t.Fatalf("nothing changed: %s", got)
		}
		time.Sleep(time.Second)
		a.set(halted())
		if got := c.take(); !strings.Contains(got, "halted") {
			t.Errorf("after a change: %s", got)
		}
	})
}
