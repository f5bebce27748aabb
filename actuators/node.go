package actuators

// A Node is a machine of a fleet as the inventory names it.
type Node struct {
	Name    string // unique in the fleet, well-formed
	Alias   string // its tag Name where that is not its name, since another has it too or it is ill-formed; to compare with, not to show
	ID      string // the instance id; empty for a static node, whose identity is its machine id
	Address string // host or host:port-less IP that SSH and direct checks go to
	Zone    string // empty: unknown
	Targets Targets
	HostKey string // authorized-keys form; empty: known_hosts decides
	SSHPort int    // 0: the fleet's
}

// Targets are the names a balancer may know a machine by.
type Targets struct {
	Instance string // instance id; empty for machines that are not instances
	IP       string // for groups of target type ip
}

// An Inventory is the machines found for a fleet.
type Inventory struct {
	Nodes    []Node   // sorted by name
	Problems []string // instances that were found but cannot be used, and why; one line each
}
