package desired

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"time"
)

// APIVersion and Kind are what a fleet file must declare.
const (
	APIVersion = "windlass/v1"
	Kind       = "Fleet"
)

// A Fleet is one fleet file with its base merged in, every default filled and every file it refers to read. A Fleet that
// Load returned without an error is valid; nothing downstream checks it again.
type Fleet struct {
	Name    string // unique in the repo; [a-z0-9-]
	Release string // what to run; letters, digits and . _ + -, at most 128
	Retry   int    // raised by a person to try a halted digest again
	Paused  *Pause // nil: not paused
	Adopt   bool   // a recordless node that proves the wanted release is recorded, not rolled

	Nodes         NodeSet
	LoadBalancers []LoadBalancer // empty: the journey without drain and add
	SSH           SSH
	Configure     Configure
	Health        []Check
	Unproven      string // why no check can name the release; empty when one does
	Rollout       Rollout
	Notify        []Notification // who hears of its rollouts
	After         []After        // fleets that prove a release before it starts here
	Windows       *Windows       // when its nodes may be changed; nil: at any time
	RepoWindows   *Windows       `json:"-"` // the same of all fleets; both hold
	Source        *Source        // what a release must be before a rollout of it starts; nil: anything

	Path string // of the fleet file in the repo, for messages
}

// Same reports whether two files say the same.
func (f *Fleet) Same(other *Fleet) bool {
	if f == nil || other == nil {
		return f == other
	}
	a, b := *f, *other
	a.Windows, a.RepoWindows = a.Windows.written(), a.RepoWindows.written()
	b.Windows, b.RepoWindows = b.Windows.written(), b.RepoWindows.written()
	return reflect.DeepEqual(a, b)
}

// A Notification says what a channel hears of a fleet. Channels are the agent's; one that it does not know is no error.
type Notification struct {
	Channel string
	On      []Occasion
}

// An Occasion is something that people are told of a fleet.
type Occasion string

// The occasions. Rejected is a commit whose file of the fleet is not in force.
const (
	OnStarted    Occasion = "started"
	OnWaiting    Occasion = "waiting"
	OnHalted     Occasion = "halted"
	OnRolledBack Occasion = "rolled_back"
	OnSucceeded  Occasion = "succeeded"
	OnRejected   Occasion = "rejected"
)

// A Pause says why a fleet starts nothing new.
type Pause struct {
	Reason string
}

// A NodeSet says which machines belong to a fleet: the union of both forms, the same machine counted once.
type NodeSet struct {
	Static  []StaticNode
	EC2     *EC2Selector // nil: no instances are looked up
	Expect  int          // 0: no expectation; fewer found and nothing is drained
	Exclude []Exclusion
}

// A StaticNode is a machine named in the fleet file.
type StaticNode struct {
	Name    string
	Address string
	Zone    string // empty: unknown
	Target  string // the id the load balancer knows it by; default Address
	HostKey string // "ssh-ed25519 AAAA…"; empty: known_hosts decides
}

// An EC2Selector finds running instances by their tags.
type EC2Selector struct {
	Tags    map[string]string // all must match
	Address AddressKind
}

// AddressKind says which of an instance's addresses is used to reach it.
type AddressKind string

const (
	PrivateAddress AddressKind = "private"
	PublicAddress  AddressKind = "public"
)

// An Exclusion takes a node out of windlass's hands and out of the fleet's size.
type Exclusion struct {
	Name   string
	Reason string
}

// A LoadBalancer is either a target group (ALB or NLB) or a Classic ELB; exactly one of TargetGroup and Classic is set.
type LoadBalancer struct {
	TargetGroup string // name or ARN
	Port        int    // 0: the group's own
	Prune       bool   // members outside the node set leave, one at a time; needs NodeSet.Expect
	Classic     string // name
}

// String names the load balancer for people.
func (lb LoadBalancer) String() string {
	if lb.Classic != "" {
		return "classic load balancer " + lb.Classic
	}
	return "target group " + lb.TargetGroup
}

// GroupName is what the target group is called, also where the file has its ARN.
func (lb LoadBalancer) GroupName() string {
	if parts := strings.Split(lb.TargetGroup, "/"); len(parts) == 3 {
		return parts[1]
	}
	return lb.TargetGroup
}

// MostConnectTimeout is the longest SSH.ConnectTimeout. A node's record is written within seconds of that, while the claim in it lasts.
const MostConnectTimeout = 12 * time.Second

// SSH says how the fleet's nodes are logged into.
type SSH struct {
	User           string
	Port           int
	Sudo           bool
	ConnectTimeout time.Duration
	StateDir       string // absolute, or relative to the login directory
}

// Configure says how a release gets onto a node.
type Configure struct {
	Dir      string         // where steps run; empty: the fleet's directory below SSH.StateDir
	Vars     map[string]any // for templates; JSON values
	Files    []File
	Prepare  []Step // while the node serves
	Activate []Step // while it is out of service
}

