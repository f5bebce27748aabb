package sandbox

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/skeema/knownhosts"
	"golang.org/x/sync/errgroup"

	"windlass/desired"
	"windlass/internal/mirror"
	"windlass/internal/sandbox/aws"
)

// MirrorOptions say what a Mirror is of.
type MirrorOptions struct {
	Nodes   int    // default: as many as the fleet expects, at most mirror.MostNodes
	Check   string // a command that every node must pass besides the fleet's checks; empty: none
	Step    string // one that every node runs after the fleet's steps; empty: none
	Network bool   // cages reach public addresses, and none that the deploy repo names for a node
}

// A Saved is a deploy repo as it is on disk, or was in a commit, with one fleet of it.
type Saved struct {
	Tree  desired.Tree
	Fleet *desired.Fleet
	Used  map[string]string // the files that it is made of, by path
}

// digest names what a node is given.
func (s Saved) digest() string { return s.Fleet.Digest(desired.DigestAlgorithm) }

// A Mirror is a fleet of somebody's deploy repo on this machine: its nodes are cages, its balancers those of aws.Cloud. Its agent is not
// started. Its methods are called one at a time.
type Mirror struct {
	local
	Nodes []*CagedNode
	URLs  map[string]string // of balancers, by their name

	options MirrorOptions
	unknown map[string]bool // balancers by name of which no check says what they answer
	outlet  *outlet
	fleet   *desired.Fleet
	ground  mirror.Ground
	files   map[string]string // that were committed last
	pages   []byte            // what the services that stand in were told
}

