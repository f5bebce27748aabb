package web

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

const (
	mostStreams = 100 // at once, of all clients together; more could take the files that SSH sessions need

	pace      = 250 * time.Millisecond // at least this long between two updates of a client, and between views for all of them
	heartbeat = 15 * time.Second       // proxies and clients take silence for a dead connection
	patience  = 10 * time.Second       // for a client to take what it is sent
)

// stream is a client that listens to server-sent events. It is written to by its own request only, so a slow one keeps nobody
// waiting; it misses what was between, and gets the newest.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

// stream calls send for a view of the newest snapshot, now and after each change, until the client or the server goes. It refuses
// clients beyond mostStreams.
func (s *server) stream(w http.ResponseWriter, r *http.Request, send func(*stream, *view) error) {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		w.Header().Set("Retry-After", "2")
		http.Error(w, fmt.Sprintf("%d clients listen already, as many as may: close one, or ask for /api/v1/fleets now and then", mostStreams), http.StatusServiceUnavailable)
		return
	}
	to := &stream{w, http.NewResponseController(w)}
	w.Header().Set("Content-Type", "text/event-stream")
	if r.Method == http.MethodHead || to.open() != nil {
		return
	}
	for ctx := r.Context(); ctx.Err() == nil; {
		seen := s.views.newest(pace)
		if send(to, seen) != nil || to.await(ctx, seen.changed) != nil {
			return
		}
	}
}

// open frees the connection from the server's limits, which are for answers that end.
func (to *stream) open() error {
	if err := to.control.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	return to.write("retry: 2000\n\n")
}

// await returns when there is something new and the pace allows it.
func (to *stream) await(ctx context.Context, changed <-chan struct{}) error {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	paced := time.After(pace)
	for changed != nil || paced != nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
			changed = nil
		case <-paced:
			paced = nil
		case <-beat.C:
			if err := to.write(": still here\n\n"); err != nil {
				return err
			}
		}
	}
	return nil
}

// event sends one event; each line of data travels on its own.
func (to *stream) event(name, data string) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "event: %s\n", name)
	for l := range strings.SplitSeq(data, "\n") {
		b.WriteString("data: " + l + "\n")
	}
	b.WriteByte('\n')
	return to.write(b.String())
}

// write has a deadline of its own. HTTP/2 ends a stream whose deadline passes also while nothing is written, so there is none then.
func (to *stream) write(s string) error {
	if err := to.control.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := to.w.Write([]byte(s)); err != nil {
		return err
	}
	if err := to.control.Flush(); err != nil {
		return err
	}
	return to.control.SetWriteDeadline(time.Time{})
}
