// Package elb reads and changes who gets traffic from AWS load balancers: target groups of application and network load
// balancers, and Classic ELBs.
//
// It turns what the APIs say into actuators.GroupState and a membership into one API call, and knows the APIs' traps:
// reason codes, paging, quotas, throttling. It waits for nothing and decides nothing: whether a node may leave, and how long
// its drain may take, belongs to the reconciler, which learns from the next reading whether a change took effect.
//
// Permissions it needs, all of elasticloadbalancing: DescribeTargetGroups, DescribeTargetGroupAttributes,
// DescribeTargetHealth, RegisterTargets, DeregisterTargets; for Classic ELBs DescribeLoadBalancerAttributes,
// DescribeInstanceHealth, RegisterInstancesWithLoadBalancer, DeregisterInstancesFromLoadBalancer.
package elb
