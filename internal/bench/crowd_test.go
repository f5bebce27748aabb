package bench

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/internal/metrics"
	"windlass/internal/web"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

// The fleet whose agent is weighed.
const (
	crowdMark     = "WINDLASS_BENCH_CROWD" // in the environment of the process that is that agent
	crowdNodes    = 10_000
	crowdRolled   = 5               // nodes of a short rollout
	crowdPatience = 5 * time.Minute // for all of it, on a machine that others use too
)

// BenchmarkMemory reports what the core holds for a large fleet: all adapters but AWS and SSH are real, and those answer at once.
func BenchmarkMemory(b *testing.B) {
	self, err := os.Executable()
	check(b, err)
	for b.Loop() {
		cmd := exec.CommandContext(b.Context(), self)
		cmd.Env = append(os.Environ(), crowdMark+"=yes")
		var out, trouble bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &trouble
		what := fmt.Sprintf("memory at %d nodes: ", crowdNodes)
		if err := cmd.Run(); err != nil {
			table.add(what+"resident, at most", strings.TrimSpace(trouble.String()), "≤ 200 MB", false)
			continue
		}
		var ready, rolled float64
		var peak, resident int
		if _, err := fmt.Sscan(out.String(), &ready, &rolled, &peak, &resident); err != nil {
			b.Fatalf("the agent of %d nodes says %q: %v", crowdNodes, out.String(), err)
		}
		table.add(what+"resident, at most", fmt.Sprintf("%d MB", peak/1000), "≤ 200 MB", peak <= 200_000)
		table.note(what+"resident, in the end", fmt.Sprintf("%d MB", resident/1000))
		table.note(fmt.Sprintf("%d nodes read at first, then %d rolled", crowdNodes, crowdRolled), fmt.Sprintf("%.1f s, %.1f s", ready, rolled))
	}
}

// crowd is the agent of a large fleet, as a process of its own: it reads every node, rests, is looked at, and rolls a few nodes. It prints
// the seconds until it had read all and those for the rollout, and its peak and its last resident memory in kB.
func crowd() {
	ctx, cancel := context.WithTimeout(context.Background(), crowdPatience)
	defer cancel()
	w := newCrowdWorld(crowdNodes)
	events := metrics.NewEvents()
	core := reconciler.New(reconciler.Deps{
		Agent: plan.Agent{Holder: "agent", Epoch: 1, Nonce: "nonce"}, Inventory: w, Balancer: w, Host: w, Prober: w,
		Observer: events, Log: slog.New(slog.DiscardHandler), Interval: time.Second, Refresh: 5 * time.Minute,
	})
	states := make(chan desired.State)
	ended := make(chan struct{})
	running, stop := context.WithCancel(ctx)
	go func() { core.Run(running, states); close(ended) }()
	began := time.Now()
	states <- stateOf("v1")
	await(ctx, core, func(s reconciler.Status) bool { return s.Ready && s.Phase == plan.PhaseIdle })
	ready := time.Since(began)
	lookAt(ctx, core, events)
	began = time.Now()
	states <- stateOf("v2")
	await(ctx, core, func(s reconciler.Status) bool { return s.Releases["v2"] >= crowdRolled })
	rolled := time.Since(began)
	lookAt(ctx, core, events)
	fmt.Println(ready.Seconds(), rolled.Seconds(), ownMemory("VmHWM:"), ownMemory("VmRSS:"))
	stop()
	<-ended
}

func stateOf(release string) desired.State {
	return desired.State{
		Revision: "rev-" + release, Committed: noon, Checked: time.Now(),
		Fleets: map[string]desired.Version{"web": {Fleet: crowdFleet(release), Revision: "rev-" + release, Committed: noon}},
	}
}

// await returns when the fleet stands as it should; without, the process ends.
func await(ctx context.Context, core *reconciler.Agent, holds func(reconciler.Status) bool) {
	for {
		changed := core.Changed()
		fleets := core.Snapshot().Fleets
		if len(fleets) == 1 && holds(fleets[0]) {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			s := fleets[0]
			fmt.Fprintf(os.Stderr, "after %v the fleet is %s: %s; releases %v, ready %t\n", crowdPatience, s.Phase, s.Reason, s.Releases, s.Ready)
			os.Exit(1)
		}
	}
}

