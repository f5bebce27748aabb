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
func (k *known) preparing(v *view, m *move) {
	job := prepareJob(v.rec.Try)
	switch {
	case !k.goesOn() || !k.Is(v.rec.Try.Version):
		m.do(Restore, "what it was prepared for is not wanted now", k.toIdle(v))
	case v.Host.Job.Key != job.Key || !v.Host.Job.Exited:
		m.run(v, Prepare, "prepare steps were interrupted", k.at(v, actuators.Preparing), job)
	case v.Host.Job.Exit != 0:
		k.fail(v, m, "prepare "+jobError(v.Host.Job))
	default:
		r := k.toIdle(v)
		r.Prepared = k.Version.Digest
		m.do(Restore, "prepared, serves on until its turn", r)
	}
}

// configure puts the wanted version on a node that is out of service.
func (k *known) configure(v *view, m *move) {
	m.status.State = Configuring
	if !k.mayChange() && !k.Is(v.rec.On) {
		m.refuse(refusal{ByFleet, k.blocked})
		return
	}
	if k.untried[v.Name] {
		m.refuse(k.refuseUntried())
		return
	}
	if k.backingOff(v, m) || !k.mayBegin(v, m) {
		return
	}
	r := k.toConfigure(v)
	m.run(v, Configure, k.attempt(r.Try), r, k.activateJob(r))
}

// configuring follows a change on the host to its end, and then proves it while the node is out of service. What a step in
// flight began is never cut short; a newer version takes over when it has ended (law 10).
func (k *known) configuring(v *view, m *move) {
	wanted := k.Is(v.rec.On)
	job := v.Host.Job
	ours := job.Key == k.activateJob(*v.rec).Key
	running, again := ours && job.Running, !ours || !job.Exited || k.isToGet(v)
	switch {
	case !wanted && running:
		m.status.Deadline = m.status.Since.Add(k.jobTime())
		m.because(fmt.Sprintf("step %s of %s ends before %s follows", job.Step, v.rec.On.Release, k.Version.Release))
	case again && !running && v.rotation == member && (wanted || k.mayChange()):
		r := k.toLeave(v)
		r.Spoiled = true
		m.do(Leave, "somebody put it back before its steps had ended", r)
	case again && !wanted:
		k.configure(v, m)
	case again:
		k.configureAgain(v, m)
	case job.Exit != 0:
		k.fail(v, m, jobError(job))
	default:
		k.verify(v, m)
	}
}

// configureAgain runs steps whose end nobody saw.
func (k *known) configureAgain(v *view, m *move) {
	if k.backingOff(v, m) || v.rotation == draining && !k.mayBegin(v, m) || !k.readAgain(v, m, "before its steps start again") {
		return
	}
	r := k.at(v, actuators.Configuring)
	r.Spoiled = false
	m.run(v, Configure, k.attempt(r.Try), r, k.activateJob(r))
}

// jobTime is how long all steps may take, by what the fleet file says now.
func (k *known) jobTime() time.Duration {
	limit := time.Minute
	for _, s := range slices.Concat(k.Fleet.Configure.Prepare, k.Fleet.Configure.Activate) {
		limit += s.Timeout
	}
	return limit
}

// verify proves what was put on a node before it is given back (law 16).
func (k *known) verify(v *view, m *move) {
	m.status.State = Verifying
	release := v.rec.On.Release
	m.probe(WatchVerify, release, 0)
	switch {
	case !v.watched(WatchVerify, release):
		m.because("checks begin")
	case v.Health.Status == health.Passing:
		if why := k.refuseToServe(v); !why.none() {
			m.refuse(why)
			return
		}
		k.add(v, m, k.at(v, actuators.Verified))
	case v.fails():
		k.fail(v, m, v.Health.Reason)
	default:
		m.status.Reason, m.status.Deadline = v.Health.Reason, v.Health.Deadline
	}
}

// jobKey names an attempt: another attempt or another version has other jobs (law 19).
func jobKey(t actuators.Try) string {
	return fmt.Sprintf("%s-%s-%d-", strings.ToLower(t.Version.Digest), t.ID, t.Failures)
}

func prepareJob(t actuators.Try) Job {
	return Job{Key: jobKey(t) + "prepare", Version: t.Version, Prepare: true}
}

// activateJob includes the prepare steps on a node that was not prepared while it served.
func (k *known) activateJob(r actuators.NodeRecord) Job {
	unprepared := k.prepares() && r.Prepared != r.On.Digest
	return Job{Key: jobKey(r.Try) + "activate", Version: r.Try.Version, Prepare: unprepared, Activate: true}
}

// prepares reports whether nodes are to be readied before they leave.
func (s *scene) prepares() bool { return len(s.Fleet.Configure.Prepare) > 0 }

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
