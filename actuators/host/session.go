package host

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/crypto/ssh"

	"windlass/actuators"
)

// A request is one command for a node.
type request struct {
	command string
	stdin   io.Reader           // nil: nothing
	lossy   bool                // of long output keep the end; otherwise it is an error
	begin   func(*bufio.Reader) // takes the beginning of the output as it comes; nil: the outcome has all of it
	yield   func()              // called, maybe more than once, when another session is refused beside this one, which lasts; nil: it does not give way
}

// An outcome is how a command ended.
type outcome struct {
	exit           int
	stdout, stderr []byte
}

const (
	keptOutput = 256 << 10 // of each stream
	maxOutput  = 64 << 20  // beyond this the peer is flooding us
	// lastWords is how long output is waited for after the exit status: a child in the background may hold it open for ever (G27). It is
	// enough for a busy machine to read what has come, and less than a health check is given beyond its own time.
	lastWords = 700 * time.Millisecond
)

var (
	// errLost marks a connection that turned out to have ended when something was to be begun on it.
	errLost = errors.New("the connection was lost")

	// errBegun marks an error after the command was handed over: it may have happened (law 14).
	errBegun = errors.New("the connection was lost while the command ran")

	errEnded = errors.New("it has ended")
)

// exec runs one command in a session of its own. An error means that its end was not seen; when it is errLost, nothing was begun.
func (p *pool) exec(ctx context.Context, at actuators.Place, r request) (outcome, error) {
	if len(r.command) > maxCommand {
		return outcome{}, fmt.Errorf("the command is %d bytes long, at most %d can be sent; put long scripts into a file", len(r.command), maxCommand)
	}
	out, err := withLease(ctx, p, at, func(l lease) (outcome, error) {
		defer l.release()
		return l.exec(ctx, r)
	})
	p.tell(ctx, at, err)
	return out, cause(ctx, err)
}

// tell tells how a session ended, unless that was our own wish.
func (p *pool) tell(ctx context.Context, at actuators.Place, err error) {
	switch {
	case p.observe == nil || errors.Is(context.Cause(ctx), context.Canceled):
	case err == nil:
		p.observe(at.Fleet, success)
	case errors.Is(err, errBegun):
		p.observe(at.Fleet, lost)
	default:
		p.observe(at.Fleet, failed)
	}
}

func (l lease) exec(ctx context.Context, r request) (outcome, error) {
	places, refused := l.link.sessions, l.link.yielding.makeWay
	if r.yield != nil {
		places, refused = l.link.sensors, func() {}
	}
	if err := enter(ctx, places); err != nil {
		return outcome{}, err
	}
	s, err := l.open(ctx, refused)
	if err != nil {
		leave(places)
		return outcome{}, err
	}
	defer s.end(places)
	if r.yield != nil {
		l.link.yielding.add(s, r.yield)
		defer l.link.yielding.remove(s)
	}
	return await(ctx, nil, func() (outcome, error) { return s.run(r) }, nil)
}

// A session is used as a bare channel because ssh.Session keeps an exit status to itself until every stream is closed.
type session struct {
	channel  ssh.Channel
	requests <-chan *ssh.Request
}

// refusedFor is how long a session is refused before others make way for it: for less long it may be that others have just ended.
const refusedFor = 200 * time.Millisecond

// open tries for a while when sshd refuses: it counts a session a little longer than the session lasts (MaxSessions). It calls refused when
// that was no help.
func (l lease) open(ctx context.Context, refused func()) (*session, error) {
	began := time.Now()
	return backoff.Retry(ctx, func() (*session, error) {
		s, err := openChannel(ctx, l, openSession, func(s *session) { s.channel.Close() })
		var no *ssh.OpenChannelError
		switch {
		case errors.As(err, &no):
			if time.Since(began) >= refusedFor {
				refused()
			}
			return nil, fmt.Errorf("sshd refuses another session (%w); look at MaxSessions there", err)
		case err != nil:
			return nil, backoff.Permanent(err)
		}
		return s, nil
	}, backoff.WithBackOff(backoff.NewConstantBackOff(20*time.Millisecond)), backoff.WithMaxElapsedTime(2*time.Second))
}

