package actuators

import "windlass/desired"

// A Place is a node and how its fleet logs into it.
type Place struct {
	Fleet string
	SSH   desired.SSH
	Node  Node
}

// Port is where the node's SSH server listens: the node's own port, else the fleet's.
func (p Place) Port() int {
	if p.Node.SSHPort != 0 {
		return p.Node.SSHPort
	}
	return p.SSH.Port
}
