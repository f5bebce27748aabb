package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
)

// maxBody is how much of an answer is looked at.
const maxBody = 64 << 10

type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// client asks exactly what it is told to: each request on a connection of its own, no proxy, no redirect followed, nothing unpacked.
func client(dial dialFunc) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            dial,
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxBody,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// during dials no longer than a try lasts. A transport's own context outlives its request: it goes on dialling, in the hope of another one.
func during(try context.Context, dial dialFunc) dialFunc {
	return func(_ context.Context, network, address string) (net.Conn, error) { return dial(try, network, address) }
}

// page makes the check's request and judges the answer.
func (p *Prober) page(ctx context.Context, at actuators.Place, check desired.Check, release string) (health.Result, string) {
	dial, host := dialFunc(p.dialer.DialContext), at.Node.Address
	var reached atomic.Bool
	reached.Store(true) // by a direct check, whatever it meets: not to be reached is what it tests
	if check.HTTP.Via == desired.OverSSH {
		reached.Store(false)
		dial, host = p.through(at, &reached), "127.0.0.1"
	}
	target := "http://" + net.JoinHostPort(host, strconv.Itoa(check.HTTP.Port)) + check.HTTP.Path
	status, body, err := get(ctx, client(during(ctx, dial)), target)
	asked := "GET " + target + ": "
	switch {
	case err != nil && !reached.Load():
		return health.NoAnswer, asked + brief(err)
	case err != nil:
		return health.Fail, asked + brief(err)
	}
	result, why := judgePage(check, status, body, release, at.Node.Name)
	return result, asked + why
}

// judgePage compares an answer with what the check wants. With the right status and without the release it contradicts.
func judgePage(check desired.Check, status int, body, release, node string) (health.Result, string) {
	want := check.HTTP.Status
	if want == 0 {
		want = http.StatusOK
	}
	if status != want {
		return health.Fail, fmt.Sprintf("%d, want %d", status, want)
	}
	if desired.Found(body, check.HTTP.Body, release, node) {
		return health.Pass, strconv.Itoa(status)
	}
	why := fmt.Sprintf("%d, want %q in the answer: %.80q", status, desired.Expand(check.HTTP.Body, release, node), strings.ToValidUTF8(body, "?"))
	if check.NamesRelease() {
		return health.Contradict, why
	}
	return health.Fail, why
}

// through dials the node's loopback over its SSH connection, and tells when the node was reached, even if its service was not.
func (p *Prober) through(at actuators.Place, reached *atomic.Bool) dialFunc {
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		conn, err := p.shell.Dial(ctx, at, address)
		if reached.Store(err == nil || errors.Is(err, syscall.ECONNREFUSED)); err != nil {
			return nil, err
		}
		return way{conn, reached}, nil
	}
}

// A way is a connection through a node. When something else than the service ends it, the node was not reached after all.
type way struct {
	net.Conn
	reached *atomic.Bool
}

func (w way) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	return n, w.judge(err)
}

func (w way) Write(b []byte) (int, error) {
	n, err := w.Conn.Write(b)
	return n, w.judge(err)
}

func (w way) judge(err error) error {
	if err != nil && !errors.Is(err, io.EOF) {
		w.reached.Store(false)
	}
	return err
}

func get(ctx context.Context, c *http.Client, target string) (int, string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return 0, "", err
	}
	request.Header.Set("User-Agent", "windlass")
	response, err := c.Do(request)
	if err != nil {
		var urlError *url.Error
		if errors.As(err, &urlError) {
			err = urlError.Err
		}
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	if err != nil { // also of an answer that breaks off: what follows a release may make it another one
		return 0, "", err
	}
	return response.StatusCode, whole(string(body)), nil
}

// whole is what is looked at of a body, without a last word that is cut: v1.4.2 may be the beginning of v1.4.2-rc.
func whole(body string) string {
	if len(body) <= maxBody {
		return body
	}
	return strings.TrimRightFunc(body[:maxBody], func(r rune) bool { return word.MatchString(string(r)) })
}
