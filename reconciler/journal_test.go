package reconciler

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/reconciler/plan"
)

var update = flag.Bool("update", false, "write the journals anew")

// A journal is the loop as a text: all that a fleet's actor asks of the world, when, with what, and for how long at most, and all that it
// tells, in the order of time. testdata/journals has a file for each. A change of the loop shows there as what it does to whom and when;
// whoever makes it reads that it is meant, and writes the journals anew with go test -update.
//
// The world of a journal is a few machines behind groups. What it does takes a time of its own for each call and machine, so that no two
// things happen at once whose order is anybody's guess.
type journal struct {
	t     *testing.T
	began time.Time
	deps  Deps

	mu       sync.Mutex
	lines    []line
	told     []string // the newest status
	known    []string // what the newest plan was made of
	old      string   // what of that changes with every plan
	seenAt   string   // and what of the status does
	nodes    []actuators.Node
	problems []string // with the list
	hosts    map[string]*machine
	groups   []*actuators.GroupState
	moves    map[string]time.Time // when a target that drains is gone, or one that begins is healthy
	faults   map[string][]error   // of the next calls, by what is called; nil: that one goes well
	knows    map[string]bool      // revisions of the deploy repo

	orders chan order
	cancel context.CancelFunc
	ended  chan struct{}
}

type line struct {
	at   time.Duration
	text string
}

// A machine is a host of the world.
type machine struct {
	actuators.HostState
	name    string
	serves  string        // the release that it answers with
	version int           // of its record
	ahead   time.Duration // its clock
	exits   []int         // of the next jobs; 0 when there are no more
	takes   time.Duration // a job
	ends    time.Time     // the newest one
	busy    int           // connections of others
	blind   string        // why nothing there lists them
}

// errCut is a connection that ends in the middle.
var errCut = errors.New("connection reset by peer")

// newJournal is a world of n machines that were proven to have what a fleet file wants.
func newJournal(n int, f *desired.Fleet) *journal {
	j := &journal{
		hosts: map[string]*machine{}, moves: map[string]time.Time{}, faults: map[string][]error{}, knows: map[string]bool{},
		groups: []*actuators.GroupState{
			{Group: actuators.Group{ID: "arn:web", Name: "web"}, TargetType: "ip", Port: 80, Rules: actuators.Rules{Delay: 20 * time.Second}},
			{Group: actuators.Group{ID: "classic/old", Name: "old"}, TargetType: "instance", Rules: actuators.Rules{Delay: 5 * time.Second}},
		},
	}
	j.deps = Deps{
		Decide:    func(want plan.Want, w plan.World) plan.Plan { j.learn(w); return plan.Next(want, w) },
		Agent:     plan.Agent{Holder: "a", Epoch: 2, Nonce: "a2"},
		Inventory: j, Balancer: j, Host: j, Prober: j, Sensor: j, Observer: j, Interval: time.Minute, Refresh: 5 * time.Minute,
		Log: slog.New(slog.NewTextHandler(logWriter{j}, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})),
	}
	for i := range n {
		m := j.addMachine(fmt.Sprintf("web-%d", i+1))
		v := journalVersion(f)
		m.serves = f.Release
		m.Record = actuators.NodeRecord{Schema: 1, Fleet: "web", Instance: "i-" + m.name, On: v, Proven: v, StageAt: time.Now().Add(m.ahead - 24*time.Hour)}
		for _, g := range j.groups[:len(f.LoadBalancers)] {
			place := actuators.Membership{Group: g.ID, ID: g.Target(j.nodes[i]), Port: g.Port}
			g.Members = append(g.Members, actuators.Target{Membership: place, Status: actuators.TargetHealthy})
			m.Record.Places = append(m.Record.Places, place)
		}
	}
	return j
}

func journalVersion(f *desired.Fleet) actuators.Version {
	return actuators.Version{Release: f.Release, Digest: f.Digest(desired.DigestAlgorithm), Algorithm: desired.DigestAlgorithm, Revision: revisionOf(f.Release)}
}

// revisionOf is the commit that wants a release.
func revisionOf(release string) string {
	return (fmt.Sprintf("%x", release) + strings.Repeat("0", 40))[:40]
}

