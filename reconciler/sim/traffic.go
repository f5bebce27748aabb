package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"windlass/actuators"
	"windlass/desired"
)

// Traffic is what traffic stories have beyond the others: balancers that spread a deregistration late, keep idle connections and send a last
// request, nodes whose sensors are blind or lie, and zones that stand by themselves. The zero value changes nothing: there, nobody is
// connected to a machine that its balancers do not list.
type Traffic struct {
	On     bool
	Kinds  []Kind // of the groups, in their order
	Zonal  bool   // each zone needs a healthy machine of its own
	Unread bool   // the attributes of the balancers cannot be read
}

// A Kind is what kind of balancer a group is of.
type Kind string

// The kinds of balancers.
const (
	ALB        Kind = "ALB"
	NLB        Kind = "NLB"        // its flows outlive their drain
	Terminates Kind = "terminates" // an NLB that ends them with the delay
	UDP        Kind = "UDP"
)

// How long balancers take to spread that a target leaves, and how long an ALB keeps a connection that carries nothing.
const (
	mostSpread        = 15 * time.Second
	mostNetworkSpread = 100 * time.Second
	idleAfter         = time.Minute
)

// NewTrafficStory is the story of a seed with real drains.
func NewTrafficStory(seed uint64) Story {
	r := rand.New(rand.NewPCG(seed, 53))
	s := Story{
		Nodes: 2 + r.IntN(6), Groups: 1 + r.IntN(2), Recorded: r.IntN(4) > 0,
		Delay: []time.Duration{0, 10 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 5 * time.Minute}[r.IntN(6)],
		Lag:   time.Duration(r.IntN(4)) * time.Second, Skew: r.IntN(2) == 0, Releases: map[string]Temper{}, Traffic: Traffic{On: true, Unread: r.IntN(8) == 0},
	}
	for range s.Groups {
		s.Traffic.Kinds = append(s.Traffic.Kinds, []Kind{ALB, ALB, ALB, NLB, Terminates, UDP}[r.IntN(6)])
	}
	s.Rollout = desired.Rollout{
		MaxUnavailable: desired.Amount{Count: 1 + r.IntN(min(3, s.Nodes))}, Bake: time.Duration(r.IntN(20)) * time.Second, Attempts: 1 + r.IntN(2),
		Zones: []desired.Zones{desired.SpreadZones, desired.SpreadZones, desired.OneZoneAtOnce}[r.IntN(3)],
		Drain: desired.Drain{
			Policy: desired.DrainUntilIdle, Settle: 20 * time.Second, NetworkSettle: 2 * time.Minute, IdleFor: 5 * time.Second, Timeout: 10 * time.Minute,
			LongestRequest: []time.Duration{0, 0, 20 * time.Second}[r.IntN(3)],
		},
		ProgressDeadline: 30 * time.Minute, RestoreAfter: 2 * time.Minute, OnFailure: "halt",
	}
	if r.IntN(2) == 0 {
		s.Faults = [5]int{r.IntN(30), r.IntN(30), r.IntN(8), r.IntN(15), r.IntN(30)}
	}
	if r.IntN(4) == 0 {
		s.Nodes, s.Traffic.Zonal = 6+r.IntN(4), true
	}
	s.flow(r)
	return s
}

// flow lays out two or three releases, and what goes wrong meanwhile. Where each zone needs a machine none of them goes for good.
func (s *Story) flow(r *rand.Rand) {
	at := time.Duration(20+r.IntN(100)) * time.Second
	for i := range 1 + r.IntN(3) {
		release := fmt.Sprintf("v%d", i+2)
		s.Releases[release] = []Temper{Good, Good, Good, Good, Broken, Explodes}[r.IntN(6)]
		s.Events = append(s.Events, Event{At: at, What: "commit", To: release})
		s.Last = release
		at += time.Duration(r.IntN(1500)) * time.Second
	}
	if s.Traffic.Zonal {
		s.Releases[s.Last] = Good
	}
	troubles := []string{"kill", "kill", "stop", "cut", "takeout", "attributes", "terminate", "appear", "drift"}
	if s.Traffic.Zonal {
		troubles = troubles[:6]
	}
	for range r.IntN(5) {
		s.insert(Event{At: time.Duration(r.IntN(int(at))), What: troubles[r.IntN(len(troubles))], Node: r.IntN(s.Nodes)})
	}
}

