// Package e2e proves the built windlass binary end to end. It has tests only.
//
// Each test is a story on a fleet of its own (internal/sandbox): a real git server, nodes with a real sshd and a web service
// that is really down while it restarts, a balancer with constant traffic through it, and the agent as people run it, started,
// stopped and killed as a process. A story asserts what a user would notice: that no request failed, where the fleet ended,
// and that status, metrics, node records and balancer agree about it.
//
// Drains that are left early need addresses that are not loopback: their nodes have networks of their own behind a real HAProxy, all of it in
// namespaces that the test makes and that end with it.
//
// What belongs here: what only shows when the parts are put together, above all bad luck. What does not: what a package can
// prove by itself, and how the sandbox does what it does. Without sshd or git the stories are left out, and say so.
package e2e