// addMachine adds a machine that has nothing, and is in no group.
func (j *journal) addMachine(name string) *machine {
	i := len(j.hosts) + 1
	n := actuators.Node{Name: name, ID: "i-" + name, Address: fmt.Sprintf("10.0.0.%d", i), Targets: actuators.Targets{Instance: "i-" + name, IP: fmt.Sprintf("10.0.0.%d", i)}}
	m := &machine{name: name, ahead: time.Duration(i) * time.Minute, takes: 35*time.Second + time.Duration(i)*17*time.Millisecond}
	m.Machine = "machine-" + name
	j.nodes, j.hosts[name] = append(j.nodes, n), m
	return m
}

// journalFleet is the fleet as its file has it.
func journalFleet(release string) *desired.Fleet {
	return &desired.Fleet{
		Name: "web", Release: release, Adopt: true, Path: "fleets/web.yaml",
		LoadBalancers: []desired.LoadBalancer{{TargetGroup: "web"}, {Classic: "old"}},
		SSH:           desired.SSH{User: "deploy", Port: 22},
		Configure: desired.Configure{
			Dir:      "/srv/app",
			Files:    []desired.File{{From: "app.conf", To: "/etc/app.conf", Mode: "0640", Owner: "app", Template: true, Content: []byte("{{.Node}} {{.Release}}")}},
			Prepare:  []desired.Step{{Name: "fetch", Run: "fetch it", Timeout: 2 * time.Minute}},
			Activate: []desired.Step{{Name: "install", Run: "install it", Timeout: 10 * time.Minute}, {Name: "restart", Run: "restart it", Timeout: time.Minute}},
		},
		Health: []desired.Check{
			{Name: "serves", HTTP: &desired.HTTPCheck{Port: 80, Path: "/", Body: desired.ReleasePlaceholder}, Interval: 7 * time.Second, Timeout: 2 * time.Second, Successes: 3, Within: time.Minute},
			{Name: "alive", HTTP: &desired.HTTPCheck{Port: 80, Path: "/alive"}, Interval: 9 * time.Second, Timeout: 3 * time.Second, Successes: 1, Within: 30 * time.Second},
		},
		Rollout: desired.Rollout{
			MaxUnavailable: desired.Amount{Count: 1}, Bake: 20 * time.Second, Drain: desired.Drain{Timeout: 10 * time.Minute},
			Attempts: 2, ProgressDeadline: 15 * time.Minute, RestoreAfter: 10 * time.Minute,
		},
	}
}

// play runs a script and compares what was written down.
func (j *journal) play(t *testing.T, script func(*journal)) {
	j.t, j.began = t, time.Now()
	script(j)
	if j.cancel != nil {
		j.stop()
	}
	slices.SortStableFunc(j.lines, func(x, y line) int { return cmp.Or(cmp.Compare(x.at, y.at), strings.Compare(x.text, y.text)) })
	var text strings.Builder
	for rest := j.lines; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].text == rest[0].text {
			n++
		}
		fmt.Fprintf(&text, "%9.3f %s", rest[0].at.Seconds(), rest[0].text)
		if n > 1 {
			fmt.Fprintf(&text, ", %d times until %.3f", n, rest[n-1].at.Seconds())
		}
		text.WriteByte('\n')
		rest = rest[n:]
	}
	compare(t, text.String())
}

func compare(t *testing.T, got string) {
	_, name, _ := strings.Cut(t.Name(), "/")
	path := filepath.Join("testdata", "journals", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	w, g := strings.Split(string(want), "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		if i >= len(w) || i >= len(g) || w[i] != g[i] {
			t.Fatalf("%s:%d says\n%s\nand now it is\n%s\nif that is meant, write it anew with go test ./reconciler -run Journals -update",
				path, i+1, strings.Join(w[min(i, len(w)):min(i+6, len(w))], "\n"), strings.Join(g[min(i, len(g)):min(i+6, len(g))], "\n"))
		}
	}
}

