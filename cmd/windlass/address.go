package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"windlass/internal/web"
)

// An agentAddress is where an agent is reached, and as whom. Passwords come from files, as a command line can be read by others.
type agentAddress struct {
	server                    string
	caFile, certFile, keyFile string
	user, passwordFile        string
}

// define defines the flags of commands that ask an agent.
func (a *agentAddress) define(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&a.server, "server", "http://127.0.0.1:9190", "`URL` of the agent's --listen address")
	f.StringVar(&a.caFile, "ca-file", "", "PEM `file` with the authority that signed the agent's certificate (default: those of this machine)")
	f.StringVar(&a.certFile, "cert-file", "", "PEM `file` with a client certificate, where the agent wants one")
	f.StringVar(&a.keyFile, "key-file", "", "PEM `file` with its key")
	f.StringVar(&a.user, "user", "", "`name` of a user in the agent's --web-config")
	f.StringVar(&a.passwordFile, "password-file", "", "`file` with the user's password")
}

func (a agentAddress) url() (*url.URL, error) {
	server := a.server
	if !strings.Contains(server, "://") {
		server = "http://" + server
	}
	parsed, err := url.Parse(server)
	switch {
	case err != nil || parsed.Host == "" || parsed.Scheme != "http" && parsed.Scheme != "https":
		return nil, errors.New("--server is no URL: give one like http://127.0.0.1:9190")
	case parsed.User != nil:
		return nil, errors.New("--server has a user in it: give --user and --password-file")
	case a.user == "" != (a.passwordFile == ""):
		return nil, errors.New("a user and a password go together: give --user and --password-file")
	case a.certFile == "" != (a.keyFile == ""):
		return nil, errors.New("a certificate and its key go together: give --cert-file and --key-file")
	case a.user != "" && parsed.Scheme == "http" && !onThisMachine(parsed):
		return nil, fmt.Errorf("your password would be sent to %s in plain: use https:// with --server", parsed.Host)
	}
	return parsed, nil
}

// onThisMachine reports whether what is sent there stays here.
func onThisMachine(server *url.URL) bool {
	return !web.Public(net.JoinHostPort(server.Hostname(), "0"))
}

// password reads the file, without the newline that editors end it with.
func (a agentAddress) password() (string, error) {
	if a.passwordFile == "" {
		return "", nil
	}
	text, err := readBounded(a.passwordFile, 4<<10)
	if err != nil {
		return "", fmt.Errorf("%w; correct --password-file", err)
	}
	password := strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	if password == "" {
		return "", fmt.Errorf("%s is empty: correct --password-file", a.passwordFile)
	}
	return password, nil
}

func (a agentAddress) tls() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if a.caFile != "" {
		text, err := os.ReadFile(a.caFile)
		if err != nil {
			return nil, fmt.Errorf("%w; correct --ca-file", err)
		}
		if c.RootCAs = x509.NewCertPool(); !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("%s has no certificate in PEM format; correct --ca-file", a.caFile)
		}
	}
	if a.certFile != "" {
		pair, err := tls.LoadX509KeyPair(a.certFile, a.keyFile)
		if err != nil {
			return nil, fmt.Errorf("%w; correct --cert-file and --key-file", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}
