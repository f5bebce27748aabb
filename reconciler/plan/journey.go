package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"windlass/actuators"
	"windlass/health"
)

var zeroTime time.Time

// goesOn reports whether journeys towards the wanted version may go on; without, what is under way is finished or restored.
func (f *fleet) goesOn() bool {
	return !f.Released && f.Blocked == "" && f.twins == "" && f.Fleet.Paused == nil && f.halt == nil
}

// journey decides what an under-way node does next. Its stage is read from the record and the balancers alone.
func (f *fleet) journey(v *view) {
	v.status.UnderWay = true
	v.status.Since = v.when(v.rec.StageAt)
	v.status.Attempt = v.failures(f) + 1
	if !f.canWork(v) {
		return
	}
	switch v.rec.Stage {
	case actuators.Preparing:
		f.preparing(v)
	case actuators.Leaving:
		f.leaving(v)
	case actuators.Configuring:
		f.configuring(v)
	case actuators.Verified:
		f.returning(v)
	}
}

// stateOf is the state that a stage shows before anything more is known.
func stateOf(v *view) State {
	switch v.rec.Stage {
	case actuators.Preparing:
		return Preparing
	case actuators.Leaving:
		return Draining
	case actuators.Configuring:
		return Configuring
	case actuators.Verified:
		return Joining
	case actuators.Failed:
		return Failed
	}
	return OutOfService
}

// canWork reports whether anything can be done on an under-way node now, and says why not.
func (f *fleet) canWork(v *view) bool {
	v.status.State = busyState(v)
	switch {
	case v.Busy != "":
		v.status.Since = v.Node.Since
		v.status.Reason = cmp.Or(v.status.Reason, busyReason[v.Busy])
		return false
	case v.foreign != nil:
		v.status.Reason = fmt.Sprintf("agent %s works on it", v.foreign.Holder)
		return false
	case v.unsure != "":
		if v.Read.Err != "" {
			v.status.State = Unreachable
		}
		v.status.Reason = v.unsure
		return false
	case f.Now.Before(v.NotBefore):
		f.wake(v.NotBefore)
		v.status.Reason = "waits before it is tried again: " + v.Trouble
		return false
	case f.groupsUnread() != "":
		f.hold(v, f.groupsUnread())
		return false
	case v.rec.Claim == nil || v.rec.Claim.Nonce != f.Agent.Nonce:
		f.step(v, Take, "goes on where the agent before left off", f.at(v, v.rec.Stage))
		return false
	}
	return true
}

// busyReason is what a step in flight is doing, for people.
var busyReason = map[Kind]string{
	Adopt: "being recorded", Take: "being taken over", Prepare: "prepare steps run", Leave: "being claimed", Drain: "being deregistered",
	Configure: "files and activate steps run", Add: "being registered", Prove: "being recorded as proven",
	Restore: "being recorded as restored", Fail: "its failure is being recorded", Halt: "the halt is being recorded",
}

// busyState is the state that the step in flight shows, or else the stage.
func busyState(v *view) State {
	switch v.doing() {
	case Prepare:
		return Preparing
	case Leave, Drain:
		return Draining
	case Configure:
		return Configuring
	case Add:
		return Joining
	case Prove:
		return Baking
	}
	return stateOf(v)
}

// preparing waits for the prepare steps, and then lets the node go until it is its turn to leave.
func (f *fleet) preparing(v *view) {
	v.status.State = Preparing
	job := f.prepareJob(v.rec.Try)
	switch {
	case !f.goesOn() || !f.Is(v.rec.Try.Version):
		f.step(v, Restore, "what it was prepared for is not wanted now", f.toIdle(v))
	case v.Host.Job.Key != job.Key || !v.Host.Job.Exited:
		f.run(v, Prepare, "prepare steps were interrupted", f.at(v, actuators.Preparing), job)
	case v.Host.Job.Exit != 0:
		f.fail(v, "prepare "+jobError(v.Host.Job))
	default:
		r := f.toIdle(v)
		r.Prepared = f.Version.Digest
		f.step(v, Restore, "prepared", r)
	}
}

