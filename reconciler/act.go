package reconciler

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/health"
	"windlass/reconciler/plan"
)

// follow points the watches at what the plan asks for.
func (a *actor) follow() {
	now := time.Now()
	asked := make(map[string]plan.Watch, len(a.plan.Watch))
	for _, w := range a.plan.Watch {
		asked[w.Node] = w
	}
	ordered := make(map[string]bool, len(a.plan.Steps))
	for _, s := range a.plan.Steps {
		ordered[s.Node] = true
	}
	for _, n := range a.order {
		w, wanted := asked[n.Name]
		switch {
		case wanted && n.watch.Watch != w:
			n.watch, a.news = newWatch(w, now), true
			if !n.watch.quiet() {
				n.Health = plan.Health{Release: w.Release, Phase: w.Phase, Since: now, Verdict: health.Verdict{Status: health.Pending, Reason: "checks begin"}}
			}
		case !wanted && n.watch.Phase != plan.WatchIdle:
			n.watch, n.Health.Over = watch{}, n.Health.Over || !ordered[n.Name]
		}
	}
	a.followSense()
	if a.plan.Refresh {
		a.callRoll(now)
	}
	if !a.ReadOnly {
		a.warm(now)
	}
	if a.plan.Reread && !a.tasks.busy(taskGroups, "") {
		a.nextGroups = now
		if a.groupsTrouble > 0 {
			a.nextGroups = later(now, a.read.Add(plan.Fresh))
		}
	}
	a.settle(now)
}

// warm reads the nodes whose turn comes next, so that each has a fresh record and an open connection when its turn has come.
func (a *actor) warm(now time.Time) {
	for _, name := range a.plan.Soon {
		n := a.nodeNamed(name)
		if n == nil || n.Read.Err != "" || a.tasks.busy(taskRead, identity(n.Node.Node)) {
			continue
		}
		if !n.warm || now.Sub(n.Read.At) > plan.RecordAge {
			n.nextRead = earlier(n.nextRead, now)
		}
	}
}

// start carries out what the plan orders, each step apart from the loop.
func (a *actor) start(ctx context.Context) {
	for _, s := range a.plan.Steps {
		if s.Kind == plan.Prune {
			a.pruneMember(ctx, s)
			continue
		}
		n := a.nodeNamed(s.Node)
		if n == nil || n.Busy != "" || a.tasks.busy(taskRenew, identity(n.Node.Node)) || a.tasks.busy(taskRead, identity(n.Node.Node)) {
			continue
		}
		if s.Kind == plan.Configure || s.Kind == plan.Add {
			n.endSensing()
		}
		if a.begin(ctx, n, s) {
			a.log(n, s)
			n.Busy, n.Since, n.Health.Over = s.Kind, time.Now(), true
			n.renewAt = n.Since.Add(actuators.RenewEvery)
			a.news = true
			a.again = a.again || s.Kind == plan.Add || s.Kind == plan.Prove // whom others may follow by now
		}
	}
}

func (a *actor) log(n *node, s plan.Step) {
	a.Log.Info(string(s.Kind), "fleet", a.name, "node", n.Name, "reason", s.Reason)
}

// begin runs one step: the record first, then the effect, and at the end what is known after it. It reports whether it could:
// a step on the same machine may still be in flight.
func (a *actor) begin(ctx context.Context, n *node, s plan.Step) bool {
	fleet, place, host := a.want.Fleet, n.place, n.host
	written := func(state actuators.HostState) { a.tasks.tell(func() { a.wrote(n, state) }) }
	return a.tasks.begin(ctx, taskStep, identity(n.Node.Node), a.deadline(s), func(ctx context.Context) func() {
		done, err := a.act(ctx, fleet, place, host, s, written)
		return func() { a.acted(n, s, done, err) }
	})
}

