package host

import (
	"crypto/ed25519"
	"net"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// A session that x/crypto opens while its connection ends is never answered, and never told: it must not be waited for.
func TestSessionOpenedWhileTheConnectionEnds(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	key, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	opened, gone := make(chan ssh.NewChannel), make(chan struct{})
	go func() {
		defer close(gone)
		config := &ssh.ServerConfig{NoClientAuth: true}
		config.AddHostKey(key)
		peer, err := listener.Accept()
		if err != nil {
			return
		}
		if server, channels, requests, err := ssh.NewServerConn(peer, config); err == nil {
			go ssh.DiscardRequests(requests)
			opened <- <-channels
			_ = server.Wait() // until the test closes it
		}
	}()
	dialled, err := ssh.Dial("tcp", listener.Addr().String(), &ssh.ClientConfig{HostKeyCallback: ssh.FixedHostKey(key.PublicKey())})
	if err != nil {
		t.Fatal(err)
	}
	c := &client{dialled, make(chan struct{})}
	failed := make(chan error, 1)
	go func() {
		_, err := lease{client: c, link: &link{sessions: make(chan struct{}, 1)}}.exec(t.Context(), request{command: "true"})
		failed <- err
	}()
	<-opened
	close(c.ended)
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "the connection was lost") {
		t.Errorf("got %v", err)
	}
	c.Close()
	<-gone
}
