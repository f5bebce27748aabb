package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"windlass/actuators"
	"windlass/internal/sandbox"
	"windlass/internal/sandbox/aws"
	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// patience is the longest that anything is waited for.
const patience = 75 * time.Second

// The files of the deploy repo.
const (
	fleetFile = "fleets/web.yaml"
	baseFile  = "base/web.yaml"
	envFile   = "files/web.env.tmpl"
)

// A world is a fleet with everything around it, and the test that plays with it.
type world struct {
	*testing.T
	*sandbox.Fleet
	git  *gitServer
	sshd *sshds

	webPort string
	quiet   bool         // there is no traffic to judge
	unmount func() error // nil: nothing is mounted
}

// port finds the port of the web service in the base file.
var port = regexp.MustCompile(`http: {port: (\d+)`)

// An edit changes a file of the deploy repo.
type edit func(old string) string

// newWorld is a fleet of so many nodes that serve v1, with steps that can be held (hold). Its agent is not started. Its end
// checks that no request failed.
func newWorld(t *testing.T, nodes int, args ...string) *world {
	t.Helper()
	needs(t)
	t.Parallel()
	slots <- struct{}{}
	t.Cleanup(func() { <-slots })
	return openWorld(t, nodes, args...)
}

// openWorld is newWorld for a test that runs side by side with all others.
func openWorld(t *testing.T, nodes int, args ...string) *world {
	t.Helper()
	w := &world{T: t, sshd: &sshds{t: t, up: map[string]*os.Process{}}}
	f, err := sandbox.Start(t.Context(), sandbox.Options{
		Executable: binary, Nodes: nodes, Interval: 500 * time.Millisecond, AgentArgs: args, Rate: 20,
		User: must(user.Current())(t).Username, SSH: w.sshd.start,
	})
	check(t, err)
	w.Fleet = f
	t.Cleanup(func() { w.close() })
	w.git = serveGit(t, f.Dir)
	w.point(f.Agent)
	check(t, errors.Join(
		f.Publish(sandbox.Build{Release: "v2"}), f.Publish(sandbox.Build{Release: "v3", Fault: "cannot reach its database"}),
		f.Publish(sandbox.Build{Release: "v4"}),
	))
	w.edit(envFile, func(string) string { return "WORKERS=4 ON={{.Node}}\n" })
	w.edit(baseFile, w.holdable)
	w.edit(fleetFile, w.flexible)
	w.webPort = port.FindStringSubmatch(string(must(os.ReadFile(filepath.Join(f.Repo.Work, baseFile)))(t)))[1]
	return w
}

// processes are those of this world, one a line; none but on Linux.
func (w *world) processes() (lines []string) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range all {
		dir := filepath.Dir(file)
		command, _ := os.ReadFile(file)
		at, _ := os.Readlink(filepath.Join(dir, "cwd"))
		if !strings.Contains(string(command), w.Dir) && !strings.HasPrefix(at, w.Dir) {
			continue
		}
		call, _ := os.ReadFile(filepath.Join(dir, "wchan"))
		words := strings.Join(strings.Fields(strings.ReplaceAll(string(command), "\x00", " ")), " ")
		lines = append(lines, fmt.Sprintf("%s %s in %s: %.200s", filepath.Base(dir), call, at, words))
	}
	return lines
}

// close ends all of it, and then judges the traffic.
func (w *world) close() {
	if w.Failed() {
		w.Logf("the agent's last lines:\n%s", strings.Join(w.Agent.Log(40), "\n"))
		w.Logf("what runs, and in which call of the kernel:\n%s", strings.Join(w.processes(), "\n"))
	}
	w.Traffic.Stop()
	count := w.Traffic.Count()
	if w.unmount != nil {
		check(w.T, w.unmount())
	}
	if err := w.Close(); err != nil {
		w.Error(err)
	}
	if count.Requests == 0 && !w.quiet || count.Failed > 0 {
		w.Errorf("%d of %d requests failed: %s", count.Failed, count.Requests, strings.Join(count.Failures, "; "))
	}
}