// An outcome is what a step leaves behind.
type outcome struct {
	state *actuators.HostState // after the record was written, unless that was told before
	job   actuators.JobState   // of Prepare and Configure
}

// deadline bounds a step as a whole; what bounds its parts is shorter.
func (a *actor) deadline(s plan.Step) time.Duration {
	d := writeDeadline + balancerDeadline*time.Duration(1+len(s.Targets))
	if s.Job.Key == "" {
		return d
	}
	steps := slices.Concat(a.want.Fleet.Configure.Prepare, a.want.Fleet.Configure.Activate)
	for _, step := range steps {
		d += step.Timeout
	}
	return d + jobSlack
}

// act is one step, start to end. It runs apart from the loop and touches nothing of it; written is told of the record as soon as it
// is written, where an effect is still to come. After an error the step may or may not have had its effect (law 14).
func (a *actor) act(ctx context.Context, fleet *desired.Fleet, at actuators.Place, host *session, s plan.Step, written func(actuators.HostState)) (outcome, error) {
	if s.Kind == plan.Prepare || s.Kind == plan.Configure {
		job, err := makeJob(fleet, at, s.Job)
		if err != nil {
			return a.unmade(ctx, at, host, s, err)
		}
		state, err := host.run(ctx, a.Host, at, *s.Record, job, written)
		return outcome{job: state}, err
	}
	var done outcome
	if s.Record != nil {
		wctx, cancel := context.WithTimeout(ctx, writeDeadline)
		defer cancel()
		state, err := host.write(wctx, a.Host, at, *s.Record)
		switch {
		case err != nil:
			return done, err
		case len(s.Targets) > 0:
			written(state)
		default:
			done.state = &state
		}
	}
	switch s.Kind {
	case plan.Drain:
		return done, a.each(ctx, at, host, s.Targets, a.Balancer.Deregister)
	case plan.Add:
		return done, a.each(ctx, at, host, s.Targets, a.Balancer.Register)
	}
	return done, nil
}

// unmade is a job whose files cannot be made for this node: that fails like a step, and uses up an attempt.
func (a *actor) unmade(ctx context.Context, at actuators.Place, host *session, s plan.Step, why error) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, writeDeadline)
	defer cancel()
	state, err := host.write(ctx, a.Host, at, *s.Record)
	if err != nil {
		return outcome{}, err
	}
	return outcome{&state, actuators.JobState{Key: s.Job.Key, Exited: true, Exit: 1, Step: "files", Tail: why.Error()}}, nil
}

