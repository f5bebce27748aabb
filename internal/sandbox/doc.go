// Package sandbox is a whole fleet on this machine: nodes, a load balancer with constant traffic, a deploy repo with its git
// server, and the agent, all on loopback and without root. It is what `windlass demo` shows and what the end-to-end tests
// run against.
//
// Nothing is simulated that windlass talks to. A node is a process of its own with an SSH server that really runs the
// commands it is sent and a web service that is really down while it restarts; the deploy repo is served over git's smart
// HTTP protocol, without a git binary, and so is the code's, beside a forge that tells of its one check; the balancer is sandbox/aws; the agent is the windlass binary as users run it. What a
// node cannot show on one machine is a second kernel: all nodes share one clock, one process table and one file system, each
// in a home directory of its own. The fleet is deploy-repo-example's live one; what this machine cannot give it is listed in
// example.go, and the few commands of a server that its steps call stand in for their namesakes (standin).
//
// A Mirror is another fleet: that of somebody's deploy repo, whose nodes are cages (internal/cage), for `windlass up`.
//
// What belongs here: making, changing and breaking the world around the agent, and the demo's walk through it. What does not:
// anything the agent does, the API of AWS (sandbox/aws), and what of a fleet can be had here (internal/mirror). The nodes have loopback addresses of their own (127.42.…), which
// Linux has without being told to and other systems do not.
package sandbox
