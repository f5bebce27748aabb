package sandbox

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"

	"windlass/internal/notify/notifytest"
	"windlass/internal/sandbox/aws"
)

// Options say what a Fleet is like. The zero Options are ready for use in the windlass binary.
type Options struct {
	Executable string        // the windlass binary; default: this process's own
	NodeArgs   []string      // what makes Executable call RunNode; default "demo-node"
	Dir        string        // where everything is kept; default: a temporary directory that Close removes
	Fleet      string        // what the fleet, its target group and its balancer are called; default web
	Nodes      int           // default 4
	Release    string        // what the nodes run from the first day; default v1
	Rate       int           // requests a second through the balancer; default 50
	Delay      time.Duration // deregistration delay, which the API tells in whole seconds; default 1 s
	Startup    time.Duration // how long the web service is down at each restart; default 150 ms
	Interval   time.Duration // at which the agent polls; default 1 s
	AgentArgs  []string      // more of the agent's arguments
	Chat       bool          // there is a chat that hears of rollouts
	Source     bool          // releases are tags of a repository, and have to pass a check

	User string                                    // the agent logs in as; default demo
	SSH  func(Site) (stop func() error, err error) // starts a node's SSH server whenever it boots; default: the node serves itself
}

func (o Options) withDefaults() (Options, error) {
	if o.Executable == "" {
		var err error
		if o.Executable, err = thisExecutable(); err != nil {
			return o, err
		}
	}
	if o.NodeArgs == nil {
		o.NodeArgs = []string{"demo-node"}
	}
	o.Fleet = cmp.Or(o.Fleet, "web")
	o.Nodes = cmp.Or(o.Nodes, 4)
	o.Release = cmp.Or(o.Release, "v1")
	o.Rate = cmp.Or(o.Rate, 50)
	o.Delay = cmp.Or(o.Delay, time.Second)
	o.Startup = cmp.Or(o.Startup, 150*time.Millisecond)
	o.Interval = cmp.Or(o.Interval, time.Second)
	o.User = cmp.Or(o.User, "demo")
	if o.Nodes < 1 || o.Nodes > maxNodes {
		return o, fmt.Errorf("a local fleet has 1 to %d nodes, not %d", maxNodes, o.Nodes)
	}
	return o, nil
}

// maxNodes leaves addresses for nodes that are added later.
const maxNodes = 100

const agentDir = "agent" // the state directory of a fleet's own agent

// A Site is where another SSH server than a node's own listens, and what it must do: present HostKey, let in Authorized, and
// run commands in Home with Env.
type Site struct {
	Name       string
	Address    string
	Port       int
	Home       string
	HostKey    []byte   // private, in OpenSSH's format
	Authorized string   // in authorized_keys' format
	Env        []string // NAME=value
}

// A Fleet is a running fleet with all that belongs to it. Its agent is not started. Its methods, and those of its nodes, are
// called one at a time.
type Fleet struct {
	local
	Traffic  *Traffic
	Rotation *Rotation
	Chat     *notifytest.Slack // nil: there is none
	Source   *Source           // nil: there is none
	URL      string            // of the load balancer

	options Options
	webPort int
	nodes   []*Node
}

// Start brings up nodes that serve a release, a balancer that finds them healthy, traffic through it, and the deploy repo
// that says so. Close ends all of it.
func Start(ctx context.Context, o Options) (*Fleet, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("cannot start the local fleet: %w", err)
	}
	f := &Fleet{options: o}
	err = f.open(ctx, f.openDir, f.openKey, f.openStore, f.openNetwork, f.openAPI, f.openBalancer, f.openChat, f.openSource, f.openRepo, f.openAgent, f.openNodes, f.openRotation, f.openTraffic)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (f *Fleet) openDir(context.Context) (err error) {
	if f.Dir = f.options.Dir; f.Dir == "" {
		if err := f.openTemporary("windlass-"); err != nil {
			return err
		}
	}
	if f.Dir, err = filepath.Abs(f.Dir); err != nil {
		return err
	}
	if entries, err := os.ReadDir(f.Dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("directory %s is not empty: name one that is, or that is not there yet", f.Dir)
	}
	return os.MkdirAll(f.Dir, 0o755)
}

