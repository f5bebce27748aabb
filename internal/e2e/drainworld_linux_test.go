package e2e

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/ed25519"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"windlass/internal/sandbox"
	"windlass/internal/sandbox/aws"
	"windlass/internal/web"
	"windlass/reconciler/plan"
)

// A drainWorld is a fleet of nodes with networks of their own behind a HAProxy, with AWS's API, a deploy repo and an agent.
type drainWorld struct {
	*testing.T
	drainOptions
	dir   string
	cloud *aws.Cloud
	git   *gitServer
	proxy *proxy
	nodes []*drainNode

	mu      sync.Mutex
	fleet   web.Fleet           // as windlass told last
	said    map[string][]string // by node: each reason that it told
	changed chan struct{}       // closed when it tells more
}

type drainOptions struct {
	nodes     int
	tcp       bool          // behind a network load balancer, whose flows go on after deregistration
	addresses bool          // the target group is of addresses
	forwarded bool          // each node's service is in another network still
	delay     time.Duration // of deregistration
	drain     string        // of the fleet file
}

const (
	agentAddr   = "127.0.0.1:9190"
	controlAddr = "127.0.0.1:8000" // on a node, what its steps call
	webAddr     = "0.0.0.0:8080"
	versionPort = 8081 // of a service that speaks no HTTP
)

// openDrainWorld is such a world that serves v1, and an agent that has written that down.
func openDrainWorld(t *testing.T, o drainOptions) *drainWorld {
	t.Helper()
	w := &drainWorld{T: t, drainOptions: o, dir: t.TempDir(), said: map[string][]string{}, changed: make(chan struct{})}
	key, authorized := newSSHKey(t)
	check(t, errors.Join(os.WriteFile(w.file("id"), key, 0o600), os.WriteFile(w.file("known_hosts"), nil, 0o600), os.Mkdir(w.file("agent"), 0o700)))
	run(t, "ip", "link", "add", "nodes", "type", "bridge")
	run(t, "ip", "link", "set", "nodes", "up")
	for _, address := range []string{"10.77.0.1", proxyAddr} {
		run(t, "ip", "addr", "add", address+"/24", "dev", "nodes")
	}
	w.openCloud()
	w.proxy = &proxy{t: t, cloud: w.cloud, mode: map[bool]string{false: "http", true: "tcp"}[o.tcp], targets: map[string]aws.Target{}, left: w.left}
	addresses := map[string]string{}
	for i := range o.nodes {
		n := w.openNode(i, authorized)
		w.proxy.targets[n.name], addresses[n.name] = n.target, net.JoinHostPort(n.address, "8080")
	}
	w.proxy.start(addresses)
	w.eventually("every node to get requests", func() bool {
		return !slices.ContainsFunc(w.nodes, func(n *drainNode) bool { return !w.proxy.maySend(n.name) })
	})
	w.openRepo()
	w.openAgent()
	return w
}

func (w *drainWorld) file(name string) string { return filepath.Join(w.dir, name) }

func (w *drainWorld) openCloud() {
	private := netip.MustParsePrefix("10.77.0.0/24")
	w.cloud = aws.New(aws.Config{Reaches: private.Contains})
	check(w.T, w.cloud.Start(w.Context()))
	w.Cleanup(func() { check(w.T, w.cloud.Close()) })
	g := aws.TargetGroup{
		Name: "web", Port: 8080, DeregistrationDelay: w.delay,
		HealthCheck: aws.HealthCheck{Path: "/healthz", Interval: time.Second, Timeout: time.Second, Healthy: 2, Unhealthy: 10},
	}
	b := aws.LoadBalancer{Name: "web", TargetGroups: []string{"web"}, IdleTimeout: idleTimeout}
	if w.tcp {
		g.Protocol, g.HealthCheck.Protocol, b.Type, b.IdleTimeout = "TCP", "TCP", aws.Network, 0
	}
	if w.addresses {
		g.Type = "ip"
	}
	must(w.cloud.AddTargetGroup(g))(w.T)
	must(w.cloud.AddLoadBalancer(b))(w.T)
}

// openNode is a machine with an sshd and a service, in the target group.
func (w *drainWorld) openNode(i int, authorized string) *drainNode {
	w.Helper()
	n := &drainNode{
		drainWorld: w, name: fmt.Sprintf("web-%d", i+1), address: fmt.Sprintf("10.77.0.%d", 11+i), instance: fmt.Sprintf("i-0000000%d", i+1), release: "v1",
	}
	w.nodes = append(w.nodes, n)
	n.home = w.file(n.name)
	n.target = aws.Target{ID: cmp.Or(map[bool]string{true: n.address}[w.addresses], n.instance), Port: 8080}
	join(w.T, n.name, n.address+"/24", "", n.name)
	run(w.T, "ip", "link", "set", n.name, "master", "nodes", "up")
	n.network = n.name
	if w.forwarded {
		n.forward()
	}
	state := filepath.Join(n.home, ".windlass")
	check(w.T, errors.Join(
		os.MkdirAll(filepath.Join(n.home, "bin"), 0o755), os.MkdirAll(state, 0o700),
		os.WriteFile(filepath.Join(state, "machine-id"), []byte(n.instance+"\n"), 0o600), // all share this machine's /etc
	))
	n.openSSH(authorized)
	check(w.T, n.serve())
	w.Cleanup(func() { n.stop() })
	n.openControl()
	if !w.addresses {
		check(w.T, w.cloud.AddInstance(aws.Instance{
			ID: n.instance, PrivateAddress: n.address, Zone: "eu-central-1a", Tags: map[string]string{"app": "web", "Name": n.name},
		}))
	}
	check(w.T, w.cloud.Register("web", n.target))
	return n
}

