// Package probe makes one try of a check: an HTTP request, a TCP connection, or a command on the node.
//
// It says how that one try went (health.Sample) and keeps nothing. What several tries mean is judged by health.Judge; when to try is up to
// reconciler. How a node is reached over SSH belongs to actuators/host, which satisfies Shell.
package probe
