package aws

import (
	"context"
	"errors"
	"math"
	"net"
	"net/http"
	"sync"
	"time"
)

// connections are those that a load balancer has to the targets of one pool. Their methods may be called from any goroutine.
type connections struct {
	reaches reach

	mu     sync.Mutex
	closed bool
	open   map[*connection]bool
}

// connection is one to a target. It is forgotten when it is closed, by whomever.
type connection struct {
	*net.TCPConn
	address string
	all     *connections
}

func newConnections(reaches reach) *connections {
	return &connections{reaches: reaches, open: map[*connection]bool{}}
}

// dial connects to a target within 10 s.
func (c *connections) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := c.reaches.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errors.Join(errors.New("the load balancer is closed"), conn.Close())
	}
	made := &connection{TCPConn: conn.(*net.TCPConn), address: address, all: c}
	c.open[made] = true
	return made, nil
}

func (c *connection) Close() error {
	c.all.mu.Lock()
	delete(c.all.open, c)
	c.all.mu.Unlock()
	return c.TCPConn.Close()
}

// cut closes all connections to a target, whatever goes on in them.
func (c *connections) cut(address string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.open {
		if conn.address == address {
			conn.TCPConn.Close()
		}
	}
}

// close closes all connections, and each that is made later.
func (c *connections) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for conn := range c.open {
		conn.TCPConn.Close()
	}
}

// transport keeps connections that have nothing to do for the idle time-out, and waits so long for an answer to begin.
func (c *connections) transport(idle time.Duration) *http.Transport {
	return &http.Transport{
		DialContext:           c.dial,
		DisableCompression:    true,
		ResponseHeaderTimeout: idle,
		IdleConnTimeout:       idle,
		MaxIdleConnsPerHost:   math.MaxInt,
	}
}