// leaving takes a claimed node out of its groups, or gives it back unchanged.
func (f *fleet) leaving(v *view) {
	onward := v.spoiled() || !f.Is(v.rec.On) && f.goesOn()
	switch {
	case !onward && v.changed():
		f.step(v, Restore, v.rec.On.Release+" is wanted again: it goes back and bakes", f.at(v, actuators.Verified))
	case !onward:
		f.restore(v)
	case v.rotation == member:
		f.drain(v)
	case v.rotation == draining:
		f.awaitDrain(v)
	case f.exhausted(v):
		f.step(v, Fail, "attempts used up: "+v.rec.Try.Error, f.toGiveUp(v))
	default:
		f.configure(v)
	}
}

// exhausted reports whether what is on the node failed as often as it may be tried, and nothing else is to be put there.
func (f *fleet) exhausted(v *view) bool {
	most := f.Fleet.Rollout.Attempts
	if f.Is(v.rec.Try.Version) {
		return v.spoiled() && v.failures(f) >= most
	}
	return v.spoiled() && v.rec.Try.Failures >= most && !f.goesOn()
}

// changed reports whether what is on the host never was proven there.
func (v *view) changed() bool { return v.rec.Known() && v.rec.On.Digest != v.rec.Proven.Digest }

// drain takes the node out of every group it is still in, on a reading of the balancers made just for that (law 9).
func (f *fleet) drain(v *view) {
	v.status.State = Draining
	if why := f.sourcesIncomplete(); why != "" {
		f.hold(v, why)
		return
	}
	if f.askedAlready(v, Drain) {
		v.status.Reason = "waits for its load balancers to show that it leaves"
		return
	}
	if !f.fresh() {
		f.plan.Reread = true
		v.status.Reason = "its load balancers are read again before it leaves"
		return
	}
	if why := cmp.Or(f.tooFew(), f.mayDrain(v)); why != "" {
		f.stay(v, why)
		return
	}
	if !v.listed() {
		f.step(v, Leave, "it is in a group that its record does not name yet", f.toLeave(v))
		return
	}
	var targets []actuators.Membership
	for _, t := range v.targets {
		if t.Status != actuators.TargetDraining {
			targets = append(targets, t.Membership)
		}
	}
	f.plan.Steps = append(f.plan.Steps, Step{Node: v.Name, Kind: Drain, Reason: v.reasonToGo(f), Targets: targets})
	v.status.Reason = v.reasonToGo(f)
	f.lost(v)
}

// listed reports whether the record names every place the node is about to leave (law 17).
func (v *view) listed() bool {
	return !slices.ContainsFunc(v.targets, func(t actuators.Target) bool {
		return t.Status != actuators.TargetDraining && !slices.Contains(v.rec.Taken, t.Membership)
	})
}

// stay lets a claimed node that must not leave after all be counted on again. One that failed is only held, and lets others
// go before it.
func (f *fleet) stay(v *view, why string) {
	if v.spoiled() {
		f.hold(v, why)
		f.cap.away--
		v.held = true
		return
	}
	f.step(v, Restore, "stays for now: "+why, f.toIdle(v))
}

// fresh reports whether the balancers were read after the last request to them, a moment ago.
func (f *fleet) fresh() bool {
	var asked time.Time
	for _, v := range f.views {
		if v.AskedAt.After(asked) {
			asked = v.AskedAt
		}
	}
	stale := slices.ContainsFunc(f.groups, func(g group) bool { return g.At.Before(asked) })
	return !stale && f.Now.Sub(f.GroupsRead) <= Fresh
}

// askedAlready reports whether a balancer was asked so lately that what it shows may be from before.
func (f *fleet) askedAlready(v *view, kind Kind) bool {
	if v.Asked != kind || f.Now.Sub(v.AskedAt) >= AskAgain {
		return false
	}
	f.wake(v.AskedAt.Add(AskAgain))
	return true
}

