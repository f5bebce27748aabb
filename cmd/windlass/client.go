package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"windlass/internal/web"
)

const (
	mostAnswer = 64 << 20         // bytes of an answer or an event: some 100,000 nodes
	silence    = 45 * time.Second // on an event stream, which says something every 15 s
)

// A client asks a running agent over its --listen address.
type client struct {
	server         *url.URL
	user, password string // empty: none is given
	http           *http.Client
}

func newClient(at agentAddress) (*client, error) {
	server, err := at.url()
	if err != nil {
		return nil, err
	}
	c := &client{server: server, user: at.user}
	if c.password, err = at.password(); err != nil {
		return nil, err
	}
	secured, err := at.tls()
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	transport := &http.Transport{
		DialContext: dialer.DialContext, ResponseHeaderTimeout: 15 * time.Second, TLSHandshakeTimeout: 10 * time.Second, TLSClientConfig: secured,
	}
	if !onThisMachine(server) {
		transport.Proxy = http.ProxyFromEnvironment
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the password is for the agent alone
	c.http = &http.Client{Transport: transport, CheckRedirect: stay}
	return c, nil
}

// close ends idle connections.
func (c *client) close() { c.http.CloseIdleConnections() }

// get decodes the answer to a GET of path.
func (c *client) get(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	body, err := c.open(ctx, path)
	if err != nil {
		return err
	}
	defer body.Close() // only read from
	if err := json.NewDecoder(io.LimitReader(body, mostAnswer)).Decode(into); err != nil {
		return fmt.Errorf("the answer of %s is not windlass's: %w; is another program there? name the agent with --server", c.server.Redacted(), err)
	}
	return nil
}

// open returns the body of a good answer. The path may have a query.
func (c *client) open(ctx context.Context, path string) (io.ReadCloser, error) {
	path, query, _ := strings.Cut(path, "?")
	at := c.server.JoinPath(path)
	at.RawQuery = query
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	if c.user != "" {
		request.SetBasicAuth(c.user, c.password)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, c.unreached(err)
	}
	if answer.StatusCode != http.StatusOK {
		defer answer.Body.Close() // only read from
		return nil, c.refused(answer)
	}
	return answer.Body, nil
}

// forecast asks what would be done if a fleet's file had another release.
func (c *client) forecast(ctx context.Context, fleet, release string) (web.Forecast, error) {
	var f web.Forecast
	err := c.get(ctx, "/api/v1/fleets/"+url.PathEscape(fleet)+"/plan?release="+url.QueryEscape(release), &f)
	var no *refusal
	if errors.As(err, &no) && no.code == http.StatusNotFound && !strings.Contains(no.said, "fleet") {
		return f, no.older("cannot say what it would do")
	}
	return f, err
}

// A picture is how everything stands, as the agent told.
type picture struct {
	repo   web.Repo
	fleets []web.Fleet // sorted by name
}

// look asks for the whole picture.
func (c *client) look(ctx context.Context) (picture, error) {
	var p picture
	if err := c.get(ctx, "/api/v1/fleets", &p.fleets); err != nil {
		return p, err
	}
	return p, c.get(ctx, "/api/v1/repo", &p.repo)
}

// follow calls changed with the picture once it is whole, and each time it changes, until ctx or the stream ends. The error is never nil. The
// stream alone is believed: what is asked for beside it may be newer than what it tells next.
func (c *client) follow(ctx context.Context, changed func(picture)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	body, err := c.open(ctx, "/api/v1/events")
	if err != nil {
		return err
	}
	defer body.Close() // only read from
	watchdog := time.AfterFunc(silence, cancel)
	defer watchdog.Stop()
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, mostAnswer)
	var p picture
	var event string
	whole := false
	for lines.Scan() {
		watchdog.Reset(silence)
		name, value, _ := bytes.Cut(lines.Bytes(), []byte(": "))
		switch string(name) {
		case "event":
			event = string(value)
		case "data":
			if event == "end" {
				return c.farewell(value)
			}
			if err := p.take(event, value); err != nil {
				return fmt.Errorf("cannot understand the agent at %s: %w", c.server.Redacted(), err)
			}
			if whole = whole || event == "repo"; whole { // which comes after all fleets
				changed(p)
			}
		}
	}
	return fmt.Errorf("the connection to the agent at %s was lost; trying again", c.server.Redacted())
}

// farewell is the last event of a stream that was ended on purpose.
func (c *client) farewell(data []byte) error {
	var last struct{ Reason string }
	if err := json.Unmarshal(data, &last); err != nil || last.Reason == "" {
		last.Reason = "it gives no reason"
	}
	return fmt.Errorf("the agent at %s ended the connection: %s; trying again", c.server.Redacted(), last.Reason)
}

// take puts one event into the picture. An event of a later version is left aside.
func (p *picture) take(event string, data []byte) error {
	var fleet web.Fleet
	switch event {
	case "repo":
		p.repo = web.Repo{}
		return json.Unmarshal(data, &p.repo)
	case "fleet", "gone":
		if err := json.Unmarshal(data, &fleet); err != nil {
			return err
		}
	default:
		return nil
	}
	at, there := slices.BinarySearchFunc(p.fleets, fleet.Name, func(f web.Fleet, name string) int { return strings.Compare(f.Name, name) })
	p.fleets = slices.Clone(p.fleets)
	switch {
	case event == "gone" && there:
		p.fleets = slices.Delete(p.fleets, at, at+1)
	case event == "gone":
	case there:
		p.fleets[at] = fleet
	default:
		p.fleets = slices.Insert(p.fleets, at, fleet)
	}
	return nil
}
