package host

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"windlass/actuators"
)

// A session that x/crypto opens while its connection ends is never answered, and never told: it must not be waited for.
func TestSessionOpenedWhileTheConnectionEnds(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	key, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	opened, gone := make(chan ssh.NewChannel), make(chan struct{})
	go func() {
		defer close(gone)
		config := &ssh.ServerConfig{NoClientAuth: true}
		config.AddHostKey(key)
		peer, err := listener.Accept()
		if err != nil {
			return
		}
		if server, channels, requests, err := ssh.NewServerConn(peer, config); err == nil {
			go ssh.DiscardRequests(requests)
			opened <- <-channels
			_ = server.Wait() // until the test closes it
		}
	}()
	dialled, err := ssh.Dial("tcp", listener.Addr().String(), &ssh.ClientConfig{HostKeyCallback: ssh.FixedHostKey(key.PublicKey())})
	if err != nil {
		t.Fatal(err)
	}
	c := &client{dialled, make(chan struct{})}
	failed := make(chan error, 1)
	go func() {
		_, err := lease{client: c, link: &link{sessions: make(chan struct{}, 1)}}.exec(t.Context(), request{command: "true"})
		failed <- err
	}()
	<-opened
	close(c.ended)
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "the connection was lost") {
		t.Errorf("got %v", err)
	}
	c.Close()
	<-gone
}

// A sessionStub is a session's channel that only closes.
type sessionStub struct {
	ssh.Channel
	closed chan struct{}
}

func (c sessionStub) Close() error { close(c.closed); return nil }

// leased is a lease of a connection on which sessions open so.
func leased(opens func() (ssh.Channel, error)) (lease, *wire) {
	w := newWire()
	w.opens = opens
	return lease{client: &client{&ssh.Client{Conn: w}, make(chan struct{})}, link: &link{sessions: make(chan struct{}, maxSessions)}}, w
}

// MaxSessions: sshd counts a session a little longer than it lasts.
func TestSessionThatIsRefusedIsTriedForAWhile(t *testing.T) {
	t.Parallel()
	refusal := &ssh.OpenChannelError{Reason: ssh.Prohibited, Message: "open failed"}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		l, _ := leased(func() (ssh.Channel, error) {
			if time.Since(began) < time.Second {
				return nil, refusal
			}
			return sessionStub{}, nil
		})
		if s, err := l.open(t.Context(), func() {}); err != nil || s == nil || time.Since(began) > 1100*time.Millisecond {
			t.Errorf("refused for a second: %v after %v", err, time.Since(began))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		l, w := leased(func() (ssh.Channel, error) { return nil, refusal })
		_, err := l.exec(t.Context(), request{})
		if err == nil || !strings.Contains(err.Error(), "sshd refuses another session") || !strings.Contains(err.Error(), "look at MaxSessions") || errors.Is(err, errLost) {
			t.Errorf("refused for ever: %v", err)
		}
		if took := time.Since(began); took < time.Second || took > 2*time.Second || w.tries < 50 {
			t.Errorf("refused for ever: %d tries in %v", w.tries, took)
		}
		if len(l.link.sessions) != 0 {
			t.Error("refused for ever: it keeps its place")
		}
	})
}

// What was not begun is told apart from what was, so that it can be tried on another connection.
func TestSessionThatDoesNotOpenWasNotBegun(t *testing.T) {
	t.Parallel()
	l, w := leased(func() (ssh.Channel, error) { return nil, io.EOF })
	if _, err := l.exec(t.Context(), request{}); !errors.Is(err, errLost) || errors.Is(err, errBegun) || w.tries != 1 {
		t.Errorf("%d tries, %v", w.tries, err)
	}
	if len(l.link.sessions) != 0 {
		t.Error("it keeps its place")
	}
}

func TestSessionThatOpensTooLateIsClosed(t *testing.T) {
	t.Parallel()
	for _, failure := range []error{nil, io.EOF} {
		synctest.Test(t, func(t *testing.T) {
			late, stub := make(chan struct{}), sessionStub{closed: make(chan struct{})}
			l, _ := leased(func() (ssh.Channel, error) { <-late; return stub, failure })
			ctx, cancel := context.WithCancelCause(t.Context())
			why := errors.New("superseded")
			time.AfterFunc(time.Second, func() { cancel(why) })
			if _, err := l.exec(ctx, request{}); !errors.Is(err, why) || errors.Is(err, errLost) || len(l.link.sessions) != 0 {
				t.Errorf("got %v, and %d places are taken", err, len(l.link.sessions))
			}
			close(late)
			if failure == nil {
				<-stub.closed
			}
		})
	}
}

