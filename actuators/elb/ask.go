package elb

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"

	"windlass/actuators"
	"windlass/desired"
	"windlass/internal/awsapi"
)

const classicPrefix = "classic/"

// A ref is a group as somebody spells it: an ARN or a name of a target group, or "classic/" and the name of a Classic ELB.
type ref struct {
	classic bool
	name    string // without the prefix
}

func (r ref) String() string {
	if r.classic {
		return "classic load balancer " + r.name
	}
	return "target group " + r.name
}

func (r ref) isARN() bool { return !r.classic && strings.HasPrefix(r.name, "arn:") }

// refOf reads a Group.ID.
func refOf(id string) ref {
	name, classic := strings.CutPrefix(id, classicPrefix)
	return ref{classic: classic, name: name}
}

// identity is what of the group is known without asking: its ID is empty when only a name is.
func (r ref) identity() actuators.Group {
	switch {
	case r.classic:
		return actuators.Group{ID: classicPrefix + r.name, Name: r.name}
	case r.isARN():
		return actuators.Group{ID: r.name, Name: nameIn(r.name)}
	}
	return actuators.Group{Name: r.name}
}

// nameIn returns the name within a target group's ARN, and the whole of what is none.
func nameIn(id string) string {
	if _, rest, ok := strings.Cut(id, ":targetgroup/"); ok {
		name, _, _ := strings.Cut(rest, "/")
		return name
	}
	return id
}

// errGone is that a group is not there, by the word of AWS or because it cannot be.
var errGone = errors.New("there is no such group")

// errNoNodes is that a group is one that no machine can be in.
var errNoNodes = errors.New("windlass works on groups of instances and of IP addresses")

func gone(region string) error {
	return fmt.Errorf("%w in region %s; check loadBalancers in the fleet file and AWS_REGION", errGone, region)
}

var groupResource = regexp.MustCompile(`^targetgroup/[^/]+/[0-9a-f]+$`)

// check refuses what cannot be asked about in a region: AWS has many answers to it.
func (r ref) check(region string) error {
	if !r.isARN() {
		return nil
	}
	parsed, _ := arn.Parse(r.name) // nothing, of what is no ARN
	if parsed.Service != "elasticloadbalancing" || !groupResource.MatchString(parsed.Resource) {
		return fmt.Errorf("%w: that is not the ARN of a target group; check loadBalancers in the fleet file", errGone)
	}
	if parsed.Region != region {
		return fmt.Errorf("%w here: it is in region %s and this agent works in %s; check loadBalancers in the fleet file and AWS_REGION", errGone, parsed.Region, region)
	}
	return nil
}

// An ask is one group asked for, and by whom.
type ask struct {
	group    ref
	port     int // the fleet file's; 0: the group's own
	recorded bool
}

func asksFor(named []desired.LoadBalancer, recorded []string) []ask {
	asks := make([]ask, 0, len(named)+len(recorded))
	for _, lb := range named {
		asks = append(asks, ask{group: ref{classic: lb.Classic != "", name: lb.Classic + lb.TargetGroup}, port: lb.Port})
	}
	for _, id := range recorded {
		asks = append(asks, ask{group: refOf(id), recorded: true})
	}
	return asks
}

// void reports whether a record names something that is no Group.ID. It is not asked about: a record may be hostile.
func (a ask) void() bool { return a.recorded && !a.group.classic && !a.group.isARN() }

func distinct(asks []ask) []ref {
	var refs []ref
	for _, a := range asks {
		if !a.void() && !slices.Contains(refs, a.group) {
			refs = append(refs, a.group)
		}
	}
	return refs
}

// state is the answer to an ask.
func (a ask) state(got reading, at time.Time) actuators.GroupState {
	switch {
	case a.void():
		return actuators.GroupState{
			Group:   actuators.Group{ID: a.group.name, Name: a.group.name},
			Err:     awsapi.OneLine(fmt.Sprintf("cannot read %q: a node's record has it, and it names no group", a.group.name)),
			Missing: true,
			At:      at,
		}
	case got.err != nil:
		return actuators.GroupState{
			Group:   a.group.identity(),
			Err:     awsapi.OneLine(fmt.Sprintf("cannot read %s: %v", a.group, got.err)),
			Missing: errors.Is(got.err, errGone) || errors.Is(got.err, errNoNodes),
			At:      at,
		}
	}
	state := got.state
	state.Members, state.Ports = slices.Clone(state.Members), slices.Clone(state.Ports)
	if a.port != 0 {
		state.Port = a.port
	}
	return state
}
