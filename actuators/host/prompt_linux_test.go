package host

import (
	"io"
	"net"
	"syscall"
	"testing"
)

// A connection on which two sides answer each other goes over to delayed acknowledgements; one that is prompt never does.
func TestWhatIsReadIsAcknowledgedAtOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		wrap func(net.Conn) net.Conn
		want bool
	}{
		"plain":  {func(c net.Conn) net.Conn { return c }, false},
		"prompt": {prompt, true},
	} {
		client := echoing(t)
		conn := c.wrap(client)
		for range 20 {
			if _, err := conn.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		if got := acknowledgesAtOnce(t, client); got != c.want {
			t.Errorf("%s: it acknowledges at once: %v", name, got)
		}
	}
}

// echoing is a connection to somebody who sends back what comes.
func echoing(t *testing.T) *net.TCPConn {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		if peer, err := listener.Accept(); err == nil {
			defer peer.Close()
			_, _ = io.Copy(peer, peer)
		}
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

func acknowledgesAtOnce(t *testing.T, conn *net.TCPConn) bool {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var on int
	ask := func(fd uintptr) { on, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK) }
	if failed := raw.Control(ask); failed != nil || err != nil {
		t.Fatal(failed, err)
	}
	return on != 0
}
