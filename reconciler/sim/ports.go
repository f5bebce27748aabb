package sim

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
)

// ports are one agent's view of the world: what the real adapters are in production.
type ports struct {
	world  *World
	holder string
	nonce  string
	killed bool
	read   map[string]time.Time // when it last read each group
	halts  map[string]bool      // verdicts it has read or written
	missed map[string]bool      // groups it knows to be gone
}

// Nodes lists the machines that are alive.
func (p *ports) Nodes(ctx context.Context, _ desired.NodeSet) (inv actuators.Inventory, err error) {
	w := p.world
	err = p.call(ctx, "inventory", func() error {
		if err := p.world.deny("inventory"); err != nil {
			return err
		}
		for _, m := range w.alive() {
			inv.Nodes = append(inv.Nodes, actuators.Node{Name: m.name, ID: m.id, Address: m.name, Zone: m.zone, Targets: actuators.Targets{Instance: m.id, IP: addressOf(m)}})
		}
		slices.SortFunc(inv.Nodes, func(a, b actuators.Node) int { return compare(a.Name, b.Name) })
		return nil
	})
	if err != nil {
		return actuators.Inventory{}, err
	}
	return inv, nil
}

// Observe reads every group, as it was a moment ago while reads lag.
func (p *ports) Observe(ctx context.Context, named []desired.LoadBalancer, recorded []string) (states []actuators.GroupState, err error) {
	began := time.Now()
	for _, lb := range named {
		states = append(states, p.observe(ctx, "arn:"+lb.TargetGroup, began))
	}
	for _, id := range recorded {
		states = append(states, p.observe(ctx, id, began))
	}
	return states, nil
}

func (p *ports) observe(ctx context.Context, id string, began time.Time) actuators.GroupState {
	w := p.world
	state := actuators.GroupState{Group: actuators.Group{ID: id, Name: id}, TargetType: "instance", At: began}
	err := p.call(ctx, "observe/"+id, func() error {
		g := w.group(id)
		p.missed[id] = w.wild.gone[id]
		if g == nil || w.wild.gone[id] {
			state.Missing = true
			return fmt.Errorf("no target group %s", id)
		}
		state.Port, state.Rules, state.Members = g.port, w.rulesOf(g), w.reading(g)
		p.read[id] = w.now()
		w.noteSayings(g)
		return nil
	})
	if err != nil {
		return actuators.GroupState{Group: state.Group, Err: err.Error(), Missing: state.Missing, At: began}
	}
	return state
}

// reading is what the API says of a group: the truth of a moment ago.
func (w *World) reading(g *group) []actuators.Target {
	lag := w.story.Lag
	if w.calm {
		lag = 0
	}
	for len(g.history) > 1 && w.now().Sub(g.history[1].at) >= lag {
		g.history = g.history[1:]
	}
	return slices.Clone(g.history[0].members)
}

// remember keeps what the group holds now, for readings that lag. After a time that nobody looked in it has no past.
func (g *group) remember(w *World) {
	now := w.targets(g)
	if w.now().Sub(g.looked) > w.story.Lag {
		g.history = nil
	}
	g.looked = w.now()
	if n := len(g.history); n == 0 || !slices.Equal(g.history[n-1].members, now) {
		g.history = append(g.history, snapshot{w.now(), now})
	}
}

func (w *World) group(id string) *group {
	i := slices.IndexFunc(w.groups, func(g *group) bool { return g.ID == id })
	if i < 0 {
		return nil
	}
	return w.groups[i]
}

// Register adds a target.
func (p *ports) Register(ctx context.Context, m actuators.Membership) error {
	w := p.world
	return p.call(ctx, "register/"+m.ID, func() error {
		g, machine := w.group(m.Group), w.machines[m.ID]
		if g == nil || machine == nil || machine.dead {
			return fmt.Errorf("InvalidTarget: %s", m)
		}
		if err := cmp.Or(w.deny("register"), w.denyGroup("join", g.ID, machine)); err != nil || w.wild.gone[g.ID] {
			return cmp.Or(err, errDenied)
		}
		w.laws.alone(w, machine, "register")
		w.laws.adding(w, p, g, machine, m)
		if w.inRotation(machine) && !machine.recorded(g) {
			w.saw("absent from a group")
		}
		w.register(g, machine, m)
		w.laws.acted(machine)
		g.remember(w)
		w.tell("%s registers %s in %s", p.nonce, machine.name, g.Name)
		return nil
	})
}