// start starts the actor. What it tells comes to the journal.
func (j *journal) start() {
	ctx, cancel := context.WithCancel(j.t.Context())
	a := newActor("web", j.deps, j.tell)
	j.cancel, j.orders, j.ended = cancel, make(chan order, 1), make(chan struct{})
	go func() { a.run(ctx, j.orders); close(j.ended) }()
}

// stop stops it, and waits for its end.
func (j *journal) stop() {
	j.note("* stop")
	j.cancel()
	<-j.ended
	j.note("* stopped")
	j.cancel = nil
}

// look writes down what a look at the fleet finds.
func (j *journal) look(f *desired.Fleet) {
	j.told, j.known = nil, nil
	sights, err := Look(j.t.Context(), j.deps, desired.State{Fleets: map[string]desired.Version{"web": {Fleet: f, Revision: revisionOf(f.Release)}}})
	j.told, j.known = nil, nil
	for _, s := range sights {
		j.note("= sight %s, blocked %q, %v", s.Want.Version.Release, s.Want.Blocked, err)
		j.learn(s.World)
		j.tell(s.Status)
	}
	time.Sleep(time.Second)
}

// commit has the actor want what a fleet file of so long ago says.
func (j *journal) commit(f *desired.Fleet, ago time.Duration) { j.order(j.wants(f, ago)) }

func (j *journal) wants(f *desired.Fleet, ago time.Duration) order {
	return order{want: plan.Want{Fleet: f, Version: journalVersion(f)}, meta: meta{committed: time.Now().Add(-ago)}}
}

func (j *journal) order(o order) {
	j.note("* order")
	j.orders <- o
}

// wait lets a time pass, and half a millisecond for what is scripted to be apart from what happens by itself.
func (j *journal) wait(d time.Duration) {
	time.Sleep(d + 500*time.Microsecond)
	synctest.Wait()
	j.note("? %s; %s", j.seenAt, j.old)
}

// fail has the next calls end so. What is nil goes well.
func (j *journal) fail(what string, errs ...error) {
	j.set("faults of "+what, func() { j.faults[what] = append(j.faults[what], errs...) })
}

// set changes the world.
func (j *journal) set(what string, change func()) {
	j.note("* %s", what)
	j.mu.Lock()
	defer j.mu.Unlock()
	change()
}

func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line{time.Since(j.began), fmt.Sprintf(format, args...)})
}

// call writes a call down, lets it take its time, and returns how it is scripted to end.
func (j *journal) call(ctx context.Context, takes time.Duration, what, with string) error {
	limit := "no end"
	if by, ok := ctx.Deadline(); ok {
		limit = time.Until(by).String()
	}
	j.note("> %s%s (%s)", what, with, limit)
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	left := j.faults[what]
	if len(left) == 0 {
		return nil
	}
	j.faults[what] = left[1:]
	return left[0]
}

// traffic tells what sensing a node has shown, but for what changes with each sample.
func (j *journal) traffic(t plan.Traffic) string {
	return fmt.Sprintf("%s %v silent %s, sees %t, others %v, quiet %s, %d with %q, fresh %t%s%s",
		t.Service.Address, t.Service.Ports, t.Service.Silent, t.Sees, t.Others, j.when(t.Quiet), t.Busy, t.Peer, !t.At.IsZero(), t.Blind, t.Trouble)
}

func (j *journal) Sense(ctx context.Context, at actuators.Place, service actuators.Service, tell func(actuators.Traffic)) error {
	name := at.Node.Name
	err := j.call(ctx, 61*time.Millisecond+own(name), "sense "+name, fmt.Sprintf(" %s %v silent %s", service.Address, service.Ports, service.Silent))
	for n := 0; err == nil; n++ {
		j.mu.Lock()
		m := j.hosts[name]
		x := actuators.Traffic{Sees: n > 2 && m.blind == "", Busy: m.busy, Blind: m.blind}
		if m.busy > 0 {
			x.Others, x.Peer = service.Ports, "10.9.9.9"
		}
		if left := j.faults["sample "+name]; len(left) > 0 {
			err, j.faults["sample "+name] = left[0], left[1:]
		}
		j.mu.Unlock()
		if err != nil {
			break
		}
		if tell(x); x.Blind != "" {
			break
		}
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(500*time.Millisecond + own(name)):
		}
	}
	if err == nil {
		time.Sleep(3*time.Millisecond + own(name)) // its end is an event of its own
	}
	j.note("> sensed %s: %v", name, err)
	return err
}

