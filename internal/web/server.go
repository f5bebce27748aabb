package web

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"

	"windlass/reconciler"
)

// A Source knows how everything stands.
//
// Laws: both methods return at once. The channel that Changed returns is closed when a newer snapshot is there than any taken
// before the call.
type Source interface {
	Snapshot() reconciler.Snapshot
	Changed() <-chan struct{}
}

// Options are what a handler needs.
type Options struct {
	Addr    string // what is listened on; decides how much is served (Public)
	Source  Source
	Metrics http.Handler
	Sight   func(ctx context.Context, fleet string) (reconciler.Sight, error) // what its next plan would be made of
	History History                                                           // nil: the agent keeps none
	Now     func() time.Time                                                  // nil: time.Now
}

type server struct {
	source  Source
	history History
	views   *views
	now     func() time.Time
	streams chan struct{} // a place for each that is open

	sight     func(ctx context.Context, fleet string) (reconciler.Sight, error)
	forecasts chan struct{} // a place for the one that is being made
}

//go:embed assets
var assets embed.FS

// New returns the handler for everything that is served on o.Addr. It only reads: every method but GET and HEAD is refused.
func New(o Options) http.Handler {
	s := &server{
		source: o.Source, history: o.History, sight: o.Sight, now: o.Now,
		streams: make(chan struct{}, mostStreams), forecasts: make(chan struct{}, 1),
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.views = newViews(s.source)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", o.Metrics)
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	if Public(o.Addr) {
		mux.HandleFunc("GET /", private)
		return guarded(mux)
	}
	mux.HandleFunc("GET /{$}", s.page)
	mux.HandleFunc("GET /live", s.live)
	mux.HandleFunc("GET /style.css", asset("text/css; charset=utf-8", "style.css"))
	mux.HandleFunc("GET /live.js", asset("text/javascript; charset=utf-8", "live.js"))
	mux.HandleFunc("GET /icon.svg", asset("image/svg+xml", "icon.svg"))
	mux.HandleFunc("GET /api/v1/fleets", s.fleets)
	mux.HandleFunc("GET /api/v1/fleets/{name}", s.fleet)
	mux.HandleFunc("GET /api/v1/fleets/{name}/plan", s.forecast)
	mux.HandleFunc("GET /api/v1/fleets/{name}/history", s.past)
	mux.HandleFunc("GET /api/v1/repo", s.repo)
	mux.HandleFunc("GET /api/v1/events", s.events)
	return guarded(onlyLoopback(mux))
}

// mostConnections is how many clients are connected at once; more wait until one of them goes or was idle for too long. They must
// not take the files that SSH sessions need.
const mostConnections = 256

// Serve answers on l until ctx ends, then ends the event streams and gives requests under way a moment to finish.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(netutil.LimitListener(l, mostConnections)) }()
	select {
	case err := <-done:
		return fmt.Errorf("cannot serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	err := srv.Shutdown(stopping)
	if err != nil {
		err = srv.Close()
	}
	if served := <-done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

func (s *server) healthz(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "alive") }

// readyz names what was not tried yet, a line each.
func (s *server) readyz(w http.ResponseWriter, _ *http.Request) {
	sources := untried(s.source.Snapshot())
	if len(sources) == 0 {
		fmt.Fprintln(w, "ready")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	for _, source := range sources {
		fmt.Fprintln(w, source)
	}
}

func untried(snapshot reconciler.Snapshot) []string {
	var lines []string
	if snapshot.Repo.Checked.IsZero() && snapshot.Repo.Problem == "" {
		lines = append(lines, "deploy repo: not read yet")
	}
	for _, f := range snapshot.Fleets {
		if !f.Ready {
			lines = append(lines, "fleet "+name(f.Name)+": its load balancers, instances or nodes were not all tried yet")
		}
	}
	return lines
}

func asset(contentType, file string) http.HandlerFunc {
	content, err := assets.ReadFile("assets/" + file)
	if err != nil {
		panic(err) // it is embedded
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Write(content)
	}
}
