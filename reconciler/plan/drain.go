package plan

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"windlass/actuators"
	"windlass/desired"
)

// mayBegin reports whether the work on a node may begin that is in rotation nowhere, and says what it waits for: no request can be sent to it
// any more, and none is being answered (G1, G45).
//
// That it left was seen, for longer than readings may hide; what its balancers take to spread it is over; and either they say that it is out,
// or it is proven idle. The balancers are read once more for it.
func (k *known) mayBegin(v *view, m *move) bool {
	m.sense = v.rotation == draining && k.leavesEarly(v) || k.flowsMayGoOn(v)
	ready := !k.balanced() || v.rotation == out && k.surelyOut(v, m) && k.settled(v, m) && k.flowsEnded(v, m) ||
		v.rotation == draining && k.settled(v, m) && k.provenIdle(v, m)
	if !ready && v.rec.Stage == actuators.Leaving {
		m.status.State = Draining
	}
	return ready && k.readAgain(v, m, "before its steps start")
}

// sensed is what of the node is to be sensed, where anything can be.
func (k *known) sensed(v *view) []Sense {
	s, why := k.service(v)
	if why != "" {
		return nil
	}
	return []Sense{{Node: v.Name, Service: s}}
}

// surelyOut reports whether the node is in no group, beyond what a lagging reading may hide: its drain was asked for and seen
// to its end, or nothing has been seen of it in any group for longer than readings lag (G8).
func (k *known) surelyOut(v *view, m *move) bool {
	since := v.Out
	if v.Asked == Add {
		since = later(since, v.AskedAt)
	}
	sure := since.Add(AskAgain)
	if v.Asked == Drain || !since.IsZero() && !k.readSince().Before(sure) {
		return true
	}
	m.because("its load balancers are watched for " + AskAgain.String() + " to be sure that it is out")
	if !since.IsZero() {
		m.reread = m.reread || !k.Now.Before(sure)
		m.wakeAt(k.Now, sure)
	}
	return false
}

// settled reports whether a node that was in a group has been seen in rotation nowhere for as long as balancers take to spread that: until
// then they may still send requests, whatever they say of it.
func (k *known) settled(v *view, m *move) bool {
	settle := k.settleTime(v)
	if settle == 0 {
		return true
	}
	if v.Left.IsZero() {
		m.because("its load balancers are to show that it left")
		return false
	}
	until := v.Left.Add(settle)
	return !m.waits(k.Now, until, fmt.Sprintf("settles for another %s: its load balancers may still send requests", until.Sub(k.Now).Round(time.Second)))
}

// settleTime is how long the balancers that the node was in take; one that never was in a group has nothing to wait for.
func (k *known) settleTime(v *view) time.Duration {
	drain, longest, left := k.Fleet.Rollout.Drain, time.Duration(0), k.leftPlaces(v)
	if len(left) == 0 && !v.Served.IsZero() { // nobody wrote down where, and it was seen to serve
		left = k.due(v)
	}
	for _, m := range left {
		g := k.groupOf(m.Group)
		longest = max(longest, drain.SettleFor(g != nil && g.Network))
	}
	return longest
}

// leftPlaces are the places that the node has left or is to leave: those it was taken from and those it has; else those it was proven in.
func (k *known) leftPlaces(v *view) []actuators.Membership {
	places := slices.Clone(v.rec.Taken)
	for _, t := range v.targets {
		if !slices.Contains(places, t.Membership) {
			places = append(places, t.Membership)
		}
	}
	if len(places) == 0 {
		return v.rec.Places
	}
	return places
}

func (s *scene) groupOf(id string) *group {
	for i := range s.groups {
		if s.groups[i].ID == id {
			return &s.groups[i]
		}
	}
	return nil
}

