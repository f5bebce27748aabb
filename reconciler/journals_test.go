package reconciler

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"windlass/actuators"
	"windlass/desired"
)

// simply is the fleet behind one group, with one step and one check.
func simply(release string, changes ...func(*desired.Fleet)) *desired.Fleet {
	f := journalFleet(release)
	f.LoadBalancers = f.LoadBalancers[:1]
	f.Configure = desired.Configure{Activate: f.Configure.Activate[1:]}
	f.Health, f.Rollout.Bake = f.Health[:1], 0
	for _, change := range changes {
		change(f)
	}
	return f
}

func repeat(err error, n int) []error { return slices.Repeat([]error{err}, n) }

// leavesEarly has a fleet leave its drains as soon as a node is idle.
func leavesEarly(f *desired.Fleet) {
	f.Rollout.Drain = desired.Drain{Policy: desired.DrainUntilIdle, Settle: 20 * time.Second, NetworkSettle: 2 * time.Minute, IdleFor: 5 * time.Second, Timeout: 10 * time.Minute}
}

// alb makes the first group one of instances behind an ALB at its defaults, with somebody connected to each.
func (j *journal) alb() {
	g := j.groups[0]
	g.TargetType, g.Rules = "instance", actuators.Rules{Protocol: "HTTP", Delay: 5 * time.Minute, IdleAfter: time.Minute}
	for i, n := range j.nodes {
		g.Members[i].ID = n.ID
		m := j.hosts[n.Name]
		m.Record.Places[0].ID, m.busy = n.ID, 1
	}
}

