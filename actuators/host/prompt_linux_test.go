package host

import (
	"io"
	"net"
	"syscall"
	"testing"
	"time"
)

// A connection on which two sides answer each other goes over to delayed acknowledgements; one to an sshd never does.
func TestWhatIsReadIsAcknowledgedAtOnce(t *testing.T) {
	t.Parallel()
	plain, err := net.Dial("tcp", echo(t))
	if err != nil {
		t.Fatal(err)
	}
	reached, err := reach(t.Context(), echo(t), time.Now().Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		conn net.Conn
		want bool
	}{
		"plain":   {plain, false},
		"reached": {reached, true},
	} {
		conn := c.conn
		t.Cleanup(func() { conn.Close() })
		for range 20 {
			if _, err := conn.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		if got := acknowledgesAtOnce(t, conn); got != c.want {
			t.Errorf("%s: it acknowledges at once: %v", name, got)
		}
	}
}

// echo is the address of somebody who sends back what comes.
func echo(t *testing.T) string {
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
	return listener.Addr().String()
}

func acknowledgesAtOnce(t *testing.T, conn net.Conn) bool {
	t.Helper()
	if prompt, ok := conn.(promptConn); ok {
		conn = prompt.Conn
	}
	raw, err := conn.(*net.TCPConn).SyscallConn()
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
