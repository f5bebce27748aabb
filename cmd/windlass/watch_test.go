package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// A fakeAgent tells of a repo that was not read yet, and then sends each line of its channel as an event; an empty one ends the connection.
func fakeAgent(t *testing.T, events <-chan string) *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("/api/v1/fleets", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "[]") })
	mux.HandleFunc("/api/v1/repo", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "{}") })
	mux.HandleFunc("/api/v1/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, event("repo", web.Repo{}))
		http.NewResponseController(w).Flush()
		for {
			select {
			case <-r.Context().Done():
				return
			case event := <-events:
				if event == "" {
					return
				}
				fmt.Fprint(w, event)
				http.NewResponseController(w).Flush()
			}
		}
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server
}

// sendAll sends what an agent tells, one after the other.
func sendAll(ctx context.Context, events chan<- string, all []string) {
	for _, e := range all {
		select {
		case events <- e:
		case <-ctx.Done():
		}
	}
}

func event(name string, value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(": still here\n\nevent: %s\ndata: %s\n\n", name, text)
}

// lineWriter hands on what is written.
type lineWriter chan string

func (w lineWriter) Write(p []byte) (int, error) {
	w <- string(p)
	return len(p), nil
}

func TestWatchShowsEachChangeAndOutlivesTheAgent(t *testing.T) {
	t.Parallel()
	events, shown := make(chan string), make(lineWriter)
	c, err := newClient(agentAddress{server: fakeAgent(t, events).URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- watch(ctx, c, statusOptions{json: true}, []string{"web"}, shown, io.Discard) }()

	send := func(text string) {
		select {
		case events <- text:
		case <-ctx.Done():
			t.Fatal("nobody listens")
		}
	}
	see := func(want string) {
		t.Helper()
		select {
		case got := <-shown:
			if !strings.Contains(got, want) || strings.Count(got, "\n") != 1 {
				t.Errorf("shown: %q, want one line with %q", got, want)
			}
		case err := <-ended:
			t.Fatalf("it ended: %v", err)
		}
	}
	send(event("fleet", web.Fleet{Name: "web", Phase: "progressing"}))
	see(`"progressing"`)
	send(event("fleet", web.Fleet{Name: "api", Phase: "halted"}) + event("unheard-of", 1) + event("fleet", web.Fleet{Name: "web", Phase: "idle"}))
	see(`"idle"`)
	send("") // the agent goes away and comes back
	send(event("fleet", web.Fleet{Name: "web", Phase: "halted"}))
	see(`"halted"`)
	cancel()
	if err := <-ended; err != code(3) {
		t.Errorf("it ended with %v, want the halted fleet's exit code 3", err)
	}
}

// A user who was taken out of the agent's file is told so, and does not use up the tries of an address.
func TestWatchEndsWhenTheAgentLetsNobodyIn(t *testing.T) {
	t.Parallel()
	events := make(chan string)
	agent := fakeAgent(t, events)
	var streams, refusals atomic.Int32
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/v1/events" && streams.Add(1) > 1 {
			refusals.Add(1)
			http.Error(w, "wrong user or password", http.StatusUnauthorized)
			return
		}
		agent.Config.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	c, err := newClient(agentAddress{server: front.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- watch(ctx, c, statusOptions{json: true}, nil, io.Discard, io.Discard) }()
	events <- "" // the connection ends, and the next is refused
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "wants to know who asks") || refusals.Load() != 1 {
		t.Errorf("it ended with %v after %d refusals", err, refusals.Load())
	}
}

// Whoever tries again and again tells of the same trouble once: it has nothing in it that is another each time.
func TestATroubleIsTheSameEachTime(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.(*net.TCPConn).SetLinger(0) // so that it is reset
		conn.Close()
	}))
	defer server.Close()
	c, err := newClient(agentAddress{server: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	first, second := c.follow(t.Context(), nil), c.follow(t.Context(), nil)
	if !strings.Contains(first.Error(), "connection reset") || first.Error() != second.Error() {
		t.Errorf("%v, then %v", first, second)
	}
}

func TestWatchUntilAllRest(t *testing.T) {
	t.Parallel()
	fleet := func(name string, phase plan.Phase) string { return event("fleet", web.Fleet{Name: name, Phase: phase}) }
	for name, c := range map[string]struct {
		events []string
		names  []string
		want   error
	}{
		"idle":           {[]string{fleet("web", "progressing"), fleet("api", "idle"), fleet("web", "waiting"), fleet("web", "idle")}, nil, nil},
		"halted":         {[]string{fleet("web", "progressing"), fleet("web", "halted")}, nil, needsHuman},
		"one of them":    {[]string{fleet("web", "halted") + fleet("api", "idle")}, []string{"api"}, nil},
		"paused is none": {[]string{fleet("web", "paused"), fleet("web", "idle")}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events := make(chan string)
			agent, err := newClient(agentAddress{server: fakeAgent(t, events).URL})
			if err != nil {
				t.Fatal(err)
			}
			defer agent.close()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			go sendAll(ctx, events, c.events)
			if err := watch(ctx, agent, statusOptions{until: "idle"}, c.names, io.Discard, io.Discard); err != c.want || ctx.Err() != nil {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
}

// What is shown never goes back in time, and is never half of a picture.
func TestPicturesComeFromOneSource(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("/api/v1/events", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, event("fleet", web.Fleet{Name: "api"}), event("fleet", web.Fleet{Name: "web"}), event("repo", web.Repo{Revision: "a"}), event("fleet", web.Fleet{Name: "web", Phase: "idle"}))
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	c, err := newClient(agentAddress{server: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	var seen []string
	err = c.follow(t.Context(), func(p picture) { seen = append(seen, fmt.Sprint(p.repo.Revision, len(p.fleets), p.fleets[1].Phase)) })
	if want := "[a2 a2idle]"; fmt.Sprint(seen) != want || err == nil {
		t.Errorf("%v, %v; want %s", seen, err, want)
	}
}

func TestPictureTakesEventsInAnyOrder(t *testing.T) {
	t.Parallel()
	var p picture
	for _, e := range []struct{ name, data string }{
		{"fleet", `{"name":"web"}`}, {"fleet", `{"name":"api"}`}, {"gone", `{"name":"nobody"}`}, {"repo", `{"revision":"3f2a"}`},
		{"fleet", `{"name":"job"}`}, {"gone", `{"name":"web"}`}, {"fleet", `{"name":"api","phase":"idle"}`},
	} {
		if err := p.take(e.name, []byte(e.data)); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.fleets) != 2 || p.fleets[0].Name != "api" || p.fleets[0].Phase != "idle" || p.fleets[1].Name != "job" || p.repo.Revision != "3f2a" {
		t.Errorf("got %+v", p)
	}
	if err := p.take("fleet", []byte("{")); err == nil {
		t.Error("a garbled event was taken")
	}
}
