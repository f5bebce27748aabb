package bench

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/internal/metrics"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

// What a node costs in a world where calls take their time. A journey takes some fifteen seconds of it.
const (
	flatInterval = 15 * time.Second
	flatRefresh  = 5 * time.Minute
	flatDrain    = 4 * time.Second // deregistration delay
	flatJoin     = 2 * time.Second // until the balancer finds a new member healthy
	flatBake     = 3 * time.Second
	flatJob      = 4 * time.Second
	flatNodes    = 400             // rolled at least, of small fleets in several rollouts: what a few nodes cost is lost in noise
	flatPatience = 4 * time.Hour   // of virtual time, for one rollout
	flatCPU      = 3 * time.Minute // for all rollouts of a fleet
	flatTarget   = 1.3             // times the cost of the smaller fleet
	flatRest     = 2 * flatRefresh // until each node was read and checked a few times
)

// BenchmarkFlat reports what it costs to roll a node in a small and in a large fleet, with the real core in virtual time.
func BenchmarkFlat(b *testing.B) {
	for b.Loop() {
		b.Run("tenth", func(b *testing.B) { tenthAtATime(b, 50, 2000) })
		b.Run("one", func(b *testing.B) { oneAtATime(b, 20, 40, 80, 160) })
	}
}

// tenthAtATime compares a large fleet with a small one at maxUnavailable 10%.
func tenthAtATime(b *testing.B, small, large int) {
	few, many := rollFlat(b, small, desired.Amount{Percent: 10}), rollFlat(b, large, desired.Amount{Percent: 10})
	what := fmt.Sprintf("10 %% at a time, per node rolled, %d : %d nodes: ", small, large)
	for _, c := range flatCosts {
		f, m := few.per(c.of), many.per(c.of)
		table.add(what+c.name, fmt.Sprintf(c.format+" : "+c.format+" = %.2f", f, m, m/f), fmt.Sprintf("≤ %.2f", flatTarget), m <= flatTarget*f && many.unfinished() == "")
	}
	table.note(what+"time of a rollout", fmt.Sprintf("%s : %s", few.usual(), many.usual())+many.unfinished())
}

// oneAtATime compares fleets at maxUnavailable 1, whose rollouts take the longer the more nodes there are: idle nodes are read meanwhile as
// often as --refresh says.
func oneAtATime(b *testing.B, sizes ...int) {
	var all []spent
	names := make([]string, len(sizes))
	for i, n := range sizes {
		all = append(all, rollFlat(b, n, desired.Amount{Count: 1}))
		names[i] = fmt.Sprint(n)
	}
	what := "1 at a time, per node rolled, " + strings.Join(names, ", ") + " nodes: "
	for _, c := range append([]flatCost{{"reads beyond --refresh", "%.1f", spent.extraReads}}, flatCosts...) {
		got := make([]string, len(all))
		for i, s := range all {
			got[i] = fmt.Sprintf(c.format, s.per(c.of))
		}
		first, last := all[0].per(c.of), all[len(all)-1]
		if c.name == "reads beyond --refresh" || c.name == "API calls" {
			table.add(what+c.name, strings.Join(got, ", "), fmt.Sprintf("last ≤ %.2f × first", flatTarget), last.per(c.of) <= flatTarget*first && last.unfinished() == "")
			continue
		}
		table.note(what+c.name, strings.Join(got, ", "))
	}
}

// A flatCost is something that a rollout spends.
type flatCost struct {
	name, format string
	of           func(spent) float64
}

var flatCosts = []flatCost{
	{"reads", "%.1f", func(s spent) float64 { return float64(s.reads) }},
	{"writes", "%.1f", func(s spent) float64 { return float64(s.writes) }},
	{"API calls", "%.1f", func(s spent) float64 { return float64(s.calls) }},
	{"CPU ms", "%.2f", func(s spent) float64 { return float64(s.cpu) / 1e6 }},
	{"allocated kB", "%.0f", func(s spent) float64 { return float64(s.bytes) / 1e3 }},
}

// spent is what some rollouts took.
type spent struct {
	reads, writes, calls int // of hosts, of records, to AWS
	cpu                  time.Duration
	bytes                uint64
	nodes                int // in the fleet
	rolled, asked        int // nodes that were rolled, and that were to be
	took                 time.Duration
	rollouts             int
}

// since is what was spent after before.
func (s spent) since(before spent) spent {
	s.reads, s.writes, s.calls = s.reads-before.reads, s.writes-before.writes, s.calls-before.calls
	s.cpu, s.bytes = s.cpu-before.cpu, s.bytes-before.bytes
	return s
}

