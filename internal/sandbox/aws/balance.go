package aws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// loopback is the name of every load balancer.
const loopback = "127.0.0.1"

// Traffic counts the requests that a load balancer got since it was opened; those of a Network one are connections.
type Traffic struct {
	Requests uint64
	Failed   uint64            // that the balancer answered itself, with a status of 5xx, or broke off because the target did
	Late     uint64            // that were sent to a target after it was deregistered
	Targets  map[Target]uint64 // that each target was sent
}

// front is the listener of a load balancer: it forwards each request, or connection, to the pools in turn.
type front struct {
	cloud      *Cloud
	transports map[*pool]*http.Transport // nil: it forwards connections
	pools      []*pool
	turn       int
	traffic    Traffic
}

// Traffic returns the counts of a load balancer or classic load balancer.
func (c *Cloud) Traffic(name string) (Traffic, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.fronts[name]
	if f == nil {
		return Traffic{}, fmt.Errorf("cannot tell the traffic of %s: there is no such load balancer", name)
	}
	traffic := f.traffic
	traffic.Targets = maps.Clone(traffic.Targets)
	return traffic, nil
}

// open starts a listener that forwards requests to pools, with that idle time-out, or connections when there is none, and the health
// checks of their members. The mutex is held.
func (c *Cloud) open(name string, pools []*pool, idle, spread time.Duration) (address string, err error) {
	if name == "" || c.fronts[name] != nil {
		return "", errors.New("it needs a name that is not taken")
	}
	if spread > memory {
		return "", fmt.Errorf("it spreads a deregistration for %v, and %v is the most", spread, memory)
	}
	f := &front{cloud: c, pools: pools, traffic: Traffic{Targets: map[Target]uint64{}}}
	if address, err = f.begin(idle); err != nil {
		return "", err
	}
	c.fronts[name] = f
	for _, p := range pools {
		p.inUse, p.spread = true, spread
		context.AfterFunc(c.ctx, p.connections.close)
		for _, m := range p.members {
			if m.life.at(c.now()).staying() {
				p.begin(m, c.now())
				c.watch(p, m)
			}
		}
	}
	return address, nil
}

// begin listens for requests, or for connections when there is no idle time-out. The mutex is held.
func (f *front) begin(idle time.Duration) (address string, err error) {
	if idle == 0 {
		return f.listen()
	}
	f.transports = map[*pool]*http.Transport{}
	for _, p := range f.pools {
		f.transports[p] = p.connections.transport(idle)
	}
	return f.cloud.serve(f)
}

// ServeHTTP forwards one request to one target, without a second try: whatever goes wrong is the client's to see.
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p, address, ok := f.choose()
	if !ok {
		f.fail(w, http.StatusServiceUnavailable)
		return
	}
	defer f.countAborted(r.Context())
	proxy := httputil.ReverseProxy{
		Transport: f.transports[p],
		ErrorLog:  log.New(io.Discard, "", 0),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(&url.URL{Scheme: "http", Host: address})
			p.SetXForwarded()
			p.Out.Host = p.In.Host
			sentOnce(p.Out)
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			if r.Context().Err() != nil {
				panic(http.ErrAbortHandler) // an empty answer would look like a success
			}
			f.fail(w, statusOf(err))
		},
	}
	proxy.ServeHTTP(w, r)
}

// sentOnce keeps net/http from sending a request without a body again when a connection that was used before breaks: it does not when
// the body might be one that cannot be read twice. A request whose method asks for a body is sent once by itself.
func sentOnce(r *http.Request) {
	if r.Body == nil && slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions}, r.Method) {
		r.Body = io.NopCloser(strings.NewReader(""))
	}
}

// choose counts a request and returns the address of the target that it goes to, and its pool; not ok when there is none.
func (f *front) choose() (p *pool, address string, ok bool) {
	c := f.cloud
	c.mu.Lock()
	defer c.mu.Unlock()
	f.traffic.Requests++
	now := c.now()
	p = f.pools[f.turn%len(f.pools)]
	m := p.pick(f.zone(now), now)
	f.turn++
	if m == nil {
		return p, "", false
	}
	f.traffic.Targets[Target{ID: m.ID, Port: m.Port}]++
	if !m.life.at(now).staying() {
		f.traffic.Late++
	}
	return p, p.address(m, now), true
}

// fail answers in the balancer's own name.
func (f *front) fail(w http.ResponseWriter, status int) {
	f.countFailure()
	http.Error(w, strconv.Itoa(status)+" "+http.StatusText(status), status)
}

// countAborted counts a response that broke off although its client was still there.
func (f *front) countAborted(client context.Context) {
	if aborted := recover(); aborted != nil {
		if client.Err() == nil {
			f.countFailure()
		}
		panic(aborted)
	}
}

func (f *front) countFailure() {
	f.cloud.mu.Lock()
	defer f.cloud.mu.Unlock()
	f.traffic.Failed++
}

// statusOf is what a client gets when the target could not be reached or did not answer.
func statusOf(err error) int {
	if isTimeout(err) {
		return http.StatusGatewayTimeout
	}
	return http.StatusBadGateway
}
