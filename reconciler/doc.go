// Package reconciler is the loop: one actor per fleet that observes, plans, acts and waits.
//
// It knows no technology. What it needs of the world it declares here as interfaces, which actuators/elb, actuators/ec2,
// actuators/host, health/probe and desired/gitrepo satisfy and cmd/windlass joins to it. What to do is decided by
// reconciler/plan; this package only carries it out and remembers nothing that a new process could not see again.
package reconciler