func (s spent) per(of func(spent) float64) float64 { return of(s) / float64(max(1, s.rolled)) }

func (s spent) usual() time.Duration { return (s.took / time.Duration(s.rollouts)).Round(time.Second) }

// extraReads are those that a fleet at rest would not have taken meanwhile.
func (s spent) extraReads() float64 {
	return float64(s.reads) - float64(s.nodes)*float64(s.took)/float64(flatRefresh)
}

// unfinished tells of rollouts that were given up.
func (s spent) unfinished() string {
	if s.rolled == s.asked {
		return ""
	}
	return fmt.Sprintf("; given up after %v of CPU and %v with %d of %d nodes rolled", s.cpu.Round(time.Second), s.took.Round(time.Second), s.rolled, s.asked)
}

// rollFlat rolls a fleet of so many nodes, as often as it takes to roll many.
func rollFlat(b *testing.B, nodes int, atOnce desired.Amount) (s spent) {
	inVirtualTime(b, fmt.Sprintf("%d nodes", nodes), func(t *testing.T) {
		w := newFlatWorld(nodes, atOnce)
		s = w.roll(t, w, (flatNodes+nodes-1)/nodes)
	})
	return s
}

// inVirtualTime does something in a time of its own, which is for tests alone.
func inVirtualTime(b *testing.B, what string, do func(*testing.T)) {
	test := testing.InternalTest{Name: what, F: func(t *testing.T) { synctest.Test(t, do) }}
	if !testing.RunTests(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{test}) {
		b.Fatalf("it cannot be played in virtual time: %s", what)
	}
}

// A flatWorld is a world in which every call succeeds after a time of its own. It satisfies the reconciler's ports, and none of its answers
// costs much: what is measured is the core.
type flatWorld struct {
	atOnce desired.Amount
	nodes  []actuators.Node
	index  map[string]int // by instance id

	mu      sync.Mutex
	hosts   []flatHost
	members []actuators.Target // as first made; who is one, and how, is in hosts
	spent   spent
}

// A flatHost is a machine and its place in the group.
type flatHost struct {
	record  actuators.NodeRecord
	version int
	job     actuators.JobState
	left    time.Time // when it was deregistered; zero: it was not since it was registered
	joined  time.Time
}

func newFlatWorld(nodes int, atOnce desired.Amount) *flatWorld {
	w := &flatWorld{atOnce: atOnce, index: map[string]int{}, members: crowdGroup(nodes).Members}
	for i := range nodes {
		n := crowdNode(i)
		w.nodes = append(w.nodes, n)
		w.index[n.ID] = i
		w.hosts = append(w.hosts, flatHost{record: crowdRecord(n)})
	}
	return w
}

// roll lets the core work on this world through some balancer, and reports what some rollouts after each other took.
func (w *flatWorld) roll(t *testing.T, balancer reconciler.Balancer, rollouts int) spent {
	core := reconciler.New(reconciler.Deps{
		Agent: plan.Agent{Holder: "agent", Epoch: 1, Nonce: "nonce"}, Inventory: w, Balancer: balancer, Host: w, Prober: w,
		Observer: metrics.NewEvents(), Log: slog.New(slog.DiscardHandler), Interval: flatInterval, Refresh: flatRefresh,
	})
	ctx, cancel := context.WithCancel(t.Context())
	states, ended := make(chan desired.State), make(chan struct{})
	go func() { core.Run(ctx, states); close(ended) }()
	defer func() { cancel(); <-ended }()
	states <- w.wants("v1")
	time.Sleep(flatRest)
	total := spent{nodes: len(w.nodes), rollouts: rollouts}
	for i := range rollouts {
		runtime.GC()
		before, began, release := w.soFar(), time.Now(), fmt.Sprintf("v%d", i+2)
		states <- w.wants(release)
		rolled := w.await(core, release, before.cpu+flatCPU-total.cpu)
		s := w.soFar().since(before)
		total.reads, total.writes, total.calls = total.reads+s.reads, total.writes+s.writes, total.calls+s.calls
		total.cpu, total.bytes, total.took = total.cpu+s.cpu, total.bytes+s.bytes, total.took+time.Since(began)
		total.rolled, total.asked = total.rolled+rolled, total.asked+len(w.nodes)
		if rolled < len(w.nodes) {
			break
		}
		time.Sleep(flatRest)
	}
	return total
}

// wants is what git says when that release is wanted.
func (w *flatWorld) wants(release string) desired.State {
	f := crowdFleet(release)
	f.Rollout.MaxUnavailable, f.Rollout.Bake = w.atOnce, flatBake
	return desired.State{
		Revision: "rev-" + release, Committed: noon, Checked: time.Now(),
		Fleets: map[string]desired.Version{"web": {Fleet: f, Revision: "rev-" + release, Committed: noon}},
	}
}

