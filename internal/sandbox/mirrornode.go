package sandbox

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"windlass/internal/cage"
	"windlass/internal/mirror"
	"windlass/internal/sandbox/aws"
)

// A CagedNode is a machine of a Mirror: a cage, and the ports on a loopback address through which it is reached.
type CagedNode struct {
	mirror.Node

	slot    int
	hostKey keyPair
	cage    *cage.Cage // nil: it is down
	relays  map[int]*relay
	stopOut func() error // nil: it has no way out
}

// sshInside is the port of the SSH server in a cage.
const sshInside = 22

// filesOfAll is how much of this machine's memory the files in all cages of a fleet may take, in percent. A rehearsal has two fleets.
const filesOfAll = 40

// start makes the cage. The ports are opened apart.
func (n *CagedNode) start(ctx context.Context, m *Mirror) error {
	scripts, err := programs(m.options.Network)
	if err != nil {
		return err
	}
	archive, err := dummy()
	if err != nil {
		return err
	}
	inside, err := json.Marshal(cagedConfig{HostKey: n.hostKey.private, Authorized: m.key.public(), SSHPort: sshInside, Network: m.options.Network})
	if err != nil {
		return err
	}
	n.cage, err = cage.Start(ctx, cage.Spec{
		Name: n.Name, Slot: n.slot, Args: []string{"cage"}, Memory: max(1, filesOfAll/m.options.Nodes),
		Programs: scripts, Files: map[string][]byte{dummyArchive: archive, pagesFile: m.pages}, Inside: inside, Out: m.options.Network,
	}, io.Discard)
	if err != nil {
		return fmt.Errorf("cannot start node %s: %w", n.Name, err)
	}
	if m.options.Network {
		n.stopOut = m.outlet.serve(n.cage.Outgoing())
	}
	return nil
}

// Kill ends the node at once with everything on it, as a loss of power does. One that is down already is success.
func (n *CagedNode) Kill() error {
	if n.cage == nil {
		return nil
	}
	err := n.cage.Kill()
	for _, r := range n.relays {
		err = errors.Join(err, r.close())
	}
	if n.stopOut != nil {
		err = errors.Join(err, n.stopOut())
	}
	n.cage, n.relays, n.stopOut = nil, nil, nil
	return err
}

// open lets a port of the node be reached on its address.
func (n *CagedNode) open(outside, inside int) error {
	if n.relays[outside] != nil || n.cage == nil {
		return nil
	}
	r, err := startRelay(net.JoinHostPort(n.Address, strconv.Itoa(outside)), n.cage, inside)
	if err != nil {
		return fmt.Errorf("cannot open port %d of node %s: %w", inside, n.Name, err)
	}
	n.relays[outside] = r
	return nil
}

// runTime is how long what is run on a node may take.
const runTime = 10 * time.Second

// run runs a script on the node as the agent would, with input.
func (n *CagedNode) run(ctx context.Context, m *Mirror, script, input string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, runTime, fmt.Errorf("it does not end within %v", runTime))
	defer cancel()
	conn, err := n.cage.Dial(ctx, sshInside)
	if err != nil {
		return err
	}
	defer closeWith(ctx, conn)()
	c, channels, requests, err := ssh.NewClientConn(conn, n.Address, &ssh.ClientConfig{
		User: "root", Auth: []ssh.AuthMethod{ssh.PublicKeys(m.key.Signer)}, HostKeyCallback: ssh.FixedHostKey(n.hostKey.PublicKey()),
	})
	if err != nil {
		return err
	}
	client := ssh.NewClient(c, channels, requests)
	defer client.Close()
	session, err := client.NewSession()
	if err != nil {
		return err
	}
	session.Stdin = strings.NewReader(input)
	if err := session.Run(script); err != nil {
		return fmt.Errorf("cannot run %q on node %s: %w", script, n.Name, cmp.Or(context.Cause(ctx), err))
	}
	return nil
}

func (n *CagedNode) instance(tags map[string]string) aws.Instance {
	i := aws.Instance{ID: n.Instance, Zone: n.Zone, PrivateAddress: n.Address, Tags: map[string]string{"Name": n.Name}}
	if !n.Static {
		for key, value := range tags {
			if key != "Name" {
				i.Tags[key] = value
			}
		}
	}
	return i
}

// A relay carries connections to an address of this machine into a cage.
type relay struct {
	listener net.Listener
	cage     *cage.Cage
	port     int
	work     sync.WaitGroup

	mu     sync.Mutex
	open   map[net.Conn]bool
	closed bool
}

func startRelay(address string, to *cage.Cage, port int) (*relay, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	r := &relay{listener: listener, cage: to, port: port, open: map[net.Conn]bool{}}
	r.work.Go(r.accept)
	return r, nil
}

func (r *relay) accept() {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.work.Go(func() { r.carry(conn.(*net.TCPConn)) })
	}
}

// carry joins a connection to one in the cage. Where nobody listens inside it is reset, as close to being refused as can be.
func (r *relay) carry(outside *net.TCPConn) {
	if !r.keep(outside) {
		return
	}
	defer r.drop(outside)
	conn, err := r.cage.Dial(context.Background(), r.port)
	if err != nil {
		_ = outside.SetLinger(0)
		return
	}
	inside := conn.(*net.TCPConn)
	if !r.keep(inside) {
		return
	}
	defer r.drop(inside)
	var both sync.WaitGroup
	defer both.Wait()
	both.Go(func() { pour(inside, outside) })
	pour(outside, inside)
}

// pour copies until one side ends, and passes that on; a connection that broke is broken on the other side too.
func pour(to, from *net.TCPConn) {
	if _, err := io.Copy(to, from); err != nil {
		_ = to.SetLinger(0)
		to.Close()
		from.Close()
		return
	}
	_ = to.CloseWrite()
}

func (r *relay) keep(conn net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		conn.Close()
		return false
	}
	r.open[conn] = true
	return true
}

func (r *relay) drop(conn net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, conn)
	conn.Close()
}

// close ends the relay with every connection in it.
func (r *relay) close() error {
	err := r.listener.Close()
	r.mu.Lock()
	r.closed = true
	for conn := range r.open {
		conn.Close()
	}
	r.mu.Unlock()
	r.work.Wait()
	return err
}