// The stories of the journals, by name.
var journals = map[string]struct {
	machines int
	fleet    *desired.Fleet // that they were proven to have
	script   func(*journal)
}{
	// A commit reaches two nodes, the longest way: prepare, drain out of two groups, configure with a file, verify, add, bake.
	"rollout": {2, journalFleet("v1"), func(j *journal) {
		j.start()
		j.commit(journalFleet("v1"), 24*time.Hour)
		j.wait(time.Minute)
		j.commit(journalFleet("v2"), 5*time.Second)
		j.wait(3 * time.Minute)
	}},
	// Two nodes leave as soon as they are idle: the first while its sensor breaks off, the second as it should.
	"drains": {3, simply("v1", leavesEarly), func(j *journal) {
		j.alb()
		j.start()
		j.commit(simply("v1", leavesEarly), time.Hour)
		j.wait(20 * time.Second)
		j.fail("sense web-1", errCut)
		j.commit(simply("v2", leavesEarly), time.Second)
		j.wait(15 * time.Second)
		j.set("nobody is connected to web-1", func() { j.hosts["web-1"].busy = 0 })
		j.wait(10 * time.Second)
		j.fail("sample web-1", nil, nil, errCut)
		j.wait(60 * time.Second)
		j.set("nobody is connected to web-2, web-1 serves", func() { j.hosts["web-1"].busy, j.hosts["web-2"].busy = 1, 0 })
		j.wait(70 * time.Second)
	}},
	// Nothing lists the connections to one node, another is looked at while the fleet waits, and what was seen is forgotten.
	"blind drains": {2, simply("v1", leavesEarly), func(j *journal) {
		j.alb()
		j.groups[0].Delay = time.Minute
		j.hosts["web-1"].blind = ", nothing lists our own connection"
		j.start()
		j.commit(simply("v2", leavesEarly), time.Second)
		j.wait(2 * time.Minute)
		j.set("nobody is connected to web-2", func() { j.hosts["web-2"].busy = 0 })
		j.wait(90 * time.Second)
	}},
	// Nothing happens.
	"idle": {2, journalFleet("v1"), func(j *journal) {
		j.start()
		j.commit(journalFleet("v1"), 24*time.Hour)
		j.wait(16 * time.Minute)
	}},
	// An attempt fails and the next one does not; a version fails and is halted, is tried again, fails, and is reverted.
	"failures": {2, simply("v1"), func(j *journal) {
		j.hosts["web-1"].exits = []int{3, 0, 1, 2, 4, 5}
		j.start()
		j.commit(simply("v1"), time.Hour)
		j.wait(20 * time.Second)
		j.commit(simply("v2"), time.Second)
		j.wait(105 * time.Second)
		j.commit(simply("v3"), time.Second)
		j.wait(150 * time.Second)
		j.commit(simply("v3", func(f *desired.Fleet) { f.Retry = 1 }), time.Second)
		j.wait(2 * time.Minute)
		j.commit(simply("v2"), time.Second)
		j.wait(100 * time.Second)
	}},
	// Every kind of call breaks off now and then, and nobody is to blame.
	"outages": {2, simply("v1"), func(j *journal) {
		j.fail("list", errCut)
		j.fail("observe", errCut, errCut)
		j.fail("read web-1", repeat(errCut, 7)...)
		j.start()
		j.commit(simply("v1"), time.Hour)
		j.wait(3 * time.Minute)
		j.fail("write web-1", actuators.ErrChanged, actuators.ErrChanged, errCut)
		j.fail("deregister 10.0.0.1:80 in arn:web", errCut, errCut)
		j.fail("register 10.0.0.1:80 in arn:web", errCut)
		j.fail("run web-1", errCut)
		j.fail("group web", nil, nil, errCut, errCut)
		j.commit(simply("v2"), time.Second)
		j.wait(4 * time.Minute)
	}},
	// What a step ends in says that the machine is no more, and so it is.
	"gone": {2, simply("v1"), func(j *journal) {
		j.start()
		j.commit(simply("v1"), time.Hour)
		j.wait(20 * time.Second)
		j.fail("run web-1", fmt.Errorf("dial: %w", actuators.ErrGone))
		j.commit(simply("v2"), time.Second)
		j.wait(20 * time.Second)
		j.set("web-1 is terminated", func() { j.nodes = j.nodes[1:] })
		j.fail("read web-1", repeat(actuators.ErrGone, 9)...)
		j.wait(90 * time.Second)
		j.set("web-3 is launched", func() { j.addMachine("web-3") })
		j.wait(3 * time.Minute)
	}},
	// A machine goes out of the list while a step runs on it, and comes back.
	"flaps": {2, simply("v1"), func(j *journal) {
		var all []actuators.Node
		j.start()
		j.commit(simply("v1"), time.Hour)
		j.wait(20 * time.Second)
		j.hosts["web-1"].takes = 95 * time.Second
		j.commit(simply("v2"), time.Second)
		j.wait(30 * time.Second)
		j.set("web-1 is not listed", func() { all, j.nodes = j.nodes, j.nodes[1:] })
		j.wait(70 * time.Second)
		j.set("web-1 is listed", func() { j.nodes = all })
		j.wait(4 * time.Minute)
	}},
	// The agent before this one left a node in the middle, and another agent works on another.
	"takeover": {3, simply("v1"), func(j *journal) {
		leaving := func(name, holder string, epoch int, left time.Duration) {
			m := j.hosts[name]
			r, now := &m.Record, time.Now().Add(m.ahead)
			r.Stage, r.StageAt, r.Taken = actuators.Leaving, now.Add(-time.Minute), r.Places
			r.Try = actuators.Try{Version: journalVersion(simply("v2"))}
			r.Claim = &actuators.Claim{Holder: holder, Epoch: epoch, Nonce: fmt.Sprint(holder, epoch), Expires: now.Add(left)}
		}
		leaving("web-1", "a", 1, 5*time.Second)
		leaving("web-2", "b", 7, 25*time.Second)
		j.start()
		j.commit(simply("v2"), time.Second)
		j.wait(4 * time.Minute)
	}},
	// Git does not know what a node's record names, cannot be asked, and knows it again.
	"history": {2, simply("v1"), func(j *journal) {
		for _, release := range []string{"v1", "v2"} {
			j.knows[revisionOf(release)] = true
		}
		j.hosts["web-2"].Record.On.Revision = revisionOf("lost")
		j.fail("search "+short(revisionOf("v1")), errCut)
		j.deps.History = j
		j.start()
		j.commit(simply("v1"), time.Hour)
		j.wait(3 * time.Minute)
		j.set("a record names another commit", func() {
			m := j.hosts["web-1"]
			m.Record.On.Revision, m.version = revisionOf("odd"), m.version+1
		})
		j.wait(11 * time.Minute)
		j.set("git knows both", func() { j.knows[revisionOf("lost")], j.knows[revisionOf("odd")] = true, true })
		j.commit(simply("v2"), time.Second)
		j.wait(30 * time.Second)
	}},
	// The file changes: paused, a node excluded, broken, mended, another group, gone.
	"file": {3, simply("v1"), func(j *journal) {
		exclude := func(f *desired.Fleet) {
			f.Nodes.Exclude = []desired.Exclusion{{Name: "web-2", Reason: "disk"}, {Name: "wbe-3", Reason: "a slip"}}
			f.Nodes.Expect = 5
		}
		pause := func(f *desired.Fleet) { f.Paused = &desired.Pause{Reason: "sale"} }
		j.start()
		j.commit(simply("v1", pause), time.Hour)
		j.wait(20 * time.Second)
		j.commit(simply("v2", pause), time.Second)
		j.wait(20 * time.Second)
		j.commit(simply("v2", exclude), time.Second)
		j.wait(40 * time.Second)
		j.commit(simply("v2", exclude, pause), time.Second)
		j.wait(3 * time.Minute)
		broken := j.wants(simply("v2", exclude), time.Second)
		broken.meta.rejected = &desired.Rejection{Path: "fleets/web.yaml", Revision: "beef", Reason: "invalid", Errors: desired.Errors{{Message: "no release"}}}
		j.order(broken)
		j.wait(3 * time.Minute)
		other := func(f *desired.Fleet) { f.LoadBalancers = []desired.LoadBalancer{{Classic: "old"}} }
		j.commit(simply("v2", other), time.Second)
		j.wait(50 * time.Second)
		gone := j.wants(simply("v2", other), time.Second)
		gone.want.Released = true
		j.order(gone)
		j.wait(70 * time.Second)
	}},
	// People and other tools take nodes out and put them back; one answers with another release; members that are no nodes are pruned.
	"drift": {3, simply("v1"), func(j *journal) {
		prune := func(f *desired.Fleet) { f.LoadBalancers[0].Prune, f.Nodes.Expect = true, 3 }
		j.start()
		j.commit(simply("v1", prune), time.Hour)
		j.wait(20 * time.Second)
		j.set("web-1 is taken out", func() { j.groups[0].Members = j.groups[0].Members[1:] })
		j.wait(13 * time.Minute)
		j.set("web-2 serves v0", func() { j.hosts["web-2"].serves = "v0" })
		j.wait(8 * time.Minute)
		stale := actuators.Membership{Group: "arn:web", ID: "10.0.0.9", Port: 80}
		j.set("10.0.0.9 is registered", func() {
			j.groups[0].Members = append(j.groups[0].Members, actuators.Target{Membership: stale, Status: actuators.TargetUnhealthy, Reason: "Target.Timeout", AtFault: true})
		})
		j.fail("deregister 10.0.0.9:80 in arn:web", errors.New("access denied"))
		j.wait(3 * time.Minute)
	}},
	// No load balancer: the checks say who serves, and they fail for a while.
	"unbalanced": {2, simply("v1"), func(j *journal) {
		alone := func(f *desired.Fleet) { f.LoadBalancers, f.Adopt, f.Rollout.Bake = nil, false, 15*time.Second }
		for _, m := range j.hosts {
			m.Record = actuators.NodeRecord{}
		}
		j.nodes[1].ID = ""
		j.start()
		j.commit(simply("v1", alone), time.Hour)
		j.wait(4 * time.Minute)
		j.fail("probe web-1 serves", repeat(errors.New("503"), 4)...)
		j.wait(4 * time.Minute)
		j.fail("probe web-2 serves", append(make([]error, 6), repeat(errors.New("503"), 2)...)...)
		j.commit(simply("v2", alone), time.Second)
		j.wait(4 * time.Minute)
	}},
	// It is told to stop while a call to a balancer is in flight, and the next agent while a job runs.
	"stop": {2, simply("v1"), func(j *journal) {
		j.start()
		j.commit(simply("v1"), time.Hour)
		j.wait(20 * time.Second)
		j.commit(simply("v2"), time.Second)
		j.wait(70 * time.Millisecond)
		j.stop()
		j.wait(10 * time.Second)
		j.deps.Agent.Epoch, j.deps.Agent.Nonce = 3, "a3"
		j.start()
		j.commit(simply("v2"), time.Second)
		j.wait(27 * time.Second)
		j.stop()
		j.wait(time.Minute)
	}},
	// The node set changes under a journey: a machine that a commit takes out is told of until it is named again.
	"nodes": {3, simply("v1"), func(j *journal) {
		static := func(names ...string) func(*desired.Fleet) {
			return func(f *desired.Fleet) {
				for _, name := range names {
					f.Nodes.Static = append(f.Nodes.Static, desired.StaticNode{Name: name})
				}
			}
		}
		for i := range j.nodes {
			name := j.nodes[i].Name
			j.nodes[i].ID, j.nodes[i].Targets.Instance, j.hosts[name].Record.Instance = "", "", j.hosts[name].Machine
		}
		all := j.nodes
		j.start()
		j.commit(simply("v1", static("web-1", "web-2", "web-3")), time.Hour)
		j.wait(20 * time.Second)
		j.commit(simply("v2", static("web-1", "web-2", "web-3")), time.Second)
		j.wait(5 * time.Second)
		j.set("web-1 is not named any more", func() { j.nodes, j.problems = all[1:], []string{"web-4 has no address"} })
		j.commit(simply("v2", static("web-2", "web-3")), 2*time.Second)
		j.wait(time.Millisecond)
		j.wait(20 * time.Second)
		j.fail("list", errCut)
		j.wait(50 * time.Second)
		j.set("web-1 is named again", func() { j.nodes, j.problems = all, nil })
		j.commit(simply("v2", static("web-1", "web-2", "web-3")), 3*time.Second)
		j.wait(10 * time.Second)
	}},
	// Whose claims are whose: an earlier process of this agent's, a later one's, another agent's that lives, has just ended and has long ended.
	"claims": {4, simply("v1"), func(j *journal) {
		v2 := simply("v2", func(f *desired.Fleet) { f.Configure.Prepare = journalFleet("v2").Configure.Prepare })
		for i, c := range []struct {
			holder string
			epoch  int
			left   time.Duration
		}{{"a", 2, 20 * time.Second}, {"b", 1, 12 * time.Second}, {"b", 2, -14 * time.Second}, {"b", 2, -16 * time.Second}} {
			m := j.hosts[fmt.Sprintf("web-%d", i+1)]
			now := time.Now().Add(m.ahead)
			m.Record.Stage, m.Record.StageAt, m.Record.Try = actuators.Preparing, now, actuators.Try{Version: journalVersion(v2)}
			m.Record.Claim = &actuators.Claim{Holder: c.holder, Epoch: c.epoch, Nonce: fmt.Sprint(c.holder, c.epoch, "x"), Expires: now.Add(c.left)}
		}
		j.start()
		j.commit(v2, time.Second)
		for range 8 {
			j.wait(7 * time.Second)
		}
	}},
	// What the records themselves do: one is another machine's, one was set aside, one is written by somebody in the middle.
	"records": {3, simply("v1"), func(j *journal) {
		j.hosts["web-1"].Record.Instance = "i-image"
		j.hosts["web-2"].Record, j.hosts["web-2"].Problem = actuators.NodeRecord{}, "the record is no JSON; it was kept as record.bad"
		j.start()
		j.commit(simply("v1"), time.Hour)
		j.wait(30 * time.Second)
		j.commit(simply("v2"), time.Second)
		j.wait(26 * time.Second)
		j.set("somebody takes the claim of web-1", func() {
			m := j.hosts["web-1"]
			m.version++
			m.Record.Claim = &actuators.Claim{Holder: "c", Epoch: 1, Nonce: "c1", Expires: time.Now().Add(m.ahead + 30*time.Second)}
		})
		j.wait(5 * time.Second)
		j.wait(time.Minute)
	}},
	// A rollout that an earlier process began is held up by a pause, goes on, is overtaken by a commit, and is halted.
	"rollouts": {3, simply("v1"), func(j *journal) {
		pause := func(f *desired.Fleet) { f.Paused = &desired.Pause{Reason: "sale"} }
		ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
		old := journalVersion(simply("v2"))
		j.deps.Kept = map[string]Kept{"web": {
			Rollout: Rollout{Trigger: TriggerCommit, Revision: old.Revision, Release: "v2", Digest: old.Digest, Committed: ago(9 * time.Minute),
				Started: ago(8 * time.Minute), LastProgress: ago(7 * time.Minute), Planned: 3},
			PausedAt: ago(6 * time.Minute),
		}}
		j.start()
		j.commit(simply("v2", pause), 9*time.Minute)
		j.wait(20 * time.Second)
		j.commit(simply("v2"), 9*time.Minute)
		j.wait(10 * time.Second)
		j.commit(simply("v2", pause), 9*time.Minute)
		j.wait(30 * time.Second)
		j.commit(simply("v2"), 9*time.Minute)
		j.wait(35 * time.Second)
		j.hosts["web-1"].exits, j.hosts["web-2"].exits = []int{1, 1}, []int{1, 1}
		j.commit(simply("v3"), time.Second)
		j.wait(4 * time.Minute)
		j.commit(simply("v3", func(f *desired.Fleet) { f.Retry = 1 }), time.Second)
		j.wait(10 * time.Second)
	}},
	// Its file is gone while one machine was never reached and another is in the middle.
	"released": {3, simply("v1"), func(j *journal) {
		j.fail("read web-3", repeat(errCut, 99)...)
		j.start()
		j.commit(simply("v1"), time.Hour)
		j.wait(2 * time.Second)
		gone := j.wants(simply("v1"), time.Hour)
		gone.want.Released = true
		j.order(gone)
		j.wait(40 * time.Second)
	}},
	// Two commits in a moment, and a file that is rejected twice.
	"commits": {2, simply("v1"), func(j *journal) {
		rejected := func(revision string) {
			o := j.wants(simply("v1"), time.Hour)
			o.meta.rejected = &desired.Rejection{Path: "fleets/web.yaml", Revision: revision, Reason: "invalid", Errors: desired.Errors{{Message: "no release"}}}
			j.order(o)
		}
		awaiting := j.wants(simply("v1"), time.Hour)
		awaiting.meta.awaits = "db"
		j.start()
		j.order(awaiting)
		j.wait(time.Second)
		j.commit(simply("v2"), time.Second)
		j.wait(20 * time.Millisecond)
		j.commit(simply("v3"), time.Second)
		j.wait(20 * time.Millisecond)
		other := simply("v1")
		other.LoadBalancers = []desired.LoadBalancer{{Classic: "old"}, {TargetGroup: "web"}}
		j.commit(other, time.Second)
		j.wait(20 * time.Millisecond)
		j.commit(simply("v1"), time.Second)
		j.wait(20 * time.Second)
		rejected("beef")
		j.wait(10 * time.Second)
		rejected("beef")
		j.wait(10 * time.Second)
		rejected("cafe")
		j.wait(10 * time.Second)
		blocked := j.wants(simply("v1"), time.Hour)
		blocked.want.Blocked = "machine i-web-1 is in fleet db too"
		j.order(blocked)
		j.wait(time.Minute)
	}},
	// An agent that only looks, and then windlass plan's look: at machines that serve this and that, one of them nothing for a while.
	"look": {4, simply("v1"), func(j *journal) {
		j.hosts["web-2"].serves = "v0"
		for _, name := range []string{"web-3", "web-4"} {
			j.hosts[name].Record = actuators.NodeRecord{}
		}
		j.hosts["web-3"].serves = "v2"
		j.fail("probe web-1 serves", errCut, errCut, errCut, errCut)
		j.deps.ReadOnly = true
		j.start()
		j.commit(simply("v2"), time.Hour)
		j.wait(20 * time.Second)
		j.stop()
		for i := range j.nodes {
			j.nodes[i].Alias = "web"
		}
		excluding := simply("v2", func(f *desired.Fleet) { f.Nodes.Exclude = []desired.Exclusion{{Name: "web", Reason: "all"}} })
		classic := simply("v2", func(f *desired.Fleet) { f.LoadBalancers = []desired.LoadBalancer{{Classic: "old"}} })
		j.fail("probe web-4 serves", repeat(errCut, 30)...)
		for _, f := range []*desired.Fleet{simply("v2"), classic, excluding} {
			j.look(f)
		}
		j.fail("list", errCut)
		j.look(simply("v2"))
	}},
}

// The loop asks for what it needs, when it is due and for no longer than it may take, and tells what comes of it.
func TestJournals(t *testing.T) {
	for name, story := range journals {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newJournal(story.machines, story.fleet).play(t, story.script) })
		})
	}
}