// own is the part of the time a call takes that is a machine's own.
func own(name string) time.Duration {
	return time.Duration(name[len(name)-1]-'0') * 1310 * time.Microsecond
}

func (j *journal) Nodes(ctx context.Context, _ desired.NodeSet) (actuators.Inventory, error) {
	err := j.call(ctx, 31*time.Millisecond, "list", "")
	j.mu.Lock()
	defer j.mu.Unlock()
	return actuators.Inventory{Nodes: slices.Clone(j.nodes), Problems: j.problems}, err
}

func (j *journal) Observe(ctx context.Context, named []desired.LoadBalancer, recorded []string) ([]actuators.GroupState, error) {
	at := time.Now()
	if err := j.call(ctx, 43*time.Millisecond, "observe", fmt.Sprint(" ", named, recorded)); err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []actuators.GroupState
	for _, lb := range named {
		out = append(out, j.group(cmp.Or(lb.TargetGroup, lb.Classic), at))
	}
	for _, id := range recorded {
		out = append(out, j.group(id, at))
	}
	return out, nil
}

// group is what a group says now. The mutex is held.
func (j *journal) group(name string, at time.Time) actuators.GroupState {
	i := slices.IndexFunc(j.groups, func(g *actuators.GroupState) bool { return g.Name == name || g.ID == name })
	if i < 0 {
		return actuators.GroupState{Group: actuators.Group{ID: name, Name: name}, Err: "no such group", Missing: true, At: at}
	}
	g := j.groups[i]
	g.Members = slices.DeleteFunc(slices.Clone(g.Members), func(t actuators.Target) bool {
		return t.Status == actuators.TargetDraining && !time.Now().Before(j.moves[t.Membership.String()])
	})
	for k, t := range g.Members {
		if t.Status == actuators.TargetInitial && !time.Now().Before(j.moves[t.Membership.String()]) {
			g.Members[k].Status = actuators.TargetHealthy
		}
	}
	out := *g
	out.At, out.Members = at, slices.Clone(g.Members)
	if errs := j.faults["group "+g.Name]; len(errs) > 0 {
		j.faults["group "+g.Name] = errs[1:]
		if errs[0] != nil {
			return actuators.GroupState{Group: g.Group, Err: errs[0].Error(), At: at}
		}
	}
	return out
}

func (j *journal) Register(ctx context.Context, m actuators.Membership) error {
	return j.move(ctx, "register "+m.String(), m, actuators.TargetInitial)
}

func (j *journal) Deregister(ctx context.Context, m actuators.Membership) error {
	return j.move(ctx, "deregister "+m.String(), m, actuators.TargetDraining)
}

func (j *journal) move(ctx context.Context, what string, m actuators.Membership, to actuators.TargetStatus) error {
	if err := j.call(ctx, 57*time.Millisecond+own(m.ID), what, ""); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	g := j.groups[slices.IndexFunc(j.groups, func(g *actuators.GroupState) bool { return g.ID == m.Group })]
	j.moves[m.String()] = time.Now().Add(8 * time.Second)
	if to == actuators.TargetDraining {
		j.moves[m.String()] = time.Now().Add(g.Delay)
	}
	g.Members = slices.DeleteFunc(slices.Clone(g.Members), func(t actuators.Target) bool { return t.Membership == m })
	g.Members = append(g.Members, actuators.Target{Membership: m, Status: to})
	slices.SortFunc(g.Members, func(x, y actuators.Target) int { return x.Compare(y.Membership) })
	return nil
}

// seen is what a host answers. The mutex is held.
func (j *journal) seen(name string) actuators.HostState {
	m := j.hosts[name]
	out := m.HostState
	out.Record, out.Now, out.Version = m.Record.Clone(), time.Now().Add(m.ahead), fmt.Sprint(m.version)
	return out
}

