package gitrepo

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/file"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

// defaultUser goes with a token: forges want some name and do not look at it.
const defaultUser = "git"

func (r *remote) useHTTP(endpoint transport.Endpoint, o Options) error {
	if (endpoint.User != "" || o.TokenFile != "") && endpoint.Protocol == "http" && !isLoopback(endpoint.Host) {
		return errors.New("the deploy repo's credentials would cross the network in clear text: use https")
	}
	pool := r.pool()
	client := githttp.NewClient(&http.Client{Transport: refuseStatus{pool}})
	r.close = pool.CloseIdleConnections
	identify := func() (*transport.Endpoint, transport.AuthMethod, error) {
		token, err := readToken(o.TokenFile)
		if err != nil {
			return nil, nil, err
		}
		r.secrets = secretsOf(endpoint, token, o.TokenFile != "")
		bare := endpoint                  // of one session alone: a redirect changes it
		bare.User, bare.Password = "", "" // they travel in a header, not in URLs that errors quote (G40)
		if auth := credentials(endpoint, token); auth != nil {
			return &bare, auth, nil
		}
		return &bare, nil, nil
	}
	r.open = func(context.Context) (session, error) {
		at, auth, err := identify()
		if err != nil {
			return nil, err
		}
		return client.NewUploadPackSession(at, auth)
	}
	r.openPush = func(context.Context) (pushSession, error) {
		at, auth, err := identify()
		if err != nil {
			return nil, err
		}
		return client.NewReceivePackSession(at, auth)
	}
	return nil
}

// readToken reads the file anew each time, so that a token that is renewed needs no restart.
func readToken(file string) (string, error) {
	if file == "" {
		return "", nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fail(Auth, "cannot read the token: %w; correct --git-token-file", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", fail(Auth, "there is no token in %s: write it there, or correct --git-token-file", file)
	}
	return token, nil
}

func credentials(endpoint transport.Endpoint, token string) *githttp.BasicAuth {
	switch {
	case token != "":
		return &githttp.BasicAuth{Username: orDefault(endpoint.User, defaultUser), Password: token}
	case endpoint.User != "":
		return &githttp.BasicAuth{Username: endpoint.User, Password: endpoint.Password}
	}
	return nil
}

// pool is net/http's own transport on connections that notice silence.
func (r *remote) pool() *http.Transport {
	pool := http.DefaultTransport.(*http.Transport).Clone()
	dialer := &net.Dialer{Timeout: r.timeout}
	pool.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		return dial(ctx, dialer, network, address, r.timeout)
	}
	return pool
}

// refuseStatus turns an answer that is no success into an httpStatus, without reading the page that comes with it: it may be
// endless and is hostile text.
type refuseStatus struct{ next http.RoundTripper }

func (t refuseStatus) RoundTrip(req *http.Request) (*http.Response, error) {
	answer, err := t.next.RoundTrip(req)
	if err != nil || answer.StatusCode < http.StatusBadRequest {
		return answer, err
	}
	answer.Body.Close()
	limited := answer.Header.Get("Retry-After") != "" || answer.Header.Get("X-RateLimit-Remaining") == "0"
	return nil, &httpStatus{code: answer.StatusCode, limited: limited && answer.StatusCode == http.StatusForbidden}
}

func (r *remote) useFile(endpoint transport.Endpoint) error {
	r.open = func(context.Context) (session, error) {
		return file.DefaultClient.NewUploadPackSession(&endpoint, nil)
	}
	r.openPush = func(context.Context) (pushSession, error) {
		return file.DefaultClient.NewReceivePackSession(&endpoint, nil)
	}
	return needGit()
}

// A watchedConn fails when nothing moves for as long as silence: a peer that accepts and says nothing is noticed by the
// connection, whoever reads from it and whatever context they forgot (G30).
type watchedConn struct {
	net.Conn
	silence time.Duration
}

func dial(ctx context.Context, dialer *net.Dialer, network, address string, silence time.Duration) (net.Conn, error) {
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &watchedConn{conn, silence}, nil
}

func (c *watchedConn) Read(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.silence)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *watchedConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.silence)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