// each makes a balancer call for every place, while the claim outlives the call (law 18).
func (a *actor) each(ctx context.Context, at actuators.Place, host *session, places []actuators.Membership, call func(context.Context, actuators.Membership) error) error {
	for _, m := range places {
		if err := host.hold(ctx, a.Host, at, a.Agent, balancerDeadline); err != nil {
			return err
		}
		cctx, cancel := context.WithTimeout(ctx, balancerDeadline)
		err := call(cctx, m)
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

// makeJob turns a plan's job into commands. Values travel as environment only (G43).
func makeJob(fleet *desired.Fleet, at actuators.Place, j plan.Job) (actuators.Job, error) {
	job := actuators.Job{Key: j.Key, Dir: fleet.Configure.Dir, Env: environment(fleet, at, j)}
	if j.Prepare {
		job.Steps = append(job.Steps, jobSteps(fleet.Configure.Prepare)...)
		job.FilesAfter = len(job.Steps)
	}
	if !j.Activate {
		return job, nil
	}
	job.Steps = append(job.Steps, jobSteps(fleet.Configure.Activate)...)
	for _, f := range fleet.Configure.Files {
		content, err := fleet.Render(f, at.Node.Name)
		if err != nil {
			return job, err
		}
		job.Files = append(job.Files, actuators.JobFile{To: f.To, Mode: f.Mode, Owner: f.Owner, Content: content})
	}
	return job, nil
}

func environment(fleet *desired.Fleet, at actuators.Place, j plan.Job) []string {
	return []string{
		"WINDLASS_FLEET=" + fleet.Name,
		"WINDLASS_NODE=" + at.Node.Name,
		"WINDLASS_RELEASE=" + j.Version.Release,
		"WINDLASS_PREVIOUS_RELEASE=" + j.Previous,
		"WINDLASS_REVISION=" + j.Version.Revision,
	}
}

func jobSteps(steps []desired.Step) []actuators.JobStep {
	out := make([]actuators.JobStep, len(steps))
	for i, s := range steps {
		out[i] = actuators.JobStep{Name: s.Name, Run: s.Run, Timeout: s.Timeout}
	}
	return out
}

// wrote takes the state after a step's record was written.
func (a *actor) wrote(n *node, state actuators.HostState) {
	now := time.Now()
	a.news = true
	n.learn(state, now)
	n.claimedAt, n.renewAt = now, now.Add(actuators.RenewEvery)
	n.nextRead = now.Add(a.readPace(n))
}

// acted takes a step's outcome. After an error nothing is believed of the node until it is read again.
func (a *actor) acted(n *node, s plan.Step, done outcome, err error) {
	now := time.Now()
	n.Busy = ""
	delete(a.lost, identity(n.Node.Node))
	if done.state != nil {
		a.wrote(n, *done.state)
	}
	if done.job.Key != "" && n.Host != nil {
		host := *n.Host
		host.Job = done.job
		n.Host = &host
	}
	switch s.Kind {
	case plan.Drain, plan.Add:
		if s.Kind == plan.Add {
			n.Traffic = plan.Traffic{} // what serves there now is to be looked at anew
		}
		if err == nil && (n.Asked != s.Kind || n.Trouble != "") {
			a.progress = now // granted at last, however long that was refused (law 15)
		}
		n.Asked, n.AskedAt = s.Kind, now
		a.nextGroups = now
	case plan.Prepare, plan.Configure:
		if s.Kind == plan.Configure {
			n.Health, n.watch = plan.Health{}, watch{}
		}
		n.tail = failedTail(done.job)
		if done.job.Exited {
			a.progress = now // it had an end of its own until now
		}
	case plan.Prove, plan.Adopt, plan.Restore:
		n.tail, n.problem, n.rests = "", "", true
	}
	if err != nil {
		a.stumbled(n, s, err, now)
		return
	}
	n.recover()
}

func failedTail(j actuators.JobState) string {
	if j.Exit == 0 {
		return ""
	}
	return j.Tail
}

// stumbled is a step that ended in an error nobody is to blame for: it is read how things stand, and decided anew.
func (a *actor) stumbled(n *node, s plan.Step, err error, now time.Time) {
	a.Log.Warn("step broke off; its node is read again", "fleet", a.name, "node", n.Name, "step", s.Kind, "error", err)
	n.Stale, n.Doubt, n.nextRead = true, s.Kind, now
	if errors.Is(err, actuators.ErrChanged) && !n.changed {
		n.recover()
		n.changed = true
	} else {
		n.stumble(fmt.Errorf("%s: %w", s.Kind, err), now)
	}
	if gone(err) {
		a.nextInventory = now
	}
}

func (a *actor) pruneMember(ctx context.Context, s plan.Step) {
	m := s.Targets[0]
	began := a.tasks.begin(ctx, taskStep, "prune", balancerDeadline, func(ctx context.Context) func() {
		err := a.Balancer.Deregister(ctx, m)
		return func() { a.prunedMember(m, err) }
	})
	if began {
		a.Log.Info(string(s.Kind), "fleet", a.name, "target", m.String(), "reason", s.Reason)
		a.pruned = plan.Removal{ID: m.ID, Busy: true, At: time.Now()}
	}
}

func (a *actor) prunedMember(m actuators.Membership, err error) {
	now := time.Now()
	a.nextGroups = now
	a.pruned.Busy, a.pruned.At = false, now
	if err != nil {
		a.pruned.NotBefore = now.Add(max(a.Interval, 10*time.Second))
		a.Log.Warn("cannot prune", "fleet", a.name, "target", m.String(), "error", err)
	}
}

// settle notes which nodes changed their state with this plan. A node that was not read yet has none; the one it is
// found in may have begun long before.
func (a *actor) settle(now time.Time) {
	for n, s := range a.plannedNodes() {
		if n.state == s.State || !a.stands(n) {
			continue
		}
		a.stageDone(n, s, now)
		since := now
		if n.state == "" {
			since = a.foundAt(s)
		}
		a.rollout.moved(since)
		if since.IsZero() {
			since = now
		}
		n.state, n.stateAt = s.State, since
		if s.State == plan.InService {
			n.tail = "" // whatever failed here is over
		}
		a.progress = now
	}
	a.rollout.advance(a, now)
}

// stands reports whether enough was read to say how a node stands: its host, and who says whether it serves.
func (a *actor) stands(n *node) bool {
	if len(a.want.Fleet.LoadBalancers) > 0 {
		return n.tried() && len(a.groups) == len(a.want.Fleet.LoadBalancers)
	}
	return n.Read.Err != "" || n.Host != nil && (n.record().UnderWay() || n.Health.Status != health.Unknown)
}

// foundAt is since when a node that is seen for the first time is as it is; zero: its record does not say.
func (a *actor) foundAt(s plan.NodeStatus) time.Time {
	if s.State == plan.Outdated && !s.Since.IsZero() {
		return later(s.Since, a.meta.committed)
	}
	return s.Since
}

// stages maps the states that are stages of a journey to the names their durations are reported by.
var stages = map[plan.State]string{
	plan.Preparing: "prepare", plan.Draining: "drain", plan.Configuring: "configure",
	plan.Verifying: "verify", plan.Joining: "add", plan.Baking: "bake",
}

// stageDone reports a stage that ended with the state before this one.
func (a *actor) stageDone(n *node, s plan.NodeStatus, now time.Time) {
	name, staged := stages[n.state]
	if s.UnderWay && n.journey == "" {
		n.journey = journeyOf(n, s)
	}
	if !staged || n.state == plan.Draining && s.State == plan.Outdated { // claimed, and its turn has not come
		return
	}
	done := StepDone{Fleet: a.name, Node: n.Name, Step: name, Result: "success", Took: now.Sub(n.stateAt)}
	if failedHere(a.plan, s) {
		done.Result = "failure"
	}
	if s.State == plan.InService {
		done.Corrected = correction(n.journey)
		n.journey = ""
	}
	if done.Result == "success" {
		took := done.Took
		if n.state == plan.Draining {
			took = max(0, took-a.want.Fleet.Rollout.Drain.SettleFor(a.network()))
		}
		a.timed.add(n.state, s.State, took)
	}
	a.Observer.StepDone(done)
}

func failedHere(p plan.Plan, s plan.NodeStatus) bool {
	return s.State == plan.Failed || slices.ContainsFunc(p.Steps, func(x plan.Step) bool { return x.Node == s.Name && x.Kind == plan.Fail })
}

// The kinds of drift a journey puts right, as metrics name them; a journey that puts none right is a rollout.
const (
	journeyRollout    = "rollout"
	journeyRelease    = "release"
	journeyMembership = "membership"
)

func journeyOf(n *node, s plan.NodeStatus) string {
	switch {
	case s.Drift || n.Health.Status == health.Contradicted && n.Health.Phase == plan.WatchIdle:
		return journeyRelease
	case s.Foreign || n.state == plan.OutOfService && n.record().Known():
		return journeyMembership
	}
	return journeyRollout
}

func correction(journey string) string {
	if journey == journeyRollout {
		return ""
	}
	return journey
}
