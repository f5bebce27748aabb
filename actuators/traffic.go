package actuators

import (
	"net/netip"
	"slices"
	"time"
)

// A Service is what of a node's service is sensed: who has connections to it.
type Service struct {
	Address netip.Addr     // the node's own, under which its balancers reach it; never loopback
	Ports   []int          // sorted, each once
	Ignore  []netip.Prefix // peers that do not count, such as a scraper with keep-alive
	Silent  time.Duration  // a connection that carried nothing either way for as long does not count; 0: every one counts
}

// Alike reports whether what lists the connections to one service lists those to the other: they differ in which of them count at most.
func (s Service) Alike(o Service) bool {
	return s.Address == o.Address && slices.Equal(s.Ports, o.Ports)
}

// Equal reports whether samples of both are the same.
func (s Service) Equal(o Service) bool {
	return s.Alike(o) && s.Silent == o.Silent && slices.Equal(s.Ignore, o.Ignore)
}

// Traffic is one sample of the connections to a node's service, as a sensor on the node lists them. The zero value shows nothing: it is
// neither a proof that anybody is there nor that nobody is.
type Traffic struct {
	Sensor string // what listed them: "ss", "/proc/net/tcp" or "conntrack"
	Sees   bool   // our own connection to each of the ports, made for that from the node to its own address, was listed, and is the only new one
	Others []int  // of the ports, those that somebody else's connection is listed on, whatever its state; sorted
	Busy   int    // connections of others that count: somebody may be answered on them, or may yet ask
	Peer   string // the address of one of those, for people
	Blind  string // why no sensor of the node can be relied upon, for people: it does not list our own connection, or there is none; empty: not so
}