func (v *view) reasonToGo(f *fleet) string {
	from := cmp.Or(v.rec.Proven.Release, v.rec.On.Release, "unknown")
	switch {
	case v.spoiled():
		return "the attempt failed: " + v.rec.Try.Error
	case v.drifted() || f.Is(v.rec.On):
		return "drift: " + v.Health.Reason
	case from == f.Version.Release:
		return "configuration of " + from + " changed"
	}
	return from + " → " + f.Version.Release
}

// awaitDrain waits for the balancers' word that the node has left.
func (f *fleet) awaitDrain(v *view) {
	v.status.State = Draining
	limit := f.Fleet.Rollout.DrainTimeout
	for _, g := range f.groups {
		if len(g.places(v.Node.Node)) > 0 {
			limit = max(limit, g.Delay+time.Minute)
		}
	}
	v.status.Deadline = v.status.Since.Add(limit)
	v.status.Reason = "connections drain: " + v.said(f)
	if f.overdue(v) {
		v.status.Reason = fmt.Sprintf("still draining after %s: %s", limit, v.said(f))
	}
}

// overdue reports whether the node's stage has outlasted its deadline; if not, the plan wakes when it will have.
func (f *fleet) overdue(v *view) bool {
	if f.Now.Before(v.status.Deadline) {
		f.wake(v.status.Deadline)
		return false
	}
	return true
}

// configure puts the wanted version on a node that is out of service.
func (f *fleet) configure(v *view) {
	v.status.State = Configuring
	if f.halt != nil && !f.Is(v.rec.On) {
		f.hold(v, f.halted())
		return
	}
	if f.backingOff(v) || !f.surelyOut(v) {
		return
	}
	r := f.toConfigure(v)
	f.run(v, Configure, f.attempt(r.Try), r, f.activateJob(r))
}

// surelyOut reports whether the node is in no group, beyond what a lagging reading may hide: its drain was asked for and seen
// to its end, or nothing has been seen of it in any group for longer than readings lag (G8).
func (f *fleet) surelyOut(v *view) bool {
	since := v.Out
	if v.Asked == Add {
		since = later(since, v.AskedAt)
	}
	sure := since.Add(AskAgain)
	read := f.Now
	for _, g := range f.groups {
		read = earlier(read, g.At)
	}
	if !f.balanced() || v.Asked == Drain || !since.IsZero() && !read.Before(sure) {
		return true
	}
	v.status.Reason = "its load balancers are watched for " + AskAgain.String() + " to be sure that it is out"
	f.plan.Reread = f.plan.Reread || !f.Now.Before(sure) && !since.IsZero()
	f.wakeIf(sure, !since.IsZero())
	return false
}

// backingOff reports whether a used-up attempt is too fresh for the next.
func (f *fleet) backingOff(v *view) bool {
	failures := v.failures(f)
	if failures == 0 {
		return false
	}
	until := v.when(v.rec.Try.At).Add(min(MostBackoff, FirstBackoff<<min(failures-1, 10)))
	if !f.Now.Before(until) {
		return false
	}
	f.wake(until)
	v.status.Deadline = until
	v.status.Reason = fmt.Sprintf("attempt %d of %d failed, the next one follows: %s", failures, f.Fleet.Rollout.Attempts, v.rec.Try.Error)
	return true
}

func (f *fleet) attempt(t actuators.Try) string {
	return fmt.Sprintf("%s, attempt %d of %d", t.Version.Release, t.Failures+1, f.Fleet.Rollout.Attempts)
}

