package web

import (
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"windlass/internal/web/access"
)

// Public reports whether a listener on addr can be reached from other machines. What cannot be told is public.
func Public(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err != nil || !loopback(host)
}

// loopback reports whether host is this machine's own name or address for itself.
func loopback(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.Unmap().IsLoopback()
}

// guarded sets the headers that keep a browser from running, framing, guessing or passing on what is shown.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// onlyLoopback refuses requests made under another name: a web page whose name was pointed at 127.0.0.1 could read the answers
// otherwise (DNS rebinding).
func onlyLoopback(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if !loopback(host) {
			http.Error(w, "only requests for localhost or a loopback address are answered here", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// changes holds every request that is not there to look to what keeps other people's pages from making it with a browser's credentials:
// its content is JSON, which a form cannot send, and it comes from the same origin. Where users are known it is not made by a reader.
func changes(known bool, next http.Handler) http.Handler {
	origin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		switch user := access.Who(r.Context()); {
		case origin.Check(r) != nil:
			http.Error(w, "this request came from a page of another origin", http.StatusForbidden)
		case err != nil || kind != "application/json":
			http.Error(w, "requests that change something have Content-Type: application/json", http.StatusUnsupportedMediaType)
		case known && !user.MayChange:
			http.Error(w, fmt.Sprintf("%s may look and change nothing", name(user.Name)), http.StatusForbidden)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

func private(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "other machines can reach this address, so only /metrics, /healthz and /readyz are served; give users with --web-config, or use --listen 127.0.0.1:PORT and a tunnel, to see the rest", http.StatusForbidden)
}
