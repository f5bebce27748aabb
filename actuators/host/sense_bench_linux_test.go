package host_test

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"windlass/actuators"
	"windlass/actuators/host"
)

// crowd makes so many sockets in the network, on a port, that need no file descriptors: both ends of connections that nobody has accepted,
// and that the other end has closed.
func (n *network) crowd(b *testing.B, sockets, port int) {
	n.within(func() error {
		if err := os.WriteFile("/proc/sys/net/core/somaxconn", []byte("1000000"), 0); err != nil {
			return err
		}
		listener, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		b.Cleanup(func() { syscall.Close(listener) })
		if err := syscall.Bind(listener, &syscall.SockaddrInet4{Port: port}); err != nil {
			return err
		}
		if err := syscall.Listen(listener, sockets/2); err != nil {
			return err
		}
		for i := range sockets / 2 {
			if err := connectAndClose(&syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, byte(1 + i/20000)}}); err != nil {
				return fmt.Errorf("connection %d: %w", i, err)
			}
		}
		return nil
	})
}

func connectAndClose(to syscall.Sockaddr) error {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	return syscall.Connect(fd, to)
}

// What a sample costs a node, in CPU of the script and all that it starts, with so many other sockets there.
func BenchmarkSensor(b *testing.B) {
	for _, sockets := range []int{0, 50_000} {
		n := newNetwork(b)
		n.crowd(b, sockets, 9000)
		for sensor, name := range map[string]string{"ss": "ss", "/proc/net/tcp": "proc"} {
			b.Run(fmt.Sprint(name, "/others=", sockets), func(b *testing.B) { n.sample(b, sensor, 8080) })
			b.Run(fmt.Sprint(name, "/on the port=", sockets), func(b *testing.B) { n.sample(b, sensor, 9000) })
		}
	}
}

func (n *network) sample(b *testing.B, sensor string, port int) {
	at := actuators.Place{Fleet: fleet}
	at.SSH.StateDir = "/tmp"
	service := actuators.Service{Address: netip.MustParseAddr(here), Ports: []int{port}}
	cmd := exec.Command("sh", "-c", host.SenseCommand(at, sensor, service))
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	n.within(cmd.Start)
	lines, samples := bufio.NewScanner(out), -2 // after an empty line and the greeting
	for samples < b.N && lines.Scan() {
		samples++
	}
	in.Close()
	if err := cmd.Wait(); err != nil || samples < b.N {
		b.Fatal(samples, err)
	}
	used := cmd.ProcessState.SystemTime() + cmd.ProcessState.UserTime()
	b.ReportMetric(float64(used.Milliseconds())/float64(samples), "ms-cpu/sample")
	b.ReportMetric(float64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss), "KB")
}