func (j *journal) Read(ctx context.Context, at actuators.Place) (actuators.HostState, error) {
	name := at.Node.Name
	if err := j.call(ctx, 17*time.Millisecond+own(name), "read "+name, ""); err != nil {
		return actuators.HostState{}, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.seen(name), nil
}

func (j *journal) Write(ctx context.Context, at actuators.Place, old string, r actuators.NodeRecord) (actuators.HostState, error) {
	name := at.Node.Name
	if err := j.call(ctx, 23*time.Millisecond+own(name), "write "+name, j.recordText(name, r)); err != nil {
		return actuators.HostState{}, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	m := j.hosts[name]
	if old != fmt.Sprint(m.version) {
		return actuators.HostState{}, actuators.ErrChanged
	}
	m.version++
	m.Record, m.Problem = r.Clone(), ""
	return j.seen(name), nil
}

func (j *journal) Run(ctx context.Context, at actuators.Place, old string, r actuators.NodeRecord, job actuators.Job, written func(actuators.HostState)) (actuators.JobState, error) {
	state, err := j.Write(ctx, at, old, r)
	if err != nil {
		return actuators.JobState{}, err
	}
	written(state)
	name := at.Node.Name
	j.mu.Lock()
	m := j.hosts[name]
	if m.Job.Key != job.Key {
		exit := 0
		if len(m.exits) > 0 {
			exit, m.exits = m.exits[0], m.exits[1:]
		}
		m.Job, m.ends = actuators.JobState{Key: job.Key, Running: true, Step: job.Steps[0].Name}, time.Now().Add(m.takes)
		time.AfterFunc(m.takes, func() { j.finish(m, job, exit) }) // whatever becomes of the connection
	}
	left := time.Until(m.ends)
	j.mu.Unlock()
	if err := j.call(ctx, max(0, left)+time.Millisecond, "run "+name, j.jobText(job)); err != nil {
		return actuators.JobState{}, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return m.Job, nil
}

func (j *journal) finish(m *machine, job actuators.Job, exit int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if m.Job.Key != job.Key {
		return
	}
	m.Job = actuators.JobState{Key: job.Key, Exited: true, Exit: exit, Tail: "the output"}
	if exit != 0 {
		m.Job.Step = job.Steps[len(job.Steps)-1].Name
		return
	}
	if i := slices.IndexFunc(job.Steps, func(s actuators.JobStep) bool { return s.Name == "restart" }); i >= 0 {
		m.serves, _ = strings.CutPrefix(job.Env[2], "WINDLASS_RELEASE=")
	}
}

func (j *journal) Close(at actuators.Place) { j.note("> close %s", at.Node.Name) }

func (j *journal) Probe(ctx context.Context, at actuators.Place, c desired.Check, release string) health.Sample {
	name := at.Node.Name
	err := j.call(ctx, 11*time.Millisecond+own(name)+time.Duration(len(c.Name))*110*time.Microsecond, "probe "+name+" "+c.Name, " for "+cmp.Or(release, "any release"))
	j.mu.Lock()
	defer j.mu.Unlock()
	s := health.Sample{Check: c.Name, At: time.Now(), Result: health.Pass}
	switch {
	case err != nil:
		s.Result, s.Detail = health.Fail, err.Error()
	case c.NamesRelease() && j.hosts[name].serves != release:
		s.Result, s.Detail = health.Contradict, "it serves "+j.hosts[name].serves
	}
	return s
}

func (j *journal) Contains(ctx context.Context, revision string) (bool, error) {
	err := j.call(ctx, 13*time.Millisecond+own(revision[:7])+own(revision[:4]), "search "+short(revision), "")
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.knows[revision], err
}

func (j *journal) StepDone(s StepDone) {
	j.note("< %s of %s: %s after %v %s", s.Step, s.Node, s.Result, s.Took, s.Corrected)
}
func (j *journal) RolloutDone(d RolloutDone) {
	j.note("< %s, lead %v", j.rolloutText(d.Rollout), d.Lead)
}
func (j *journal) PassDone(string, time.Duration) {}
func (j *journal) CheckDone(_, check string, r health.Result) {
	if r != health.Pass {
		j.note("< check %s: %s", check, r)
	}
}
func (j *journal) Rejected(fleet string, why desired.Reason) { j.note("< rejected %s: %s", fleet, why) }

type logWriter struct{ j *journal }

func (w logWriter) Write(b []byte) (int, error) {
	w.j.note("< %s", strings.TrimSpace(string(b)))
	return len(b), nil
}

// tell writes down what is new of a status.
func (j *journal) tell(s Status) {
	lines := j.statusText(s)
	for _, l := range lines {
		if !slices.Contains(j.told, l) {
			j.note("= %s", l)
		}
	}
	j.told = lines
	j.seenAt = fmt.Sprintf("seen %s, checks %v, wanted %v", j.when(s.Seen), s.Checks, s.Desired.Release)
}

// factText is what is known of other nodes.
func factText(facts []actuators.Fact) string {
	words := make([]string, len(facts))
	for i, f := range facts {
		words[i] = fmt.Sprintf("{%s %s %s %s}", f.Kind, f.Node, f.Instance, f.Release)
	}
	return fmt.Sprint(words)
}

// learn writes down what is new of what a plan is made of.
func (j *journal) learn(w plan.World) {
	lines := []string{fmt.Sprintf("fleet%s", marks(
		mark{w.Inventory.Err, w.Inventory.Err != ""}, mark{"pruned " + w.Pruned.ID, w.Pruned.ID != ""},
		mark{fmt.Sprintf("busy %t at %s, not before %s", w.Pruned.Busy, j.when(w.Pruned.At), j.when(w.Pruned.NotBefore)), w.Pruned.ID != ""},
		mark{fmt.Sprint("verdict ", w.Verdict != nil), w.Verdict != nil}, mark{factText(w.Facts), len(w.Facts) > 0}))}
	j.old = fmt.Sprintf("progress %s, roll called %s", j.when(w.Progress), j.when(w.RollCall))
	for _, n := range w.Nodes {
		h := n.Health
		lines = append(lines, n.Name+marks(
			mark{"read failed: " + n.Read.Err, n.Read.Err != ""}, mark{"stale", n.Stale}, mark{"stage seen " + j.when(n.Staged), true}, mark{"claim seen " + j.when(n.Claimed), true},
			mark{"inherited", n.Inherited}, mark{fmt.Sprintf("%s since %s", n.Busy, j.when(n.Since)), n.Busy != ""}, mark{"in doubt: " + string(n.Doubt), n.Doubt != ""},
			mark{fmt.Sprintf("asked to %s at %s", n.Asked, j.when(n.AskedAt)), n.Asked != ""}, mark{"left " + j.when(n.Left), !n.Left.IsZero()}, mark{"out " + j.when(n.Out), !n.Out.IsZero()},
			mark{"out of rotation " + j.when(n.OutSince), !n.OutSince.IsZero()}, mark{"not before " + j.when(n.NotBefore), !n.NotBefore.IsZero()}, mark{n.Trouble, n.Trouble != ""},
			mark{fmt.Sprintf("checked with %s (%s) since %s: %s", cmp.Or(h.Release, "no release"), h.Phase, j.when(h.Since), h.Status), h.Phase != ""}, mark{"over", h.Over},
			mark{"sensed: " + j.traffic(n.Traffic), n.Traffic.Service.Address.IsValid()}))
		j.old += fmt.Sprintf("; %s served %s, read %s", n.Name, j.when(n.Served), j.when(n.Read.At))
	}
	for _, l := range lines {
		if !slices.Contains(j.known, l) {
			j.note("? %s", l)
		}
	}
	j.known = lines
}

func (j *journal) statusText(s Status) []string {
	lines := []string{fmt.Sprintf("%s: %s", cmp.Or(s.Phase, "no phase"), s.Reason), fmt.Sprintf("%d in service of %d, floor %d, %v", s.InService, s.Size, s.Floor, s.Releases)}
	for _, n := range s.Nodes {
		lines = append(lines, fmt.Sprintf("%s%s: %s", n.Name, marks(
			mark{n.Instance, true}, mark{string(n.State), true}, mark{"since " + j.when(n.Since), true}, mark{fmt.Sprint("attempt ", n.Attempt), n.Attempt > 0},
			mark{"until " + j.when(n.Deadline), !n.Deadline.IsZero()}, mark{n.Release, n.Release != ""}, mark{fmt.Sprintf("tail %q", n.Tail), n.Tail != ""},
			mark{"under way", n.UnderWay}, mark{"outdated", n.Outdated}, mark{"drift", n.Drift}, mark{"foreign", n.Foreign}), n.Reason))
	}
	for _, x := range s.Steps {
		lines = append(lines, fmt.Sprintf("step %s of %s since %s until %s", x.Kind, x.Node, j.when(x.Since), j.when(x.Deadline)))
	}
	for _, h := range s.Holds {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("hold %s: %s", h.Node, h.Reason)))
	}
	for _, e := range s.Excluded {
		lines = append(lines, fmt.Sprintf("excluded %s: %s", e.Name, e.Reason))
	}
	if s.Rollout.Trigger != "" {
		lines = append(lines, j.rolloutText(s.Rollout))
	}
	return append(lines, fmt.Sprint("holdings ", s.holdings), fmt.Sprintf("paused %s%s", j.when(s.PausedAt),
		marks(mark{"ready", s.Ready}, mark{"known", s.known}, mark{"over", s.over}, mark{"released", s.Released}, mark{"rejected", s.Rejected != nil})))
}

type mark struct {
	name string
	is   bool
}

func marks(all ...mark) string {
	text := ""
	for _, f := range all {
		if f.is {
			text += ", " + f.name
		}
	}
	return text
}

func (j *journal) rolloutText(r Rollout) string {
	return fmt.Sprintf("rollout %s %s of %s: %s, %d of %d, committed %s, started %s, progress %s, ended %s, paused %v since %s, retry %d",
		r.Trigger, cmp.Or(r.Result, "under way"), short(r.Revision), r.Release, r.Completed, r.Planned,
		j.when(r.Committed), j.when(r.Started), j.when(r.LastProgress), j.when(r.Ended), r.Paused, j.when(r.PausedAt), r.Retry)
}

// when is a moment in the time of the journal.
func (j *journal) when(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Sub(j.began).Round(time.Millisecond).String()
}

// recordText is a record by its node's clock.
func (j *journal) recordText(name string, r actuators.NodeRecord) string {
	j.mu.Lock()
	ahead := j.hosts[name].ahead
	j.mu.Unlock()
	when := func(t time.Time) string { return j.when(t.Add(-ahead)) }
	text := fmt.Sprintf(" %s since %s", cmp.Or(r.Stage, "idle"), when(r.StageAt))
	if c := r.Claim; c != nil {
		text += fmt.Sprintf(", claim of %s%d until %s", c.Holder, c.Epoch, when(c.Expires))
	}
	for _, v := range []struct {
		what string
		is   string
	}{{"on", r.On.Release}, {"proven", r.Proven.Release}, {"previous", r.Previous.Release}, {"trying", r.Try.Version.Release}} {
		if v.is != "" {
			text += ", " + v.what + " " + v.is
		}
	}
	if r.Try.Failures > 0 {
		text += fmt.Sprintf(", failed %d times, at %s: %s", r.Try.Failures, when(r.Try.At), r.Try.Error)
	}
	if len(r.Taken) > 0 {
		text += fmt.Sprint(", taken ", r.Taken)
	}
	for _, h := range r.Halts {
		text += fmt.Sprintf(", halt of %s by %s at %s", h.Release, h.Node, when(h.At))
	}
	for _, f := range r.Facts {
		text += fmt.Sprintf(", %s %s for %s", f.Node, f.Kind, f.Release)
	}
	return text
}

func (j *journal) jobText(job actuators.Job) string {
	text := fmt.Sprintf(" in %s with %v:", job.Dir, job.Env)
	for i, s := range job.Steps {
		if i == job.FilesAfter {
			text += j.filesText(job.Files)
		}
		text += fmt.Sprintf(" %s (%s, %v)", s.Name, s.Run, s.Timeout)
	}
	return text
}

func (j *journal) filesText(files []actuators.JobFile) string {
	text := ""
	for _, f := range files {
		text += fmt.Sprintf(" %s %s %s %q", f.To, f.Mode, f.Owner, f.Content)
	}
	return text
}
