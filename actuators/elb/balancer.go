package elb

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v1 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	v2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"golang.org/x/sync/errgroup"

	"windlass/actuators"
	"windlass/desired"
)

const (
	callTime   = 10 * time.Second // for one group's reading, retries included, or one change and its wait for a call
	lookTime   = 4 * time.Second  // for looking groups up; less than a reading has, which may follow with what was known
	sendTime   = 4 * time.Second  // for a call that changes something, once it is sent, retries included
	sideBySide = 8                // groups read at once
)

// A Balancer reads and changes the load balancers of one account and region. Its methods may be called from many
// goroutines.
type Balancer struct {
	region    string
	api       api
	changes   *changes
	directory *directory
	sequence  atomic.Uint64 // orders calls of Observe and the readings they begin
}

// api is what is asked of AWS. It holds methods and not clients, so that the linker drops the hundreds that are not used.
type api struct {
	describeGroups             func(context.Context, *v2.DescribeTargetGroupsInput, ...func(*v2.Options)) (*v2.DescribeTargetGroupsOutput, error)
	describeAttributes         func(context.Context, *v2.DescribeTargetGroupAttributesInput, ...func(*v2.Options)) (*v2.DescribeTargetGroupAttributesOutput, error)
	describeHealth             func(context.Context, *v2.DescribeTargetHealthInput, ...func(*v2.Options)) (*v2.DescribeTargetHealthOutput, error)
	describeBalancerAttributes func(context.Context, *v2.DescribeLoadBalancerAttributesInput, ...func(*v2.Options)) (*v2.DescribeLoadBalancerAttributesOutput, error)
	register                   func(context.Context, *v2.RegisterTargetsInput, ...func(*v2.Options)) (*v2.RegisterTargetsOutput, error)
	deregister                 func(context.Context, *v2.DeregisterTargetsInput, ...func(*v2.Options)) (*v2.DeregisterTargetsOutput, error)

	describeClassics          func(context.Context, *v1.DescribeLoadBalancersInput, ...func(*v1.Options)) (*v1.DescribeLoadBalancersOutput, error)
	describeClassicAttributes func(context.Context, *v1.DescribeLoadBalancerAttributesInput, ...func(*v1.Options)) (*v1.DescribeLoadBalancerAttributesOutput, error)
	describeClassicHealth     func(context.Context, *v1.DescribeInstanceHealthInput, ...func(*v1.Options)) (*v1.DescribeInstanceHealthOutput, error)
	registerClassic           func(context.Context, *v1.RegisterInstancesWithLoadBalancerInput, ...func(*v1.Options)) (*v1.RegisterInstancesWithLoadBalancerOutput, error)
	deregisterClassic         func(context.Context, *v1.DeregisterInstancesFromLoadBalancerInput, ...func(*v1.Options)) (*v1.DeregisterInstancesFromLoadBalancerOutput, error)
}

// New returns a Balancer over cfg, which comes from awsapi.Load or awsapi.Prepare. It asks nothing yet.
func New(cfg aws.Config) *Balancer {
	groups, classics := v2.NewFromConfig(cfg), v1.NewFromConfig(cfg)
	return &Balancer{
		region: cfg.Region,
		api: api{
			describeGroups:             groups.DescribeTargetGroups,
			describeAttributes:         groups.DescribeTargetGroupAttributes,
			describeHealth:             groups.DescribeTargetHealth,
			describeBalancerAttributes: groups.DescribeLoadBalancerAttributes,
			register:                   groups.RegisterTargets,
			deregister:                 groups.DeregisterTargets,

			describeClassics:          classics.DescribeLoadBalancers,
			describeClassicAttributes: classics.DescribeLoadBalancerAttributes,
			describeClassicHealth:     classics.DescribeInstanceHealth,
			registerClassic:           classics.RegisterInstancesWithLoadBalancer,
			deregisterClassic:         classics.DeregisterInstancesFromLoadBalancer,
		},
		changes:   newChanges(),
		directory: newDirectory(),
	}
}

// Observe reads the named groups and the recorded ones, by Group.ID, and returns one state for each, in that order; a
// group asked for twice is read once and returned twice. Each reading began after the call did.
//
// A group that cannot be read carries Err, one line for people, and Missing when no machine can be in it: AWS says that it
// does not exist, or it is in another region, or no group at all.
//
// When the groups are known, and they and their load balancers are looked up once and then every few minutes, it costs one
// DescribeTargetHealth for each target group and one DescribeInstanceHealth for each Classic ELB (G9). What only a load balancer can
// tell, and it does not, is said in Rules.Unread: its groups are read all the same. The error is always nil.
func (b *Balancer) Observe(ctx context.Context, named []desired.LoadBalancer, recorded []string) ([]actuators.GroupState, error) {
	began, at := b.sequence.Add(1), time.Now()
	asks := asksFor(named, recorded)
	refs := distinct(asks)
	readings := b.readAll(ctx, refs, b.learn(ctx, refs...), began)
	states := make([]actuators.GroupState, len(asks))
	for i, ask := range asks {
		states[i] = ask.state(readings[ask.group], at)
	}
	return states, nil
}

// readAll reads groups side by side.
func (b *Balancer) readAll(ctx context.Context, refs []ref, unknown map[ref]error, began uint64) map[ref]reading {
	var mu sync.Mutex
	readings := make(map[ref]reading, len(refs))
	var readers errgroup.Group
	readers.SetLimit(sideBySide)
	for _, r := range refs {
		readers.Go(func() error {
			got := b.readOne(ctx, r, unknown[r], began)
			mu.Lock()
			defer mu.Unlock()
			readings[r] = got
			return nil
		})
	}
	_ = readers.Wait() // readers keep their errors in the readings
	return readings
}

// readOne reads one group, and once more when it was deleted and made again under its name since it was looked up.
func (b *Balancer) readOne(ctx context.Context, r ref, unknown error, began uint64) reading {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if unknown != nil {
		return reading{err: unknown}
	}
	got := b.read(ctx, r, began)
	if !errors.Is(got.err, errGone) {
		return got
	}
	b.directory.forget(r)
	if err := b.learn(ctx, r)[r]; err != nil {
		return reading{err: err}
	}
	return b.read(ctx, r, began)
}
