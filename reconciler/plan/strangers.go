package plan

import (
	"cmp"

	"windlass/actuators"
)

// A Stranger is a member of a fleet's group that is no node of the fleet.
type Stranger struct {
	Group string // its name
	ID    string // of the target
	Port  int
}

// Strangers are the members outside the node set in the groups that the fleet names, in the order of both, without excluded nodes and those
// that leave. Where the node set or a group could not be read, they are not known, and there are none.
func Strangers(want Want, seen World) []Stranger {
	if want.Fleet == nil || !seen.Inventory.Complete() {
		return nil
	}
	s := look(want, seen)
	var found []Stranger
	for i := range seen.Groups {
		if g := s.groups[i]; g.Err == "" {
			for _, t := range g.strangers {
				if t.Status != actuators.TargetDraining {
					found = append(found, Stranger{g.Name, t.ID, t.Port})
				}
			}
		}
	}
	return found
}

// Record is what is written down on the node, where that was read and is this machine's (law 4); nil: it is not.
func (n *Node) Record() *actuators.NodeRecord {
	if n.Host == nil || n.Host.Record.Instance != cmp.Or(n.ID, n.Host.Machine) {
		return nil
	}
	return &n.Host.Record
}
