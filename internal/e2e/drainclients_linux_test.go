package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// Clients send requests through the proxy all the time, one after the other each.
type clients struct {
	t       *testing.T
	client  *http.Client
	cancel  context.CancelFunc
	working sync.WaitGroup

	mu    sync.Mutex
	count map[string]int // by kind
}

// A kind of request is on a path of its own, takes between two durations, and leaves a pause.
type kind struct {
	path           string
	from, to, rest time.Duration
}

func newClients(t *testing.T) (*clients, context.Context) {
	ctx, cancel := context.WithCancel(context.Background())
	c := &clients{t: t, cancel: cancel, count: map[string]int{}}
	c.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}, Timeout: time.Minute}
	t.Cleanup(c.stop)
	return c, ctx
}

// request sends requests of each kind from so many clients.
func request(t *testing.T, kinds map[kind]int) *clients {
	t.Helper()
	c, ctx := newClients(t)
	for k, n := range kinds {
		for range n {
			c.working.Go(func() {
				pause(ctx, rand.N(k.to)) // they are not to march in step
				for pause(ctx, k.rest) {
					c.send(ctx, k)
				}
			})
		}
	}
	return c
}

// stop sends no more, and gives up what was not answered yet.
func (c *clients) stop() {
	c.cancel()
	c.working.Wait()
	c.client.CloseIdleConnections()
}

var servedBy = regexp.MustCompile(`^v[12] on web-\d\n$`)

// send sends one request; anything but the whole right answer is a failure.
func (c *clients) send(ctx context.Context, k kind) {
	takes := (k.from + rand.N(k.to-k.from)).Round(time.Millisecond)
	began := time.Now()
	body, err := c.get(ctx, fmt.Sprintf("http://%s/%s/%s", front, k.path, takes))
	rest, whole := body, true
	if k.path == "stream" {
		rest, whole = strings.CutPrefix(body, strings.Repeat(".", int(takes/streamPause)))
	}
	switch {
	case ctx.Err() != nil:
	case err != nil || !whole || !servedBy.MatchString(rest):
		c.t.Errorf("a %s of %s failed after %s: %v %q", k.path, takes, time.Since(began).Round(time.Millisecond), err, body)
	default:
		c.note(k.path)
	}
}

func (c *clients) get(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	answer, err := c.client.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", answer.StatusCode)
	}
	return string(body), err
}

func (c *clients) note(kind string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count[kind]++
}

// counted is how many succeeded.
func (c *clients) counted() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count
}

// flows hold connections through the proxy. Each ends itself some time after the node behind it was deregistered, and is opened anew.
func flows(w *drainWorld, n int, outlive time.Duration) *clients {
	c, ctx := newClients(w.T)
	for range n {
		c.working.Go(func() {
			for ctx.Err() == nil {
				c.flow(ctx, w, outlive)
			}
		})
	}
	return c
}

// flow is one connection. It fails unless each line is answered until it ends itself.
func (c *clients) flow(ctx context.Context, w *drainWorld, outlive time.Duration) {
	conn, err := net.Dial("tcp", front)
	if err != nil {
		c.t.Errorf("a flow cannot be opened: %v", err)
		pause(ctx, time.Second)
		return
	}
	defer conn.Close()
	answers, node := bufio.NewReader(conn), ""
	for line := 0; ctx.Err() == nil; line++ {
		fmt.Fprintf(conn, "%d\n", line)
		said, err := answers.ReadString('\n')
		words := strings.Fields(said)
		if err != nil || len(words) != 3 || words[0] != fmt.Sprint(line) || node != "" && words[2] != node {
			c.t.Errorf("a flow to %q was cut at line %d: %v %q", node, line, err, said)
			return
		}
		node = words[2]
		if gone := w.proxy.deregistered(node); words[1] == "v1" && !gone.IsZero() && time.Since(gone) > outlive {
			c.note("outlived")
			return
		}
		pause(ctx, time.Second+rand.N(3*time.Second))
	}
	c.note("open")
}
