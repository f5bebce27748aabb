package mirror

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	yamlnodes "go.yaml.in/yaml/v3"
	"sigs.k8s.io/yaml"

	"windlass/desired"
)

// MostNodes is how many nodes a fleet has here unless somebody asks for more.
const MostNodes = 4

// A Node is a machine of the fleet here.
type Node struct {
	Name     string
	Instance string // id
	Address  string
	Zone     string
	Static   bool // it is named in the fleet file, and no instance that is found by tags
}

// A Ground is what the fleet stands on here.
type Ground struct {
	Nodes   []Node
	SSHPort int
	Ports   map[int]int // by port of a node: where it is to be had on the node's address
	Check   string      // a command that every node must pass besides, at the first attempt; empty: none
	Step    string      // a step that every node runs after the file's own; empty: none
}

// A Note is one thing that is different here, for people.
type Note string

func notef(format string, args ...any) Note { return Note(fmt.Sprintf(format, args...)) }

// Size is how many nodes the fleet has here, of itself.
func Size(f *desired.Fleet) int {
	return min(cmp.Or(f.Nodes.Expect, len(f.Nodes.Static), 2), MostNodes)
}

// Nodes are the fleet's first n: those that its file names, then instances.
func Nodes(f *desired.Fleet, n int) []Node {
	nodes := make([]Node, n)
	for i := range nodes {
		nodes[i] = Node{Name: f.Name + "-" + strconv.Itoa(i+1), Instance: fmt.Sprintf("i-%017x", i+1), Zone: "eu-central-1" + string("abc"[i%3])}
		if i < len(f.Nodes.Static) {
			static := f.Nodes.Static[i]
			nodes[i].Name, nodes[i].Zone, nodes[i].Static = static.Name, cmp.Or(static.Zone, nodes[i].Zone), true
		} else if f.Nodes.EC2 == nil { // more than the file names
			nodes[i].Static = true
		}
	}
	return nodes
}

// Ports are those of a node that are asked from elsewhere: by direct checks and by balancers, sorted.
func Ports(f *desired.Fleet) []int {
	var ports []int
	for _, c := range f.Health {
		switch {
		case c.HTTP != nil && c.HTTP.Via != desired.OverSSH:
			ports = append(ports, c.HTTP.Port)
		case c.TCP != nil:
			ports = append(ports, c.TCP.Port)
		}
	}
	for _, b := range f.LoadBalancers {
		ports = append(ports, Port(f, b))
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}

// Port is where a balancer sends requests to: as the file says, or where the fleet's first check asks, since only AWS knows the group's.
func Port(f *desired.Fleet, b desired.LoadBalancer) int {
	if b.Port != 0 {
		return b.Port
	}
	for _, c := range f.Health {
		switch {
		case c.HTTP != nil:
			return c.HTTP.Port
		case c.TCP != nil:
			return c.TCP.Port
		}
	}
	return 80
}

// Page is what a balancer asks for on a port: the path of the first check there that wants a 200; empty: a connection will do.
func Page(f *desired.Fleet, port int) string {
	for _, c := range f.Health {
		if c.HTTP != nil && c.HTTP.Port == port && c.HTTP.Status == 200 {
			return c.HTTP.Path
		}
	}
	return ""
}

// RehearsalVar is a var that no template asks for: with it, what is the same is rolled once more.
const RehearsalVar = "windlassRehearsal"

// asIs is the directory that stands for fleets/ where the person's file is the base of ours.
const asIs = "as-in-the-repo"

// FleetFile is where Files has the fleet.
func FleetFile(f *desired.Fleet) string { return "fleets/" + f.Name + ".yaml" }

// Used are the texts of the files that the fleet is made of, by path. The repo's windows are production's, and not among them.
func Used(tree fs.FS, loaded desired.Tree, f *desired.Fleet) (map[string]string, error) {
	used := map[string]string{}
	for name, users := range loaded.Uses {
		if !slices.Contains(users, f.Name) || name == desired.WindowsFile {
			continue
		}
		content, err := fs.ReadFile(tree, name)
		if err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", name, err)
		}
		used[name] = string(content)
	}
	return used, nil
}

// Files are a deploy repo that holds nothing but the fleet, by path: the files that it is made of as they are, and one that says over
// them what is different here.
func Files(used map[string]string, f *desired.Fleet, g Ground) (map[string]string, error) {
	files := maps.Clone(used)
	own, err := nameless(files[f.Path])
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", f.Path, err)
	}
	delete(files, f.Path)
	base := asIs + "/" + strings.TrimPrefix(f.Path, "fleets/")
	files[base] = own
	text, err := yaml.Marshal(overlay(f, g, base))
	if err != nil {
		return nil, fmt.Errorf("cannot write fleet %s as it is here: %w", f.Name, err)
	}
	files[FleetFile(f)] = "# What is different on this machine. The fleet itself is in the base.\n" + string(text)
	return files, nil
}