// Deregister removes a target; a wrong port silently does nothing (G4).
func (p *ports) Deregister(ctx context.Context, m actuators.Membership) error {
	w, began := p.world, time.Now()
	end, err := p.slowly(ctx, m)
	defer end()
	if err != nil {
		return err
	}
	return p.call(ctx, "deregister/"+m.ID, func() error {
		g := w.group(m.Group)
		if g == nil {
			return fmt.Errorf("no target group %s", m.Group)
		}
		if err := cmp.Or(w.deny("deregister"), w.denyGroup("leave", g.ID, w.machines[m.ID])); err != nil || w.wild.gone[g.ID] {
			return cmp.Or(err, errDenied)
		}
		e := g.members[m.ID]
		if e == nil || e.place.Port != m.Port || !e.draining.IsZero() {
			return nil
		}
		w.laws.removing(w, p, g, m, began)
		w.laws.emptied(w, g, w.machines[m.ID])
		w.depart(g, w.machines[m.ID], e)
		if machine := w.machines[m.ID]; machine != nil {
			machine.byHand = false
			w.laws.acted(machine)
		}
		g.remember(w)
		w.tell("%s deregisters %s from %s", p.nonce, w.nameOf(m.ID), g.Name)
		return nil
	})
}

func (w *World) nameOf(id string) string {
	if m := w.machines[id]; m != nil {
		return m.name
	}
	return id
}

// onHost is a call to a machine over SSH.
func (p *ports) onHost(ctx context.Context, at actuators.Place, name string, effect func(*machine) error) error {
	w := p.world
	return p.call(ctx, name+"/"+at.Node.Name, func() error {
		m := w.machines[at.Node.ID]
		switch {
		case m == nil || m.dead:
			return actuators.ErrGone
		case m.cut:
			return errRefused
		}
		return effect(m)
	})
}

// Read returns the record and the newest job.
func (p *ports) Read(ctx context.Context, at actuators.Place) (state actuators.HostState, err error) {
	err = p.onHost(ctx, at, "read", func(m *machine) error {
		state = p.world.stateOf(m)
		return nil
	})
	return state, p.learn(state, err)
}

// learn notes the verdicts in a record that reached the agent.
func (p *ports) learn(state actuators.HostState, err error) error {
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	if err == nil && state.Record.Instance == state.Machine {
		for _, h := range state.Record.Halts {
			p.halts[verdict(h.Digest, h.Retry)] = true
		}
	}
	return err
}

func (w *World) stateOf(m *machine) actuators.HostState {
	return actuators.HostState{Record: m.record.Clone(), Version: m.version, Machine: m.id, Now: w.clock(m), Job: m.job}
}

// Write replaces the record where it is still the one that was read.
func (p *ports) Write(ctx context.Context, at actuators.Place, old string, r actuators.NodeRecord) (state actuators.HostState, err error) {
	err = p.onHost(ctx, at, "write", func(m *machine) (err error) {
		state, err = p.world.write(p, m, old, r)
		return err
	})
	return state, p.learn(state, err)
}

func (w *World) write(p *ports, m *machine, old string, r actuators.NodeRecord) (actuators.HostState, error) {
	if m.version != old {
		return actuators.HostState{}, actuators.ErrChanged
	}
	w.laws.fieldWriting(w, m, r)
	w.laws.writing(w, p, m, r)
	w.laws.gated(w, p, m, r)
	w.laws.quiet(w, m, r)
	w.laws.blames(w, m, r)
	if m.record.Stage != r.Stage {
		w.laws.alone(w, m, "write")
		w.tell("%s writes %s: %s → %s (%s) %s", p.nonce, m.name, m.record.Stage, r.Stage, r.On.Release, r.Try.Error)
	}
	m.record = r.Clone()
	m.version = fmt.Sprintf("%s-%d", m.id, w.calls["version"])
	w.calls["version"]++
	return w.stateOf(m), nil
}

// Run writes the record, starts a job or attaches to it, and waits for its end. Where the connection is lost after the writing, the job
// may have begun as well.
func (p *ports) Run(ctx context.Context, at actuators.Place, old string, r actuators.NodeRecord, job actuators.Job, written func(actuators.HostState)) (state actuators.JobState, err error) {
	asked := time.Now()
	var now actuators.HostState
	err = p.onHost(ctx, at, "write", func(m *machine) (err error) {
		now, err = p.world.write(p, m, old, r)
		if err == nil && p.world.roll("goes on/"+m.name).IntN(2) == 0 {
			_, _ = p.world.begin(p, m, run{m.record, job, asked}) // follow asks again
		}
		return err
	})
	if err != nil {
		return state, err
	}
	written(now)
	return p.follow(ctx, at, run{now.Record, job, asked})
}

// A run is what a call of Run does on its machine once the record is written.
type run struct {
	written actuators.NodeRecord
	job     actuators.Job
	asked   time.Time // when the call was made
}