// StartMirror brings up the fleet's nodes, which have nothing of it yet, its balancers, and a deploy repo that says what was saved. Close
// ends all of it.
func StartMirror(ctx context.Context, o MirrorOptions, s Saved) (*Mirror, error) {
	m := &Mirror{fleet: s.Fleet, URLs: map[string]string{}, unknown: map[string]bool{}, outlet: newOutlet()}
	m.outlet.avoid(s.Tree)
	if o.Nodes = cmp.Or(o.Nodes, mirror.Size(s.Fleet)); o.Nodes < 1 || o.Nodes > maxNodes {
		return nil, fmt.Errorf("a local fleet has 1 to %d nodes, not %d", maxNodes, o.Nodes)
	}
	m.options = o
	if err := m.open(ctx, m.openDir, m.openKey, m.openNetwork, m.openNodes, m.openAPI, m.openInstances, m.openRepo, m.openAgent); err != nil {
		return nil, err
	}
	if _, err := m.Save(ctx, s, "the fleet as it is"); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func (m *Mirror) openDir(context.Context) error { return m.openTemporary("windlass-up-") }

// openNodes makes the cages side by side.
func (m *Mirror) openNodes(ctx context.Context) error {
	m.ground = mirror.Ground{Nodes: mirror.Nodes(m.fleet, m.options.Nodes), SSHPort: m.sshPort, Ports: map[int]int{}, Check: m.options.Check, Step: m.options.Step}
	var work errgroup.Group
	m.onClose(func() error {
		var failures []error
		for _, n := range m.Nodes {
			failures = append(failures, n.Kill())
		}
		return errors.Join(failures...)
	})
	if err := m.tellPages(ctx); err != nil {
		return err
	}
	known := ""
	for i := range m.ground.Nodes {
		m.ground.Nodes[i].Address = m.network.address(10 + i)
		hostKey, err := newKeyPair()
		if err != nil {
			return err
		}
		n := &CagedNode{Node: m.ground.Nodes[i], slot: i, hostKey: hostKey, relays: map[int]*relay{}}
		m.Nodes = append(m.Nodes, n)
		address := net.JoinHostPort(n.Address, strconv.Itoa(m.sshPort))
		known += knownhosts.Line([]string{address}, hostKey.PublicKey()) + "\n"
		work.Go(func() error { return errors.Join(n.start(ctx, m), n.open(m.sshPort, sshInside)) })
	}
	return errors.Join(work.Wait(), os.WriteFile(m.path("known_hosts"), []byte(known), 0o644))
}

func (m *Mirror) openInstances(context.Context) error {
	var tags map[string]string
	if m.fleet.Nodes.EC2 != nil {
		tags = m.fleet.Nodes.EC2.Tags
	}
	for _, n := range m.Nodes {
		if err := m.Cloud.AddInstance(n.instance(tags)); err != nil {
			return err
		}
	}
	return nil
}

// openRepo serves a deploy repo to which nobody else on this machine can push.
func (m *Mirror) openRepo(context.Context) error { return m.serveRepo("/" + rand.Text() + ".git") }

func (m *Mirror) openAgent(context.Context) error {
	executable, err := thisExecutable()
	if err == nil {
		m.Agent, err = m.newAgent(executable, m.fleet.Name, agentDir, time.Second)
	}
	return err
}

// Save makes what was saved the newest commit that the agent sees, and returns its revision; the one before where nothing changed
// that is the fleet's.
func (m *Mirror) Save(ctx context.Context, s Saved, message string) (string, error) {
	m.outlet.avoid(s.Tree)
	if err := m.accommodate(ctx, s.Fleet); err != nil {
		return "", err
	}
	files, err := mirror.Files(s.Used, s.Fleet, m.ground)
	if err != nil {
		return "", err
	}
	if maps.Equal(files, m.files) {
		return m.Repo.Head(), nil
	}
	revision, err := m.Repo.Replace(ctx, message, files)
	if err == nil {
		m.files = files
	}
	return revision, err
}

// accommodate gives the fleet the ports and balancers that it names.
func (m *Mirror) accommodate(ctx context.Context, f *desired.Fleet) error {
	for _, port := range mirror.Ports(f) {
		if m.ground.Ports[port] != 0 {
			continue
		}
		outside, err := m.network.freePort()
		if err != nil {
			return err
		}
		for _, n := range m.Nodes {
			if err := n.open(outside, port); err != nil {
				return err
			}
		}
		m.ground.Ports[port] = outside
	}
	for _, b := range f.LoadBalancers {
		if err := m.balance(f, b); err != nil {
			return err
		}
	}
	m.fleet = f
	return m.tellPages(ctx)
}

// tellPages tells the services that stand in what the fleet's checks want to see, where that is something new.
func (m *Mirror) tellPages(ctx context.Context) error {
	pages, err := json.Marshal(pagesOf(m.fleet, mirror.Ports(m.fleet)))
	if err != nil || bytes.Equal(pages, m.pages) {
		return err
	}
	if err := m.onNodes(ctx, "cat >"+pagesFile+".new && mv "+pagesFile+".new "+pagesFile, string(pages)); err != nil {
		return err
	}
	m.pages = pages
	return nil
}

// onNodes runs a script on each node that is up, with input.
func (m *Mirror) onNodes(ctx context.Context, script, input string) error {
	for _, n := range m.Nodes {
		if n.cage == nil {
			continue
		}
		if err := n.run(ctx, m, script, input); err != nil {
			return err
		}
	}
	return nil
}

// The balancers here are quick.
const checkInterval = 200 * time.Millisecond

func (m *Mirror) balance(f *desired.Fleet, b desired.LoadBalancer) error {
	name := b.GroupName()
	if b.Classic != "" {
		name = b.Classic + " (classic)" // a target group may have the same
	}
	if m.URLs[name] != "" {
		return nil
	}
	port := mirror.Port(f, b)
	check := aws.HealthCheck{Protocol: "TCP", Interval: checkInterval, Timeout: time.Second, Healthy: 2, Unhealthy: 2}
	page := mirror.Page(f, port)
	if page != "" {
		check.Protocol, check.Path = "HTTP", page
	}
	address, err := m.addBalancer(b, m.ground.Ports[port], check)
	if err != nil {
		return fmt.Errorf("cannot have %s here: %w", b, err)
	}
	m.URLs[name], m.unknown[name] = "http://"+address+cmp.Or(page, "/"), page == ""
	return nil
}

func (m *Mirror) addBalancer(b desired.LoadBalancer, port int, check aws.HealthCheck) (string, error) {
	if b.Classic != "" {
		return m.Cloud.AddClassic(aws.Classic{Name: b.Classic, InstancePort: port, ConnectionDraining: time.Second, CrossZone: true, HealthCheck: check})
	}
	name := b.GroupName()
	if _, err := m.Cloud.AddTargetGroup(aws.TargetGroup{Name: name, Port: port, DeregistrationDelay: time.Second, HealthCheck: check}); err != nil {
		return "", err
	}
	return m.Cloud.AddLoadBalancer(aws.LoadBalancer{Name: "of-" + name, TargetGroups: []string{name}})
}
