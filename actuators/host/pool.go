package host

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"windlass/actuators"
)

// A pool keeps one connection for each node while there is work on it (G29).
type pool struct {
	auth            login
	knownHosts      []string
	idle, keepAlive time.Duration
	dials           chan struct{} // a place for each connection in the making
	doubtful        chan struct{} // how many of those places may be taken for nodes whose newest connection could not be made
	observe         func(fleet, result string)
	watchers        sync.WaitGroup

	mu     sync.Mutex
	links  map[linkKey]*link
	failed map[linkKey]bool // nodes whose newest connection could not be made
}

// newPool is a pool that makes so many connections at once. Nodes that do not answer get half of the places at most, and those that do
// need not wait for them.
func newPool(auth login, dials int) *pool {
	return &pool{
		auth:  auth,
		dials: make(chan struct{}, dials), doubtful: make(chan struct{}, max(1, dials/2)),
		links: map[linkKey]*link{}, failed: map[linkKey]bool{},
	}
}

// linkKey is all that makes a connection this one and no other.
type linkKey struct {
	address, user, hostKey string
	port                   int
}

func keyOf(at actuators.Place) linkKey {
	return linkKey{address: at.Node.Address, user: at.SSH.User, hostKey: at.Node.HostKey, port: at.Port()}
}

// sshd refuses beyond 10 sessions of a connection at once (MaxSessions). Those of sensors, which last, have places of their own.
const (
	maxSessions = 8
	maxSensors  = 2
)

// A link is the connection to a node, made when first needed. The pool's lock guards it.
type link struct {
	turn     chan struct{} // held by the one who makes the connection
	sessions chan struct{}
	sensors  chan struct{}
	yielding yielding
	users    int
	client   *client     // nil: none yet, or it was lost
	timer    *time.Timer // closes it when it has been idle for long enough; stopped while it is used
}

// Yielding are the sessions of a link that end when another one finds no place beside them. The zero value has none.
type yielding struct {
	mu   sync.Mutex
	ends map[*session]func()
}

// add has end called when makeWay is, until it is removed.
func (y *yielding) add(s *session, end func()) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.ends == nil {
		y.ends = map[*session]func(){}
	}
	y.ends[s] = end
}

func (y *yielding) remove(s *session) {
	y.mu.Lock()
	defer y.mu.Unlock()
	delete(y.ends, s)
}

// makeWay asks all of them to end, and does not wait for it.
func (y *yielding) makeWay() {
	y.mu.Lock()
	defer y.mu.Unlock()
	for _, end := range y.ends {
		end()
	}
}

// A client is a connection that tells when it has ended. x/crypto lets a session that is opened just then wait for ever.
type client struct {
	*ssh.Client
	ended chan struct{}
}

// A lease is the use of a link until release is called.
type lease struct {
	client  *client
	reused  bool // the connection may have died since it was last used
	link    *link
	release func()
}

func (p *pool) lease(ctx context.Context, at actuators.Place) (lease, error) {
	key := keyOf(at)
	l := p.use(key)
	release := sync.OnceFunc(func() { p.unuse(key, l) })
	client, reused, err := p.connected(ctx, at, l)
	if err != nil {
		release()
		return lease{}, err
	}
	return lease{client: client, reused: reused, link: l, release: release}, nil
}

func (p *pool) use(key linkKey) *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.links[key]
	if l == nil {
		l = &link{turn: make(chan struct{}, 1), sessions: make(chan struct{}, maxSessions), sensors: make(chan struct{}, maxSensors)}
		p.links[key] = l
	}
	l.users++
	if l.timer != nil {
		l.timer.Stop()
	}
	return l
}

func (p *pool) unuse(key linkKey, l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.users--
	switch {
	case l.users > 0:
	case l.client == nil || p.links[key] != l:
		p.drop(key, l)
	default:
		l.timer = time.AfterFunc(p.idle, func() { p.closeIdle(key, l) })
	}
}

// drop ends a link that nobody uses. The pool's lock is held.
func (p *pool) drop(key linkKey, l *link) {
	if p.links[key] == l {
		delete(p.links, key)
	}
	if l.client != nil {
		l.client.Close()
	}
}

func (p *pool) closeIdle(key linkKey, l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.users == 0 {
		p.drop(key, l)
	}
}

// close ends the node's connection as soon as nobody uses it; who comes later makes a new one.
func (p *pool) close(key linkKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.failed, key)
	l := p.links[key]
	if l == nil {
		return
	}
	delete(p.links, key)
	if l.users == 0 {
		p.drop(key, l)
	}
}

// closeAll ends every connection, used or not, and waits for what watched it.
func (p *pool) closeAll() {
	p.mu.Lock()
	for key, l := range p.links {
		p.drop(key, l)
	}
	p.mu.Unlock()
	p.watchers.Wait()
}

