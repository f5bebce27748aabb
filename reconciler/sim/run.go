package sim

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/reconciler"
	"windlass/reconciler/plan"
)

// Result is how a story ended.
type Result struct {
	Broken []string // laws, in the order they were broken
	Log    []string // what happened
	Took   time.Duration
	Seen   map[string]int // what happened in a field story, of Kinds, and how often
}

// Run plays a seed's story with an agent that decides by decide (nil: as it really does). It must be called in a synctest bubble.
func Run(seed uint64, decide reconciler.Decider) Result { return Play(seed, NewStory(seed), decide) }

// Play plays a story.
func Play(seed uint64, story Story, decide reconciler.Decider) Result {
	return PlayHeard(seed, story, decide, nil)
}

// A Hearer is who tells people of rollouts beside an agent. It lives and dies with the agent's process.
type Hearer interface {
	Notify() []desired.Notification   // what the fleet's file says of it
	Kept() map[string]reconciler.Kept // what an agent that starts has from those before it
	Begin(agent *reconciler.Agent)
	RolloutDone(d reconciler.RolloutDone)
	End(killed bool)
	Rest() // the fleet is at rest, and the last agent goes on until this returns
}

// PlayHeard plays a story with somebody who hears of it; nil: nobody.
func PlayHeard(seed uint64, story Story, decide reconciler.Decider, hearer Hearer) Result {
	ctx, cancel := context.WithCancel(context.Background())
	w := newWorld(ctx, seed, story)
	if hearer != nil {
		w.fleet.Notify = hearer.Notify()
	}
	d := &director{world: w, decide: decide, hearer: hearer}
	d.begin(ctx, 0)
	d.play(ctx)
	took := d.rest(ctx)
	if hearer != nil {
		hearer.Rest()
	}
	d.finish()
	cancel()
	w.running.Wait()
	return Result{Broken: w.laws.broken, Log: w.log, Took: took, Seen: w.field.seen}
}

func compare(a, b string) int { return strings.Compare(a, b) }

func newWorld(ctx context.Context, seed uint64, story Story) *World {
	w := &World{
		seed: seed, story: story, calls: map[string]int{}, machines: map[string]*machine{}, laws: newLaws(), end: ctx,
		struck: make(chan struct{}, 8),
	}
	w.wild, w.field = newWild(story), newField()
	w.fleet = w.file("v1")
	w.gates.began = w.now()
	spare := 0
	if story.Wild.On && !story.Field.On && story.Groups > 0 {
		spare = 1
	}
	for i := range story.Groups + spare {
		name := fmt.Sprintf("web-%c", 'a'+i)
		g := &group{Group: actuators.Group{ID: "arn:" + name, Name: name}, port: 8080 + i, delay: story.Delay, members: map[string]*member{}}
		if story.Traffic.On {
			g.kind = story.Traffic.Kinds[i]
		}
		w.groups = append(w.groups, g)
	}
	for i := range story.Nodes {
		w.bear(i)
	}
	for i := range story.Wild.Strangers {
		m := w.newMachine(fmt.Sprintf("old-%d", i+1), fmt.Sprintf("x-%04d", i+1))
		m.foreign, m.installed, m.gauge = true, "v1", w.now()
		w.laws.born[m.id] = w.now().Add(-time.Hour)
		g := w.groups[0]
		g.members[m.id] = &member{place: actuators.Membership{Group: g.ID, ID: m.id, Port: g.port}, since: w.now().Add(-time.Hour)}
	}
	digest := w.fleet.Digest(desired.DigestAlgorithm)
	w.laws.proven[digest] = true
	if story.Rival {
		w.laws.rivals = 1
	}
	return w
}

// file is the fleet file that a commit of a release would hold.
func (w *World) file(release string) *desired.Fleet {
	f := &desired.Fleet{
		Name: "web", Release: release, Adopt: true, Path: "fleets/web.yaml",
		Configure: desired.Configure{Activate: []desired.Step{{Name: "install", Run: "install", Timeout: 5 * time.Minute}}},
		Health: []desired.Check{
			{Name: "up", HTTP: &desired.HTTPCheck{Port: 8080, Path: "/"}, Interval: 2 * time.Second, Timeout: 2 * time.Second, Successes: 2, Within: 2 * time.Minute},
			{Name: "serves", HTTP: &desired.HTTPCheck{Port: 8080, Path: "/", Body: "{release}"}, Interval: 2 * time.Second, Timeout: 2 * time.Second, Successes: 1, Within: 2 * time.Minute},
		},
		Rollout: w.story.Rollout,
	}
	for i := range w.story.Groups {
		f.LoadBalancers = append(f.LoadBalancers, desired.LoadBalancer{TargetGroup: fmt.Sprintf("web-%c", 'a'+i)})
	}
	w.dress(f)
	if w.story.Prepare {
		f.Configure.Prepare = []desired.Step{{Name: "fetch", Run: "fetch", Timeout: 5 * time.Minute}}
	}
	if w.fleet != nil {
		f.Retry, f.Paused, f.Notify = w.fleet.Retry, w.fleet.Paused, w.fleet.Notify
	}
	return f
}