// follow starts the job, or attaches to it, and waits for its end.
func (p *ports) follow(ctx context.Context, at actuators.Place, r run) (state actuators.JobState, err error) {
	for {
		var wait chan struct{}
		err = p.onHost(ctx, at, "run", func(m *machine) error {
			wait, err = p.world.begin(p, m, r)
			state = m.job
			return err
		})
		if err != nil || wait == nil {
			return state, err
		}
		select {
		case <-wait:
		case <-ctx.Done():
			p.linger(at, wait, r)
			return state, ctx.Err()
		}
	}
}

// linger is a call's script, which goes on waiting on the machine when nobody waits for it any more.
func (p *ports) linger(at actuators.Place, wait chan struct{}, r run) {
	w := p.world
	w.mu.Lock()
	wakes := time.Duration(1 + w.roll(p.nonce+"/lingers/"+at.Node.Name).IntN(8_000_000))
	w.mu.Unlock()
	w.running.Go(func() {
		select {
		case <-wait:
		case <-w.end.Done():
			return
		}
		time.Sleep(wakes)
		_ = w.happen(func() (err error) {
			if m := w.machines[at.Node.ID]; m != nil && !m.dead {
				_, err = w.begin(p, m, r)
			}
			return err
		})
	})
}

// begin starts the job unless one runs or this one ran; it returns what to wait for before asking again.
func (w *World) begin(p *ports, m *machine, r run) (chan struct{}, error) {
	switch {
	case m.job.Running:
		return m.ends, nil
	case m.job.Key == r.job.Key && m.job.Exited:
		return nil, nil
	case !renewed(m.record, r.written) || !w.clock(m).Before(m.record.Claim.Expires):
		return nil, actuators.ErrChanged
	}
	if err := w.deny("run"); err != nil {
		return nil, err
	}
	w.laws.alone(w, m, "job")
	w.start(p, m, r)
	return m.ends, nil
}

// renewed reports whether a record is the one written, but for its claim's expiry.
func renewed(record, written actuators.NodeRecord) bool {
	if record.Claim == nil {
		return false
	}
	record = record.Clone()
	record.Claim.Expires = written.Claim.Expires
	return reflect.DeepEqual(record, written)
}

// start lets a job run on the machine by itself, whatever becomes of the agent.
func (w *World) start(p *ports, m *machine, r run) {
	job := r.job
	w.laws.acted(m)
	activate := slices.ContainsFunc(job.Steps, func(s actuators.JobStep) bool { return s.Name == "install" })
	if activate {
		w.laws.installing(w, p, m, r)
		m.changing = true
	}
	w.tell("%s runs %s on %s", p.nonce, job.Key, m.name)
	m.job = actuators.JobState{Key: job.Key, Running: true, Step: "install"}
	ends := make(chan struct{})
	m.ends = ends
	release, digest := m.record.Try.Version.Release, m.record.Try.Version.Digest
	takes := time.Duration(1+w.roll("job/"+m.name).IntN(20_000)) * time.Millisecond
	w.running.Add(1)
	go func() {
		defer w.running.Done()
		defer close(ends)
		select {
		case <-time.After(takes):
		case <-w.end.Done():
			return
		}
		w.happen(func() error { w.finish(m, activate, release, digest); return nil })
	}()
}

// finish is the end of a job: what it installed is there, or its step has failed.
func (w *World) finish(m *machine, activate bool, release, digest string) {
	m.job.Running, m.job.Exited = false, true
	if activate {
		m.changing = false
		m.installed, m.digest, m.since = release, digest, w.now()
	}
	if w.story.Releases[release] == Explodes && activate {
		m.job.Exit, m.job.Tail = 1, "install: no such release"
	}
	w.tell("job %s on %s ends with %d", m.job.Key, m.name, m.job.Exit)
}

// Close does nothing: connections cost nothing here.
func (p *ports) Close(actuators.Place) {}

// Probe tries a check.
func (p *ports) Probe(ctx context.Context, at actuators.Place, check desired.Check, release string) health.Sample {
	w := p.world
	s := health.Sample{Check: check.Name, Result: health.Fail, Detail: "connection refused"}
	ctx, cancel := context.WithTimeout(ctx, check.Timeout)
	defer cancel()
	_ = p.call(ctx, "probe/"+at.Node.Name+"/"+check.Name, func() error {
		m := w.machines[at.Node.ID]
		switch {
		case m == nil || !w.serves(m):
		case check.NamesRelease() && m.installed != release:
			s.Result, s.Detail = health.Contradict, "answers "+m.installed
		default:
			s.Result, s.Detail = health.Pass, "200"
		}
		return nil
	})
	s.At = time.Now()
	return s
}
