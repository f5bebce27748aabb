package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"windlass/reconciler"
	"windlass/reconciler/plan"
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	fleetInfo      = desc("windlass_fleet_info", "What git says the fleet should run.", "fleet", "desired_release", "desired_revision")
	fleetSync      = desc("windlass_fleet_sync_status", "1 for how the fleet compares with what git says: synced, out_of_sync or unknown.", "fleet", "status")
	fleetPhase     = desc("windlass_fleet_phase", "1 for the phase the fleet is in.", "fleet", "phase")
	fleetNodes     = desc("windlass_fleet_nodes", "Nodes of the fleet by state.", "fleet", "state")
	fleetInService = desc("windlass_fleet_nodes_in_service", "Nodes that can be counted on to serve.", "fleet")
	fleetFloor     = desc("windlass_fleet_nodes_in_service_floor", "How many nodes are to stay in service.", "fleet")
	fleetPaused    = desc("windlass_fleet_paused_timestamp_seconds", "Since when the fleet is paused; absent when it is not.", "fleet")
	fleetDrift     = desc("windlass_drift_nodes", "Nodes that differ from what was put there (release), or were taken out of rotation by somebody else (membership).", "fleet", "kind")
	fleetSeen      = desc("windlass_reconcile_last_success_timestamp_seconds", "When it was last completely known who belongs to the fleet and who serves; 0 when it never was.", "fleet")
	fleetRejected  = desc("windlass_revision_rejected", "1 while the newest file of the fleet is not in force.", "fleet")

	gateState = desc("windlass_gate_state", "1 for what a gate of the fleet says about going on: unread, open, wait or shut.", "fleet", "gate", "state")
	gateWait  = desc("windlass_gate_wait_seconds", "For how long a gate of the fleet has held, as of now; 0 while it is open.", "fleet", "gate")

	nodeInfo  = desc("windlass_node_info", "What is on the node as far as is known.", "fleet", "node", "release")
	nodeSince = desc("windlass_node_state_timestamp_seconds", "When the node came into the state it is in.", "fleet", "node", "state")

	rolloutStart     = desc("windlass_rollout_start_timestamp_seconds", "When the newest rollout began.", "fleet")
	rolloutProgress  = desc("windlass_rollout_last_progress_timestamp_seconds", "When the newest rollout last made progress.", "fleet")
	rolloutPlanned   = desc("windlass_rollout_nodes_planned", "Nodes the newest rollout has to bring to what is wanted.", "fleet")
	rolloutExpected  = desc("windlass_rollout_expected_end_timestamp_seconds", "When the fleet is expected to have what is wanted; absent when nothing is under way.", "fleet")
	rolloutCompleted = desc("windlass_rollout_nodes_completed", "Nodes the newest rollout has brought to what is wanted.", "fleet")
)

var stateDescs = []*prometheus.Desc{
	fleetInfo, fleetSync, fleetPhase, fleetNodes, fleetInService, fleetFloor, fleetPaused, fleetDrift, fleetSeen, fleetRejected,
	gateState, gateWait, nodeInfo, nodeSince, rolloutStart, rolloutProgress, rolloutPlanned, rolloutCompleted, rolloutExpected,
}

// out is where one scrape's series go.
type out chan<- prometheus.Metric

func (o out) gauge(d *prometheus.Desc, value float64, labels ...string) {
	o <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func (o out) counter(d *prometheus.Desc, value float64, labels ...string) {
	o <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
}

// since sends a time as seconds; one that is not known has no series.
func (o out) since(d *prometheus.Desc, t time.Time, labels ...string) {
	if !t.IsZero() {
		o.gauge(d, seconds(t), labels...)
	}
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

func (o out) fleet(s reconciler.Status, now time.Time) {
	name := label(s.Name)
	o.gauge(fleetInfo, 1, name, label(s.Desired.Release), short(s.Desired.Revision))
	for _, status := range syncStatuses {
		o.gauge(fleetSync, one(status == syncStatus(s)), name, status)
	}
	for _, phase := range plan.Phases {
		o.gauge(fleetPhase, one(phase == s.Phase), name, string(phase))
	}
	o.gauge(fleetInService, float64(s.InService), name)
	o.gauge(fleetFloor, float64(s.Floor), name)
	o.since(fleetPaused, s.PausedAt, name)
	o.gauge(fleetRejected, one(s.Rejected != nil), name)
	if s.Ready && s.Desired.Revision != "" {
		o.gauge(fleetSeen, max(0, seconds(s.Seen)), name)
	}
	o.gates(name, s.Gates, now)
	o.nodes(name, s.Nodes)
	o.rollout(name, s.Rollout)
	o.since(rolloutExpected, s.Ends, name)
}

func (o out) gates(fleet string, gates []plan.Gate, now time.Time) {
	for _, g := range gates {
		gate, held := label(g.Name), 0.0
		if g.State != plan.GateOpen && !g.Since.IsZero() {
			held = max(0, now.Sub(g.Since).Seconds())
		}
		o.gauge(gateWait, held, fleet, gate)
		for _, state := range plan.GateStates {
			o.gauge(gateState, one(state == g.State), fleet, gate, state.String())
		}
	}
}

func (o out) nodes(fleet string, nodes []reconciler.Node) {
	states := map[plan.State]int{}
	drifted, foreign := 0, 0
	var missing time.Time // the nodes that were never found have no names, and this in common
	for _, n := range nodes {
		states[n.State]++
		if n.Name == "" {
			missing = n.Since
			continue
		}
		node := label(n.Name)
		drifted += int(one(n.Drift))
		foreign += int(one(n.Foreign))
		o.gauge(nodeInfo, 1, fleet, node, label(n.Release))
		o.since(nodeSince, n.Since, fleet, node, label(string(n.State)))
	}
	o.since(nodeSince, missing, fleet, "", string(plan.Missing))
	for _, state := range plan.States {
		o.gauge(fleetNodes, float64(states[state]), fleet, string(state))
	}
	o.gauge(fleetDrift, float64(drifted), fleet, "release")
	o.gauge(fleetDrift, float64(foreign), fleet, "membership")
}

func (o out) rollout(fleet string, r reconciler.Rollout) {
	o.since(rolloutStart, r.Started, fleet)
	o.since(rolloutProgress, r.LastProgress, fleet)
	o.gauge(rolloutPlanned, float64(r.Planned), fleet)
	o.gauge(rolloutCompleted, float64(r.Completed), fleet)
}

const (
	synced    = "synced"
	outOfSync = "out_of_sync"
	unknown   = "unknown"
)

var syncStatuses = [...]string{synced, outOfSync, unknown}

// syncStatus compares the fleet with what is in force. Until every source was tried once, nothing can be told.
func syncStatus(s reconciler.Status) string {
	if !s.Ready || s.Desired.Revision == "" {
		return unknown
	}
	for _, n := range s.Nodes {
		if n.Outdated {
			return outOfSync
		}
	}
	return synced
}
