package aws

import (
	"context"
	"io"
	"net"
	"sync"
)

// listen passes on the connections of a free loopback port until the cloud ends, and returns its address. The mutex is held.
func (f *front) listen() (string, error) {
	ctx, running := f.cloud.ctx, &f.cloud.running
	listener, err := net.Listen("tcp", loopback+":0")
	if err != nil {
		return "", err
	}
	context.AfterFunc(ctx, func() { listener.Close() })
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { f.pass(ctx, client.(*net.TCPConn)) })
		}
	})
	return listener.Addr().String(), nil
}

// pass connects a client with one target, and returns when both have ended the flow or it was cut.
func (f *front) pass(ctx context.Context, client *net.TCPConn) {
	defer client.Close()
	p, address, ok := f.choose()
	if !ok {
		f.countFailure()
		return
	}
	target, err := p.connections.dial(ctx, "tcp", address)
	if err != nil {
		f.countFailure()
		return
	}
	defer target.Close()
	var back sync.WaitGroup
	back.Go(func() { relay(client, target.(*connection)) })
	relay(target.(*connection), client)
	back.Wait()
}

// half is a connection that can end what it sends and go on to receive.
type half interface {
	net.Conn
	CloseWrite() error
}

// relay passes bytes on until the sender ends, which the receiver is told. When either breaks off, so does the other.
func relay(to, from half) {
	if _, err := io.Copy(to, from); err == nil && to.CloseWrite() == nil {
		return
	}
	to.Close()
	from.Close()
}
