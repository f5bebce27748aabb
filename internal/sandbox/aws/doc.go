// Package aws is an AWS endpoint on loopback: it speaks the query protocols of EC2, Elastic Load Balancing v2 and
// Classic Load Balancing, so that unmodified SDK clients with AWS_ENDPOINT_URL set to [Cloud.URL] work against it, and it
// really balances traffic over the targets it holds: HTTP requests, or the TCP connections of a network load balancer.
//
// What belongs here is the behaviour of AWS that a rolling release meets: registration and its health checks, draining for
// the whole deregistration delay, reason codes, paging, quotas, reads that lag, throttling and refused calls. All of it can
// be adjusted while the cloud runs. What does not belong here: anything windlass itself does, the AWS SDK (the package is
// part of the shipped program), actions that create or delete infrastructure (the Go API does that), and traffic that
// leaves the machine: only loopback addresses are dialled, unless a caller who runs in a network namespace of its own allows
// others ([Config.Reaches]). The API and the balancers listen on loopback always.
//
// A target that leaves is treated as by real load balancers: it still gets requests while its deregistration spreads, idle connections to
// it are kept, a request is never sent twice, and what it has in hand is cut when its deregistration delay is over, but for flows of a
// network load balancer without connection termination.
//
// The limits are known: each load balancer has one address, at which the zones that are in DNS take turns, so that a zone gets no more
// traffic as soon as it leaves DNS; a network load balancer carries TCP whatever the protocol of its group, and a silent flow for ever; and
// durations are reported over the API in whole seconds, rounded to the nearest, because that is all the protocol can say.
package aws