// nameless is a fleet file as a base, which has no name.
func nameless(text string) (string, error) {
	var document yamlnodes.Node
	if err := yamlnodes.Unmarshal([]byte(text), &document); err != nil {
		return "", err
	}
	if len(document.Content) != 1 {
		return text, nil
	}
	root := document.Content[0]
	for i := 0; i+1 < len(root.Content); i += 2 {
		if root.Content[i].Value == "name" {
			root.Content = slices.Delete(root.Content, i, i+2)
			break
		}
	}
	out, err := yamlnodes.Marshal(&document)
	return string(out), err
}

type object = map[string]any

// overlay is the fleet file that is merged over the person's.
func overlay(f *desired.Fleet, g Ground, base string) object {
	out := object{
		"apiVersion": desired.APIVersion, "kind": desired.Kind, "name": f.Name, "base": path.Join("..", base),
		"nodes": nodeSet(f, g), "ssh": object{"port": g.SSHPort}, "health": checks(f, g), "rollout": pace(f, g),
	}
	if configure := configured(f, g); len(configure) > 0 {
		out["configure"] = configure
	}
	if len(f.LoadBalancers) > 0 {
		out["loadBalancers"] = balancers(f, g)
	}
	if len(f.After) > 0 {
		out["after"] = []object{}
	}
	if f.Windows != nil {
		out["windows"] = object{"rules": []object{{"allow": "Mon-Sun"}}}
	}
	if f.Source != nil {
		out["source"] = object{"override": object{"release": f.Release, "reason": "nothing is asked of releases on this machine", "by": "windlass up"}}
	}
	return out
}

// configured is what a rehearsal has otherwise.
func configured(f *desired.Fleet, g Ground) object {
	out := object{}
	if v, rehearsed := f.Configure.Vars[RehearsalVar]; rehearsed {
		out["vars"] = object{RehearsalVar: v}
	}
	if g.Step != "" {
		var steps []object
		for _, s := range f.Configure.Activate {
			steps = append(steps, object{"name": s.Name, "run": s.Run, "timeout": s.Timeout.String()})
		}
		out["activate"] = append(steps, object{"name": "rehearsal", "run": g.Step})
	}
	return out
}

func nodeSet(f *desired.Fleet, g Ground) object {
	set := object{"expect": len(g.Nodes)}
	var static []object
	var exclude []object
	// What the file names now, and did not when the nodes were made, has to give way to them as well.
	all := f.Nodes.EC2 == nil || len(f.Nodes.Static) > 0 && !slices.ContainsFunc(g.Nodes, func(n Node) bool { return n.Static })
	for _, n := range g.Nodes {
		if n.Static || all {
			static = append(static, object{"name": n.Name, "address": n.Address, "zone": n.Zone, "target": n.Instance})
		}
		for _, e := range f.Nodes.Exclude {
			if e.Name == n.Name {
				exclude = append(exclude, object{"name": e.Name, "reason": e.Reason})
			}
		}
	}
	if len(static) > 0 {
		set["static"] = static
	}
	if f.Nodes.EC2 != nil {
		set["ec2"] = object{"address": "private"}
	}
	if len(f.Nodes.Exclude) > 0 {
		set["exclude"] = append([]object{}, exclude...)
	}
	return set
}

func balancers(f *desired.Fleet, g Ground) []object {
	var out []object
	for _, b := range f.LoadBalancers {
		if b.Classic != "" {
			out = append(out, object{"classic": b.Classic})
			continue
		}
		out = append(out, object{"targetGroup": b.GroupName(), "port": g.Ports[Port(f, b)], "prune": b.Prune})
	}
	return out
}

// checks are the fleet's, asked where the ports are here. Those over SSH ask the node's own.
func checks(f *desired.Fleet, g Ground) []object {
	var out []object
	for _, c := range f.Health {
		check := object{"name": c.Name, "interval": c.Interval.String(), "timeout": c.Timeout.String(), "successes": c.Successes, "within": c.Within.String()}
		switch {
		case c.HTTP != nil:
			port := c.HTTP.Port
			if c.HTTP.Via != desired.OverSSH {
				port = g.Ports[port]
			}
			check["http"] = object{"port": port, "path": c.HTTP.Path, "status": c.HTTP.Status, "body": c.HTTP.Body, "via": string(c.HTTP.Via)}
		case c.TCP != nil:
			check["tcp"] = object{"port": g.Ports[c.TCP.Port]}
		default:
			check["command"] = object{"run": c.Command.Run}
		}
		out = append(out, check)
	}
	if g.Check != "" {
		out = append(out, object{"name": "rehearsal", "command": object{"run": g.Check}, "interval": "200ms", "within": "3s"})
	}
	return out
}

// The longest that is waited here for nothing but time.
const (
	mostBake       = 500 * time.Millisecond
	mostCanaryBake = time.Second
	delay          = "1 s, the deregistration delay of the balancers here"
)

// pace is what people do not wait for.
func pace(f *desired.Fleet, g Ground) object {
	out := object{"bake": min(f.Rollout.Bake, mostBake).String(), "drain": object{"settle": "0s"}}
	if f.Rollout.Canary != nil {
		out["canary"] = object{"nodes": f.Rollout.Canary.Nodes, "bake": min(f.Rollout.Canary.Bake, mostCanaryBake).String()}
	}
	if g.Check != "" {
		out["attempts"] = 1
	}
	return out
}