func TestSessionWaitsForItsPlaceAsLongAsItsCaller(t *testing.T) {
	t.Parallel()
	l, w := leased(nil)
	for range maxSessions {
		l.link.sessions <- struct{}{}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("superseded")
	cancel(why)
	if _, err := l.exec(ctx, request{}); !errors.Is(err, why) || w.tries != 0 || len(l.link.sessions) != maxSessions {
		t.Errorf("%v after %d tries, %d places are taken", err, w.tries, len(l.link.sessions))
	}
}

func TestSessionKeepsItsPlaceUntilThePeerHasClosedItToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		places, requests := make(chan struct{}, 1), make(chan *ssh.Request)
		places <- struct{}{}
		s := &session{sessionStub{closed: make(chan struct{})}, requests}
		s.end(places)
		<-s.channel.(sessionStub).closed
		requests <- &ssh.Request{}
		synctest.Wait()
		if len(places) != 1 {
			t.Error("it is given up too early")
		}
		close(requests)
		synctest.Wait()
		if len(places) != 0 {
			t.Error("it is kept")
		}
	})
}

// A command that was handed over may have run, whatever came of the answer (law 14).
func TestCommandThatMayHaveBeenHandedOverHasBegun(t *testing.T) {
	t.Parallel()
	s := &session{channel: tornChannel{}}
	if _, err := s.run(request{command: "true"}); !errors.Is(err, errBegun) || errors.Is(err, errLost) {
		t.Errorf("got %v", err)
	}
}

type tornChannel struct{ ssh.Channel }

func (tornChannel) SendRequest(string, bool, []byte) (bool, error) { return false, io.EOF }

// Linux takes no longer argument than 128 KiB.
func TestCommandOfTheMostBytes(t *testing.T) {
	t.Parallel()
	p := newPool(nil, 1)
	var at actuators.Place
	at.Node.HostKey = "garbage"
	for size, want := range map[int]string{maxCommand: "hostKey", maxCommand + 1: "the command is 122881 bytes long, at most 122880 can be sent"} {
		if _, err := p.exec(t.Context(), at, request{command: strings.Repeat("x", size)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// An exit status counts, and nothing else does.
func TestOnlyAnExitStatusIsAnEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		requests []*ssh.Request
		exit     int
		want     string
	}{
		"status":         {[]*ssh.Request{{Type: "eow@openssh.com"}, {Type: "exit-status", Payload: []byte{0, 0, 0, 137}}}, 137, ""},
		"large status":   {[]*ssh.Request{{Type: "exit-status", Payload: []byte{0, 0, 1, 3}}}, 3, ""},
		"torn status":    {[]*ssh.Request{{Type: "exit-status", Payload: []byte{0}}, {Type: "exit-status", Payload: []byte{0, 0, 0, 0}}}, 0, "lost while the command ran"},
		"signal":         {[]*ssh.Request{{Type: "exit-signal"}, {Type: "exit-status", Payload: []byte{0, 0, 0, 0}}}, 0, "killed by a signal"},
		"nothing":        {nil, 0, "lost while the command ran"},
		"something else": {[]*ssh.Request{{Type: "other", Payload: []byte{0, 0, 0, 0}}}, 0, "lost while the command ran"},
	} {
		requests := make(chan *ssh.Request, len(c.requests))
		for _, r := range c.requests {
			requests <- r
		}
		close(requests)
		exit, err := (&session{requests: requests}).status()
		if exit != c.exit || (c.want == "") != (err == nil) || err != nil && (!errors.Is(err, errBegun) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %d, %v", name, exit, err)
		}
	}
}

// G27: output is waited for, but not for ever.
func TestLastWordsAreWaitedFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ first, second, want time.Duration }{
		"all is said":             {0, 0, 0},
		"soon":                    {50 * time.Millisecond, 70 * time.Millisecond, 70 * time.Millisecond},
		"the other way round":     {70 * time.Millisecond, 50 * time.Millisecond, 70 * time.Millisecond},
		"a child holds the first": {time.Hour, 0, lastWords},
		"a child holds the other": {0, time.Hour, lastWords},
	} {
		synctest.Test(t, func(t *testing.T) {
			first, second := newKeeper(false), newKeeper(false)
			for k, after := range map[*keeper]time.Duration{first: c.first, second: c.second} {
				if after == 0 {
					close(k.done)
				} else {
					time.AfterFunc(after, func() { close(k.done) })
				}
			}
			began := time.Now()
			settle(first, second)
			// one that is done and a turn that is over come at once: it may have one turn less
			if took := time.Since(began); took > c.want || took < c.want-lastWords/5 {
				t.Errorf("%s: waited %v, want %v", name, took, c.want)
			}
		})
	}
}
