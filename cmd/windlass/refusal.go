package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"windlass/internal/web"
)

// An unwelcome is an agent's answer that asking again does not change.
type unwelcome struct{ says string }

func (u *unwelcome) Error() string { return u.says }

// A refusal is an answer that is none, with what it says.
type refusal struct {
	from, status string
	code         int
	said         string
}

func (r *refusal) Error() string { return fmt.Sprintf("%s answers %s: %s", r.from, r.status, r.said) }

// older says of an agent what it does not do yet.
func (r *refusal) older(lacks string) error {
	return fmt.Errorf("the agent at %s %s: it is older than this program", r.from, lacks)
}

// refused says in words why the agent gave no good answer.
func (c *client) refused(answer *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	var told struct{ Error string }
	if json.Unmarshal(text, &told) == nil && told.Error != "" {
		text = []byte(told.Error)
	}
	said := web.Line(string(text[:min(len(text), 300)]))
	switch {
	case answer.StatusCode == http.StatusUnauthorized && c.user == "":
		return &unwelcome{fmt.Sprintf("%s wants to know who asks: give --user and --password-file", c.server)}
	case answer.StatusCode == http.StatusUnauthorized:
		return &unwelcome{fmt.Sprintf("wrong user or password for %s; give --user and --password-file", c.server)}
	case answer.StatusCode == http.StatusBadRequest && strings.Contains(said, "HTTP request to an HTTPS server"):
		return &unwelcome{fmt.Sprintf("the agent at %s speaks TLS: use https:// with --server", c.server.Host)}
	case answer.StatusCode/100 == 3:
		return &unwelcome{fmt.Sprintf("%s sends on to %s: is that the agent? name it with --server", c.server, web.Line(answer.Header.Get("Location")))}
	}
	return &refusal{from: c.server.Redacted(), status: answer.Status, code: answer.StatusCode, said: said}
}

// unreached says in words why there was no answer.
func (c *client) unreached(err error) error {
	var why *url.Error
	if errors.As(err, &why) {
		err = why.Err
	}
	var broke *net.OpError
	if errors.As(err, &broke) {
		broke.Source = nil // its port is another one at each try, and would make the same trouble a new one
	}
	var authority x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	do := "is `windlass run` running there? name another with --server"
	switch text := err.Error(); {
	case errors.As(err, &authority):
		do = "if the certificate is the agent's, give the authority that signed it with --ca-file"
	case errors.As(err, &record), strings.Contains(text, "server gave HTTP response to HTTPS client"):
		do = "it speaks no TLS: use http:// with --server"
	case strings.Contains(text, "tls: certificate required"):
		do = "the agent wants a client certificate: give --cert-file and --key-file"
	case strings.Contains(text, "remote error: tls: "):
		do = "the agent does not take this client certificate: correct --cert-file and --key-file"
	}
	return fmt.Errorf("cannot reach the agent at %s: %w; %s", c.server, err, do)
}
