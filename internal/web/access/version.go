package access

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	toolkit "github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/crypto/bcrypt"
)

// mostCost is how costly a hash may be: each step doubles the time, and at 15 it is about two seconds.
const mostCost = 15

func defaults() toolkit.Config {
	return toolkit.Config{
		TLSConfig:  toolkit.TLSConfig{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS13},
		HTTPConfig: toolkit.HTTPConfig{HTTP2: true},
	}
}

// A version is what one reading of the file comes to. It does not change.
type version struct {
	digest   digest
	tls      *tls.Config // nil: plain HTTP
	trust    *trust      // nil: no client certificate is required
	headers  map[string]string
	accounts map[string]*account // by name
	names    []string            // of the accounts, sorted
	everyone *account            // nil: who asks has to be one of the accounts
}

// An account is a user as a version has it. One that is the same in the next version goes on there.
type account struct {
	User
	hash    string
	inForce context.Context // ends with the last version that has it
	end     context.CancelFunc
}

func newAccount(u User, hash string) *account {
	ctx, end := context.WithCancel(context.Background())
	return &account{User: u, hash: hash, inForce: ctx, end: end}
}

// authenticates reports whether nobody is served without having said who they are.
func (v *version) authenticates() bool { return v.everyone == nil || v.trust != nil }

// newVersion makes a version of a document, or says what is wrong with it.
func newVersion(d document, seen digest) (*version, error) {
	v := &version{digest: seen, headers: d.HTTPConfig.Header, accounts: map[string]*account{}}
	err := errors.Join(checkHeaders(v.headers), checkUsers(d))
	if err == nil && d.TLSConfig.IsEnabled() {
		v.tls, v.trust, err = newTLS(d.TLSConfig, d.HTTPConfig.HTTP2)
	}
	if err != nil {
		return nil, err
	}
	for name, hash := range d.Users {
		v.accounts[name] = newAccount(User{Name: name, MayChange: !slices.Contains(d.Readers, name)}, string(hash))
	}
	v.names = slices.Sorted(maps.Keys(v.accounts))
	if len(v.names) == 0 {
		v.everyone = newAccount(User{MayChange: true}, "")
	}
	return v, nil
}

// headers are those that may be added to every answer, with the values that some are bound to.
var headers = map[string][]string{
	"Strict-Transport-Security": nil,
	"X-Content-Type-Options":    {"nosniff"},
	"X-Frame-Options":           {"deny", "sameorigin"},
	"X-XSS-Protection":          nil,
	"Content-Security-Policy":   nil,
}

func checkHeaders(given map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		values, ok := headers[name]
		if !ok {
			return fmt.Errorf("http_server_config: header %q cannot be set: only %s can", name, strings.Join(slices.Sorted(maps.Keys(headers)), ", "))
		}
		if len(values) > 0 && !slices.Contains(values, given[name]) {
			return fmt.Errorf("http_server_config: header %s is %s, not %q", name, strings.Join(values, " or "), given[name])
		}
	}
	return nil
}

// bcrypted is a hash that bcrypt can compare with.
var bcrypted = regexp.MustCompile(`^\$2[aby]?\$\d\d\$[./A-Za-z0-9]{53}$`)

func checkUsers(d document) error {
	names := slices.Sorted(maps.Keys(d.Users))
	for _, name := range names {
		if name == "" || strings.Contains(name, ":") {
			return fmt.Errorf("basic_auth_users: %q can be no user: a name is not empty and has no colon", name)
		}
		hash := string(d.Users[name])
		cost, err := bcrypt.Cost([]byte(hash))
		switch {
		case err != nil || !bcrypted.MatchString(hash):
			return fmt.Errorf("basic_auth_users: what is given for %q is no bcrypt hash: make one with htpasswd -nBC 10 %[1]q", name)
		case cost > mostCost:
			return fmt.Errorf("basic_auth_users: the hash of %q has cost %d, which takes too long: make one of at most %d", name, cost, mostCost)
		}
	}
	for _, reader := range d.Readers {
		if !slices.Contains(names, reader) {
			return fmt.Errorf("readers: %q is none of basic_auth_users%s", reader, didYouMean(reader, names))
		}
	}
	return nil
}

