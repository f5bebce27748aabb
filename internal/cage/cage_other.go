//go:build !linux

package cage

import (
	"context"
	"errors"
	"io"
	"net"
)

var errNoCage = errors.New("cages are made of Linux namespaces and an overlay, which this system does not have: run it on Linux")

// A Cage is one that runs; here there is none.
type Cage struct{}

// Start fails: nothing runs here without a cage.
func Start(context.Context, Spec, io.Writer) (*Cage, error) { return nil, errNoCage }

// Dial fails.
func (*Cage) Dial(context.Context, int) (net.Conn, error) { return nil, errNoCage }

// Outgoing has none.
func (*Cage) Outgoing() net.Listener { return nil }

// Kill has nothing to end.
func (*Cage) Kill() error { return nil }

// WholeIDs reports that no cage here has other users than one.
func WholeIDs() bool { return false }

// Enter fails.
func Enter([]string, Inside) error { return errNoCage }