// holdable makes the fleet's steps wait as long as a file says so, and keep count.
func (w *world) holdable(base string) string {
	step := func(name string) string {
		return fmt.Sprintf("    - {name: hold-%s, run: 'echo %[1]s >>\"$HOME/ran\"; while [ -e \"$HOME/hold-%[1]s\" ]; do sleep 0.05; done'}\n", name)
	}
	return w.replace(base, [][2]string{
		{"    - name: fetch", step("prepare") + "    - name: fetch"},
		{"    - name: switch", step("activate") + "    - {name: keep, run: 'cp " + w.placed() + " \"$HOME/web.env\"'}\n    - name: switch"},
		{"within: 4s", "within: 30s"}, // a machine may be busy
	})
}

// flexible lets nodes go, and bakes no longer than it takes to see it.
func (w *world) flexible(fleet string) string {
	return w.replace(fleet, [][2]string{
		{fmt.Sprintf("  expect: %d", len(w.Nodes())), "  #"},
		{"bake: 500ms", "bake: 300ms"},
	})
}

// replace changes everything in a file of the deploy repo, which must be there.
func (w *world) replace(text string, changes [][2]string) string {
	w.Helper()
	for _, change := range changes {
		if !strings.Contains(text, change[0]) {
			w.Fatalf("there is no %q in\n%s", change[0], text)
		}
		text = strings.ReplaceAll(text, change[0], change[1])
	}
	return text
}

// hasty lets a bad release fail soon.
func hasty(base string) string { return strings.ReplaceAll(base, "within: 30s", "within: 5s") }

// placed is where each node has its environment file, as all share one file system; a step copies it to the node's home at once.
func (w *world) placed() string { return filepath.Join(w.Dir, "etc", "web.env") }

// point has an agent read the deploy repo from git's own server.
func (w *world) point(a *sandbox.Agent) {
	a.Command.Args[slices.Index(a.Command.Args, "--repo")+1] = w.git.url
}

// agent is one more agent on the same fleet, with a state directory of its own.
func (w *world) agent(stateDir string) *sandbox.Agent {
	w.Helper()
	a := must(w.NewAgent(stateDir))(w.T)
	w.point(a)
	return a
}

// edit commits and pushes a change of one file.
func (w *world) edit(file string, change edit) (revision string) {
	w.Helper()
	return must(w.Repo.Edit(w.Context(), "change "+file, file, change))(w.T)
}

// deploy commits and pushes another release.
func (w *world) deploy(release string) (revision string) {
	w.Helper()
	return must(w.Repo.Commit(w.Context(), release))(w.T)
}

// begin starts the agent and waits until it has found everything as git says, and has written that down.
func (w *world) begin() {
	w.Helper()
	check(w.T, w.Agent.Start())
	revision := w.Repo.Head()
	w.sees("every node recorded", func(f web.Fleet) bool {
		unknown := func(n web.Node) bool { return n.Release == "" }
		return f.Desired.Revision == revision && f.Phase == plan.PhaseIdle && !slices.ContainsFunc(f.Nodes, unknown)
	})
}

// hold makes nodes wait in their next step of that name ("prepare", "activate", "verify") until it is let go.
func (w *world) hold(name string) (letGo func()) {
	w.Helper()
	nodes := w.Nodes()
	for _, n := range nodes {
		check(w.T, os.WriteFile(filepath.Join(n.Home, "hold-"+name), nil, 0o644))
	}
	return func() {
		w.Helper()
		for _, n := range nodes {
			check(w.T, os.Remove(filepath.Join(n.Home, "hold-"+name)))
		}
	}
}

// ran is how often a holdable step of that name began on the node.
func (w *world) ran(n *sandbox.Node, name string) int {
	w.Helper()
	text, err := os.ReadFile(filepath.Join(n.Home, "ran"))
	if !errors.Is(err, os.ErrNotExist) {
		check(w.T, err)
	}
	return strings.Count(string(text), name+"\n")
}

