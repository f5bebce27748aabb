package elb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v1 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing"
	v1types "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancing/types"
	v2 "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"

	"windlass/actuators"
	"windlass/internal/awsapi"
)

// Register makes a machine a member of a group under exactly the id, port and zone of m; without a zone AWS finds it, and an
// address outside the group's VPC is registered for all zones. A member stays one, and one that drains comes back by it (G5).
// It does not wait for the member to be healthy.
//
// Calls that change something are held to a rate in all groups together; the wait counts against ctx. Who waits for the same group
// shares a call, which ends by the earliest deadline of those who do, and 4 s after it was sent. It is tried twice at most.
func (b *Balancer) Register(ctx context.Context, m actuators.Membership) error {
	return b.change(ctx, "register", m, b.register)
}

// Deregister begins to take the member that is exactly m out of its group. One that is not there, or whose group is not, is
// success. So is the answer to a port that no member has (G4): only the next Observe tells whether it took effect, and m is
// to be taken from one.
//
// Calls that change something are held to a rate in all groups together; the wait counts against ctx. Who waits for the same group
// shares a call, which ends by the earliest deadline of those who do, and 4 s after it was sent. It is tried twice at most.
func (b *Balancer) Deregister(ctx context.Context, m actuators.Membership) error {
	return b.change(ctx, "deregister", m, b.deregister)
}

func (b *Balancer) change(ctx context.Context, verb string, m actuators.Membership, call func(context.Context, ref, actuators.Membership) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	group := refOf(m.Group)
	err := checkMembership(group, m, b.region)
	if err == nil {
		err = call(ctx, group, m)
	}
	if err != nil {
		return fmt.Errorf("cannot %s %s: %w", verb, m, err)
	}
	return nil
}

// checkMembership refuses what AWS would answer with success and no effect (G4), or what is in no group at all.
func checkMembership(group ref, m actuators.Membership, region string) error {
	switch {
	case m.ID == "":
		return errors.New("it has no target id")
	case group.classic:
		return nil
	case !group.isARN():
		return errors.New("the group is neither an ARN nor a classic load balancer")
	case m.Port < 1 || m.Port > 65535:
		return errors.New("its port is not known; it is taken from a reading of the group")
	}
	return group.check(region)
}

// register names all zones only when it has to: AWS refuses that for an address within the VPC.
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_TargetDescription.html
func (b *Balancer) register(ctx context.Context, group ref, m actuators.Membership) error {
	err := b.changes.apply(ctx, kind{"register", group}, m, b.sendRegister)
	if m.Zone == "" && awsapi.Code(err) == "ValidationError" && strings.Contains(err.Error(), "is outside the VPC") {
		m.Zone = "all"
		err = b.changes.apply(ctx, kind{"register", group}, m, b.sendRegister)
	}
	switch code := awsapi.Code(err); code {
	case "TargetGroupNotFound", "LoadBalancerNotFound":
		return gone(b.region)
	case "TooManyTargets", "TooManyRegistrationsForTargetId": // G12
		return fmt.Errorf("the quota of targets is used up (%s): raise it, or take members out that nobody needs: %w", code, awsapi.Explain(err))
	}
	return awsapi.Explain(err)
}

func (b *Balancer) deregister(ctx context.Context, group ref, m actuators.Membership) error {
	err := b.changes.apply(ctx, kind{"deregister", group}, m, b.sendDeregister)
	notThere := []string{"TargetGroupNotFound", "InvalidTarget", "LoadBalancerNotFound", "InvalidInstance"}
	if slices.Contains(notThere, awsapi.Code(err)) {
		return nil
	}
	return awsapi.Explain(err)
}

func (b *Balancer) sendRegister(ctx context.Context, group ref, members []actuators.Membership) (err error) {
	if group.classic {
		_, err = b.api.registerClassic(ctx, &v1.RegisterInstancesWithLoadBalancerInput{LoadBalancerName: &group.name, Instances: instances(members)}, twiceClassic)
	} else {
		_, err = b.api.register(ctx, &v2.RegisterTargetsInput{TargetGroupArn: &group.name, Targets: targets(members)}, twice)
	}
	return err
}

func (b *Balancer) sendDeregister(ctx context.Context, group ref, members []actuators.Membership) (err error) {
	if group.classic {
		_, err = b.api.deregisterClassic(ctx, &v1.DeregisterInstancesFromLoadBalancerInput{LoadBalancerName: &group.name, Instances: instances(members)}, twiceClassic)
	} else {
		_, err = b.api.deregister(ctx, &v2.DeregisterTargetsInput{TargetGroupArn: &group.name, Targets: targets(members)}, twice)
	}
	return err
}

// mostAttempts is how often a change is asked for. The SDK would do it three times, a second or two apart when throttled and more when
// the answer says so (aws/retry of aws-sdk-go-v2 v1.48.0), which is longer than a call has: who asks reads the group again and knows.
const mostAttempts = 2

func twice(o *v2.Options)        { o.Retryer = atMost(mostAttempts, o.Retryer) }
func twiceClassic(o *v1.Options) { o.Retryer = atMost(mostAttempts, o.Retryer) }

// atMost bounds the attempts of a retryer, which may have a lower bound of its own. Its retry quota stays the client's.
func atMost(attempts int, r aws.Retryer) aws.Retryer {
	if own := r.MaxAttempts(); own > 0 && own <= attempts {
		return r
	}
	return retry.AddWithMaxAttempts(r, attempts)
}

func instances(members []actuators.Membership) []v1types.Instance {
	described := make([]v1types.Instance, len(members))
	for i, m := range members {
		described[i].InstanceId = &m.ID
	}
	return described
}

func targets(members []actuators.Membership) []types.TargetDescription {
	described := make([]types.TargetDescription, len(members))
	for i, m := range members {
		described[i] = types.TargetDescription{Id: &m.ID, Port: aws.Int32(int32(m.Port))}
		if m.Zone != "" {
			described[i].AvailabilityZone = &m.Zone
		}
	}
	return described
}
