package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"windlass/actuators"
)

// A wire stands in for the connection to a node.
type wire struct {
	ssh.Conn
	end   func() // ends it
	ended chan struct{}
	deaf  atomic.Bool // answers nothing
	torn  atomic.Bool // takes no question
	slow  time.Duration
	asked atomic.Int32
	opens func() (ssh.Channel, error) // what opening a session does
	tries int
}

func newWire() *wire {
	ended := make(chan struct{})
	return &wire{ended: ended, end: sync.OnceFunc(func() { close(ended) })}
}

func (w *wire) Close() error { w.end(); return nil }

func (w *wire) Wait() error {
	<-w.ended
	time.Sleep(time.Millisecond) // it is not over all at once
	return errors.New("ended")
}

func (w *wire) SendRequest(string, bool, []byte) (bool, []byte, error) {
	w.asked.Add(1)
	time.Sleep(w.slow)
	if w.torn.Load() {
		return false, nil, io.EOF
	}
	if w.deaf.Load() {
		<-w.ended
		return false, nil, errors.New("ended")
	}
	return false, nil, nil
}

func (w *wire) OpenChannel(string, []byte) (ssh.Channel, <-chan *ssh.Request, error) {
	w.tries++
	channel, err := w.opens()
	none := make(chan *ssh.Request)
	close(none)
	return channel, none, err
}

func (w *wire) open() bool {
	synctest.Wait()
	select {
	case <-w.ended:
		return false
	default:
		return true
	}
}

// bubble is a pool in virtual time, with no connection left at the end.
func bubble(t *testing.T, test func(t *testing.T, p *pool)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPool(nil, 8)
		p.idle, p.keepAlive = 30*time.Second, 10*time.Second
		test(t, p)
		p.closeAll()
		if len(p.links) != 0 {
			t.Errorf("%d links are left", len(p.links))
		}
	})
}

// begin uses a link, and gives it a connection if it has none.
func (p *pool) begin(key linkKey) (*link, *wire) {
	l := p.use(key)
	if l.client != nil {
		return l, l.client.Conn.(*wire)
	}
	w := newWire()
	c := &client{&ssh.Client{Conn: w}, make(chan struct{})}
	l.client = c
	p.watchers.Go(func() { p.watch(l, c) })
	return l, w
}

var one = linkKey{address: "one"}

func TestConnectionIsClosedWhenItHasBeenIdleForItsTime(t *testing.T) {
	bubble(t, func(t *testing.T, p *pool) {
		l, w := p.begin(one)
		time.Sleep(time.Hour)
		for range 3 {
			p.unuse(one, l)
			time.Sleep(p.idle - time.Second)
			if again, same := p.begin(one); again != l || same != w || !w.open() {
				t.Fatal("a kept connection was not used again")
			}
		}
		l2, _ := p.begin(one) // two at once
		p.unuse(one, l2)
		time.Sleep(2 * p.idle)
		if !w.open() || p.links[one] != l {
			t.Fatal("it was closed while it was used")
		}
		p.closeIdle(one, l) // by a timer that had just gone off
		if !w.open() {
			t.Fatal("it was closed just when it was used")
		}
		p.unuse(one, l)
		time.Sleep(p.idle - time.Second)
		if !w.open() {
			t.Error("it was closed too early")
		}
		time.Sleep(time.Second)
		if w.open() || len(p.links) != 0 {
			t.Error("it is kept for ever")
		}
	})
}

func TestConnectionThatIsToBeClosedServesItsUsersOnly(t *testing.T) {
	bubble(t, func(t *testing.T, p *pool) {
		p.close(one) // there is none
		old, w := p.begin(one)
		p.begin(one)
		p.close(one)
		if !w.open() {
			t.Error("it was closed while it was used")
		}
		if p.unuse(one, old); !w.open() {
			t.Error("it was closed while another used it")
		}
		next, w2 := p.begin(one)
		if w2 == w {
			t.Error("who came later uses the old one")
		}
		p.unuse(one, old)
		if w.open() || !w2.open() || p.links[one] != next {
			t.Error("the end of the last use should end the old connection, and it alone")
		}
		p.unuse(one, next)
		p.close(one)
		if w2.open() || len(p.links) != 0 {
			t.Error("an idle one was not closed at once")
		}
	})
}

func TestAllConnectionsAreClosedAtTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T, p *pool) {
		link, used := p.begin(one)
		l, idle := p.begin(linkKey{address: "two"})
		p.unuse(linkKey{address: "two"}, l)
		p.closeAll()
		if link.client != nil {
			t.Error("what watches it has not ended")
		}
		if used.open() || idle.open() {
			t.Error("one is open")
		}
	})
}

// G29
func TestConnectionIsTriedNowAndThen(t *testing.T) {
	bubble(t, func(t *testing.T, p *pool) {
		l, w := p.begin(one)
		time.Sleep(5*p.keepAlive + time.Second)
		if n := w.asked.Load(); n != 5 || !w.open() {
			t.Errorf("asked %d times, open %v", n, w.open())
		}
		w.deaf.Store(true)
		time.Sleep(2*p.keepAlive - 2*time.Second)
		if !w.open() {
			t.Error("it has as long as it takes to answer")
		}
		time.Sleep(2 * time.Second)
		if w.open() || l.client != nil {
			t.Error("one that does not answer is taken for one that does")
		}
		again, fresh := p.begin(one)
		if again != l || fresh == w {
			t.Error("the dead connection is used again")
		}
		p.lost(l, &client{&ssh.Client{Conn: w}, nil}) // as one who used the old one says late
		if !fresh.open() || l.client == nil {
			t.Error("the new connection is lost with the old one")
		}
	})
}

func TestAnswerThatComesTooLateIsNone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.slow = 2 * time.Second
		c := &client{&ssh.Client{Conn: w}, make(chan struct{})}
		if c.answers(time.Second) {
			t.Error("an answer after two seconds came within one")
		}
		time.Sleep(2 * time.Second) // it comes, and nobody minds
		if !c.answers(3 * time.Second) {
			t.Error("an answer after two seconds did not come within three")
		}
	})
}

// A place for a connection in the making is given back, however that ended.
func TestConnectionThatCannotBeMadeTakesNoPlaceForLong(t *testing.T) {
	bubble(t, func(t *testing.T, p *pool) {
		var at actuators.Place
		at.Node.HostKey = "garbage"
		for range 3 * cap(p.dials) {
			if l, err := p.lease(t.Context(), at); err == nil || l.client != nil {
				t.Fatal("connected without a host key")
			}
			if len(p.links) != 0 {
				t.Fatal("a link without a connection is kept")
			}
		}
		if !p.failed[keyOf(at)] {
			t.Error("it is not remembered")
		}
		l := p.use(keyOf(at))
		for _, places := range []chan struct{}{l.turn, p.doubtful, p.dials} {
			for range cap(places) {
				places <- struct{}{}
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { cancel(errors.New("superseded")) })
			if _, err := p.lease(ctx, at); err == nil || err.Error() != "superseded" {
				t.Errorf("who waits for a place and is given up hears %v", err)
			}
			for range cap(places) {
				<-places
			}
		}
		p.unuse(keyOf(at), l)
		p.close(keyOf(at))
		if len(p.failed) != 0 {
			t.Error("a node that was closed is remembered")
		}
	})
}

