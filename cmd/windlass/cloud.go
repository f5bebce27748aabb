package main

import (
	"context"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"

	"windlass/actuators"
	"windlass/actuators/ec2"
	"windlass/actuators/elb"
	"windlass/desired"
	"windlass/internal/awsapi"
)

// A cloud is AWS for the fleets that need it. Its settings are read when one first does, and again at each call until they name
// a region, so that an agent for static nodes needs none and settings that are put right need no restart.
type cloud struct {
	observe awsapi.Observer

	mu       sync.Mutex
	finder   *ec2.Finder
	balancer *elb.Balancer
}

func (c *cloud) adapters(ctx context.Context) (*ec2.Finder, *elb.Balancer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finder != nil {
		return c.finder, c.balancer
	}
	config := awsapi.Load(ctx, c.observe)
	finder, balancer := ec2.New(config), elb.New(config)
	if config.Region != "" {
		c.finder, c.balancer = finder, balancer
	}
	return finder, balancer
}

// Nodes implements reconciler.Inventory. A set of static nodes is no matter for AWS.
func (c *cloud) Nodes(ctx context.Context, set desired.NodeSet) (actuators.Inventory, error) {
	if set.EC2 == nil {
		return ec2.New(aws.Config{}).Nodes(ctx, set)
	}
	finder, _ := c.adapters(ctx)
	return finder.Nodes(ctx, set)
}

// Observe implements reconciler.Balancer.
func (c *cloud) Observe(ctx context.Context, named []desired.LoadBalancer, recorded []string) ([]actuators.GroupState, error) {
	_, balancer := c.adapters(ctx)
	return balancer.Observe(ctx, named, recorded)
}

// Register implements reconciler.Balancer.
func (c *cloud) Register(ctx context.Context, m actuators.Membership) error {
	_, balancer := c.adapters(ctx)
	return balancer.Register(ctx, m)
}

// Deregister implements reconciler.Balancer.
func (c *cloud) Deregister(ctx context.Context, m actuators.Membership) error {
	_, balancer := c.adapters(ctx)
	return balancer.Deregister(ctx, m)
}