// bear makes a machine that has served v1 from before; the first of them under a port of its own.
func (w *World) bear(i int) *machine {
	m := w.newMachine(fmt.Sprintf("web-%d", i+1), fmt.Sprintf("i-%04d", i+1))
	m.zone = string(rune('a' + i%3))
	m.installed, m.digest = "v1", w.fleet.Digest(desired.DigestAlgorithm)
	for n, g := range w.counted() {
		if i < w.story.Field.Absent && n == w.story.Groups-1 {
			continue
		}
		place := actuators.Membership{Group: g.ID, ID: m.id, Port: g.port + 1000*(i%2)}
		g.members[m.id] = &member{place: place, since: w.now().Add(-time.Hour)}
		w.laws.original[m.id+g.ID] = place.String()
	}
	if w.story.Recorded {
		v := actuators.Version{Release: "v1", Digest: m.digest, Algorithm: desired.DigestAlgorithm, Revision: "rev-v1"}
		m.record = actuators.NodeRecord{Schema: 1, Fleet: "web", Instance: m.id, On: v, Proven: v}
		for _, g := range w.counted() {
			if e := g.members[m.id]; e != nil {
				m.record.Places = append(m.record.Places, e.place)
			}
		}
		m.version = m.id + "-first"
	}
	m.gauge = w.now()
	w.laws.born[m.id] = w.now().Add(-time.Hour)
	if w.story.Field.Rested && i == w.story.Nodes-1 {
		w.letGo(m, "v2")
	}
	return m
}

func (w *World) newMachine(name, id string) *machine {
	m := &machine{name: name, id: id}
	if w.story.Skew {
		m.skew = time.Duration(w.roll("skew/"+id).IntN(7200)-3600) * time.Second
	}
	if w.story.Traffic.On {
		m.sensor = []sensor{seesAll, seesAll, seesAll, seesAll, blind, sidelong}[w.roll("sensor/"+id).IntN(6)]
	}
	w.machines[id] = m
	w.laws.born[id] = w.now()
	return m
}

// handMade is what somebody installs past windlass.
const handMade = "hand-made"

// director makes the events of a story happen.
type director struct {
	world  *World
	decide reconciler.Decider
	hearer Hearer
	agents []*running
	epoch  int
}

