package sandbox

import (
	"fmt"
	"net"
	"strconv"
	"sync"
)

// A network is 254 loopback addresses that no other sandbox on this machine uses as long as it is held. That makes a port that was found free
// on them stay free, although nobody listens on it for a moment.
type network struct {
	prefix string       // "127.42.7."
	hold   net.Listener // on an abstract socket, which ends with its process and leaves no file

	mu    sync.Mutex
	given map[int]bool // ports that somebody has, though he may not listen yet
}

// reserveNetwork takes the first network that is not held.
func reserveNetwork() (*network, error) {
	var err error
	for i := range 250 {
		prefix := fmt.Sprintf("127.42.%d.", i)
		var hold net.Listener
		if hold, err = net.Listen("unix", "@windlass-sandbox-"+prefix); err == nil {
			return &network{prefix: prefix, hold: hold, given: map[int]bool{}}, nil
		}
	}
	return nil, fmt.Errorf("cannot reserve loopback addresses for the nodes: %w; the local fleet needs Linux", err)
}

func (n *network) release() error { return n.hold.Close() }

// address is the network's host with that number, 1 to 254.
func (n *network) address(host int) string { return n.prefix + strconv.Itoa(host) }

// freePort returns a port that is free on every address of the network, another one each time.
func (n *network) freePort() (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for range 20 {
		port, err := n.portOf(n.address(1))
		if err != nil {
			return 0, err
		}
		if !n.given[port] && n.free(port) {
			n.given[port] = true
			return port, nil
		}
	}
	return 0, fmt.Errorf("cannot find a port that is free on %s1 to %[1]s254", n.prefix)
}

func (n *network) portOf(address string) (int, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		return 0, fmt.Errorf("cannot listen on %s: %w; the local fleet needs Linux", address, err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

func (n *network) free(port int) bool {
	for host := 1; host < 255; host++ {
		listener, err := net.Listen("tcp", net.JoinHostPort(n.address(host), strconv.Itoa(port)))
		if err != nil {
			return false
		}
		listener.Close()
	}
	return true
}