// service is what of the node is to be sensed; or why nothing can be.
func (k *known) service(v *view) (actuators.Service, string) {
	drain := k.Fleet.Rollout.Drain
	address, err := netip.ParseAddr(v.Targets.IP)
	s := actuators.Service{Address: address.Unmap(), Ignore: drain.IgnorePeers}
	switch {
	case drain.Policy != desired.DrainUntilIdle:
		return s, "rollout.drain.policy is delay"
	case err != nil:
		return s, fmt.Sprintf("its own address is not known (%q is none); name it as its target or address", v.Targets.IP)
	case address.IsLoopback():
		return s, "its balancers reach it by a loopback address, where nobody can be told from the node itself"
	}
	for _, m := range k.leftPlaces(v) {
		g := k.groupOf(m.Group)
		switch {
		case g == nil || g.Err != "":
		case g.hidesDrains(m):
			return s, g.Unread
		case m.Port != 0:
			s.Ports = append(s.Ports, m.Port)
		default:
			s.Ports = append(s.Ports, g.Ports...)
		}
	}
	slices.Sort(s.Ports)
	s.Ports = slices.Compact(s.Ports)
	s.Silent = k.silentFor(v)
	if len(s.Ports) == 0 {
		return s, "it has no port that connections are seen on"
	}
	return s, ""
}

// hidesDrains reports whether what cannot be read of a group keeps a drain there from being understood: for how long it keeps silent
// connections, or to which ports they are.
func (g *group) hidesDrains(m actuators.Membership) bool {
	return g.Unread != "" && (!g.Network && g.IdleAfter == 0 || m.Port == 0 && len(g.Ports) == 0)
}

// silentFor is how long a connection must carry nothing that no balancer uses any more, or by the file's promise no request is on; 0: nobody
// knows. A network load balancer's flows may be silent for as long as they please.
func (k *known) silentFor(v *view) time.Duration {
	longest, known := time.Duration(0), true
	for _, m := range k.leftPlaces(v) {
		g := k.groupOf(m.Group)
		switch {
		case g == nil || g.Err != "":
		case g.Network:
			return 0
		default:
			known = known && g.IdleAfter > 0
			longest = max(longest, g.IdleAfter+SilentBeyond)
		}
	}
	promise := k.Fleet.Rollout.Drain.LongestRequest
	switch {
	case promise > 0 && (!known || promise < longest):
		return promise
	case known:
		return longest
	}
	return 0
}

// calibrates reports whether the sensor of a node that is about to leave is still tried, while the node serves: only what was seen to list our
// own connection, and somebody else's, is believed when it lists none.
func (k *known) calibrates(v *view, m *move) bool {
	s, why := k.service(v)
	if !k.gainsTime(v) || why != "" || v.blindTo(s) != "" || v.untold(s) == "" {
		return false
	}
	return m.waits(k.Now, v.Staged.Add(Calibrate), "its connections are looked at before it leaves: "+v.untold(s))
}

// gains reports whether anything depends on what is sensed of the node: there is a drain to be left early, or flows that outlive theirs.
func (k *known) gains(v *view) bool {
	return slices.ContainsFunc(v.held(), func(m actuators.Membership) bool {
		g := k.groupOf(m.Group)
		return g != nil && g.flowsOutliveDrain()
	}) || k.gainsTime(v)
}

// gainsTime reports whether there is a drain to be left early: for that the sensor must be tried first.
func (k *known) gainsTime(v *view) bool {
	drain := k.Fleet.Rollout.Drain
	return slices.ContainsFunc(v.held(), func(m actuators.Membership) bool {
		g := k.groupOf(m.Group)
		return g != nil && !g.Network && g.Delay > drain.Settle+drain.IdleFor
	})
}

// flowsOutliveDrain reports whether connections through the group go on when its drain is over. There is nothing to be seen of UDP, and of TCP_UDP its half.
// https://docs.aws.amazon.com/elasticloadbalancing/latest/network/edit-target-group-attributes.html
func (g *group) flowsOutliveDrain() bool {
	return g.Network && !g.Terminates && g.Protocol != "UDP"
}