// openStore makes what the nodes share: the store that they fetch releases from, and /etc.
func (f *Fleet) openStore(context.Context) error {
	return errors.Join(
		os.Mkdir(f.path("store"), 0o755), os.Mkdir(f.path("etc"), 0o755), os.WriteFile(f.path("known_hosts"), nil, 0o644),
		f.Publish(Build{Release: f.options.Release}),
	)
}

func (f *Fleet) openBalancer(context.Context) (err error) {
	if f.webPort, err = f.network.freePort(); err != nil {
		return err
	}
	_, err = f.Cloud.AddTargetGroup(aws.TargetGroup{
		Name: f.options.Fleet, Port: f.webPort, DeregistrationDelay: f.options.Delay,
		HealthCheck: aws.HealthCheck{Path: "/healthz", Interval: 200 * time.Millisecond, Timeout: time.Second, Healthy: 2, Unhealthy: 2},
	})
	if err != nil {
		return err
	}
	address, err := f.Cloud.AddLoadBalancer(aws.LoadBalancer{Name: f.options.Fleet, TargetGroups: []string{f.options.Fleet}})
	f.URL = "http://" + address
	return err
}

func (f *Fleet) openRepo(ctx context.Context) error {
	if err := f.serveRepo(fetchPath); err != nil {
		return err
	}
	code := ""
	if f.Source != nil {
		code = f.Source.URL
	}
	return f.Repo.begin(ctx, stage{
		code: code, fleet: f.options.Fleet, release: f.options.Release, nodes: f.options.Nodes, user: f.options.User, ssh: f.sshPort, web: f.webPort, etc: f.path("etc"), chat: f.options.Chat,
	})
}

func (f *Fleet) openAgent(context.Context) (err error) {
	f.Agent, err = f.NewAgent(agentDir)
	return err
}

// NewAgent returns another agent for the same deploy repo and nodes, with a state directory of its own below Dir. It is not
// started; Close ends it.
func (f *Fleet) NewAgent(stateDir string) (*Agent, error) {
	var more []string
	if f.options.Chat {
		more = append(more, "--notify", f.path("notify.yaml"))
	}
	if f.options.Source {
		more = append(more, "--forges", f.path("forges.yaml"), "--gate-interval", f.options.Interval.String())
	}
	return f.newAgent(f.options.Executable, f.options.Fleet, stateDir, f.options.Interval, append(more, f.options.AgentArgs...)...)
}

func (f *Fleet) openNodes(ctx context.Context) error {
	for range f.options.Nodes {
		n, err := f.newNode()
		if err != nil {
			return err
		}
		if err := n.install(f.options.Release); err != nil {
			return err
		}
		if err := f.boot(ctx, n); err != nil {
			return err
		}
		if err := f.Cloud.Register(f.options.Fleet, n.target()); err != nil {
			return err
		}
	}
	return f.awaitHealthy(ctx)
}

// awaitHealthy waits until the balancer sends traffic to every node.
func (f *Fleet) awaitHealthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		changed := f.Cloud.Changed()
		health, err := f.Cloud.Health(f.options.Fleet)
		if err != nil {
			return err
		}
		healthy := 0
		for _, h := range health {
			if h.State == aws.Healthy {
				healthy++
			}
		}
		if healthy == len(f.nodes) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("only %d of %d nodes are healthy: %w", healthy, len(f.nodes), ctx.Err())
		}
	}
}

