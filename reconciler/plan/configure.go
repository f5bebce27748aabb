package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"windlass/actuators"
	"windlass/health"
)

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
		f.step(v, Restore, "prepared, serves on until its turn", r)
	}
}

// configure puts the wanted version on a node that is out of service.
func (f *fleet) configure(v *view) {
	v.status.State = Configuring
	if !f.mayChange() && !f.Is(v.rec.On) {
		f.hold(v, f.blocked())
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
	if !f.balanced() || v.Asked == Drain || !since.IsZero() && !f.readSince().Before(sure) {
		return f.readAgain(v, "before its steps start")
	}
	v.status.Reason = "its load balancers are watched for " + AskAgain.String() + " to be sure that it is out"
	f.plan.Reread = f.plan.Reread || !f.Now.Before(sure) && !since.IsZero()
	f.wakeIf(sure, !since.IsZero())
	return false
}

// readAgain reports whether the balancers were read a moment ago, and has them read if not: a node may be in service that was put there by
// hand since (law 9).
func (f *fleet) readAgain(v *view, before string) bool {
	if !f.balanced() || f.fresh() {
		return true
	}
	f.plan.Reread = true
	v.status.Reason = "its load balancers are read again " + before
	return false
}

// readSince is when the oldest of the groups' readings began.
func (f *fleet) readSince() time.Time {
	read := f.Now
	for _, g := range f.groups {
		read = earlier(read, g.At)
	}
	return read
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
	ours := job.Key == f.activateJob(*v.rec).Key
	running, again := ours && job.Running, !ours || !job.Exited || !wanted && f.goesOn()
	switch {
	case !wanted && running:
		v.status.Deadline = v.status.Since.Add(f.jobTime())
		v.status.Reason = fmt.Sprintf("step %s of %s ends before %s follows", job.Step, v.rec.On.Release, f.Version.Release)
	case again && !running && v.rotation != out && (wanted || f.mayChange()):
		r := f.toLeave(v)
		r.Spoiled = true
		f.step(v, Leave, "somebody put it back before its steps had ended", r)
	case again && !wanted:
		f.configure(v)
	case again:
		if !f.backingOff(v) && f.readAgain(v, "before its steps start again") {
			r := f.at(v, actuators.Configuring)
			r.Spoiled = false
			f.run(v, Configure, f.attempt(r.Try), r, f.activateJob(r))
		}
	case job.Exit != 0:
		f.fail(v, jobError(job))
	default:
		f.verify(v)
	}
}

// jobTime is how long all steps may take, by what the fleet file says now.
func (f *fleet) jobTime() time.Duration {
	limit := time.Minute
	for _, s := range slices.Concat(f.Fleet.Configure.Prepare, f.Fleet.Configure.Activate) {
		limit += s.Timeout
	}
	return limit
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
