package host

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"windlass/actuators"
	"windlass/internal/redact"
)

const (
	sampleTime = 2 * time.Second  // how long a sample may be late
	beginTime  = 10 * time.Second // until the first, beyond the time to connect: a login script may be slow
	probeTime  = 3 * time.Second  // to open a connection to each port of the service
	probePause = 10               // samples between two tries to connect to a service that cannot be connected to
)

// sensors are what may list the connections of a node, best first.
var sensors = [...]string{"ss", "/proc/net/tcp", "conntrack"}

var (
	errNoSensor = errors.New("this sensor does not work there")
	errUnlisted = errors.New("this sensor does not list our connection")
)

// blindError says why no sensor of a node can be relied upon.
type blindError string

func (e blindError) Error() string { return string(e) }

const errGaveWay = blindError("sshd there allows one session at a time (MaxSessions), and the record comes first")

// Sense tells of the connections to a node's service, a sample each half second, from this goroutine, until ctx ends or it returns. It uses
// the first of ss, /proc/net/tcp and conntrack that lists a connection which we open, through the one to the node, from the node to each
// port of its own address: before that is seen, and when such a connection cannot be opened because nothing accepts it, which is tried again
// each five seconds, samples say so (Sees). A sensor that works and does not list ours is passed over; when none is left, or sshd does not
// forward connections, the last sample is Blind and the error nil. So it ends, too, when another call is refused a session that this one holds.
//
// The error says that no sample came for two seconds, the first one later, or that the connection was lost.
func (h *Host) Sense(ctx context.Context, at actuators.Place, service actuators.Service, tell func(actuators.Traffic)) error {
	service.Address = service.Address.Unmap()
	err := checkService(service)
	if err == nil {
		err = (&sensing{pool: h.pool, at: at, service: service, tell: tell}).run(ctx)
	}
	var blind blindError
	if errors.As(err, &blind) {
		tell(actuators.Traffic{Blind: string(blind)})
		return nil
	}
	return explain("see the connections of", at, err)
}

func checkService(s actuators.Service) error {
	switch {
	case !s.Address.IsGlobalUnicast():
		return blindError(fmt.Sprintf("the service's address is %v: only a connection to an address that other machines use shows what a sensor sees", s.Address))
	case len(s.Ports) == 0 || len(s.Ports) > 100:
		return blindError(fmt.Sprintf("the service has %d ports: between 1 and 100 can be watched", len(s.Ports)))
	}
	for _, port := range s.Ports {
		if port < 1 || port > 65535 {
			return blindError(fmt.Sprintf("the service's port is %d", port))
		}
	}
	return nil
}

// A sensing is one call of Sense.
type sensing struct {
	pool    *pool
	at      actuators.Place
	service actuators.Service
	tell    func(actuators.Traffic)
}

// run uses one sensor after the other, until one can be relied upon.
func (s *sensing) run(ctx context.Context) error {
	var unlisted, unusable []string
	for _, name := range sensors {
		err := s.use(ctx, name)
		switch {
		case errors.Is(err, errUnlisted):
			unlisted = append(unlisted, name)
		case errors.Is(err, errNoSensor):
			unusable = append(unusable, strings.TrimSuffix(err.Error(), ": "+errNoSensor.Error()))
		default:
			return err
		}
	}
	return s.blind(unlisted, unusable)
}

func (s *sensing) blind(unlisted, unusable []string) error {
	why := strings.Join(unusable, "; ")
	if len(unlisted) == 0 {
		return blindError(why)
	}
	does := "do"
	if len(unlisted) == 1 {
		does = "does"
	}
	said := fmt.Sprintf("%s %s not list a connection from the node to %s (its traffic may be forwarded to a container)", list(unlisted), does, s.target(s.service.Ports...))
	if why != "" {
		said += "; " + why
	}
	return blindError(said)
}

