package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	mostStreams = 100 // at once, of all clients together; more could take the files that SSH sessions need

	pace      = 100 * time.Millisecond // at least this long between two views for all clients, who are told of each together
	heartbeat = 15 * time.Second       // proxies and clients take silence for a dead connection
	patience  = 10 * time.Second       // for a client to take what it is sent
)

// stream is a client that listens to server-sent events. It is written to by its own request only, so a slow one keeps nobody
// waiting; it misses what was between, and gets the newest.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	beat    *time.Timer // of the silence since the last write
}

// errEnds is why streams end when the agent does.
var errEnds = errors.New("the agent ends")

// stream calls send for a view of the newest snapshot, now and after each change, until the client or the server goes. A stream that
// is ended on purpose has a last event that says so: one without it was lost, which a proxy may hide. It refuses clients beyond mostStreams.
func (s *server) stream(w http.ResponseWriter, r *http.Request, send func(*stream, *view) error) {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		w.Header().Set("Retry-After", "2")
		http.Error(w, fmt.Sprintf("%d clients listen already, as many as may: close one, or ask for /api/v1/fleets now and then", mostStreams), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache, no-transform") // haproxy holds back what it compresses
	w.Header().Set("X-Accel-Buffering", "no")                 // nginx passes on nothing before the end without it
	if r.Method == http.MethodHead {
		return
	}
	to := &stream{w, http.NewResponseController(w), time.NewTimer(heartbeat)}
	defer to.beat.Stop()
	ctx := r.Context()
	for err := to.open(); err == nil && ctx.Err() == nil; {
		seen := s.views.newest(pace)
		if err = send(to, seen); err == nil {
			err = to.await(ctx, seen)
		}
	}
	to.end(context.Cause(ctx))
}

// open frees the connection from the server's limits, which are for answers that end.
func (to *stream) open() error {
	if err := to.control.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	return to.write("retry: 2000\n\n")
}

// await returns when there is something newer than what was seen and the pace allows it, or ctx ends.
func (to *stream) await(ctx context.Context, seen *view) error {
	changed, paced := seen.changed, time.NewTimer(time.Until(seen.made.Add(pace)))
	defer paced.Stop()
	for due := false; changed != nil || !due; {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			changed = nil
		case <-paced.C:
			due = true
		case <-to.beat.C:
			if err := to.write(": still here\n\n"); err != nil {
				return err
			}
		}
	}
	return nil
}

// end tells why the stream ends. A client that went needs no telling.
func (to *stream) end(why error) {
	if why == nil || errors.Is(why, context.Canceled) {
		return
	}
	reason, err := json.Marshal(map[string]string{"reason": why.Error()})
	if err == nil {
		_ = to.event("end", string(reason)) // nobody is left to be told
	}
}

// event sends one event.
func (to *stream) event(name, data string) error { return to.write(wire(name, data)) }

// wire is an event as it is sent; each line of data travels on its own.
func wire(name, data string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "event: %s\n", name)
	for l := range strings.SplitSeq(data, "\n") {
		b.WriteString("data: " + l + "\n")
	}
	b.WriteByte('\n')
	return b.String()
}

// write has a deadline of its own. HTTP/2 ends a stream whose deadline passes also while nothing is written, so there is none then.
func (to *stream) write(s string) error {
	if err := to.control.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	to.beat.Reset(heartbeat)
	if _, err := io.WriteString(to.w, s); err != nil { // net/http copies no string for that
		return err
	}
	if err := to.control.Flush(); err != nil {
		return err
	}
	return to.control.SetWriteDeadline(time.Time{})
}
