package elb

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	v1 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	v2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"golang.org/x/sync/errgroup"

	"windlass/actuators"
	"windlass/internal/awsapi"
)

// groupsACall is how many target groups one DescribeTargetGroups may name (G11).
const groupsACall = 20

// looked is what came of looking up one group.
type looked struct {
	facts facts
	err   error
}

// answers collects what came of looking up several groups side by side.
type answers struct {
	mu sync.Mutex
	of map[ref]looked
}

func (a *answers) put(r ref, f facts, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.of[r] = looked{facts: f, err: err}
}

// lookUp asks for the facts of groups: names, ARNs and Classic ELBs apart, since one call takes one kind only.
func (b *Balancer) lookUp(ctx context.Context, refs []ref) map[ref]looked {
	found := &answers{of: make(map[ref]looked, len(refs))}
	var names, arns []ref
	var asking errgroup.Group
	asking.SetLimit(sideBySide)
	for _, r := range refs {
		switch err := r.check(b.region); {
		case err != nil:
			found.put(r, facts{}, err)
		case r.classic:
			asking.Go(func() error { b.lookUpClassic(ctx, r, found); return nil })
		case r.isARN():
			arns = append(arns, r)
		default:
			names = append(names, r)
		}
	}
	for chunk := range slices.Chunk(names, groupsACall) {
		asking.Go(func() error { b.lookUpGroups(ctx, chunk, found); return nil })
	}
	for chunk := range slices.Chunk(arns, groupsACall) {
		asking.Go(func() error { b.lookUpGroups(ctx, chunk, found); return nil })
	}
	_ = asking.Wait() // errors are among the answers
	return found.of
}

// lookUpGroups asks for several target groups at once. One that is missing or no name at all fails the whole call, which is
// halved until such ones stand alone.
func (b *Balancer) lookUpGroups(ctx context.Context, refs []ref, found *answers) {
	groups, err := b.describeGroups(ctx, refs)
	switch code := awsapi.Code(err); {
	case len(refs) > 1 && (code == "TargetGroupNotFound" || code == "ValidationError"):
		half := len(refs) / 2
		b.lookUpGroups(ctx, refs[:half], found)
		b.lookUpGroups(ctx, refs[half:], found)
		return
	case code == "TargetGroupNotFound":
		found.put(refs[0], facts{}, gone(b.region))
		return
	}
	for _, r := range refs {
		if err != nil {
			found.put(r, facts{}, awsapi.Explain(err))
			continue
		}
		f, err := b.groupFacts(ctx, r, groups)
		found.put(r, f, awsapi.Explain(err))
	}
}

// describeGroups asks for target groups, all by ARN or all by name, page by page.
func (b *Balancer) describeGroups(ctx context.Context, refs []ref) ([]types.TargetGroup, error) {
	in := &v2.DescribeTargetGroupsInput{}
	for _, r := range refs {
		if r.isARN() {
			in.TargetGroupArns = append(in.TargetGroupArns, r.name)
		} else {
			in.Names = append(in.Names, r.name)
		}
	}
	var groups []types.TargetGroup
	for {
		out, err := b.api.describeGroups(ctx, in)
		if err != nil {
			return nil, err
		}
		groups = append(groups, out.TargetGroups...)
		marker := aws.ToString(out.NextMarker)
		if marker == "" {
			return groups, nil
		}
		if marker == aws.ToString(in.Marker) {
			return nil, fmt.Errorf("DescribeTargetGroups names the same next page again: %w", awsapi.ErrIncomplete)
		}
		in.Marker = &marker
	}
}

// groupFacts finds a target group among those described and asks for its attributes.
func (b *Balancer) groupFacts(ctx context.Context, r ref, groups []types.TargetGroup) (facts, error) {
	i := slices.IndexFunc(groups, func(g types.TargetGroup) bool {
		return r.name == aws.ToString(g.TargetGroupArn) || r.name == aws.ToString(g.TargetGroupName)
	})
	if i < 0 || aws.ToString(groups[i].TargetGroupArn) == "" {
		return facts{}, fmt.Errorf("DescribeTargetGroups leaves out %s: %w", r, awsapi.ErrIncomplete)
	}
	group := groups[i]
	if err := usable(group); err != nil {
		return facts{}, err
	}
	out, err := b.api.describeAttributes(ctx, &v2.DescribeTargetGroupAttributesInput{TargetGroupArn: group.TargetGroupArn})
	if err != nil {
		return facts{}, err
	}
	return factsOf(group, groupAttributes(out.Attributes))
}

