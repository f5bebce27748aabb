package host

import (
	"net"
	"syscall"
)

// A promptConn acknowledges what it reads at once. Until a connection's first command runs, OpenSSH's server sends small messages of its own
// with Nagle's algorithm on: of two of them the second, and with it the answer to our first session, would wait for the acknowledgement of
// the first, which Linux holds back for 40 ms where it has nothing to send (9.2p1; findings/sshd-first-session-waits-for-ack.sh).
type promptConn struct {
	net.Conn
	raw syscall.RawConn
}

// prompt makes a TCP connection acknowledge at once.
func prompt(conn net.Conn) net.Conn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return conn
	}
	return promptConn{conn, raw}
}

// Read asks anew each time: the kernel goes back to delaying as it sees fit (tcp(7), TCP_QUICKACK).
func (c promptConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	_ = c.raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1) // where it is refused, we are only slower
	})
	return n, err
}