// node is the node of that name.
func (w *world) node(name string) *sandbox.Node {
	w.Helper()
	all := w.Nodes()
	at := slices.IndexFunc(all, func(n *sandbox.Node) bool { return n.Name == name })
	if at < 0 {
		w.Fatalf("there is no node %q", name)
	}
	return all[at]
}

// sees waits until the agent tells that something holds.
func (w *world) sees(what string, holds func(web.Fleet) bool) web.Fleet {
	w.Helper()
	return w.seenBy(w.Agent, what, holds)
}

func (w *world) seenBy(a *sandbox.Agent, what string, holds func(web.Fleet) bool) web.Fleet {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	return must(a.Wait(ctx, what, holds))(w.T)
}

// deadline fires when patience has ended.
func (w *world) deadline() <-chan time.Time { return time.After(patience) }

// eventually asks again and again about what tells nobody that it happens.
func (w *world) eventually(what string, holds func() bool) {
	w.Helper()
	deadline := w.deadline()
	for !holds() {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-deadline:
			w.Fatalf("waited in vain for %s", what)
		}
	}
}

// settles waits until nothing is left to do about a revision, in that phase.
func (w *world) settles(revision string, phase plan.Phase) web.Fleet {
	w.Helper()
	return w.sees(fmt.Sprintf("%s at %.8s", phase, revision), func(f web.Fleet) bool {
		return f.Desired.Revision == revision && f.Phase == phase && len(f.Plan.Steps) == 0
	})
}

// meets waits until a node is in a state, and returns it.
func (w *world) meets(state plan.State) *sandbox.Node {
	w.Helper()
	f := w.sees("a node "+string(state), func(f web.Fleet) bool { return in(f, state) != "" })
	return w.node(in(f, state))
}

// says reports whether the fleet's reason, one of its holds or a node's reason has these words.
func says(f web.Fleet, words string) bool {
	return strings.Contains(f.Reason, words) || slices.ContainsFunc(f.Plan.Holds, func(h string) bool { return strings.Contains(h, words) }) ||
		slices.ContainsFunc(f.Nodes, func(n web.Node) bool { return strings.Contains(n.Reason, words) })
}

// halts waits until a revision has halted with one node out that has the bad release, and returns that node's name.
func (w *world) halts(revision, good, bad string) (out string) {
	w.Helper()
	f := w.sees("the halt", func(f web.Fleet) bool {
		return f.Desired.Revision == revision && f.Phase == plan.PhaseHalted && len(f.Plan.Steps) == 0 &&
			f.InService == len(f.Nodes)-1 && f.Releases[good] == len(f.Nodes)-1 && f.Releases[bad] == 1 && in(f, plan.Failed) != ""
	})
	return in(f, plan.Failed)
}

// in is the name of the first node in a state.
func in(f web.Fleet, state plan.State) string {
	at := slices.IndexFunc(f.Nodes, func(n web.Node) bool { return n.State == state })
	if at < 0 {
		return ""
	}
	return f.Nodes[at].Name
}

// arrives waits until the whole fleet serves one release of a revision, and checks that all the world agrees about it.
func (w *world) arrives(revision, release string) web.Fleet {
	w.Helper()
	f := w.reaches(w.Agent, revision, release)
	for _, n := range f.Nodes {
		w.recorded(w.node(n.Name), release, actuators.Idle)
	}
	w.balances(len(f.Nodes))
	w.measures(
		`windlass_fleet_phase{fleet="web",phase="idle"} 1`,
		fmt.Sprintf(`windlass_fleet_nodes_in_service{fleet="web"} %d`, len(f.Nodes)),
		fmt.Sprintf(`windlass_fleet_info{desired_release=%q,desired_revision=%q,fleet="web"} 1`, release, revision[:12]),
	)
	w.status(0, release)
	return f
}

// reaches waits until an agent tells that every node of its fleet serves one release of a revision, and nothing is left to do.
func (w *world) reaches(a *sandbox.Agent, revision, release string) web.Fleet {
	w.Helper()
	return w.seenBy(a, fmt.Sprintf("%s of %.8s in service", release, revision), rests(revision, release))
}