// A departure is what traffic a machine still gets of a group that it leaves, as nobody can know.
type departure struct {
	began    time.Time
	sent     time.Time // until when requests may be sent to it
	asked    time.Time // when the last one was
	answered time.Time // when it has its answer; until then its connection carries nothing
	closed   time.Time // when the connection is closed that it came by
}

// rulesOf are a group's rules, as the API tells them.
func (w *World) rulesOf(g *group) actuators.Rules {
	rules := actuators.Rules{Delay: g.delay}
	if !w.story.Traffic.On {
		return rules
	}
	one := actuators.Threshold{Count: 1}
	rules.Protocol, rules.InDNS, rules.FailsOpen = "HTTP", one, one
	switch g.kind {
	case ALB:
		rules.IdleAfter = idleAfter
	case NLB, Terminates:
		rules.Protocol, rules.Network, rules.Terminates = "TCP", true, g.kind == Terminates
	case UDP:
		rules.Protocol, rules.Network = "UDP", true
	}
	rules.Zonal = w.story.Traffic.Zonal
	if w.story.Traffic.Unread {
		rules.IdleAfter, rules.Unread = 0, "AccessDenied"
	}
	return rules
}

// depart begins a machine's departure from a group.
func (w *World) depart(g *group, m *machine, e *member) {
	now := w.now()
	e.draining = now
	if !w.story.Traffic.On || m == nil {
		return
	}
	r := w.roll("departs/" + g.ID + m.id)
	within := func(d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }
	d := departure{began: now, sent: now.Add(within(mostSpread))}
	d.asked = now.Add(within(d.sent.Sub(now) + 1))
	request := d.asked.Add(300*time.Millisecond + within(19*time.Second))
	switch g.kind {
	case ALB:
		d.answered = earlier(request, later(now.Add(g.delay), d.sent))
		d.closed = earlier(d.answered.Add(within(idleAfter)), later(now.Add(g.delay), d.answered))
	case NLB:
		d.sent = now.Add(within(mostNetworkSpread))
		d.answered = now.Add(within(10 * time.Minute))
		d.closed = d.answered
	case Terminates:
		d.sent = now.Add(within(mostNetworkSpread))
		d.answered = now.Add(within(g.delay + 1))
		d.closed = d.answered
	case UDP:
		d.sent = now.Add(within(mostNetworkSpread))
	}
	if m.departures == nil {
		m.departures = map[string]departure{}
	}
	m.departures[g.ID] = d
}

// drainEnds is the end of a group's deregistration delay: but for an NLB's flows, what goes on is cut by the balancer.
func (w *World) drainEnds(g *group, id string) {
	m := w.machines[id]
	if m == nil || g.kind == NLB {
		return
	}
	if d, leaves := m.departures[g.ID]; leaves {
		d.answered = earlier(d.answered, later(w.now(), d.sent))
		d.closed = earlier(d.closed, later(w.now(), d.answered))
		m.departures[g.ID] = d
	}
}

// disturbed is checked before steps start on a machine: no request may be sent to it any more, and none be answered (G1, G45). A node that
// shows nothing of the flows of an NLB is told, and its flows are cut.
func (l *laws) disturbed(w *World, m *machine) {
	for _, g := range w.groups {
		d, e := m.departures[g.ID], g.members[m.id]
		switch {
		case e != nil && !e.draining.IsZero():
			w.saw("left early")
		case g.kind == NLB && w.now().After(d.answered) && d.answered.Sub(d.began) > max(g.delay, 2*time.Minute):
			w.saw("flows awaited beyond the delay")
		}
		switch left := d.sent.Sub(w.now()); {
		case left > 0 && w.knows(m, g):
			l.breaks(w, "G45: steps start on %s while %s may send it requests for another %s", m.name, g.Name, left)
		case g.kind == NLB && (m.sensor != seesAll || w.story.Traffic.Unread):
		case w.now().Before(d.answered) && w.knows(m, g):
			l.breaks(w, "G1: steps start on %s while it answers a request of %s for another %s", m.name, g.Name, d.answered.Sub(w.now()))
		}
	}
}