// await returns when every node rests with the release, or when that took too long, and says how many have it.
func (w *flatWorld) await(core *reconciler.Agent, release string, mostCPU time.Duration) int {
	for began := time.Now(); ; time.Sleep(time.Second) {
		s := core.Snapshot().Fleets[0]
		over := s.Releases[release] == len(w.nodes) && s.Phase == plan.PhaseIdle
		if over || time.Since(began) > flatPatience || cpuTime() > mostCPU {
			return s.Releases[release]
		}
	}
}

func (w *flatWorld) soFar() spent {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.spent
	s.cpu, s.bytes = cpuTime(), memory.TotalAlloc
	return s
}

// cpuTime is what this process has used; it is real in virtual time too.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// take lets virtual time pass: up to a fifth more than usual, by who is asked and when, so that no two answers come at once.
func take(usual time.Duration, who string) {
	h := fnv.New32a()
	fmt.Fprint(h, who, time.Now().UnixNano())
	time.Sleep(usual + time.Duration(h.Sum32())*usual>>32/5)
}

func (w *flatWorld) Nodes(context.Context, desired.NodeSet) (actuators.Inventory, error) {
	take(200*time.Millisecond, "")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spent.calls++
	return actuators.Inventory{Nodes: slices.Clone(w.nodes)}, nil
}

func (w *flatWorld) Observe(context.Context, []desired.LoadBalancer, []string) ([]actuators.GroupState, error) {
	g := actuators.GroupState{Group: actuators.Group{ID: groupID, Name: "web"}, TargetType: "instance", Port: 8080, At: time.Now()}
	g.Delay = flatDrain
	take(100*time.Millisecond, "")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spent.calls++
	g.Members = make([]actuators.Target, 0, len(w.members))
	for i, t := range w.members {
		h := &w.hosts[i]
		switch {
		case !h.left.IsZero() && time.Since(h.left) >= flatDrain:
			continue
		case !h.left.IsZero():
			t.Status = actuators.TargetDraining
		case time.Since(h.joined) < flatJoin:
			t.Status = actuators.TargetInitial
		}
		g.Members = append(g.Members, t)
	}
	return []actuators.GroupState{g}, nil
}

func (w *flatWorld) Register(_ context.Context, m actuators.Membership) error {
	take(100*time.Millisecond, m.ID)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spent.calls++
	h := &w.hosts[w.index[m.ID]]
	h.left, h.joined = time.Time{}, time.Now()
	return nil
}

func (w *flatWorld) Deregister(_ context.Context, m actuators.Membership) error {
	take(100*time.Millisecond, m.ID)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spent.calls++
	w.hosts[w.index[m.ID]].left = time.Now()
	return nil
}

func (w *flatWorld) Read(_ context.Context, at actuators.Place) (actuators.HostState, error) {
	take(30*time.Millisecond, at.Node.ID)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spent.reads++
	return w.hosts[w.index[at.Node.ID]].state(), nil
}

func (h *flatHost) state() actuators.HostState {
	return actuators.HostState{Record: h.record, Version: fmt.Sprint(h.version), Machine: h.record.Instance, Now: time.Now(), Job: h.job}
}

func (w *flatWorld) Write(_ context.Context, at actuators.Place, old string, r actuators.NodeRecord) (actuators.HostState, error) {
	take(30*time.Millisecond, at.Node.ID)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spent.writes++
	h := &w.hosts[w.index[at.Node.ID]]
	if old != fmt.Sprint(h.version) {
		return actuators.HostState{}, actuators.ErrChanged
	}
	h.record = r
	h.version++
	return h.state(), nil
}

func (w *flatWorld) Run(ctx context.Context, at actuators.Place, old string, r actuators.NodeRecord, job actuators.Job, written func(actuators.HostState)) (actuators.JobState, error) {
	state, err := w.Write(ctx, at, old, r)
	if err != nil {
		return actuators.JobState{}, err
	}
	written(state)
	take(flatJob, at.Node.ID)
	w.mu.Lock()
	defer w.mu.Unlock()
	h := &w.hosts[w.index[at.Node.ID]]
	h.job = actuators.JobState{Key: job.Key, Exited: true}
	return h.job, nil
}

func (w *flatWorld) Close(actuators.Place) {}

func (w *flatWorld) Probe(_ context.Context, at actuators.Place, check desired.Check, _ string) health.Sample {
	take(20*time.Millisecond, at.Node.ID)
	return health.Sample{Check: check.Name, At: time.Now(), Result: health.Pass}
}
