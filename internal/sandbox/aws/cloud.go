package aws

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Config is what a Cloud is made with. The zero Config is ready for use.
type Config struct {
	Region string           // default eu-central-1
	Now    func() time.Time // default time.Now; health checks, latency and the end of connections keep to real time all the same

	// Reaches says which addresses health checks and balanced requests may go to. By default those of loopback. Whoever runs in a network
	// namespace of its own, with nothing in it but what is its own, may allow others.
	Reaches func(netip.Addr) bool
}

// Cloud is instances, target groups and load balancers, the API that tells about them, and the traffic through them. Its
// methods may be called from any goroutine.
type Cloud struct {
	region     string
	reaches    reach
	now        func() time.Time
	transport  *http.Transport // of health checks, which have time-outs of their own
	operations map[string]operation
	running    sync.WaitGroup // servers and health checks

	mu        sync.Mutex // guards what follows, and everything below it
	ctx       context.Context
	cancel    context.CancelFunc
	url       string
	servers   []*http.Server
	faults    Faults
	buckets   map[string]*bucket
	calls     journal
	changed   chan struct{}
	instances instances
	groups    map[string]*group        // by name
	classics  map[string]*classic      // by name
	balancers map[string]*loadBalancer // by name
	fronts    map[string]*front        // of balancers and classics, by name
}

// New returns a cloud with nothing in it. It starts nothing.
func New(config Config) *Cloud {
	c := &Cloud{
		region:    orElse(config.Region, "eu-central-1"),
		reaches:   config.Reaches,
		now:       config.Now,
		transport: reach(config.Reaches).transport(),
		buckets:   map[string]*bucket{},
		calls:     journal{counts: map[string]int{}},
		changed:   make(chan struct{}),
		instances: instances{},
		groups:    map[string]*group{},
		classics:  map[string]*classic{},
		balancers: map[string]*loadBalancer{},
		fronts:    map[string]*front{},
	}
	if c.now == nil {
		c.now = time.Now
	}
	c.operations = c.allOperations()
	return c
}

// Start opens the API endpoint and starts the health checks. Load balancers can be added from then on. When ctx ends, so
// do the health checks and every request in hand; Close is still to be called. A cloud starts once.
func (c *Cloud) Start(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx != nil {
		return errors.New("cannot start the cloud: it was started before")
	}
	c.ctx, c.cancel = context.WithCancel(ctx)
	address, err := c.serve(http.HandlerFunc(c.serveAPI))
	if err != nil {
		return fmt.Errorf("cannot start the cloud: %w", err)
	}
	c.url = "http://" + address
	return nil
}

// Close ends every request in hand, closes all listeners and returns when everything that was started has ended.
func (c *Cloud) Close() error {
	c.mu.Lock()
	if c.ctx == nil {
		c.mu.Unlock()
		return nil
	}
	c.cancel()
	servers := c.servers
	c.servers = nil
	c.mu.Unlock()
	grace, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var failures []error
	for _, server := range servers {
		if server.Shutdown(grace) != nil {
			failures = append(failures, server.Close())
		}
	}
	c.running.Wait()
	return errors.Join(failures...)
}

// URL is the endpoint for AWS_ENDPOINT_URL, the same for every service. It is known once the cloud has started.
func (c *Cloud) URL() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.url
}

// Environment is the variables that point an SDK or the AWS command line here, as NAME=value: the endpoint, the region, and
// a pair of credentials, of which any will do.
func (c *Cloud) Environment() []string {
	return []string{
		"AWS_ENDPOINT_URL=" + c.URL(),
		"AWS_REGION=" + c.region,
		"AWS_ACCESS_KEY_ID=sandbox",
		"AWS_SECRET_ACCESS_KEY=sandbox",
	}
}

// Changed returns a channel that is closed by the next change of an instance, a membership or the outcome of health
// checks. States that follow from the clock alone, such as the end of a deregistration delay, are no event.
func (c *Cloud) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// announce wakes who waits for a change. The mutex is held.
func (c *Cloud) announce() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// serve answers requests on a free loopback port and returns its address. The mutex is held.
func (c *Cloud) serve(handler http.Handler) (string, error) {
	if c.ctx == nil || c.ctx.Err() != nil {
		return "", errors.New("the cloud is not running")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	ctx := c.ctx
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	c.servers = append(c.servers, server)
	c.running.Go(func() { _ = server.Serve(listener) }) // always ends with ErrServerClosed
	return listener.Addr().String(), nil
}
