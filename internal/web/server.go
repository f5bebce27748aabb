package web

import (
	"bytes"
	"context"
	"crypto/tls"
	"embed"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"

	"windlass/internal/web/access"
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
	Addr    string       // what is listened on
	Access  *access.Gate // who may ask; nil: everybody, and where other machines can reach Addr (Public) only for what names no node
	Source  Source
	Metrics http.Handler
	Sight   func(ctx context.Context, fleet string) (reconciler.Sight, error) // what its next plan would be made of
	Propose Proposer                                                          // nil: no branch can be planned
	Earlier Earlier                                                           // nil: what nodes had is not looked up
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
	propose   Proposer
	earlier   Earlier
}

//go:embed assets
var assets embed.FS

// New returns the handler for everything that is served on o.Addr. Nothing there changes anything.
func New(o Options) http.Handler {
	s := &server{
		source: o.Source, history: o.History, sight: o.Sight, propose: o.Propose, earlier: o.Earlier, now: o.Now,
		streams: make(chan struct{}, mostStreams), forecasts: make(chan struct{}, 1),
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.views = newViews(s.source)
	inner := http.NewServeMux()
	inner.Handle("GET /metrics", o.Metrics)
	switch {
	case o.Access == nil && Public(o.Addr):
		inner.HandleFunc("GET /", private)
	default:
		s.everything(inner)
	}
	outer := http.NewServeMux()
	outer.HandleFunc("GET /healthz", s.healthz)
	outer.HandleFunc("GET /readyz", s.readyz)
	outer.Handle("/", o.checked(changes(o.Access != nil, inner)))
	return guarded(o.named(outer))
}

// checked lets those through who may ask.
func (o Options) checked(next http.Handler) http.Handler {
	if o.Access == nil {
		return next
	}
	return o.Access.Check(next)
}

// named holds requests to names of this machine where that is what keeps other people's pages out, and adds the headers that are asked
// for. Where everybody has to say who they are, and other machines may ask, the name is not ours to know.
func (o Options) named(next http.Handler) http.Handler {
	switch {
	case o.Access == nil && Public(o.Addr):
		return next
	case o.Access == nil:
		return onlyLoopback(next)
	case !o.Access.Required():
		next = onlyLoopback(next)
	}
	return o.Access.Headers(next)
}

// everything is what there is to see of fleets.
func (s *server) everything(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", s.page)
	mux.HandleFunc("GET /live", s.live)
	mux.HandleFunc("GET /style.css", asset("text/css; charset=utf-8", "style.css"))
	mux.HandleFunc("GET /live.js", asset("text/javascript; charset=utf-8", "live.js"))
	mux.HandleFunc("GET /icon.svg", asset("image/svg+xml", "icon.svg"))
	mux.HandleFunc("GET /api/v1/fleets", s.fleets)
	mux.HandleFunc("GET /api/v1/fleets/{name}", s.fleet)
	mux.HandleFunc("GET /api/v1/fleets/{name}/plan", s.forecast)
	mux.HandleFunc("GET /api/v1/fleets/{name}/diff", s.diff)
	mux.HandleFunc("GET /api/v1/fleets/{name}/history", s.past)
	mux.HandleFunc("GET /api/v1/repo", s.repo)
	if s.propose != nil {
		mux.HandleFunc("GET /api/v1/plan", s.proposal)
	}
	mux.HandleFunc("GET /api/v1/events", s.events)
}

// mostConnections is how many clients are connected at once; more wait until one of them goes or was idle for too long. They must
// not take the files that SSH sessions need.
const mostConnections = 256

// Serve answers on l until ctx ends, then ends the event streams and gives requests under way a moment to finish. It speaks TLS as
// secured says; nil: plain HTTP.
func Serve(ctx context.Context, l net.Listener, h http.Handler, secured *tls.Config, to *slog.Logger) error {
	requests, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer context.AfterFunc(ctx, func() { end(errEnds) })()
	defer end(errEnds)
	srv := &http.Server{
		Handler:           h,
		TLSConfig:         secured,
		ErrorLog:          log.New(complaints{to}, "", 0),
		BaseContext:       func(net.Listener) context.Context { return requests },
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	done := make(chan error, 1)
	serve := srv.Serve
	if secured != nil {
		serve = func(l net.Listener) error { return srv.ServeTLS(l, "", "") }
	}
	go func() { done <- serve(netutil.LimitListener(l, mostConnections)) }()
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

// complaints logs what the server says of itself, but for handshakes that failed: whoever reaches the address could fill the log.
type complaints struct{ to *slog.Logger }

func (c complaints) Write(b []byte) (int, error) {
	if !bytes.HasPrefix(b, []byte("http: TLS handshake error")) {
		c.to.Warn("serving", "trouble", string(b))
	}
	return len(b), nil
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
