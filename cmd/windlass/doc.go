// Command windlass takes releases from a git commit to every node behind the load balancer, one at a time.
//
// Here belongs what only a command has: flags, environment, signals, exit codes, what is printed, and the joining of the
// adapters to the core (wire.go, the only place that knows them all). What is decided, observed and done belongs to the
// packages it joins.
package main