// running is one agent process.
type running struct {
	rival  int // 0 for the agent itself
	ports  *ports
	agent  *reconciler.Agent
	states chan desired.State
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// begin starts an agent: the same holder again, with its next epoch and a new nonce, or a rival.
func (d *director) begin(ctx context.Context, rival int) *running {
	d.epoch++
	d.world.noteAgent()
	p := &ports{world: d.world, holder: fmt.Sprintf("agent-%d", rival), nonce: fmt.Sprintf("nonce-%d", d.epoch), read: map[string]time.Time{}, halts: map[string]bool{}, missed: map[string]bool{}}
	ctx, cancel := context.WithCancel(ctx)
	r := &running{rival: rival, ports: p, cancel: cancel, states: make(chan desired.State, 4)}
	deps := reconciler.Deps{
		Agent:     plan.Agent{Holder: p.holder, Epoch: d.epoch, Nonce: p.nonce},
		Inventory: p, Balancer: p, Host: p, Prober: p, Sensor: p, Observer: silent{}, Decide: d.decide,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Interval: 30 * time.Second, Refresh: 5 * time.Minute,
	}
	if d.world.story.Gates.On {
		for _, name := range gateNames {
			deps.Gatekeepers = append(deps.Gatekeepers, gatekeeper{p, name})
		}
	}
	if d.world.story.Awaited {
		deps.Decide = d.world.awaiting(d.decide)
	}
	heard := d.hearer != nil && rival == 0
	if heard {
		deps.Observer, deps.Kept = hears{hearer: d.hearer}, d.hearer.Kept()
	}
	r.agent = reconciler.New(deps)
	if heard {
		d.hearer.Begin(r.agent)
	}
	r.done.Go(func() { r.agent.Run(ctx, r.states) })
	d.agents = append(d.agents, r)
	r.states <- d.world.state()
	return r
}

// silent observes nothing.
type silent struct{}

func (silent) StepDone(reconciler.StepDone)            {}
func (silent) RolloutDone(reconciler.RolloutDone)      {}
func (silent) PassDone(string, time.Duration)          {}
func (silent) CheckDone(string, string, health.Result) {}
func (silent) Rejected(string, desired.Reason)         {}

// hears observes the ends of rollouts.
type hears struct {
	silent
	hearer Hearer
}

func (h hears) RolloutDone(d reconciler.RolloutDone) { h.hearer.RolloutDone(d) }

// state is what git says now.
func (w *World) state() desired.State {
	w.mu.Lock()
	defer w.mu.Unlock()
	return desired.State{
		Revision: "rev-" + w.fleet.Release, Checked: w.now(),
		Fleets: map[string]desired.Version{"web": {Fleet: w.fleet, Revision: "rev-" + w.fleet.Release, Committed: w.now(), Released: w.wild.released}},
	}
}

// end stops an agent at once, as a SIGKILL would, or lets it come to a safe point.
func (d *director) end(r *running, kill bool) {
	d.world.mu.Lock()
	r.ports.killed = kill
	d.world.tell("%s ends (killed: %t)", r.ports.nonce, kill)
	d.world.mu.Unlock()
	heard := d.hearer != nil && r.rival == 0
	if heard && kill {
		d.hearer.End(true)
	}
	r.cancel()
	r.done.Wait()
	if heard && !kill {
		d.hearer.End(false)
	}
	d.agents = slices.DeleteFunc(d.agents, func(o *running) bool { return o == r })
}

// play makes the events happen at their instants.
func (d *director) play(ctx context.Context) {
	began := time.Now()
	for _, e := range d.world.story.Events {
		if d.broken() {
			return
		}
		d.wait(ctx, e.At-time.Since(began))
		d.heard()
		d.happen(ctx, e)
	}
	d.wait(ctx, Calm)
	d.calm(ctx)
}

// wait lets time go by, and starts anew whichever agent was struck down meanwhile.
func (d *director) wait(ctx context.Context, t time.Duration) {
	over := time.After(t)
	for {
		select {
		case <-over:
			return
		case <-d.world.struck:
			d.raise(ctx)
		}
	}
}

// raise starts the killed agents again.
func (d *director) raise(ctx context.Context) {
	for _, r := range slices.Clone(d.agents) {
		d.world.mu.Lock()
		killed := r.ports.killed
		d.world.mu.Unlock()
		if killed {
			d.end(r, true)
			d.begin(ctx, r.rival)
		}
	}
	slices.SortStableFunc(d.agents, func(a, b *running) int { return compare(a.ports.holder, b.ports.holder) })
}

// calm ends all bad luck, so that the fleet must come to rest.
func (d *director) calm(ctx context.Context) {
	w := d.world
	d.raise(ctx)
	for len(d.agents) > 1 {
		d.end(d.agents[1], false)
	}
	w.mu.Lock()
	w.calm = true
	w.wildCalm()
	w.fieldCalm()
	w.fleet = w.file(w.story.Last)
	w.field.committed, w.gates.committed = w.now(), w.now()
	w.fleet.Paused = nil
	for _, m := range w.machines {
		m.cut, m.haunted = false, false
	}
	w.tell("calm")
	w.mu.Unlock()
	if len(d.agents) == 0 {
		d.begin(ctx, 0)
		return
	}
	d.agents[0].states <- w.state()
}

// rest waits until the fleet is where it must end, and says how long that took.
func (d *director) rest(ctx context.Context) time.Duration {
	began := time.Now()
	bound := Bound
	if d.world.story.Wild.On {
		bound = 8 * time.Hour
	}
	for time.Since(began) < bound {
		time.Sleep(10 * time.Second)
		if d.settled() == "" || d.broken() {
			d.heard()
			d.explain()
			return time.Since(began)
		}
	}
	d.world.mu.Lock()
	defer d.world.mu.Unlock()
	s := d.agents[0].agent.Snapshot().Fleets[0]
	var nodes []string
	for _, n := range s.Nodes {
		nodes = append(nodes, fmt.Sprintf("%s %s: %s", n.Name, n.State, n.Reason))
	}
	d.world.laws.breaks(d.world, "no convergence: %s; the agent says %s: %s; %s; %v", d.settledLocked(), s.Phase, s.Reason, strings.Join(nodes, "; "), s.Holds)
	return Bound
}

// explain tells, where a law was broken, what the agent said last.
func (d *director) explain() {
	d.world.mu.Lock()
	defer d.world.mu.Unlock()
	if len(d.world.laws.broken) == 0 || len(d.agents) == 0 {
		return
	}
	fleets := d.agents[0].agent.Snapshot().Fleets
	if len(fleets) == 0 {
		return // its file is gone
	}
	s := fleets[0]
	d.world.tell("%s; the agent says %s: %s; %v", d.settledLocked(), s.Phase, s.Reason, s.Holds)
	for _, n := range s.Nodes {
		d.world.tell("  %s %s: %s", n.Name, n.State, n.Reason)
	}
}

// broken reports whether a law was broken: nothing after that is of interest.
func (d *director) broken() bool {
	d.world.mu.Lock()
	defer d.world.mu.Unlock()
	return len(d.world.laws.broken) > 0
}

func (d *director) settled() string {
	d.world.mu.Lock()
	defer d.world.mu.Unlock()
	return d.settledLocked()
}

// settledLocked says what is missing to the end: every machine in service with what is wanted, unless that was halted or the
// machine is sick; and no journey in hand. It returns "" when nothing is.
func (d *director) settledLocked() string {
	w := d.world
	digest := w.fleet.Digest(desired.DigestAlgorithm)
	_, halted := w.laws.halted[verdict(digest, w.fleet.Retry)]
	for _, m := range w.alive() {
		switch {
		case m.sick || m.record.Stage == actuators.Leaving && (m.record.Spoiled || !w.serves(m)) && d.excused(m):
		case halted && m.record.Stage == actuators.Configuring && m.record.On.Digest != digest && !m.job.Running: // waits for another version
		case halted && m.record.Stage == actuators.Configuring && !m.job.Running && (w.story.Wild.On || w.served(digest)): // waits for a place that another holds
		case halted && m.record.Stage == actuators.Leaving && m.record.Spoiled && m.record.On.Digest != digest && !w.inRotation(m): // the same
		case halted && m.record.Stage == actuators.Leaving && (m.installed == handMade || !w.serves(m)): // passes no check of what it had
		case m.record.UnderWay() || m.job.Running:
			return m.name + " is under way: " + string(m.record.Stage)
		case w.story.Releases[w.fleet.Release] == Fades && m.installed == w.fleet.Release:
		case m.record.Stage == actuators.Failed && (halted || m.record.Try.Earlier != "" || d.excused(m)):
		case halted && m.record.Stage == actuators.Idle:
		case m.record.Stage == actuators.Failed:
			return m.name + " is failed without a halt"
		case !w.inService(m) && !d.excused(m):
			return m.name + " is not in service"
		case m.installed != w.fleet.Release && !d.excused(m):
			return m.name + " has " + m.installed
		case w.story.Wild.On && m.record.Proven.Digest != digest && !d.excused(m):
			return m.name + " has another configuration"
		}
	}
	if halted {
		return "" // nobody leaves
	}
	return w.unpruned()
}

// served reports whether a machine in rotation has the version.
func (w *World) served(digest string) bool {
	return slices.ContainsFunc(w.alive(), func(m *machine) bool { return m.digest == digest && w.inRotation(m) })
}

// excused reports whether a machine keeps its release for a reason: a sick or failed one uses up what may be unavailable.
func (d *director) excused(m *machine) bool {
	w := d.world
	if len(w.alive()) == 1 && !w.fleet.Rollout.AllowOutage {
		return true
	}
	away, alive := 0, len(w.alive())
	for _, o := range w.alive() {
		if o != m && (!w.inService(o) || o.record.Stage == actuators.Failed) {
			away++
		}
	}
	last := away == alive-1 && !w.fleet.Rollout.AllowOutage
	return last || away >= w.fleet.Rollout.MaxUnavailable.Of(alive)
}

// finish ends what runs.
func (d *director) finish() {
	for len(d.agents) > 0 {
		d.end(d.agents[0], false)
	}
}

// happen makes one event happen.
func (d *director) happen(ctx context.Context, e Event) {
	w := d.world
	w.mu.Lock()
	w.tell("event: %s %s (node %d)", e.What, e.To, e.Node)
	w.settle()
	w.laws.check(w) // of what an agent may still read, though it ends with the event
	m := w.nth(e.Node)
	wild, commit := w.runWild(e, m)
	if !wild {
		commit = w.change(e, m)
		w.hush()
	}
	w.mu.Unlock()
	switch e.What {
	case "down":
		for len(d.agents) > 0 {
			d.end(d.agents[0], true)
		}
	case "up":
		if len(d.agents) == 0 {
			d.begin(ctx, 0)
		}
	case "kill", "stop":
		if len(d.agents) > 0 {
			d.end(d.agents[0], e.What == "kill")
		}
		if w.story.Rival && len(d.agents) == 0 {
			d.begin(ctx, 1)
			time.Sleep(time.Millisecond)
		}
		d.begin(ctx, 0)
		slices.SortStableFunc(d.agents, func(a, b *running) int { return compare(a.ports.holder, b.ports.holder) })
	}
	if commit {
		w.noteCommit()
		for _, r := range d.agents {
			r.states <- w.state()
		}
	}
}

func (w *World) nth(i int) *machine {
	alive := w.alive()
	if len(alive) == 0 {
		return nil
	}
	return alive[i%len(alive)]
}

// change is what an event does to the world; it reports whether git says something new.
func (w *World) change(e Event, m *machine) bool {
	switch e.What {
	case "commit":
		w.fleet, w.gates.committed = w.file(e.To), w.now()
		return true
	case "attributes":
		w.groups[0].delay = time.Duration(w.roll("attributes").IntN(300)) * time.Second
	case "pause":
		if w.fleet.Paused == nil {
			w.pause(&desired.Pause{Reason: "incident"})
		} else {
			w.pause(nil)
		}
		return true
	case "retry":
		f := *w.fleet
		f.Retry++
		w.fleet = &f
		return true
	case "appear":
		w.newMachine(fmt.Sprintf("web-%d", len(w.machines)+1), fmt.Sprintf("i-%04d", len(w.machines)+1))
		return false
	}
	if m != nil {
		w.befall(e.What, m)
	}
	return false
}

// pause commits a pause, or the end of one. A fleet file that an agent may hold is never changed.
func (w *World) pause(p *desired.Pause) {
	f := *w.fleet
	f.Paused = p
	w.fleet = &f
}

// befall is what happens to one machine.
func (w *World) befall(what string, m *machine) {
	alive := len(w.alive())
	switch what {
	case "terminate", "replace":
		if alive < 2 {
			return
		}
		m.dead, m.changing, m.died = true, false, w.now()
		for _, g := range w.groups {
			delete(g.members, m.id)
		}
		if what == "replace" {
			heir := w.newMachine(m.name, fmt.Sprintf("i-%04d", len(w.machines)+1))
			heir.record, heir.version = m.record.Clone(), "image"
			if name, excluded := w.wild.excluded[m.id]; excluded {
				w.wild.excluded[heir.id], w.wild.moved[heir.id] = name, w.now() // the file excludes it by its name
			}
		}
	case "cut":
		m.cut = !m.cut
	case "takeout":
		for _, g := range w.groups {
			w.takeOut(m, g)
		}
	case "corrupt":
		if !m.record.UnderWay() && m.record.Stage == actuators.Idle && m.record.Proven.Release == w.fleet.Release {
			m.record, m.version = actuators.NodeRecord{}, "set-aside"
			delete(w.laws.repairs, m.id) // nobody knows any more
			for _, g := range w.groups {
				delete(w.laws.original, m.id+g.ID)
			}
		}
	case "sicken":
		if alive > 2 && w.sickest() == 0 {
			m.sick, m.sickened = true, w.now()
		}
	case "reboot":
		if m.job.Running {
			w.tell("reboot of %s is left to the host adapter", m.name)
		}
	case "haunt":
		m.haunted = true
	case "drift":
		if m.record.Stage == actuators.Idle && w.serves(m) {
			m.installed, m.digest = handMade, ""
		}
	}
}

// takeOut is somebody taking a machine out of a group.
func (w *World) takeOut(m *machine, g *group) {
	if m.record.Instance != m.id || len(m.record.Places)+len(m.record.Taken) == 0 {
		delete(w.laws.original, m.id+g.ID) // nobody wrote it down
	}
	if e := g.members[m.id]; e != nil && e.draining.IsZero() {
		w.depart(g, m, e)
	}
}

func (w *World) sickest() int {
	n := 0
	for m := range maps.Values(w.machines) {
		if m.sick && !m.dead {
			n++
		}
	}
	return n
}