// newTLS makes how TLS is spoken. A certificate and a key that do not belong together are an error, here and not at each handshake.
func newTLS(t toolkit.TLSConfig, http2 bool) (*tls.Config, *trust, error) {
	if t.TLSCert == "" || t.TLSKey == "" {
		return nil, nil, errors.New("tls_server_config needs a certificate and its key: give cert_file and key_file")
	}
	pair, err := tls.X509KeyPair([]byte(t.TLSCert), []byte(t.TLSKey))
	if err != nil {
		return nil, nil, fmt.Errorf("tls_server_config: certificate and key cannot be used together: %w", err)
	}
	c, err := toolkit.ConfigToTLSConfig(&t)
	if err != nil {
		return nil, nil, fmt.Errorf("tls_server_config: %w", err)
	}
	if c.ClientAuth >= tls.VerifyClientCertIfGiven && !x509.NewCertPool().AppendCertsFromPEM([]byte(t.ClientCAsText)) {
		return nil, nil, fmt.Errorf("tls_server_config: %s needs to know who signs client certificates: give client_ca_file with at least one certificate", t.ClientAuth)
	}
	if len(t.ClientAllowedSans) > 0 && c.ClientAuth != tls.RequireAndVerifyClientCert {
		return nil, nil, errors.New("tls_server_config: client_allowed_sans says nothing without client_auth_type RequireAndVerifyClientCert: give both")
	}
	c.Certificates, c.GetCertificate = []tls.Certificate{pair}, nil // the toolkit's reads it again at each handshake
	c.SessionTicketsDisabled = true                                 // what one was given for may hold no longer
	c.NextProtos = []string{"h2", "http/1.1"}
	if !http2 {
		c.NextProtos = c.NextProtos[1:]
	}
	if c.ClientAuth != tls.RequireAndVerifyClientCert {
		return c, nil, nil
	}
	return c, &trust{config: t, roots: c.ClientCAs}, nil
}

// A trust says which client certificates are accepted.
type trust struct {
	config toolkit.TLSConfig
	roots  *x509.CertPool
}

// accepts reports whether the certificate that a connection was made with is one that a new connection could be made with.
func (t *trust) accepts(conn *tls.ConnectionState) bool {
	if conn == nil || len(conn.PeerCertificates) == 0 {
		return false
	}
	options := x509.VerifyOptions{Roots: t.roots, Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	for _, c := range conn.PeerCertificates[1:] {
		options.Intermediates.AddCert(c)
	}
	leaf := conn.PeerCertificates[0]
	if _, err := leaf.Verify(options); err != nil {
		return false
	}
	return t.config.ClientAllowedSans == nil || t.config.VerifyPeerCertificate([][]byte{leaf.Raw}, nil) == nil
}

// same reports whether two trust alike.
func (t *trust) same(as *trust) bool {
	if t == nil || as == nil {
		return t == as
	}
	return t.config.ClientCAsText == as.config.ClientCAsText && slices.Equal(t.config.ClientAllowedSans, as.config.ClientAllowedSans)
}

// follows takes over the accounts that are as they were before, and returns the others of before: they end once v is in force.
func (v *version) follows(before *version) (gone []*account) {
	same := v.trust.same(before.trust)
	kept := func(now, was *account) *account {
		switch {
		case was == nil:
			return now
		case now != nil && same && now.User == was.User && now.hash == was.hash:
			now.end()
			return was
		}
		gone = append(gone, was)
		return now
	}
	for name, now := range v.accounts {
		v.accounts[name] = kept(now, before.accounts[name])
	}
	for name, was := range before.accounts {
		if v.accounts[name] == nil {
			gone = append(gone, was)
		}
	}
	v.everyone = kept(v.everyone, before.everyone)
	return gone
}
