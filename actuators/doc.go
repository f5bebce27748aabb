// Package actuators is the vocabulary shared by everything that touches the world: machines, the balancers that send them
// traffic, and the record each machine keeps of itself.
//
// It holds values and their checks only. How the world is read and changed belongs to actuators/elb, actuators/ec2 and
// actuators/host; what to change belongs to reconciler/plan.
package actuators
