package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const rounds = 5

// phases are the parts of a node's way, in order, as both kinds of rollout are measured: a synced record and what it announces.
var phases = [...]string{"claim", "drain", "configure, verify", "add, check", "prove"}

// A rollout is one release that went over the fleet.
type rollout struct {
	took  time.Duration
	first time.Duration // of that, until its first node
	nodes [][len(phases)]time.Duration
}

// BenchmarkFleet measures a fleet of real sshd nodes: the rolling release beside the shell loop, from a push to the first drain, and a
// pass with nothing to do.
func BenchmarkFleet(b *testing.B) {
	f := startFleet(b)
	b.Run("Rolling", f.benchRolling)
	b.Run("Idle", f.benchIdle)
}

// benchRolling lets windlass release v2, then the shell loop v1 and v2 again, then windlass v1, and so on.
func (f *realFleet) benchRolling(b *testing.B) {
	var agent, shell []rollout
	var pushes []time.Duration
	for b.Loop() {
		for i := range rounds {
			release, other := "v1", "v2"
			if i%2 == 0 {
				release, other = other, release
			}
			f.await(b, other)
			r, push := f.rollByAgent(b, release)
			agent, pushes = append(agent, r), append(pushes, push)
			check(b, f.Agent.Stop(b.Context()))
			shell = append(shell, f.rollByShell(b, other), f.rollByShell(b, release))
			check(b, f.Agent.Start())
		}
	}
	compare(agent, shell)
	slowest := slices.Max(pushes)
	limit := interval + interval/10 + time.Second // the interval has jitter
	table.add("push to first drain, slowest of "+strconv.Itoa(len(pushes)), millis(slowest), "≤ interval "+interval.String()+" ± 10 % + 1 s", slowest <= limit)
}

// compare reports both kinds of rollout side by side.
func compare(agent, shell []rollout) {
	ours, theirs := median(agent, rollout.total), median(shell, rollout.total)
	ratio := float64(ours) / float64(theirs)
	table.add(fmt.Sprintf("rolling release of %d sshd nodes, windlass : shell loop", nodes), fmt.Sprintf("%s : %s = %.2f", millis(ours), millis(theirs), ratio), "≤ 0.45", ratio <= 0.45)
	table.note("  before the first node", fmt.Sprintf("%s : %s", millis(median(agent, rollout.before)), millis(median(shell, rollout.before))))
	comparePace(median(agent, rollout.pace), median(shell, rollout.pace))
	for i, phase := range phases {
		share := func(r rollout) time.Duration { return r.mean(i) }
		table.note("  per node: "+phase, fmt.Sprintf("%s : %s", millis(median(agent, share)), millis(median(shell, share))))
	}
}

// comparePace reports how long a node after another takes, beside what it took in the revision before where that was measured.
func comparePace(ours, theirs time.Duration) {
	const what = "  per node, what overlaps counted once"
	got := fmt.Sprintf("%s : %s", millis(ours), millis(theirs))
	_, earlier := earlier()
	then, _, _ := strings.Cut(earlier[strings.TrimSpace(what)], " ms")
	was, err := strconv.ParseFloat(then, 64)
	if err != nil {
		table.note(what, got)
		return
	}
	ratio := float64(ours) / float64(time.Millisecond) / was
	table.add(what, fmt.Sprintf("%s, %.2f x before", got, ratio), "≤ 0.65 x before", ratio <= 0.65)
}

func (r rollout) total() time.Duration { return r.took }

// before is what the rollout took until its first node.
func (r rollout) before() time.Duration { return r.first }

// pace is what the rollout took from its first node on, for each.
func (r rollout) pace() time.Duration {
	return (r.took - r.first) / time.Duration(max(1, len(r.nodes)))
}

// mean is what a phase took per node.
func (r rollout) mean(phase int) time.Duration {
	var sum time.Duration
	for _, n := range r.nodes {
		sum += n[phase]
	}
	return sum / time.Duration(max(1, len(r.nodes)))
}

