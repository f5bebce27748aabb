package web

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
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

func private(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "other machines can reach this address, so only /metrics, /healthz and /readyz are served; use --listen 127.0.0.1:PORT and a tunnel to see the rest", http.StatusForbidden)
}
