package cage

import (
	"context"
	"encoding/json"
)

// A Spec says what a cage is like.
type Spec struct {
	Name     string            // its host name
	Slot     int               // 0 to 99, another one for each cage of a fleet: as root, each has its own range of user ids
	Args     []string          // with which this process's executable calls Enter
	Programs map[string][]byte // by name: scripts that come before this machine's programs
	Files    map[string][]byte // by path: what is there from the beginning
	Memory   int               // percent of this machine's that its files may take; default 10
	Inside   json.RawMessage   // handed to what runs inside
	Out      bool              // connections to OutPort inside are handed out, to Outgoing
}

// Dir is where a cage has what is not this machine's: the programs of its Spec in bin, and the windlass binary.
const Dir = "/run/windlass"

// Binary is the copy of the windlass binary in a cage.
const Binary = Dir + "/windlass"

// SearchPath is where programs are looked for in a cage.
const SearchPath = Dir + "/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// OutPort is where what is inside finds a way out, in a cage that has one.
const OutPort = 3128

// Inside is what runs in a cage: it calls ready when it can be used, and ends when ctx does.
type Inside func(ctx context.Context, spec json.RawMessage, ready func()) error

// The stages of what becomes a cage, as arguments of its executable.
const (
	stageBuild = "build" // in the new namespaces, with this machine's files still in sight
	stageInit  = "init"  // sealed, as process 1
	stageWork  = "work"  // what runs inside

	withOut = "-with-out" // after a stage: the cage has a way out
)