func median[T any](measured []T, of func(T) time.Duration) time.Duration {
	var all []time.Duration
	for _, r := range measured {
		all = append(all, of(r))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func millis(d time.Duration) string {
	return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', 1, 64) + " ms"
}

// rollByAgent deploys by a commit, and returns how that went by the agent's log, from the commit being known to the end of the last proof,
// and the time from the push to the first drain.
func (f *realFleet) rollByAgent(b *testing.B, release string) (rollout, time.Duration) {
	b.Helper()
	_, err := f.Repo.Commit(b.Context(), release)
	check(b, err)
	pushed := time.Now()
	if f.pushed != nil {
		f.pushed()
	}
	f.await(b, release)
	events := f.logged(b, pushed)
	var r rollout
	var begin, drained, end time.Time
	times := map[string][]time.Time{} // of each node's own
	var order []string
	for _, e := range events {
		switch e.Message {
		case "commit in force":
			begin = e.Time
		case "rollout succeeded", "rollout rolled_back":
			end = e.Time
		case "leave":
			order = append(order, e.Node)
			times[e.Node] = []time.Time{e.Time}
		case "drain", "configure", "add", "prove":
			times[e.Node] = append(times[e.Node], e.Time)
			if e.Message == "drain" && drained.IsZero() {
				drained = e.Time
			}
		}
	}
	for i, node := range order {
		written := end // the proof of a node is written before the one after the next is drained
		if i+1 < len(order) && len(times[order[i+1]]) > 1 {
			written = times[order[i+1]][1]
		}
		r.add(append(times[node], written))
	}
	r.took = end.Sub(begin)
	if len(order) > 0 {
		r.first = times[order[0]][0].Sub(begin)
	}
	if len(r.nodes) != nodes {
		b.Fatalf("the agent's log tells of %d nodes, not %d: %v", len(r.nodes), nodes, events)
	}
	return r, drained.Sub(pushed)
}

// add takes a node that went through every phase.
func (r *rollout) add(times []time.Time) {
	var node [len(phases)]time.Duration
	if len(times) != len(node)+1 {
		return
	}
	for i := range node {
		node[i] = times[i+1].Sub(times[i])
	}
	r.nodes = append(r.nodes, node)
}

// An event is a line of the agent's log.
type event struct {
	Time    time.Time `json:"time"`
	Message string    `json:"msg"`
	Node    string    `json:"node"`
}

// logged is what the agent wrote since then.
func (f *realFleet) logged(b *testing.B, since time.Time) []event {
	b.Helper()
	var events []event
	for _, line := range f.Agent.Log(1000) {
		var e event
		if json.Unmarshal([]byte(line), &e) == nil && e.Time.After(since) {
			events = append(events, e)
		}
	}
	return events
}

// rollByShell releases with the shell loop, whose time counts from its start to its end.
func (f *realFleet) rollByShell(b *testing.B, release string) rollout {
	b.Helper()
	var list, out, trouble bytes.Buffer
	for _, n := range f.Nodes() {
		fmt.Fprintln(&list, n.Name, n.Instance, n.Address)
	}
	cmd := exec.CommandContext(b.Context(), "./rolling.sh", release)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &list, &out, &trouble
	cmd.Env = append(f.Cloud.Environment(), "PATH="+os.Getenv("PATH"), "HOME="+f.Dir, "HOSTNAME=bench", "TARGET_GROUP=web", "STEPS="+steps,
		"SSH_PORT="+strconv.Itoa(f.sshPort), "WEB_PORT="+strconv.Itoa(f.webPort), "SSH_KEY="+f.Dir+"/id", "SSH_KNOWN_HOSTS="+f.Dir+"/known_hosts")
	began := time.Now()
	if err := cmd.Run(); err != nil {
		b.Fatalf("the shell loop ended badly: %v: %s", err, trouble.String())
	}
	r := rollout{took: time.Since(began)}
	var first time.Time
	for line := range strings.Lines(out.String()) {
		var times []time.Time
		for _, field := range strings.Fields(line)[1:] {
			seconds, err := strconv.ParseFloat(field, 64)
			check(b, err)
			whole, part := math.Modf(seconds)
			times = append(times, time.Unix(int64(whole), int64(part*1e9)))
		}
		if first.IsZero() && len(times) > 0 {
			first = times[0]
			r.first = first.Sub(began)
		}
		r.add(times)
	}
	return r
}