// A File is placed on a node before activate, and only when it differs.
type File struct {
	From     string // relative to the repo's root
	To       string // absolute on the node
	Mode     string // octal, such as "0644"
	Owner    string // user or user:group; empty: whoever windlass logs in as (root with sudo)
	Template bool   // Content is a text/template over TemplateData
	Content  []byte // as it stands in the repo
}

// A Step is a shell command run on a node.
type Step struct {
	Name    string
	Run     string
	Timeout time.Duration
}

// A Check is one proof that a node serves. Exactly one of HTTP, TCP and Command is set.
type Check struct {
	Name      string
	HTTP      *HTTPCheck
	TCP       *TCPCheck
	Command   *CommandCheck
	Interval  time.Duration // the slowest pace of trying
	Timeout   time.Duration // of one try
	Successes int           // in a row
	Within    time.Duration // from the start of verifying until it must have passed
}

// HTTPCheck asks for a page.
type HTTPCheck struct {
	Port   int
	Path   string
	Status int
	Body   string // found in the answer; {release} and {node} are replaced
	Via    Via
}

// Via says where a check is made from.
type Via string

const (
	Direct  Via = "direct" // from the agent to the node's address
	OverSSH Via = "ssh"    // through the SSH connection to the node's loopback
)

// TCPCheck connects and closes.
type TCPCheck struct {
	Port int
}

// A CommandCheck runs a command on the node; exit status 0 passes. Its environment is that of a step, and {release} and
// {node} are replaced as in a page's text: their patterns hold nothing that a shell reads otherwise.
type CommandCheck struct {
	Run string
}

// Rollout bounds how a fleet moves to a new digest.
type Rollout struct {
	MaxUnavailable   Amount
	AllowOutage      bool
	Canary           *Canary // nil: none
	Zones            Zones
	Bake             time.Duration
	Drain            Drain
	Attempts         int
	ProgressDeadline time.Duration
	RestoreAfter     time.Duration
	OnFailure        string // "halt"
}

// A Canary is the first nodes to get a digest, watched for longer.
type Canary struct {
	Nodes int
	Bake  time.Duration
}

// Zones says from how many zones nodes may be away.
type Zones string

const (
	SpreadZones   Zones = "spread"        // nodes are taken round the zones
	OneZoneAtOnce Zones = "one-at-a-time" // no node leaves while one of another zone is away, and a zone is finished before the next
)

// A Drain says how a node leaves its load balancers, and when the work on it may begin.
type Drain struct {
	Policy         DrainPolicy
	Settle         time.Duration // from when its drain is seen until its balancers have surely spread it
	NetworkSettle  time.Duration // the same behind a network load balancer, which takes longer
	IdleFor        time.Duration // for how long nobody must have a connection to it
	LongestRequest time.Duration // no request is silent for longer; 0: no such promise
	IgnorePeers    []netip.Prefix
	Timeout        time.Duration // after which a drain is reported as overdue
}

// SettleFor is how long a node settles that was behind a load balancer of that kind.
func (d Drain) SettleFor(network bool) time.Duration {
	if network {
		return d.NetworkSettle
	}
	return d.Settle
}

// A DrainPolicy says what ends a drain.
type DrainPolicy string

const (
	DrainUntilIdle DrainPolicy = "idle"  // as soon as the node is proven idle, and at the latest when the delay is over
	DrainForDelay  DrainPolicy = "delay" // when the group's deregistration delay is over
)

// An Amount is a count of nodes, or a percentage of the fleet.
type Amount struct {
	Count   int
	Percent int // used when Count is 0
}

// Of returns the amount for a fleet of size nodes: a percentage is rounded down, but never below one (G23).
func (a Amount) Of(size int) int {
	if a.Count > 0 {
		return a.Count
	}
	return max(1, size*a.Percent/100)
}

// String is the amount as it is written in the fleet file.
func (a Amount) String() string {
	if a.Count > 0 {
		return fmt.Sprint(a.Count)
	}
	return fmt.Sprintf("%d%%", a.Percent)
}

// MarshalJSON writes the amount as it is written in the fleet file.
func (a Amount) MarshalJSON() ([]byte, error) {
	if a.Count > 0 {
		return json.Marshal(a.Count)
	}
	return json.Marshal(a.String())
}

// NamesRelease reports whether passing the check proves which release is served: a page shows it, or a command asks for it.
func (c Check) NamesRelease() bool {
	switch {
	case c.HTTP != nil:
		return strings.Contains(c.HTTP.Body, ReleasePlaceholder)
	case c.Command != nil:
		return strings.Contains(c.Command.Run, ReleasePlaceholder) || strings.Contains(c.Command.Run, ReleaseVariable)
	}
	return false
}
