package host

import (
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"windlass/actuators"
	"windlass/internal/redact"
)

// A sample is what a sensor on a node listed at one time.
type sample struct {
	here  bool // the service's address is the node's own
	ports []portSample
}

// A portSample is a sample of the connections to one port.
type portSample struct {
	port   int
	busy   int             // those of others that count
	others bool            // there is any of others, whatever its state
	peer   netip.Addr      // of one that counts
	own    map[string]bool // ports, as the sensor writes them, from which the node itself is connected; nil: too many
}

// A port as ss or conntrack writes it, or /proc.
var tokenPattern = regexp.MustCompile(`^[0-9A-F]{1,5}$`)

// parseSample reads a line of sense.sh: "sample", whether the address is the node's own, and of each port, in the order they were asked for,
// five words: port, busy, others, peer, and the node's own. Whatever is not exactly that is an error: it comes from a hostile node.
func parseSample(line string, ports []int) (sample, error) {
	words := strings.Split(line, " ")
	if len(words) != 2+5*len(ports) || words[0] != "sample" {
		return sample{}, notSample(line)
	}
	here, ok := parseBit(words[1])
	s := sample{here: here}
	for i, port := range ports {
		w := words[2+5*i:][:5]
		p, fits := parsePort(w)
		ok = ok && fits && w[0] == strconv.Itoa(port)
		s.ports = append(s.ports, p)
	}
	if !ok {
		return sample{}, notSample(line)
	}
	return s, nil
}

func notSample(line string) error {
	return fmt.Errorf("it sends %.80q where a sample is due; look for a login script that prints", redact.Line(line))
}

func parseBit(s string) (bit, ok bool) { return s == "1", s == "0" || s == "1" }

func parsePort(words []string) (p portSample, ok bool) {
	p.port, _ = strconv.Atoi(words[0])
	busy, err := strconv.ParseUint(words[1], 10, 31)
	p.busy = int(busy)
	p.others, ok = parseBit(words[2])
	counted := words[3] == "-" && p.busy == 0
	if p.busy > 0 {
		p.peer, counted = parseKey(words[3])
	}
	own, fits := parseOwn(words[4])
	p.own = own
	return p, ok && err == nil && counted && fits && (p.others || p.busy == 0)
}

// parseKey reads an address in the form of keyOfAddress.
func parseKey(s string) (netip.Addr, bool) {
	if len(s) != 9 && len(s) != 33 {
		return netip.Addr{}, false
	}
	b, err := hex.DecodeString(s[1:])
	a, ok := netip.AddrFromSlice(b)
	if err != nil || !ok || keyOfAddress(a) != s {
		return netip.Addr{}, false
	}
	return a, true
}

func parseOwn(s string) (map[string]bool, bool) {
	switch s {
	case "many":
		return nil, true
	case "-":
		return map[string]bool{}, true
	}
	own := map[string]bool{}
	for token := range strings.SplitSeq(s, ",") {
		if !tokenPattern.MatchString(token) {
			return nil, false
		}
		own[token] = true
	}
	return own, true
}

// traffic is the sample as the contract has it.
func (s sample) traffic(sensor string, sees bool) actuators.Traffic {
	t := actuators.Traffic{Sensor: sensor, Sees: sees}
	for _, p := range s.ports {
		t.Busy += p.busy
		if p.others {
			t.Others = append(t.Others, p.port)
		}
		if p.busy > 0 && t.Peer == "" {
			t.Peer = p.peer.String()
		}
	}
	return t
}

// A calibration finds out whether a sensor lists the connections that we open from the node to its own service: on each port exactly one that
// was not there before, which goes when we close it. It opens nothing itself; it is told of samples, and says what is to be done next.
type calibration struct {
	phase  phase
	pause  int               // samples until connections are to be opened
	since  int               // samples since the phase began
	tries  int               // that have failed
	before []map[string]bool // by port: the node's own before we connected
	ours   []map[string]bool // by port: what is in every sample since, and was not before
}

type phase int

const (
	resting    phase = iota
	connecting       // until connected or refused is called
	listing
	closing
	calibrated
)

// A move is what is to be done next.
type move int

const (
	nothing    move = iota
	connect         // open a connection to each port
	disconnect      // close them
	passOver        // the sensor does not list them: try another
	giveUp          // it cannot be told
)

const (
	unlistedTries = 2 // of a sensor that lists none of ours
	otherTries    = 5 // when something else comes and goes
	mostSamples   = 6 // samples in which what is to be seen must show
)

// connected says that a connection to each port stands, refused that one could not be opened.
func (c *calibration) connected() { c.phase, c.since = listing, 0 }
func (c *calibration) refused()   { c.phase, c.pause = resting, probePause }

// sample takes the next sample.
func (c *calibration) sample(s sample) move {
	c.since++
	switch c.phase {
	case resting:
		return c.rest(s)
	case listing:
		return c.list(s)
	case closing:
		return c.close(s)
	}
	return nothing
}

func (c *calibration) rest(s sample) move {
	if c.pause > 0 {
		c.pause--
		return nothing
	}
	c.before = nil
	for _, p := range s.ports {
		c.before = append(c.before, maps.Clone(p.own))
	}
	c.phase = connecting
	return connect
}

// list narrows down which connections are ours. The first sample may have been begun before there were any.
func (c *calibration) list(s sample) move {
	switch c.since {
	case 1:
		return nothing
	case 2:
		c.ours = nil
		for i, p := range s.ports {
			c.ours = append(c.ours, maps.Clone(p.own))
			maps.DeleteFunc(c.ours[i], func(from string, _ bool) bool { return c.before[i][from] })
		}
		return nothing
	}
	for i, p := range s.ports {
		if c.before[i] == nil || p.own == nil || c.ours[i] == nil {
			return c.again(otherTries, giveUp)
		}
		maps.DeleteFunc(c.ours[i], func(from string, _ bool) bool { return !p.own[from] })
	}
	return c.listed()
}

// listed judges what is left of candidates.
func (c *calibration) listed() move {
	clear := true
	for i, ours := range c.ours {
		if len(ours) == 0 && len(c.before[i]) == 0 {
			return passOver
		}
		if len(ours) == 0 { // the port ours came from may have been one of those before
			return c.again(unlistedTries, passOver)
		}
		clear = clear && len(ours) == 1
	}
	switch {
	case clear:
		c.phase, c.since = closing, 0
		return disconnect
	case c.since > mostSamples:
		return c.again(otherTries, giveUp)
	}
	return nothing
}

// close waits until the sensor does not list ours any more.
func (c *calibration) close(s sample) move {
	for i, p := range s.ports {
		for from := range c.ours[i] {
			if p.own != nil && !p.own[from] {
				continue
			}
			if c.since > mostSamples {
				return c.again(otherTries, giveUp)
			}
			return nothing
		}
	}
	c.phase = calibrated
	return nothing
}

// again closes what is open for another try, if it is not one too many.
func (c *calibration) again(most int, verdict move) move {
	c.tries++
	if c.tries >= most {
		return verdict
	}
	c.phase = resting
	return disconnect
}