// configuring follows a change on the host to its end, and then proves it while the node is out of service. What a step in
// flight began is never cut short; a newer version takes over when it has ended (law 10).
func (f *fleet) configuring(v *view) {
	v.status.State = Configuring
	wanted := f.Is(v.rec.On)
	job := v.Host.Job
	ours := strings.HasPrefix(job.Key, jobKey(v.rec.Try))
	switch {
	case !wanted && ours && job.Running:
		v.status.Reason = fmt.Sprintf("step %s of %s ends before %s follows", job.Step, v.rec.On.Release, f.Version.Release)
	case !wanted && (f.goesOn() || !ours || !job.Exited):
		f.configure(v)
	case !ours || !job.Exited:
		if !f.backingOff(v) {
			r := f.at(v, actuators.Configuring)
			r.Try.Bad = false
			f.run(v, Configure, f.attempt(r.Try), r, f.activateJob(r))
		}
	case job.Exit != 0:
		f.fail(v, jobError(job))
	default:
		f.verify(v)
	}
}

// verify proves what was put on a node before it is given back (law 16).
func (f *fleet) verify(v *view) {
	v.status.State = Verifying
	release := v.rec.On.Release
	f.watch(v, WatchVerify, release, 0)
	switch {
	case !v.watched(WatchVerify, release):
		v.status.Reason = "checks begin"
	case v.Health.Status == health.Passing && f.mayServe(v):
		f.add(v, f.at(v, actuators.Verified))
	case v.Health.Status == health.Passing:
	case v.Health.Status == health.Failing, v.Health.Status == health.Contradicted:
		f.fail(v, v.Health.Reason)
	default:
		v.status.Reason, v.status.Deadline = v.Health.Reason, v.Health.Deadline
	}
}

// mayServe holds a verified node back while as many others as may serve something unproven (law 8).
func (f *fleet) mayServe(v *view) bool {
	digest := v.rec.On.Digest
	if f.proven[digest] {
		return true
	}
	serving := 0
	for _, o := range f.views {
		same := o.rec.On.Digest == digest && (o.rotation == member || o.rec.Stage == actuators.Verified)
		if o != v && (same || o.opaque()) {
			serving++
		}
	}
	if serving < f.unprovenLimit() {
		return true
	}
	f.hold(v, fmt.Sprintf("verified; %d serve %s, which is not proven yet, as many as may", serving, v.rec.On.Release))
	return false
}

// add gives a node that passed its checks back to its groups.
func (f *fleet) add(v *view, r actuators.NodeRecord) {
	v.status.State = Joining
	missing := f.missing(v)
	v.status.Reason = fmt.Sprintf("checks passed, joins %d of its groups", len(missing))
	f.plan.Steps = append(f.plan.Steps, Step{Node: v.Name, Kind: Add, Reason: v.Health.Reason, Record: &r, Targets: missing})
	v.rec.Stage = actuators.Verified
}

// missing are the places the node is to have and has not.
func (f *fleet) missing(v *view) []actuators.Membership {
	return slices.DeleteFunc(f.due(v), func(m actuators.Membership) bool {
		return slices.ContainsFunc(v.targets, func(t actuators.Target) bool {
			return t.Status != actuators.TargetDraining && t.Group == m.Group && t.ID == m.ID && t.Port == m.Port
		})
	})
}

// due are the places the node is to have in the groups the fleet names: exactly those it was taken from, where they are its
// own; in a group it was not taken from, those it was proven in; else the group's default. No record can name a group for it (law 17).
func (f *fleet) due(v *view) []actuators.Membership {
	var due []actuators.Membership
	for i, g := range f.groups {
		id := g.Target(v.Node.Node)
		taken, before := in(g, id, v.rec.Taken), in(g, id, v.rec.Places)
		switch {
		case !g.named:
		case len(taken) > 0:
			due = append(due, taken...)
		case len(before) > 0:
			due = append(due, before...)
		case id != "":
			due = append(due, actuators.Membership{Group: g.ID, ID: id, Port: cmp.Or(f.Fleet.LoadBalancers[i].Port, g.Port)})
		}
	}
	return due
}

// in picks the places in one group that are the node's own, whatever else a record says.
func in(g group, id string, places []actuators.Membership) []actuators.Membership {
	var own []actuators.Membership
	for _, m := range places {
		if m.Group == g.ID && m.ID == id {
			own = append(own, m)
		}
	}
	return own
}