// list is "a, b and c".
func list(names []string) string {
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// target is the service's address with ports, for people.
func (s *sensing) target(ports ...int) string {
	text := make([]string, len(ports))
	for i, port := range ports {
		text[i] = net.JoinHostPort(s.service.Address.String(), strconv.Itoa(port))
	}
	return list(text)
}

// use watches through one sensor until it fails, or the end of ctx. It always returns an error.
func (s *sensing) use(ctx context.Context, name string) error {
	ctx, cancel := context.WithCancel(ctx)
	stream := s.start(ctx, cancel, name)
	w := &watching{sensing: s, name: name, probes: make(chan probe, 1)}
	err := w.watch(ctx, stream)
	cancel()
	ended := <-stream.ended
	w.end()
	switch {
	case stream.gaveWay.Load():
		return errGaveWay
	case err == nil:
		return ended
	}
	return err
}

// A stream is the output of a sensor's script.
type stream struct {
	lines   chan string   // its samples
	torn    chan error    // its output is not that of a sensor
	ended   chan error    // told of once
	over    chan struct{} // closed before ended is told of
	gaveWay atomic.Bool   // it was ended so that another session finds a place
}

func (s *sensing) start(ctx context.Context, cancel func(), name string) *stream {
	st := &stream{lines: make(chan string), torn: make(chan error, 1), ended: make(chan error, 1), over: make(chan struct{})}
	held, release := io.Pipe() // its end is what the script ends at
	r := request{
		command: commandLine(s.at, senseScript, senseArguments(name, s.service)...),
		stdin:   held, lossy: true,
		begin: func(r *bufio.Reader) { st.torn <- st.read(ctx, r) },
		yield: func() { st.gaveWay.Store(true); cancel() },
	}
	go func() {
		out, err := s.pool.exec(ctx, s.at, r)
		release.Close()
		if err == nil {
			err = out.failure(s.at)
		}
		if err == nil {
			err = errNotWhole
		}
		close(st.over)
		st.ended <- err
	}()
	return st
}

// senseArguments are what sense.sh takes, in its order.
func senseArguments(name string, s actuators.Service) []string {
	ports := make([]string, len(s.Ports))
	for i, port := range s.Ports {
		ports[i] = strconv.Itoa(port)
	}
	return []string{name, strings.Join(ports, " "), strconv.FormatInt(max(0, s.Silent.Milliseconds()), 10), keyOfAddress(s.Address), patternOf(s.Ignore)}
}

// read hands over the lines of a sensor. A node that sends what is no line, or more of them than its clock and ours allow for, is not
// listened to any longer. Nor is a line that does not fit into the reader: one of 100 ports, and 1000 connections of the node's own, does. It
// returns nil when the output has ended.
func (st *stream) read(ctx context.Context, r *bufio.Reader) error {
	if err := skipGreeting(r); err != nil {
		if _, ended := r.Peek(1); ended != nil {
			return nil // how the script ended says more
		}
		return err
	}
	lines, began := 0, time.Now()
	for {
		line, err := readLine(r)
		if err != nil {
			return nil
		}
		line, whole := strings.CutSuffix(line, "\n")
		if lines++; !whole || lines > 20+4*int(time.Since(began).Seconds()) {
			return errors.New("what it sends is no list of samples, or has no end; look for a login script that prints without end")
		}
		select {
		case st.lines <- line:
		case <-ctx.Done():
			return nil
		}
	}
}

// A watching is the use of one sensor.
type watching struct {
	*sensing
	name        string
	calibration calibration
	probes      chan probe
	connecting  sync.WaitGroup
	conns       []net.Conn
}

// watch tells of samples until the stream ends, or something is wrong. A nil error means that why the stream ended is to be asked of it.
func (w *watching) watch(ctx context.Context, st *stream) error {
	late := time.NewTimer(w.at.SSH.ConnectTimeout + beginTime)
	defer late.Stop()
	for {
		select {
		case line := <-st.lines:
			late.Reset(sampleTime)
			if err := w.take(ctx, line); err != nil {
				return err
			}
		case p := <-w.probes:
			if err := w.probed(p); err != nil {
				return err
			}
		case err := <-st.torn:
			if err != nil {
				return err
			}
		case <-late.C:
			return errors.New("it sent no sample in time; look at its load")
		case <-st.over:
			return nil
		}
	}
}

// take tells of a sample, and does what is to be done next to find out what the sensor sees.
func (w *watching) take(ctx context.Context, line string) error {
	seen, err := parseSample(line, w.service.Ports)
	if err != nil {
		return err
	}
	if !seen.here {
		return blindError(fmt.Sprintf("%v is none of the node's own addresses", w.service.Address))
	}
	next := w.calibration.sample(seen)
	if err := w.do(ctx, next); err != nil {
		return err
	}
	w.tell(seen.traffic(w.name, w.calibration.phase == calibrated))
	return nil
}

func (w *watching) do(ctx context.Context, next move) error {
	switch next {
	case connect:
		w.connecting.Go(func() { w.probes <- w.probe(ctx) })
	case disconnect:
		w.disconnect()
	case passOver:
		return errUnlisted
	case giveUp:
		return blindError(fmt.Sprintf("what %s lists of the node's own connections to %s never fits those that we open and close; another program may open too many", w.name, w.target(w.service.Ports...)))
	}
	return nil
}

func (w *watching) disconnect() {
	for _, conn := range w.conns {
		conn.Close()
	}
	w.conns = nil
}

// end closes every connection, also those that are just being opened; the context has ended.
func (w *watching) end() {
	w.disconnect()
	w.connecting.Wait()
	select {
	case p := <-w.probes:
		w.conns = p.conns
		w.disconnect()
	default:
	}
}

// A probe is a connection to each of the ports, or why there is none to all.
type probe struct {
	conns []net.Conn
	err   error
}

func (w *watching) probe(ctx context.Context) probe {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	conns, errs := make([]net.Conn, len(w.service.Ports)), make([]error, len(w.service.Ports))
	var all sync.WaitGroup
	for i, port := range w.service.Ports {
		all.Go(func() { conns[i], errs[i] = w.pool.dialThrough(ctx, w.at, w.target(port)) })
	}
	all.Wait()
	p := probe{err: errors.Join(errs...)}
	for _, conn := range conns {
		if conn != nil {
			p.conns = append(p.conns, conn)
		}
	}
	return p
}

// probed goes on when there is a connection to each port. A service that accepts none may have been stopped: that says nothing of the
// sensor. Nor does a connection to the node that was lost, which its session will tell of.
func (w *watching) probed(p probe) error {
	w.conns = p.conns
	var refused *ssh.OpenChannelError
	switch {
	case p.err == nil:
		w.calibration.connected()
	case errors.As(p.err, &refused) && (refused.Reason == ssh.Prohibited || refused.Reason == ssh.UnknownChannelType):
		return blindError(fmt.Sprintf("sshd there does not forward connections (%s), so that no sensor can be tried; set AllowTcpForwarding there", clip(redact.Line(refused.Message), 200)))
	default:
		w.disconnect()
		w.calibration.refused()
	}
	return nil
}

// keyOfAddress is an address in the form of sense.sh, where IPv4 is never mapped.
func keyOfAddress(a netip.Addr) string {
	a = a.Unmap()
	if a.Is4() {
		return fmt.Sprintf("4%x", a.As4())
	}
	return fmt.Sprintf("6%x", a.As16())
}

// patternOf is an extended regular expression for the keys of the prefixes' addresses. An IPv6 prefix holds no IPv4 peer, however short it is,
// unless it is one of mapped addresses.
func patternOf(prefixes []netip.Prefix) string {
	patterns := []string{"-"} // of nothing
	for _, p := range prefixes {
		bits := p.Bits()
		if p.Addr().Is4In6() {
			bits -= 96
		}
		if p.IsValid() && bits >= 0 {
			patterns = append(patterns, patternOfBits(keyOfAddress(p.Addr()), bits))
		}
	}
	return "^(" + strings.Join(patterns, "|") + ")"
}

// patternOfBits is what the keys begin with that have so many bits in common with this one.
func patternOfBits(key string, bits int) string {
	pattern := key[:1+bits/4]
	if bits%4 == 0 {
		return pattern
	}
	digit, _ := strconv.ParseUint(key[1+bits/4:2+bits/4], 16, 8) // it is one of ours
	span := uint64(1) << (4 - bits%4)
	first := digit / span * span
	return pattern + "[" + "0123456789abcdef"[first:first+span] + "]"
}