// openChannel opens a channel of the lease's connection. The error is an *ssh.OpenChannelError when the peer refuses, and errLost when the
// connection has ended.
func openChannel[T any](ctx context.Context, l lease, open func(*ssh.Client) (T, error), late func(T)) (T, error) {
	channel, err := await(ctx, l.client.ended, func() (T, error) { return open(l.client.Client) }, late)
	var refused *ssh.OpenChannelError
	if err != nil && !errors.As(err, &refused) && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", errLost, err)
	}
	return channel, err
}

func openSession(client *ssh.Client) (*session, error) {
	channel, requests, err := client.OpenChannel("session", nil)
	if err != nil {
		return nil, err
	}
	return &session{channel, requests}, nil
}

func (s *session) run(r request) (outcome, error) {
	ok, err := s.channel.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{r.command}))
	if err != nil {
		return outcome{}, fmt.Errorf("%w: %w", errBegun, err)
	}
	if !ok {
		return outcome{}, errors.New("sshd refuses to run commands for this user; look for a forced command or a shell that is off")
	}
	go s.feed(r.stdin)
	out, errs := newKeeper(r.lossy), newKeeper(true)
	go out.keep(newReportReader(s.channel), r.begin)
	go errs.keep(newReportReader(s.channel.Stderr()), nil)
	exit, err := s.status()
	if err != nil {
		return outcome{}, err
	}
	settle(out, errs)
	stdout, err := out.kept()
	if err != nil {
		return outcome{}, err
	}
	stderr, _ := errs.kept()
	return outcome{exit: exit, stdout: stdout, stderr: stderr}, nil
}

// settle waits until the keepers are done, but no longer than lastWords. It waits in turns, between which they run: one long wait may be
// over all at once when the whole process had to wait for a processor.
func settle(keepers ...*keeper) {
	const turns = 10
	turn := time.NewTicker(lastWords / turns)
	defer turn.Stop()
	for range turns {
		if len(keepers) == 0 {
			return
		}
		select {
		case <-keepers[0].done:
			keepers = keepers[1:]
		case <-turn.C:
		}
	}
}

// end closes the session, and gives up its place when the peer has closed it too: until then sshd counts it.
func (s *session) end(places chan struct{}) {
	s.channel.Close()
	go func() {
		ssh.DiscardRequests(s.requests)
		leave(places)
	}()
}

func (s *session) feed(stdin io.Reader) {
	if stdin != nil {
		_, _ = io.Copy(s.channel, stdin) // a script that needs all of it checks that it came
	}
	_ = s.channel.CloseWrite()
}

// status waits for the exit status.
func (s *session) status() (int, error) {
	for r := range s.requests {
		_ = r.Reply(false, nil) // which is none where none is wanted
		switch r.Type {
		case "exit-status":
			var m struct{ Status uint32 }
			if err := ssh.Unmarshal(r.Payload, &m); err != nil {
				return 0, fmt.Errorf("%w: %w", errBegun, err)
			}
			return int(m.Status & 0xff), nil
		case "exit-signal":
			return 0, fmt.Errorf("%w: it was killed by a signal", errBegun)
		}
	}
	return 0, errBegun
}

// await runs f and waits for it, for the end of its connection or for that of ctx, whichever is first. When ctx was first, f ends with its
// connection at the latest, and late disposes of what it returns after all.
func await[T any](ctx context.Context, ended <-chan struct{}, f func() (T, error), late func(T)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		v, err := f()
		done <- result{v, err}
	}()
	var none T
	select {
	case r := <-done:
		return r.value, r.err
	case <-ended:
		return none, errEnded
	case <-ctx.Done():
		if late != nil {
			go func() {
				if r := <-done; r.err == nil {
					late(r.value)
				}
			}()
		}
		return none, context.Cause(ctx)
	}
}
