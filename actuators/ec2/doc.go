// Package ec2 finds the machines of a fleet: the static nodes of its file, and EC2 instances by their tags.
//
// It is the only package that imports service/ec2, which takes a minute to compile. It reads; who of the machines is to be
// left alone or changed is decided by reconciler/plan, and who gets traffic is known to actuators/elb.
//
// The permission it needs is ec2:DescribeInstances; a fleet of static nodes needs none, and no AWS settings either.
package ec2
