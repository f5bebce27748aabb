package bench

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/desired"
	"windlass/reconciler/plan"
)

// BenchmarkPlanning reports how long a decision takes on large fleets.
func BenchmarkPlanning(b *testing.B) {
	for _, size := range []struct {
		nodes int
		most  time.Duration
	}{{1_000, 5 * time.Millisecond}, {10_000, 60 * time.Millisecond}} {
		for _, moment := range []struct {
			what  string
			world plan.World
		}{{"idle", servingWorld(size.nodes)}, {"in mid-rollout", rollingWorld(size.nodes)}} {
			what := fmt.Sprintf("plan %d nodes, %s", size.nodes, moment.what)
			b.Run(what, func(b *testing.B) {
				took := usual(b, 15, func() { plan.Next(wanted("v1"), moment.world) })
				table.add(what, millis(took), "≤ "+size.most.String(), took <= size.most)
			})
		}
	}
	b.Run("Gates", measureGates)
	b.Run("Foresee", func(b *testing.B) {
		const nodes = 100
		took := usual(b, 3, func() { plan.Foresee(wanted("v2"), servingWorld(nodes)) })
		table.note(fmt.Sprintf("foresee a rollout of %d nodes", nodes), millis(took))
	})
}

// measureGates plans 200 fleets of 50 nodes in mid-rollout, with five gates each and without, by turns.
func measureGates(b *testing.B) {
	const fleets, most = 200, 1.1
	without := rollingWorld(50)
	with := without
	for i := range 5 {
		with.Gates = append(with.Gates, plan.Gate{Name: fmt.Sprint("gate-", i), State: plan.GateOpen, Reason: "open", Since: noon, Until: noon.Add(time.Hour)})
	}
	var took [2][]time.Duration
	for b.Loop() {
		for range 15 {
			for i, w := range []plan.World{without, with} {
				began := time.Now()
				for range fleets {
					plan.Next(wanted("v1"), w)
				}
				took[i] = append(took[i], time.Since(began))
			}
		}
	}
	a, g := halfway(took[0]), halfway(took[1])
	ratio := float64(g) / float64(a)
	table.add("plan 200 fleets of 50 nodes in mid-rollout, with 5 gates each : without", fmt.Sprintf("%s : %s = %.2f", millis(g), millis(a), ratio), "≤ 1.10", ratio <= most)
}

// usual is the median of some tries.
func usual(b *testing.B, tries int, do func()) time.Duration {
	var all []time.Duration
	for b.Loop() {
		for range tries {
			began := time.Now()
			do()
			all = append(all, time.Since(began))
		}
	}
	slices.Sort(all)
	return all[len(all)/2]
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const groupID = "arn:aws:elasticloadbalancing:eu-central-1:123456789012:targetgroup/web/0123456789abcdef"

// wanted is a fleet of one group whose next nodes leave one at a time.
func wanted(release string) plan.Want {
	return plan.Want{Version: versionOf(release), Fleet: crowdFleet(release)}
}

func versionOf(release string) actuators.Version {
	return actuators.Version{Release: release, Digest: crowdFleet(release).Digest(desired.DigestAlgorithm), Algorithm: desired.DigestAlgorithm, Revision: "3f2a6c1e8d"}
}

// crowdFleet is what a fleet file of a large fleet says.
func crowdFleet(release string) *desired.Fleet {
	return &desired.Fleet{
		Name: "web", Release: release, Adopt: true, Path: "fleets/web.yaml",
		Nodes:         desired.NodeSet{EC2: &desired.EC2Selector{Tags: map[string]string{"app": "web"}, Address: desired.PrivateAddress}},
		LoadBalancers: []desired.LoadBalancer{{TargetGroup: "web"}},
		SSH:           desired.SSH{User: "deploy", Port: 22, ConnectTimeout: 10 * time.Second, StateDir: ".windlass"},
		Configure:     desired.Configure{Activate: []desired.Step{{Name: "install", Run: "install", Timeout: time.Minute}}},
		Health: []desired.Check{{
			Name: "serves", HTTP: &desired.HTTPCheck{Port: 8080, Path: "/version", Status: 200, Body: desired.ReleasePlaceholder, Via: desired.Direct},
			Interval: time.Second, Timeout: time.Second, Successes: 1, Within: time.Minute,
		}},
		Rollout: desired.Rollout{
			MaxUnavailable: desired.Amount{Count: 1}, Drain: desired.Drain{Timeout: 10 * time.Minute}, Attempts: 2,
			ProgressDeadline: 15 * time.Minute, RestoreAfter: 10 * time.Minute, OnFailure: "halt",
		},
	}
}

// crowdNode is the machine with that number.
func crowdNode(i int) actuators.Node {
	id, address := fmt.Sprintf("i-%017x", i), fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)
	return actuators.Node{
		Name: fmt.Sprintf("web-%05d", i), ID: id, Address: address, Zone: "eu-central-1" + string("abc"[i%3]),
		Targets: actuators.Targets{Instance: id, IP: address},
	}
}

func placeOf(n actuators.Node) actuators.Membership {
	return actuators.Membership{Group: groupID, ID: n.ID, Port: 8080}
}

// crowdRecord is the record of a node at rest with v1.
func crowdRecord(n actuators.Node) actuators.NodeRecord {
	v := versionOf("v1")
	return actuators.NodeRecord{
		Schema: actuators.RecordSchema, Fleet: "web", Instance: n.ID, StageAt: noon, On: v, Prepared: v.Digest, Proven: v, Previous: versionOf("v0"),
		Places: []actuators.Membership{placeOf(n)},
	}
}

// crowdGroup is a target group that holds every one of so many nodes.
func crowdGroup(nodes int) actuators.GroupState {
	g := actuators.GroupState{Group: actuators.Group{ID: groupID, Name: "web"}, TargetType: "instance", Port: 8080, At: noon}
	for i := range nodes {
		g.Members = append(g.Members, actuators.Target{Membership: placeOf(crowdNode(i)), Status: actuators.TargetHealthy})
	}
	return g
}

// servingWorld is so many nodes that serve v1.
func servingWorld(nodes int) plan.World {
	w := plan.World{
		Now: noon, Agent: plan.Agent{Holder: "agent", Epoch: 1, Nonce: "nonce"}, Inventory: plan.Source{At: noon},
		Groups: []actuators.GroupState{crowdGroup(nodes)}, GroupsRead: noon, Progress: noon,
	}
	for i := range nodes {
		n := crowdNode(i)
		w.Nodes = append(w.Nodes, plan.Node{
			Node: n, Read: plan.Source{At: noon}, Host: &actuators.HostState{Machine: n.ID, Now: noon, Record: crowdRecord(n)},
		})
	}
	return w
}

// rollingWorld is a fleet half of which still has v0, with one node drained.
func rollingWorld(nodes int) plan.World {
	w := servingWorld(nodes)
	for i := nodes / 2; i < nodes; i++ {
		r := &w.Nodes[i].Host.Record
		r.On, r.Proven, r.Prepared = versionOf("v0"), versionOf("v0"), ""
	}
	under := w.Nodes[nodes/2].Host
	under.Record.Stage, under.Record.Taken = actuators.Leaving, under.Record.Places
	under.Record.Claim = &actuators.Claim{Holder: "agent", Epoch: 1, Nonce: "nonce", Expires: noon.Add(actuators.ClaimTime)}
	w.Groups[0].Members[nodes/2].Status = actuators.TargetDraining
	return w
}
