package elb

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v1 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	v2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"windlass/actuators"
	"windlass/internal/awsapi"
)

// A reading is a group's state, or why there is none.
type reading struct {
	state actuators.GroupState
	err   error
}

// A memory is what is kept of a group from one reading to the next.
type memory struct {
	turn chan struct{} // capacity 1: held by who reads; guards what follows

	began   uint64 // when the last reading began, in the Balancer's sequence
	last    reading
	seen    bool                               // the group was read before
	healthy map[actuators.Membership]time.Time // since when; zero, which is long ago: it was healthy at the first reading
}

func newMemory() *memory {
	return &memory{turn: make(chan struct{}, 1), healthy: map[actuators.Membership]time.Time{}}
}

// read reads a known group. Who waits while somebody else reads shares a reading that began after it asked, never an older
// one: a membership that changed before the question is in the answer.
func (b *Balancer) read(ctx context.Context, r ref, asked uint64) reading {
	known, memory, ok := b.directory.get(r)
	if !ok {
		return reading{err: gone(b.region)}
	}
	if err := acquire(ctx, memory.turn); err != nil {
		return reading{err: err}
	}
	defer release(memory.turn)
	if memory.began > asked {
		return memory.last
	}
	began, at := b.sequence.Add(1), time.Now()
	members, err := b.members(ctx, r, known)
	if err != nil {
		return reading{err: err}
	}
	memory.ramp(members, known.slowStart, at)
	memory.began, memory.last = began, reading{state: actuators.GroupState{
		Group:      known.Group,
		TargetType: known.targetType,
		Port:       known.port,
		Rules:      known.rules,
		Members:    members,
		At:         at,
	}}
	return memory.last
}

// ramp marks the healthy members that are in slow start. The API does not tell, so that a member ramps for as long after
// it turned healthy before the eyes of this process; those that were healthy at its first reading are taken to be warm.
func (m *memory) ramp(members []actuators.Target, slowStart time.Duration, at time.Time) {
	healthy := make(map[actuators.Membership]time.Time, len(members))
	for i := range members {
		member := &members[i]
		if member.Status != actuators.TargetHealthy {
			continue
		}
		since, before := m.healthy[member.Membership]
		if !before && m.seen {
			since = at
		}
		healthy[member.Membership] = since
		if left := since.Add(slowStart).Sub(at); left > 0 {
			member.Status = actuators.TargetRamping
			member.Reason = fmt.Sprintf("slow start for another %v", left.Round(time.Second))
		}
	}
	m.healthy, m.seen = healthy, true
}

// members asks for a group's members, sorted.
func (b *Balancer) members(ctx context.Context, r ref, known facts) ([]actuators.Target, error) {
	ask, missing := b.groupMembers, "TargetGroupNotFound"
	if r.classic {
		ask, missing = b.classicMembers, "LoadBalancerNotFound"
	}
	members, err := ask(ctx, known)
	if awsapi.Code(err) == missing {
		return nil, gone(b.region)
	}
	if err != nil {
		return nil, awsapi.Explain(err)
	}
	slices.SortFunc(members, func(a, b actuators.Target) int { return a.Membership.Compare(b.Membership) })
	return members, nil
}

// groupMembers asks for all of a target group's members at once; DescribeTargetHealth has no pages. Only application load balancers
// look for anomalies.
func (b *Balancer) groupMembers(ctx context.Context, known facts) ([]actuators.Target, error) {
	in := &v2.DescribeTargetHealthInput{TargetGroupArn: &known.ID}
	if balancesRequests(known.rules.Protocol) {
		in.Include = []types.DescribeTargetHealthInputIncludeEnum{types.DescribeTargetHealthInputIncludeEnumAnomaly}
	}
	out, err := b.api.describeHealth(ctx, in)
	if err != nil {
		return nil, err
	}
	if out.TargetHealthDescriptions == nil {
		return nil, fmt.Errorf("DescribeTargetHealth leaves out the targets: %w", awsapi.ErrIncomplete)
	}
	members := make([]actuators.Target, 0, len(out.TargetHealthDescriptions))
	for _, described := range out.TargetHealthDescriptions {
		if described.Target == nil || aws.ToString(described.Target.Id) == "" || described.Target.Port == nil || described.TargetHealth == nil {
			return nil, fmt.Errorf("DescribeTargetHealth leaves out a target's id, port or health: %w", awsapi.ErrIncomplete)
		}
		if !notRegistered(*described.TargetHealth) {
			members = append(members, memberOf(known, described))
		}
	}
	return members, nil
}

// memberOf is a member as described. Only an address has its zone: RegisterTargets refuses one for an instance.
func memberOf(known facts, described types.TargetHealthDescription) actuators.Target {
	target := actuators.Target{
		Membership: actuators.Membership{Group: known.ID, ID: *described.Target.Id, Port: int(*described.Target.Port)},
		Mitigated:  mitigated(described.AnomalyDetection),
	}
	if known.targetType == "ip" {
		target.Zone = aws.ToString(described.Target.AvailabilityZone)
	}
	target.Status, target.Reason, target.AtFault = targetStatus(described)
	return target
}

// classicMembers asks for all of a Classic ELB's members at once; DescribeInstanceHealth has no pages.
func (b *Balancer) classicMembers(ctx context.Context, known facts) ([]actuators.Target, error) {
	out, err := b.api.describeClassicHealth(ctx, &v1.DescribeInstanceHealthInput{LoadBalancerName: &known.Name})
	if err != nil {
		return nil, err
	}
	if out.InstanceStates == nil {
		return nil, fmt.Errorf("DescribeInstanceHealth leaves out the instances: %w", awsapi.ErrIncomplete)
	}
	members := make([]actuators.Target, 0, len(out.InstanceStates))
	for _, state := range out.InstanceStates {
		if aws.ToString(state.InstanceId) == "" || state.State == nil {
			return nil, fmt.Errorf("DescribeInstanceHealth leaves out an instance's id or state: %w", awsapi.ErrIncomplete)
		}
		if described(state, "not currently registered") {
			continue
		}
		target := actuators.Target{Membership: actuators.Membership{Group: known.ID, ID: *state.InstanceId}}
		target.Status, target.Reason, target.AtFault = instanceStatus(state)
		members = append(members, target)
	}
	return members, nil
}