// openSSH starts the node's sshd. It ends with this process table at the latest.
func (n *drainNode) openSSH(authorized string) {
	key, public := newSSHKey(n.T)
	site := sandbox.Site{Address: n.address, Port: 22, Home: n.home, HostKey: key, Authorized: authorized, Env: []string{
		"HOME=" + n.home, "PATH=" + filepath.Join(n.home, "bin") + ":" + os.Getenv("PATH"),
	}}
	dir := filepath.Join(n.home, "sshd")
	check(n.T, furnish(dir, site))
	log := must(os.Create(filepath.Join(dir, "log")))(n.T)
	cmd := exec.Command("ip", "netns", "exec", n.name, must(exec.LookPath("sshd"))(n.T), "-D", "-e", "-f", filepath.Join(dir, "config"))
	cmd.Stderr = log
	check(n.T, cmd.Start())
	n.Cleanup(func() {
		check(n.T, errors.Join(cmd.Process.Kill(), log.Close()))
		_ = cmd.Wait()
		if n.Failed() {
			n.Logf("%s's sshd said:\n%s", n.name, must(os.ReadFile(log.Name()))(n.T))
		}
	})
	known := must(os.OpenFile(n.file("known_hosts"), os.O_APPEND|os.O_WRONLY, 0))(n.T)
	_, err := fmt.Fprintf(known, "%s %s", n.address, public)
	check(n.T, errors.Join(err, known.Close()))
	eventually(n.T, "sshd to accept connections", func() bool {
		conn, err := net.Dial("tcp", net.JoinHostPort(n.address, "22"))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// newSSHKey is a private key and its public half, as a line.
func newSSHKey(t *testing.T) (private []byte, public string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	check(t, err)
	block := must(ssh.MarshalPrivateKey(key, ""))(t)
	signer := must(ssh.NewSignerFromKey(key))(t)
	return pem.EncodeToMemory(block), string(ssh.MarshalAuthorizedKey(signer.PublicKey()))
}

func (w *drainWorld) openRepo() {
	w.git = serveGit(w.T, w.dir)
	w.gitRun("init", "--quiet", "--bare", "--initial-branch=main", w.file("deploy.git"))
	w.gitRun("init", "--quiet", "--initial-branch=main", w.file("deploy"))
	w.deploy("v1")
}

func (w *drainWorld) gitRun(args ...string) string {
	w.Helper()
	out, err := w.git.run(args...)
	if err != nil {
		w.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// deploy commits and pushes a release, and returns the revision.
func (w *drainWorld) deploy(release string) string {
	w.Helper()
	work := w.file("deploy")
	check(w.T, errors.Join(os.MkdirAll(filepath.Join(work, "fleets"), 0o755), os.WriteFile(filepath.Join(work, "fleets", "web.yaml"), []byte(w.fleetFile(release)), 0o644)))
	w.gitRun("-C", work, "add", ".")
	w.gitRun("-C", work, "-c", "user.name=e2e", "-c", "user.email=e2e@windlass.invalid", "commit", "--quiet", "-m", release)
	w.gitRun("-C", work, "push", "--quiet", w.file("deploy.git"), "main")
	return w.gitRun("-C", work, "rev-parse", "HEAD")
}

func (w *drainWorld) fleetFile(release string) string {
	nodes, port := "{ec2: {tags: {app: web}}}", 8080
	if w.addresses {
		list := ""
		for _, n := range w.nodes {
			list += fmt.Sprintf("{name: %s, address: %s}, ", n.name, n.address)
		}
		nodes = "{static: [" + list + "]}"
	}
	if w.tcp {
		port = versionPort
	}
	me := must(user.Current())(w.T).Username
	return fmt.Sprintf(`apiVersion: windlass/v1
kind: Fleet
name: web
release: %s
nodes: %s
loadBalancers: [{targetGroup: web}]
ssh: {user: %s}
configure:
  activate:
    - {name: begin, run: 'curl -fsS http://%[4]s/begin; sleep 1'}
    - {name: restart, run: 'curl -fsS "http://%[4]s/restart?release=$WINDLASS_RELEASE"'}
health:
  - {name: serves, http: {port: %[5]d, path: /version, body: '{release}'}}
rollout: {maxUnavailable: 1, bake: 1s, attempts: 1%[6]s}
`, release, nodes, me, controlAddr, port, w.drain)
}

func (w *drainWorld) openAgent() {
	args := []string{
		"run", "--repo", w.git.url, "--interval", "500ms", "--state-dir", w.file("agent"), "--ssh-key", w.file("id"),
		"--ssh-known-hosts", w.file("known_hosts"), "--listen", agentAddr, "--log-format", "json",
	}
	cmd := exec.Command(binary, args...)
	cmd.Env = w.agentEnv()
	log := must(os.Create(w.file("agent.log")))(w.T)
	cmd.Stdout, cmd.Stderr = log, log
	check(w.T, cmd.Start())
	w.Cleanup(func() {
		check(w.T, errors.Join(cmd.Process.Kill(), log.Close()))
		_ = cmd.Wait()
		if w.Failed() {
			w.Logf("the agent said:\n%s", must(os.ReadFile(log.Name()))(w.T))
		}
	})
	w.eventually("the agent to answer", func() bool {
		answer, err := http.Get("http://" + agentAddr + "/")
		if err == nil {
			answer.Body.Close()
		}
		return err == nil
	})
	w.watchStatus()
	w.await("every node recorded", patience, func(f web.Fleet) bool { return rests(f.Desired.Revision, "v1")(f) })
}

func (w *drainWorld) agentEnv() []string {
	return append(w.cloud.Environment(), "AWS_EC2_METADATA_DISABLED=true", "PATH="+os.Getenv("PATH"), "HOME="+w.file("agent"))
}

// watchStatus keeps what `windlass status` tells.
func (w *drainWorld) watchStatus() {
	cmd := exec.Command(binary, "status", "--server", "http://"+agentAddr, "--watch", "--json")
	cmd.Env = w.agentEnv()
	out := must(cmd.StdoutPipe())(w.T)
	check(w.T, cmd.Start())
	var watching sync.WaitGroup
	watching.Go(func() {
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			w.tell(lines.Bytes())
		}
	})
	w.Cleanup(func() {
		check(w.T, cmd.Process.Kill())
		watching.Wait()
		_ = cmd.Wait()
	})
}

func (w *drainWorld) tell(line []byte) {
	var f web.Fleet
	if err := json.Unmarshal(bytes.TrimSpace(line), &f); err != nil {
		w.Errorf("windlass status tells %q: %v", line, err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fleet = f
	for _, n := range f.Nodes {
		if said := w.said[n.Name]; n.Reason != "" && (len(said) == 0 || said[len(said)-1] != n.Reason) {
			w.said[n.Name] = append(said, n.Reason)
		}
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

// await waits until windlass tells that something holds.
func (w *drainWorld) await(what string, limit time.Duration, holds func(web.Fleet) bool) web.Fleet {
	w.Helper()
	late := time.After(limit)
	for {
		w.mu.Lock()
		f, changed := w.fleet, w.changed
		w.mu.Unlock()
		if holds(f) {
			return f
		}
		select {
		case <-changed:
		case <-late:
			w.Fatalf("waited in vain for %s; windlass told: %+v; before: %q", what, f, w.said)
		}
	}
}

// reasons are all that windlass told of a node.
func (w *drainWorld) reasons(node string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.said[node], "\n")
}

// status is what `windlass status` prints.
func (w *drainWorld) status() string {
	w.Helper()
	cmd := exec.Command(binary, "status", "--server", "http://"+agentAddr)
	cmd.Env = w.agentEnv()
	out, _ := cmd.CombinedOutput() // it exits 2 while something is under way
	return string(out)
}

// rolls deploys v2, checks that the status has these words while a node drains, and waits for the end. Anything that fails halts the rollout.
func (w *drainWorld) rolls(limit time.Duration, words string) {
	w.Helper()
	revision := w.deploy("v2")
	ended := func(f web.Fleet) bool { return f.Phase == plan.PhaseHalted || rests(revision, "v2")(f) }
	w.await("a node that drains", limit, func(f web.Fleet) bool { return ended(f) || says(f, words) })
	text := w.status()
	w.Logf("windlass status said:\n%s", text)
	if !strings.Contains(text, words) {
		w.Errorf("windlass status does not say %q", words)
	}
	if f := w.await("v2 in service", limit, ended); f.Phase == plan.PhaseHalted {
		w.Fatalf("it halted: %+v", f)
	}
}

// left is called when the proxy sends a node nothing more.
func (w *drainWorld) left(node string) {
	for _, n := range w.nodes {
		if n.name == node {
			n.leave()
		}
	}
}

func (w *drainWorld) eventually(what string, holds func() bool) {
	w.Helper()
	eventually(w.T, what, holds)
}

// eventually asks again and again about what tells nobody that it happens.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