func (f *Fleet) openRotation(context.Context) (err error) {
	stop := make(chan struct{})
	if f.Rotation, err = watchRotation(f.Cloud, f.options.Fleet, stop); err != nil {
		return err
	}
	f.onClose(func() error {
		close(stop)
		<-f.Rotation.ended
		return nil
	})
	return nil
}

func (f *Fleet) openTraffic(context.Context) error {
	f.Traffic = StartTraffic(f.URL, f.options.Rate)
	f.onClose(func() error {
		f.Traffic.Stop()
		return nil
	})
	return nil
}

// Publish puts a build into the store that nodes fetch from.
func (f *Fleet) Publish(b Build) error { return b.publish(f.path("store")) }

// Nodes returns every node there ever was, in the order they came.
func (f *Fleet) Nodes() []*Node { return slices.Clone(f.nodes) }

// AddNode boots a new machine that has no release and is no member of the target group, as scaling out does.
func (f *Fleet) AddNode(ctx context.Context) (*Node, error) {
	n, err := f.newNode()
	if err != nil {
		return nil, fmt.Errorf("cannot add a node: %w", err)
	}
	return n, f.boot(ctx, n)
}

// Terminate ends a node for good: the machine dies and its instance is terminated. The balancer keeps it as a member.
func (f *Fleet) Terminate(n *Node) error {
	return errors.Join(n.Kill(), f.Cloud.SetInstanceState(n.Instance, aws.Terminated))
}

// boot starts a node, and only then makes it an instance that is found.
func (f *Fleet) boot(ctx context.Context, n *Node) error {
	if err := n.Start(ctx); err != nil {
		return err
	}
	f.onClose(n.Kill)
	return f.Cloud.AddInstance(n.instance())
}

// newNode prepares the next node's home and has the agent know its host key.
func (f *Fleet) newNode() (*Node, error) {
	number := len(f.nodes) + 1
	hostKey, err := newKeyPair()
	if err != nil {
		return nil, err
	}
	name := "web-" + strconv.Itoa(number)
	site := Site{
		Name: name, Address: f.network.address(10 + number), Port: f.sshPort, Home: f.path(filepath.Join("nodes", name)),
		HostKey: hostKey.private, Authorized: f.key.public(),
	}
	site.Env = nodeEnvironment(site.Home)
	n := &Node{
		Name:     name,
		Instance: fmt.Sprintf("i-%017x", number),
		Address:  site.Address,
		Zone:     "eu-central-1" + string("abc"[number%3]),
		Home:     site.Home,
		log:      &tail{},
		command:  Command{Path: f.options.Executable, Args: f.options.NodeArgs, Env: []string{"PATH=" + searchPath()}},
		ssh:      f.options.SSH,
		site:     site,
		web:      f.webPort,
		startup:  f.options.Startup,
	}
	if err := os.MkdirAll(n.Home, 0o755); err != nil {
		return nil, err
	}
	if err := os.Symlink(f.path("store"), filepath.Join(n.Home, "store")); err != nil {
		return nil, err
	}
	f.nodes = append(f.nodes, n)
	return n, f.trust(n, hostKey.Signer)
}

// trust adds a node's host key to known_hosts.
func (f *Fleet) trust(n *Node, hostKey ssh.Signer) error {
	file, err := os.OpenFile(f.path("known_hosts"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	address := net.JoinHostPort(n.Address, strconv.Itoa(f.sshPort))
	_, err = fmt.Fprintln(file, knownhosts.Line([]string{address}, hostKey.PublicKey()))
	return errors.Join(err, file.Close())
}

// A keyPair is an SSH key, also as the file that holds it.
type keyPair struct {
	ssh.Signer
	private []byte
}

func newKeyPair() (keyPair, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return keyPair{}, err
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		return keyPair{}, err
	}
	signer, err := ssh.NewSignerFromKey(key)
	return keyPair{signer, pem.EncodeToMemory(block)}, err
}

func (k keyPair) public() string { return string(ssh.MarshalAuthorizedKey(k.PublicKey())) }
