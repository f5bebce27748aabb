package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"golang.org/x/net/netutil"

	"windlass/internal/hook"
	"windlass/internal/metrics"
	"windlass/internal/web"
)

// mostSenders is how many who send webhooks are connected at once: a forge needs one or two.
const mostSenders = 64

// webhooks are what wakes the agent when there was a push. Without --webhook-listen (nil) it polls.
type webhooks struct {
	listener net.Listener
	handler  http.Handler
	series   *metrics.Webhooks
	log      *slog.Logger
}

// openWebhooks takes the address, when one is given.
func openWebhooks(o agentOptions, wake func(), log *slog.Logger) (*webhooks, error) {
	if o.webhookListen == "" {
		return nil, nil
	}
	w := &webhooks{series: metrics.NewWebhooks(hook.Providers(), hook.Results()), log: log}
	count := func(p hook.Provider, r hook.Result) { w.series.Request(string(p), string(r)) }
	var err error
	if w.handler, err = hook.New(hook.Options{SecretFile: o.webhookSecretFile, Wake: wake, Observe: count, Log: log}); err != nil {
		return nil, err
	}
	if w.listener, err = net.Listen("tcp", o.webhookListen); err != nil {
		return nil, fmt.Errorf("cannot listen on %q: %w; stop what listens there, or give another address with --webhook-listen", o.webhookListen, err)
	}
	return w, nil
}

// tell logs where webhooks are heard, and what is unwise about it.
func (w *webhooks) tell(secured *tls.Config) {
	if w == nil {
		return
	}
	at := w.listener.Addr().String()
	w.log.Info("webhooks are heard", "addr", at, "path", hook.Path, "tls", secured != nil)
	if secured == nil && web.Public(at) {
		w.log.Warn("webhooks come in plain to an address that other machines reach: GitLab's secret token can be read on the way; "+
			"give --web-config with tls_server_config, or listen on loopback behind a proxy that speaks TLS", "addr", at)
	}
}

// serve answers until ctx ends; secured is as for web.Serve.
func (w *webhooks) serve(ctx context.Context, secured *tls.Config) error {
	if w == nil {
		return nil
	}
	return web.Serve(ctx, netutil.LimitListener(w.listener, mostSenders), w.handler, secured, w.log)
}

func (w *webhooks) close() {
	if w != nil {
		w.listener.Close()
	}
}