// returning sees a verified node back into service and through its bake.
func (f *fleet) returning(v *view) {
	switch {
	case f.goesOn() && !f.Is(v.rec.On):
		f.turnBack(v)
	case !v.inPlace(f):
		f.join(v)
	default:
		f.bake(v)
	}
}

// turnBack takes a node on its way back out again, for a newer version (law 10).
func (f *fleet) turnBack(v *view) {
	v.status.State = Draining
	why := fmt.Sprintf("%s is wanted now", f.Version.Release)
	f.step(v, Leave, why, f.toLeave(v))
}

// inPlace reports whether the balancers send the node traffic everywhere they should.
func (v *view) inPlace(f *fleet) bool {
	return !f.balanced() || v.serving && len(f.missing(v)) == 0
}

// join registers the node and waits for the balancers to find it healthy.
func (f *fleet) join(v *view) {
	v.status.State = Joining
	v.status.Deadline = v.status.Since.Add(JoinTimeout)
	v.status.Reason = "joins: " + v.said(f)
	ramping := slices.ContainsFunc(v.targets, func(t actuators.Target) bool { return t.Status == actuators.TargetRamping })
	switch {
	case len(f.missing(v)) > 0:
		f.rejoin(v)
	case !ramping && f.overdue(v):
		f.fail(v, fmt.Sprintf("not in service %s after it passed its checks: %s", JoinTimeout, v.said(f)))
	}
}

// rejoin registers what is missing, after the checks passed again: an agent before this one may have verified it long ago.
func (f *fleet) rejoin(v *view) {
	release := v.rec.On.Release
	switch {
	case f.askedAlready(v, Add):
		v.status.Reason = "waits for its load balancers to show that it joins"
	case v.passed(WatchVerify, release):
		f.add(v, f.at(v, v.rec.Stage))
	case v.watched(WatchVerify, release) && (v.Health.Status == health.Failing || v.Health.Status == health.Contradicted):
		f.lapse(v)
	default:
		f.watch(v, WatchVerify, release, 0)
		v.status.State = Verifying
		v.status.Reason = "checked again before it joins"
	}
}

// lapse is a check's deadline passing on a node on its way back: an attempt is used, unless the node has what it had before.
func (f *fleet) lapse(v *view) {
	if v.rec.Stage == actuators.Verified && v.rotation == out && v.rec.Try.Version.Digest == v.rec.On.Digest {
		f.fail(v, v.Health.Reason)
		return
	}
	f.watch(v, WatchVerify, v.rec.On.Release, 0)
	v.status.State = OutOfService
	v.status.Reason = "cannot be given back, its checks fail: " + v.Health.Reason
}

// groupsUnread is why a group the node belongs in cannot be built on now, or "".
func (f *fleet) groupsUnread() string {
	for _, g := range f.groups {
		if g.named && g.Err != "" {
			return g.Err
		}
	}
	if len(f.Groups) < len(f.Fleet.LoadBalancers) {
		return "the load balancers were not read yet"
	}
	return f.unread
}

// bake proves the served release again, for as long as the fleet asks, before the next node is touched.
func (f *fleet) bake(v *view) {
	v.status.State = Baking
	release, steady := v.rec.On.Release, f.bakeTime(v)
	f.watch(v, WatchBake, release, steady)
	switch {
	case !v.watched(WatchBake, release):
		v.status.Reason = "bakes " + steady.String()
	case v.Health.Status == health.Passing:
		f.step(v, Prove, "verified, added and baked "+steady.String(), f.toProve(v, v.rec.On))
	case v.Health.Status == health.Failing, v.Health.Status == health.Contradicted:
		f.fail(v, "while baking: "+v.Health.Reason)
	default:
		v.status.Since, v.status.Deadline = v.Health.Since, v.Health.Deadline
		v.status.Reason = "bakes " + steady.String() + ": " + v.Health.Reason
	}
}