// rests is whether every node of a fleet serves one release of a revision, and nothing is left to do.
func rests(revision, release string) func(web.Fleet) bool {
	return func(f web.Fleet) bool {
		nodes := len(f.Nodes)
		return f.Desired.Revision == revision && f.Phase == plan.PhaseIdle && len(f.Plan.Steps) == 0 &&
			nodes > 0 && f.InService == nodes && f.Releases[release] == nodes
	}
}

// recorded checks what is written down on a node.
func (w *world) recorded(n *sandbox.Node, release string, stage actuators.Stage) {
	w.Helper()
	r := w.record(n)
	if r.On.Release != release || r.Stage != stage || r.Stage == actuators.Idle && (r.Claim != nil || len(r.Taken) > 0) {
		w.Errorf("the record of %s says %+v, want %s and stage %q without claim or memberships", n.Name, r, release, stage)
	}
}

// awaitRecord waits for a node's record. A fleet that is as it should be is idle a moment before that is written down.
func (w *world) awaitRecord(name string) {
	w.Helper()
	w.eventually("the record of "+name, func() bool {
		_, err := os.Stat(w.recordFile(w.node(name)))
		return err == nil
	})
}

func (w *world) recordFile(n *sandbox.Node) string {
	return filepath.Join(n.Home, ".windlass", "web", "record.json")
}

func (w *world) record(n *sandbox.Node) actuators.NodeRecord {
	w.Helper()
	text := must(os.ReadFile(w.recordFile(n)))(w.T)
	return must(actuators.DecodeRecord(text, "web"))(w.T)
}

// balances waits until the balancer has so many members, all of them healthy.
func (w *world) balances(members int) {
	w.Helper()
	w.eventually(fmt.Sprintf("%d healthy members", members), func() bool {
		health := must(w.Cloud.Health(w.Agent.Fleet))(w.T)
		return len(health) == members && healthy(health) == members
	})
}

func healthy(members map[aws.Target]aws.TargetHealth) int {
	n := 0
	for _, h := range members {
		if h.State == aws.Healthy {
			n++
		}
	}
	return n
}

// kept checks that the balancer never had fewer members in rotation.
func (w *world) kept(members int) {
	w.Helper()
	if least := w.Rotation.Least(); least < members {
		w.Errorf("only %d members were in rotation for a moment, want at least %d", least, members)
	}
}

// metrics is what Prometheus would scrape.
func (w *world) metrics() string {
	w.Helper()
	return w.get("/metrics")
}

func (w *world) get(path string) string {
	w.Helper()
	answer := must(http.Get(w.Agent.URL + path))(w.T)
	defer answer.Body.Close()
	return string(must(io.ReadAll(answer.Body))(w.T))
}

// port is that of the web service.
func (w *world) port() int {
	w.Helper()
	return must(strconv.Atoi(w.webPort))(w.T)
}

// ask gets a page of a node's own web service.
func (w *world) ask(n *sandbox.Node, path string) (string, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	answer, err := client.Get("http://" + net.JoinHostPort(n.Address, w.webPort) + path)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return string(text), err
}

// measures waits until the metrics have these lines.
func (w *world) measures(lines ...string) {
	w.Helper()
	for _, line := range lines {
		w.eventually(line, func() bool { return strings.Contains(w.metrics(), line+"\n") })
	}
}

// status waits until `windlass status` exits so and has these words.
func (w *world) status(code int, words ...string) {
	w.Helper()
	w.eventually(fmt.Sprintf("windlass status to exit %d and to say %q", code, words), func() bool {
		said, exit := w.windlass("status", "--server", w.Agent.URL)
		return exit == code && !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(said, word) })
	})
}

// windlass runs a command of the binary.
func (w *world) windlass(args ...string) (said string, exit int) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = w.Agent.Command.Env
	output, err := cmd.CombinedOutput()
	var failed *exec.ExitError
	if err != nil && !errors.As(err, &failed) {
		w.Fatal(err)
	}
	return string(output), cmd.ProcessState.ExitCode()
}