// lookAt asks once for everything that people and tools ask for.
func lookAt(ctx context.Context, core *reconciler.Agent, events *metrics.Events) {
	registry := metrics.NewRegistry(metrics.Build{Version: "bench"}, events, core, func() metrics.Git { return metrics.Git{} })
	server := httptest.NewServer(web.New(web.Options{Addr: "127.0.0.1:0", Source: core, Metrics: metrics.Handler(registry)}))
	defer server.Close()
	for _, path := range []string{"/", "/metrics", "/api/v1/fleets", "/api/v1/fleets/web"} {
		if err := get(ctx, server.URL+path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func get(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err
}

// ownMemory is a line of /proc/self/status, in kB; 0 when there is none.
func ownMemory(name string) int {
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(status), name)
	kB, _ := strconv.Atoi(strings.Fields(rest + " 0")[0])
	return kB
}

// A crowdWorld is a world in which every call succeeds at once. It satisfies the reconciler's ports.
type crowdWorld struct {
	mu      sync.Mutex
	nodes   []actuators.Node
	changed map[string]actuators.HostState // by node; the others are as on the first day
	gone    map[string]bool                // targets out of the group
}

func newCrowdWorld(nodes int) *crowdWorld {
	w := &crowdWorld{changed: map[string]actuators.HostState{}, gone: map[string]bool{}}
	for i := range nodes {
		w.nodes = append(w.nodes, crowdNode(i))
	}
	return w
}

func (w *crowdWorld) Nodes(context.Context, desired.NodeSet) (actuators.Inventory, error) {
	return actuators.Inventory{Nodes: slices.Clone(w.nodes)}, nil
}

func (w *crowdWorld) Observe(context.Context, []desired.LoadBalancer, []string) ([]actuators.GroupState, error) {
	w.mu.Lock()
	gone := maps.Clone(w.gone)
	w.mu.Unlock()
	g := crowdGroup(len(w.nodes))
	g.At = time.Now()
	g.Members = slices.DeleteFunc(g.Members, func(t actuators.Target) bool { return gone[t.ID] })
	return []actuators.GroupState{g}, nil
}

func (w *crowdWorld) Register(_ context.Context, m actuators.Membership) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.gone, m.ID)
	return nil
}

func (w *crowdWorld) Deregister(_ context.Context, m actuators.Membership) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone[m.ID] = true
	return nil
}

func (w *crowdWorld) Read(_ context.Context, at actuators.Place) (actuators.HostState, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, changed := w.changed[at.Node.ID]
	if !changed {
		s = actuators.HostState{Record: crowdRecord(at.Node), Version: "1", Machine: at.Node.ID}
	}
	s.Now = time.Now()
	return s, nil
}

func (w *crowdWorld) Write(_ context.Context, at actuators.Place, old string, r actuators.NodeRecord) (actuators.HostState, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := w.changed[at.Node.ID]
	if old != cmp.Or(before.Version, "1") {
		return actuators.HostState{}, actuators.ErrChanged
	}
	before.Record, before.Version, before.Machine, before.Now = r.Clone(), old+"1", at.Node.ID, time.Now()
	w.changed[at.Node.ID] = before
	return before, nil
}

func (w *crowdWorld) Run(ctx context.Context, at actuators.Place, old string, r actuators.NodeRecord, job actuators.Job, written func(actuators.HostState)) (actuators.JobState, error) {
	state, err := w.Write(ctx, at, old, r)
	if err != nil {
		return actuators.JobState{}, err
	}
	written(state)
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.changed[at.Node.ID]
	s.Job = actuators.JobState{Key: job.Key, Exited: true}
	w.changed[at.Node.ID] = s
	return s.Job, nil
}

func (w *crowdWorld) Close(actuators.Place) {}

func (w *crowdWorld) Probe(_ context.Context, _ actuators.Place, check desired.Check, release string) health.Sample {
	return health.Sample{Check: check.Name, At: time.Now(), Result: health.Pass, Detail: "serves " + release}
}
