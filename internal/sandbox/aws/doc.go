// Package aws is an AWS endpoint on loopback: it speaks the query protocols of EC2, Elastic Load Balancing v2 and
// Classic Load Balancing, so that unmodified SDK clients with AWS_ENDPOINT_URL set to [Cloud.URL] work against it, and it
// really balances HTTP traffic over the targets it holds.
//
// What belongs here is the behaviour of AWS that a rolling release meets: registration and its health checks, draining for
// the whole deregistration delay, reason codes, paging, quotas, reads that lag, throttling and refused calls. All of it can
// be adjusted while the cloud runs. What does not belong here: anything windlass itself does, the AWS SDK (the package is
// part of the shipped program), actions that create or delete infrastructure (the Go API does that), and traffic that
// leaves the machine: only loopback addresses are dialled, unless a caller who runs in a network namespace of its own allows
// others ([Config.Reaches]). The API and the balancers listen on loopback always.
//
// The limits are known: a network load balancer balances requests, not connections; what a target has when its deregistration delay
// is over goes on, as behind a network load balancer without connection termination; all is one zone, so that cross-zone balancing
// and the thresholds of DNS are told and have no effect; and durations are reported over the API in whole seconds, rounded to the
// nearest, because that is all the protocol can say.
package aws
