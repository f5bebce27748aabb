package bench

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/actuators/elb"
	"windlass/desired"
	"windlass/internal/awsapi"
	"windlass/internal/awsapi/awsapitest"
)

// The fleet whose changes of one group wait for the rate that AWS is spared with.
const (
	batchNodes   = 300
	batchPercent = 33
	batchSlower  = 1.15 // times as long as without the rate
	batchCalls   = 0.3  // of those that are one for each change
)

// BenchmarkBatch reports how much longer a rollout takes for the rate of changes, and how many calls they take: the real core and the real
// load balancer adapter in virtual time.
func BenchmarkBatch(b *testing.B) {
	for b.Loop() {
		held, free := rollBatch(b, true), rollBatch(b, false)
		what := fmt.Sprintf("%d nodes, %d %% at a time, in one group: ", batchNodes, batchPercent)
		unfinished := held.unfinished() + free.unfinished()
		slower, share := float64(held.took)/float64(free.took), float64(held.changes)/float64(free.changes)
		table.add(what+"time with : without a rate of changes", fmt.Sprintf("%s : %s = %.2f%s", held.usual(), free.usual(), slower, unfinished),
			fmt.Sprintf("≤ %.2f", batchSlower), slower <= batchSlower && unfinished == "")
		table.add(what+"calls that change it : one for each change", fmt.Sprintf("%d : %d = %.2f", held.changes, free.changes, share),
			fmt.Sprintf("≤ %.2f", batchCalls), share <= batchCalls && unfinished == "")
		table.note(what+"changes refused since too many waited", fmt.Sprint(held.refused))
	}
}

// A batched is what a rollout took.
type batched struct {
	spent
	changes, refused int // calls that change the group, and changes that were not sent
}

func rollBatch(b *testing.B, held bool) (got batched) {
	inVirtualTime(b, fmt.Sprintf("%d nodes, held to a rate: %t", batchNodes, held), func(t *testing.T) {
		w := newBatchWorld(held)
		got.spent = w.roll(t, w, 1)
		got.changes, got.refused = w.changes, w.refused
	})
	return got
}

// A batchWorld is a flatWorld whose group is read and changed through the adapter, which talks to it as to AWS.
type batchWorld struct {
	*flatWorld
	held bool // to the adapter's rate; else each change has an adapter of its own, whose first calls wait for nothing
	lb   *elb.Balancer

	counted          sync.Mutex
	changes, refused int
}

func newBatchWorld(held bool) *batchWorld {
	w := &batchWorld{flatWorld: newFlatWorld(batchNodes, desired.Amount{Percent: batchPercent}), held: held}
	w.lb = w.adapter()
	return w
}

func (w *batchWorld) adapter() *elb.Balancer {
	return elb.New(awsapi.Prepare(awsapitest.Answered(w), nil))
}

func (w *batchWorld) Observe(ctx context.Context, named []desired.LoadBalancer, recorded []string) ([]actuators.GroupState, error) {
	return w.lb.Observe(ctx, named, recorded)
}

func (w *batchWorld) Register(ctx context.Context, m actuators.Membership) error {
	return w.changed(w.changer().Register(ctx, m))
}

func (w *batchWorld) Deregister(ctx context.Context, m actuators.Membership) error {
	return w.changed(w.changer().Deregister(ctx, m))
}

func (w *batchWorld) changer() *elb.Balancer {
	if w.held {
		return w.lb
	}
	return w.adapter()
}

func (w *batchWorld) changed(err error) error {
	if err != nil && strings.Contains(err.Error(), "too many changes") {
		w.counted.Lock()
		defer w.counted.Unlock()
		w.refused++
	}
	return err
}

// ServeHTTP answers the adapter's calls.
func (w *batchWorld) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(out, err.Error(), http.StatusBadRequest)
		return
	}
	var result any
	switch action := r.Form.Get("Action"); action {
	case "DescribeTargetGroups":
		result = batchGroups{Members: []batchGroup{{groupID, "web", "HTTP", 8080, "instance"}}}
	case "DescribeTargetGroupAttributes":
		result = batchAttributes{Members: []batchAttribute{
			{"deregistration_delay.timeout_seconds", fmt.Sprint(int(flatDrain / time.Second))}, {"slow_start.duration_seconds", "0"},
		}}
	case "DescribeTargetHealth":
		result = w.health(r.Context())
	case "RegisterTargets":
		w.change(r.Form, func(h *flatHost) { h.left, h.joined = time.Time{}, time.Now() })
	case "DeregisterTargets":
		w.change(r.Form, func(h *flatHost) { h.left = time.Now() })
	default:
		http.Error(out, "unexpected "+action, http.StatusBadRequest)
		return
	}
	body, _ := xml.Marshal(batchAnswer{Result: result})
	_, _ = out.Write([]byte(strings.ReplaceAll(string(body), "ACTION", r.Form.Get("Action"))))
}

// change changes all targets of a call at once, after the time that it takes.
func (w *batchWorld) change(form url.Values, change func(*flatHost)) {
	take(100*time.Millisecond, form.Encode())
	w.counted.Lock()
	w.changes++
	w.counted.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	for n := 1; form.Has(fmt.Sprintf("Targets.member.%d.Id", n)); n++ {
		change(&w.hosts[w.index[form.Get(fmt.Sprintf("Targets.member.%d.Id", n))]])
	}
}

func (w *batchWorld) health(ctx context.Context) batchHealth {
	states, _ := w.flatWorld.Observe(ctx, nil, nil) // never fails
	var all batchHealth
	for _, t := range states[0].Members {
		all.Members = append(all.Members, batchTarget{t.ID, t.Port, string(t.Status)})
	}
	return all
}

// The answers, for encoding/xml.
type (
	batchAnswer struct {
		XMLName xml.Name `xml:"ACTIONResponse"`
		Result  any      `xml:"ACTIONResult"`
	}
	batchGroups struct {
		Members []batchGroup `xml:"TargetGroups>member"`
	}
	batchGroup struct {
		TargetGroupArn, TargetGroupName, Protocol string
		Port                                      int
		TargetType                                string
	}
	batchAttributes struct {
		Members []batchAttribute `xml:"Attributes>member"`
	}
	batchAttribute struct{ Key, Value string }
	batchHealth    struct {
		Members []batchTarget `xml:"TargetHealthDescriptions>member"`
	}
	batchTarget struct {
		ID    string `xml:"Target>Id"`
		Port  int    `xml:"Target>Port"`
		State string `xml:"TargetHealth>State"`
	}
)
