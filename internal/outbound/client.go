package outbound

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"windlass/internal/redact"
)

// Bounds of an attempt.
const (
	DefaultTimeout = 15 * time.Second
	defaultBody    = 1 << 20 // bytes of an answer
	mostHops       = 3       // redirects, on the same host
)

// Options say how places are reached.
type Options struct {
	Timeout time.Duration // of an attempt, from looking the name up to the end of the answer; 0: DefaultTimeout
	CAFile  string        // PEM file of authorities that are trusted beside the system's; empty: none
	Body    int           // most bytes of an answer; 0: 1 MiB
}

// A Client makes attempts. Its methods may be called side by side.
type Client struct {
	timeout time.Duration
	body    int
	http    *http.Client
	pool    *http.Transport
}

// New makes a client. It connects to nothing. The error says what is wrong with the file of authorities.
func New(o Options) (*Client, error) {
	pool := http.DefaultTransport.(*http.Transport).Clone() // its proxies are the environment's, and never stand before loopback
	pool.MaxIdleConns, pool.MaxIdleConnsPerHost, pool.IdleConnTimeout = 16, 2, 30*time.Second
	pool.MaxResponseHeaderBytes = 64 << 10
	pool.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		roots, err := authorities(o.CAFile)
		if err != nil {
			return nil, err
		}
		pool.TLSClientConfig.RootCAs = roots
	}
	c := &Client{timeout: cmp.Or(o.Timeout, DefaultTimeout), body: cmp.Or(o.Body, defaultBody), pool: pool}
	c.http = &http.Client{Transport: pool, CheckRedirect: staysThere}
	return c, nil
}

func authorities(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read who signs certificates: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // a system without any
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("there is no certificate in %s: give a PEM file of authorities", file)
	}
	return roots, nil
}

// Close lets go of connections that are idle.
func (c *Client) Close() { c.pool.CloseIdleConnections() }

// staysThere follows a redirect that asks for the same again at the same place. Any other is an answer: what was sent, and what it was sent with, is for
// nobody else, and a POST must not become a GET (RFC 9110, section 15.4).
func staysThere(next *http.Request, before []*http.Request) error {
	first := before[0]
	if len(before) > mostHops || next.Method != first.Method || next.URL.Scheme != first.URL.Scheme || next.URL.Host != first.URL.Host {
		return http.ErrUseLastResponse
	}
	return nil
}

// A Request is what is asked of a place.
type Request struct {
	Method  string
	URL     string // one that ParseURL takes
	Header  http.Header
	Body    []byte
	Secrets []string // that stand in the URL or the header, and in no error; the query of the URL never does
}

// An Answer is what a place said, whatever its status.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte // hostile text
}

// OK reports whether the place says that it is done.
func (a Answer) OK() bool { return a.Status/100 == 2 }

// An Error is an attempt that got no answer. It is one line, without secrets and without the URL but for its host.
type Error struct {
	Says   string
	Unsent bool // nothing can have come of it; otherwise what was asked may have been done
}

func (e *Error) Error() string { return e.Says }

// Do makes one attempt. Its error is an *Error.
func (c *Client) Do(ctx context.Context, r Request) (Answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("there was no answer within %v", c.timeout))
	defer cancel()
	var sent atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }})
	fail := func(host string, err error) (Answer, error) {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		says := r.hide(fmt.Sprintf("cannot reach %s: %v", host, err))
		return Answer{}, &Error{Says: redact.Line(says), Unsent: !sent.Load()}
	}
	at, err := ParseURL(r.URL)
	if err != nil {
		return fail("a place outside", err)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, at.String(), bytes.NewReader(r.Body))
	if err != nil {
		return fail(at.Host, bare(err))
	}
	if r.Header != nil {
		req.Header = r.Header.Clone()
	}
	answer, err := c.http.Do(req)
	if err != nil {
		return fail(at.Host, bare(err))
	}
	defer answer.Body.Close() // only read from
	body, err := io.ReadAll(io.LimitReader(answer.Body, int64(c.body)+1))
	if err == nil && len(body) > c.body {
		err = fmt.Errorf("its answer has more than %d bytes", c.body)
	}
	if err != nil {
		return fail(at.Host, err)
	}
	return Answer{Status: answer.StatusCode, Header: answer.Header, Body: body}, nil
}

// bare is the error without the request's URL, which may be a secret.
func bare(err error) error {
	if u := new(url.Error); errors.As(err, &u) {
		return u.Err
	}
	return err
}

// hide takes the secrets of the request out of a text.
func (r Request) hide(text string) string {
	secrets := r.Secrets
	if at, err := url.Parse(r.URL); err == nil && at.RawQuery != "" {
		secrets = append(secrets[:len(secrets):len(secrets)], at.RawQuery)
	}
	for _, secret := range secrets {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, redact.Mark)
		}
	}
	return text
}

// ParseURL takes the address of a place: https, or http on this machine, as what is sent is for nobody on the way. Its errors do not quote
// it, as it may be a secret.
func ParseURL(raw string) (*url.URL, error) {
	at, err := url.Parse(raw)
	switch {
	case err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https":
		return nil, errors.New("its address is no URL: give one such as https://chat.example.com/…")
	case at.User != nil:
		return nil, fmt.Errorf("its address (host %s) has a part before an @: leave that out", at.Host)
	case at.Scheme == "http" && !onLoopback(at.Hostname()):
		return nil, fmt.Errorf("its address (host %s) is http, which everybody on the way can read: give https; http is for loopback", at.Host)
	}
	return at, nil
}

func onLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.Unmap().IsLoopback() && address.Zone() == ""
}