// Half of the places, but one at least.
func TestPlacesForNodesThatDoNotAnswer(t *testing.T) {
	t.Parallel()
	var got []string
	for _, dials := range []int{1, 2, 3, 8} {
		p := newPool(nil, dials)
		got = append(got, fmt.Sprint(cap(p.dials), " ", cap(p.doubtful)))
	}
	if want := []string{"1 1", "2 1", "3 1", "8 4"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Instances come and go for years.
func TestNodesThatNeverAnsweredAreNotRememberedForEver(t *testing.T) {
	p := newPool(nil, 8)
	for i := range 3 * mostFailed {
		p.remember(linkKey{address: fmt.Sprint("node-", i)}, errLost)
		if len(p.failed) > mostFailed {
			t.Fatalf("%d nodes are remembered", len(p.failed))
		}
	}
	newest := linkKey{address: fmt.Sprint("node-", 3*mostFailed-1)}
	if !p.failed[newest] {
		t.Error("the newest is forgotten")
	}
	p.remember(newest, nil)
	if p.failed[newest] {
		t.Error("one that answered is remembered as if it had not")
	}
}

// through is a place with a connection to its node that is kept, and how it opens what goes through it.
func (p *pool) through(opens func() (ssh.Channel, error)) (actuators.Place, *link, *wire) {
	var at actuators.Place
	at.Node.HostKey = "garbage" // nothing else is connected to
	key := keyOf(at)
	l, w := p.begin(key)
	w.opens = opens
	p.unuse(key, l)
	return at, l, w
}

func TestConnectionThroughANodeIsAUseOfItsOwn(t *testing.T) {
	bubble(t, func(t *testing.T, p *pool) {
		end := errors.New("closed twice")
		far := &farEnd{err: io.EOF, end: end}
		at, l, w := p.through(func() (ssh.Channel, error) { return far, nil })
		conn, err := p.dialThrough(t.Context(), at, "127.0.0.1:80")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * p.idle)
		if !w.open() || l.users != 1 {
			t.Error("the connection to the node is closed while something goes through it")
		}
		before := w.asked.Load()
		if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the other side ended it: %v", err)
		}
		if _, err := conn.Write(nil); err != io.EOF {
			t.Errorf("the other side ended it: %v", err)
		}
		if asked := w.asked.Load() - before; asked != 2 {
			t.Errorf("the node was asked %d times", asked)
		}
		far.err = nil
		if n, err := conn.Read(make([]byte, 1)); n != 1 || err != nil || w.asked.Load()-before != 2 {
			t.Errorf("read %d, %v", n, err)
		}
		far.err = io.EOF
		w.torn.Store(true)
		if _, err := conn.Read(make([]byte, 1)); err != errLost {
			t.Errorf("the node takes no question: %v", err)
		}
		w.torn.Store(false)
		w.deaf.Store(true)
		began := time.Now()
		if _, err := conn.Read(make([]byte, 1)); err != errLost || time.Since(began) > time.Second {
			t.Errorf("the node is gone: %v", err)
		}
		if _, err := conn.Write(nil); err != errLost {
			t.Errorf("the node is gone: %v", err)
		}
		if err := conn.Close(); err != end || l.users != 0 {
			t.Errorf("%d users after closing, %v", l.users, err)
		}
		if _ = conn.Close(); l.users != 0 {
			t.Errorf("%d users after closing twice", l.users)
		}
	})
}

func TestConnectionThroughANodeThatIsRefusedIsNoUse(t *testing.T) {
	bubble(t, func(t *testing.T, p *pool) {
		at, l, w := p.through(func() (ssh.Channel, error) { return nil, &ssh.OpenChannelError{Reason: ssh.ConnectionFailed} })
		var refused *ssh.OpenChannelError
		if _, err := p.dialThrough(t.Context(), at, "127.0.0.1:80"); !errors.As(err, &refused) || errors.Is(err, errLost) {
			t.Errorf("got %v", err)
		}
		if l.users != 0 || !w.open() {
			t.Errorf("%d users, open %v", l.users, w.open())
		}
	})
}

// A kept connection may have died since: what was not begun on it is tried again on another one, and nothing else is.
func TestOnlyWhatWasNotBegunIsTriedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		again bool
	}{
		"dead":    {fmt.Errorf("%w: EOF", errLost), true},
		"begun":   {errBegun, false},
		"refused": {errors.New("no"), false},
		"well":    {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *pool) {
				at, l, w := p.through(nil)
				tries := 0
				got, err := withLease(t.Context(), p, at, func(l lease) (int, error) {
					defer l.release()
					tries++
					return 7, c.err
				})
				if tries != 1 || l.users != 0 || w.open() == c.again {
					t.Errorf("%d tries, %d users, open %v", tries, l.users, w.open())
				}
				if c.again && (err == nil || !strings.Contains(err.Error(), "hostKey")) { // it went to connect
					t.Errorf("not tried on a new connection: %v", err)
				}
				if !c.again && (got != 7 || err != c.err) {
					t.Errorf("got %d, %v", got, err)
				}
			})
		})
	}
}

// A farEnd is what a node has connected to.
type farEnd struct {
	ssh.Channel
	err, end error
}

func (f *farEnd) Read(b []byte) (int, error)  { return len(b), f.err }
func (f *farEnd) Write(b []byte) (int, error) { return len(b), f.err }
func (f *farEnd) Close() error                { return f.end }
func (f *farEnd) Stderr() io.ReadWriter       { return &bytes.Buffer{} }
