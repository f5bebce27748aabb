package aws

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// watch starts the health checks of a member, if the cloud runs and the pool gets traffic. The mutex is held.
func (c *Cloud) watch(p *pool, m *member) {
	m.unwatch()
	if c.ctx == nil || !p.inUse {
		return
	}
	ctx, stop := context.WithCancel(c.ctx)
	m.stop = stop
	c.running.Go(func() { c.checkRegularly(ctx, p, m) })
}

func (c *Cloud) checkRegularly(ctx context.Context, p *pool, m *member) {
	timer := time.NewTimer(p.registration)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			timer.Reset(p.check.Interval)
			c.checkOnce(ctx, p, m)
		}
	}
}

// checkOnce probes a member and records the outcome, unless the checks were stopped meanwhile. A member that cannot get
// traffic is not probed, and starts anew once it can.
func (c *Cloud) checkOnce(ctx context.Context, p *pool, m *member) {
	c.mu.Lock()
	usable, address := p.unusable(m, c.now()) == "", p.address(m, c.now())
	c.mu.Unlock()
	var failure string
	if usable {
		failure = p.check.probe(ctx, c.reaches, c.transport, address)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case ctx.Err() != nil:
	case !usable:
		p.begin(m, c.now())
	case p.record(m, failure, c.now()):
		if p.cutsUnhealthy && failure != "" {
			p.connections.cut(address)
		}
		c.announce()
	}
}

// probe runs one health check and returns the reason code of its failure, empty when it passed.
func (h HealthCheck) probe(ctx context.Context, reaches reach, transport http.RoundTripper, address string) string {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	if h.Protocol == "TCP" {
		conn, err := reaches.dial(ctx, "tcp", address)
		if err != nil {
			return FailedHealthChecks
		}
		conn.Close()
		return ""
	}
	return h.probeHTTP(ctx, transport, address)
}

func (h HealthCheck) probeHTTP(ctx context.Context, transport http.RoundTripper, address string) string {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+h.Path, nil)
	if err != nil {
		return FailedHealthChecks
	}
	request.Header.Set("User-Agent", "ELB-HealthChecker/2.0")
	response, err := transport.RoundTrip(request)
	switch {
	case isTimeout(err):
		return Timeout
	case err != nil:
		return FailedHealthChecks
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return ResponseCodeMismatch
	}
	return ""
}

func isTimeout(err error) bool {
	var network net.Error
	return errors.As(err, &network) && network.Timeout()
}

// A reach is the addresses that may be dialled; nil: those of loopback.
type reach func(netip.Addr) bool

func (r reach) includes(address netip.Addr) bool {
	if r == nil {
		return address.IsLoopback()
	}
	return r(address)
}

// transport returns what health checks travel over: a new connection for each, to reachable addresses only.
func (r reach) transport() *http.Transport {
	return &http.Transport{DialContext: r.dial, DisableKeepAlives: true, DisableCompression: true}
}

func (r reach) dial(ctx context.Context, network, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !r.includes(to.Addr()) {
		return nil, fmt.Errorf("cannot dial %q: the sandbox does not reach it (by default it reaches loopback addresses only)", address)
	}
	dialer := net.Dialer{Timeout: 10 * time.Second}
	return dialer.DialContext(ctx, network, address)
}
