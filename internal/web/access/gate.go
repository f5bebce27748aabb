package access

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"windlass/internal/tries"
)

// Options are what a gate needs.
type Options struct {
	File   string // of --web-config
	Public bool   // other machines can reach what is listened on
	Log    *slog.Logger
}

// A Gate holds requests to what the newest good version of the file says. Its methods may be called side by side.
type Gate struct {
	options Options
	inForce atomic.Pointer[version]
	proofs  *proofs
	tries   *tries.Tries
	hashing chan struct{} // holds one: who has it may hash

	mu      sync.Mutex // of one look at the file
	seen    digest     // of the last look
	told    digest     // of the version that was refused and told of last
	problem string
}

// Open reads the file. It refuses one that cannot be understood, and one that lets other machines in without saying who they are,
// or sends their passwords in plain.
func Open(o Options) (*Gate, error) {
	d, seen, err := read(o.File)
	var first *version
	if err == nil {
		first, err = newVersion(d, seen)
	}
	if err == nil {
		err = first.fits(o.Public)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use --web-config %s: %w", o.File, err)
	}
	g := &Gate{options: o, proofs: newProofs(), tries: tries.New(), hashing: make(chan struct{}, 1), seen: seen}
	g.inForce.Store(first)
	return g, nil
}

// fits reports why a version is not enough for the address that is listened on.
func (v *version) fits(public bool) error {
	switch {
	case !public:
		return nil
	case !v.authenticates():
		return errors.New("other machines can reach the address of --listen, and nobody has to say who they are: " +
			"give basic_auth_users, or client_auth_type RequireAndVerifyClientCert with client_ca_file, or listen on a loopback address")
	case v.tls == nil:
		return errors.New("other machines can reach the address of --listen, and passwords would be sent in plain: " +
			"give tls_server_config with cert_file and key_file, or listen on a loopback address")
	}
	return nil
}

// Required reports whether everybody has to say who they are. That stays so while the agent runs.
func (g *Gate) Required() bool { return g.inForce.Load().authenticates() }

// TLS is how TLS is spoken, by the newest good version at each handshake; nil: plain HTTP.
func (g *Gate) TLS() *tls.Config {
	if g.inForce.Load().tls == nil {
		return nil
	}
	return &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return g.inForce.Load().tls, nil }}
}

// TLSForAll is how TLS is spoken where no client certificate is wanted: as TLS says, but for that. Nil: plain HTTP.
func (g *Gate) TLSForAll() *tls.Config {
	if g.inForce.Load().tls == nil {
		return nil
	}
	return &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		c := g.inForce.Load().tls.Clone()
		c.ClientAuth, c.ClientCAs, c.VerifyPeerCertificate = tls.NoClientCert, nil, nil
		return c, nil
	}}
}

// Problem is why the newest version of the file is not in force; empty: it is.
func (g *Gate) Problem() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.problem
}

// pace is how often the file is looked at. A version is taken when two looks saw the same, as one that is just being written is not whole.
const pace = time.Second

// Watch looks at the file until ctx ends, and takes each good version of it.
func (g *Gate) Watch(ctx context.Context) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			g.look()
		}
	}
}

func (g *Gate) look() {
	g.mu.Lock()
	defer g.mu.Unlock()
	d, seen, err := read(g.options.File)
	settled := seen == g.seen
	g.seen = seen
	switch now := g.inForce.Load(); {
	case seen == now.digest:
		g.told, g.problem = digest{}, ""
	case settled && seen != g.told:
		g.take(d, err)
	}
}

// take puts a version in force, or says once why not.
func (g *Gate) take(d document, err error) {
	var next *version
	if err == nil {
		next, err = newVersion(d, g.seen)
	}
	now := g.inForce.Load()
	if err == nil {
		err = errors.Join(next.fits(g.options.Public), next.mayFollow(now))
	}
	if err != nil {
		g.told, g.problem = g.seen, err.Error()
		g.options.Log.Warn("web config not taken; the version before stays in force", "file", g.options.File, "error", err)
		return
	}
	g.told, g.problem = digest{}, ""
	gone := next.follows(now)
	g.inForce.Store(next)
	for _, a := range gone {
		a.end()
	}
	g.options.Log.Info("web config in force", "file", g.options.File, "users", len(next.accounts))
}

// mayFollow reports what cannot change while the agent runs.
func (v *version) mayFollow(now *version) error {
	switch {
	case now.authenticates() && !v.authenticates():
		return errors.New("nobody would have to say who they are any more: authentication is not switched off while the agent runs; restart it if that is meant")
	case (now.tls == nil) != (v.tls == nil):
		return errors.New("TLS is not switched on or off while the agent runs: restart it")
	}
	return nil
}
