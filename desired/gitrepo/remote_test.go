package gitrepo

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
)

// The remote by itself: what ends a conversation, and what is said of that.

// A connection ends with a silence and not with its age: a long pack that trickles in is taken to its end.
func TestG30OnlySilenceEndsAConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const silence = 10 * time.Second
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		conn := &watchedConn{near, silence}
		go func() {
			_, _ = far.Read(make([]byte, 1)) // what is asked
			for range 5 {
				time.Sleep(silence - time.Second)
				_, _ = far.Write([]byte("x"))
			}
		}()
		if _, err := conn.Write([]byte("?")); err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			if _, err := conn.Read(make([]byte, 1)); err != nil {
				t.Errorf("byte %d: %v", i, err)
			}
		}
		began := time.Now()
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != silence {
			t.Errorf("after %v of silence: %v", time.Since(began), err)
		}
		began = time.Now()
		if _, err := conn.Write([]byte("nobody takes it")); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != silence {
			t.Errorf("nothing was taken for %v: %v", time.Since(began), err)
		}
	})
}

// Seen on the transport alone: to loopback nothing goes through a proxy.
func TestGitIsReachedThroughTheEnvironmentsProxy(t *testing.T) {
	t.Parallel()
	pool := (&remote{timeout: time.Second}).pool()
	if pool.Proxy == nil || !pool.ForceAttemptHTTP2 || pool.TLSHandshakeTimeout == 0 || pool.IdleConnTimeout == 0 {
		t.Errorf("the transport is none as net/http makes it: %+v", pool)
	}
}

// A page that comes with a refusal is not read, and its connection not kept.
func TestAPageOfARefusalIsClosed(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]Reason{http.StatusOK: "", http.StatusUnauthorized: Auth, http.StatusForbidden: RateLimited, http.StatusServiceUnavailable: Network} {
		page := &closedPage{Reader: strings.NewReader("a page")}
		header := http.Header{"Retry-After": {"30"}} // says more of a refusal than of an outage
		_, err := refuseStatus{answers{&http.Response{StatusCode: code, Header: header, Body: page}}}.RoundTrip(nil)
		if page.closed != (want != "") || page.Len() != len("a page") || err != nil && reasonOf(err) != want || (err == nil) != (want == "") {
			t.Errorf("%d: closed %t, %d bytes left, %v; want %q", code, page.closed, page.Len(), err, want)
		}
	}
}

type closedPage struct {
	*strings.Reader
	closed bool
}

func (p *closedPage) Close() error { p.closed = true; return nil }

type answers struct{ answer *http.Response }

func (a answers) RoundTrip(*http.Request) (*http.Response, error) { return a.answer, nil }

// The same trouble reads the same at each poll, although each comes from another port of ours: else it would be told anew each time.
func TestTheSameTroubleReadsTheSame(t *testing.T) {
	t.Parallel()
	r := &remote{name: "https://host/repo"}
	for _, from := range []string{"10.0.0.1", "2001:db8::1"} {
		var told []string
		for port := 40000; port < 40002; port++ {
			cut := &net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{IP: net.ParseIP(from), Port: port}, Addr: &net.TCPAddr{IP: net.ParseIP("192.0.2.1"), Port: 443}, Err: syscall.ECONNRESET}
			told = append(told, r.explain(cut).Error())
		}
		if told[0] != told[1] || !strings.Contains(told[0], "192.0.2.1:443: connection reset by peer") {
			t.Errorf("told %q", told)
		}
	}
}

// What a server says is one line that moves no cursor.
func TestTroubleIsOneLine(t *testing.T) {
	t.Parallel()
	got := (&remote{name: "https://host/repo"}).explain(errors.New("a\x1b[2Jb\nc\x00d\xff")).Error()
	if want := "cannot read https://host/repo: a [2Jb c d "; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A transfer has its own time: one that fails after that of the listing is over fails for what it met, and only one that takes too long for that.
func TestATransferFailsForWhatItMet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for took, want := range map[time.Duration]Reason{2 * time.Second: Network, time.Hour: Timeout} {
			slow := &slowPack{advertised: packp.NewAdvRefs(), took: took}
			slow.advertised.References["refs/heads/main"] = plumbing.NewHash(strings.Repeat("a", 40))
			r := &remote{branch: "main", timeout: time.Second, open: func(context.Context) (session, error) { return slow, nil }}
			if _, err := r.fetch(t.Context(), plumbing.ZeroHash, extent{depth: 1}); reasonOf(err) != want {
				t.Errorf("after %v: %v, want reason %s", took, err, want)
			}
		}
	})
}

// slowPack is a conversation that is cut some time after its pack was asked for.
type slowPack struct {
	advertised *packp.AdvRefs
	took       time.Duration
}

func (s *slowPack) Close() error { return nil }

func (s *slowPack) AdvertisedReferencesContext(context.Context) (*packp.AdvRefs, error) {
	return s.advertised, nil
}

func (s *slowPack) UploadPack(ctx context.Context, _ *packp.UploadPackRequest) (*packp.UploadPackResponse, error) {
	return nil, cmp.Or(sleep(ctx, s.took), error(syscall.ECONNRESET))
}