// connected returns the link's connection, made now if there is none. Only one caller makes it; the others wait for that.
func (p *pool) connected(ctx context.Context, at actuators.Place, l *link) (*client, bool, error) {
	if err := enter(ctx, l.turn); err != nil {
		return nil, false, err
	}
	defer leave(l.turn)
	p.mu.Lock()
	c := l.client
	p.mu.Unlock()
	if c != nil {
		return c, true, nil
	}
	made, err := p.connect(ctx, at)
	if err != nil {
		return nil, false, err
	}
	c = &client{made, make(chan struct{})}
	p.mu.Lock()
	l.client = c
	p.mu.Unlock()
	p.watchers.Go(func() { p.watch(l, c) })
	return c, false, nil
}

// connect dials when there is a place for it.
func (p *pool) connect(ctx context.Context, at actuators.Place) (*ssh.Client, error) {
	key := keyOf(at)
	p.mu.Lock()
	doubtful := p.failed[key]
	p.mu.Unlock()
	if doubtful {
		if err := enter(ctx, p.doubtful); err != nil {
			return nil, err
		}
		defer leave(p.doubtful)
	}
	if err := enter(ctx, p.dials); err != nil {
		return nil, err
	}
	defer leave(p.dials)
	client, err := p.dial(ctx, at)
	p.remember(key, err)
	return client, err
}

// mostFailed bounds the nodes that are remembered not to have answered. A node that is gone may fail once more after it was closed, and
// stays among them; beyond the bound all are forgotten, which costs a place for each that fails again.
const mostFailed = 10_000

// remember keeps whether the node's newest connection could be made.
func (p *pool) remember(key linkKey, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.failed, key)
	if err == nil {
		return
	}
	if len(p.failed) >= mostFailed {
		clear(p.failed)
	}
	p.failed[key] = true
}

// watch tries the connection now and then, so that a peer that died without a word is noticed, and forgets it when it has ended.
func (p *pool) watch(l *link, c *client) {
	p.watchers.Go(func() {
		defer close(c.ended)
		_ = c.Wait() // how it ended is told by whatever was using it
	})
	beat := time.NewTicker(p.keepAlive)
	defer beat.Stop()
	for {
		select {
		case <-c.ended:
			p.lost(l, c)
			return
		case <-beat.C:
			if !c.answers(p.keepAlive) {
				c.Close()
			}
		}
	}
}

// answers reports whether the peer answers in time. Any answer will do, also that the request is not known.
func (c *client) answers(within time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	_, err := await(ctx, c.ended, func() (bool, error) {
		_, _, err := c.SendRequest("keepalive@openssh.com", true, nil)
		return true, err
	}, nil)
	return err == nil
}

// lost makes the next user of the link connect again.
func (p *pool) lost(l *link, c *client) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.client == c {
		l.client = nil
	}
}

// dialThrough connects from the node; the connection is counted as use of the link until it is closed.
func (p *pool) dialThrough(ctx context.Context, at actuators.Place, address string) (net.Conn, error) {
	return withLease(ctx, p, at, func(l lease) (net.Conn, error) {
		open := func(c *ssh.Client) (net.Conn, error) { return c.DialContext(ctx, "tcp", address) }
		conn, err := openChannel(ctx, l, open, func(conn net.Conn) { conn.Close() })
		if err != nil {
			l.release()
			return nil, err
		}
		return &leasedConn{conn, l}, nil
	})
}

// A leasedConn is a connection from a node to somewhere.
type leasedConn struct {
	net.Conn
	lease lease
}

func (c *leasedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	return n, c.why(err)
}

func (c *leasedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	return n, c.why(err)
}

// why is errLost where x/crypto says io.EOF although it is the connection to the node that has ended.
func (c *leasedConn) why(err error) error {
	if err != nil && !c.lease.client.answers(time.Second) {
		return errLost
	}
	return err
}

func (c *leasedConn) Close() error {
	defer c.lease.release()
	return c.Conn.Close()
}

// withLease calls f with a lease that f releases. A kept connection that turns out dead before anything was asked is replaced.
func withLease[T any](ctx context.Context, p *pool, at actuators.Place, f func(lease) (T, error)) (T, error) {
	for {
		l, err := p.lease(ctx, at)
		if err != nil {
			var none T
			return none, err
		}
		got, err := f(l)
		if !l.reused || !errors.Is(err, errLost) {
			return got, err
		}
		p.lost(l.link, l.client)
	}
}

func enter(ctx context.Context, places chan struct{}) error {
	select {
	case places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func leave(places chan struct{}) { <-places }
