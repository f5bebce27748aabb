package host_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"windlass/internal/nettest"
)

// A network is a network namespace, with nothing but loopback at first. It goes with the last thing in it.
type network struct {
	testing.TB
	file *os.File
}

// newNetwork makes one. A test whose user may not is left out.
func newNetwork(t testing.TB) *network {
	t.Helper()
	n := &network{TB: t}
	err := nettest.OnThread(func() (err error) {
		if err := syscall.Unshare(syscall.CLONE_NEWNET); err != nil {
			return err
		}
		n.file, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	if errors.Is(err, syscall.EPERM) {
		t.Skip("this user may not make network namespaces")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.file.Close() })
	n.run("ip", "link", "set", "lo", "up")
	return n
}

// within runs f in the network.
func (n *network) within(f func() error) {
	n.Helper()
	if err := nettest.Within(n.file, f); err != nil {
		n.Fatal(err)
	}
}

// run runs a program in the network.
func (n *network) run(name string, args ...string) {
	n.Helper()
	n.feed("", name, args...)
}

func (n *network) feed(stdin, name string, args ...string) {
	n.Helper()
	n.within(func() error {
		cmd := exec.Command(name, args...)
		cmd.Stdin = strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w: %s", cmd.Args, err, out)
		}
		return nil
	})
}

// join connects two networks with a cable; the addresses, with their prefix lengths, are those of its ends.
func (n *network) join(other *network, device, at, otherAt string) {
	n.Helper()
	n.within(func() error {
		cmd := exec.Command("ip", "link", "add", device, "type", "veth", "peer", "name", device, "netns", "/proc/self/fd/3")
		cmd.ExtraFiles = []*os.File{other.file}
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w: %s", cmd.Args, err, out)
		}
		return nil
	})
	for end, address := range map[*network]string{n: at, other: otherAt} {
		end.address(device, address)
		end.run("ip", "link", "set", device, "up")
	}
}

func (n *network) address(device, address string) {
	n.Helper()
	args := []string{"addr", "add", address, "dev", device}
	if strings.Contains(address, ":") {
		args = append(args, "nodad")
	}
	n.run("ip", args...)
}

func (n *network) listen(address string) net.Listener {
	n.Helper()
	var l net.Listener
	n.within(func() (err error) { l, err = net.Listen("tcp", address); return err })
	n.Cleanup(func() { l.Close() })
	return l
}

func (n *network) dial(address string) *net.TCPConn {
	n.Helper()
	var conn net.Conn
	n.within(func() (err error) { conn, err = net.Dial("tcp", address); return err })
	n.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

// outside is an address on loopback, outside, that leads to one inside.
func (n *network) outside(address string) *net.TCPAddr {
	n.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		n.Fatal(err)
	}
	var pairs sync.WaitGroup
	pairs.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			var to net.Conn
			err = nettest.Within(n.file, func() (err error) { to, err = net.Dial("tcp", address); return err })
			if err != nil {
				from.Close()
				continue
			}
			pairs.Go(func() { relay(from, to) })
			pairs.Go(func() { relay(to, from) })
		}
	})
	n.Cleanup(func() { l.Close(); pairs.Wait() })
	return l.Addr().(*net.TCPAddr)
}

func relay(from, to net.Conn) {
	_, _ = io.Copy(to, from)
	from.Close()
	to.Close()
}

// syn begins to connect, and does not wait.
func (n *network) syn(address string) error {
	to, err := net.ResolveTCPAddr("tcp4", address)
	if err != nil {
		return err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	n.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}); !errors.Is(err, syscall.EINPROGRESS) {
		return err
	}
	return nil
}
