// Package nettest makes networks for tests: addresses on loopback that behave as bad ones do, and namespaces. Only tests may import it.
package nettest

import (
	"errors"
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// DeafPort is a port on 127.0.0.1 that drops packets until the test ends, as a firewall does: who connects hears nothing, not even a refusal.
// It is one that listens, whose queue is full.
func DeafPort(tb testing.TB) int {
	tb.Helper()
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		tb.Fatal(err)
	}
	syscall.CloseOnExec(socket)
	tb.Cleanup(func() { _ = syscall.Close(socket) })
	err = errors.Join(syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), syscall.Listen(socket, 0))
	if err != nil {
		tb.Fatal(err)
	}
	name, err := syscall.Getsockname(socket)
	if err != nil {
		tb.Fatal(err)
	}
	port := name.(*syscall.SockaddrInet4).Port
	silences := 0 // twice in a row: once, a busy machine may be late
	for range 12 {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), 300*time.Millisecond)
		if err != nil {
			if silences++; silences == 2 {
				return port
			}
			continue
		}
		silences = 0
		tb.Cleanup(func() { conn.Close() })
	}
	tb.Fatal("the queue of a port that nobody accepts from does not fill")
	return 0
}