// blindTo is why nothing on the node can be relied upon to list the connections to a service; empty: not so, as far as is known.
func (v *view) blindTo(s actuators.Service) string {
	if !v.Traffic.Service.Alike(s) {
		return ""
	}
	return v.Traffic.Blind
}

// untold is what was not seen of a service's connections while the node served; empty: a sensor there listed our own and somebody else's.
func (v *view) untold(s actuators.Service) string {
	t := v.Traffic
	if !t.Service.Alike(s) || !t.Sees {
		return strings.TrimSuffix("our own connection was not listed there; "+t.Trouble, "; ")
	}
	for _, port := range s.Ports {
		if !slices.Contains(t.Others, port) {
			return fmt.Sprintf("nobody else's connection to port %d was seen", port)
		}
	}
	return ""
}

// leavesEarly reports whether the drain that goes on may end before the balancers say so: this agent saw the node serve, and no group that
// still holds it is a network load balancer's, whose flows survive deregistration.
func (k *known) leavesEarly(v *view) bool {
	for i, g := range k.groups {
		if len(v.places[i]) > 0 && g.Network {
			return false
		}
	}
	return v.Asked == Drain
}

// waitsOutDelay is why a drain is not left early; empty: it is, as soon as the node is idle.
func (k *known) waitsOutDelay(v *view) string {
	s, why := k.service(v)
	switch {
	case why != "":
		return why
	case v.Asked != Drain:
		return "this agent did not see it serve"
	case !k.leavesEarly(v):
		return "a network load balancer's flows survive deregistration"
	}
	return cmp.Or(v.blindTo(s), v.untold(s))
}

// provenIdle reports whether nobody has had a connection to a draining node for long enough, by a sensor that was seen to work (G1).
func (k *known) provenIdle(v *view, m *move) bool {
	why, drain := k.waitsOutDelay(v), k.Fleet.Rollout.Drain
	switch {
	case why != "" && (drain.Policy != desired.DrainUntilIdle || k.delayOf(v) <= drain.Settle+drain.IdleFor): // nobody asked for more
		why = "connections drain: " + k.said(v)
	case why != "":
		why = fmt.Sprintf("waits out the delay of %s: %s", k.delayOf(v), why)
	default:
		if why = k.busy(v, m); why == "" {
			return true
		}
	}
	k.awaitDrain(v, m, why)
	return false
}

// busy is why the newest samples do not show that nobody has had a connection for long enough; empty: they do. A sample that is late counts as
// one with somebody.
func (k *known) busy(v *view, m *move) string {
	s, _ := k.service(v)
	t, want := v.Traffic, k.Fleet.Rollout.Drain.IdleFor
	switch {
	case !t.Service.Equal(s) || k.Now.Sub(t.At) > SampleAge:
		return strings.TrimSuffix("its connections cannot be seen just now; "+t.Trouble, "; ")
	case t.Quiet.IsZero():
		return fmt.Sprintf("%d connections, one with %s", t.Busy, cmp.Or(t.Peer, "somebody"))
	case k.Now.Sub(t.Quiet) < want:
		m.wakeAt(k.Now, t.Quiet.Add(want))
		return fmt.Sprintf("idle for %s, %s are asked for", k.Now.Sub(t.Quiet).Round(time.Second), want)
	}
	return ""
}

// flowsEnded reports whether no flow goes on through a network load balancer that the node has left and that does not end them. Where they
// cannot be seen at all, nobody waits for them.
func (k *known) flowsEnded(v *view, m *move) bool {
	if !k.flowsMayGoOn(v) {
		return true
	}
	why := k.busy(v, m)
	if why == "" {
		return true
	}
	k.awaitDrain(v, m, "its flows outlive its drain: "+why)
	if !k.Now.Before(m.status.Deadline) {
		m.refuse(refusal{ByBalancer, "its flows outlive its drain, and are not cut: " + why + "; name who stays in rollout.drain.ignorePeers, switch on the group's connection termination, or set rollout.drain.policy to delay"})
	}
	return false
}

