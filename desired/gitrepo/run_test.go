package gitrepo

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"

	"windlass/desired"
)

// A script is what successive polls find; the last is repeated.
type script []struct {
	revision string
	problem  string
	err      error
}

// play runs the loop on a script for some virtual time, and returns when it polled and what it delivered.
func (s script) play(t *testing.T, interval, length time.Duration) (polls []time.Duration, delivered []desired.State) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), length)
		defer cancel()
		poll := func(context.Context) (desired.State, error) {
			now := s[min(len(polls), len(s)-1)]
			polls = append(polls, time.Since(start))
			return desired.State{Revision: now.revision, Problem: now.problem}, now.err
		}
		err := loop(ctx, interval, desired.State{}, poll, func(state desired.State) { delivered = append(delivered, state) })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("loop ended with %v", err)
		}
	})
	return polls, delivered
}

func TestG38PollsAreSpread(t *testing.T) {
	t.Parallel()
	polls, _ := script{{revision: "a"}}.play(t, 10*time.Second, time.Hour)
	pauses := map[time.Duration]bool{}
	for i, at := range polls[1:] {
		pause := at - polls[i]
		if pause < 9*time.Second || pause > 11*time.Second {
			t.Errorf("pause of %s, want 10s give or take 10 %%", pause)
		}
		pauses[pause] = true
	}
	if len(pauses) < 100 {
		t.Errorf("%d different pauses of %d: no jitter", len(pauses), len(polls))
	}
}

func TestDeliversChangesOnly(t *testing.T) {
	t.Parallel()
	down := errors.New("down")
	_, delivered := script{
		{revision: "a"}, {revision: "a"},
		{revision: "a", problem: "down", err: down}, {revision: "a", problem: "down", err: down},
		{revision: "a"}, {revision: "b"}, {revision: "b"},
	}.play(t, time.Second, time.Hour)
	want := []desired.State{{Revision: "a"}, {Revision: "a", Problem: "down"}, {Revision: "a"}, {Revision: "b"}}
	if len(delivered) != len(want) {
		t.Fatalf("delivered %+v, want %+v", delivered, want)
	}
	for i := range want {
		if delivered[i].Revision != want[i].Revision || delivered[i].Problem != want[i].Problem {
			t.Errorf("delivery %d is %+v, want %+v", i, delivered[i], want[i])
		}
	}
}

func TestBacksOffDuringAnOutageAndNeverStops(t *testing.T) {
	t.Parallel()
	down := script{{err: errors.New("down")}}
	polls, _ := down.play(t, 15*time.Second, 24*time.Hour)
	for i, at := range polls[1:] {
		if pause := at - polls[i]; pause > longestPause*11/10 || pause < 13*time.Second {
			t.Errorf("pause %d is %s", i, pause)
		}
	}
	if day := 24 * time.Hour; len(polls) < 250 || len(polls) > 330 || day-polls[len(polls)-1] > 6*time.Minute {
		t.Errorf("%d polls in a day of outage", len(polls))
	}
	for range 6 {
		down = append(down, down[0])
	}
	polls, _ = append(down, script{{revision: "a"}}...).play(t, 15*time.Second, time.Hour)
	if last := len(polls) - 1; polls[last]-polls[last-1] > 17*time.Second {
		t.Errorf("still slow after the outage")
	}
	polls, _ = append(down[:6:6], script{{revision: "a"}, {err: errors.New("down")}}...).play(t, 15*time.Second, time.Hour)
	if again := polls[8] - polls[7]; again > 17*time.Second {
		t.Errorf("the next outage begins with a pause of %s", again)
	}
}

func TestDeliversWhatWasAcceptedWhileGitIsSilent(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		silence time.Duration
		kept    string
		want    []string
	}{
		"a quick answer":       {time.Second, "old", []string{"1s new"}},
		"a slow answer":        {30 * time.Second, "old", []string{"2s old", "30s new"}},
		"the same, found late": {30 * time.Second, "new", []string{"2s new", "30s new"}}, // now with what is wrong with it
		"nothing was accepted": {30 * time.Second, "", []string{"30s new"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start, got := time.Now(), []string(nil)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				poll := func(context.Context) (desired.State, error) {
					time.Sleep(test.silence)
					return desired.State{Revision: "new"}, nil
				}
				_ = loop(ctx, time.Second, desired.State{Revision: test.kept}, poll, func(state desired.State) {
					got = append(got, time.Since(start).String()+" "+state.Revision)
				})
				if !slices.Equal(got, test.want) {
					t.Errorf("delivered %v, want %v", got, test.want)
				}
			})
		})
	}
}

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

// Law 2: one broken file whose name cannot be told keeps every missing fleet from being released, however many others are broken too.
func TestLaw2AFileThatMayBeAnyFleetReleasesNone(t *testing.T) {
	t.Parallel()
	const unnamed = "fleets/unnamed.yaml"
	rejected := map[string]desired.Rejection{unnamed: {Path: unnamed}}
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		rejected[name] = desired.Rejection{Path: "fleets/" + name + ".yaml"}
	}
	before := map[string]desired.Version{"web": {Fleet: &desired.Fleet{Name: "web", Path: "fleets/web.yaml"}}}
	if next := advance(before, desired.Tree{Rejected: rejected}, &object.Commit{}); next.Fleets["web"].Released {
		t.Error("web is released, and may be the unnamed file")
	}
	delete(rejected, unnamed)
	if next := advance(before, desired.Tree{Rejected: rejected}, &object.Commit{}); !next.Fleets["web"].Released {
		t.Error("web is gone, and not released")
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

// What was told once does not change under who was told.
func TestStatsAreACopy(t *testing.T) {
	t.Parallel()
	r := &Repo{remote: &remote{}, stats: Stats{Errors: map[Reason]int{Other: 0}}}
	before := r.Stats()
	_ = r.note(errors.New("down"))
	if after := r.Stats(); before.Errors[Other] != 0 || after.Errors[Other] != 1 {
		t.Errorf("before %v, after %v", before.Errors, after.Errors)
	}
}
