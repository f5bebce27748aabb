package host

import (
	"crypto/ed25519"
	"fmt"
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

// Instances come and go for years.
func TestNodesThatNeverAnsweredAreNotRememberedForEver(t *testing.T) {
	p := newPool(nil, 8)
	for i := range 3 * mostFailed {
		p.remember(linkKey{address: fmt.Sprint("node-", i)}, errLost)
		if len(p.failed) > mostFailed {
			t.Fatalf("%d nodes are remembered", len(p.failed))
		}
	}
	newest := linkKey{address: fmt.Sprint("node-", 3*mostFailed-1)}
	if !p.failed[newest] {
		t.Error("the newest is forgotten")
	}
	p.remember(newest, nil)
	if p.failed[newest] {
		t.Error("one that answered is remembered as if it had not")
	}
}
