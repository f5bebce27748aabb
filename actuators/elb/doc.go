// Package elb reads and changes who gets traffic from AWS load balancers: target groups of application and network load
// balancers, and Classic ELBs.
//
// It turns what the APIs say into actuators.GroupState, and changes of memberships into API calls, one for all that wait for
// it. It knows the APIs' traps: reason codes, paging, quotas, throttling. It waits for no effect and decides nothing: whether a
// node may leave, and how long its drain may take, belongs to the reconciler, which learns from the next reading whether a change
// took effect.
//
// Permissions it needs, all of elasticloadbalancing: DescribeTargetGroups, DescribeTargetGroupAttributes,
// DescribeTargetHealth, RegisterTargets, DeregisterTargets; for Classic ELBs DescribeLoadBalancerAttributes,
// DescribeInstanceHealth, RegisterInstancesWithLoadBalancer, DeregisterInstancesFromLoadBalancer. Groups are readable without these,
// and their rules say what is not known then: DescribeLoadBalancerAttributes for the load balancers of target groups, and
// DescribeLoadBalancers for Classic ELBs.
package elb
