package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"windlass/desired"
	"windlass/internal/cage"
)

// An outlet is the way out of cages: a proxy for HTTP and HTTPS on this side. It reaches public addresses, and none that the deploy repo
// names for a node. What is inside has no say in it: names are resolved here, and the address that was judged is the one dialled.
type outlet struct {
	resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	local   func() ([]net.Addr, error) // networks that this machine is on

	mu    sync.Mutex
	nodes []string // names and addresses of nodes, as the deploy repo has them
}

func newOutlet() *outlet {
	var dialer net.Dialer
	return &outlet{
		dial:  dialer.DialContext,
		local: net.InterfaceAddrs,
		resolve: func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		},
	}
}

// avoid names the nodes of every fleet of the deploy repo. Those of before are avoided on.
func (o *outlet) avoid(tree desired.Tree) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range tree.Fleets {
		for _, n := range f.Nodes.Static {
			named := []string{strings.ToLower(strings.TrimSuffix(n.Address, "."))}
			if _, err := netip.ParseAddr(n.Target); err == nil { // and no instance's id
				named = append(named, n.Target)
			}
			for _, address := range named {
				if !slices.Contains(o.nodes, address) {
					o.nodes = append(o.nodes, address)
				}
			}
		}
	}
}

func (o *outlet) avoided() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.nodes
}

// proxyEnvironment tells programs in a cage of the way out.
func proxyEnvironment() []string {
	url := "http://" + net.JoinHostPort(loopback, strconv.Itoa(cage.OutPort))
	var env []string
	for _, name := range []string{"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"} {
		env = append(env, name+"="+url)
	}
	return append(env, "no_proxy=localhost,127.0.0.1,::1", "NO_PROXY=localhost,127.0.0.1,::1")
}

// serve answers what comes out of a cage until that ends.
func (o *outlet) serve(from net.Listener) (stop func() error) {
	forward := &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.Out.Host = r.In.Host },
		Transport:    &http.Transport{DialContext: o.reach, DisableKeepAlives: true},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) { refuse(w, err) },
		ErrorLog:     log.New(io.Discard, "", 0),
	}
	var tunnels sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	server := &http.Server{
		ReadHeaderTimeout: handshakeTime,
		ErrorLog:          log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.Method == http.MethodConnect:
				tunnels.Add(1)
				defer tunnels.Done()
				o.tunnel(ctx, w, r)
			case r.URL.Scheme == "http" && r.URL.Host != "":
				forward.ServeHTTP(w, r)
			default:
				http.Error(w, "this is a proxy for http and https", http.StatusBadRequest)
			}
		}),
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(from) // ends with the cage
	}()
	return func() error {
		cancel()
		err := server.Close()
		<-ended
		tunnels.Wait()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		return err
	}
}

// A forbidden destination is one that may not be reached, for a reason.
type forbidden string

func (f forbidden) Error() string { return string(f) }

func refuse(w http.ResponseWriter, err error) {
	status := http.StatusBadGateway
	if why := forbidden(""); errors.As(err, &why) {
		status = http.StatusForbidden
	}
	http.Error(w, "windlass up: "+err.Error(), status)
}

// tunnel joins a connection from inside to one outside.
func (o *outlet) tunnel(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	there, err := o.reach(r.Context(), "tcp", r.Host)
	if err != nil {
		refuse(w, err)
		return
	}
	defer closeWith(ctx, there)()
	here, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		refuse(w, err)
		return
	}
	defer closeWith(ctx, here)()
	if _, err := io.WriteString(here, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	var both sync.WaitGroup
	defer both.Wait()
	both.Go(func() {
		_, _ = io.Copy(there, buffered)
		if c, ok := there.(*net.TCPConn); ok {
			_ = c.CloseWrite()
		}
	})
	_, _ = io.Copy(here, there)
	here.Close()
}

const reachTime = 10 * time.Second

// reach dials an address if all that its name stands for may be reached.
func (o *outlet) reach(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("cannot reach %q: %w", address, err)
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	addresses, err := o.resolve(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("cannot resolve %q: %w", host, err)
	}
	if err := o.judge(ctx, host, addresses); err != nil {
		return nil, err
	}
	err = fmt.Errorf("%q has no address", host)
	for _, a := range addresses {
		var conn net.Conn
		if conn, err = o.dial(ctx, network, net.JoinHostPort(a.Unmap().String(), port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// judge is an error unless a host and its addresses may be reached.
func (o *outlet) judge(ctx context.Context, host string, addresses []netip.Addr) error {
	for _, a := range addresses {
		if !public(a) {
			return forbidden(fmt.Sprintf("%q is at %v: cages reach public addresses only", host, a))
		}
	}
	if err := o.elsewhere(host, addresses); err != nil {
		return err
	}
	for _, node := range o.avoided() {
		at, err := o.resolve(ctx, node)
		var unknown *net.DNSError
		switch {
		case node == host:
			return forbidden(fmt.Sprintf("%q is a node that the deploy repo names", host))
		case errors.As(err, &unknown) && unknown.IsNotFound: // nobody reaches it
		case err != nil:
			return forbidden(fmt.Sprintf("cannot tell whether %q is a node that the deploy repo names: cannot resolve %q", host, node))
		}
		for _, a := range addresses {
			for _, n := range at {
				if a.Unmap() == n.Unmap() {
					return forbidden(fmt.Sprintf("%q is at %v, as node %q is that the deploy repo names", host, a, node))
				}
			}
		}
	}
	return nil
}

// elsewhere is an error unless addresses are in no network that this machine is on: public ones may be its own, or its neighbours'.
func (o *outlet) elsewhere(host string, addresses []netip.Addr) error {
	local, err := o.local()
	if err != nil {
		return forbidden(fmt.Sprintf("cannot tell whether %q is this machine: %v", host, err))
	}
	for _, l := range local {
		network, ok := l.(*net.IPNet)
		if !ok {
			continue
		}
		for _, a := range addresses {
			if network.Contains(a.Unmap().AsSlice()) {
				return forbidden(fmt.Sprintf("%q is at %v, in a network that this machine is on", host, a))
			}
		}
	}
	return nil
}

// special are networks that count as global but lead elsewhere than to the internet: shared, test and reserved ones, and IPv6 that
// carries IPv4 or is of one site (RFC 6890, 2765, 3879).
var special = func() (all []netip.Prefix) {
	for _, p := range []string{"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "198.18.0.0/15", "240.0.0.0/4", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16", "::/96", "::ffff:0:0:0/96", "fec0::/10"} {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}()

func public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() || a.Zone() != "" {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}
