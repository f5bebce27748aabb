package actuators

import (
	"cmp"
	"fmt"
	"time"
)

// A Group is a target group or a Classic ELB by its canonical identity, so that two spellings of one group compare equal.
type Group struct {
	ID   string // ARN of a target group; "classic/" + name of a Classic ELB
	Name string // for people
}

// A Membership is one machine's place in one group: exactly what is taken when it leaves and restored when it returns (law 17, G10).
type Membership struct {
	Group string `json:"group"`          // Group.ID
	ID    string `json:"id"`             // the target's id in the group
	Port  int    `json:"port,omitempty"` // 0 for Classic ELB
	Zone  string `json:"zone,omitempty"` // only when the balancer was told one
}

// Compare orders memberships by group, id, port.
func (m Membership) Compare(o Membership) int {
	return cmp.Or(cmp.Compare(m.Group, o.Group), cmp.Compare(m.ID, o.ID), cmp.Compare(m.Port, o.Port), cmp.Compare(m.Zone, o.Zone))
}

func (m Membership) String() string {
	if m.Port == 0 {
		return fmt.Sprintf("%s in %s", m.ID, m.Group)
	}
	return fmt.Sprintf("%s:%d in %s", m.ID, m.Port, m.Group)
}

// TargetStatus is what a balancer says of a member, reduced to what decisions need. States not known today are TargetUnknown (G3).
type TargetStatus string

const (
	TargetUnknown   TargetStatus = ""          // a state this version does not know: neither in service nor gone
	TargetInitial   TargetStatus = "initial"   // registering, or its first health checks are not over
	TargetHealthy   TargetStatus = "healthy"   // gets traffic
	TargetRamping   TargetStatus = "ramping"   // healthy and in slow start
	TargetUnhealthy TargetStatus = "unhealthy" // a member that fails its checks
	TargetDraining  TargetStatus = "draining"  // leaving; comes back only by a new registration (G5)
	TargetUnused    TargetStatus = "unused"    // registered, and never sent traffic as things are (no listener, zone off, stopped)
)

// A Target is a member of a group as the balancer sees it. A target the balancer reports as not registered is no member and not listed.
type Target struct {
	Membership
	Status    TargetStatus
	Reason    string // the balancer's own words: "Target.FailedHealthChecks: Health checks failed"; of a healthy one, a note
	AtFault   bool   // those words are on the target itself, which answers its checks wrongly, late or not at all (law 11); false: on anything else
	Mitigated bool   // the balancer finds it anomalous and sends it less traffic than others
}

// A GroupState is one reading of one group.
type GroupState struct {
	Group
	Rules
	TargetType string    // "instance" or "ip": which of Node.Targets names a machine here
	Port       int       // the group's default; 0 for Classic
	Members    []Target  // sorted by Membership.Compare
	Err        string    // not empty: this group could not be read, and nothing above is to be believed
	Missing    bool      // with Err: the balancer answered that there is no such group
	At         time.Time // when the reading began
}

// Rules are how a group, and the load balancer that it belongs to, treat targets that leave and zones that run low. They change seldom:
// a reading has them as they were up to a few minutes before.
type Rules struct {
	Protocol   string        // between balancer and targets: HTTP, HTTPS, TCP, TLS, UDP or TCP_UDP; empty: Classic
	Network    bool          // of a network load balancer: slow to register, its flows survive deregistration
	Ports      []int         // of a Classic ELB: the ports of its instances, sorted; empty: unread
	Delay      time.Duration // deregistration delay, or connection draining time
	Terminates bool          // of a network load balancer: connections are ended when the delay is over
	IdleAfter  time.Duration // for how long a connection may carry nothing before the balancer gives it up; 0: not known, or for ever
	Zonal      bool          // cross-zone balancing is off: what serves in one zone is of no use to another
	InDNS      Threshold     // with fewer healthy ones, a zone (or where not Zonal, every zone) leaves DNS
	FailsOpen  Threshold     // with fewer healthy ones, unhealthy targets get traffic as well
	Unread     string        // why some of this is not known, naming the permission that is missing: then IdleAfter, Zonal or Ports may be; empty: all is
}

// A Threshold is how many targets must be healthy for something; the zero value asks for none.
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health.html
type Threshold struct {
	Count   int
	Percent int // of the targets that are registered
}

// Of returns the threshold among so many targets, by whichever of the two asks for more.
func (t Threshold) Of(size int) int { return max(t.Count, (size*t.Percent+99)/100) }

// Target returns the id the group knows the node by; "" when the node has none for this kind of group.
func (g GroupState) Target(n Node) string {
	if g.TargetType == "instance" {
		return n.Targets.Instance
	}
	return n.Targets.IP
}