// emptied is checked before a machine leaves a group whose zones stand by themselves: another of its zone serves there, as far as can be known.
func (l *laws) emptied(w *World, g *group, leaving *machine) {
	if !w.story.Traffic.Zonal || w.fleet.Rollout.AllowOutage || !w.inService(leaving) {
		return
	}
	for _, m := range w.sorted() {
		recent := !m.gauge.IsZero() && w.now().Sub(m.gauge) < w.patience()
		if m != leaving && m.zone == leaving.zone && recent && !m.changing && g.members[m.id] != nil && g.members[m.id].draining.IsZero() {
			return
		}
	}
	l.breaks(w, "G47: %s leaves %s, and nobody is left in zone %s", leaving.name, g.Name, leaving.zone)
}

// A sensor is what a machine's own list of connections shows.
type sensor int

const (
	seesAll  sensor = iota
	blind           // its traffic is forwarded: it lists nothing, not even our own
	sidelong        // it lists our own connection, which a listener of its own takes, while traffic is forwarded past it
)

// addressOf is where a machine's balancers reach it.
func addressOf(m *machine) string {
	var n int
	for _, b := range []byte(m.id) {
		n = n*31 + int(b)
	}
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}).String()
}

var errSensor = errors.New("no sample for 2s")

// Sense shows a machine's connections twice a second, now and then until it breaks off.
func (p *ports) Sense(ctx context.Context, at actuators.Place, service actuators.Service, tell func(actuators.Traffic)) error {
	w := p.world
	breaks, instant := 0, time.Duration(0)
	err := p.onHost(ctx, at, "sense", func(m *machine) error {
		r := w.roll("sensing/" + m.name)
		instant = time.Duration(r.IntN(4_000_000))
		if breaks = r.IntN(200); w.calm || w.story.Faults == [5]int{} {
			breaks = -1
		}
		return nil
	})
	for n := 0; err == nil; n++ {
		var x actuators.Traffic
		x, err = p.sample(at, service, n > 0)
		switch {
		case err != nil:
			return err
		case n == breaks:
			return errSensor
		}
		if tell(x); x.Blind != "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(500*time.Millisecond + instant%1_000_000 + time.Duration(n%1000)): // an instant of its own
		}
	}
	return err
}

// sample is one look at a machine's connections.
func (p *ports) sample(at actuators.Place, service actuators.Service, calibrated bool) (x actuators.Traffic, err error) {
	w := p.world
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settle()
	m := w.machines[at.Node.ID]
	switch {
	case p.killed:
		return x, errKilled
	case m == nil || m.dead:
		return x, actuators.ErrGone
	case m.cut:
		return x, errRefused
	case m.sensor == blind:
		return actuators.Traffic{Blind: "nothing lists our own connection"}, nil
	}
	x = actuators.Traffic{Sensor: "ss", Sees: calibrated && w.serves(m)}
	if m.sensor == seesAll {
		x.Busy = w.connections(m, service)
	}
	if x.Busy > 0 {
		x.Peer, x.Others = "10.9.9.9", slices.Clone(service.Ports)
	}
	return x, nil
}

// saidLast is when the last connection last carried something.
func (d departure) saidLast(now time.Time) time.Time {
	if now.Before(d.answered) {
		return earlier(now, d.asked)
	}
	return d.answered
}

// connections are those to a machine that count.
func (w *World) connections(m *machine, service actuators.Service) int {
	n, now := 0, w.now()
	for _, g := range w.groups {
		e, d := g.members[m.id], m.departures[g.ID]
		switch {
		case g.kind == UDP:
		case e != nil && e.draining.IsZero():
			n++
		case now.Before(d.closed) && (service.Silent == 0 || now.Sub(d.saidLast(now)) < service.Silent):
			n++
		}
	}
	return n
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