// factsOf joins what a target group's description and its attributes say. A kind of group that has no slow start leaves that out.
func factsOf(group types.TargetGroup, a attributes) (facts, error) {
	delay, err := a.seconds(keyDelay)
	if err != nil {
		return facts{}, fmt.Errorf("DescribeTargetGroupAttributes: %w", err)
	}
	slowStart, err := a.secondsIfSent(keySlowStart)
	if err != nil {
		return facts{}, fmt.Errorf("DescribeTargetGroupAttributes: %w", err)
	}
	f := facts{
		Group:      actuators.Group{ID: *group.TargetGroupArn, Name: aws.ToString(group.TargetGroupName)},
		targetType: string(group.TargetType),
		port:       int(aws.ToInt32(group.Port)),
		slowStart:  slowStart,
	}
	f.rules, f.inherits = groupRules(group.Protocol, a)
	f.rules.Delay = delay
	if f.inherits || balancesRequests(f.rules.Protocol) { // only application load balancers have an idle time-out of their own
		f.balancers = slices.Compact(slices.Sorted(slices.Values(group.LoadBalancerArns)))
	}
	return f, nil
}

// lookUpClassic asks for the attributes of a Classic ELB. Its health says whether it exists.
func (b *Balancer) lookUpClassic(ctx context.Context, r ref, found *answers) {
	out, err := b.api.describeClassicAttributes(ctx, &v1.DescribeLoadBalancerAttributesInput{LoadBalancerName: &r.name})
	switch {
	case awsapi.Code(err) == "LoadBalancerNotFound":
		found.put(r, facts{}, gone(b.region))
		return
	case err == nil && (out.LoadBalancerAttributes == nil || out.LoadBalancerAttributes.ConnectionDraining == nil):
		err = fmt.Errorf("DescribeLoadBalancerAttributes leaves out ConnectionDraining: %w", awsapi.ErrIncomplete)
	}
	if err != nil {
		found.put(r, facts{}, awsapi.Explain(err))
		return
	}
	group := r.identity()
	found.put(r, facts{Group: group, targetType: "instance", rules: classicRules(out.LoadBalancerAttributes), balancers: []string{group.ID}}, nil)
}

// usable refuses a group that no machine can be in, and one whose members could not be drained or given back.
//
// Flows of GENEVE: https://docs.aws.amazon.com/elasticloadbalancing/latest/gateway/edit-target-group-attributes.html
func usable(group types.TargetGroup) error {
	const another = "name another one in the fleet file"
	port := aws.ToInt32(group.Port)
	switch {
	case group.TargetType == types.TargetTypeEnumLambda, group.TargetType == types.TargetTypeEnumAlb:
		return fmt.Errorf("its target type is %q: %w, %s", group.TargetType, errNoNodes, another)
	case group.TargetType != types.TargetTypeEnumInstance && group.TargetType != types.TargetTypeEnumIp:
		return fmt.Errorf("its target type %q is not known: %w", group.TargetType, awsapi.ErrIncomplete)
	case port < 1 || port > 65535 || group.Protocol == "":
		return fmt.Errorf("DescribeTargetGroups leaves out its port or protocol: %w", awsapi.ErrIncomplete)
	case group.Protocol == types.ProtocolEnumQuic, group.Protocol == types.ProtocolEnumTcpQuic:
		return fmt.Errorf("its protocol is %s, whose targets have server ids that could not be given back; %s", group.Protocol, another)
	case group.Protocol == types.ProtocolEnumGeneve:
		return fmt.Errorf("its protocol is %s, whose flows stay pinned to a target after it was deregistered, so that it cannot be drained; %s, and replace such appliances instead", group.Protocol, another)
	}
	return nil
}
