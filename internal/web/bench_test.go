package web_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"windlass/reconciler"
	"windlass/reconciler/plan"
)

// lost is a fleet of thousands that nobody can read any more: each node has a reason of its own, and so has each hold.
func lost() reconciler.Status {
	all := nodes(5000, plan.Unreachable, "v1.4.1")
	holds := make([]plan.Hold, len(all))
	for i := range all {
		all[i].Reason = fmt.Sprintf("cannot read node %s (%s): dial tcp %s:22: i/o timeout; check its address, the network, and that sshd runs there", all[i].Name, all[i].Address, all[i].Address)
		holds[i] = plan.Hold{Node: all[i].Name, Reason: "hold: " + all[i].Reason}
	}
	s := fleet(all...)
	s.Holds = holds
	return s
}

// visitor watches until it has what it came for.
type visitor struct {
	client
	wants string
	leave context.CancelFunc
}

func (v *visitor) Write(b []byte) (int, error) {
	if bytes.HasPrefix(b, []byte(v.wants)) {
		v.leave()
	}
	return len(b), nil
}

func visit(b *testing.B, h http.Handler, path, event string) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, "GET", path, nil)
	r.Host = "localhost"
	h.ServeHTTP(&visitor{wants: event, leave: cancel}, r)
}

// BenchmarkWatchers is what a change of one node costs with so many who watch.
func BenchmarkWatchers(b *testing.B) {
	for path, event := range map[string]string{"/api/v1/events": "event: fleet\n", "/live": "event: state\n"} {
		for _, watchers := range []int{1, 10} {
			b.Run(fmt.Sprintf("%s/%d", path, watchers), func(b *testing.B) {
				s := lost()
				a := newAgent(s)
				h := handler(a, local)
				visit(b, h, path, event)
				b.ResetTimer()
				for i := range b.N {
					b.StopTimer()
					s.Nodes[0].Reason = fmt.Sprint("change ", i)
					a.set(s)
					time.Sleep(300 * time.Millisecond) // the pace, which is waited for and costs nothing
					b.StartTimer()
					for range watchers {
						visit(b, h, path, event)
					}
				}
			})
		}
	}
}
