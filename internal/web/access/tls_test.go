package access_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"windlass/internal/nettest"
)

// handshake connects to the gate with a client certificate, or without one. It returns what the server knows of the connection.
func (d *door) handshake(t *testing.T, client ...tls.Certificate) (tls.ConnectionState, error) {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	defer far.Close()
	conn := tls.Client(near, &tls.Config{InsecureSkipVerify: true, Certificates: client, NextProtos: []string{"h2", "http/1.1"}}) // the test looks itself
	done := make(chan struct{})
	go func() {
		defer close(done)
		if conn.Handshake() == nil {
			conn.Read(make([]byte, 1)) // the server's verdict on the client's certificate comes after the handshake
		}
	}()
	server := tls.Server(far, d.TLS())
	err := server.Handshake()
	near.Close()
	<-done
	return server.ConnectionState(), err
}

// shown is the name in the certificate that the gate shows.
func (d *door) shown(t *testing.T) string {
	t.Helper()
	near, far := net.Pipe()
	defer near.Close()
	go func() {
		defer far.Close()
		tls.Server(far, d.TLS()).Handshake()
	}()
	conn := tls.Client(near, &tls.Config{InsecureSkipVerify: true}) // the test looks itself
	if err := conn.Handshake(); err != nil {
		t.Fatalf("no handshake: %v", err)
	}
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestACertificateThatIsReplacedNeverBreaksHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openFile(t, folder(t, carol+secured))
		dir := filepath.Dir(d.file)
		cert, key := nettest.NewAuthority(t).Issue(t, "second.example")
		for _, step := range []struct {
			name        string
			do          func()
			shows, says string
		}{
			{"at first", func() {}, "agent.example", ""},
			{"the certificate is new, the key old", func() { write(t, filepath.Join(dir, "agent.crt"), string(cert)) }, "agent.example", "cannot be used together"},
			{"both are new", func() { write(t, filepath.Join(dir, "agent.key"), string(key)) }, "second.example", ""},
			{"the key is half there", func() { write(t, filepath.Join(dir, "agent.key"), string(key[:80])) }, "second.example", "cannot be used together"},
			{"the key is gone", func() { os.Remove(filepath.Join(dir, "agent.key")) }, "second.example", "cannot read key_file"},
			{"TLS is gone", func() { d.write(t, carol) }, "second.example", "TLS is not switched on or off"},
			{"a version that no client speaks is asked for", func() { d.write(t, carol+secured+"  min_version: TLS9\n") }, "second.example", "unknown TLS version"},
		} {
			step.do()
			settle()
			if got := d.shown(t); got != step.shows {
				t.Errorf("%s: the certificate is of %s", step.name, got)
			}
			if got := d.Problem(); got == "" != (step.says == "") || !strings.Contains(got, step.says) {
				t.Errorf("%s: the problem is %q", step.name, got)
			}
		}
	})
}

func TestWhichProtocolsAreSpoken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openFile(t, folder(t, secured))
		for text, want := range map[string]string{secured: "h2", secured + "http_server_config: {http2: false}\n": "http/1.1"} {
			d.write(t, text)
			settle()
			if conn, err := d.handshake(t); err != nil || conn.NegotiatedProtocol != want {
				t.Errorf("%s: %q (%v), want %s", text, conn.NegotiatedProtocol, err, want)
			}
		}
	})
}

func pair(t *testing.T, ca *nettest.Authority, name string) tls.Certificate {
	t.Helper()
	made, err := tls.X509KeyPair(ca.Issue(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestClientCertificates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openFile(t, folder(t, secured))
		d.write(t, required)
		ca, next := nettest.NewAuthority(t), nettest.NewAuthority(t)
		authority := filepath.Join(filepath.Dir(d.file), "ca.crt")
		write(t, authority, string(ca.PEM))
		settle()
		if _, err := d.handshake(t); err == nil {
			t.Error("a client without a certificate came in")
		}
		if _, err := d.handshake(t, pair(t, next, "carol.example")); err == nil {
			t.Error("a client with a stranger's certificate came in")
		}
		conn, err := d.handshake(t, pair(t, ca, "carol.example"))
		if err != nil {
			t.Fatal(err)
		}
		stream, ended := d.stream(t, conn)
		d.expect(t, "at first", conn, 200)

		d.write(t, required+"http_server_config: {http2: false}\n")
		settle()
		select {
		case <-ended:
			t.Error("its stream ended though its certificate is good")
		default:
		}

		d.write(t, required+"  client_allowed_sans: [dave.example]\n")
		settle()
		d.expect(t, "when another name is wanted", conn, 401)
		select {
		case <-ended:
		default:
			t.Error("its stream goes on")
		}
		stream()

		d.write(t, required+"  client_allowed_sans: [carol.example]\n")
		settle()
		d.expect(t, "when its name is wanted", conn, 200)

		write(t, authority, string(next.PEM))
		settle()
		d.expect(t, "when another authority signs", conn, 401)
		if _, err := d.handshake(t, pair(t, ca, "carol.example")); err == nil {
			t.Error("a new connection with the old certificate came in")
		}
		if conn, err = d.handshake(t, pair(t, next, "carol.example")); err != nil {
			t.Fatal(err)
		}
		d.expect(t, "with a certificate of the new authority", conn, 200)
		d.expect(t, "without any", tls.ConnectionState{PeerCertificates: []*x509.Certificate{}}, 401)
	})
}

// expect asks over a connection that stayed open.
func (d *door) expect(t *testing.T, when string, conn tls.ConnectionState, want int) {
	t.Helper()
	w, r := httptest.NewRecorder(), request("/", "", "", here)
	r.TLS = &conn
	if d.ServeHTTP(w, r); w.Code != want {
		t.Errorf("%s: %d %q, want %d", when, w.Code, w.Body, want)
	}
}

// stream opens a stream over a connection. It is told when that ended; leave ends it.
func (d *door) stream(t *testing.T, conn tls.ConnectionState) (leave func(), ended <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	var once sync.WaitGroup
	once.Go(func() {
		defer close(done)
		r := request("/stream", "", "", here).WithContext(ctx)
		r.TLS = &conn
		d.ServeHTTP(httptest.NewRecorder(), r)
	})
	return func() { cancel(); once.Wait() }, done
}