// flowsMayGoOn reports whether flows to a node that left, by whose hand it may be, may go on after its drain, and can be seen. While steps run, or
// once they have, nobody has any.
func (k *known) flowsMayGoOn(v *view) bool {
	outlives := func(p actuators.Membership) bool { g := k.groupOf(p.Group); return g != nil && g.flowsOutliveDrain() }
	began := v.rec.Stage == actuators.Configuring || v.rec.Stage == actuators.Failed
	if began || !slices.ContainsFunc(k.leftPlaces(v), outlives) {
		return false
	}
	s, why := k.service(v)
	return why == "" && v.blindTo(s) == ""
}

// delayOf is the longest deregistration delay that the node waits for.
func (k *known) delayOf(v *view) time.Duration {
	longest := time.Duration(0)
	for i, g := range k.groups {
		if len(v.places[i]) > 0 {
			longest = max(longest, g.Delay)
		}
	}
	return longest
}

// awaitDrain waits until nobody has anything to do with the node any more, and says who has.
func (k *known) awaitDrain(v *view, m *move, why string) {
	limit, since := max(k.Fleet.Rollout.Drain.Timeout, k.delayOf(v)+time.Minute), m.status.Since
	if v.Asked == Drain {
		since = later(since, v.AskedAt) // it may have been claimed long before
	}
	m.status.Deadline = since.Add(limit)
	m.because(why)
	if m.overdue(k.Now) {
		m.because(fmt.Sprintf("still draining after %s: %s", limit, strings.TrimPrefix(why, "connections drain: ")))
	}
}

// addressDrains reports whether the node is to return to a group of addresses that it is still leaving: AWS registers an address again only
// when its deregistration delay is over. It is held without a call or an attempt until then.
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-register-targets.html
func (k *known) addressDrains(v *view, m *move) bool {
	for i, g := range k.groups {
		leaves := slices.ContainsFunc(v.places[i], func(t actuators.Target) bool { return t.Status == actuators.TargetDraining })
		if !leaves || !g.named || g.TargetType != "ip" {
			continue
		}
		over := later(v.Left, v.AskedAt).Add(g.Delay)
		m.reread = m.reread || !k.Now.Before(over) && k.readSince().Before(over)
		m.wakeAt(k.Now, over)
		when := inAbout(over.Sub(k.Now))
		if v.Left.IsZero() && v.AskedAt.IsZero() {
			when = ""
		}
		m.refuse(refusal{ByBalancer, fmt.Sprintf("%s registers an address again only when its deregistration delay of %s is over%s", g.Name, g.Delay, when)})
		return true
	}
	return false
}

// inAbout is when something is due, for people.
func inAbout(left time.Duration) string {
	if left <= 0 {
		return ", which is due"
	}
	return ", in about " + left.Round(time.Second).String()
}

// notes are why drains are slower or less sure than they could be: attributes that cannot be read, and sensors that nothing can be built on.
func (k *known) notes(moves []*move) []string {
	var notes []string
	for _, g := range k.groups {
		switch {
		case !g.named || g.Err != "" || g.Unread == "":
		case g.Network:
			notes = append(notes, fmt.Sprintf("whether zones of %s stand by themselves is not known, and they have no floor: %s", g.Name, g.Unread))
		case k.Fleet.Rollout.Drain.Policy == desired.DrainUntilIdle:
			notes = append(notes, fmt.Sprintf("%s waits out its deregistration delay of %s at each drain: %s", g.Name, g.Delay, g.Unread))
		}
	}
	for i, m := range moves {
		v := &k.views[i]
		if !m.sense || k.Fleet.Rollout.Drain.Policy != desired.DrainUntilIdle {
			continue
		}
		s, why := k.service(v)
		if why = cmp.Or(why, v.blindTo(s)); why != "" && len(notes) == 0 {
			notes = append(notes, fmt.Sprintf("%s waits out its deregistration delay: %s", v.Name, why))
		}
	}
	return notes
}