// bakeTime is how long the node bakes: the canary's time until the version is proven, nothing where it was proven before.
func (f *fleet) bakeTime(v *view) time.Duration {
	switch {
	case v.provenOnce(v.rec.On):
		return 0
	case f.Fleet.Rollout.Canary != nil && f.proofs < f.proofsNeeded():
		return f.Fleet.Rollout.Canary.Bake
	}
	return f.Fleet.Rollout.Bake
}

// restore gives a node back that left and was not changed.
func (f *fleet) restore(v *view) {
	if v.drifted() && f.goesOn() {
		f.step(v, Leave, "drift: "+v.Health.Reason, f.toLeave(v))
		return
	}
	v.status.State = Joining
	v.status.Deadline = v.status.Since.Add(JoinTimeout)
	v.status.Reason = "goes straight back: " + v.said(f)
	switch {
	case v.inPlace(f):
		f.step(v, Restore, "goes straight back with "+cmp.Or(v.rec.On.Release, "what it had"), f.toIdle(v))
	case len(f.missing(v)) > 0:
		f.rejoin(v)
	case f.overdue(v):
		f.step(v, Restore, fmt.Sprintf("registered again, and not in service after %s: %s", JoinTimeout, v.said(f)), f.toIdle(v))
	}
}

// fail records a used-up attempt. A node that only came back with what it had before used none: it is reported.
func (f *fleet) fail(v *view, why string) {
	if v.rec.Stage == actuators.Verified && v.rec.Try.Version.Digest != v.rec.On.Digest {
		f.step(v, Restore, "given back, and it does not serve: "+why, f.toIdle(v))
		return
	}
	f.step(v, Fail, why, f.toFail(v, why))
}

// step starts something on the node, with the record that is written first.
func (f *fleet) step(v *view, k Kind, reason string, r actuators.NodeRecord) {
	v.status.Reason = reason
	f.plan.Steps = append(f.plan.Steps, Step{Node: v.Name, Kind: k, Reason: reason, Record: &r})
}

// run starts a job on the node.
func (f *fleet) run(v *view, k Kind, reason string, r actuators.NodeRecord, job Job) {
	job.Previous = v.rec.Proven.Release
	f.step(v, k, reason, r)
	f.plan.Steps[len(f.plan.Steps)-1].Job = job
}

// jobKey names an attempt: another attempt or another version has other jobs (law 19).
func jobKey(t actuators.Try) string {
	return fmt.Sprintf("%s-%s-%d-", strings.ToLower(t.Version.Digest), t.ID, t.Failures)
}

func (f *fleet) prepareJob(t actuators.Try) Job {
	return Job{Key: jobKey(t) + "prepare", Version: t.Version, Prepare: true}
}

// activateJob includes the prepare steps on a node that was not prepared while it served.
func (f *fleet) activateJob(r actuators.NodeRecord) Job {
	unprepared := f.prepares() && r.Prepared != r.On.Digest
	return Job{Key: jobKey(r.Try) + "activate", Version: r.Try.Version, Prepare: unprepared, Activate: true}
}

// jobError is how a job's failure reads.
func jobError(j actuators.JobState) string {
	why := fmt.Sprintf("step %s: exit status %d", j.Step, j.Exit)
	if j.Exit == 124 {
		why = fmt.Sprintf("step %s: timed out", j.Step)
	}
	lines := strings.Split(strings.TrimSpace(j.Tail), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		why += ": " + last
	}
	return why
}

// bounded keeps a reason short enough for a record.
func bounded(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	const most = 300
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

func (f *fleet) watch(v *view, phase WatchPhase, release string, steady time.Duration) {
	f.plan.Watch = append(f.plan.Watch, Watch{Node: v.Name, Release: release, Phase: phase, Steady: steady})
}

func (f *fleet) hold(v *view, why string) {
	v.status.Reason = "hold: " + why
	f.plan.Holds = append(f.plan.Holds, Hold{Node: v.Name, Reason: "hold: " + why})
}

// wake pulls the next look earlier, never later.
func (f *fleet) wake(t time.Time) {
	if f.plan.WakeAt.IsZero() || t.Before(f.plan.WakeAt) {
		f.plan.WakeAt = t
	}
}
